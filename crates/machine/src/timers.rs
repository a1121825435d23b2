//! Which timers stand, for a host. Arming an equal timer replaces it and a
//! firing of the replaced one is stale: the host hands out a [`Token`] with
//! every arming and asks here, when the moment has come, whether it still
//! counts. Holds no clock and no queue: when to fire is the host's affair.

use alloc::collections::BTreeMap;

/// One arming of one timer. Never used twice, not even by the next life of a
/// process, so that nothing armed before a crash can fire after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(u64);

/// The timers of one process that are armed now.
#[derive(Clone, Debug)]
pub struct Timers<T> {
    armed: BTreeMap<T, Token>,
    next: u64,
}

impl<T: Ord> Timers<T> {
    /// No timer yet.
    pub fn new() -> Timers<T> {
        Timers { armed: BTreeMap::new(), next: 0 }
    }

    /// Arms a timer, in place of an equal one.
    pub fn arm(&mut self, timer: T) -> Token {
        let token = Token(self.next);
        self.next += 1;
        self.armed.insert(timer, token);
        token
    }

    /// Takes a timer back; nothing happens when it is not armed.
    pub fn disarm(&mut self, timer: &T) {
        self.armed.remove(timer);
    }

    /// Whether this arming still counts. If so it is used up.
    pub fn fire(&mut self, timer: &T, token: Token) -> bool {
        let current = self.counts(timer, token);
        if current {
            self.armed.remove(timer);
        }
        current
    }

    /// Whether this arming still counts, without using it up.
    pub fn counts(&self, timer: &T, token: Token) -> bool {
        self.armed.get(timer) == Some(&token)
    }

    /// Forgets every timer, as a crash does. Tokens go on counting.
    pub fn clear(&mut self) {
        self.armed.clear();
    }

    /// The timers that are armed, in their order.
    pub fn armed(&self) -> impl Iterator<Item = &T> {
        self.armed.keys()
    }
}

impl<T: Ord> Default for Timers<T> {
    fn default() -> Timers<T> {
        Timers::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arming_again_makes_the_first_firing_stale() {
        let mut timers = Timers::new();
        let first = timers.arm("retry");
        let second = timers.arm("retry");
        assert!(!timers.counts(&"retry", first) && timers.counts(&"retry", second));
        assert!(!timers.fire(&"retry", first));
        assert!(timers.fire(&"retry", second));
        assert!(!timers.fire(&"retry", second), "one arming fires once");
    }

    #[test]
    fn disarmed_does_not_fire() {
        let mut timers = Timers::new();
        let token = timers.arm("retry");
        timers.disarm(&"retry");
        assert!(!timers.fire(&"retry", token));
    }

    #[test]
    fn a_firing_from_an_earlier_life_is_stale() {
        let mut timers = Timers::new();
        let before = timers.arm("heartbeat");
        timers.clear();
        timers.arm("heartbeat");
        assert!(!timers.fire(&"heartbeat", before));
        assert_eq!(timers.armed().count(), 1);
    }
}
