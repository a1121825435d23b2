//! `skein sim mu`: random seeds of Mu's processors and memories, judged. The
//! protocol has its own world, since its peers are memories; how seeds are run
//! and told is the same as everywhere.

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_sim::{MILLISECOND, Nanos, SECOND};

use super::run::jobs;
use super::{Mistake, Verdict, output, settings, thousands};
use crate::fleet::{Fleet, Report};
use crate::mu_sim::{self, Plan};

/// A run longer than a virtual minute says no more than many short ones.
const LONGEST_MS: u64 = 60_000;

#[derive(Args)]
#[command(
    after_help = "Processors crash, stand still and come back while their memories live; verbs take their time, are
torn, and what comes of them arrives in any order. Clients append to lists and look at them. At the end all replicas
must have applied one log, and what clients saw must be linearizable.

Examples:
  skein sim mu --seeds 0..1000
  skein sim mu --fabric network --replicas 5 --seeds 0..1000
  skein sim mu --seeds 42 --trace | less"
)]
pub(crate) struct Arguments {
    /// From A up to, but not including, B; or one seed.
    #[arg(long, value_name = "A..B")]
    seeds: String,
    /// Where the memories are.
    #[arg(long, default_value = "shared")]
    fabric: Fabric,
    /// How many replicas.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    replicas: u8,
    /// How long the weather lasts, in virtual milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(50..=LONGEST_MS))]
    millis: u64,
    /// Print what happens.
    #[arg(long)]
    trace: bool,
    /// How many seeds run at once; all cores unless told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// Where memories are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Fabric {
    /// In one host, where processes share them.
    Shared,
    /// At the other end of links that break; one may be lost.
    Network,
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'static str,
    seed: u64,
    property: &'a str,
    replay: String,
}

#[derive(Default, Serialize)]
struct Summary {
    kind: &'static str,
    seeds: u64,
    virtual_seconds: f64,
    operations: u64,
    applied: u64,
    crashes: u64,
    broken_links: u64,
    lost_memories: u64,
    violations: u64,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let seeds = settings::parse_seeds(&arguments.seeds)?;
    if arguments.trace && seeds.end - seeds.start > 1 {
        return Err(Mistake("a trace is of one seed: say --seeds 42 --trace".to_owned()));
    }
    let plan = arguments.plan();
    let fleet = Fleet { seeds, jobs: jobs(arguments.jobs), resume: None, shows_progress: !arguments.trace };
    let mut summary = Summary { kind: "summary", ..Summary::default() };
    fleet.run(
        |seed| mu_sim::run_seed(seed, &plan).into_outcome(seed),
        |report| {
            arguments.show(&report);
            summary.add(&report);
        },
    )?;
    if arguments.json {
        output::json(&summary);
    } else if !arguments.trace {
        summary.print();
    }
    Ok(summary.violations == 0)
}

impl Arguments {
    fn plan(&self) -> Plan {
        let span: Nanos = self.millis * MILLISECOND;
        let plan = match self.fabric {
            Fabric::Shared => Plan::shared(span),
            Fabric::Network => Plan::network(span),
        };
        Plan { replicas: usize::from(self.replicas), traces: self.trace, ..plan }
    }

    fn replay(&self, seed: u64) -> String {
        let fabric = self.fabric.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let Arguments { replicas, millis, .. } = self;
        format!("skein sim mu --fabric {fabric} --replicas {replicas} --millis {millis} --seeds {seed} --trace")
    }

    fn show(&self, report: &Report) {
        if self.trace {
            output::text(&report.trace);
        }
        for (property, detail) in &report.findings {
            let (seed, replay) = (report.seed, self.replay(report.seed));
            if self.json {
                output::json(&Failure { kind: "failure", seed, property, replay });
            } else if self.trace {
                // The verdict belongs beside the trace and not into it.
                eprintln!("seed {seed}: {property}: {detail}");
            } else {
                output::line(format_args!("seed {seed}: {property}: {detail}\n  replay: {replay}"));
            }
        }
    }
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.virtual_seconds += report.virtual_nanos as f64 / SECOND as f64;
        self.operations += report.multicasts;
        self.applied += report.deliveries;
        self.crashes += report.crashes;
        self.broken_links += report.partitions;
        self.lost_memories += report.disk_faults;
        self.violations += report.findings.len() as u64;
    }

    fn print(&self) {
        output::line(format_args!(
            "{} seeds, {:.0} virtual seconds: {} operations, {} requests applied, {} processors crashed, {} links broke, \
             {} memories lost: {} violations",
            thousands(self.seeds),
            self.virtual_seconds,
            thousands(self.operations),
            thousands(self.applied),
            thousands(self.crashes),
            thousands(self.broken_links),
            thousands(self.lost_memories),
            self.violations
        ));
    }
}
