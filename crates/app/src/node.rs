//! A node: the replicas that live in one process, a thread each, behind one
//! listener. They live and die together: a node of which a part is dead looks
//! alive to whoever watches processes.

use std::collections::BTreeMap;
use std::hash::Hash;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use skein_machine::{Boot, ClusterId, Ordering, ProcessId};
use skein_order::Planted;
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::{Begin, is_somebodys};
use skein_runtime::files::{Files, Native};
use skein_runtime::listener::{Listener, Takes, takes};
use skein_runtime::replica::{Failure, Handle, Places, Replica, Surroundings};
use skein_runtime::tls::Tls;
use skein_runtime::wal::Storage;
use skein_sim::run::words_of;

use crate::compose::Employer;
use crate::config::{self, Config};
use crate::serve::http::Http;
use crate::serve::multicast::{Ask, Multicasts};
use crate::torture::journal::Journal;

/// A new primary needs a few messages to and fro, even between continents.
const HANDING_OVER: Duration = Duration::from_millis(500);

/// A node that runs.
pub struct Node {
    replicas: Replicas,
    listener: Listener,
    http: Option<Http>,
    tls: Option<Tls>,
    /// The cluster, and what all nodes must have been told of it alike.
    plan: (ClusterId, u32),
}

/// What a node takes for disk and clock, and who looks over its shoulder. Only torture gives it anything else than the
/// real things and nobody.
#[derive(Clone, Debug)]
pub(crate) struct Ground {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) clock: HardwareClock,
    /// The folder in which each replica writes down what its machine says.
    pub(crate) journals: Option<PathBuf>,
    /// The bug that its machines are built with, if any.
    pub(crate) planted: Planted,
}

impl Default for Ground {
    fn default() -> Ground {
        Ground { files: Arc::new(Native), clock: HardwareClock::default(), journals: None, planted: Planted::NONE }
    }
}

/// The replicas of a node. Dropped, they stop.
struct Replicas {
    running: BTreeMap<ProcessId, Running>,
    /// Who has stopped.
    ends: mpsc::Receiver<ProcessId>,
}

struct Running {
    handle: Handle<Ask>,
    thread: JoinHandle<Result<(), Failure>>,
}

/// Tells that a replica has stopped, however it did.
struct End(ProcessId, mpsc::Sender<ProcessId>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}

impl Node {
    /// Starts everything that lives at a node. With an incarnation, replicas whose disks are lost join again.
    pub fn start(config: &Config, name: &str, busy_poll: bool, rejoin: Option<NonZeroU32>) -> Result<Node, String> {
        Node::start_on(&Ground::default(), config, name, busy_poll, rejoin)
    }

    /// The same on other ground.
    pub(crate) fn start_on(
        ground: &Ground,
        config: &Config,
        name: &str,
        busy_poll: bool,
        rejoin: Option<NonZeroU32>,
    ) -> Result<Node, String> {
        let Some(node) = config.nodes.get(name) else {
            let known: Vec<&str> = config.nodes.keys().map(String::as_str).collect();
            return Err(format!("there is no node {name} in the configuration: there are {}", known.join(", ")));
        };
        let tls = config.tls_of(name).map_err(|error| error.to_string())?;
        let folder = config.data.join(name);
        std::fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let here = config.replicas_at(name);
        let is_lost = |process: &ProcessId| !is_somebodys(&Native, &config.data_of(*process));
        if rejoin.is_some() && !here.iter().any(is_lost) {
            return Err(format!("node {name} has lost no data directory: start it without --rejoin, or move one away"));
        }
        let (end, ends) = mpsc::channel();
        let mut replicas = Replicas { running: BTreeMap::new(), ends };
        for process in here {
            let incarnation = rejoin.filter(|_| is_lost(&process));
            let begin = incarnation.map_or(Begin::Usual, |incarnation| Begin::Rejoin { incarnation });
            let end = End(process, end.clone());
            let running = start(ground, config, process, tls.clone(), busy_poll, begin, end)?;
            replicas.running.insert(process, running);
        }
        let doors = replicas.running.iter().map(|(process, running)| (*process, takes(running.handle.clone())));
        let doors: BTreeMap<ProcessId, Takes> = doors.collect();
        let address = config.listens_at(name);
        let listener = Listener::open(address, config.cluster.id(), config.speak_version, doors, tls.clone())
            .map_err(|error| format!("node {name} cannot listen at {address}: {error}"))?;
        let handles = replicas.running.iter().map(|(process, running)| (*process, running.handle.clone())).collect();
        let http = node
            .http
            .map(|address| {
                let tls = tls.clone().filter(|_| config.serves_page_by_tls());
                Http::open(address, name, config, handles, ground.clock.clone(), tls)
            })
            .transpose()?;
        let plan = (config.cluster.id(), config.plan());
        Ok(Node { replicas, listener, http, tls, plan })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where it tells how it is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.address)
    }

    /// With what it makes itself known. Whoever holds it may have it read again.
    pub fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Takes over what has changed in the configuration, as far as a node that runs can: where the others are, and
    /// who lives here no more. Whoever came to live here begins with the node's next start.
    pub fn reload(&mut self, config: &Config, name: &str) -> Result<(), String> {
        if (config.cluster.id(), config.plan()) != self.plan {
            return Err("it describes another cluster: protocol, clock, groups and the order of their replicas stay \
                        as they are while nodes run"
                .to_owned());
        }
        if let Some(tls) = &self.tls {
            tls.others_live_at(&config.homes).map_err(|error| error.to_string())?;
        }
        let here = config.replicas_at(name);
        for process in here.iter().filter(|process| !self.replicas.running.contains_key(process)) {
            tracing::warn!(%process, "lives here by now: start this node again, with --rejoin, to bring it to life");
        }
        self.replicas.leave(|process| !here.contains(&process))?;
        for (process, running) in &self.replicas.running {
            // One that has stopped needs to know nothing.
            let _ = running.handle.others_are_at(places(config, *process));
        }
        Ok(())
    }

    /// Whether nobody lives here any more.
    pub fn is_empty(&self) -> bool {
        self.replicas.running.is_empty()
    }

    /// Hands over what its replicas lead, gives that a moment, and stops them.
    pub fn retire(self) -> Result<(), String> {
        for running in self.replicas.running.values() {
            // One that has stopped already leads nothing.
            let _ = running.handle.call(Ask::Retire);
        }
        std::thread::sleep(HANDING_OVER);
        self.stop()
    }

    /// Stops all its replicas and waits for them.
    pub fn stop(self) -> Result<(), String> {
        self.replicas.stop();
        self.wait()
    }

    /// Whether a replica has stopped that nobody asked to.
    pub fn has_stopped(&self) -> bool {
        self.replicas.running.values().any(|running| running.thread.is_finished())
    }

    /// Waits until a replica stops, and stops the others.
    fn wait(mut self) -> Result<(), String> {
        self.replicas.wait()
    }
}

impl Replicas {
    fn stop(&self) {
        self.running.values().for_each(|running| running.handle.stop());
    }

    /// Stops those that live somewhere else by now, and waits for them.
    fn leave(&mut self, is_gone: impl Fn(ProcessId) -> bool) -> Result<(), String> {
        let gone: Vec<ProcessId> = self.running.keys().copied().filter(|process| is_gone(*process)).collect();
        for process in gone {
            let running = self.running.remove(&process).expect("it was just found");
            tracing::info!(%process, "lives somewhere else by now, and stops here");
            running.handle.stop();
            end_of(running.thread).map_err(|why| format!("{process} stopped: {why}"))?;
        }
        Ok(())
    }

    fn wait(&mut self) -> Result<(), String> {
        let mut outcome = Ok(());
        // The one that ends first says why; the others end because of it.
        while let Some(ended) = self.running.iter().next().and_then(|_| self.ends.recv().ok()) {
            // One that could not start has said why already.
            let Some(running) = self.running.remove(&ended) else { continue };
            outcome = outcome.and(end_of(running.thread).map_err(|why| format!("{ended} stopped: {why}")));
            self.stop();
        }
        outcome
    }
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.stop();
        let _ = self.wait();
    }
}

/// How a replica's thread has ended.
fn end_of(thread: JoinHandle<Result<(), Failure>>) -> Result<(), String> {
    match thread.join() {
        Ok(ended) => ended.map_err(|failure| failure.to_string()),
        Err(panic) => Err(words_of(panic.as_ref())),
    }
}

impl From<config::Storage> for Storage {
    fn from(storage: config::Storage) -> Storage {
        match storage {
            config::Storage::Memory => Storage::Memory,
            config::Storage::Async => Storage::Async,
            config::Storage::Sync => Storage::Sync,
        }
    }
}

/// Where the others are, as one of the replicas sees it.
fn places(config: &Config, process: ProcessId) -> Places {
    Places { addresses: config.addresses(), distances: config.distances_from(process) }
}

/// Brings one replica to life on a thread of its own.
fn start(
    ground: &Ground,
    config: &Config,
    process: ProcessId,
    tls: Option<Tls>,
    busy_poll: bool,
    begin: Begin,
    end: End,
) -> Result<Running, String> {
    struct Hire {
        surroundings: Surroundings,
        front: Multicasts,
        end: End,
    }
    impl Employer for Hire {
        type Answer = Result<Running, String>;

        fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + Send + 'static) -> Self::Answer
        where
            M: Ordering + Clone + Hash + 'static,
        {
            let Hire { surroundings, front, end } = self;
            let me = surroundings.process;
            let (tell, told) = mpsc::channel();
            let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
            let thread = std::thread::Builder::new().name(me.to_string()).spawn(move || {
                let _end = end;
                let (replica, handle) = Replica::open(surroundings, |boot| maker(me, boot), front)?;
                let _ = tell.send(handle);
                replica.run(seed ^ u64::from(me.0) << 48)
            });
            let thread = thread.map_err(|error| format!("{me} gets no thread: {error}"))?;
            match told.recv() {
                Ok(handle) => Ok(Running { handle, thread }),
                // It ended before it could tell.
                Err(_) => {
                    let why = end_of(thread).err().unwrap_or_else(|| "it has stopped".to_owned());
                    Err(format!("{me} cannot start: {why}"))
                }
            }
        }
    }
    let choices = config.choices;
    let surroundings = Surroundings {
        cluster: config.cluster.id(),
        plan: config.plan(),
        process,
        places: places(config, process),
        files: ground.files.clone(),
        data: config.data_of(process),
        clock: ground.clock.clone(),
        storage: choices.storage.into(),
        begin,
        tls,
        notes: Some(config.cluster.clone()),
        speaks: config.speak_version,
        busy_poll,
    };
    let cluster = config.cluster.clone();
    let keeps_records = choices.storage != config::Storage::Memory;
    let journal = ground.journals.as_ref().map(|folder| Journal::begin(folder, process)).transpose()?;
    let hire = Hire { surroundings, front: Multicasts::new(cluster.clone(), journal), end };
    choices.protocol.employ_for_real(&cluster, choices.clock, keeps_records, ground.planted, hire)
}
