//! Step 3: whoever knows the proposals of all destinations accepts that of its
//! own group, passes all of them with its clock, and acknowledges that to all
//! leaders, once it is on disk.
//!
//! Messages of one session are accepted in order: a new leader that finds one
//! finds those before it, with lower timestamps.

use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, ProcessId, Timestamp};

use super::Effects;
use super::offers::Offer;
use super::record::{Entry, Record};
use super::replica::{Replica, Terms, Track};
use super::wire::{Header, Message, Vote};
use crate::Mutant;
use crate::parts::Epoch;

impl Replica {
    /// The leader of the own group has proposed.
    pub(super) fn on_propose(&mut self, from: ProcessId, epoch: Epoch, entries: Vec<Entry>, out: &mut Effects) {
        self.election.hear_of(epoch);
        if !self.follows(from, epoch) {
            // Of an epoch that is not held: the leader will show it again when it is.
            return;
        }
        for Entry { timestamp, follows, message } in entries {
            let id = message.id;
            if self.windows.delivered(id).is_some() {
                continue;
            }
            let (_, track) = self.tracks.enter(id);
            if track.own.is_none() {
                (track.message, track.follows) = (Some(message), follows);
            }
            track.offers.insert(Offer { group: self.group, epoch, timestamp });
            self.accept(id, Some(from), out);
        }
    }

    /// Whether it accepts what this process proposes in this epoch of its group.
    fn follows(&self, from: ProcessId, epoch: Epoch) -> bool {
        let is_promised =
            self.holds_its_promise() || (self.planted.is(Mutant::WhiteBoxFollowsTwoLeaders) && self.remembers());
        self.held == epoch && is_promised && from == epoch.leader
    }

    /// The leader of another destination has proposed.
    pub(super) fn on_accept(
        &mut self,
        from: ProcessId,
        epoch: Epoch,
        settled: Timestamp,
        headers: Vec<Header>,
        out: &mut Effects,
    ) {
        let group = self.cluster.group_of(from).expect("a leader is in a group");
        let remote = self.remotes.get_mut(group).expect("these come from other groups");
        if !remote.hears(epoch) && !self.planted.is(Mutant::WhiteBoxHearsDeposedLeaders) {
            return;
        }
        remote.settled = remote.settled.max(settled);
        let settled = remote.settled;
        for Header { timestamp, id, floor, expiry, follows } in headers {
            if self.unsettled.contains(&id) {
                self.tell_fact(from, id);
                continue;
            }
            let is_over = timestamp <= settled || self.windows.delivered(id).is_some();
            if is_over && !self.is_on_the_way(id) {
                continue;
            }
            let (_, track) = self.tracks.enter(id);
            track.offers.insert(Offer { group, epoch, timestamp });
            track.terms = Some(Terms { floor, expiry, follows });
            self.accept(id, Some(from), out);
            self.count_votes(id);
        }
    }

    /// Accepts a message if all that it takes is here, and whatever of its session waits for that. Who has just shown
    /// it may not have heard that it was acknowledged, and hears it again.
    pub(super) fn accept(&mut self, id: MessageId, asker: Option<ProcessId>, out: &mut Effects) {
        let mut next = Some((id, asker));
        while let Some((id, asker)) = next {
            let is_accepted = self.accept_one(id, asker, out);
            next = if is_accepted { self.held_back.remove(&id).map(|behind| (behind, None)) } else { None };
        }
    }

    /// Answers whether it is accepted by now.
    fn accept_one(&mut self, id: MessageId, asker: Option<ProcessId>, out: &mut Effects) -> bool {
        let may_accept = self.holds_its_promise() || self.planted.is(Mutant::WhiteBoxFollowsTwoLeaders);
        let Some(track) = self.tracks.get(&id) else { return false };
        let (Some(message), Some(ballots)) = (&track.message, track.offers.ballots(id.destinations)) else {
            return track.is_accepted;
        };
        let offer = *track.offers.get(self.group).expect("it is a destination");
        if !may_accept || offer.epoch != self.held {
            return track.is_accepted;
        }
        let (highest, follows) = (track.offers.highest(), track.follows);
        if !track.is_accepted {
            if !self.has_accepted(id, follows) {
                self.held_back.insert(MessageId { sequence: follows, ..id }, id);
                return false;
            }
            let entry = Entry { timestamp: offer.timestamp, follows, message: message.clone() };
            self.write(|| Record::Accepted(entry), out);
            if track.own.is_none() {
                self.set_own(id, offer.timestamp);
            }
        }
        if !self.planted.is(Mutant::WhiteBoxForgetsToRaise) {
            self.raise_clock(highest, out);
        }
        let track = self.tracks.get_mut(&id).expect("it was just found");
        let own = track.own.expect("what is accepted has a timestamp");
        assert_eq!(own, offer.timestamp, "{id} is proposed twice in {}", offer.epoch);
        track.is_accepted = true;
        let is_news = track.voted.as_ref() != Some(&ballots);
        track.voted = Some(ballots.clone());
        for ballot in &ballots {
            let leader = ballot.epoch.leader;
            if is_news || asker == Some(leader) {
                self.votes.entry(leader).or_default().push(Vote { id, ballots: ballots.clone() });
            }
        }
        true
    }

    /// Whether the message of the session that must come before has been accepted here.
    fn has_accepted(&self, id: MessageId, follows: u64) -> bool {
        let before = MessageId { sequence: follows, ..id };
        let is_accepted = |track: &Track| track.is_accepted;
        follows == 0
            || self.tracks.get(&before).is_some_and(is_accepted)
            || self.windows.delivered(before).is_some()
            || self.planted.is(Mutant::WhiteBoxAcceptsWithGaps)
    }

    /// The end of step 3: what was accepted in this turn is acknowledged in one message to each leader.
    pub(super) fn acknowledge(&mut self, out: &mut Effects) {
        for (leader, votes) in core::mem::take(&mut self.votes) {
            let message = Message::Acknowledge {
                incarnation: self.election.incarnation(),
                // Not the epoch in which it accepted: a clock that rose after a promise says nothing to those before.
                promised: self.election.promised(),
                clock: self.clock.value(),
                votes,
            };
            if self.planted.is(Mutant::WhiteBoxAcknowledgesEarly) {
                out.send_early(leader, message);
            } else {
                out.send(leader, message);
            }
        }
        for (process, outcomes) in core::mem::take(&mut self.facts) {
            out.send(process, Message::Facts(outcomes));
        }
    }

    /// What this process has acknowledged to a leader may be lost.
    pub(super) fn acknowledge_again(&mut self, leader: ProcessId) {
        for (id, track) in self.tracks.sorted_if(|track| track.voted.is_some()) {
            let ballots = track.voted.clone().expect("it was chosen because it voted");
            if ballots.iter().any(|ballot| ballot.epoch.leader == leader) {
                self.votes.entry(leader).or_default().push(Vote { id, ballots });
            }
        }
    }

    /// Whether another group has proposed a message, as far as that is not over: what was settled there since was
    /// delivered here, and is forgotten; what was shown by one that was deposed will be shown again, or is lost.
    pub(super) fn is_shown(&self, track: &Track) -> bool {
        let counts = |group: GroupId, epoch: Epoch, timestamp: Timestamp| {
            let remote = &self.remotes[group];
            epoch == remote.epoch && timestamp > remote.settled
        };
        let mut others = track.offers.iter().filter(|offer| offer.group != self.group);
        others.any(|offer| counts(offer.group, offer.epoch, offer.timestamp))
    }
}
