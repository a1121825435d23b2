//! [`Timers`]: what a replica waits for. There are four kinds and one of each,
//! so they have their places, and nothing is allocated or searched.

use std::time::Duration;

use skein_order::mu::Timer;

/// Never.
const NEVER: u64 = u64::MAX;

/// The four, in the order in which they are looked at when several are due.
const KINDS: [Timer; 4] = [Timer::Tick, Timer::Flush, Timer::Bid, Timer::Look];

/// When each of them is due, in nanoseconds of the host's clock.
#[derive(Debug)]
pub(super) struct Timers {
    due: [u64; KINDS.len()],
}

impl Timers {
    /// How many kinds there are.
    pub(super) const KINDS: usize = KINDS.len();

    pub(super) fn new() -> Timers {
        Timers { due: [NEVER; KINDS.len()] }
    }

    /// In place of an equal one.
    pub(super) fn arm(&mut self, timer: &Timer, now: u64, after: Duration) {
        let after = u64::try_from(after.as_nanos()).unwrap_or(NEVER);
        self.due[place(timer)] = now.saturating_add(after);
    }

    pub(super) fn disarm(&mut self, timer: &Timer) {
        self.due[place(timer)] = NEVER;
    }

    /// Takes the one of a kind, if it is due.
    #[inline]
    pub(super) fn take(&mut self, kind: usize, now: u64) -> Option<Timer> {
        if self.due[kind] > now {
            return None;
        }
        self.due[kind] = NEVER;
        Some(KINDS[kind])
    }
}

fn place(timer: &Timer) -> usize {
    KINDS.iter().position(|kind| kind == timer).unwrap_or_else(|| panic!("a processor has no {timer:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_there_once() {
        let mut timers = Timers::new();
        let due = |timers: &mut Timers, now| -> Vec<Timer> {
            (0..Timers::KINDS).filter_map(|kind| timers.take(kind, now)).collect()
        };
        assert_eq!(due(&mut timers, NEVER - 1), []);
        timers.arm(&Timer::Look, 10, Duration::from_nanos(5));
        timers.arm(&Timer::Tick, 10, Duration::from_nanos(7));
        timers.arm(&Timer::Look, 10, Duration::from_nanos(6));
        timers.arm(&Timer::Bid, 10, Duration::from_nanos(1));
        timers.disarm(&Timer::Bid);
        assert_eq!(due(&mut timers, 15), [], "the later one took its place");
        assert_eq!(due(&mut timers, 17), [Timer::Tick, Timer::Look]);
        assert_eq!(due(&mut timers, NEVER - 1), []);
    }
}
