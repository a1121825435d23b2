//! Points to read at: what a replica answers to somebody who asked it for one
//! lies at or above everything that its group had delivered anywhere before the
//! question, and all that the group ever delivers up to it had been delivered
//! there when it was told. (That it answers at all is seen to by those who ask;
//! that it answers only what it was asked, while the history is written.)

use skein_machine::{ProcessId, Stamp, Timestamp};

use super::Violation;
use crate::{Entry, History};

pub(crate) const READ_POINT: &str = "read point";

/// An answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadPoint {
    pub(crate) process: ProcessId,
    /// The moment of the question.
    pub(crate) asked: u64,
    pub(crate) timestamp: Timestamp,
    /// How many messages at or below it the replica had then.
    pub(crate) held: u64,
}

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for group in history.cluster().groups().iter() {
        let members = history.cluster().members(group);
        let points: Vec<&ReadPoint> =
            history.read_points().iter().filter(|point| members.contains(&point.process)).collect();
        if points.is_empty() {
            continue;
        }
        let entries = || members.iter().flat_map(|process| history.deliveries(*process));
        let mut stamps: Vec<Stamp> = entries().map(Entry::stamp).collect();
        stamps.sort();
        stamps.dedup();
        // Up to each moment, the highest that had been delivered anywhere.
        let mut highest: Vec<(u64, Stamp)> = entries().map(|entry| (entry.moment, entry.stamp())).collect();
        highest.sort();
        for place in 1..highest.len() {
            highest[place].1 = highest[place].1.max(highest[place - 1].1);
        }
        for ReadPoint { process, asked, timestamp, held } in points.into_iter().copied() {
            let before = highest.partition_point(|(moment, _)| *moment < asked).checked_sub(1);
            if let Some((_, newest)) = before.map(|place| highest[place])
                && newest.timestamp > timestamp
            {
                let detail = format!(
                    "{process} lets somebody read at {timestamp} who asked when {group} had delivered {newest}"
                );
                found.push(Violation::new(READ_POINT, detail));
            }
            let end = stamps.partition_point(|stamp| stamp.timestamp <= timestamp);
            if end as u64 > held {
                let last = stamps[end - 1];
                let detail = format!(
                    "{process} lets somebody read at {timestamp} with {held} messages up to there; {group} delivered \
                     {end}, the last of them {last}"
                );
                found.push(Violation::new(READ_POINT, detail));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;

    fn found(pen: &Pen) -> usize {
        assert!(pen.history.oddities().is_empty(), "{:?}", pen.history.oddities());
        let found = check(&pen.history);
        assert!(found.iter().all(|violation| violation.property == READ_POINT));
        found.len()
    }

    #[test]
    fn what_was_delivered_before_may_be_read() {
        let mut pen = Pen::new(2, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).cast(3, 1, 2).deliver(0, 1, 1, 5);
        // The other one is behind, is asked, catches up and answers.
        pen.ask(1, 1).deliver(1, 1, 1, 5).read(1, 1, 5);
        // What comes meanwhile may lie above or be part of it; so may what another group has.
        pen.deliver(2, 3, 1, 9).ask(0, 2).deliver(0, 2, 1, 7).read(0, 2, 6).ask(0, 3).read(0, 3, 8);
        pen.deliver(1, 2, 1, 7);
        assert_eq!(found(&pen), 0);
    }

    #[test]
    fn catches_an_answer_below_what_was_delivered_elsewhere() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).ask(1, 1).read(1, 1, 4).deliver(1, 1, 1, 5);
        assert_eq!(found(&pen), 1);
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).ask(1, 1).deliver(0, 1, 1, 5).read(1, 1, 4).deliver(1, 1, 1, 5);
        assert_eq!(found(&pen), 0, "it was delivered after the question");
    }

    /// It stays so when the one that had delivered it has forgotten.
    #[test]
    fn catches_an_answer_that_trusts_a_new_life() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).ask_in(2, 0, 1).read_in(2, 0, 1, 4);
        assert_eq!(found(&pen), 1);
    }

    #[test]
    fn catches_an_answer_that_comes_before_what_it_covers() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).ask(1, 1).read(1, 1, 5).deliver(1, 1, 1, 5);
        assert_eq!(found(&pen), 1);
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).ask(1, 1).read(1, 1, 5).deliver(0, 1, 1, 5);
        assert_eq!(found(&pen), 1, "nobody had it, and it came below");
    }

    /// A question is answered together with a later one, and none is answered twice or unasked.
    #[test]
    fn an_answer_belongs_to_a_question() {
        let odd = |write: &dyn Fn(&mut Pen)| {
            let mut pen = Pen::new(1, 1);
            write(&mut pen);
            pen.history.oddities().iter().filter(|odd| odd.property == READ_POINT).count()
        };
        assert_eq!(odd(&|pen| _ = pen.ask(0, 1).ask(0, 2).read(0, 2, 5).ask(0, 3).read(0, 3, 5)), 0);
        assert_eq!(odd(&|pen| _ = pen.ask(0, 1).ask(0, 2).read(0, 2, 5).read(0, 1, 5)), 1);
        assert_eq!(odd(&|pen| _ = pen.ask(0, 1).read(0, 2, 5)), 1);
        assert_eq!(odd(&|pen| _ = pen.ask(0, 1).read_in(2, 0, 1, 5)), 1, "another life was asked");
    }
}
