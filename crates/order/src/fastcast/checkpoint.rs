//! What of a replica rests in a checkpoint, how it is taken back from there or
//! taken over from somebody else, and what is forgotten.
//!
//! A checkpoint is what follows from the log up to a place, and the user's
//! state. What was delivered and is not in that state counts as not delivered
//! in it: it is delivered again from what is known of it, as anything else is.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{MessageId, Multicast, Position, Up};

use super::Effects;
use super::entry::{Kept, Settlement, State};
use super::replica::{Own, Replica, Track};
use super::wire::Record;
use crate::consensus::Tail;
use crate::parts::{Queue, Stream};

impl Replica {
    /// Takes back one record after a restart.
    pub(super) fn restore(&mut self, record: Record) {
        if let Some(state) = self.consensus.restore(record) {
            self.load(state);
        }
    }

    /// Puts a state in place of what follows from the own log. What other groups have said is kept.
    fn load(&mut self, state: State) {
        let State { clock, position, user, newest, messages, windows, settled } = state;
        self.clock = clock;
        (self.position, self.user, self.covered) = (position, user, newest);
        (self.delivered, self.newest) = (position, newest);
        self.turns.clear();
        self.windows = windows;
        self.queue = Queue::new();
        self.unlogged.clear();
        self.newly_known.clear();
        (self.reign, self.shown, self.learned) = Default::default();
        self.remotes.values_mut().for_each(|remote| remote.owed.clear());
        for Settlement { group, index } in settled {
            let remote = self.remotes.get_mut(group).expect("every group is known");
            remote.settled = remote.settled.max(index);
        }
        let mut heard = core::mem::take(&mut self.tracks);
        for kept in messages {
            let Kept { index, timestamp, follows, message, hards, is_final, is_delivered, owed } = kept;
            let id = message.id;
            let before = heard.remove(&id).unwrap_or_default();
            let mut track = Track {
                own: Some(Own { index, timestamp, follows, message }),
                hards: before.hards,
                is_final,
                // Which turn it was nobody knows any more, only that it is in the user's state.
                turn: is_delivered.then_some(0),
                owed,
                sender: before.sender,
                ..Track::default()
            };
            hards.into_iter().for_each(|hard| track.hear(hard));
            for group in owed.iter() {
                self.remotes.get_mut(group).expect("every group is known").owed.insert(index, id);
            }
            self.tracks.insert(id, track);
            self.line_up(id);
            if is_delivered && !is_final {
                self.unlogged.insert(id);
            }
        }
        for (id, track) in heard.into_sorted() {
            if self.is_shown(&track) && self.windows.delivered(id).is_none() {
                self.tracks.insert(id, Track { hards: track.hards, terms: track.terms, ..Track::default() });
            }
        }
    }

    /// Everything that follows from the log so far.
    fn state(&self) -> State {
        let keep = |(_, track): (MessageId, &Track)| {
            let Own { index, timestamp, follows, message } = track.own.clone()?;
            let is_delivered = track.turn.is_some_and(|turn| turn < self.position);
            let payload = if is_delivered { Bytes::new() } else { message.payload.clone() };
            Some(Kept {
                index,
                timestamp,
                follows,
                message: Multicast { payload, ..message },
                hards: track.hards.clone(),
                is_final: track.is_final,
                is_delivered,
                owed: track.owed,
            })
        };
        let settled = self.remotes.iter().map(|(group, remote)| Settlement { group, index: remote.settled });
        State {
            clock: self.clock,
            position: self.position,
            user: self.user.clone(),
            newest: self.covered,
            messages: self.tracks.sorted().into_iter().filter_map(keep).collect(),
            windows: self.windows.clone(),
            settled: settled.collect(),
        }
    }

    /// Somebody of the group has sent everything: what it says takes the place of the own log.
    pub(super) fn take_over_what_arrives(&mut self, out: &mut Effects) {
        let Some(arrived) = self.consensus.arrival() else { return };
        let mut state = arrived.unwrap_or_else(|| self.first_state());
        // The own user may be further on, since this replica may have heard more of other groups.
        let own = (state.position < self.position).then(|| (self.position, self.user.clone()));
        if own.is_none() && state.position > self.told {
            self.told = state.position;
            out.emit(Up::Install { position: state.position, bytes: state.user.clone() });
        }
        // What was heard of a message is needed again if it is to be delivered again.
        let known: Vec<MessageId> = state.messages.iter().map(|kept| kept.message.id).collect();
        for (id, kept) in known.iter().zip(&mut state.messages) {
            let Some(track) = self.tracks.get(id) else { continue };
            for hard in &track.hards {
                if kept.hards.iter().all(|known| known.group != hard.group) {
                    kept.hards.push(*hard);
                }
            }
            // One that is owed no more was settled once and for ever.
            if track.own.is_some() {
                kept.owed = kept.owed.and(track.owed);
            }
        }
        self.load(state);
        self.deliver_what_is_ripe(out);
        assert!(self.delivered >= self.told, "what was delivered once is not delivered again");
        if let Some((position, user)) = own {
            self.cover(position, user);
        }
        let state = self.state();
        self.consensus.install(state, out);
    }

    /// The state in which a group begins.
    fn first_state(&self) -> State {
        let first =
            Replica::new(self.me, self.group, &self.cluster, skein_machine::Boot::First, self.settings, self.planted);
        first.state()
    }

    /// The log has grown: the user should hand in its state.
    pub(super) fn ask_for_checkpoint(&mut self, out: &mut Effects) {
        let is_long = self.settings.wants_checkpoint(self.appended, self.appended_bytes, self.user.len());
        if is_long && !self.wants_checkpoint {
            self.wants_checkpoint = true;
            out.emit(Up::WantCheckpoint);
        }
    }

    /// The user's state covers every delivery before this position.
    pub(super) fn checkpointed(&mut self, position: Position, bytes: Bytes, out: &mut Effects) {
        assert!(position <= self.told, "a checkpoint at {position} covers more than the {} deliveries", self.told);
        (self.wants_checkpoint, self.appended, self.appended_bytes) = (false, 0, 0);
        if position < self.position || position > self.delivered || self.consensus.is_amnesiac() {
            // Of before a restart, or before what it covers was delivered again.
            return;
        }
        self.cover(position, bytes);
        self.forget();
        let state = self.state();
        let tail = Tail { entries: self.settings.tail, bytes: self.settings.tail_bytes };
        self.consensus.checkpoint(state, tail, out);
    }

    /// The user has this state at this position.
    fn cover(&mut self, position: Position, user: Bytes) {
        while self.position < position {
            self.covered = self.turns.pop_front();
            self.position += 1;
        }
        self.user = user;
    }

    /// Forgets messages that the user's state covers and nobody will ask about, and sessions.
    fn forget(&mut self) {
        let (windows, position) = (&self.windows, self.position);
        let stays = |id: MessageId, track: &Track| match (&track.own, track.turn) {
            (Some(_), Some(turn)) => turn >= position || !self.is_settled(track),
            (Some(_), None) => true,
            (None, _) => {
                let is_proposed = self.reign.as_ref().is_some_and(|reign| reign.proposed.contains_key(&id));
                is_proposed || (self.is_shown(track) && windows.delivered(id).is_none())
            }
        };
        let gone: Vec<MessageId> =
            self.tracks.sorted().into_iter().filter(|(id, track)| !stays(*id, track)).map(|(id, _)| id).collect();
        for id in gone {
            let track = self.tracks.remove(&id).expect("it was just found");
            let Some(own) = track.own else { continue };
            for group in track.owed.iter() {
                self.remotes.get_mut(group).expect("every group is known").owed.remove(&own.index);
            }
        }
        for (_, track) in self.tracks.sorted_mut_if(|track| track.turn.is_some_and(|turn| turn < position)) {
            if let Some(own) = &mut track.own {
                own.message.payload = Bytes::new();
            }
        }
        let safe = self.safe_time();
        let kept: BTreeSet<Stream> = self.tracks.sorted().into_iter().map(|(id, _)| Stream::of(id)).collect();
        let remotes = &self.remotes;
        self.windows.forget(safe, |stream| kept.contains(&stream), |mark| mark.index <= remotes[mark.group].settled);
    }
}
