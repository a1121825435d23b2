//! [`Held`]: answers that may not leave yet, because something that came
//! before them is not settled. They are ready, and nothing waits for them but
//! whoever asked.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::Timestamp;

/// Answers, by what has to be settled before they leave.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Held<T> {
    answers: BTreeMap<(Timestamp, u64), T>,
    next: u64,
}

impl<T> Held<T> {
    pub(crate) fn new() -> Held<T> {
        Held { answers: BTreeMap::new(), next: 0 }
    }

    /// This one leaves when everything up to `need` is settled.
    pub(crate) fn hold(&mut self, need: Timestamp, answer: T) {
        self.answers.insert((need, self.next), answer);
        self.next += 1;
    }

    /// Those that may leave, now that everything up to here is settled.
    pub(crate) fn release(&mut self, settled: Timestamp) -> Vec<T> {
        match self.answers.first_key_value() {
            Some(((need, _), _)) if *need <= settled => {
                let rest = self.answers.split_off(&(settled, u64::MAX));
                core::mem::replace(&mut self.answers, rest).into_values().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Those that nobody waits for any more are dropped.
    pub(crate) fn forget(&mut self, is_forgotten: impl Fn(&T) -> bool) {
        self.answers.retain(|_, answer| !is_forgotten(answer));
    }

    /// What has to be settled before all of them may leave.
    pub(crate) fn highest(&self) -> Option<Timestamp> {
        self.answers.last_key_value().map(|((need, _), _)| *need)
    }

    pub(crate) fn count(&self) -> usize {
        self.answers.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_leave_when_what_they_need_is_settled() {
        let mut held = Held::new();
        held.hold(Timestamp(5), "a");
        held.hold(Timestamp(9), "b");
        held.hold(Timestamp(5), "c");
        assert_eq!(held.highest(), Some(Timestamp(9)));
        assert!(held.release(Timestamp(4)).is_empty());
        assert_eq!(held.release(Timestamp(8)), ["a", "c"]);
        assert_eq!((held.count(), held.release(Timestamp(9))), (1, Vec::from(["b"])));
        held.hold(Timestamp(11), "d");
        held.forget(|answer| *answer == "d");
        assert_eq!((held.count(), held.highest()), (0, None));
    }
}
