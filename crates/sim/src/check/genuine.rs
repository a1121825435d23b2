//! Genuineness: processes of different groups talk only when some message has
//! both among its sender and destinations, and only from its multicast until
//! all have delivered it (and a stated while after, for those protocols that
//! must learn that others have). Inside a group anything may be said.

use std::collections::BTreeMap;

use skein_machine::ProcessId;

use super::Violation;
use crate::history::Cast;
use crate::{History, Nanos};

const GENUINENESS: &str = "genuineness";

pub(super) fn check(history: &History, grace: Nanos) -> Vec<Violation> {
    let cluster = history.cluster();
    let finished = history.finished();
    let mut by_pair: BTreeMap<(ProcessId, ProcessId), Vec<Nanos>> = BTreeMap::new();
    for sent in &history.traffic {
        let group = cluster.group_of(sent.from);
        if group.is_none() || group != cluster.group_of(sent.to) {
            by_pair.entry((sent.from, sent.to)).or_default().push(sent.at);
        }
    }
    // A destination takes part from the multicast on, and a process from when it was asked to send.
    let since = |cast: &Cast, process: ProcessId| {
        let is_destination =
            cluster.group_of(process).is_some_and(|group| cast.message.id.destinations.contains(group));
        if is_destination { Some(cast.at) } else { cast.senders.get(&process).copied() }
    };
    let mut found = Vec::new();
    for ((from, to), moments) in by_pair {
        let mut spans: Vec<(Nanos, Nanos)> = history
            .casts()
            .iter()
            .filter_map(|(id, cast)| {
                let begins = since(cast, from)?.max(since(cast, to)?);
                Some((begins, finished.get(id).map_or(Nanos::MAX, |at| at.saturating_add(grace))))
            })
            .collect();
        spans.sort_unstable();
        // Both are in the order of time, so one walk through the spans is enough.
        let (mut next, mut open_until) = (0, None::<Nanos>);
        for at in moments {
            while next < spans.len() && spans[next].0 <= at {
                open_until = open_until.max(Some(spans[next].1));
                next += 1;
            }
            if open_until.is_none_or(|until| until < at) {
                let when = at as f64 / crate::SECOND as f64;
                let detail = format!("{from} sent to {to} at {when:.6}, when no message concerned them both");
                found.push(Violation::new(GENUINENESS, detail));
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MILLISECOND;
    use crate::pen::Pen;

    #[test]
    fn destinations_and_the_sender_may_talk() {
        let mut pen = Pen::new(3, 1);
        pen.cast(1, 1, 0b110).send(0, 1).send(1, 2).send(2, 0);
        assert!(check(&pen.history, 0).is_empty());
    }

    #[test]
    fn catches_talk_with_a_bystander() {
        let mut pen = Pen::new(3, 1);
        pen.cast(1, 1, 0b011).send(1, 2);
        assert_eq!(check(&pen.history, 0).len(), 1);
    }

    #[test]
    fn catches_talk_before_and_long_after() {
        let mut pen = Pen::new(2, 1);
        pen.send(0, 1).cast(1, 1, 0b11);
        assert_eq!(check(&pen.history, 0).len(), 1, "before the multicast");
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).deliver(0, 1, 1, 5).deliver(1, 1, 1, 5).send(0, 1);
        assert!(check(&pen.history, MILLISECOND).is_empty());
        assert_eq!(check(&pen.history, MILLISECOND / 2).len(), 1, "after the last delivery and its while");
    }

    /// Where faults can delay what is left to say, it may come at any time, and still not to anybody.
    #[test]
    fn an_endless_while_excuses_only_what_comes_after() {
        let mut pen = Pen::new(3, 1);
        pen.cast(1, 1, 0b011).deliver(0, 1, 1, 5).deliver(1, 1, 1, 5);
        for _ in 0..1_000 {
            pen.send(0, 1);
        }
        assert_eq!(check(&pen.history, crate::SECOND / 2).len(), 1);
        assert!(check(&pen.history, Nanos::MAX).is_empty());
        pen.send(0, 2);
        assert_eq!(check(&pen.history, Nanos::MAX).len(), 1, "a bystander");
        let mut pen = Pen::new(2, 1);
        pen.send(0, 1).cast(1, 1, 0b11);
        assert_eq!(check(&pen.history, Nanos::MAX).len(), 1, "before the multicast");
    }

    /// A retry makes another process a sender, from then on.
    #[test]
    fn catches_talk_of_one_that_becomes_a_sender_later() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01).send(2, 0);
        let message = pen.message(1, 1, 0b01);
        pen.history.multicast(3 * MILLISECOND, ProcessId(2), &message);
        assert_eq!(check(&pen.history, 0).len(), 1, "p2 knew of it before it was asked");
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b01);
        pen.history.multicast(MILLISECOND, ProcessId(2), &message);
        pen.history.multicast(9 * MILLISECOND, ProcessId(2), &message);
        pen.send(2, 0);
        assert!(check(&pen.history, 0).is_empty());
    }

    /// A message that is over says nothing about one that is not.
    #[test]
    fn one_of_two_messages_is_enough_to_talk_about() {
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 0b11).cast(2, 1, 0b11).deliver(0, 2, 1, 5).deliver(1, 2, 1, 5).send(0, 1);
        assert!(check(&pen.history, 0).is_empty());
    }

    #[test]
    fn a_group_may_talk_to_itself_and_outsiders_may_not() {
        let mut pen = Pen::new(1, 2);
        pen.send(0, 1);
        assert!(check(&pen.history, 0).is_empty());
        pen.send(2, 3);
        assert_eq!(check(&pen.history, 0).len(), 1, "two outsiders");
    }
}
