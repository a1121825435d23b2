//! Replicas that are too far behind, or lost their disk, take over a state of
//! the owner and the log behind it; and the own log is cut behind the state
//! that the owner has made durable.

use alloc::boxed::Box;

use skein_machine::{Out, ProcessId};

use super::wire::{Message, Reign};
use super::{Consensus, Content, Owner, Record, State, Tail};
use crate::parts::{Fate, Index, Log, Rebirth};

impl<E: Content, S: Content> Consensus<E, S> {
    // ---- The own disk.

    /// Takes back one record after a restart. Answers the owner's state, if it is a checkpoint.
    pub fn restore(&mut self, record: Record<E, S>) -> Option<S> {
        let mut found = None;
        match record {
            Record::Reborn(incarnation) => {
                self.election.forget(incarnation);
            }
            Record::Promised(epoch, rebirths) => {
                self.election.promise(epoch);
                rebirths.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
                if self.planted.is(crate::Mutant::ConsensusVotesWithoutMemory) {
                    self.election.follow();
                }
            }
            Record::Entries(entries) => {
                for slot in entries {
                    self.log.append(slot);
                }
            }
            Record::Adopted(reign, keep, entries) => {
                self.switch_to(reign, keep, entries);
                self.election.follow();
            }
            Record::Checkpoint(state) => {
                self.election.remember(state.incarnation);
                self.election.promise(state.promised);
                let reign = Reign { epoch: state.held, rebirths: state.rebirths.clone() };
                self.hold(reign);
                found = self.load(*state);
                self.election.follow();
            }
        }
        self.is_established = self.held.is_first();
        found
    }

    /// Puts a log in place of the own one. Answers the owner's state that goes with it.
    fn load(&mut self, state: State<E, S>) -> Option<S> {
        let State { at, state, base, base_epoch, entries, .. } = state;
        self.log = Log::restore(base, base_epoch, (base + 1..).zip(entries));
        (self.decided, self.applied) = (at, at);
        self.kept = state.clone().map(|state| (at, state));
        state
    }

    /// Everything that must not be forgotten, and all that somebody else needs to go on from there. Nothing, while the
    /// whole log is there and the owner has made no state durable.
    pub(super) fn state(&self) -> Option<State<E, S>> {
        let (at, state) = self.kept.clone()?;
        Some(self.state_with(at, Some(state)))
    }

    fn state_with(&self, at: Index, state: Option<S>) -> State<E, S> {
        State {
            incarnation: self.election.incarnation(),
            rebirths: self.election.rebirths(),
            held: self.held,
            promised: self.election.promised(),
            at,
            state,
            base: self.log.base(),
            base_epoch: self.log.base_epoch(),
            entries: self.log.after(self.log.base(), usize::MAX).cloned().collect(),
        }
    }

    /// About how many bytes that is.
    pub(super) fn state_length(&self) -> usize {
        self.log.bytes() + self.kept.as_ref().map_or(0, |(_, state)| state.length())
    }

    /// The owner's state, with everything applied that it was given so far, is to become durable: the log before it
    /// may be cut. Somebody dead stops nothing: what is kept for those behind is bounded by the tail, and beyond it
    /// they get the state.
    pub fn checkpoint<O: Owner<E, S>>(&mut self, state: S, tail: Tail, out: &mut Out<O>) {
        let slowest = self.peers.values().map(|peer| peer.index).min().unwrap_or(0);
        self.log.cut(self.applied.min(slowest.max(self.log.newest(tail.entries, tail.bytes))));
        self.log.sift(|_, _| Fate::Removed);
        self.kept = Some((self.applied, state));
        if self.keeps_records {
            let state = self.state().expect("it was just made");
            out.compact(Record::Checkpoint(Box::new(state)).into());
        }
    }

    /// Of the log up to a place nobody needs anything any more but this state, in which the owner keeps next to nothing.
    /// What is kept for those who are behind is bounded by the tail. Answers whether anything was cut.
    pub fn trim(&mut self, wanted: Index, tail: Tail, state: impl FnOnce(&E) -> S) -> bool {
        let slowest = self.peers.values().map(|peer| peer.index).min().unwrap_or(0);
        let spare = slowest.max(self.log.newest(tail.entries, tail.bytes));
        let place = self.applied.min(wanted).min(spare);
        if place <= self.log.base() {
            return false;
        }
        let state = state(&self.log.get(place).expect("what is applied and not cut is there").content);
        self.log.cut(place);
        self.log.sift(|_, _| Fate::Removed);
        self.kept = Some((place, state));
        true
    }

    /// Everything that must not be forgotten, as a record that makes all earlier ones of it superfluous.
    pub fn portrait(&self) -> State<E, S> {
        match self.kept.clone() {
            Some((at, state)) => self.state_with(at, Some(state)),
            // The log goes back to the beginning, so there is a state that needs no words.
            None => self.state_with(0, None),
        }
    }

    // ---- Other replicas.

    pub(super) fn send_snapshot<O: Owner<E, S>>(&mut self, to: ProcessId, out: &mut Out<O>) {
        let length = self.state_length();
        let peer = self.peers.get_mut(&to).expect("every replica of the group is known");
        if !peer.pause.is_over() {
            return;
        }
        peer.pause.begin(length);
        let reign = Reign { epoch: self.held, rebirths: self.election.rebirths() };
        out.send(to, Message::Snapshot(reign, Box::new(self.portrait())).into());
    }

    /// The leader offers everything.
    pub(super) fn on_snapshot<O: Owner<E, S>>(
        &mut self,
        from: ProcessId,
        reign: Reign,
        state: State<E, S>,
        out: &mut Out<O>,
    ) {
        self.election.hear_of(reign.epoch);
        let me = Rebirth { process: self.me, incarnation: self.election.incarnation() };
        if self.election.is_amnesiac() {
            // Only an epoch that knows of this loss has excluded what was promised before it.
            if !reign.rebirths.contains(&me) {
                return;
            }
            // It remembers once this is on disk: when it hears its own next report.
            self.is_durable = false;
        } else {
            if reign.epoch < self.election.promised() || (reign.epoch == self.held && state.last() <= self.log.last()) {
                return;
            }
            if state.at < self.applied {
                // The leader thinks that this replica is further behind than it is.
                self.say_what_it_holds(from, reign.epoch, out);
                return;
            }
        }
        self.election.follow_again();
        self.election.hear_primary();
        self.arriving = Some(Box::new((reign, state)));
    }

    /// A state came that the owner has to take over before anything else happens: `None` within is the state in which
    /// a group begins. What it makes of it is given back with [`install`](Self::install).
    pub fn arrival(&self) -> Option<Option<S>> {
        self.arriving.as_ref().map(|arriving| arriving.1.state.clone())
    }

    /// Holds a new epoch, with the state that the owner has made of what came, in one durable step.
    pub fn install<O: Owner<E, S>>(&mut self, state: S, out: &mut Out<O>) {
        let (reign, arrived) = *self.arriving.take().expect("a state is installed that nobody sent");
        let leads = self.election.is_primary();
        self.hold(reign);
        self.load(State { state: Some(state), ..arrived });
        self.is_established = self.held.is_first();
        let record = self.state().expect("it has just been given one");
        out.checkpoint(Record::Checkpoint(Box::new(record)).into());
        if leads {
            self.begin_to_lead(out);
        }
    }
}
