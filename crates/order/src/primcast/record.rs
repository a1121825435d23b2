//! What a replica of PrimCast keeps on disk: the records of its log, and the
//! checkpoint that replaces them all. A snapshot for one that fell behind is
//! the same checkpoint, sent.

use core::fmt;

use alloc::vec::Vec;
use bytes::Bytes;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupSet, MAX_GROUPS, MessageId, Position, Stamp, Timestamp, Wire};

use super::wire::{MOST_ENTRIES, MOST_OUTCOMES, Rebirth, Reign, flag, read_flag};
use crate::parts::{Entry, Epoch, Index, Mark, Windows};

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
    Checkpoint(State),
}

/// A message at its place in the order, as the group remembers it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The message.
    pub id: MessageId,
    /// The final timestamp.
    pub timestamp: Timestamp,
    /// Where it stands in the logs of the other destinations.
    pub marks: Vec<Mark>,
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
    /// The first delivery that is not in the user's state.
    pub position: Position,
    /// The user's state.
    pub user: Bytes,
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
    pub settled: Vec<Mark>,
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
                writer.list(rebirths.iter().copied());
            }
            Record::Entries(entries) => {
                writer.u8(ENTRIES);
                writer.list(entries.iter().cloned());
            }
            Record::Adopted(reign, keep, entries) => {
                writer.u8(ADOPTED);
                reign.encode(writer);
                writer.u64(*keep);
                writer.list(entries.iter().cloned());
            }
            Record::Delivered(position, outcomes) => {
                writer.u8(DELIVERED);
                writer.u64(*position);
                writer.list(outcomes.iter().cloned());
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
            CHECKPOINT => Record::Checkpoint(State::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "PrimCast's records", tag }),
        })
    }
}

impl Wire for Outcome {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        self.timestamp.encode(writer);
        writer.list(self.marks.iter().copied());
    }

    fn decode(reader: &mut Reader) -> Result<Outcome, WireError> {
        Ok(Outcome {
            id: MessageId::decode(reader)?,
            timestamp: Timestamp::decode(reader)?,
            marks: reader.list("marks", MAX_GROUPS)?,
        })
    }
}

impl Wire for Kept {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.entry.encode(writer);
        flag(self.is_delivered, writer);
        self.owed.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Kept, WireError> {
        Ok(Kept {
            index: reader.u64()?,
            entry: Entry::decode(reader)?,
            is_delivered: read_flag(reader)?,
            owed: GroupSet::decode(reader)?,
        })
    }
}

impl Wire for State {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        writer.list(self.rebirths.iter().copied());
        self.held.encode(writer);
        self.promised.encode(writer);
        self.ceiling.encode(writer);
        writer.u64(self.position);
        writer.bytes(&self.user);
        writer.u64(self.first_outcome);
        writer.list(self.outcomes.iter().cloned());
        flag(self.newest.is_some(), writer);
        if let Some(newest) = self.newest {
            newest.timestamp.encode(writer);
            newest.id.encode(writer);
        }
        writer.u64(self.base);
        self.base_epoch.encode(writer);
        writer.u64(self.decided);
        writer.list(self.entries.iter().cloned());
        self.windows.encode(writer);
        writer.list(self.settled.iter().copied());
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
            first_outcome: reader.u64()?,
            outcomes: reader.list("outcomes", MOST_OUTCOMES)?,
            newest: if read_flag(reader)? {
                Some(Stamp { timestamp: Timestamp::decode(reader)?, id: MessageId::decode(reader)? })
            } else {
                None
            },
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
