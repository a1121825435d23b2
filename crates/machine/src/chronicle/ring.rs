//! [`Ring`]: the newest of many things, under numbers that count up for ever.
//! Its memory is asked for once, before the first of them, and never again.

use alloc::vec::Vec;

/// The newest things.
#[derive(Clone, Debug)]
pub(super) struct Ring<T, const ROOM: usize> {
    items: Vec<T>,
    next: u64,
}

impl<T: Copy, const ROOM: usize> Ring<T, ROOM> {
    /// Nothing yet.
    pub(super) const fn new() -> Ring<T, ROOM> {
        const { assert!(ROOM.is_power_of_two(), "a ring has a round number of places") };
        Ring { items: Vec::new(), next: 0 }
    }

    const fn place(number: u64) -> usize {
        number as usize & (ROOM - 1)
    }

    pub(super) fn push(&mut self, item: T) {
        let place = Self::place(self.next);
        match self.items.get_mut(place) {
            Some(oldest) => *oldest = item,
            None => self.push_first(item),
        }
        self.next += 1;
    }

    #[cold]
    fn push_first(&mut self, item: T) {
        self.items.reserve_exact(ROOM - self.items.len());
        self.items.push(item);
    }

    /// The number of the oldest thing that is kept,
    pub(super) fn first(&self) -> u64 {
        self.next - self.items.len() as u64
    }

    /// and the one that the next will get.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn get(&self, number: u64) -> Option<&T> {
        (self.first()..self.next).contains(&number).then(|| &self.items[Self::place(number)])
    }

    pub(super) fn last(&self) -> Option<&T> {
        self.get(self.next.checked_sub(1)?)
    }

    pub(super) fn last_mut(&mut self) -> Option<&mut T> {
        let place = Self::place(self.next.checked_sub(1)?);
        self.items.get_mut(place)
    }

    /// Whether something had to go.
    pub(super) fn has_forgotten(&self) -> bool {
        self.first() > 0
    }

    /// The first thing that is so, where everything behind one that is so is so too, and its number.
    pub(super) fn first_that(&self, is_so: impl Fn(&T) -> bool) -> Option<(u64, &T)> {
        let (mut low, mut high) = (self.first(), self.next);
        while low < high {
            let middle = low + (high - low) / 2;
            if is_so(&self.items[Self::place(middle)]) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        self.get(low).map(|item| (low, item))
    }

    /// From the newest to the oldest, with their numbers.
    pub(super) fn backwards(&self) -> impl Iterator<Item = (u64, &T)> {
        (self.first()..self.next).rev().map(|number| (number, &self.items[Self::place(number)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_stay_and_numbers_go_on() {
        let mut ring = Ring::<_, 4>::new();
        assert_eq!((ring.first(), ring.last(), ring.first_that(|_| true)), (0, None, None));
        for item in 0..4 {
            ring.push(item * 10);
        }
        assert!(!ring.has_forgotten());
        let before = ring.items.capacity();
        for item in 4..7 {
            ring.push(item * 10);
        }
        assert_eq!((ring.first(), ring.next(), ring.has_forgotten()), (3, 7, true));
        assert_eq!((ring.get(2), ring.get(3), ring.get(6), ring.get(7)), (None, Some(&30), Some(&60), None));
        assert_eq!(ring.first_that(|item| *item >= 45), Some((5, &50)));
        assert_eq!(ring.first_that(|item| *item >= 61), None);
        assert_eq!(ring.backwards().map(|(number, _)| number).collect::<Vec<_>>(), [6, 5, 4, 3]);
        *ring.last_mut().unwrap() = 1;
        assert_eq!((ring.last(), ring.items.capacity()), (Some(&1), before));
    }
}
