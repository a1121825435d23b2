//! The store, as an operator describes it: the section `[store]`. A cluster
//! without it orders messages and holds nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use skein_machine::{Cluster, GroupId};
use skein_service::kv::{Division, Limits, Placement, Rule};
use skein_service::replica::Mode;

use super::{ConfigError, NodeConfig};
use crate::compose::Protocol;
use crate::serve::resp::{self, Users};

/// What an answer promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Promise {
    /// That the command stands in the order.
    Ordered,
    /// That everybody who asks from now on sees the world with it.
    #[default]
    Linearizable,
    /// The same, as long as no clock is further from true time than the operator says.
    LinearizableClock,
}

/// A bound on clock errors beyond this helps nobody: answers wait for twice as long.
const MOST_CLOCK_ERROR_US: u64 = 100_000;

/// The section as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreFile {
    #[serde(default)]
    ordering: Promise,
    #[serde(default, skip_serializing_if = "is_zero")]
    clock_error_us: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    max_memory_mb: u64,
    #[serde(default = "usual_timeout")]
    timeout_ms: u64,
    #[serde(default, skip_serializing_if = "super::is_not")]
    tls: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    placement: Vec<RuleFile>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    users: Vec<UserFile>,
}

/// Where the keys of a prefix are: in one group, spread over some, or in order over some.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    group: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    hash: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    split: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    points: Option<Vec<String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct UserFile {
    name: String,
    /// In the words of Redis' ACL rules.
    rules: String,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

fn usual_timeout() -> u64 {
    10_000
}

/// A string that grows piece by piece becomes no longer than one that is set at once: so it can be told in one answer,
/// moved, and brought back from a backup.
const LONGEST_STRING: u64 = resp::MAX_COMMAND as u64;

/// A store.
#[derive(Clone, Debug)]
pub struct Store {
    /// What an answer promises.
    pub promise: Promise,
    /// How far clocks may be from true time, if answers rely on it.
    pub clock_error: Option<Duration>,
    /// What must not become larger.
    pub limits: Limits,
    /// How long a client waits for an answer.
    pub timeout: Duration,
    /// Whether clients speak TLS.
    pub tls: bool,
    /// Where keys are.
    pub placement: Arc<Placement>,
    /// Who may come.
    pub(crate) users: Users,
    /// As it was written.
    pub(super) file: StoreFile,
}

impl StoreFile {
    /// What a program makes rather than a person.
    pub(super) fn usual() -> StoreFile {
        StoreFile { timeout_ms: usual_timeout(), ..StoreFile::default() }
    }

    pub(super) fn usual_with(timeout: Duration) -> StoreFile {
        StoreFile { timeout_ms: timeout.as_millis() as u64, ..StoreFile::usual() }
    }

    pub(super) fn check(self, groups: &[String], cluster: &Cluster, protocol: Protocol) -> Result<Store, ConfigError> {
        let at = |why: String| ConfigError(format!("[store] {why}"));
        let clock_error = self.clock_error(protocol).map_err(at)?;
        let group = |name: &String| {
            let number = groups.iter().position(|group| group == name).and_then(GroupId::new);
            number.ok_or_else(|| at(format!("names the group {name}, and there are {}", groups.join(", "))))
        };
        let all = |names: &Vec<String>| names.iter().map(group).collect::<Result<Vec<_>, _>>();
        let rules = self.placement.iter().enumerate().map(|(nth, rule)| {
            let division = match (&rule.group, &rule.hash, &rule.split, &rule.points) {
                (Some(one), None, None, None) => Division::Group(group(one)?),
                (None, Some(some), None, None) => Division::Hash(all(some)?),
                (None, None, Some(some), Some(points)) => Division::Split {
                    groups: all(some)?,
                    points: points.iter().map(|point| point.as_bytes().to_vec()).collect(),
                },
                _ => {
                    let nth = nth + 1;
                    return Err(at(format!(
                        "placement rule {nth} says neither group = \"…\" nor hash = […] nor split = […] with points \
                         = […], or more than one of them"
                    )));
                }
            };
            Ok(Rule { prefix: rule.prefix.as_bytes().to_vec(), division })
        });
        let rules = rules.collect::<Result<Vec<_>, _>>()?;
        let placement = Placement::new(rules, cluster.groups()).map_err(|error| at(format!("placement: {error}")))?;
        if self.timeout_ms == 0 {
            return Err(at("timeout_ms = 0: nobody would ever have an answer".to_owned()));
        }
        let users: Vec<(&str, &str)> =
            self.users.iter().map(|user| (user.name.as_str(), user.rules.as_str())).collect();
        let users = if users.is_empty() { Users::open() } else { Users::parse(&users).map_err(at)? };
        Ok(Store {
            promise: self.ordering,
            clock_error,
            limits: Limits { max_memory: self.max_memory_mb << 20, max_string: LONGEST_STRING },
            timeout: Duration::from_millis(self.timeout_ms),
            tls: self.tls,
            placement: Arc::new(placement),
            users,
            file: self,
        })
    }
}

impl StoreFile {
    /// The bound that answers rely on, if they rely on one.
    fn clock_error(&self, protocol: Protocol) -> Result<Option<Duration>, String> {
        let StoreFile { ordering, clock_error_us, .. } = *self;
        let by_clocks = ordering == Promise::LinearizableClock;
        if !by_clocks && clock_error_us > 0 {
            return Err("clock_error_us is for ordering = \"linearizable-clock\"; take one of the lines out".to_owned());
        }
        if by_clocks && !protocol.nature().modes.contains(&crate::compose::Mode::LinearizableClock) {
            return Err(format!(
                "ordering = \"linearizable-clock\": {protocol} does not offer that; take protocol = \"primcast\""
            ));
        }
        if by_clocks && !(1..=MOST_CLOCK_ERROR_US).contains(&clock_error_us) {
            return Err(format!(
                "ordering = \"linearizable-clock\": say by clock_error_us how many microseconds any clock may be from \
                 true time, 1 to {MOST_CLOCK_ERROR_US}; whatever keeps the time knows (chronyc tracking: root delay / 2 + \
                 root dispersion + offset)"
            ));
        }
        Ok(by_clocks.then_some(Duration::from_micros(clock_error_us)))
    }
}

impl Store {
    /// What an answer promises, as replicas know it.
    pub(crate) fn mode(&self) -> Mode {
        match (self.promise, self.clock_error) {
            (Promise::Ordered, _) => Mode::Ordered,
            (Promise::LinearizableClock, Some(error)) => Mode::LinearizableClock(error),
            (Promise::Linearizable | Promise::LinearizableClock, _) => Mode::Linearizable,
        }
    }

    /// What all nodes must have been told alike.
    pub(super) fn plan(&self) -> String {
        let StoreFile { ordering, max_memory_mb, placement, .. } = &self.file;
        let clocks = self.clock_error.map_or(String::new(), |error| format!(" {}", error.as_micros()));
        format!("store {ordering:?}{clocks} {max_memory_mb} {placement:?}")
    }
}

/// Whoever finds the store can do to it what its users may, so somebody beyond this machine has to say who he is.
pub(super) fn check_clients(
    nodes: &BTreeMap<String, NodeConfig>,
    store: Option<&Store>,
    has_certificates: bool,
    insecure: bool,
) -> Result<(), ConfigError> {
    for (name, node) in nodes {
        let Some(redis) = node.redis else { continue };
        let Some(store) = store else {
            return Err(ConfigError(format!(
                "node {name} would serve clients of Redis at {redis}, and this cluster has no store: add [store]"
            )));
        };
        if store.tls && !has_certificates {
            return Err(ConfigError("[store] tls = true: there are no certificates; add [tls]".to_owned()));
        }
        if !redis.ip().is_loopback() && store.users.let_anybody_in() && !insecure {
            return Err(ConfigError(format!(
                "node {name} would serve anybody at {redis}, beyond this machine: say who may come ([[store.users]] \
                 of which each is off or has a password, the default user, too), or write insecure = true if nobody \
                 else can reach it"
            )));
        }
    }
    Ok(())
}
