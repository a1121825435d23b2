//! Everything has a bound: what a sender may have on the way, what a primary
//! takes, what is kept for those behind, and what is sent at once.

use skein_machine::{Machine, MessageId, Out, ProcessId, Time, Timestamp};
use skein_order::parts::{Entry, Epoch};
use skein_order::primcast::{Header, MAX_PENDING, Message, Refusal, Settings, Timer};
use skein_sim::{DiskHabits, SECOND, Trace};

use super::alone::{Alone, start};
use super::room::{CLIENT, DELAY, G, H, Room, SMALL, TO_BOTH, TO_G, TO_H, cluster, message};

/// What one process may have on the way to one group.
fn share() -> usize {
    MAX_PENDING / cluster().processes().count()
}

fn done(session: u64, sequence: u64) -> Message {
    Message::Done(MessageId::new(session, sequence, TO_G), Timestamp(1))
}

#[test]
fn a_sender_has_a_share_of_what_a_group_holds() {
    let mut client = Alone::new(CLIENT);
    for sequence in 1..=share() as u64 {
        let started = client.multicast(message(1, sequence, TO_G, ""));
        assert!(started.contains("send early p0 START"), "{started}");
    }
    assert_eq!(client.0.holdings().open, share());
    let refused = client.multicast(message(2, 1, TO_G, ""));
    assert!(refused.contains("turns s2.1 away: this process has as many messages"), "{refused}");
    assert!(!refused.contains("START"), "{refused}");
    assert!(client.multicast(message(3, 1, TO_BOTH, "")).contains("turns s3.1 away"), "one full group is enough");
    assert!(client.multicast(message(4, 1, TO_H, "")).contains("send early p3 START"), "the other group has room");
    client.0.check();
}

/// What follows a message that was turned away is turned away too, room or not: the two would swap places.
#[test]
fn what_follows_a_message_that_was_turned_away_waits_for_it() {
    let mut client = Alone::new(CLIENT);
    for sequence in 1..=share() as u64 {
        client.multicast(message(1, sequence, TO_G, ""));
    }
    assert!(client.multicast(message(2, 1, TO_G, "")).contains("turns s2.1 away"));
    for sequence in 1..=3 {
        client.hear(G[0], done(1, sequence));
    }
    let refused = client.multicast(message(2, 2, TO_G, ""));
    assert!(refused.contains("turns s2.2 away: an earlier message of its session"), "{refused}");
    assert!(client.multicast(message(2, 1, TO_G, "")).contains("START s2.1"));
    assert!(client.multicast(message(2, 2, TO_G, "")).contains("START s2.2"));
    assert!(client.multicast(message(3, 1, TO_G, "")).contains("START s3.1"), "other sessions wait for nothing");
    client.0.check();
}

/// The same when it was not the sender that was full.
#[test]
fn what_follows_a_message_that_a_primary_refused_waits_for_it() {
    let mut client = Alone::new(CLIENT);
    client.multicast(message(1, 1, TO_G, ""));
    let busy = client.in_words(G[0], Message::Refused(MessageId::new(1, 1, TO_G), Refusal::Full));
    assert!(busy.contains("turns s1.1 away: its destination has all the messages that it can hold"), "{busy}");
    assert_eq!(client.0.holdings().open, 0);
    assert!(client.multicast(message(1, 2, TO_G, "")).contains("turns s1.2 away"));
    assert!(client.multicast(message(1, 1, TO_G, "")).contains("START s1.1"));
    assert!(client.multicast(message(1, 2, TO_G, "")).contains("START s1.2"));
}

/// So many sessions with a message turned away are remembered at once, and each of them is held to it.
#[test]
fn a_sender_remembers_thousands_of_sessions_that_it_turned_away() {
    const MAX_TURNED_AWAY: u64 = 1 << 12;
    let mut client = Alone::new(CLIENT);
    for sequence in 1..=share() as u64 {
        client.multicast(message(1, sequence, TO_G, ""));
    }
    for session in 2..2 + MAX_TURNED_AWAY {
        assert!(client.multicast(message(session, 1, TO_G, "")).contains("turns"));
    }
    client.hear(G[0], done(1, 1));
    for session in 2..2 + MAX_TURNED_AWAY {
        let refused = client.multicast(message(session, 2, TO_G, ""));
        assert!(refused.contains("an earlier message of its session"), "{refused}");
    }
}

/// A full primary refuses what concerns its group alone. What another group has proposed it takes, or two full
/// groups would wait for each other.
#[test]
fn a_full_primary_takes_only_what_others_wait_for() {
    let mut primary = Alone::new(G[0]);
    for session in 1..=MAX_PENDING as u64 {
        primary.hear(CLIENT, start(message(session, 1, TO_G, "")));
    }
    assert_eq!(primary.0.holdings().pending, MAX_PENDING);
    let refused = primary.in_words(CLIENT, start(message(1 << 20, 1, TO_G, "")));
    assert!(refused.contains("send p6 REFUSED s1048576.1: Full") && !refused.contains("APPEND"), "{refused}");
    assert_eq!(primary.0.holdings().pending, MAX_PENDING);

    let m = message(1 << 21, 1, TO_BOTH, "");
    let header = Header { index: 1, timestamp: Timestamp(1), id: m.id, floor: m.floor, expiry: m.expiry, follows: 0 };
    primary.hear(H[0], Message::Headers { epoch: Epoch::first(H[0]), settled: 0, headers: vec![header] });
    let taken = primary.in_words(CLIENT, start(m));
    assert!(taken.contains("send early p1 APPEND") && taken.contains("send early p3 HEADER"), "{taken}");
    assert_eq!(primary.0.holdings().pending, MAX_PENDING + 1);
    primary.0.check();
}

/// Multicasts so many messages of one session, so many delays apart.
fn multicast_many(room: &mut Room, session: u64, groups: u64, count: u64, delays: u64) {
    for sequence in 1..=count {
        room.multicast(CLIENT, message(session, sequence, groups, ""));
        room.run(delays);
    }
    room.run(10);
}

/// Somebody dead stops nothing: the others cut their logs, but for a tail.
#[test]
fn what_is_kept_for_those_behind_is_bounded() {
    const SETTINGS: Settings = Settings { tail: 50, ..SMALL };
    let mut room = Room::new(SETTINGS);
    room.run_until(SECOND);
    room.world.crash(G[2]);
    room.world.crash(H[2]);
    let mut highest = 0;
    for session in 1..=100 {
        multicast_many(&mut room, session, TO_BOTH, 10, 5);
        for process in [G[0], G[1], H[0], H[1]] {
            let holdings = room.world.machine(process).unwrap().holdings();
            highest = highest.max(holdings.entries);
            // Up to the next checkpoint, and behind it the tail, or what the groups settle at their next ticks:
            // twenty messages come in one, and it takes three.
            let most = SETTINGS.checkpoint_every + (SETTINGS.tail as usize).max(3 * 20);
            assert!(holdings.entries <= most && holdings.outcomes <= most, "{process}: {holdings:?}");
        }
    }
    assert_eq!(room.applied(G[1]), 1000);
    assert!(highest > SETTINGS.tail as usize, "{highest} entries are less than a tail");
}

/// Where much is delivered, it is settled between ticks, and its places are free long before the next one.
#[test]
fn what_many_deliveries_settle_is_forgotten_before_a_tick() {
    let highest = |settle_every| {
        let mut room = Room::new(Settings { settle_every, tail: 2, ..SMALL });
        room.run_until(SECOND);
        let mut highest = 0;
        for sequence in 1..=400 {
            room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
            room.run(1);
            let entries = |process| room.world.machine(process).unwrap().holdings().entries;
            highest = [G[0], G[1], H[0], H[1]].into_iter().map(entries).chain([highest]).max().unwrap();
        }
        room.run(10);
        assert_eq!(room.applied(H[2]), 400);
        highest
    };
    // A tick is a hundred messages long.
    let (soon, late) = (highest(8), highest(u64::MAX));
    assert!(soon < 60 && late > 100, "{soon} and {late}");
}

/// One that is a moment behind its group still needs what other groups show: it is not settled under its feet, or
/// it would stand still until somebody helps it, and fall further behind meanwhile.
#[test]
fn who_is_a_moment_behind_stays_a_moment_behind() {
    const DELAYS: u64 = 20;
    for settle_every in [u64::MAX, 8] {
        let mut room = Room::new(Settings { settle_every, ..SMALL });
        room.run_until(SECOND);
        room.world.set_delay(G[0], G[2], DELAYS * DELAY);
        let mut furthest = 0;
        for sequence in 1..=1000 {
            room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
            room.run(1);
            furthest = furthest.max(room.applied(G[1]) - room.applied(G[2]));
        }
        assert!(
            (DELAYS / 2..2 * DELAYS).contains(&furthest),
            "{furthest} messages behind, settled each {settle_every}"
        );
    }
}

/// What a quorum has on its disks is delivered everywhere, whatever becomes of the own disk.
#[test]
fn who_has_a_slow_disk_delivers_with_the_others() {
    let mut room = Room::new(SMALL);
    room.run_until(SECOND);
    room.world.set_disk_habits(G[2], DiskHabits { fastest_sync: SECOND, slowest_sync: SECOND });
    for sequence in 1..=100 {
        room.multicast(CLIENT, message(1, sequence, TO_BOTH, ""));
        room.run(1);
    }
    room.run(10);
    assert_eq!(room.applied(G[2]), 100);
    room.world.crash(G[2]);
    room.world.restart(G[2]);
    room.run_until(room.world.now() + 5 * SECOND);
    assert_eq!(room.applied(G[2]), 100, "it has forgotten them, and gets them again");
}

/// A checkpoint writes all of a state. For a few short messages that waits, but not for ever.
#[test]
fn a_log_that_is_shorter_than_the_state_may_have_more_entries() {
    const SETTINGS: Settings = Settings { checkpoint_stretch: 4, ..SMALL };
    let every = SETTINGS.checkpoint_every;
    // The room's state has eight bytes.
    for (payload, entries) in [("", 4 * every), ("long enough", every)] {
        let mut room = Room::new(SETTINGS);
        room.run_until(SECOND);
        let mut highest = 0;
        for sequence in 1..=1000 {
            room.multicast(CLIENT, message(1, sequence, TO_G, payload));
            room.run(5);
            highest = highest.max(room.world.machine(G[1]).unwrap().holdings().entries);
        }
        let most = entries + (SETTINGS.tail as usize).max(3 * 20);
        assert!((entries..=most).contains(&highest), "{highest} entries with \"{payload}\"");
    }
}

/// The tail is for those that were away for a moment: they get what they missed, and no checkpoint.
#[test]
fn who_lacks_no_more_than_the_tail_gets_entries() {
    let mut room = Room::new(SMALL);
    room.run_until(SECOND);
    multicast_many(&mut room, 1, TO_G, 95, 1);
    room.world.crash(G[2]);
    multicast_many(&mut room, 2, TO_G, SMALL.tail - 1, 1);
    room.world.set_trace(Trace::brief());
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), 95 + SMALL.tail - 1);
    let trace = room.world.trace();
    assert!(trace.contains("p2   hears p0: APPEND") && !trace.contains("NEW-STATE"), "{trace}");
}

/// Whoever lacks thousands of entries gets all of them, and no more than a batch at once.
#[test]
fn thousands_of_entries_come_in_batches() {
    const BATCH: usize = 256;
    const MISSED: u64 = 3000;
    let mut room = Room::new(Settings { checkpoint_every: 1 << 20, tail: 1024, ..Settings::DEFAULT });
    room.run_until(SECOND);
    room.world.crash(G[2]);
    multicast_many(&mut room, 1, TO_G, MISSED, 1);
    room.world.set_trace(Trace::brief());
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), MISSED);
    let sizes = |kind: &str| {
        let lines = room.world.trace().lines().filter(|line| line.contains("p2   hears") && line.contains(kind));
        lines.map(|line| line.matches("s1.").count()).collect::<Vec<usize>>()
    };
    let appends = sizes("APPEND");
    assert!(appends.iter().all(|size| *size <= BATCH), "{appends:?}");
    assert_eq!(appends.iter().sum::<usize>(), MISSED as usize, "{appends:?}");
}

/// A host asks before it hands a message of a stranger in: what would be a panic closes the stranger's link.
#[test]
fn what_a_process_may_not_say_is_told_apart() {
    let ([here, friend, _], [other, ..]) = (G, H);
    let Alone(machine) = Alone::new(here);
    let refusal = |from, message| machine.may_say(from, &message).unwrap_err();
    assert_eq!(machine.may_say(CLIENT, &start(message(1, 1, TO_BOTH, ""))), Ok(()));
    assert_eq!(machine.may_say(CLIENT, &done(1, 1)), Ok(()));
    assert!(refusal(CLIENT, start(message(1, 1, TO_H, ""))).contains("s1.1 to g0, no destination"));
    assert!(refusal(CLIENT, start(message(1, 1, 1 << 9, ""))).contains("no group g9"));
    assert_eq!(machine.may_say(friend, &Message::Canvass), Ok(()));
    for stranger in [other, CLIENT, ProcessId(999)] {
        assert!(refusal(stranger, Message::Canvass).contains("says to g0 what only its members may"));
    }
    let settled = || Message::Settled(Vec::new());
    assert_eq!(machine.may_say(other, &settled()), Ok(()));
    for stranger in [friend, CLIENT, ProcessId(999)] {
        assert!(refusal(stranger, settled()).contains("says to g0 what only other groups may"));
    }
}

/// p4 keeps a word from those of the other group who count on p5. In the turn in which it would say it, it begins to
/// miss p5: then it is said to everybody, and not to nobody.
#[test]
fn what_could_wait_is_said_when_somebody_is_missed() {
    let mut follower = Alone::new(H[1]);
    let epoch = Epoch::first(H[0]);
    let append = |previous: u64, message| {
        let entries = vec![Entry { epoch, timestamp: Timestamp(previous + 1), follows: 0, message }];
        Message::Append { epoch, previous, entries }
    };
    // Its first word goes to everybody.
    follower.hear(H[0], append(0, message(1, 1, TO_H, "")));
    let at_once = follower.in_words(H[0], append(1, message(2, 1, TO_BOTH, "")));
    let acknowledged = |said: &str| G.map(|process| said.contains(&format!("send {process} ACK")));
    assert_eq!(acknowledged(&at_once).iter().filter(|told| **told).count(), 2, "{at_once}");

    let mut out = Out::new();
    (0..4).for_each(|_| follower.0.on_timer(Time::ZERO, Timer::Tick, &mut out));
    follower.0.on_timer(Time::ZERO, Timer::Later, &mut out);
    follower.0.finish(Time::ZERO, &mut out);
    assert_eq!(acknowledged(&format!("{out:?}")), [true; 3]);
}
