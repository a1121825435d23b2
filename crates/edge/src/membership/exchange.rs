//! Comparing what is known with a random member now and then, exchanging all of
//! it where it differs, and what a member makes of such a list: it mends what
//! gossip has lost. A list takes some fifty bytes for each member, and what it
//! comes to takes eight, so members can compare often.

use alloc::vec::Vec;
use skein_machine::{Out, ProcessId, Time};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::identity::Update;
use super::timer::Timer;
use super::wire::Message;
use super::{MAX_MEMBERS, Membership, Swim};

impl Membership {
    /// All that this one knows, itself in front. It does not say in which incarnation it is, and need not: who hears
    /// it for the first time believes any, and others the highest.
    pub(super) fn state(&self) -> Vec<Update> {
        let others = self.swim.iter().flat_map(Swim::iter_membership_state);
        let others = others.filter(|member| member.id().id != self.me.id).map(Update::from);
        [Update::alive(self.me.clone())].into_iter().chain(others).collect()
    }

    pub(super) fn plan_exchange(&mut self, out: &mut Out<Self>) {
        // Not all at once, for ever, because they began at once.
        let after = self.settings.pace.exchange.mul_f64(0.5 + self.random.fraction());
        out.arm(Timer::Exchange, after);
    }

    /// What the list of those who live comes to: the same for whoever has the same. The dead are no part of it, for
    /// they are not forgotten everywhere at once.
    fn digest(&self) -> u64 {
        let living = self.roster.living().map(|listed| &listed.identity);
        let each = living.chain([&self.me]).map(|identity| {
            let words = [identity.member.life, u64::from(identity.rebirth)].map(u64::to_le_bytes);
            xxh3_64_with_seed(words.as_flattened(), identity.id.0)
        });
        each.fold(0, u64::wrapping_add)
    }

    /// Asks somebody whether he knows the same.
    pub(super) fn exchange(&mut self, out: &mut Out<Self>) {
        if !self.is_inside() {
            return;
        }
        let living: Vec<_> = self.roster.living().map(|listed| listed.identity.clone()).collect();
        if !living.is_empty() {
            let whom = self.random.pick(&living).clone();
            self.say(&whom, Message::Digest { digest: self.digest() }, out);
        }
        self.plan_exchange(out);
    }

    pub(super) fn on_digest(&self, from: ProcessId, digest: u64, out: &mut Out<Self>) {
        if self.is_inside() && digest != self.digest() {
            out.send(from, Message::Exchange { state: self.state(), is_question: true });
        }
    }

    pub(super) fn on_exchange(
        &mut self,
        now: Time,
        from: ProcessId,
        state: Vec<Update>,
        is_question: bool,
        out: &mut Out<Self>,
    ) {
        if !self.is_inside() {
            return;
        }
        if is_question {
            out.send(from, Message::Exchange { state: self.state(), is_question: false });
        }
        self.learn(now, state, out);
    }

    /// Believes what is new in a list.
    pub(super) fn learn(&mut self, now: Time, state: Vec<Update>, out: &mut Out<Self>) {
        let holder = state.iter().find(|update| update.is_active() && self.is_beaten_by(&update.identity));
        if let Some(holder) = holder {
            self.withdraw(holder.identity.member.copied(), out);
            return;
        }
        let mut room = MAX_MEMBERS - self.roster.len();
        let mut news = Vec::new();
        for update in state {
            let is_new = self.roster.get(update.identity.id).is_none();
            if update.identity.id == self.me.id {
                // What is said of its earlier lives is true, and nobody's concern.
                if update.identity == self.me || update.identity.is_namesake_of(&self.me) {
                    news.push(update);
                }
            } else if is_new && !update.is_active() {
                // Somebody who was never known here is not missed. And lists in which the dead are passed on to those
                // who have forgotten them would never forget anybody.
            } else if is_new && room == 0 {
                self.counts.crowded += 1;
            } else if !self.roster.knows(&update) {
                room -= usize::from(is_new);
                news.push(update);
            }
        }
        if !news.is_empty() {
            let copied = |update: Update| Update { identity: update.identity.copied(), ..update };
            let news = news.into_iter().map(copied).map(Update::into_foca);
            self.play(now, out, |swim, errands| swim.apply_many(news, true, errands));
        }
    }
}
