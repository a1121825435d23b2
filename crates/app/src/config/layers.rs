//! Layers: where a setting of a node comes from. A flag counts before the
//! environment, that before the file, that before what is usual. Only what may
//! differ from node to node can be said outside the file; what has to be the
//! same everywhere is refused there: one file says it for all of them.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::Args;
use skein_machine::wire::Version;

use super::{Config, ConfigError, File, Scheduling, Storage, choice, name_of, read};

/// What can be said at a node's start.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Instead of what the configuration says (each also as SKEIN_DATA, SKEIN_LISTEN, …)")]
pub struct Flags {
    /// The folder in which every node has a folder of its own.
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where to listen to other nodes and to clients. They go on using the address in the configuration.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where to tell how the node is.
    #[arg(long, value_name = "ADDRESS")]
    http: Option<SocketAddr>,
    /// What an acknowledgement of this node is worth.
    #[arg(long, value_name = "MODE")]
    storage: Option<Storage>,
    /// What to write down, as in `info` or `skein_runtime=debug`.
    #[arg(long, value_name = "FILTER")]
    log: Option<String>,
    /// What threads do when something comes up for them and every core is taken.
    #[arg(long, value_name = "MANNER")]
    scheduling: Option<Scheduling>,
    /// The newest version of the encoding to use, with other nodes and on the disk: the one of before, while a
    /// cluster is upgraded.
    #[arg(long, value_name = "VERSION")]
    speak_version: Option<Version>,
    /// The certificate of the cluster's authority.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The certificate of this node.
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// Where a setting comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag,
    /// The environment.
    Environment,
    /// The configuration.
    File,
    /// Nobody has said anything.
    Default,
}

/// A setting of a node, its value, and where that comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What it is called.
    pub name: &'static str,
    /// What it is; empty if nothing.
    pub value: String,
    /// Who has said so.
    pub origin: Origin,
}

/// What may differ from node to node, and where it stands in the file.
const SETTINGS: [(&str, Place); 10] = [
    ("data", Place::Top),
    ("listen", Place::Node),
    ("http", Place::Node),
    ("storage", Place::Top),
    ("log", Place::Top),
    ("scheduling", Place::Top),
    ("speak_version", Place::Top),
    ("ca", Place::Tls),
    ("cert", Place::Tls),
    ("key", Place::Tls),
];

/// What must not.
const SAME_EVERYWHERE: [&str; 5] = ["cluster", "protocol", "clock", "wan", "wan_jitter_percent"];

#[derive(Clone, Copy)]
enum Place {
    Top,
    Node,
    Tls,
}

/// The variable in which a setting may be said.
pub fn variable(setting: &str) -> String {
    format!("SKEIN_{}", setting.to_ascii_uppercase())
}

/// The flag by which it may be said.
fn flag(setting: &str) -> String {
    format!("--{}", setting.replace('_', "-"))
}

/// All such variables, for those who start nodes and want them to hear of none.
pub fn variables() -> impl Iterator<Item = String> {
    SETTINGS.iter().map(|(name, _)| variable(name))
}

impl Config {
    /// The configuration as it holds for one node, and where that node's settings come from.
    pub fn read_for(
        path: &Path,
        node: &str,
        flags: &Flags,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<(Config, Vec<Setting>), ConfigError> {
        let layered = layer(&read(path)?, node, flags, environment);
        layered.map_err(|error| ConfigError(format!("{}: {error}", path.display())))
    }
}

fn layer(
    text: &str,
    node: &str,
    flags: &Flags,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(Config, Vec<Setting>), ConfigError> {
    // An empty variable says nothing.
    let environment = |name: &str| environment(name).filter(|value| !value.is_empty());
    let mut file = File::parse(text)?;
    let table: toml::Table = toml::from_str(text).map_err(|error| ConfigError(error.to_string()))?;
    if !file.nodes.contains_key(node) {
        let known: Vec<&str> = file.nodes.keys().map(String::as_str).collect();
        let known = known.join(", ");
        return Err(ConfigError(format!("there is no node {node} in the configuration: there are {known}")));
    }
    for name in SAME_EVERYWHERE {
        let variable = variable(name);
        if environment(&variable).is_some() {
            return Err(ConfigError(format!(
                "{variable} is set, and {name} has to be the same at all nodes: unset it, and say so in the \
                 configuration"
            )));
        }
    }
    let mut origins = Vec::new();
    for (name, place) in SETTINGS {
        let said = flags.said(name).map(|value| (value, flag(name), Origin::Flag)).or_else(|| {
            let variable = variable(name);
            environment(&variable).map(|value| (value, variable, Origin::Environment))
        });
        let origin = match said {
            Some((value, by, origin)) => {
                file.set(node, name, &value).map_err(|why| ConfigError(format!("{by}: {why}")))?;
                origin
            }
            None if place.has(&table, node, name) => Origin::File,
            None => Origin::Default,
        };
        origins.push((name, origin));
    }
    let config = file.check()?;
    let setting = |(name, origin)| Setting { name, value: config.value_of(node, name), origin };
    let settings = origins.into_iter().map(setting).collect();
    Ok((config, settings))
}

impl Place {
    fn has(self, table: &toml::Table, node: &str, name: &str) -> bool {
        let inner = |table: &toml::Table, key: &str| table.get(key).and_then(toml::Value::as_table).cloned();
        match self {
            Place::Top => table.contains_key(name),
            Place::Tls => inner(table, "tls").is_some_and(|tls| tls.contains_key(name)),
            Place::Node => {
                let node = inner(table, "nodes").and_then(|nodes| inner(&nodes, node));
                // Where a node listens is where it is found, unless somebody says otherwise.
                node.is_some_and(|node| node.contains_key(name) || name == "listen")
            }
        }
    }
}

impl Flags {
    fn said(&self, name: &str) -> Option<String> {
        let path = |path: &Option<PathBuf>| path.as_ref().map(|path| path.display().to_string());
        match name {
            "data" => path(&self.data),
            "listen" => self.listen.map(|address| address.to_string()),
            "http" => self.http.map(|address| address.to_string()),
            "storage" => self.storage.as_ref().map(name_of),
            "log" => self.log.clone(),
            "scheduling" => self.scheduling.as_ref().map(name_of),
            "speak_version" => self.speak_version.map(|version| version.to_string()),
            "ca" => path(&self.ca),
            "cert" => path(&self.cert),
            "key" => path(&self.key),
            _ => unreachable!("there is no setting {name}"),
        }
    }
}

impl File {
    fn set(&mut self, node: &str, name: &str, value: &str) -> Result<(), String> {
        let address = || {
            let parsed = value.parse::<SocketAddr>();
            parsed.map_err(|_| format!("\"{value}\" is no address: write one as in 127.0.0.1:7101"))
        };
        let node = self.nodes.get_mut(node).expect("the node is known");
        match name {
            "data" => self.data = value.into(),
            "listen" => node.listen = Some(address()?),
            "http" => node.http = Some(address()?),
            "storage" => self.storage = choice("storage", value).map_err(|error| error.0)?,
            "log" => self.log = Some(value.to_owned()),
            "scheduling" => self.scheduling = choice("scheduling", value).map_err(|error| error.0)?,
            "speak_version" => {
                let version =
                    value.parse().map_err(|_| format!("\"{value}\" is no version: write a number, as in 1"))?;
                self.speak_version = Some(version);
            }
            "ca" => self.tls.get_or_insert_default().ca = value.into(),
            "cert" => self.tls.get_or_insert_default().cert = value.into(),
            "key" => self.tls.get_or_insert_default().key = value.into(),
            _ => unreachable!("there is no setting {name}"),
        }
        Ok(())
    }
}

impl Config {
    fn value_of(&self, node: &str, name: &str) -> String {
        let files = self.tls.as_ref().map(|tls| tls.of_node(node));
        let file = |path: fn(&skein_runtime::tls::Files) -> &PathBuf| {
            files.as_ref().map_or(String::new(), |files| path(files).display().to_string())
        };
        match name {
            "data" => self.data.display().to_string(),
            "listen" => self.listens_at(node).to_string(),
            "http" => self.nodes[node].http.map_or(String::new(), |address| address.to_string()),
            "storage" => name_of(&self.choices.storage),
            "log" => self.log.clone().unwrap_or_else(|| crate::diary::USUAL.to_owned()),
            "scheduling" => name_of(&self.scheduling),
            "speak_version" => self.speak_version.to_string(),
            "ca" => file(|files| &files.ca),
            "cert" => file(|files| &files.cert),
            "key" => file(|files| &files.key),
            _ => unreachable!("there is no setting {name}"),
        }
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Setting { name, value, origin } = self;
        let value = if value.is_empty() { "-" } else { value };
        match origin {
            Origin::Flag => write!(f, "{name:<13} {value:<32} {}", flag(name)),
            Origin::Environment => write!(f, "{name:<13} {value:<32} {}", variable(name)),
            Origin::File => write!(f, "{name:<13} {value:<32} the configuration"),
            Origin::Default => write!(f, "{name:<13} {value:<32} default"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::wire::VERSION;

    const FILE: &str = r#"
cluster = "00000000000000ab"
storage = "async"
[nodes.a]
address = "127.0.0.1:7001"
[[groups]]
name = "g"
replicas = ["a"]
"#;

    fn layered(flags: &Flags, environment: &[(&str, &str)]) -> Result<(Config, Vec<Setting>), ConfigError> {
        let find = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        layer(FILE, "a", flags, find)
    }

    fn setting(name: &str, flags: &Flags, environment: &[(&str, &str)]) -> (String, Origin) {
        let (_, settings) = layered(flags, environment).unwrap();
        let found = settings.into_iter().find(|setting| setting.name == name).unwrap();
        (found.value, found.origin)
    }

    #[test]
    fn a_flag_counts_before_the_environment_before_the_file_before_what_is_usual() {
        let flags = Flags { storage: Some(Storage::Memory), ..Flags::default() };
        let sync = [("SKEIN_STORAGE", "sync"), ("SKEIN_LISTEN", "127.0.0.1:9"), ("SKEIN_DATA", "")];
        assert_eq!(setting("storage", &flags, &sync), ("memory".to_owned(), Origin::Flag));
        assert_eq!(setting("storage", &Flags::default(), &sync), ("sync".to_owned(), Origin::Environment));
        assert_eq!(setting("storage", &Flags::default(), &[]), ("async".to_owned(), Origin::File));
        assert_eq!(setting("data", &Flags::default(), &sync), ("skein-data".to_owned(), Origin::Default));
        let eager = [("SKEIN_SCHEDULING", "eager")];
        assert_eq!(setting("scheduling", &flags, &eager), ("eager".to_owned(), Origin::Environment));
        assert_eq!(setting("scheduling", &flags, &[]), ("patient".to_owned(), Origin::Default));
        let old = Flags { speak_version: Some(1), ..Flags::default() };
        assert_eq!(setting("speak_version", &old, &[]), ("1".to_owned(), Origin::Flag));
        assert_eq!(setting("speak_version", &flags, &[("SKEIN_SPEAK_VERSION", "1")]).1, Origin::Environment);
        assert_eq!(setting("speak_version", &flags, &[]), (VERSION.to_string(), Origin::Default));
        assert_eq!(setting("listen", &flags, &[]), ("127.0.0.1:7001".to_owned(), Origin::File));
        assert_eq!(layered(&flags, &sync).unwrap().0.listens_at("a").port(), 9);
        assert_eq!(layered(&flags, &sync).unwrap().0.addresses()[&skein_machine::ProcessId(0)].port(), 7001);
    }

    #[test]
    fn what_comes_from_elsewhere_is_checked_like_the_file() {
        let mistake = |environment| layered(&Flags::default(), environment).unwrap_err().0;
        assert!(mistake(&[("SKEIN_STORAGE", "tape")]).contains("SKEIN_STORAGE: storage = \"tape\": there are memory"));
        assert!(mistake(&[("SKEIN_SPEAK_VERSION", "new")]).contains("SKEIN_SPEAK_VERSION: \"new\" is no version"));
        assert!(mistake(&[("SKEIN_SPEAK_VERSION", "0")]).contains("speak_version = 0: this build speaks 1 to 2"));
        assert!(mistake(&[("SKEIN_HTTP", "here")]).contains("SKEIN_HTTP: \"here\" is no address"));
        assert!(mistake(&[("SKEIN_LISTEN", "0.0.0.0:7001")]).contains("insecure = true"));
        assert!(mistake(&[("SKEIN_CLOCK", "hybrid")]).contains("clock has to be the same at all nodes"));
        assert!(mistake(&[("SKEIN_CA", "ca.pem")]).contains("there is no `cert`"));
        assert!(layer(FILE, "b", &Flags::default(), |_| None).unwrap_err().0.contains("there is no node b"));
    }
}
