//! When something breaks: a leader dies, a disk is lost, a follower was away for long.

use skein_machine::{Down, Machine, Timestamp, Up};
#[cfg(feature = "mutants")]
use skein_order::Mutant;
use skein_order::Planted;
use skein_order::whitebox::Settings;
use skein_sim::{DiskHabits, MILLISECOND, SECOND, Trace};

use super::room::{CLIENT, G, H, Room, SMALL, TO_BOTH, TO_G, compare, message};

/// p0 proposes m and dies before its own acknowledgement is on its disk; of its followers only p2 has heard of m and
/// accepted it. p2 stands, or hears of it from p1 as candidate; what it has accepted is proposed again as it was.
#[test]
fn a_leader_dies_after_it_has_proposed() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    let m = message(1, 1, TO_BOTH, "m");
    room.world.set_trace(Trace::brief());
    let slow = DiskHabits { fastest_sync: 100 * MILLISECOND, slowest_sync: 100 * MILLISECOND };
    room.world.set_disk_habits(G[0], slow);
    room.world.set_cut(G[0], G[1], true);
    room.multicast(CLIENT, m.clone());
    room.run(3);
    room.world.crash(G[0]);
    room.run_until(room.world.now() + 5 * SECOND / 2);
    for process in [G[1], G[2], H[0], H[1], H[2]] {
        assert!(room.delivery(process, m.id).is_some(), "{process} has not delivered");
    }
    compare("whitebox_leader_dies.txt", &room.story(&[G[0], G[1], G[2], H[0], CLIENT]));
}

/// p2 comes back with an empty disk. Whatever it promised before counts no more, so its group begins another epoch, in
/// which it is known to have forgotten; only then is it given everything, and counts again.
#[test]
fn a_replica_that_lost_its_disk_is_taken_in_again() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    for sequence in 1..=6 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(10);
    }
    room.world.set_trace(Trace::brief());
    room.world.crash(G[2]);
    room.world.lose_disk(G[2]);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), 6);
    assert!(G.iter().all(|process| room.world.remembers(*process)));
    compare("whitebox_lost_disk.txt", &room.story(&G));
}

/// p2 was away while deliveries went on and were cut beyond what it has: it gets the user's state and what follows.
#[test]
fn a_follower_that_was_away_for_long_gets_a_checkpoint() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    room.multicast(CLIENT, message(1, 1, TO_G, ""));
    room.run_until(3 * SECOND);
    room.world.crash(G[2]);
    for sequence in 2..=10 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(150);
    }
    room.world.set_trace(Trace::brief());
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 3 * SECOND);
    assert_eq!(room.applied(G[2]), 10);
    assert!(room.world.trace().contains("takes over"), "it was not given a state");
}

/// A whole group stops and comes back: all that it delivered is delivered again from its checkpoint on, and it goes on.
#[test]
fn a_group_comes_back_from_its_disks() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    for sequence in 1..=10 {
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
        room.run(120);
    }
    for process in G {
        room.world.crash(process);
        room.world.restart(process);
    }
    room.multicast(CLIENT, message(1, 11, TO_BOTH, ""));
    room.run_until(room.world.now() + 4 * SECOND);
    assert!(G.into_iter().chain(H).all(|process| room.applied(process) == 11));
}

/// The first group has delivered m. Of the second, p3 has lost the acknowledgement of p4 with their link, and p4 has lost
/// the first group's proposal with a crash; that group shows it to nobody any more. p3 has to ask there, although nobody
/// there owes it an acknowledgement. (A random run stood still here.)
fn a_group_loses_what_another_has_finished_with(seed: u64, planted: Planted) -> bool {
    let mut room = Room::with_bug(Settings::DEFAULT, seed, planted);
    room.run_until(2 * SECOND);
    room.world.crash(H[2]);
    room.world.set_cut(H[1], H[0], true);
    let m = message(1, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(6);
    assert!(room.delivery(G[0], m.id).is_some() && room.delivery(H[0], m.id).is_none());
    room.world.crash(H[1]);
    // How much of what is on the way is lost is decided by lot.
    room.world.break_link(H[1], H[0]);
    room.world.set_cut(H[1], H[0], false);
    room.run(20);
    assert!(room.delivery(H[0], m.id).is_none(), "the acknowledgement was to be lost");
    room.world.restart(H[1]);
    room.run_until(room.world.now() + 4 * SECOND);
    room.delivery(H[0], m.id).is_some()
}

/// With this seed the link loses what it has.
const LOSES: u64 = 2;

#[test]
fn a_leader_asks_for_what_its_own_group_has_lost() {
    assert!(a_group_loses_what_another_has_finished_with(LOSES, Planted::NONE));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_asks_nobody_else_waits_for_ever() {
    let bug = Planted::bug(Mutant::WhiteBoxAsksNobodyElse);
    assert!(!a_group_loses_what_another_has_finished_with(LOSES, bug));
}

/// p2 was away for so long that it is given a state, just after it has acknowledged m, which the leader itself has not
/// accepted: it has not heard the other group's proposal. That group has counted the acknowledgement. Then p1 goes, and
/// p0 forgets what it proposed: p2 alone knows m.
fn a_state_comes_after_an_acknowledgement(mut room: Room) -> bool {
    room.run_until(2 * SECOND);
    room.world.crash(G[2]);
    for sequence in 1..=10 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(150);
    }
    H.into_iter().for_each(|process| room.world.set_cut(process, G[0], true));
    let m = message(2, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(20);
    room.world.restart(G[2]);
    while room.delivery(H[0], m.id).is_none() || room.applied(G[2]) < 10 {
        room.run(1);
    }
    assert!(room.delivery(G[0], m.id).is_none(), "the leader was to be the last to know");
    room.world.crash(G[1]);
    room.world.crash(G[0]);
    room.world.restart(G[0]);
    H.into_iter().for_each(|process| room.world.set_cut(process, G[0], false));
    room.run_until(room.world.now() + 8 * SECOND);
    room.delivery(G[0], m.id).is_some()
}

#[test]
fn a_state_of_the_own_epoch_takes_back_no_acknowledgement() {
    assert!(a_state_comes_after_an_acknowledgement(Room::new(SMALL)));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_forgets_its_votes_loses_the_message() {
    let bug = Planted::bug(Mutant::WhiteBoxForgetsItsVotes);
    assert!(!a_state_comes_after_an_acknowledgement(Room::with_bug(SMALL, 1, bug)));
}

/// p0 and p2 have said that nothing is proposed up to 500 any more, and p0 has told its user so. p1 has heard none of it
/// when p0 goes, and leads. Answers whether what it proposes is above.
fn a_successor_has_not_heard_what_was_told(planted: Planted) -> bool {
    const SAFE: Timestamp = Timestamp(500);
    let mut room = Room::with_bug(Settings::DEFAULT, P1_STANDS, planted);
    room.run_until(2 * SECOND);
    let cut = |room: &mut Room, is_cut| {
        for (from, to) in [(G[0], G[1]), (G[1], G[0]), (G[2], G[1])] {
            room.world.set_cut(from, to, is_cut);
        }
    };
    cut(&mut room, true);
    room.world.command(G[0], Down::RaiseClock(SAFE));
    room.run(5);
    assert!(
        room.said.iter().any(|said| matches!(said, (process, Up::SafeTime(safe)) if *process == G[0] && *safe >= SAFE))
    );
    room.world.crash(G[0]);
    cut(&mut room, false);
    let m = message(1, 1, TO_G, "m");
    room.multicast(CLIENT, m.clone());
    room.run_until(room.world.now() + 10 * SECOND);
    let mut leader = None;
    room.world
        .machine(G[2])
        .unwrap()
        .gauges(&mut |name, value| leader = leader.or((name == "leader").then_some(value)));
    assert_eq!(leader, Some(1), "p1 was to lead");
    room.delivery(G[2], m.id).expect("two of three are a quorum").1.timestamp > SAFE
}

/// With this seed p1 loses its patience first.
const P1_STANDS: u64 = 7;

#[test]
fn a_successor_begins_where_a_quorum_has_come_to() {
    assert!(a_successor_has_not_heard_what_was_told(Planted::NONE));
}

#[cfg(feature = "mutants")]
#[test]
fn one_that_begins_at_its_own_clock_breaks_what_was_told() {
    assert!(!a_successor_has_not_heard_what_was_told(Planted::bug(Mutant::WhiteBoxBeginsAtItsOwnClock)));
}
