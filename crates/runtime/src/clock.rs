//! [`HardwareClock`]: what a replica takes for the time of day. It can be set
//! wrong while it runs, as the clocks of real machines are now and then. Nothing
//! waits by it: waiting is the alarms' affair.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use skein_machine::Time;

/// The system's clock, and how far off it pretends to be. Clones are one clock.
#[derive(Clone, Debug, Default)]
pub struct HardwareClock {
    error_nanos: Arc<AtomicI64>,
}

impl HardwareClock {
    /// What it shows.
    pub fn now(&self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let nanos = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
        Time::from_nanos(nanos.saturating_add_signed(self.error_nanos.load(Relaxed)))
    }

    /// From now on it is so far ahead of the system's clock, or behind it.
    pub fn set_error(&self, nanos: i64) {
        self.error_nanos.store(nanos, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_moves_all_clones_there_and_back() {
        const HOUR: i64 = 3_600_000_000_000;
        let clock = HardwareClock::default();
        let (other, before) = (clock.clone(), clock.now());
        clock.set_error(HOUR);
        assert!(other.now() > before);
        clock.set_error(-HOUR);
        assert!(other.now() < before);
        clock.set_error(i64::MIN);
        assert_eq!(other.now(), Time::from_nanos(0), "there is nothing before the epoch");
    }
}
