//! Whole runs under every kind of fault, with a multicast that survives them:
//! it proves that the world strikes, and strikes only as a real one does.

mod all_copies;

use std::sync::Arc;

use all_copies::{AllCopies, Mutant};
use skein_machine::Cluster;
use skein_sim::check::{Claims, RealTime};
use skein_sim::{Counts, Load, Mix, Outcome, Plan, SECOND, Scenario, Trace, run_seed};

fn plan(groups: usize, replicas: usize, outsiders: usize) -> Plan {
    let cluster = Arc::new(Cluster::regular(groups, replicas, outsiders).unwrap());
    Plan {
        scenario: Scenario::Swarm,
        load: Load { per_second: 20.0, mix: Mix::usual(&cluster), payload: 32, misbehaves: true },
        duration: 60 * SECOND,
        claims: Claims { real_time: Some(RealTime::Deliveries), ..Claims::CLASSIC },
        clock_bound: None,
        cluster,
    }
}

fn run(plan: &Plan, seed: u64, mutant: Option<Mutant>, trace: Option<Trace>) -> Outcome {
    let cluster = plan.cluster.clone();
    run_seed(plan, seed, trace, move |me, boot| AllCopies::new(me, cluster.clone(), boot, mutant))
}

/// Runs seeds that must be flawless, and answers what happened in them.
fn run_well(plan: &Plan, seeds: std::ops::Range<u64>) -> Vec<Counts> {
    seeds
        .map(|seed| {
            let outcome = run(plan, seed, None, None);
            assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
            outcome.counts
        })
        .collect()
}

/// Every kind of fault must really have happened, often.
fn assert_struck(all: &[Counts]) {
    let sum = |count: fn(&Counts) -> u64| all.iter().map(count).sum::<u64>();
    let seeds = all.len() as u64;
    let sums = [
        ("crashes", sum(|counts| counts.faults.crashes)),
        ("restarts", sum(|counts| counts.faults.restarts)),
        ("partitions", sum(|counts| counts.faults.partitions)),
        ("disk faults", sum(|counts| counts.faults.disk_faults)),
        ("clock faults", sum(|counts| counts.faults.clock_faults)),
        ("multicasts / 200", sum(|counts| counts.multicasts) / 200),
        ("deliveries / 400", sum(|counts| counts.deliveries) / 400),
    ];
    for (what, sum) in sums {
        println!("{what}: {:.2} a seed", sum as f64 / seeds as f64);
    }
    for (what, sum) in sums {
        assert!(sum >= seeds / 2, "{sum} {what} in {seeds} seeds");
    }
}

#[test]
fn two_groups_of_three_survive_the_swarm() {
    assert_struck(&run_well(&plan(2, 3, 1), 0..20));
}

/// Nobody may forget here: a group of one has no minority.
#[test]
fn three_groups_of_one_survive_the_swarm() {
    assert_struck(&run_well(&plan(3, 1, 1), 1_000..1_020));
}

#[test]
fn one_group_of_five_survives_the_swarm() {
    assert_struck(&run_well(&plan(1, 5, 0), 2_000..2_020));
}

/// By hand, in release: `SEEDS=5000 cargo test --release --test swarm -- --ignored --nocapture`.
#[test]
#[ignore = "takes minutes"]
fn thousands_of_seeds() {
    let seeds: u64 = std::env::var("SEEDS").map_or(1_000, |text| text.parse().expect("SEEDS is a number"));
    let base: u64 = std::env::var("BASE").map_or(0, |text| text.parse().expect("BASE is a number"));
    for (groups, replicas, outsiders) in [(2, 3, 1), (3, 1, 1), (1, 5, 0), (1, 3, 0)] {
        let plan = plan(groups, replicas, outsiders);
        let mut bad = 0;
        let mut all = Vec::new();
        for seed in base..base + seeds {
            let outcome = run(&plan, seed, None, None);
            if !outcome.violations.is_empty() && bad < 5 {
                bad += 1;
                println!("{groups}x{replicas} seed {seed}: {:#?}", outcome.violations);
            }
            all.push(outcome.counts);
        }
        println!("{groups}x{replicas}: {bad} bad seeds");
        assert_struck(&all);
        assert_eq!(bad, 0);
    }
}
