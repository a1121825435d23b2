//! Settings that several commands share: which cluster, which scenario, which
//! mode, and the sentences for those that cannot be.

use std::ops::Range;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use skein_machine::{Cluster, ClusterId, Conflicts, GroupId, GroupSet, ProcessId};
use skein_sim::{Mix, SOME_COMMUTE, Scenario};

use super::Mistake;
use crate::compose::{Clock, Mode, Protocol};

/// Where the processes stand and what befalls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScenarioName {
    /// Random delays and every kind of fault.
    Swarm,
    /// Random delays, no fault.
    Calm,
    /// One cluster in one room.
    Lan,
    /// Three regions, each group over all of them, leaders together.
    Colocated,
    /// A region for every group.
    Distributed,
    /// Nine regions of a real cloud.
    Planet,
}

/// The groups of a cluster.
#[derive(Args, Debug)]
pub(crate) struct Shape {
    /// How many groups.
    #[arg(long, default_value_t = 2, value_name = "G")]
    pub(crate) groups: usize,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 3, value_name = "R")]
    pub(crate) replicas: usize,
    /// The groups in full instead: processes apart by commas, groups by slashes, as in 0,1,2/3,4,5.
    #[arg(long, conflicts_with_all = ["groups", "replicas"], value_name = "GROUPS")]
    pub(crate) layout: Option<String>,
}

impl ScenarioName {
    pub(crate) fn scenario(self) -> Scenario {
        match self {
            ScenarioName::Swarm => Scenario::Swarm,
            ScenarioName::Calm => Scenario::Calm,
            ScenarioName::Lan => Scenario::Lan,
            ScenarioName::Colocated => Scenario::Colocated,
            ScenarioName::Distributed => Scenario::Distributed,
            ScenarioName::Planet => Scenario::Planet,
        }
    }
}

/// The name of a value as the command line spells it.
pub(crate) fn name_of<V: ValueEnum>(value: &V) -> String {
    value.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

impl Shape {
    /// The cluster, if this protocol can run on it.
    pub(crate) fn cluster(&self, protocol: Protocol, outsiders: usize) -> Result<Arc<Cluster>, Mistake> {
        let cluster = match &self.layout {
            None => Cluster::regular(self.groups, self.replicas, outsiders)?,
            Some(layout) => {
                let groups = parse_layout(layout)?;
                let highest = groups.iter().flatten().max().map_or(0, |process| process.0);
                let free = (0..=u16::MAX).filter(|number| *number > highest);
                Cluster::new(ClusterId(1), groups.clone(), free.take(outsiders).map(ProcessId).collect())?
            }
        };
        if protocol.nature().needs_majorities {
            cluster.require_majorities()?;
        }
        Ok(Arc::new(cluster))
    }

    /// The same as arguments, for commands that replay something.
    pub(crate) fn arguments(&self) -> String {
        match (&self.layout, self.groups, self.replicas) {
            (Some(layout), ..) => format!(" --layout {layout}"),
            (None, 2, 3) => String::new(),
            (None, groups, replicas) => format!(" --groups {groups} --replicas {replicas}"),
        }
    }
}

fn parse_layout(layout: &str) -> Result<Vec<Vec<ProcessId>>, Mistake> {
    let process = |text: &str| {
        let number = text.trim().trim_start_matches('p').parse().map_err(|_| {
            Mistake(format!(
                "`{text}` in the layout `{layout}` is no process; write numbers from 0 to 65535, as in 0,1,2/3,4,5"
            ))
        })?;
        Ok(ProcessId(number))
    };
    layout.split('/').map(|group| group.split(',').map(process).collect()).collect()
}

/// Seeds as `A..B`, A included and B not, or a single one.
pub(crate) fn parse_seeds(text: &str) -> Result<Range<u64>, Mistake> {
    let number = |text: &str| text.trim().parse::<u64>().ok();
    let range = match text.split_once("..") {
        Some((first, end)) => number(first).zip(number(end)).map(|(first, end)| first..end),
        None => number(text).and_then(|seed| Some(seed..seed.checked_add(1)?)),
    };
    match range {
        None => Err(Mistake(format!("`{text}` is no range of seeds; write A..B, as in 0..100, or one seed"))),
        Some(range) if range.is_empty() => Err(Mistake(format!(
            "the range of seeds {text} is empty; B is not included, so {0}..{1} would be one seed",
            range.start,
            range.start.saturating_add(1)
        ))),
        Some(range) => Ok(range),
    }
}

/// Destination sets with weights, as in `0=3,0+1=1`.
pub(crate) fn parse_mix(text: &str, cluster: &Cluster) -> Result<Mix, Mistake> {
    let wrong = |part: &str| {
        Mistake(format!(
            "`{part}` in the mix `{text}` is no set with a weight; write groups and weights as in 0=3,0+1=1"
        ))
    };
    let mut sets = Vec::new();
    for part in text.split(',') {
        let (groups, weight) = part.split_once('=').ok_or_else(|| wrong(part))?;
        let weight: f64 = weight.trim().parse().map_err(|_| wrong(part))?;
        if !weight.is_finite() || weight <= 0.0 {
            return Err(Mistake(format!("the weight of `{part}` must be a number above 0")));
        }
        sets.push((groups_of(groups, || wrong(part))?, weight));
    }
    Ok(Mix::new(cluster, sets)?)
}

/// One set of destinations, as in `0+2`.
pub(crate) fn parse_set(text: &str, groups: usize) -> Result<GroupSet, Mistake> {
    let wrong = || Mistake(format!("`{text}` is no set of groups; write their numbers as in 0+2"));
    let set = groups_of(text, wrong)?;
    match set.iter().find(|group| group.index() >= groups) {
        Some(group) => Err(Mistake(format!("there is no group {group}; there are {groups}, from g0 on"))),
        None => Ok(set),
    }
}

fn groups_of(text: &str, wrong: impl Fn() -> Mistake) -> Result<GroupSet, Mistake> {
    let mut set = GroupSet::EMPTY;
    for group in text.split('+') {
        let number: usize = group.trim().trim_start_matches('g').parse().map_err(|_| wrong())?;
        let group = GroupId::new(number)
            .ok_or_else(|| Mistake(format!("there is no group g{number}; numbers go from 0 to 63")))?;
        set.insert(group);
    }
    Ok(set)
}

/// Refuses modes and clocks that a protocol does not have.
pub(crate) fn check_mode(protocol: Protocol, mode: Mode, clock: Clock) -> Result<(), Mistake> {
    let offered = protocol.nature().modes;
    if !offered.contains(&mode) {
        let offered: Vec<String> = offered.iter().map(name_of).collect();
        let (mode, offered) = (name_of(&mode), offered.join(", "));
        return Err(Mistake(format!("{protocol} does not offer the mode {mode}; it offers {offered}")));
    }
    if clock == Clock::Hybrid && protocol.nature().hybrid_steps.is_none() {
        return Err(Mistake(format!("{protocol} does not use hardware clocks; leave --clock at logical")));
    }
    Ok(())
}

/// Refuses a service on a protocol that cannot carry one.
pub(crate) fn check_service(protocol: Protocol) -> Result<(), Mistake> {
    protocol.may_serve().map_err(|why| Mistake(format!("{why}; choose --protocol primcast")))
}

/// Refuses a mode where it would change nothing, or where no judge could say whether it holds.
pub(crate) fn check_company(mode: Mode, has_service: bool, some_commute: bool) -> Result<(), Mistake> {
    if mode == Mode::Ordered {
        return Ok(());
    }
    let mode = name_of(&mode);
    if has_service {
        return Err(Mistake(format!(
            "a service holds its own answers back until they are linearizable; leave out --mode {mode}, or --service"
        )));
    }
    if some_commute {
        return Err(Mistake(format!(
            "{mode} is about the order of all messages; leave out --mode {mode}, or --conflicts"
        )));
    }
    Ok(())
}

/// The relation of a run whose messages may commute, if the protocol can make use of that.
pub(crate) fn relation(protocol: Protocol, is_asked: bool) -> Result<Option<Conflicts>, Mistake> {
    if is_asked && protocol.nature().commuting_steps.is_none() {
        return Err(Mistake(format!("{protocol} delivers all messages in one order; leave out --conflicts")));
    }
    Ok(is_asked.then_some(SOME_COMMUTE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistake<T>(result: Result<T, Mistake>) -> String {
        result.err().expect("a mistake").0
    }

    #[test]
    fn seeds_are_a_range_or_one() {
        assert_eq!(parse_seeds("3..5").unwrap(), 3..5);
        assert_eq!(parse_seeds("7").unwrap(), 7..8);
        assert!(mistake(parse_seeds("5..5")).contains("5..6 would be one seed"));
        assert!(mistake(parse_seeds("9..2")).contains("empty"));
        for wrong in ["", "a..b", "1..", "-1..4", "1...4", "18446744073709551615"] {
            assert!(mistake(parse_seeds(wrong)).contains("no range of seeds"), "{wrong}");
        }
    }

    #[test]
    fn a_layout_is_checked() {
        let shape = |layout: &str| Shape { groups: 2, replicas: 3, layout: Some(layout.into()) };
        let cluster = shape("0,1,2/5,4,3").cluster(Protocol::Skeen, 1).unwrap();
        assert_eq!((cluster.groups().len(), cluster.outsiders()[0]), (2, ProcessId(6)));
        assert!(mistake(shape("0,1/1,2").cluster(Protocol::Skeen, 0)).contains("p1 is in g0 and in g1"));
        assert!(mistake(shape("0,x").cluster(Protocol::Skeen, 0)).contains("`x` in the layout"));
        assert!(mistake(shape("").cluster(Protocol::Skeen, 0)).contains("no process"));
    }

    #[test]
    fn a_mix_is_checked() {
        let cluster = Cluster::regular(2, 1, 0).unwrap();
        assert!(parse_mix("0=3,g0+g1=0.5", &cluster).is_ok());
        assert!(mistake(parse_mix("0=1,2=1", &cluster)).contains("no group g2"));
        assert!(mistake(parse_mix("99=1", &cluster)).contains("0 to 63"));
        assert!(mistake(parse_mix("0=0", &cluster)).contains("above 0"));
        assert!(mistake(parse_mix("0", &cluster)).contains("no set with a weight"));
    }
}
