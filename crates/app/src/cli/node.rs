//! `skein node`: one node of a cluster, until it is told to stop.

use std::cell::RefCell;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skein_runtime::tls::Tls;

use super::reminder::Reminder;
use super::{Mistake, Verdict, output};
use crate::config::Config;
use crate::config::layers::Flags;
use crate::diary;
use crate::node::Node;
use crate::signals::Stop;
use crate::supervisor::Supervisor;
use crate::torture::leash;

#[derive(Args)]
#[command(after_help = "Example:
  skein node --config skein.toml --node a

It says on one line of standard output that it is ready, and where it listens; a supervisor that listens to
sd_notify is told so too. SIGHUP makes it read its configuration and its certificates again: where the others
are, and who lives here no more. Exit codes: 0 it was asked to stop,
78 its configuration is refused, 2 anything else.")]
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
    #[command(flatten)]
    flags: Flags,
}

/// The outer mistake is one in the configuration.
pub(crate) fn command(arguments: &Arguments) -> Result<Verdict, Mistake> {
    let config = read(arguments)?;
    diary::begin_with(config.log.as_deref().unwrap_or(diary::USUAL)).map_err(Mistake)?;
    // Read once before anything starts, to tell a mistake in it from anything else.
    config.tls_of(&arguments.node)?;
    Ok(live(arguments, &config))
}

fn read(arguments: &Arguments) -> Result<Config, Mistake> {
    let environment = |name: &str| std::env::var(name).ok();
    Ok(Config::read_for(&arguments.config, &arguments.node, &arguments.flags, environment)?.0)
}

fn live(arguments: &Arguments, config: &Config) -> Verdict {
    let stop = Stop::listen_to_hangups_too().map_err(Mistake)?;
    let supervisor = Supervisor::of_environment();
    allow_descriptors();
    let name = &arguments.node;
    let ground = arguments.tortured_in.as_deref().map(leash::put_on).transpose().map_err(Mistake)?.unwrap_or_default();
    let mut node = Node::start_on(&ground, config, name, arguments.busy_poll, arguments.rejoin).map_err(Mistake)?;
    output::line(format_args!("node {name} is ready at {}", node.address()));
    supervisor.ready();
    let reminder = RefCell::new(Reminder::default());
    let is_over = |node: &Node| {
        reminder.borrow_mut().look(|notice| node.tls()?.expires_within(notice));
        node.has_stopped() || node.is_empty()
    };
    stop.wait_with(&mut node, is_over, |node| {
        supervisor.reloading();
        reload(arguments, node);
        *reminder.borrow_mut() = Reminder::default();
        supervisor.ready();
    });
    supervisor.stopping();
    if node.is_empty() {
        tracing::info!("nobody lives here any more");
    }
    if node.has_stopped() {
        node.stop().map_err(Mistake)?;
        return Err(Mistake(format!("a replica of node {name}, or what serves its clients, has stopped by itself")));
    }
    node.retire().map_err(Mistake)?;
    Ok(true)
}

/// Reads again what this node was told. What is wrong with it is said, and changes nothing.
fn reload(arguments: &Arguments, node: &mut Node) {
    // A node that the configuration does not know any more has nothing of its own to read there.
    let read = match Config::read(&arguments.config) {
        Ok(config) if !config.nodes.contains_key(&arguments.node) => Ok(config),
        _ => read(arguments),
    };
    match read.map_err(|mistake| mistake.to_string()).and_then(|config| node.reload(&config, &arguments.node)) {
        Ok(()) => tracing::info!("the configuration is read again"),
        Err(error) => tracing::error!(error, "the configuration that was read before stays in force"),
    }
    match node.tls().map(Tls::reload) {
        None => {}
        Some(Ok(())) => {
            tracing::info!("certificates are read again; new connections use them");
        }
        Some(Err(error)) => tracing::error!(%error, "the certificates that were read before stay in force"),
    }
}

/// Every connection takes one, and most systems give a process few unless it asks.
pub(crate) fn allow_descriptors() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "cannot raise the number of open files");
    }
}
