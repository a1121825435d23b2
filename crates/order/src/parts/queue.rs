//! [`Queue`]: messages that are on the way, ordered by the earliest place that
//! each can still take. The front is next, as soon as its place is final. It
//! does not know where it has put a message: whoever has the queue keeps the
//! bound with what else it knows of the message, and is told the spot of that.

use skein_machine::{MessageId, Stamp, Timestamp};

use super::{Row, Spot};

/// Messages by the lowest final timestamp that each may still get.
#[derive(Clone, Debug, Default, Hash)]
pub struct Queue {
    places: Row<Stamp, Spot>,
    /// Those of them that several groups receive, if anybody asks for them.
    wide: Option<Row<Stamp, Spot>>,
}

impl Queue {
    /// Nothing on the way.
    pub fn new() -> Queue {
        Queue::default()
    }

    /// The same for somebody who will ask for what several groups receive.
    pub fn with_wide() -> Queue {
        Queue { wide: Some(Row::new()), ..Queue::default() }
    }

    /// Adds a message, or moves it back from its place so far: a bound only rises.
    pub fn raise(&mut self, id: MessageId, spot: Spot, place: &mut Option<Timestamp>, bound: Timestamp) {
        if place.is_some_and(|before| before >= bound) {
            return;
        }
        self.remove(id, place);
        *place = Some(bound);
        let stamp = Stamp { timestamp: bound, id };
        self.places.insert(stamp, spot);
        if let Some(wide) = self.wide.as_mut().filter(|_| id.destinations.len() > 1) {
            wide.insert(stamp, spot);
        }
    }

    /// Takes a message out of its place.
    pub fn remove(&mut self, id: MessageId, place: &mut Option<Timestamp>) {
        if let Some(timestamp) = place.take() {
            let was_there = self.places.remove(&Stamp { timestamp, id });
            assert!(was_there.is_some(), "{id} is not queued at {timestamp}");
            if let Some(wide) = self.wide.as_mut().filter(|_| id.destinations.len() > 1) {
                wide.remove(&Stamp { timestamp, id });
            }
        }
    }

    /// The message with the earliest place.
    pub fn first(&self) -> Option<(Stamp, Spot)> {
        self.places.first().copied()
    }

    /// Every message by its place.
    pub fn iter(&self) -> impl Iterator<Item = (Stamp, Spot)> {
        self.places.iter().copied()
    }

    /// Those that several groups receive, by their places.
    pub fn wide(&self) -> impl Iterator<Item = Stamp> {
        self.wide.as_ref().expect("it was made to be asked").iter().map(|(place, _)| *place)
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
    use crate::parts::Table;

    #[test]
    fn a_bound_only_rises() {
        let (a, b) = (MessageId::new(1, 1, 0b1), MessageId::new(2, 1, 0b1));
        let mut known = Table::new();
        let spots = [a, b].map(|id| {
            known.insert(id, ());
            known.spot(&id).unwrap()
        });
        let mut queue = Queue::new();
        let (mut of_a, mut of_b) = (None, None);
        queue.raise(a, spots[0], &mut of_a, Timestamp(5));
        queue.raise(b, spots[1], &mut of_b, Timestamp(6));
        queue.raise(a, spots[0], &mut of_a, Timestamp(7));
        queue.raise(a, spots[0], &mut of_a, Timestamp(3));
        assert_eq!(queue.first(), Some((Stamp { timestamp: Timestamp(6), id: b }, spots[1])));
        queue.remove(b, &mut of_b);
        assert_eq!(queue.first(), Some((Stamp { timestamp: Timestamp(7), id: a }, spots[0])));
        assert_eq!((of_a, of_b, queue.len()), (Some(Timestamp(7)), None, 1));
        queue.remove(a, &mut of_a);
        assert!(queue.is_empty());
    }
}
