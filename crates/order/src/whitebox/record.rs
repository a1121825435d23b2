//! What a replica keeps on disk: the records of its log, and the checkpoint
//! that replaces them all. A snapshot for one that fell behind is the same
//! checkpoint, sent.

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::Bytes;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, MAX_GROUPS, MessageId, Multicast, Position, Stamp, Timestamp, Wire};

use super::wire::{MOST_ENTRIES, MOST_OUTCOMES, MOST_REBIRTHS, Reign};
use crate::parts::{Epoch, Marks, Rebirth, Windows};

/// One thing that a replica must not forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// It lost everything before, and has promised nothing in this incarnation.
    Reborn(u32),
    /// The clock will not pass this without another record.
    Ceiling(Timestamp),
    /// It follows nobody below this epoch, and knows who lost its memory how often.
    Promised(Epoch, Vec<Rebirth>),
    /// It has accepted this, in the epoch that it holds.
    Accepted(Entry),
    /// It holds a new epoch, and has accepted what that one begins with.
    Adopted(Box<Inheritance>),
    /// The group delivered these, from this position on. Each was accepted before.
    Delivered(Position, Vec<Outcome>),
    /// Everything.
    Checkpoint(Box<State>),
}

/// A proposal of the own group.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The local timestamp.
    pub timestamp: Timestamp,
    /// The message of its session that must be proposed before; zero for none.
    pub follows: u64,
    /// The message.
    pub message: Multicast,
}

/// What became of a message, as one group sees it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Outcome {
    /// The message.
    pub id: MessageId,
    /// The local timestamp of the group.
    pub own: Timestamp,
    /// The final timestamp.
    pub timestamp: Timestamp,
    /// The local timestamps of the other destinations.
    pub marks: Marks,
}

/// A message that was delivered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// What became of it.
    pub outcome: Outcome,
    /// The message.
    pub message: Multicast,
}

/// What an epoch begins with, for one that has delivered so much.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Inheritance {
    /// The epoch, and its clock.
    pub reign: Reign,
    /// What was delivered from this position on,
    pub position: Position,
    /// as far as the leader knows.
    pub delivered: Vec<Delivered>,
    /// What was accepted and is not delivered.
    pub accepted: Vec<Entry>,
    /// See [`State::forgotten`].
    pub forgotten: Timestamp,
}

/// A delivered message of which another destination may not have learned the final timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Unsettled {
    /// What became of it.
    pub outcome: Outcome,
    /// Those destinations.
    pub owed: GroupSet,
}

/// Up to where the proposals of another group are settled, and the newest epoch of that group that was heard of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The group.
    pub group: GroupId,
    /// Everything that it shares and proposed up to this timestamp was delivered.
    pub timestamp: Timestamp,
    /// What leaders of earlier epochs show counts no more.
    pub epoch: Epoch,
}

/// Everything that a replica knows and must not forget.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// Which life without memory this is.
    pub incarnation: u32,
    /// Who lost its memory how often.
    pub rebirths: Vec<Rebirth>,
    /// The epoch in which everything was accepted.
    pub held: Epoch,
    /// It follows nobody below this epoch.
    pub promised: Epoch,
    /// The clock restarts here.
    pub ceiling: Timestamp,
    /// The first delivery that is not in the user's state.
    pub position: Position,
    /// The user's state.
    pub user: Bytes,
    /// The position of the first of the deliveries that are kept.
    pub first_outcome: Position,
    /// What was delivered from there on.
    pub outcomes: Vec<Delivered>,
    /// The place of the newest delivery.
    pub newest: Option<Stamp>,
    /// What was accepted and is not delivered.
    pub accepted: Vec<Entry>,
    /// What was delivered and is not settled with other groups.
    pub unsettled: Vec<Unsettled>,
    /// Which messages of each session were delivered.
    pub windows: Windows,
    /// Sessions were forgotten when everything up to this was delivered: whatever the group still accepts and
    /// delivers has a local timestamp above.
    pub forgotten: Timestamp,
    /// Up to where each other group's proposals are settled.
    pub settled: Vec<Settlement>,
}

impl State {
    /// How much was delivered.
    pub fn delivered(&self) -> Position {
        self.first_outcome + self.outcomes.len() as Position
    }
}

impl Outcome {
    /// Where it stands in the order.
    pub fn stamp(&self) -> Stamp {
        Stamp { timestamp: self.timestamp, id: self.id }
    }
}

/// The longest user's state that travels in one piece.
const MOST_STATE: usize = 1 << 30;

const REBORN: u8 = 1;
const CEILING: u8 = 2;
const PROMISED: u8 = 3;
const ACCEPTED: u8 = 4;
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
            Record::Accepted(entry) => {
                writer.u8(ACCEPTED);
                entry.encode(writer);
            }
            Record::Adopted(inheritance) => {
                writer.u8(ADOPTED);
                inheritance.encode(writer);
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
            PROMISED => Record::Promised(Epoch::decode(reader)?, reader.list("rebirths", MOST_REBIRTHS)?),
            ACCEPTED => Record::Accepted(Entry::decode(reader)?),
            ADOPTED => Record::Adopted(Box::new(Inheritance::decode(reader)?)),
            DELIVERED => Record::Delivered(reader.u64()?, reader.list("outcomes", MOST_OUTCOMES)?),
            CHECKPOINT => Record::Checkpoint(Box::new(State::decode(reader)?)),
            tag => return Err(WireError::UnknownTag { what: "White-Box's records", tag }),
        })
    }
}

impl Wire for Entry {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        writer.u64(self.follows);
        self.message.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        let (timestamp, follows) = (Timestamp::decode(reader)?, reader.u64()?);
        Ok(Entry { timestamp, follows, message: Multicast::decode(reader)? })
    }
}

impl Wire for Outcome {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        self.own.encode(writer);
        self.timestamp.encode(writer);
        writer.each(&self.marks);
    }

    fn decode(reader: &mut Reader) -> Result<Outcome, WireError> {
        Ok(Outcome {
            id: MessageId::decode(reader)?,
            own: Timestamp::decode(reader)?,
            timestamp: Timestamp::decode(reader)?,
            marks: reader.list("marks", MAX_GROUPS)?.into(),
        })
    }
}

impl Wire for Delivered {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.outcome.encode(writer);
        self.message.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Delivered, WireError> {
        let (outcome, message) = (Outcome::decode(reader)?, Multicast::decode(reader)?);
        if outcome.id != message.id {
            return Err(WireError::Invalid { what: "the outcome of another message" });
        }
        Ok(Delivered { outcome, message })
    }
}

impl Wire for Inheritance {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.reign.encode(writer);
        writer.u64(self.position);
        writer.each(&self.delivered);
        writer.each(&self.accepted);
        self.forgotten.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Inheritance, WireError> {
        Ok(Inheritance {
            reign: Reign::decode(reader)?,
            position: reader.u64()?,
            delivered: reader.list("deliveries", MOST_OUTCOMES)?,
            accepted: reader.list("entries", MOST_ENTRIES)?,
            forgotten: Timestamp::decode(reader)?,
        })
    }
}

impl Wire for Unsettled {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.outcome.encode(writer);
        self.owed.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Unsettled, WireError> {
        Ok(Unsettled { outcome: Outcome::decode(reader)?, owed: GroupSet::decode(reader)? })
    }
}

impl Wire for Settlement {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        self.timestamp.encode(writer);
        self.epoch.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Settlement, WireError> {
        let (group, timestamp) = (GroupId::decode(reader)?, Timestamp::decode(reader)?);
        Ok(Settlement { group, timestamp, epoch: Epoch::decode(reader)? })
    }
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
        writer.u64(self.first_outcome);
        writer.each(&self.outcomes);
        writer.option(self.newest.as_ref());
        writer.each(&self.accepted);
        writer.each(&self.unsettled);
        self.windows.encode(writer);
        self.forgotten.encode(writer);
        writer.each(&self.settled);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        Ok(State {
            incarnation: reader.u32()?,
            rebirths: reader.list("rebirths", MOST_REBIRTHS)?,
            held: Epoch::decode(reader)?,
            promised: Epoch::decode(reader)?,
            ceiling: Timestamp::decode(reader)?,
            position: reader.u64()?,
            user: reader.bytes("a user's state", MOST_STATE)?,
            first_outcome: reader.u64()?,
            outcomes: reader.list("deliveries", MOST_OUTCOMES)?,
            newest: reader.option()?,
            accepted: reader.list("entries", MOST_ENTRIES)?,
            unsettled: reader.list("unsettled messages", MOST_OUTCOMES)?,
            windows: Windows::decode(reader)?,
            forgotten: Timestamp::decode(reader)?,
            settled: reader.list("settled marks", MAX_GROUPS)?,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.message.id, self.timestamp)
    }
}

impl fmt::Debug for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, own {}", self.stamp(), self.own)
    }
}

impl fmt::Debug for Delivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.outcome)
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let State { held, position, outcomes, accepted, unsettled, .. } = self;
        let (outcomes, unsettled) = (outcomes.len(), unsettled.len());
        let delivered = self.delivered();
        write!(f, "{held} with #{delivered}, state of #{position}, {outcomes} deliveries, {unsettled} unsettled, ")?;
        write!(f, "accepted {accepted:?}")
    }
}
