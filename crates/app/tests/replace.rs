//! A node's machine is lost, and another one takes its place, while clients go
//! on: what an operator does, step by step.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Place {
    folder: PathBuf,
    nodes: Vec<(String, Child)>,
}

impl Place {
    /// Three nodes with a replica each, and two ports for a fourth.
    fn new(name: &str) -> (Place, [String; 2]) {
        let folder = std::env::temp_dir().join(format!("skein-replace-{}-{name}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let listeners = [(); 5].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
        let address = |nth: usize| listeners[nth].local_addr().unwrap().to_string();
        let mut config = "cluster = \"00000000000000ad\"\ndata = \"data\"\n".to_owned();
        for (nth, node) in ["a", "b", "c"].into_iter().enumerate() {
            config += &format!("nodes.{node}.address = \"{}\" # {node}\n", address(nth));
        }
        config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
        fs::write(folder.join("skein.toml"), config).unwrap();
        let fourth = [address(3), address(4)];
        (Place { folder, nodes: Vec::new() }, fourth)
    }

    fn skein(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(arguments).current_dir(&self.folder).env_remove("SKEIN_LOG");
        command
    }

    fn says(&self, arguments: &[&str]) -> String {
        let output = self.skein(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
    }

    fn log_of(&self, node: &str) -> String {
        fs::read_to_string(self.folder.join(format!("{node}.log"))).unwrap()
    }

    fn start(&mut self, config: &str, node: &str, more: &[&str]) {
        let log = fs::File::create(self.folder.join(format!("{node}.log"))).unwrap();
        let mut command = self.skein(&["node", "--config", config, "--node", node]);
        let mut child = command.args(more).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert!(line.contains("is ready"), "{line}{}", self.log_of(node));
        self.nodes.push((node.to_owned(), child));
    }

    fn child(&mut self, node: &str) -> &mut Child {
        &mut self.nodes.iter_mut().find(|(name, _)| name == node).unwrap().1
    }

    fn kill(&mut self, node: &str) {
        self.child(node).kill().unwrap();
        self.child(node).wait().unwrap();
        self.nodes.retain(|(name, _)| name != node);
    }

    fn hang_up(&mut self, node: &str) {
        let process = self.child(node).id().to_string();
        assert!(Command::new("kill").args(["-HUP", &process]).status().unwrap().success());
    }

    fn wait_for(&self, node: &str, text: &str) {
        let begin = Instant::now();
        while !self.log_of(node).contains(text) {
            assert!(begin.elapsed() < Duration::from_secs(20), "{node} never says {text}: {}", self.log_of(node));
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Tries until a message is delivered.
    fn multicast(&self, text: &str) {
        let begin = Instant::now();
        loop {
            let said = self.says(&["multicast", "--config", "skein.toml", "g", text]);
            if said.contains(" at ") && said.contains(": g ") {
                return;
            }
            assert!(begin.elapsed() < Duration::from_secs(60), "{said}");
        }
    }
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

fn wait_until_ready(http: &str) {
    let begin = Instant::now();
    loop {
        let mut stream = TcpStream::connect(http).unwrap();
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        if answer.contains(" 200 ") {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(30), "{answer}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_node_takes_the_place_of_one_that_is_lost() {
    let (mut place, [address, http]) = Place::new("lost");
    for node in ["a", "b", "c"] {
        place.start("skein.toml", node, &[]);
    }
    place.multicast("one");
    place.kill("c");
    fs::copy(place.folder.join("skein.toml"), place.folder.join("old.toml")).unwrap();
    let told = place.says(&["admin", "replace", "c", "d", "--address", &address, "--http", &http]);
    assert!(told.contains("1 replicas live at d, and none at c") && told.contains("to a, b and d"), "{told}");

    for node in ["a", "b"] {
        place.hang_up(node);
        place.wait_for(node, "has moved");
        place.wait_for(node, "the configuration is read again");
    }
    place.start("skein.toml", "d", &["--rejoin", "1"]);
    place.multicast("two");

    // Once it is taken in, it counts as one of three: another one can be missed.
    wait_until_ready(&http);
    place.kill("a");
    place.multicast("three");

    // The old one comes back with what it had. Nobody looks for it where it is.
    place.start("old.toml", "c", &[]);
    place.multicast("four");
}

#[test]
fn a_running_cluster_cannot_become_another_one() {
    let (mut place, [address, _]) = Place::new("running");
    place.start("skein.toml", "a", &[]);
    let file = place.folder.join("skein.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[\"a\", \"b\", \"c\"]", "[\"a\"]")).unwrap();
    place.hang_up("a");
    place.wait_for("a", "it describes another cluster");
    fs::write(&file, "nonsense").unwrap();
    place.hang_up("a");
    place.wait_for("a", "stays in force error=\"skein.toml: TOML parse error");

    // Another one takes its place while it runs: it stops, and all is well.
    fs::write(&file, text).unwrap();
    place.says(&["admin", "replace", "a", "d", "--address", &address]);
    place.hang_up("a");
    place.wait_for("a", "nobody lives here any more");
    assert!(place.child("a").wait().unwrap().success(), "{}", place.log_of("a"));
}
