//! Small schedules of multicasts: who multicasts to whom, and when. Moments are
//! halves of a delay, or just before or after: what arrives just before
//! something changes is the worst.

use bytes::Bytes;
use skein_machine::{Cluster, GroupSet, MessageId, Multicast, ProcessId, Random, Timestamp};

use super::{DELAY, WARM_UP};
use crate::Nanos;

/// Just before or after: far less than a delay.
const MOMENT: Nanos = DELAY / 1000;

/// Within so many halves of a delay everything is sent.
const HALVES: u64 = 13;

/// More messages than this make no schedule worse that is not bad with fewer.
const MOST: usize = 14;

#[derive(Clone, Copy, Debug)]
struct Cast {
    at: Nanos,
    sender: ProcessId,
    destinations: GroupSet,
}

/// Who multicasts to whom, and when.
#[derive(Clone, Debug)]
pub(super) struct Script(Vec<Cast>);

impl Script {
    /// One message at a time: every kind of sender, to every number of groups.
    pub(super) fn lone(cluster: &Cluster) -> Vec<Script> {
        let last_group = cluster.groups().iter().last().expect("a cluster has a group");
        let mut senders = vec![cluster.members(last_group)[0]];
        senders.extend(cluster.members(last_group).last());
        senders.extend(cluster.outsiders().first());
        let mut scripts = Vec::new();
        for sender in senders {
            for groups in 1..=cluster.groups().len() {
                scripts.push(Script(vec![Cast { at: WARM_UP, sender, destinations: GroupSet::first(groups) }]));
            }
        }
        scripts
    }

    /// A few messages around the same moments, after others that set the clocks apart.
    pub(super) fn drawn(cluster: &Cluster, random: &mut Random) -> Script {
        let groups: Vec<_> = cluster.groups().iter().collect();
        let destinations: GroupSet = [*random.pick(&groups)].into_iter().collect();
        let mut casts = Vec::new();
        for _ in 0..random.below(8) {
            casts.push(Cast { at: WARM_UP / 2, sender: any_process(cluster, random), destinations });
        }
        for _ in 0..random.between(2, 6) {
            casts.push(any_cast(cluster, random));
        }
        Script(casts)
    }

    /// This one with a change or two.
    pub(super) fn varied(&self, cluster: &Cluster, random: &mut Random) -> Script {
        let Script(mut casts) = self.clone();
        for _ in 0..random.between(1, 2) {
            let nth = random.below(casts.len() as u64) as usize;
            let other = any_cast(cluster, random);
            let cast = &mut casts[nth];
            match random.below(5) {
                // What sets the clocks apart comes before everything.
                0 if cast.at >= WARM_UP - DELAY => cast.at = other.at,
                1 => cast.sender = other.sender,
                2 => cast.destinations = other.destinations,
                3 if casts.len() > 2 => drop(casts.remove(nth)),
                4 if casts.len() < MOST => casts.push(other),
                _ => {}
            }
        }
        Script(casts)
    }

    /// What is multicast, in order.
    pub(super) fn casts(&self) -> impl Iterator<Item = (Nanos, ProcessId, Multicast)> {
        let Script(mut casts) = self.clone();
        casts.sort_by_key(|cast| cast.at);
        let numbered = casts.into_iter().zip(1..);
        numbered.map(|(cast, session)| (cast.at, cast.sender, message(session, cast.destinations, 0)))
    }
}

fn any_cast(cluster: &Cluster, random: &mut Random) -> Cast {
    let around = WARM_UP + random.below(HALVES) * DELAY / 2;
    let at = around + random.below(3) * MOMENT - MOMENT;
    let destinations = GroupSet::from_bits(random.between(1, cluster.groups().bits()));
    Cast { at, sender: any_process(cluster, random), destinations }
}

fn any_process(cluster: &Cluster, random: &mut Random) -> ProcessId {
    let processes: Vec<ProcessId> = cluster.processes().collect();
    *random.pick(&processes)
}

pub(super) fn message(session: u64, destinations: GroupSet, payload: usize) -> Multicast {
    Multicast {
        id: MessageId::new(session, 1, destinations.bits()),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from(vec![0; payload]),
    }
}
