//! One message and one record of every kind, with something in every field:
//! what a fuzzer begins with, since it would hardly guess them.

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, MessageId, Multicast, ProcessId, Timestamp};
use skein_order::consensus::{self, Candidacy, Promise, Reign, Report, Slot};
use skein_order::multiring::{
    Agreement, Delivered, Entry, Kept, Message, Pass, Progress, Proposal, Record, Start, State, Subscription, What,
};
use skein_order::parts::{Epoch, Outline, Rebirth, Refusal, Run, Windows};

/// The number of each kind is the first byte of its encoding; these are all there are.
pub(crate) const KINDS_OF_MESSAGES: u8 = 13;
/// The same for records.
pub(crate) const KINDS_OF_RECORDS: u8 = 3;

/// Messages with the names of their files.
pub(crate) fn messages() -> Vec<(&'static str, Message)> {
    let append = consensus::Message::Append { epoch: epoch(2), previous: 8, entries: entries() };
    let pass = Pass { values: vec![(4, append)], votes: vec![(ProcessId(5), report())] };
    let mut all = vec![
        ("start", Message::Start(Start { message: multicast(), follows: 1, sender: ProcessId(3) })),
        ("primary", Message::Primary(1, epoch(2))),
        ("done", Message::Done(id(), Timestamp(3))),
        ("refused-expired", Message::Refused(id(), Refusal::Expired)),
        ("refused-full", Message::Refused(id(), Refusal::Full)),
        ("pass", Message::Pass(2, Box::new(pass))),
        ("raise", Message::Raise(1, Timestamp(3))),
        ("safe", Message::Safe(Timestamp(3))),
        ("fetch", Message::Fetch(Timestamp(3))),
        ("learned", Message::Learned(Box::new(learned()))),
        ("inquire", Message::Inquire(11)),
        ("reply", Message::Reply(11, 12)),
        ("join", Message::Join(2, Timestamp(3))),
        ("learned-joined", Message::Learned(Box::new(subscribed()))),
    ];
    all.extend(agreements().into_iter().map(|(name, agreement)| (name, Message::Agreement(1, Box::new(agreement)))));
    all
}

/// What is said in a ring.
fn agreements() -> Vec<(&'static str, Agreement)> {
    use consensus::Message;
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
        ("report", Message::Report(report())),
        ("canvass", Message::Canvass),
        ("silent", Message::Silent),
        ("new-epoch", Message::NewEpoch(Candidacy { epoch: epoch(3), outline: outline(), rebirths: rebirths() })),
        ("promise", Message::Promise(Box::new(promise))),
        ("promise-apart", Message::Promise(Box::new(apart))),
        ("new-state", new_state),
        ("snapshot", Message::Snapshot(reign(), Box::new(state()))),
        ("snapshot-joined", Message::Snapshot(reign(), Box::new(joined()))),
        ("rejoin", Message::Rejoin(2)),
        ("stand", Message::Stand),
    ]
}

/// Records with the names of their files.
pub(crate) fn records() -> Vec<(&'static str, Record)> {
    let empty = consensus::State { state: None, entries: Vec::new(), ..state() };
    let kept = [
        ("reborn", Kept::Reborn(1)),
        ("promised", Kept::Promised(epoch(3), rebirths())),
        ("entries", Kept::Entries(entries())),
        ("value", Kept::Entries(entries()[..1].to_vec())),
        ("skip", Kept::Entries(entries()[1..].to_vec())),
        ("joining", Kept::Entries(joining())),
        ("adopted", Kept::Adopted(reign(), 10, entries())),
        ("trimmed", Kept::Checkpoint(Box::new(state()))),
        ("trimmed-joined", Kept::Checkpoint(Box::new(joined()))),
        ("untrimmed", Kept::Checkpoint(Box::new(empty.clone()))),
    ];
    let kept = kept.into_iter().map(|(name, kept)| (name, Record::Ring(2, kept)));
    let whole = [
        ("learned", Record::Learned(Box::new(learned()))),
        ("checkpoint", Record::Checkpoint(Box::new(learned()), vec![(0, state()), (2, empty)])),
        ("checkpoint-joined", Record::Checkpoint(Box::new(subscribed()), vec![(0, state()), (2, joined())])),
    ];
    kept.chain(whole).collect()
}

fn report() -> Report {
    Report { incarnation: 1, held: epoch(2), index: 4, promised: epoch(3), is_leader: true }
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

/// One with a message, and one without.
fn entries() -> Vec<Slot<Entry>> {
    let proposal = Proposal { message: multicast(), sender: ProcessId(3) };
    slots([(7, What::Message(proposal)), (9, What::Skip)])
}

/// What is said of rings that are joined.
fn joining() -> Vec<Slot<Entry>> {
    let second = GroupId::new(1).expect("there is a second group");
    slots([(10, What::Subscribe(2)), (11, What::Joined(second))])
}

fn slots(all: [(u64, What); 2]) -> Vec<Slot<Entry>> {
    all.into_iter().map(|(instance, what)| Slot { epoch: epoch(2), content: Entry { instance, what } }).collect()
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

fn learned() -> State {
    let mut windows = Windows::new();
    for session in 1..=2 {
        windows.note(MessageId::new(session, 2, 0b11), Timestamp(7), Timestamp::MAX, &[]);
    }
    State {
        merged: Timestamp(50),
        position: 8,
        user: Bytes::from_static(b"user"),
        since: vec![Delivered { timestamp: Timestamp(49), message: multicast() }],
        windows,
        subscriptions: Vec::new(),
    }
}

/// The same with a ring that was joined.
fn subscribed() -> State {
    State { subscriptions: vec![Subscription { ring: 2, since: Timestamp(40) }], ..learned() }
}

fn state() -> consensus::State<Entry, Progress> {
    consensus::State {
        incarnation: 1,
        rebirths: rebirths(),
        held: epoch(2),
        promised: epoch(3),
        at: 10,
        state: Some(Progress { instance: 6, joined: GroupSet::EMPTY }),
        base: 10,
        base_epoch: epoch(1),
        entries: entries(),
    }
}

/// The same of a ring that was joined.
fn joined() -> consensus::State<Entry, Progress> {
    let progress = Progress { instance: 6, joined: GroupSet::from_bits(0b10) };
    consensus::State { state: Some(progress), entries: joining(), ..state() }
}
