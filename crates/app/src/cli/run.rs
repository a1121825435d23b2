//! `skein sim run`: random seeds, judged.

use std::hash::Hash;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use skein_machine::{Boot, Ordering, ProcessId};
use skein_sim::clients::{ClientsPlan, Habits};
use skein_sim::{Load, Mix, Nanos, Outcome, Plan, SECOND, Trace, run_seed};

use super::served::{Served, counted, served_of};
use super::settings::{self, name_of};
use super::{Mistake, ScenarioName, Shape, Verdict, output, thousands};
use crate::compose::{CLOCK_ERROR, Clock, Employer, Mode, Protocol, Variant};
use crate::fleet::{Fleet, Report};

/// More processes than this are not run as outsiders: two entries that are no replica.
const OUTSIDERS: usize = 2;

/// How many clients use a service.
const CLIENTS: usize = 8;

/// A run longer than a virtual day says no more than many short ones.
const LONGEST: u64 = 86_400;

#[derive(Args)]
#[command(after_help = "Examples:
  skein sim run --protocol primcast --seeds 0..1000
  skein sim run --protocol primcast --tight --severity 3 --expiry 60 --seeds 0..1000
  skein sim run --protocol primcast --conflicts --seeds 0..1000
  skein sim run --protocol skeen --scenario calm --seeds 0..1000
  skein sim run --protocol skeen --scenario planet --groups 9 --mix 0=1,0+8=1 --seeds 0..20
  skein sim run --protocol primcast --service lists --groups 3 --seeds 0..100
  skein sim run --protocol primcast --service kv --clock hybrid --seeds 0..100
  skein sim run --protocol skeen --scenario calm --seeds 42 --trace | less
  skein sim run --protocol skeen --scenario calm --seeds 0..100000 --resume calm.jsonl

A seed decides everything: the same seed of the same build gives the same history, byte for byte.")]
pub(crate) struct Arguments {
    /// Which protocol.
    #[arg(long)]
    protocol: Protocol,
    /// Run a replicated service on it, the simulator's own lists or the store that ships (kv): clients append to lists
    /// in several partitions and look at them, and what they saw must be linearizable.
    #[arg(long, value_name = "SERVICE")]
    service: Option<Served>,
    /// What is promised about real time.
    #[arg(long, default_value = "ordered")]
    mode: Mode,
    /// What the protocol's clocks follow.
    #[arg(long, default_value = "logical")]
    clock: Clock,
    /// Where the processes stand and what befalls them.
    #[arg(long, default_value = "swarm")]
    scenario: ScenarioName,
    /// From A up to, but not including, B; or one seed.
    #[arg(long, value_name = "A..B")]
    seeds: String,
    #[command(flatten)]
    shape: Shape,
    /// Multicasts in a virtual second.
    #[arg(long, default_value_t = 20.0, value_name = "N")]
    rate: f64,
    /// Destination sets with weights, as in 0=3,0+1=1; half to one group and half to two unless told.
    #[arg(long)]
    mix: Option<String>,
    /// Payloads of one up to this many bytes.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    payload: u32,
    /// Messages are void with a timestamp more than this above what their session has seen; never unless told.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    expiry: Option<u64>,
    /// Only messages that conflict are delivered in one order: their first letters read or write one of four keys.
    #[arg(long)]
    conflicts: bool,
    /// Virtual seconds of load and faults; calm follows.
    #[arg(long, default_value_t = 60, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=LONGEST))]
    seconds: u64,
    /// Cut logs after every third entry, and keep next to nothing for those behind.
    #[arg(long)]
    tight: bool,
    /// Faults strike so many times as often.
    #[arg(long, default_value_t = 1.0, value_name = "N")]
    severity: f64,
    /// How many seeds run at once; all cores unless told. The results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Print what happened, one line an event: what is heard and delivered, or (full) also what is sent and persisted.
    #[arg(long, value_name = "DETAIL", num_args = 0..=1, default_missing_value = "brief")]
    trace: Option<Detail>,
    /// Keep finished seeds in this file, and go on from it after a stop.
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    resume: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
    /// No progress on the terminal.
    #[arg(long)]
    quiet: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Detail {
    Brief,
    Full,
}

/// The last line of the JSON output.
#[derive(Debug, Default, Serialize)]
struct Summary {
    kind: &'static str,
    protocol: String,
    mode: String,
    seeds: u64,
    virtual_hours: f64,
    multicasts: u64,
    deliveries: u64,
    crashes: u64,
    restarts: u64,
    partitions: u64,
    disk_faults: u64,
    clock_faults: u64,
    violations: u64,
    stuck: u64,
}

#[derive(Serialize)]
struct Failure<'a> {
    kind: &'static str,
    seed: u64,
    property: &'a str,
    replay: String,
}

#[derive(Serialize)]
struct Traced<'a> {
    kind: &'static str,
    seed: u64,
    text: &'a str,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let plan = arguments.plan()?;
    let seeds = settings::parse_seeds(&arguments.seeds)?;
    let fleet = Fleet {
        seeds,
        jobs: jobs(arguments.jobs),
        resume: arguments.resume.as_deref().map(|path| (path, arguments.without_seeds())),
        shows_progress: !arguments.quiet && arguments.trace.is_none(),
    };
    let conflicts = plan.claims.conflicts;
    let variant = Variant {
        mode: arguments.mode,
        clock: arguments.clock,
        is_tight: arguments.tight,
        conflicts,
        ..Variant::PLAIN
    };
    let seed_runner = |seed| {
        let trace = arguments.trace.map(Detail::trace);
        match arguments.service {
            None => seed_of(arguments.protocol, &plan, seed, trace, variant),
            Some(served) => {
                let planted = skein_service::Planted::NONE;
                let clients = clients_of(&plan);
                counted(served_of(served, arguments.protocol, &clients, seed, trace, variant, planted))
            }
        }
    };
    let mut summary = Summary {
        kind: "summary",
        protocol: arguments.protocol.to_string(),
        mode: name_of(&arguments.mode),
        ..Summary::default()
    };
    fleet.run(seed_runner, |report| {
        summary.add(&report);
        arguments.show(&report);
    })?;
    if arguments.json {
        output::json(&summary);
    } else if arguments.trace.is_none() {
        summary.print(arguments);
    }
    Ok(summary.violations == 0 && summary.stuck == 0)
}

/// Runs one seed of one protocol.
pub(crate) fn seed_of(protocol: Protocol, plan: &Plan, seed: u64, trace: Option<Trace>, variant: Variant) -> Outcome {
    struct OneSeed<'a>(&'a Plan, u64, Option<Trace>);
    impl Employer for OneSeed<'_> {
        type Answer = Outcome;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Outcome
        where
            M: Ordering + Clone + Hash + 'static,
        {
            run_seed(self.0, self.1, self.2, maker)
        }
    }
    protocol.employ(&plan.cluster, variant.of_seed(seed), OneSeed(plan, seed, trace))
}

/// The same with clients in the place of the load.
fn clients_of(plan: &Plan) -> ClientsPlan {
    ClientsPlan {
        cluster: plan.cluster.clone(),
        scenario: plan.scenario,
        clients: CLIENTS,
        habits: Habits::EAGER,
        is_forgetful: false,
        is_lopsided: false,
        duration: plan.duration,
        clock_bound: plan.clock_bound,
        severity: plan.severity,
    }
}

/// How many seeds to run at once.
pub(crate) fn jobs(asked: Option<u16>) -> usize {
    asked.map_or_else(|| std::thread::available_parallelism().map_or(1, usize::from), usize::from)
}

impl Arguments {
    fn plan(&self) -> Result<Plan, Mistake> {
        settings::check_mode(self.protocol, self.mode, self.clock)?;
        settings::check_company(self.mode, self.service.is_some(), self.conflicts)?;
        if self.service.is_some() {
            settings::check_service(self.protocol)?;
        }
        let conflicts = settings::relation(self.protocol, self.conflicts)?;
        // A service is used through its replicas.
        let outsiders = if self.service.is_some() { 0 } else { OUTSIDERS };
        let cluster = self.shape.cluster(self.protocol, outsiders)?;
        let scenario = self.scenario.scenario();
        let nature = self.protocol.nature();
        if scenario.has_faults() && !nature.survives_faults {
            return Err(Mistake(format!(
                "{} survives no crash and no lost message, and the scenario {} has both; \
                 choose one without faults: --scenario calm, lan, colocated, distributed or planet",
                self.protocol,
                name_of(&self.scenario)
            )));
        }
        if !self.rate.is_finite() || self.rate <= 0.0 || self.rate > 100_000.0 {
            return Err(Mistake(format!("a rate of {} cannot be; choose one above 0, up to 100000", self.rate)));
        }
        if !self.severity.is_finite() || !(0.01..=100.0).contains(&self.severity) {
            return Err(Mistake(format!("a severity of {} cannot be; choose one from 0.01 to 100", self.severity)));
        }
        let mix = match &self.mix {
            Some(mix) => settings::parse_mix(mix, &cluster)?,
            None => Mix::usual(&cluster),
        };
        Ok(Plan {
            load: Load {
                per_second: self.rate,
                mix,
                payload: self.payload as usize,
                expiry: self.expiry,
                misbehaves: nature.survives_faults,
                readers: nature.safe_time,
                asks_for_read_points: true,
            },
            cluster,
            scenario,
            duration: self.seconds * SECOND,
            claims: nature.claims(scenario, self.mode, conflicts),
            clock_bound: self.mode.needs_clocks().then_some(CLOCK_ERROR.as_nanos() as Nanos),
            severity: self.severity,
        })
    }

    /// Everything but the seeds, as a command.
    fn without_seeds(&self) -> String {
        let mut text = format!("skein sim run --protocol {} --scenario {}", self.protocol, name_of(&self.scenario));
        if let Some(service) = &self.service {
            text += &format!(" --service {}", name_of(service));
        }
        if self.mode != Mode::Ordered {
            text += &format!(" --mode {}", name_of(&self.mode));
        }
        if self.clock != Clock::Logical {
            text += &format!(" --clock {}", name_of(&self.clock));
        }
        text += &self.shape.arguments();
        if self.rate != 20.0 {
            text += &format!(" --rate {}", self.rate);
        }
        if let Some(mix) = &self.mix {
            text += &format!(" --mix {mix}");
        }
        if self.payload != 64 {
            text += &format!(" --payload {}", self.payload);
        }
        if let Some(expiry) = self.expiry {
            text += &format!(" --expiry {expiry}");
        }
        if self.conflicts {
            text += " --conflicts";
        }
        if self.tight {
            text += " --tight";
        }
        if self.severity != 1.0 {
            text += &format!(" --severity {}", self.severity);
        }
        if self.seconds != 60 {
            text += &format!(" --seconds {}", self.seconds);
        }
        text
    }

    fn show(&self, report: &Report) {
        if self.trace.is_some() {
            if self.json {
                output::json(&Traced { kind: "trace", seed: report.seed, text: &report.trace });
            } else {
                output::text(&report.trace);
            }
        }
        let replay = format!("{} --seeds {}..{} --trace", self.without_seeds(), report.seed, report.seed + 1);
        if self.json {
            if let Some((property, _)) = report.findings.first() {
                output::json(&Failure { kind: "failure", seed: report.seed, property, replay });
            }
            return;
        }
        for (nth, (property, detail)) in report.findings.iter().enumerate() {
            // With a trace on standard output, the verdict belongs beside it and not into it.
            let line = format!("seed {}: {property}: {detail}", report.seed);
            if self.trace.is_some() {
                eprintln!("{line}");
            } else if nth == 0 {
                output::line(format_args!("{line}\n  replay: {replay}"));
            } else {
                output::line(line);
            }
        }
    }
}

impl Detail {
    fn trace(self) -> Trace {
        match self {
            Detail::Brief => Trace::brief(),
            Detail::Full => Trace::full(),
        }
    }
}

impl Summary {
    fn add(&mut self, report: &Report) {
        self.seeds += 1;
        self.virtual_hours += report.virtual_nanos as f64 / SECOND as f64 / 3600.0;
        self.multicasts += report.multicasts;
        self.deliveries += report.deliveries;
        self.crashes += report.crashes;
        self.restarts += report.restarts;
        self.partitions += report.partitions;
        self.disk_faults += report.disk_faults;
        self.clock_faults += report.clock_faults;
        self.violations += u64::from(report.is_wrong);
        self.stuck += u64::from(report.is_stuck);
    }

    fn print(&self, arguments: &Arguments) {
        output::line(format_args!("{}", arguments.without_seeds()));
        output::line(format_args!(
            "  seeds          {:>12}   {:.2} virtual hours",
            thousands(self.seeds),
            self.virtual_hours
        ));
        let (asked, came) = (thousands(self.multicasts), thousands(self.deliveries));
        match arguments.service {
            None => output::line(format_args!("  multicasts     {asked:>12}   {came} deliveries")),
            Some(_) => output::line(format_args!("  operations     {asked:>12}   {came} answered")),
        }
        output::line(format_args!(
            "  crashes        {:>12}   {} restarts",
            thousands(self.crashes),
            thousands(self.restarts)
        ));
        output::line(format_args!("  partitions     {:>12}", thousands(self.partitions)));
        output::line(format_args!(
            "  disk faults    {:>12}   {} clock faults",
            thousands(self.disk_faults),
            thousands(self.clock_faults)
        ));
        let verdict = match (self.violations, self.stuck) {
            (0, 0) => "every property held, nothing got stuck".to_owned(),
            (wrong, stuck) => format!("{wrong} seeds broke a property, {stuck} got stuck"),
        };
        output::line(format_args!("  {verdict}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Probe {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn plan(arguments: &str) -> Result<Plan, Mistake> {
        let words = ["probe"].into_iter().chain(arguments.split_whitespace());
        Probe::parse_from(words).arguments.plan()
    }

    #[test]
    fn a_protocol_is_not_sent_into_weather_that_it_cannot_survive() {
        let mistake = plan("--protocol skeen --seeds 0..1").unwrap_err().0;
        assert!(mistake.contains("survives no crash") && mistake.contains("--scenario calm"), "{mistake}");
        assert!(plan("--protocol skeen --scenario calm --seeds 0..1").is_ok());
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (arguments, part) in [
            ("--scenario calm --mode linearizable", "does not offer the mode linearizable"),
            ("--scenario calm --clock hybrid", "does not use hardware clocks"),
            ("--scenario calm --conflicts", "leave out --conflicts"),
            ("--scenario calm --rate 0", "a rate of 0 cannot be"),
            ("--scenario calm --groups 65", "at most 64"),
            ("--scenario calm --mix 0=1,5=1", "no group g5"),
        ] {
            let mistake = plan(&format!("--protocol skeen --seeds 0..1 {arguments}")).unwrap_err().0;
            assert!(mistake.contains(part), "{mistake}");
        }
    }

    #[test]
    fn a_replay_repeats_every_setting_that_matters() {
        for settings in [
            "--protocol skeen --scenario calm --groups 3 --replicas 1 --mix 0=1 --expiry 9 --seconds 5",
            "--protocol primcast --scenario swarm --conflicts --tight --severity 2",
        ] {
            let words = format!("probe {settings} --seeds 0..9");
            let arguments = Probe::parse_from(words.split_whitespace()).arguments;
            assert_eq!(arguments.without_seeds(), format!("skein sim run {settings}"));
        }
    }
}
