//! [`Rings`]: which rings there are, whom each connects, and where a place in a
//! ring stands among the places of all rings. A plain value; it never changes.
//! So a ring that is joined while the processes run is known from the start, and
//! has its places from the start: until then it sleeps.
//!
//! A ring serves some groups: their processes are its circle, its acceptors and
//! its learners. Its instances are numbered; so many of them in a row are a
//! round. All learners take the rounds in order, and of each round what each
//! ring has in it, ring by ring. So an instance has one place in one order of
//! everything, and that place is the timestamp of what stands there.

use alloc::vec::Vec;

use skein_machine::{Cluster, GroupId, GroupSet, MAX_GROUPS, ProcessId, Timestamp};

/// The number of an instance of a ring, from 1. Zero: before everything.
pub type Instance = u64;

/// How many instances of each ring make a round, if nobody says otherwise. The fewer, the closer to each other are
/// timestamps that say nothing of what came first.
const TURN: u64 = 1;

/// No cluster has more rings: one for each group, one for everybody, and others. Each has a place in every round, and
/// heartbeats of its own.
pub const MAX_RINGS: usize = 2 * MAX_GROUPS;

/// The rings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rings {
    /// Fewer groups first.
    rings: Vec<Described>,
    /// So many instances of a ring are in a round.
    turn: u64,
    /// A ring that sleeps is joined when so many messages could have gone there; zero, if none does.
    patience: u64,
}

/// A ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Described {
    /// The groups that it serves.
    served: GroupSet,
    /// It carries nothing until these have joined it.
    sleeps: bool,
}

impl Rings {
    /// A ring for each group, and one for everybody.
    pub fn of(cluster: &Cluster) -> Rings {
        Rings::new(cluster, TURN)
    }

    /// The same with so many instances of each ring in a round.
    fn new(cluster: &Cluster, turn: u64) -> Rings {
        assert!(turn > 0, "a round without instances never ends");
        let groups = cluster.groups();
        let single = |group: GroupId| {
            let mut set = GroupSet::EMPTY;
            set.insert(group);
            set
        };
        let all = groups.iter().map(single).chain([groups]);
        Rings { rings: Vec::new(), turn, patience: 0 }.with(all, false, groups)
    }

    /// The same with some for a few groups each, whose messages need not bother the others.
    #[must_use]
    pub fn with_others(self, others: impl Iterator<Item = GroupSet>) -> Rings {
        let groups = self.all();
        self.with(others, false, groups)
    }

    /// The same with some that sleep. The groups of such a ring join it when each has seen so many messages that could
    /// have gone there; from then on they do. A second ring for the same groups is one of these, if somebody wants it.
    #[must_use]
    pub fn with_sleepers(self, sleepers: impl Iterator<Item = GroupSet>, patience: u64) -> Rings {
        let groups = self.all();
        Rings { patience: patience.max(1), ..self }.with(sleepers, true, groups)
    }

    fn all(&self) -> GroupSet {
        self.rings.last().expect("there is one for everybody").served
    }

    fn with(mut self, served: impl Iterator<Item = GroupSet>, sleeps: bool, groups: GroupSet) -> Rings {
        self.rings.extend(served.map(|served| Described { served, sleeps }));
        // Of two that serve the same groups the one that sleeps comes first: awake, it is the one that is meant.
        self.rings.sort_by_key(|ring| (ring.served.len(), ring.served.bits(), !ring.sleeps));
        self.rings.dedup();
        for Described { served, sleeps } in &self.rings {
            assert!(served.within(groups) && !served.is_empty(), "a ring serves groups that are not");
            assert!(!sleeps || served.len() > 1, "the ring of a group sleeps, and it would have to be joined in there");
        }
        assert!(self.rings.len() <= MAX_RINGS, "{} rings are too many", self.rings.len());
        self
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.rings.len()
    }

    /// The groups that a ring serves.
    pub fn served(&self, ring: usize) -> GroupSet {
        self.rings[ring].served
    }

    /// Whether a ring carries nothing until its groups have joined it.
    pub fn sleeps(&self, ring: usize) -> bool {
        self.rings[ring].sleeps
    }

    /// So many messages make it worth while to join a ring that sleeps; zero, if none does.
    pub fn patience(&self) -> u64 {
        self.patience
    }

    /// The processes of a ring, in the order of the circle.
    pub fn circle(&self, ring: usize, cluster: &Cluster) -> Vec<ProcessId> {
        cluster.replicas(self.served(ring)).collect()
    }

    /// The rings that a group listens to, or will once it has joined them. The first is its own.
    pub fn heard_by(&self, group: GroupId) -> impl Iterator<Item = usize> {
        (0..self.count()).filter(move |ring| self.served(*ring).contains(group))
    }

    /// The rings in which a message to these groups may stand, the smallest first: those that sleep, if they are awake
    /// by then, and the smallest that never slept.
    pub fn for_message(&self, destinations: GroupSet) -> impl Iterator<Item = usize> {
        let mut serving = (0..self.count()).filter(move |ring| destinations.within(self.served(*ring)));
        let mut is_over = false;
        core::iter::from_fn(move || {
            let ring = if is_over { None } else { serving.next() };
            is_over = ring.is_some_and(|ring| !self.sleeps(ring));
            ring
        })
    }

    /// So many timestamps has a round.
    fn width(&self) -> u64 {
        self.turn * self.rings.len() as u64
    }

    /// The timestamp of what stands at this instance.
    pub fn timestamp(&self, ring: usize, instance: Instance) -> Timestamp {
        let (round, place) = (instance / self.turn, instance % self.turn);
        Timestamp(round * self.width() + ring as u64 * self.turn + place)
    }

    /// Where a learner that takes one instance too many in a round believes that it stands: a bug to plant.
    pub(super) fn timestamp_taken_wrongly(&self, ring: usize, instance: Instance) -> Timestamp {
        Rings { turn: self.turn + 1, ..self.clone() }.timestamp(ring, instance)
    }

    /// The first instance of a ring that stands above a timestamp.
    pub fn first_above(&self, ring: usize, timestamp: Timestamp) -> Instance {
        let first = timestamp.0 / self.width() * self.turn;
        let above = (first..=first + self.turn).find(|instance| self.timestamp(ring, *instance) > timestamp);
        above.expect("the next round stands above").max(1)
    }

    /// Later than a timestamp by a whole round: each ring has an instance between them, or at their ends.
    pub fn a_round_later(&self, timestamp: Timestamp) -> Timestamp {
        Timestamp(timestamp.0.saturating_add(self.width()))
    }

    /// The last timestamp in the round of an instance.
    pub fn end_of_round(&self, instance: Instance) -> Timestamp {
        Timestamp((instance / self.turn + 1) * self.width() - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rings(turn: u64) -> Rings {
        let cluster = Cluster::regular(3, 3, 0).unwrap();
        Rings::new(&cluster, turn).with_others([GroupSet::from_bits(0b110)].into_iter())
    }

    #[test]
    fn a_message_goes_to_the_smallest_ring_that_serves_its_destinations() {
        let rings = rings(1);
        let served: Vec<u64> = (0..rings.count()).map(|ring| rings.served(ring).bits()).collect();
        assert_eq!(served, [0b1, 0b10, 0b100, 0b110, 0b111]);
        for (destinations, ring) in [(0b1, 0), (0b100, 2), (0b110, 3), (0b11, 4), (0b111, 4)] {
            assert!(rings.for_message(GroupSet::from_bits(destinations)).eq([ring]));
        }
        assert!(rings.heard_by(GroupId::new(1).unwrap()).eq([1, 3, 4]));
        assert!(rings.heard_by(GroupId::new(0).unwrap()).eq([0, 4]));
    }

    #[test]
    fn a_message_may_stand_in_a_ring_that_was_joined() {
        let sleepers = [0b11, 0b110, 0b111].map(GroupSet::from_bits);
        let rings = rings(1).with_sleepers(sleepers.into_iter(), 9);
        let all: Vec<_> = (0..rings.count()).map(|ring| (rings.served(ring).bits(), rings.sleeps(ring))).collect();
        let (awake, asleep) = (false, true);
        let singles = [(0b1, awake), (0b10, awake), (0b100, awake)];
        assert_eq!(all[..3], singles);
        assert_eq!(all[3..], [(0b11, asleep), (0b110, asleep), (0b110, awake), (0b111, asleep), (0b111, awake)]);
        for (destinations, may_stand) in
            [(0b1, &[0][..]), (0b11, &[3, 6, 7]), (0b110, &[4, 5]), (0b101, &[6, 7]), (0b10, &[1])]
        {
            assert!(rings.for_message(GroupSet::from_bits(destinations)).eq(may_stand.iter().copied()));
        }
    }

    #[test]
    #[should_panic(expected = "the ring of a group sleeps")]
    fn the_ring_of_a_group_never_sleeps() {
        let _ = rings(1).with_sleepers([GroupSet::from_bits(0b10)].into_iter(), 9);
    }

    #[test]
    fn instances_of_all_rings_have_places_of_their_own() {
        for turn in 1..4 {
            let rings = rings(turn);
            let mut places: Vec<(u64, usize, u64)> = Vec::new();
            for ring in 0..rings.count() {
                places.extend((1..50).map(|instance| (instance / turn, ring, instance)));
            }
            places.sort_unstable();
            let stamps: Vec<Timestamp> =
                places.iter().map(|(_, ring, instance)| rings.timestamp(*ring, *instance)).collect();
            assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "round by round, and ring by ring");
        }
    }

    #[test]
    fn whatever_is_asked_for_lies_above_and_nothing_is_left_out() {
        for turn in 1..4 {
            let rings = rings(turn);
            for ring in 0..rings.count() {
                for timestamp in (0..200).map(Timestamp) {
                    let first = rings.first_above(ring, timestamp);
                    assert!(rings.timestamp(ring, first) > timestamp);
                    assert!(first == 1 || rings.timestamp(ring, first - 1) <= timestamp);
                }
                for instance in 1..50 {
                    let end = rings.end_of_round(instance);
                    assert!(rings.timestamp(ring, instance) <= end);
                    assert_eq!(rings.first_above(0, end), (instance / turn + 1) * turn, "a round begins with ring 0");
                }
            }
        }
    }
}
