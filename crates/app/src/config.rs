//! The configuration: one TOML file, the same for all nodes. It says who there
//! is and where; a node needs nothing else but its own name. Everything is
//! checked before anything starts, and a mistake says where it stands.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use skein_machine::{Cluster, ClusterId, GroupId, ProcessId};
use skein_sim::{PLANET, Region};

use crate::compose::{Clock, Protocol};

/// Where records go, and what an acknowledgement is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Storage {
    /// Nowhere: a group survives as long as a majority of it lives.
    Memory,
    /// Written at once and synced a little later: survives killed processes, not the loss of power everywhere.
    Async,
    /// Synced before it is acknowledged.
    #[default]
    Sync,
}

/// Distances that links pretend to have, so that one machine behaves like continents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wan {
    /// Nine regions of a real cloud; every node's region has the name of one of them.
    Planet,
}

/// A cluster as an operator describes it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Protocol, storage and what else is the same everywhere.
    pub choices: Choices,
    /// The folder in which each node has a folder of its own.
    pub data: PathBuf,
    /// The nodes by name.
    pub nodes: BTreeMap<String, NodeConfig>,
    /// The names of the groups, in order.
    pub groups: Vec<String>,
    /// Which replica lives at which node.
    pub homes: BTreeMap<ProcessId, String>,
    /// What the protocols know of all this.
    pub cluster: Arc<Cluster>,
}

/// What is the same at every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choices {
    /// Which protocol orders messages.
    pub protocol: Protocol,
    /// What its timestamps follow.
    pub clock: Clock,
    /// Where records go.
    pub storage: Storage,
    /// Distances that links pretend to have.
    pub wan: Option<Wan>,
}

/// Where the first node listens; the others follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    /// To nodes and clients.
    pub nodes: u16,
    /// To those who watch.
    pub http: u16,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where it stands: what is close together has the same name.
    #[serde(default)]
    pub region: String,
    /// Where it listens to other nodes and to clients.
    pub address: SocketAddr,
    /// Where it tells how it is: health, metrics, status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
}

/// The file as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Sixteen hexadecimal digits that tell this cluster from others.
    cluster: String,
    #[serde(default = "primcast")]
    protocol: String,
    #[serde(default = "logical")]
    clock: String,
    #[serde(default)]
    storage: Storage,
    #[serde(default = "skein_data")]
    data: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wan: Option<Wan>,
    nodes: BTreeMap<String, NodeConfig>,
    groups: Vec<GroupFile>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    name: String,
    /// The nodes that hold a replica each. The first one leads at first.
    replicas: Vec<String>,
}

fn primcast() -> String {
    "primcast".to_owned()
}

fn logical() -> String {
    "logical".to_owned()
}

fn skein_data() -> PathBuf {
    PathBuf::from("skein-data")
}

/// What is wrong with a configuration, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads and checks a file.
    pub fn read(path: &Path) -> Result<Config, ConfigError> {
        let shown = path.display();
        let text = std::fs::read_to_string(path).map_err(|error| {
            ConfigError(format!("cannot read {shown}: {error}; `skein config init` writes a configuration"))
        })?;
        Config::parse(&text).map_err(|error| ConfigError(format!("{shown}: {error}")))
    }

    /// Checks the text of a file.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        let file: File = toml::from_str(text).map_err(|error| ConfigError(error.to_string().trim().to_owned()))?;
        file.check()
    }

    /// The text that this was read from, or would be.
    pub fn to_text(&self) -> String {
        let groups = self.groups.iter().zip(self.cluster.groups().iter());
        let groups = groups.map(|(name, group)| GroupFile {
            name: name.clone(),
            replicas: self.cluster.members(group).iter().map(|process| self.homes[process].clone()).collect(),
        });
        let file = File {
            cluster: self.cluster.id().to_string(),
            protocol: self.choices.protocol.to_string(),
            clock: name_of(&self.choices.clock),
            storage: self.choices.storage,
            data: self.data.clone(),
            wan: self.choices.wan,
            nodes: self.nodes.clone(),
            groups: groups.collect(),
        };
        toml::to_string(&file).expect("plain data becomes TOML")
    }

    /// So many groups of so many replicas, each replica at a node of its own, at these addresses.
    pub fn one_replica_a_node(
        id: ClusterId,
        choices: Choices,
        data: PathBuf,
        replicas: usize,
        addresses: &[SocketAddr],
    ) -> Config {
        let node = |nth: usize| format!("n{nth}");
        let nodes = addresses.iter().enumerate();
        let region = |nth: usize| match choices.wan {
            Some(Wan::Planet) => Region::of_replica(nth / replicas, nth % replicas).name.to_owned(),
            None => String::new(),
        };
        let nodes =
            nodes.map(|(nth, address)| (node(nth), NodeConfig { region: region(nth), address: *address, http: None }));
        let groups = (0..addresses.len() / replicas).map(|group| GroupFile {
            name: format!("g{group}"),
            replicas: (0..replicas).map(|replica| node(group * replicas + replica)).collect(),
        });
        File::made(id, choices, data, nodes.collect(), groups.collect())
    }

    /// A node in each region, at ports one after the other, and so many groups with a replica at every node. Each
    /// group is led from another region.
    pub fn spread(
        id: ClusterId,
        choices: Choices,
        data: PathBuf,
        regions: &[&str],
        groups: usize,
        ports: Ports,
    ) -> Config {
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let nodes = regions.iter().zip(0..).map(|(region, nth)| {
            let (address, http) = (address(ports.nodes + nth), address(ports.http + nth));
            ((*region).to_owned(), NodeConfig { region: (*region).to_owned(), address, http: Some(http) })
        });
        let replicas = |group: usize| {
            let count = regions.len();
            (0..count).map(|nth| regions[(group + nth) % count].to_owned()).collect()
        };
        let groups = (0..groups).map(|group| GroupFile { name: format!("g{group}"), replicas: replicas(group) });
        File::made(id, choices, data, nodes.collect(), groups.collect())
    }

    /// Where a replica keeps what it must not forget.
    pub fn data_of(&self, process: ProcessId) -> PathBuf {
        self.data.join(&self.homes[&process]).join(process.to_string())
    }

    /// The replicas that live at a node.
    pub fn replicas_at(&self, node: &str) -> Vec<ProcessId> {
        self.homes.iter().filter(|(_, home)| *home == node).map(|(process, _)| *process).collect()
    }

    /// Where every replica is reached.
    pub fn addresses(&self) -> BTreeMap<ProcessId, SocketAddr> {
        self.homes.iter().map(|(process, node)| (*process, self.nodes[node].address)).collect()
    }

    /// How far away the other replicas pretend to be from one of them.
    pub fn distances_from(&self, process: ProcessId) -> BTreeMap<ProcessId, Duration> {
        let Some(Wan::Planet) = self.choices.wan else { return BTreeMap::new() };
        let region = |process: &ProcessId| {
            let name = &self.nodes[&self.homes[process]].region;
            PLANET.iter().find(|region| region.name == name).expect("the regions were checked")
        };
        let distance = |other: &ProcessId| Duration::from_nanos(region(&process).one_way(region(other)));
        self.homes.keys().filter(|other| **other != process).map(|other| (*other, distance(other))).collect()
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<GroupId> {
        let number = self.groups.iter().position(|group| group == name);
        number.and_then(GroupId::new)
    }
}

fn name_of<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

impl File {
    /// What a program describes rather than a person.
    fn made(
        id: ClusterId,
        choices: Choices,
        data: PathBuf,
        nodes: BTreeMap<String, NodeConfig>,
        groups: Vec<GroupFile>,
    ) -> Config {
        let Choices { protocol, clock, storage, wan } = choices;
        let (cluster, protocol, clock) = (id.to_string(), protocol.to_string(), name_of(&clock));
        let file = File { cluster, protocol, clock, storage, data, wan, nodes, groups };
        file.check().expect("it was made by the rules")
    }

    fn check(self) -> Result<Config, ConfigError> {
        let id = u64::from_str_radix(&self.cluster, 16).ok().filter(|_| self.cluster.len() == 16);
        let id = id.ok_or_else(|| {
            ConfigError(format!("cluster = \"{}\": sixteen hexadecimal digits name a cluster", self.cluster))
        })?;
        let protocol = choice::<Protocol>("protocol", &self.protocol)?;
        let clock = choice::<Clock>("clock", &self.clock)?;
        if clock == Clock::Hybrid && protocol.nature().hybrid_steps.is_none() {
            return Err(ConfigError(format!("clock = \"{}\": {protocol} cannot use such a clock", self.clock)));
        }
        if !protocol.nature().survives_faults && self.storage != Storage::Memory {
            return Err(ConfigError(format!("{protocol} survives no crash and keeps nothing: storage = \"memory\"")));
        }
        self.check_addresses()?;
        self.check_regions()?;

        let mut homes = BTreeMap::new();
        let mut members = Vec::new();
        let mut names = BTreeSet::new();
        for group in &self.groups {
            if !names.insert(&group.name) {
                return Err(ConfigError(format!("two groups are called {}: give one another name", group.name)));
            }
            let nature = protocol.nature();
            if nature.needs_majorities && group.replicas.len() % 2 == 0 {
                let count = group.replicas.len();
                return Err(ConfigError(format!(
                    "group {} has {count} replicas: {protocol} decides by majority, so take one more or one less",
                    group.name
                )));
            }
            let mut here = BTreeSet::new();
            let mut processes = Vec::new();
            for node in &group.replicas {
                if !self.nodes.contains_key(node) {
                    let known: Vec<&str> = self.nodes.keys().map(String::as_str).collect();
                    return Err(ConfigError(format!(
                        "group {} has a replica at {node}, and there is no such node: there are {}",
                        group.name,
                        known.join(", ")
                    )));
                }
                if !here.insert(node) {
                    return Err(ConfigError(format!(
                        "group {} has two replicas at {node}: they would die together",
                        group.name
                    )));
                }
                let number = u16::try_from(homes.len()).map_err(|_| ConfigError("too many replicas".to_owned()))?;
                homes.insert(ProcessId(number), node.clone());
                processes.push(ProcessId(number));
            }
            members.push(processes);
        }
        let cluster =
            Cluster::new(ClusterId(id), members, Vec::new()).map_err(|error| ConfigError(error.to_string()))?;
        Ok(Config {
            choices: Choices { protocol, clock, storage: self.storage, wan: self.wan },
            data: self.data,
            nodes: self.nodes,
            groups: self.groups.into_iter().map(|group| group.name).collect(),
            homes,
            cluster: Arc::new(cluster),
        })
    }

    fn check_regions(&self) -> Result<(), ConfigError> {
        let is_known = |name: &str| PLANET.iter().any(|region| region.name == name);
        let unknown = self.nodes.iter().find(|(_, node)| !is_known(&node.region));
        match (self.wan, unknown) {
            (Some(Wan::Planet), Some((name, node))) => {
                let known: Vec<&str> = PLANET.iter().map(|region| region.name).collect();
                Err(ConfigError(format!(
                    "node {name} is in the region \"{}\", which wan = \"planet\" does not know: it knows {}",
                    node.region,
                    known.join(", ")
                )))
            }
            _ => Ok(()),
        }
    }

    fn check_addresses(&self) -> Result<(), ConfigError> {
        let mut seen: BTreeMap<SocketAddr, &str> = BTreeMap::new();
        for (name, node) in &self.nodes {
            if node.address.port() == 0 {
                return Err(ConfigError(format!("node {name} has port 0: others must know where to find it")));
            }
            for address in [Some(node.address), node.http].into_iter().flatten() {
                match seen.insert(address, name) {
                    Some(other) if other == name => {
                        return Err(ConfigError(format!("node {name} has the address {address} twice")));
                    }
                    Some(other) => {
                        return Err(ConfigError(format!("nodes {other} and {name} have the same address {address}")));
                    }
                    None => {}
                }
            }
        }
        Ok(())
    }
}

fn choice<T: ValueEnum>(key: &str, value: &str) -> Result<T, ConfigError> {
    T::from_str(value, false).map_err(|_| {
        let known: Vec<String> = T::value_variants().iter().map(|known| name_of(known)).collect();
        ConfigError(format!("{key} = \"{value}\": there are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
cluster = "00000000000000ab"
storage = "memory"

[nodes.a]
region = "north"
address = "127.0.0.1:7001"
[nodes.b]
address = "127.0.0.1:7002"
[nodes.c]
address = "127.0.0.1:7003"

[[groups]]
name = "users"
replicas = ["a", "b", "c"]
[[groups]]
name = "orders"
replicas = ["b"]
"#;

    fn mistake(from: &str, to: &str) -> String {
        assert!(GOOD.contains(from), "{from}");
        Config::parse(&GOOD.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn replicas_are_numbered_in_the_order_of_the_file() {
        let config = Config::parse(GOOD).unwrap();
        assert_eq!(config.replicas_at("b"), [ProcessId(1), ProcessId(3)]);
        assert_eq!(config.group("orders").unwrap().index(), 1);
        assert_eq!(config.addresses()[&ProcessId(3)].port(), 7002);
        let again = Config::parse(&config.to_text()).unwrap();
        assert_eq!((again.cluster, again.nodes, again.homes), (config.cluster, config.nodes, config.homes));
    }

    #[test]
    fn mistakes_are_explained() {
        let unknown = mistake("storage =", "storrage =");
        assert!(unknown.contains("line 3") && unknown.contains("storrage"), "{unknown}");
        assert!(mistake("00000000000000ab", "ab").contains("sixteen hexadecimal digits"));
        assert!(mistake("\"memory\"", "\"tape\"").contains("line 3"));
        assert!(mistake("storage =", "protocol = \"paxos\"\nstorage =").contains("there are skeen, primcast"));
        assert!(mistake("[\"b\"]", "[\"d\"]").contains("there is no such node: there are a, b, c"));
        assert!(mistake("[\"b\"]", "[\"a\", \"b\"]").contains("take one more or one less"));
        assert!(mistake("[\"b\"]", "[\"a\", \"b\", \"a\"]").contains("would die together"));
        assert!(mistake("7002", "7001").contains("same address"));
        assert!(mistake("7002", "0").contains("port 0"));
        assert!(mistake("storage =", "wan = \"planet\"\nstorage =").contains("it knows us-west-2"));
        assert!(mistake("orders", "users").contains("two groups are called users"));
    }
}
