//! A rolling upgrade: nodes of the new build that are held at the version of the
//! one before, and are let go one after the other, while clients go on.

use super::place::{Place, signal};
use super::ports;

/// Three nodes with a replica each.
fn place() -> Place {
    let mut config = "cluster = \"00000000000000ae\"\ndata = \"data\"\n".to_owned();
    for (address, node) in ports::some::<3>().into_iter().zip(NODES) {
        config += &format!("nodes.{node}.address = \"{address}\"\n");
    }
    config += "[[groups]]\nname = \"g\"\nreplicas = [\"a\", \"b\", \"c\"]\n";
    Place::with("versions", &config)
}

const NODES: [&str; 3] = ["a", "b", "c"];

/// Through whichever node answers.
fn deliver(place: &Place, text: &str) {
    let said = place.multicast(text);
    assert!(said.contains(": g "), "{said}");
}

#[test]
fn nodes_are_upgraded_one_after_the_other() {
    let mut place = place();
    // Said in each of the ways in which it can be.
    let old = std::fs::read_to_string(place.folder.join("skein.toml")).unwrap();
    std::fs::write(place.folder.join("old.toml"), format!("speak_version = 1\n{old}")).unwrap();
    place.start("old.toml", "a", &[]);
    place.start("skein.toml", "b", &["--speak-version", "1"]);
    place.start("skein.toml", "c", &["--speak-version=1"]);
    let shown = place.says(&["config", "show", "old.toml", "--node", "a"]);
    assert!(shown.contains("speak_version 1 ") && shown.contains("the configuration"), "{shown}");
    deliver(&place, "all at the old version");
    for node in NODES {
        let mut child = place.take(node);
        signal("TERM", &child);
        child.wait().unwrap();
        place.start("skein.toml", node, &[]);
        deliver(&place, "old and new");
    }
    for (node, replica) in NODES.into_iter().zip(["p0", "p1", "p2"]) {
        let mut child = place.take(node);
        signal("TERM", &child);
        child.wait().unwrap();
        let report = place.says(&["log", "check", &format!("data/{node}/{replica}")]);
        assert!(
            report.contains("00000001.log: from record 1 on, in version 1, ") && report.contains("sound"),
            "{report}"
        );
        assert!(report.contains("00000002.log: from record ") && !report.contains("in version 2"), "{report}");
    }
    place.start("skein.toml", "a", &[]);
    place.start("skein.toml", "b", &[]);
    deliver(&place, "after all logs of two versions were read");
}
