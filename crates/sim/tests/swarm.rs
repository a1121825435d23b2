//! Whole runs under every kind of fault, with a multicast that survives them:
//! it proves that the world strikes, and strikes only as a real one does.

mod all_copies;

use std::collections::BTreeSet;
use std::ops::Range;

use all_copies::plan::{plan, run};
use skein_sim::{Counts, Plan, SECOND, Scenario, Trace};

/// Twenty seeds, or those of the environment:
/// `SEEDS=2000 BASE=7 cargo test --release -p skein-sim --test swarm -- --nocapture`.
fn seeds() -> Range<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let base = number("BASE").unwrap_or(0);
    base..base + number("SEEDS").unwrap_or(20)
}

/// Runs seeds that must be flawless, and answers what happened in them.
fn run_well(plan: &Plan, seeds: Range<u64>) -> Vec<Counts> {
    let run_one = |seed| {
        let outcome = run(plan, seed, None, None);
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        outcome.counts
    };
    seeds.map(run_one).collect()
}

/// A run in which nothing happens proves nothing.
fn assert_eventful(all: &[Counts]) {
    let seeds = all.len() as u64;
    let sum = |count: fn(&Counts) -> u64| all.iter().map(count).sum::<u64>();
    let bars = [
        ("crashes", sum(|counts| counts.faults.crashes), seeds),
        ("restarts", sum(|counts| counts.faults.restarts), seeds),
        ("partitions", sum(|counts| counts.faults.partitions), seeds / 2),
        ("disk faults", sum(|counts| counts.faults.disk_faults), seeds / 2),
        ("clock faults", sum(|counts| counts.faults.clock_faults), seeds / 2),
        ("multicasts", sum(|counts| counts.multicasts), 100 * seeds),
        ("deliveries", sum(|counts| counts.deliveries), 200 * seeds),
    ];
    for (what, sum, bar) in bars {
        println!("{what}: {:.2} a seed", sum as f64 / seeds as f64);
        assert!(sum >= bar, "{sum} {what} in {seeds} seeds, where {bar} are few");
    }
}

#[test]
fn two_groups_of_three_survive_the_swarm() {
    assert_eventful(&run_well(&plan(2, 3, 1), seeds()));
}

/// No replica forgets here: a group of one has no minority.
#[test]
fn three_groups_of_one_survive_the_swarm() {
    assert_eventful(&run_well(&plan(3, 1, 1), seeds()));
}

#[test]
fn one_group_of_five_survives_the_swarm() {
    assert_eventful(&run_well(&plan(1, 5, 0), seeds()));
}

/// Messages that are told to have come too late, and others that are delivered without effect.
#[test]
fn what_comes_too_late_is_told_or_void() {
    let mut plan = Plan { duration: 20 * SECOND, ..plan(2, 3, 1) };
    plan.load.expiry = Some(30);
    let (mut told, mut void, mut valid) = (0, 0, 0);
    for seed in seeds() {
        let outcome = run(&plan, seed, None, Some(Trace::brief()));
        assert!(outcome.violations.is_empty(), "seed {seed}: {:#?}", outcome.violations);
        told += outcome.trace.matches(" lets s").count();
        void += outcome.trace.matches(" void\n").count();
        valid += outcome.trace.lines().filter(|line| line.contains(" delivers ") && !line.ends_with(" void")).count();
    }
    println!("{told} told, {void} void, {valid} valid");
    assert!(told > 20 && void > 20 && valid > 1_000, "{told} told, {void} void, {valid} valid");
}

/// Nothing more is asked for by a session whose message came too late, and others take its place.
#[test]
fn a_session_ends_when_it_is_told() {
    let mut plan = Plan { duration: 20 * SECOND, scenario: Scenario::Calm, ..plan(2, 3, 1) };
    plan.load.expiry = Some(20);
    let outcome = run(&plan, 1, None, Some(Trace::brief()));
    assert_eq!(outcome.violations, []);
    let mut ended = BTreeSet::new();
    for line in outcome.trace.lines() {
        let session_after =
            |words| line.split_once(words).and_then(|(_, id)| id.split_once('.')).map(|(session, _)| session);
        ended.extend(session_after(" lets "));
        let asks = session_after(" is asked to multicast ");
        assert!(asks.is_none_or(|session| !ended.contains(session)), "{line}");
    }
    assert!(ended.len() > 5, "{} sessions ended", ended.len());
    assert!(outcome.counts.multicasts > 200 && outcome.counts.deliveries > 600, "{:?}", outcome.counts);
}

/// Every kind of fault, and every way back from one, comes up within a few seeds.
#[test]
fn every_kind_of_fault_strikes() {
    let mut missing = vec![
        "crashes",
        "has its last write torn",
        "loses its disk",
        "has a bit flipped",
        "finds record",
        "stops: its disk is full",
        "stops: a sync failed",
        "stands still",
        "is cut off from",
        "hears nothing from",
        "nothing gets from",
        "breaks",
        "stands again",
        "the clock of",
        "is asked to hand over what it leads",
        "starts: Again",
        "starts: Amnesiac { incarnation: 1 }",
        "starts: Amnesiac { incarnation: 2 }",
        "p0   starts: Amnesiac",
        "hears itself: Recovered",
        "takes over",
    ];
    let plan = plan(2, 3, 1);
    for seed in 0..50 {
        let trace = run(&plan, seed, None, Some(Trace::brief())).trace;
        missing.retain(|words| !trace.contains(words));
        if missing.is_empty() {
            return;
        }
    }
    panic!("in 50 seeds nothing {missing:?}");
}

/// Whoever is told that it will be stopped is stopped: within a second, or when all faults end.
#[test]
fn notice_is_given_and_kept() {
    let plan = Plan { duration: 5 * SECOND, ..plan(2, 3, 1) };
    let mut notices = 0;
    for seed in 0..150 {
        let trace = run(&plan, seed, None, Some(Trace::brief())).trace;
        let lines: Vec<(f64, &str)> =
            trace.lines().map(|line| (line[..11].trim().parse().unwrap(), &line[12..])).collect();
        for (nth, (at, line)) in lines.iter().enumerate() {
            let Some((process, _)) = line.split_once(" is asked to hand over what it leads") else { continue };
            let is_end = |line: &str| {
                line.strip_prefix(process)
                    .is_some_and(|rest| rest.starts_with(" crashes") || rest.starts_with(" stops:"))
            };
            let end = lines[nth..].iter().find(|(_, line)| is_end(line)).map(|(at, _)| *at);
            assert!(
                end.is_some_and(|end| end <= (at + 1.000_001).min(5.0)),
                "seed {seed}: {process} is told at {at}, and ends at {end:?}"
            );
            notices += 1;
        }
    }
    assert!(notices > 20, "{notices} notices are too few to prove anything");
}

#[test]
fn a_seed_has_one_history() {
    let plan = Plan { duration: 10 * SECOND, ..plan(2, 3, 1) };
    let trace = |seed| run(&plan, seed, None, Some(Trace::full())).trace;
    let traces: Vec<String> = (0..4).map(trace).collect();
    for (seed, text) in (0..).zip(&traces) {
        assert!(trace(seed) == *text, "seed {seed} has two histories");
    }
    assert!(traces[0] != traces[1] && traces[1] != traces[2] && traces[2] != traces[3]);
}

/// Of two replicas both make a majority, so none can be spared: nobody forgets.
#[test]
fn an_even_group_loses_no_more_memory_than_it_can_spare() {
    let plan = Plan { duration: 20 * SECOND, ..plan(1, 2, 0) };
    for seed in 0..20 {
        let trace = run(&plan, seed, None, Some(Trace::brief())).trace;
        assert!(!trace.contains("Amnesiac"), "seed {seed}");
    }
}
