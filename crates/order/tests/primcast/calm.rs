//! When nothing breaks: figure 4.1, and what a multicast costs.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use skein_machine::Multicast;
use skein_order::primcast::Settings;
use skein_sim::{SECOND, Trace};

use super::room::{CLIENT, DELAY, G, H, Room, TO_BOTH, TO_H, compare, message};

/// A room whose second group has had a message of its own, so that it proposes 2 where the first one
/// proposes 1, at a moment when nobody ticks.
fn room_of_the_figure(delays: u64) -> Room {
    let mut room = Room::new(Settings::DEFAULT);
    room.multicast(CLIENT, message(9, 1, TO_H, ""));
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(delays);
    room
}

/// Figure 4.1 of the thesis, whose p1 to p6 are p0 to p5 here: what p1 hears, and that every destination
/// delivers after three steps. START goes to the primaries alone, which append and show their proposals
/// (APPEND, HEADER). The figure's ACK is a REPORT inside a group and an ACK between groups; its BUMP is a
/// REPORT whose clock has moved and whose log has not.
#[test]
fn figure_4_1() {
    let mut room = room_of_the_figure(10);
    room.world.set_trace(Trace::brief());
    let m = message(1, 1, TO_BOTH, "m");
    let begin = room.world.now();
    room.multicast(H[1], m.clone());
    room.run(10);
    for process in G.into_iter().chain(H) {
        let (at, delivery) = room.delivery(process, m.id).expect("every destination delivers");
        assert_eq!((at - begin, delivery.timestamp.0), (3 * DELAY, 2), "at {process}");
    }
    let is_shown =
        |line: &str| line.contains(" p1 ") || ["is asked", "START", "delivers"].iter().any(|word| line.contains(word));
    compare("primcast_figure_4_1.txt", &room.lines(is_shown));
}

/// Messages between processes, by their first word in a trace, and all their bytes: for one multicast of 64
/// bytes by a client to two groups of three, until it is delivered, and until nothing is said about it any more.
///
/// The pseudo-code would take 42, or 36 when both groups propose the same:
///
/// | | | |
/// |---|---|---|
/// | START | to every destination | 6 |
/// | ACK | from every destination to every other | 6 × 5 = 30 |
/// | BUMP | inside the group that proposed less: from each to the two others | 3 × 2 = 6 |
///
/// Here START goes to the two primaries only (four fewer), and what a primary says is split in two: to its
/// followers an APPEND with the payload (four), to the other group a HEADER without it (six), and neither is a
/// vote. Votes are as many as ACKs in the pseudo-code: twelve REPORTs inside the groups, eighteen ACKs between
/// them. The six BUMPs are REPORTs too. A third of all these nobody waits for: six ACKs and six REPORTs are said
/// later, once for all messages of ten milliseconds, and a BUMP not at all. Both primaries tell the client that it
/// is done (two). Where proposals are equal nobody waits for a BUMP.
#[test]
fn what_a_multicast_costs() {
    let mut table = String::new();
    for (what, mut room) in [("apart", room_of_the_figure(30)), ("together", quiet_room(30))] {
        let m = Multicast { payload: Bytes::from_static(&[b'x'; 64]), ..message(1, 1, TO_BOTH, "") };
        room.world.set_trace(Trace::full());
        let before = (room.world.traffic().len(), room.world.bytes_sent());
        room.multicast(CLIENT, m.clone());
        room.run(9);
        assert!(G.into_iter().chain(H).all(|process| room.delivery(process, m.id).is_some()));
        let mut known = BTreeMap::new();
        for (moment, delays) in [("at once", 0), ("later", 20)] {
            room.run(delays);
            let all = kinds_sent(room.world.trace());
            let messages = room.world.traffic().len() - before.0;
            let bytes = room.world.bytes_sent() - before.1;
            assert_eq!(all.values().sum::<usize>(), messages, "{all:?}");
            writeln!(table, "proposals {what}, {moment}: {messages} messages of {bytes} bytes so far").unwrap();
            for (kind, count) in &all {
                let new = count - known.get(kind).unwrap_or(&0);
                if new > 0 {
                    writeln!(table, "{new:>4} {kind}").unwrap();
                }
            }
            known = all;
        }
    }
    compare("primcast_cost.txt", &table);
}

fn quiet_room(delays: u64) -> Room {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.run_to_a_quiet_moment(delays);
    room
}

/// How many messages to others were sent of each kind.
fn kinds_sent(trace: &str) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for line in trace.lines() {
        let words: Vec<&str> = line.split_whitespace().filter(|word| *word != "early").collect();
        if let [_, from, "send", to, kind, ..] = words[..]
            && from != to
        {
            *kinds.entry(kind.to_owned()).or_default() += 1;
        }
    }
    kinds
}
