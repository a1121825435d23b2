//! Reading without multicasting: a replica finds a point such that everything
//! delivered anywhere in its group before it was asked lies at or below, and is
//! delivered here. It asks its group for clocks, and takes as low a point as a
//! quorum of replies allows: a delivery takes a quorum of clocks that have passed
//! it, many of those who replied belong to that quorum, and no clock has fallen.
//! Then it raises the group to that clock and waits until SAFE-TS is there, in
//! whichever epoch that happens. Whoever replies while it waits may spare it the
//! rest: one clock that is far ahead holds up nobody for long. The thesis has no
//! reads; why these are sound is told in docs/primcast.md.
//!
//! Nothing here is written down: a question dies with the life that asked it.
//! Whoever cannot hear a quorum, or is not settled in an epoch, answers nobody.

use alloc::collections::BTreeMap;

use skein_machine::{Cluster, ProcessId, Time, Timestamp, Up};

use super::Effects;
use super::replica::{Peer, Replica};
use super::wire::Message;
use crate::Mutant;
use crate::parts::reached_by;

/// What the user of a replica wants to read, in three steps. Each holds one question, which stands for all
/// that came before it: however many there are, the group is asked once at a time.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    /// The newest question that the group has not been asked. It came while another one was on its way, whose
    /// replies may be older than it is.
    waiting: Option<u64>,
    /// The group is being asked.
    inquiry: Option<Inquiry>,
    /// A quorum has replied, and SAFE-TS has not reached the point. No later question takes its place: reads that
    /// come all the time must not put each other off. But who replies only now may lower the point.
    found: Option<Inquiry>,
}

/// A question to the group.
#[derive(Clone, Debug, Hash)]
struct Inquiry {
    /// Drawn by lot, so that no reply to an earlier question, or to an earlier life, is taken for one to this.
    name: u64,
    round: u64,
    /// What each first replied; the own clock, too, as it was when this was asked.
    clocks: BTreeMap<ProcessId, Timestamp>,
    /// The point that the group was last raised to.
    sought: Option<Timestamp>,
}

impl Replica {
    /// The user wants to read what the group has by now. Whom to ask is seen to at the end of the turn, once for
    /// everybody who wants to read.
    pub(super) fn want_to_read(&mut self, round: u64) {
        self.reads.waiting = self.reads.waiting.max(Some(round));
    }

    /// Takes every question as far as it goes now.
    pub(super) fn pursue_reads(&mut self, now: Time, out: &mut Effects) {
        loop {
            self.tell_read_point(out);
            self.inquire(now, out);
            let has_replies = self.reads.inquiry.as_ref().is_some_and(|inquiry| self.point_of(inquiry).is_some());
            if self.reads.found.is_none() && has_replies {
                self.reads.found = self.reads.inquiry.take();
            }
            if !self.seek_read_point(now, out) {
                return;
            }
        }
    }

    /// Asks the group, unless it is being asked already. Whoever has lost its memory waits until it is a replica
    /// again: before, its own clock says nothing.
    fn inquire(&mut self, now: Time, out: &mut Effects) {
        if self.reads.inquiry.is_some() || self.election.is_amnesiac() {
            return;
        }
        let Some(round) = self.reads.waiting.take() else { return };
        let inquiry = Inquiry {
            name: self.election.random().word(),
            round,
            clocks: [(self.me, self.clock.value())].into_iter().collect(),
            sought: None,
        };
        self.ask_those_missing(&inquiry, now, out);
        self.reads.inquiry = Some(inquiry);
    }

    /// Asks those who have not replied; a point that is not reached, too, is lower when they have.
    pub(super) fn inquire_again(&self, now: Time, out: &mut Effects) {
        for inquiry in self.reads.inquiry.iter().chain(&self.reads.found) {
            self.ask_those_missing(inquiry, now, out);
        }
    }

    /// The question promises nothing, so it waits for no disk, and brings along only what this replica has heard of
    /// itself: that clock is on disk. Others who have passed it spare everybody a round, where otherwise the clock of
    /// whoever asks would be the one that nobody has reached. One that is far ahead takes nobody along.
    fn ask_those_missing(&self, inquiry: &Inquiry, now: Time, out: &mut Effects) {
        let clock = Some(self.peers[&self.me].clock).filter(|clock| *clock <= self.furthest_believed(now));
        out.send_early_to_all(
            self.others().filter(|process| !inquiry.clocks.contains_key(process)),
            Message::Inquire { name: inquiry.name, clock: clock.unwrap_or(Timestamp::ZERO) },
        );
    }

    /// Somebody of the group wants to know how far the clocks are. A whole report goes back, so that SAFE-TS can rise
    /// there at once. It waits for the disk, as every clock does that leaves.
    pub(super) fn on_inquire(&mut self, now: Time, from: ProcessId, name: u64, clock: Timestamp, out: &mut Effects) {
        self.raise_clock(clock, out);
        out.send(from, Message::Reply { name, report: self.report(now) });
    }

    /// A clock that was told after the question was asked. Whether its speaker has lost its memory since, or has
    /// promised another epoch, is all the same: it remembered when it spoke.
    pub(super) fn on_reply(&mut self, from: ProcessId, name: u64, clock: Timestamp) {
        let takes_any = self.planted.is(Mutant::PrimCastReadsOnOldReplies);
        for inquiry in self.reads.inquiry.iter_mut().chain(&mut self.reads.found) {
            if inquiry.name == name || takes_any {
                inquiry.clocks.entry(from).or_insert(clock);
            }
        }
    }

    /// The point that follows from the replies so far, once they are a quorum's. Whatever was delivered before the
    /// question, a quorum's clocks had passed it, and at least so many of those who have replied were among them.
    fn point_of(&self, Inquiry { clocks, .. }: &Inquiry) -> Option<Timestamp> {
        let spared = usize::from(self.planted.is(Mutant::PrimCastReadsFromAMinority));
        let quorum = if self.planted.is(Mutant::PrimCastReadsAlone) { 1 } else { self.quorum() - spared };
        if clocks.len() < quorum {
            return None;
        }
        let size = self.cluster.members(self.group).len();
        let common = (self.quorum() + clocks.len()).saturating_sub(size).max(1);
        let too_many = usize::from(self.planted.is(Mutant::PrimCastLowersReadPointsTooFar) && clocks.len() > quorum);
        reached_by(clocks.values().copied(), common + too_many)
    }

    /// Up to where somebody waits to read.
    pub(super) fn read_point(&self) -> Option<Timestamp> {
        self.point_of(self.reads.found.as_ref()?)
    }

    /// Sets out for a point that is new. If it is far, it waits for the next tick, from which on it is a target like any
    /// other: until then others may reply and lower it. Answers whether there was anything to do.
    fn seek_read_point(&mut self, now: Time, out: &mut Effects) -> bool {
        let Some(point) = self.read_point() else { return false };
        let sought = self.reads.found.as_mut().and_then(|found| found.sought.replace(point));
        if sought == Some(point) {
            return false;
        }
        if !self.is_safe(point) && point <= self.next_raise(now) {
            let to = point.min(Cluster::HIGHEST_FLOOR);
            self.raise_clock(to, out);
            self.is_clock_awaited = true;
            // As a rule the primary had the largest clock, and those who replied are as far: then it is enough to
            // follow.
            if !self.is_passed_by_others(to) && to <= self.furthest_believed(now) {
                out.send_all(self.others(), Message::Raise(to));
            }
        }
        true
    }

    /// What was told once is safe for ever, also while this replica is between two epochs.
    fn is_safe(&self, timestamp: Timestamp) -> bool {
        self.told.max(self.safe_time()) >= timestamp
    }

    /// Whether SAFE-TS gets there without anybody else's doing more, once the own clock has.
    fn is_passed_by_others(&self, timestamp: Timestamp) -> bool {
        let is_past = |(process, peer): &(&ProcessId, &Peer)| **process != self.me && peer.clock >= timestamp;
        self.leader_clock() >= timestamp && self.peers.iter().filter(is_past).count() + 1 >= self.quorum()
    }

    fn tell_read_point(&mut self, out: &mut Effects) {
        let Some(timestamp) = self.read_point() else { return };
        if (self.is_safe(timestamp) || self.planted.is(Mutant::PrimCastReadsTooSoon))
            && let Some(Inquiry { round, .. }) = self.reads.found.take()
        {
            if self.told < timestamp {
                // Whoever reads there wants to know that it is all here.
                self.tell_safe_time_anyway(out);
            }
            out.emit_early(Up::ReadPoint { round, timestamp });
        }
    }
}
