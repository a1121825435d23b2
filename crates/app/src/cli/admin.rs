//! `skein admin`: what an operator does to a cluster that runs. The
//! configuration is changed here; nodes are told by their operator, who copies
//! it and sends them a signal.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use toml_edit::{DocumentMut, Item, Table, value};

use super::{Mistake, Verdict, output};
use crate::config::Config;

#[derive(Subcommand)]
pub(crate) enum Admin {
    /// Move the replicas of a node to another one, in the configuration.
    Replace(Replace),
}

#[derive(Args)]
#[command(after_help = "The new node takes the old one's place in every group. It begins with an empty directory, gets
what it has to know from its groups, and promises nothing before that. Nobody else stops meanwhile.

Example:
  skein admin replace c d --address 10.0.0.14:7101

then, as it says itself: copy the file, send SIGHUP to the nodes that stay, start the new one with --rejoin.")]
pub(crate) struct Replace {
    /// The node that is gone, or will be.
    old: String,
    /// The node that takes its place.
    new: String,
    /// The configuration of the cluster.
    #[arg(long, value_name = "FILE", default_value = "skein.toml")]
    config: PathBuf,
    /// Where the new node is found, if the configuration does not know it yet.
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
    /// Where the new node tells how it is.
    #[arg(long, value_name = "IP:PORT", requires = "address")]
    http: Option<SocketAddr>,
    /// Where the new node stands; as the old one unless told.
    #[arg(long, value_name = "NAME", requires = "address")]
    region: Option<String>,
}

pub(crate) fn command(command: &Admin) -> Verdict {
    match command {
        Admin::Replace(replace) => replace.run(),
    }
}

impl Replace {
    fn run(&self) -> Verdict {
        let (file, shown) = (&self.config, self.config.display());
        let text = std::fs::read_to_string(file).map_err(|error| Mistake(format!("cannot read {shown}: {error}")))?;
        let before = Config::read(file).map_err(|error| Mistake(error.to_string()))?;
        let changed = self.change(&before, &text)?;
        write_whole(file, &changed).map_err(|error| Mistake(format!("cannot write {shown}: {error}")))?;
        let after = Config::read(file).map_err(|error| Mistake(error.to_string()))?;
        let stay: Vec<&str> = after.nodes.keys().map(String::as_str).filter(|name| *name != self.new).collect();
        let Replace { old, new, .. } = self;
        let moved = after.replicas_at(new).len();
        output::line(format_args!(
            "{shown} is changed: {moved} replicas live at {new}, and none at {old}.

Now
  1. stop {old}, if it still runs; it must not come back with its old directory
  2. copy {shown} to {} and {new}
  3. send SIGHUP to the nodes that stay: they look for the others where they are by now
  4. start the new node:  skein node --config {shown} --node {new} --rejoin 1
     If it is refused, it says with which number it would not be: start it with that.",
            stay.join(", ")
        ));
        Ok(true)
    }

    /// The text of the configuration with the new node in the old one's place. Everything else stays as it was
    /// written.
    fn change(&self, config: &Config, text: &str) -> Result<String, Mistake> {
        let Replace { old, new, .. } = self;
        let known: Vec<&str> = config.nodes.keys().map(String::as_str).collect();
        let Some(old_node) = config.nodes.get(old) else {
            return Err(Mistake(format!("there is no node {old}: there are {}", known.join(", "))));
        };
        if old == new {
            return Err(Mistake(format!(
                "{old} cannot take its own place. If its disk is lost, start it with an empty directory and --rejoin; \
                 if it is found elsewhere now, change its address"
            )));
        }
        let mut document: DocumentMut = text.parse().map_err(|error| Mistake(format!("{error}")))?;
        let nodes = document.get_mut("nodes").and_then(Item::as_table_like_mut);
        let nodes = nodes.ok_or_else(|| Mistake("it has no table of nodes".to_owned()))?;
        match (config.nodes.contains_key(new), self.address) {
            (true, Some(address)) => {
                return Err(Mistake(format!("the configuration knows {new} already: leave --address {address} out")));
            }
            (false, None) => {
                return Err(Mistake(format!("the configuration does not know {new}: say where it is, with --address")));
            }
            (true, None) => {}
            (false, Some(address)) => {
                let mut table = Table::new();
                let region = self.region.as_ref().unwrap_or(&old_node.region);
                if !region.is_empty() {
                    table.insert("region", value(region));
                }
                table.insert("address", value(address.to_string()));
                if let Some(http) = self.http {
                    table.insert("http", value(http.to_string()));
                }
                nodes.insert(new, Item::Table(table));
            }
        }
        nodes.remove(old);
        for replicas in replicas_of(&mut document) {
            for place in replicas.iter_mut().filter(|place| place.as_str() == Some(old)) {
                let decor = place.decor().clone();
                *place = new.as_str().into();
                *place.decor_mut() = decor;
            }
        }
        let changed = document.to_string();
        Config::parse(&changed).map_err(|error| Mistake(format!("it would be no sound configuration: {error}")))?;
        Ok(changed)
    }
}

/// The list of nodes of every group.
fn replicas_of(document: &mut DocumentMut) -> Vec<&mut toml_edit::Array> {
    match document.get_mut("groups") {
        Some(Item::ArrayOfTables(groups)) => {
            groups.iter_mut().filter_map(|group| group.get_mut("replicas")?.as_array_mut()).collect()
        }
        Some(Item::Value(toml_edit::Value::Array(groups))) => groups
            .iter_mut()
            .filter_map(|group| group.as_inline_table_mut()?.get_mut("replicas")?.as_array_mut())
            .collect(),
        _ => Vec::new(),
    }
}

/// Whoever reads the file meanwhile finds all of it, old or new.
fn write_whole(file: &Path, text: &str) -> std::io::Result<()> {
    let beside = file.with_extension("toml.new");
    std::fs::write(&beside, text)?;
    std::fs::rename(&beside, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# Ours.
cluster = \"00000000000000ab\" # for ever
data = \"data\"

[nodes.a]
address = \"127.0.0.1:7001\"
[nodes.b]
address = \"127.0.0.1:7002\"
# The old machine.
[nodes.c]
region = \"north\"
address = \"127.0.0.1:7003\"

[[groups]]
name = \"g\"
replicas = [\"a\",  \"b\", \"c\"] # in this order
";

    fn replace(old: &str, new: &str, address: Option<&str>) -> Result<String, String> {
        let address = address.map(|address| address.parse().unwrap());
        let (old, new, config) = (old.to_owned(), new.to_owned(), PathBuf::new());
        let replace = Replace { old, new, config, address, http: None, region: None };
        replace.change(&Config::parse(TEXT).unwrap(), TEXT).map_err(|mistake| mistake.0)
    }

    #[test]
    fn a_node_takes_anothers_place_and_nothing_else_changes() {
        let changed = replace("c", "d", Some("127.0.0.1:7004")).unwrap();
        assert!(changed.contains("cluster = \"00000000000000ab\" # for ever"), "{changed}");
        assert!(changed.contains("replicas = [\"a\",  \"b\", \"d\"] # in this order"), "{changed}");
        let (before, after) = (Config::parse(TEXT).unwrap(), Config::parse(&changed).unwrap());
        assert_eq!(before.plan(), after.plan());
        assert_eq!(after.nodes["d"].region, "north");
        assert!(!after.nodes.contains_key("c"));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (old, new, address, why) in [
            ("x", "d", None, "there is no node x"),
            ("c", "c", None, "cannot take its own place"),
            ("c", "d", None, "say where it is, with --address"),
            ("c", "a", None, "two replicas at a"),
            ("c", "b", Some("127.0.0.1:7004"), "leave --address"),
            ("c", "d", Some("127.0.0.1:7001"), "127.0.0.1:7001"),
        ] {
            let refused = replace(old, new, address).unwrap_err();
            assert!(refused.contains(why), "{refused}");
        }
    }
}
