//! When something breaks: a leader dies, a disk is lost, a follower was away
//! for long, links carry one way only.

use skein_machine::Down;
use skein_order::fastcast::{FastCast, Settings};
use skein_sim::check::Claims;
use skein_sim::{Nanos, SECOND};

use super::room::{
    CLIENT, G, H, Room, SMALL, TO_BOTH, assert_a_seed_decides_everything, assert_a_swarm_breaks_nothing, cluster,
    compare, message, swarm,
};

/// p0 puts m into the log and dies before that is on its disk; of its followers only p2 has it, so nobody knows m
/// decided. p2 stands, takes over what it has itself, and m is decided in its epoch, at the same place.
#[test]
fn a_leader_dies_after_it_has_proposed() {
    let room = Room::new(Settings::DEFAULT).leader_dies_after_it_has_proposed();
    compare("fastcast_leader_dies.txt", &room.story(&[G[1], G[2], CLIENT]));
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
    let room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL }).replica_loses_its_disk();
    compare("fastcast_lost_disk.txt", &room.story(&G));
}

/// p2 was away while the log went on and was cut beyond what p2 holds: it gets a state and what follows.
#[test]
fn a_follower_that_was_away_for_long_gets_a_state() {
    let room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL }).follower_is_away_for_long();
    compare("fastcast_laggard.txt", &room.story(&G));
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
    Room::new(SMALL).one_without_memory_is_the_only_one_who_knows();
}

const TIGHT: Settings =
    Settings { checkpoint_every: 9, checkpoint_bytes: 4 << 10, tail: 6, tail_bytes: 1 << 10, ..Settings::DEFAULT };

/// Every fault, in groups of every size, with logs that are cut at once.
#[test]
fn a_swarm_breaks_nothing() {
    let claims = Claims { genuine: Some(Nanos::MAX), ..Claims::CLASSIC };
    assert_a_swarm_breaks_nothing::<FastCast>(TIGHT, claims);
}

#[test]
fn a_seed_decides_everything() {
    assert_a_seed_decides_everything::<FastCast>(&swarm(&cluster(), 50.0, 64, 15 * SECOND), SMALL);
}
