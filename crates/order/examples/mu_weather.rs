//! Many seeds of Mu in weather without the whole binary around them, for whoever works on the protocol:
//! `cargo run --release -p skein-order --example mu_weather -- [0..1000] [network] [replicas=5] [trace]`.

#[path = "../../app/src/mu_sim/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod mu_sim;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use mu_sim::{Counts, Plan, run_seed};
use skein_order::Planted;
use skein_sim::MILLISECOND;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let seeds = words.iter().find_map(|range| range.split_once("..")).unwrap_or(("0", "20"));
    let (from, to): (u64, u64) = (seeds.0.parse().expect("a number"), seeds.1.parse().expect("a number"));
    let is = |word: &str| words.iter().any(|other| other == word);
    let mut plan = if is("network") { Plan::network(600 * MILLISECOND) } else { Plan::shared(600 * MILLISECOND) };
    for word in &words {
        if let Some(replicas) = word.strip_prefix("replicas=") {
            plan.replicas = replicas.parse().expect("a number");
        }
        if let Some(name) = word.strip_prefix("bug=") {
            plan.planted = bug(name);
        }
    }
    plan.traces = is("trace");
    let next = AtomicU64::new(from);
    let all = Mutex::new(Counts::default());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= to {
                        break;
                    }
                    let outcome = run_seed(seed, &plan);
                    print!("{}", outcome.trace);
                    for violation in &outcome.violations {
                        println!("seed {seed}: {}: {:.300}", violation.property, violation.detail);
                    }
                    *all.lock().expect("nobody panics with it") += outcome.counts;
                }
            });
        }
    });
    println!("{:?}", all.into_inner().expect("nobody panics with it"));
}

#[cfg(feature = "mutants")]
fn bug(name: &str) -> Planted {
    use skein_order::Mutant;
    let found = Mutant::MU.iter().find(|bug| format!("{bug:?}") == name);
    Planted::bug(*found.unwrap_or_else(|| panic!("{name} is none of {:?}", Mutant::MU)))
}

#[cfg(not(feature = "mutants"))]
fn bug(_: &str) -> Planted {
    panic!("bugs can be planted with --features mutants only")
}
