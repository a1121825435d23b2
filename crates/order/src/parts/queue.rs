//! [`Queue`]: messages that are on the way, ordered by the earliest place that
//! each can still take. The front is next, as soon as its place is final.

use alloc::collections::BTreeSet;

use skein_machine::{MessageId, Stamp, Timestamp};

use super::Table;

/// Messages by the lowest final timestamp that each may still get.
#[derive(Clone, Debug, Default, Hash)]
pub struct Queue {
    places: BTreeSet<Stamp>,
    bounds: Table<MessageId, Timestamp>,
}

impl Queue {
    /// Nothing on the way.
    pub fn new() -> Queue {
        Queue::default()
    }

    /// Adds a message, or moves it back: a bound only rises.
    pub fn raise(&mut self, id: MessageId, bound: Timestamp) {
        if let Some(before) = self.bounds.get_mut(&id) {
            if *before >= bound {
                return;
            }
            self.places.remove(&Stamp { timestamp: *before, id });
            *before = bound;
        } else {
            self.bounds.insert(id, bound);
        }
        self.places.insert(Stamp { timestamp: bound, id });
    }

    /// Takes a message out.
    pub fn remove(&mut self, id: MessageId) {
        if let Some(timestamp) = self.bounds.remove(&id) {
            self.places.remove(&Stamp { timestamp, id });
        }
    }

    /// The message with the earliest place.
    pub fn first(&self) -> Option<Stamp> {
        self.places.first().copied()
    }

    /// Every message by its place.
    pub fn iter(&self) -> impl Iterator<Item = Stamp> {
        self.places.iter().copied()
    }

    /// Whether a message is on the way.
    pub fn contains(&self, id: MessageId) -> bool {
        self.bounds.contains(&id)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_only_rises() {
        let (a, b) = (MessageId::new(1, 1), MessageId::new(2, 1));
        let mut queue = Queue::new();
        queue.raise(a, Timestamp(5));
        queue.raise(b, Timestamp(6));
        queue.raise(a, Timestamp(7));
        queue.raise(a, Timestamp(3));
        assert_eq!(queue.first(), Some(Stamp { timestamp: Timestamp(6), id: b }));
        queue.remove(b);
        assert_eq!(queue.first(), Some(Stamp { timestamp: Timestamp(7), id: a }));
        queue.remove(a);
        assert!(queue.is_empty() && !queue.contains(a));
    }
}
