//! [`Rings`]: which rings there are, whom each connects, and where a place in a
//! ring stands among the places of all rings. A plain value; it never changes.
//!
//! A ring serves some groups: their processes are its circle, its acceptors and
//! its learners. Its instances are numbered; so many of them in a row are a
//! round. All learners take the rounds in order, and of each round what each
//! ring has in it, ring by ring. So an instance has one place in one order of
//! everything, and that place is the timestamp of what stands there.

use alloc::vec::Vec;

use skein_machine::{Cluster, GroupId, GroupSet, ProcessId, Timestamp};

/// The number of an instance of a ring, from 1. Zero: before everything.
pub type Instance = u64;

/// How many instances of each ring make a round, if nobody says otherwise. The fewer, the closer to each other are
/// timestamps that say nothing of what came first.
const TURN: u64 = 1;

/// The rings of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Rings {
    /// The groups that each serves: fewer first.
    served: Vec<GroupSet>,
    /// So many instances of a ring are in a round.
    turn: u64,
}

impl Rings {
    /// A ring for each group, and one for everybody.
    pub fn of(cluster: &Cluster) -> Rings {
        Rings::new(cluster, core::iter::empty(), TURN)
    }

    /// The same with some for a few groups each, whose messages need not bother the others.
    pub fn new(cluster: &Cluster, smaller: impl Iterator<Item = GroupSet>, turn: u64) -> Rings {
        assert!(turn > 0, "a round without instances never ends");
        let groups = cluster.groups();
        let single = |group: GroupId| {
            let mut set = GroupSet::EMPTY;
            set.insert(group);
            set
        };
        let mut served: Vec<GroupSet> = groups.iter().map(single).chain(smaller).chain([groups]).collect();
        served.sort_by_key(|set| (set.len(), set.bits()));
        served.dedup();
        assert!(served.iter().all(|set| set.within(groups) && !set.is_empty()), "a ring serves groups that are not");
        Rings { served, turn }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.served.len()
    }

    /// The groups that a ring serves.
    pub fn served(&self, ring: usize) -> GroupSet {
        self.served[ring]
    }

    /// All of them, by number.
    pub fn iter(&self) -> impl Iterator<Item = GroupSet> {
        self.served.iter().copied()
    }

    /// The processes of a ring, in the order of the circle.
    pub fn circle(&self, ring: usize, cluster: &Cluster) -> Vec<ProcessId> {
        cluster.replicas(self.served[ring]).collect()
    }

    /// The rings that a group listens to. The first is its own.
    pub fn heard_by(&self, group: GroupId) -> impl Iterator<Item = usize> {
        (0..self.served.len()).filter(move |ring| self.served[*ring].contains(group))
    }

    /// The ring for messages to these groups: the smallest that serves them all.
    pub fn for_message(&self, destinations: GroupSet) -> usize {
        let ring = self.served.iter().position(|served| destinations.within(*served));
        ring.expect("one of them serves all groups")
    }

    /// So many timestamps has a round.
    fn width(&self) -> u64 {
        self.turn * self.served.len() as u64
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
        Rings::new(&cluster, [GroupSet::from_bits(0b110)].into_iter(), turn)
    }

    #[test]
    fn a_message_goes_to_the_smallest_ring_that_serves_its_destinations() {
        let rings = rings(1);
        let served: Vec<u64> = rings.iter().map(GroupSet::bits).collect();
        assert_eq!(served, [0b1, 0b10, 0b100, 0b110, 0b111]);
        for (destinations, ring) in [(0b1, 0), (0b100, 2), (0b110, 3), (0b11, 4), (0b111, 4)] {
            assert_eq!(rings.for_message(GroupSet::from_bits(destinations)), ring);
        }
        assert!(rings.heard_by(GroupId::new(1).unwrap()).eq([1, 3, 4]));
        assert!(rings.heard_by(GroupId::new(0).unwrap()).eq([0, 4]));
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
