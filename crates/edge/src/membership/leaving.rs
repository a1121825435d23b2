//! Leaving politely: a goodbye to a few members, until some have heard it. They
//! tell the others, who need not find out by probing and need not wonder.

use alloc::vec::Vec;
use skein_machine::{Out, ProcessId, Time};

use super::identity::{Identity, LEFT};
use super::timer::Timer;
use super::wire::Message;
use super::{Event, Membership, Phase};

/// Members that are told at once.
const TOLD_AT_ONCE: usize = 3;

/// When so many have heard it, the fleet will: the death of all of them in the next moment is no more likely than
/// that of a fleet.
const ENOUGH: usize = 2;

/// Goodbyes that nobody answers are of no use, and whoever wants to go has waited a few periods.
const MOST_ROUNDS: u32 = 12;

/// How far a departure has come.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    rounds: u32,
    heard: usize,
}

impl Membership {
    pub(super) fn leave(&mut self, out: &mut Out<Self>) {
        match self.phase {
            Phase::Asking => {
                self.be_outside(Phase::Gone);
                out.emit(Event::Gone);
            }
            Phase::Inside => {
                self.phase = Phase::Leaving(Leaving::default());
                self.say_goodbye(out);
            }
            Phase::Leaving(_) | Phase::Gone => {}
        }
    }

    pub(super) fn say_goodbye(&mut self, out: &mut Out<Self>) {
        let Phase::Leaving(leaving) = &mut self.phase else { return };
        let mut living: Vec<_> = self.roster.living().map(|listed| listed.identity.clone()).collect();
        if leaving.rounds == MOST_ROUNDS || leaving.heard >= ENOUGH.min(living.len()) {
            self.be_outside(Phase::Gone);
            out.emit(Event::Gone);
            return;
        }
        leaving.rounds += 1;
        self.random.shuffle(&mut living);
        for whom in living.iter().take(TOLD_AT_ONCE) {
            self.say(whom, Message::Goodbye { me: self.me.clone() }, out);
        }
        out.arm(Timer::Goodbye, self.settings.pace.goodbye());
    }

    pub(super) fn on_goodbye(&mut self, now: Time, from: ProcessId, whom: &Identity, out: &mut Out<Self>) {
        if !self.is_inside() {
            return;
        }
        // It may have been reborn since this one heard of it last.
        if self.roster.get(whom.id).is_some_and(|listed| listed.identity == *whom || whom.beats(&listed.identity)) {
            let left = foca::Member::new(whom.copied(), LEFT, foca::State::Down);
            self.play(now, out, |swim, errands| swim.apply_many([left].into_iter(), true, errands));
        }
        out.send(from, Message::Farewell);
    }

    pub(super) fn on_farewell(&mut self, out: &mut Out<Self>) {
        if let Phase::Leaving(leaving) = &mut self.phase {
            leaving.heard += 1;
            let living = self.roster.living().count();
            if leaving.heard >= ENOUGH.min(living) {
                self.say_goodbye(out);
            }
        }
    }
}
