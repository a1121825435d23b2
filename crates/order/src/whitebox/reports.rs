//! What the replicas of a group tell each other of themselves: which epoch they
//! hold, what they have promised, their clocks. From this a leader knows what
//! nobody proposes below any more, and with that how far everything is
//! delivered: its followers are told.

use skein_machine::{Cluster, Position, ProcessId, Timestamp, Up};

use super::Effects;
use super::replica::Replica;
use super::wire::{Message, Report};
use crate::Mutant;
use crate::parts::Epoch;

impl Replica {
    /// A replica of the own group has said how far it has come.
    pub(super) fn on_report(&mut self, from: ProcessId, report: &Report, out: &mut Effects) {
        if !self.election.counts(from, report.incarnation) {
            // Said in a life that it has forgotten.
            return;
        }
        if from == self.me {
            self.is_durable = true;
        }
        self.election.hear_of(report.promised);
        self.election.hear(from);
        self.hear_clock(from, report.incarnation, report.promised, report.clock);
        let held = self.held;
        let peer = self.peers.get_mut(&from).expect("only replicas of the group report");
        let is_new_here = peer.held < held && report.held == held;
        peer.held = peer.held.max(report.held);
        peer.delivered = peer.delivered.max(report.delivered);
        if is_new_here {
            peer.pause.end();
        }
        // A heartbeat counts only from a leader that this replica could follow.
        let could_follow = report.promised >= self.election.promised() && from == report.promised.leader;
        if report.is_leader && could_follow && from != self.me {
            self.election.hear_primary();
        }
        self.hear_safe_time(report.safe_from, report.safe);
        if is_new_here && from != self.me && self.may_lead() {
            self.show_everything(from, out);
        }
    }

    /// A clock counts for those who follow, or lead, no epoch below the one that it was promised to.
    pub(super) fn hear_clock(&mut self, from: ProcessId, incarnation: u32, promised: Epoch, clock: Timestamp) {
        if !self.election.counts(from, incarnation) {
            return;
        }
        let takes_any_clock = self.planted.is(Mutant::WhiteBoxCountsLaterClocks);
        let held = self.held;
        let peer = self.peers.get_mut(&from).expect("only replicas of the group tell their clocks");
        if promised <= held || takes_any_clock {
            peer.clock = peer.clock.max(clock);
        } else {
            peer.ahead = peer.ahead.max(Some((promised, clock)));
        }
    }

    /// What later epochs can say now that this replica holds one.
    pub(super) fn recount_clocks(&mut self) {
        for peer in self.peers.values_mut() {
            if let Some((promised, clock)) = peer.ahead
                && promised <= self.held
            {
                peer.ahead = None;
                peer.clock = peer.clock.max(clock);
            }
        }
    }

    // ---- How far everything is delivered.

    /// At a leader: nothing at or below this will be proposed, neither by itself nor by a successor, and nothing that
    /// has been is left. What it has delivered holds everything up to there, for ever and whoever leads.
    pub(super) fn settle_safe_time(&mut self) {
        if !self.may_lead() {
            return;
        }
        let quorum_clock = self.quorum_clock();
        let trusts_itself = self.planted.is(Mutant::WhiteBoxTellsItsOwnClock);
        let clocks = if trusts_itself { self.clock.value() } else { self.clock.value().min(quorum_clock) };
        // By local timestamps, also of what waits with a final one: so whatever is still delivered here has a local
        // timestamp above.
        let safe = match self.stamps.first() {
            Some(first) => clocks.min(Timestamp(first.timestamp.0 - 1)),
            None => clocks,
        };
        self.safe = self.safe.max(safe);
    }

    /// Whoever has delivered so much has delivered everything up to a timestamp.
    pub(super) fn hear_safe_time(&mut self, from: Position, safe: Timestamp) {
        if self.delivered() >= from {
            self.safe = self.safe.max(safe);
        } else if self.safe_ahead.is_none_or(|(_, ahead)| ahead <= safe) {
            self.safe_ahead = Some((from, safe));
        }
        if let Some((from, safe)) = self.safe_ahead
            && self.delivered() >= from
        {
            self.safe_ahead = None;
            self.safe = self.safe.max(safe);
        }
    }

    /// The end of a turn: tells those who wait for it.
    pub(super) fn tell_safe_time(&mut self, out: &mut Effects) {
        if self.target > self.told && self.safe >= self.target {
            self.tell_safe_time_anyway(out);
        }
        if self.may_lead() && self.awaited > self.safe_said && self.safe >= self.awaited {
            self.safe_said = self.safe;
            out.send_all(self.others(), Message::Report(self.report()));
        }
    }

    /// The user is told now and then even if nobody waits.
    pub(super) fn tell_safe_time_anyway(&mut self, out: &mut Effects) {
        if self.safe > self.told {
            self.told = self.safe;
            out.emit(Up::SafeTime(self.safe));
        }
    }

    /// The user waits until everything up to a timestamp is delivered.
    pub(super) fn wait_for(&mut self, timestamp: Timestamp, out: &mut Effects) {
        self.target = self.target.max(timestamp);
        // What is delivered already costs nobody a word.
        self.tell_safe_time(out);
        self.pursue_target(out);
    }

    /// Somebody of the group waits for a timestamp. The leader has to know how far this replica's clock is.
    pub(super) fn on_raise(&mut self, from: ProcessId, timestamp: Timestamp, out: &mut Effects) {
        self.raise_clock(timestamp, out);
        self.awaited = self.awaited.max(timestamp);
        let report = Message::Report(self.report());
        let leader = self.held.leader;
        out.send_all([from, leader].into_iter().take(if from == leader { 1 } else { 2 }), report);
    }

    /// Raises the clocks of the group to what somebody waits for, though not beyond what a message may bring along: a
    /// group must not run into the end of its timestamps.
    pub(super) fn pursue_target(&mut self, out: &mut Effects) {
        // A point to read at may yet be lowered, so it is no target for good.
        let target = self.target.max(self.read_point().unwrap_or(Timestamp::ZERO));
        if target > self.safe && !self.election.is_amnesiac() {
            let to = target.min(Cluster::HIGHEST_FLOOR);
            self.raise_clock(to, out);
            out.send_all(self.others(), Message::Raise(to));
            // Also to itself: what it hears of itself is on disk.
            out.send(self.me, Message::Report(self.report()));
        }
    }

    // ---- Saying where it stands.

    /// Says that it lives, to itself too: what it hears of itself is on disk.
    pub(super) fn say_heartbeat(&mut self, out: &mut Effects) {
        let report = self.report();
        let has_moved = self.said.as_ref() != Some(&report);
        let me = self.me;
        out.send_all(self.members().filter(|member| has_moved || *member != me), Message::Report(report.clone()));
        self.said = Some(report);
        self.safe_said = self.safe;
    }

    pub(super) fn report(&self) -> Report {
        Report {
            incarnation: self.election.incarnation(),
            held: self.held,
            promised: self.election.promised(),
            clock: self.clock.value(),
            is_leader: self.election.is_primary(),
            delivered: self.written,
            safe_from: self.delivered(),
            safe: self.safe,
        }
    }
}
