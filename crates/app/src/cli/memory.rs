//! `skein memory`: the memory of one replica of Mu, for processes on other
//! hosts, until it is told to stop.

use std::cell::RefCell;
use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use skein_runtime::tls::Files;

use super::reminder::Reminder;
use super::{Mistake, Verdict, output};
use crate::diary;
use crate::mu::{Fabric, MemoryServer, MuConfig, Network};
use crate::signals::Stop;
use crate::supervisor::Supervisor;

#[derive(Args)]
#[command(after_help = "Examples:
  skein memory --name prices --replica 0 --memories a:7400,b:7400,c:7400 --data memory
      --ca ca.pem --cert replica-0.pem --key replica-0.key
  skein memory --name prices --replica 1 --data memory-1
      --memories 127.0.0.1:7401,127.0.0.1:7402,127.0.0.1:7403

The processes that use it say `MuConfig::network(\"prices\", ...)`, with the same memories,
slots and longest request. What it holds is gone with it: whoever leads tells the next one
everything again, and until then a majority of the other memories must be there.
The certificate of replica 1 is made out to `replica-1`; SIGHUP makes it read certificates again.
Exit codes: 0 it was asked to stop, 2 anything else.")]
pub(crate) struct Arguments {
    /// What the cluster is called.
    #[arg(long)]
    name: String,
    /// Whose memory it is, from 0.
    #[arg(long, value_name = "N")]
    replica: usize,
    /// Where the memory of each replica is served, in order.
    #[arg(long, value_name = "HOST:PORT,...", value_delimiter = ',', required = true)]
    memories: Vec<String>,
    /// Where to listen, if not at the address that the others are told.
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// A directory of its own, which must outlive it: it says there that it has lived.
    #[arg(long, value_name = "FOLDER")]
    data: PathBuf,
    /// How many slots the log has before it comes round.
    #[arg(long, value_name = "N", default_value_t = 1024)]
    slots: usize,
    /// How many bytes a request has at most.
    #[arg(long, value_name = "BYTES", default_value_t = 512)]
    longest: usize,
    /// The certificates of the authorities that are trusted.
    #[arg(long, value_name = "FILE", requires_all = ["cert", "key"])]
    ca: Option<PathBuf>,
    /// The own certificate.
    #[arg(long, value_name = "FILE", requires = "ca")]
    cert: Option<PathBuf>,
    /// The key of the own certificate.
    #[arg(long, value_name = "FILE", requires = "ca")]
    key: Option<PathBuf>,
    /// Serve whoever can come, without certificates.
    #[arg(long, conflicts_with = "ca")]
    insecure: bool,
    /// The directory was lost: begin anew, by a number that is higher than before. Whoever refuses it says which.
    #[arg(long, value_name = "INCARNATION")]
    rejoin: Option<NonZeroU32>,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    diary::begin(Some(diary::USUAL)).map_err(Mistake)?;
    let stop = Stop::listen_to_hangups_too().map_err(Mistake)?;
    let supervisor = Supervisor::of_environment();
    let listen = arguments.listen.as_deref().map(address).transpose()?;
    let mut server = MemoryServer::open(&config(arguments)?, listen).map_err(|error| Mistake(error.to_string()))?;
    output::line(format_args!("the memory of replica {} is ready at {}", arguments.replica, server.address()));
    supervisor.ready();
    let reminder = RefCell::new(Reminder::default());
    let is_over = |server: &MemoryServer| {
        reminder.borrow_mut().look(|notice| server.expires_within(notice));
        server.has_ended()
    };
    stop.wait_with(&mut server, is_over, |server| {
        supervisor.reloading();
        match server.reload() {
            Ok(()) => tracing::info!("certificates are read again; new connections use them"),
            Err(error) => tracing::error!(%error, "the certificates that were read before stay in force"),
        }
        *reminder.borrow_mut() = Reminder::default();
        supervisor.ready();
    });
    supervisor.stopping();
    server.stop().map_err(|error| Mistake(error.to_string()))?;
    Ok(true)
}

fn config(arguments: &Arguments) -> Result<MuConfig, Mistake> {
    let Arguments { name, replica, memories, data, slots, longest, insecure, rejoin, .. } = arguments;
    let memories = memories.iter().map(|named| address(named)).collect::<Result<Vec<_>, _>>()?;
    let tls = match (&arguments.ca, &arguments.cert, &arguments.key) {
        (Some(ca), Some(cert), Some(key)) => Some(Files { ca: ca.clone(), cert: cert.clone(), key: key.clone() }),
        _ => None,
    };
    let mut config = MuConfig::network(name, *replica, memories.clone(), data.clone());
    (config.slots, config.longest) = (*slots, *longest);
    let network = Network { memories, data: data.clone(), tls, insecure: *insecure, rejoin: *rejoin };
    config.fabric = Fabric::Network(network);
    Ok(config)
}

fn address(named: &str) -> Result<SocketAddr, Mistake> {
    let mut found = named.to_socket_addrs().map_err(|error| Mistake(format!("`{named}` is no address: {error}")))?;
    found.next().ok_or_else(|| Mistake(format!("`{named}` has no address: write HOST:PORT")))
}
