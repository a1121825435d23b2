//! Peers that are stopped, come back, come twice, or say what they should not.

use std::io::Write;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use skein_machine::wire::VERSION;
use skein_runtime::hello::{self, Answer, Caller};

use crate::ports;
use crate::raw::{Raw, hello, peer};
use crate::stage::{Do, ECHO, FORBIDDEN, Ground, HERE_I_AM, Saw, Word};

/// p1, which p0 calls.
fn called() -> Ground {
    Ground::of(1).with_peer(0, ports::free()).with_peer(2, ports::free())
}

/// p0, which calls p1 at this address.
fn calling(listener: &TcpListener) -> Ground {
    Ground::of(0).with_peer(1, listener.local_addr().unwrap())
}

#[test]
fn a_message_waits_for_the_records_before_it_and_an_early_one_does_not() {
    let stage = called().with_slow_disk(Duration::from_millis(200)).start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    stage.ask(&[Do::Send(0, 1), Do::Persist(1), Do::Send(0, 2), Do::SendEarly(0, 3)]);
    assert_eq!([raw.hear_word(), raw.hear_word(), raw.hear_word()], [HERE_I_AM, 1, 3]);
    let begin = Instant::now();
    assert_eq!(raw.hear_word(), 2);
    assert!(begin.elapsed() > Duration::from_millis(100));
}

/// A link loses a suffix. What was said on an earlier link and still waits for the disk belongs to that suffix.
#[test]
fn what_waits_for_the_disk_is_lost_with_its_link() {
    let stage = called().with_slow_disk(Duration::from_millis(500)).start();
    let mut first = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(first.hear_word(), HERE_I_AM);
    stage.ask(&[Do::Persist(1), Do::Send(0, 1)]);
    std::thread::sleep(Duration::from_millis(100));
    let mut second = Raw::peer(stage.address, 1, peer(0));
    std::thread::sleep(Duration::from_millis(100));
    stage.ask(&[Do::Send(0, 2)]);
    assert_eq!([second.hear_word(), second.hear_word()], [HERE_I_AM, 2]);
}

/// In one turn the old link brings a message that is answered, and the new one stands.
#[test]
fn what_was_said_before_a_link_stands_is_not_said_on_it() {
    let stage = called().start();
    let mut first = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(first.hear_word(), HERE_I_AM);
    stage.ask(&[Do::SleepLater(Duration::from_millis(300))]);
    std::thread::sleep(Duration::from_millis(50));
    first.say(&[&Word::bytes(5)]);
    let mut second = Raw::connect(stage.address);
    second.say(&[&hello(1, Caller::Peer(peer(0)))]);
    second.welcome();
    assert_eq!(second.hear_word(), HERE_I_AM);
    second.say(&[&Word::bytes(6)]);
    assert_eq!(second.hear_word(), 6 | ECHO);
    let heard: Vec<Saw> = stage.seen();
    assert_eq!(heard, [Saw::Reconnect(0), Saw::Heard(0, 5), Saw::Reconnect(0), Saw::Heard(0, 6)]);
}

/// Of two connections of one process the later one counts, and nothing of the earlier is heard any more.
#[test]
fn the_later_of_two_connections_is_the_one() {
    let stage = called().start();
    let mut first = Raw::peer(stage.address, 1, peer(0));
    let mut second = Raw::peer(stage.address, 1, peer(0));
    assert_eq!((first.hear_word(), first.hear()), (HERE_I_AM, None));
    let _ = first.stream.write_all(&crate::raw::frame(&[&Word::bytes(1)]));
    second.say(&[&Word::bytes(2)]);
    assert_eq!([second.hear_word(), second.hear_word()], [HERE_I_AM, 2 | ECHO]);
    assert_eq!(stage.count(|saw| *saw == Saw::Heard(0, 1)), 0);
}

/// A state of any size that a message may have gets through, however short the patience with slow peers.
#[test]
fn a_long_message_is_no_sign_of_a_slow_peer() {
    let stage = called().start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(raw.hear_word(), HERE_I_AM);
    stage.ask(&[Do::SendLong(0, 150 << 20), Do::SendEarly(0, 1)]);
    assert_eq!(Word::of(raw.hear().expect("it is not cut off")).padding, 150 << 20);
    assert_eq!(raw.hear_word(), 1);
}

#[test]
fn a_peer_that_does_not_listen_is_cut_off() {
    let stage = called().start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    for _ in 0..100 {
        stage.ask(&[Do::SendLong(0, 1 << 20)]);
    }
    stage.ask(&[Do::SleepLater(Duration::from_millis(1))]);
    std::thread::sleep(Duration::from_millis(500));
    let mut words = 0;
    while raw.hear().is_some() {
        words += 1;
    }
    assert!(words < 100, "all of it was kept");
}

#[test]
fn whoever_is_no_peer_of_ours_or_should_be_called_is_told_so() {
    let stage = called().start();
    let refusal = |process| {
        let mut raw = Raw::connect(stage.address);
        raw.say(&[&hello(1, Caller::Peer(peer(process)))]);
        raw.refusal()
    };
    assert!(refusal(9).contains("p9 is no process of this cluster"), "{}", refusal(9));
    assert!(refusal(1).contains("p1 calls itself"), "{}", refusal(1));
    assert_eq!(stage.seen(), []);
}

/// p2 waits to be called by p1. It does not call.
#[test]
fn only_the_smaller_number_calls() {
    let stage = called().start();
    let mut raw = Raw::connect(stage.address);
    raw.say(&[&hello(1, Caller::Peer(peer(2)))]);
    let why = raw.refusal();
    assert!(why.contains("p1 calls p2"), "{why}");
}

/// A peer of another build, or with another configuration, says what the machine would take for a bug.
#[test]
fn what_a_peer_may_not_say_cuts_its_link_and_the_replica_lives_on() {
    let stage = called().start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(raw.hear_word(), HERE_I_AM);
    raw.say(&[&Word::bytes(1), &Word::bytes(FORBIDDEN), &Word::bytes(2)]);
    assert_eq!(raw.hear(), None);
    let mut again = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(again.hear_word(), HERE_I_AM);
    assert_eq!(stage.seen(), [Saw::Reconnect(0), Saw::Heard(0, 1), Saw::Reconnect(0)]);
}

/// Bytes that do not decode cut their link and no other.
#[test]
fn bytes_that_are_no_message_cut_that_link_only() {
    let stage = called().start();
    let mut raw = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(raw.hear_word(), HERE_I_AM);
    let mut client = Raw::client(stage.address, 1);
    raw.say(&[b"no word"]);
    assert_eq!(raw.hear(), None);
    client.say(&[b"still"]);
    assert_eq!((client.hear(), client.hear()), (Some("welcome".into()), Some("still".into())));
    let mut again = Raw::peer(stage.address, 1, peer(0));
    assert_eq!(again.hear_word(), HERE_I_AM);
}

/// A peer that is stopped says nothing and closes nothing.
#[test]
fn a_silent_peer_is_noticed_and_called_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = calling(&listener).start();
    let (mut silent, _) = Raw::accept(&listener);
    silent.answer(peer(1));
    assert_eq!(silent.hear_word(), HERE_I_AM);
    let begin = Instant::now();
    let (mut again, _) = Raw::accept(&listener);
    let took = begin.elapsed();
    assert!((4..8).contains(&took.as_secs()), "noticed after {took:?}");
    again.answer(peer(1));
    assert_eq!(again.hear_word(), HERE_I_AM);
    assert_eq!(stage.seen(), [Saw::Reconnect(1), Saw::Reconnect(1)]);
}

/// A link that falls as soon as it stands is tried more and more rarely.
#[test]
fn a_peer_that_hangs_up_at_once_is_not_called_all_the_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = calling(&listener).start();
    let begin = Instant::now();
    let mut calls = 0;
    while begin.elapsed() < Duration::from_millis(1500) {
        let (mut raw, _) = Raw::accept(&listener);
        raw.answer(peer(1));
        calls += 1;
    }
    assert!(calls < 12, "{calls} calls");
    drop(stage);
}

#[test]
fn an_answer_that_makes_no_sense_is_no_link() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let stage = calling(&listener).start();
    let answers = [
        Answer::Welcome { version: VERSION + 7, peer: peer(1) },
        Answer::Welcome { version: 0, peer: peer(1) },
        Answer::Welcome { version: VERSION, peer: peer(5) },
        Answer::Refused("not today".to_owned()),
    ];
    for answer in answers {
        let (mut raw, _) = Raw::accept(&listener);
        raw.say(&[&hello::to_bytes(&answer)]);
        assert_eq!(raw.hear(), None, "{answer:?}");
    }
    let (mut raw, _) = Raw::accept(&listener);
    raw.say(&[b"what?"]);
    assert_eq!(raw.hear(), None);
    assert_eq!(stage.seen(), []);
}
