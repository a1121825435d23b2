//! Skeen's protocol in pictures of words: the figure of the thesis, a collision,
//! and the bounds. `UPDATE=1` rewrites the traces; read the difference.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{Cluster, ClusterId, Down, Machine, MessageId, Multicast, Out, ProcessId, Time, Timestamp, Up};
use skein_order::Planted;
use skein_order::skeen::{MAX_PENDING, Message, Skeen, Variant};
use skein_sim::{DiskHabits, Latency, MILLISECOND, Occurrence, SECOND, Trace, World, golden};

const X: ProcessId = ProcessId(0);
const Y: ProcessId = ProcessId(1);
const Z: ProcessId = ProcessId(2);
const A: ProcessId = ProcessId(3);
const B: ProcessId = ProcessId(4);

/// Three groups of one process, x, y and z, and two clients, a and b.
fn cluster() -> Arc<Cluster> {
    Arc::new(Cluster::new(ClusterId(1), vec![vec![X], vec![Y], vec![Z]], vec![A, B]).unwrap())
}

/// A world in which every message takes a millisecond unless told otherwise.
fn world() -> World<Skeen> {
    let cluster = cluster();
    let processes: Vec<ProcessId> = cluster.processes().collect();
    let latency = Latency::fixed(&processes, MILLISECOND);
    let maker = move |process, _| Skeen::new(process, cluster.clone(), Variant::Original, Planted::NONE);
    let mut world = World::new(&processes, latency, DiskHabits::INSTANT, 1, Box::new(maker));
    world.start();
    world
}

fn message(session: u64, sequence: u64, groups: u64, payload: &'static str) -> Multicast {
    Multicast {
        id: MessageId::new(session, sequence, groups),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

fn multicast(world: &mut World<Skeen>, sender: ProcessId, message: Multicast) {
    assert!(world.command(sender, Down::Multicast(message)));
}

/// Runs for so many milliseconds, and answers who delivered what.
fn run(world: &mut World<Skeen>, milliseconds: u64) -> Vec<(ProcessId, MessageId)> {
    let horizon = world.now() + milliseconds * MILLISECOND;
    let mut delivered = Vec::new();
    while let Some(occurrence) = world.next(horizon) {
        if let Occurrence::Told { process, event: Up::Deliver(delivery), .. } = occurrence {
            delivered.push((process, delivery.message.id));
        }
    }
    delivered
}

fn compare(name: &str, world: &World<Skeen>) {
    golden(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name), world.trace());
}

/// Figure 5.3 of the thesis, upper half: y delivers m at 5; only then is m'
/// multicast, and x delivers m' before m. Classic multicast allows it.
#[test]
fn figure_5_3_upper_half() {
    let mut world = world();
    // Four earlier messages bring y's clock to 4.
    for sequence in 1..=4 {
        multicast(&mut world, A, message(9, sequence, 0b010, ""));
    }
    run(&mut world, 10);

    world.set_trace(Trace::brief());
    world.set_delay(Y, X, 4 * MILLISECOND);
    world.set_delay(Z, X, 3 * MILLISECOND);
    let (m, m_prime) = (message(1, 1, 0b011, "m"), message(2, 1, 0b101, "m2"));
    multicast(&mut world, A, m.clone());
    assert_eq!(run(&mut world, 3), [(Y, m.id)]);
    multicast(&mut world, B, m_prime.clone());
    assert_eq!(run(&mut world, 10), [(Z, m_prime.id), (X, m_prime.id), (X, m.id)]);
    compare("skeen_figure_5_3.txt", &world);
}

/// Two messages to the same groups cross. Each is proposed first by another
/// process, both end at the same timestamp, and the lower id goes first everywhere.
#[test]
fn a_collision() {
    let mut world = world();
    world.set_trace(Trace::full());
    let (one, two) = (message(1, 1, 0b011, "one"), message(2, 1, 0b011, "two"));
    multicast(&mut world, X, two.clone());
    multicast(&mut world, Y, one.clone());
    let delivered = run(&mut world, 10);
    let at = |process| delivered.iter().filter(move |(at, _)| *at == process).map(|(_, id)| *id);
    assert!(at(X).eq([one.id, two.id]) && at(Y).eq([one.id, two.id]), "{delivered:?}");
    compare("skeen_collision.txt", &world);
}

/// A session that has seen a timestamp gets a higher one, even from a process that lags behind.
#[test]
fn a_floor_is_respected() {
    let mut world = world();
    let later = Multicast { floor: Timestamp(41), ..message(1, 1, 0b001, "") };
    multicast(&mut world, A, later);
    let mut timestamps = Vec::new();
    while let Some(occurrence) = world.next(SECOND) {
        if let Occurrence::Told { event: Up::Deliver(delivery), .. } = occurrence {
            timestamps.push(delivery.timestamp);
        }
    }
    assert_eq!(timestamps, [Timestamp(42)]);
}

/// Gives one process of two groups one command, and answers what it wants done.
fn command(machine: &mut Skeen, command: Down) -> Out<Skeen> {
    let mut out = Out::new();
    machine.on_command(Time::ZERO, command, &mut out);
    machine.check();
    out
}

#[test]
fn a_swamped_process_turns_messages_away() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    let mut out = Out::new();
    for sequence in 0..MAX_PENDING as u64 {
        let message = Message::Start(message(1, sequence, 0b011, ""));
        machine.on_message(Time::ZERO, A, message, &mut out);
    }
    assert_eq!(machine.pending(), MAX_PENDING);
    let refused = format!("{:?}", command(&mut machine, Down::Multicast(message(2, 1, 0b011, ""))));
    assert!(refused.contains("turns s2.1 away") && !refused.contains("START"), "{refused}");
}

#[test]
fn a_raised_clock_raises_what_is_proposed_next() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    command(&mut machine, Down::RaiseClock(Timestamp(99)));
    let mut out = Out::new();
    machine.on_message(Time::ZERO, A, Message::Start(message(1, 1, 0b011, "")), &mut out);
    assert!(format!("{out:?}").contains("PROPOSE s1.1 at 100"), "{out:?}");
}

/// Another replica of the group may have delivered what is on the way here, with a timestamp that is not known here
/// yet: a reader waits for it, and for whatever may come before it, and for nothing that came later.
#[test]
fn a_reader_waits_for_what_may_have_been_delivered() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    let hear = |machine: &mut Skeen, from, message| {
        let mut out = Out::new();
        machine.on_message(Time::ZERO, from, message, &mut out);
        format!("{out:?}")
    };
    let propose = |session, timestamp| Message::Propose {
        id: message(session, 1, 0b011, "").id,
        timestamp: Timestamp(timestamp),
    };
    assert!(format!("{:?}", command(&mut machine, Down::ReadPoint(1))).contains("may read at 0, question 1"));
    hear(&mut machine, A, Message::Start(message(1, 1, 0b011, "")));
    assert!(command(&mut machine, Down::ReadPoint(2)).is_empty());
    assert!(command(&mut machine, Down::ReadPoint(3)).is_empty());
    // It comes later, may have a lower timestamp than the first, and a higher one than the third.
    hear(&mut machine, A, Message::Start(message(2, 1, 0b011, "")));
    let told = hear(&mut machine, Y, propose(1, 7));
    assert!(!told.contains("may read"), "s2.1 may still come before: {told}");
    hear(&mut machine, A, Message::Start(message(3, 1, 0b011, "")));
    let told = hear(&mut machine, Y, propose(2, 3));
    assert!(told.contains("delivers #1 s1.1@7") && told.contains("may read at 7, question 2"), "{told}");
    assert!(!told.contains("question 3"), "that one is asked by now, and s3.1 is on its way: {told}");
    assert!(hear(&mut machine, Y, propose(3, 5)).contains("may read at 8, question 3"));
}

/// Whoever stops takes part in every message that concerns it, and nobody can stand in for it.
#[test]
fn nothing_is_handed_over() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    assert!(command(&mut machine, Down::Retire).is_empty());
}

/// A client whose answer is lost asks again, perhaps through somebody else, before the delivery or after it.
#[test]
fn what_is_asked_for_again_is_delivered_once() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    let hear = |machine: &mut Skeen, from, message| {
        let mut out = Out::new();
        machine.on_message(Time::ZERO, from, message, &mut out);
        format!("{out:?}")
    };
    let start = || Message::Start(message(1, 1, 0b011, ""));
    let id = message(1, 1, 0b011, "").id;
    assert!(hear(&mut machine, A, start()).contains("PROPOSE s1.1 at 1"));
    assert_eq!(hear(&mut machine, Y, start()), "[]");
    assert!(hear(&mut machine, Y, Message::Propose { id, timestamp: Timestamp(7) }).contains("delivers #0 s1.1@7"));
    assert_eq!(hear(&mut machine, A, start()), "[]");
    assert_eq!(machine.pending(), 0);
    let answer = command(&mut machine, Down::Multicast(message(1, 1, 0b011, "")));
    assert!(format!("{answer:?}").contains("hears that s1.1 is done by 7"), "{answer:?}");
}

#[test]
#[should_panic(expected = "no group g5")]
fn a_message_to_nowhere_is_a_bug_of_its_user() {
    let mut machine = Skeen::new(X, cluster(), Variant::Original, Planted::NONE);
    command(&mut machine, Down::Multicast(message(1, 1, 1 << 5, "")));
}
