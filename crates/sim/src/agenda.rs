//! What will happen, and when. Equal moments keep the order in which they were
//! planned, so that a seed has one history.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::Nanos;

/// Events by time.
#[derive(Debug)]
pub(crate) struct Agenda<E> {
    heap: BinaryHeap<Reverse<Planned<E>>>,
    planned: u64,
}

#[derive(Debug)]
struct Planned<E> {
    at: Nanos,
    /// Breaks ties between equal moments.
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    pub(crate) fn new() -> Agenda<E> {
        Agenda { heap: BinaryHeap::new(), planned: 0 }
    }

    pub(crate) fn plan(&mut self, at: Nanos, event: E) {
        self.heap.push(Reverse(Planned { at, number: self.planned, event }));
        self.planned += 1;
    }

    /// The next event, unless it lies behind the horizon.
    pub(crate) fn next(&mut self, horizon: Nanos) -> Option<(Nanos, E)> {
        if self.heap.peek()?.0.at > horizon {
            return None;
        }
        self.heap.pop().map(|Reverse(planned)| (planned.at, planned.event))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.number) == (other.at, other.number)
    }
}

impl<E> Eq for Planned<E> {}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Planned<E> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_moments_keep_their_order() {
        let mut agenda = Agenda::new();
        agenda.plan(5, "b");
        agenda.plan(5, "c");
        agenda.plan(1, "a");
        assert_eq!(agenda.next(4), Some((1, "a")));
        assert_eq!(agenda.next(4), None, "behind the horizon");
        assert_eq!((agenda.next(5), agenda.next(5), agenda.next(5)), (Some((5, "b")), Some((5, "c")), None));
    }
}
