//! `skein sim edge`: the figures of the edge map, each with its bar, measured in
//! simulated fleets. A figure is one line, and what it takes is spread over all
//! cores.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_sim::{MILLISECOND, Nanos, SECOND};

use super::run::jobs;
use super::{Verdict, output};
use crate::edge_sim::figures::{self, Probing, Spreading, p99};
use crate::edge_sim::{self, maps};

#[derive(Args)]
#[command(after_help = "Time is virtual, and machines compute in no time. Members of one place are half a millisecond
apart, places 100 ms, up to a fifth more. The exit code is 1 when a figure misses its bar.

Without --full the large fleet holds 1,500 keys, and what is tried with many seeds is tried with 100. Each of its
3,200 members has a copy of everything, in this process: that takes some 10 GB of memory, and with --full 32 GB.

Examples:
  skein sim edge
  skein sim edge --figure catch_up_ratio --json
  skein sim edge --full")]
pub(crate) struct Arguments {
    /// Only this figure.
    #[arg(long, value_name = "F")]
    figure: Option<Figure>,
    /// 20,000 keys and all seeds: this takes its time, and some 32 GB of memory.
    #[arg(long)]
    full: bool,
    /// How much runs at once; all cores unless told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Figure {
    #[value(name = "detect_p99_s")]
    DetectP99S,
    FalseDeaths,
    #[value(name = "spread_local_p99_s")]
    SpreadLocalP99S,
    #[value(name = "spread_all_p99_s")]
    SpreadAllP99S,
    BytesPerMemberS,
    CatchUpRatio,
    WronglyProbed,
    ProbeGapS,
    HealViolations,
    HealSeeds,
}

/// One world, or a few, that answer a figure or two. The largest first, that nobody waits for it at the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Task {
    Spread,
    Probe,
    CatchUp,
    Calm(u64),
    Detect(u64),
    Heal(u64),
}

/// What came of a task.
enum Outcome {
    Spread(Spreading),
    CatchUp(f64),
    Probe(Probing),
    Detect(Option<Nanos>),
    Calm(u64),
    Heal(u64, Vec<String>),
}

/// A figure, as it is printed.
#[derive(Serialize)]
struct Row {
    figure: &'static str,
    value: f64,
    unit: &'static str,
}

/// How long a fleet is left alone to see whether it believes in deaths that were none.
const CALM: Nanos = 180 * SECOND;

/// So many fleets are.
const CALM_SEEDS: u64 = 10;

/// Writes that are followed through the large fleet, one each tenth of a second.
const WRITES: usize = 100;

impl Figure {
    fn name(self) -> &'static str {
        match self {
            Figure::DetectP99S => "detect_p99_s",
            Figure::FalseDeaths => "false_deaths",
            Figure::SpreadLocalP99S => "spread_local_p99_s",
            Figure::SpreadAllP99S => "spread_all_p99_s",
            Figure::BytesPerMemberS => "bytes_per_member_s",
            Figure::CatchUpRatio => "catch_up_ratio",
            Figure::WronglyProbed => "wrongly_probed",
            Figure::ProbeGapS => "probe_gap_s",
            Figure::HealViolations => "heal_violations",
            Figure::HealSeeds => "heal_seeds",
        }
    }

    fn unit(self) -> &'static str {
        match self {
            Figure::DetectP99S | Figure::SpreadLocalP99S | Figure::SpreadAllP99S | Figure::ProbeGapS => "s",
            Figure::FalseDeaths => "deaths",
            Figure::BytesPerMemberS => "bytes/s",
            Figure::CatchUpRatio => "sent/encoded",
            Figure::WronglyProbed => "origins",
            Figure::HealViolations => "violations",
            Figure::HealSeeds => "seeds",
        }
    }

    /// What it must not be above. Some are only told.
    fn bar(self) -> Option<f64> {
        match self {
            Figure::DetectP99S => Some(6.0),
            Figure::SpreadLocalP99S => Some(1.0),
            Figure::SpreadAllP99S => Some(5.0),
            Figure::CatchUpRatio => Some(1.2),
            Figure::ProbeGapS => Some(figures::BAR_OF_GAP_S),
            Figure::FalseDeaths | Figure::WronglyProbed | Figure::HealViolations => Some(0.0),
            Figure::BytesPerMemberS | Figure::HealSeeds => None,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Figure::DetectP99S => "until all of 64 know of a death, in 99 of 100 fleets",
            Figure::FalseDeaths => "declared dead and were not, with 5 of 100 datagrams lost",
            Figure::SpreadLocalP99S => "until a write is everywhere in its place, 50 places of 64",
            Figure::SpreadAllP99S => "until it is everywhere in all places",
            Figure::BytesPerMemberS => "sent by each member meanwhile, with ten writes a second",
            Figure::CatchUpRatio => "what a member with nothing is sent, for what the records take",
            Figure::WronglyProbed => "probed by none or by several of a place, in peace",
            Figure::ProbeGapS => "the longest an origin went unprobed after its owner died",
            Figure::HealViolations => "wrong after a minute apart and a minute together",
            Figure::HealSeeds => "fleets that were parted so",
        }
    }

    fn tasks(self, full: bool) -> Vec<Task> {
        let seeds = |all: u64| 0..if full { all } else { all.min(100) };
        match self {
            Figure::DetectP99S => seeds(200).map(Task::Detect).collect(),
            Figure::FalseDeaths => (0..CALM_SEEDS).map(Task::Calm).collect(),
            Figure::SpreadLocalP99S | Figure::SpreadAllP99S | Figure::BytesPerMemberS => vec![Task::Spread],
            Figure::CatchUpRatio => vec![Task::CatchUp],
            Figure::WronglyProbed | Figure::ProbeGapS => vec![Task::Probe],
            Figure::HealViolations | Figure::HealSeeds => seeds(1_000).map(Task::Heal).collect(),
        }
    }
}

impl Task {
    fn run(self, full: bool) -> Outcome {
        let keys = if full { 20_000 } else { 1_500 };
        match self {
            Task::Spread => {
                Outcome::Spread(figures::spreading(&maps::Plan::of(50, 64, 1), keys, WRITES, 100 * MILLISECOND))
            }
            Task::CatchUp => Outcome::CatchUp(figures::catch_up_ratio(1, 20_000)),
            Task::Probe => Outcome::Probe(figures::probing(&maps::Plan::of(2, 16, 1), keys)),
            Task::Detect(seed) => Outcome::Detect(edge_sim::detection(edge_sim::Plan::of(64, seed))),
            Task::Calm(seed) => {
                Outcome::Calm(edge_sim::calm(edge_sim::Plan::of(64, seed).losing(0.05), CALM).false_deaths)
            }
            Task::Heal(seed) => Outcome::Heal(seed, figures::heal(maps::Plan::of(1, 6, seed))),
        }
    }
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let wanted: Vec<Figure> = Figure::value_variants()
        .iter()
        .copied()
        .filter(|each| arguments.figure.is_none_or(|only| only == *each))
        .collect();
    // Several figures come from the same worlds.
    let tasks: BTreeSet<Task> = wanted.iter().flat_map(|figure| figure.tasks(arguments.full)).collect();
    let tasks: Vec<Task> = tasks.into_iter().collect();
    let outcomes = run_all(&tasks, jobs(arguments.jobs), arguments.full);
    let mut all_well = true;
    for figure in wanted {
        let value = value(figure, &outcomes);
        let is_well = figure.bar().is_none_or(|bar| value <= bar);
        all_well &= is_well;
        if arguments.json {
            output::json(&Row { figure: figure.name(), value, unit: figure.unit() });
        } else {
            let bar = figure.bar().map_or_else(String::new, |bar| format!("at most {bar}"));
            let value = format!("{value:.2} {}", figure.unit());
            let verdict = if is_well { "" } else { "MISSED" };
            output::line(format_args!("{:<20}{value:>20}  {bar:<12} {verdict:<7}{}", figure.name(), figure.what()));
        }
    }
    for (seed, found) in outcomes.iter().filter_map(|outcome| match outcome {
        Outcome::Heal(seed, found) => Some((seed, found)),
        _ => None,
    }) {
        found.iter().for_each(|violation| eprintln!("fleet {seed} after it was parted: {violation}"));
    }
    Ok(all_well)
}

/// Runs tasks on so many threads, and answers what came of them, in their order.
fn run_all(tasks: &[Task], jobs: usize, full: bool) -> Vec<Outcome> {
    let next = AtomicUsize::new(0);
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(tasks.len()) {
            scope.spawn(|| {
                while let Some(nth) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|nth| *nth < tasks.len()) {
                    let outcome = tasks[nth].run(full);
                    outcomes.lock().expect("no task panics while it holds this").push((nth, outcome));
                }
            });
        }
    });
    let mut outcomes = outcomes.into_inner().expect("no task panics while it holds this");
    outcomes.sort_by_key(|(nth, _)| *nth);
    outcomes.into_iter().map(|(_, outcome)| outcome).collect()
}

fn value(figure: Figure, outcomes: &[Outcome]) -> f64 {
    let spread = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Spread(spreading) => Some(spreading),
        _ => None,
    });
    let probe = outcomes.iter().find_map(|outcome| match outcome {
        Outcome::Probe(probing) => Some(*probing),
        _ => None,
    });
    // What did not get everywhere took for ever.
    let never = |spreading: &Spreading, p99: f64| if spreading.lost > 0 { f64::MAX } else { p99 };
    match figure {
        Figure::SpreadLocalP99S => spread.map(|spread| never(spread, p99(&spread.local))),
        Figure::SpreadAllP99S => spread.map(|spread| never(spread, p99(&spread.all))),
        Figure::BytesPerMemberS => spread.map(|spread| spread.bytes_per_member_s),
        Figure::WronglyProbed => probe.map(|probe| probe.wrongly as f64),
        Figure::ProbeGapS => probe.map(|probe| probe.gap_s),
        Figure::CatchUpRatio => outcomes.iter().find_map(|outcome| match outcome {
            Outcome::CatchUp(ratio) => Some(*ratio),
            _ => None,
        }),
        Figure::DetectP99S => {
            let took = outcomes.iter().filter_map(|outcome| match outcome {
                Outcome::Detect(took) => Some(took.unwrap_or(Nanos::MAX)),
                _ => None,
            });
            let mut took: Vec<Nanos> = took.collect();
            took.sort_unstable();
            Some(p99(&took))
        }
        Figure::FalseDeaths => Some(sum(outcomes, |outcome| match outcome {
            Outcome::Calm(deaths) => *deaths,
            _ => 0,
        })),
        Figure::HealViolations => Some(sum(outcomes, |outcome| match outcome {
            Outcome::Heal(_, found) => found.len() as u64,
            _ => 0,
        })),
        Figure::HealSeeds => Some(sum(outcomes, |outcome| u64::from(matches!(outcome, Outcome::Heal(..))))),
    }
    .expect("the tasks of a figure answer it")
}

fn sum(outcomes: &[Outcome], count: impl Fn(&Outcome) -> u64) -> f64 {
    outcomes.iter().map(count).sum::<u64>() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_the_same_worlds_are_measured_once() {
        assert!(
            value(Figure::HealViolations, &[Outcome::Heal(1, vec!["x".to_owned()]), Outcome::Heal(2, vec![])]) > 0.0
        );
        assert!((value(Figure::HealSeeds, &[Outcome::Heal(1, vec![]), Outcome::Heal(2, vec![])]) - 2.0).abs() < 0.1);
        let lost = Spreading { local: vec![SECOND], all: vec![SECOND], bytes_per_member_s: 1.0, lost: 1 };
        assert!(value(Figure::SpreadAllP99S, &[Outcome::Spread(lost)]) > Figure::SpreadAllP99S.bar().unwrap());
        for figure in Figure::value_variants() {
            assert_eq!(figure.to_possible_value().unwrap().get_name(), figure.name());
            assert!(!figure.tasks(false).is_empty() && figure.tasks(false).len() <= 100);
        }
    }

    #[test]
    fn a_small_fleet_answers_its_figure() {
        assert!(matches!(Task::Heal(3).run(false), Outcome::Heal(3, found) if found.is_empty()));
    }
}
