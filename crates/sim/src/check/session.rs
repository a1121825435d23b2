//! Sender order: the messages of one session are delivered in the order sent,
//! at every destination that they share.

use std::collections::BTreeMap;

use super::Violation;
use crate::History;

const SENDER: &str = "sender order";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for process in history.replicas() {
        let mut newest = BTreeMap::new();
        for entry in history.deliveries(process) {
            let before = newest.insert(entry.id.session, entry.id.sequence);
            if let Some(before) = before
                && entry.id.sequence < before
            {
                let (session, sequence) = (entry.id.session, entry.id.sequence);
                let detail = format!("{process} delivered message {sequence} of {session} after message {before}");
                found.push(Violation::new(SENDER, detail));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::tests::Pen;

    #[test]
    fn catches_a_session_out_of_order() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 1, 5).deliver(0, 1, 2, 6);
        assert!(check(&pen.history).is_empty());
        pen.deliver(1, 1, 2, 6).deliver(1, 1, 1, 5);
        assert_eq!(check(&pen.history).len(), 1);
    }
}
