//! Seeds of the store under clients and faults: what is done breaks nothing, the
//! clients do all that they should, and each planted bug is caught.

use std::sync::Arc;

use skein_machine::Cluster;
use skein_service::Planted;
use skein_sim::clients::{ClientsOutcome, ClientsPlan, Habits};
use skein_sim::{SECOND, Scenario, Trace};

use crate::cli::{Served, served_of};
use crate::compose::{Clock, Protocol, Variant};

/// What a row of seeds is made of.
#[derive(Clone, Copy)]
struct Kind {
    groups: usize,
    replicas: usize,
    scenario: Scenario,
    severity: f64,
    clients: usize,
    habits: Habits,
    is_lopsided: bool,
    is_tight: bool,
    clock: Clock,
    seconds: u64,
}

const EAGER: Kind = Kind {
    groups: 2,
    replicas: 3,
    scenario: Scenario::Swarm,
    severity: 1.0,
    clients: 12,
    habits: Habits::EAGER,
    is_lopsided: false,
    is_tight: false,
    clock: Clock::Logical,
    seconds: 10,
};

/// Logs are cut at once, and faults come thick.
const TIGHT: Kind = Kind { groups: 3, is_tight: true, severity: 3.0, ..EAGER };

/// What somebody could see too soon, somebody sees.
const HASTY: Kind = Kind { groups: 3, replicas: 1, clients: 16, habits: Habits::HASTY, seconds: 6, ..EAGER };

/// The same in calm, where one hears at once of what another hears of much later.
const LOPSIDED: Kind = Kind { scenario: Scenario::Calm, is_lopsided: true, ..HASTY };

/// Deadlines come.
const HYBRID: Kind = Kind { groups: 3, clock: Clock::Hybrid, ..EAGER };

fn run(kind: &Kind, seed: u64, planted: Planted, trace: Option<Trace>) -> ClientsOutcome {
    let plan = ClientsPlan {
        cluster: Arc::new(Cluster::regular(kind.groups, kind.replicas, 0).unwrap()),
        scenario: kind.scenario,
        clients: kind.clients,
        habits: kind.habits,
        is_forgetful: false,
        is_lopsided: kind.is_lopsided,
        duration: kind.seconds * SECOND,
        clock_bound: None,
        severity: kind.severity,
    };
    let variant = Variant { clock: kind.clock, is_tight: kind.is_tight, ..Variant::PLAIN };
    served_of(Served::Kv, Protocol::PrimCast, &plan, seed, trace, variant, planted)
}

#[test]
fn nothing_goes_wrong() {
    let one = Kind { groups: 1, ..EAGER };
    for (nth, kind) in [one, EAGER, TIGHT, HASTY, LOPSIDED, HYBRID].iter().enumerate() {
        for seed in 0..3 {
            let outcome = run(kind, seed, Planted::NONE, None);
            assert!(outcome.violations.is_empty(), "kind {nth}, seed {seed}: {:#?}", outcome.violations);
            // Where somebody hears late of everything, little is done.
            let least = if kind.is_lopsided { 20 } else { 100 };
            assert!(outcome.answered > least, "kind {nth}, seed {seed}: {} answered", outcome.answered);
        }
    }
}

/// A judge of what is never asked for would say yes to anything.
#[test]
fn clients_do_all_that_there_is_and_say_it_in_words() {
    let calm = Kind { scenario: Scenario::Calm, ..HYBRID };
    let outcome = run(&calm, 1, Planted::NONE, Some(Trace::brief()));
    let told = |words: &str, what: &str| {
        let is_it = |line: &&str| line.contains(words) && line.contains(what);
        outcome.trace.lines().filter(|line| line.contains(" --  ")).filter(is_it).count()
    };
    for words in [
        "RPUSH list:",
        "APPEND str:",
        "LRANGE list:",
        "MGET str:",
        "MSETNX first:",
        "MSET ",
        "LMOVE box:",
        "RENAMENX box:",
        "COPY list:",
        "LPOP copy:",
        "GETDEL copy:",
        "SKEIN.VERSION ",
        "WATCH ",
        "MULTI; ",
        "SKEIN.RANGE str:",
        "SKEIN.RANGE home",
        "PX ",
        "GET lamp:",
        "COPY lamp:",
        "reads: ",
        "recalls: ",
    ] {
        assert!(told(words, ": done") > 0, "nobody has done {words:?}");
    }
    for words in ["WATCH ", "MSETNX ", "RENAMENX "] {
        assert!(told(words, ": nothing was done") > 0, "{words:?} never fails");
    }
    let went_out = |line: &&str| line.contains("GET lamp:") && line.contains(": done, saw") && !line.contains(", [])");
    assert!(outcome.trace.lines().any(|line| went_out(&line)), "no deadline comes");
}

/// The same seed is the same history, to the letter.
#[test]
fn a_seed_decides_everything() {
    let short = Kind { seconds: 3, ..TIGHT };
    let [one, other] = [0, 1].map(|_| run(&short, 5, Planted::NONE, Some(Trace::brief())).trace);
    assert!(one == other && one.len() > 10_000);
}

/// What is planted in replicas. The bugs of the store are hunted by `skein sim mutants`; reads of what is not settled
/// show in too few seeds of the store, and the search finds them.
#[cfg(feature = "mutants")]
#[test]
fn bugs_of_replicas_are_caught_with_the_store_too() {
    use skein_service::Mutant::*;
    // With the kind of seeds that shows it, and where to begin.
    let mutants = [
        (ReplicaForgetsNames, EAGER, 0),
        (ReplicaForgetsShares, TIGHT, 30),
        (ReplicaReadsWithoutAsking, EAGER, 0),
        (ReplicaRecallsTooLittle, EAGER, 10),
        (ReplicaSettlesEarly, LOPSIDED, 70),
        (ReplicaSharesTooEarly, EAGER, 0),
    ];
    let mut missed = Vec::new();
    for (mutant, kind, first) in mutants {
        let caught = (first..first + 400).find_map(|seed| {
            let outcome = run(&kind, seed, Planted::bug(mutant), None);
            outcome.violations.first().map(|violation| (seed, violation.to_string()))
        });
        match caught {
            Some((seed, what)) => {
                let what: String = what.chars().take(400).collect();
                println!("{mutant:?} shows with seed {seed}: {what}");
            }
            None => missed.push((mutant, first)),
        }
    }
    assert!(missed.is_empty(), "these show in none of 400 seeds from there on: {missed:?}");
}
