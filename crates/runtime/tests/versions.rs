//! Two neighbouring versions of the encoding side by side: nodes of one cluster
//! that speak different ones, and logs that are written in both.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::{OLDEST, VERSION, Version};
use skein_machine::{Cluster, ClusterId, Down, MessageId, Multicast, ProcessId, Timestamp, Up};
use skein_order::Planted;
use skein_order::primcast::{PrimCast, Settings};
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::Begin;
use skein_runtime::files::Native;
use skein_runtime::front::{Desk, Front};
use skein_runtime::listener::{Listener, takes};
use skein_runtime::replica::{Failure, Handle, Places, Replica, Surroundings};
use skein_runtime::wal::{Storage, check};

mod ports;

const CLUSTER: ClusterId = ClusterId(0xab);

/// Writes down what comes up.
#[derive(Clone, Default)]
struct Clerk(Arc<Mutex<Vec<Up>>>);

impl Front<PrimCast> for Clerk {
    type Call = Down;

    fn on_event(&mut self, event: Up, _: &mut Desk<PrimCast>) {
        self.0.lock().unwrap().push(event);
    }

    fn on_call(&mut self, command: Down, desk: &mut Desk<PrimCast>) {
        desk.command(command);
    }
}

struct Node {
    handle: Handle<Down>,
    clerk: Clerk,
    thread: JoinHandle<Result<(), Failure>>,
    _listener: Listener,
}

impl Node {
    fn said(&self, is_it: impl Fn(&Up) -> bool) -> bool {
        self.clerk.0.lock().unwrap().iter().any(is_it)
    }

    fn has_delivered(&self, id: MessageId) -> bool {
        self.said(|event| matches!(event, Up::Deliver(delivery) if delivery.message.id == id))
    }

    fn has_answered(&self, round: u64) -> bool {
        self.said(|event| matches!(event, Up::ReadPoint { round: answered, .. } if *answered >= round))
    }

    fn stop(self) {
        self.handle.stop();
        self.thread.join().unwrap().unwrap();
    }
}

/// One group of three, each in a folder of its own.
struct Group {
    folder: PathBuf,
    cluster: Arc<Cluster>,
    addresses: BTreeMap<ProcessId, SocketAddr>,
    nodes: BTreeMap<ProcessId, Node>,
    multicasts: u64,
}

impl Group {
    fn new(name: &str) -> Group {
        let folder = std::env::temp_dir().join(format!("skein-versions-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let cluster = Arc::new(Cluster::regular(1, 3, 0).unwrap());
        let addresses = cluster.processes().map(|process| (process, ports::free())).collect();
        Group { folder, cluster, addresses, nodes: BTreeMap::new(), multicasts: 0 }
    }

    fn data_of(&self, me: ProcessId) -> PathBuf {
        self.folder.join(me.to_string())
    }

    fn start(&mut self, me: ProcessId, speaks: Version) {
        let surroundings = Surroundings {
            cluster: CLUSTER,
            plan: 0,
            process: me,
            places: Places { addresses: self.addresses.clone(), distances: BTreeMap::new() },
            files: Arc::new(Native),
            data: self.data_of(me),
            clock: HardwareClock::default(),
            storage: Storage::Sync,
            begin: Begin::Usual,
            tls: None,
            notes: None,
            speaks,
            is_patient: true,
            busy_poll: false,
        };
        let settings = Settings { checkpoint_every: 8, ..Settings::DEFAULT };
        let maker = |boot| PrimCast::new(me, self.cluster.clone(), boot, settings, Planted::NONE);
        let clerk = Clerk::default();
        let (replica, handle) = Replica::open(surroundings, maker, clerk.clone()).unwrap();
        let doors = [(me, takes(handle.clone()))].into();
        let listener = Listener::open(self.addresses[&me], CLUSTER, speaks, doors, None).unwrap();
        let seed = u64::from(me.0) + 1000 * u64::from(speaks);
        let thread = std::thread::spawn(move || replica.run(seed));
        self.nodes.insert(me, Node { handle, clerk, thread, _listener: listener });
    }

    /// Stops one and starts it over the same directory.
    fn restart(&mut self, me: ProcessId, speaks: Version) {
        self.nodes.remove(&me).unwrap().stop();
        self.start(me, speaks);
    }

    /// Multicasts through one of them, and waits until all have it.
    fn multicast(&mut self, through: ProcessId) {
        self.multicasts += 1;
        let id = MessageId::new(1000 + self.multicasts, 1, 0b1);
        let (floor, expiry) = (Timestamp::ZERO, Timestamp::MAX);
        let message = Multicast { id, floor, expiry, payload: Bytes::from_static(b"through old and new") };
        self.nodes[&through].handle.call(Down::Multicast(message)).unwrap();
        self.wait_for("a delivery", |nodes| nodes.values().all(|node| node.has_delivered(id)));
    }

    fn wait_for(&self, what: &str, mut is_there: impl FnMut(&BTreeMap<ProcessId, Node>) -> bool) {
        let begin = Instant::now();
        while !is_there(&self.nodes) {
            assert!(begin.elapsed() < Duration::from_secs(30), "{what} never came");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn asks(&self, round: u64) {
        self.nodes.values().for_each(|node| node.handle.call(Down::ReadPoint(round)).unwrap());
    }

    /// In which versions the segments of one are written.
    fn versions_of(&self, me: ProcessId) -> Vec<Version> {
        let report = check(&Native, &self.data_of(me)).unwrap();
        assert!(report.is_sound(), "{report}");
        report.segments.iter().filter_map(|segment| segment.version).collect()
    }

    /// All of them stop.
    fn stop(&mut self) {
        std::mem::take(&mut self.nodes).into_values().for_each(Node::stop);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

const P: [ProcessId; 3] = [ProcessId(0), ProcessId(1), ProcessId(2)];

/// A rolling upgrade: the new build at the old version everywhere, and then one after the other at the new one.
/// Messages are ordered all the time. Points to read at are found by those of whose group a majority can ask.
#[test]
fn nodes_of_two_versions_live_side_by_side() {
    let mut group = Group::new("upgrade");
    P.into_iter().for_each(|me| group.start(me, OLDEST));
    (0..6).for_each(|nth| group.multicast(P[nth % 3]));
    group.asks(1);

    group.restart(P[2], VERSION);
    P.into_iter().for_each(|through| group.multicast(through));
    group.asks(2);
    group.multicast(P[2]);
    let is_answered = group.nodes.values().any(|node| node.has_answered(1));
    assert!(!is_answered, "one alone speaks the new version, and nobody understands the question");

    // The primary of the first epoch.
    group.restart(P[0], VERSION);
    P.into_iter().for_each(|through| group.multicast(through));
    group.asks(3);
    group.wait_for("an answer among the two that speak of it", |nodes| {
        [P[0], P[2]].iter().all(|process| nodes[process].has_answered(3))
    });
    assert!(!group.nodes[&P[1]].has_answered(1), "nobody whom it can ask makes a quorum with it");

    group.restart(P[1], VERSION);
    P.into_iter().for_each(|through| group.multicast(through));
    group.asks(4);
    group.wait_for("an answer everywhere", |nodes| nodes.values().all(|node| node.has_answered(4)));

    // And back: what is written in the new version is read, and what is written from now on is the old one's.
    group.restart(P[1], OLDEST);
    P.into_iter().for_each(|through| group.multicast(through));
    group.stop();
    assert_eq!(group.versions_of(P[1]).last(), Some(&OLDEST));
    assert_eq!(group.versions_of(P[0]).last(), Some(&VERSION));
}

/// A log that begins in the old version and goes on in the new one, with nothing cut between.
#[test]
fn a_log_of_two_versions_is_one_log() {
    let mut group = Group::new("log");
    P.into_iter().for_each(|me| group.start(me, OLDEST));
    group.multicast(P[0]);
    group.stop();
    P.into_iter().for_each(|me| group.start(me, VERSION));
    group.multicast(P[1]);
    group.stop();
    assert_eq!(group.versions_of(P[0]), [OLDEST, VERSION]);
    P.into_iter().for_each(|me| group.start(me, VERSION));
    let first = MessageId::new(1001, 1, 0b1);
    group.wait_for("what the first life delivered", |nodes| nodes.values().all(|node| node.has_delivered(first)));
    group.multicast(P[2]);
    group.stop();
}

/// The directory of a replica as the last build of version 1 left it: with a checkpoint, which its group had given it
/// after its disk was lost, and records behind it.
#[test]
fn the_directory_of_a_build_of_before_is_read() {
    let mut group = Group::new("golden");
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/version_1");
    let data = group.data_of(P[2]);
    fs::create_dir_all(data.join("log")).unwrap();
    for file in ["identity", "peers", "log/00000001.log", "log/checkpoint-2", "log/synced"] {
        fs::copy(kept.join(file), data.join(file)).unwrap();
    }
    fs::write(data.join("lock"), "").unwrap();
    assert_eq!(group.versions_of(P[2]), [1]);
    group.start(P[2], VERSION);
    let delivered = |text: &str| {
        let text = text.to_owned();
        move |event: &Up| matches!(event, Up::Deliver(delivery) if delivery.message.payload == text)
    };
    group.wait_for("what was delivered before", |nodes| {
        (1..=8).all(|nth| nodes[&P[2]].said(delivered(&format!("message {nth}"))))
    });
    group.stop();
}
