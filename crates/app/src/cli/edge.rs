//! `skein edge`: an agent, until it is told to stop; and what its operator needs
//! before that: keys, certificates, a look at a configuration, an origin to try
//! things with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use skein_edge::Name;
use skein_runtime::datagrams::Key;
use skein_runtime::tls::{Files, Validity};

use super::certificates::{authority, put, write};
use super::{Mistake, Verdict, output};
use crate::agent::config::{Config, Flags};
use crate::agent::{Running, toy};
use crate::diary;
use crate::signals::Stop;
use crate::supervisor::Supervisor;

#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    subcommand_negates_reqs = true,
    after_help = "Example, two agents on one machine, each in a shell of its own:
  skein edge --config edge.toml --name a --listen 127.0.0.1:7946 --http 127.0.0.1:8946
  skein edge --config edge.toml --name b --listen 127.0.0.1:7947 --http 127.0.0.1:8947

SIGTERM and Ctrl-C make it say goodbye and go; SIGHUP makes it read keys and certificates again.
docs/edge.md has a tour, and docs/edge.toml all that can be said in a configuration. Exit codes:
0 it was asked to stop, 78 its configuration is refused, 2 anything else."
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    /// What the agent is told: who it is, where others are, what it watches.
    #[arg(long, value_name = "FILE", env = "SKEIN_EDGE_CONFIG", hide_env = true, required = true)]
    config: Option<PathBuf>,
    #[command(flatten)]
    flags: Flags,
    /// Members that this file lists, one address a line, are not heard and not spoken to: it is looked at ten times a
    /// second. For whoever tries out what a fleet does that is parted.
    #[arg(long, value_name = "FILE", hide = true)]
    deaf_to: Option<PathBuf>,
}

#[derive(Subcommand)]
enum What {
    /// Check a configuration, and say what an agent would do with it.
    Check {
        /// The configuration.
        #[arg(long, value_name = "FILE", env = "SKEIN_EDGE_CONFIG", hide_env = true)]
        config: PathBuf,
        #[command(flatten)]
        flags: Box<Flags>,
    },
    /// Make a key that the members of a fleet share.
    #[command(
        after_help = "The file is for its owner's eyes only; every member needs a copy. To replace a key while all
go on: put the new one on a line below the old one at every member and send SIGHUP; then the new one
above; then take the old one out.

Example:
  skein edge key edge.key"
    )]
    Key {
        /// Where to put it. What is there already stays.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make an authority for a fleet, and certificates for its members.
    #[command(after_help = "The folder gets ca.pem, ca.key, and NAME.pem and NAME.key for each member. Every member
needs ca.pem, its own certificate and its own key; keep ca.key away from all of them. What is there
already stays.

Example:
  skein edge certificates papers --fleet shop ams-1 ams-2 cph-1")]
    Certificates {
        /// The folder to put them into.
        #[arg(value_name = "DIR")]
        folder: PathBuf,
        /// What the fleet is called, as in the configuration. Every certificate is valid for this name.
        #[arg(long)]
        fleet: String,
        /// How long they are valid.
        #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=36500))]
        days: u32,
        /// The members.
        #[arg(value_name = "NAME", required = true)]
        members: Vec<String>,
    },
    /// Run an origin that one can break and mend, to try things with.
    Origin(toy::Arguments),
}

/// How often it is looked whom it is to be deaf to.
const GLANCE: Duration = Duration::from_millis(100);

/// The outer mistake is one in the configuration.
pub(crate) fn command(arguments: &Arguments) -> Result<Verdict, Mistake> {
    match &arguments.what {
        None => {}
        Some(What::Check { config, flags }) => return Ok(check(&read(config, flags)?)),
        Some(What::Key { file }) => return Ok(key(file)),
        Some(What::Certificates { folder, fleet, days, members }) => {
            return Ok(certificates(folder, fleet, *days, members));
        }
        Some(What::Origin(arguments)) => return Ok(toy::command(arguments)),
    }
    let path = arguments.config.as_deref().expect("it is required");
    let config = read(path, &arguments.flags)?;
    diary::begin_with(config.log.as_deref().unwrap_or(diary::USUAL)).map_err(Mistake)?;
    for name in &config.unknown {
        tracing::warn!(name, "where a member may be found is not known, and others are asked");
    }
    Ok(live(&config, arguments.deaf_to.as_deref()))
}

fn read(path: &Path, flags: &Flags) -> Result<Config, Mistake> {
    Config::read(path, flags).map_err(Mistake)
}

fn live(config: &Config, deaf_to: Option<&Path>) -> Verdict {
    let stop = Stop::listen_to_hangups_too().map_err(Mistake)?;
    let supervisor = Supervisor::of_environment();
    super::node::allow_descriptors();
    let mut running = Running::start(config).map_err(Mistake)?;
    let mut said = format!("agent {} is ready at {}", config.me.name, running.address());
    if let Some(address) = running.http_address() {
        said += &format!(", its page at http://{address}/");
    }
    if let Some(address) = running.redis_address() {
        said += &format!(", clients of Redis at {address}");
    }
    output::line(said);
    supervisor.ready();
    let mut glanced: Option<Instant> = None;
    let is_over = |running: &Running| {
        if let Some(path) = deaf_to
            && glanced.is_none_or(|at| at.elapsed() >= GLANCE)
        {
            glanced = Some(Instant::now());
            if let Err(error) = running.be_deaf_to(path) {
                tracing::error!(error, "whom to be deaf to is not known");
            }
        }
        running.has_stopped()
    };
    stop.wait_with(&mut running, is_over, |running| {
        supervisor.reloading();
        match running.reload(config) {
            Ok(()) => tracing::info!("keys and certificates are read again"),
            Err(error) => tracing::error!(error, "what was read before stays in force"),
        }
        supervisor.ready();
    });
    supervisor.stopping();
    if running.has_stopped() {
        return Err(Mistake(format!("agent {} has stopped by itself", config.me.name)));
    }
    running.leave();
    Ok(true)
}

/// Whatever reads so far is sound.
fn check(config: &Config) -> Verdict {
    let (me, plural) = (&config.me, |count: usize| if count == 1 { "" } else { "s" });
    output::line(format_args!(
        "member {} of fleet {}, in {}, reached at {}",
        me.name, config.fleet, me.place, me.address
    ));
    output::line(format_args!("listens at {}; members know each other by {}", config.listen, config.known_by()));
    let seeds = config.seeds.iter().filter(|seed| **seed != me.address).count();
    match seeds + config.gateways.len() {
        0 => output::line("knows nobody: it begins a fleet"),
        _ => output::line(format_args!(
            "asks {seeds} other{} of its place, and {} elsewhere",
            plural(seeds),
            config.gateways.len()
        )),
    }
    for name in &config.unknown {
        output::line(format_args!("does not know where this is: {name}"));
    }
    let faces = [("its page is at http://", config.http), ("clients of Redis are served at ", config.redis)];
    for (what, address) in faces {
        if let Some(address) = address {
            output::line(format_args!(
                "{what}{address}{}",
                if config.password.is_some() { ", by password" } else { "" }
            ));
        }
    }
    output::line(format_args!("watches {} origin{}", config.origins.len(), plural(config.origins.len())));
    Ok(true)
}

fn key(file: &Path) -> Verdict {
    if file.exists() {
        return Err(Mistake(format!("{} is there already: name another file, or move it away", file.display())));
    }
    let key = Key::draw().map_err(Mistake)?;
    write(file, &format!("# A key of a fleet, for members only.\n{}\n", key.written()), 0o600)?;
    output::line(format_args!(
        "{}: a new key; say key_file = {:?} at every member",
        file.display(),
        file.display().to_string()
    ));
    Ok(true)
}

fn certificates(folder: &Path, fleet: &str, days: u32, members: &[String]) -> Verdict {
    skein_runtime::tls::check_name(fleet)?;
    fs::create_dir_all(folder).map_err(|error| Mistake(format!("cannot make {}: {error}", folder.display())))?;
    let ca = folder.join("ca.pem");
    let authority = authority(&ca, &folder.join("ca.key"), &format!("Skein fleet {fleet}"))?;
    let (mut made, mut kept) = (0, 0);
    for member in members {
        let name = Name::new(member).map_err(|wrong| Mistake(format!("member {member:?}: {wrong}")))?;
        if name.as_str() == "ca" {
            return Err(Mistake(
                "a member called ca would have the files of the authority: give it another name".into(),
            ));
        }
        let file = |suffix: &str| folder.join(format!("{name}.{suffix}"));
        let files = Files { ca: ca.clone(), cert: file("pem"), key: file("key") };
        if files.cert.exists() && files.key.exists() {
            kept += 1;
            continue;
        }
        let issued = authority.member(fleet, name.as_str(), Validity::days(days)).map_err(Mistake::from)?;
        put(&files, &issued, Some(fleet))?;
        made += 1;
    }
    output::line(format_args!("{}: {made} certificates made, {kept} were there", folder.display()));
    let path = |file: &str| format!("{:?}", folder.join(file).display().to_string());
    output::line(format_args!(
        "\nAdd this at each member, with its own name:\n\n[tls]\nca = {}\ncert = {}\nkey = {}",
        path("ca.pem"),
        path("NAME.pem"),
        path("NAME.key")
    ));
    Ok(true)
}
