//! Expiry: a message that is said to have come too late, and that nobody had
//! delivered by then, never has an effect anywhere, and one that never expires
//! is never too late. Whether a void message is delivered at all, and where, is
//! asked by the other judges, as of any message.

use std::collections::BTreeMap;

use skein_machine::{SessionId, Timestamp};

use super::Violation;
use crate::History;

const EXPIRY: &str = "expiry";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut denied = BTreeMap::new();
    // A session is too late as a whole, from the first of its messages that is.
    let mut earliest: BTreeMap<SessionId, Timestamp> = BTreeMap::new();
    for (id, cast) in history.casts() {
        let earliest = earliest.entry(id.session).or_insert(Timestamp::MAX);
        *earliest = (*earliest).min(cast.message.expiry);
        let Some((since, teller)) = cast.expired else { continue };
        denied.insert(*id, (since, teller, cast.message.expiry));
        if *earliest == Timestamp::MAX {
            let detail = format!("{teller} lets {id} expire, and nothing that its session had sent by then ever does");
            found.push(Violation::new(EXPIRY, detail));
        }
    }
    if denied.is_empty() {
        return found;
    }
    // What somebody delivered before may be delivered elsewhere later: whoever said so had forgotten it.
    let mut first = BTreeMap::new();
    for process in history.replicas() {
        for entry in history.deliveries(process).filter(|entry| denied.contains_key(&entry.id)) {
            let earliest = first.entry(entry.id).or_insert((entry.moment, process, entry.stamp()));
            *earliest = (*earliest).min((entry.moment, process, entry.stamp()));
        }
    }
    for (id, (moment, process, stamp)) in first {
        let (since, teller, expiry) = denied[&id];
        if moment > since && stamp.timestamp <= expiry {
            let detail = format!("{process} delivered {stamp}, valid until {expiry}, after {teller} let it expire");
            found.push(Violation::new(EXPIRY, detail));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn what_expired_may_be_delivered_void_or_never() {
        let mut pen = Pen::new(1, 2);
        pen.cast_until(1, 1, 7).cast_until(2, 1, 7).expire(0, 1, 1).expire(1, 1, 1).expire(0, 2, 1);
        pen.deliver(0, 1, 1, 8).deliver(1, 1, 1, 8);
        assert!(check(&pen.history).is_empty());
    }

    #[test]
    fn catches_a_delivery_with_effect_after_it_was_denied() {
        let mut pen = Pen::new(1, 2);
        pen.cast_until(1, 1, 7).deliver(0, 1, 1, 7).expire(0, 1, 1).deliver(1, 1, 1, 7);
        assert!(check(&pen.history).is_empty(), "it was delivered and forgotten");
        let mut pen = Pen::new(1, 2);
        pen.cast_until(1, 1, 7).expire(0, 1, 1).deliver(1, 1, 1, 7);
        let found = check(&pen.history);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].to_string(), "expiry: p1 delivered s1.1@7, valid until 7, after p0 let it expire");
    }

    #[test]
    fn catches_the_expiry_of_what_never_expires() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).expire(0, 1, 1);
        assert_eq!(check(&pen.history).len(), 1);
        let mut pen = Pen::new(1, 1);
        pen.cast_until(1, 1, 7).cast(1, 2, 1).expire(0, 1, 2);
        assert!(check(&pen.history).is_empty(), "an earlier message of the session can be too late");
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast_until(1, 2, 7).expire(0, 1, 1);
        assert_eq!(check(&pen.history).len(), 1, "a later one does not matter");
    }
}
