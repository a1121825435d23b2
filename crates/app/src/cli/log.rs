//! `skein log`: looks at the log of a replica that does not run. It changes nothing.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use skein_runtime::files::Native;
use skein_runtime::wal::check;

use super::{Mistake, Verdict, output};

#[derive(Subcommand)]
pub(crate) enum Log {
    /// Say what is in a data directory, and whether everything in it is sound.
    Check(Arguments),
}

#[derive(Args)]
#[command(after_help = "The directory must not be in use. A torn end is what a crash leaves of a write that nobody was
promised; it is mentioned, and is no damage. Exit codes: 0 sound, 1 damaged, 2 cannot be checked.

Example:
  skein log check data/p3 --json")]
pub(crate) struct Arguments {
    /// The data directory of one replica.
    #[arg(value_name = "DIR")]
    directory: PathBuf,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

pub(crate) fn command(log: &Log) -> Verdict {
    let Log::Check(arguments) = log;
    let report = check(&Native, &arguments.directory).map_err(|error| Mistake(error.to_string()))?;
    if arguments.json {
        output::json(&report);
    } else {
        output::line(&report);
    }
    Ok(report.is_sound())
}
