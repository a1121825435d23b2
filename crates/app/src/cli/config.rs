//! `skein config`: writes a configuration to begin with, and says what is wrong
//! with one before anything is started.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use skein_machine::ClusterId;

use super::{Mistake, Verdict, certificates, output};
use crate::compose::{Clock, Protocol};
use crate::config::layers::Flags;
use crate::config::{Choices, Config, Ports, Storage};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a configuration to begin with.
    Init(Init),
    /// Say what is wrong with a configuration, or what it describes.
    Check(Check),
    /// Print a configuration with everything that it leaves to defaults, or what a node would make of it.
    Show(Show),
    /// Make certificates for the nodes and the clients of a cluster.
    Certificates(certificates::Arguments),
}

#[derive(Args)]
#[command(after_help = "Example:
  skein config init --regions 3 --groups 3 > skein.toml")]
pub(crate) struct Init {
    /// How many regions, with a node in each.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=9))]
    regions: u8,
    /// How many groups, each with a replica in every region.
    #[arg(long, default_value_t = 3, value_name = "G", value_parser = clap::value_parser!(u8).range(1..=64))]
    groups: u8,
    /// The port of the first node; the others follow.
    #[arg(long, default_value_t = 7101, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65000))]
    port: u16,
    /// The port on which the first node tells how it is; the others follow.
    #[arg(long, default_value_t = 7080, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65000))]
    http: u16,
    /// The port on which the first node serves clients of Redis; the others follow.
    #[arg(long, default_value_t = 7001, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..=65000))]
    redis: u16,
}

#[derive(Args)]
#[command(
    after_help = "Certificates that it names are read too: those of every node that are here, or those of one node.

Examples:
  skein config check
  skein config check skein.toml --node a"
)]
pub(crate) struct Check {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "skein.toml")]
    file: PathBuf,
    /// The node whose certificate has to be here.
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  skein config show skein.toml
  SKEIN_STORAGE=async skein config show skein.toml --node a --log debug")]
pub(crate) struct Show {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "skein.toml")]
    file: PathBuf,
    /// Show the settings of this node, and where each comes from: its flags, the environment, the configuration.
    #[arg(long, value_name = "NAME", env = "SKEIN_NODE")]
    node: Option<String>,
    #[command(flatten)]
    flags: Flags,
}

/// What stands at the head of a new configuration.
const HEAD: &str = "\
# A cluster of Skein. This file is the same at every node; a node needs besides only its own name:
#   skein node --config skein.toml --node NAME
#
# cluster    tells this cluster from others, for ever
# protocol   which protocol orders messages: primcast
# clock      what its timestamps follow: logical, or hybrid for hardware clocks too, which a store needs
# storage    sync, async, or memory: what an acknowledgement is worth
# data       the folder in which every node has a folder of its own
# log        what nodes write down: error, warn, info, debug, or skein_runtime=debug and the like
# scheduling patient, or eager where other work keeps the cores of a node busy
# store      a key-value store for clients of Redis; without it the cluster orders messages and holds nothing.
#            Where keys are, who may come, and what else can be said is in docs/store.md
# nodes      where each is found by others (address), where it listens to them if that is something else (listen),
#            where clients of Redis find it (redis), where it tells how it is (http), and in which region it stands
# groups     the nodes that hold a replica of each; the first one leads at first. Replicas are numbered in
#            this order, so add groups at the end and never take one out

";

/// What stands at its end.
const TAIL: &str = "
# Certificates, by which nodes and clients know each other. With them, nothing is said in the clear; without, nodes
# listen on this machine only, unless insecure = true says above that nobody else is there. `skein config certificates certificates` makes them; {node} is the node's name.
# [tls]
# ca = \"certificates/ca.pem\"
# cert = \"certificates/{node}.pem\"
# key = \"certificates/{node}.key\"
# client_cert = \"certificates/client.pem\"
# client_key = \"certificates/client.key\"
# http = true    # the pages above by TLS, too
";

pub(crate) fn command(command: &ConfigCommand) -> Verdict {
    match command {
        ConfigCommand::Init(init) => init.print(),
        ConfigCommand::Check(check) => {
            let config = read(&check.file)?;
            if let Some(node) = check.node.as_ref().filter(|node| !config.nodes.contains_key(*node)) {
                let known: Vec<&str> = config.nodes.keys().map(String::as_str).collect();
                return Err(Mistake(format!("there is no node {node}: there are {}", known.join(", "))));
            }
            let (nodes, groups) = (config.nodes.len(), config.groups.len());
            let replicas = config.homes.len();
            let rings = match config.listed_rings() {
                0 => String::new(),
                rings => format!(", {rings} rings of a few groups"),
            };
            output::line(format_args!(
                "{}: {nodes} nodes, {groups} groups, {replicas} replicas{rings}",
                check.file.display()
            ));
            certificates::check(&config, check.node.as_deref())?;
            Ok(true)
        }
        ConfigCommand::Show(show) => show.print(),
        ConfigCommand::Certificates(arguments) => certificates::command(arguments),
    }
}

fn read(file: &Path) -> Result<Config, Mistake> {
    Config::read(file).map_err(|error| Mistake(error.to_string()))
}

impl Init {
    fn print(&self) -> Verdict {
        if self.regions.is_multiple_of(2) {
            return Err(Mistake(format!(
                "{} regions, with a replica of every group in each, have no majority when they part in the middle; \
                 choose an odd number",
                self.regions
            )));
        }
        let id = ClusterId(crate::draw().map_err(Mistake)?);
        let (protocol, clock, storage) = (Protocol::PrimCast, Clock::Hybrid, Storage::Sync);
        let choices = Choices { protocol, clock, storage, wan: None };
        let ports = Ports { nodes: self.port, http: self.http, redis: Some(self.redis) };
        let names: Vec<String> = ('a'..).take(usize::from(self.regions)).map(String::from).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let config = Config::spread(id, choices, PathBuf::from("skein-data"), &names, usize::from(self.groups), ports);
        output::text(HEAD);
        output::text(&config.to_text());
        output::text(TAIL);
        Ok(true)
    }
}

impl Show {
    fn print(&self) -> Verdict {
        let Some(node) = &self.node else {
            output::text(&read(&self.file)?.to_text());
            return Ok(true);
        };
        let layered = Config::read_for(&self.file, node, &self.flags, |name| std::env::var(name).ok());
        let (_, settings) = layered.map_err(|error| Mistake(error.to_string()))?;
        settings.iter().for_each(output::line);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_to_begin_with_is_right() {
        let (protocol, clock, storage) = (Protocol::PrimCast, Clock::Hybrid, Storage::Sync);
        let choices = Choices { protocol, clock, storage, wan: None };
        let ports = Ports { nodes: 7101, http: 7080, redis: Some(7001) };
        let config = Config::spread(ClusterId(1), choices, "skein-data".into(), &["a", "b", "c"], 3, ports);
        let read = Config::parse(&[HEAD, &config.to_text(), TAIL].concat()).unwrap();
        assert_eq!((read.plan(), read.nodes), (config.plan(), config.nodes));
        assert!(read.store.is_some());
    }
}
