//! A node's machine is lost, and another one takes its place, while clients go
//! on: what an operator does, step by step.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::place::Place;
use super::ports;

/// Three nodes with a replica each, and two ports for a fourth.
fn place_with_room(name: &str) -> (Place, [String; 2]) {
    let addresses = ports::some::<5>();
    let address = |nth: usize| addresses[nth].to_string();
    let mut config = "cluster = \"00000000000000ad\"\ndata = \"data\"\n".to_owned();
    for (nth, node) in ["a", "b", "c"].into_iter().enumerate() {
        config += &format!("nodes.{node}.address = \"{}\"\n", address(nth));
    }
    config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    (Place::with(&format!("replace-{name}"), &config), [address(3), address(4)])
}

/// Tries until a message is delivered.
fn deliver(place: &Place, text: &str) {
    let begin = Instant::now();
    loop {
        let said = place.multicast(text);
        if said.contains(" at ") && said.contains(": g ") {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{said}");
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
    let (mut place, [address, http]) = place_with_room("lost");
    for node in ["a", "b", "c"] {
        place.start("skein.toml", node, &[]);
    }
    deliver(&place, "one");
    place.kill("c");
    fs::copy(place.folder.join("skein.toml"), place.folder.join("old.toml")).unwrap();
    let told = place.says(&["admin", "replace", "c", "d", "--address", &address, "--http", &http]);
    assert!(told.contains("1 replicas live at d, and none at c") && told.contains("to a, b and d"), "{told}");

    for node in ["a", "b"] {
        place.signal("HUP", node);
        place.wait_for(node, "has moved", 1);
        place.wait_for(node, "the configuration is read again", 1);
    }
    place.start("skein.toml", "d", &["--rejoin", "1"]);
    deliver(&place, "two");

    // Once it is taken in, it counts as one of three: another one can be missed.
    wait_until_ready(&http);
    place.kill("a");
    deliver(&place, "three");

    // The old one comes back with what it had. Nobody looks for it where it is.
    place.start("old.toml", "c", &[]);
    deliver(&place, "four");
}

#[test]
fn a_running_cluster_cannot_become_another_one() {
    let (mut place, [address, _]) = place_with_room("running");
    place.start("skein.toml", "a", &[]);
    let file = place.folder.join("skein.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("[\"a\", \"b\", \"c\"]", "[\"a\"]")).unwrap();
    place.signal("HUP", "a");
    place.wait_for("a", "it describes another cluster", 1);
    fs::write(&file, "nonsense").unwrap();
    place.signal("HUP", "a");
    place.wait_for("a", "stays in force error=\"skein.toml: TOML parse error", 1);

    // Another one takes its place while it runs: it stops, and all is well.
    fs::write(&file, text).unwrap();
    place.says(&["admin", "replace", "a", "d", "--address", &address]);
    place.signal("HUP", "a");
    place.wait_for("a", "nobody lives here any more", 1);
    assert!(place.take("a").wait().unwrap().success(), "{}", place.log_of("a"));
}
