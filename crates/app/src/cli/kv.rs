//! `skein kv`: the store from a shell, for whoever has no client of Redis at
//! hand, and for what Redis' own does not know: where keys are.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use skein_runtime::tls::Trust;

use super::talk::{Identity, Where};
use super::{Mistake, Verdict, output, watch};
use crate::config::{Config, NodeConfig};
use crate::redis::{Connection, Reply};

/// Longer than a node lets a client wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// What whoever speaks in the clear hears from a store that speaks TLS.
const ONLY_TLS: &str = "ERR only TLS is spoken here";

/// Keys that are asked for at once.
const PAGE: usize = 1000;

/// Where the store is.
#[derive(Args, Clone, Debug)]
pub(crate) struct Store {
    #[command(flatten)]
    place: Where,
    /// A node, in place of a configuration.
    #[arg(long, value_name = "ADDRESS", global = true)]
    address: Option<SocketAddr>,
    /// Speak TLS with the node of --address. A configuration says by itself whether its store does.
    #[arg(long, global = true)]
    tls: bool,
    #[command(flatten)]
    identity: Identity,
    /// Who you are, where that is asked for.
    #[arg(long, value_name = "NAME", global = true, default_value = "default")]
    user: String,
    /// Your password. In the environment fewer people see it.
    #[arg(long, value_name = "PASSWORD", env = "SKEIN_PASSWORD", hide_env_values = true, global = true)]
    password: Option<String>,
}

#[derive(Args)]
#[command(after_help = "Examples:
  skein kv put user:7 Ada
  skein kv get user:7 user:8
  skein kv range user: user;            every key that begins with user:
  skein kv where user:7 order:1         which partitions hold them
  skein kv watch user:7                 what happens to it, until you stop it
  skein kv --address 127.0.0.1:6379 get user:7
  skein kv --address 10.0.0.1:6379 --tls --ca certificates/ca.pem get user:7")]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: Store,
    #[command(subcommand)]
    command: Kv,
}

#[derive(Subcommand)]
enum Kv {
    /// Print what keys hold, a line each. Exit code 1 if one of them holds nothing.
    #[command(after_help = "Examples:
  skein kv get user:7
  skein kv get user:7 user:8            both as they are at one moment")]
    Get {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Have keys hold values, all of them at once.
    #[command(after_help = "Examples:
  skein kv put user:7 Ada
  skein kv put user:7 Ada user:8 Grace   both or none")]
    Put {
        /// A key and its value, and more of them.
        #[arg(required = true, num_args = 2.., value_name = "KEY VALUE")]
        pairs: Vec<String>,
    },
    /// Take keys away, and print how many there were.
    #[command(after_help = "Example:
  skein kv del user:7 user:8")]
    Del {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print the keys from one up to, but not including, another, as they are at one moment.
    #[command(after_help = "Examples:
  skein kv range user: user;            every key that begins with user:
  skein kv range a b --values")]
    Range {
        /// The first.
        start: String,
        /// The first that is not meant.
        end: String,
        /// Print their values too, behind a tabulator.
        #[arg(long)]
        values: bool,
    },
    /// Print which partition holds each key, and where its replicas are.
    #[command(after_help = "Example:
  skein kv where user:7 order:1")]
    Where {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Say which partition holds each key, and print what is done to them from now on, until you stop it.
    Watch(watch::Arguments),
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    if let Kv::Watch(watched) = &arguments.command {
        return watch::command(&arguments.store.watched()?, watched);
    }
    let mut redis = arguments.store.connect()?;
    match &arguments.command {
        Kv::Get { keys } => {
            let Reply::Array(Some(values)) = ask(&mut redis, "MGET", keys)? else { return Err(strange()) };
            values.iter().for_each(output::line);
            Ok(!values.contains(&Reply::Bulk(None)))
        }
        Kv::Put { pairs } => {
            if !pairs.len().is_multiple_of(2) {
                return Err(Mistake("the last key has no value: give keys and values by turns".to_owned()));
            }
            ask(&mut redis, "MSET", pairs)?;
            Ok(true)
        }
        Kv::Del { keys } => {
            output::line(ask(&mut redis, "DEL", keys)?);
            Ok(true)
        }
        Kv::Range { start, end, values } => range(&mut redis, start, end, *values),
        Kv::Where { keys } => {
            let replicas = arguments.store.place.read().map(|config| replicas(&config)).unwrap_or_default();
            for key in keys {
                let group = ask(&mut redis, "SKEIN.WHERE", std::slice::from_ref(key))?.to_string();
                let at = replicas.get(&group).map_or(String::new(), |nodes| format!("\tat {}", nodes.join(", ")));
                output::line(format_args!("{key}\t{group}{at}"));
            }
            Ok(true)
        }
        Kv::Watch(_) => unreachable!("it asks no node of the store"),
    }
}

/// Page by page, all of one moment.
fn range(redis: &mut Connection, start: &str, end: &str, values: bool) -> Verdict {
    let mut cursor = "0".to_owned();
    loop {
        let mut words = vec![start.to_owned(), end.to_owned(), "LIMIT".to_owned(), PAGE.to_string()];
        words.extend(values.then(|| "VALUES".to_owned()));
        words.extend(["CURSOR".to_owned(), cursor]);
        let Reply::Array(Some(mut page)) = ask(redis, "SKEIN.RANGE", &words)? else { return Err(strange()) };
        let (Some(Reply::Array(Some(keys))), Some(next)) = (page.pop(), page.pop()) else { return Err(strange()) };
        for entry in keys.chunks(if values { 2 } else { 1 }) {
            match entry {
                [key, value] => output::line(format_args!("{key}\t{value}")),
                [key] => output::line(key),
                _ => return Err(strange()),
            }
        }
        cursor = next.to_string();
        if cursor == "0" {
            return Ok(true);
        }
    }
}

fn strange() -> Mistake {
    Mistake("the store answers something that this command does not understand: use the same build".to_owned())
}

fn ask(redis: &mut Connection, name: &str, words: &[String]) -> Result<Reply, Mistake> {
    let command = std::iter::once(name.to_owned()).chain(words.iter().cloned()).collect();
    match redis.say(&[command]).and_then(|()| redis.hear(Instant::now() + PATIENCE)) {
        Ok(Reply::Error(why)) if why == ONLY_TLS => {
            Err(Mistake(format!("{why}: add --tls, and --ca with the certificate of the cluster's authority")))
        }
        Ok(Reply::Error(why)) => Err(Mistake(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(Mistake(format!("the store does not answer: {error}"))),
    }
}

/// How a node of a store is reached.
struct Door {
    address: SocketAddr,
    /// Whom to believe, where TLS is spoken, and which node it has to be.
    secrecy: Option<(Trust, Option<String>)>,
}

impl Door {
    fn open(&self) -> io::Result<Connection> {
        match &self.secrecy {
            None => Connection::open(self.address, PATIENCE),
            Some((trust, node)) => Connection::open_in_secret(self.address, PATIENCE, trust, node.as_deref()),
        }
    }
}

impl Store {
    pub(crate) fn connect(&self) -> Result<Connection, Mistake> {
        self.connect_beyond(0)
    }

    /// The same, beginning behind so many nodes: where one has failed, the next may not.
    pub(crate) fn connect_beyond(&self, passed: usize) -> Result<Connection, Mistake> {
        let mut doors = self.doors()?;
        let passed = passed % doors.len().max(1);
        doors.rotate_left(passed);
        let mut why = String::new();
        for door in &doors {
            let address = door.address;
            match door.open() {
                Ok(mut redis) => {
                    if let Some(password) = &self.password {
                        ask(&mut redis, "AUTH", &[self.user.clone(), password.clone()])?;
                    }
                    return Ok(redis);
                }
                // Another node would not be believed either, or the wrong thing is spoken.
                Err(error) if error.kind() == ErrorKind::InvalidData => {
                    return Err(Mistake(format!("{address} is not trusted: {error}")));
                }
                Err(error) => why = format!("{address}: {error}"),
            }
        }
        Err(Mistake(format!("no node answers ({why}); is the cluster up? `skein dev` runs one")))
    }

    /// The name of the cluster, where a configuration says it.
    pub(crate) fn cluster(&self) -> Option<String> {
        let config = if self.address.is_none() { self.place.read().ok() } else { None };
        config.map(|config| config.cluster.id().to_string())
    }

    fn doors(&self) -> Result<Vec<Door>, Mistake> {
        if let Some(address) = self.address {
            if self.identity.is_said() && !self.tls {
                return Err(Mistake(
                    "--ca, --cert and --key, or SKEIN_CA and its kin, are for TLS: add --tls".to_owned(),
                ));
            }
            let secrecy = self.tls.then(|| self.identity.trust()).transpose()?.map(|trust| (trust, None));
            return Ok(vec![Door { address, secrecy }]);
        }
        let config = self.identity.put_into(self.place.read()?);
        let Some(store) = &config.store else { return Err(no_store()) };
        let trust = match store.tls || self.tls {
            true => Some(config.trust_of_visitor().map_err(|error| Mistake(error.to_string()))?),
            false => None,
        };
        let door = |(name, node): (&String, &NodeConfig)| {
            let secrecy = trust.clone().map(|trust| (trust, Some(name.clone())));
            node.redis.map(|address| Door { address, secrecy })
        };
        let doors: Vec<Door> = config.nodes.iter().filter_map(door).collect();
        match doors.is_empty() {
            true => {
                Err(Mistake("no node serves clients: give one an address, as in redis = \"127.0.0.1:6379\"".to_owned()))
            }
            false => Ok(doors),
        }
    }

    /// The configuration of a cluster that is watched: what partitions do is told by replicas, not to clients of Redis.
    fn watched(&self) -> Result<Config, Mistake> {
        if self.address.is_some() {
            return Err(Mistake(
                "a store is watched at its replicas, of which --address says nothing: name its configuration by \
                 --config"
                    .to_owned(),
            ));
        }
        let config = self.identity.put_into(self.place.read()?);
        if config.store.is_none() { Err(no_store()) } else { Ok(config) }
    }
}

fn no_store() -> Mistake {
    Mistake("this cluster has no store, and only orders messages: add [store]".to_owned())
}

/// The nodes of each group.
pub(super) fn replicas(config: &Config) -> BTreeMap<String, Vec<String>> {
    let groups = config.groups.iter().zip(config.cluster.groups().iter());
    let nodes = |group| config.cluster.members(group).iter().map(|process| config.homes[process].clone()).collect();
    groups.map(|(name, group)| (name.clone(), nodes(group))).collect()
}
