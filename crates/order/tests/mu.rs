//! Mu in weather: the same runs as `skein sim run --protocol mu`.

// What runs a simulated cluster of Mu lives where the command line uses it too.
#[path = "../../app/src/mu_sim/mod.rs"]
#[allow(dead_code, unreachable_pub)]
mod mu_sim;

use mu_sim::{Counts, Plan, run_seed};
use skein_order::Planted;
use skein_sim::{MILLISECOND, Nanos};

fn plan(span: Nanos) -> Plan {
    Plan { replicas: 3, span, is_network: false, planted: Planted::NONE, traces: false }
}

fn run(plan: &Plan, seeds: std::ops::Range<u64>) -> Counts {
    let mut counts = Counts::default();
    for seed in seeds {
        let outcome = run_seed(seed, plan);
        if let Some(violation) = outcome.violations.first() {
            let trace = run_seed(seed, &Plan { traces: true, ..plan.clone() }).trace;
            if let Ok(file) = std::env::var("TRACE") {
                std::fs::write(file, trace).unwrap();
            }
            panic!("seed {seed}: {violation:?}");
        }
        counts += outcome.counts;
    }
    println!("{counts:?}");
    counts
}

#[test]
fn a_shared_memory_in_weather() {
    let from = std::env::var("FROM").map_or(0, |from| from.parse().unwrap());
    let many = std::env::var("MANY").map_or(20, |many| many.parse().unwrap());
    run(&plan(300 * MILLISECOND), from..from + many);
}
