//! Reading without multicasting. Whatever has been delivered by a replica of
//! the own group was proposed here before, so it was delivered here, or it is
//! on the way here and known. A reader waits for all of that, and then for
//! whatever can still come before. Nobody has to be asked.

use alloc::collections::BTreeSet;

use skein_machine::{MessageId, Out, Stamp, Timestamp, Up};

use super::Skeen;
use crate::Mutant;

/// What the user of a process wants to read. A question that comes while another waits is begun after it, and
/// stands for all that came before it.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Reads {
    waiting: Option<u64>,
    open: Option<Read>,
}

/// One question.
#[derive(Clone, Debug, Hash)]
struct Read {
    round: u64,
    /// What was on its way here when it was asked.
    before: BTreeSet<MessageId>,
    /// The clock then, and whatever of those messages was delivered higher up.
    timestamp: Timestamp,
}

impl Skeen {
    pub(super) fn want_to_read(&mut self, round: u64, out: &mut Out<Self>) {
        self.reads.waiting = self.reads.waiting.max(Some(round));
        self.tell_readers(out);
    }

    /// A message has got its place.
    pub(super) fn note_for_readers(&mut self, Stamp { timestamp, id }: Stamp) {
        if let Some(read) = &mut self.reads.open
            && read.before.remove(&id)
        {
            read.timestamp = read.timestamp.max(timestamp);
        }
    }

    /// Answers whoever can be answered by now.
    pub(super) fn tell_readers(&mut self, out: &mut Out<Self>) {
        loop {
            if self.reads.open.is_none()
                && let Some(round) = self.reads.waiting.take()
            {
                let before = self.queue.iter().map(|place| place.id).collect();
                self.reads.open = Some(Read { round, before, timestamp: self.clock });
            }
            let Some(Read { round, before, timestamp }) = &self.reads.open else { return };
            let is_passed = self.queue.first().is_none_or(|first| first.timestamp > *timestamp);
            let may_read = (before.is_empty() && is_passed) || self.planted.is(Mutant::SkeenReadsTooSoon);
            if !may_read {
                return;
            }
            out.emit(Up::ReadPoint { round: *round, timestamp: *timestamp });
            self.reads.open = None;
        }
    }
}
