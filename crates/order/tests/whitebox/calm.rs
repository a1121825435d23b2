//! When nothing breaks.

use skein_machine::{Down, Timestamp, Up};
use skein_order::whitebox::Settings;
use skein_sim::{SECOND, Trace};

use super::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_G, TO_H, compare, message};

/// A lone message to two groups, of which the second proposes 2 where the first proposes 1: leaders deliver it after
/// three steps, their followers after four. At p1 and p3 one sees all of it: START, ACCEPT, ACK, DELIVER.
#[test]
fn a_lone_message() {
    let mut room = Room::new(Settings::DEFAULT);
    room.multicast(CLIENT, message(9, 1, TO_H, ""));
    room.run_until(2 * SECOND);
    room.world.set_trace(Trace::brief());
    let m = message(1, 1, TO_BOTH, "m");
    let begin = room.world.now();
    room.multicast(CLIENT, m.clone());
    room.run(10);
    for process in G.into_iter().chain(H) {
        let (at, delivery) = room.delivery(process, m.id).expect("every destination delivers");
        let steps = if process == G[0] || process == H[0] { 3 } else { 4 };
        assert_eq!((at - begin, delivery.timestamp.0), (steps * DELAY, 2), "at {process}");
    }
    compare("whitebox_lone_message.txt", &room.story(&[G[1], H[0], CLIENT]));
}

/// A session may send on without waiting, and is delivered in order; what is asked for twice comes once.
#[test]
fn a_session_in_a_row() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    for sequence in 1..=50 {
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, "m"));
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, "m"));
    }
    room.run(1000);
    room.multicast(G[1], message(1, 7, TO_BOTH, "m"));
    room.run(1000);
    for process in G.into_iter().chain(H) {
        let sequences: Vec<u64> =
            room.deliveries[&process].iter().map(|(_, delivery)| delivery.message.id.sequence).collect();
        assert_eq!(sequences, (1..=50).collect::<Vec<u64>>(), "at {process}");
    }
}

/// Whoever waits for a timestamp pulls its group there, and whoever reads finds what was delivered.
#[test]
fn safe_time_and_read_points() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.multicast(CLIENT, message(1, 1, TO_G, "m"));
    room.run(5);
    room.world.command(G[2], Down::ReadPoint(1));
    room.world.command(G[0], Down::ReadPoint(7));
    room.run(4);
    let point = |process| {
        room.said.iter().find_map(|(who, up)| match up {
            Up::ReadPoint { round, timestamp } if *who == process => Some((*round, *timestamp)),
            _ => None,
        })
    };
    assert_eq!((point(G[2]), point(G[0])), (Some((1, Timestamp(1))), Some((7, Timestamp(1)))));
    room.world.command(G[1], Down::RaiseClock(Timestamp(1000)));
    room.run(6);
    let is_told = |(who, up): &_| *who == G[1] && matches!(up, Up::SafeTime(safe) if *safe >= Timestamp(1000));
    assert!(room.said.iter().any(is_told), "{:?}", room.said);
}
