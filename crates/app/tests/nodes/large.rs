//! Messages of megabytes: a replica that missed more of them than the others
//! keep for it comes back, and then holds all that a majority must.

use std::time::{Duration, Instant};

use skein::client::Client;
use skein::config::Config;
use skein::machine::GroupId;

use super::place::Place;
use super::ports;

const LENGTH: usize = 4 << 20;

/// Together more than a log keeps for those behind, and after a checkpoint.
const MISSED: usize = 36;

fn place() -> Place {
    let addresses = ports::some::<6>();
    let address = |nth: usize| addresses[nth].to_string();
    let mut config = "cluster = \"00000000000000ae\"\ndata = \"data\"\n".to_owned();
    for (nth, node) in ["a", "b", "c"].into_iter().enumerate() {
        config += &format!("nodes.{node} = {{ address = \"{}\", http = \"{}\" }}\n", address(nth), address(nth + 3));
    }
    config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    Place::with("large", &config)
}

/// Waits until `skein status` says so of a node.
fn wait_until(place: &Place, is_so: impl Fn(&str) -> bool) {
    let begin = Instant::now();
    loop {
        let status = place.says(&["status", "--config", "skein.toml", "--json"]);
        if is_so(&status) {
            return;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{status}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn a_replica_that_missed_a_hundred_megabytes_comes_back() {
    let mut place = place();
    for node in ["a", "b", "c"] {
        place.start("skein.toml", node, &[]);
    }
    place.multicast("one");
    place.kill("c");
    let group = [GroupId::new(0).unwrap()].into_iter().collect();
    let mut client = Client::new(Config::read(&place.folder.join("skein.toml")).unwrap()).unwrap();
    for _ in 0..MISSED {
        client.multicast(group, vec![7; LENGTH].into()).unwrap();
    }
    drop(client);

    place.start("skein.toml", "c", &[]);
    let delivered = format!("\"delivered\":{}", MISSED + 1);
    wait_until(&place, |status| status.replace(' ', "").matches(&delivered).count() == 3);
    // The two that are left are a majority, and must hold everything.
    place.kill("a");
    let begin = Instant::now();
    while !place.multicast("two").contains(": g ") {
        assert!(begin.elapsed() < Duration::from_secs(60), "{}", place.log_of("c"));
    }
}
