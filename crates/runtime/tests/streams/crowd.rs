//! Ten thousand clients, or as many as this system lets two processes have: one
//! serves, and its child is all the clients.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use skein_runtime::streams::Settings;

use crate::lines::Stage;

const CROWD: usize = 10_000;

/// Descriptors for everything else, in this process with all its tests, and those that streams leave.
const OTHERS: usize = 1500;

/// Takes as many descriptors as the system gives, and says how many clients that allows.
fn crowd() -> usize {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let most = getrlimit(Resource::Nofile).current.map_or(usize::MAX, |most| most as usize);
    CROWD.min(most.saturating_sub(OTHERS)).max(100)
}

/// The child. Does nothing in an ordinary run.
#[test]
fn child_is_a_crowd() {
    let Ok(address) = std::env::var("SKEIN_TEST_CROWD_AT") else { return };
    let address: SocketAddr = address.parse().unwrap();
    let crowd = crowd();
    let mut clients: Vec<std::net::TcpStream> = Vec::new();
    for number in 0..crowd {
        let mut client = std::net::TcpStream::connect(address).unwrap();
        writeln!(client, "{number}").unwrap();
        clients.push(client);
    }
    let hear = |client: &std::net::TcpStream| {
        client.set_read_timeout(Some(crate::lines::PATIENCE)).unwrap();
        let mut line = String::new();
        BufReader::with_capacity(64, client).read_line(&mut line).unwrap();
        line
    };
    for (number, client) in clients.iter().enumerate() {
        assert_eq!(hear(client), format!("{number}\n"));
    }
    println!("\nall {crowd} are here");
    for client in &clients {
        assert_eq!(hear(client), "to all\n");
    }
    println!("\nall have heard it");
    // All at once, and then all are gone.
    for mut client in &clients {
        client.write_all(b"one more\n").unwrap();
    }
    for client in &clients {
        assert_eq!(hear(client), "one more\n");
    }
    println!("\nall were answered");
}

#[test]
fn ten_thousand_or_as_many_as_there_may_be_are_served() {
    let expected = crowd();
    let stage = Stage::new(Settings { most_streams: CROWD + 1, ..Settings::default() });
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["crowd::child_is_a_crowd", "--exact", "--nocapture"])
        .env("SKEIN_TEST_CROWD_AT", stage.address().to_string())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut wait_for = |what: &str| {
        let found = lines.by_ref().map(Result::unwrap).find(|line| line.contains(what));
        found.unwrap_or_else(|| panic!("never: {what}"));
    };
    wait_for(&format!("all {expected} are here"));
    assert_eq!(stage.ask(|_, desk| desk.count()), expected);
    if expected < CROWD {
        eprintln!("this system allows for {expected} clients only");
    }
    // While they say nothing, a turn costs no more than without them, and there are no more turns.
    let mut client = stage.client();
    client.asks("here\n");
    let before = stage.ask(|lines, _| (lines.turns, lines.ticks));
    for _ in 0..1000 {
        client.asks("and here\n");
    }
    let after = stage.ask(|lines, _| (lines.turns, lines.ticks));
    assert!(after.0 - before.0 <= 1010 + 3 * (after.1 - before.1), "{before:?} {after:?}");
    drop(client);
    stage.act(|lines, desk| {
        for client in &lines.here {
            desk.write(*client).extend_from_slice(b"to all\n");
        }
    });
    wait_for("all have heard it");
    wait_for("all were answered");
    assert!(child.wait().unwrap().success());
    stage.wait_until_gone(expected);
    stage.wait_for("nobody", || stage.server.streams() == 0);
}
