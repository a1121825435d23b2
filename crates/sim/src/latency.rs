//! How far apart processes are: one-way delays between every two of them.
//! The planet is nine regions of one public cloud, the three scenarios are
//! those under which PrimCast was published, and calm is none in particular.

use std::collections::BTreeMap;

use skein_machine::{Cluster, ProcessId, Random};

use crate::{MICROSECOND, MILLISECOND, Nanos};

/// One-way delays, and how much they vary.
#[derive(Clone, Debug)]
pub struct Latency {
    processes: usize,
    delays: Delays,
    spread: Spread,
}

/// One-way delays.
#[derive(Clone, Debug)]
enum Delays {
    /// From each to each.
    Each(Vec<Nanos>),
    /// By where processes stand: thousands have millions of pairs, and few places.
    Places {
        /// The place of each process.
        places: Vec<u16>,
        within: Nanos,
        between: Nanos,
        /// Pairs that were set otherwise.
        others: BTreeMap<(usize, usize), Nanos>,
    },
}

/// How much delays vary, as a fraction of each.
#[derive(Clone, Copy, Debug)]
enum Spread {
    /// A message takes up to this much longer; all of that is as likely.
    Above(f64),
    /// A normal distribution around the delay, with this standard deviation.
    Around(f64),
}

/// No message is further from its delay than so many standard deviations: once in some 16,000 it would be, and with a
/// deviation of a quarter it still takes some time.
const FURTHEST: f64 = 4.0;

/// A region of the planet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Region {
    /// As the cloud calls it.
    pub name: &'static str,
    /// Median round trips to the nine regions in tenths of a millisecond,
    /// rounded, as published by users of that cloud in 2017.
    round_trips: [u32; 9],
}

/// Nine regions, in the order in which GlobalFS grew over them: three, six, nine.
pub const PLANET: [Region; 9] = [
    region("us-west-2", [8, 887, 1370, 194, 1595, 891, 1614, 1620, 1827]),
    region("us-east-1", [887, 8, 805, 722, 887, 1453, 2167, 2300, 1195]),
    region("eu-west-1", [1370, 805, 8, 1532, 196, 2124, 2386, 3096, 1913]),
    region("us-west-1", [194, 722, 1532, 8, 1666, 1025, 1740, 1576, 1927]),
    region("eu-central-1", [1595, 887, 196, 1666, 8, 2366, 3259, 3234, 1949]),
    region("ap-northeast-1", [891, 1453, 2124, 1025, 2366, 8, 738, 1039, 2568]),
    region("ap-southeast-1", [1614, 2167, 2386, 1740, 3259, 738, 8, 1754, 3281]),
    region("ap-southeast-2", [1620, 2300, 3096, 1576, 3234, 1039, 1754, 8, 3225]),
    region("sa-east-1", [1827, 1195, 1913, 1927, 1949, 2568, 3281, 3225, 8]),
];

const fn region(name: &'static str, round_trips: [u32; 9]) -> Region {
    Region { name, round_trips }
}

impl Region {
    /// Where a replica lives: the first one of the group `n` in the region `n`, the others in the regions nearest to
    /// that, in turn.
    pub fn of_replica(group: usize, place: usize) -> &'static Region {
        let home = &PLANET[group % PLANET.len()];
        let mut near: Vec<&Region> = PLANET.iter().collect();
        near.sort_by_key(|region| home.one_way(region));
        near[place % 3]
    }

    /// Half a round trip to another region. Within one region: between two of its datacenters.
    pub fn one_way(&self, other: &Region) -> Nanos {
        let index = PLANET.iter().position(|region| region == other).expect("a region of the planet");
        Nanos::from(self.round_trips[index]) * 100 * MICROSECOND / 2
    }
}

impl Latency {
    /// Delays given by a function of two processes; to itself a process has none.
    pub fn between(processes: &[ProcessId], jitter: f64, delay: impl Fn(ProcessId, ProcessId) -> Nanos) -> Latency {
        let delays = processes
            .iter()
            .flat_map(|from| processes.iter().map(move |to| (*from, *to)))
            .map(|(from, to)| if from == to { 0 } else { delay(from, to) })
            .collect();
        Latency { processes: processes.len(), delays: Delays::Each(delays), spread: Spread::Above(jitter) }
    }

    /// Every process in one of some places: one delay within a place, another between any two.
    pub fn places(processes: &[ProcessId], jitter: f64, delays: [Nanos; 2], of: impl Fn(ProcessId) -> u16) -> Latency {
        let places = processes.iter().map(|process| of(*process)).collect();
        let [within, between] = delays;
        let delays = Delays::Places { places, within, between, others: BTreeMap::new() };
        Latency { processes: processes.len(), delays, spread: Spread::Above(jitter) }
    }

    /// A fleet in places all over the planet: half a millisecond within one, 100 ms between two, up to a fifth more.
    pub fn edge(processes: &[ProcessId], of: impl Fn(ProcessId) -> u16) -> Latency {
        Latency::places(processes, 0.2, [MILLISECOND / 2, 100 * MILLISECOND], of)
    }

    /// The same delay between any two, always: the model in which steps are counted.
    pub fn fixed(processes: &[ProcessId], delay: Nanos) -> Latency {
        Latency::between(processes, 0.0, |_, _| delay)
    }

    /// A different delay for every pair, between a tenth and five milliseconds.
    pub fn varied(processes: &[ProcessId], random: &mut Random) -> Latency {
        let mut latency = Latency::fixed(processes, 0);
        latency.spread = Spread::Above(random.fraction());
        for from in 0..processes.len() {
            for to in (0..processes.len()).filter(|to| *to != from) {
                latency.set(from, to, random.between(100 * MICROSECOND, 5 * MILLISECOND));
            }
        }
        latency
    }

    /// Everything in one cluster: 0.09 ms round trips.
    pub fn lan(cluster: &Cluster) -> Latency {
        Latency::between(&all(cluster), 0.1, |_, _| 45 * MICROSECOND)
    }

    /// Three regions, every group spread over all of them, the first replicas of
    /// all groups in one: round trips of 60, 76 and 130 ms between the regions.
    pub fn colocated(cluster: &Cluster) -> Latency {
        const BETWEEN: [[Nanos; 3]; 3] = [[0, 60, 76], [60, 0, 130], [76, 130, 0]];
        Latency::between(&all(cluster), 0.02, |from, to| {
            let (from, to) = (place_in_group(cluster, from) % 3, place_in_group(cluster, to) % 3);
            if from == to { 45 * MICROSECOND } else { BETWEEN[from][to] * MILLISECOND / 2 }
        })
    }

    /// A region for every group: 90 ms round trips between groups, 30 ms within one.
    pub fn distributed(cluster: &Cluster) -> Latency {
        Latency::between(&all(cluster), 0.02, |from, to| {
            let same = cluster.group_of(from) == cluster.group_of(to);
            if same { 15 * MILLISECOND } else { 45 * MILLISECOND }
        })
    }

    /// Nine regions: the group `n` is at home in the region `n`, its further
    /// replicas in the two regions nearest to that, in turn. Outsiders are
    /// spread over all regions.
    pub fn planet(cluster: &Cluster) -> Latency {
        let region = |process: ProcessId| match cluster.group_of(process) {
            Some(group) => Region::of_replica(group.index(), place_in_group(cluster, process)),
            None => &PLANET[usize::from(process.0) % PLANET.len()],
        };
        Latency::between(&all(cluster), 0.05, |from, to| region(from).one_way(region(to)))
    }

    /// The same delays, but around each of them a normal distribution with a standard deviation that is this fraction
    /// of it, as wide areas are commonly emulated. Zero means that a message always takes the same time.
    #[must_use]
    pub fn with_deviation(mut self, deviation: f64) -> Latency {
        assert!((0.0..1.0 / FURTHEST).contains(&deviation), "a delay that deviates by {deviation} of itself is none");
        self.spread = Spread::Around(deviation);
        self
    }

    /// How many processes it describes.
    pub fn processes(&self) -> usize {
        self.processes
    }

    /// Sets one delay; processes by their place in the list that it was made from.
    pub fn set(&mut self, from: usize, to: usize, delay: Nanos) {
        match &mut self.delays {
            Delays::Each(delays) => delays[from * self.processes + to] = delay,
            Delays::Places { others, .. } => {
                others.insert((from, to), delay);
            }
        }
    }

    /// One delay as it was set.
    fn delay(&self, from: usize, to: usize) -> Nanos {
        match &self.delays {
            Delays::Each(delays) => delays[from * self.processes + to],
            Delays::Places { others, .. } if others.contains_key(&(from, to)) => others[&(from, to)],
            Delays::Places { .. } if from == to => 0,
            Delays::Places { places, within, .. } if places[from] == places[to] => *within,
            Delays::Places { between, .. } => *between,
        }
    }

    /// How long one message takes.
    pub(crate) fn draw(&self, from: usize, to: usize, random: &mut Random) -> Nanos {
        let delay = self.delay(from, to);
        match self.spread {
            _ if delay == 0 => delay,
            Spread::Above(0.0) | Spread::Around(0.0) => delay,
            Spread::Above(jitter) => delay + (delay as f64 * jitter * random.fraction()) as Nanos,
            Spread::Around(deviation) => (delay as f64 * (1.0 + deviation * normal(random))) as Nanos,
        }
    }
}

/// A number from the normal distribution around zero with deviation one (Box and Muller's way), cut at both ends.
fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - random.fraction()).ln()).sqrt();
    let angle = std::f64::consts::TAU * random.fraction();
    (radius * angle.cos()).clamp(-FURTHEST, FURTHEST)
}

fn all(cluster: &Cluster) -> Vec<ProcessId> {
    cluster.processes().collect()
}

/// Which replica of its group a process is; outsiders count as first ones.
fn place_in_group(cluster: &Cluster, process: ProcessId) -> usize {
    let group = cluster.group_of(process);
    group.and_then(|group| cluster.members(group).iter().position(|member| *member == process)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_planet_is_the_same_from_both_sides() {
        for (a, from) in PLANET.iter().enumerate() {
            for (b, to) in PLANET.iter().enumerate() {
                assert_eq!(from.one_way(to), to.one_way(from), "{} to {}", from.name, to.name);
                assert_eq!(a == b, from.one_way(to) < MILLISECOND);
            }
        }
    }

    #[test]
    fn the_scenarios_are_those_of_the_table() {
        let cluster = Cluster::regular(8, 3, 0).unwrap();
        let mut random = Random::new(1);
        let mut one_way = |latency: &Latency, from, to| latency.draw(from, to, &mut random) / MILLISECOND;
        let colocated = Latency::colocated(&cluster);
        assert_eq!(one_way(&colocated, 0, 3), 0, "the leaders stand together");
        assert_eq!((one_way(&colocated, 0, 1), one_way(&colocated, 0, 2), one_way(&colocated, 1, 2)), (30, 38, 65));
        let distributed = Latency::distributed(&cluster);
        assert_eq!((one_way(&distributed, 0, 3), one_way(&distributed, 0, 1)), (45, 15));
    }

    #[test]
    fn delays_deviate_as_they_are_told_to() {
        let processes = [ProcessId(0), ProcessId(1)];
        let mut random = Random::new(1);
        let mut draws =
            |latency: &Latency| -> Vec<f64> { (0..100_000).map(|_| latency.draw(0, 1, &mut random) as f64).collect() };
        let drawn = draws(&Latency::fixed(&processes, MILLISECOND).with_deviation(0.05));
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|delay| (delay - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        assert!((mean / MILLISECOND as f64 - 1.0).abs() < 0.001, "{mean}");
        assert!((variance.sqrt() / mean - 0.05).abs() < 0.001, "{}", variance.sqrt());
        assert!(drawn.iter().all(|delay| (800_000.0..=1_200_000.0).contains(delay)), "four deviations at most");
        let latency = Latency::between(&processes, 0.5, |_, _| MILLISECOND).with_deviation(0.0);
        assert!(draws(&latency).iter().all(|delay| *delay == MILLISECOND as f64), "none");
    }

    #[test]
    fn a_fleet_has_a_delay_within_a_place_and_one_between() {
        let processes: Vec<ProcessId> = (0..3_200).map(ProcessId).collect();
        let mut latency = Latency::places(&processes, 0.0, [1, 9], |process| process.0 / 64);
        latency.set(0, 1, 5);
        let mut random = Random::new(1);
        let drawn = [(0, 1), (1, 0), (0, 63), (0, 64), (3_199, 3_136), (3_199, 0), (7, 7)];
        assert_eq!(drawn.map(|(from, to)| latency.draw(from, to, &mut random)), [5, 1, 1, 9, 1, 9, 0]);
        let edge = Latency::edge(&processes, |process| process.0 / 64);
        assert!((0..100).all(|_| (100..120).contains(&(edge.draw(0, 64, &mut random) / MILLISECOND))));
    }

    #[test]
    fn a_group_on_the_planet_lives_in_three_regions() {
        let cluster = Cluster::regular(9, 3, 0).unwrap();
        let planet = Latency::planet(&cluster);
        let mut random = Random::new(1);
        let one_way = planet.draw(0, 1, &mut random);
        assert!(one_way > 9 * MILLISECOND, "from us-west-2 to its neighbour us-west-1, not {one_way}");
        assert_eq!(planet.draw(4, 4, &mut random), 0);
    }
}
