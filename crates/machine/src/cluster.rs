//! Who there is: groups of processes, and outsiders that multicast without
//! holding a partition. Checked once, when it is built; after that every
//! machine trusts it. Says nothing about addresses, regions or certificates.

use core::fmt;
use core::hash::{Hash, Hasher};

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::{ClusterId, GroupId, GroupSet, MAX_GROUPS, Multicast, ProcessId, Timestamp};

/// The most replicas of one group. Every replica hears from every other, so
/// beyond this a second group is the better answer.
pub(crate) const MAX_REPLICAS: usize = 9;

/// The most outsiders. Together with the groups they fit the numbers of processes.
const MAX_OUTSIDERS: usize = 4096;

/// The processes of a cluster and the groups that they form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    id: ClusterId,
    groups: Vec<Vec<ProcessId>>,
    outsiders: Vec<ProcessId>,
    /// Every process, by its number, and its group; `None` for an outsider.
    home: Vec<(ProcessId, Option<GroupId>)>,
}

/// Two clusters with one id are the same, so the id is all that needs hashing.
impl Hash for Cluster {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.id.hash(hasher);
    }
}

impl Cluster {
    /// The highest floor of a message. The fastest clocks count nanoseconds since the
    /// Unix epoch and get here in the year 2116; a session that asked for more would
    /// take the timestamps away from everybody else for good.
    pub const HIGHEST_FLOOR: Timestamp = Timestamp(u64::MAX / 4);

    /// Checks and keeps a description. Outsiders belong to no group.
    pub fn new(id: ClusterId, groups: Vec<Vec<ProcessId>>, outsiders: Vec<ProcessId>) -> Result<Cluster, ClusterError> {
        if groups.is_empty() {
            return Err(ClusterError::NoGroup);
        }
        if groups.len() > MAX_GROUPS {
            return Err(ClusterError::TooManyGroups { groups: groups.len() });
        }
        if outsiders.len() > MAX_OUTSIDERS {
            return Err(ClusterError::TooManyOutsiders { outsiders: outsiders.len() });
        }
        let mut home = BTreeMap::new();
        for (group, members) in GroupSet::first(groups.len()).iter().zip(&groups) {
            if members.is_empty() {
                return Err(ClusterError::EmptyGroup { group });
            }
            if members.len() > MAX_REPLICAS {
                return Err(ClusterError::TooManyReplicas { group, replicas: members.len() });
            }
            for &process in members {
                match home.insert(process, Some(group)) {
                    Some(Some(first)) if first == group => return Err(ClusterError::Twice { process, group }),
                    Some(Some(first)) => return Err(ClusterError::InTwoGroups { process, first, second: group }),
                    _ => {}
                }
            }
        }
        for &process in &outsiders {
            match home.insert(process, None) {
                Some(Some(group)) => return Err(ClusterError::OutsiderInGroup { process, group }),
                Some(None) => return Err(ClusterError::OutsiderTwice { process }),
                None => {}
            }
        }
        Ok(Cluster { id, groups, outsiders, home: home.into_iter().collect() })
    }

    /// So many groups of so many replicas each, numbered from `p0` on, then outsiders.
    pub fn regular(groups: usize, replicas: usize, outsiders: usize) -> Result<Cluster, ClusterError> {
        // Bounded before anything is numbered: these counts come from outside.
        if groups > MAX_GROUPS {
            return Err(ClusterError::TooManyGroups { groups });
        }
        if replicas > MAX_REPLICAS {
            return Err(ClusterError::TooManyReplicas { group: GroupId::new(0).expect("0 is a group"), replicas });
        }
        if outsiders > MAX_OUTSIDERS {
            return Err(ClusterError::TooManyOutsiders { outsiders });
        }
        let mut numbers = (0..).map(ProcessId);
        let groups = (0..groups).map(|_| numbers.by_ref().take(replicas).collect()).collect();
        Cluster::new(ClusterId(1), groups, numbers.take(outsiders).collect())
    }

    /// The replicas of these groups, taken for one group. It may be larger than any that a person describes, since
    /// those who agree in it need not all talk to each other.
    #[must_use]
    pub fn joined(&self, groups: GroupSet) -> Cluster {
        let group = GroupId::new(0).expect("0 is a group");
        let members: Vec<ProcessId> = self.replicas(groups).collect();
        let mut home: Vec<(ProcessId, Option<GroupId>)> = members.iter().map(|member| (*member, Some(group))).collect();
        home.sort_unstable();
        Cluster { id: self.id, groups: [members].into(), outsiders: Vec::new(), home }
    }

    /// Which cluster this is.
    pub fn id(&self) -> ClusterId {
        self.id
    }

    /// All groups.
    pub fn groups(&self) -> GroupSet {
        GroupSet::first(self.groups.len())
    }

    /// The replicas of a group, in the order of the description.
    pub fn members(&self, group: GroupId) -> &[ProcessId] {
        &self.groups[group.index()]
    }

    /// The same, for whoever changes what holds this description before it has seen them all.
    pub fn each_member(self: &Arc<Cluster>, group: GroupId) -> impl Iterator<Item = ProcessId> + use<> {
        let cluster = self.clone();
        (0..cluster.members(group).len()).map(move |place| cluster.members(group)[place])
    }

    /// The processes that only multicast.
    pub fn outsiders(&self) -> &[ProcessId] {
        &self.outsiders
    }

    /// Every process: the groups' replicas in order, then the outsiders.
    pub fn processes(&self) -> impl Iterator<Item = ProcessId> {
        self.groups.iter().flatten().chain(&self.outsiders).copied()
    }

    /// The replicas of all these groups.
    pub fn replicas(&self, groups: GroupSet) -> impl Iterator<Item = ProcessId> {
        groups.iter().flat_map(|group| self.members(group)).copied()
    }

    /// Whether the process exists.
    pub fn contains(&self, process: ProcessId) -> bool {
        self.home_of(process).is_some()
    }

    /// The group of a process; `None` for an outsider.
    pub fn group_of(&self, process: ProcessId) -> Option<GroupId> {
        self.home_of(process).flatten()
    }

    /// This is asked with every message. Numbers without a gap, as most clusters have them, are places too.
    #[inline]
    fn home_of(&self, process: ProcessId) -> Option<Option<GroupId>> {
        let guess = self.home.get(usize::from(process.0)).filter(|(there, _)| *there == process);
        let found = guess.or_else(|| {
            let place = self.home.binary_search_by_key(&process, |(other, _)| *other).ok()?;
            self.home.get(place)
        });
        found.map(|(_, group)| *group)
    }

    /// How many replicas of a group make a majority.
    pub fn quorum(&self, group: GroupId) -> usize {
        self.members(group).len() / 2 + 1
    }

    /// Refuses groups of even size: with one replica less they survive as many
    /// crashes, so the last one is a mistake or a misunderstanding.
    pub fn require_majorities(&self) -> Result<(), ClusterError> {
        for group in self.groups().iter() {
            let replicas = self.members(group).len();
            if replicas.is_multiple_of(2) {
                return Err(ClusterError::EvenGroup { group, replicas });
            }
        }
        Ok(())
    }

    /// Refuses a message that could not be delivered as it is.
    pub fn admit(&self, message: &Multicast) -> Result<(), ClusterError> {
        if message.id.destinations.is_empty() {
            return Err(ClusterError::NoDestination);
        }
        if message.id.sequence == 0 {
            return Err(ClusterError::NoNumber);
        }
        self.check_groups(message.id.destinations)?;
        if message.floor > Cluster::HIGHEST_FLOOR {
            return Err(ClusterError::HighFloor { floor: message.floor });
        }
        if message.payload.len() > crate::MAX_PAYLOAD {
            return Err(ClusterError::LongPayload { bytes: message.payload.len() });
        }
        Ok(())
    }

    /// Refuses groups that the cluster does not have.
    pub fn check_groups(&self, groups: GroupSet) -> Result<(), ClusterError> {
        match groups.iter().find(|group| !self.groups().contains(*group)) {
            Some(group) => Err(ClusterError::UnknownGroup { group, groups: self.groups.len() }),
            None => Ok(()),
        }
    }
}

/// Why a description, or a message for this cluster, cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum ClusterError {
    NoGroup,
    TooManyGroups { groups: usize },
    TooManyReplicas { group: GroupId, replicas: usize },
    TooManyOutsiders { outsiders: usize },
    EmptyGroup { group: GroupId },
    EvenGroup { group: GroupId, replicas: usize },
    Twice { process: ProcessId, group: GroupId },
    InTwoGroups { process: ProcessId, first: GroupId, second: GroupId },
    OutsiderInGroup { process: ProcessId, group: GroupId },
    OutsiderTwice { process: ProcessId },
    UnknownGroup { group: GroupId, groups: usize },
    NoDestination,
    NoNumber,
    LongPayload { bytes: usize },
    HighFloor { floor: Timestamp },
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterError::NoGroup => f.write_str("the cluster has no group; describe at least one"),
            ClusterError::TooManyGroups { groups } => {
                write!(f, "{groups} groups are too many; a cluster has at most {MAX_GROUPS}")
            }
            ClusterError::TooManyReplicas { group, replicas } => {
                write!(f, "{group} has {replicas} replicas, more than {MAX_REPLICAS}; split its work over two groups")
            }
            ClusterError::TooManyOutsiders { outsiders } => {
                write!(f, "{outsiders} outsiders are too many; at most {MAX_OUTSIDERS} processes may be in no group")
            }
            ClusterError::EmptyGroup { group } => write!(f, "{group} has no process; give it one or leave it out"),
            ClusterError::EvenGroup { group, replicas } => {
                let (fewer, more) = (replicas - 1, replicas + 1);
                write!(
                    f,
                    "{group} has {replicas} replicas, which survive no more crashes than {fewer} would; \
                     choose an odd number, such as {fewer} or {more}"
                )
            }
            ClusterError::Twice { process, group } => write!(f, "{process} stands twice in {group}; name it once"),
            ClusterError::InTwoGroups { process, first, second } => {
                write!(f, "{process} is in {first} and in {second}; a process belongs to one group: take it out of one")
            }
            ClusterError::OutsiderInGroup { process, group } => {
                write!(f, "{process} is an outsider and in {group}; it can be only one of them")
            }
            ClusterError::OutsiderTwice { process } => write!(f, "{process} stands twice among the outsiders"),
            ClusterError::UnknownGroup { group, groups } => {
                let last: String = alloc::format!("g0 to g{}", groups - 1);
                let known = if *groups == 1 { "only g0" } else { &last };
                write!(f, "there is no group {group}; this cluster has {known}")
            }
            ClusterError::NoDestination => f.write_str("the message has no destination; name at least one group"),
            ClusterError::NoNumber => {
                f.write_str("the message has the number 0 in its session; the first of a session has number 1")
            }
            ClusterError::HighFloor { floor } => {
                write!(
                    f,
                    "a floor of {floor} leaves no room for later timestamps; at most {} is allowed",
                    Cluster::HIGHEST_FLOOR
                )
            }
            ClusterError::LongPayload { bytes } => {
                write!(f, "a payload of {bytes} bytes is too long; at most {} fit one message", crate::MAX_PAYLOAD)
            }
        }
    }
}

impl core::error::Error for ClusterError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MessageId;
    use alloc::string::ToString;
    use alloc::vec;
    use bytes::Bytes;

    fn cluster(groups: &[&[u16]], outsiders: &[u16]) -> Result<Cluster, ClusterError> {
        let group = |members: &&[u16]| members.iter().map(|p| ProcessId(*p)).collect();
        let outsiders = outsiders.iter().map(|p| ProcessId(*p)).collect();
        Cluster::new(ClusterId(7), groups.iter().map(group).collect(), outsiders)
    }

    fn refusal(groups: &[&[u16]], outsiders: &[u16]) -> String {
        cluster(groups, outsiders).unwrap_err().to_string()
    }

    #[test]
    fn groups_are_taken_for_one() {
        let joined = Cluster::regular(4, 5, 2).unwrap().joined(GroupSet::from_bits(0b1101));
        let group = joined.groups().iter().next().unwrap();
        assert_eq!((joined.groups().len(), joined.members(group).len(), joined.quorum(group)), (1, 15, 8));
        assert_eq!(joined.group_of(ProcessId(10)), Some(group));
        assert!(!joined.contains(ProcessId(5)) && joined.outsiders().is_empty());
    }

    #[test]
    fn knows_who_is_where() {
        let cluster = cluster(&[&[0, 1, 2], &[5, 4, 3]], &[9]).unwrap();
        let second = GroupId::new(1).unwrap();
        assert_eq!(cluster.group_of(ProcessId(5)), Some(second));
        assert_eq!(cluster.group_of(ProcessId(9)), None);
        assert!(cluster.contains(ProcessId(9)) && !cluster.contains(ProcessId(8)));
        assert_eq!(cluster.quorum(second), 2);
        assert_eq!(cluster.processes().count(), 7);
        assert_eq!(cluster.replicas(GroupSet::first(2)).count(), 6);
        assert!(cluster.require_majorities().is_ok());
    }

    #[test]
    fn refuses_what_cannot_work_and_says_why() {
        assert!(refusal(&[], &[]).contains("no group"));
        assert!(refusal(&[&[0], &[]], &[]).contains("g1 has no process"));
        assert!(refusal(&[&[0, 1, 0]], &[]).contains("p0 stands twice in g0"));
        assert!(refusal(&[&[0, 1, 2], &[2, 3, 4]], &[]).contains("p2 is in g0 and in g1"));
        assert!(refusal(&[&[0]], &[0]).contains("p0 is an outsider and in g0"));
        assert!(refusal(&[&[0]], &[1, 1]).contains("p1 stands twice"));
        assert!(refusal(&[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]], &[]).contains("10 replicas"));
    }

    #[test]
    fn the_bounds_are_where_they_say() {
        assert!(Cluster::regular(64, 9, 4096).is_ok());
        assert_eq!(Cluster::regular(65, 3, 0), Err(ClusterError::TooManyGroups { groups: 65 }));
        assert!(matches!(Cluster::regular(1, 10, 0), Err(ClusterError::TooManyReplicas { replicas: 10, .. })));
        assert_eq!(Cluster::regular(1, 1, 4097), Err(ClusterError::TooManyOutsiders { outsiders: 4097 }));
    }

    #[test]
    fn even_groups_are_refused_only_where_a_majority_is_needed() {
        let even = cluster(&[&[0, 1, 2], &[3, 4]], &[]).unwrap();
        let refusal = even.require_majorities().unwrap_err().to_string();
        assert!(refusal.starts_with("g1 has 2 replicas, which survive no more crashes than 1"), "{refusal}");
        assert!(refusal.ends_with("such as 1 or 3"), "{refusal}");
    }

    #[test]
    fn a_message_must_fit_the_cluster() {
        let cluster = cluster(&[&[0], &[1]], &[]).unwrap();
        let mut message = Multicast {
            id: MessageId::new(1, 1, 0b11),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::new(),
        };
        assert!(cluster.admit(&message).is_ok());
        message.id.destinations = GroupSet::first(3);
        assert!(cluster.admit(&message).unwrap_err().to_string().contains("no group g2; this cluster has g0 to g1"));
        message.id.destinations = GroupSet::EMPTY;
        assert_eq!(cluster.admit(&message), Err(ClusterError::NoDestination));
        message.id.destinations = GroupSet::first(1);
        message.payload = Bytes::from(vec![0; crate::MAX_PAYLOAD]);
        assert!(cluster.admit(&message).is_ok());
        message.payload = Bytes::from(vec![0; crate::MAX_PAYLOAD + 1]);
        assert!(matches!(cluster.admit(&message), Err(ClusterError::LongPayload { .. })));
        message.payload = Bytes::new();
        message.floor = Timestamp(u64::MAX / 4);
        assert!(cluster.admit(&message).is_ok());
        message.floor = message.floor.next();
        assert!(cluster.admit(&message).unwrap_err().to_string().contains("leaves no room"));
    }
}
