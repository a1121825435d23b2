//! A slab: the open orders of a book, in places that are used again.
//!
//! An order stays in its place from when it joins the book until it leaves, and
//! whoever else has to find it (a queue, the index) keeps the number of the
//! place. Places that are free form a list, so that neither joining nor leaving
//! asks the allocator for anything once the book has been as full as it gets.
//! Which place an order has is nobody's business outside: nothing that a client
//! sees or that a snapshot holds depends on it.

use crate::words::{Client, Price, Quantity, Side};

/// The number of a place.
pub(super) type Slot = u32;

/// The number of no place.
pub(super) const NOWHERE: Slot = Slot::MAX;

/// An open order: half a cache line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    pub(super) number: u64,
    pub(super) price: Price,
    /// What is left of it; nothing in a place that is free.
    pub(super) quantity: Quantity,
    pub(super) client: Client,
    pub(super) side: Side,
    /// Who stands before it at its price.
    pub(super) before: Slot,
    /// And who behind it. In a place that is free: the next free one.
    pub(super) behind: Slot,
}

#[derive(Clone, Debug)]
pub(super) struct Slab {
    nodes: Vec<Node>,
    free: Slot,
    used: usize,
}

impl Slab {
    pub(super) fn new() -> Slab {
        Slab { nodes: Vec::new(), free: NOWHERE, used: 0 }
    }

    /// How many orders are open.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    pub(super) fn insert(&mut self, node: Node) -> Slot {
        assert!(node.quantity > 0, "nothing is left of order {}, and it would wait", node.number);
        self.used += 1;
        if self.free != NOWHERE {
            let slot = self.free;
            self.free = self.node(slot).behind;
            *self.node_mut(slot) = node;
            return slot;
        }
        self.nodes.push(node);
        let slot = (self.nodes.len() - 1) as Slot;
        assert!(slot < NOWHERE, "a book holds four thousand million orders");
        slot
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let free = self.free;
        let node = self.node_mut(slot);
        node.quantity = 0;
        node.behind = free;
        self.free = slot;
        self.used -= 1;
    }

    #[inline]
    pub(super) fn node(&self, slot: Slot) -> &Node {
        &self.nodes[slot as usize]
    }

    #[inline]
    pub(super) fn node_mut(&mut self, slot: Slot) -> &mut Node {
        &mut self.nodes[slot as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(number: u64) -> Node {
        let (client, side) = (Client(0), Side::Buy);
        Node { number, price: 1, quantity: 1, client, side, before: NOWHERE, behind: NOWHERE }
    }

    #[test]
    fn places_are_used_again() {
        let mut slab = Slab::new();
        let slots: Vec<Slot> = (1..=3).map(|number| slab.insert(node(number))).collect();
        assert_eq!(slots, [0, 1, 2]);
        slab.remove(0);
        slab.remove(2);
        assert_eq!(slab.len(), 1);
        assert_eq!([4, 5, 6].map(|number| slab.insert(node(number))), [2, 0, 3]);
        assert_eq!([0, 1, 2, 3].map(|slot| slab.node(slot).number), [5, 2, 4, 6]);
        assert_eq!(slab.len(), 4);
    }

    #[test]
    fn an_order_is_half_a_cache_line() {
        assert_eq!(size_of::<Node>(), 32);
    }
}
