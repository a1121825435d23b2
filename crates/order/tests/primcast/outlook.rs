//! What a process says of a message that it has not delivered: what it waits
//! for, at each step of its way.

use std::fmt::Write;

use skein_machine::{Machine, MessageId, ProcessId, SessionId, Want};
use skein_order::primcast::Settings;
use skein_sim::SECOND;

use super::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_G, TO_H, compare, message};

fn wants(room: &Room, process: ProcessId, id: MessageId) -> Option<Vec<Want>> {
    let machine = room.world.machine(process)?;
    machine.outlook(id.session, id.sequence).map(|outlook| outlook.wants)
}

/// The figure's message, and behind it one to the first group alone: it is complete sooner, and has to wait.
#[test]
fn a_message_says_at_each_step_what_it_waits_for() {
    let mut room = Room::new(Settings::DEFAULT);
    room.multicast(CLIENT, message(9, 1, TO_H, ""));
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(10);
    let (both, alone) = (message(1, 1, TO_BOTH, "m"), message(2, 1, TO_G, "n"));
    room.multicast(CLIENT, both.clone());
    room.multicast(G[0], alone.clone());
    let mut text = String::new();
    for delays in 0..=3 {
        let _ = writeln!(text, "after {delays} delays");
        for (name, id) in [("m", both.id), ("n", alone.id)] {
            for process in [CLIENT, G[0], G[1], H[0]] {
                if let Some(wants) = wants(&room, process, id) {
                    let _ = writeln!(text, "  {process} of {name}: {wants:?}");
                }
            }
        }
        room.run_until(room.world.now() + DELAY);
    }
    compare("primcast_outlook.txt", &text);
    room.run(10);
    for process in G.into_iter().chain(H) {
        assert_eq!(wants(&room, process, both.id), None, "{process} has delivered it");
        assert!(room.world.machine(process).unwrap().waiting(10).is_empty());
    }
}

/// A primary whose followers are gone lists what waits, and no more than it is asked for.
#[test]
fn what_waits_is_listed() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    for process in &G[1..] {
        room.world.crash(*process);
    }
    for session in 1..=5 {
        room.multicast(G[0], message(session, 1, TO_G, ""));
    }
    room.run(5);
    let primary = room.world.machine(G[0]).unwrap();
    let sessions = |most| primary.waiting(most).iter().map(|id| id.session).collect::<Vec<_>>();
    assert_eq!(sessions(10), (1..=5).map(SessionId).collect::<Vec<_>>());
    assert_eq!(sessions(2), [SessionId(1), SessionId(2)]);
    let first = wants(&room, G[0], MessageId::new(1, 1, TO_G)).unwrap();
    let [Want::Majority(_, missing)] = &first[..] else { panic!("{first:?}") };
    assert_eq!(*missing, G[1..]);
}
