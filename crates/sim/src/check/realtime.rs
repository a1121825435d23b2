//! Real-time order: global order with further edges, from a message that was
//! over to one that was multicast later. Three readings of "over" are offered.

use skein_machine::{MessageId, ProcessId};

use super::order::delivered_before;
use super::{LIVENESS, Violation};
use crate::History;

const REAL_TIME: &str = "real-time order";

/// When a message counts as over, so that later ones must come after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RealTime {
    /// Once some replica of every destination has delivered it: what clients with answers can see.
    Completions,
    /// Once any process has delivered it: the thesis's atomic global order.
    Deliveries,
    /// Once some replica of every destination may release its answer: what clients with answers can see, where those
    /// wait until they may leave.
    Answers,
}

/// Why one node comes before another.
#[derive(Clone, Copy)]
enum Reason {
    DeliveredBefore(ProcessId),
    WasOver,
    TimePassed,
    BeganThen,
}

pub(super) fn check(history: &History, kind: RealTime, is_over: bool) -> Vec<Violation> {
    unanswered(history, kind, is_over).into_iter().chain(cycle(history, kind)).collect()
}

/// What all destinations have delivered must be answered in the end.
fn unanswered(history: &History, kind: RealTime, is_over: bool) -> Option<Violation> {
    if kind != RealTime::Answers || !is_over {
        return None;
    }
    let is_open = |id: &&MessageId| {
        over(history, **id, RealTime::Completions).is_some() && over(history, **id, RealTime::Answers).is_none()
    };
    let open = history.casts().keys().find(is_open)?;
    Some(Violation::new(LIVENESS, format!("all destinations have {open}, and some never releases its answer")))
}

fn cycle(history: &History, kind: RealTime) -> Option<Violation> {
    let (order, ids) = delivered_before(history);
    let mut graph = order.map(Reason::DeliveredBefore);
    // A chain of moments: a message enters it when it is over, and leads to whatever began later.
    let mut events: Vec<(u64, usize, bool)> = Vec::new();
    for (node, id) in ids.iter().enumerate() {
        if let Some(cast) = history.casts().get(id) {
            events.push((cast.moment, node, true));
        }
        if let Some(moment) = over(history, *id, kind) {
            events.push((moment, node, false));
        }
    }
    events.sort_unstable();
    let mut moment = graph.add_node();
    for (_, node, begins) in events {
        if begins {
            graph.edge(moment, node, Reason::BeganThen);
        } else {
            let later = graph.add_node();
            graph.edge(moment, later, Reason::TimePassed);
            graph.edge(node, later, Reason::WasOver);
            moment = later;
        }
    }
    let cycle = graph.cycle()?;
    Some(Violation::new(REAL_TIME, describe(&cycle, &ids)))
}

/// The moment from which on a message is over.
fn over(history: &History, id: MessageId, kind: RealTime) -> Option<u64> {
    let entry = |process| history.deliveries(process).find(|entry| entry.id == id);
    let delivered = |process| entry(process).map(|entry| entry.moment);
    let at_every_destination = |moment: &dyn Fn(ProcessId) -> Option<u64>| {
        let destinations = history.casts().get(&id)?.message.id.destinations;
        let mut over = 0;
        for group in destinations.iter() {
            let members = history.cluster().members(group).iter().copied();
            over = over.max(members.filter_map(moment).min()?);
        }
        Some(over)
    };
    match kind {
        RealTime::Deliveries => history.replicas().filter_map(delivered).min(),
        RealTime::Completions => at_every_destination(&delivered),
        RealTime::Answers => {
            let stamp = history.replicas().find_map(entry)?.stamp();
            at_every_destination(&|process| history.released(process, stamp))
        }
    }
}

/// The cycle in words, beginning at a message and passing over the moments between.
fn describe(cycle: &[(usize, Reason)], ids: &[MessageId]) -> String {
    let start = cycle.iter().position(|(node, _)| *node < ids.len()).expect("time alone has no cycle");
    let mut words = Vec::new();
    for (node, reason) in cycle.iter().cycle().skip(start).take(cycle.len()) {
        match reason {
            Reason::DeliveredBefore(process) => words.push(format!("{} is followed at {process}", ids[*node])),
            Reason::WasOver => words.push(format!("{} was over before the next began", ids[*node])),
            Reason::TimePassed | Reason::BeganThen => {}
        }
    }
    format!("{}, and so back to {}", words.join(", "), ids[cycle[start].0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;
    use skein_machine::{Stamp, Timestamp};

    /// Upper half of figure 5.3: y delivers m, only then m' is multicast, and x delivers m' first.
    #[test]
    fn the_first_delivery_and_the_last_make_a_difference() {
        let mut pen = Pen::new(3, 1);
        pen.cast(1, 1, 0b011).deliver(1, 1, 1, 5).cast(2, 1, 0b101);
        pen.deliver(2, 2, 1, 2).deliver(0, 2, 1, 2).deliver(0, 1, 1, 5);
        assert_eq!(check(&pen.history, RealTime::Deliveries, false).len(), 1);
        assert!(check(&pen.history, RealTime::Completions, false).is_empty(), "m was not complete when m' began");
    }

    /// The chain over three partitions that breaks the published extension of Skeen's protocol.
    #[test]
    fn catches_a_chain_of_completed_messages() {
        let (x, y, z) = (0, 1, 2);
        let (b, c, d, m) = (1, 2, 3, 4);
        let mut pen = Pen::new(3, 1);
        pen.cast(c, 1, 0b110).cast(d, 1, 0b011).deliver(x, d, 1, 20);
        pen.cast(m, 1, 0b001).deliver(x, m, 1, 21);
        pen.cast(b, 1, 0b100).deliver(z, b, 1, 1);
        pen.deliver(z, c, 1, 10).deliver(y, c, 1, 10).deliver(y, d, 1, 20);
        let found = check(&pen.history, RealTime::Completions, false);
        assert_eq!(found.len(), 1);
        for part in ["s4.1 was over before the next began", "s1.1 is followed at p2", "s2.1 is followed at p1"] {
            assert!(found[0].detail.contains(part), "{}", found[0]);
        }
        assert!(super::super::order::global(&pen.history).is_empty(), "without real time there is no cycle");
    }

    /// A client has its answer as soon as one replica of each destination has delivered.
    #[test]
    fn one_replica_of_every_destination_completes_a_message() {
        let mut pen = Pen::new(2, 2);
        pen.cast(1, 1, 0b11).deliver(0, 1, 1, 5).cast(2, 1, 0b10);
        pen.deliver(3, 2, 1, 2).deliver(3, 1, 1, 5);
        assert!(check(&pen.history, RealTime::Completions, false).is_empty(), "only one destination had it");
        pen.cast(3, 1, 0b01).deliver(1, 3, 1, 4).deliver(1, 1, 1, 5);
        assert_eq!(check(&pen.history, RealTime::Completions, false).len(), 1);
    }

    #[test]
    fn what_was_over_stays_over_when_others_follow() {
        for kind in [RealTime::Completions, RealTime::Deliveries] {
            let mut pen = Pen::new(2, 2);
            // The other began before, so nothing but time leads from one to the other.
            pen.cast(1, 1, 0b01).cast(2, 1, 0b10).deliver(0, 1, 1, 5).deliver(2, 2, 1, 6);
            pen.cast(3, 1, 0b01).deliver(1, 3, 1, 4).deliver(1, 1, 1, 5);
            assert_eq!(check(&pen.history, kind, false).len(), 1, "{kind:?}");
        }
    }

    /// An answer that waits until everything before it is settled makes the difference in the chain of three.
    #[test]
    fn answers_that_wait_keep_the_order() {
        let stamp = |session, at| Stamp { timestamp: Timestamp(at), id: MessageId::new(session, 1, 0b1) };
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).deliver(0, 1, 1, 5).cast(2, 1, 0b10).deliver(1, 2, 1, 4);
        let found = check(&pen.history, RealTime::Answers, true);
        assert!(found[0].detail.contains("never releases its answer"), "{}", found[0]);
        pen.history.settled(ProcessId(0), stamp(1, 5));
        pen.history.settled(ProcessId(1), Stamp { id: MessageId::new(2, 1, 0b10), ..stamp(2, 4) });
        assert!(check(&pen.history, RealTime::Answers, true).is_empty());
        // Whatever is multicast now comes later, though its timestamp says otherwise: no chain leads back.
        pen.cast(3, 1, 0b01).deliver(0, 3, 1, 6);
        assert!(check(&pen.history, RealTime::Answers, false).is_empty());
        pen.cast(4, 1, 0b01).deliver(1, 4, 1, 7).deliver(1, 1, 1, 8);
        assert_eq!(check(&pen.history, RealTime::Answers, false).len(), 1);
    }
}
