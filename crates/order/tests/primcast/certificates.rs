//! The order in which deliveries wait for certificates: under every fault, in
//! every order of few messages, and in stories.

use std::sync::Arc;

use skein_machine::{Boot, Cluster, Down, GroupSet, ProcessId, Timestamp};
#[cfg(feature = "mutants")]
use skein_order::Mutant;
use skein_order::Planted;
use skein_order::primcast::{PrimCast, Settings};
use skein_sim::check::{Claims, RealTime};
use skein_sim::search::{Report, Scope, search};
use skein_sim::{Load, Mix, Outcome, Plan, SECOND, Scenario, run_seed};

use crate::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_G, TO_H, message};

const SETTINGS: Settings = Settings { waits_for_certificates: true, ..Settings::DEFAULT };

/// The same, cut at once.
const TIGHT: Settings = Settings { checkpoint_every: 3, tail: 2, ..SETTINGS };

fn tried(cluster: Cluster, seed: u64, settings: Settings, severity: f64, planted: Planted) -> Outcome {
    let cluster = Arc::new(cluster);
    let load = Load {
        per_second: 40.0,
        mix: Mix::usual(&cluster),
        payload: 16,
        expiry: (severity > 1.0).then_some(60),
        misbehaves: true,
        readers: true,
        asks_for_read_points: true,
    };
    let plan = Plan {
        cluster: cluster.clone(),
        scenario: Scenario::Swarm,
        load,
        duration: 20 * SECOND,
        claims: Claims { real_time: Some(RealTime::Deliveries), ..Claims::CLASSIC },
        clock_bound: None,
        severity,
    };
    run_seed(&plan, seed, None, move |process, boot| PrimCast::new(process, cluster.clone(), boot, settings, planted))
}

#[test]
fn crashes_lost_disks_and_cuts() {
    for seed in 0..20 {
        let cluster = Cluster::regular(3, 3, 1).unwrap();
        assert_eq!(tried(cluster, seed, SETTINGS, 1.0, Planted::NONE).violations, [], "seed {seed}");
    }
}

#[test]
fn the_same_cut_at_once_and_struck_more_often() {
    for seed in 0..20 {
        let cluster = Cluster::regular(2, 3, 1).unwrap();
        assert_eq!(tried(cluster, seed, TIGHT, 3.0, Planted::NONE).violations, [], "seed {seed}");
    }
}

/// Tries all orders of messages to these sets of groups, by their bits.
fn searched(sets: &[u64], settings: Settings, planted: Planted) -> Report {
    let scope = Scope {
        only: Some(sets.iter().map(|set| GroupSet::from_bits(*set)).collect()),
        real_time: Some(RealTime::Deliveries),
        max_states: 2_000_000,
        ..Scope::calm(3, 1, sets.len())
    };
    let cluster = Arc::new(scope.cluster().unwrap());
    let maker = |process: ProcessId, boot: Boot| PrimCast::new(process, cluster.clone(), boot, settings, planted);
    search(&scope, &cluster, maker, |_| {})
}

/// What is multicast after a delivery comes before that message elsewhere, where nothing is waited for.
#[test]
fn two_messages_break_it_without_certificates() {
    let report = searched(&[0b01, 0b11], Settings::DEFAULT, Planted::NONE);
    assert!(report.failure.is_some(), "{} states", report.states);
    let report = searched(&[0b01, 0b11], SETTINGS, Planted::NONE);
    assert_eq!((report.states, report.is_complete), (1176, true), "{:?}", report.failure);
}

/// Without conflicts, to certify costs no step.
#[test]
fn a_lone_message_takes_three_steps() {
    let mut room = room(Planted::NONE);
    let m = message(1, 1, TO_BOTH, "m");
    let begin = room.world.now();
    room.multicast(CLIENT, m.clone());
    room.run(5);
    for process in G.into_iter().chain(H) {
        assert_eq!(room.delivery(process, m.id).map(|(at, _)| at - begin), Some(3 * DELAY), "{process}");
    }
}

/// A room in which g0 has come further than g1.
fn room(planted: Planted) -> Room {
    let mut room = Room::with_bug(SETTINGS, 1, planted);
    room.run_until(2 * SECOND);
    room.world.command(G[0], Down::RaiseClock(Timestamp(100)));
    room.run(5);
    room
}

/// What the first group says reaches these no more, or again.
fn cut(room: &mut Room, to: &[ProcessId], is_cut: bool) {
    for (from, to) in G.into_iter().flat_map(|from| to.iter().map(move |to| (from, *to))) {
        room.world.set_cut(from, to, is_cut);
    }
}

/// Of the second group only its primary has heard what m gets in the first, and it is gone before others follow it
/// there. Whoever leads next gives b a lower timestamp. Answers whether m was delivered before b was multicast, and
/// still comes after it.
fn a_primary_knew_it_alone(planted: Planted) -> bool {
    let mut room = room(planted);
    cut(&mut room, &[H[1], H[2]], true);
    let (m, b) = (message(1, 1, TO_BOTH, "m"), message(2, 1, TO_H, "b"));
    room.multicast(CLIENT, m.clone());
    room.run(10);
    let is_early = room.delivery(G[0], m.id).is_some();
    room.world.crash(H[0]);
    room.run_until(room.world.now() + 3 * SECOND);
    room.multicast(CLIENT, b.clone());
    room.run_until(room.world.now() + 8 * SECOND);
    cut(&mut room, &H, false);
    room.run_until(room.world.now() + 8 * SECOND);
    assert!(G.iter().all(|process| room.delivery(*process, m.id).is_some()), "it waits for ever");
    let [m, b] = [m.id, b.id].map(|id| room.delivery(H[1], id).expect("two of three are a quorum").1.position);
    is_early && b < m
}

#[test]
fn what_a_primary_says_alone_certifies_nothing() {
    assert!(!a_primary_knew_it_alone(Planted::NONE));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_believes_it_is_overtaken() {
    assert!(a_primary_knew_it_alone(Planted::bug(Mutant::PrimCastCertifiesByAMinority)));
}

/// p4 alone of the second group hears what m gets in the first, says how far that brings its clock, and loses its disk;
/// with the lower clocks of the others it is taken in again. Only then the primary hears of m too. If two clocks of
/// three count now, one of them was forgotten: whoever leads after that primary begins below. Answers the same.
fn one_has_lost_its_memory(planted: Planted) -> bool {
    let mut room = room(planted);
    let (m, b) = (message(1, 1, TO_BOTH, "m"), message(2, 1, TO_H, "b"));
    cut(&mut room, &[H[0], H[2]], true);
    room.multicast(CLIENT, m.clone());
    room.run(10);
    cut(&mut room, &H, true);
    room.world.crash(H[1]);
    room.world.lose_disk(H[1]);
    room.world.restart(H[1]);
    room.run_until(room.world.now() + 3 * SECOND);
    assert!(H.iter().all(|process| room.world.remembers(*process)));
    assert!(room.delivery(G[0], m.id).is_none(), "the primary of the other group does not know of it");
    cut(&mut room, &[H[0]], false);
    room.run_until(room.world.now() + 2 * SECOND);
    let is_early = room.delivery(G[0], m.id).is_some();
    room.world.crash(H[0]);
    room.run_until(room.world.now() + 3 * SECOND);
    room.multicast(CLIENT, b.clone());
    room.run_until(room.world.now() + 8 * SECOND);
    cut(&mut room, &H, false);
    room.run_until(room.world.now() + 10 * SECOND);
    let [m, b] = [m.id, b.id].map(|id| room.delivery(H[1], id).expect("two of three are a quorum").1.position);
    is_early && b < m
}

#[test]
fn a_clock_that_was_forgotten_certifies_nothing() {
    assert!(!one_has_lost_its_memory(Planted::NONE));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_believes_a_former_life_is_overtaken() {
    assert!(one_has_lost_its_memory(Planted::bug(Mutant::PrimCastCertifiesByAFormerLife)));
}

/// Two groups have much to do alone, and little together: what each has in front must not hold up the other for ever.
#[test]
fn messages_of_one_group_hold_up_nobody_else() {
    let mut room = room(Planted::NONE);
    let mut sent = Vec::new();
    for nth in 1..=1000 {
        room.multicast(CLIENT, message(1, nth, TO_G, ""));
        room.multicast(CLIENT, message(2, nth, TO_H, ""));
        if nth % 10 == 0 {
            sent.push((room.world.now(), message(3, nth / 10, TO_BOTH, "")));
            room.multicast(CLIENT, sent.last().unwrap().1.clone());
        }
        room.run_until(room.world.now() + DELAY / 20);
    }
    room.run(200);
    let slowest = sent.iter().map(|(at, message)| {
        let deliveries = G.into_iter().chain(H).map(|process| room.delivery(process, message.id).unwrap().0);
        deliveries.max().unwrap() - at
    });
    let slowest = slowest.max().unwrap() / DELAY;
    assert!(slowest <= 6, "the slowest took {slowest} steps");
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_forgets_what_is_in_front_is_caught() {
    let bug = Planted::bug(Mutant::PrimCastForgetsWhatIsInFront);
    let is_caught = |seed| {
        let outcome = tried(Cluster::regular(3, 3, 1).unwrap(), seed, SETTINGS, 1.0, bug);
        outcome.violations.iter().any(|violation| violation.property == "real-time order")
    };
    assert!((0..40).any(is_caught));
}
