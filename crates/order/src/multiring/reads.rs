//! Reading without multicasting, and how far everything is delivered.
//!
//! Whatever was delivered anywhere in the group was taken in a round that the
//! group's own ring had reached, and a quorum of the group held that ring so
//! far. So one of any quorum that is asked later knows a round at or above it,
//! and a process that has taken all rounds so far may read. That some of it may
//! be lost with a coordinator does no harm: a round is reached by skipping, too.

use alloc::collections::BTreeMap;

use skein_machine::{ProcessId, Timestamp, Up};

use super::Effects;
use super::replica::Replica;
use super::rings::Instance;
use super::wire::Message;
use crate::Mutant;

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
    /// A quorum has replied: the question, and up to where everything has to be taken.
    found: Option<(u64, Timestamp)>,
}

/// A question to the group.
#[derive(Clone, Debug, Hash)]
struct Inquiry {
    round: u64,
    /// Drawn by lot, so that no reply to an earlier question, or to an earlier life, is taken for one to this.
    name: u64,
    /// Where the group's ring ends for those who have replied, this process too.
    ends: BTreeMap<ProcessId, Instance>,
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
                self.inquire(round, out);
            }
            let quorum = if self.planted.is(Mutant::MultiRingReadsAlone) { 1 } else { self.cluster.quorum(self.group) };
            let is_answered = |inquiry: &mut Inquiry| inquiry.ends.len() >= quorum;
            if self.reads.found.is_some() {
                return;
            }
            let Some(inquiry) = self.reads.inquiry.take_if(is_answered) else { return };
            let end = inquiry.ends.values().copied().max().expect("a quorum is somebody");
            let timestamp = self.description.end_of_round(end);
            self.reads.found = Some((inquiry.round, timestamp));
            self.wait_for(timestamp, out);
        }
    }

    fn inquire(&mut self, round: u64, out: &mut Effects) {
        let name = self.random.word();
        let ends = [(self.me, self.rings[0].end())].into_iter().collect();
        self.reads.inquiry = Some(Inquiry { round, name, ends });
        out.send_early_to_all(self.mates(), Message::Inquire(name));
    }

    /// Somebody of the group wants to know how far the group's ring is.
    pub(super) fn on_inquire(&self, from: ProcessId, name: u64, out: &mut Effects) {
        if !self.is_amnesiac() {
            out.send(from, Message::Reply(name, self.rings[0].end()));
        }
    }

    pub(super) fn on_reply(&mut self, from: ProcessId, name: u64, end: Instance) {
        if let Some(inquiry) = self.reads.inquiry.as_mut().filter(|inquiry| inquiry.name == name) {
            inquiry.ends.entry(from).or_insert(end);
        }
    }

    fn tell_read_point(&mut self, out: &mut Effects) {
        let Some((round, timestamp)) = self.reads.found else { return };
        if self.learner.merged >= timestamp || self.planted.is(Mutant::MultiRingReadsTooSoon) {
            self.reads.found = None;
            // Whoever reads there wants to know that it is all here.
            self.tell_safe_time_anyway(out);
            out.emit(Up::ReadPoint { round, timestamp });
        }
    }

    // ---- How far everything is delivered.

    pub(super) fn tell_safe_time(&mut self, out: &mut Effects) {
        if self.target > self.told_safe && self.learner.merged >= self.target {
            self.tell_safe_time_anyway(out);
        }
    }

    /// The user is told now and then even if nobody waits. Everything up to what was taken is delivered, and nothing
    /// will ever be decided there.
    fn tell_safe_time_anyway(&mut self, out: &mut Effects) {
        let safe = self.learner.merged;
        if safe > self.told_safe {
            self.told_safe = safe;
            out.emit(Up::SafeTime(safe));
        }
    }

    /// Somebody waits until everything up to a timestamp is delivered.
    pub(super) fn wait_for(&mut self, timestamp: Timestamp, out: &mut Effects) {
        self.target = self.target.max(timestamp);
        self.ask_for_skips(out);
    }

    /// What is tried every tick until it works.
    pub(super) fn tick_reads(&mut self, out: &mut Effects) {
        if let Some(inquiry) = self.reads.inquiry.take() {
            self.inquire(inquiry.round, out);
        }
        if self.ticks.is_multiple_of(TICKS_BETWEEN_SAFE_TIMES) {
            self.tell_safe_time_anyway(out);
        }
    }
}
