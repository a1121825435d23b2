//! One message and one record of every kind, with something in every field:
//! what a fuzzer begins with, since it would hardly guess them.

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, MessageId, Multicast, ProcessId, Stamp, Timestamp};
use skein_order::parts::{Epoch, Mark, Rebirth, Refusal, Windows};
use skein_order::whitebox::{
    Ballot, Candidacy, Delivered, Entry, Header, Inheritance, Message, Outcome, Promise, Question, Record, Reign,
    Report, Settlement, Start, State, Unsettled, Vote,
};

/// The number of each kind is the first byte of its encoding; these are all there are.
pub(crate) const KINDS_OF_MESSAGES: u8 = 24;
/// The same for records.
pub(crate) const KINDS_OF_RECORDS: u8 = 7;

/// Messages with the names of their files.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let start =
        Start { message: multicast(), follows: 1, sender: ProcessId(3), proposed: Some((epoch(2), Timestamp(4))) };
    let report = Report {
        incarnation: 1,
        held: epoch(2),
        promised: epoch(3),
        clock: Timestamp(7),
        is_leader: true,
        delivered: 8,
        safe_from: 9,
        safe: Timestamp(6),
    };
    let header = Header {
        timestamp: Timestamp(4),
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(5),
        expiry: Timestamp(6),
        follows: 1,
    };
    let ballots = [Ballot { group: mark().group, epoch: epoch(2) }].into_iter().collect();
    let vote = Vote { id: MessageId::new(1, 2, 0b11), ballots };
    let promise = Promise {
        epoch: epoch(3),
        incarnation: 1,
        clock: Timestamp(20),
        held: epoch(2),
        accepted: vec![entry()],
        rebirths: rebirths(),
        delivered: 9,
        outcomes: vec![delivered()],
        forgotten: Timestamp(2),
        state: None,
    };
    let apart = Promise { outcomes: Vec::new(), state: Some(Box::new(state())), ..promise.clone() };
    let question = Question { timestamp: Timestamp(3), id: MessageId::new(1, 2, 0b11) };
    vec![
        ("start", Message::Start(start)),
        ("leader", Message::Leader(epoch(2))),
        ("done", Message::Done(MessageId::new(1, 2, 0b11), Timestamp(3))),
        ("refused", Message::Refused(MessageId::new(1, 2, 0b11), Refusal::Expired)),
        ("propose", Message::Propose { epoch: epoch(2), entries: vec![entry()] }),
        ("accept", Message::Accept { epoch: epoch(2), settled: Timestamp(9), headers: vec![header] }),
        (
            "acknowledge",
            Message::Acknowledge { incarnation: 1, promised: epoch(2), clock: Timestamp(7), votes: vec![vote] },
        ),
        ("deliver", Message::Deliver { position: 4, outcomes: vec![outcome()], safe: Timestamp(7) }),
        ("past", Message::Past(4, vec![delivered()])),
        ("facts", Message::Facts(vec![outcome()])),
        ("report", Message::Report(report.clone())),
        ("raise", Message::Raise(Timestamp(3))),
        ("inquire", Message::Inquire(11)),
        ("reply", Message::Reply(11, report)),
        ("settled", Message::Settled(vec![Timestamp(3), Timestamp(4)])),
        ("ask", Message::Ask(vec![question])),
        ("canvass", Message::Canvass),
        ("silent", Message::Silent),
        ("new-leader", Message::NewLeader(Candidacy { epoch: epoch(3), delivered: 9, rebirths: rebirths() })),
        ("promise", Message::Promise(Box::new(promise))),
        ("promise-apart", Message::Promise(Box::new(apart))),
        ("new-state", Message::NewState(Box::new(inheritance()))),
        ("snapshot", Message::Snapshot(reign(), Box::new(state()))),
        ("rejoin", Message::Rejoin(2)),
        ("stand", Message::Stand),
    ]
}

/// Records with the names of their files.
pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let empty = State {
        newest: None,
        outcomes: Vec::new(),
        accepted: Vec::new(),
        unsettled: Vec::new(),
        windows: Windows::new(),
        ..state()
    };
    let plain = Inheritance { delivered: Vec::new(), accepted: Vec::new(), ..inheritance() };
    vec![
        ("reborn", Record::Reborn(1)),
        ("ceiling", Record::Ceiling(Timestamp(7))),
        ("promised", Record::Promised(epoch(3), rebirths())),
        ("accepted", Record::Accepted(entry())),
        ("adopted", Record::Adopted(Box::new(inheritance()))),
        ("adopted-empty", Record::Adopted(Box::new(plain))),
        ("delivered", Record::Delivered(9, vec![outcome()])),
        ("delivered-many", Record::Delivered(9, vec![outcome(), outcome()])),
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
    Entry { timestamp: Timestamp(6), follows: 1, message: multicast() }
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
    let marks = [mark()].into_iter().collect();
    Outcome { id: MessageId::new(1, 2, 0b11), own: Timestamp(6), timestamp: Timestamp(7), marks }
}

fn delivered() -> Delivered {
    Delivered { outcome: outcome(), message: multicast() }
}

fn inheritance() -> Inheritance {
    Inheritance {
        reign: reign(),
        position: 9,
        delivered: vec![delivered()],
        accepted: vec![entry()],
        forgotten: Timestamp(2),
    }
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
        first_outcome: 9,
        outcomes: vec![delivered()],
        newest: Some(Stamp { timestamp: Timestamp(7), id: MessageId::new(1, 2, 0b11) }),
        accepted: vec![entry()],
        unsettled: vec![Unsettled { outcome: outcome(), owed: GroupSet::first(2) }],
        windows,
        forgotten: Timestamp(2),
        settled: vec![Settlement { group: mark().group, timestamp: Timestamp(3), epoch: epoch(1) }],
    }
}
