//! [`States`]: which messages the state of each replica's user holds, where some
//! messages commute. A position then says only how many these are, so they are
//! remembered one by one, for every life and every state that is installed.
//!
//! What one delivery shows is compared at once. What a state should have held is
//! known only at the end: then [`States::holes`] answers. It will never look into
//! a state; what comes of applying the messages is the stand-in's affair.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use skein_machine::{Conflicts, Delivery, GroupId, MessageId, Position, ProcessId, Stamp, Timestamp};

use crate::check::Violation;
use crate::history::Casts;

const PREFIX: &str = "prefix order";

/// What the users of all replicas hold and have held.
#[derive(Clone, Debug)]
pub(crate) struct States {
    conflicts: Conflicts,
    users: BTreeMap<ProcessId, User>,
    /// What the replicas of each group have delivered, all lives together.
    groups: BTreeMap<GroupId, BTreeSet<Stamp>>,
    /// With which timestamp each message was delivered first, and by whom.
    timestamps: BTreeMap<MessageId, (Timestamp, ProcessId)>,
    /// What states held that are gone, with the life of their user or because another was installed.
    gone: Vec<(ProcessId, GroupId, BTreeSet<Stamp>)>,
}

#[derive(Clone, Debug)]
struct User {
    group: GroupId,
    life: u32,
    holds: BTreeSet<Stamp>,
    /// What it has held in any life.
    ever: BTreeSet<Stamp>,
}

impl States {
    /// Nobody holds anything.
    pub(crate) fn new(conflicts: Conflicts) -> States {
        States {
            conflicts,
            users: BTreeMap::new(),
            groups: BTreeMap::new(),
            timestamps: BTreeMap::new(),
            gone: Vec::new(),
        }
    }

    pub(crate) fn conflicts(&self) -> Conflicts {
        self.conflicts
    }

    /// A message joins the state of a user. Answers whether that has not held it in any life.
    pub(crate) fn delivered(
        &mut self,
        casts: &Casts,
        (process, group, life): (ProcessId, GroupId, u32),
        delivery: &Delivery,
        oddities: &mut Vec<Violation>,
    ) -> bool {
        let stamp = delivery.stamp();
        let mut odd = |property, detail| oddities.push(Violation::new(property, detail));
        let (timestamp, teller) = *self.timestamps.entry(stamp.id).or_insert((stamp.timestamp, process));
        if timestamp != stamp.timestamp {
            odd("timestamps", format!("{process} delivered {stamp}, and {teller} delivered it at {timestamp}"));
        }
        self.live(process, group, life);
        let user = &self.users[&process];
        let held = user.holds.len() as Position;
        if delivery.position != held {
            odd(PREFIX, format!("{process} delivered {delivery:?} into a state that holds {held} messages"));
        }
        if user.holds.contains(&stamp) {
            odd("integrity", format!("{process} delivered {stamp} into a state that holds it"));
        }
        if let Some(later) = user.holds.range(above(stamp)).find(|later| self.conflict(casts, stamp, **later)) {
            odd(PREFIX, format!("{process} delivered {stamp} after {later}, and they conflict"));
        }
        self.groups.entry(group).or_default().insert(stamp);
        let user = self.users.get_mut(&process).expect("it lives");
        user.holds.insert(stamp);
        user.ever.insert(stamp)
    }

    /// A user takes a state that holds these messages. Answers those that it has not held in any life.
    pub(crate) fn installed(
        &mut self,
        (process, group, life): (ProcessId, GroupId, u32),
        held: &BTreeSet<Stamp>,
    ) -> Vec<Stamp> {
        self.live(process, group, life);
        let user = self.users.get_mut(&process).expect("it lives");
        self.gone.push((process, group, std::mem::replace(&mut user.holds, held.clone())));
        self.groups.entry(group).or_default().extend(held);
        let new = held.difference(&user.ever).copied().collect();
        user.ever.extend(held);
        new
    }

    /// What a user holds in this life.
    pub(crate) fn held(&self, process: ProcessId, life: u32) -> Option<&BTreeSet<Stamp>> {
        self.users.get(&process).filter(|user| user.life == life).map(|user| &user.holds)
    }

    /// How many messages a user holds up to this timestamp.
    pub(crate) fn count_up_to(&self, process: ProcessId, life: u32, timestamp: Timestamp) -> u64 {
        let Some(held) = self.held(process, life) else { return 0 };
        let above = held.range(above(Stamp { timestamp, id: MessageId::new(u64::MAX, u64::MAX, u64::MAX) })).count();
        (held.len() - above) as u64
    }

    /// How many messages that its group has delivered are not in the state of a user.
    pub(crate) fn missing(&self, process: ProcessId, group: GroupId, life: u32) -> usize {
        let held = self.held(process, life).map_or(0, BTreeSet::len);
        self.groups.get(&group).map_or(0, BTreeSet::len) - held
    }

    /// Whether these two messages had to be delivered in one order. A void one has no effect, so only its session
    /// cares.
    pub(crate) fn conflict(&self, casts: &Casts, one: Stamp, other: Stamp) -> bool {
        if one.id.session == other.id.session {
            return true;
        }
        let with_effect = |stamp: Stamp| {
            let message = &casts.get(&stamp.id)?.message;
            (stamp.timestamp <= message.expiry).then_some(message)
        };
        match (with_effect(one), with_effect(other)) {
            (Some(one), Some(other)) => self.conflicts.between(one, other),
            _ => false,
        }
    }

    /// States that held a message without one that conflicts with it, has a lower stamp, and was delivered by some
    /// replica of the group.
    ///
    /// Together with what was compared at once this is all the order there is to keep, over groups too: no
    /// state, at any moment, held a message before one that conflicts with it and has a lower stamp, and a message
    /// has one stamp everywhere. So "delivered before", between messages that conflict, follows the stamps.
    pub(crate) fn holes(&self, casts: &Casts) -> Vec<Violation> {
        let present = self.users.iter().map(|(process, user)| (process, user.group, &user.holds));
        let gone = self.gone.iter().map(|(process, group, held)| (process, *group, held));
        let mut found = Vec::new();
        for (process, group, held) in gone.chain(present) {
            let Some(last) = held.last() else { continue };
            let missing = self.groups[&group].range(..last).filter(|stamp| !held.contains(stamp));
            let hole = missing.filter_map(|stamp| {
                let later = held.range(above(*stamp)).find(|later| self.conflict(casts, *stamp, **later))?;
                Some((stamp, later))
            });
            if let Some((stamp, later)) = hole.take(1).next() {
                let detail = format!("a state of {process} held {later} and not {stamp}, and they conflict");
                found.push(Violation::new(PREFIX, detail));
            }
        }
        found
    }

    /// A user forgets everything with its life.
    fn live(&mut self, process: ProcessId, group: GroupId, life: u32) {
        let fresh = || User { group, life, holds: BTreeSet::new(), ever: BTreeSet::new() };
        let user = self.users.entry(process).or_insert_with(fresh);
        if user.life != life {
            user.life = life;
            self.gone.push((process, group, std::mem::take(&mut user.holds)));
        }
    }
}

fn above(stamp: Stamp) -> (Bound<Stamp>, Bound<Stamp>) {
    (Bound::Excluded(stamp), Bound::Unbounded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOME_COMMUTE;
    use crate::check::{Claims, judge};
    use crate::pen::Pen;
    use skein_machine::Multicast;

    /// What was odd at once, and what the end shows.
    fn found(pen: &Pen) -> Vec<&'static str> {
        let claims = Claims { conflicts: Some(SOME_COMMUTE), is_over: false, ..Claims::CLASSIC };
        judge(&pen.history, &claims).iter().map(|violation| violation.property).collect()
    }

    /// Sessions 1 and 3 read a key that 2 writes.
    fn pen() -> Pen {
        let mut pen = Pen::commuting(1, 3);
        pen.say(1, 1, 'a').say(2, 1, 'e').say(3, 1, 'i');
        pen
    }

    #[test]
    fn what_commutes_may_have_two_orders() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).deliver(0, 3, 1, 6).deliver(0, 2, 1, 7);
        pen.deliver(1, 3, 1, 6).deliver(1, 1, 1, 5).deliver(1, 2, 1, 7);
        assert!(found(&pen).is_empty());
        let claims = Claims { conflicts: Some(SOME_COMMUTE), ..Claims::CLASSIC };
        let missing = |pen: &Pen| judge(&pen.history, &claims).len();
        assert_eq!(missing(&pen), 3, "one replica has delivered none of three");
        pen.deliver(2, 3, 1, 6).deliver(2, 1, 1, 5).deliver(2, 2, 1, 7);
        assert_eq!(missing(&pen), 0);
    }

    #[test]
    fn what_conflicts_has_one() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).deliver(0, 3, 1, 8).deliver(0, 2, 1, 7);
        assert_eq!(found(&pen), [PREFIX]);
    }

    /// Whatever they say.
    #[test]
    fn a_session_has_one_order() {
        let mut pen = Pen::commuting(1, 1);
        pen.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 2, 6).deliver(0, 1, 1, 5);
        assert_eq!(found(&pen), [PREFIX, "sender order"]);
    }

    #[test]
    fn a_position_counts_what_the_state_holds() {
        let deliver_at = |life, position| {
            let mut pen = pen();
            pen.deliver(0, 1, 1, 5);
            let message = Multicast { payload: "e".into(), ..pen.message(2, 1, 1) };
            let delivery = Delivery { position, timestamp: Timestamp(7), message };
            pen.history.delivered(9, ProcessId(0), life, &delivery);
            pen.history.oddities().len()
        };
        assert_eq!((deliver_at(1, 1), deliver_at(2, 0)), (0, 0));
        assert_eq!((deliver_at(1, 0), deliver_at(1, 2), deliver_at(2, 1)), (1, 1, 1));
    }

    #[test]
    fn a_state_takes_a_message_once() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).deliver(0, 3, 1, 6).deliver_in(2, 0, 3, 1, 6).deliver_in(2, 0, 1, 1, 5);
        assert!(found(&pen).is_empty(), "another life, in another order");
        assert_eq!(pen.history.delivery_count(), 2);
        pen.deliver_in(2, 0, 3, 1, 6);
        assert_eq!(found(&pen), ["integrity"]);
        let mut pen = self::pen();
        pen.deliver(0, 1, 1, 5).install(1, 1, &[(1, 5)]).deliver(1, 1, 1, 5);
        assert_eq!(found(&pen), ["integrity"], "it was installed");
    }

    #[test]
    fn a_message_keeps_its_timestamp() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).deliver_in(2, 0, 1, 1, 6);
        assert!(found(&pen).contains(&"timestamps"), "after a restart");
        let mut pen = self::pen();
        pen.deliver(0, 1, 1, 5).deliver(1, 1, 1, 6);
        assert!(found(&pen).contains(&"timestamps"), "elsewhere");
    }

    #[test]
    fn a_state_has_no_hole() {
        let mut pen = pen();
        pen.deliver(0, 3, 1, 6).deliver(1, 1, 1, 5);
        assert!(found(&pen).is_empty(), "what is missing commutes");
        pen.deliver(0, 2, 1, 7);
        assert_eq!(found(&pen), [PREFIX], "a write that misses a read before it");
        pen.deliver_in(2, 0, 1, 1, 5);
        assert_eq!(found(&pen), [PREFIX], "the next life has it, and this one had not");
    }

    #[test]
    fn an_installed_state_has_no_hole() {
        let begin = |held: &[(u64, u64)]| {
            let mut pen = pen();
            pen.deliver(0, 1, 1, 5).deliver(0, 2, 1, 7).deliver(0, 3, 1, 8).install(1, 1, held);
            pen
        };
        assert!(found(&begin(&[(1, 5), (2, 7)])).is_empty());
        assert_eq!(found(&begin(&[(2, 7)])), [PREFIX]);
        assert_eq!(found(&begin(&[(1, 5), (3, 8)])), [PREFIX]);
        let mut pen = begin(&[(2, 7)]);
        pen.install(1, 1, &[(1, 5), (2, 7)]);
        assert!(found(&pen).contains(&PREFIX), "it had one");
        let mut pen = begin(&[(1, 5), (3, 8)]);
        assert!(found(pen.deliver(1, 2, 1, 7)).contains(&PREFIX), "it comes too late");
    }

    /// The state of one that is not ahead of all, and what it lacks once more.
    #[test]
    fn a_live_replica_may_take_a_smaller_state() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).deliver(1, 3, 1, 6).deliver(1, 1, 1, 5);
        pen.install(1, 1, &[(1, 5)]);
        let lacks = |pen: &Pen| pen.history.states().unwrap().missing(ProcessId(1), GroupId::new(0).unwrap(), 1);
        assert_eq!(lacks(&pen), 1);
        pen.deliver(1, 3, 1, 6).deliver(1, 2, 1, 7);
        assert_eq!((lacks(&pen), found(&pen).len()), (0, 0));
        assert_eq!(pen.history.delivery_count(), 4);
    }

    #[test]
    fn what_is_installed_counts_as_delivered() {
        let mut pen = pen();
        pen.deliver(0, 1, 1, 5).install(1, 1, &[(1, 5)]).install(1, 2, &[(1, 5)]);
        assert_eq!((pen.history.finished().len(), pen.history.unfinished()), (1, 2));
    }

    #[test]
    fn a_void_message_conflicts_with_its_session_alone() {
        let mut pen = Pen::commuting(1, 2);
        for sequence in [1, 2] {
            let message = Multicast { expiry: Timestamp(4), payload: "e".into(), ..pen.message(1, sequence, 1) };
            pen.history.multicast(1, ProcessId(0), &message);
        }
        pen.say(2, 1, 'e').deliver(0, 2, 1, 7).deliver(0, 1, 1, 5).deliver(0, 1, 2, 6).deliver(1, 2, 1, 7);
        assert!(found(&pen).is_empty());
        pen.deliver(1, 1, 2, 6);
        assert!(found(&pen).contains(&PREFIX));
    }
}
