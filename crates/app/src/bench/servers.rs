//! Servers, one replica each, for as long as a measurement takes: as processes,
//! or on threads of this one.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{ClusterId, Wire};
use skein_runtime::caller::{Callers, Heard};
use skein_sim::PLANET;

use super::experiment::Shape;
use crate::certificates::Certificates;
use crate::cli::{Mistake, certificates};
use crate::config::layers::variables;
use crate::config::{Choices, Config, Ports, Wan};
use crate::node::Node;
use crate::processor_time;
use crate::speech::{Counts, Reply, Request};

/// Servers on one machine find each other by then.
const PATIENCE: Duration = Duration::from_secs(20);

/// A cluster that runs until it is dropped.
pub(crate) struct Servers {
    pub(crate) config: Config,
    pub(crate) config_file: PathBuf,
    folder: PathBuf,
    children: Vec<Child>,
    /// Those that run here.
    nodes: Vec<Node>,
}

impl Servers {
    /// Starts so many groups of so many replicas and waits until each listens.
    pub(crate) fn start(choices: Choices, shape: &Shape) -> Result<Servers, Mistake> {
        let Shape { groups, replicas, .. } = *shape;
        let folder = folder()?;
        let addresses = free_addresses(groups * replicas)?;
        let mut config = Config::one_replica_a_node(own_id(), choices, folder.join("data"), replicas, &addresses);
        if shape.tls {
            certificates::make(&config, &folder, 30, false)?;
            config.tls = Some(Certificates::in_folder(&folder));
        }
        Servers::run(config, folder, shape.in_process, shape.busy_poll)
    }

    /// Starts a store: so many nodes, a process each, with a replica of every group at each of them.
    pub(crate) fn start_store(choices: Choices, groups: usize, replicas: usize) -> Result<Servers, Mistake> {
        let folder = folder()?;
        let regions = match choices.wan {
            Some(Wan::Planet) => PLANET.iter().map(|region| region.name.to_owned()).take(replicas).collect(),
            None => (0..replicas).map(|nth| format!("n{nth}")).collect::<Vec<_>>(),
        };
        let regions: Vec<&str> = regions.iter().map(String::as_str).collect();
        // Ports for a start, and in their place some that are free.
        let ports = Ports { nodes: 1, http: 1001, redis: Some(2001) };
        let mut config = Config::spread(own_id(), choices, folder.join("data"), &regions, groups, ports);
        let mut free = free_addresses(2 * replicas)?.into_iter();
        for node in config.nodes.values_mut() {
            (node.address, node.http) = (free.next().expect("there are enough"), None);
            node.redis = free.next();
        }
        Servers::run(config, folder, false, false)
    }

    fn run(config: Config, folder: PathBuf, in_process: bool, busy_poll: bool) -> Result<Servers, Mistake> {
        let config_file = folder.join("skein.toml");
        std::fs::write(&config_file, config.to_text())
            .map_err(|error| Mistake(format!("cannot write {}: {error}", config_file.display())))?;
        let mut servers = Servers { config, config_file, folder, children: Vec::new(), nodes: Vec::new() };
        let names: Vec<String> = servers.config.nodes.keys().cloned().collect();
        for name in names {
            if in_process {
                let node = Node::start(&servers.config, &name, busy_poll, None);
                servers.nodes.push(node.map_err(|why| Mistake(format!("cannot start node {name}: {why}")))?);
            } else {
                servers.children.push(start(&servers.config_file, &name, busy_poll)?);
            }
        }
        for child in &mut servers.children {
            wait_until_ready(child)?;
        }
        servers.wait_until_linked()?;
        Ok(servers)
    }

    /// What is said before all links stand is said again later, if the protocol says things again.
    fn wait_until_linked(&self) -> Result<(), Mistake> {
        let addresses = self.config.addresses();
        let begin = Instant::now();
        for (process, address) in &addresses {
            loop {
                let counts = self.count_one(*process, *address).map_err(|why| Mistake(format!("{process}: {why}")))?;
                if counts.peers as usize == addresses.len() - 1 {
                    break;
                }
                if begin.elapsed() > PATIENCE {
                    let others = addresses.len() - 1;
                    return Err(Mistake(format!(
                        "{process} is linked with {} of {others} other replicas after {PATIENCE:?}",
                        counts.peers
                    )));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// What went through all of them so far.
    pub(crate) fn counts(&self) -> Result<Counts, Mistake> {
        let mut sum = Counts::default();
        for (process, address) in self.config.addresses() {
            let counts = self.count_one(process, address).map_err(|why| Mistake(format!("{process}: {why}")))?;
            sum.deliveries += counts.deliveries;
            sum.bytes_out += counts.bytes_out;
            sum.writes += counts.writes;
            sum.processor_nanos += counts.processor_nanos;
        }
        if !self.nodes.is_empty() {
            // Each has told of the whole process. The load is not in it.
            sum.processor_nanos = processor_time().as_nanos() as u64;
        }
        Ok(sum)
    }

    fn count_one(&self, process: skein_machine::ProcessId, address: SocketAddr) -> Result<Counts, String> {
        let tls = self.config.tls_of_client().map_err(|error| error.to_string())?;
        let mut callers = Callers::new().map_err(|error| error.to_string())?.with_tls(tls);
        let connection = callers.call(address, self.config.cluster.id(), process).map_err(|error| error.to_string())?;
        callers.say(connection, |buffer| Request::Count.encode(&mut Writer::new(buffer, VERSION)));
        let mut heard = Vec::new();
        for _ in 0..100 {
            callers.wait(Some(Duration::from_millis(100)), &mut heard).map_err(|error| error.to_string())?;
            match heard.pop() {
                Some(Heard::Message(_, message)) => match wire::from_bytes(message, VERSION) {
                    Ok(Reply::Counts(counts)) => return Ok(counts),
                    other => return Err(format!("it answers {other:?}")),
                },
                Some(Heard::Lost(_, why)) => return Err(why),
                None => {}
            }
        }
        Err("it does not answer".to_owned())
    }

    /// Memory that all of them hold, in megabytes.
    pub(crate) fn resident_megabytes(&self) -> f64 {
        const PAGE: f64 = 4096.0;
        let pages = |process: u32| -> Option<f64> {
            let text = std::fs::read_to_string(format!("/proc/{process}/statm")).ok()?;
            text.split_whitespace().nth(1)?.parse().ok()
        };
        let here = (!self.nodes.is_empty()).then(std::process::id);
        self.children.iter().map(Child::id).chain(here).filter_map(pages).sum::<f64>() * PAGE / 1e6
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for node in self.nodes.drain(..) {
            let _ = node.stop();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// A folder of this process.
fn folder() -> Result<PathBuf, Mistake> {
    let folder = std::env::temp_dir().join(format!("skein-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| Mistake(format!("cannot make {}: {error}", folder.display())))?;
    Ok(folder)
}

fn own_id() -> ClusterId {
    ClusterId(u64::from(std::process::id()))
}

fn start(config: &Path, name: &str, is_busy: bool) -> Result<Child, Mistake> {
    let program = std::env::current_exe().map_err(|error| Mistake(format!("cannot find this program: {error}")))?;
    let mut command = Command::new(program);
    command.arg("node").arg("--config").arg(config).args(["--node", name]);
    if is_busy {
        command.arg("--busy-poll");
    }
    // What is measured is said by the command alone.
    variables().for_each(|variable| {
        command.env_remove(variable);
    });
    command.env("SKEIN_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| Mistake(format!("cannot start node {name}: {error}")))
}

/// A node says so on its standard output.
fn wait_until_ready(child: &mut Child) -> Result<(), Mistake> {
    let output = child.stdout.take().expect("it was asked for");
    let mut line = String::new();
    let read = BufReader::new(output).read_line(&mut line);
    match read {
        Ok(count) if count > 0 => Ok(()),
        _ => Err(Mistake("a server did not start; what it said stands above".to_owned())),
    }
}

/// Ports that were free a moment ago.
fn free_addresses(count: usize) -> Result<Vec<SocketAddr>, Mistake> {
    let taken = |error| Mistake(format!("there is no free port: {error}"));
    let listeners: Result<Vec<TcpListener>, _> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0")).collect();
    let listeners = listeners.map_err(taken)?;
    listeners.iter().map(|listener| listener.local_addr().map_err(taken)).collect()
}
