//! [`Syncs`]: how long syncs of a log took, counted by classes. Noted by the
//! threads that sync, read by whoever watches; nobody waits for anybody.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// The classes: a sync that took no longer than this belongs to the first that is long enough. From a disk with a
/// cache of its own to one that is about to fail.
pub const CLASSES: [Duration; 10] = [
    Duration::from_micros(100),
    Duration::from_micros(300),
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
    Duration::from_millis(300),
    Duration::from_secs(1),
    Duration::from_secs(3),
];

/// How long syncs took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Syncs {
    /// How many there were in each class; in the last those that took longer than any class allows.
    pub counts: [u64; CLASSES.len() + 1],
    /// How long all of them took.
    pub total: Duration,
}

/// The same while it grows.
#[derive(Debug, Default)]
pub(crate) struct SyncClock {
    counts: [AtomicU64; CLASSES.len() + 1],
    nanos: AtomicU64,
}

impl SyncClock {
    pub(crate) fn note(&self, took: Duration) {
        let class = CLASSES.partition_point(|class| *class < took);
        self.counts[class].fetch_add(1, Relaxed);
        self.nanos.fetch_add(took.as_nanos() as u64, Relaxed);
    }

    pub(crate) fn read(&self) -> Syncs {
        let counts = std::array::from_fn(|class| self.counts[class].load(Relaxed));
        Syncs { counts, total: Duration::from_nanos(self.nanos.load(Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_belongs_to_one_class() {
        let clock = SyncClock::default();
        for micros in [0, 100, 101, 999, 1000, 3_000_000, 3_000_001] {
            clock.note(Duration::from_micros(micros));
        }
        let syncs = clock.read();
        assert_eq!(syncs.counts, [2, 1, 2, 0, 0, 0, 0, 0, 0, 1, 1]);
        assert_eq!(syncs.total, Duration::from_micros(6_002_201));
        assert!(CLASSES.is_sorted());
    }
}
