//! Getting in. A newcomer knows addresses and no names, so it says hello there
//! before it can gossip with anybody, again and again until somebody answers.
//! Whoever is inside lets it in and tells all that it knows, or refuses, because
//! the name is taken.
//!
//! A name is taken while a member that has it lives at another address. It may
//! have died a moment ago: then it is found dead before long, and the newcomer
//! gets in when it asks again. At the same address it is the next life of the
//! same server, which is let in at once.
//!
//! Two members of one name can still be inside for a while, let in by two halves
//! of a fleet that were parted. Everybody stands by the greater identity; the
//! other one finds out, withdraws, and asks again.

use alloc::vec::Vec;
use skein_machine::{Out, ProcessId, Time};

use super::identity::{Identity, Update};
use super::timer::Timer;
use super::wire::Message;
use super::{Dice, Event, MAX_MEMBERS, MAX_SEEDS, Membership, Packets, Phase, Refusal, Swim};
use crate::Member;

/// Seeds that are asked at once.
const ASKED_AT_ONCE: usize = 3;

/// Whoever has asked so often, and heard nothing at all, begins alone: the others may be gone for good, and somebody is
/// to do the work. It goes on asking, and if they are there after all, two parts of a fleet find together.
const LONELY_ASKS: u32 = 10;

impl Membership {
    /// Says hello at a few seeds. Inside, only at those that are not among the living: parts of a fleet that know
    /// nothing of each other find together so.
    pub(super) fn ask(&mut self, out: &mut Out<Self>) {
        if self.settings.seeds.is_empty() || !(self.is_inside() || matches!(self.phase, Phase::Asking)) {
            return;
        }
        if matches!(self.phase, Phase::Asking) {
            self.asked += 1;
            if self.asked > LONELY_ASKS {
                self.come_in(out);
            }
        }
        let is_inside = self.is_inside();
        let mut seeds = self.settings.seeds.clone();
        if is_inside {
            seeds.retain(|seed| !self.roster.living().any(|listed| listed.member().address == *seed));
        }
        self.random.shuffle(&mut seeds);
        for seed in seeds.into_iter().take(ASKED_AT_ONCE) {
            match self.book.handle(seed) {
                Some(handle) => self.knock(handle, out),
                None => self.counts.unreachable += 1,
            }
        }
        let after = if is_inside && self.is_welcome { self.settings.pace.seek() } else { self.settings.pace.ask() };
        // Those who began in the same moment need not all ask in the same moment for ever.
        out.arm(Timer::Ask, after.mul_f64(0.75 + 0.5 * self.random.fraction()));
    }

    /// Says hello to somebody.
    pub(super) fn knock(&mut self, whom: ProcessId, out: &mut Out<Self>) {
        out.send(whom, Message::Hello { me: self.me.clone(), is_inside: self.is_inside() });
    }

    pub(super) fn on_hello(
        &mut self,
        now: Time,
        from: ProcessId,
        newcomer: &Identity,
        is_inside: bool,
        out: &mut Out<Self>,
    ) {
        match self.phase {
            Phase::Inside => {}
            // A fleet that looks for its seeds has found one. To come in at its word would be to come in unasked: it
            // may have somebody of this name.
            Phase::Asking if is_inside => return self.knock(from, out),
            // Two who ask each other are a fleet. Not so one whose name is taken: it would found one of its own.
            Phase::Asking if self.refused.is_none() && newcomer.id != self.me.id => self.come_in(out),
            Phase::Asking | Phase::Leaving(_) | Phase::Gone => return,
        }
        if newcomer.id == self.me.id {
            if newcomer.is_namesake_of(&self.me) {
                self.turn_away(from, out);
            }
            return;
        }
        if let Some(why) = self.objection(newcomer) {
            self.counts.turned_away += 1;
            out.send(from, Message::Refused { why });
            return;
        }
        let alive = Update::alive(newcomer.copied()).into_foca();
        self.play(now, out, |swim, errands| swim.apply_many([alive].into_iter(), true, errands));
        out.send(from, Message::Welcome { state: self.state() });
    }

    /// Why somebody is not let in, if there is a reason.
    fn objection(&self, newcomer: &Identity) -> Option<Refusal> {
        let Some(known) = self.roster.get(newcomer.id) else {
            return (self.roster.len() >= MAX_MEMBERS).then_some(Refusal::Full);
        };
        let is_taken = known.standing.is_living() && newcomer.is_namesake_of(&known.identity);
        // The same life may ask twice, and come back from the dead. An earlier one may not come back at all.
        let is_past = known.identity.member != newcomer.member && known.identity.beats(newcomer);
        (is_taken || is_past).then(|| Refusal::Taken { holder: known.member().clone() })
    }

    /// Tells somebody that the name that it claims is this one's.
    pub(super) fn turn_away(&mut self, whom: ProcessId, out: &mut Out<Self>) {
        self.counts.turned_away += 1;
        out.send(whom, Message::Refused { why: Refusal::Taken { holder: self.me().clone() } });
    }

    pub(super) fn on_welcome(&mut self, now: Time, from: ProcessId, state: Vec<Update>, out: &mut Out<Self>) {
        let was_inside = self.is_inside();
        match self.phase {
            Phase::Asking => self.come_in(out),
            Phase::Inside => {}
            Phase::Leaving(_) | Phase::Gone => return,
        }
        self.is_welcome = true;
        self.refused = None;
        if was_inside {
            // It came from a part of the fleet that may know nothing of this one.
            out.send(from, Message::Exchange { state: self.state(), is_question: false });
        }
        self.learn(now, state, out);
    }

    pub(super) fn on_refused(&mut self, why: Refusal, out: &mut Out<Self>) {
        match (&self.phase, why) {
            (Phase::Asking, why) => {
                let is_news = self.refused.as_ref() != Some(&why);
                self.refused = Some(why.clone());
                self.asked = 0;
                if is_news {
                    out.emit(Event::Refused(why));
                }
            }
            (Phase::Inside, Refusal::Taken { holder }) if self.is_beaten_by(&Identity::new(holder.clone(), 0)) => {
                self.withdraw(holder, out);
            }
            _ => {} // weather: an answer from before it came in
        }
    }

    /// Whether this is another process with the same name, and everybody stands by that one.
    pub(super) fn is_beaten_by(&self, other: &Identity) -> bool {
        other.is_namesake_of(&self.me) && other.beats(&self.me)
    }

    /// Begins to play, with nobody so far.
    pub(super) fn come_in(&mut self, out: &mut Out<Self>) {
        assert!(self.swim.is_none(), "{:?} comes in twice", self.me);
        self.beginning += 1;
        let dice = Dice(self.random.fork(u64::from(self.beginning)));
        self.swim = Some(Swim::new(self.me.clone(), self.settings.pace.config(), dice, Packets::default()));
        self.phase = Phase::Inside;
        (self.refused, self.asked) = (None, 0);
        out.emit(Event::Joined);
        self.plan_exchange(out);
    }

    /// Goes out, because another one holds the name, and asks until that has changed. It comes back reborn: as who it
    /// was, others would not know it again.
    pub(super) fn withdraw(&mut self, holder: Member, out: &mut Out<Self>) {
        if self.settings.seeds.is_empty() {
            // Whoever founded a fleet knows nobody else to ask.
            let living = self.roster.living().map(|listed| listed.member().address);
            self.settings.seeds = living.take(MAX_SEEDS).collect();
        }
        self.be_outside(Phase::Asking);
        self.me = foca::Identity::renew(&self.me).expect("nobody is reborn four billion times");
        self.is_welcome = false;
        let why = Refusal::Taken { holder };
        self.refused = Some(why.clone());
        out.emit(Event::Refused(why));
        out.arm(Timer::Ask, self.settings.pace.ask());
    }

    pub(super) fn be_outside(&mut self, phase: Phase) {
        self.phase = phase;
        self.swim = None;
        self.roster.clear();
        self.condemning.clear();
        self.doubts.clear();
    }
}
