//! The log of a process, as people read it: on standard error, never between
//! the data on standard output. What is written is chosen by `SKEIN_LOG`, as in
//! `SKEIN_LOG=debug` or `SKEIN_LOG=skein_runtime=debug`.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

/// What a process writes down unless told otherwise.
pub(crate) const USUAL: &str = "info";

/// Begins to write.
pub(crate) fn begin(usual: Option<&str>) -> Result<(), String> {
    let wanted = std::env::var("SKEIN_LOG").unwrap_or_else(|_| usual.unwrap_or(USUAL).to_owned());
    begin_with(&wanted)
}

/// Begins to write what this filter lets through.
pub(crate) fn begin_with(wanted: &str) -> Result<(), String> {
    let filter = EnvFilter::try_new(wanted)
        .map_err(|error| format!("the log filter \"{wanted}\" makes no sense: {error}; try `debug`"))?;
    let is_coloured = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).with_ansi(is_coloured).init();
    Ok(())
}
