//! Measurements on real ground. Servers are processes of their own, so that
//! their processor time can be told from that of the load; the speed of the
//! machine is measured in the same run, because it is never the same twice.

mod experiment;
pub(crate) mod load;
pub(crate) mod multicast;
mod plot;
mod servers;
pub(crate) mod sweep;
mod yardsticks;

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;

use self::experiment::Figures;
use self::plot::Chart;
use crate::cli::Mistake;

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
fn keep(file: Option<&Path>, figures: &Figures) -> Result<(), Mistake> {
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
