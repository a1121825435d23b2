//! A process's hardware clock: off, drifting, and jumping when told to.
//! Timers run on the same crystal, so they drift with it, but never jump.

use std::time::Duration;

use skein_machine::Time;

use crate::{Nanos, SECOND};

/// What the clocks of a perfect world show when the simulation begins.
const BEGINNING: u64 = 1_700_000_000 * SECOND;

/// The clock of one process.
#[derive(Clone, Debug)]
pub struct Clock {
    /// How far it is from true time, jumps included.
    offset: i64,
    /// Nanoseconds gained or lost in a million.
    drift: i64,
}

impl Clock {
    /// A clock that is right.
    pub const TRUE: Clock = Clock { offset: 0, drift: 0 };

    /// A clock that is off by `offset` nanoseconds and gains `drift` in a million.
    pub fn new(offset: i64, drift: i64) -> Clock {
        assert!(drift.abs() < 1_000_000, "a clock that drifts by {drift} in a million stands still or runs backwards");
        Clock { offset, drift }
    }

    /// What it shows at a true moment.
    pub fn read(&self, now: Nanos) -> Time {
        let gained = i128::from(now) * i128::from(self.drift) / 1_000_000;
        let shown = i128::from(BEGINNING) + i128::from(now) + gained + i128::from(self.offset);
        Time::from_nanos(u64::try_from(shown.max(0)).unwrap_or(u64::MAX))
    }

    /// How much true time passes while it measures `span`.
    pub fn wait(&self, span: Duration) -> Nanos {
        let span = u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let true_span = i128::from(span) * 1_000_000 / i128::from(1_000_000 + self.drift);
        u64::try_from(true_span).unwrap_or(u64::MAX)
    }

    /// Sets it forward or back.
    pub fn jump(&mut self, by: i64) {
        self.offset = self.offset.saturating_add(by);
    }

    /// How far it is from true time at a true moment.
    pub fn error(&self, now: Nanos) -> i64 {
        let shown = i128::from(self.read(now).as_nanos());
        (shown - i128::from(BEGINNING) - i128::from(now)) as i64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drifts_and_jumps() {
        let mut clock = Clock::new(-5, 100);
        assert_eq!(clock.error(10 * SECOND), 1_000_000 - 5);
        clock.jump(-1_000_000);
        assert_eq!(clock.error(10 * SECOND), -5);
        assert_eq!(Clock::TRUE.error(SECOND), 0);
    }

    #[test]
    fn a_fast_clock_waits_too_short() {
        assert_eq!(Clock::new(0, 250_000).wait(Duration::from_secs(5)), 4 * SECOND);
    }
}
