//! Sender order: the messages of one session are delivered in the order sent,
//! at every destination that they share, and without a gap: where a later one
//! is delivered, every earlier one to that group was delivered before.

use std::collections::BTreeMap;

use skein_machine::{GroupId, SessionId};

use super::Violation;
use crate::History;

const SENDER: &str = "sender order";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let sent = sent_to(history);
    let mut found = Vec::new();
    for process in history.replicas() {
        let group = history.cluster().group_of(process).expect("a replica has a group");
        // How many messages of each session were delivered here.
        let mut delivered: BTreeMap<SessionId, usize> = BTreeMap::new();
        for entry in history.deliveries(process) {
            let (session, sequence) = (entry.id.session, entry.id.sequence);
            let so_far = delivered.entry(session).or_default();
            let expected = sent.get(&(group, session)).and_then(|sequences| sequences.get(*so_far));
            *so_far += 1;
            if expected.is_some_and(|expected| *expected != sequence) {
                let expected = expected.expect("it was compared");
                let detail = format!("{process} delivered message {sequence} of {session} where {expected} is next");
                found.push(Violation::new(SENDER, detail));
                break;
            }
        }
    }
    found
}

/// What each session sent to each group, in the order of its sending.
fn sent_to(history: &History) -> BTreeMap<(GroupId, SessionId), Vec<u64>> {
    let mut sent: BTreeMap<(GroupId, SessionId), Vec<u64>> = BTreeMap::new();
    for (id, cast) in history.casts() {
        for group in cast.message.id.destinations.iter() {
            sent.entry((group, id.session)).or_default().push(id.sequence);
        }
    }
    sent
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn catches_a_session_out_of_order() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 1, 5).deliver(0, 1, 2, 6);
        assert!(check(&pen.history).is_empty());
        pen.deliver(1, 1, 2, 6).deliver(1, 1, 1, 5);
        assert_eq!(check(&pen.history).len(), 1);
    }

    #[test]
    fn catches_a_gap_and_passes_over_what_went_elsewhere() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).cast(1, 2, 0b10).cast(1, 3, 0b01).cast(1, 4, 0b01);
        pen.deliver(0, 1, 1, 5).deliver(0, 1, 3, 6);
        assert!(check(&pen.history).is_empty(), "message 2 went to the other group");
        let mut gap = Pen::new(1, 1);
        gap.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 2, 6);
        assert_eq!(check(&gap.history).len(), 1, "message 1 was left out");
    }
}
