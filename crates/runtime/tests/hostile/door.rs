//! The door of a node: strangers that say nothing, and a process that has no
//! descriptors left.

use std::net::TcpStream;
use std::time::Duration;

use skein_machine::ProcessId;
use skein_machine::wire::VERSION;
use skein_runtime::hello::{self, Caller, Hello};
use skein_runtime::listener::{Listener, Takes, takes};

use crate::ports;
use crate::raw::{Raw, hello};
use crate::stage::{CLUSTER, Ground};

/// Who holds the door longest without a word goes first.
#[test]
fn silent_strangers_do_not_lock_the_door() {
    let stage = Ground::of(0).start();
    let mut silent: Vec<Raw> = (0..1200).map(|_| Raw::connect(stage.address)).collect();
    for _ in 0..5 {
        let mut client = Raw::client(stage.address, 0);
        client.say(&[b"in"]);
        assert_eq!((client.hear(), client.hear()), (Some("welcome".into()), Some("in".into())));
    }
    assert!(silent[0].refusal().contains("too many"));
}

/// A node with many replicas has a long list of them.
#[test]
fn a_refusal_is_never_too_long_to_be_read() {
    let stage = Ground::of(0).start();
    let doors = (0..300).map(|process| (ProcessId(process), takes(stage.handle.clone()))).collect();
    let listener = Listener::open(ports::free(), CLUSTER, VERSION, doors, None).unwrap();
    let mut raw = Raw::connect(listener.address());
    raw.say(&[&hello(999, Caller::Client)]);
    let why = raw.refusal();
    assert!(why.starts_with("p999 is not here"), "{why}");
}

#[test]
fn whoever_wants_a_replica_that_has_stopped_is_told() {
    let mut stage = Ground::of(0).start();
    let (listener, address) = (stage.listener.take(), stage.address);
    stage.stop().unwrap();
    let mut raw = Raw::connect(address);
    raw.say(&[&hello(0, Caller::Client)]);
    let why = raw.refusal();
    assert!(why.contains("p0 has stopped"), "{why}");
    drop(listener);
}

#[test]
fn garbage_at_the_door_is_thrown_out() {
    use std::io::Write;
    let stage = Ground::of(0).start();
    let other = hello::to_bytes(&Hello::new(skein_machine::ClusterId(8), ProcessId(0), Caller::Client));
    let mut raw = Raw::connect(stage.address);
    raw.say(&[&other]);
    assert!(raw.refusal().contains("this is cluster"), "another cluster");
    let garbage: [&[u8]; 5] = [b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[0xff; 4096], &crate::raw::frame(&[b""]), b""];
    for bytes in garbage {
        let mut raw = Raw::connect(stage.address);
        let _ = raw.stream.write_all(bytes);
        let _ = raw.stream.shutdown(std::net::Shutdown::Write);
        assert_eq!(raw.hear(), None);
    }
    Raw::client(stage.address, 0);
}

/// The child: lets so many descriptors go by as it has, and opens the door again. Does nothing in an ordinary run.
#[test]
fn child_without_descriptors() {
    if std::env::var_os("SKEIN_TEST_FEW_DESCRIPTORS").is_none() {
        return;
    }
    let takes: Takes = {
        let stage = Ground::of(0).start();
        let takes = takes(stage.handle.clone());
        std::mem::forget(stage);
        takes
    };
    let listener = Listener::open(ports::free(), CLUSTER, VERSION, [(ProcessId(0), takes)].into(), None).unwrap();
    // The kernel has taken this connection, and it costs the process nothing yet.
    let mut raw = Raw::connect(listener.address());
    raw.say(&[&hello(0, Caller::Client)]);
    raw.welcome();
    let mut hoard = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        hoard.push(file);
    }
    hoard.pop();
    let mut waits = Raw::connect(listener.address());
    waits.say(&[&hello(0, Caller::Client)]);
    std::thread::sleep(Duration::from_millis(200));
    // Nobody else calls: what was refused by the system must be tried again all the same.
    hoard.clear();
    waits.stream.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    waits.welcome();
    println!("was let in");
}

#[test]
fn the_door_opens_again_when_there_are_descriptors_again() {
    let test = std::env::current_exe().unwrap();
    let mut command = std::process::Command::new("sh");
    let script = format!("ulimit -n 300; exec {} door::child_without_descriptors --exact --nocapture", test.display());
    let output = command.args(["-c", &script]).env("SKEIN_TEST_FEW_DESCRIPTORS", "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("was let in"), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let _ = TcpStream::connect("127.0.0.1:1");
}
