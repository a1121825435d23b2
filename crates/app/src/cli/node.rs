//! `skein node`: one node of a cluster, until it is told to stop.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{Mistake, Verdict, output};
use crate::config::Config;
use crate::diary;
use crate::node::Node;
use crate::signals::Stop;
use crate::torture::leash;

#[derive(Args)]
#[command(after_help = "Example:
  skein node --config skein.toml --node a

It says on one line of standard output that it is ready, and where it listens.")]
pub(crate) struct Arguments {
    /// The configuration of the cluster, the same for all nodes.
    #[arg(long, value_name = "FILE", env = "SKEIN_CONFIG")]
    config: PathBuf,
    /// Which of its nodes this is.
    #[arg(long, value_name = "NAME", env = "SKEIN_NODE")]
    node: String,
    /// Look all the time instead of sleeping until something comes: faster, and takes a core for each replica.
    #[arg(long)]
    busy_poll: bool,
    /// Replicas here whose data directories are lost join again without their memory. The number is higher than in
    /// any life of theirs before: whoever refuses them says which.
    #[arg(long, value_name = "INCARNATION")]
    rejoin: Option<NonZeroU32>,
    /// Hand disk and clock to whoever writes to standard input, and write journals into this folder: `skein torture`.
    #[arg(long, value_name = "FOLDER", hide = true)]
    tortured_in: Option<PathBuf>,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    diary::begin(None).map_err(Mistake)?;
    let stop = Stop::listen().map_err(Mistake)?;
    allow_descriptors();
    let config = Config::read(&arguments.config).map_err(|error| Mistake(error.to_string()))?;
    let ground = arguments.tortured_in.as_deref().map(leash::put_on).transpose().map_err(Mistake)?.unwrap_or_default();
    let Arguments { node: name, busy_poll, rejoin, .. } = arguments;
    let node = Node::start_on(&ground, &config, name, *busy_poll, *rejoin).map_err(Mistake)?;
    output::line(format_args!("node {} is ready at {}", arguments.node, node.address()));
    stop.wait(|| node.has_stopped());
    if node.has_stopped() {
        node.stop().map_err(Mistake)?;
        return Err(Mistake(format!("a replica of node {} has stopped by itself", arguments.node)));
    }
    node.retire().map_err(Mistake)?;
    Ok(true)
}

/// Every connection takes one, and most systems give a process few unless it asks.
pub(crate) fn allow_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}
