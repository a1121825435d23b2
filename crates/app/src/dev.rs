//! `skein dev`: a whole cluster in one process, on real sockets and disks, to
//! try things with. Its configuration lies beside its data, so other commands
//! find it. Nothing in it is special: the nodes are those of `skein node`.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};

use clap::Args;
use serde::Serialize;
use skein_machine::ClusterId;

use crate::cli::{Mistake, Verdict, output};
use crate::compose::{Clock, Protocol};
use crate::config::{Choices, Config, Ports, Storage, Wan};
use crate::diary;
use crate::node::Node;
use crate::signals::Stop;

/// Where a cluster for trying things lies unless somebody says otherwise.
pub(crate) const FOLDER: &str = "skein-dev";

/// The name of the configuration in it.
pub(crate) const FILE: &str = "skein.toml";

/// Regions of a cluster for trying things: a node in each, with a replica of every group.
const REGIONS: [&str; 3] = ["north", "east", "south"];

/// The same on a planet: two coasts and a continent beyond the ocean.
const PLANET_REGIONS: [&str; 3] = ["us-west-2", "us-east-1", "eu-west-1"];

#[derive(Args)]
#[command(after_help = "Three nodes, one for each region, and three groups with a replica at every node, all in this
process. Stop it with Ctrl-C, or kill it: what was acknowledged is there when it starts again.

Examples:
  skein dev
  redis-cli -p 7001 SET name Ada   in another terminal, at any of the three
  skein dev --fast                 nothing is kept
  skein dev --wan planet --data far    two coasts and a continent beyond the ocean
  skein multicast g0,g1 hello      in another terminal
  skein tail g1                    in a third one")]
pub(crate) struct Arguments {
    /// Where the cluster keeps its configuration and its data.
    #[arg(long, value_name = "DIR", default_value = FOLDER)]
    data: PathBuf,
    /// Keep everything in memory, and nothing after a stop.
    #[arg(long, conflicts_with = "data")]
    fast: bool,
    /// Pretend that the nodes are as far apart as regions of a real cloud. (For a new cluster.)
    #[arg(long, value_name = "PRESET")]
    wan: Option<Wan>,
    /// The first of the ports on which the nodes listen.
    #[arg(long, value_name = "FIRST", default_value_t = 7101, value_parser = clap::value_parser!(u16).range(1..=65000))]
    port: u16,
    /// The first of the ports on which the nodes tell how they are.
    #[arg(long, value_name = "FIRST", default_value_t = 7080, value_parser = clap::value_parser!(u16).range(1..=65000))]
    http: u16,
    /// The first of the ports for clients of Redis.
    #[arg(long, value_name = "FIRST", default_value_t = 7001, value_parser = clap::value_parser!(u16).range(1..=65000))]
    redis: u16,
    /// One JSON object when it is ready.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Ready<'a> {
    kind: &'static str,
    redis: Vec<String>,
    nodes: Vec<SocketAddr>,
    http: Option<SocketAddr>,
    data: &'a Path,
    config: &'a Path,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    // What goes on in nine replicas is for those who ask.
    diary::begin(Some("warn")).map_err(Mistake)?;
    let stop = Stop::listen().map_err(Mistake)?;
    let folder = match arguments.fast {
        true => std::env::temp_dir().join(format!("skein-dev-{}", std::process::id())),
        false => arguments.data.clone(),
    };
    std::fs::create_dir_all(&folder).map_err(|error| Mistake(format!("cannot make {}: {error}", folder.display())))?;
    let file = folder.join(FILE);
    let config = if file.exists() { read(&file)? } else { arguments.make(&folder, &file)? };
    let mut nodes = BTreeMap::new();
    for name in config.nodes.keys() {
        nodes.insert(name.clone(), Some(start(&config, name)?));
    }
    let up = || nodes.values().flatten();
    let addresses = up().map(Node::address).collect();
    let mut redis: Vec<SocketAddr> = up().filter_map(Node::redis_address).collect();
    redis.sort_unstable();
    let http = up().find_map(Node::http_address);
    arguments.tell(&config, &folder, &file, (addresses, redis), http);
    let words = listen_to_a_person();
    stop.wait(|| {
        while let Ok(line) = words.try_recv() {
            obey(&line, &config, &mut nodes);
        }
        nodes.values().flatten().any(Node::has_stopped)
    });
    // All of them at once: there is nobody to hand over to.
    let stopped: Result<Vec<()>, String> = nodes.into_values().flatten().map(Node::stop).collect();
    if arguments.fast {
        let _ = std::fs::remove_dir_all(&folder);
    }
    stopped.map_err(Mistake)?;
    Ok(true)
}

fn start(config: &Config, name: &str) -> Result<Node, Mistake> {
    Node::start(config, name, false, None).map_err(Mistake)
}

/// What is typed where this runs. Nobody types where it is no terminal.
fn listen_to_a_person() -> Receiver<String> {
    let (tell, words) = channel();
    if io::stdin().is_terminal() {
        // It ends with the process: a line that is being typed cannot be waited for any shorter.
        let _ = std::thread::Builder::new()
            .name("words".to_owned())
            .spawn(move || io::stdin().lines().map_while(Result::ok).try_for_each(|line| tell.send(line)));
    }
    words
}

/// Kills a node as a crash would, or starts it again.
fn obey(line: &str, config: &Config, nodes: &mut BTreeMap<String, Option<Node>>) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let known = || nodes.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    let said = match words[..] {
        [] => return,
        ["kill" | "start", name] if !nodes.contains_key(name) => {
            format!("there is no node {name}: there are {}", known())
        }
        ["kill", name] => match nodes.insert(name.to_owned(), None).flatten() {
            Some(node) => match node.stop() {
                Ok(()) => format!("{name} is dead; `start {name}` brings it back"),
                Err(why) => format!("{name} has died: {why}"),
            },
            None => format!("{name} is dead already"),
        },
        ["start", name] => match nodes.get(name) {
            Some(Some(_)) => format!("{name} is up already"),
            _ => match start(config, name) {
                Ok(node) => {
                    nodes.insert(name.to_owned(), Some(node));
                    format!("{name} is up again")
                }
                Err(Mistake(why)) => why,
            },
        },
        _ => format!("kill NODE, start NODE, or Ctrl-C; the nodes are {}", known()),
    };
    output::line(said);
}

fn read(file: &Path) -> Result<Config, Mistake> {
    Config::read(file).map_err(|error| Mistake(error.to_string()))
}

impl Arguments {
    fn ports(&self) -> Ports {
        Ports { nodes: self.port, http: self.http, redis: Some(self.redis) }
    }

    fn make(&self, folder: &Path, file: &Path) -> Result<Config, Mistake> {
        let storage = if self.fast { Storage::Memory } else { Storage::Sync };
        let choices = Choices { protocol: Protocol::PrimCast, clock: Clock::Hybrid, storage, wan: self.wan };
        let regions = if self.wan.is_some() { PLANET_REGIONS } else { REGIONS };
        let id = ClusterId(crate::draw().map_err(Mistake)?);
        let config = Config::spread(id, choices, folder.join("data"), &regions, regions.len(), self.ports());
        std::fs::write(file, config.to_text())
            .map_err(|error| Mistake(format!("cannot write {}: {error}", file.display())))?;
        Ok(config)
    }

    fn tell(
        &self,
        config: &Config,
        folder: &Path,
        file: &Path,
        (nodes, redis): (Vec<SocketAddr>, Vec<SocketAddr>),
        http: Option<SocketAddr>,
    ) {
        if self.json {
            let ready = Ready {
                kind: "ready",
                redis: redis.iter().map(ToString::to_string).collect(),
                nodes,
                http,
                data: folder,
                config: file,
            };
            return output::json(&ready);
        }
        let flag = match folder == Path::new(FOLDER) {
            true => String::new(),
            false => format!("--config {} ", file.display()),
        };
        let groups = config.groups.join(", ");
        output::line(format_args!("{} nodes with a replica of {groups} each are up", config.nodes.len()));
        for (name, node) in &config.nodes {
            let http = node.http.map_or(String::new(), |http| format!("  http://{http}/status"));
            let redis = node.redis.map_or(String::new(), |redis| format!("  redis {redis}"));
            output::line(format_args!("  {name:<10} {}{redis}{http}", node.address));
        }
        output::line("\nIn other terminals:");
        let mut hints = Vec::new();
        if let Some(redis) = redis.first() {
            let command = format!("redis-cli -p {} MSET a 1 b 2", redis.port());
            hints.push((command, "any client of Redis, at any of the nodes"));
            hints.push((format!("skein kv {flag}where a b"), "see which partitions hold them"));
        }
        hints.push((format!("skein status {flag}"), "see how everything is"));
        hints.push((format!("skein multicast {flag}g0,g1 hello"), "send a message to two groups"));
        hints.push((format!("skein tail {flag}g1"), "follow what g1 delivers"));
        hints.push((format!("skein explain {flag}--slow"), "see which messages waited, and for what"));
        let width = hints.iter().map(|(command, _)| command.len()).max().unwrap_or_default() + 3;
        hints.iter().for_each(|(command, what)| output::line(format_args!("  {command:<width$}{what}")));
        output::line("\nHere: `kill NODE` and `start NODE` do that to one of them; Ctrl-C stops everything.");
        output::line(format_args!("The configuration is {}.", file.display()));
    }
}
