//! [`Alarms`]: when which timer is due, by a clock that never jumps.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use skein_machine::{Timers, Token};

/// The timers of one machine.
pub(crate) struct Alarms<T> {
    timers: Timers<T>,
    /// The token tells two of the same moment apart, and whether the alarm still counts.
    due: BinaryHeap<Reverse<Alarm<T>>>,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alarm<T> {
    at: Instant,
    token: Token,
    timer: T,
}

impl<T: Ord + Clone> Alarms<T> {
    pub(crate) fn new() -> Alarms<T> {
        Alarms { timers: Timers::new(), due: BinaryHeap::new() }
    }

    pub(crate) fn arm(&mut self, now: Instant, timer: T, after: Duration) {
        let token = self.timers.arm(timer.clone());
        self.due.push(Reverse(Alarm { at: now + after, token, timer }));
    }

    pub(crate) fn disarm(&mut self, timer: &T) {
        self.timers.disarm(timer);
    }

    /// When to look next.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse(alarm)| alarm.at)
    }

    /// A timer that is due by now.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<T> {
        while self.next().is_some_and(|at| at <= now) {
            let Reverse(Alarm { timer, token, .. }) = self.due.pop().expect("there is one");
            if self.timers.fire(&timer, token) {
                return Some(timer);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_armed_again_fires_once_and_late() {
        let now = Instant::now();
        let second = Duration::from_secs(1);
        let mut alarms = Alarms::new();
        alarms.arm(now, 'a', second);
        alarms.arm(now, 'b', 2 * second);
        alarms.arm(now, 'a', 3 * second);
        assert_eq!(alarms.next(), Some(now + second));
        assert_eq!(alarms.fire(now + second), None);
        assert_eq!(alarms.fire(now + 2 * second), Some('b'));
        alarms.arm(now, 'c', second);
        alarms.disarm(&'c');
        assert_eq!((alarms.fire(now + 3 * second), alarms.fire(now + 3 * second)), (Some('a'), None));
    }
}
