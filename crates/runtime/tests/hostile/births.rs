//! Who comes back as somebody else: a data directory that was lost, or an old
//! copy of one. Whoever has met the newer one refuses it, also after a restart.

use std::net::TcpListener;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use skein_machine::ProcessId;
use skein_runtime::data::Begin;
use skein_runtime::files::{Faults, Faulty, Files, Ram};
use skein_runtime::hello::{self, Caller, Hello, Peer};
use skein_runtime::replica::Failure;
use skein_runtime::wal::Storage;

use crate::ports;
use crate::raw::{Raw, peer};
use crate::stage::{CLUSTER, Do, Ground, HERE_I_AM, Saw, Stage};

fn refusal(stage: &Stage, peer: Peer) -> String {
    let mut raw = Raw::connect(stage.address);
    raw.say(&[&crate::raw::hello(1, Caller::Peer(peer))]);
    raw.refusal()
}

#[test]
fn whoever_has_forgotten_is_refused_where_it_calls() {
    let ground = Ground::of(1).with_peer(0, ports::free());
    let stage = ground.start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(raw.hear_word(), HERE_I_AM);
    let forgetful = Peer { birth: 9, ..peer(0) };
    assert!(refusal(&stage, forgetful).contains("`--rejoin 1`"), "{}", refusal(&stage, forgetful));
    stage.stop().unwrap();

    // What it has met, it has met for good.
    let stage = ground.start();
    assert!(refusal(&stage, forgetful).contains("has forgotten what it promised"));
    let rejoined = Peer { incarnation: 1, ..forgetful };
    assert_eq!(Raw::peer(stage.address, 1, rejoined).hear_word(), HERE_I_AM);
    assert!(refusal(&stage, peer(0)).contains("p0 was met in incarnation 1 already"), "{}", refusal(&stage, peer(0)));
    let mut again = Raw::peer(stage.address, 1, rejoined);
    assert_eq!(again.hear_word(), HERE_I_AM);
    assert_eq!(stage.seen(), [Saw::Reconnect(0), Saw::Reconnect(0)]);
}

#[test]
fn whoever_has_forgotten_is_refused_where_it_answers() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ground = Ground::of(0).with_peer(1, listener.local_addr().unwrap());
    let stage = ground.start();
    let answer = |peer| {
        let (mut raw, _) = Raw::accept(&listener);
        raw.answer(peer);
        raw
    };
    assert_eq!(answer(Peer { incarnation: 2, ..peer(1) }).hear_word(), HERE_I_AM);
    for stale in [Peer { incarnation: 1, ..peer(1) }, Peer { incarnation: 2, birth: 9, ..peer(1) }] {
        assert_eq!(answer(stale).hear(), None, "{stale:?}");
    }
    assert_eq!(answer(Peer { incarnation: 3, birth: 9, ..peer(1) }).hear_word(), HERE_I_AM);
    assert_eq!(stage.seen(), [Saw::Reconnect(1), Saw::Reconnect(1)]);
}

/// A node with another configuration counts other quorums, or speaks another protocol.
#[test]
fn whoever_was_told_otherwise_is_refused() {
    let stage = Ground::of(1).with_peer(0, ports::free()).start();
    let hello = Hello::new(CLUSTER, ProcessId(1), Caller::Peer(peer(0))).with_plan(9);
    let mut raw = Raw::connect(stage.address);
    raw.say(&[&hello::to_bytes(&hello)]);
    let refusal = raw.refusal();
    assert!(refusal.contains("its configuration is another one: protocol, clock and groups"), "{refusal}");
    assert_eq!(Raw::peer(stage.address, 1, peer(0)).hear_word(), HERE_I_AM);
}

/// Two replicas, of which one loses its disk and comes back as if nothing had happened; then as it should.
#[test]
fn a_lost_disk_keeps_its_owner_out_until_it_rejoins() {
    let (here, there) = (ports::free(), ports::free());
    let mut near = Ground::of(0).with_peer(1, there);
    near.addresses.insert(ProcessId(0), here);
    let mut far = Ground::of(1).with_peer(0, here);
    far.addresses.insert(ProcessId(1), there);
    let stays = far.start();
    let is_there = |seen: &[Saw]| seen.contains(&Saw::Reconnect(0));
    let first = near.start();
    stays.wait_for("the first life", is_there);
    first.stop().unwrap();

    near.files = Arc::new(Ram::default());
    let second = near.start();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(second.seen(), []);
    second.stop().unwrap();

    near.files = Arc::new(Ram::default());
    near.begin = Begin::Rejoin { incarnation: NonZeroU32::MIN };
    let third = near.start();
    third.wait_for("the rejoined life", |seen| seen.contains(&Saw::Reconnect(1)));
    assert_eq!(stays.count(|saw| *saw == Saw::Reconnect(0)), 2);
}

/// In memory every life forgets, and says so by counting: the next one is let in.
#[test]
fn a_life_in_memory_is_let_in_again() {
    let mut ground = Ground::of(1).with_peer(0, ports::free());
    ground.storage = Storage::Memory;
    let (here, there) = (ports::free(), ground.addresses[&ProcessId(1)]);
    ground.addresses.insert(ProcessId(0), here);
    let stays = ground.start();
    let mut caller = Ground::of(0).with_peer(1, there);
    caller.addresses.insert(ProcessId(0), here);
    caller.storage = Storage::Memory;
    for life in 1..=3 {
        let stage = caller.start();
        stays.wait_for("a life", |seen| seen.iter().filter(|saw| **saw == Saw::Reconnect(0)).count() == life);
        stage.stop().unwrap();
    }
}

/// What is told early waits for no disk, but for what was told before it.
#[test]
fn a_user_hears_everything_in_its_order_and_early_what_may_be() {
    let stage = Ground::of(0).with_slow_disk(Duration::from_secs(1)).start();
    stage.ask(&[Do::Persist(1), Do::TellEarly(1), Do::Tell(2), Do::TellEarly(3)]);
    stage.wait_for("what need not wait", |seen| !seen.is_empty());
    assert_eq!(stage.seen(), [Saw::Told(1)]);
    stage.wait_for("the rest", |seen| seen.len() == 3);
    assert_eq!(stage.seen(), [1, 2, 3].map(Saw::Told));
}

#[test]
fn a_log_that_fails_ends_the_replica_with_its_sentence() {
    let mut ground = Ground::of(0);
    let files: Arc<dyn Files> = Arc::new(Ram::default());
    ground.files = Arc::new(Faulty::new(files, Faults { full_after_bytes: Some(2 << 20), ..Faults::default() }));
    let stage = ground.start();
    for _ in 0..4 {
        stage.ask(&[Do::Persist(1 << 20)]);
    }
    let failure = stage.wait().unwrap_err();
    assert!(matches!(failure, Failure::Log(_)), "{failure:?}");
    assert!(failure.to_string().contains("make room, then start the process again"), "{failure}");
}
