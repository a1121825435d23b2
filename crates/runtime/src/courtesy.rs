//! [`Courtesy`]: a thread that is about to sleep, or to carry something to a
//! disk, lets others of its core go first. Where cores are shared, what it
//! waits for is being made by one of those: it need not sleep then, nobody has
//! to wake it, and it takes more at a time. A core that is free is not given up.
//!
//! It ends where others are not done soon: somebody who only takes time has the
//! core then. It is tried again now and then, ever more seldom while that stays.
//! It never sleeps, and never decides what is done, only when.

use std::thread;
use std::time::{Duration, Instant};

/// Threads that work for each other are done after some hundred microseconds. Who takes this long is somebody else.
const LONG: Duration = Duration::from_millis(1);

/// After one long wait it is not tried for this long,
const PAUSE: Duration = Duration::from_millis(10);

/// and after another for twice as long each time, up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// After so many short ones in a row all is as if there had been no long one.
const FORGETS_AFTER: u32 = 100;

/// What one thread knows of the others of its core.
#[derive(Debug)]
pub(crate) struct Courtesy {
    is_wanted: bool,
    /// It is not tried before.
    begins: Option<Instant>,
    /// How long it was not tried after the last long wait.
    pause: Duration,
    /// Short waits since.
    short: u32,
}

impl Courtesy {
    /// Of a thread that is `patient`; of any other there is none.
    pub(crate) fn of(is_patient: bool) -> Courtesy {
        Courtesy { is_wanted: is_patient, begins: None, pause: Duration::ZERO, short: 0 }
    }

    /// Lets others go first, if there are any.
    pub(crate) fn after_you(&mut self) {
        if !self.is_wanted {
            return;
        }
        let now = Instant::now();
        if self.begins.is_none_or(|begins| begins <= now) {
            thread::yield_now();
            self.note(now, now.elapsed());
        }
    }

    /// Others were let go first, and it took so long.
    fn note(&mut self, began: Instant, took: Duration) {
        if took >= LONG {
            self.pause = (2 * self.pause).clamp(PAUSE, LONGEST_PAUSE);
            self.begins = Some(began + took + self.pause);
            self.short = 0;
        } else if self.pause > Duration::ZERO {
            self.short += 1;
            if self.short == FORGETS_AFTER {
                *self = Courtesy::of(true);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: Duration = Duration::from_micros(300);

    /// How long it is not tried after a wait that began now.
    fn pause_after(courtesy: &mut Courtesy, took: Duration) -> Duration {
        let now = Instant::now();
        courtesy.note(now, took);
        courtesy.begins.map_or(Duration::ZERO, |begins| begins.saturating_duration_since(now + took))
    }

    #[test]
    fn who_is_kept_waiting_tries_ever_more_seldom() {
        let mut courtesy = Courtesy::of(true);
        assert_eq!(pause_after(&mut courtesy, SHORT), Duration::ZERO);
        let pauses: Vec<_> = (0..9).map(|_| pause_after(&mut courtesy, LONG).as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1000, 1000]);
    }

    #[test]
    fn one_long_wait_is_forgotten_and_many_are_not() {
        let mut courtesy = Courtesy::of(true);
        for expected in [10, 20, 40] {
            assert_eq!(pause_after(&mut courtesy, LONG).as_millis(), expected);
            (1..FORGETS_AFTER).for_each(|_| courtesy.note(Instant::now(), SHORT));
        }
        courtesy.note(Instant::now(), SHORT);
        assert_eq!(pause_after(&mut courtesy, LONG).as_millis(), 10, "that was the last that it takes");
    }

    #[test]
    fn in_a_pause_nobody_is_let_go_first() {
        let mut courtesy = Courtesy::of(true);
        courtesy.begins = Some(Instant::now() + Duration::from_secs(3600));
        courtesy.pause = PAUSE;
        courtesy.after_you();
        assert_eq!(courtesy.short, 0, "it was not tried");
        courtesy.begins = Some(Instant::now());
        courtesy.after_you();
        assert!(courtesy.short == 1 || courtesy.pause == 2 * PAUSE, "it was tried: {courtesy:?}");

        let mut nobodys = Courtesy::of(false);
        nobodys.pause = PAUSE;
        nobodys.after_you();
        assert_eq!(nobodys.short, 0, "who is not patient does not try");
    }
}
