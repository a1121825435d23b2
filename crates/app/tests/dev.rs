//! The main road: a cluster in one command, killed and started again, with a
//! shell's commands beside it.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../../runtime/tests/ports/mod.rs"]
mod ports;

/// A folder that is gone with the test, and a cluster in it.
struct Stage {
    folder: PathBuf,
    port: u16,
    http: u16,
    redis: u16,
    dev: Option<Child>,
}

impl Stage {
    fn new() -> Stage {
        let folder = std::env::temp_dir().join(format!("skein-dev-test-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        Stage { folder, port: ports::row(3), http: ports::row(3), redis: ports::row(3), dev: None }
    }

    fn start(&mut self) {
        let (port, http) = (self.port.to_string(), self.http.to_string());
        let redis = self.redis.to_string();
        let mut command = skein(&["dev", "--json", "--port", &port, "--http", &http, "--redis", &redis, "--data"]);
        let mut dev = command.arg(&self.folder).stdout(Stdio::piped()).spawn().unwrap();
        let begin = Instant::now();
        let mut line = String::new();
        BufReader::new(dev.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("\"kind\":\"ready\""), "{line}");
        assert!(begin.elapsed() < Duration::from_secs(20), "it took {:?}", begin.elapsed());
        self.dev = Some(dev);
    }

    /// Runs a command against the cluster and answers what it prints.
    fn ask(&self, arguments: &[&str], input: &str) -> String {
        let mut command = skein(arguments);
        command.env("SKEIN_CONFIG", self.folder.join("skein.toml")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if let Some(dev) = &mut self.dev {
            let _ = dev.kill();
            let _ = dev.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn skein(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(arguments);
    command
}

#[test]
fn a_cluster_in_one_command_survives_being_killed() {
    let mut stage = Stage::new();
    stage.start();
    let answer = stage.ask(&["multicast", "g0,g2", "hello"], "");
    assert!(answer.contains(": g0 ") && answer.contains("g2 "), "{answer}");
    assert_eq!(stage.ask(&["multicast", "g1", "-"], "a\nb\nc\n").lines().count(), 3);

    let status = stage.ask(&["status"], "");
    assert_eq!(status.matches("primary").count(), 3, "{status}");
    assert!(!status.contains('!'), "{status}");

    // As hard as it gets: every node at once.
    let mut dev = stage.dev.take().unwrap();
    dev.kill().unwrap();
    dev.wait().unwrap();
    let answer = stage.ask(&["multicast", "g1", "nobody is there"], "");
    let status = stage.ask(&["status"], "");
    assert!(status.contains("g2 has 0 of 3 replicas and needs 2"), "{status}");
    assert!(answer.contains("nobody of g1 answers") && answer.contains("is the cluster up?"), "{answer}");

    stage.start();
    let mut follower = skein(&["tail", "g1", "--json"]);
    follower.env("SKEIN_CONFIG", stage.folder.join("skein.toml")).stdout(Stdio::piped());
    let mut follower = follower.spawn().unwrap();
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    std::thread::sleep(Duration::from_millis(500));
    let answer = stage.ask(&["multicast", "g1,g2", "after"], "");
    assert!(answer.contains("g1 ") && answer.contains("g2 "), "{answer}");
    // Nothing that was acknowledged is lost: it is the fourth delivery of its group.
    // (What the replica delivers anew after its restart, it tells as well.)
    let line = lines.map(Result::unwrap).find(|line| line.contains("\"text\":\"after\"")).unwrap();
    assert!(line.contains("\"position\":3,"), "{line}");
    follower.kill().unwrap();
    follower.wait().unwrap();
    let report = stage.ask(&["log", "check", stage.folder.join("data/north/p0").to_str().unwrap()], "");
    assert!(report.contains("use"), "{report}");
}

#[test]
fn mistakes_are_told() {
    let nowhere = skein(&["multicast", "g0", "x"]).current_dir(std::env::temp_dir()).output().unwrap();
    assert_eq!(nowhere.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&nowhere.stderr).contains("`skein dev`"));
    let absent = skein(&["node", "--config", "/nowhere/skein.toml", "--node", "a"]).output().unwrap();
    assert!(String::from_utf8_lossy(&absent.stderr).contains("cannot read /nowhere/skein.toml"));
}
