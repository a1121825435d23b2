//! Mu in weather: a few of the runs of `skein sim mu`.

// What runs a simulated cluster of Mu lives where the command line uses it too.
#[path = "../../app/src/mu_sim/mod.rs"]
#[allow(dead_code, unreachable_pub, unused_imports)]
mod mu_sim;

use mu_sim::{Counts, Plan, run_seed};
use skein_sim::MILLISECOND;

fn run(plan: &Plan, seeds: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in 0..seeds {
        let outcome = run_seed(seed, plan);
        assert_eq!(outcome.violations, [], "seed {seed}");
        counts += outcome.counts;
    }
    assert!(counts.crashes > 0 && counts.pauses > 0 && counts.states > 0 && counts.leaders > seeds, "{counts:?}");
    counts
}

#[test]
fn a_log_in_shared_memory_survives_weather() {
    run(&Plan::shared(600 * MILLISECOND), 40);
}

#[test]
fn a_log_in_memories_across_a_network_survives_weather() {
    let counts = run(&Plan::network(600 * MILLISECOND), 40);
    assert!(counts.losses > 0 && counts.breaks > 0, "{counts:?}");
}

#[test]
fn a_seed_means_the_same_twice() {
    let plan = Plan { traces: true, ..Plan::network(100 * MILLISECOND) };
    assert_eq!(run_seed(7, &plan).trace, run_seed(7, &plan).trace);
}

#[cfg(feature = "mutants")]
#[test]
fn broken_rules_are_caught() {
    use skein_order::{Mutant, Planted};

    let quick = [
        (Mutant::MuTrustsTheWrite, 40),
        (Mutant::MuOmitsPrepare, 20),
        (Mutant::MuDecidesByAMinority, 60),
        (Mutant::MuRecyclesTooEarly, 20),
        (Mutant::MuAppliesUndecided, 20),
    ];
    for (mutant, seeds) in quick {
        let plan = Plan { planted: Planted::bug(mutant), ..Plan::shared(600 * MILLISECOND) };
        let caught = (0..seeds).any(|seed| !run_seed(seed, &plan).violations.is_empty());
        assert!(caught, "{mutant:?}");
    }
}
