//! Reading without multicasting, and how far everything is delivered.
//!
//! A replica asks its group how far the logs are. Whatever was delivered
//! anywhere in the group before it asked was delivered at a place of the log
//! that a quorum held by then, so one of a quorum that replies holds it too. A
//! replica that has applied the log up to the longest of a quorum's therefore
//! has a clock at or above all of that, and may read when everything up to
//! that clock is delivered. Nothing here is written down: a question dies with
//! the life that asked it.

use alloc::collections::BTreeMap;

use skein_machine::{Cluster, ProcessId, Timestamp, Up};

use super::Effects;
use super::replica::Replica;
use super::wire::Message;
use crate::Mutant;
use crate::parts::Index;

/// Its user is told how far everything is delivered after so many ticks, even if it does not ask.
const TICKS_BETWEEN_SAFE_TIMES: u32 = 10;

/// What the user of a replica wants to read. Each step holds one question, which stands for all that came before it.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    /// The newest question that the group has not been asked. It came while another one was on its way, whose replies
    /// may be older than it is.
    waiting: Option<u64>,
    /// The group is being asked.
    inquiry: Option<Inquiry>,
    /// A quorum has replied: the question, and the timestamp once the log was applied so far.
    found: Option<(u64, Timestamp)>,
}

/// A question to the group.
#[derive(Clone, Debug, Hash)]
struct Inquiry {
    round: u64,
    /// Drawn by lot, so that no reply to an earlier question, or to an earlier life, is taken for one to this.
    name: u64,
    /// Where the logs end of those who have replied, the own one too.
    ends: BTreeMap<ProcessId, Index>,
    /// The lowest place that any complete round of replies has given. What stood behind it may have been lost
    /// with its leader, so the group is asked again while it is not reached.
    point: Option<Index>,
}

impl Replica {
    /// The user wants to read what the group has by now. The group is asked at the end of the turn, once for everybody
    /// who wants to read.
    pub(super) fn want_to_read(&mut self, round: u64) {
        self.reads.waiting = self.reads.waiting.max(Some(round));
    }

    /// Takes every question as far as it goes now.
    pub(super) fn pursue_reads(&mut self, out: &mut Effects) {
        loop {
            self.tell_read_point(out);
            if self.reads.inquiry.is_none()
                && let Some(round) = self.reads.waiting.take()
            {
                self.inquire(round, None, out);
            }
            let Some(inquiry) = &mut self.reads.inquiry else { return };
            let quorum = if self.planted.is(Mutant::FastCastReadsAlone) { 1 } else { self.consensus.quorum() };
            if inquiry.ends.len() >= quorum {
                let end = inquiry.ends.values().copied().max().expect("a quorum is somebody");
                inquiry.point = Some(inquiry.point.map_or(end, |point| point.min(end)));
            }
            let is_applied = inquiry.point.is_some_and(|point| point <= self.consensus.applied());
            if !is_applied || self.reads.found.is_some() {
                return;
            }
            self.reads.found = Some((inquiry.round, self.clock));
            self.reads.inquiry = None;
        }
    }

    fn inquire(&mut self, round: u64, point: Option<Index>, out: &mut Effects) {
        let name = self.random.word();
        let ends = [(self.me, self.consensus.log().last())].into_iter().collect();
        self.reads.inquiry = Some(Inquiry { round, name, ends, point });
        out.send_early_to_all(self.consensus.others(), Message::Inquire(name));
    }

    /// Asks anew for what was not reached. Every complete round of replies is as good as the first.
    fn inquire_again(&mut self, out: &mut Effects) {
        if let Some(Inquiry { round, point, .. }) = self.reads.inquiry.take() {
            self.inquire(round, point, out);
        }
    }

    /// Somebody of the group wants to know how far the log is.
    pub(super) fn on_inquire(&self, from: ProcessId, name: u64, out: &mut Effects) {
        out.send(from, Message::Reply(name, self.consensus.log().last()));
    }

    pub(super) fn on_reply(&mut self, from: ProcessId, name: u64, end: Index) {
        if let Some(inquiry) = self.reads.inquiry.as_mut().filter(|inquiry| inquiry.name == name) {
            inquiry.ends.entry(from).or_insert(end);
        }
    }

    fn tell_read_point(&mut self, out: &mut Effects) {
        let Some((round, timestamp)) = self.reads.found else { return };
        if self.safe_time() >= timestamp || self.planted.is(Mutant::FastCastReadsTooSoon) {
            self.reads.found = None;
            // Whoever reads there wants to know that it is all here.
            self.tell_safe_time_anyway(out);
            out.emit(Up::ReadPoint { round, timestamp });
        }
    }

    // ---- How far everything is delivered.

    /// Everything up to here is delivered, and nothing else will ever come at or below it: whatever gets a local
    /// timestamp later gets one above the clock.
    pub(super) fn safe_time(&self) -> Timestamp {
        let first = self.queue.first().map_or(Timestamp::MAX, |(first, _)| first.timestamp);
        self.clock.min(Timestamp(first.0.saturating_sub(1)))
    }

    pub(super) fn tell_safe_time(&mut self, out: &mut Effects) {
        if self.target > self.safe && self.safe_time() >= self.target {
            self.tell_safe_time_anyway(out);
        }
    }

    /// The user is told now and then even if nobody waits.
    fn tell_safe_time_anyway(&mut self, out: &mut Effects) {
        let safe = self.safe_time();
        if safe > self.safe {
            self.safe = safe;
            out.emit(Up::SafeTime(safe));
        }
    }

    /// Somebody waits until everything up to a timestamp is delivered.
    pub(super) fn wait_for(&mut self, timestamp: Timestamp, out: &mut Effects) {
        self.target = self.target.max(timestamp);
        self.pursue_target(out);
    }

    /// Raises the clock of the group to what somebody waits for, though not beyond what a message may bring along: a
    /// group must not run into the end of its timestamps.
    fn pursue_target(&mut self, out: &mut Effects) {
        let to = self.target.min(Cluster::HIGHEST_FLOOR);
        if to <= self.clock || self.consensus.is_amnesiac() {
            return;
        }
        let leader = self.consensus.promised().leader;
        if leader == self.me {
            self.raise_to(to, out);
        } else {
            out.send(leader, Message::Raise(to));
        }
    }

    /// What is tried every tick until it works.
    pub(super) fn tick_reads(&mut self, out: &mut Effects) {
        self.inquire_again(out);
        self.pursue_target(out);
        if self.ticks.is_multiple_of(TICKS_BETWEEN_SAFE_TIMES) {
            self.tell_safe_time_anyway(out);
        }
    }
}
