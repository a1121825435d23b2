//! The search with crashes, restarts and timers, over a multicast that
//! survives them: it finds nothing in the sound one, and something in a broken one.

#[allow(dead_code)] // whole runs under the weather are for other tests
mod all_copies;

use std::sync::Arc;

use all_copies::{AllCopies, Mutant};
use skein_sim::check::RealTime;
use skein_sim::search::{MomentKind, Report, Scope, search};

/// One group of two: the smallest in which somebody else is there.
fn small() -> Scope {
    Scope { crashes: 1, timers: 1, max_states: 2_000_000, ..Scope::calm(1, 2, 1) }
}

fn run(scope: &Scope, mutant: Option<Mutant>) -> Report {
    let cluster = Arc::new(scope.cluster().unwrap());
    let maker = |me, boot| AllCopies::new(me, cluster.clone(), boot, mutant);
    search(scope, &cluster, maker, |_| {})
}

#[test]
fn a_sound_protocol_survives_every_crash_in_a_small_scope() {
    let report = run(&small(), None);
    assert!(report.failure.is_none() && report.is_complete, "{:?}", report.failure);
    let unhurried = run(&Scope { skips_equal_orders: false, ..small() }, None);
    assert_eq!(report.states, unhurried.states, "skipping equal orders misses no state");
    assert!(report.transitions < unhurried.transitions);
}

/// Not complete: three replicas, with a crash and timers, are the frontier.
#[test]
fn a_wider_scope_shows_nothing_wrong_either() {
    let report = run(&Scope { replicas: 3, timers: 2, max_states: 30_000, ..small() }, None);
    assert!(report.failure.is_none() && report.states == 30_000, "{} states", report.states);
}

#[test]
fn two_messages_keep_real_time_across_a_crash() {
    let scope = Scope { messages: 2, replicas: 1, real_time: Some(RealTime::Deliveries), ..small() };
    let report = run(&scope, None);
    assert!(report.failure.is_none() && report.is_complete, "{:?}", report.failure);
}

/// A sequencer that forgets its ids when it starts again is caught only across a restart.
#[test]
fn a_bug_behind_a_restart_is_found_and_told() {
    let scope = Scope { messages: 2, replicas: 1, ..small() };
    let failure = run(&scope, Some(Mutant::ForgetsIds)).failure;
    let failure = failure.expect("the bug is found");
    let kinds: Vec<MomentKind> = failure.events.iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&MomentKind::Crash) && kinds.contains(&MomentKind::Restart), "{failure:#?}");
}
