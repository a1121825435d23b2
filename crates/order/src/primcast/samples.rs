//! Any message and any record of PrimCast, for tests of the encodings. What
//! they say need not make sense: only a decoder will ever see them.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use proptest::collection::vec as list;
use proptest::option;
use proptest::prelude::*;
use skein_machine::{GroupId, GroupSet, MAX_GROUPS, MessageId, Multicast, ProcessId, Stamp, Time, Timestamp};

use super::record::{Kept, Outcome, Record, Settlement, State};
use super::wire::{Candidacy, Header, Message, Promise, Question, Reign, Report, Standing, Start};
use crate::parts::{Entry, Epoch, Index, Mark, Outline, Rebirth, Refusal, Run, Windows};

/// So many items at most in each list: enough for none, one and several.
const MOST: usize = 3;

pub(super) fn any_message() -> impl Strategy<Value = Message> {
    let entries = || list(entry(), 0..=MOST);
    let between_sender_and_group = prop_oneof![
        start().prop_map(Message::Start),
        epoch().prop_map(Message::Primary),
        (id(), timestamp()).prop_map(|(id, timestamp)| Message::Done(id, timestamp)),
        (id(), prop_oneof![Just(Refusal::Expired), Just(Refusal::Full)])
            .prop_map(|(id, refusal)| Message::Refused(id, refusal)),
    ];
    let inside_a_group = prop_oneof![
        (epoch(), any::<Index>(), entries()).prop_map(|(epoch, previous, entries)| Message::Append {
            epoch,
            previous,
            entries
        }),
        report().prop_map(Message::Report),
        timestamp().prop_map(Message::Raise),
        (any::<u64>(), timestamp()).prop_map(|(name, clock)| Message::Inquire { name, clock }),
        (any::<u64>(), report()).prop_map(|(name, report)| Message::Reply { name, report }),
    ];
    let between_groups =
        prop_oneof![
            (epoch(), any::<Index>(), list(header(), 0..=MOST))
                .prop_map(|(epoch, settled, headers)| Message::Headers { epoch, settled, headers }),
            (epoch(), any::<Index>(), any::<Index>()).prop_map(|(held, index, settled)| Message::Acknowledge {
                held,
                index,
                settled
            }),
            list(any::<Index>(), 0..=MOST).prop_map(Message::Settled),
            list((any::<Index>(), id()).prop_map(|(index, id)| Question { index, id }), 0..=MOST)
                .prop_map(Message::Ask),
            (any::<u32>(), epoch(), timestamp(), any::<bool>(), proptest::option::of(stamp()), rebirths()).prop_map(
                |(incarnation, promised, clock, leads, front, rebirths)| {
                    Message::Standing(Box::new(Standing { incarnation, promised, clock, leads, front, rebirths }))
                }
            ),
            timestamp().prop_map(Message::Certify),
        ];
    let in_an_election = prop_oneof![
        Just(Message::Canvass),
        Just(Message::Silent),
        (epoch(), outline(), any::<u64>(), rebirths()).prop_map(|(epoch, outline, delivered, rebirths)| {
            Message::NewEpoch(Candidacy { epoch, outline, delivered, rebirths })
        }),
        promise().prop_map(|promise| Message::Promise(Box::new(promise))),
        (reign(), any::<Index>(), epoch(), entries()).prop_map(|(reign, previous, previous_epoch, entries)| {
            Message::NewState { reign, previous, previous_epoch, entries }
        }),
        (reign(), any_state()).prop_map(|(reign, state)| Message::Snapshot(reign, Box::new(state))),
        (any::<u64>(), list(outcome(), 0..=MOST))
            .prop_map(|(position, outcomes)| Message::Outcomes(position, outcomes)),
        any::<u32>().prop_map(Message::Rejoin),
        Just(Message::Stand),
        Just(Message::Ahead),
    ];
    prop_oneof![between_sender_and_group, inside_a_group, between_groups, in_an_election]
}

pub(super) fn any_record() -> impl Strategy<Value = Record> {
    let entries = || list(entry(), 0..=MOST);
    prop_oneof![
        any::<u32>().prop_map(Record::Reborn),
        timestamp().prop_map(Record::Ceiling),
        (epoch(), rebirths()).prop_map(|(epoch, rebirths)| Record::Promised(epoch, rebirths)),
        entries().prop_map(Record::Entries),
        (reign(), any::<Index>(), entries()).prop_map(|(reign, keep, entries)| Record::Adopted(reign, keep, entries)),
        (any::<u64>(), list(outcome(), 0..=MOST)).prop_map(|(from, outcomes)| Record::Delivered(from, outcomes)),
        any_state().prop_map(|state| Record::Checkpoint(Box::new(state))),
    ]
}

/// One state, with something in every field.
pub(super) fn state() -> State {
    let mark = Mark { group: GroupId::new(1).expect("there are more groups"), index: 3 };
    let message = Multicast {
        id: MessageId::new(1, 2, 0b11),
        floor: Timestamp(4),
        expiry: Timestamp(5),
        payload: Bytes::from_static(b"x"),
    };
    let epoch = |round| Epoch { round, leader: ProcessId(6) };
    let mut windows = Windows::new();
    windows.note(message.id, Timestamp(7), message.expiry, &[mark]);
    State {
        incarnation: 1,
        rebirths: vec![Rebirth { process: ProcessId(2), incarnation: 3 }],
        held: epoch(4),
        promised: epoch(5),
        ceiling: Timestamp(50),
        position: 8,
        user: Bytes::from_static(b"user"),
        early: vec![Stamp { timestamp: Timestamp(8), id: MessageId::new(3, 1, 0b11) }],
        first_outcome: 9,
        outcomes: vec![Outcome { id: message.id, timestamp: Timestamp(7), marks: [mark].into_iter().collect() }],
        newest: Some(Stamp { timestamp: Timestamp(7), id: message.id }),
        base: 10,
        base_epoch: epoch(2),
        decided: 11,
        entries: vec![Kept {
            index: 11,
            entry: Entry { epoch: epoch(3), timestamp: Timestamp(6), follows: 1, message },
            is_delivered: true,
            owed: GroupSet::first(2),
        }],
        windows,
        settled: vec![Settlement { group: mark.group, index: mark.index, epoch: epoch(4) }],
    }
}

fn any_state() -> impl Strategy<Value = State> {
    let numbers = (any::<u32>(), any::<u64>(), any::<u64>(), any::<Index>(), any::<Index>(), timestamp());
    let epochs = (epoch(), epoch(), epoch());
    let lists = (rebirths(), list(outcome(), 0..=MOST), list(kept(), 0..=MOST), list(settlement(), 0..=MOST));
    let early = proptest::collection::btree_set(stamp(), 0..=MOST);
    let rest = (list(any::<u8>(), 0..9), early, option::of(stamp()), windows());
    (numbers, epochs, lists, rest).prop_map(|(numbers, epochs, lists, rest)| {
        let (incarnation, position, first_outcome, base, decided, ceiling) = numbers;
        let (held, promised, base_epoch) = epochs;
        let (rebirths, outcomes, entries, settled) = lists;
        let (user, early, newest, windows) = rest;
        State {
            incarnation,
            rebirths,
            held,
            promised,
            ceiling,
            position,
            user: user.into(),
            early: early.into_iter().collect(),
            first_outcome,
            outcomes,
            newest,
            base,
            base_epoch,
            decided,
            entries,
            windows,
            settled,
        }
    })
}

fn start() -> impl Strategy<Value = Start> {
    let run = (epoch(), any::<Index>()).prop_map(|(epoch, last)| Run { epoch, last });
    (multicast(), any::<u64>(), process(), option::of(run)).prop_map(|(message, follows, sender, proposed)| Start {
        message,
        follows,
        sender,
        proposed: proposed.map(Box::new),
    })
}

fn report() -> impl Strategy<Value = Report> {
    (any::<u32>(), epoch(), any::<Index>(), epoch(), timestamp(), any::<bool>(), any::<u64>(), any::<u64>()).prop_map(
        |(incarnation, held, index, promised, clock, is_primary, delivered, reading)| {
            let reading = Time::from_nanos(reading);
            Report { incarnation, held, index, promised, clock, is_primary, delivered, reading }
        },
    )
}

fn header() -> impl Strategy<Value = Header> {
    (any::<Index>(), timestamp(), id(), timestamp(), timestamp(), any::<u64>()).prop_map(
        |(index, timestamp, id, floor, expiry, follows)| Header { index, timestamp, id, floor, expiry, follows },
    )
}

fn promise() -> impl Strategy<Value = Promise> {
    let said = (epoch(), any::<u32>(), timestamp(), epoch(), any::<u64>());
    let shape = (outline(), rebirths(), option::of(any::<Index>()), option::of(any_state().prop_map(Box::new)));
    (said, shape, list(outcome(), 0..=MOST), list(entry(), 0..=MOST)).prop_map(|(said, shape, outcomes, entries)| {
        let (epoch, incarnation, clock, held, delivered) = said;
        let (outline, rebirths, agreement, state) = shape;
        Promise { epoch, incarnation, clock, held, outline, rebirths, delivered, outcomes, agreement, entries, state }
    })
}

fn reign() -> impl Strategy<Value = Reign> {
    (epoch(), timestamp(), rebirths()).prop_map(|(epoch, clock, rebirths)| Reign { epoch, clock, rebirths })
}

/// The shape of some log: epochs and places rise.
fn outline() -> impl Strategy<Value = Outline> {
    let steps = list((1u32..100, any::<u16>(), 1u64..1000), 0..=MOST);
    (any::<u32>(), any::<u32>(), any::<u16>(), steps).prop_map(|(base, round, leader, steps)| {
        let base_epoch = Epoch { round: round / 2, leader: ProcessId(leader) };
        let (mut round, mut last) = (base_epoch.round, u64::from(base));
        let runs = steps.into_iter().map(|(rounds, leader, entries)| {
            (round, last) = (round + rounds, last + entries);
            Run { epoch: Epoch { round, leader: ProcessId(leader) }, last }
        });
        Outline { base: u64::from(base), base_epoch, runs: runs.collect() }
    })
}

fn rebirths() -> impl Strategy<Value = Vec<Rebirth>> {
    let rebirth = (process(), any::<u32>()).prop_map(|(process, incarnation)| Rebirth { process, incarnation });
    list(rebirth, 0..=MOST)
}

fn settlement() -> impl Strategy<Value = Settlement> {
    (mark(), epoch()).prop_map(|(mark, epoch)| Settlement { group: mark.group, index: mark.index, epoch })
}

fn kept() -> impl Strategy<Value = Kept> {
    (any::<Index>(), entry(), any::<bool>(), groups()).prop_map(|(index, entry, is_delivered, owed)| Kept {
        index,
        entry,
        is_delivered,
        owed,
    })
}

fn outcome() -> impl Strategy<Value = Outcome> {
    (id(), timestamp(), list(mark(), 0..=MOST)).prop_map(|(id, timestamp, marks)| Outcome {
        id,
        timestamp,
        marks: marks.into(),
    })
}

fn windows() -> impl Strategy<Value = Windows> {
    list((id(), timestamp(), timestamp(), list(mark(), 0..=MOST)), 0..=MOST).prop_map(|lines| {
        let mut windows = Windows::new();
        for (id, timestamp, expiry, marks) in lines {
            windows.note(id, timestamp, expiry, &marks);
        }
        windows
    })
}

fn entry() -> impl Strategy<Value = Entry> {
    (epoch(), timestamp(), any::<u64>(), multicast()).prop_map(|(epoch, timestamp, follows, message)| Entry {
        epoch,
        timestamp,
        follows,
        message,
    })
}

fn multicast() -> impl Strategy<Value = Multicast> {
    (id(), timestamp(), timestamp(), list(any::<u8>(), 0..9)).prop_map(|(id, floor, expiry, payload)| Multicast {
        id,
        floor,
        expiry,
        payload: payload.into(),
    })
}

fn mark() -> impl Strategy<Value = Mark> {
    (0..MAX_GROUPS, any::<Index>())
        .prop_map(|(group, index)| Mark { group: GroupId::new(group).expect("it is below the bound"), index })
}

fn stamp() -> impl Strategy<Value = Stamp> {
    (timestamp(), id()).prop_map(|(timestamp, id)| Stamp { timestamp, id })
}

fn epoch() -> impl Strategy<Value = Epoch> {
    (any::<u32>(), process()).prop_map(|(round, leader)| Epoch { round, leader })
}

fn id() -> impl Strategy<Value = MessageId> {
    (any::<u64>(), any::<u64>(), 1u64..)
        .prop_map(|(session, sequence, groups)| MessageId::new(session, sequence, groups))
}

fn process() -> impl Strategy<Value = ProcessId> {
    any::<u16>().prop_map(ProcessId)
}

fn groups() -> impl Strategy<Value = GroupSet> {
    any::<u64>().prop_map(GroupSet::from_bits)
}

fn timestamp() -> impl Strategy<Value = Timestamp> {
    any::<u64>().prop_map(Timestamp)
}
