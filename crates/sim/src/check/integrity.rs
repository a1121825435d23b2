//! Integrity: a message is delivered at most once, only at its destinations,
//! only if it was multicast, everywhere with the same timestamp, and stamps
//! rise at every process, unless some messages commute. (That it was multicast,
//! and unchanged, is compared while the history is written.)

use std::collections::{BTreeMap, BTreeSet};

use super::Violation;
use crate::History;

const INTEGRITY: &str = "integrity";
const TIMESTAMPS: &str = "timestamps";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    let mut timestamps = BTreeMap::new();
    for process in history.replicas() {
        let group = history.cluster().group_of(process).expect("a replica has a group");
        let mut delivered = BTreeSet::new();
        let mut newest = None;
        for entry in history.deliveries(process) {
            let id = entry.id;
            if !delivered.insert(id) {
                found.push(Violation::new(INTEGRITY, format!("{process} delivered {id} twice")));
            }
            if let Some(cast) = history.casts().get(&id)
                && !cast.message.id.destinations.contains(group)
            {
                let destinations = cast.message.id.destinations;
                found.push(Violation::new(
                    INTEGRITY,
                    format!("{process} of {group} delivered {id}, which was multicast to {destinations}"),
                ));
            }
            let (first, at) = *timestamps.entry(id).or_insert((entry.timestamp, process));
            if first != entry.timestamp {
                let timestamp = entry.timestamp;
                let detail = format!("{id} has timestamp {first} at {at} and {timestamp} at {process}");
                found.push(Violation::new(TIMESTAMPS, detail));
            }
            if let Some(newest) = newest
                && history.conflicts().is_none()
                && entry.stamp() <= newest
            {
                let stamp = entry.stamp();
                found.push(Violation::new(TIMESTAMPS, format!("{process} delivered {stamp} after {newest}")));
            }
            newest = Some(entry.stamp());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    fn properties(pen: &Pen) -> Vec<&'static str> {
        check(&pen.history).iter().map(|violation| violation.property).collect()
    }

    #[test]
    fn catches_a_second_delivery() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        assert!(properties(&pen).is_empty());
        pen.deliver(0, 1, 1, 5);
        assert!(properties(&pen).contains(&INTEGRITY));
    }

    #[test]
    fn catches_a_delivery_at_the_wrong_place() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).deliver(1, 1, 1, 5);
        assert_eq!(properties(&pen), [INTEGRITY]);
    }

    #[test]
    fn catches_two_timestamps_for_one_message() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).deliver(0, 1, 1, 5).deliver(1, 1, 1, 6);
        assert_eq!(properties(&pen), [TIMESTAMPS]);
    }

    #[test]
    fn catches_a_falling_timestamp() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 6).deliver(0, 2, 1, 5);
        assert_eq!(properties(&pen), [TIMESTAMPS]);
    }

    #[test]
    fn ids_break_ties_everywhere() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5).deliver(0, 2, 1, 5);
        assert!(properties(&pen).is_empty());
        pen.deliver(1, 2, 1, 5).deliver(1, 1, 1, 5);
        assert_eq!(properties(&pen), [TIMESTAMPS]);
    }
}
