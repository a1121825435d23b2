//! The configuration: one TOML file, the same for all nodes. It says who there
//! is and where; a node needs nothing else but its own name. Everything is
//! checked before anything starts, and a mistake says where it stands. What may
//! differ from node to node can also be said elsewhere: that is in `layers`.

pub mod layers;
mod order;
mod places;
mod rings;
pub mod store;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use skein_machine::wire::{OLDEST, VERSION, Version};
use skein_machine::{Cluster, ClusterId, GroupId, ProcessId};
use skein_order::multiring::Rings;
use skein_runtime::distance::Distance;
use skein_sim::{PLANET, Region};

use crate::certificates::Certificates;
use crate::compose::{Clock, Protocol};
pub use order::Deliveries;
use rings::RingFile;
pub use store::Store;
use store::StoreFile;

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

/// What a thread of a node does when something comes up for it and every core is taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheduling {
    /// It waits: what shares cores with it does more at a time. For machines that are there for nodes.
    #[default]
    Patient,
    /// It takes the core of another, as threads usually do. Where something else keeps all cores busy, words that come
    /// one at a time are answered sooner.
    Eager,
}

/// Distances that links pretend to have, so that one machine behaves like continents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Wan {
    /// Nine regions of a real cloud; every node's region has the name of one of them.
    Planet,
}

/// A frame that takes more than twice its way is no jitter but another distance.
const MOST_JITTER: u8 = 100;

/// A cluster as an operator describes it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Protocol, storage and what else is the same everywhere.
    pub choices: Choices,
    /// What deliveries promise.
    pub deliveries: Deliveries,
    /// How much longer a frame takes than its distance, at most, in hundredths of that.
    pub wan_jitter_percent: u8,
    /// The folder in which each node has a folder of its own.
    pub data: PathBuf,
    /// What nodes write down of what they do, unless somebody says otherwise.
    pub log: Option<String>,
    /// What their threads do when all cores are taken.
    pub scheduling: Scheduling,
    /// The newest version of the encoding that nodes use, with each other and on their disks.
    pub speak_version: Version,
    /// By what nodes and clients know each other.
    pub tls: Option<Certificates>,
    /// Listening beyond this machine is wanted, although anybody there may then do anything.
    pub insecure: bool,
    /// The same for the pages that tell how nodes are.
    pub insecure_http: bool,
    /// What it holds, if it holds anything.
    pub store: Option<Store>,
    /// The nodes by name.
    pub nodes: BTreeMap<String, NodeConfig>,
    /// The names of the groups, in order.
    pub groups: Vec<String>,
    /// Which replica lives at which node.
    pub homes: BTreeMap<ProcessId, String>,
    /// What the protocols know of all this.
    pub cluster: Arc<Cluster>,
    /// How the processes are connected, if the protocol has rings.
    pub rings: Arc<Rings>,
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
    /// To clients of Redis; without, the cluster holds nothing and only orders messages.
    pub redis: Option<u16>,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NodeConfig {
    /// Where it stands: what is close together has the same name.
    #[serde(default)]
    pub region: String,
    /// Where other nodes and clients find it.
    pub address: SocketAddr,
    /// Where it listens to them, if that is called otherwise where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<SocketAddr>,
    /// Where it tells how it is: health, metrics, status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<SocketAddr>,
    /// Where clients of Redis find the store.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redis: Option<SocketAddr>,
}

/// The file as it is written.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Sixteen hexadecimal digits that tell this cluster from others.
    cluster: String,
    #[serde(default = "primcast")]
    protocol: String,
    /// Without a word: hybrid for a store, which has deadlines, and logical for anything else.
    #[serde(default)]
    clock: Option<String>,
    #[serde(default, skip_serializing_if = "Deliveries::is_usual")]
    ordering: Deliveries,
    #[serde(default)]
    storage: Storage,
    #[serde(default = "skein_data")]
    data: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wan: Option<Wan>,
    #[serde(default = "usual_jitter", skip_serializing_if = "is_usual_jitter")]
    wan_jitter_percent: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    log: Option<String>,
    #[serde(default, skip_serializing_if = "is_usual")]
    scheduling: Scheduling,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    speak_version: Option<Version>,
    #[serde(default, skip_serializing_if = "is_not")]
    insecure: bool,
    #[serde(default, skip_serializing_if = "is_not")]
    insecure_http: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tls: Option<Certificates>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    store: Option<StoreFile>,
    nodes: BTreeMap<String, NodeConfig>,
    groups: Vec<GroupFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rings: Vec<RingFile>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct GroupFile {
    name: String,
    /// The nodes that hold a replica each. The first one leads at first.
    replicas: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_not(it: &bool) -> bool {
    !it
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_usual(scheduling: &Scheduling) -> bool {
    *scheduling == Scheduling::default()
}

/// As the simulator's planet has it.
fn usual_jitter() -> u8 {
    5
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_usual_jitter(percent: &u8) -> bool {
    *percent == usual_jitter()
}

fn primcast() -> String {
    "primcast".to_owned()
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
        Config::parse(&read(path)?).map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    }

    /// Checks the text of a file.
    pub fn parse(text: &str) -> Result<Config, ConfigError> {
        File::parse(text)?.check()
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
            clock: Some(name_of(&self.choices.clock)),
            ordering: self.deliveries,
            storage: self.choices.storage,
            data: self.data.clone(),
            wan: self.choices.wan,
            wan_jitter_percent: self.wan_jitter_percent,
            log: self.log.clone(),
            scheduling: self.scheduling,
            speak_version: Some(self.speak_version).filter(|version| *version != VERSION),
            insecure: self.insecure,
            insecure_http: self.insecure_http,
            tls: self.tls.clone(),
            store: self.store.as_ref().map(|store| store.file.clone()),
            nodes: self.nodes.clone(),
            groups: groups.collect(),
            rings: rings::listed(&self.rings, &self.groups),
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
        let node_at = |nth: usize, address| NodeConfig { region: region(nth), ..NodeConfig::at(address) };
        let nodes = nodes.map(|(nth, address)| (node(nth), node_at(nth, *address)));
        let groups = (0..addresses.len() / replicas).map(|group| GroupFile {
            name: format!("g{group}"),
            replicas: (0..replicas).map(|replica| node(group * replicas + replica)).collect(),
        });
        File::made(id, choices, data, None, nodes.collect(), groups.collect())
    }

    /// The same cluster with a store, which each node serves at one of these addresses, in their order.
    pub(crate) fn with_store(mut self, addresses: &[SocketAddr], timeout: Duration) -> Result<Config, ConfigError> {
        self.store = Some(StoreFile::usual_with(timeout).check(&self.groups, &self.cluster, self.choices.protocol)?);
        for (node, address) in self.nodes.values_mut().zip(addresses) {
            node.redis = Some(*address);
        }
        Ok(self)
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
            let redis = ports.redis.map(|first| address(first + nth));
            let (address, http) = (address(ports.nodes + nth), address(ports.http + nth));
            (
                (*region).to_owned(),
                NodeConfig { region: (*region).to_owned(), http: Some(http), redis, ..NodeConfig::at(address) },
            )
        });
        let replicas = |group: usize| {
            let count = regions.len();
            (0..count).map(|nth| regions[(group + nth) % count].to_owned()).collect()
        };
        let groups = (0..groups).map(|group| GroupFile { name: format!("g{group}"), replicas: replicas(group) });
        let store = ports.redis.map(|_| StoreFile::usual());
        File::made(id, choices, data, store, nodes.collect(), groups.collect())
    }

    /// Where a replica keeps what it must not forget.
    pub fn data_of(&self, process: ProcessId) -> PathBuf {
        self.data.join(&self.homes[&process]).join(process.to_string())
    }

    /// The replicas that live at a node.
    pub fn replicas_at(&self, node: &str) -> Vec<ProcessId> {
        self.homes.iter().filter(|(_, home)| *home == node).map(|(process, _)| *process).collect()
    }

    /// What all nodes must have been told alike, summed up. Who moves to another address or another node is the
    /// same to the others.
    pub fn plan(&self) -> u32 {
        let Choices { protocol, clock, .. } = self.choices;
        let groups: Vec<String> =
            self.cluster.groups().iter().map(|group| format!("{:?}", self.cluster.members(group))).collect();
        let store = self.store.as_ref().map_or(String::new(), |store| format!(" {}", store.plan()));
        let order = if self.deliveries.is_usual() { "" } else { " global-order" };
        let rings = rings::plan(&self.rings, &self.groups);
        skein_runtime::hello::plan_of(&format!(
            "{protocol} {} {}{store}{order}{rings}",
            name_of(&clock),
            groups.join(" ")
        ))
    }

    /// Where every replica is reached.
    pub fn addresses(&self) -> BTreeMap<ProcessId, SocketAddr> {
        self.homes.iter().map(|(process, node)| (*process, self.nodes[node].address)).collect()
    }

    /// Where a node listens to others.
    pub fn listens_at(&self, node: &str) -> SocketAddr {
        let node = &self.nodes[node];
        node.listen.unwrap_or(node.address)
    }

    /// How far away the other replicas pretend to be from one of them.
    pub fn distances_from(&self, process: ProcessId) -> BTreeMap<ProcessId, Distance> {
        let Some(Wan::Planet) = self.choices.wan else { return BTreeMap::new() };
        let region = |process: &ProcessId| {
            let name = &self.nodes[&self.homes[process]].region;
            PLANET.iter().find(|region| region.name == name).expect("the regions were checked")
        };
        let distance = |other: &ProcessId| {
            let delay = Duration::from_nanos(region(&process).one_way(region(other)));
            Distance { delay, jitter: delay * u32::from(self.wan_jitter_percent) / 100 }
        };
        self.homes.keys().filter(|other| **other != process).map(|other| (*other, distance(other))).collect()
    }

    /// How many rings there are beside those that are always there.
    pub fn listed_rings(&self) -> usize {
        rings::listed(&self.rings, &self.groups).len()
    }

    /// The group of this name.
    pub fn group(&self, name: &str) -> Option<GroupId> {
        let number = self.groups.iter().position(|group| group == name);
        number.and_then(GroupId::new)
    }
}

impl NodeConfig {
    /// One that is found here, and about which nothing else is known.
    fn at(address: SocketAddr) -> NodeConfig {
        NodeConfig { region: String::new(), address, listen: None, http: None, redis: None }
    }
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path).map_err(|error| {
        let shown = path.display();
        ConfigError(format!("cannot read {shown}: {error}; `skein config init` writes a configuration"))
    })
}

fn name_of<T: ValueEnum>(value: &T) -> String {
    value.to_possible_value().expect("no value is hidden").get_name().to_owned()
}

impl File {
    fn parse(text: &str) -> Result<File, ConfigError> {
        toml::from_str(text).map_err(|error| ConfigError(error.to_string().trim().to_owned()))
    }

    /// What a program describes rather than a person.
    fn made(
        id: ClusterId,
        choices: Choices,
        data: PathBuf,
        store: Option<StoreFile>,
        nodes: BTreeMap<String, NodeConfig>,
        groups: Vec<GroupFile>,
    ) -> Config {
        let Choices { protocol, clock, storage, wan } = choices;
        let (cluster, protocol, clock) = (id.to_string(), protocol.to_string(), Some(name_of(&clock)));
        let (wan_jitter_percent, log, speak_version, tls) = (usual_jitter(), None, None, None);
        let (insecure, insecure_http) = (false, false);
        let file = File {
            cluster,
            protocol,
            clock,
            ordering: Deliveries::Ordered,
            storage,
            data,
            wan,
            wan_jitter_percent,
            log,
            scheduling: Scheduling::default(),
            speak_version,
            insecure,
            insecure_http,
            tls,
            store,
            nodes,
            groups,
            rings: Vec::new(),
        };
        file.check().expect("it was made by the rules")
    }

    fn check(self) -> Result<Config, ConfigError> {
        let id = u64::from_str_radix(&self.cluster, 16).ok().filter(|_| self.cluster.len() == 16);
        let id = id.ok_or_else(|| {
            ConfigError(format!("cluster = \"{}\": sixteen hexadecimal digits name a cluster", self.cluster))
        })?;
        let protocol = choice::<Protocol>("protocol", &self.protocol)?;
        let clock = match &self.clock {
            Some(clock) => choice::<Clock>("clock", clock)?,
            None if self.store.is_some() => Clock::Hybrid,
            None => Clock::Logical,
        };
        if clock == Clock::Hybrid && protocol.nature().hybrid_steps.is_none() {
            return Err(ConfigError(format!("clock = \"hybrid\": {protocol} cannot use such a clock")));
        }
        if clock != Clock::Hybrid && self.store.is_some() {
            return Err(ConfigError(
                "clock = \"logical\": the deadlines of keys in a store follow real time, so its \
                                    clock is hybrid; take the line out"
                    .to_owned(),
            ));
        }
        self.ordering.check(protocol)?;
        if !protocol.nature().survives_faults && self.storage != Storage::Memory {
            return Err(ConfigError(format!("{protocol} survives no crash and keeps nothing: storage = \"memory\"")));
        }
        if self.wan_jitter_percent > MOST_JITTER {
            let percent = self.wan_jitter_percent;
            return Err(ConfigError(format!(
                "wan_jitter_percent = {percent}: a frame is late by {MOST_JITTER} hundredths of its way at most, and by \
                 none with 0"
            )));
        }
        let speak_version = self.speak_version.unwrap_or(VERSION);
        if !(OLDEST..=VERSION).contains(&speak_version) {
            return Err(ConfigError(format!(
                "speak_version = {speak_version}: this build speaks {OLDEST} to {VERSION}; without the key, {VERSION}"
            )));
        }
        self.check_addresses()?;
        self.check_exposure()?;
        self.check_regions()?;
        if let Some(tls) = &self.tls {
            tls.check(self.nodes.keys())?;
        }

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
        let groups: Vec<String> = self.groups.into_iter().map(|group| group.name).collect();
        let rings = rings::check(&self.rings, &groups, &cluster, protocol)?;
        let store = self.store.map(|store| store.check(&groups, &cluster, protocol)).transpose()?;
        store::check_clients(&self.nodes, store.as_ref(), self.tls.is_some(), self.insecure)?;
        Ok(Config {
            choices: Choices { protocol, clock, storage: self.storage, wan: self.wan },
            deliveries: self.ordering,
            wan_jitter_percent: self.wan_jitter_percent,
            data: self.data,
            log: self.log,
            scheduling: self.scheduling,
            speak_version,
            tls: self.tls,
            insecure: self.insecure,
            insecure_http: self.insecure_http,
            store,
            nodes: self.nodes,
            groups,
            homes,
            cluster: Arc::new(cluster),
            rings: Arc::new(rings),
        })
    }
}

fn choice<T: ValueEnum>(key: &str, value: &str) -> Result<T, ConfigError> {
    T::from_str(value, false).map_err(|_| {
        let known: Vec<String> = T::value_variants().iter().map(|known| name_of(known)).collect();
        ConfigError(format!("{key} = \"{value}\": there are {}", known.join(", ")))
    })
}

#[cfg(test)]
mod store_tests;
#[cfg(test)]
mod tests;
