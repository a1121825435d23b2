//! `skein explain` against real nodes: a message is told of by everybody whom
//! it concerns, one that waits says for whom, and slow ones are found.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::place::Place;
use crate::ports;

/// Two groups of three over three nodes that run.
fn cluster(name: &str) -> Place {
    let mut config = "cluster = \"00000000000000ab\"\nstorage = \"memory\"\ndata = \"data\"\n".to_owned();
    for node in ["a", "b", "c"] {
        let (address, http) = (ports::free(), ports::free());
        config += &format!("[nodes.{node}]\naddress = \"{address}\"\nhttp = \"{http}\"\n");
    }
    config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    config += "[[groups]]\nname = \"h\"\nreplicas = [\"b\", \"c\", \"a\"]\n";
    let mut place = Place::with(name, &config);
    ["a", "b", "c"].into_iter().for_each(|node| place.start("skein.toml", node, &[]));
    place
}

fn send(place: &Place, groups: &str) -> String {
    let said = place.says(&["multicast", groups, "hello"]);
    let name = said.split_whitespace().next().unwrap().to_owned();
    assert!(name.starts_with('s') && said.contains(" at "), "{said}");
    name
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A multicast that nobody waits for, until it is dropped.
struct Sending(Child);

impl Drop for Sending {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_message_is_explained_by_everybody_whom_it_concerns() {
    let place = cluster("explain");
    let message = send(&place, "g,h");
    wait_until("it is delivered everywhere", || {
        place.says(&["explain", &message]).contains("Delivered at all 6 replicas")
    });
    let said = place.says(&["explain", &message]);
    assert!(said.starts_with(&format!("{message} to g,h at ")), "{said}");
    for line in ["g       p0", "g       p1", "g       p2", "h       p3", "h       p4", "h       p5"] {
        assert!(said.lines().any(|row| row.starts_with(line)), "{line} in {said}");
    }
    assert!(said.contains("the slowest, p") && said.contains(" and waited "), "{said}");
    assert_eq!(said.matches("a client").count(), 1, "one replica was asked: {said}");

    // The same for scripts: each step of each replica, and waits that add up.
    let json = place.says(&["explain", message.trim_start_matches('s'), "--json"]);
    let stories: Vec<serde_json::Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(stories.len(), 6, "{json}");
    for story in &stories {
        assert_eq!(story["message"], message.as_str());
        let waits = &story["waits"];
        let waits = ["proposals_us", "majorities_us", "clocks_us", "turn_us"].map(|name| waits[name].as_f64().unwrap());
        let took = story["took_us"].as_f64().unwrap();
        assert!((waits.iter().sum::<f64>() - took).abs() < 1.0, "{story}");
        assert_eq!(story["delivered_us"].as_f64(), Some(took), "{story}");
        let steps = story["steps"].as_array().unwrap();
        assert_eq!(steps.len(), 2);
        for step in steps {
            let (proposed, majority) = (step["proposed_us"].as_f64(), step["majority_us"].as_f64());
            // A majority of followers may be heard before the primary itself.
            assert!(proposed.is_some_and(|us| us <= took) && majority.is_some_and(|us| us <= took), "{story}");
            assert!(step["timestamp"].as_u64() <= story["timestamp"].as_u64(), "{story}");
        }
    }

    let slow = place.says(&["explain", "--slow"]);
    assert!(slow.contains(&message) && slow.contains("took  at "), "{slow}");
    let slow = place.says(&["explain", "--slow", "--json"]);
    let slow: serde_json::Value = serde_json::from_str(slow.lines().next().unwrap()).unwrap();
    assert!(slow["took_us"].as_f64().unwrap() > 0.0 && slow["waited_for"].is_string(), "{slow}");

    let only_g = send(&place, "g");
    wait_until("it is delivered in g", || place.says(&["explain", &only_g]).contains("Delivered at all 3 replicas"));

    let unknown = place.says(&["explain", "s1.1"]);
    assert!(unknown.contains("nobody remembers s1.1") && unknown.contains("last 4,096 deliveries"), "{unknown}");
    assert!(place.says(&["explain", "hello"]).contains("names no message"));
    assert_eq!(place.skein(&["explain", "s1.1"]).output().unwrap().status.code(), Some(2));
}

/// Two nodes stop answering, and with them a majority of both groups.
#[test]
fn a_message_that_waits_says_for_whom() {
    let mut place = cluster("explain-waits");
    let done = send(&place, "g,h");
    place.kill("b");
    place.kill("c");
    let mut command: Command = place.skein(&["multicast", "g", "is anybody there"]);
    let _sending = Sending(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    // Nobody was told what it is called, but the primary knows: it is the first of its session.
    let status = |name: &str| {
        let said = place.says(&["status", "--json"]);
        let node: serde_json::Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
        node["replicas"][0]["gauges"][name].as_u64().unwrap()
    };
    wait_until("the primary holds it", || status("pending") == 1);
    let said = place.says(&["explain", &done]);
    assert!(said.contains("node b does not answer") && said.contains("Delivered at 2 of 6 replicas"), "{said}");
    let waiting = place.says(&["explain", "--waiting"]);
    assert!(waiting.contains("for a majority of g to hold it: p1, p2 did not say so yet"), "{waiting}");
}
