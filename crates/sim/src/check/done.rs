//! Word of a delivery: whoever says that a message has been delivered elsewhere
//! says so after it was, and with a timestamp that is not below its own.

use std::collections::BTreeMap;

use super::Violation;
use crate::History;

const DONE: &str = "word of a delivery";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut first: BTreeMap<_, Option<(u64, _)>> = history.dones().iter().map(|done| (done.stamp.id, None)).collect();
    for entry in history.replicas().flat_map(|process| history.deliveries(process)) {
        if let Some(earliest) = first.get_mut(&entry.id) {
            let this = (entry.moment, entry.timestamp);
            *earliest = Some(earliest.map_or(this, |earliest| earliest.min(this)));
        }
    }
    let mut found = Vec::new();
    for done in history.dones() {
        let is_true = |(moment, timestamp)| moment < done.moment && timestamp <= done.stamp.timestamp;
        if !first[&done.stamp.id].is_some_and(is_true) {
            let detail = match first[&done.stamp.id] {
                Some((_, timestamp)) => format!("{} said so of {}, which has {timestamp}", done.process, done.stamp),
                None => format!("{} said so of {}, which nobody delivered", done.process, done.stamp),
            };
            found.push(Violation::new(DONE, detail));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn word_is_given_after_the_delivery() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).done(0, 1, 1, 5).done(0, 1, 1, 7);
        assert!(check(&pen.history).is_empty());
    }

    #[test]
    fn catches_words_that_are_not_true() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).done(0, 1, 1, 5);
        assert!(check(&pen.history)[0].detail.contains("nobody delivered"));
        pen.deliver(0, 1, 1, 5);
        assert_eq!(check(&pen.history).len(), 1, "too early");
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).done(0, 1, 1, 4);
        assert!(check(&pen.history)[0].detail.contains("which has 5"));
    }
}
