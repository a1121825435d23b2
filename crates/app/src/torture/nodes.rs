//! The processes that are tormented: each a `skein node` of this very program,
//! with a configuration that leads it to its peers through the wires. This file
//! starts them, does to them what a system and a careless operator do, and
//! watches what they write. They die with it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use skein_machine::{GroupId, Position, ProcessId, Random};
use skein_runtime::data::is_somebodys;
use skein_runtime::files::Native;

use super::journal::{Reader, Said, file_of};
use super::leash::Order;
use super::links::Links;
use crate::cli::Mistake;
use crate::config::Config;

/// A node that has not said by then that it is ready has failed.
const READY_WITHIN: Duration = Duration::from_secs(60);

/// Below these no system gives ports to whoever connects: the port of a node that is down must stay free for it.
const PORTS: std::ops::Range<u16> = 10_240..32_000;

/// Every process of the cluster.
pub(crate) struct Nodes {
    pub(crate) config: Config,
    folder: PathBuf,
    nodes: BTreeMap<ProcessId, Node>,
}

struct Node {
    name: String,
    /// How often it was started.
    life: u32,
    child: Option<Child>,
    is_paused: bool,
    /// Its disk was told to fail it.
    is_doomed: bool,
    /// Its disk was lost, and its group has not told it yet what it forgot.
    is_forgetful: bool,
    journal: Reader,
    /// What this life delivers next; none if it has said nothing yet.
    next: Option<Position>,
    deliveries: u64,
}

/// How a process has ended that nobody killed.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) process: ProcessId,
    /// Its disk had been told to fail it.
    pub(crate) was_doomed: bool,
    /// Its last words.
    pub(crate) why: String,
}

impl Nodes {
    /// Writes down a configuration for each node. Whom it dials it finds at one end of a wire.
    pub(crate) fn prepare(config: Config, links: &Links, folder: &Path) -> Result<Nodes, Mistake> {
        let mut nodes = BTreeMap::new();
        for (process, name) in &config.homes {
            let mut own = config.clone();
            for ((_, dialled), door) in links.doors.iter().filter(|((dialler, _), _)| dialler == process) {
                own.nodes.get_mut(&config.homes[dialled]).expect("it has a node").address = *door;
            }
            let place = folder.join(name);
            write(&place, "skein.toml", &own.to_text())?;
            let journal = Reader::new(place.join("none"));
            let node = Node {
                name: name.clone(),
                life: 0,
                child: None,
                is_paused: false,
                is_doomed: false,
                is_forgetful: false,
                journal,
                next: None,
                deliveries: 0,
            };
            nodes.insert(*process, node);
        }
        Ok(Nodes { config, folder: folder.to_owned(), nodes })
    }

    /// Starts a node that is down. It is not ready yet.
    pub(crate) fn start(&mut self, process: ProcessId) -> Result<(), Mistake> {
        let node = self.nodes.get_mut(&process).expect("a process of the cluster");
        assert!(node.child.is_none(), "{process} is up");
        node.life += 1;
        let place = life_folder(&self.folder, &node.name, node.life);
        fs::create_dir_all(&place).map_err(|error| Mistake(format!("cannot make {}: {error}", place.display())))?;
        let file = |name: &str| {
            let path = place.join(name);
            File::create(&path).map_err(|error| Mistake(format!("cannot create {}: {error}", path.display())))
        };
        let program = std::env::current_exe().map_err(|error| Mistake(format!("cannot find this program: {error}")))?;
        let mut command = Command::new(program);
        command.arg("node").arg("--config").arg(self.folder.join(&node.name).join("skein.toml"));
        command.args(["--node", &node.name]).arg("--tortured-in").arg(&place);
        if std::env::var_os("SKEIN_LOG").is_none() {
            // Who is connected to whom is what one wants to know of a node that stood still.
            command.env("SKEIN_LOG", "debug");
        }
        command.stdin(Stdio::piped()).stdout(file("output")?).stderr(file("log")?);
        if node.life > 1 && !is_somebodys(&Native, &self.config.data_of(process)) {
            // Higher than any before: a life loses its memory at most once.
            command.args(["--rejoin", &node.life.to_string()]);
        }
        // What a person types at a terminal to stop torture is not for its nodes.
        command.process_group(0);
        let child = command.spawn().map_err(|error| Mistake(format!("cannot start node {}: {error}", node.name)))?;
        (node.child, node.is_paused, node.is_doomed, node.next) = (Some(child), false, false, None);
        node.journal = Reader::new(file_of(&place, process));
        Ok(())
    }

    /// Waits until all have said that they are ready.
    pub(crate) fn wait_until_ready(&mut self) -> Result<(), Mistake> {
        let begin = Instant::now();
        for process in self.processes() {
            while !self.output_of(process, "output").contains("is ready") {
                if let Some(ended) = self.ended().pop() {
                    return Err(Mistake(format!("{} does not start: {}", ended.process, ended.why)));
                }
                if begin.elapsed() > READY_WITHIN {
                    return Err(Mistake(format!("{process} is not ready after {READY_WITHIN:?}")));
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
        Ok(())
    }

    /// Kills a node, with whatever it was about to do.
    pub(crate) fn kill(&mut self, process: ProcessId) {
        let node = self.nodes.get_mut(&process).expect("a process of the cluster");
        node.kill();
    }

    /// Kills a node and takes away everything that its replica has kept.
    pub(crate) fn lose_disk(&mut self, process: ProcessId) -> Result<(), Mistake> {
        self.kill(process);
        self.nodes.get_mut(&process).expect("a process of the cluster").is_forgetful = true;
        let data = self.config.data_of(process);
        fs::remove_dir_all(&data).map_err(|error| Mistake(format!("cannot remove {}: {error}", data.display())))
    }

    /// Kills all nodes as nearly at once as one can.
    pub(crate) fn kill_all(&mut self) -> usize {
        let up: Vec<&mut Node> = self.nodes.values_mut().filter(|node| node.child.is_some()).collect();
        let count = up.len();
        for node in &up {
            signal(node.child.as_ref().expect("it is up"), Signal::KILL);
        }
        up.into_iter().for_each(Node::kill);
        count
    }

    pub(crate) fn pause(&mut self, process: ProcessId) {
        let node = self.nodes.get_mut(&process).expect("a process of the cluster");
        if let Some(child) = &node.child {
            signal(child, Signal::STOP);
            node.is_paused = true;
        }
    }

    pub(crate) fn resume(&mut self, process: ProcessId) {
        let node = self.nodes.get_mut(&process).expect("a process of the cluster");
        if let Some(child) = node.child.as_ref().filter(|_| node.is_paused) {
            signal(child, Signal::CONT);
            node.is_paused = false;
        }
    }

    /// Has something done to a node from inside.
    pub(crate) fn order(&mut self, process: ProcessId, order: Order) {
        let node = self.nodes.get_mut(&process).expect("a process of the cluster");
        let input = node.child.as_mut().and_then(|child| child.stdin.as_mut());
        // One that has just died is found out soon.
        let is_told = input.is_some_and(|input| writeln!(input, "{}", order.to_line()).is_ok());
        node.is_doomed |= is_told && matches!(order, Order::Disk(_));
    }

    /// Those that have ended without being killed, and are down now.
    pub(crate) fn ended(&mut self) -> Vec<Ended> {
        let mut ended = Vec::new();
        for process in self.processes() {
            let node = self.nodes.get_mut(&process).expect("a process of the cluster");
            let Some(child) = &mut node.child else { continue };
            let Ok(Some(status)) = child.try_wait() else { continue };
            (node.child, node.is_paused) = (None, false);
            let was_doomed = std::mem::take(&mut node.is_doomed);
            let log = self.output_of(process, "log");
            // Others go on writing while the one that failed says why.
            let errors: Vec<&str> = log.lines().filter(|line| line.starts_with("error: ")).collect();
            let last = if errors.is_empty() { log.lines().last().unwrap_or_default() } else { &errors.join(" / ") };
            ended.push(Ended { process, was_doomed, why: format!("{status}: {last}") });
        }
        ended
    }

    /// Reads what all have written since.
    pub(crate) fn listen(&mut self) -> Result<(), Mistake> {
        for node in self.nodes.values_mut() {
            while let Some((_, said)) = node.journal.next().map_err(Mistake)? {
                match said {
                    Said::Delivered(delivery) => {
                        node.next = Some(delivery.position + 1);
                        node.deliveries += 1;
                    }
                    Said::Installed(position) => node.next = Some(position),
                    Said::Done(..) | Said::Expired(_) | Said::SafeTime(_) => {}
                }
            }
            // It says nothing of any delivery before what it was given is durable.
            node.is_forgetful &= node.next.is_none();
        }
        Ok(())
    }

    pub(crate) fn processes(&self) -> Vec<ProcessId> {
        self.nodes.keys().copied().collect()
    }

    pub(crate) fn life(&self, process: ProcessId) -> u32 {
        self.nodes[&process].life
    }

    pub(crate) fn is_up(&self, process: ProcessId) -> bool {
        self.nodes[&process].child.is_some()
    }

    /// Up, going on, and with a disk that nobody has told to fail.
    pub(crate) fn is_well(&self, process: ProcessId) -> bool {
        let node = &self.nodes[&process];
        node.child.is_some() && !node.is_paused && !node.is_doomed
    }

    pub(crate) fn is_doomed(&self, process: ProcessId) -> bool {
        self.nodes[&process].is_doomed
    }

    /// Has nothing to count on but its group.
    pub(crate) fn is_forgetful(&self, process: ProcessId) -> bool {
        self.nodes[&process].is_forgetful
    }

    /// What a life delivers next; none if it has said nothing yet.
    pub(crate) fn next(&self, process: ProcessId) -> Option<Position> {
        self.nodes[&process].next
    }

    /// Deliveries of all lives of all replicas, those that were repeated after a restart too.
    pub(crate) fn deliveries(&self) -> u64 {
        self.nodes.values().map(|node| node.deliveries).sum()
    }

    pub(crate) fn members(&self, process: ProcessId) -> &[ProcessId] {
        let group: GroupId = self.config.cluster.group_of(process).expect("every node has a replica");
        self.config.cluster.members(group)
    }

    /// The journals of every life of each, in their order.
    pub(crate) fn journals(&self) -> BTreeMap<ProcessId, Vec<PathBuf>> {
        let of = |process: &ProcessId, node: &Node| {
            let folders = (1..=node.life).map(|life| life_folder(&self.folder, &node.name, life));
            folders.map(|folder| file_of(&folder, *process)).collect()
        };
        self.nodes.iter().map(|(process, node)| (*process, of(process, node))).collect()
    }

    fn output_of(&self, process: ProcessId, name: &str) -> String {
        let node = &self.nodes[&process];
        let bytes = fs::read(life_folder(&self.folder, &node.name, node.life).join(name)).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Nodes {
    fn drop(&mut self) {
        self.kill_all();
    }
}

impl Node {
    fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It ends for certain, as soon as the system lets go of what it is in the middle of.
            let _ = child.kill();
            let _ = child.wait();
        }
        (self.is_paused, self.is_doomed) = (false, false);
    }
}

fn signal(child: &Child, signal: Signal) {
    // One that has just died is found out soon.
    let _ = kill_process(Pid::from_child(child), signal);
}

fn life_folder(folder: &Path, name: &str, life: u32) -> PathBuf {
    folder.join(name).join(format!("life-{life}"))
}

/// Writes a small file for people and nodes to read.
pub(crate) fn write(folder: &Path, name: &str, text: &str) -> Result<(), Mistake> {
    let path = folder.join(name);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, text));
    written.map_err(|error| Mistake(format!("cannot write {}: {error}", path.display())))
}

/// Ports that were free a moment ago.
pub(crate) fn free_addresses(random: &mut Random, count: usize) -> Result<Vec<SocketAddr>, Mistake> {
    let mut held = Vec::new();
    for _ in 0..100 * count {
        let port = random.between(u64::from(PORTS.start), u64::from(PORTS.end) - 1) as u16;
        held.extend(TcpListener::bind(("127.0.0.1", port)));
        if held.len() == count {
            let addresses: Result<_, std::io::Error> = held.iter().map(TcpListener::local_addr).collect();
            return addresses.map_err(|error| Mistake(format!("there is no free port: {error}")));
        }
    }
    Err(Mistake(format!("there are no {count} free ports from {} to {}", PORTS.start, PORTS.end)))
}
