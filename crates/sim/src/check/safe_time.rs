//! Safe time: once a replica has said that everything up to a timestamp has
//! been delivered there, no replica of its group delivers anything up to it
//! that this one did not have then, in that life or by what it installed. (That
//! safe times rise within a life is compared while the history is written.)

use skein_machine::Stamp;

use super::Violation;
use crate::safe_times::Word;
use crate::{Entry, History};

pub(crate) const SAFE_TIME: &str = "safe time";

pub(super) fn check(history: &History) -> Vec<Violation> {
    let mut found = Vec::new();
    for group in history.cluster().groups().iter() {
        let Some(safe_times) = history.safe_times(group) else { continue };
        let members = history.cluster().members(group);
        let mut stamps: Vec<Stamp> =
            members.iter().flat_map(|process| history.deliveries(*process)).map(Entry::stamp).collect();
        stamps.sort();
        stamps.dedup();
        for (count, Word { timestamp, process }) in safe_times.words() {
            let end = stamps.partition_point(|stamp| stamp.timestamp <= timestamp);
            if end as u64 > count {
                let last = stamps[end - 1];
                let detail = format!(
                    "{process} said that everything up to {timestamp} was delivered when it had {count} such messages; \
                     {group} delivered {end}, the last of them {last}"
                );
                found.push(Violation::new(SAFE_TIME, detail));
                break;
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;
    use skein_machine::{Delivery, ProcessId, Timestamp};

    #[test]
    fn what_is_delivered_before_and_what_lies_above_is_safe() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(2, 1, 1).safe(0, 4).deliver(0, 1, 1, 5).safe(0, 5).deliver(0, 2, 1, 6).safe(0, 9);
        // The other one is behind, and says less.
        pen.safe(1, 4).deliver(1, 1, 1, 5).deliver(1, 2, 1, 6).safe(1, 8);
        assert!(check(&pen.history).is_empty() && pen.history.oddities().is_empty());
    }

    #[test]
    fn catches_a_delivery_up_to_the_own_safe_time() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).safe(0, 4).deliver(0, 1, 1, 5);
        assert!(check(&pen.history).is_empty());
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).safe(0, 5).deliver(0, 1, 1, 5);
        let found = check(&pen.history);
        assert_eq!((found.len(), found[0].property), (1, SAFE_TIME));
    }

    #[test]
    fn catches_a_delivery_that_another_replica_had_missed() {
        let mut pen = Pen::new(1, 3);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5).safe(1, 5);
        assert_eq!(check(&pen.history).len(), 1, "delivered elsewhere before");
        let mut pen = Pen::new(1, 3);
        pen.cast(1, 1, 1).safe(1, 5).deliver(0, 1, 1, 5);
        assert_eq!(check(&pen.history).len(), 1, "delivered elsewhere later");
        let mut pen = Pen::new(2, 1);
        pen.cast(1, 1, 1).safe(1, 5).deliver(0, 1, 1, 5);
        assert!(check(&pen.history).is_empty(), "another group has another order");
    }

    /// A new life has delivered nothing but what it repeats or installs.
    #[test]
    fn catches_a_life_that_counts_on_an_earlier_one() {
        let reborn = |installed: Option<u64>, repeated: bool| {
            let mut pen = Pen::new(1, 1);
            pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
            if let Some(position) = installed {
                pen.history.installed(8, ProcessId(0), 2, position);
            }
            if repeated {
                let delivery = Delivery { position: 0, timestamp: Timestamp(5), message: pen.message(1, 1, 1) };
                pen.history.delivered(9, ProcessId(0), 2, &delivery);
            }
            pen.history.safe_time(ProcessId(0), 2, Timestamp(5));
            check(&pen.history).len()
        };
        assert_eq!((reborn(None, false), reborn(Some(0), false)), (1, 1));
        assert_eq!((reborn(None, true), reborn(Some(1), false)), (0, 0));
    }

    /// It counts what lies below, in whatever order that came, and not what was delivered early.
    #[test]
    fn early_deliveries_are_not_taken_for_late_ones() {
        let speak = |early: &[(u64, u64)], others: &[(u64, u64)]| {
            let mut pen = Pen::commuting(1, 2);
            pen.say(1, 1, 'a').say(2, 1, 'b').say(3, 1, 'c');
            early.iter().for_each(|(session, timestamp)| {
                pen.deliver(0, *session, 1, *timestamp);
            });
            pen.safe(0, 5);
            others.iter().for_each(|(session, timestamp)| {
                pen.deliver(1, *session, 1, *timestamp);
            });
            check(&pen.history).len()
        };
        assert_eq!(speak(&[(2, 9), (1, 5)], &[(3, 6), (1, 5)]), 0);
        assert_eq!(speak(&[(2, 9), (1, 5)], &[(3, 5), (1, 5)]), 1);
        assert_eq!(speak(&[(2, 9), (3, 8)], &[(1, 5)]), 1, "two that were early are none of those below");
    }
}
