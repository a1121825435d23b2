//! [`Judge`]: whether an origin is up, from one outcome after the other.

/// Whether an origin is up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// It answers as it should.
    Up,
    /// It does not.
    Down,
}

/// Does not change its mind for one outcome.
#[derive(Clone, Debug)]
pub struct Judge {
    /// Nothing, before the first outcome.
    state: Option<State>,
    /// Outcomes in a row that speak against it.
    against: u32,
    fall: u32,
    rise: u32,
}

impl Judge {
    /// One who knows so much. So many failures in a row make an origin down, so many successes up; 0 counts as 1.
    pub fn new(state: Option<State>, fall: u32, rise: u32) -> Judge {
        Judge { state, against: 0, fall: fall.max(1), rise: rise.max(1) }
    }

    /// Hears an outcome and says what it holds now. Of an origin of which nothing is known the first outcome that is
    /// well is enough; a failure is not.
    pub fn hear(&mut self, is_well: bool) -> Option<State> {
        let (outcome, needed) = if is_well { (State::Up, self.rise) } else { (State::Down, self.fall) };
        if self.state == Some(outcome) {
            self.against = 0;
            return self.state;
        }
        self.against += 1;
        if self.against >= needed || self.state.is_none() && is_well {
            (self.state, self.against) = (Some(outcome), 0);
        }
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    #[test]
    fn it_takes_some_in_a_row() {
        let mut judge = Judge::new(None, 3, 2);
        let outcomes = [false, false, true, false, false, true, false, false, false, true, false, true, true];
        let states: Vec<_> = outcomes.iter().map(|is_well| judge.hear(*is_well)).collect();
        let (up, down) = (Some(State::Up), Some(State::Down));
        assert_eq!(states, [None, None, up, up, up, up, up, up, down, down, down, down, up]);
        assert_eq!(Judge::new(None, 0, 0).hear(false), down, "one at least");
    }

    proptest! {
        #[test]
        fn it_changes_only_after_so_many_in_a_row(
            outcomes in proptest::collection::vec(any::<bool>(), 1..60), fall in 1u32..5, rise in 1u32..5,
        ) {
            let mut judge = Judge::new(Some(State::Up), fall, rise);
            let mut before = State::Up;
            for (nth, is_well) in outcomes.iter().enumerate() {
                let state = judge.hear(*is_well).unwrap();
                let needed = if state == State::Up { rise } else { fall } as usize;
                let in_a_row = outcomes[..=nth].iter().rev().take_while(|other| **other == (state == State::Up)).count();
                prop_assert!(state == before || in_a_row >= needed);
                // And as soon as it is due.
                let opposite = if state == State::Up { fall } else { rise } as usize;
                let against = outcomes[..=nth].iter().rev().take_while(|other| **other != (state == State::Up)).count();
                prop_assert!(against < opposite);
                before = state;
            }
        }
    }
}
