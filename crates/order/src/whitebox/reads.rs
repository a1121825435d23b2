//! Reading without multicasting: a replica finds a point such that everything
//! delivered anywhere in its group before it was asked lies at or below, and is
//! delivered here. It asks its group for clocks, and takes as low a point as a
//! quorum of replies allows: a leader delivers nothing before a quorum of clocks
//! has passed it, nobody delivers what no leader has, and no clock falls. Then
//! it raises the group to that point, and waits until everything up to there is
//! delivered. Why that is sound is told in docs/whitebox.md.
//!
//! Nothing here is written down: a question dies with the life that asked it.

use alloc::collections::BTreeMap;

use skein_machine::{ProcessId, Timestamp, Up};

use super::Effects;
use super::replica::Replica;
use super::wire::Message;
use crate::Mutant;
use crate::parts::reached_by;

/// What the user of a replica wants to read. Each step holds one question, which stands for all that came before it:
/// however many there are, the group is asked once at a time.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    /// The newest question that the group has not been asked. It came while another one was on its way, whose
    /// replies may be older than it is.
    waiting: Option<u64>,
    /// The group is being asked.
    inquiry: Option<Inquiry>,
    /// A quorum has replied, and not everything up to the point is delivered. No later question takes its place.
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
    /// The user wants to read what the group has by now. The group is asked at the end of the turn.
    pub(super) fn want_to_read(&mut self, round: u64) {
        self.reads.waiting = self.reads.waiting.max(Some(round));
    }

    /// Takes every question as far as it goes now.
    pub(super) fn pursue_reads(&mut self, out: &mut Effects) {
        loop {
            self.tell_read_point(out);
            self.inquire(out);
            let has_replies = self.reads.inquiry.as_ref().is_some_and(|inquiry| self.point_of(inquiry).is_some());
            if self.reads.found.is_none() && has_replies {
                self.reads.found = self.reads.inquiry.take();
            }
            if !self.seek_read_point(out) {
                return;
            }
        }
    }

    /// Asks the group, unless it is being asked already. Whoever has lost its memory waits until it is a replica
    /// again: before, its own clock says nothing.
    fn inquire(&mut self, out: &mut Effects) {
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
        self.ask_those_missing(&inquiry, out);
        self.reads.inquiry = Some(inquiry);
    }

    /// Asks those who have not replied; a point that is not reached, too, is lower when they have.
    pub(super) fn inquire_again(&self, out: &mut Effects) {
        for inquiry in self.reads.inquiry.iter().chain(&self.reads.found) {
            self.ask_those_missing(inquiry, out);
        }
    }

    /// The question promises nothing, so it waits for no disk.
    fn ask_those_missing(&self, inquiry: &Inquiry, out: &mut Effects) {
        let missing = self.others().filter(|process| !inquiry.clocks.contains_key(process));
        out.send_early_to_all(missing, Message::Inquire(inquiry.name));
    }

    /// Somebody of the group wants to know how far the clocks are. The reply waits for the disk, as every clock does
    /// that leaves.
    pub(super) fn on_inquire(&self, from: ProcessId, name: u64, out: &mut Effects) {
        out.send(from, Message::Reply(name, self.report()));
    }

    /// A clock that was told after the question was asked. Whether its speaker has lost its memory since, or has
    /// promised another epoch, is all the same: it remembered when it spoke.
    pub(super) fn on_reply(&mut self, from: ProcessId, name: u64, clock: Timestamp) {
        let takes_any = self.planted.is(Mutant::WhiteBoxReadsOnOldReplies);
        for inquiry in self.reads.inquiry.iter_mut().chain(&mut self.reads.found) {
            if inquiry.name == name || takes_any {
                inquiry.clocks.entry(from).or_insert(clock);
            }
        }
    }

    /// The point that follows from the replies so far, once they are a quorum's. Whatever was delivered before the
    /// question, a quorum's clocks had passed it, and at least so many of those who have replied were among them.
    fn point_of(&self, Inquiry { clocks, .. }: &Inquiry) -> Option<Timestamp> {
        let quorum = if self.planted.is(Mutant::WhiteBoxReadsAlone) { 1 } else { self.quorum() };
        if clocks.len() < quorum {
            return None;
        }
        let size = self.cluster.members(self.group).len();
        let common = (self.quorum() + clocks.len()).saturating_sub(size).max(1);
        reached_by(clocks.values().copied(), common)
    }

    /// Up to where somebody waits to read.
    pub(super) fn read_point(&self) -> Option<Timestamp> {
        self.point_of(self.reads.found.as_ref()?)
    }

    /// Sets out for a point that is new. Answers whether there was anything to do.
    fn seek_read_point(&mut self, out: &mut Effects) -> bool {
        let Some(point) = self.read_point() else { return false };
        let sought = self.reads.found.as_mut().and_then(|found| found.sought.replace(point));
        if sought == Some(point) {
            return false;
        }
        self.settle_safe_time();
        self.pursue_target(out);
        true
    }

    fn tell_read_point(&mut self, out: &mut Effects) {
        let Some(timestamp) = self.read_point() else { return };
        if (self.safe >= timestamp || self.planted.is(Mutant::WhiteBoxReadsTooSoon))
            && let Some(Inquiry { round, .. }) = self.reads.found.take()
        {
            // Whoever reads there wants to know that it is all here.
            self.tell_safe_time_anyway(out);
            out.emit(Up::ReadPoint { round, timestamp });
        }
    }
}
