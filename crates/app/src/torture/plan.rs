//! What is to happen to a cluster, and when: drawn from a seed before anything
//! starts. Whom a blow hits is drawn when it falls, from chance of its own,
//! among those who are there to be hit.

use std::collections::VecDeque;
use std::time::Duration;

use clap::ValueEnum;
use skein_machine::Random;

/// A kind of trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Trouble {
    /// A process is killed, and started again.
    Kill,
    /// A process is stopped, and goes on.
    Stop,
    /// A link is cut, in one direction or both, or all links of a process.
    Cut,
    /// A link is slow.
    Slow,
    /// A disk is full, a sync fails, or a write is torn.
    Disk,
    /// A hardware clock jumps.
    Clock,
    /// All processes are killed at once.
    Power,
    /// A process is killed, its data directory is gone, and it joins again without memory.
    Lose,
}

/// How often each strikes in a minute. A shorter run has at least one of each.
const A_MINUTE: [(Trouble, f64); 8] = [
    (Trouble::Kill, 10.0),
    (Trouble::Stop, 6.0),
    (Trouble::Cut, 8.0),
    (Trouble::Slow, 5.0),
    (Trouble::Disk, 4.0),
    (Trouble::Clock, 6.0),
    (Trouble::Power, 1.0),
    (Trouble::Lose, 2.0),
];

/// One thing that happens.
#[derive(Clone, Debug)]
pub(crate) struct Blow {
    /// After so long.
    pub(crate) at: Duration,
    pub(crate) trouble: Trouble,
    /// Decides the rest.
    pub(crate) random: Random,
}

/// Everything that happens, in order. Each kind is spread over the whole time, by lot within its share of it.
pub(crate) fn plan(random: &mut Random, duration: Duration, wanted: &[Trouble]) -> VecDeque<Blow> {
    let mut blows = Vec::new();
    for ((trouble, a_minute), label) in A_MINUTE.into_iter().zip(0..) {
        // Drawn for those that are not wanted too, so that the others stay what they are.
        let mut random = random.fork(label);
        let count = (a_minute * duration.as_secs_f64() / 60.0).ceil().max(1.0);
        let mut nth = 0.0;
        while nth < count {
            let at = duration.mul_f64((nth + random.fraction()) / count);
            blows.push(Blow { at, trouble, random: random.fork(nth as u64) });
            nth += 1.0;
        }
    }
    blows.retain(|blow| wanted.contains(&blow.trouble));
    blows.sort_by_key(|blow| blow.at);
    blows.into()
}

/// A span between two, every magnitude alike.
pub(crate) fn span(random: &mut Random, shortest: Duration, longest: Duration) -> Duration {
    let longest = longest.max(shortest);
    let ratio = longest.as_secs_f64() / shortest.as_secs_f64();
    shortest.mul_f64(ratio.powf(random.fraction()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn told(seed: u64, duration: Duration, wanted: &[Trouble]) -> Vec<(Duration, Trouble)> {
        plan(&mut Random::new(seed), duration, wanted).iter().map(|blow| (blow.at, blow.trouble)).collect()
    }

    #[test]
    fn a_seed_decides_everything() {
        let all = Trouble::value_variants();
        assert_eq!(told(1, MINUTE, all), told(1, MINUTE, all));
        assert_ne!(told(1, MINUTE, all), told(2, MINUTE, all));
        let mut only_kills = told(1, MINUTE, all);
        only_kills.retain(|(_, trouble)| *trouble == Trouble::Kill);
        assert_eq!(told(1, MINUTE, &[Trouble::Kill]), only_kills, "whatever else is wanted");
    }

    #[test]
    fn a_short_run_has_one_of_each_and_a_long_one_its_share() {
        let count = |minutes: f64, kind| {
            let plan = told(3, MINUTE.mul_f64(minutes), Trouble::value_variants());
            assert!(plan.iter().all(|(at, _)| *at <= MINUTE.mul_f64(minutes)));
            plan.iter().filter(|(_, trouble)| *trouble == kind).count()
        };
        for trouble in Trouble::value_variants() {
            assert_eq!(count(0.01, *trouble), 1);
        }
        assert_eq!([count(1.0, Trouble::Kill), count(3.0, Trouble::Power)], [10, 3]);
    }

    #[test]
    fn a_span_keeps_its_bounds() {
        let (low, high) = (Duration::from_millis(50), Duration::from_secs(5));
        let mut random = Random::new(7);
        assert!((0..1000).map(|_| span(&mut random, low, high)).all(|span| low <= span && span <= high));
        assert_eq!(span(&mut random, high, low), high);
    }
}
