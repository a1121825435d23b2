//! One message and one record of every kind, with something in every field:
//! what a fuzzer begins with, since it would hardly guess them.

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, MessageId, Multicast, ProcessId, Stamp, Timestamp};
use skein_order::consensus::{self, Candidacy, Promise, Reign, Report, Slot};
use skein_order::fastcast::{
    Entry, Fact, Guess, Hard, Heard, Kept, Message, Proposal, Question, Record, Settlement, Shown, Start, State,
};
use skein_order::parts::{Epoch, Mark, Outline, Rebirth, Refusal, Run, Windows};

/// The number of each kind is the first byte of its encoding; these are all there are.
pub(crate) const KINDS_OF_MESSAGES: u8 = 13;
/// The same for records.
pub(crate) const KINDS_OF_RECORDS: u8 = 5;

/// Messages with the names of their files.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let start = Start { message: multicast(), follows: 1, sender: ProcessId(3), shown: None };
    let shown = Shown { group: GroupId::new(1).unwrap(), settled: 2, fact: fact() };
    let asked = Start { shown: Some(Box::new(shown)), ..start.clone() };
    let mut all = vec![
        ("start", Message::Start(start)),
        ("start-asked", Message::Start(asked)),
        ("primary", Message::Primary(epoch(2))),
        ("done", Message::Done(id(), Timestamp(3))),
        ("refused-expired", Message::Refused(id(), Refusal::Expired)),
        ("refused-full", Message::Refused(id(), Refusal::Full)),
        ("soft", Message::Soft { epoch: epoch(2), guesses: vec![Guess { id: id(), timestamp: Timestamp(4) }] }),
        ("hard", Message::Hard { epoch: epoch(2), settled: 9, facts: vec![fact()] }),
        ("learned", Message::Learned(vec![3, 4])),
        ("ask", Message::Ask(vec![Question { index: 3, id: id() }])),
        ("heard", Message::Heard(vec![heard()])),
        ("raise", Message::Raise(Timestamp(3))),
        ("inquire", Message::Inquire(11)),
        ("reply", Message::Reply(11, 12)),
    ];
    all.extend(agreements().into_iter().map(|(name, agreement)| (name, agreement.into())));
    all
}

/// What is said inside a group.
fn agreements() -> Vec<(&'static str, consensus::Message<Entry, State>)> {
    use consensus::Message;
    let report = Report { incarnation: 1, held: epoch(2), index: 4, promised: epoch(3), is_leader: true };
    let promise = Promise {
        epoch: epoch(3),
        incarnation: 1,
        held: epoch(2),
        outline: outline(),
        rebirths: rebirths(),
        agreement: Some(2),
        entries: entries(),
        state: None,
    };
    let apart = Promise { agreement: None, state: Some(Box::new(state())), ..promise.clone() };
    let new_state = Message::NewState { reign: reign(), previous: 2, previous_epoch: epoch(1), entries: entries() };
    vec![
        ("append", Message::Append { epoch: epoch(2), previous: 8, entries: entries() }),
        ("report", Message::Report(report)),
        ("canvass", Message::Canvass),
        ("silent", Message::Silent),
        ("new-epoch", Message::NewEpoch(Candidacy { epoch: epoch(3), outline: outline(), rebirths: rebirths() })),
        ("promise", Message::Promise(Box::new(promise))),
        ("promise-apart", Message::Promise(Box::new(apart))),
        ("new-state", new_state),
        ("snapshot", Message::Snapshot(reign(), Box::new(state()))),
        ("rejoin", Message::Rejoin(2)),
        ("stand", Message::Stand),
    ]
}

/// Records with the names of their files.
pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let empty = consensus::State { state: None, entries: Vec::new(), ..state() };
    let mut alone = entries().into_iter().map(|slot| Record::Entries(vec![slot]));
    let mut next = || alone.next().expect("there are as many as names");
    vec![
        ("hard", next()),
        ("soft", next()),
        ("final", next()),
        ("clock", next()),
        ("reborn", Record::Reborn(1)),
        ("promised", Record::Promised(epoch(3), rebirths())),
        ("entries", Record::Entries(entries())),
        ("adopted", Record::Adopted(reign(), 10, entries())),
        ("checkpoint", Record::Checkpoint(Box::new(state()))),
        ("checkpoint-empty", Record::Checkpoint(Box::new(empty))),
    ]
}

fn id() -> MessageId {
    MessageId::new(1, 2, 0b11)
}

fn epoch(round: u32) -> Epoch {
    Epoch { round, leader: ProcessId(6) }
}

fn multicast() -> Multicast {
    Multicast { id: id(), floor: Timestamp(4), expiry: Timestamp(5), payload: Bytes::from_static(b"x") }
}

fn fact() -> Fact {
    let (floor, expiry) = (Timestamp(5), Timestamp(6));
    Fact { index: 3, timestamp: Timestamp(4), id: id(), floor, expiry, follows: 1 }
}

fn hard() -> Hard {
    Hard { group: GroupId::new(1).unwrap(), index: 3, timestamp: Timestamp(7) }
}

fn heard() -> Heard {
    Heard { id: id(), hards: vec![hard()] }
}

/// One of every kind.
fn entries() -> Vec<Slot<Entry>> {
    let proposal = Proposal { message: multicast(), follows: 1, guess: Timestamp(6) };
    let all = [
        Entry::Hard(proposal),
        Entry::Soft(id(), Timestamp(7)),
        Entry::Final(vec![heard()]),
        Entry::Clock(Timestamp(8)),
    ];
    all.into_iter().map(|content| Slot { epoch: epoch(2), content }).collect()
}

fn outline() -> Outline {
    let runs = vec![Run { epoch: epoch(1), last: 3 }, Run { epoch: epoch(2), last: 5 }];
    Outline { base: 2, base_epoch: epoch(0), runs }
}

fn rebirths() -> Vec<Rebirth> {
    vec![Rebirth { process: ProcessId(2), incarnation: 3 }]
}

fn reign() -> Reign {
    Reign { epoch: epoch(3), rebirths: rebirths() }
}

fn state() -> consensus::State<Entry, State> {
    let mark = Mark { group: GroupId::new(1).unwrap(), index: 3 };
    let mut windows = Windows::new();
    for session in 1..=2 {
        windows.note(MessageId::new(session, 2, 0b11), Timestamp(7), Timestamp::MAX, &[mark]);
    }
    let kept = Kept {
        index: 11,
        timestamp: Timestamp(6),
        follows: 1,
        message: multicast(),
        hards: vec![hard()],
        is_final: true,
        is_delivered: true,
        owed: GroupSet::first(2),
    };
    let owner = State {
        clock: Timestamp(50),
        position: 8,
        user: Bytes::from_static(b"user"),
        newest: Some(Stamp { timestamp: Timestamp(7), id: id() }),
        messages: vec![kept],
        windows,
        settled: vec![Settlement { group: mark.group, index: mark.index }],
    };
    consensus::State {
        incarnation: 1,
        rebirths: rebirths(),
        held: epoch(2),
        promised: epoch(3),
        at: 11,
        state: Some(owner),
        base: 10,
        base_epoch: epoch(1),
        entries: entries(),
    }
}
