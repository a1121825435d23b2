//! What a replica of PrimCast keeps on disk: the records of its log, and the
//! checkpoint that replaces them all. A snapshot for one that fell behind is
//! the same checkpoint, sent.

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, MAX_GROUPS, MessageId, Position, Stamp, Timestamp, Wire};

use super::wire::{MOST_ENTRIES, MOST_OUTCOMES, Reign};
use crate::parts::{Entry, Epoch, Index, Marks, Rebirth, Windows};

/// One thing that a replica must not forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It lost everything before, and has promised nothing in this incarnation.
    Reborn(u32),
    /// The clock will not pass this without another record.
    Ceiling(Timestamp),
    /// It follows nobody below this epoch, and knows who lost its memory how often.
    Promised(Epoch, Vec<Rebirth>),
    /// These follow in the log of the epoch that it holds.
    Entries(Vec<Entry>),
    /// It holds a new epoch: its own log up to a place, and then these.
    Adopted(Reign, Index, Vec<Entry>),
    /// The group delivered these, from this position on.
    Delivered(Position, Vec<Outcome>),
    /// Everything.
    Checkpoint(Box<State>),
}

/// A message at its place in the order, as the group remembers it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The message.
    pub id: MessageId,
    /// The final timestamp.
    pub timestamp: Timestamp,
    /// Where it stands in the logs of the other destinations.
    pub marks: Marks,
}

/// An entry that is kept, and why.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Its place.
    pub index: Index,
    /// The entry; without its payload when nobody needs that any more.
    pub entry: Entry,
    /// Whether it was delivered here.
    pub is_delivered: bool,
    /// The destinations that may not have learned its local timestamp.
    pub owed: GroupSet,
}

/// Up to where the log of another group is settled, and the newest epoch of that group that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The group.
    pub group: GroupId,
    /// Everything that it shares was delivered up to this place of its log.
    pub index: Index,
    /// What primaries of earlier epochs show counts no more.
    pub epoch: Epoch,
}

/// Everything that a replica knows and must not forget.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Which life without memory this is.
    pub incarnation: u32,
    /// Who lost its memory how often.
    pub rebirths: Vec<Rebirth>,
    /// The epoch whose log this is.
    pub held: Epoch,
    /// It follows nobody below this epoch.
    pub promised: Epoch,
    /// The clock restarts here.
    pub ceiling: Timestamp,
    /// The first turn that is not in the user's state.
    pub position: Position,
    /// The user's state.
    pub user: Bytes,
    /// What that state holds beyond the position: messages that were delivered before their turn, by place.
    pub early: Vec<Stamp>,
    /// The position of the first of the outcomes.
    pub first_outcome: Position,
    /// What was delivered from there on.
    pub outcomes: Vec<Outcome>,
    /// The place of the newest delivery.
    pub newest: Option<Stamp>,
    /// Where the log is cut.
    pub base: Index,
    /// The epoch of the entry there.
    pub base_epoch: Epoch,
    /// Everything up to here is decided.
    pub decided: Index,
    /// The entries that are kept.
    pub entries: Vec<Kept>,
    /// Which messages of each session were delivered.
    pub windows: Windows,
    /// Up to where each other group's log is settled.
    pub settled: Vec<Settlement>,
}

impl State {
    /// How much was delivered.
    pub fn delivered(&self) -> Position {
        self.first_outcome + self.outcomes.len() as Position
    }
}

/// The longest user's state that travels in one piece.
const MOST_STATE: usize = 1 << 30;

const REBORN: u8 = 1;
const CEILING: u8 = 2;
const PROMISED: u8 = 3;
const ENTRIES: u8 = 4;
const ADOPTED: u8 = 5;
const DELIVERED: u8 = 6;
const CHECKPOINT: u8 = 7;

impl Wire for Record {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Record::Reborn(incarnation) => {
                writer.u8(REBORN);
                writer.u32(*incarnation);
            }
            Record::Ceiling(timestamp) => {
                writer.u8(CEILING);
                timestamp.encode(writer);
            }
            Record::Promised(epoch, rebirths) => {
                writer.u8(PROMISED);
                epoch.encode(writer);
                writer.each(rebirths);
            }
            Record::Entries(entries) => {
                writer.u8(ENTRIES);
                writer.each(entries);
            }
            Record::Adopted(reign, keep, entries) => {
                writer.u8(ADOPTED);
                reign.encode(writer);
                writer.u64(*keep);
                writer.each(entries);
            }
            Record::Delivered(position, outcomes) => {
                writer.u8(DELIVERED);
                writer.u64(*position);
                writer.each(outcomes);
            }
            Record::Checkpoint(state) => {
                writer.u8(CHECKPOINT);
                state.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Record, WireError> {
        Ok(match reader.u8()? {
            REBORN => Record::Reborn(reader.u32()?),
            CEILING => Record::Ceiling(Timestamp::decode(reader)?),
            PROMISED => Record::Promised(Epoch::decode(reader)?, reader.list("rebirths", MAX_GROUPS)?),
            ENTRIES => Record::Entries(reader.list("entries", MOST_ENTRIES)?),
            ADOPTED => Record::Adopted(Reign::decode(reader)?, reader.u64()?, reader.list("entries", MOST_ENTRIES)?),
            DELIVERED => Record::Delivered(reader.u64()?, reader.list("outcomes", MOST_OUTCOMES)?),
            CHECKPOINT => Record::Checkpoint(Box::new(State::decode(reader)?)),
            tag => return Err(WireError::UnknownTag { what: "PrimCast's records", tag }),
        })
    }
}

impl Wire for Outcome {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        self.timestamp.encode(writer);
        writer.each(&self.marks);
    }

    fn decode(reader: &mut Reader) -> Result<Outcome, WireError> {
        Ok(Outcome {
            id: MessageId::decode(reader)?,
            timestamp: Timestamp::decode(reader)?,
            marks: reader.list("marks", MAX_GROUPS)?.into(),
        })
    }
}

impl Wire for Settlement {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        writer.u64(self.index);
        self.epoch.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Settlement, WireError> {
        Ok(Settlement { group: GroupId::decode(reader)?, index: reader.u64()?, epoch: Epoch::decode(reader)? })
    }
}

impl Wire for Kept {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.entry.encode(writer);
        writer.flag(self.is_delivered);
        self.owed.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Kept, WireError> {
        Ok(Kept {
            index: reader.u64()?,
            entry: Entry::decode(reader)?,
            is_delivered: reader.flag()?,
            owed: GroupSet::decode(reader)?,
        })
    }
}

/// Canonical: rising, each place once.
fn read_early(reader: &mut Reader) -> Result<Vec<Stamp>, WireError> {
    let early: Vec<Stamp> = reader.list("early deliveries", MOST_OUTCOMES)?;
    if !early.windows(2).all(|pair| pair[0] < pair[1]) {
        return Err(WireError::Invalid { what: "a list of early deliveries out of order" });
    }
    Ok(early)
}

impl Wire for State {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        writer.each(&self.rebirths);
        self.held.encode(writer);
        self.promised.encode(writer);
        self.ceiling.encode(writer);
        writer.u64(self.position);
        writer.bytes(&self.user);
        writer.each(&self.early);
        writer.u64(self.first_outcome);
        writer.each(&self.outcomes);
        writer.option(self.newest.as_ref());
        writer.u64(self.base);
        self.base_epoch.encode(writer);
        writer.u64(self.decided);
        writer.each(&self.entries);
        self.windows.encode(writer);
        writer.each(&self.settled);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        Ok(State {
            incarnation: reader.u32()?,
            rebirths: reader.list("rebirths", MAX_GROUPS)?,
            held: Epoch::decode(reader)?,
            promised: Epoch::decode(reader)?,
            ceiling: Timestamp::decode(reader)?,
            position: reader.u64()?,
            user: reader.bytes("the user's state", MOST_STATE)?,
            early: read_early(reader)?,
            first_outcome: reader.u64()?,
            outcomes: reader.list("outcomes", MOST_OUTCOMES)?,
            newest: reader.option()?,
            base: reader.u64()?,
            base_epoch: Epoch::decode(reader)?,
            decided: reader.u64()?,
            entries: reader.list("entries", MOST_ENTRIES)?,
            windows: Windows::decode(reader)?,
            settled: reader.list("settled marks", MAX_GROUPS)?,
        })
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.timestamp)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { held, position, base, entries, .. } = self;
        let delivered = self.delivered();
        write!(f, "state at #{position}, #{delivered} delivered, log of {held} cut at {base}, {} kept", entries.len())
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::Layout;
    use super::super::samples::{any_record, state};
    use super::*;
    use crate::parts::Mark;
    use alloc::vec;
    use proptest::prelude::*;
    use skein_machine::wire::{OLDEST, VERSION, examine, from_bytes, to_bytes};
    use skein_machine::{Multicast, ProcessId};

    /// Both ways: the record gives these bytes, and the bytes give this record.
    fn holds(record: &Record, golden: &Layout) {
        assert_eq!(to_bytes(record), golden.bytes(), "{record:?} is laid out differently");
        for version in OLDEST..=VERSION {
            assert_eq!(&from_bytes::<Record>(golden.bytes(), version).unwrap(), record);
            let mut written = Vec::new();
            record.encode(&mut Writer::new(&mut written, version));
            assert_eq!(written, golden.bytes(), "{record:?} is laid out differently in version {version}");
        }
    }

    fn epoch(round: u32) -> Epoch {
        Epoch { round, leader: ProcessId(6) }
    }

    /// The layout of version 1. A change here, and in the next test, is a new version, never an edit.
    #[test]
    fn golden_vectors() {
        let rebirths = vec![Rebirth { process: ProcessId(2), incarnation: 3 }];
        holds(&Record::Reborn(1), &Layout::of(1).u32(1));
        holds(&Record::Ceiling(Timestamp(7)), &Layout::of(2).u64(7));
        let promised = Layout::of(3).u32(4).u16(6).u32(1).u16(2).u32(3);
        holds(&Record::Promised(epoch(4), rebirths.clone()), &promised);

        let message = Multicast {
            id: MessageId::new(1, 2, 0b11),
            floor: Timestamp(4),
            expiry: Timestamp(5),
            payload: Bytes::from_static(b"x"),
        };
        let entry = Entry { epoch: epoch(3), timestamp: Timestamp(6), follows: 1, message };
        // Round, leader, timestamp, what it follows; session, sequence, destinations, floor, expiry, payload.
        let of_entry =
            |golden: Layout| golden.u32(3).u16(6).u64(6).u64(1).u64(1).u64(2).u64(0b11).u64(4).u64(5).u32(1).text("x");
        holds(&Record::Entries(vec![entry.clone()]), &of_entry(Layout::of(4).u32(1)));
        let reign = Reign { epoch: epoch(4), clock: Timestamp(9), rebirths };
        let adopted = Layout::of(5).u32(4).u16(6).u64(9).u32(1).u16(2).u32(3).u64(10).u32(1);
        holds(&Record::Adopted(reign, 10, vec![entry]), &of_entry(adopted));

        let mark = Mark { group: skein_machine::GroupId::new(1).unwrap(), index: 3 };
        let outcome =
            Outcome { id: MessageId::new(1, 2, 0b11), timestamp: Timestamp(7), marks: [mark].into_iter().collect() };
        let delivered = Layout::of(6).u64(9).u32(1).u64(1).u64(2).u64(0b11).u64(7).u32(1).u8(1).u64(3);
        holds(&Record::Delivered(9, vec![outcome]), &delivered);
    }

    #[test]
    fn golden_vector_of_a_checkpoint() {
        let golden = Layout::of(7).u32(1); // incarnation
        let golden = golden.u32(1).u16(2).u32(3); // a rebirth
        let golden = golden.u32(4).u16(6).u32(5).u16(6).u64(50); // held, promised, ceiling
        let golden = golden.u64(8).u32(4).text("user"); // the user's state and its position
        let golden = golden.u32(1).u64(8).u64(3).u64(1).u64(0b11); // a message that it holds before its turn
        let golden = golden.u64(9).u32(1).u64(1).u64(2).u64(0b11).u64(7).u32(1).u8(1).u64(3); // an outcome with its mark
        let newest = golden.clone().u8(1).u64(7).u64(1).u64(2).u64(0b11);
        let of_the_rest = |golden: Layout| {
            let golden = golden.u64(10).u32(2).u16(6).u64(11); // base, its epoch, what is decided
            let golden = golden.u32(1).u64(11).u32(3).u16(6).u64(6).u64(1); // an entry: place, epoch, timestamp, follows
            let golden = golden.u64(1).u64(2).u64(0b11).u64(4).u64(5).u32(1).text("x"); // its message
            let golden = golden.u8(1).u64(0b11); // it is delivered; who is owed
            let golden = golden.u32(1).u64(1).u64(0b11).u64(2).u64(7).u64(5).u32(1).u8(1).u64(3); // a window with its mark
            golden.u32(1).u8(1).u64(3).u32(4).u16(6) // a settled mark and its epoch
        };
        holds(&Record::Checkpoint(Box::new(state())), &of_the_rest(newest));
        holds(&Record::Checkpoint(Box::new(State { newest: None, ..state() })), &of_the_rest(golden.u8(0)));
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        for tag in [0, 8, 255] {
            let refused = from_bytes::<Record>(Bytes::from(vec![tag; 80]), VERSION);
            assert_eq!(refused, Err(WireError::UnknownTag { what: "PrimCast's records", tag }));
        }
    }

    /// Sessions stand in rising order, each once: two ways to write the same windows would be two checksums.
    #[test]
    fn windows_out_of_order_are_refused() {
        let with_sessions = |sessions: &[u64]| {
            let count = u32::try_from(sessions.len()).unwrap();
            let golden = sessions.iter().fold(Layout::of(0).u32(count), |golden, session| {
                golden.u64(*session).u64(0b11).u64(2).u64(7).u64(5).u32(0)
            });
            from_bytes::<Windows>(golden.bytes().slice(1..), VERSION)
        };
        assert_eq!(with_sessions(&[1, 2]).unwrap().len(), 2);
        assert!(with_sessions(&[2, 1]).is_err() && with_sessions(&[1, 1]).is_err());
    }

    /// What was delivered early stands by place, each once, for the same reason.
    #[test]
    fn early_deliveries_out_of_order_are_refused() {
        let stamp = |timestamp| Stamp { timestamp: Timestamp(timestamp), id: MessageId::new(1, 1, 0b11) };
        let with_early = |early: Vec<Stamp>| {
            let record = Record::Checkpoint(Box::new(State { early, ..state() }));
            from_bytes::<Record>(to_bytes(&record), VERSION)
        };
        assert!(with_early(vec![stamp(1), stamp(2)]).is_ok());
        assert!(with_early(vec![stamp(2), stamp(1)]).is_err() && with_early(vec![stamp(1), stamp(1)]).is_err());
    }

    proptest! {
        #[test]
        fn every_record_survives_the_journey(record in any_record()) {
            prop_assert_eq!(from_bytes::<Record>(to_bytes(&record), VERSION).unwrap(), record);
        }

        /// One byte of a record changed: it is another record, or none, and never the same one again.
        #[test]
        fn a_changed_byte_changes_the_record(record in any_record(), place: prop::sample::Index, flip in 1u8..) {
            let mut bytes = to_bytes(&record).to_vec();
            let place = place.index(bytes.len());
            bytes[place] ^= flip;
            examine::<Record>(&bytes);
            prop_assert_ne!(from_bytes::<Record>(bytes.into(), VERSION).ok(), Some(record));
        }

        #[test]
        fn any_bytes_decode_or_are_refused(tag in 0u8..9, mut bytes: Vec<u8>) {
            bytes.insert(0, tag);
            examine::<Record>(&bytes);
        }
    }
}
