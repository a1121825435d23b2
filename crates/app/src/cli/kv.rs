//! `skein kv`: the store from a shell, for whoever has no client of Redis at
//! hand, and for what Redis' own does not know: where keys are.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};

use super::talk::Where;
use super::{Mistake, Verdict, output};
use crate::redis::{Connection, Reply};

/// Longer than a node lets a client wait.
const PATIENCE: Duration = Duration::from_secs(30);

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
  skein kv --address 127.0.0.1:6379 get user:7")]
pub(crate) struct Arguments {
    #[command(flatten)]
    store: Store,
    #[command(subcommand)]
    command: Kv,
}

#[derive(Subcommand)]
enum Kv {
    /// Print what keys hold, a line each. Exit code 1 if one of them holds nothing.
    Get {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Have keys hold values, all of them at once.
    Put {
        /// A key and its value, and more of them.
        #[arg(required = true, num_args = 2.., value_name = "KEY VALUE")]
        pairs: Vec<String>,
    },
    /// Take keys away, and print how many there were.
    Del {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
    /// Print the keys from one up to, but not including, another, as they are at one moment.
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
    Where {
        /// The keys.
        #[arg(required = true, value_name = "KEY")]
        keys: Vec<String>,
    },
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
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
            let replicas = arguments.store.replicas();
            for key in keys {
                let group = ask(&mut redis, "SKEIN.WHERE", std::slice::from_ref(key))?.to_string();
                let at = replicas.get(&group).map_or(String::new(), |nodes| format!("\tat {}", nodes.join(", ")));
                output::line(format_args!("{key}\t{group}{at}"));
            }
            Ok(true)
        }
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
        Ok(Reply::Error(why)) => Err(Mistake(why)),
        Ok(reply) => Ok(reply),
        Err(error) => Err(Mistake(format!("the store does not answer: {error}"))),
    }
}

impl Store {
    pub(crate) fn connect(&self) -> Result<Connection, Mistake> {
        self.connect_beyond(0)
    }

    /// The same, beginning behind so many nodes: where one has failed, the next may not.
    pub(crate) fn connect_beyond(&self, passed: usize) -> Result<Connection, Mistake> {
        let mut addresses = match self.address {
            Some(address) => vec![address],
            None => self.addresses()?,
        };
        let passed = passed % addresses.len().max(1);
        addresses.rotate_left(passed);
        let mut why = String::new();
        for address in &addresses {
            match Connection::open(*address, PATIENCE) {
                Ok(mut redis) => {
                    if let Some(password) = &self.password {
                        ask(&mut redis, "AUTH", &[self.user.clone(), password.clone()])?;
                    }
                    return Ok(redis);
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

    fn addresses(&self) -> Result<Vec<SocketAddr>, Mistake> {
        let config = self.place.read()?;
        let Some(store) = &config.store else {
            return Err(Mistake("this cluster has no store, and only orders messages: add [store]".to_owned()));
        };
        if store.tls {
            return Err(Mistake("this store speaks TLS, which `skein kv` does not: use `redis-cli --tls`".to_owned()));
        }
        let addresses: Vec<SocketAddr> = config.nodes.values().filter_map(|node| node.redis).collect();
        match addresses.is_empty() {
            true => {
                Err(Mistake("no node serves clients: give one an address, as in redis = \"127.0.0.1:6379\"".to_owned()))
            }
            false => Ok(addresses),
        }
    }

    /// The nodes of each group, as far as the configuration is here.
    fn replicas(&self) -> BTreeMap<String, Vec<String>> {
        let Ok(config) = self.place.read() else { return BTreeMap::new() };
        let groups = config.groups.iter().zip(config.cluster.groups().iter());
        let nodes = |group| config.cluster.members(group).iter().map(|process| config.homes[process].clone()).collect();
        groups.map(|(name, group)| (name.clone(), nodes(group))).collect()
    }
}
