//! An index: in which place of the slab an order stands, by its number.
//!
//! It is an open table: an order's place in it follows from its number, and if
//! that is taken the next free one does. Whoever leaves is not marked as gone:
//! those behind move up, so that the table never has to be cleaned. (The maps
//! of the standard library clean up now and then, all at once, and whoever is
//! measured in nanoseconds sees that.) It grows by doubling and never shrinks.
//!
//! Whoever chose numbers could make them meet in one spot. The engine gives
//! them, one after the other, and multiplying by the golden ratio spreads such
//! numbers as evenly as can be.

use super::slab::Slot;

/// An order's number and its slot; the number 0 is nobody's.
#[derive(Clone, Copy, Debug)]
struct Entry {
    number: u64,
    slot: Slot,
}

const NOBODY: Entry = Entry { number: 0, slot: 0 };

/// Small enough for instruments that nobody trades.
const SMALLEST: usize = 16;

#[derive(Clone, Debug)]
pub(super) struct Index {
    /// A power of two, at most half of it in use.
    entries: Vec<Entry>,
    used: usize,
}

impl Index {
    pub(super) fn new() -> Index {
        Index { entries: vec![NOBODY; SMALLEST], used: 0 }
    }

    pub(super) fn get(&self, number: u64) -> Option<Slot> {
        let entry = self.entries[self.seek(number)];
        (entry.number == number && number != 0).then_some(entry.slot)
    }

    /// Notes where an order stands. False if an order of this number stands somewhere already.
    pub(super) fn insert(&mut self, number: u64, slot: Slot) -> bool {
        assert!(number != 0, "numbers of orders begin at 1");
        if (self.used + 1) * 2 > self.entries.len() {
            self.grow();
        }
        let at = self.seek(number);
        if self.entries[at].number == number {
            return false;
        }
        self.entries[at] = Entry { number, slot };
        self.used += 1;
        true
    }

    pub(super) fn remove(&mut self, number: u64) {
        let mut hole = self.seek(number);
        assert!(self.entries[hole].number == number && number != 0, "order {number} stands nowhere and leaves");
        self.used -= 1;
        // Whoever stands behind the hole and would have liked to stand in it or before it moves up.
        let mut at = hole;
        loop {
            at = self.next(at);
            let entry = self.entries[at];
            if entry.number == 0 {
                break;
            }
            let detour = self.distance(self.home(entry.number), at);
            if detour >= self.distance(hole, at) {
                self.entries[hole] = entry;
                hole = at;
            }
        }
        self.entries[hole] = NOBODY;
    }

    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Where the number stands, or would.
    #[inline]
    fn seek(&self, number: u64) -> usize {
        let mut at = self.home(number);
        while self.entries[at].number != number && self.entries[at].number != 0 {
            at = self.next(at);
        }
        at
    }

    #[inline]
    fn home(&self, number: u64) -> usize {
        let bits = self.entries.len().trailing_zeros();
        (number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - bits)) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.entries.len() - 1)
    }

    /// How many steps forward it is from one place to the other, around the end.
    #[inline]
    fn distance(&self, from: usize, to: usize) -> usize {
        to.wrapping_sub(from) & (self.entries.len() - 1)
    }

    #[cold]
    fn grow(&mut self) {
        let twice = vec![NOBODY; self.entries.len() * 2];
        let old = std::mem::replace(&mut self.entries, twice);
        for entry in old.into_iter().filter(|entry| entry.number != 0) {
            let at = self.seek(entry.number);
            self.entries[at] = entry;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Few numbers and many comings and goings, so that they meet, in a table that is near its bound.
        #[test]
        fn it_is_a_map(steps in prop::collection::vec((1u64..24, any::<bool>(), any::<Slot>()), 0..300)) {
            let mut index = Index::new();
            let mut map = BTreeMap::new();
            for (number, comes, slot) in steps {
                if comes {
                    prop_assert_eq!(index.insert(number, slot), !map.contains_key(&number));
                    map.entry(number).or_insert(slot);
                } else if map.remove(&number).is_some() {
                    index.remove(number);
                }
                prop_assert_eq!(index.len(), map.len());
                for number in 0..25 {
                    prop_assert_eq!(index.get(number), map.get(&number).copied());
                }
            }
        }
    }

    /// What is open is a window that moves on, with some who stay.
    #[test]
    fn it_does_not_grow_with_what_has_been() {
        let mut index = Index::new();
        for number in 1..=100_000u64 {
            assert!(index.insert(number, number as Slot));
            if number > 400 && number % 1000 != 400 {
                index.remove(number - 400);
            }
        }
        assert!(index.len() < 512, "{} are open", index.len());
        assert_eq!(index.entries.len(), 1024);
        assert_eq!(index.get(1000), Some(1000), "who stays is found");
        assert_eq!(index.get(1001), None, "who left is not");
    }
}
