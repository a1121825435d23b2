//! Rings that are joined while the processes run: the two places that are
//! ordered, whoever dies between them, and learners that restart, or take over a
//! state, on either side.

use skein_machine::{Machine, ProcessId};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Settings};
use skein_sim::check::Claims;
use skein_sim::{Outcome, SECOND, Trace, run_seed};

use super::room::{
    CLIENT, G, Guest, H, Room, SMALL, TIGHT, TO_BOTH, TO_G, TO_H, asleep, assert_a_seed_decides_everything,
    assert_a_swarm_breaks_nothing, cluster, compare, message, swarm,
};

/// So many messages to both groups are worth a ring of its own.
const PATIENCE: u64 = 3;

/// A gauge of a process that lives.
fn gauge(room: &Room, process: ProcessId, name: &str) -> u64 {
    let mut value = None;
    let mut look = |gauge: &'static str, told| value = value.or((gauge == name).then_some(told));
    room.world.machine(process).expect("it lives").gauges(&mut look);
    value.expect("there is such a gauge")
}

/// To how many rings the learner of a process listens: its group's own and that of everybody, and perhaps another.
fn heard(room: &Room, process: ProcessId) -> u64 {
    gauge(room, process, "rings")
}

fn is_awake(room: &Room, process: ProcessId) -> bool {
    gauge(room, process, "rings_asleep") == 0
}

/// Messages of these sessions to both groups and to each.
fn talk(room: &mut Room, session: u64, messages: u64) {
    for sequence in 1..=messages {
        for (offset, groups) in [(0, TO_BOTH), (100, TO_G), (200, TO_H)] {
            room.multicast(CLIENT, message(session + offset, sequence, groups, ""));
        }
        room.run(20);
    }
}

/// Every learner has delivered the same as the others of its group, and so much.
fn assert_all_delivered(room: &Room, messages: usize) {
    for group in [G, H] {
        let order =
            |process| -> Vec<_> { room.deliveries[&process].iter().map(|(_, delivery)| delivery.clone()).collect() };
        assert_eq!(order(group[0]).len(), messages);
        assert!(group.iter().all(|process| room.applied(*process) == messages as u64), "somebody lacks something");
        // Who took over a state did not see all of them.
        let whole = group.iter().map(|process| order(*process)).filter(|its| its.len() == messages);
        assert!(whole.into_iter().all(|its| its == order(group[0])), "learners differ");
    }
}

/// SUBSCRIBE in the ring of each group, JOINED in the other; then messages go there.
#[test]
fn a_ring_is_joined_when_messages_want_it() {
    let mut room = Room::new(asleep(Settings::DEFAULT, PATIENCE));
    room.run_until(2 * SECOND);
    room.world.set_trace(Trace::brief());
    talk(&mut room, 1, PATIENCE);
    room.run(400);
    assert!(G.into_iter().chain(H).all(|process| heard(&room, process) == 3 && is_awake(&room, process)));
    // The client hears of the ring within a second.
    room.run(1_000);
    let is_shown = |line: &str| {
        let is_step = ["SUBSCRIBE", "JOIN", "PRIMARY"].iter().any(|word| line.contains(word));
        is_step && ["p0 ", "p1 ", "p3 ", "p4 ", "p6 "].iter().any(|process| line[12..].starts_with(process))
    };
    compare("multiring_subscription.txt", &room.lines(is_shown));
    let m = message(2, 1, TO_BOTH, "m");
    room.multicast(CLIENT, m.clone());
    room.run(200);
    let values = room.lines(|line| line.contains("APPEND") && line.contains("s2.1"));
    assert!(!values.is_empty() && values.lines().all(|line| line.contains("PASS ring 2:")), "{values}");
    assert!(G.into_iter().chain(H).all(|process| room.delivery(process, m.id).is_some()));
    assert_all_delivered(&room, 2 * PATIENCE as usize + 1);
}

/// Whoever coordinates everything dies: when the ring of its group has said SUBSCRIBE and nobody has joined, and when
/// JOINED is known to the next process alone.
#[test]
fn a_coordinator_dies_between_the_two_places() {
    for (word, is_there) in
        [("SUBSCRIBE to ring 2", "JOIN"), ("p1   hears p0: PASS ring 2: APPEND", "p2   hears p1: PASS ring 2: APPEND")]
    {
        let mut room = Room::new(asleep(Settings::DEFAULT, PATIENCE));
        room.run_until(2 * SECOND);
        room.world.set_trace(Trace::brief());
        talk(&mut room, 1, PATIENCE);
        while !room.world.trace().contains(word) {
            room.run(1);
            assert!(room.world.now() < 3 * SECOND, "{word} was never said");
        }
        room.world.crash(G[0]);
        assert!(!room.world.trace().contains(is_there), "it is too late");
        room.run_until(10 * SECOND);
        assert!([G[1], G[2], H[0], H[1], H[2]].into_iter().all(|process| is_awake(&room, process)));
        room.world.restart(G[0]);
        talk(&mut room, 2, 5);
        room.run_until(15 * SECOND);
        assert!(heard(&room, G[0]) == 3 && is_awake(&room, G[0]));
        assert_all_delivered(&room, 2 * (PATIENCE as usize + 5));
    }
}

/// One of each group is away while its group joins; another one is away afterwards, with SUBSCRIBE in its log; and one
/// with nothing left but its checkpoint.
#[test]
fn learners_restart_on_either_side() {
    let mut room = Room::new(asleep(Settings { checkpoint_every: 1_000, ..Settings::DEFAULT }, PATIENCE));
    room.run_until(2 * SECOND);
    for process in [G[2], H[2]] {
        room.world.crash(process);
    }
    talk(&mut room, 1, 10);
    room.run(2_000);
    for process in [G[2], H[2]] {
        room.world.restart(process);
    }
    for process in [G[1], H[0]] {
        room.world.crash(process);
        room.world.restart(process);
    }
    talk(&mut room, 2, 10);
    room.run_until(room.world.now() + 5 * SECOND);
    assert!(G.into_iter().chain(H).all(|process| heard(&room, process) == 3 && is_awake(&room, process)));
    assert_all_delivered(&room, 40);
}

#[test]
fn a_subscription_is_in_checkpoints() {
    let mut room = Room::new(asleep(Settings { checkpoint_every: 4, tail: 2, ..SMALL }, PATIENCE));
    room.run_until(2 * SECOND);
    talk(&mut room, 1, 20);
    room.run(2_000);
    for process in G.into_iter().chain(H) {
        room.world.crash(process);
    }
    for process in G.into_iter().chain(H) {
        room.world.restart(process);
    }
    room.run(3_000);
    // No log has it any more.
    assert!(G.into_iter().chain(H).all(|process| heard(&room, process) == 3 && is_awake(&room, process)));
    talk(&mut room, 2, 20);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_all_delivered(&room, 80);
}

/// Who was away until the rings had been trimmed takes over a state that has the subscription; who lost its disk does
/// too. Before, one took over a state that lacks it.
#[test]
fn a_subscription_is_in_what_learners_hand_on() {
    let mut room = Room::new(asleep(Settings { checkpoint_every: 4, tail: 2, ..SMALL }, 30));
    room.run_until(2 * SECOND);
    room.world.crash(G[1]);
    talk(&mut room, 1, 20);
    room.world.lose_disk(G[1]);
    room.world.restart(G[1]);
    room.run(3_000);
    assert!(room.world.remembers(G[1]) && heard(&room, G[1]) == 2 && room.applied(G[1]) == 40);
    room.world.crash(G[2]);
    room.world.crash(H[2]);
    talk(&mut room, 2, 40);
    assert!(is_awake(&room, G[1]) && is_awake(&room, H[0]));
    room.world.lose_disk(H[2]);
    room.world.restart(G[2]);
    room.world.restart(H[2]);
    room.run(5_000);
    assert!([G[2], H[2]].into_iter().all(|process| heard(&room, process) == 3 && is_awake(&room, process)));
    talk(&mut room, 3, 10);
    room.run_until(room.world.now() + 5 * SECOND);
    for process in G.into_iter().chain(H) {
        assert!(room.world.remembers(process) && room.applied(process) == 140, "{process} {}", room.applied(process));
    }
}

/// A message that may stand in two rings stands in one order everywhere, and a session's messages in its own.
#[test]
fn nothing_is_lost_or_swapped_while_a_ring_wakes() {
    for patience in [1, 4, 9, 16] {
        let mut room = Room::new(asleep(Settings::DEFAULT, patience));
        room.run_until(2 * SECOND);
        // Through processes of both groups and the client, one on the way behind the other.
        for sequence in 1..=200 {
            for (session, sender) in [(1, CLIENT), (2, G[1]), (3, H[2])] {
                room.multicast(sender, message(session, sequence, TO_BOTH, ""));
            }
            room.run(2);
        }
        room.run_until(room.world.now() + 5 * SECOND);
        assert_all_delivered(&room, 600);
        let order: Vec<_> = room.deliveries[&G[0]].iter().map(|(_, delivery)| delivery.message.id).collect();
        for session in 1..=3 {
            let sequences = order.iter().filter(|id| id.session.0 == session).map(|id| id.sequence);
            assert!(sequences.eq(1..=200), "session {session} is out of order");
        }
        for process in G.into_iter().chain(H) {
            assert!(is_awake(&room, process));
            let its: Vec<_> = room.deliveries[&process].iter().map(|(_, delivery)| delivery.message.id).collect();
            assert!(its == order, "{process} has another order");
        }
    }
}

/// Every fault while rings wake, with logs that are cut at once.
#[test]
fn a_swarm_breaks_nothing_while_rings_wake() {
    assert_a_swarm_breaks_nothing::<MultiRing>(asleep(TIGHT, 40), Claims::CLASSIC);
}

#[test]
fn a_seed_decides_everything_of_rings_that_wake() {
    let plan = swarm(&cluster(), 50.0, 64, 15 * SECOND);
    assert_a_seed_decides_everything::<MultiRing>(&plan, asleep(SMALL, 40));
    assert!(one_of_a_swarm(5, Planted::NONE).trace.contains("JOINED by g1"), "nothing woke");
}

fn one_of_a_swarm(seed: u64, planted: Planted) -> Outcome {
    let cluster = cluster();
    let plan = swarm(&cluster, 50.0, 64, 15 * SECOND);
    let chosen = asleep(TIGHT, 20 + seed % 5 * 40);
    run_seed(&plan, seed, Some(Trace::brief()), move |me, boot| MultiRing::make(me, &cluster, boot, chosen, planted))
}

/// Without the agreement on a place learners deliver different things.
#[cfg(feature = "mutants")]
#[test]
fn what_begins_at_leisure_is_caught() {
    use skein_order::Mutant;
    for mutant in [Mutant::MultiRingSubscribesAtLeisure, Mutant::MultiRingWakesTooSoon] {
        let caught = (0..40).find(|seed| !one_of_a_swarm(*seed, Planted::bug(mutant)).violations.is_empty());
        let seed = caught.unwrap_or_else(|| panic!("{mutant:?} does no harm"));
        assert_eq!(one_of_a_swarm(seed, Planted::NONE).violations, []);
    }
}
