//! `skein config`: writes a configuration to begin with, and says what is wrong
//! with one before anything is started.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use skein_machine::ClusterId;

use super::{Mistake, Verdict, output};
use crate::compose::{Clock, Protocol};
use crate::config::{Choices, Config, Ports, Storage};

#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print a configuration to begin with.
    Init(Init),
    /// Say what is wrong with a configuration, or what it describes.
    Check(Check),
    /// Print a configuration with everything that it leaves to defaults.
    Show(Check),
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
}

#[derive(Args)]
pub(crate) struct Check {
    /// The configuration.
    #[arg(value_name = "FILE", default_value = "skein.toml")]
    file: PathBuf,
}

/// What stands at the head of a new configuration.
const HEAD: &str = "\
# A cluster of Skein. This file is the same at every node; a node needs besides only its own name:
#   skein node --config skein.toml --node NAME
#
# cluster    tells this cluster from others, for ever
# protocol   which protocol orders messages: primcast
# clock      what its timestamps follow: logical, or hybrid for hardware clocks too
# storage    sync, async, or memory: what an acknowledgement is worth
# data       the folder in which every node has a folder of its own
# nodes      where each listens to others (address) and tells how it is (http), and in which region it stands
# groups     the nodes that hold a replica of each; the first one leads at first. Replicas are numbered in
#            this order, so add groups at the end and never take one out

";

pub(crate) fn command(command: &ConfigCommand) -> Verdict {
    match command {
        ConfigCommand::Init(init) => init.print(),
        ConfigCommand::Check(check) => {
            let config = check.read()?;
            let (nodes, groups) = (config.nodes.len(), config.groups.len());
            let replicas = config.homes.len();
            output::line(format_args!("{}: {nodes} nodes, {groups} groups, {replicas} replicas", check.file.display()));
            Ok(true)
        }
        ConfigCommand::Show(check) => {
            output::text(&check.read()?.to_text());
            Ok(true)
        }
    }
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
        let (protocol, clock, storage) = (Protocol::PrimCast, Clock::Logical, Storage::Sync);
        let choices = Choices { protocol, clock, storage, wan: None };
        let ports = Ports { nodes: self.port, http: self.http };
        let names: Vec<String> = ('a'..).take(usize::from(self.regions)).map(String::from).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let config = Config::spread(id, choices, PathBuf::from("skein-data"), &names, usize::from(self.groups), ports);
        output::text(HEAD);
        output::text(&config.to_text());
        Ok(true)
    }
}

impl Check {
    fn read(&self) -> Result<Config, Mistake> {
        Config::read(&self.file).map_err(|error| Mistake(error.to_string()))
    }
}
