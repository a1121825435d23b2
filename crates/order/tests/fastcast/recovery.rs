//! When something breaks: a leader dies, a disk is lost, a follower was away
//! for long, links carry one way only.

use std::collections::BTreeSet;
use std::sync::Arc;

use skein_machine::{Cluster, Down, ProcessId};
use skein_order::Planted;
use skein_order::fastcast::{FastCast, Settings};
use skein_sim::check::Claims;
use skein_sim::{DiskHabits, Load, MILLISECOND, Mix, Nanos, Outcome, Plan, SECOND, Scenario, Trace, run_seed};

use super::room::{CLIENT, G, H, Room, SMALL, TO_BOTH, TO_G, compare, message};

/// What a reader of a story wants to see: what happens at these processes, deliveries anywhere, and no
/// heartbeat that says nothing new.
fn story(room: &Room, at: &[ProcessId]) -> String {
    let mut heard = BTreeSet::new();
    room.lines(|line| {
        let what = &line[12..];
        let is_here = at.iter().any(|process| what.starts_with(&format!("{process} ")));
        let is_news = !what.contains("REPORT") || heard.insert(what.to_owned());
        let is_to_itself = what.contains("hears itself: REPORT");
        let is_safe_time = what.contains("has delivered everything");
        what.contains("delivers") || is_here && is_news && !is_to_itself && !is_safe_time
    })
}

/// p0 puts m into the log and dies before that is on its disk; of its followers only p2 has it, so nobody knows m
/// decided. p2 stands, takes over what it has itself, and m is decided in its epoch, at the same place.
#[test]
fn a_leader_dies_after_it_has_proposed() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(10);
    let m = message(1, 1, TO_BOTH, "m");
    room.world.set_trace(Trace::brief());
    let slow = DiskHabits { fastest_sync: 100 * MILLISECOND, slowest_sync: 100 * MILLISECOND };
    room.world.set_disk_habits(G[0], slow);
    room.world.set_cut(G[0], G[1], true);
    room.multicast(CLIENT, m.clone());
    room.run(2);
    room.world.crash(G[0]);
    room.run_until(room.world.now() + 5 * SECOND / 4);
    for process in [G[1], G[2], H[0], H[1], H[2]] {
        assert!(room.delivery(process, m.id).is_some(), "{process} has not delivered");
    }
    compare("fastcast_leader_dies.txt", &story(&room, &[G[1], G[2], CLIENT]));
}

/// Before it stops, a leader hands over. The client still asks the one that is gone, and asks somebody else half a
/// second later; an election would not have begun by then.
#[test]
fn a_leader_that_retires_is_not_missed() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.world.command(G[0], Down::Retire);
    room.run(10);
    room.world.crash(G[0]);
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(800);
    for process in [G[1], G[2], H[0], H[1], H[2]] {
        assert!(room.delivery(process, m.id).is_some(), "{process} has not delivered");
    }
}

/// p2 comes back with an empty disk. Whatever it promised before counts no more, so its group begins another
/// epoch, in which it is known to have forgotten; only then is it given everything, and counts again.
#[test]
fn a_replica_that_lost_its_disk_is_taken_in_again() {
    let mut room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL });
    room.run_until(2 * SECOND);
    for sequence in 1..=6 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(10);
    }
    room.run_to_a_quiet_moment(10);
    room.world.set_trace(Trace::brief());
    room.world.crash(G[2]);
    room.world.lose_disk(G[2]);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), 6);
    assert!(G.iter().all(|process| room.world.remembers(*process)));
    compare("fastcast_lost_disk.txt", &story(&room, &G));
}

/// p2 was away while the log went on and was cut beyond what p2 holds: it gets a state and what follows.
#[test]
fn a_follower_that_was_away_for_long_gets_a_state() {
    let mut room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL });
    room.run_until(2 * SECOND);
    room.multicast(CLIENT, message(1, 1, TO_G, ""));
    room.run_until(3 * SECOND);
    room.world.crash(G[2]);
    for sequence in 2..=10 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(10);
    }
    room.run_to_a_quiet_moment(10);
    room.world.set_trace(Trace::brief());
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), 10);
    compare("fastcast_laggard.txt", &story(&room, &G));
}

/// The leader and one follower of the second group hear nothing of the first one. The other follower does, and tells
/// its leader, who puts it into the log for all.
#[test]
fn a_follower_tells_its_leader_what_that_cannot_hear() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    for g in G {
        room.world.set_cut(g, H[0], true);
        room.world.set_cut(g, H[1], true);
    }
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run_until(room.world.now() + 2 * SECOND);
    assert!(H.iter().all(|process| room.delivery(*process, m.id).is_some()), "{:?}", room.deliveries.keys());
}

/// A replica has lost its disk, and its group, while another group tells it what it has decided: that is no promise of
/// its own, and it is kept. Taken in once more, it is the only one of its group who knows.
#[test]
fn one_without_memory_keeps_what_other_groups_say() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    room.world.crash(H[1]);
    room.world.lose_disk(H[1]);
    room.world.restart(H[1]);
    for other in [H[0], H[2]] {
        room.world.set_cut(H[1], other, true);
        room.world.set_cut(other, H[1], true);
    }
    room.run(300);
    for g in G {
        room.world.set_cut(g, H[0], true);
        room.world.set_cut(g, H[2], true);
    }
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(20);
    assert!(G.iter().all(|process| room.delivery(*process, m.id).is_some()));
    for other in [H[0], H[2]] {
        room.world.set_cut(H[1], other, false);
        room.world.set_cut(other, H[1], false);
    }
    room.run_until(room.world.now() + 5 * SECOND);
    assert!(H.iter().all(|process| room.delivery(*process, m.id).is_some()), "{:?}", room.deliveries.keys());
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
    let claims = Claims { genuine: Some(Nanos::MAX), ..Claims::CLASSIC };
    let (scenario, duration) = (Scenario::Swarm, 15 * SECOND);
    let plan = Plan { cluster: cluster.clone(), scenario, load, duration, claims, clock_bound: None, severity };
    let maker = move |process, boot| FastCast::new(process, cluster.clone(), boot, settings, Planted::NONE);
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
