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
    run(&plan(600 * MILLISECOND), from..from + many);
}

#[test]
fn memories_across_a_network_in_weather() {
    let from = std::env::var("FROM").map_or(0, |from| from.parse().unwrap());
    let many = std::env::var("MANY").map_or(20, |many| many.parse().unwrap());
    run(&Plan { is_network: true, ..plan(600 * MILLISECOND) }, from..from + many);
}

#[cfg(feature = "mutants")]
#[test]
fn every_broken_rule_is_caught() {
    use skein_order::Mutant;
    let many = || std::env::var("SEEDS").map_or(300, |many| many.parse().unwrap());
    let only = std::env::var("BUG").unwrap_or_default();
    let all = [
        Mutant::MuTrustsTheWrite,
        Mutant::MuReusesPlaces,
        Mutant::MuCopiesTooEarly,
        Mutant::MuOmitsPrepare,
        Mutant::MuPreparesAtAMinority,
        Mutant::MuDecidesByAMinority,
        Mutant::MuReportsWhatWasReplaced,
        Mutant::MuAppliesTwice,
        Mutant::MuRecyclesTooEarly,
        Mutant::MuAdoptsAny,
        Mutant::MuJoinsWithoutLooking,
        Mutant::MuCountsLostMemories,
        Mutant::MuAppliesUndecided,
    ];
    for mutant in all.into_iter().filter(|mutant| format!("{mutant:?}").contains(&only)) {
        let planted = Planted::bug(mutant);
        for is_network in [false, true] {
            let plan = Plan { planted, is_network, ..plan(600 * MILLISECOND) };
            let caught = (0..many()).find_map(|seed| {
                let found = std::panic::catch_unwind(|| run_seed(seed, &plan).violations.first().cloned());
                match found {
                    Ok(None) => None,
                    Ok(Some(violation)) => Some((seed, format!("{violation:?}"))),
                    Err(_) => Some((seed, "panic".to_owned())),
                }
            });
            println!(
                "{mutant:?} {is_network}: {:?}",
                caught.map(|(seed, why)| (seed, why.chars().take(150).collect::<String>()))
            );
        }
    }
}
