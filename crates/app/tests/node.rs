//! `skein node` as an operator meets it: a node of which a part has failed
//! ends, and says why; one whose disk was lost is told how to join again.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein::machine::wire::Writer;
use skein::machine::{ClusterId, MessageId, Multicast, ProcessId, Timestamp, Wire};
use skein::runtime::caller::Callers;
use skein::speech::Request;

#[path = "../../runtime/tests/ports/mod.rs"]
mod ports;

/// A cluster of two groups whose replicas share the node `a`, in a folder that is gone with the test.
struct Place {
    folder: PathBuf,
    address: SocketAddr,
}

impl Place {
    fn new(name: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("skein-node-{}-{name}", std::process::id()));
        fs::create_dir(&folder).unwrap();
        let address = ports::free();
        let config = format!(
            "cluster = \"00000000000000ab\"\ndata = {:?}\nnodes.a.address = \"{address}\"\n\
             [[groups]]\nname = \"g\"\nreplicas = [\"a\"]\n[[groups]]\nname = \"h\"\nreplicas = [\"a\"]\n",
            folder.join("data")
        );
        fs::write(folder.join("skein.toml"), config).unwrap();
        Place { folder, address }
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(["node", "--node", "a", "--config"]).arg(self.folder.join("skein.toml")).args(more);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// A node that is ready.
    fn start(&self, more: &[&str]) -> Child {
        let mut child = self.command(more).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        if !line.contains("is ready") {
            panic!("{:?}", child.wait_with_output());
        }
        child
    }

    fn data_of(&self, process: u16) -> PathBuf {
        self.folder.join("data/a").join(format!("p{process}"))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).unwrap();
    }
}

fn kill(mut child: Child) -> Output {
    child.kill().unwrap();
    child.wait_with_output().unwrap()
}

/// The second of two replicas cannot write any more. The first is well, and its node ends all the same.
#[test]
fn a_node_of_which_a_part_fails_ends_and_says_why() {
    let place = Place::new("fails");
    let mut child = place.start(&[]);
    fs::rename(place.data_of(1).join("log"), place.folder.join("elsewhere")).unwrap();
    let mut callers = Callers::new().unwrap();
    let connection = callers.call(place.address, ClusterId(0xab), ProcessId(1)).unwrap();
    let (begin, mut heard, mut sequence) = (Instant::now(), Vec::new(), 0);
    // Until a checkpoint is due, for which the replica needs a file.
    while child.try_wait().unwrap().is_none() {
        assert!(begin.elapsed() < Duration::from_secs(60), "the node lives on");
        for _ in 0..500 {
            sequence += 1;
            let message = Multicast {
                id: MessageId::new(1, sequence, 0b10),
                floor: Timestamp::ZERO,
                expiry: Timestamp::MAX,
                payload: Bytes::from_static(b"something"),
            };
            callers.say(connection, |buffer| {
                Request::Multicast(message).encode(&mut Writer::new(buffer, skein::machine::wire::VERSION));
            });
        }
        callers.wait(Some(Duration::from_millis(50)), &mut heard).unwrap();
    }
    let status = child.wait().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    assert_ne!(status.code(), Some(0), "{said}");
    assert!(said.contains("p1 stopped: cannot") && said.contains("look after the disk"), "{said}");
}

#[test]
fn a_replica_whose_directory_is_lost_joins_again_under_another_number() {
    let place = Place::new("rejoins");
    kill(place.start(&[]));
    let refused = place.command(&["--rejoin", "1"]).output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(2) && said.contains("has lost no data directory"), "{said}");
    fs::remove_dir_all(place.data_of(1)).unwrap();
    kill(place.start(&["--rejoin", "3"]));
    let identity = |process| fs::read_to_string(place.data_of(process).join("identity")).unwrap();
    assert!(identity(0).contains("incarnation 0") && identity(1).contains("incarnation 3"), "{}", identity(1));
}

#[test]
fn a_node_whose_address_is_taken_says_so_and_ends() {
    let place = Place::new("taken");
    let _other = TcpListener::bind(place.address).unwrap();
    let output = place.command(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("cannot listen at"), "{said}");
}

/// The first replica runs when the second cannot start.
#[test]
fn a_node_of_which_a_part_cannot_start_says_why_and_ends() {
    let place = Place::new("strange");
    fs::create_dir_all(place.data_of(1)).unwrap();
    fs::write(place.data_of(1).join("letters"), "not ours").unwrap();
    let output = place.command(&[]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.code() == Some(2) && said.contains("p1 cannot start") && !said.contains("panicked"),
        "{said}"
    );
}
