//! Reading without multicasting: a replica finds a point such that everything
//! delivered anywhere in its group before it was asked lies at or below, and is
//! delivered here. It asks its group for clocks. The largest clock of a quorum
//! is enough, since a delivery takes a quorum of clocks that have passed it, and
//! two quorums share a replica whose clock has not fallen. Then it raises the
//! group to that clock and waits until SAFE-TS is there, in whichever epoch that
//! happens. The thesis has no reads; why these are sound is told in
//! docs/primcast.md.
//!
//! Nothing here is written down: a question dies with the life that asked it.
//! Whoever cannot hear a quorum, or is not settled in an epoch, answers nobody.

use alloc::collections::BTreeSet;

use skein_machine::{ProcessId, Time, Timestamp, Up};

use super::Effects;
use super::election::Role;
use super::replica::{Peer, Replica};
use super::wire::Message;
use crate::Mutant;

/// What the user of a replica wants to read, in three steps. Each holds one question, which stands for all
/// that came before it: however many there are, the group is asked once at a time.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    /// The newest question that the group has not been asked. It came while another one was on its way, whose
    /// replies may be older than it is.
    waiting: Option<u64>,
    /// The group is being asked.
    inquiry: Option<Inquiry>,
    /// The point is known, and SAFE-TS has not reached it. It is not replaced by a later one: reads that
    /// come all the time must not put each other off.
    found: Option<Point>,
}

/// A question to the group.
#[derive(Clone, Debug, Hash)]
struct Inquiry {
    /// Drawn by lot, so that no reply to an earlier question, or to an earlier life, is taken for one to this.
    name: u64,
    round: u64,
    replied: BTreeSet<ProcessId>,
    /// The largest clock among the replies.
    highest: Timestamp,
}

#[derive(Clone, Copy, Debug, Hash)]
struct Point {
    round: u64,
    timestamp: Timestamp,
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
            self.inquire(out);
            if self.reads.found.is_some() || !self.has_replies() {
                return;
            }
            self.find_read_point(now, out);
        }
    }

    /// Asks the group, unless it is being asked already. Whoever has lost its memory waits until it is a replica
    /// again: before, its own clock says nothing.
    fn inquire(&mut self, out: &mut Effects) {
        if self.reads.inquiry.is_some() || self.role == Role::Amnesiac {
            return;
        }
        let Some(round) = self.reads.waiting.take() else { return };
        let name = self.random.word();
        self.reads.inquiry = Some(Inquiry { name, round, replied: BTreeSet::new(), highest: Timestamp::ZERO });
        self.inquire_again(out);
    }

    /// Asks those who have not replied. The question promises nothing, so it waits for no disk, and brings along only
    /// what it has heard of itself: that clock is on disk. Others who have passed it spare everybody a round, where
    /// otherwise the clock of whoever asks would be the one that nobody has reached.
    pub(super) fn inquire_again(&self, out: &mut Effects) {
        let Some(Inquiry { name, replied, .. }) = &self.reads.inquiry else { return };
        if self.has_replies() {
            return;
        }
        let clock = self.peers[&self.me].clock;
        out.send_early_to_all(
            self.others().filter(|process| !replied.contains(process)),
            Message::Inquire { name: *name, clock },
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
        if let Some(inquiry) = &mut self.reads.inquiry
            && (inquiry.name == name || takes_any)
        {
            inquiry.replied.insert(from);
            inquiry.highest = inquiry.highest.max(clock);
        }
    }

    /// Whether a quorum has spoken, this replica among it.
    fn has_replies(&self) -> bool {
        let Some(inquiry) = &self.reads.inquiry else { return false };
        let spared = usize::from(self.planted.is(Mutant::PrimCastReadsFromAMinority));
        let quorum = if self.planted.is(Mutant::PrimCastReadsAlone) { 1 } else { self.quorum() - spared };
        inquiry.replied.len() + 1 >= quorum
    }

    /// The point to read at, and on the way to it.
    fn find_read_point(&mut self, now: Time, out: &mut Effects) {
        let Some(Inquiry { round, highest, .. }) = self.reads.inquiry.take() else { return };
        // The clock as it is now: what this replica has delivered, or reported, since it asked lies below.
        let timestamp = highest.max(self.clock.value());
        self.reads.found = Some(Point { round, timestamp });
        self.target = self.target.max(timestamp);
        // As a rule the primary had the largest clock, and those who replied are as far: then it is enough to follow.
        if let Some(to) = self.raise_to_target(now, out)
            && !self.is_passed_by_others(to)
        {
            out.send_all(self.others(), Message::Raise(to));
        }
    }

    /// Whether SAFE-TS gets there without anybody else's doing more, once the own clock has.
    fn is_passed_by_others(&self, timestamp: Timestamp) -> bool {
        let is_past = |(process, peer): &(&ProcessId, &Peer)| **process != self.me && peer.clock >= timestamp;
        self.leader_clock() >= timestamp && self.peers.iter().filter(is_past).count() + 1 >= self.quorum()
    }

    fn tell_read_point(&mut self, out: &mut Effects) {
        let Some(Point { round, timestamp }) = self.reads.found else { return };
        // What was told once is safe for ever, also while this replica is between two epochs.
        let is_safe = self.told.max(self.safe_time()) >= timestamp;
        if is_safe || self.planted.is(Mutant::PrimCastReadsTooSoon) {
            self.reads.found = None;
            out.emit(Up::ReadPoint { round, timestamp });
        }
    }
}
