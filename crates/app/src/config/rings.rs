//! The rings that an operator lists for Multi-Ring Paxos, beside those that are
//! always there: one for each group and one for everybody.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use skein_machine::{Cluster, GroupId, GroupSet};
use skein_order::multiring::{MAX_RINGS, Rings};

use super::{ConfigError, is_not};
use crate::compose::Protocol;

/// Messages that a ring could have carried before it is joined on demand: a load that lasts for seconds, and no burst.
const PATIENCE: u64 = 1_000;

/// A ring as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RingFile {
    groups: Vec<String>,
    /// It sleeps until messages want it.
    #[serde(default, skip_serializing_if = "is_not")]
    on_demand: bool,
}

/// How the processes of a cluster are connected, with these rings.
pub(super) fn check(
    rings: &[RingFile],
    names: &[String],
    cluster: &Cluster,
    protocol: Protocol,
) -> Result<Rings, ConfigError> {
    if protocol != Protocol::MultiRing && !rings.is_empty() {
        return Err(ConfigError(format!(
            "[[rings]]: {protocol} has no rings; take them out, or take protocol = \"multiring\""
        )));
    }
    let most = MAX_RINGS - names.len() - 1;
    if rings.len() > most {
        return Err(ConfigError(format!(
            "{} rings are listed: with {} groups there may be {most} beside those that are always there",
            rings.len(),
            names.len()
        )));
    }
    let mut seen: BTreeMap<GroupSet, usize> = BTreeMap::new();
    for (ring, number) in rings.iter().zip(1..) {
        let served = ring.served(number, names)?;
        if served == cluster.groups() {
            return Err(ConfigError(format!(
                "ring {number} serves all groups: there is always one that does, so take this one out"
            )));
        }
        if let Some(other) = seen.insert(served, number) {
            return Err(ConfigError(format!("rings {other} and {number} serve the same groups: take one of them out")));
        }
    }
    let listed = |on_demand: bool| {
        let rings = rings.iter().zip(1..).filter(move |(ring, _)| ring.on_demand == on_demand);
        rings.map(|(ring, number)| ring.served(number, names).expect("they were just looked at"))
    };
    Ok(Rings::of(cluster).with_others(listed(false)).with_sleepers(listed(true), PATIENCE))
}

/// Those of these rings that are not always there, as they would be written.
pub(super) fn listed(rings: &Rings, names: &[String]) -> Vec<RingFile> {
    let file = |ring: usize| RingFile {
        groups: rings.served(ring).iter().map(|group| names[group.index()].clone()).collect(),
        on_demand: rings.sleeps(ring),
    };
    numbers(rings, names).map(file).collect()
}

fn numbers(rings: &Rings, names: &[String]) -> impl Iterator<Item = usize> {
    (0..rings.count()).filter(|ring| (2..names.len()).contains(&rings.served(*ring).len()))
}

/// The same in words that all nodes must have been told alike. Groups may be called something else.
pub(super) fn plan(rings: &Rings, names: &[String]) -> String {
    let word = |ring| format!(" ring {:x}{}", rings.served(ring).bits(), if rings.sleeps(ring) { "?" } else { "" });
    numbers(rings, names).map(word).collect()
}

impl RingFile {
    fn served(&self, number: usize, names: &[String]) -> Result<GroupSet, ConfigError> {
        let mut served = GroupSet::EMPTY;
        for name in &self.groups {
            let group = names.iter().position(|known| known == name).and_then(GroupId::new).ok_or_else(|| {
                ConfigError(format!(
                    "ring {number} serves {name}, and there is no such group: there are {}",
                    names.join(", ")
                ))
            })?;
            if served.contains(group) {
                return Err(ConfigError(format!("ring {number} serves {name} twice: name each group once")));
            }
            served.insert(group);
        }
        if served.len() < 2 {
            return Err(ConfigError(format!(
                "ring {number} serves {}: each group has a ring of its own anyway, so name two groups or more",
                self.groups.first().map_or("nobody".to_owned(), |only| format!("only {only}"))
            )));
        }
        Ok(served)
    }
}
