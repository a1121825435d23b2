//! The layout of PrimCast's messages, written out by hand, and the journey of
//! every kind of message there and back.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use bytes::Bytes;
use proptest::prelude::*;
use skein_machine::wire::{OLDEST, VERSION, Version, examine, from_bytes, to_bytes};

use super::super::layout::Layout;
use super::super::samples::{any_message, state};
use super::*;
use crate::parts::{Mark, Outline, Rebirth, Run};
use skein_machine::GroupId;

/// Both ways, and in every version: the message gives these bytes, and the bytes give this message.
fn holds(message: &Message, golden: &Layout) {
    holds_since(OLDEST, message, golden);
}

/// The same of one that versions before this one do not have: they refuse it, and nobody says it to them.
fn holds_since(since: Version, message: &Message, golden: &Layout) {
    assert_eq!(message.since(), since);
    for version in OLDEST..=VERSION {
        let read = from_bytes::<Message>(golden.bytes(), version);
        if version < since {
            assert!(matches!(read, Err(WireError::UnknownTag { what: "PrimCast's messages", .. })), "{message:?}");
            continue;
        }
        assert_eq!(&read.unwrap(), message);
        let mut written = Vec::new();
        message.encode(&mut Writer::new(&mut written, version));
        assert_eq!(written, golden.bytes(), "{message:?} is laid out differently in version {version}");
    }
}

fn epoch(round: u32, leader: u16) -> Epoch {
    Epoch { round, leader: ProcessId(leader) }
}

fn multicast() -> Multicast {
    Multicast {
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(4),
        expiry: Timestamp::MAX,
        payload: Bytes::from_static(b"x"),
    }
}

/// The message above.
fn multicast_golden(golden: Layout) -> Layout {
    // Session, sequence, destinations, floor, expiry, payload.
    golden.u64(1).u64(2).u64(0b11).u64(4).u64(u64::MAX).u32(1).text("x")
}

fn entry() -> Entry {
    Entry { epoch: epoch(5, 6), timestamp: Timestamp(7), follows: 1, message: multicast() }
}

/// The entry above.
fn entry_golden(golden: Layout) -> Layout {
    // Round, leader, timestamp, what it follows, the message.
    multicast_golden(golden.u32(5).u16(6).u64(7).u64(1))
}

fn outline() -> Outline {
    Outline { base: 2, base_epoch: epoch(0, 0), runs: vec![Run { epoch: epoch(5, 6), last: 3 }] }
}

/// The outline above.
fn outline_golden(golden: Layout) -> Layout {
    // The base and its epoch; the number of runs, and of the only one the epoch and the last place.
    golden.u64(2).u32(0).u16(0).u32(1).u32(5).u16(6).u64(3)
}

/// The layout of version 1. A change here, and in the tests that follow, is a new version, never an edit.
#[test]
fn golden_vectors_between_a_sender_and_a_group() {
    let start = Start { message: multicast(), follows: 1, sender: ProcessId(0x0a0b), proposed: None };
    let golden = multicast_golden(Layout::of(1)).u64(1).u16(0x0a0b);
    holds(&Message::Start(start.clone()), &golden.clone().u8(0));
    let asked = Start { proposed: Some(Box::new(Run { epoch: epoch(5, 6), last: 9 })), ..start };
    holds(&Message::Start(asked), &golden.u8(1).u32(5).u16(6).u64(9));
    holds(&Message::Primary(epoch(5, 6)), &Layout::of(2).u32(5).u16(6));
    holds(&Message::Done(MessageId::new(1, 2, 0b11), Timestamp(3)), &Layout::of(3).u64(1).u64(2).u64(3).u64(3));
    holds(&Message::Refused(MessageId::new(1, 2, 0b11), Refusal::Expired), &Layout::of(4).u64(1).u64(2).u64(3).u8(0));
    holds(&Message::Refused(MessageId::new(1, 2, 0b11), Refusal::Full), &Layout::of(4).u64(1).u64(2).u64(3).u8(1));
}

#[test]
fn golden_vectors_inside_a_group() {
    let append = Message::Append { epoch: epoch(5, 6), previous: 8, entries: vec![entry()] };
    holds(&append, &entry_golden(Layout::of(5).u32(5).u16(6).u64(8).u32(1)));

    let report = Report {
        incarnation: 1,
        held: epoch(2, 3),
        index: 4,
        promised: epoch(5, 6),
        clock: Timestamp(7),
        is_primary: true,
        delivered: 8,
        reading: Time::from_nanos(9),
    };
    let golden = Layout::of(6).u32(1).u32(2).u16(3).u64(4).u32(5).u16(6).u64(7).u8(1).u64(8).u64(9);
    holds(&Message::Report(report), &golden);

    holds(&Message::Raise(Timestamp(3)), &Layout::of(7).u64(3));
}

/// What version 2 added.
#[test]
fn golden_vectors_of_those_who_read() {
    holds_since(2, &Message::Inquire { name: 3, clock: Timestamp(4) }, &Layout::of(21).u64(3).u64(4));
    holds_since(2, &Message::Ahead, &Layout::of(23));
    let follower = Standing {
        incarnation: 9,
        promised: epoch(1, 2),
        clock: Timestamp(3),
        leads: false,
        front: None,
        rebirths: Vec::new(),
    };
    let golden = Layout::of(24).u32(9).u32(1).u16(2).u64(3).u8(0).u8(0).u32(0);
    holds_since(2, &Message::Standing(Box::new(follower.clone())), &golden);
    let front = Some(Stamp { timestamp: Timestamp(4), id: MessageId::new(5, 6, 7) });
    let rebirths = vec![Rebirth { process: ProcessId(8), incarnation: 10 }];
    let golden =
        Layout::of(24).u32(9).u32(1).u16(2).u64(3).u8(1).u8(1).u64(4).u64(5).u64(6).u64(7).u32(1).u16(8).u32(10);
    holds_since(2, &Message::Standing(Box::new(Standing { leads: true, front, rebirths, ..follower })), &golden);
    holds_since(2, &Message::Certify(Timestamp(3)), &Layout::of(25).u64(3));
    let report = Report {
        incarnation: 1,
        held: epoch(2, 3),
        index: 4,
        promised: epoch(5, 6),
        clock: Timestamp(7),
        is_primary: true,
        delivered: 8,
        reading: Time::from_nanos(9),
    };
    let golden = Layout::of(22).u64(10).u32(1).u32(2).u16(3).u64(4).u32(5).u16(6).u64(7).u8(1).u64(8).u64(9);
    holds_since(2, &Message::Reply { name: 10, report }, &golden);
}

#[test]
fn golden_vectors_between_groups() {
    let header = Header {
        index: 3,
        timestamp: Timestamp(4),
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(5),
        expiry: Timestamp(6),
        follows: 1,
    };
    let headers = Message::Headers { epoch: epoch(5, 6), settled: 9, headers: vec![header] };
    let golden = Layout::of(8).u32(5).u16(6).u64(9).u32(1);
    holds(&headers, &golden.u64(3).u64(4).u64(1).u64(2).u64(0b11).u64(5).u64(6).u64(1));

    let acknowledge = Message::Acknowledge { held: epoch(5, 6), index: 7, settled: 8 };
    holds(&acknowledge, &Layout::of(9).u32(5).u16(6).u64(7).u64(8));

    holds(&Message::Settled(vec![3, 4]), &Layout::of(10).u32(2).u64(3).u64(4));
    let question = Question { index: 3, id: MessageId::new(1, 2, 0b11) };
    holds(&Message::Ask(vec![question]), &Layout::of(11).u32(1).u64(3).u64(1).u64(2).u64(0b11));
}

#[test]
fn golden_vectors_of_an_election() {
    holds(&Message::Canvass, &Layout::of(12));
    holds(&Message::Silent, &Layout::of(13));

    let rebirths = vec![Rebirth { process: ProcessId(1), incarnation: 2 }];
    let candidacy = Candidacy { epoch: epoch(7, 8), outline: outline(), delivered: 9, rebirths: rebirths.clone() };
    let golden = outline_golden(Layout::of(14).u32(7).u16(8)).u64(9);
    holds(&Message::NewEpoch(candidacy), &golden.u32(1).u16(1).u32(2));

    let outcome = Outcome {
        id: MessageId::new(1, 2, 0b11),
        timestamp: Timestamp(7),
        marks: [Mark { group: GroupId::new(1).unwrap(), index: 3 }].into_iter().collect(),
    };
    let promise = Promise {
        epoch: epoch(7, 8),
        incarnation: 1,
        clock: Timestamp(20),
        held: epoch(5, 6),
        outline: outline(),
        rebirths: rebirths.clone(),
        delivered: 9,
        outcomes: vec![outcome.clone()],
        agreement: Some(2),
        entries: vec![entry()],
        state: None,
    };
    let golden = outline_golden(Layout::of(15).u32(7).u16(8).u32(1).u64(20).u32(5).u16(6));
    let golden = golden.u32(1).u16(1).u32(2).u64(9); // the rebirth, and how much was delivered
    let golden = golden.u32(1).u64(1).u64(2).u64(0b11).u64(7).u32(1).u8(1).u64(3); // the outcome with its mark
    holds(&Message::Promise(Box::new(promise.clone())), &entry_golden(golden.clone().u8(1).u64(2).u32(1)).u8(0));
    let apart = Promise { agreement: None, entries: Vec::new(), ..promise };
    holds(&Message::Promise(Box::new(apart.clone())), &golden.clone().u8(0).u32(0).u8(0));
    let whole = Promise { state: Some(Box::new(state())), ..apart };
    holds(&Message::Promise(Box::new(whole)), &golden.u8(0).u32(0).u8(1).value(&state()));

    let reign = Reign { epoch: epoch(7, 8), clock: Timestamp(20), rebirths };
    let of_reign = |tag| Layout::of(tag).u32(7).u16(8).u64(20).u32(1).u16(1).u32(2);
    let new_state =
        Message::NewState { reign: reign.clone(), previous: 2, previous_epoch: epoch(5, 6), entries: vec![entry()] };
    holds(&new_state, &entry_golden(of_reign(16).u64(2).u32(5).u16(6).u32(1)));
    // The layout of a state is written out among the records.
    holds(&Message::Snapshot(reign, Box::new(state())), &of_reign(17).value(&state()));

    let outcomes = Message::Outcomes(4, vec![outcome]);
    holds(&outcomes, &Layout::of(18).u64(4).u32(1).u64(1).u64(2).u64(0b11).u64(7).u32(1).u8(1).u64(3));
    holds(&Message::Rejoin(2), &Layout::of(19).u32(2));
    holds(&Message::Stand, &Layout::of(20));
}

#[test]
fn an_unknown_kind_is_refused() {
    for tag in [0, 26, 255] {
        let refused = from_bytes::<Message>(Bytes::from(vec![tag; 80]), VERSION);
        assert_eq!(refused, Err(WireError::UnknownTag { what: "PrimCast's messages", tag }));
    }
    let refused = from_bytes::<Message>(Layout::of(4).u64(1).u64(2).u64(3).u8(2).bytes(), VERSION);
    assert_eq!(refused, Err(WireError::UnknownTag { what: "a refusal", tag: 2 }));
    // One byte for yes: a two would be a second way to say it.
    let report = Layout::of(6).u32(1).u32(2).u16(3).u64(4).u32(5).u16(6).u64(7);
    let refused = from_bytes::<Message>(report.u8(2).u64(8).u64(9).bytes(), VERSION);
    assert_eq!(refused, Err(WireError::UnknownTag { what: "a yes or no", tag: 2 }));
}

/// A count that is far above what a sound process sends is refused before anything is read, and one that
/// is not is believed item by item.
#[test]
fn a_short_message_that_claims_to_be_long_is_refused() {
    let append = |entries| Layout::of(5).u32(5).u16(6).u64(8).u32(entries).bytes();
    let refused = from_bytes::<Message>(append(u32::MAX), VERSION).unwrap_err();
    assert!(refused.to_string().contains("entries claims a length of 4294967295"), "{refused}");
    let most = u32::try_from(MOST_ENTRIES).unwrap();
    assert_eq!(from_bytes::<Message>(append(most), VERSION), Err(WireError::Short { need: 4, left: 0 }));
}

/// The shape of a log, from which places are looked up, is that of some log.
#[test]
fn an_outline_that_no_log_has_is_refused() {
    let with_runs = |runs: &[(u32, u64)]| {
        let count = u32::try_from(runs.len()).unwrap();
        let golden = Layout::of(14).u32(7).u16(8).u64(2).u32(0).u16(0).u32(count);
        let golden = runs.iter().fold(golden, |golden, (round, last)| golden.u32(*round).u16(0).u64(*last));
        from_bytes::<Message>(golden.u64(9).u32(0).bytes(), VERSION)
    };
    assert!(with_runs(&[(0, 3), (1, 5)]).is_ok());
    assert!(with_runs(&[(0, 2)]).is_err(), "a run that ends where the log is cut");
    assert!(with_runs(&[(1, 3), (1, 5)]).is_err(), "two runs of one epoch");
    assert!(with_runs(&[(1, 5), (2, 5)]).is_err(), "a run without an entry");
    assert!(with_runs(&[(2, 3), (1, 5)]).is_err(), "an epoch that falls");
}

proptest! {
    #[test]
    fn every_message_survives_the_journey(message in any_message()) {
        prop_assert_eq!(from_bytes::<Message>(to_bytes(&message), VERSION).unwrap(), message);
    }

    /// One byte of a message changed: it is another message, or none, and never the same one again.
    #[test]
    fn a_changed_byte_changes_the_message(message in any_message(), place: prop::sample::Index, flip in 1u8..) {
        let mut bytes = to_bytes(&message).to_vec();
        let place = place.index(bytes.len());
        bytes[place] ^= flip;
        examine::<Message>(&bytes);
        prop_assert_ne!(from_bytes::<Message>(bytes.into(), VERSION).ok(), Some(message));
    }

    #[test]
    fn a_message_cut_short_is_refused(message in any_message(), place: prop::sample::Index) {
        let bytes = to_bytes(&message);
        let place = place.index(bytes.len());
        prop_assert!(from_bytes::<Message>(bytes.slice(..place), VERSION).is_err());
    }

    #[test]
    fn any_bytes_decode_or_are_refused(tag in 0u8..22, mut bytes: Vec<u8>) {
        bytes.insert(0, tag);
        examine::<Message>(&bytes);
    }
}
