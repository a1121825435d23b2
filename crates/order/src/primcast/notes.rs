//! What a replica notes for those who want to see inside, and what it answers
//! when they ask of a message that is still on its way. Nothing here changes
//! anything: a replica whose host takes no notes does the same.
//!
//! Words are noted, not messages: one word of a peer says of a whole batch of
//! messages how far they are.

use alloc::vec;
use alloc::vec::Vec;

use skein_machine::chronicle::Place;
use skein_machine::{Chronicle, MessageId, Outlook, ProcessId, SessionId, Stamp, Timestamp, Want};

use super::Effects;
use super::heads::{Head, Heads};
use super::replica::{Replica, Track};
use super::wire::Message;
use crate::parts::{Index, Spot};

impl Replica {
    /// A peer, or this replica itself, says how far somebody is.
    pub(super) fn note_word(&self, from: ProcessId, message: &Message, chronicle: &mut Chronicle) {
        match message {
            Message::Report(report) | Message::Reply { report, .. } => {
                // A clock that was told under a later promise counts when this replica gets there.
                let clock = if report.promised <= self.held { report.clock } else { Timestamp::ZERO };
                chronicle.holds(from, report.held.round, report.index, clock);
            }
            Message::Acknowledge { held, index, .. } => chronicle.holds(from, held.round, *index, Timestamp::ZERO),
            Message::Headers { epoch, headers, .. } => {
                let group = self.cluster.group_of(from);
                if let Some((group, last)) = group.zip(headers.last()) {
                    chronicle.proposed(group, from, epoch.round, last.index, last.timestamp);
                }
            }
            Message::Append { epoch, previous, entries } if *epoch == self.held && *previous <= self.log.last() => {
                if let Some(last) = entries.last() {
                    let index = previous + entries.len() as Index;
                    chronicle.proposed(self.group, from, epoch.round, index, last.timestamp);
                }
            }
            _ => {}
        }
    }

    /// How far the own log is at the end of a turn.
    pub(super) fn note_log(&self, chronicle: &mut Chronicle) {
        chronicle.epoch(self.held.round, self.held.leader);
        let clock = self.leader_clock();
        chronicle.proposed(self.group, self.held.leader, self.held.round, self.log.last(), clock);
    }

    /// A message is delivered before its turn.
    pub(super) fn note_early(&self, stamp: Stamp, spot: Spot, out: &mut Effects) {
        let Some(chronicle) = out.chronicle() else { return };
        let track = self.track(stamp.id, spot);
        let own = self.own_place(track).expect("what is delivered is in the log");
        chronicle.delivered(stamp, track.sender, own, places_of(&track.heads));
    }

    /// Where a message stands in the own log.
    fn own_place(&self, track: &Track) -> Option<Place> {
        let index = track.index?;
        let entry = self.log.get(index)?;
        Some(Place { group: self.group, round: entry.epoch.round, index, timestamp: entry.timestamp })
    }

    /// See [`Machine::outlook`](skein_machine::Machine::outlook).
    pub(super) fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        let (id, track) = self.tracks.find(|id| (id.session, id.sequence) == (session, sequence))?;
        if track.is_delivered || self.early.contains(id) {
            return None;
        }
        let places = self.own_place(track).into_iter().chain(places_of(&track.heads)).collect();
        let spot = self.tracks.spot(&id).expect("it was just found");
        let timestamp = self.outcome(id, spot).map(|outcome| outcome.timestamp);
        let wants = match timestamp {
            None => self.what_misses(id, track),
            Some(timestamp) => self.what_holds_up(Stamp { timestamp, id }),
        };
        Some(Outlook { id, sender: track.sender, places, timestamp, wants })
    }

    /// See [`Machine::waiting`](skein_machine::Machine::waiting).
    pub(super) fn waiting(&self, most: usize) -> Vec<MessageId> {
        let queued = self.queue.iter().map(|(stamp, _)| stamp.id).filter(|id| !self.early.contains(*id));
        let mut waiting: Vec<MessageId> = queued.take(most).collect();
        let unproposed = self.tracks.sorted_if(|track| track.index.is_none());
        waiting.extend(unproposed.into_iter().map(|(id, _)| id).take(most - waiting.len()));
        waiting
    }

    /// What is missing before the final timestamp is known.
    fn what_misses(&self, id: MessageId, track: &Track) -> Vec<Want> {
        let mut wants = Vec::new();
        match track.index {
            None if self.is_settled_in() => wants.push(Want::Proposal(self.group)),
            None => wants.push(Want::Primary),
            Some(index) if index <= self.decided => {}
            Some(index) => {
                let lacks = |process: &ProcessId| {
                    let peer = &self.peers[process];
                    peer.held != self.held || peer.index < index
                };
                wants.push(Want::Majority(self.group, self.members().filter(lacks).collect()));
            }
        }
        for group in self.other_groups(id.destinations).iter() {
            match track.heads.get(group) {
                None => wants.push(Want::Proposal(group)),
                Some(head) if head.is_decided => {}
                Some(head) => {
                    let voters = &self.remotes[group].voters;
                    let holds = |(held, index): &(_, _)| *held == head.epoch && *index >= head.index;
                    let members = self.cluster.members(group).iter().copied();
                    let lacking = members.filter(|process| !voters.get(process).is_some_and(holds));
                    wants.push(Want::Majority(group, lacking.collect()));
                }
            }
        }
        wants
    }

    /// What stands before a message whose final timestamp is known.
    fn what_holds_up(&self, stamp: Stamp) -> Vec<Want> {
        if self.election.is_amnesiac() || !self.is_settled_in() {
            return vec![Want::Primary];
        }
        let mut wants = Vec::new();
        if self.leader_clock() < stamp.timestamp {
            wants.push(Want::PrimaryClock(self.held.leader));
        }
        if self.quorum_clock() < stamp.timestamp {
            let is_behind = |process: &ProcessId| self.peers[process].clock < stamp.timestamp;
            wants.push(Want::Clocks(self.members().filter(is_behind).collect()));
        }
        if let Some((first, _)) = self.queue.first().filter(|(first, _)| first.id != stamp.id) {
            wants.push(Want::Turn(first.id));
        }
        wants
    }
}

/// Where a message stands in the logs of other groups.
pub(super) fn places_of(heads: &Heads) -> impl Iterator<Item = Place> {
    let place = |head: &Head| {
        let Head { group, epoch, index, timestamp, .. } = *head;
        Place { group, round: epoch.round, index, timestamp }
    };
    heads.iter().map(place)
}
