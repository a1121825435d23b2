//! Schedules after which something was wrong once, each as small as could be
//! found. The story above a test is what happened before it was mended.

use skein_machine::{Boot, Down, Machine, MessageId, Multicast, Out, Time, Timestamp};
use skein_order::Planted;
use skein_order::primcast::{Message, PrimCast, Refusal, Settings};
use skein_sim::{DiskHabits, SECOND};

use super::room::{CLIENT, G, H, Room, SMALL, TO_BOTH, TO_G, cluster, message};

/// So many messages of one session to both groups, ten delays apart.
fn multicast_many(room: &mut Room, session: u64, count: u64) {
    for sequence in 1..=count {
        room.multicast(CLIENT, message(session, sequence, TO_BOTH, ""));
        room.run(10);
    }
}

/// p0 hears nothing of p3's headers while its followers do, so it cannot deliver and they can. They forget the
/// outcomes that it lacks (tail), and the other group forgets that it owes them (their own word that all is
/// settled); p3 dies, so that nobody owes p0 a header any more. p0 goes on as primary and never delivers again.
#[test]
fn a_primary_that_fell_behind_its_followers_gets_on() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    room.world.set_cut(G[0], H[0], true);
    room.world.break_link(G[0], H[0]);
    multicast_many(&mut room, 1, 200);
    room.world.crash(H[0]);
    room.world.calm_network();
    room.run_until(room.world.now() + 10 * SECOND);
    room.world.restart(H[0]);
    room.run_until(room.world.now() + 60 * SECOND);
    let applied = G.map(|process| room.applied(process));
    assert_eq!(applied, [200; 3]);
}

/// The same with the settings that suit most, and nothing but a link that was broken for 18 seconds.
#[test]
fn a_primary_gets_on_after_a_broken_link() {
    let mut room = Room::new(Settings::DEFAULT);
    room.run_until(2 * SECOND);
    room.world.set_cut(G[0], H[0], true);
    room.world.break_link(G[0], H[0]);
    for sequence in 1..=9000 {
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
        room.run(2);
    }
    room.world.calm_network();
    room.run_until(room.world.now() + 60 * SECOND);
    let applied = G.map(|process| room.applied(process));
    assert_eq!(applied, [9000; 3]);
}

/// The same, and then p2 is away while p0 and p1 go on, and p1 loses its disk. p0 has the whole log and lacks
/// deliveries; p2 has more deliveries and lacks log, which p0 has cut beyond p2's end although it has not
/// delivered it. Neither can lead, for ever, though a majority remembers everything.
#[test]
fn a_majority_that_remembers_elects_somebody() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    room.world.set_cut(G[0], H[0], true);
    room.world.break_link(G[0], H[0]);
    multicast_many(&mut room, 1, 200);
    room.world.crash(H[0]);
    room.world.calm_network();
    room.run_until(room.world.now() + 5 * SECOND);
    room.world.crash(G[2]);
    multicast_many(&mut room, 2, 100);
    room.run_until(room.world.now() + 2 * SECOND);
    room.world.crash(G[1]);
    room.world.lose_disk(G[1]);
    room.world.restart(G[1]);
    room.world.restart(G[2]);
    room.world.restart(H[0]);
    room.run_until(room.world.now() + 60 * SECOND);
    let applied = G.map(|process| room.applied(process));
    assert_eq!(applied, [300; 3]);
}

/// p2 lost its disk and was handed everything, but its disk is slow: after a crash it has forgotten again. So it
/// must not count as one that remembers before the checkpoint is durable (see `Machine::remembers`).
#[test]
fn who_says_that_it_remembers_does_so_after_a_crash() {
    let mut room = Room::new(SMALL);
    room.run_until(2 * SECOND);
    multicast_many(&mut room, 1, 5);
    room.world.crash(G[2]);
    room.world.lose_disk(G[2]);
    room.world.restart(G[2]);
    room.run(1);
    room.world.set_disk_habits(G[2], DiskHabits { fastest_sync: 10 * SECOND, slowest_sync: 10 * SECOND });
    while !room.world.remembers(G[2]) {
        room.run(1);
    }
    room.world.crash(G[2]);
    room.world.restart(G[2]);
    assert!(room.world.remembers(G[2]), "it said that it remembered, and had nothing on its disk");
}

/// Twenty messages come in a tick, and a checkpoint keeps a tail of ten outcomes: the primary drops outcomes that
/// it has not announced to the other group, which keeps its entries until it has asked for each of them.
#[test]
fn what_a_checkpoint_drops_was_announced_before() {
    let mut room = Room::new(SMALL);
    room.run_until(SECOND);
    room.world.crash(G[2]);
    room.world.crash(H[2]);
    let mut highest = 0;
    for sequence in 1..=1000 {
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
        room.run(5);
        let holds = |process| room.world.machine(process).unwrap().holdings().entries;
        highest = [G[0], G[1], H[0], H[1]].map(holds).into_iter().fold(highest, usize::max);
    }
    // A checkpoint, the tail, and what is settled at the next three ticks.
    let most = SMALL.checkpoint_every + SMALL.tail as usize + 3 * 20;
    assert!(highest <= most, "{highest} entries were kept, where {most} are needed");
}

/// s1.1 expires and s1.2, sent with it, never does. s1.1 is refused and its session ends; s1.2 waits for s1.1 to
/// be proposed, for ever, and its START is repeated for ever.
#[test]
fn what_follows_an_expired_message_is_over_too() {
    let mut room = Room::new(SMALL);
    room.run_until(SECOND);
    for sequence in 1..=50 {
        room.multicast(CLIENT, message(1, sequence, TO_G, ""));
        room.run(10);
    }
    room.multicast(CLIENT, Multicast { expiry: Timestamp(5), ..message(2, 1, TO_G, "") });
    room.multicast(CLIENT, message(2, 2, TO_G, ""));
    room.run_until(room.world.now() + 60 * SECOND);
    let open = room.world.machine(CLIENT).unwrap().holdings().open;
    assert_eq!(open, 0, "{:?}", room.said);
}

/// One process without a world.
fn client() -> PrimCast {
    let mut machine = PrimCast::new(CLIENT, cluster(), Boot::First, Settings::DEFAULT, Planted::NONE);
    machine.start(Time::ZERO, 1, &mut Out::new());
    machine
}

fn ask(machine: &mut PrimCast, message: Multicast) -> String {
    let mut out = Out::new();
    machine.on_command(Time::ZERO, Down::Multicast(message), &mut out);
    format!("{out:?}")
}

/// s1.1 and s1.2 are on the way, and s1.1 is refused because its group is full. Its session ends instead of
/// asking again, as it may: s1.2 is never taken without s1.1, and stays open for ever.
#[test]
fn what_follows_a_refused_message_is_turned_away_with_it() {
    let mut machine = client();
    ask(&mut machine, message(1, 1, TO_G, ""));
    ask(&mut machine, message(1, 2, TO_G, ""));
    let refused = Message::Refused(MessageId::new(1, 1, TO_G), Refusal::Full);
    machine.on_message(Time::ZERO, G[0], refused, &mut Out::new());
    assert_eq!(machine.holdings().open, 0);
}
