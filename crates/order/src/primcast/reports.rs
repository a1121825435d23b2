//! What the replicas of a group tell each other of themselves: how far they
//! hold the log, what they have promised, and their clocks. From this each
//! knows what is decided, and what can still be proposed. It stands in place
//! of the thesis's ACK inside a group, of BUMP and of ACCEPT.

use skein_machine::{Cluster, ProcessId, Time, Timestamp, Up};

use super::replica::Replica;
use super::wire::{Message, Report};
use super::{ClockKind, Effects};
use crate::Mutant;
use crate::parts::{Index, reached_by};

impl Replica {
    /// A replica of the own group has said how far it has come.
    pub(super) fn on_report(&mut self, from: ProcessId, report: &Report) {
        if !self.election.counts(from, report.incarnation) {
            // Said in a life that it has forgotten.
            return;
        }
        if from == self.me {
            self.is_durable = true;
        }
        self.election.hear_of(report.promised);
        self.election.hear(from);
        let held = self.held;
        let takes_any_clock = self.planted.is(Mutant::PrimCastCountsLaterClocks);
        let peer = self.peers.get_mut(&from).expect("only replicas of the group report");
        (peer.held, peer.index) = (peer.held, peer.index).max((report.held, report.index));
        if report.promised <= held || takes_any_clock {
            peer.clock = peer.clock.max(report.clock);
        } else {
            peer.ahead = peer.ahead.max(Some((report.promised, report.clock)));
        }
        peer.delivered = peer.delivered.max(report.delivered);
        peer.reading = report.reading;
        if self.election.is_primary() && peer.held == held && peer.index >= self.log.base() {
            // The log of this epoch has arrived.
            peer.pause.end();
        }
        // After a restart the leader of an epoch is its primary no more: it may have forgotten what it
        // proposed last, and its clock stands at the ceiling, above those proposals.
        let is_primary = report.is_primary || self.planted.is(Mutant::PrimCastTrustsARestartedLeader);
        if from == held.leader && is_primary && report.held == held && report.promised == held {
            self.hear_leader_clock(report.index, report.clock);
        }
        // A heartbeat counts only from a primary that this replica could follow.
        if report.is_primary
            && from == report.promised.leader
            && report.promised >= self.election.promised()
            && from != self.me
        {
            self.election.hear_primary();
        }
    }

    fn hear_leader_clock(&mut self, index: Index, clock: Timestamp) {
        if index <= self.log.last() {
            self.leader_clock = self.leader_clock.max(clock);
        } else {
            self.leader_ahead = self.leader_ahead.max(Some((index, clock)));
        }
    }

    /// The log has grown: a clock that waited for it may count now.
    pub(super) fn recount_leader_clock(&mut self) {
        if let Some((index, clock)) = self.leader_ahead
            && index <= self.log.last()
        {
            self.leader_ahead = None;
            self.leader_clock = self.leader_clock.max(clock);
        }
    }

    /// What later epochs can say now that this replica holds `held`.
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

    /// Nothing is proposed in the held epoch at or below this (thesis, line 22).
    pub(super) fn leader_clock(&self) -> Timestamp {
        if self.election.is_primary() { self.clock.value() } else { self.leader_clock }
    }

    /// Nothing is proposed in later epochs at or below this (thesis, line 23).
    pub(super) fn quorum_clock(&self) -> Timestamp {
        let quorum = if self.planted.is(Mutant::PrimCastCountsAMinority) { 1 } else { self.quorum() };
        reached_by(self.peers.values().map(|peer| peer.clock), quorum).unwrap_or(Timestamp::ZERO)
    }

    /// Everything up to this was delivered here, and nothing at or below it will ever be.
    /// The thesis takes the smallest undelivered timestamp itself: one too high.
    pub(super) fn safe_time(&self) -> Timestamp {
        if !self.is_settled_in() {
            return Timestamp::ZERO;
        }
        let clocks = self.leader_clock().min(self.quorum_clock());
        match self.queue.first() {
            Some((first, _)) => clocks.min(Timestamp(first.timestamp.0 - 1)),
            None => clocks,
        }
    }

    // ---- Saying where it stands.

    /// Says that it lives. What has changed since it last spoke, it says to itself too.
    pub(super) fn say_heartbeat(&mut self, now: Time, out: &mut Effects) {
        let report = self.report(now);
        let has_moved = self.said.as_ref().is_none_or(|said| said.has_moved(&report));
        let me = self.me;
        let members = self.cluster.clone();
        let members = members.members(self.group);
        self.say(report, |place| has_moved || members[place] != me, out);
        self.unsaid.report = false;
    }

    /// To itself, too: what it hears of itself is on disk.
    pub(super) fn say(&mut self, report: Report, whom: impl Fn(usize) -> bool, out: &mut Effects) {
        let message = Message::Report(report.clone());
        let to = self.cluster.members(self.group).iter().enumerate().filter(|(place, _)| whom(*place));
        let to = to.map(|(_, process)| *process);
        if self.planted.is(Mutant::PrimCastCountsItselfEarly) {
            out.send_early(self.me, message.clone());
        }
        if self.planted.is(Mutant::PrimCastAcknowledgesEarly) {
            out.send_early_to_all(to, message);
        } else {
            out.send_all(to, message);
        }
        self.said = Some(report);
    }

    pub(super) fn report(&self, now: Time) -> Report {
        let reading = match self.settings.clock {
            ClockKind::Logical => Time::ZERO,
            ClockKind::Hybrid { .. } => now,
        };
        Report {
            incarnation: self.election.incarnation(),
            held: self.held,
            index: self.log.last(),
            promised: self.election.promised(),
            clock: self.clock.value(),
            is_primary: self.election.is_primary(),
            delivered: self.written,
            reading,
        }
    }

    pub(super) fn tell_safe_time(&mut self, out: &mut Effects) {
        if self.target > self.told {
            let safe = self.safe_time();
            if safe >= self.target {
                self.told = safe;
                out.emit_early(Up::SafeTime(safe));
            }
        }
    }

    /// The user is told now and then even if nobody waits.
    pub(super) fn tell_safe_time_anyway(&mut self, out: &mut Effects) {
        let safe = self.safe_time();
        if safe > self.told {
            self.told = safe;
            out.emit_early(Up::SafeTime(safe));
        }
    }

    /// Somebody waits until everything up to a timestamp is delivered.
    pub(super) fn wait_for(&mut self, now: Time, timestamp: Timestamp, out: &mut Effects) {
        self.target = self.target.max(timestamp);
        // What is delivered already costs nobody a word.
        self.tell_safe_time(out);
        self.pursue_target(now, out);
    }

    /// Somebody of the group waits for a timestamp: it hears at once how far this replica's clock is.
    pub(super) fn on_raise(&mut self, now: Time, from: ProcessId, timestamp: Timestamp, out: &mut Effects) {
        self.raise_clock(timestamp, out);
        out.send(from, Message::Report(self.report(now)));
    }

    /// Raises the clocks of the group to what somebody waits for, though not beyond what a
    /// message may bring along: a group must not run into the end of its timestamps.
    pub(super) fn pursue_target(&mut self, now: Time, out: &mut Effects) {
        if let Some(to) = self.raise_to_target(now, out) {
            out.send_all(self.others(), Message::Raise(to));
        }
    }

    /// The same of its own clock. Answers how far the others have to come, if anybody waits.
    fn raise_to_target(&mut self, now: Time, out: &mut Effects) -> Option<Timestamp> {
        // A point to read at may yet be lowered, so it is no target for good.
        let target = self.target.max(self.read_point().unwrap_or(Timestamp::ZERO));
        if target <= self.told || self.election.is_amnesiac() {
            return None;
        }
        let to = target.min(Cluster::HIGHEST_FLOOR).min(self.next_raise(now));
        self.raise_clock(to, out);
        self.is_clock_awaited = true;
        Some(to)
    }

    /// How far this replica raises its clock at once, whoever waits. Where a quorum's clocks are, no single wrong one
    /// leads.
    pub(super) fn next_raise(&self, now: Time) -> Timestamp {
        let next = self.ahead_of(self.clock.value());
        self.furthest_believed(now).max(next).max(self.quorum_clock())
    }

    /// A clock that is further on than this may be wrong, as far as the hardware tells.
    pub(super) fn furthest_believed(&self, now: Time) -> Timestamp {
        self.reading(now).map_or(Timestamp::MAX, |reading| self.ahead_of(reading))
    }

    /// So far a clock is believed that is compared with this one: without hardware any.
    fn ahead_of(&self, present: Timestamp) -> Timestamp {
        match self.settings.clock {
            ClockKind::Logical => Timestamp::MAX,
            ClockKind::Hybrid { bound } => Timestamp(Time::from_nanos(present.0).after(bound).as_nanos()),
        }
    }
}

impl Report {
    /// Whether this one says more than a heartbeat.
    pub(super) fn has_moved(&self, new: &Report) -> bool {
        (self.held, self.index, self.promised, self.clock, self.is_primary)
            != (new.held, new.index, new.promised, new.clock, new.is_primary)
    }
}
