//! Clients that hang up, talk too much, do not listen, or come in crowds.

use std::io::Write;
use std::net::Shutdown;
use std::time::Duration;

use skein_runtime::caller::{Callers, Heard};
use skein_runtime::hello::Caller;

use crate::ports;
use crate::raw::{Raw, frame, hello};
use crate::stage::{CLUSTER, Do, Ground, MOST_CLIENTS, Saw};

fn is_gone(saw: &Saw) -> bool {
    matches!(saw, Saw::Gone(_))
}

/// The last words and the end arrive together: the poll tells of both at once, and only once.
#[test]
fn a_client_that_says_something_and_hangs_up_is_gone() {
    let stage = Ground::of(0).start();
    let mut raw = Raw::client(stage.address, 0);
    stage.ask(&[Do::Sleep(Duration::from_millis(300))]);
    std::thread::sleep(Duration::from_millis(50));
    raw.say(&[b"farewell"]);
    raw.stream.shutdown(Shutdown::Write).unwrap();
    stage.wait_for("the end of a client", |seen| seen.iter().any(is_gone));
    assert_eq!(stage.count(|saw| matches!(saw, Saw::Asked(_, words) if words == "farewell")), 1);
}

/// What is said at once shares the turn with the welcome.
#[test]
fn what_is_said_with_the_welcome_is_heard() {
    let stage = Ground::of(0).start();
    let mut callers = Callers::new().unwrap();
    callers.call(stage.address, CLUSTER, skein_machine::ProcessId(0)).unwrap();
    let mut heard = Vec::new();
    for _ in 0..50 {
        callers.wait(Some(Duration::from_millis(20)), &mut heard).unwrap();
    }
    assert_eq!(heard, [Heard::Message(0, "welcome".into())]);
}

#[test]
fn what_follows_a_hello_is_heard_and_what_stands_in_its_frame_is_refused() {
    let stage = Ground::of(0).start();
    let mut eager = Raw::connect(stage.address);
    let hello = hello(0, Caller::Client);
    eager.stream.write_all(&[frame(&[&hello]), frame(&[b"at once"])].concat()).unwrap();
    eager.welcome();
    assert_eq!((eager.hear().unwrap(), eager.hear().unwrap()), ("welcome".into(), "at once".into()));
    let mut crowded = Raw::connect(stage.address);
    crowded.say(&[&hello, b"lost"]);
    assert_eq!(crowded.hear(), None);
}

#[test]
fn what_is_no_request_costs_its_client_the_connection_and_nobody_else_anything() {
    let stage = Ground::of(0).start();
    let (mut good, mut bad, mut worse) =
        (Raw::client(stage.address, 0), Raw::client(stage.address, 0), Raw::client(stage.address, 0));
    bad.say(&[b"x"]);
    worse.stream.write_all(&[0xff; 100]).unwrap();
    assert_eq!((bad.hear(), bad.hear()), (Some("welcome".into()), None));
    assert_eq!((worse.hear(), worse.hear()), (Some("welcome".into()), None));
    good.say(&[b"still here"]);
    assert_eq!((good.hear(), good.hear()), (Some("welcome".into()), Some("still here".into())));
}

/// A message in pieces is kept until its last one. Peers send whole states so; a client sends requests.
#[test]
fn a_client_cannot_fill_the_memory_with_a_request_that_does_not_end() {
    let stage = Ground::of(0).start();
    let mut raw = Raw::client(stage.address, 0);
    let endless = frame(&[&vec![0; 200 << 20]]);
    let outcome = raw.stream.write_all(&endless[..endless.len() - 1]);
    assert!(outcome.is_err(), "all of it was taken");
    stage.wait_for("the end of a client", |seen| seen.iter().any(is_gone));
}

#[test]
fn clients_that_do_not_listen_are_cut_off_one_by_one_and_together() {
    let stage = Ground::of(0).start();
    let mut greedy = Raw::client(stage.address, 0);
    greedy.say(&[b"!20000000", b"!20000000", b"!20000000"]);
    stage.wait_for("the end of a client", |seen| seen.iter().any(is_gone));
    let mut crowd: Vec<Raw> = (0..24).map(|_| Raw::client(stage.address, 0)).collect();
    crowd.iter_mut().for_each(|raw| raw.say(&[b"!14000000"]));
    stage.wait_for("the end of some", |seen| seen.iter().filter(|saw| is_gone(saw)).count() >= 6);
    let mut good = Raw::client(stage.address, 0);
    good.say(&[b"me"]);
    assert_eq!((good.hear(), good.hear()), (Some("welcome".into()), Some("me".into())));
}

/// While the disk is slow, clients wait, and the replica sleeps instead of looking after them all the time.
#[test]
fn a_slow_disk_does_not_keep_the_processor_busy() {
    let stage = Ground::of(0).with_slow_disk(Duration::from_millis(700)).start();
    let mut raw = Raw::client(stage.address, 0);
    assert_eq!(raw.hear().unwrap(), "welcome");
    stage.ask(&[Do::Persist(40 << 20), Do::Persist(1)]);
    std::thread::sleep(Duration::from_millis(200));
    raw.say(&[b"later"]);
    std::thread::sleep(Duration::from_millis(50));
    let before = stage.turns();
    std::thread::sleep(Duration::from_millis(200));
    let turns = stage.turns() - before;
    assert!(turns < 100, "{turns} turns in a moment in which nothing happened");
    assert_eq!(raw.hear().unwrap(), "later");
}

#[test]
fn there_is_room_for_so_many_clients_and_the_next_is_told() {
    let stage = Ground::of(0).with_peer(1, ports::free()).start();
    let mut clients: Vec<Raw> = (0..MOST_CLIENTS).map(|_| Raw::client(stage.address, 0)).collect();
    let refused = || {
        let mut raw = Raw::connect(stage.address);
        raw.say(&[&hello(0, Caller::Client)]);
        raw.refusal()
    };
    assert!(refused().contains("p0 has as many clients as it can serve"), "{}", refused());
    // Whoever leaves makes room.
    clients.pop();
    stage.wait_for("the end of a client", |seen| seen.iter().any(is_gone));
    let mut next = Raw::client(stage.address, 0);
    next.say(&[b"in"]);
    assert_eq!((next.hear(), next.hear()), (Some("welcome".into()), Some("in".into())));
    refused();
}

/// Everybody talks without a pause, and nobody is forgotten.
#[test]
fn a_crowd_is_heard_in_turns() {
    let stage = Ground::of(0).start();
    let mut crowd: Vec<Raw> = (0..MOST_CLIENTS).map(|_| Raw::client(stage.address, 0)).collect();
    let words = frame(&[&[b'w'; 60_000][..]; 4]);
    for raw in &mut crowd {
        let (mut stream, words) = (raw.stream.try_clone().unwrap(), words.clone());
        std::thread::spawn(move || while stream.write_all(&words).is_ok() {});
    }
    for raw in &mut crowd {
        for _ in 0..20 {
            assert!(raw.hear().is_some());
        }
    }
    crowd.iter().for_each(|raw| raw.stream.shutdown(Shutdown::Both).unwrap());
}
