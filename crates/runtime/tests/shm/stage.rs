//! Folders that go when a test ends, plans, and other processes with a role.

use std::io::{BufRead, BufReader, Lines, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use skein_machine::ClusterId;
use skein_runtime::shm::{Measure, Plan};

const ROLE: &str = "SKEIN_TEST_SHM_ROLE";
const FOLDER: &str = "SKEIN_TEST_SHM_FOLDER";

/// Where sets are made, in the memory of the machine if it has a place for that.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    pub(crate) fn new() -> Scratch {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let shared = Path::new("/dev/shm");
        let parent = if shared.is_dir() { shared.to_owned() } else { std::env::temp_dir() };
        let path = parent.join(format!("skein-shm-{}-{}", std::process::id(), NEXT.fetch_add(1, Relaxed)));
        std::fs::create_dir(&path).unwrap();
        Scratch(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// Where a set is made.
    pub(crate) fn set(&self) -> PathBuf {
        self.0.join("mu")
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// Three replicas, with as many words each.
pub(crate) fn plan_of(words: usize) -> Plan {
    let shape = vec![Measure { name: "slots", value: 16 }, Measure { name: "bytes of a slot", value: 64 }];
    Plan { cluster: ClusterId(0x5ea), replicas: 3, words, shape }
}

pub(crate) fn plan() -> Plan {
    plan_of(3_000)
}

/// The names in a folder, in order.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What this process is to do, if it is another one's child.
pub(crate) fn role() -> Option<(String, PathBuf)> {
    Some((std::env::var(ROLE).ok()?, std::env::var(FOLDER).ok()?.into()))
}

/// Gives a command the role.
pub(crate) fn cast(mut command: Command, role: &str, folder: &Path) -> Command {
    command.env(ROLE, role).env(FOLDER, folder).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// This binary, as another process would start it.
pub(crate) const PART: [&str; 3] = ["child", "--exact", "--nocapture"];

/// Another process, to which one line is said at a time.
pub(crate) struct Actor {
    pub(crate) process: Child,
    says: Lines<BufReader<ChildStdout>>,
    hears: ChildStdin,
}

impl Actor {
    pub(crate) fn start(role: &str, folder: &Path) -> Actor {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(PART);
        let mut process = cast(command, role, folder).spawn().unwrap();
        let says = BufReader::new(process.stdout.take().unwrap()).lines();
        let hears = process.stdin.take().unwrap();
        Actor { process, says, hears }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.hears, "{line}").unwrap();
    }

    /// What it says next, or nothing if it is gone.
    pub(crate) fn hear(&mut self) -> Option<String> {
        // What the harness says of the test that plays the role comes in between.
        self.says.by_ref().map_while(Result::ok).find_map(|line| line.strip_prefix("> ").map(str::to_owned))
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Actor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What the child says to its parent.
pub(crate) fn say(line: impl std::fmt::Display) {
    println!("\n> {line}");
}

/// What the parent says to its child.
pub(crate) fn listen() -> Option<String> {
    let mut line = String::new();
    let length = std::io::stdin().read_line(&mut line).unwrap();
    (length > 0).then(|| line.trim_end().to_owned())
}
