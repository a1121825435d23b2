//! How a group gets another leader: who stands is told by the shared
//! [`Election`](crate::parts::Election); here is what a promise holds, and what
//! the new epoch begins with.
//!
//! Whatever may have been decided was accepted by a quorum, in some epoch. Those
//! of the newest epoch among a quorum of promises have accepted it, or an epoch
//! in between has begun with it. What is accepted there and nowhere decided does
//! no harm: it is proposed anew as it was.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{MessageId, Position, ProcessId, Stamp, Timestamp};

use super::Effects;
use super::offers::Offer;
use super::record::{Delivered, Entry, Inheritance, Record, State};
use super::remote::PATIENCE;
use super::replica::Replica;
use super::wire::{Candidacy, Message, Promise, Reign};
use crate::Mutant;
use crate::parts::{Epoch, Queue, Rebirth, Role, Urge};

/// How long their payloads are together.
pub(super) fn payloads(entries: &[Entry], delivered: &[Delivered]) -> usize {
    let entries: usize = entries.iter().map(|entry| entry.message.payload.len()).sum();
    entries + delivered.iter().map(|delivered| delivered.message.payload.len()).sum::<usize>()
}

impl Replica {
    /// Everything about elections that is done every tick.
    pub(super) fn tick_election(&mut self, out: &mut Effects) {
        match self.election.tick() {
            Urge::Wait => {}
            Urge::Rejoin => out.send_all(self.others(), Message::Rejoin(self.election.incarnation())),
            Urge::Canvass => out.send_all(self.others(), Message::Canvass),
            Urge::Stand => self.stand(out),
            Urge::Insist => {
                let message = Message::NewLeader(self.candidacy());
                out.send_all(self.election.not_promised(), message);
            }
            Urge::Lead => {
                // Whoever does not hold the epoch has not heard of it, or needs its state again.
                let behind: Vec<ProcessId> =
                    self.others().filter(|process| self.peers[process].held < self.held).collect();
                if !behind.is_empty() {
                    out.send_all(behind, Message::NewLeader(self.candidacy()));
                }
            }
        }
    }

    pub(super) fn on_canvass(&self, from: ProcessId, out: &mut Effects) {
        if self.election.hears_nobody() {
            out.send_early(from, Message::Silent);
        }
    }

    pub(super) fn on_silent(&mut self, from: ProcessId, out: &mut Effects) {
        if self.election.on_silent(from) {
            self.stand(out);
        }
    }

    /// Whoever stands does so because the leader asked it to.
    pub(super) fn on_stand(&mut self, from: ProcessId, out: &mut Effects) {
        if self.election.role() == Role::Follower && self.holds_its_promise() && from == self.held.leader {
            self.stand(out);
        }
    }

    /// Hands over before a planned stop: to the one that has delivered most.
    pub(super) fn retire(&self, out: &mut Effects) {
        if !self.election.is_primary() {
            return;
        }
        let follower = self.others().filter(|process| self.peers[process].held == self.held);
        if let Some(heir) = follower.max_by_key(|process| self.peers[process].delivered) {
            out.send(heir, Message::Stand);
        }
    }

    /// Promises itself the next epoch and asks the others to promise it too.
    pub(super) fn stand(&mut self, out: &mut Effects) {
        let wanted: Vec<Rebirth> = self.election.wanted().collect();
        wanted.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
        let epoch = self.election.stand();
        self.write_promise(epoch, out);
        // To itself, too: its own promise counts once it is on disk.
        out.send_all(self.members(), Message::NewLeader(self.candidacy()));
    }

    fn promise(&mut self, epoch: Epoch, out: &mut Effects) {
        self.election.promise(epoch);
        self.write_promise(epoch, out);
    }

    fn write_promise(&self, epoch: Epoch, out: &mut Effects) {
        out.persist(Record::Promised(epoch, self.election.rebirths()));
    }

    pub(super) fn candidacy(&self) -> Candidacy {
        Candidacy { epoch: self.election.promised(), delivered: self.delivered(), rebirths: self.election.rebirths() }
    }

    /// NEW-LEADER.
    pub(super) fn on_new_leader(&mut self, from: ProcessId, candidacy: Candidacy, out: &mut Effects) {
        self.election.hear_of(candidacy.epoch);
        if self.election.is_amnesiac() && !self.planted.is(Mutant::WhiteBoxVotesWithoutMemory) {
            return;
        }
        if candidacy.epoch < self.election.promised() {
            out.send(from, Message::Report(self.report()));
            return;
        }
        for rebirth in candidacy.rebirths {
            self.note_rebirth(rebirth);
        }
        if candidacy.epoch > self.election.promised() {
            self.promise(candidacy.epoch, out);
            self.election.follow_again();
            self.election.hear_primary();
        }
        if self.held < candidacy.epoch && self.peers[&from].pause.is_over() {
            self.send_promise(from, candidacy.delivered, out);
        }
    }

    fn send_promise(&mut self, to: ProcessId, delivered: Position, out: &mut Effects) {
        // What it says to have delivered, it will still have delivered after a crash.
        self.write_deliveries(out);
        let promise = self.promise_for(delivered);
        let state = if promise.state.is_some() { self.state_length() } else { 0 };
        let length = payloads(&promise.accepted, &promise.outcomes) + state;
        self.peers.get_mut(&to).expect("it is of the group").pause.begin(length);
        out.send(to, Message::Promise(Box::new(promise)));
    }

    /// What a candidate that has delivered so much has to know.
    fn promise_for(&self, delivered: Position) -> Promise {
        let is_cut = delivered < self.first_outcome;
        let missing = self.outcomes.iter().skip((delivered.saturating_sub(self.first_outcome)) as usize);
        Promise {
            epoch: self.election.promised(),
            incarnation: self.election.incarnation(),
            clock: self.clock.value(),
            held: self.held,
            accepted: self.accepted(),
            rebirths: self.election.rebirths(),
            delivered: self.delivered(),
            outcomes: if is_cut { Vec::new() } else { missing.cloned().collect() },
            forgotten: self.forgotten,
            state: is_cut.then(|| Box::new(self.state())),
        }
    }

    /// What was accepted here and is not delivered.
    pub(super) fn accepted(&self) -> Vec<Entry> {
        let entry = |Stamp { timestamp, id }: &Stamp| {
            let track = self.tracks.get(id).expect("what has a timestamp is known");
            let message = track.message.clone().expect("what has a timestamp is here");
            track.is_accepted.then_some(Entry { timestamp: *timestamp, follows: track.follows, message })
        };
        self.stamps.iter().filter_map(entry).collect()
    }

    pub(super) fn on_promise(&mut self, from: ProcessId, promise: Promise, out: &mut Effects) {
        if promise.epoch != self.election.promised() {
            return;
        }
        if self.election.is_primary() && self.held == promise.epoch {
            self.hand_state(from, promise.delivered, out);
            return;
        }
        for rebirth in promise.rebirths.iter().copied() {
            self.note_rebirth(rebirth);
        }
        self.election.on_promise(from, promise.incarnation, promise);
        if let Some(promises) = self.election.win() {
            self.win(&promises, out);
        }
    }

    /// A quorum has promised: take over what any of them may have decided.
    fn win(&mut self, promises: &BTreeMap<ProcessId, Promise>, out: &mut Effects) {
        let held = promises.values().map(|promise| promise.held);
        let newest = if self.planted.is(Mutant::WhiteBoxTakesAnOldState) { held.min() } else { held.max() };
        let newest = newest.expect("a quorum is somebody");
        let mut accepted: BTreeMap<MessageId, Entry> = BTreeMap::new();
        for promise in promises.values().filter(|promise| promise.held == newest) {
            for entry in &promise.accepted {
                let known = accepted.entry(entry.message.id).or_insert_with(|| entry.clone());
                let is_one = known.timestamp == entry.timestamp || self.planted != crate::Planted::NONE;
                assert!(is_one, "{} was proposed as {known:?} and as {entry:?} in {newest}", entry.message.id);
            }
        }
        let accepted: Vec<Entry> = accepted.into_values().collect();
        let furthest = promises.values().max_by_key(|promise| promise.delivered).expect("a quorum is somebody");
        let clock = promises.values().map(|promise| promise.clock).max().expect("a quorum is somebody");
        let clock = if self.planted.is(Mutant::WhiteBoxBeginsAtItsOwnClock) { self.clock.value() } else { clock };
        let forgotten = promises.values().map(|promise| promise.forgotten).max().expect("a quorum is somebody");
        let reign = Reign { epoch: self.election.promised(), clock, rebirths: self.election.rebirths() };
        // What it promised to those who stood before it is in nobody's way.
        self.peers.values_mut().for_each(|peer| peer.pause.end());
        match &furthest.state {
            Some(state) if furthest.delivered > self.delivered() => {
                let state = State { accepted, forgotten: forgotten.max(state.forgotten), ..(**state).clone() };
                self.install(reign, state, out);
            }
            _ => {
                let position = furthest.delivered - furthest.outcomes.len() as Position;
                let delivered = furthest.outcomes.clone();
                self.adopt(Inheritance { reign, position, delivered, accepted, forgotten }, out);
            }
        }
        for (process, promise) in promises {
            if *process != self.me {
                self.hand_state(*process, promise.delivered, out);
            }
        }
    }

    /// Holds a new epoch, with everything that it begins with, in one durable step.
    pub(super) fn adopt(&mut self, inheritance: Inheritance, out: &mut Effects) {
        self.write_deliveries(out);
        self.raise_clock(inheritance.reign.clock, out);
        if let Some(highest) = inheritance.accepted.iter().map(|entry| entry.timestamp).max() {
            self.raise_clock(highest, out);
        }
        out.persist(Record::Adopted(Box::new(inheritance.clone())));
        let Inheritance { reign, position, delivered, accepted, forgotten } = inheritance;
        self.on_past(position, delivered, out);
        self.switch_to(reign, accepted, forgotten);
    }

    /// The same in memory, also when a record says so after a restart.
    pub(super) fn switch_to(&mut self, reign: Reign, accepted: Vec<Entry>, forgotten: Timestamp) {
        for rebirth in reign.rebirths {
            self.note_rebirth(rebirth);
        }
        self.election.hold(reign.epoch);
        self.held = reign.epoch;
        self.is_established = false;
        self.forgotten = self.forgotten.max(forgotten);
        self.recount_clocks();
        self.lose_proposals();
        for Entry { timestamp, follows, message } in accepted {
            let id = message.id;
            // Whoever accepted it may not have known that it is delivered; some have forgotten its session since.
            if self.windows.delivered(id).is_some() || timestamp <= self.forgotten {
                continue;
            }
            let (_, track) = self.tracks.enter(id);
            (track.message, track.follows, track.is_accepted) = (Some(message), follows, true);
            self.set_own(id, timestamp);
        }
        self.drop_what_is_over();
    }

    /// What the old epoch proposed counts no more, nor what was acknowledged in it. What other groups have proposed
    /// is none of its business.
    pub(super) fn lose_proposals(&mut self) {
        (self.queue, self.shown) = (Queue::new(), self.delivered());
        self.unshown.clear();
        self.votes.clear();
        self.held_back.clear();
        let group = self.group;
        let known: Vec<MessageId> = self.tracks.sorted().into_iter().map(|(id, _)| id).collect();
        for id in known {
            let track = self.tracks.get_mut(&id).expect("it was just found");
            track.place = None;
            self.clear_own(id);
            let track = self.tracks.get_mut(&id).expect("it was just found");
            track.offers.remove(group);
            (track.message, track.outcome, track.voted, track.is_accepted) = (None, None, None, false);
            (track.age, track.tries, track.votes) = (0, 0, Default::default());
            self.forget_if_empty(id);
        }
    }

    /// A quorum holds the epoch: its leader may propose and deliver, and shows again under its own epoch whatever it
    /// has taken over.
    pub(super) fn begin_reign(&mut self, out: &mut Effects) {
        if !self.may_lead() {
            return;
        }
        let stamps: Vec<Stamp> = self.stamps.iter().copied().collect();
        for Stamp { timestamp, id } in stamps {
            let track = self.tracks.get_mut(&id).expect("what has a timestamp is known");
            track.offers.insert(Offer { group: self.group, epoch: self.held, timestamp });
            // Where it was proposed is asked soon: the other group may have lost it.
            track.age = PATIENCE;
            self.enqueue(id);
            self.unshown.push(id);
            self.accept(id, None, out);
        }
    }

    /// Sends what the own epoch has come to, to one that has delivered so much.
    fn hand_state(&mut self, to: ProcessId, delivered: Position, out: &mut Effects) {
        if delivered < self.first_outcome {
            return self.send_snapshot(to, out);
        }
        if !self.peers[&to].pause.is_over() {
            return;
        }
        let missing = self.outcomes.iter().skip((delivered - self.first_outcome) as usize).cloned().collect();
        let inheritance = Inheritance {
            reign: self.reign(),
            position: delivered,
            delivered: missing,
            accepted: self.accepted(),
            forgotten: self.forgotten,
        };
        let length = payloads(&inheritance.accepted, &inheritance.delivered);
        self.peers.get_mut(&to).expect("it is of the group").pause.begin(length);
        out.send(to, Message::NewState(Box::new(inheritance)));
    }

    pub(super) fn reign(&self) -> Reign {
        Reign { epoch: self.held, clock: self.clock.value(), rebirths: self.election.rebirths() }
    }

    /// NEW-STATE.
    pub(super) fn on_new_state(&mut self, from: ProcessId, inheritance: Inheritance, out: &mut Effects) {
        let epoch = inheritance.reign.epoch;
        self.election.hear_of(epoch);
        if self.election.is_amnesiac() || epoch < self.election.promised() || self.held >= epoch {
            return;
        }
        if self.election.role() != Role::Follower {
            self.election.follow_again();
        }
        self.election.hear_primary();
        if inheritance.position > self.delivered() {
            // The leader took this replica for one that has delivered more: say what is so.
            if epoch > self.election.promised() {
                self.promise(epoch, out);
            }
            self.send_promise(from, self.delivered(), out);
            return;
        }
        self.adopt(inheritance, out);
    }
}
