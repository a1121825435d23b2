//! What rests on the disk, how it is read back, and how the log is cut.
//!
//! Delivery is not in the order of the log. So a checkpoint holds every entry
//! that is not delivered, whatever its place, and what was delivered but is
//! not in the user's state, or that another group may still ask about.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::cell::OnceCell;

use bytes::Bytes;
use skein_machine::{GroupSet, MessageId, Position, Timestamp, Up};

use super::record::{Kept, Record, Settlement, State};
use super::replica::{Remote, Replica, Track, queue_for};
use super::{Effects, Settings};
use crate::Mutant;
use crate::parts::{ByGroup, Fate, Index, Log, Mark, Stream};

impl State {
    /// The place of the newest entry.
    pub(super) fn last(&self) -> Index {
        self.entries.last().map_or(self.base, |kept| kept.index.max(self.base))
    }
}

impl Replica {
    /// Takes back one record after a restart.
    pub(super) fn restore(&mut self, record: Record) {
        match record {
            Record::Reborn(incarnation) => {
                self.election.forget(incarnation);
            }
            Record::Ceiling(ceiling) => self.restore_clock(ceiling),
            Record::Promised(epoch, rebirths) => {
                self.election.promise(epoch);
                rebirths.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
                if self.planted.is(Mutant::PrimCastVotesWithoutMemory) {
                    self.election.follow();
                }
            }
            Record::Entries(entries) => {
                for entry in entries {
                    self.append(entry);
                }
            }
            Record::Adopted(reign, keep, entries) => {
                self.switch_to(reign, keep, entries);
                self.election.follow();
            }
            Record::Delivered(first, outcomes) => {
                for (position, outcome) in (first..).zip(outcomes) {
                    if position == self.delivered() {
                        let spot = self.tracks.spot(&outcome.id).expect("what is delivered is known");
                        self.note_delivery(outcome, spot, None);
                    }
                }
            }
            Record::Checkpoint(state) => {
                let ceiling = state.ceiling;
                self.election.remember(state.incarnation);
                let covered = state.early.clone();
                self.load(*state);
                let _ = self.early.restart(&covered);
                self.restore_clock(ceiling);
                self.election.follow();
            }
        }
        self.is_established = self.held.is_first();
    }

    fn restore_clock(&mut self, ceiling: Timestamp) {
        if !self.planted.is(Mutant::PrimCastRestartsBelowItsCeiling) {
            self.clock.restore(ceiling);
        }
    }

    /// Puts a state in place of the own one. What other groups have said of messages on the way is kept.
    pub(super) fn load(&mut self, state: State) {
        state.rebirths.into_iter().for_each(|rebirth| self.note_rebirth(rebirth));
        self.held = state.held;
        self.election.hold(state.promised);
        (self.position, self.user) = (state.position, state.user);
        (self.first_outcome, self.outcomes) = (state.first_outcome, state.outcomes.into());
        (self.newest, self.windows) = (state.newest, state.windows);
        self.queue = queue_for(self.settings);
        self.remotes.values_mut().for_each(|remote| remote.owed.clear());
        for Settlement { group, index, epoch } in state.settled {
            let remote = self.remotes.get_mut(group).expect("every group is known");
            remote.settled = remote.settled.max(index);
            let _ = remote.hears(epoch);
        }

        let mut heard = core::mem::take(&mut self.tracks);
        let mut entries = Vec::new();
        for Kept { index, entry, is_delivered, owed } in state.entries {
            let id = entry.message.id;
            let before = heard.remove(&id).unwrap_or_default();
            let track = if is_delivered { Track::default() } else { Track { age: 0, tries: 0, place: None, ..before } };
            let track = Track { index: Some(index), is_delivered, owed, ..track };
            let spot = self.tracks.insert_new(id, track);
            for group in owed.iter() {
                self.remotes.get_mut(group).expect("every group is known").owed.insert(index, spot);
            }
            entries.push((index, entry));
        }
        for (position, outcome) in (self.first_outcome..).zip(&self.outcomes) {
            if let Some(track) = self.tracks.get_mut(&outcome.id) {
                track.turn = position;
            }
        }
        self.log = Log::restore(state.base, state.base_epoch, entries.into_iter());
        self.decided = self.decided.max(state.decided).min(self.log.last());
        let pending: Vec<MessageId> =
            self.tracks.sorted_if(|track| !track.is_delivered).into_iter().map(|(id, _)| id).collect();
        for id in pending {
            let spot = self.tracks.spot(&id).expect("it is in the log");
            let track = self.tracks.at_mut(spot, &id).expect("it was just found");
            let bound = track.bound(&self.log);
            self.queue.raise(id, spot, &mut track.place, bound);
        }
        // Other groups have proposed these, and this one has not. But what a deposed primary showed, and nobody
        // decided, is worth nothing here: the message may have had another place since, may have been delivered
        // there and forgotten. If not, it will be shown again.
        let believes_all = self.planted.is(Mutant::PrimCastHearsDeposedPrimaries);
        for (id, mut track) in heard.into_sorted() {
            track.heads.retain(|head| head.is_decided || head.epoch == self.remotes[head.group].epoch || believes_all);
            if self.is_shown(&track) && self.windows.delivered(id).is_none() {
                self.tracks.insert(id, Track { heads: track.heads, terms: track.terms, ..Track::default() });
            }
        }
        let tracks = &self.tracks;
        let is_open = |id: &MessageId| tracks.get(id).is_some_and(|track| !track.is_delivered);
        self.remotes.values_mut().for_each(|remote| remote.open.retain(|_, (id, _)| is_open(id)));
    }

    /// Everything that must not be forgotten.
    pub(super) fn state(&self) -> State {
        let kept = self.log.iter().map(|(index, entry)| {
            let track = self.tracks.get(&entry.message.id).expect("what is in the log is known");
            Kept { index, entry: entry.clone(), is_delivered: track.is_delivered, owed: track.owed }
        });
        let settled = self.remotes.iter().map(|(group, remote)| {
            let Remote { settled, epoch, .. } = remote;
            Settlement { group, index: *settled, epoch: *epoch }
        });
        State {
            incarnation: self.election.incarnation(),
            rebirths: self.election.rebirths(),
            held: self.held,
            promised: self.election.promised(),
            ceiling: self.clock.ceiling(),
            position: self.position,
            user: self.user.clone(),
            early: self.covered(),
            first_outcome: self.first_outcome,
            outcomes: self.outcomes.iter().cloned().collect(),
            newest: self.newest,
            base: self.log.base(),
            base_epoch: self.log.base_epoch(),
            decided: self.decided,
            entries: kept.collect(),
            windows: self.windows.clone(),
            settled: settled.collect(),
        }
    }

    /// About how many bytes that is.
    pub(super) fn state_length(&self) -> usize {
        self.log.bytes() + self.user.len()
    }

    /// The log has grown: the user should hand in its state.
    pub(super) fn ask_for_checkpoint(&mut self, out: &mut Effects) {
        let Settings { checkpoint_every, checkpoint_bytes, checkpoint_stretch, .. } = self.settings;
        let entries = match self.appended_bytes < self.user.len() {
            true => checkpoint_every * checkpoint_stretch,
            false => checkpoint_every,
        };
        let is_long = self.appended >= entries || self.appended_bytes >= checkpoint_bytes;
        if is_long && !self.wants_checkpoint && !self.election.is_amnesiac() {
            self.wants_checkpoint = true;
            out.emit_early(Up::WantCheckpoint);
        }
    }

    /// The user's state covers every delivery before this position.
    pub(super) fn checkpointed(&mut self, position: Position, bytes: Bytes, out: &mut Effects) {
        let told = self.told();
        assert!(position <= told, "a checkpoint at {position} covers more than the {told} deliveries");
        (self.wants_checkpoint, self.appended, self.appended_bytes) = (false, 0, 0);
        if position < self.kept() || self.election.is_amnesiac() {
            return;
        }
        self.user = bytes;
        match self.settings.conflicts {
            Some(_) => self.cover(position),
            None => self.position = position,
        }
        // With this, everything in the state is in the records too, but for the user's part, which follows from them.
        self.write_deliveries(out);
        self.cut();
        if self.settings.keeps_records {
            out.compact(Record::Checkpoint(Box::new(self.state())));
        }
    }

    /// Forgets what the user's state covers and nobody will ask about. Somebody dead stops nothing: what
    /// is kept for those behind is bounded by the tail, and beyond it they get a checkpoint.
    fn cut(&mut self) {
        let Settings { tail, tail_bytes, .. } = self.settings;
        let slowest = self.peers.values().map(|peer| peer.index).min().unwrap_or(0);
        self.log.cut(self.decided.min(slowest.max(self.log.newest(tail, tail_bytes))));

        // How much a quorum has on disk, before outcomes are dropped that it could be asked about.
        let durable = self.delivered_by_quorum();
        let laggard = self.peers.values().map(|peer| peer.delivered).min().unwrap_or(0);
        let keep_from = self.position.min(laggard.max(self.delivered().saturating_sub(tail))).min(durable);
        // A primary still has to announce what it has not told the other groups.
        let keep_from = if self.election.is_primary() { keep_from.min(self.announced) } else { keep_from };
        // What has no outcome any more was once known to a quorum.
        let durable = durable.max(self.first_outcome);
        while self.first_outcome < keep_from {
            self.outcomes.pop_front();
            self.first_outcome += 1;
        }

        let cuts_too_early = self.planted.is(Mutant::PrimCastCutsTooEarly);
        self.log.sift(|index, entry| {
            let (mut fate, mut owed) = (Fate::Kept, GroupSet::EMPTY);
            self.tracks.remove_if(&entry.message.id, |track| {
                let is_settled = track.owed.is_empty() || cuts_too_early;
                owed = track.owed;
                fate = match track.is_delivered && track.turn < self.position {
                    false => Fate::Kept,
                    true if is_settled && track.turn < durable => Fate::Removed,
                    true => Fate::Stripped,
                };
                fate == Fate::Removed
            });
            if fate == Fate::Removed {
                for group in owed.iter() {
                    self.remotes.get_mut(group).expect("every group is known").owed.remove(&index);
                }
            }
            fate
        });
        self.forget_windows();
    }

    /// Forgets sessions, and what other groups showed of messages that were delivered.
    fn forget_windows(&mut self) {
        let (windows, remotes) = (&self.windows, &self.remotes);
        self.tracks
            .retain(|id, track| track.index.is_some() || (windows.delivered(*id).is_none() && track.is_shown(remotes)));
        let safe = self.safe_time();
        let remotes: &ByGroup<Remote> = &self.remotes;
        let is_settled = |mark: &Mark| mark.index <= remotes[mark.group].settled;
        // A window outlives the entries of its session: what is in the log is never proposed again.
        let kept = OnceCell::new();
        let is_kept = |session| {
            let sessions = || self.log.iter().map(|(_, entry)| Stream::of(entry.message.id)).collect::<BTreeSet<_>>();
            kept.get_or_init(sessions).contains(&session)
        };
        self.windows.forget(safe, is_kept, is_settled);
    }
}
