//! What rests on the disk, how it is read back, and what is forgotten.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{MessageId, Position, Timestamp, Up};

use super::record::{Delivered, Entry, Inheritance, Record, Settlement, State, Unsettled};
use super::replica::{Replica, Settling};
use super::{Effects, Settings};
use crate::Mutant;
use crate::parts::{ByGroup, Mark, Stream, Table};

impl Replica {
    /// Takes back one record after a restart.
    pub(super) fn restore(&mut self, record: Record) {
        match record {
            Record::Reborn(incarnation) => self.election.forget(incarnation),
            Record::Ceiling(ceiling) => self.restore_clock(ceiling),
            Record::Promised(epoch, rebirths) => {
                self.election.promise(epoch);
                rebirths.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
                if self.planted.is(Mutant::WhiteBoxVotesWithoutMemory) {
                    self.election.follow();
                }
            }
            Record::Accepted(entry) => self.restore_accepted(entry),
            Record::Adopted(inheritance) => {
                let Inheritance { reign, position, delivered, accepted, forgotten } = *inheritance;
                self.restore_delivered(position, delivered);
                self.switch_to(reign, accepted, forgotten);
                self.election.follow();
            }
            Record::Delivered(first, outcomes) => {
                for (position, outcome) in (first..).zip(outcomes) {
                    if position == self.delivered() {
                        let _ = self.note_delivery(outcome);
                    }
                }
            }
            Record::Checkpoint(state) => {
                self.election.remember(state.incarnation);
                let (ceiling, accepted) = (state.ceiling, state.accepted.clone());
                state.rebirths.iter().for_each(|rebirth| self.note_rebirth(*rebirth));
                (self.held, self.is_established) = (state.held, false);
                self.election.promise(state.promised);
                self.election.follow();
                self.load(*state);
                self.lose_proposals();
                accepted.into_iter().for_each(|entry| self.restore_accepted(entry));
                self.restore_clock(ceiling);
            }
        }
        self.is_established = self.held.is_first();
    }

    fn restore_clock(&mut self, ceiling: Timestamp) {
        if !self.planted.is(Mutant::WhiteBoxRestartsBelowItsCeiling) {
            self.clock.restore(ceiling);
        }
    }

    fn restore_accepted(&mut self, Entry { timestamp, follows, message }: Entry) {
        let id = message.id;
        if self.windows.delivered(id).is_some() {
            return;
        }
        self.clear_own(id);
        let (_, track) = self.tracks.enter(id);
        (track.message, track.follows, track.is_accepted) = (Some(message), follows, true);
        self.set_own(id, timestamp);
    }

    fn restore_delivered(&mut self, position: Position, delivered: Vec<Delivered>) {
        for (position, Delivered { outcome, message }) in (position..).zip(delivered) {
            if position == self.delivered() {
                self.clear_own(outcome.id);
                let (_, track) = self.tracks.enter(outcome.id);
                track.message = Some(message);
                let _ = self.note_delivery(outcome);
            }
        }
    }

    /// Puts what was delivered, according to a state, in place of the own.
    pub(super) fn load(&mut self, state: State) {
        (self.position, self.user) = (state.position, state.user);
        (self.first_outcome, self.outcomes) = (state.first_outcome, state.outcomes.into());
        self.outcome_bytes = self.outcomes.iter().map(|delivered| delivered.message.payload.len()).sum();
        (self.newest, self.windows) = (state.newest, state.windows);
        self.forgotten = self.forgotten.max(state.forgotten);
        let known: Vec<MessageId> = self.tracks.sorted().into_iter().map(|(id, _)| id).collect();
        known.into_iter().for_each(|id| self.clear_own(id));
        self.unsettled = Table::new();
        self.remotes.values_mut().for_each(|remote| remote.owed.clear());
        for Unsettled { outcome, owed } in state.unsettled {
            self.owe(Settling { outcome, owed, age: 0, tries: 0 });
        }
        for Settlement { group, timestamp, epoch } in state.settled {
            let remote = self.remotes.get_mut(group).expect("every group is known");
            remote.settled = remote.settled.max(timestamp);
            let _ = remote.hears(epoch);
        }
    }

    /// Everything that must not be forgotten.
    pub(super) fn state(&self) -> State {
        let settled = self.remotes.iter().map(|(group, remote)| Settlement {
            group,
            timestamp: remote.settled,
            epoch: remote.epoch,
        });
        let unsettled = self.unsettled.sorted().into_iter();
        State {
            incarnation: self.election.incarnation(),
            rebirths: self.election.rebirths(),
            held: self.held,
            promised: self.election.promised(),
            ceiling: self.clock.ceiling(),
            position: self.position,
            user: self.user.clone(),
            first_outcome: self.first_outcome,
            outcomes: self.outcomes.iter().cloned().collect(),
            newest: self.newest,
            accepted: self.accepted(),
            unsettled: unsettled
                .map(|(_, settling)| Unsettled { outcome: settling.outcome.clone(), owed: settling.owed })
                .collect(),
            windows: self.windows.clone(),
            forgotten: self.forgotten,
            settled: settled.collect(),
        }
    }

    /// About how many bytes that is.
    pub(super) fn state_length(&self) -> usize {
        self.bytes() + self.user.len()
    }

    /// Much was delivered: the user should hand in its state.
    pub(super) fn ask_for_checkpoint(&mut self, out: &mut Effects) {
        let is_long = self.settings.wants_checkpoint(self.appended, self.appended_bytes, self.user.len());
        if is_long && !self.wants_checkpoint && !self.election.is_amnesiac() {
            self.wants_checkpoint = true;
            out.emit(Up::WantCheckpoint);
        }
    }

    /// The user's state covers every delivery before this position.
    pub(super) fn checkpointed(&mut self, position: Position, bytes: Bytes, out: &mut Effects) {
        let told = self.delivered();
        assert!(position <= told, "a checkpoint at {position} covers more than the {told} deliveries");
        (self.wants_checkpoint, self.appended, self.appended_bytes) = (false, 0, 0);
        if position < self.position || self.election.is_amnesiac() {
            return;
        }
        (self.position, self.user) = (position, bytes);
        // With this, everything in the state is in the records too, but for the user's part, which follows from them.
        self.write_deliveries(out);
        self.cut();
        if self.settings.keeps_records {
            out.compact(Record::Checkpoint(Box::new(self.state())));
        }
    }

    /// Forgets what the user's state covers and nobody will ask about. Somebody dead stops nothing: what is kept for
    /// those behind is bounded by the tail, and beyond it they get a checkpoint.
    fn cut(&mut self) {
        // How much a quorum has on disk: a new leader must find deliveries that others have made.
        let durable = self.delivered_by_quorum();
        let laggard = self.peers.values().map(|peer| peer.delivered).min().unwrap_or(0);
        let keep_from = self.position.min(laggard.max(self.tail())).min(durable);
        // A leader still has to announce what it has not told the other groups.
        let keep_from = if self.election.is_primary() { keep_from.min(self.announced) } else { keep_from };
        while self.first_outcome < keep_from {
            let gone = self.outcomes.pop_front().expect("it was delivered");
            self.outcome_bytes -= gone.message.payload.len();
            self.first_outcome += 1;
        }
        if self.planted.is(Mutant::WhiteBoxForgetsFacts) {
            let gone: Vec<MessageId> = self.unsettled.sorted().into_iter().map(|(id, _)| id).collect();
            for settling in gone.into_iter().filter_map(|id| self.unsettled.remove(&id)) {
                let outcome = settling.outcome;
                let stamp = skein_machine::Stamp { timestamp: outcome.own, id: outcome.id };
                self.remotes.values_mut().for_each(|remote| {
                    remote.owed.remove(&stamp);
                });
            }
        }
        self.forget_windows();
    }

    /// Where the deliveries begin that are kept for those behind.
    fn tail(&self) -> Position {
        let Settings { tail, tail_bytes, .. } = self.settings;
        let mut bytes = 0;
        let newest = self.outcomes.iter().rev().take(usize::try_from(tail).unwrap_or(usize::MAX));
        let kept = newest.take_while(|delivered| {
            bytes += delivered.message.payload.len();
            bytes <= tail_bytes
        });
        self.delivered() - kept.count() as Position
    }

    /// Forgets sessions, and what other groups showed of messages that were delivered.
    fn forget_windows(&mut self) {
        let safe = self.safe;
        let remotes: &ByGroup<_> = &self.remotes;
        let is_settled = |mark: &Mark| Timestamp(mark.index) <= remotes[mark.group].settled;
        let mut kept: BTreeSet<Stream> = self.stamps.iter().map(|stamp| Stream::of(stamp.id)).collect();
        kept.extend(self.unsettled.sorted().into_iter().map(|(id, _)| Stream::of(id)));
        let before = self.windows.len();
        self.windows.forget(safe, |stream| kept.contains(&stream), is_settled);
        if self.windows.len() < before {
            self.forgotten = self.forgotten.max(safe);
        }
        self.drop_what_is_over();
    }
}
