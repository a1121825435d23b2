//! How a group gets another primary (thesis, Algorithm 3). Who stands for
//! election, and when, is said by [`Election`](crate::parts::Election). Who does
//! gathers promises, takes over the newest log among them, and begins above
//! every clock that they told.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{ProcessId, Time};

use super::Effects;
use super::record::{Record, State};
use super::replica::{Peer, Replica};
use super::wire::{Candidacy, Message, Promise, Reign};
use crate::Mutant;
use crate::parts::{Entry, Epoch, Index, Outline, Rebirth, Role, Run, Urge};

/// How long they are together.
fn payloads(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.message.payload.len()).sum()
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
                let message = Message::NewEpoch(self.candidacy());
                out.send_all(self.election.not_promised(), message);
            }
            Urge::Lead => {
                // Whoever does not hold the epoch has not heard of it, or needs its state again.
                let behind: Vec<ProcessId> =
                    self.others().filter(|process| self.peers[process].held < self.held).collect();
                if !behind.is_empty() {
                    out.send_all(behind, Message::NewEpoch(self.candidacy()));
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

    /// Whoever stands does so because the primary asked it to.
    pub(super) fn on_stand(&mut self, from: ProcessId, out: &mut Effects) {
        if self.election.role() == Role::Follower && self.holds_its_promise() && from == self.held.leader {
            self.stand(out);
        }
    }

    /// Hands over before a planned stop: to the one that holds most.
    pub(super) fn retire(&self, out: &mut Effects) {
        if !self.election.is_primary() {
            return;
        }
        let follower = self.others().filter(|process| self.peers[process].held == self.held);
        if let Some(heir) = follower.max_by_key(|process| self.peers[process].index) {
            out.send(heir, Message::Stand);
        }
    }

    /// Promises itself the next epoch and asks the others to promise it too (thesis, lines 57 to 60).
    pub(super) fn stand(&mut self, out: &mut Effects) {
        let wanted: Vec<Rebirth> = self.election.wanted().collect();
        wanted.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
        let epoch = self.election.stand();
        self.write_promise(epoch, out);
        // To itself, too: its own promise counts once it is on disk.
        out.send_all(self.members(), Message::NewEpoch(self.candidacy()));
    }

    fn promise(&mut self, epoch: Epoch, out: &mut Effects) {
        self.election.promise(epoch);
        self.write_promise(epoch, out);
    }

    fn write_promise(&self, epoch: Epoch, out: &mut Effects) {
        out.persist(Record::Promised(epoch, self.election.rebirths()));
    }

    pub(super) fn candidacy(&self) -> Candidacy {
        Candidacy {
            epoch: self.election.promised(),
            outline: self.log.outline(),
            delivered: self.delivered(),
            rebirths: self.election.rebirths(),
        }
    }

    /// What a replica said before it lost its memory does not count any more.
    pub(super) fn note_rebirth(&mut self, rebirth: Rebirth) {
        if self.election.note_rebirth(rebirth) && rebirth.process != self.me {
            let first = Epoch::first(self.cluster.members(self.group)[0]);
            self.peers.insert(rebirth.process, Peer::new(first));
        }
    }

    /// Thesis, lines 61 to 64.
    pub(super) fn on_new_epoch(&mut self, now: Time, from: ProcessId, candidacy: Candidacy, out: &mut Effects) {
        self.election.hear_of(candidacy.epoch);
        if self.election.is_amnesiac() && !self.planted.is(Mutant::PrimCastVotesWithoutMemory) {
            return;
        }
        if candidacy.epoch < self.election.promised() {
            let report = self.report(now);
            out.send(from, Message::Report(report));
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
        if self.held == candidacy.epoch {
            return;
        }
        if self.peers[&from].pause.is_over() {
            let promise = self.promise_for(&candidacy.outline, candidacy.delivered);
            self.send_promise(from, promise, out);
        }
    }

    fn send_promise(&mut self, to: ProcessId, promise: Promise, out: &mut Effects) {
        let state = if promise.state.is_some() { self.state_length() } else { 0 };
        self.peers.get_mut(&to).expect("it is of the group").pause.begin(payloads(&promise.entries) + state);
        out.send(to, Message::Promise(Box::new(promise)));
    }

    /// What a candidate with this log, that has delivered so much, has to know.
    fn promise_for(&self, outline: &Outline, delivered: u64) -> Promise {
        let agreement = self.log.agreement(outline);
        // Only what may be newer is sent: the candidate does not say which epoch it holds, so by its length.
        let is_newer = self.log.last() > agreement.unwrap_or(0);
        let entries = match agreement {
            Some(place) if is_newer => self.log.after(place, usize::MAX).cloned().collect(),
            _ => Vec::new(),
        };
        let knows_outcomes = delivered >= self.first_outcome;
        let missing = self.outcomes.iter().skip((delivered.saturating_sub(self.first_outcome)) as usize);
        // Where no entry agrees, the one whose log is cut further on may be the newer one.
        let log_is_cut = agreement.is_none() && self.log.base() > outline.base;
        let is_cut = log_is_cut || (!knows_outcomes && self.delivered() > delivered);
        Promise {
            epoch: self.election.promised(),
            incarnation: self.election.incarnation(),
            clock: self.clock.value(),
            held: self.held,
            outline: self.log.outline(),
            rebirths: self.election.rebirths(),
            delivered: self.delivered(),
            outcomes: if knows_outcomes { missing.cloned().collect() } else { Vec::new() },
            agreement,
            entries,
            state: is_cut.then(|| Box::new(self.state())),
        }
    }

    pub(super) fn on_promise(&mut self, from: ProcessId, promise: Promise, out: &mut Effects) {
        if promise.epoch != self.election.promised() {
            return;
        }
        if self.election.is_primary() && self.held == promise.epoch {
            self.hand_state(from, &promise.outline, out);
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

    /// A quorum has promised: take over what any of them may have decided (thesis, lines 65 to 69).
    fn win(&mut self, promises: &BTreeMap<ProcessId, Promise>, out: &mut Effects) {
        let newest = |promise: &&Promise| (promise.held, promise.outline.last());
        let best = if self.planted.is(Mutant::PrimCastTakesTheSecondLog) {
            promises.values().min_by_key(newest)
        } else {
            promises.values().max_by_key(newest)
        };
        let best = best.expect("a quorum is somebody");
        let furthest = promises.values().max_by_key(|promise| promise.delivered).expect("a quorum is somebody");
        let clock = promises.values().map(|promise| promise.clock).max().expect("a quorum is somebody");
        let clock = if self.planted.is(Mutant::PrimCastBeginsAtItsOwnClock) { self.clock.value() } else { clock };
        let reign = Reign { epoch: self.election.promised(), clock, rebirths: self.election.rebirths() };
        // What it promised to those who stood before it is in nobody's way.
        self.peers.values_mut().for_each(|peer| peer.pause.end());
        match (best.agreement, &best.state) {
            (Some(agreement), _) => self.adopt(reign.clone(), agreement, best.entries.clone(), out),
            (None, Some(state)) if state.delivered() >= self.delivered() => {
                self.install(reign.clone(), (**state).clone(), out);
            }
            (None, Some(state)) => {
                let state = State::merge(self.state(), (**state).clone());
                self.install(reign.clone(), state, out);
            }
            (None, None) => panic!("a log that holds less than is decided was promised as the newest"),
        }
        let first = furthest.delivered - furthest.outcomes.len() as u64;
        match &furthest.state {
            Some(state) if furthest.delivered > self.delivered() && first > self.delivered() => {
                let state = State::merge((**state).clone(), self.state());
                self.install(reign, state, out);
            }
            _ => self.take_outcomes(first, furthest.outcomes.clone(), out),
        }
        for (process, promise) in promises {
            if *process != self.me {
                self.hand_state(*process, &promise.outline, out);
            }
        }
    }

    /// Holds a new epoch: its complete log, in one durable step (thesis, lines 70 to 74).
    /// Cut at the first entry that differs, take what is missing, then switch.
    pub(super) fn adopt(&mut self, reign: Reign, previous: Index, entries: Vec<Entry>, out: &mut Effects) {
        let same = entries
            .iter()
            .zip(previous + 1..)
            .take_while(|(entry, index)| self.log.epoch_at(*index) == Some(entry.epoch));
        let keep = previous + same.count() as Index;
        let new: Vec<Entry> = entries.into_iter().skip((keep - previous) as usize).collect();
        self.raise_clock(reign.clock, out);
        if let Some(newest) = new.last() {
            self.raise_clock(newest.timestamp, out);
        }
        out.persist(Record::Adopted(reign.clone(), keep, new.clone()));
        self.switch_to(reign, keep, new);
    }

    /// The same in memory, also when a record says so after a restart.
    pub(super) fn switch_to(&mut self, reign: Reign, keep: Index, new: Vec<Entry>) {
        if !self.planted.is(Mutant::PrimCastAdoptsWithoutCutting) {
            self.truncate(keep);
        }
        for rebirth in reign.rebirths {
            self.note_rebirth(rebirth);
        }
        self.unshown = None;
        self.held = reign.epoch;
        self.election.hold(reign.epoch);
        self.is_established = false;
        (self.leader_clock, self.leader_ahead) = (reign.clock, None);
        self.recount_clocks();
        for entry in new {
            self.append(entry);
        }
        // What the old epoch acknowledged counts no more once a quorum speaks of the new one.
        for (group, remote) in self.remotes.iter() {
            if !remote.owed.is_empty() {
                self.acknowledge.insert(group);
                self.certificates.owe(group);
            }
        }
    }

    fn truncate(&mut self, keep: Index) {
        for (index, entry) in self.log.truncate(keep) {
            let id = entry.message.id;
            let track = self.tracks.get_mut(&id).expect("what is in the log is known");
            assert!(!track.is_delivered, "{id} was delivered, and its epoch lost it");
            track.index = None;
            self.queue.remove(id, &mut track.place);
            for group in core::mem::take(&mut track.owed).iter() {
                self.remotes.get_mut(group).expect("every group is known").owed.remove(&index);
            }
            self.forget_if_empty(id);
        }
        assert!(self.decided <= keep, "the log was decided up to {} and is cut at {keep}", self.decided);
    }

    /// A quorum holds the epoch: its primary may propose, and says again under
    /// its own epoch what other groups may not know.
    pub(super) fn begin_reign(&mut self, _: Time, out: &mut Effects) {
        if !self.may_propose() {
            return;
        }
        for group in self.cluster.groups().iter().filter(|group| *group != self.group) {
            self.tell_everything_owed(group, self.cluster.clone().members(group), out);
            if !self.remotes[group].owed.is_empty() {
                self.certificates.owe(group);
            }
        }
    }

    /// Sends the log of the own epoch to a replica whose log has this shape.
    fn hand_state(&mut self, to: ProcessId, outline: &Outline, out: &mut Effects) {
        let reign = Reign { epoch: self.held, clock: self.leader_clock, rebirths: self.election.rebirths() };
        match self.log.agreement(outline) {
            Some(previous) => {
                let peer = self.peers.get_mut(&to).expect("it is of the group");
                if !peer.pause.is_over() {
                    return;
                }
                let previous_epoch = self.log.epoch_at(previous).expect("both logs have it");
                let entries: Vec<Entry> = self.log.after(previous, usize::MAX).cloned().collect();
                peer.pause.begin(payloads(&entries));
                out.send(to, Message::NewState { reign, previous, previous_epoch, entries });
            }
            None => self.send_snapshot(to, out),
        }
    }

    pub(super) fn on_new_state(
        &mut self,
        from: ProcessId,
        reign: Reign,
        at: Run,
        entries: Vec<Entry>,
        out: &mut Effects,
    ) {
        self.election.hear_of(reign.epoch);
        if self.election.is_amnesiac() || reign.epoch < self.election.promised() || self.held >= reign.epoch {
            return;
        }
        if self.election.role() != Role::Follower {
            self.election.follow_again();
        }
        self.election.hear_primary();
        if self.log.epoch_at(at.last) != Some(at.epoch) {
            // The primary took this log for another one: say what it is.
            if reign.epoch > self.election.promised() {
                self.promise(reign.epoch, out);
            }
            let promise = self.promise_for(&self.log.outline(), u64::MAX);
            self.send_promise(from, promise, out);
            return;
        }
        self.adopt(reign, at.last, entries, out);
    }
}
