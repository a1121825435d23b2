//! Agreement: what one process delivered, even one that crashed right after,
//! is delivered by all destinations. Liveness: what somebody insists on is
//! delivered. Both are asked at the end of a run, after calm.

use std::collections::BTreeMap;

use skein_machine::{MessageId, ProcessId};

use super::{LIVENESS, Violation};
use crate::History;

const AGREEMENT: &str = "agreement";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut holders: BTreeMap<MessageId, Vec<ProcessId>> = BTreeMap::new();
    for process in history.replicas() {
        for entry in history.deliveries(process) {
            holders.entry(entry.id).or_default().push(process);
        }
    }
    let mut found = Vec::new();
    for (id, cast) in history.casts() {
        match holders.get(id) {
            Some(holders) => {
                let mut destinations = history.cluster().replicas(cast.message.id.destinations);
                if let Some(missing) = destinations.find(|process| !holders.contains(process)) {
                    let detail = format!("{} delivered {id}, and {missing} never did", holders[0]);
                    found.push(Violation::new(AGREEMENT, detail));
                }
            }
            None if cast.is_owed => {
                let destinations = cast.message.id.destinations;
                found.push(Violation::new(LIVENESS, format!("nobody of {destinations} ever delivered {id}")));
            }
            None => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn catches_a_message_that_one_of_two_delivered() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        let found = check(&pen.history);
        assert_eq!((found.len(), found[0].property), (1, AGREEMENT));
        pen.deliver(1, 1, 1, 5);
        assert!(check(&pen.history).is_empty());
    }

    #[test]
    fn what_nobody_insists_on_is_delivered_by_all_or_none() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).deliver(1, 1, 1, 5);
        pen.history.give_up(MessageId::new(1, 1, 0b1));
        assert_eq!(check(&pen.history)[0].property, AGREEMENT);
    }

    #[test]
    fn catches_a_message_that_is_owed_and_lost() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1);
        assert_eq!(check(&pen.history)[0].property, LIVENESS);
        pen.history.give_up(MessageId::new(1, 1, 0b1));
        assert!(check(&pen.history).is_empty(), "its session died");
        let mut pen = Pen::new(1, 1);
        pen.cast_until(1, 1, 7).expire(0, 1, 1);
        assert!(check(&pen.history).is_empty(), "its session was told");
        assert_eq!(pen.history.unfinished(), 0);
    }
}
