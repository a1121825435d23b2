//! PrimCast on threads and loopback sockets: the same machines that the
//! simulator judges, driven by real time.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::VERSION;
use skein_machine::{Cluster, ClusterId, Delivery, Down, MessageId, Multicast, ProcessId, Random, Timestamp, Up};
use skein_order::Planted;
use skein_order::primcast::{PrimCast, Settings};
use skein_runtime::clock::HardwareClock;
use skein_runtime::data::Begin;
use skein_runtime::files::Native;
use skein_runtime::front::{Desk, Front};
use skein_runtime::listener::{Listener, takes};
use skein_runtime::replica::{Failure, Handle, Places, Replica, Surroundings};
use skein_runtime::wal::Storage;

mod ports;

const CLUSTER: ClusterId = ClusterId(7);

/// Writes down what is delivered.
#[derive(Clone, Default)]
struct Clerk(Arc<Mutex<Vec<Delivery>>>);

impl Front<PrimCast> for Clerk {
    type Call = Multicast;

    fn on_event(&mut self, event: Up, _: &mut Desk<PrimCast>) {
        if let Up::Deliver(delivery) = event {
            self.0.lock().unwrap().push(delivery);
        }
    }

    fn on_call(&mut self, message: Multicast, desk: &mut Desk<PrimCast>) {
        desk.command(Down::Multicast(message));
    }
}

struct Node {
    handle: Handle<Multicast>,
    clerk: Clerk,
    thread: JoinHandle<Result<(), Failure>>,
    listener: Listener,
}

fn start(
    me: ProcessId,
    cluster: &Arc<Cluster>,
    addresses: &BTreeMap<ProcessId, SocketAddr>,
    folder: &Path,
    storage: Storage,
) -> Node {
    let surroundings = Surroundings {
        cluster: CLUSTER,
        plan: 0,
        process: me,
        places: Places { addresses: addresses.clone(), distances: BTreeMap::new() },
        files: Arc::new(Native),
        data: folder.join(me.to_string()),
        clock: HardwareClock::default(),
        storage,
        begin: Begin::Usual,
        tls: None,
        notes: Some(cluster.clone()),
        speaks: VERSION,
        is_patient: true,
        busy_poll: false,
    };
    let maker = |boot| PrimCast::new(me, cluster.clone(), boot, Settings::DEFAULT, Planted::NONE);
    let clerk = Clerk::default();
    let (replica, handle) = Replica::open(surroundings, maker, clerk.clone()).unwrap();
    let listener =
        Listener::open(addresses[&me], CLUSTER, VERSION, [(me, takes(handle.clone()))].into(), None).unwrap();
    let thread = std::thread::spawn(move || replica.run(u64::from(me.0) + 1));
    Node { handle, clerk, thread, listener }
}

fn wait_for(what: &str, mut is_there: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_there() {
        assert!(begin.elapsed() < Duration::from_secs(30), "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn message(session: u64, sequence: u64, groups: u64) -> Multicast {
    Multicast {
        id: MessageId::new(session, sequence, groups),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from(vec![sequence as u8; 16]),
    }
}

/// A folder that is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let path = std::env::temp_dir().join(format!("skein-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&path);
        std::fs::create_dir(&path).unwrap();
        Folder(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// With a disk and without: everybody delivers in one order, a group goes on without its primary, and takes it in
/// again when it comes back, with its memory or without.
fn lives_through_a_crash(name: &str, storage: Storage) {
    let folder = Folder::new(name);
    let cluster = Arc::new(Cluster::regular(2, 3, 0).unwrap());
    let addresses: BTreeMap<ProcessId, SocketAddr> =
        cluster.processes().map(|process| (process, ports::free())).collect();
    let live = |me| start(me, &cluster, &addresses, &folder.0, storage);
    let mut nodes: BTreeMap<ProcessId, Node> = cluster.processes().map(|me| (me, live(me))).collect();

    for sequence in 1..=100 {
        nodes[&ProcessId(0)].handle.call(message(1, sequence, 0b11)).unwrap();
        nodes[&ProcessId(4)].handle.call(message(2, sequence, 0b10)).unwrap();
    }
    let count = |node: &Node| node.clerk.0.lock().unwrap().len();
    let expected = |process: &ProcessId| if process.0 < 3 { 100 } else { 200 };
    wait_for("a delivery", || nodes.iter().all(|(process, node)| count(node) == expected(process)));
    let order = |node: &Node| -> Vec<MessageId> {
        node.clerk.0.lock().unwrap().iter().map(|delivery| delivery.message.id).collect()
    };
    assert_eq!(order(&nodes[&ProcessId(3)]), order(&nodes[&ProcessId(5)]));

    // The first group loses its primary.
    let dead = nodes.remove(&ProcessId(0)).unwrap();
    dead.handle.stop();
    dead.thread.join().unwrap().unwrap();
    for sequence in 1..=20 {
        nodes[&ProcessId(1)].handle.call(message(3, sequence, 0b11)).unwrap();
    }
    wait_for("what was sent after the crash", || {
        nodes.iter().all(|(process, node)| count(node) == expected(process) + 20)
    });

    drop(dead.listener);
    nodes.insert(ProcessId(0), live(ProcessId(0)));
    wait_for("what the one that came back had missed", || order(&nodes[&ProcessId(0)]) == order(&nodes[&ProcessId(1)]));
    for (_, node) in nodes {
        node.handle.stop();
        node.thread.join().unwrap().unwrap();
    }
}

#[test]
fn a_cluster_on_disks_lives_through_a_crash() {
    lives_through_a_crash("sync", Storage::Sync);
}

#[test]
fn a_cluster_that_writes_without_waiting_lives_through_a_crash() {
    lives_through_a_crash("async", Storage::Async);
}

#[test]
fn a_cluster_in_memory_lives_through_a_crash() {
    lives_through_a_crash("memory", Storage::Memory);
}

/// Clients that use a number for several messages, with other destinations, another floor, expiry and payload each,
/// through whichever replica and in whatever order: they may spoil what is theirs, and no replica dies of it.
#[test]
fn a_cluster_lives_through_clients_that_break_every_rule() {
    let folder = Folder::new("rules");
    let cluster = Arc::new(Cluster::regular(2, 3, 0).unwrap());
    let addresses: BTreeMap<ProcessId, SocketAddr> =
        cluster.processes().map(|process| (process, ports::free())).collect();
    let live = |me| start(me, &cluster, &addresses, &folder.0, Storage::Memory);
    let nodes: BTreeMap<ProcessId, Node> = cluster.processes().map(|me| (me, live(me))).collect();
    let mut random = Random::new(1);
    for nth in 0..20_000 {
        let (session, sequence) = (random.below(8), 1 + random.below(50));
        let message = Multicast {
            id: MessageId::new(
                session,
                if random.chance(0.01) { u64::MAX - sequence } else { sequence },
                1 + random.below(3),
            ),
            floor: if random.chance(0.01) { Cluster::HIGHEST_FLOOR } else { Timestamp(random.below(1000)) },
            expiry: if random.chance(0.1) { Timestamp(random.below(100_000)) } else { Timestamp::MAX },
            payload: Bytes::from(vec![0; random.below(100) as usize]),
        };
        assert!(cluster.admit(&message).is_ok());
        let through = ProcessId(random.below(6) as u16);
        assert!(nodes[&through].handle.call(message).is_ok(), "{through} is dead after {nth} messages");
        if nth % 20 == 0 {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    std::thread::sleep(Duration::from_secs(1));
    for (process, node) in nodes {
        node.handle.stop();
        assert!(node.thread.join().is_ok(), "{process} died");
    }
}
