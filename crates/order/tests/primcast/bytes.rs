//! What is kept and sent is bounded by its bytes, too: few messages can be
//! long ones. And what is long gets time to arrive before it is sent again.

use bytes::Bytes;
use skein_machine::{MAX_PAYLOAD, Machine, MessageId, Multicast, Out, ProcessId, Time, Timestamp};
use skein_order::parts::{Entry, Epoch, Outline};
use skein_order::primcast::{Candidacy, MAX_LOG_BYTES, MAX_PENDING_BYTES, Message, Report, Settings, Timer};
use skein_sim::SECOND;

use super::alone::{Alone, start};
use super::room::{CLIENT, G, Room, SMALL, TO_BOTH, TO_G, TO_H, cluster, message};

const MIB: usize = 1 << 20;

/// A message with so many bytes of payload.
fn long(session: u64, sequence: u64, groups: u64, bytes: usize) -> Multicast {
    Multicast { payload: Bytes::from(vec![0; bytes]), ..message(session, sequence, groups, "") }
}

/// The second longest message does not fit into the share, a short one does.
#[test]
fn a_sender_has_a_share_of_the_bytes_that_a_group_holds() {
    let share = MAX_PENDING_BYTES / cluster().processes().count();
    let mut client = Alone::new(CLIENT);
    let fits = share / MAX_PAYLOAD;
    for session in 1..=fits as u64 {
        assert!(client.multicast(long(session, 1, TO_G, MAX_PAYLOAD)).contains("START"));
    }
    let refused = client.multicast(long(100, 1, TO_BOTH, MAX_PAYLOAD));
    assert!(refused.contains("turns s100.1 away: this process has as many bytes"), "{refused}");
    assert!(client.multicast(long(101, 1, TO_G, share % MAX_PAYLOAD)).contains("START"), "what fits is taken");
    assert!(client.multicast(long(102, 1, TO_G, 1)).contains("turns s102.1 away"), "nothing fits any more");
    assert!(client.multicast(long(103, 1, TO_H, MAX_PAYLOAD)).contains("START"), "the other group has room");
    client.0.check();

    client.hear(G[0], Message::Done(MessageId::new(1, 1, TO_G), Timestamp(1)));
    assert!(client.multicast(long(100, 1, TO_BOTH, MAX_PAYLOAD)).contains("START s100.1"), "there is room again");
    client.0.check();
}

/// Its user hands in no checkpoint, so the log is never cut. All these messages share one payload: what they have in
/// memory here is not what they would have.
#[test]
fn a_primary_with_a_long_log_takes_only_what_others_wait_for() {
    let mut primary = Alone::new(G[0]);
    let payload = long(0, 0, TO_G, MAX_PAYLOAD).payload;
    let same = |session, groups| Multicast { payload: payload.clone(), ..message(session, 1, groups, "") };
    for session in 1..=(MAX_LOG_BYTES / MAX_PAYLOAD) as u64 {
        assert!(primary.in_words(CLIENT, start(same(session, TO_G))).contains("APPEND"));
    }
    assert_eq!(primary.0.holdings().bytes, MAX_LOG_BYTES);
    let refused = primary.in_words(CLIENT, start(message(1000, 1, TO_G, "")));
    assert!(refused.contains("send p6 REFUSED s1000.1: Full"), "{refused}");
    assert!(primary.in_words(CLIENT, start(same(1001, TO_BOTH))).contains("APPEND"), "the other group may wait for it");
    primary.0.check();
}

/// A hundred long messages, and somebody dead: checkpoints and the tail bound what the others keep.
#[test]
fn logs_are_cut_for_their_bytes() {
    const SETTINGS: Settings = Settings {
        checkpoint_every: 1 << 20,
        checkpoint_bytes: 1000,
        tail: 1 << 20,
        tail_bytes: 500,
        ..Settings::DEFAULT
    };
    let mut room = Room::new(SETTINGS);
    room.run_until(SECOND);
    room.world.crash(G[2]);
    let mut highest = 0;
    for sequence in 1..=200 {
        room.multicast(CLIENT, long(1, sequence, TO_G, 100));
        room.run(5);
        for process in [G[0], G[1]] {
            let holdings = room.world.machine(process).unwrap().holdings();
            assert!(holdings.bytes <= SETTINGS.checkpoint_bytes + SETTINGS.tail_bytes, "{process}: {holdings:?}");
            highest = highest.max(holdings.bytes);
        }
    }
    assert!(highest > SETTINGS.checkpoint_bytes, "{highest} bytes are less than a checkpoint is asked for");
    assert_eq!((room.applied(G[0]), room.applied(G[1])), (200, 200));

    // And the dead one comes back by a snapshot.
    room.world.restart(G[2]);
    room.run_until(room.world.now() + SECOND);
    assert_eq!(room.applied(G[2]), 200);
}

/// A candidate asks for a promise every tick. The one that lacks twelve megabytes gets them once, and again after
/// twelve ticks, and after twenty-four: it may be at the end of a slow line.
#[test]
fn a_long_promise_gets_time_to_arrive() {
    const LENGTH: usize = 12;
    let mut follower = Alone::new(G[1]);
    let first = Epoch::first(G[0]);
    for nth in 0..LENGTH as u64 {
        let message = long(nth + 1, 1, TO_G, MIB);
        let entries = vec![Entry { epoch: first, timestamp: Timestamp(nth + 1), follows: 0, message }];
        follower.hear(G[0], Message::Append { epoch: first, previous: nth, entries });
    }
    let outline = Outline { base: 0, base_epoch: first, runs: Vec::new() };
    let asks = |round| Candidacy {
        epoch: Epoch { round, leader: G[2] },
        outline: outline.clone(),
        delivered: 0,
        rebirths: Vec::new(),
    };
    let report = Report {
        incarnation: 0,
        held: first,
        index: 0,
        promised: asks(1).epoch,
        clock: Timestamp::ZERO,
        is_primary: false,
        delivered: 0,
        reading: Time::ZERO,
    };
    let mut sent = Vec::new();
    for tick in 0..60 {
        if follower.in_words(G[2], Message::NewEpoch(asks(1))).contains("send p2 PROMISE") {
            sent.push(tick);
        }
        follower.0.on_timer(Time::ZERO, Timer::Tick, &mut Out::new());
        // It is alive, or it would not be helped.
        follower.hear(G[2], Message::Report(report.clone()));
    }
    assert_eq!(sent, [0, LENGTH, LENGTH + 2 * LENGTH]);
}

/// How many ticks this replica stands for election, from now on, with nobody who answers but those that are silent too.
fn candidacy(replica: &mut Alone) -> usize {
    let mut ticks = 0;
    for _ in 0..1000 {
        let mut out = Out::new();
        replica.0.on_timer(Time::ZERO, Timer::Tick, &mut out);
        let said = format!("{out:?}");
        match (said.contains("NEW-EPOCH"), ticks) {
            (true, _) => ticks += 1,
            (false, 0) => {
                let answer = replica.in_words(G[2], Message::Silent);
                ticks += usize::from(answer.contains("NEW-EPOCH"));
            }
            (false, ticks) => return ticks,
        }
    }
    panic!("it never gives up");
}

/// What it waits for may be long.
#[test]
fn a_candidate_that_gave_up_waits_longer_the_next_time() {
    let mut follower = Alone::new(G[1]);
    let lasted: Vec<usize> = (0..6).map(|_| candidacy(&mut follower)).collect();
    assert_eq!(lasted, [16, 31, 61, 121, 241, 241]);
}

/// Entries that are appended while a snapshot is on its way go to its receiver when it has arrived, not before.
#[test]
fn who_is_sent_something_long_gets_the_rest_afterwards() {
    let mut room = Room::new(Settings { checkpoint_bytes: 4 * MIB, tail_bytes: 2 * MIB, ..SMALL });
    room.run_until(SECOND);
    room.world.crash(G[2]);
    for sequence in 1..=8 {
        room.multicast(CLIENT, long(1, sequence, TO_G, MIB));
        room.run(5);
    }
    room.world.restart(G[2]);
    for sequence in 1..=30 {
        room.multicast(CLIENT, message(2, sequence, TO_G, "x"));
        room.run(20);
    }
    room.run_until(room.world.now() + SECOND);
    let applied: Vec<u64> = G.iter().map(|process: &ProcessId| room.applied(*process)).collect();
    assert_eq!(applied, [38, 38, 38]);
}
