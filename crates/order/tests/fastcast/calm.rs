//! When nothing breaks: what a multicast looks like, and what a guess is worth.

use skein_order::fastcast::Settings;
use skein_sim::{SECOND, Trace};

use super::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_G, TO_H, compare, message};

/// A room whose second group has had a message of its own, so that its clock is ahead, at a moment when nobody ticks.
fn uneven_room(delays: u64) -> Room {
    let mut room = Room::new(Settings::DEFAULT);
    room.multicast(CLIENT, message(9, 1, TO_H, ""));
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(delays);
    room
}

/// START, SET-HARD and SOFT, SYNC-SOFT beside the first round of the agreement, HARD: four steps to everybody, where
/// the second group proposes more than the first one. Seen from p0 and p1, the leader of the first group and a follower.
#[test]
fn a_lone_message_takes_four_steps() {
    let mut room = uneven_room(10);
    room.world.set_trace(Trace::brief());
    let m = message(1, 1, TO_BOTH, "m");
    let begin = room.world.now();
    room.multicast(H[1], m.clone());
    room.run(10);
    for process in G.into_iter().chain(H) {
        let (at, delivery) = room.delivery(process, m.id).expect("every destination delivers");
        assert_eq!((at - begin, delivery.timestamp.0), (4 * DELAY, 2), "at {process}");
    }
    let is_shown = |line: &str| {
        let is_here = line.contains(" p0 ") || line.contains(" p1 ");
        is_here || ["is asked", "START", "delivers"].iter().any(|word| line.contains(word))
    };
    compare("fastcast_lone_message.txt", &room.lines(is_shown));
}

/// One destination: the agreement of its group is enough.
#[test]
fn a_message_to_one_group_takes_three_steps() {
    let mut room = uneven_room(10);
    let m = message(1, 1, TO_G, "m");
    let begin = room.world.now();
    room.multicast(CLIENT, m.clone());
    room.run(10);
    for process in G {
        assert_eq!(room.delivery(process, m.id).expect("it is delivered").0 - begin, 3 * DELAY, "at {process}");
    }
}

/// The leaders cannot hear each other, so no guess arrives; what was decided does, by others of the groups. The
/// first group raises its clock only then: two steps later. The second one need not raise it at all.
#[test]
fn a_lost_guess_costs_two_steps() {
    let mut room = uneven_room(10);
    room.world.set_cut(H[0], G[0], true);
    let m = message(1, 1, TO_BOTH, "m");
    let begin = room.world.now();
    room.multicast(CLIENT, m.clone());
    room.run(10);
    for (group, steps) in [(G, 6), (H, 4)] {
        for process in group {
            let (at, delivery) = room.delivery(process, m.id).expect("every destination delivers");
            assert_eq!((at - begin, delivery.timestamp.0), (steps * DELAY, 2), "at {process}");
        }
    }
}

/// The worst case, as published: eight steps. The second group's clock is on its way to 5 in its log when m comes, and
/// two messages stand in front of m there; so its leader guesses 4 for what becomes 8. The first group hears of 8 after
/// four steps, and until then gives less to what its own leader multicasts (late): m waits for that, four steps more.
#[test]
fn a_convoy_takes_eight_steps_at_worst() {
    let mut room = uneven_room(20);
    // The clock of the first group: 4.
    for sequence in 1..=4 {
        room.multicast(CLIENT, message(8, sequence, TO_G, ""));
    }
    room.run(5);
    room.world.set_trace(Trace::brief());
    let (first, m, late) =
        (message(1, 1, TO_BOTH, "first"), message(4, 1, TO_BOTH, "m"), message(5, 1, TO_BOTH, "late"));
    let begin = room.world.now() + 21 * DELAY / 10;
    room.multicast(CLIENT, first);
    room.run_until(begin - DELAY / 2);
    room.multicast(CLIENT, message(2, 1, TO_H, "before"));
    room.multicast(CLIENT, message(3, 1, TO_H, "before"));
    room.run_until(begin);
    room.multicast(CLIENT, m.clone());
    room.run_until(begin + 4 * DELAY - DELAY / 5);
    room.multicast(G[0], late);
    room.run(10);
    for (group, steps) in [(G, 8), (H, 4)] {
        for process in group {
            let (at, delivery) = room.delivery(process, m.id).expect("every destination delivers");
            assert_eq!(((at - begin).div_ceil(DELAY), delivery.timestamp.0), (steps, 8), "at {process}");
        }
    }
    let is_shown = |line: &str| {
        let is_here = line.contains(" p0 ") || line.contains(" p3 ");
        !line.contains("REPORT") && (is_here || ["is asked", "delivers"].iter().any(|word| line.contains(word)))
    };
    compare("fastcast_convoy.txt", &room.lines(is_shown));
}

/// With one of three gone, the leader's own word completes a quorum, and comes a step later.
#[test]
fn a_follower_that_is_missing_costs_one_step() {
    let mut room = uneven_room(10);
    room.world.crash(G[2]);
    let m = message(1, 1, TO_G, "m");
    let begin = room.world.now();
    room.multicast(CLIENT, m.clone());
    room.run(10);
    let steps = |process| (room.delivery(process, m.id).expect("it is delivered").0 - begin) / DELAY;
    assert_eq!([steps(G[0]), steps(G[1])], [3, 4]);
}
