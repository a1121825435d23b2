//! Answers that wait for clocks: how long, and what becomes of a clock that is
//! wrong by more than the operator said.

use std::time::Duration;

use skein_machine::{Machine, ProcessId, Stamp, Up};
use skein_order::primcast::{ClockKind, Settings};
use skein_sim::{MILLISECOND, Nanos, SECOND};

use crate::room::{CLIENT, G, H, Room, TO_BOTH, TO_G, message};

const ERROR: Duration = Duration::from_millis(20);
const TWICE: Nanos = 40 * MILLISECOND;

const SETTINGS: Settings = Settings {
    clock: ClockKind::Hybrid { bound: Duration::from_millis(500) },
    clock_error: Some(ERROR),
    ..Settings::DEFAULT
};

/// Whether a replica has released the answer to a message by now.
fn has_released(room: &Room, at: ProcessId, session: u64) -> bool {
    let stamp = room.deliveries[&at].iter().map(|(_, delivery)| delivery.stamp());
    let stamp = stamp.into_iter().find(|stamp: &Stamp| stamp.id.session.0 == session);
    let upto = room.said.iter().filter(|(process, _)| *process == at).filter_map(|(_, up)| match up {
        Up::Settled(upto) => Some(*upto),
        _ => None,
    });
    stamp.is_some_and(|stamp| upto.into_iter().any(|upto| stamp <= upto))
}

fn leader_of(room: &Room, at: ProcessId) -> u64 {
    gauge(room, at, "leader")
}

fn gauge(room: &Room, at: ProcessId, name: &str) -> u64 {
    let mut found = None;
    let machine = room.world.machine(at).expect("it is up");
    machine.gauges(&mut |other, value| found = found.or((other == name).then_some(value)));
    found.unwrap_or_else(|| panic!("there is no gauge {name}"))
}

#[test]
fn an_answer_waits_for_twice_the_error_and_no_longer() {
    let mut room = Room::new(SETTINGS);
    room.run_until(2 * SECOND);
    room.multicast(CLIENT, message(1, 1, TO_BOTH, ""));
    room.run_until(2 * SECOND + TWICE);
    for process in G.into_iter().chain(H) {
        assert_eq!(room.deliveries[&process].len(), 1, "a delivery waits for nothing");
        assert!(!has_released(&room, process, 1), "{process} answers before the timestamp is past on every clock");
    }
    room.run_until(2 * SECOND + TWICE + 5 * MILLISECOND);
    for process in G.into_iter().chain(H) {
        assert!(has_released(&room, process, 1), "{process} has waited long enough");
    }
}

#[test]
fn what_was_answered_before_a_restart_is_answered_again() {
    let mut room = Room::new(Settings { checkpoint_every: 2, ..SETTINGS });
    room.run_until(SECOND);
    for session in 1..=3 {
        room.multicast(CLIENT, message(session, 1, TO_G, ""));
        room.run(10);
    }
    room.run_until(2 * SECOND);
    room.world.crash(G[1]);
    room.said.clear();
    room.world.restart(G[1]);
    room.run_until(3 * SECOND);
    for session in 1..=3 {
        assert!(has_released(&room, G[1], session));
    }
}

/// The clock of a primary runs away, or falls behind. The others see it, and one of them leads.
fn a_primary_with_a_wrong_clock(by: i64) {
    let mut room = Room::new(SETTINGS);
    room.run_until(2 * SECOND);
    assert_eq!(leader_of(&room, G[1]), u64::from(G[0].0));
    room.world.clock(G[0]).jump(by);
    room.run_until(4 * SECOND);
    assert_ne!(leader_of(&room, G[1]), u64::from(G[0].0), "one whose clock is wrong by {by} leads on");
    assert_eq!(gauge(&room, G[0], "clock_is_fenced"), 1, "nobody is told");
    assert_eq!(gauge(&room, G[1], "clock_is_fenced") + gauge(&room, G[2], "clock_is_fenced"), 0);
    room.multicast(CLIENT, message(1, 1, TO_G, ""));
    room.run_until(5 * SECOND);
    assert!(has_released(&room, G[1], 1) && has_released(&room, G[2], 1), "the others answer");
    assert!(!has_released(&room, G[0], 1), "whose clock is wrong cannot tell what is past");
    // It is set right, and that is forgiven.
    room.world.clock(G[0]).jump(-by);
    room.run_until(7 * SECOND);
    assert!(has_released(&room, G[0], 1));
    assert_eq!(gauge(&room, G[0], "clock_is_fenced"), 0);
}

#[test]
fn a_clock_that_is_ahead_is_fenced() {
    a_primary_with_a_wrong_clock(300 * MILLISECOND as i64);
}

#[test]
fn a_clock_that_is_behind_is_fenced() {
    a_primary_with_a_wrong_clock(-300 * MILLISECOND as i64);
}

/// As long as nobody errs by more than was said, nobody is accused.
#[test]
fn clocks_within_their_bound_are_left_alone() {
    let mut room = Room::new(SETTINGS);
    for (process, by) in G.into_iter().zip([20, -20, 20]) {
        room.world.clock(process).jump(by * MILLISECOND as i64);
    }
    room.run_until(5 * SECOND);
    assert!(G.iter().all(|process| gauge(&room, *process, "clock_is_fenced") == 0));
    assert_eq!(leader_of(&room, G[1]), u64::from(G[0].0));
    room.multicast(CLIENT, message(1, 1, TO_G, ""));
    room.run_until(6 * SECOND);
    assert!(G.iter().all(|process| has_released(&room, *process, 1)));
}

/// A wrong clock that nobody minds answers what is not past.
#[test]
#[cfg(feature = "mutants")]
fn a_wrong_clock_that_is_trusted_answers_too_early() {
    use skein_order::{Mutant, Planted};
    let mut room = Room::with_bug(SETTINGS, 1, Planted::bug(Mutant::PrimCastTrustsItsClock));
    room.run_until(2 * SECOND);
    room.world.clock(G[1]).jump(300 * MILLISECOND as i64);
    room.run_until(3 * SECOND);
    room.multicast(CLIENT, message(1, 1, TO_G, ""));
    room.run_until(3 * SECOND + 10 * MILLISECOND);
    assert!(has_released(&room, G[1], 1), "it waits for nobody");
}
