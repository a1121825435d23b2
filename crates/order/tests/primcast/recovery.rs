//! When something breaks: a primary dies, a disk is lost, a follower was away
//! for long.

use skein_order::primcast::{PrimCast, Settings};
use skein_sim::{Load, Plan, SECOND};

use super::room::{CLIENT, G, H, Room, SMALL, assert_a_seed_decides_everything, cluster, compare, swarm};

/// p0 proposes m and dies before its own vote is on its disk; of its followers only p2 has heard of m, so that
/// nobody knows m decided. p2 stands, takes over what it has itself, and says it all again in its own epoch.
#[test]
fn a_primary_dies_after_it_has_proposed() {
    let room = Room::new(Settings::DEFAULT).leader_dies_after_it_has_proposed();
    compare("primcast_primary_dies.txt", &room.story(&[G[0], G[1], G[2], H[0], CLIENT]));
}

/// p2 comes back with an empty disk. Whatever it promised before counts no more, so its group begins another
/// epoch, in which it is known to have forgotten; only then is it given everything, and counts again.
#[test]
fn a_replica_that_lost_its_disk_is_taken_in_again() {
    let room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL }).replica_loses_its_disk();
    compare("primcast_lost_disk.txt", &room.story(&G));
}

/// p2 was away while the log went on and was cut beyond what p2 holds: it gets the user's state and what follows.
#[test]
fn a_follower_that_was_away_for_long_gets_a_checkpoint() {
    let room = Room::new(Settings { checkpoint_every: 4, tail: 2, ..SMALL }).follower_is_away_for_long();
    compare("primcast_laggard.txt", &room.story(&G));
}

#[test]
fn a_seed_decides_everything() {
    let plan = swarm(&cluster(), 100.0, 16, 10 * SECOND);
    let load = Load { expiry: Some(1000), ..plan.load.clone() };
    assert_a_seed_decides_everything::<PrimCast>(&Plan { load, ..plan }, SMALL);
}

/// A replica has lost its disk, and its group, while another group shows it a proposal: that is no promise of its
/// own, and nobody may ever say it again. Taken in once more, it is the only one of its group who knows.
#[test]
fn one_without_memory_keeps_what_other_groups_show() {
    Room::new(SMALL).one_without_memory_is_the_only_one_who_knows();
}
