//! `skein status`: how a cluster is, in a table that names what is wrong and
//! what to do about it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use clap::Args;
use skein_machine::GroupId;

use super::talk::Where;
use super::{Mistake, Verdict, output};
use crate::config::Config;
use crate::serve::http::{NodeStatus, ReplicaStatus};

/// A node that does not answer by then is taken for dead.
const PATIENCE: Duration = Duration::from_secs(3);

/// No status is longer.
const LONGEST: u64 = 64 << 20;

#[derive(Args)]
#[command(after_help = "Every node is asked at its `http` address. The exit code is 1 when something is wrong.

Examples:
  skein status
  skein status --json | jq .replicas")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    /// One JSON object a node.
    #[arg(long)]
    json: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let config = arguments.place.read()?;
    let mut nodes = Vec::new();
    let mut dead = Vec::new();
    for (name, node) in &config.nodes {
        let Some(address) = node.http else {
            let hint = format!("node {name} has no `http` address in the configuration, so nobody can ask it");
            return Err(Mistake(hint));
        };
        match ask(address) {
            Ok(status) => nodes.push(status),
            Err(why) => dead.push((name.clone(), format!("{address}: {why}"))),
        }
    }
    if arguments.json {
        nodes.iter().for_each(output::json);
        return Ok(dead.is_empty());
    }
    output::line(format_args!(
        "{:<8}{:<8}{:<10}{:>6}  {:<9}{:>10}{:>10}{:>9}{:>9}",
        "group", "process", "node", "epoch", "role", "log", "delivered", "pending", "links"
    ));
    let mut troubles = Vec::new();
    for group in config.cluster.groups().iter() {
        for process in config.cluster.members(group) {
            let home = &config.homes[process];
            let found = nodes.iter().find(|node| node.node == *home);
            let found = found.and_then(|node| node.replicas.iter().find(|it| it.process == process.to_string()));
            show(&config, group, &process.to_string(), home, found);
            if let Some(trouble) = found.and_then(ReplicaStatus::trouble) {
                troubles.push(format!("{process} of {}: {trouble}", config.groups[group.index()]));
            }
        }
    }
    for (name, why) in &dead {
        troubles.push(format!("node {name} does not answer ({why}): start it, with its data if they are there"));
    }
    troubles.extend(lost_majorities(&config, &nodes));
    for trouble in &troubles {
        output::line(format_args!("! {trouble}"));
    }
    Ok(troubles.is_empty())
}

fn show(config: &Config, group: GroupId, process: &str, home: &str, found: Option<&ReplicaStatus>) {
    let group = &config.groups[group.index()];
    let Some(replica) = found.filter(|replica| replica.is_alive) else {
        return output::line(format_args!("{group:<8}{process:<8}{home:<10}{:>6}  {:<9}", "-", "silent"));
    };
    let role = match (replica.gauge("is_primary"), replica.gauge("is_without_memory")) {
        (1, _) => "primary",
        (_, 1) => "reborn",
        _ => "follower",
    };
    let up = replica.links.iter().filter(|link| link.is_up).count();
    output::line(format_args!(
        "{group:<8}{process:<8}{home:<10}{:>6}  {role:<9}{:>10}{:>10}{:>9}{:>9}",
        replica.gauge("epoch"),
        replica.gauge("log_last"),
        replica.gauge("delivered"),
        replica.gauge("pending"),
        format!("{up}/{}", replica.links.len())
    ));
}

/// Groups that cannot go on, and what that means.
fn lost_majorities(config: &Config, nodes: &[NodeStatus]) -> Vec<String> {
    let is_of_use = |process: &skein_machine::ProcessId| {
        let name = process.to_string();
        let mut replicas = nodes.iter().flat_map(|node| &node.replicas);
        replicas.any(|it| it.process == name && it.is_alive && it.gauge("is_without_memory") == 0)
    };
    let mut lost = Vec::new();
    for group in config.cluster.groups().iter() {
        let members = config.cluster.members(group);
        let alive = members.iter().filter(|process| is_of_use(process)).count();
        let needed = config.cluster.quorum(group);
        if alive < needed {
            lost.push(format!(
                "{} has {alive} of {} replicas and needs {needed}: it stands still, and so does every message that \
                 concerns it, until enough of them are back with their data",
                config.groups[group.index()],
                members.len()
            ));
        }
    }
    lost
}

/// Asks one node, in the plainest HTTP there is.
fn ask(address: SocketAddr) -> Result<NodeStatus, String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(|error| error.to_string())?;
    let request = format!("GET /status HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.take(LONGEST).read_to_string(&mut text).map_err(|error| error.to_string())?;
    let (head, body) = text.split_once("\r\n\r\n").ok_or("it answers no HTTP")?;
    if !head.starts_with("HTTP/1.1 200") {
        return Err(head.lines().next().unwrap_or("it answers nothing").to_owned());
    }
    serde_json::from_str(body).map_err(|error| format!("it answers what this program does not understand: {error}"))
}
