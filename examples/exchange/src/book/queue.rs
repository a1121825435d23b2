//! A queue: the orders at one price, whoever was first in front.
//!
//! The links lie in the orders themselves, so whoever leaves from the middle is
//! taken out without looking for it. The queue itself is two numbers.

use super::slab::{NOWHERE, Slab, Slot};

#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: Slot,
    last: Slot,
}

impl Queue {
    pub(super) const EMPTY: Queue = Queue { first: NOWHERE, last: NOWHERE };

    /// Whoever trades next at this price.
    #[inline]
    pub(super) fn first(&self) -> Option<Slot> {
        (self.first != NOWHERE).then_some(self.first)
    }

    /// Whoever trades last.
    pub(super) fn last(&self) -> Option<Slot> {
        (self.last != NOWHERE).then_some(self.last)
    }

    /// The last to come is the last to trade.
    pub(super) fn push(&mut self, slab: &mut Slab, slot: Slot) {
        let before = self.last;
        let node = slab.node_mut(slot);
        (node.before, node.behind) = (before, NOWHERE);
        match before {
            NOWHERE => self.first = slot,
            _ => slab.node_mut(before).behind = slot,
        }
        self.last = slot;
    }

    /// Takes an order out, wherever in this queue it stands.
    pub(super) fn take(&mut self, slab: &mut Slab, slot: Slot) {
        let (before, behind) = (slab.node(slot).before, slab.node(slot).behind);
        match before {
            NOWHERE => self.first = behind,
            _ => slab.node_mut(before).behind = behind,
        }
        match behind {
            NOWHERE => self.last = before,
            _ => slab.node_mut(behind).before = before,
        }
    }

    /// Everybody, from the front.
    pub(super) fn iter<'a>(&self, slab: &'a Slab) -> impl Iterator<Item = Slot> + use<'a> {
        let next = |slot: Slot| (slot != NOWHERE).then_some(slot);
        std::iter::successors(self.first(), move |slot| next(slab.node(*slot).behind))
    }
}

#[cfg(test)]
mod tests {
    use super::super::slab::Node;
    use super::*;
    use crate::words::{Client, Side};

    #[test]
    fn orders_leave_from_anywhere() {
        let mut slab = Slab::new();
        let mut queue = Queue::EMPTY;
        let node = |number| {
            let (client, side) = (Client(0), Side::Buy);
            Node { number, price: 1, quantity: 1, client, side, before: 77, behind: 77 }
        };
        let slots: Vec<Slot> = (1..=5).map(|number| slab.insert(node(number))).collect();
        for slot in &slots {
            queue.push(&mut slab, *slot);
        }
        let mut left = slots.clone();
        for leaves in [2, 0, 4, 1, 3] {
            queue.take(&mut slab, slots[leaves]);
            left.retain(|slot| *slot != slots[leaves]);
            assert_eq!(queue.iter(&slab).collect::<Vec<_>>(), left);
            assert_eq!(queue.last(), left.last().copied());
        }
        assert_eq!(queue.first(), None);
        queue.push(&mut slab, slots[3]);
        assert_eq!(queue.first(), Some(slots[3]));
    }
}
