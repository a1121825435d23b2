//! Steps 4 and 5 at a leader, and what its followers make of them: a message is
//! committed when a quorum of every destination has acknowledged the same
//! ballots; it is delivered in the order of final timestamps, when nothing can
//! come before. What a leader delivers is a fact, whoever tells it.

use alloc::vec::Vec;

use skein_machine::{MessageId, Position, ProcessId, Timestamp};

use super::Effects;
use super::record::{Delivered, Outcome};
use super::replica::{Replica, Track};
use super::wire::{Message, Vote};
use crate::Mutant;
use crate::parts::{Epoch, Mark, Marks};

impl Replica {
    /// A process of a destination has accepted.
    pub(super) fn on_acknowledge(
        &mut self,
        from: ProcessId,
        (incarnation, promised): (u32, Epoch),
        clock: Timestamp,
        votes: Vec<Vote>,
    ) {
        if self.cluster.group_of(from) == Some(self.group) {
            self.hear_clock(from, incarnation, promised, clock);
        }
        for Vote { id, ballots } in votes {
            if let Some(track) = self.tracks.get_mut(&id) {
                track.votes.insert(from, ballots);
                self.count_votes(id);
            }
        }
    }

    /// At a leader: a quorum of every destination may have accepted by now.
    pub(super) fn count_votes(&mut self, id: MessageId) {
        if !self.election.is_primary() || !self.holds_its_promise() {
            return;
        }
        let Some(track) = self.tracks.get(&id).filter(|track| track.outcome.is_none()) else { return };
        if let Some(outcome) = self.decided(id, track) {
            self.commit(outcome);
        }
    }

    /// What becomes of a message, if a quorum of every destination has acknowledged the ballots that are known here.
    fn decided(&self, id: MessageId, track: &Track) -> Option<Outcome> {
        let own = track.own?;
        let ballots = track.offers.ballots(id.destinations)?;
        if track.offers.get(self.group)?.epoch != self.held {
            return None;
        }
        let takes_any = self.planted.is(Mutant::WhiteBoxMixesBallots);
        let counts = |process: &ProcessId| track.votes.get(process).is_some_and(|voted| takes_any || *voted == ballots);
        let is_decided = id.destinations.iter().all(|group| {
            let votes = self.cluster.members(group).iter().filter(|process| counts(process)).count();
            let spared = usize::from(self.planted.is(Mutant::WhiteBoxCountsOneVoteLess));
            votes + spared >= self.cluster.quorum(group)
        });
        if !is_decided {
            return None;
        }
        let others = track.offers.iter().filter(|offer| offer.group != self.group);
        let marks: Marks = others.map(|offer| Mark { group: offer.group, index: offer.timestamp.0 }).collect();
        Some(Outcome { id, own, timestamp: track.offers.highest(), marks })
    }

    /// The final timestamp is known: the message moves to its place.
    pub(super) fn commit(&mut self, outcome: Outcome) {
        let id = outcome.id;
        let track = self.tracks.get_mut(&id).expect("what is committed is known");
        track.outcome = Some(outcome);
        self.enqueue(id);
    }

    /// Delivers from the front of the queue, and shows the followers.
    pub(super) fn deliver_what_is_ripe(&mut self, out: &mut Effects) {
        if !self.may_lead() {
            return;
        }
        let quorum_clock = self.quorum_clock();
        while let Some(outcome) = self.next_to_deliver() {
            // Acknowledgements bring such clocks along. What was learned otherwise has to wait for them: one that was
            // deposed, and does not know it, would not know what its successor proposes below.
            if quorum_clock < outcome.timestamp && !self.planted.is(Mutant::WhiteBoxBelievesAnyFact) {
                self.target = self.target.max(outcome.timestamp);
                break;
            }
            self.deliver(outcome, out);
        }
        self.settle_safe_time();
        let (first, end) = (self.shown.max(self.first_outcome), self.delivered());
        if first < end {
            let new = self.outcomes.range((first - self.first_outcome) as usize..);
            let outcomes = new.map(|delivered| delivered.outcome.clone()).collect();
            let message = Message::Deliver { position: first, outcomes, safe: self.safe };
            // Nothing that this replica could forget makes it less true.
            out.send_early_to_all(self.others(), message);
            self.safe_said = self.safe_said.max(self.safe);
        }
        self.shown = end;
    }

    /// The message that can have the earliest place of all, if its final timestamp is known.
    fn next_to_deliver(&self) -> Option<Outcome> {
        let outcome_of = |id: MessageId| self.tracks.get(&id).and_then(|track| track.outcome.clone());
        if self.planted.is(Mutant::WhiteBoxSkipsTheWait) {
            return self.queue.iter().find_map(|(place, _)| outcome_of(place.id));
        }
        self.queue.first().and_then(|(place, _)| outcome_of(place.id))
    }

    /// What the group delivered, in order. Which leader says so does not matter, nor whether it still leads.
    pub(super) fn on_deliver(
        &mut self,
        position: Position,
        outcomes: Vec<Outcome>,
        safe: Timestamp,
        out: &mut Effects,
    ) {
        let end = position + outcomes.len() as Position;
        for (position, outcome) in (position..).zip(outcomes) {
            if position < self.delivered() {
                continue;
            }
            if position > self.delivered() || !self.has_what_was_accepted(&outcome) {
                // Behind a gap, or of a message that has not come: it will be given both.
                break;
            }
            self.deliver(outcome, out);
        }
        self.hear_safe_time(end, safe);
    }

    /// Whether a message is here as it was accepted. Proposed by one that was deposed, late, it may have lost its
    /// payload: only that proposal is void.
    fn has_what_was_accepted(&self, outcome: &Outcome) -> bool {
        let takes_any = self.planted.is(Mutant::WhiteBoxDeliversAnyPayload);
        self.tracks.get(&outcome.id).is_some_and(|track| {
            let offer = track.offers.get(self.group).map(|offer| offer.timestamp);
            track.message.is_some() && (track.own.or(offer) == Some(outcome.own) || takes_any)
        })
    }

    /// The same with the messages, from one that is ahead.
    pub(super) fn on_past(&mut self, position: Position, delivered: Vec<Delivered>, out: &mut Effects) {
        for (position, Delivered { outcome, message }) in (position..).zip(delivered) {
            if position < self.delivered() {
                continue;
            }
            if position > self.delivered() {
                break;
            }
            self.clear_own(outcome.id);
            let (_, track) = self.tracks.enter(outcome.id);
            (track.message, track.is_accepted) = (Some(message), false);
            self.deliver(outcome, out);
        }
    }
}
