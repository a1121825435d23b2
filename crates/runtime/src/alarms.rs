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
    /// So many alarms, and those that count no more are thrown out.
    crowd: usize,
}

/// Fewer alarms than this are no crowd.
const SMALLEST_CROWD: usize = 64;

#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Alarm<T> {
    at: Instant,
    token: Token,
    timer: T,
}

impl<T: Ord + Clone> Alarms<T> {
    pub(crate) fn new() -> Alarms<T> {
        Alarms { timers: Timers::new(), due: BinaryHeap::new(), crowd: SMALLEST_CROWD }
    }

    pub(crate) fn arm(&mut self, now: Instant, timer: T, after: Duration) {
        if self.due.len() >= self.crowd {
            // A timer that is put off all the time would leave an alarm behind each time, until it was due.
            let timers = &self.timers;
            self.due.retain(|Reverse(alarm)| timers.counts(&alarm.timer, alarm.token));
            self.crowd = SMALLEST_CROWD.max(2 * self.due.len());
        }
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

    #[test]
    fn a_timer_that_is_put_off_all_the_time_takes_no_more_room() {
        let (now, hour) = (Instant::now(), Duration::from_secs(3600));
        let mut alarms = Alarms::new();
        alarms.arm(now, 0, hour);
        for _ in 0..10_000 {
            alarms.arm(now, 1, hour);
        }
        assert!(alarms.due.len() <= SMALLEST_CROWD, "{} alarms for two timers", alarms.due.len());
        assert_eq!((alarms.fire(now + hour), alarms.fire(now + hour)), (Some(0), Some(1)));
    }
}
