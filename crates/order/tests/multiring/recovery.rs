//! When something breaks: a process of a ring is silent, a coordinator dies, a
//! disk is lost, a learner was away until the rings had been trimmed.

use std::sync::Arc;

use skein_machine::{Cluster, Down};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Rings, Settings};
use skein_sim::check::Claims;
use skein_sim::{Load, Mix, Outcome, Plan, SECOND, Scenario, Trace, run_seed};

use super::room::{CLIENT, DELAY, G, H, Room, SMALL, TO_BOTH, TO_G, TO_H, message};

/// Until the ring closes over it, heartbeats carry what it does not; then the ring is as fast as ever.
#[test]
fn a_ring_closes_over_a_process_that_is_gone() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.world.crash(G[1]);
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run_until(3 * SECOND);
    assert!([G[0], G[2], H[0], H[1], H[2]].iter().all(|process| room.delivery(*process, m.id).is_some()));
    room.run_to_a_quiet_moment(20);
    let n = message(1, 2, TO_BOTH, "n");
    let begin = room.world.now();
    room.multicast(CLIENT, n.clone());
    room.run(20);
    let (at, _) = room.delivery(H[2], n.id).expect("nobody waits for a tick");
    assert!(at - begin < 12 * DELAY);
}

/// Whoever coordinates two rings dies; each elects another one by itself.
#[test]
fn a_coordinator_dies() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.world.crash(G[0]);
    let (m, n) = (message(1, 1, TO_BOTH, "m"), message(2, 1, TO_G, "n"));
    room.multicast(CLIENT, m.clone());
    room.multicast(CLIENT, n.clone());
    room.run_until(10 * SECOND);
    for process in [G[1], G[2]] {
        assert!(room.delivery(process, m.id).is_some() && room.delivery(process, n.id).is_some(), "at {process}");
    }
}

/// Before it stops, a coordinator hands over.
#[test]
fn a_coordinator_that_retires_is_not_missed() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.world.command(G[0], Down::Retire);
    room.run(20);
    room.world.crash(G[0]);
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(1_000);
    for process in [G[1], G[2], H[0], H[1], H[2]] {
        assert!(room.delivery(process, m.id).is_some(), "{process} has not delivered");
    }
}

/// Messages enough for several checkpoints.
fn busy(room: &mut Room, session: u64) {
    for sequence in 1..=20 {
        for (offset, groups) in [(0, TO_G), (100, TO_BOTH), (200, TO_H)] {
            room.multicast(CLIENT, message(session + offset, sequence, groups, ""));
        }
        room.run(20);
    }
}

/// p2 was away while its rings were trimmed. What one of them has left does not tell what it lacks: another learner of
/// its group does.
#[test]
fn a_learner_that_was_away_for_long_gets_a_state_from_its_group() {
    let mut room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL });
    room.run_until(2 * SECOND);
    busy(&mut room, 1);
    room.world.crash(G[2]);
    busy(&mut room, 2);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(room.applied(G[2]), 80);
    assert!(room.world.remembers(G[2]));
}

/// The same with an empty disk: it is taken in again by each of its rings, and then by its group.
#[test]
fn a_process_that_lost_its_disk_is_taken_in_again() {
    let mut room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL });
    room.run_until(2 * SECOND);
    busy(&mut room, 1);
    room.world.crash(G[2]);
    room.world.lose_disk(G[2]);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(room.applied(G[2]), 40);
    assert!(room.world.remembers(G[2]));
    busy(&mut room, 2);
    assert_eq!(room.applied(G[2]), 80);
}

/// So many replicas in a group, so many groups, logs that are cut so often, so much weather.
fn swarm(
    groups: usize,
    replicas: usize,
    settings: Settings,
    severity: f64,
    seed: u64,
    trace: Option<Trace>,
) -> Outcome {
    let cluster = Arc::new(Cluster::regular(groups, replicas, 3).unwrap());
    let load = Load {
        per_second: 50.0,
        mix: Mix::usual(&cluster),
        payload: 64,
        expiry: [None, Some(60), Some(6)][(seed % 3) as usize],
        misbehaves: true,
        readers: true,
        asks_for_read_points: true,
    };
    let claims = Claims::CLASSIC;
    let (scenario, duration) = (Scenario::Swarm, 15 * SECOND);
    let plan = Plan { cluster: cluster.clone(), scenario, load, duration, claims, clock_bound: None, severity };
    let rings = Arc::new(Rings::of(&cluster));
    let maker = move |process, boot| MultiRing::new(process, cluster.clone(), &rings, boot, settings, Planted::NONE);
    run_seed(&plan, seed, trace, maker)
}

const TIGHT: Settings =
    Settings { checkpoint_every: 9, checkpoint_bytes: 4 << 10, tail: 6, tail_bytes: 1 << 10, ..Settings::DEFAULT };

/// Every fault, in groups of every size, with logs that are cut at once.
#[test]
fn a_swarm_breaks_nothing() {
    for (groups, replicas, severity) in [(3, 3, 1.0), (2, 5, 3.0), (4, 3, 3.0), (3, 1, 1.0)] {
        for seed in 0..6 {
            let outcome = swarm(groups, replicas, TIGHT, severity, seed, None);
            assert_eq!(outcome.violations, [], "{groups} groups of {replicas}, seed {seed}");
        }
    }
}

/// The same seed of a swarm, faults and all, tells the same story twice; another one tells another.
#[test]
fn a_seed_decides_everything() {
    let tell = |seed| swarm(2, 3, SMALL, 1.0, seed, Some(Trace::full())).trace;
    let story = tell(5);
    assert!(story.contains("crashes") && story.contains("NEW-STATE"), "a dull story: {}", story.len());
    assert!(story == tell(5), "the same seed told another story");
    assert!(story != tell(6), "another seed told the same story");
}
