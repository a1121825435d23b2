//! [`Clock`]: a logical clock that a crash cannot set back, without a write
//! for every tick. It reserves values ahead: before anything shows a value
//! above the ceiling, a new ceiling must be on disk, and after a restart the
//! clock stands at the ceiling.
//!
//! Writes nothing itself: it answers what has to be written.

use skein_machine::Timestamp;

/// A clock that only rises.
#[derive(Clone, Debug, Hash)]
pub struct Clock {
    value: Timestamp,
    ceiling: Timestamp,
    /// How far ahead a new ceiling is set.
    reserve: u64,
}

impl Clock {
    /// At zero, with nothing reserved.
    pub fn new(reserve: u64) -> Clock {
        Clock { value: Timestamp::ZERO, ceiling: Timestamp::ZERO, reserve }
    }

    /// What it shows.
    pub fn value(&self) -> Timestamp {
        self.value
    }

    /// What it will show after a restart.
    pub fn ceiling(&self) -> Timestamp {
        self.ceiling
    }

    /// Raises it, if it is lower. Answers the new ceiling if one is needed: it
    /// has to be on disk before anybody counts on the new value.
    #[must_use]
    pub fn raise(&mut self, to: Timestamp) -> Option<Timestamp> {
        self.value = self.value.max(to);
        if self.value <= self.ceiling {
            return None;
        }
        self.ceiling = Timestamp(self.value.0.saturating_add(self.reserve));
        Some(self.ceiling)
    }

    /// Takes back a ceiling from the disk.
    pub fn restore(&mut self, ceiling: Timestamp) {
        self.ceiling = self.ceiling.max(ceiling);
        self.value = self.ceiling;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_asks_for_a_write_once_in_a_while() {
        let mut clock = Clock::new(10);
        assert_eq!(clock.raise(Timestamp(1)), Some(Timestamp(11)));
        assert_eq!(clock.raise(Timestamp(11)), None);
        assert_eq!(clock.raise(Timestamp(5)), None);
        assert_eq!(clock.value(), Timestamp(11), "it never falls");
        assert_eq!(clock.raise(Timestamp(12)), Some(Timestamp(22)));
    }

    #[test]
    fn it_restarts_at_the_ceiling() {
        let mut clock = Clock::new(10);
        clock.restore(Timestamp(11));
        assert_eq!(clock.value(), Timestamp(11));
        clock.restore(Timestamp(3));
        assert_eq!(clock.ceiling(), Timestamp(11));
    }
}
