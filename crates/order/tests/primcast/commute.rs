//! Messages that commute do not wait for each other (thesis 4.4.3), and a
//! replica that was given a state knows what it holds beyond its turn.

use skein_machine::{Conflicts, MessageId, Multicast, ProcessId, Timestamp, Up};
use skein_order::primcast::Settings;
use skein_sim::SECOND;

use super::room::{CLIENT, G, H, Room, SMALL, TO_BOTH, TO_G, message};

/// Messages that begin with the same letter conflict.
const BY_LETTER: Conflicts = Conflicts::when(|one, other| one.payload.first() == other.payload.first());

fn by_letter(settings: Settings) -> Settings {
    Settings { conflicts: Some(BY_LETTER), ..settings }
}

fn room(settings: Settings) -> Room {
    let mut room = Room::new(by_letter(settings));
    room.run_until(2 * SECOND);
    room
}

/// The first group is cut off from the second: what concerns both waits.
fn part(room: &mut Room, is_cut: bool) {
    for g in G {
        for h in H {
            room.world.set_cut(g, h, is_cut);
            room.world.set_cut(h, g, is_cut);
        }
    }
}

fn order_at(room: &Room, process: ProcessId) -> Vec<u64> {
    room.deliveries[&process].iter().map(|(_, delivery)| delivery.message.id.session.0).collect()
}

#[test]
fn only_what_conflicts_waits() {
    let mut room = room(SMALL);
    part(&mut room, true);
    room.multicast(CLIENT, message(1, 1, TO_BOTH, "a"));
    room.run(5);
    room.multicast(CLIENT, message(2, 1, TO_G, "b"));
    room.multicast(CLIENT, message(3, 1, TO_G, "a"));
    room.multicast(CLIENT, message(4, 1, TO_G, "c"));
    // The same session, and so in its order.
    room.multicast(CLIENT, message(3, 2, TO_G, "d"));
    room.run(10);
    assert!(G.iter().all(|process| order_at(&room, *process) == [2, 4]));
    let positions: Vec<u64> = room.deliveries[&G[0]].iter().map(|(_, delivery)| delivery.position).collect();
    assert_eq!(positions, [0, 1]);
    part(&mut room, false);
    room.run_until(room.world.now() + 5 * SECOND);
    assert!(G.iter().all(|process| order_at(&room, *process) == [2, 4, 1, 3, 3]));
    assert!(H.iter().all(|process| order_at(&room, *process) == [1]));
}

/// The sender hears at once, and is free to send elsewhere.
#[test]
fn a_sender_need_not_wait_for_the_turn() {
    let mut room = room(SMALL);
    part(&mut room, true);
    room.multicast(CLIENT, message(1, 1, TO_BOTH, "a"));
    room.run(5);
    room.multicast(CLIENT, message(2, 1, TO_G, "b"));
    room.run(10);
    let timestamp = room.delivery(G[0], MessageId::new(2, 1, TO_G)).unwrap().1.timestamp;
    // Asked again, by a client that missed the answer: the same timestamp, before the turn has come.
    room.multicast(CLIENT, message(2, 1, TO_G, "b"));
    room.run(10);
    assert_eq!(order_at(&room, G[0]), [2]);
    room.multicast(CLIENT, Multicast { floor: timestamp, ..message(2, 2, TO_BOTH, "c") });
    part(&mut room, false);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(order_at(&room, H[0]), [1, 2]);
    assert!(room.delivery(H[0], MessageId::new(2, 2, TO_BOTH)).unwrap().1.timestamp > timestamp);
}

/// What is void has no effect, so nothing waits for it.
#[test]
fn what_is_void_conflicts_with_nothing() {
    let mut room = room(SMALL);
    room.multicast(CLIENT, Multicast { floor: Timestamp(50), ..message(1, 1, TO_G, "x") });
    room.run(10);
    // In time for the second group, and too late for the first one, which hears of it and then of nothing more.
    let late = Multicast { expiry: Timestamp(40), ..message(2, 1, TO_BOTH, "a") };
    room.multicast(CLIENT, late);
    room.run(2);
    part(&mut room, true);
    room.run_until(room.world.now() + SECOND);
    room.multicast(CLIENT, message(3, 1, TO_G, "a"));
    room.run(10);
    assert_eq!(order_at(&room, G[0]), [1, 3]);
    part(&mut room, false);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(order_at(&room, G[0]), [1, 3, 2]);
    assert!(room.delivery(G[0], MessageId::new(2, 1, TO_BOTH)).unwrap().1.is_void());
}

/// Many messages that overtake one, and many checkpoints; then each replica in turn is started again.
#[test]
fn a_checkpoint_says_what_was_delivered_before_its_turn() {
    let mut room = room(SMALL);
    part(&mut room, true);
    room.multicast(CLIENT, message(1, 1, TO_BOTH, "a"));
    room.run(5);
    for session in 2..60 {
        room.multicast(CLIENT, message(session, 1, TO_G, "b"));
        room.run(5);
    }
    room.run_until(room.world.now() + 2 * SECOND);
    for process in G {
        assert_eq!(room.applied(process), 58);
        room.world.crash(process);
        room.world.restart(process);
        room.run_until(room.world.now() + 3 * SECOND);
        // Delivered again or held by its checkpoint, each once: the room asserts that no position is left out.
        assert_eq!(room.applied(process), 58, "at {process}");
    }
    part(&mut room, false);
    room.run_until(room.world.now() + 5 * SECOND);
    assert!(G.iter().all(|process| room.applied(*process) == 59));
}

/// One that was away while its group delivered early takes over a state that says so.
#[test]
fn a_state_of_another_brings_what_it_holds_early() {
    let mut room = Room::new(by_letter(Settings { checkpoint_every: 4, tail: 2, ..Settings::DEFAULT }));
    room.run_until(2 * SECOND);
    room.world.crash(G[2]);
    for session in 1..20 {
        room.multicast(CLIENT, message(session, 1, TO_G, "c"));
        room.run(5);
    }
    part(&mut room, true);
    room.multicast(CLIENT, message(100, 1, TO_BOTH, "a"));
    room.run(5);
    for session in 20..40 {
        room.multicast(CLIENT, message(session, 1, TO_G, "b"));
        room.run(5);
    }
    room.said.clear();
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(room.applied(G[2]), 39);
    let repeated = order_at(&room, G[2]);
    assert!(repeated.len() < 30, "most of it came with the state: {repeated:?}");
    part(&mut room, false);
    room.run_until(room.world.now() + 5 * SECOND);
    assert!(G.iter().all(|process| room.applied(*process) == 40));
    assert!(!room.said.iter().any(|(_, said)| matches!(said, Up::Busy(_))));
}
