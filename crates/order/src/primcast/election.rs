//! How a group gets another primary (thesis, Algorithm 3), with what the
//! thesis leaves to an oracle: who stands for election, and when.
//!
//! A replica that hears no primary first asks whether a quorum hears none
//! either; one that was only cut off does not depose a working primary on its
//! return. Then it promises itself a new epoch, gathers promises, takes over
//! the newest log among them, and begins above every clock that they told.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use skein_machine::{Boot, ProcessId, Time};

use super::Effects;
use super::record::{Record, State};
use super::replica::{Peer, Replica};
use super::wire::{Candidacy, Message, Promise, Rebirth, Reign};
use crate::Mutant;
use crate::parts::{Entry, Epoch, Index, Outline, Run};

/// Ticks without a primary after which one may answer that it hears none.
const SILENT: u32 = 8;

/// Ticks without a primary after which a replica looks for another: so many, and up to as many more.
const PATIENCE: u64 = 10;

/// Ticks after which a canvass is given up.
const CANVASS: u32 = 5;

/// Ticks after which a candidate gives up; twice as many the next time, since what it waits for may be long,
const CANDIDACY: u32 = 15;

/// but no more than so often.
const DOUBLINGS: u32 = 4;

/// Ticks after which a primary that no quorum speaks to steps down.
const LEASE: u32 = 12;

/// What a replica is at the moment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    /// Holds what the primary of its promised epoch appends, if there is one.
    Follower,
    /// Asks whether others hear a primary; they say no.
    Canvasser { silent: BTreeSet<ProcessId>, ticks: u32 },
    /// Gathers promises for the epoch that it has promised itself.
    Candidate { promises: BTreeMap<ProcessId, Promise>, ticks: u32 },
    /// Leads the epoch that it holds; proposes once a quorum holds it too.
    Primary,
    /// Has forgotten what it promised: silent until it was taken in again.
    Amnesiac,
}

impl Role {
    /// Only a group's very first life begins with a primary: one that was
    /// restarted wins a new epoch, since it may not know what it proposed.
    pub(super) fn before_start(boot: Boot, is_first: bool) -> Role {
        match boot {
            Boot::First if is_first => Role::Primary,
            Boot::First | Boot::Again => Role::Follower,
            Boot::Amnesiac { .. } => Role::Amnesiac,
        }
    }
}

/// How long they are together.
fn payloads(entries: &[Entry]) -> usize {
    entries.iter().map(|entry| entry.message.payload.len()).sum()
}

impl Replica {
    /// Everything about elections that is done every tick.
    pub(super) fn tick_election(&mut self, out: &mut Effects) {
        self.silence = self.silence.saturating_add(1);
        for peer in self.peers.values_mut() {
            peer.silence = peer.silence.saturating_add(1);
        }
        let (me, quorum) = (self.me, self.quorum());
        match &mut self.role {
            Role::Amnesiac => out.send_all(self.others(), Message::Rejoin(self.incarnation)),
            Role::Primary => self.tick_primary(out),
            Role::Follower => {
                if self.silence > self.patience {
                    self.role = Role::Canvasser { silent: [me].into_iter().collect(), ticks: 0 };
                    if quorum == 1 {
                        self.stand(out);
                    } else {
                        out.send_all(self.others(), Message::Canvass);
                    }
                }
            }
            Role::Canvasser { ticks, .. } => {
                *ticks += 1;
                if *ticks > CANVASS || self.silence < SILENT {
                    self.follow_again();
                }
            }
            Role::Candidate { promises, ticks } => {
                *ticks += 1;
                // Where somebody has promised more already, time is no help.
                let doublings = if self.highest > self.promised { 0 } else { self.lost.min(DOUBLINGS) };
                if *ticks > CANDIDACY << doublings {
                    self.lost += 1;
                    self.follow_again();
                    return;
                }
                let missing: Vec<ProcessId> =
                    self.peers.keys().filter(|process| !promises.contains_key(process)).copied().collect();
                let message = Message::NewEpoch(self.candidacy());
                out.send_all(missing, message);
            }
        }
    }

    fn tick_primary(&mut self, out: &mut Effects) {
        let heard = self.others().filter(|process| self.peers[process].silence <= LEASE).count() + 1;
        if heard < self.quorum() {
            // Others may have elected somebody long ago.
            self.follow_again();
            self.silence = SILENT;
            return;
        }
        let is_asked_for = |(process, incarnation): (&ProcessId, &u32)| {
            self.rebirths.get(process).copied().unwrap_or(0) < *incarnation
        };
        if self.highest > self.promised || self.wanted.iter().any(is_asked_for) {
            self.stand(out);
            return;
        }
        // Whoever does not hold the epoch has not heard of it, or needs its state again.
        let behind: Vec<ProcessId> = self.others().filter(|process| self.peers[process].held < self.held).collect();
        if !behind.is_empty() {
            out.send_all(behind, Message::NewEpoch(self.candidacy()));
        }
    }

    /// Gives up whatever it was about to become, and waits a random while.
    pub(super) fn follow_again(&mut self) {
        self.role = Role::Follower;
        self.silence = self.silence.min(SILENT);
        self.patience = (PATIENCE + self.random.below(PATIENCE)) as u32;
    }

    pub(super) fn on_canvass(&self, from: ProcessId, out: &mut Effects) {
        let hears_one = self.silence < SILENT || self.role == Role::Primary;
        if !hears_one && self.role != Role::Amnesiac {
            out.send_early(from, Message::Silent);
        }
    }

    pub(super) fn on_silent(&mut self, from: ProcessId, out: &mut Effects) {
        let quorum = self.quorum();
        if let Role::Canvasser { silent, .. } = &mut self.role {
            silent.insert(from);
            if silent.len() >= quorum {
                self.stand(out);
            }
        }
    }

    /// Whoever stands does so because the primary asked it to.
    pub(super) fn on_stand(&mut self, from: ProcessId, out: &mut Effects) {
        if self.role == Role::Follower && self.held == self.promised && from == self.held.leader {
            self.stand(out);
        }
    }

    /// Hands over before a planned stop: to the one that holds most.
    pub(super) fn retire(&self, out: &mut Effects) {
        if self.role != Role::Primary {
            return;
        }
        let follower = self.others().filter(|process| self.peers[process].held == self.held);
        if let Some(heir) = follower.max_by_key(|process| self.peers[process].index) {
            out.send(heir, Message::Stand);
        }
    }

    /// Promises itself the next epoch and asks the others to promise it too (thesis, lines 57 to 60).
    pub(super) fn stand(&mut self, out: &mut Effects) {
        let epoch = self.promised.max(self.highest).next(self.me);
        let wanted: Vec<_> = self.wanted.iter().map(|(process, incarnation)| (*process, *incarnation)).collect();
        for (process, incarnation) in wanted {
            self.note_rebirth(Rebirth { process, incarnation });
        }
        self.promise(epoch, out);
        self.role = Role::Candidate { promises: BTreeMap::new(), ticks: 0 };
        // To itself, too: its own promise counts once it is on disk.
        out.send_all(self.members(), Message::NewEpoch(self.candidacy()));
    }

    fn promise(&mut self, epoch: Epoch, out: &mut Effects) {
        self.promised = epoch;
        self.highest = self.highest.max(epoch);
        out.persist(Record::Promised(epoch, self.rebirth_list()));
    }

    pub(super) fn candidacy(&self) -> Candidacy {
        Candidacy {
            epoch: self.promised,
            outline: self.log.outline(),
            delivered: self.delivered(),
            rebirths: self.rebirth_list(),
        }
    }

    pub(super) fn rebirth_list(&self) -> Vec<Rebirth> {
        self.rebirths
            .iter()
            .map(|(process, incarnation)| Rebirth { process: *process, incarnation: *incarnation })
            .collect()
    }

    /// What a replica said before it lost its memory does not count any more.
    pub(super) fn note_rebirth(&mut self, rebirth: Rebirth) {
        let Rebirth { process, incarnation } = rebirth;
        let known = self.rebirths.entry(process).or_insert(0);
        if *known >= incarnation {
            return;
        }
        *known = incarnation;
        if process != self.me {
            let first = Epoch::first(self.cluster.members(self.group)[0]);
            self.peers.insert(process, Peer::new(first));
        }
    }

    /// Thesis, lines 61 to 64.
    pub(super) fn on_new_epoch(&mut self, now: Time, from: ProcessId, candidacy: Candidacy, out: &mut Effects) {
        self.highest = self.highest.max(candidacy.epoch);
        if self.role == Role::Amnesiac && !self.planted.is(Mutant::PrimCastVotesWithoutMemory) {
            return;
        }
        if candidacy.epoch < self.promised {
            let report = self.report(now);
            out.send(from, Message::Report(report));
            return;
        }
        for rebirth in candidacy.rebirths {
            self.note_rebirth(rebirth);
        }
        if candidacy.epoch > self.promised {
            self.promise(candidacy.epoch, out);
            self.follow_again();
            self.silence = 0;
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
            epoch: self.promised,
            incarnation: self.incarnation,
            clock: self.clock.value(),
            held: self.held,
            outline: self.log.outline(),
            rebirths: self.rebirth_list(),
            delivered: self.delivered(),
            outcomes: if knows_outcomes { missing.cloned().collect() } else { Vec::new() },
            agreement,
            entries,
            state: is_cut.then(|| Box::new(self.state())),
        }
    }

    pub(super) fn on_promise(&mut self, from: ProcessId, promise: Promise, out: &mut Effects) {
        if promise.epoch != self.promised {
            return;
        }
        if self.role == Role::Primary && self.held == promise.epoch {
            self.hand_state(from, &promise.outline, out);
            return;
        }
        for rebirth in promise.rebirths.iter().copied() {
            self.note_rebirth(rebirth);
        }
        let Role::Candidate { promises, .. } = &mut self.role else { return };
        promises.insert(from, promise);
        let counts = |(process, promise): &(&ProcessId, &Promise)| {
            promise.incarnation >= self.rebirths.get(*process).copied().unwrap_or(0)
        };
        let valid: BTreeMap<ProcessId, Promise> =
            promises.iter().filter(counts).map(|(process, promise)| (*process, promise.clone())).collect();
        if valid.len() >= self.quorum() {
            self.win(&valid, out);
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
        let reign = Reign { epoch: self.promised, clock, rebirths: self.rebirth_list() };
        self.role = Role::Primary;
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
        self.lost = 0;
        self.held = reign.epoch;
        self.promised = self.promised.max(reign.epoch);
        self.highest = self.highest.max(reign.epoch);
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
        }
    }

    /// Sends the log of the own epoch to a replica whose log has this shape.
    fn hand_state(&mut self, to: ProcessId, outline: &Outline, out: &mut Effects) {
        let reign = Reign { epoch: self.held, clock: self.leader_clock, rebirths: self.rebirth_list() };
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
        self.highest = self.highest.max(reign.epoch);
        if self.role == Role::Amnesiac || reign.epoch < self.promised || self.held >= reign.epoch {
            return;
        }
        if self.role != Role::Follower {
            self.follow_again();
        }
        self.silence = 0;
        if self.log.epoch_at(at.last) != Some(at.epoch) {
            // The primary took this log for another one: say what it is.
            if reign.epoch > self.promised {
                self.promise(reign.epoch, out);
            }
            let promise = self.promise_for(&self.log.outline(), u64::MAX);
            self.send_promise(from, promise, out);
            return;
        }
        self.adopt(reign, at.last, entries, out);
    }
}
