//! [`Settled`]: which answers may leave. An answer says that its command has
//! happened, and from then on nobody may see the world as if it had not. A
//! message that was delivered here may not yet be delivered at its other
//! partitions, and what is asked there in the meantime would come before it.
//! So an answer waits until everything that was delivered before it is
//! *settled*: delivered at all its destinations, and likewise everything that
//! was delivered there before it, and so on.
//!
//! A group says how far it has delivered, and with which groups it shares
//! messages of which it does not know that they are settled, from which
//! timestamp on. Everything up to T is settled here when every group that can
//! be reached from this one over such messages, up to T, has delivered up to
//! T: any chain of messages delivered one before the other that ends here runs
//! through those groups only, and has no part that is still on its way.
//!
//! Nothing here asks anybody. It tells of whom something must be known; whom to
//! ask for that, and when again, is told by [`Inquiries`].

mod inquiries;
mod word;

pub(crate) use inquiries::Inquiries;
pub use word::Word;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, MAX_GROUPS, Timestamp, Wire};

use crate::{Mutant, Planted};

/// How far a group is, as one of its replicas says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Standing {
    /// It has delivered everything up to here.
    pub(crate) delivered: Timestamp,
    /// With these groups it shares messages up to there that may not be settled: none below the timestamp.
    pub(crate) shares: Vec<(GroupId, Timestamp)>,
}

/// What a replica knows of what is settled.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Settled {
    own: GroupId,
    /// Everything delivered here up to this timestamp is settled.
    settled: Timestamp,
    /// The newest message that was delivered here and elsewhere.
    newest_shared: Timestamp,
    /// By group, between which timestamps the messages lie that it shares with us and that may not be settled.
    shared: BTreeMap<GroupId, (Timestamp, Timestamp)>,
    /// How far others are.
    known: BTreeMap<GroupId, Standing>,
    planted: Planted,
}

impl Settled {
    pub(crate) fn new(own: GroupId) -> Settled {
        let (shared, known) = (BTreeMap::new(), BTreeMap::new());
        let planted = Planted::NONE;
        Settled { own, settled: Timestamp::ZERO, newest_shared: Timestamp::ZERO, shared, known, planted }
    }

    /// The same with a bug.
    pub(crate) fn planted(self, planted: Planted) -> Settled {
        Settled { planted, ..self }
    }

    /// A message was delivered here.
    pub(crate) fn delivered(&mut self, timestamp: Timestamp, destinations: GroupSet) {
        let own = self.own;
        for group in destinations.iter().filter(|group| *group != own) {
            let span = self.shared.entry(group).or_insert((timestamp, timestamp));
            span.1 = span.1.max(timestamp);
            self.newest_shared = self.newest_shared.max(timestamp);
        }
    }

    /// What follows everything that was delivered so far may be told once everything up to this timestamp is settled.
    pub(crate) fn need(&self) -> Timestamp {
        self.newest_shared
    }

    /// Everything up to here is settled.
    pub(crate) fn upto(&self) -> Timestamp {
        self.settled
    }

    /// Somebody says how far a group is. The word that reaches furthest counts, and of two equals the later one:
    /// what is settled stays so.
    pub(crate) fn hear(&mut self, group: GroupId, standing: Standing) {
        if group == self.own {
            return;
        }
        let known = self.known.entry(group).or_default();
        if standing.delivered >= known.delivered {
            *known = standing;
        }
    }

    /// Whether a group is known to have delivered everything up to here.
    pub(crate) fn has_heard(&self, group: GroupId, upto: Timestamp) -> bool {
        self.known.get(&group).is_some_and(|standing| standing.delivered >= upto)
    }

    /// What is known when a checkpoint takes the place of what was here: what is settled stays so, and what others
    /// have said stays true. So does what was delivered here: whoever wrote the checkpoint may not have been so far,
    /// where it comes to one who could not apply what it has.
    pub(crate) fn merge(&mut self, checkpoint: Settled) {
        assert!(checkpoint.own == self.own, "a checkpoint of {} is taken for one of {}", checkpoint.own, self.own);
        for (group, (first, last)) in checkpoint.shared {
            let span = self.shared.entry(group).or_insert((first, last));
            *span = (span.0.min(first), span.1.max(last));
        }
        self.newest_shared = self.newest_shared.max(checkpoint.newest_shared);
        self.settle(self.settled.max(checkpoint.settled));
    }

    /// How far this group is, with everything up to `safe` delivered here.
    pub(crate) fn standing(&self, safe: Timestamp) -> Standing {
        let shares = self.shared.iter().map(|(group, (first, _))| (*group, *first)).collect();
        Standing { delivered: safe, shares }
    }

    /// What this replica knows of the others, to be passed on.
    pub(crate) fn others(&self) -> impl Iterator<Item = (GroupId, &Standing)> {
        self.known.iter().map(|(group, standing)| (*group, standing))
    }

    /// Finds out how far everything is settled. What is settled leads nowhere any more, so with every step forward more
    /// may be, and nobody else would say so before the next tick.
    pub(crate) fn advance(&mut self, safe: Timestamp) {
        while self.settled < safe && self.advance_once(safe) {}
    }

    /// Answers whether that is further than before.
    fn advance_once(&mut self, safe: Timestamp) -> bool {
        let mut upto = safe;
        while upto > self.settled {
            // Whoever has not delivered so far is no hindrance up to where it has, nor up to where it is not reached.
            let passes = |(group, entered): (GroupId, Timestamp)| {
                self.delivered_by(group, safe).max(Timestamp(entered.0.saturating_sub(1)))
            };
            let least = self.reached(safe, upto).iter().map(passes).min().unwrap_or(safe);
            if least >= upto {
                self.settle(upto);
                return true;
            }
            upto = least;
        }
        false
    }

    /// The groups of which must be known that they have delivered up to this timestamp, and is not.
    pub(crate) fn missing(&self, safe: Timestamp, upto: Timestamp) -> GroupSet {
        let reached = self.reached(safe, upto);
        reached.iter().map(|(group, _)| group).filter(|group| self.delivered_by(*group, safe) < upto).collect()
    }

    fn settle(&mut self, upto: Timestamp) {
        self.settled = upto;
        self.shared.retain(|_, (first, last)| {
            *first = (*first).max(upto.next());
            *last > upto
        });
    }

    fn delivered_by(&self, group: GroupId, safe: Timestamp) -> Timestamp {
        match group == self.own {
            true => safe,
            false => self.known.get(&group).map_or(Timestamp::ZERO, |standing| standing.delivered),
        }
    }

    /// The groups that can be reached over messages up to this timestamp, each with the lowest timestamp at which it
    /// is. Behind a group that has not delivered so far more may lie; it is one to wait for in any case.
    fn reached(&self, safe: Timestamp, upto: Timestamp) -> Reached {
        let mut reached = Reached::new(self.own);
        let mut todo: GroupSet = [self.own].into_iter().collect();
        while let Some(group) = todo.iter().next() {
            todo.remove(group);
            let entered = reached.entered(group);
            let mut reach = |next: GroupId, first: Timestamp| {
                if first <= upto && reached.enter(next, first.max(entered)) {
                    todo.insert(next);
                }
            };
            if group == self.own {
                self.shared.iter().for_each(|(next, (first, _))| reach(*next, *first));
            } else if self.planted.is(Mutant::ReplicaTrustsItsNeighbours) {
                // It asks no further.
            } else if self.delivered_by(group, safe) >= upto {
                self.known[&group].shares.iter().for_each(|(next, first)| reach(*next, *first));
            }
        }
        reached
    }
}

/// Groups, and from which timestamp on each is reached.
struct Reached(Vec<(GroupId, Timestamp)>);

impl Reached {
    fn new(own: GroupId) -> Reached {
        let mut first = Vec::with_capacity(4);
        first.push((own, Timestamp::ZERO));
        Reached(first)
    }

    fn entered(&self, group: GroupId) -> Timestamp {
        self.0.iter().find(|(other, _)| *other == group).map_or(Timestamp::MAX, |(_, entered)| *entered)
    }

    /// Whether that is news.
    fn enter(&mut self, group: GroupId, at: Timestamp) -> bool {
        match self.0.iter_mut().find(|(other, _)| *other == group) {
            Some((_, entered)) if *entered <= at => false,
            Some((_, entered)) => {
                *entered = at;
                true
            }
            None => {
                self.0.push((group, at));
                true
            }
        }
    }

    fn iter(&self) -> impl Iterator<Item = (GroupId, Timestamp)> {
        self.0.iter().copied()
    }
}

impl Wire for Standing {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.delivered.encode(writer);
        writer.u32(self.shares.len() as u32);
        for (group, first) in &self.shares {
            group.encode(writer);
            first.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Standing, WireError> {
        let delivered = Timestamp::decode(reader)?;
        let count = reader.u32()? as usize;
        if count > MAX_GROUPS {
            return Err(WireError::TooLong { what: "a standing", length: count, limit: MAX_GROUPS });
        }
        let shares = (0..count).map(|_| Ok((GroupId::decode(reader)?, Timestamp::decode(reader)?)));
        Ok(Standing { delivered, shares: shares.collect::<Result<_, WireError>>()? })
    }
}

/// What a checkpoint says of it. What others have said is asked again.
impl Wire for Settled {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.own.encode(writer);
        self.settled.encode(writer);
        self.newest_shared.encode(writer);
        writer.u32(self.shared.len() as u32);
        for (group, (first, last)) in &self.shared {
            group.encode(writer);
            first.encode(writer);
            last.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Settled, WireError> {
        let mut settled = Settled::new(GroupId::decode(reader)?);
        settled.settled = Timestamp::decode(reader)?;
        settled.newest_shared = Timestamp::decode(reader)?;
        let count = reader.u32()? as usize;
        if count > MAX_GROUPS {
            return Err(WireError::TooLong { what: "what is shared", length: count, limit: MAX_GROUPS });
        }
        for _ in 0..count {
            let group = GroupId::decode(reader)?;
            settled.shared.insert(group, (Timestamp::decode(reader)?, Timestamp::decode(reader)?));
        }
        Ok(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    const fn group(number: usize) -> GroupId {
        GroupId::new(number).unwrap()
    }
    const X: GroupId = group(0);
    const Y: GroupId = group(1);
    const Z: GroupId = group(2);

    fn at(timestamp: u64) -> Timestamp {
        Timestamp(timestamp)
    }

    fn standing(delivered: u64, shares: &[(GroupId, u64)]) -> Standing {
        Standing {
            delivered: at(delivered),
            shares: shares.iter().map(|(group, first)| (*group, at(*first))).collect(),
        }
    }

    #[test]
    fn alone_everything_is_settled_at_once() {
        let mut settled = Settled::new(X);
        settled.delivered(at(5), [X].into_iter().collect());
        assert!(settled.need() <= settled.upto());
        settled.advance(at(7));
        assert_eq!(settled.upto(), at(7));
    }

    #[test]
    fn the_chain_over_three_partitions_is_waited_for() {
        // d went to x and y, and is delivered at x. At y, c came before it, and c is still on its way to z.
        let mut settled = Settled::new(X);
        settled.delivered(at(20), [X, Y].into_iter().collect());
        settled.delivered(at(21), [X].into_iter().collect());
        assert_eq!(settled.need(), at(20));
        settled.advance(at(21));
        assert_eq!(settled.upto(), at(19), "nothing is known of y");
        assert_eq!(settled.missing(at(21), at(20)), [Y].into_iter().collect());

        settled.hear(Y, standing(20, &[(X, 20), (Z, 10)]));
        settled.advance(at(21));
        assert_eq!(settled.upto(), at(19), "y has delivered it, and something before it that went to z");
        assert_eq!(settled.missing(at(21), at(20)), [Z].into_iter().collect());

        settled.hear(Z, standing(9, &[]));
        settled.advance(at(21));
        assert_eq!(settled.upto(), at(19));
        settled.hear(Z, standing(30, &[(Y, 10)]));
        settled.advance(at(21));
        assert_eq!(settled.upto(), at(21), "nothing leads to y any more: how far it is beyond 20 does not matter");
        assert!(settled.missing(at(21), at(21)).is_empty(), "nothing is shared above 20");
    }

    #[test]
    fn what_is_settled_connects_no_more() {
        let mut settled = Settled::new(X);
        settled.delivered(at(5), [X, Y].into_iter().collect());
        settled.hear(Y, standing(5, &[(X, 5)]));
        settled.advance(at(5));
        assert_eq!((settled.upto(), settled.standing(at(5)).shares), (at(5), vec![]));
        settled.delivered(at(9), [X].into_iter().collect());
        settled.advance(at(9));
        assert_eq!(settled.upto(), at(9));
    }

    /// The search found an answer that waited for a tick because only the first of these steps was taken.
    #[test]
    fn what_is_settled_makes_way_for_more_at_once() {
        let mut settled = Settled::new(Y);
        settled.delivered(at(1), [Y, Z].into_iter().collect());
        settled.delivered(at(2), [X, Y].into_iter().collect());
        settled.hear(X, standing(3, &[(Y, 2)]));
        settled.hear(Z, standing(1, &[(Y, 1)]));
        settled.advance(at(2));
        assert_eq!(settled.upto(), at(2), "z is behind what is settled, and nobody need know how far it is");
    }

    #[test]
    fn a_word_that_reaches_less_far_changes_nothing() {
        let mut settled = Settled::new(X);
        settled.delivered(at(5), [X, Y].into_iter().collect());
        settled.hear(Y, standing(9, &[(Z, 8)]));
        settled.hear(Y, standing(7, &[]));
        settled.hear(X, standing(100, &[]));
        settled.advance(at(10));
        assert_eq!(settled.upto(), at(10), "what y shares with z lies above the only message that is shared with y");
        assert_eq!(settled.missing(at(10), at(9)), GroupSet::EMPTY);
    }

    #[test]
    fn a_checkpoint_of_one_who_was_not_so_far_hides_nothing() {
        let mut behind = Settled::new(X);
        behind.delivered(at(5), [X, Z].into_iter().collect());
        let mut settled = behind.clone();
        settled.delivered(at(9), [X, Y].into_iter().collect());
        settled.merge(behind);
        settled.advance(at(20));
        assert_eq!((settled.need(), settled.upto()), (at(9), at(4)));
        assert_eq!(settled.missing(at(20), at(9)), [Y, Z].into_iter().collect());
        assert_eq!(settled.standing(at(20)).shares, vec![(Y, at(9)), (Z, at(5))]);

        let mut further = settled.clone();
        further.hear(Y, standing(9, &[]));
        further.hear(Z, standing(9, &[]));
        further.advance(at(9));
        settled.merge(further);
        assert_eq!((settled.upto(), settled.standing(at(20)).shares), (at(9), vec![]), "what is settled stays so");
    }

    #[test]
    fn a_checkpoint_remembers_what_may_not_be_settled() {
        use skein_machine::wire::{VERSION, from_bytes, to_bytes};
        let mut settled = Settled::new(X);
        settled.delivered(at(5), [X, Y, Z].into_iter().collect());
        let copy: Settled = from_bytes(to_bytes(&settled), VERSION).unwrap();
        assert_eq!((copy.need(), copy.upto()), (at(5), at(0)));
        assert_eq!(copy.missing(at(9), at(5)), [Y, Z].into_iter().collect());
        let word = standing(7, &[(Y, 3)]);
        assert_eq!(from_bytes::<Standing>(to_bytes(&word), VERSION).unwrap(), word);
    }
}
