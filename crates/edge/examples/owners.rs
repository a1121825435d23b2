//! Whose a key is, without asking anybody: keys among servers of which one is
//! twice as big as the others, and what moves when one dies.

use std::collections::BTreeMap;

use skein_edge::owners::{Owners, USUAL_WEIGHT};
use skein_edge::{MemberId, Name};

const KEYS: usize = 10_000;

fn shares(owners: &Owners, names: &BTreeMap<MemberId, &str>) -> BTreeMap<usize, String> {
    let key = |nth: usize| format!("origin-{nth}.example");
    (0..KEYS).filter_map(|nth| Some((nth, names[&owners.owner(key(nth).as_bytes())?].to_owned()))).collect()
}

fn main() {
    let servers = [("cph", USUAL_WEIGHT), ("fra", USUAL_WEIGHT), ("nrt", 2 * USUAL_WEIGHT), ("sin", USUAL_WEIGHT)];
    let id = |name: &str| Name::new(name).expect("a short word").id();
    let names: BTreeMap<MemberId, &str> = servers.iter().map(|(name, _)| (id(name), *name)).collect();
    let all = Owners::new(servers.iter().map(|(name, weight)| (id(name), *weight)));

    let turns: Vec<&str> = all.priorities(b"origin-7.example").iter().map(|id| names[id]).collect();
    println!("origin-7.example belongs to {}; then it is the turn of {}", turns[0], turns[1..].join(", "));

    let before = shares(&all, &names);
    for (name, weight) in servers {
        println!("{name} (weight {weight}) owns {}", before.values().filter(|owner| *owner == name).count());
    }

    let fewer =
        Owners::new(servers.iter().filter(|(name, _)| *name != "fra").map(|(name, weight)| (id(name), *weight)));
    let after = shares(&fewer, &names);
    let moved: Vec<_> = (0..KEYS).filter(|nth| before[nth] != after[nth]).collect();
    println!("fra dies: {} keys have another owner, and fra owned each of them", moved.len());
    assert!(moved.iter().all(|nth| before[nth] == "fra"));
}
