//! When something breaks: a process of a ring is silent, a coordinator dies, a
//! disk is lost, a learner was away until the rings had been trimmed.

use skein_machine::{Down, ProcessId};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Settings};
use skein_sim::SECOND;
use skein_sim::check::Claims;

use super::room::{
    CLIENT, DELAY, G, H, Room, SMALL, TIGHT, TO_BOTH, TO_G, TO_H, assert_a_seed_decides_everything,
    assert_a_swarm_breaks_nothing, awake, cluster, message, swarm,
};

/// Until the ring closes over it, heartbeats carry what it does not; then the ring is as fast as ever.
#[test]
fn a_ring_closes_over_a_process_that_is_gone() {
    let mut room = Room::new(awake(Settings::DEFAULT));
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
    let mut room = Room::new(awake(Settings::DEFAULT));
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
    let mut room = Room::new(awake(Settings::DEFAULT));
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
    let mut room = Room::new(awake(Settings { checkpoint_every: 4, tail: 2, ..SMALL }));
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
    let mut room = Room::new(awake(Settings { checkpoint_every: 4, tail: 2, ..SMALL }));
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

/// Of g0 only p0 hears what the ring of everybody says, takes it and has it in a checkpoint; then it loses its disk.
/// The others still get it from the ring, which has not trimmed what one of a group alone had. Answers how much p1 has
/// applied of what was to reach it.
fn lose_the_only_one_who_has_taken_it(planted: Planted) -> (u64, u64) {
    let settings = Settings { checkpoint_every: 4, tail: 2, ..SMALL };
    let mut room = Room::with_bug(awake(settings), 1, planted);
    room.run_until(2 * SECOND);
    room.world.command(G[0], Down::Retire);
    room.run_until(3 * SECOND);
    let links: Vec<(ProcessId, ProcessId)> =
        H.into_iter().chain([G[0]]).flat_map(|from| [(from, G[1]), (from, G[2])]).collect();
    for (from, to) in &links {
        room.world.set_cut(*from, *to, true);
    }
    for sequence in 1..=40 {
        for (session, groups) in [(1, TO_G), (2, TO_BOTH), (3, TO_H)] {
            room.multicast(CLIENT, message(session, sequence, groups, ""));
        }
        room.run(50);
    }
    assert!(room.applied(G[0]) > room.applied(G[1]), "p1 lacks nothing");
    room.world.crash(G[0]);
    room.world.lose_disk(G[0]);
    room.world.restart(G[0]);
    for (from, to) in &links {
        room.world.set_cut(*from, *to, false);
    }
    room.run_until(room.world.now() + 20 * SECOND);
    (room.applied(G[1]), room.applied(G[0]))
}

#[test]
fn what_one_of_a_group_has_taken_is_not_trimmed() {
    assert_eq!(lose_the_only_one_who_has_taken_it(Planted::NONE), (80, 80));
}

#[cfg(feature = "mutants")]
#[test]
fn what_is_trimmed_at_a_minority_is_lost() {
    let bug = Planted::bug(skein_order::Mutant::MultiRingTrimsAtAMinority);
    let (applied, _) = lose_the_only_one_who_has_taken_it(bug);
    assert!(applied < 80, "the bug does no harm");
}

/// Every fault, in groups of every size, with logs that are cut at once.
#[test]
fn a_swarm_breaks_nothing() {
    assert_a_swarm_breaks_nothing::<MultiRing>(awake(TIGHT), Claims::CLASSIC);
}

#[test]
fn a_seed_decides_everything() {
    assert_a_seed_decides_everything::<MultiRing>(&swarm(&cluster(), 50.0, 64, 15 * SECOND), awake(SMALL));
}
