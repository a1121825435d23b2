//! `skein multicast` and `skein tail`: a cluster from a shell.

use std::io::BufRead;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;
use serde::Serialize;
use skein_machine::{Delivery, GroupId, GroupSet};
use skein_runtime::tls::{Files, Trust};
use skein_service::replica::unpack;

use super::{Mistake, Verdict, output};
use crate::client::{Client, Delivered};
use crate::config::Config;
use crate::dev;

#[derive(Args, Clone, Debug)]
pub(crate) struct Where {
    /// The configuration of the cluster; skein.toml here, or that of `skein dev`, unless told.
    #[arg(long, value_name = "FILE", env = "SKEIN_CONFIG", global = true)]
    config: Option<PathBuf>,
}

/// What makes a client known to a cluster that speaks TLS.
#[derive(Args, Clone, Debug)]
pub(crate) struct Identity {
    /// The certificate of the cluster's authority, if the configuration does not say.
    #[arg(long, value_name = "FILE", env = "SKEIN_CA", global = true)]
    ca: Option<PathBuf>,
    /// The own certificate.
    #[arg(long, value_name = "FILE", env = "SKEIN_CERT", requires = "key", global = true)]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, value_name = "FILE", env = "SKEIN_KEY", requires = "cert", global = true)]
    key: Option<PathBuf>,
}

#[derive(Args)]
#[command(
    after_help = "Each message is sent when the one before it is delivered. Its timestamp says where it stands in
the order, and the times how long it took until a replica of each group had delivered it.

Examples:
  skein multicast g0,g1 hello
  seq 100 | skein multicast g0 -"
)]
pub(crate) struct MulticastArguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    identity: Identity,
    /// The groups, with commas between them.
    #[arg(value_name = "GROUPS")]
    groups: String,
    /// What to say; one message a line of standard input for `-`.
    #[arg(value_name = "TEXT")]
    text: String,
    /// One JSON object a message.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
#[command(after_help = "Examples:
  skein tail g0
  skein tail g1 --json | head -3")]
pub(crate) struct TailArguments {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    identity: Identity,
    /// The group.
    #[arg(value_name = "GROUP")]
    group: String,
    /// One JSON object a delivery.
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Sent<'a> {
    message: String,
    timestamp: u64,
    groups: Vec<Took<'a>>,
}

#[derive(Serialize)]
struct Took<'a> {
    group: &'a str,
    took_us: f64,
}

#[derive(Serialize)]
struct Line<'a> {
    position: u64,
    timestamp: u64,
    message: String,
    groups: Vec<&'a str>,
    text: String,
}

impl Where {
    pub(crate) fn read(&self) -> Result<Config, Mistake> {
        let usual = [PathBuf::from(dev::FILE), Path::new(dev::FOLDER).join(dev::FILE)];
        let found = self.config.clone().or_else(|| usual.into_iter().find(|file| file.exists()));
        let found = found.ok_or_else(|| {
            Mistake(
                "there is no configuration here: start a cluster with `skein dev`, or name one with --config".into(),
            )
        })?;
        Config::read(&found).map_err(|error| Mistake(error.to_string()))
    }
}

impl Identity {
    /// Whom to believe at a store that speaks TLS, where no configuration says.
    pub(crate) fn trust(&self) -> Result<Trust, Mistake> {
        let Some(ca) = &self.ca else {
            return Err(Mistake(
                "--tls: nobody has said whom to believe: name the certificate of the cluster's authority by --ca"
                    .into(),
            ));
        };
        let read = match (&self.cert, &self.key) {
            (Some(cert), Some(key)) => {
                Trust::read_with(&Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() })
            }
            _ => Trust::read(ca),
        };
        read.map_err(|error| Mistake(error.to_string()))
    }

    /// Whether anything is said here.
    pub(crate) fn is_said(&self) -> bool {
        self.ca.is_some() || self.cert.is_some()
    }

    /// What is said here counts before what the configuration says of clients.
    pub(crate) fn put_into(&self, mut config: Config) -> Config {
        if let Some(ca) = &self.ca {
            config.tls.get_or_insert_default().ca.clone_from(ca);
        }
        if let Some(tls) = &mut config.tls
            && self.cert.is_some()
        {
            (tls.client_cert, tls.client_key) = (self.cert.clone(), self.key.clone());
        }
        config
    }
}

pub(crate) fn multicast(arguments: &MulticastArguments) -> Verdict {
    let config = arguments.identity.put_into(arguments.place.read()?);
    let groups: Result<GroupSet, Mistake> = arguments.groups.split(',').map(|name| group(&config, name)).collect();
    let groups = groups?;
    let mut client = Client::new(config.clone()).map_err(Mistake)?;
    let mut send = |text: String| -> Result<(), Mistake> {
        let delivered = client.multicast(groups, Bytes::from(text)).map_err(Mistake)?;
        show(&config, &delivered, arguments.json);
        Ok(())
    };
    if arguments.text != "-" {
        send(arguments.text.clone())?;
        return Ok(true);
    }
    for line in std::io::stdin().lock().lines() {
        send(line.map_err(|error| Mistake(format!("cannot read standard input: {error}")))?)?;
    }
    Ok(true)
}

pub(crate) fn tail(arguments: &TailArguments) -> Verdict {
    let config = arguments.identity.put_into(arguments.place.read()?);
    let group = group(&config, &arguments.group)?;
    let mut client = Client::new(config.clone()).map_err(Mistake)?;
    let each = |delivery: Delivery| {
        print(&config, &delivery, arguments.json);
        true
    };
    client.follow(group, each).map_err(Mistake)?;
    Ok(true)
}

fn group(config: &Config, name: &str) -> Result<GroupId, Mistake> {
    config
        .group(name.trim())
        .ok_or_else(|| Mistake(format!("there is no group {}: there are {}", name.trim(), config.groups.join(", "))))
}

fn show(config: &Config, delivered: &Delivered, is_json: bool) {
    let name = |group: &GroupId| config.groups[group.index()].as_str();
    let micros = |took: &std::time::Duration| took.as_secs_f64() * 1e6;
    if is_json {
        let groups =
            delivered.took.iter().map(|(group, took)| Took { group: name(group), took_us: micros(took) }).collect();
        let sent = Sent { message: delivered.id.to_string(), timestamp: delivered.timestamp.0, groups };
        return output::json(&sent);
    }
    let took: Vec<String> =
        delivered.took.iter().map(|(group, took)| format!("{} {:.0} us", name(group), micros(took))).collect();
    output::line(format_args!("{} at {}: {}", delivered.id, delivered.timestamp, took.join(", ")));
}

fn print(config: &Config, delivery: &Delivery, is_json: bool) {
    let Delivery { position, timestamp, message } = delivery;
    let groups: Vec<&str> = message.id.destinations.iter().map(|group| config.groups[group.index()].as_str()).collect();
    let text = match unpack(message) {
        Some(parcel) => format!("{} commands of the store, which `skein kv watch` shows", parcel.commands.len()),
        None => String::from_utf8_lossy(&message.payload).into_owned(),
    };
    if is_json {
        let message = message.id.to_string();
        return output::json(&Line { position: *position, timestamp: timestamp.0, message, groups, text });
    }
    let void = if delivery.is_void() { " (void: it came too late)" } else { "" };
    output::line(format_args!("#{position} at {timestamp} to {}: {}{void}", groups.join(","), text.escape_debug()));
}
