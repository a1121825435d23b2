//! [`Near`]: who is near whom. Everybody knows it alike, so that a replica can
//! tell without being asked which of its group will answer whom. It is a guess
//! about speed and nothing else: whoever hears nothing asks the next.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{Cluster, GroupId, ProcessId};

/// For every replica, those of each group, the nearest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    ranks: BTreeMap<(ProcessId, GroupId), Vec<ProcessId>>,
}

impl Near {
    /// By these distances, in whatever unit. Of those that are equally far, each replica takes another one first.
    pub fn new(cluster: &Cluster, distance: impl Fn(ProcessId, ProcessId) -> u64) -> Near {
        let mut ranks = BTreeMap::new();
        for home in cluster.groups().iter() {
            for (place, &from) in cluster.members(home).iter().enumerate() {
                for group in cluster.groups().iter() {
                    let members = cluster.members(group);
                    let mut rank: Vec<(u64, usize, ProcessId)> = members
                        .iter()
                        .enumerate()
                        .map(|(other, &to)| {
                            (distance(from, to), (other + members.len() - place % members.len()) % members.len(), to)
                        })
                        .collect();
                    rank.sort_unstable();
                    ranks.insert((from, group), rank.into_iter().map(|(_, _, to)| to).collect());
                }
            }
        }
        Near { ranks }
    }

    /// The replicas of a group, as they are near this one.
    pub fn rank(&self, from: ProcessId, group: GroupId) -> &[ProcessId] {
        self.ranks.get(&(from, group)).map_or(&[], Vec::as_slice)
    }

    /// The one of a group that has the shortest way to this one.
    pub fn nearest(&self, from: ProcessId, group: GroupId) -> Option<ProcessId> {
        self.rank(from, group).first().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_share_the_work_and_the_nearer_come_first() {
        let cluster = Cluster::regular(2, 3, 0).unwrap();
        let [first, second] = [0, 1].map(|number| GroupId::new(number).unwrap());
        let same = Near::new(&cluster, |_, _| 0);
        let served: Vec<_> = (0..3).map(|place| same.nearest(ProcessId(place), second).unwrap()).collect();
        assert_eq!(served, [ProcessId(3), ProcessId(4), ProcessId(5)], "everybody has another one");
        assert_eq!(same.rank(ProcessId(5), first), [ProcessId(2), ProcessId(0), ProcessId(1)]);

        let line = Near::new(&cluster, |from, to| u64::from(from.0.abs_diff(to.0)));
        assert_eq!(line.rank(ProcessId(0), second), [ProcessId(3), ProcessId(4), ProcessId(5)]);
        assert_eq!(line.rank(ProcessId(2), second), [ProcessId(3), ProcessId(4), ProcessId(5)]);
        assert_eq!(line.rank(ProcessId(9), second), [], "nobody knows a stranger");
    }
}
