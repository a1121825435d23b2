//! `skein bench edge`: the figures of the edge map with real agents on this
//! machine, each in a process of its own at an address of its own. What is
//! measured in simulated fleets besides is the affair of `skein sim edge`.

mod figures;
mod merge;
mod serf;
mod town;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::cli::{Verdict, output};
use figures::{Deaths, Spreading};
use town::{INTERVAL, Town};

#[derive(Args)]
#[command(
    after_help = "Starts agents at 127.0.0.2 and the addresses above, in two places, and toy origins that they watch;
kills some, lets one catch up on 20,000 records, parts them in halves. All of it takes three minutes or so.
merge_rate needs none of that: records that one core takes into a map in a second, the median of nine.
The exit code is 1 when a figure misses its bar.

Examples:
  skein bench edge
  skein bench edge --figure merge_rate --json
  skein bench edge --places 1 --deaths 20 --serf serf"
)]
pub(crate) struct Arguments {
    /// Only this figure; several times for several.
    #[arg(long = "figure", value_name = "F")]
    figures: Vec<Figure>,
    /// How many agents.
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(6..=128))]
    agents: u16,
    /// In one place or in two.
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=2))]
    places: u8,
    /// How many are killed, one after the other.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..=100))]
    deaths: u16,
    /// Measure this program of HashiCorp's Serf beside it, in the same run.
    #[arg(long, value_name = "PROGRAM")]
    serf: Option<PathBuf>,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

/// What can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Figure {
    MergeRate,
    JoinedS,
    #[value(name = "spread_local_p50_s")]
    SpreadLocalP50S,
    #[value(name = "spread_local_p99_s")]
    SpreadLocalP99S,
    #[value(name = "spread_all_p99_s")]
    SpreadAllP99S,
    BytesPerMemberS,
    ProcessorMsS,
    WronglyProbed,
    #[value(name = "detect_p50_s")]
    DetectP50S,
    #[value(name = "detect_p99_s")]
    DetectP99S,
    FalseDeaths,
    ProbeGapS,
    CatchUpRatio,
    HealViolations,
}

/// A figure, as it is printed.
#[derive(Serialize)]
struct Row {
    figure: String,
    value: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    of: Option<&'static str>,
}

/// What a value is held to.
#[derive(Clone, Copy)]
enum Bar {
    AtLeast(f64),
    AtMost(f64),
    /// It is only told.
    None,
}

/// Origins that agents watch.
const ORIGINS: usize = 30;

impl Figure {
    fn name(self) -> String {
        self.to_possible_value().expect("no figure is hidden").get_name().to_owned()
    }

    fn unit(self) -> &'static str {
        match self {
            Figure::MergeRate => "records/s",
            Figure::JoinedS
            | Figure::SpreadLocalP50S
            | Figure::SpreadLocalP99S
            | Figure::SpreadAllP99S
            | Figure::DetectP50S
            | Figure::DetectP99S
            | Figure::ProbeGapS => "s",
            Figure::BytesPerMemberS => "bytes/s",
            Figure::ProcessorMsS => "ms/s",
            Figure::WronglyProbed => "origins",
            Figure::FalseDeaths => "deaths",
            Figure::CatchUpRatio => "heard/encoded",
            Figure::HealViolations => "violations",
        }
    }

    fn bar(self) -> Bar {
        match self {
            Figure::MergeRate => Bar::AtLeast(1e6),
            Figure::SpreadLocalP99S => Bar::AtMost(1.0),
            Figure::SpreadAllP99S => Bar::AtMost(5.0),
            Figure::DetectP99S => Bar::AtMost(6.0),
            Figure::ProbeGapS => Bar::AtMost(6.0 + INTERVAL.as_secs_f64()),
            Figure::CatchUpRatio => Bar::AtMost(1.2),
            Figure::WronglyProbed | Figure::FalseDeaths | Figure::HealViolations => Bar::AtMost(0.0),
            Figure::JoinedS
            | Figure::SpreadLocalP50S
            | Figure::DetectP50S
            | Figure::BytesPerMemberS
            | Figure::ProcessorMsS => Bar::None,
        }
    }

    fn what(self) -> &'static str {
        match self {
            Figure::MergeRate => "taken into a map by one core",
            Figure::JoinedS => "from the start of the first until all of a place see each other",
            Figure::SpreadLocalP50S => "until a write is everywhere in its place, half of them",
            Figure::SpreadLocalP99S => "the same, 99 of 100",
            Figure::SpreadAllP99S => "until it is everywhere",
            Figure::BytesPerMemberS => "sent by each member meanwhile, with ten writes a second",
            Figure::ProcessorMsS => "processor time of each agent meanwhile",
            Figure::WronglyProbed => "probed by none or by several of a place, in peace",
            Figure::DetectP50S => "until a survivor knows of a death, half of them",
            Figure::DetectP99S => "the same, 99 of 100",
            Figure::FalseDeaths => "declared dead and were not, meanwhile",
            Figure::ProbeGapS => "the longest an origin went unprobed after its owner died",
            Figure::CatchUpRatio => "what a member with nothing hears, for what the records take",
            Figure::HealViolations => "wrong after the fleet was parted in halves and met again",
        }
    }

    /// Tells it, and answers whether it holds.
    fn tell(self, value: f64, is_json: bool) -> bool {
        let (name, unit) = (self.name(), self.unit());
        let (is_well, bar) = match self.bar() {
            Bar::AtLeast(least) => (value >= least, format!("at least {least}")),
            Bar::AtMost(most) => (value <= most, format!("at most {most}")),
            Bar::None => (true, String::new()),
        };
        if is_json {
            output::json(&Row { figure: name, value, unit, of: None });
        } else {
            let value = format!("{value:.3}");
            let value = value.trim_end_matches('0').trim_end_matches('.');
            let verdict = if is_well { "" } else { "MISSED" };
            let value = format!("{value} {unit}");
            output::line(format_args!("{name:<20}{value:>20}  {bar:<18}{verdict:<7}{}", self.what()));
        }
        is_well
    }
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let wants = |figure: Figure| arguments.figures.is_empty() || arguments.figures.contains(&figure);
    let mut all_hold = true;
    let mut tell = |figure: Figure, value: f64| {
        if wants(figure) {
            all_hold &= figure.tell(value, arguments.json);
        }
    };
    if wants(Figure::MergeRate) {
        tell(Figure::MergeRate, merge::rate());
    }
    if arguments.figures == [Figure::MergeRate] && arguments.serf.is_none() {
        return Ok(all_hold);
    }
    crate::cli::node::allow_descriptors();
    let mut town = Town::found(usize::from(arguments.places), ORIGINS)?;
    let began = std::time::Instant::now();
    (0..usize::from(arguments.agents)).try_for_each(|nth| town.start(nth))?;
    figures::meet(&town)?;
    tell(Figure::JoinedS, began.elapsed().as_secs_f64());
    figures::settle(&town)?;
    let of_spreading = [
        Figure::SpreadLocalP50S,
        Figure::SpreadLocalP99S,
        Figure::SpreadAllP99S,
        Figure::BytesPerMemberS,
        Figure::ProcessorMsS,
    ];
    if of_spreading.into_iter().any(wants) {
        std::thread::sleep(Duration::from_secs(5));
        let Spreading { local_ms, all_ms, bytes_per_member_s, processor_ms_s, lost } = figures::spreading(&town)?;
        // What never arrived took for ever.
        let lost_s = if lost == 0 { 0.0 } else { f64::INFINITY };
        tell(Figure::SpreadLocalP50S, share_s(&local_ms, 50) + lost_s);
        tell(Figure::SpreadLocalP99S, p99_s(&local_ms) + lost_s);
        tell(Figure::SpreadAllP99S, p99_s(&all_ms) + lost_s);
        tell(Figure::BytesPerMemberS, bytes_per_member_s);
        tell(Figure::ProcessorMsS, processor_ms_s);
    }
    if wants(Figure::WronglyProbed) {
        tell(Figure::WronglyProbed, figures::wrongly_probed(&town)? as f64);
    }
    let of_deaths = [Figure::DetectP50S, Figure::DetectP99S, Figure::FalseDeaths, Figure::ProbeGapS];
    if of_deaths.into_iter().any(wants) {
        let deaths: Deaths = figures::deaths(&mut town, usize::from(arguments.deaths))?;
        tell(Figure::DetectP50S, share_s(&deaths.known_ms, 50));
        tell(Figure::DetectP99S, p99_s(&deaths.known_ms));
        tell(Figure::FalseDeaths, deaths.false_deaths as f64);
        tell(Figure::ProbeGapS, deaths.gap_ms as f64 / 1e3);
    }
    if wants(Figure::CatchUpRatio) {
        tell(Figure::CatchUpRatio, figures::catch_up_ratio(&mut town)?);
    }
    if wants(Figure::HealViolations) {
        let found = figures::heal(&town)?;
        found.iter().take(10).for_each(|wrong| eprintln!("{wrong}"));
        tell(Figure::HealViolations, found.len() as f64);
    }
    drop(town);
    if let Some(program) = &arguments.serf {
        serf::measure(program, usize::from(arguments.agents), usize::from(arguments.deaths), arguments.json)?;
    }
    Ok(all_hold)
}

/// Of times in order, in seconds: 99 of 100 are no longer.
fn p99_s(sorted_ms: &[u64]) -> f64 {
    share_s(sorted_ms, 99)
}

/// The same of another share, in hundredths.
fn share_s(sorted_ms: &[u64], share: usize) -> f64 {
    let nth = (sorted_ms.len() * share).div_ceil(100).max(1) - 1;
    sorted_ms.get(nth).map_or(f64::INFINITY, |ms| *ms as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ninety_nine_of_a_hundred_are_no_longer() {
        let all: Vec<u64> = (1..=200).map(|nth| nth * 1_000).collect();
        assert_eq!((p99_s(&all), p99_s(&all[..10]), p99_s(&[])), (198.0, 10.0, f64::INFINITY));
        assert_eq!((share_s(&all, 50), share_s(&all[..1], 50)), (100.0, 1.0));
    }
}
