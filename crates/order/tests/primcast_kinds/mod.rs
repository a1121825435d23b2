//! One message and one record of every kind, with something in every field:
//! what a fuzzer begins with, since it would hardly guess them.

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, MessageId, Multicast, ProcessId, Stamp, Time, Timestamp};
use skein_order::parts::{Entry, Epoch, Mark, Outline, Run, Windows};
use skein_order::primcast::{
    Candidacy, Header, Kept, Message, Outcome, Promise, Question, Rebirth, Record, Refusal, Reign, Report, Settlement,
    Standing, Start, State,
};

/// The number of each kind is the first byte of its encoding; these are all there are.
pub(crate) const KINDS_OF_MESSAGES: u8 = 25;
/// The same for records.
pub(crate) const KINDS_OF_RECORDS: u8 = 7;

/// Messages with the names of their files.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let start = Start {
        message: multicast(),
        follows: 1,
        sender: ProcessId(3),
        proposed: Some(Box::new(Run { epoch: epoch(2), last: 4 })),
    };
    let report = Report {
        incarnation: 1,
        held: epoch(2),
        index: 4,
        promised: epoch(3),
        clock: Timestamp(7),
        is_primary: true,
        delivered: 8,
        reading: Time::from_nanos(9),
    };
    let header = Header {
        index: 3,
        timestamp: Timestamp(4),
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(5),
        expiry: Timestamp(6),
        follows: 1,
    };
    let candidacy = Candidacy { epoch: epoch(3), outline: outline(), delivered: 9, rebirths: rebirths() };
    let promise = Promise {
        epoch: epoch(3),
        incarnation: 1,
        clock: Timestamp(20),
        held: epoch(2),
        outline: outline(),
        rebirths: rebirths(),
        delivered: 9,
        outcomes: vec![outcome()],
        agreement: Some(2),
        entries: vec![entry()],
        state: None,
    };
    let apart = Promise { agreement: None, state: Some(Box::new(state())), ..promise.clone() };
    let standing = Standing {
        incarnation: 1,
        promised: epoch(3),
        clock: Timestamp(7),
        leads: true,
        front: None,
        rebirths: rebirths(),
    };
    let front = Some(Stamp { timestamp: Timestamp(4), id: MessageId::new(1, 2, 0b11) });
    let question = Question { index: 3, id: MessageId::new(1, 2, 0b11) };
    let new_state =
        Message::NewState { reign: reign(), previous: 2, previous_epoch: epoch(1), entries: vec![entry(), entry()] };
    vec![
        ("start", Message::Start(start)),
        ("primary", Message::Primary(epoch(2))),
        ("done", Message::Done(MessageId::new(1, 2, 0b11), Timestamp(3))),
        ("refused-expired", Message::Refused(MessageId::new(1, 2, 0b11), Refusal::Expired)),
        ("refused-full", Message::Refused(MessageId::new(1, 2, 0b11), Refusal::Full)),
        ("append", Message::Append { epoch: epoch(2), previous: 8, entries: vec![entry()] }),
        ("report", Message::Report(report.clone())),
        ("raise", Message::Raise(Timestamp(3))),
        ("headers", Message::Headers { epoch: epoch(2), settled: 9, headers: vec![header] }),
        ("acknowledge", Message::Acknowledge { held: epoch(2), index: 7, settled: 8 }),
        ("settled", Message::Settled(vec![3, 4])),
        ("ask", Message::Ask(vec![question])),
        ("canvass", Message::Canvass),
        ("silent", Message::Silent),
        ("new-epoch", Message::NewEpoch(candidacy)),
        ("promise", Message::Promise(Box::new(promise))),
        ("promise-apart", Message::Promise(Box::new(apart))),
        ("new-state", new_state),
        ("snapshot", Message::Snapshot(reign(), Box::new(state()))),
        ("outcomes", Message::Outcomes(4, vec![outcome()])),
        ("rejoin", Message::Rejoin(2)),
        ("stand", Message::Stand),
        ("inquire", Message::Inquire { name: 11, clock: Timestamp(7) }),
        ("reply", Message::Reply { name: 11, report }),
        ("ahead", Message::Ahead),
        ("standing", Message::Standing(Box::new(Standing { front, ..standing.clone() }))),
        ("standing-clear", Message::Standing(Box::new(standing))),
        ("certify", Message::Certify(Timestamp(7))),
    ]
}

/// Records with the names of their files.
pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let empty = State { newest: None, outcomes: Vec::new(), entries: Vec::new(), windows: Windows::new(), ..state() };
    vec![
        ("reborn", Record::Reborn(1)),
        ("ceiling", Record::Ceiling(Timestamp(7))),
        ("promised", Record::Promised(epoch(3), rebirths())),
        ("entries", Record::Entries(vec![entry(), entry()])),
        ("adopted", Record::Adopted(reign(), 10, vec![entry()])),
        ("delivered", Record::Delivered(9, vec![outcome()])),
        ("checkpoint", Record::Checkpoint(Box::new(state()))),
        ("checkpoint-empty", Record::Checkpoint(Box::new(empty))),
    ]
}

fn epoch(round: u32) -> Epoch {
    Epoch { round, leader: ProcessId(6) }
}

fn multicast() -> Multicast {
    Multicast {
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(4),
        expiry: Timestamp(5),
        payload: Bytes::from_static(b"x"),
    }
}

fn entry() -> Entry {
    Entry { epoch: epoch(2), timestamp: Timestamp(6), follows: 1, message: multicast() }
}

fn outline() -> Outline {
    let runs = vec![Run { epoch: epoch(1), last: 3 }, Run { epoch: epoch(2), last: 5 }];
    Outline { base: 2, base_epoch: epoch(0), runs }
}

fn rebirths() -> Vec<Rebirth> {
    vec![Rebirth { process: ProcessId(2), incarnation: 3 }]
}

fn reign() -> Reign {
    Reign { epoch: epoch(3), clock: Timestamp(20), rebirths: rebirths() }
}

fn mark() -> Mark {
    Mark { group: GroupId::new(1).unwrap(), index: 3 }
}

fn outcome() -> Outcome {
    Outcome { id: MessageId::new(1, 2, 0b11), timestamp: Timestamp(7), marks: [mark()].into_iter().collect() }
}

fn state() -> State {
    let mut windows = Windows::new();
    for session in 1..=2 {
        windows.note(MessageId::new(session, 2, 0b11), Timestamp(7), Timestamp::MAX, &[mark()]);
    }
    State {
        incarnation: 1,
        rebirths: rebirths(),
        held: epoch(2),
        promised: epoch(3),
        ceiling: Timestamp(50),
        position: 8,
        user: Bytes::from_static(b"user"),
        early: vec![Stamp { timestamp: Timestamp(9), id: MessageId::new(3, 1, 0b11) }],
        first_outcome: 9,
        outcomes: vec![outcome()],
        newest: Some(Stamp { timestamp: Timestamp(7), id: MessageId::new(1, 2, 0b11) }),
        base: 10,
        base_epoch: epoch(1),
        decided: 11,
        entries: vec![Kept { index: 11, entry: entry(), is_delivered: true, owed: GroupSet::first(2) }],
        windows,
        settled: vec![Settlement { group: mark().group, index: mark().index, epoch: epoch(1) }],
    }
}
