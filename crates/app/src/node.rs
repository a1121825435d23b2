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

use skein_machine::{Boot, Cluster, ClusterId, GroupId, Machine, Ordering, ProcessId, Service};
use skein_order::Planted;
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::{Begin, is_somebodys};
use skein_runtime::files::{Files, Native};
use skein_runtime::front::Front;
use skein_runtime::listener::{Listener, Takes, takes};
use skein_runtime::replica::{Failure, Handle, Places, Replica, Surroundings};
use skein_runtime::streams::{self, Server};
use skein_runtime::tls::Tls;
use skein_runtime::wal::Storage;
use skein_service::kv::{Kv, KvRouter};
use skein_service::replica::{self as service, Mode, Near};
use skein_sim::run::words_of;

use crate::compose::{Chosen, Clock, Employer};
use crate::config::{self, Choices, Config};
use crate::serve::http::Http;
use crate::serve::multicast::{Call, Multicasts};
use crate::serve::resp::{self, Directory, Face};
use crate::serve::store::{Counter, Teller};
use crate::service::Entry;
use crate::torture::journal::Journal;

/// A new primary needs a few messages to and fro, even between continents.
const HANDING_OVER: Duration = Duration::from_millis(500);

/// A node that runs.
pub struct Node {
    replicas: Replicas,
    listener: Listener,
    http: Option<Http>,
    /// What clients of Redis see.
    face: Option<Server<resp::Call>>,
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
    /// The bug that its orders are built with, if any.
    pub(crate) planted: Planted,
    /// The same of the replicas of its service.
    pub(crate) planted_in_service: skein_service::Planted,
}

impl Default for Ground {
    fn default() -> Ground {
        Ground {
            files: Arc::new(Native),
            clock: HardwareClock::default(),
            journals: None,
            planted: Planted::NONE,
            planted_in_service: skein_service::Planted::NONE,
        }
    }
}

/// The replicas of a node. Dropped, they stop.
struct Replicas {
    running: BTreeMap<ProcessId, Running>,
    /// Who has stopped.
    ends: mpsc::Receiver<ProcessId>,
}

struct Running {
    handle: Handle<Call>,
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

    /// The same with a service of one's own in place of the store, one for each group that lives here; and the way to
    /// use it from this process. A service must be the same at all nodes of a cluster.
    pub fn start_service(
        config: &Config,
        name: &str,
        make: impl Fn(GroupId) -> Box<dyn Service> + Send + Sync + 'static,
    ) -> Result<(Node, Entry), String> {
        config.choices.protocol.may_serve()?;
        let (entry, tell) = Entry::new(config.store.as_ref().map(|store| store.timeout));
        let service = ServiceParts::new(config, Arc::new(make), tell);
        let node = Node::start_with(&Ground::default(), config, name, (false, None), Some(&service))?;
        entry.may_use(ways(config, &node.replicas.handles()));
        Ok((node, entry))
    }

    /// The same on other ground.
    pub(crate) fn start_on(
        ground: &Ground,
        config: &Config,
        name: &str,
        busy_poll: bool,
        rejoin: Option<NonZeroU32>,
    ) -> Result<Node, String> {
        Node::start_with(ground, config, name, (busy_poll, rejoin), None)
    }

    fn start_with(
        ground: &Ground,
        config: &Config,
        name: &str,
        (busy_poll, rejoin): (bool, Option<NonZeroU32>),
        service: Option<&ServiceParts>,
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
        let face = if service.is_none() { open_face(config, name, tls.as_ref())? } else { None };
        for process in here {
            let incarnation = rejoin.filter(|_| is_lost(&process));
            let begin = incarnation.map_or(Begin::Usual, |incarnation| Begin::Rejoin { incarnation });
            let end = End(process, end.clone());
            let service = service.cloned().or_else(|| store_of(config, face.as_ref()));
            let running = start(ground, config, process, tls.clone(), busy_poll, begin, end, service)?;
            replicas.running.insert(process, running);
        }
        let doors = replicas.running.iter().map(|(process, running)| (*process, takes(running.handle.clone())));
        let doors: BTreeMap<ProcessId, Takes> = doors.collect();
        let address = config.listens_at(name);
        let listener = Listener::open(address, config.cluster.id(), config.speak_version, doors, tls.clone())
            .map_err(|error| format!("node {name} cannot listen at {address}: {error}"))?;
        let handles = replicas.handles();
        if let Some(face) = &face {
            let _ = face.caller().call(resp::Call::Ways(ways(config, &handles)));
        }
        let http = node
            .http
            .map(|address| {
                let tls = tls.clone().filter(|_| config.serves_page_by_tls());
                let handles = handles.clone().into_iter().collect();
                let face = face.as_ref().map(Server::caller);
                Http::open(address, name, config, handles, face, ground.clock.clone(), tls)
            })
            .transpose()?;
        let plan = (config.cluster.id(), config.plan());
        Ok(Node { replicas, listener, http, face, tls, plan })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.address()
    }

    /// Where it tells how it is.
    pub fn http_address(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(|http| http.address)
    }

    /// Where clients of Redis find it.
    pub fn redis_address(&self) -> Option<SocketAddr> {
        self.face.as_ref().and_then(|face| face.addresses().first().copied())
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
        if let Some(face) = &self.face {
            face.retire();
        }
        for running in self.replicas.running.values() {
            // One that has stopped already leads nothing.
            let _ = running.handle.call(Call::Retire);
        }
        std::thread::sleep(HANDING_OVER);
        self.stop()
    }

    /// Stops all its replicas and waits for them.
    pub fn stop(self) -> Result<(), String> {
        self.replicas.stop();
        self.wait()
    }

    /// Whether a replica has stopped that nobody asked to, or the thread that serves clients of Redis.
    pub fn has_stopped(&self) -> bool {
        let has_ended = self.face.as_ref().is_some_and(Server::has_ended);
        has_ended || self.replicas.running.values().any(|running| running.thread.is_finished())
    }

    /// Waits until a replica stops, and stops the others.
    fn wait(mut self) -> Result<(), String> {
        self.replicas.wait()
    }
}

impl Replicas {
    fn handles(&self) -> BTreeMap<ProcessId, Handle<Call>> {
        self.running.iter().map(|(process, running)| (*process, running.handle.clone())).collect()
    }

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

/// Listens to clients of Redis, if this node does.
fn open_face(config: &Config, name: &str, tls: Option<&Tls>) -> Result<Option<Server<resp::Call>>, String> {
    let (Some(store), Some(address)) = (&config.store, config.nodes[name].redis) else { return Ok(None) };
    let directory = Directory {
        router: KvRouter::new(store.placement.clone(), store.limits),
        limits: store.limits,
        users: store.users.clone(),
        node: name.to_owned(),
        patience: store.timeout,
        groups: config.groups.clone(),
        port: address.port(),
    };
    let settings = streams::Settings {
        refusal: b"-ERR max number of clients reached\r\n".to_vec(),
        refusal_in_the_clear: b"-ERR only TLS is spoken here\r\n".to_vec(),
        most_streams: resp::MOST_CLIENTS,
        most_expected: resp::MOST_EXPECTED,
        certificates: skein_runtime::tls::Certificates::Optional,
        is_patient: config.scheduling == config::Scheduling::Patient,
        ..streams::Settings::default()
    };
    let tls = tls.filter(|_| store.tls).cloned();
    let face = Server::open(vec![address], tls, settings, Face::new(Arc::new(directory)));
    face.map(Some).map_err(|error| format!("node {name} cannot listen to clients of Redis at {address}: {error}"))
}

/// The ways from the face of a node to its replicas.
fn ways(config: &Config, handles: &BTreeMap<ProcessId, Handle<Call>>) -> Vec<resp::Way> {
    let way = |(process, handle): (&ProcessId, &Handle<Call>)| {
        let (handle, watched) = (handle.clone(), handle.clone());
        resp::Way {
            group: config.cluster.group_of(*process).expect("a replica is in a group"),
            ask: Box::new(move |asks| handle.call(Call::Asks(asks)).is_ok()),
            inspect: Box::new(move || watched.inspect().ok()),
        }
    };
    handles.iter().map(way).collect()
}

/// Who is near whom: at one node, in one region, or as far as links pretend.
fn near(config: &Config) -> Near {
    const ELSEWHERE: u64 = 1_000_000_000_000;
    let distances: BTreeMap<ProcessId, _> =
        config.homes.keys().map(|process| (*process, config.distances_from(*process))).collect();
    Near::new(&config.cluster, |from, to| {
        let (here, there) = (&config.homes[&from], &config.homes[&to]);
        if here == there {
            return 0;
        }
        let (here, there) = (&config.nodes[here].region, &config.nodes[there].region);
        match distances[&from].get(&to) {
            Some(distance) => 2 + distance.delay.as_nanos() as u64,
            None if here == there && !here.is_empty() => 1,
            None => ELSEWHERE,
        }
    })
}

/// How a service is made for a group.
type Make = Arc<dyn Fn(GroupId) -> Box<dyn Service> + Send + Sync>;

/// How a replica finds whom to tell things.
type Tell = Arc<dyn Fn() -> Teller + Send + Sync>;

/// What a replica of a service is made with.
#[derive(Clone)]
struct ServiceParts {
    make: Make,
    near: Arc<Near>,
    settings: service::Settings,
    tell: Tell,
}

impl ServiceParts {
    fn new(config: &Config, make: Make, tell: Tell) -> ServiceParts {
        let Choices { clock, storage, .. } = config.choices;
        let settings = service::Settings {
            mode: config.store.as_ref().map_or(Mode::Linearizable, config::Store::mode),
            follows_real_time: clock == Clock::Hybrid,
            keeps_records: storage != config::Storage::Memory,
            tells_everything: false,
        };
        ServiceParts { make, near: Arc::new(near(config)), settings, tell }
    }
}

/// The parts of the store, where the cluster has one.
fn store_of(config: &Config, face: Option<&Server<resp::Call>>) -> Option<ServiceParts> {
    let store = config.store.clone()?;
    let make = move |group| -> Box<dyn Service> { Box::new(Kv::new(group, store.placement.clone(), store.limits)) };
    let face = face.map(Server::caller);
    let tell = move || -> Teller {
        let face = face.clone();
        Box::new(move |told| {
            // A face that is gone has nobody to tell.
            let _ = face.as_ref().map(|face| face.call(resp::Call::Told(told)));
        })
    };
    Some(ServiceParts::new(config, Arc::new(make), Arc::new(tell)))
}

/// Brings one replica to life on a thread of its own.
#[expect(clippy::too_many_arguments, reason = "a replica needs all of it, once")]
fn start(
    ground: &Ground,
    config: &Config,
    process: ProcessId,
    tls: Option<Tls>,
    busy_poll: bool,
    begin: Begin,
    end: End,
    service: Option<ServiceParts>,
) -> Result<Running, String> {
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
        is_patient: config.scheduling == config::Scheduling::Patient,
        busy_poll,
    };
    let cluster = config.cluster.clone();
    let chosen = Chosen {
        clock: choices.clock,
        clock_error: config.store.as_ref().and_then(|store| store.clock_error),
        keeps_global_order: config.deliveries == config::Deliveries::GlobalOrder,
        keeps_records: choices.storage != config::Storage::Memory,
        rings: config.rings.clone(),
        planted: ground.planted,
    };
    let journal = ground.journals.as_ref().map(|folder| Journal::begin(folder, process)).transpose()?;
    // Of its commands a service tells nobody, unless somebody writes down all that happens.
    let tells_everything = journal.is_some();
    let multicasts = Multicasts::new(cluster.clone(), journal);
    let Some(ServiceParts { make, near, settings, tell }) = service else {
        let hire = Hire { surroundings, multicasts, end };
        return choices.protocol.employ_for_real(&cluster, &chosen, hire);
    };
    let hire = HireToServe {
        surroundings,
        cluster: cluster.clone(),
        make,
        near,
        settings: service::Settings { tells_everything, ..settings },
        planted: ground.planted_in_service,
        front: Counter::new(multicasts, tell()),
        end,
    };
    choices.protocol.employ_to_serve_for_real(&cluster, &chosen, hire)
}

/// Begins a replica that only orders.
struct Hire {
    surroundings: Surroundings,
    multicasts: Multicasts,
    end: End,
}

impl Employer for Hire {
    type Answer = Result<Running, String>;

    fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + Send + 'static) -> Self::Answer
    where
        M: Ordering + Clone + Hash + 'static,
    {
        let Hire { surroundings, multicasts, end } = self;
        let me = surroundings.process;
        launch(surroundings, move |boot| maker(me, boot), multicasts, end)
    }
}

/// Begins a replica of a service.
struct HireToServe {
    surroundings: Surroundings,
    cluster: Arc<Cluster>,
    make: Make,
    near: Arc<Near>,
    settings: service::Settings,
    planted: skein_service::Planted,
    front: Counter,
    end: End,
}

impl Employer for HireToServe {
    type Answer = Result<Running, String>;

    fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + Send + 'static) -> Self::Answer
    where
        M: Ordering + Clone + Hash + 'static,
    {
        let HireToServe { surroundings, cluster, make, near, settings, planted, front, end } = self;
        let me = surroundings.process;
        let group = cluster.group_of(me).expect("a replica is in a group");
        let maker =
            move |boot| service::Replica::new(me, cluster, near, maker(me, boot), make(group), settings, planted);
        launch(surroundings, maker, front, end)
    }
}

/// One machine on a thread of its own, and the way to it.
fn launch<M: Machine + 'static, F: Front<M, Call = Call> + 'static>(
    surroundings: Surroundings,
    maker: impl FnOnce(Boot) -> M + Send + 'static,
    front: F,
    end: End,
) -> Result<Running, String> {
    let me = surroundings.process;
    let (tell, told) = mpsc::channel();
    let seed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let thread = std::thread::Builder::new().name(me.to_string()).spawn(move || {
        let _end = end;
        let (replica, handle) = Replica::open(surroundings, maker, front)?;
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
