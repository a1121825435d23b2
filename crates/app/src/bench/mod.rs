//! Measurements on real ground. Servers are processes of their own, so that
//! their processor time can be told from that of the load; the speed of the
//! machine is measured in the same run, because it is never the same twice.

pub(crate) mod edge;
mod experiment;
pub(crate) mod kv;
pub(crate) mod load;
pub(crate) mod mu;
pub(crate) mod multicast;
pub(crate) mod plot;
mod servers;
pub(crate) mod sweep;
mod yardsticks;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;

use self::plot::{Axis, Chart, Curve};
use crate::cli::{Mistake, output};

/// Where figures go.
#[derive(Args)]
struct Sink {
    /// One JSON object for each measurement.
    #[arg(long)]
    json: bool,
    /// Add the JSON objects to this file.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Draw a picture into this file.
    #[arg(long, value_name = "FILE.svg")]
    plot: Option<PathBuf>,
}

/// Adds a line to a file of figures.
fn keep(file: Option<&Path>, figures: &impl Serialize) -> Result<(), Mistake> {
    let Some(file) = file else { return Ok(()) };
    let line = serde_json::to_string(figures).expect("plain data becomes JSON");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .and_then(|mut open| writeln!(open, "{line}"))
        .map_err(|error| Mistake(format!("cannot write {}: {error}", file.display())))
}

fn write_chart(file: &Path, chart: &Chart) -> Result<(), Mistake> {
    std::fs::write(file, chart.to_svg()).map_err(|error| Mistake(format!("cannot write {}: {error}", file.display())))
}

/// How long things took: microseconds, and which part of them took no longer.
fn quantiles_of(times: &Histogram<u64>) -> Vec<(f64, f64)> {
    times.iter_quantiles(4).map(|step| (step.value_iterated_to() as f64 / 1e3, step.quantile())).collect()
}

/// The median, and what one in twenty, in a hundred and in a thousand takes longer than.
fn print_latency([p50, p95, p99, p999]: [f64; 4], round_trip_us: f64) {
    output::line(format_args!(
        "  latency            {p50:>10.0} us median, {p95:.0} p95, {p99:.0} p99, {p999:.0} p99.9"
    ));
    let round_trips = p50 / round_trip_us;
    output::line(format_args!(
        "                     {round_trips:>10.2} loopback round trips of {round_trip_us:.1} us"
    ));
}

/// How long which part of them took. To the right, each step leaves half as many.
fn chart_of_times(title: String, name: String, up: &'static str, quantiles: &[(f64, f64)]) -> Chart {
    let part = |quantile: f64| 1.0 / (1.0 - quantile).max(1e-6);
    let points = quantiles.iter().filter(|(_, quantile)| *quantile < 1.0);
    let points = points.map(|(micros, quantile)| (part(*quantile), micros / 1e3)).collect();
    Chart {
        title,
        across: Axis::logarithmic("one in so many takes longer"),
        up: Axis::logarithmic(up),
        curves: vec![Curve { name, points }],
    }
}
