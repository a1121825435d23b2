//! [`Place`]: a folder in which nodes run as processes, as an operator runs
//! them. What is special about a cluster, its tests say.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A folder that is gone with the test, and its nodes with it.
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) nodes: Vec<(String, Child)>,
}

impl Place {
    /// With this configuration.
    pub(crate) fn with(name: &str, config: &str) -> Place {
        let folder = std::env::temp_dir().join(format!("skein-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("skein.toml"), config).unwrap();
        Place { folder, nodes: Vec::new() }
    }

    pub(crate) fn skein(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(arguments).current_dir(&self.folder).env_remove("SKEIN_LOG");
        command
    }

    /// Everything that a command prints.
    pub(crate) fn says(&self, arguments: &[&str]) -> String {
        let output = self.skein(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    /// Sends a message and answers what is said of it.
    pub(crate) fn multicast(&self, text: &str) -> String {
        self.says(&["multicast", "--config", "skein.toml", "g", text])
    }

    pub(crate) fn log_of(&self, node: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{node}.log"))).unwrap()
    }

    pub(crate) fn start(&mut self, config: &str, node: &str, more: &[&str]) {
        self.start_as(node, &[&["node", "--config", config, "--node", node], more].concat());
    }

    /// Starts a process that says in its first line that it is ready.
    pub(crate) fn start_as(&mut self, node: &str, arguments: &[&str]) {
        let log = fs::File::create(self.folder.join(format!("{node}.log"))).unwrap();
        let mut child = self.skein(arguments).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("is ready"), "{line}{}", self.log_of(node));
        self.nodes.push((node.to_owned(), child));
    }

    pub(crate) fn take(&mut self, node: &str) -> Child {
        let nth = self.nodes.iter().position(|(name, _)| name == node).unwrap();
        self.nodes.remove(nth).1
    }

    pub(crate) fn kill(&mut self, node: &str) {
        let mut child = self.take(node);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    pub(crate) fn signal(&self, name: &str, node: &str) {
        let (_, child) = self.nodes.iter().find(|(other, _)| other == node).unwrap();
        signal(name, child);
    }

    /// Waits until a node has said something so many times.
    pub(crate) fn wait_for(&self, node: &str, text: &str, times: usize) {
        let begin = Instant::now();
        while self.log_of(node).matches(text).count() < times {
            assert!(begin.elapsed() < Duration::from_secs(20), "{node} never says {text}: {}", self.log_of(node));
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

pub(crate) fn signal(name: &str, child: &Child) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

impl Drop for Place {
    fn drop(&mut self) {
        for (_, child) in &mut self.nodes {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
