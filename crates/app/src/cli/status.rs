//! `skein status`: how a cluster is, in a table that names what is wrong and
//! what to do about it.

use clap::Args;
use skein_machine::GroupId;

use super::ask::{Answers, ask_all};
use super::talk::{Identity, Where};
use super::{Verdict, output};
use crate::config::Config;
use crate::serve::http::{NodeStatus, ReplicaStatus};

#[derive(Args)]
#[command(after_help = "Every node is asked at its `http` address. The exit code is 1 when something is wrong.

Examples:
  skein status
  skein status --json | jq .replicas")]
pub(crate) struct Arguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    identity: Identity,
    /// One JSON object a node.
    #[arg(long)]
    json: bool,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let config = arguments.identity.put_into(arguments.place.read()?);
    let Answers { nodes, dead } = ask_all::<NodeStatus>(&config, "/status")?;
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
