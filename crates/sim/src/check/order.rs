//! Prefix order: any two processes deliver what they share in the same order,
//! and neither leaves a hole. Global order: "delivered before", over all
//! processes together, has no cycle. Where some messages commute, both speak of
//! those that conflict, and the first is asked of every state that a user had.

use std::collections::BTreeMap;

use skein_machine::{GroupId, GroupSet, MessageId, ProcessId, Stamp};

use super::Violation;
use super::cycle::Graph;
use crate::History;

const PREFIX: &str = "prefix order";
const GLOBAL: &str = "global order";

/// For every two groups: what their replicas delivered of the messages to both
/// must be prefixes of one sequence.
pub(super) fn prefix(history: &History) -> Vec<Violation> {
    if let Some(states) = history.states() {
        return states.holes(history.casts());
    }
    let mut found = Vec::new();
    let cluster = history.cluster();
    let groups: Vec<GroupId> = cluster.groups().iter().collect();
    for (nth, &first) in groups.iter().enumerate() {
        for &second in &groups[nth..] {
            let both: GroupSet = [first, second].into_iter().collect();
            let shared: Vec<(ProcessId, Vec<MessageId>)> =
                cluster.replicas(both).map(|process| (process, delivered_to(history, process, both))).collect();
            let longest = shared.iter().max_by_key(|(_, ids)| ids.len()).expect("a group has a replica");
            for (process, ids) in &shared {
                if let Some(place) = ids.iter().zip(&longest.1).position(|(one, other)| one != other) {
                    found.push(Violation::new(
                        PREFIX,
                        format!(
                            "of the messages to {both}, {process} delivered {} where {} delivered {}",
                            ids[place], longest.0, longest.1[place]
                        ),
                    ));
                }
            }
        }
    }
    found
}

/// What a process delivered of the messages whose destinations include these groups.
fn delivered_to(history: &History, process: ProcessId, groups: GroupSet) -> Vec<MessageId> {
    let is_shared =
        |id: &MessageId| history.casts().get(id).is_some_and(|cast| groups.within(cast.message.id.destinations));
    history.deliveries(process).map(|entry| entry.id).filter(is_shared).collect()
}

/// The union of all orders must have no cycle.
pub(super) fn global(history: &History) -> Vec<Violation> {
    let (graph, ids) = delivered_before(history);
    let Some(cycle) = graph.cycle() else { return Vec::new() };
    let steps: Vec<String> =
        cycle.iter().map(|(node, process)| format!("{} is followed at {process}", ids[*node])).collect();
    vec![Violation::new(GLOBAL, format!("{}, and so back to {}", steps.join(", "), ids[cycle[0].0]))]
}

/// An edge from each delivery to the next one of the same process, or to the next that conflicts with it. A
/// message that a process repeats stands where it was delivered first: what conflicts with it and was new to a
/// later life has a higher stamp, or the earlier life had a hole.
pub(super) fn delivered_before(history: &History) -> (Graph<ProcessId>, Vec<MessageId>) {
    let mut numbers = BTreeMap::new();
    let mut ids = Vec::new();
    for id in history.replicas().flat_map(|process| history.deliveries(process)).map(|entry| entry.id) {
        numbers.entry(id).or_insert_with(|| {
            ids.push(id);
            ids.len() - 1
        });
    }
    let mut graph = Graph::new(ids.len());
    for process in history.replicas() {
        let order: Vec<(usize, Stamp)> =
            history.deliveries(process).map(|entry| (numbers[&entry.id], entry.stamp())).collect();
        for (place, (number, stamp)) in order.iter().enumerate() {
            let conflicts = |(_, later): &&(usize, Stamp)| match history.states() {
                Some(states) => states.conflict(history.casts(), *stamp, *later),
                None => true,
            };
            if let Some((next, _)) = order[place + 1..].iter().find(conflicts)
                && next != number
            {
                graph.edge(*number, *next, process);
            }
        }
    }
    (graph, ids)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    #[test]
    fn catches_two_orders() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).cast(2, 1, 0b11);
        pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(1, 2, 1, 6).deliver(1, 1, 1, 5);
        assert_eq!(prefix(&pen.history)[0].property, PREFIX);
        assert_eq!(global(&pen.history)[0].property, GLOBAL);
    }

    #[test]
    fn catches_a_hole() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(1, 2, 1, 6);
        assert_eq!(prefix(&pen.history).len(), 1);
        assert!(global(&pen.history).is_empty(), "a hole is no cycle");
    }

    #[test]
    fn catches_two_ways_on_from_where_a_third_stopped() {
        let mut pen = Pen::new(1, 3);
        pen.cast(1, 1, 1).cast(2, 1, 1).cast(3, 1, 1).deliver(1, 1, 1, 5);
        pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(2, 1, 1, 5).deliver(2, 3, 1, 7);
        assert_eq!(prefix(&pen.history).len(), 1);
    }

    #[test]
    fn a_shorter_prefix_is_no_hole() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(1, 1, 1, 5);
        assert!(prefix(&pen.history).is_empty());
    }

    /// No two processes share two messages, so prefix order has nothing to say.
    #[test]
    fn catches_a_cycle_over_three_groups() {
        let mut pen = Pen::new(3, 1);
        pen.cast(1, 1, 0b101).cast(2, 1, 0b011).cast(3, 1, 0b110);
        pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6);
        pen.deliver(1, 2, 1, 6).deliver(1, 3, 1, 7);
        assert!(global(&pen.history).is_empty());
        pen.deliver(2, 3, 1, 7).deliver(2, 1, 1, 8);
        assert!(prefix(&pen.history).is_empty());
        let found = global(&pen.history);
        assert!(found[0].detail.starts_with("s1.1 is followed at p0, s2.1 is followed at p1, s3.1"), "{}", found[0]);
    }

    #[test]
    fn catches_a_cycle_among_those_that_conflict() {
        let cycle = |letters: [char; 3]| {
            let mut pen = Pen::commuting(3, 1);
            pen.say(1, 0b101, letters[0]).say(2, 0b011, letters[1]).say(3, 0b110, letters[2]);
            pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6);
            pen.deliver(1, 2, 1, 6).deliver(1, 3, 1, 7);
            pen.deliver(2, 3, 1, 7).deliver(2, 1, 1, 8);
            assert!(prefix(&pen.history).is_empty());
            global(&pen.history).len()
        };
        assert_eq!(cycle(['e', 'e', 'e']), 1);
        assert_eq!((cycle(['a', 'e', 'a']), cycle(['e', 'd', 'e']), cycle(['a', 'a', 'a'])), (0, 0, 0));
    }

    /// What stands between two that conflict need not conflict with either.
    #[test]
    fn what_commutes_is_passed_over() {
        let mut pen = Pen::commuting(2, 1);
        pen.say(1, 0b11, 'e').say(2, 0b11, 'd').say(3, 0b11, 'e');
        pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(0, 3, 1, 7);
        pen.deliver(1, 2, 1, 6).deliver(1, 1, 1, 5).deliver(1, 3, 1, 7);
        assert!(prefix(&pen.history).is_empty() && global(&pen.history).is_empty());
        let mut pen = Pen::commuting(2, 1);
        pen.say(1, 0b11, 'e').say(2, 0b11, 'd').say(3, 0b11, 'e');
        pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 6).deliver(0, 3, 1, 7);
        pen.deliver(1, 3, 1, 7).deliver(1, 2, 1, 6).deliver(1, 1, 1, 5);
        assert_eq!(global(&pen.history).len(), 1);
    }
}
