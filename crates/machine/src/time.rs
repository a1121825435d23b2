//! The two kinds of time, which must never be mixed: [`Time`] is what a
//! process's hardware clock shows, [`Timestamp`] is a value of a protocol's
//! clock, by which messages are ordered.
//!
//! Nothing here reads a clock. Intervals are [`Duration`]s, measured by the
//! host through timers: a hardware clock may jump, a timer does not.

use core::fmt;
use core::time::Duration;

/// What a process's hardware clock shows, in nanoseconds since the Unix epoch.
///
/// It may be wrong, drift and jump, so a machine compares it with timestamps
/// and nothing else; to wait for an interval it arms a timer.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

impl Time {
    /// The Unix epoch.
    pub const ZERO: Time = Time(0);

    /// So many nanoseconds after the epoch.
    pub const fn from_nanos(nanoseconds: u64) -> Time {
        Time(nanoseconds)
    }

    /// Nanoseconds since the epoch.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The moment `span` later.
    pub fn after(self, span: Duration) -> Time {
        Time(self.0.saturating_add(nanoseconds(span)))
    }

    /// How long ago `earlier` was; nothing when it lies ahead.
    pub fn since(self, earlier: Time) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }
}

/// A value of a protocol's clock: logical, or hybrid with real time in it.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// Before every message.
    pub const ZERO: Timestamp = Timestamp(0);
    /// After every message; as an expiry: never.
    pub const MAX: Timestamp = Timestamp(u64::MAX);

    /// The next value.
    #[must_use]
    pub fn next(self) -> Timestamp {
        Timestamp(self.0.checked_add(1).expect("a protocol's clock reached the end of 64 bits"))
    }
}

/// A duration in nanoseconds, as far as 64 bits reach (584 years).
fn nanoseconds(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:06}", self.0 / 1_000_000_000, self.0 / 1_000 % 1_000_000)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn time_saturates_at_both_ends() {
        let noon = Time::from_nanos(12);
        assert_eq!(noon.since(Time::from_nanos(20)), Duration::ZERO);
        assert_eq!(Time::from_nanos(u64::MAX).after(Duration::from_secs(1)).as_nanos(), u64::MAX);
        assert_eq!(format!("{}", Time::from_nanos(1_234_567_890)), "1.234567");
    }

    #[test]
    #[should_panic(expected = "end of 64 bits")]
    fn a_clock_does_not_wrap() {
        let _ = Timestamp::MAX.next();
    }
}
