//! PrimCast on threads and loopback sockets: the same machines that the
//! simulator judges, driven by real time.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, ClusterId, Delivery, Down, GroupSet, MessageId, Multicast, ProcessId, Timestamp, Up,
};
use skein_order::Planted;
use skein_order::primcast::{PrimCast, Settings};
use skein_runtime::front::{Desk, Front};
use skein_runtime::hello::Peer;
use skein_runtime::listener::{Listener, takes};
use skein_runtime::log::Nowhere;
use skein_runtime::replica::{Failure, Handle, Replica, Surroundings};

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
    _listener: Listener,
}

fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn start(me: ProcessId, cluster: &Arc<Cluster>, addresses: &BTreeMap<ProcessId, SocketAddr>, boot: Boot) -> Node {
    let incarnation = if let Boot::Amnesiac { incarnation } = boot { incarnation } else { 0 };
    let surroundings = Surroundings {
        cluster: CLUSTER,
        me: Peer { process: me, incarnation, birth: 1 },
        addresses: addresses.clone(),
        distances: BTreeMap::new(),
        busy_poll: false,
    };
    let machine = PrimCast::new(me, cluster.clone(), boot, Settings::DEFAULT, Planted::NONE);
    let clerk = Clerk::default();
    let (replica, handle) = Replica::new(surroundings, machine, clerk.clone(), Nowhere).unwrap();
    let listener = Listener::open(addresses[&me], CLUSTER, [(me, takes(handle.clone()))].into()).unwrap();
    let thread = std::thread::spawn(move || replica.run(u64::from(me.0) + 1));
    Node { handle, clerk, thread, _listener: listener }
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
        id: MessageId::new(session, sequence),
        destinations: GroupSet::from_bits(groups),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from(vec![sequence as u8; 16]),
    }
}

#[test]
fn everybody_delivers_and_goes_on_without_one() {
    let cluster = Arc::new(Cluster::regular(2, 3, 0).unwrap());
    let addresses: BTreeMap<ProcessId, SocketAddr> =
        cluster.processes().map(|process| (process, free_address())).collect();
    let mut nodes: BTreeMap<ProcessId, Node> =
        cluster.processes().map(|me| (me, start(me, &cluster, &addresses, Boot::First))).collect();

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
    drop(dead.clerk);
    for sequence in 1..=20 {
        nodes[&ProcessId(1)].handle.call(message(3, sequence, 0b11)).unwrap();
    }
    let has_all = |process: u16, count_before: usize| {
        let node = &nodes[&ProcessId(process)];
        count(node) == count_before + 20
    };
    wait_for("what was sent after the crash", || (1..6).all(|p| has_all(p, expected(&ProcessId(p)))));
    for (_, node) in nodes {
        node.handle.stop();
        node.thread.join().unwrap().unwrap();
    }
}
