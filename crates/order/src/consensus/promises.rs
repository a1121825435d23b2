//! Whose log counts: what a replica promises a candidate, which of the promised
//! logs an epoch begins with, and how a replica adopts it, in one durable step.
//!
//! Whoever holds an epoch holds its starting log, complete and on disk. So a
//! quorum that reports one epoch and a place in it holds everything up to
//! there, and any later epoch, which takes the longest log of the highest
//! held epoch among a quorum of promises, holds it too.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{Out, ProcessId};

use super::wire::{Candidacy, Message, Promise, Reign};
use super::{Consensus, Content, Owner, Record, Slot};
use crate::Mutant;
use crate::parts::{Epoch, Index, Logged, Outline, Role};

/// How long they are together.
fn lengths<E: Content>(entries: &[Slot<E>]) -> usize {
    entries.iter().map(Logged::length).sum()
}

impl<E: Content, S: Content> Consensus<E, S> {
    /// Somebody wants to lead.
    pub(super) fn on_new_epoch<O: Owner<E, S>>(&mut self, from: ProcessId, candidacy: Candidacy, out: &mut Out<O>) {
        self.election.hear_of(candidacy.epoch);
        if candidacy.epoch < self.election.promised() {
            out.send(from, Message::Report(self.report()).into());
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
        if self.held != candidacy.epoch && self.peers[&from].pause.is_over() {
            self.send_promise(from, &candidacy.outline, out);
        }
    }

    /// What a candidate, or a leader, with this log has to know.
    fn send_promise<O: Owner<E, S>>(&mut self, to: ProcessId, outline: &Outline, out: &mut Out<O>) {
        let agreement = self.log.agreement(outline);
        // Only what may be newer is sent: the candidate does not say which epoch it holds, so by its length.
        let entries = match agreement {
            Some(place) if self.log.last() > place => self.log.after(place, usize::MAX).cloned().collect(),
            _ => Vec::new(),
        };
        // Where no entry agrees, the one whose log is cut further on may be the newer one.
        let is_cut = agreement.is_none() && self.log.base() > outline.base;
        let state = if is_cut { self.state().map(Box::new) } else { None };
        let length = lengths(&entries) + if is_cut { self.state_length() } else { 0 };
        let promise = Promise {
            epoch: self.election.promised(),
            incarnation: self.election.incarnation(),
            held: self.held,
            outline: self.log.outline(),
            rebirths: self.election.rebirths(),
            agreement,
            entries,
            state,
        };
        self.peers.get_mut(&to).expect("it is of the group").pause.begin(length);
        out.send(to, Message::Promise(Box::new(promise)).into());
    }

    pub(super) fn on_promise<O: Owner<E, S>>(&mut self, from: ProcessId, promise: Promise<E, S>, out: &mut Out<O>) {
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

    /// A quorum has promised: take over what any of them may have decided.
    fn win<O: Owner<E, S>>(&mut self, promises: &BTreeMap<ProcessId, Promise<E, S>>, out: &mut Out<O>) {
        let newest = |promise: &&Promise<E, S>| (promise.held, promise.outline.last());
        let best = if self.planted.is(Mutant::ConsensusTakesTheSecondLog) {
            promises.values().min_by_key(newest)
        } else {
            promises.values().max_by_key(newest)
        };
        let best = best.expect("a quorum is somebody");
        let reign = Reign { epoch: self.election.promised(), rebirths: self.election.rebirths() };
        // What it promised to those who stood before it is in nobody's way.
        self.peers.values_mut().for_each(|peer| peer.pause.end());
        self.promisers = promises
            .iter()
            .filter(|(process, _)| **process != self.me)
            .map(|(process, promise)| (*process, promise.outline.clone()))
            .collect();
        match (best.agreement, &best.state) {
            (Some(agreement), _) => {
                self.adopt(reign, agreement, best.entries.clone(), out);
                self.begin_to_lead(out);
            }
            // The owner takes it over first.
            (None, Some(state)) => self.arriving = Some(Box::new((reign, (**state).clone()))),
            (None, None) => panic!("a log that holds less than is decided was promised as the newest"),
        }
    }

    /// The epoch is held here: now those who promised it are given its log.
    pub(super) fn begin_to_lead<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        for (process, outline) in core::mem::take(&mut self.promisers) {
            self.hand_state(process, &outline, out);
        }
    }

    /// Holds a new epoch: its complete log, in one durable step. Cut at the first entry that differs, take what is
    /// missing, then switch.
    fn adopt<O: Owner<E, S>>(&mut self, reign: Reign, previous: Index, entries: Vec<Slot<E>>, out: &mut Out<O>) {
        let same = entries
            .iter()
            .zip(previous + 1..)
            .take_while(|(slot, index)| self.log.epoch_at(*index) == Some(slot.epoch));
        let keep = previous + same.count() as Index;
        let new: Vec<Slot<E>> = entries.into_iter().skip((keep - previous) as usize).collect();
        out.persist(Record::Adopted(reign.clone(), keep, new.clone()).into());
        self.switch_to(reign, keep, new);
    }

    /// The same in memory, also when a record says so after a restart.
    pub(super) fn switch_to(&mut self, reign: Reign, keep: Index, new: Vec<Slot<E>>) {
        if !self.planted.is(Mutant::ConsensusAdoptsWithoutCutting) {
            assert!(self.decided <= keep, "the log was decided up to {} and is cut at {keep}", self.decided);
            self.log.truncate(keep);
        }
        self.hold(reign);
        for slot in new {
            self.log.append(slot);
        }
    }

    /// From here on its log is that of this epoch.
    pub(super) fn hold(&mut self, reign: Reign) {
        reign.rebirths.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
        self.unshown = None;
        self.held = reign.epoch;
        self.election.hold(reign.epoch);
        self.is_established = false;
    }

    /// Sends the log of the own epoch to a replica whose log has this shape.
    fn hand_state<O: Owner<E, S>>(&mut self, to: ProcessId, outline: &Outline, out: &mut Out<O>) {
        let Some(previous) = self.log.agreement(outline) else { return self.send_snapshot(to, out) };
        let peer = self.peers.get_mut(&to).expect("it is of the group");
        if !peer.pause.is_over() {
            return;
        }
        let reign = Reign { epoch: self.held, rebirths: self.election.rebirths() };
        let previous_epoch = self.log.epoch_at(previous).expect("both logs have it");
        let entries: Vec<Slot<E>> = self.log.after(previous, usize::MAX).cloned().collect();
        let peer = self.peers.get_mut(&to).expect("it is of the group");
        peer.pause.begin(lengths(&entries));
        out.send(to, Message::NewState { reign, previous, previous_epoch, entries }.into());
    }

    /// The leader of a new epoch gives its log.
    pub(super) fn on_new_state<O: Owner<E, S>>(
        &mut self,
        from: ProcessId,
        reign: Reign,
        (previous, previous_epoch): (Index, Epoch),
        entries: Vec<Slot<E>>,
        out: &mut Out<O>,
    ) {
        self.election.hear_of(reign.epoch);
        if reign.epoch < self.election.promised() || self.held >= reign.epoch {
            return;
        }
        if self.election.role() != Role::Follower {
            self.election.follow_again();
        }
        self.election.hear_primary();
        if self.log.epoch_at(previous) != Some(previous_epoch) {
            // The leader took this log for another one: say what it is.
            self.say_what_it_holds(from, reign.epoch, out);
            return;
        }
        self.adopt(reign, previous, entries, out);
    }

    /// A leader that was wrong about this log hears what it looks like.
    pub(super) fn say_what_it_holds<O: Owner<E, S>>(&mut self, leader: ProcessId, epoch: Epoch, out: &mut Out<O>) {
        if epoch > self.election.promised() {
            self.promise(epoch, out);
        }
        if epoch == self.election.promised() {
            let outline = self.log.outline();
            self.send_promise(leader, &outline, out);
        }
    }
}
