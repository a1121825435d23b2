//! `skein sim sweep`: throughput and latency of protocols in the simulator,
//! under a load that grows step by step, and what each promise about real time
//! costs. Each point is a world of its own.

mod cell;
mod row;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use skein_machine::Cluster;
use skein_sim::flow::{FlowPlan, Pressure};
use skein_sim::{Latency, Nanos, SECOND};

use self::cell::{Cell, Subject};
use self::row::Row;
use super::run::jobs;
use super::{Mistake, Verdict, output, settings};
use crate::bench::plot::{Axis, Chart, Curve};
use crate::compose::{Clock, Mode, Protocol};

/// A sweep of more points than this is a mistake. What was measured at one of them takes some 700 kB until all is drawn.
const MOST_CELLS: usize = 300;

/// A picture with more curves than this is a thicket.
const MOST_CURVES: usize = 12;

/// Above this rate a world takes hours for a second.
const HIGHEST_RATE: f64 = 1e6;

/// A process refuses to have more than this on the way long before.
const MOST_OUTSTANDING: usize = 10_000;

/// Steps of a curve that shows how latencies are distributed.
const STEPS: usize = 100;

#[derive(Args)]
#[command(
    after_help = "Time is virtual: message delay, and waiting for other messages. Processes compute in no time, so
nothing here is ever saturated; curves bend upward where messages wait for each other (the convoy effect).
`skein bench sweep` measures processors.

Clients stand beside replicas. A message goes to the group of its client's replica and to some others at
random. It is answered when that replica has delivered it, or, in modes that promise something about real
time, when that replica says that the answer may leave. Protocols are run with each clock and in each
mode that they have of those that are named.

The exit code is 1 when a message is not delivered everywhere, in one order, and answered.

Examples:
  skein sim sweep --scenario distributed --protocol primcast,whitebox --outstanding 1,4,16 --svg curves.svg
  skein sim sweep --scenario lan --rate 100,1000,10000 --json
  skein sim sweep --scenario distributed --outstanding 2 --cdf latencies.svg
  skein sim sweep --scenario planet --groups 3 --protocol primcast --mode ordered,linearizable --rate 5,500"
)]
pub(crate) struct Arguments {
    /// Which protocols; all of them unless told.
    #[arg(long, value_delimiter = ',', value_name = "P,P")]
    protocol: Vec<Protocol>,
    /// What their clocks follow.
    #[arg(long, value_delimiter = ',', default_value = "logical", value_name = "C,C")]
    clock: Vec<Clock>,
    /// What is promised about real time.
    #[arg(long, value_delimiter = ',', default_value = "ordered", value_name = "M,M")]
    mode: Vec<Mode>,
    /// Where the replicas stand.
    #[arg(long)]
    scenario: Deployment,
    /// How many groups.
    #[arg(long, default_value_t = 8, value_name = "G")]
    groups: usize,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 3, value_name = "R")]
    replicas: usize,
    /// To how many groups each message goes.
    #[arg(long, default_value_t = 2, value_name = "D")]
    destinations: usize,
    /// Multicasts in a virtual second, over all clients: a point for each.
    #[arg(
        long,
        value_delimiter = ',',
        value_name = "N,N",
        conflicts_with = "outstanding",
        required_unless_present = "outstanding"
    )]
    rate: Vec<f64>,
    /// Messages that each client has on the way, beginning the next when one is answered: a point for each.
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    outstanding: Vec<usize>,
    /// So many processes that are no replicas multicast, and replicas do not.
    #[arg(long, default_value_t = 0, value_name = "N")]
    outside: usize,
    /// Bytes of payload.
    #[arg(long, default_value_t = 64, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=65_536))]
    payload: u32,
    /// The standard deviation of a message delay, in per cent of it. Unless told it is 5 in colocated and distributed;
    /// in lan messages take up to a tenth longer, and in planet up to a twentieth.
    #[arg(long, value_name = "PERCENT")]
    deviation: Option<f64>,
    /// Hardware clocks are up to so many milliseconds from true time, and linearizable-clock relies on that.
    #[arg(long, default_value_t = 1.0, value_name = "MS")]
    clock_error: f64,
    /// The load runs for so many virtual seconds before anything is counted,
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    warm_up: f64,
    /// and for so many while everything is.
    #[arg(long, default_value_t = 5.0, value_name = "S")]
    seconds: f64,
    /// Decides everything that is random.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// How many points are measured at once; all cores unless told. The results do not depend on it.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    jobs: Option<u16>,
    /// Whose latency pictures show.
    #[arg(long, default_value = "clients", value_name = "WHO")]
    shows: Whose,
    /// Draw throughput and the 95th percentile of latency into this file.
    #[arg(long, value_name = "FILE.svg")]
    svg: Option<PathBuf>,
    /// Draw how latencies are distributed into this file, a curve for each point.
    #[arg(long, value_name = "FILE.svg")]
    cdf: Option<PathBuf>,
    /// One JSON object for each point.
    #[arg(long)]
    json: bool,
    /// No progress on the terminal.
    #[arg(long)]
    quiet: bool,
}

/// Where replicas stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Deployment {
    /// One cluster in one room.
    Lan,
    /// Three regions, each group over all of them, leaders together.
    Colocated,
    /// A region for every group.
    Distributed,
    /// Nine regions of a real cloud.
    Planet,
}

/// Whose latency is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// From the multicast to the answer of the replica that was asked.
    Clients,
    /// To the delivery at every replica.
    Replicas,
    /// To the delivery at the first replicas of groups, by which they are led.
    Leaders,
}

impl Deployment {
    fn latency(self, cluster: &Cluster, deviation: Option<f64>) -> Latency {
        let latency = match self {
            Deployment::Lan => Latency::lan(cluster),
            Deployment::Colocated => Latency::colocated(cluster),
            Deployment::Distributed => Latency::distributed(cluster),
            Deployment::Planet => Latency::planet(cluster),
        };
        match deviation.or(self.deviation()) {
            Some(percent) => latency.with_deviation(percent / 100.0),
            None => latency,
        }
    }

    /// What was published of these two.
    fn deviation(self) -> Option<f64> {
        match self {
            Deployment::Colocated | Deployment::Distributed => Some(5.0),
            Deployment::Lan | Deployment::Planet => None,
        }
    }
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let subjects = arguments.subjects()?;
    let pressures = arguments.pressures()?;
    let cells: Vec<Cell> = subjects
        .iter()
        .flat_map(|subject| pressures.iter().map(move |pressure| Cell { subject: *subject, pressure: *pressure }))
        .collect();
    if cells.len() > MOST_CELLS {
        return Err(Mistake(format!("{} points cannot be; choose up to {MOST_CELLS}", cells.len())));
    }
    if arguments.cdf.is_some() && cells.len() > MOST_CURVES {
        return Err(Mistake(format!(
            "a picture with {} curves shows nothing; choose fewer protocols or loads for --cdf, up to {MOST_CURVES} together",
            cells.len()
        )));
    }
    if arguments.svg.is_some() && subjects.len() > MOST_CURVES {
        return Err(Mistake(format!(
            "a picture with {} curves shows nothing; choose up to {MOST_CURVES} for --svg",
            subjects.len()
        )));
    }
    let has_modes = subjects.iter().any(|subject| subject.mode != Mode::Ordered);
    if has_modes && arguments.outside > 0 {
        return Err(Mistake(
            "answers are counted at the replica that was asked; leave out --outside, or --mode".into(),
        ));
    }
    let plan = arguments.plan(&subjects)?;
    let clock_error = Duration::from_nanos(plan.clock_error);
    if !arguments.json {
        output::line(arguments.title());
        Row::print_heading(has_modes);
    }
    let mut all_well = true;
    let mut rows = Vec::new();
    let measure = |cell: &Cell| cell.measure(&plan, clock_error, arguments.seed);
    cell::all(&cells, jobs(arguments.jobs), !arguments.quiet, measure, |cell, measured| match measured {
        Ok(flow) => {
            let row = Row::new(cell, arguments, flow);
            if arguments.json {
                output::json(&row);
            } else {
                row.print(has_modes);
            }
            if arguments.svg.is_some() || arguments.cdf.is_some() {
                rows.push((*cell, row));
            }
        }
        Err(why) => {
            all_well = false;
            eprintln!("{cell}: {why}");
        }
    });
    if let Some(file) = &arguments.svg {
        draw(file, &arguments.curves(&subjects, &rows))?;
    }
    if let Some(file) = &arguments.cdf {
        draw(file, &arguments.distributions(&rows))?;
    }
    Ok(all_well)
}

fn draw(file: &std::path::Path, chart: &Chart) -> Result<(), Mistake> {
    std::fs::write(file, chart.to_svg()).map_err(|error| Mistake(format!("cannot write {}: {error}", file.display())))
}

fn nanos(seconds: f64) -> Nanos {
    (seconds * SECOND as f64) as Nanos
}

impl Arguments {
    /// Each protocol with each clock and in each mode that it has. What no protocol has is a mistake.
    fn subjects(&self) -> Result<Vec<Subject>, Mistake> {
        let protocols = if self.protocol.is_empty() { Protocol::ALL.to_vec() } else { self.protocol.clone() };
        let mut subjects: Vec<Subject> = Vec::new();
        let mut refused: Vec<(Subject, Mistake)> = Vec::new();
        for protocol in protocols {
            for clock in &self.clock {
                for mode in &self.mode {
                    // This mode has no other clocks.
                    let clock = if mode.needs_clocks() { Clock::Hybrid } else { *clock };
                    let subject = Subject { protocol, clock, mode: *mode };
                    match settings::check_mode(protocol, *mode, clock) {
                        Ok(()) if subjects.contains(&subject) => {}
                        Ok(()) => subjects.push(subject),
                        Err(mistake) => refused.push((subject, mistake)),
                    }
                }
            }
        }
        for (subject, mistake) in refused {
            let is_missed = |has: &dyn Fn(&Subject) -> bool| !subjects.iter().any(has);
            if is_missed(&|other| other.protocol == subject.protocol)
                || is_missed(&|other| other.clock == subject.clock)
                || is_missed(&|other| other.mode == subject.mode)
            {
                return Err(mistake);
            }
        }
        Ok(subjects)
    }

    fn pressures(&self) -> Result<Vec<Pressure>, Mistake> {
        if let Some(rate) = self.rate.iter().find(|rate| !rate.is_finite() || **rate <= 0.0 || **rate > HIGHEST_RATE) {
            return Err(Mistake(format!("a rate of {rate} cannot be; choose one above 0, up to {HIGHEST_RATE}")));
        }
        if let Some(many) = self.outstanding.iter().find(|many| !(1..=MOST_OUTSTANDING).contains(*many)) {
            return Err(Mistake(format!("{many} messages on the way cannot be; choose 1 to {MOST_OUTSTANDING}")));
        }
        let rates = self.rate.iter().map(|rate| Pressure::Rate(*rate));
        Ok(rates.chain(self.outstanding.iter().map(|many| Pressure::Outstanding(*many))).collect())
    }

    fn plan(&self, subjects: &[Subject]) -> Result<FlowPlan, Mistake> {
        let cluster = Arc::new(Cluster::regular(self.groups, self.replicas, self.outside)?);
        if subjects.iter().any(|subject| subject.protocol.nature().needs_majorities) {
            cluster.require_majorities()?;
        }
        if !(1..=self.groups).contains(&self.destinations) {
            return Err(Mistake(format!("a message to {} of {} groups cannot be", self.destinations, self.groups)));
        }
        if self.deviation.is_some_and(|percent| !(0.0..=20.0).contains(&percent)) {
            return Err(Mistake("a delay cannot deviate by so much; choose --deviation from 0 to 20 per cent".into()));
        }
        if !(0.0..=1000.0).contains(&self.clock_error) {
            return Err(Mistake(
                "clocks cannot be that wrong; choose --clock-error from 0 to 1000 milliseconds".into(),
            ));
        }
        if !(0.1..=3600.0).contains(&self.seconds) || !(0.0..=3600.0).contains(&self.warm_up) {
            return Err(Mistake("choose --seconds from 0.1 to 3600, and --warm-up from 0 to 3600".into()));
        }
        Ok(FlowPlan {
            latency: self.scenario.latency(&cluster, self.deviation),
            cluster,
            // Each cell has its own.
            pressure: Pressure::Outstanding(1),
            answers_wait: false,
            destinations: self.destinations,
            payload: self.payload as usize,
            warm_up: nanos(self.warm_up),
            window: nanos(self.seconds),
            clock_error: nanos(self.clock_error / 1e3),
        })
    }

    fn title(&self) -> String {
        let Arguments { groups, replicas, destinations, .. } = self;
        let scenario = settings::name_of(&self.scenario);
        format!("{scenario}, simulated: {groups} groups of {replicas}, each message to {destinations}")
    }

    /// A curve for each subject, a point for each load.
    fn curves(&self, subjects: &[Subject], rows: &[(Cell, Row)]) -> Chart {
        let curve = |subject: &Subject| {
            let rows = rows.iter().filter(|(cell, _)| cell.subject == *subject);
            let points =
                rows.map(|(_, row)| (row.msgs_per_s, row.latency(self.shows).value_at_quantile(0.95) as f64 / 1e6));
            Curve { name: subject.to_string(), points: points.collect() }
        };
        Chart {
            title: self.title(),
            across: Axis::logarithmic("messages a virtual second"),
            up: Axis::linear(match self.shows {
                Whose::Clients => "95th percentile until the client's answer, ms",
                Whose::Replicas => "95th percentile until delivery, all replicas, ms",
                Whose::Leaders => "95th percentile until delivery, leaders, ms",
            }),
            curves: subjects.iter().map(curve).collect(),
        }
    }

    /// A curve for each point.
    fn distributions(&self, rows: &[(Cell, Row)]) -> Chart {
        let has_loads =
            rows.iter().any(|(cell, _)| Some(cell.pressure) != rows.first().map(|(first, _)| first.pressure));
        let curve = |(cell, row): &(Cell, Row)| {
            let name = if has_loads { cell.to_string() } else { cell.subject.to_string() };
            let latency = row.latency(self.shows);
            let point = |step: usize| {
                let part = step as f64 / STEPS as f64;
                (latency.value_at_quantile(part) as f64 / 1e6, part)
            };
            Curve { name, points: (0..=STEPS).map(point).collect() }
        };
        let load = match rows.first() {
            Some((cell, _)) if !has_loads => format!(", {}", cell.load()),
            _ => String::new(),
        };
        Chart {
            title: self.title() + &load,
            across: Axis::linear(match self.shows {
                Whose::Clients => "until the client's answer, ms",
                Whose::Replicas => "until delivery, all replicas, ms",
                Whose::Leaders => "until delivery, leaders, ms",
            }),
            up: Axis::linear("part of the messages"),
            curves: rows.iter().map(curve).collect(),
        }
    }
}
