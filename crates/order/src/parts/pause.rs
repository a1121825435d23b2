//! [`Pause`]: how long somebody is given to take something long before the same
//! is sent again: the log of an epoch, a promise with what the candidate lacks,
//! a snapshot. Who asks for it asks every tick, and must not be buried in copies.
//! What is short makes no pause at all.

/// So much a link is believed to carry in a tick. If it carries less, the next pause is longer.
const PER_TICK: usize = 1 << 20;

/// The longest pause, in ticks: about twenty minutes.
const LONGEST: u32 = 1 << 13;

/// A pause after something long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pause {
    /// Ticks before it is over.
    left: u32,
    /// How long the last one was; forgotten tick by tick.
    last: u32,
}

impl Pause {
    /// Whether the same may be sent again.
    pub fn is_over(self) -> bool {
        self.left == 0
    }

    /// So many bytes are on their way. If others were a moment ago, the link takes longer than was believed.
    pub fn begin(&mut self, bytes: usize) {
        let length = u32::try_from(bytes / PER_TICK).unwrap_or(LONGEST);
        if length > 0 {
            self.last = length.max(self.last.saturating_mul(2)).min(LONGEST);
            self.left = self.last;
        }
    }

    /// Some time has passed.
    pub fn tick(&mut self) {
        if self.left > 0 {
            self.left -= 1;
        } else {
            self.last = self.last.saturating_sub(1);
        }
    }

    /// It has arrived, or never will. How long it took is not forgotten.
    pub fn end(&mut self) {
        self.left = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many ticks this one lasts.
    fn wait(pause: &mut Pause) -> u32 {
        let mut ticks = 0;
        while !pause.is_over() {
            pause.tick();
            ticks += 1;
        }
        ticks
    }

    #[test]
    fn what_is_short_makes_no_pause() {
        let mut pause = Pause::default();
        pause.begin(PER_TICK - 1);
        assert_eq!(pause, Pause::default());
    }

    #[test]
    fn a_repetition_gets_twice_the_time_and_a_later_one_does_not() {
        let mut pause = Pause::default();
        for expected in [8, 16, 32] {
            pause.begin(8 * PER_TICK);
            assert_eq!(wait(&mut pause), expected);
        }
        (0..32).for_each(|_| pause.tick());
        pause.begin(8 * PER_TICK);
        assert_eq!(wait(&mut pause), 8);
        (0..20).for_each(|_| {
            pause.begin(usize::MAX);
            pause.end();
        });
        pause.begin(PER_TICK);
        assert_eq!(wait(&mut pause), LONGEST);
    }

    #[test]
    fn a_pause_that_ended_early_is_remembered() {
        let mut pause = Pause::default();
        pause.begin(8 * PER_TICK);
        pause.end();
        assert!(pause.is_over());
        pause.begin(8 * PER_TICK);
        assert_eq!(wait(&mut pause), 16);
    }
}
