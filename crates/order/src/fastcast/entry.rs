//! What a group agrees on, what follows from it, and what of that rests in a
//! checkpoint.

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, MAX_GROUPS, MessageId, Multicast, Position, Stamp, Timestamp, Wire};

use super::wire::{MOST_FACTS, MOST_STATE};
use crate::consensus::Content;
use crate::parts::{Index, Windows};

/// An entry of a group's log.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Entry {
    /// SET-HARD: the message gets its local timestamp here.
    Hard(Proposal),
    /// SYNC-SOFT: the clock rises to what is believed to be the final timestamp of this message.
    Soft(MessageId, Timestamp),
    /// SYNC-HARD: these are all local timestamps of these messages elsewhere. The clock rises to their final
    /// timestamps, if it is not there yet, and the group has learned what it had to learn from the others.
    Final(Vec<Heard>),
    /// Somebody waits for the clock to rise to this.
    Clock(Timestamp),
}

/// A message that wants a local timestamp.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// The message.
    pub message: Multicast,
    /// The message of its session that stands before; zero for none.
    pub follows: u64,
    /// What the leader has told the others: its timestamp will be this, or more if the clock has passed that before.
    pub guess: Timestamp,
}

impl Proposal {
    /// The local timestamp, if the clock stands so in front of this entry.
    pub(super) fn timestamp(&self, clock: Timestamp) -> Timestamp {
        self.guess.max(clock.next()).max(self.message.floor.next())
    }
}

impl Entry {
    /// Where the clock stands behind this entry.
    pub(super) fn raise(&self, clock: Timestamp) -> Timestamp {
        match self {
            Entry::Hard(proposal) => proposal.timestamp(clock),
            Entry::Soft(_, timestamp) | Entry::Clock(timestamp) => clock.max(*timestamp),
            Entry::Final(messages) => {
                let hards = messages.iter().flat_map(|heard| &heard.hards);
                hards.map(|hard| hard.timestamp).fold(clock, Timestamp::max)
            }
        }
    }
}

/// A message, and its local timestamps elsewhere.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Heard {
    /// The message.
    pub id: MessageId,
    /// The timestamps.
    pub hards: Vec<Hard>,
}

/// The local timestamp that a group has decided for a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hard {
    /// The group.
    pub group: GroupId,
    /// The place in its log.
    pub index: Index,
    /// The timestamp.
    pub timestamp: Timestamp,
}

/// Everything that follows from a log, and the user's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// The group's clock.
    pub clock: Timestamp,
    /// The first delivery that is not in the user's state. Those that are not count as not delivered here.
    pub position: Position,
    /// That state.
    pub user: Bytes,
    /// The last delivery before that.
    pub newest: Option<Stamp>,
    /// Messages in the log that are not forgotten, in order.
    pub messages: Vec<Kept>,
    /// Which messages of each session were delivered.
    pub windows: Windows,
    /// Up to where the logs of other groups are settled.
    pub settled: Vec<Settlement>,
}

/// A message that has a local timestamp.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kept {
    /// Where it stands in the log.
    pub index: Index,
    /// The local timestamp.
    pub timestamp: Timestamp,
    /// The message of its session that stands before; zero for none.
    pub follows: u64,
    /// The message; without its payload, once that is in the user's state.
    pub message: Multicast,
    /// What is known of its local timestamps elsewhere.
    pub hards: Vec<Hard>,
    /// Whether the log says so, too.
    pub is_final: bool,
    /// Whether it is in the user's state.
    pub is_delivered: bool,
    /// Groups that may not have learned the local timestamp.
    pub owed: GroupSet,
}

/// Up to where this group has learned what it shares with another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settlement {
    /// The other group.
    pub group: GroupId,
    /// The place in its log.
    pub index: Index,
}

impl Content for Entry {
    fn length(&self) -> usize {
        match self {
            Entry::Hard(proposal) => proposal.message.payload.len(),
            _ => 0,
        }
    }
}

impl Content for State {
    fn length(&self) -> usize {
        self.user.len() + self.messages.iter().map(|kept| kept.message.payload.len()).sum::<usize>()
    }
}

const HARD: u8 = 1;
const SOFT: u8 = 2;
const FINAL: u8 = 3;
const CLOCK: u8 = 4;

impl Wire for Entry {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Entry::Hard(proposal) => {
                writer.u8(HARD);
                proposal.message.encode(writer);
                writer.u64(proposal.follows);
                proposal.guess.encode(writer);
            }
            Entry::Soft(id, timestamp) => {
                writer.u8(SOFT);
                id.encode(writer);
                timestamp.encode(writer);
            }
            Entry::Final(messages) => {
                writer.u8(FINAL);
                writer.each(messages);
            }
            Entry::Clock(timestamp) => {
                writer.u8(CLOCK);
                timestamp.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        Ok(match reader.u8()? {
            HARD => Entry::Hard(Proposal {
                message: Multicast::decode(reader)?,
                follows: reader.u64()?,
                guess: Timestamp::decode(reader)?,
            }),
            SOFT => Entry::Soft(MessageId::decode(reader)?, Timestamp::decode(reader)?),
            FINAL => Entry::Final(reader.list("messages", MOST_FACTS)?),
            CLOCK => Entry::Clock(Timestamp::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "the entries of FastCast", tag }),
        })
    }
}

impl Wire for Heard {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        writer.each(&self.hards);
    }

    fn decode(reader: &mut Reader) -> Result<Heard, WireError> {
        Ok(Heard { id: MessageId::decode(reader)?, hards: reader.list("local timestamps", MAX_GROUPS)? })
    }
}

impl Wire for Hard {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        writer.u64(self.index);
        self.timestamp.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Hard, WireError> {
        Ok(Hard { group: GroupId::decode(reader)?, index: reader.u64()?, timestamp: Timestamp::decode(reader)? })
    }
}

impl Wire for Settlement {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        writer.u64(self.index);
    }

    fn decode(reader: &mut Reader) -> Result<Settlement, WireError> {
        Ok(Settlement { group: GroupId::decode(reader)?, index: reader.u64()? })
    }
}

impl Wire for Kept {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.timestamp.encode(writer);
        writer.u64(self.follows);
        self.message.encode(writer);
        writer.each(&self.hards);
        writer.flag(self.is_final);
        writer.flag(self.is_delivered);
        self.owed.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Kept, WireError> {
        Ok(Kept {
            index: reader.u64()?,
            timestamp: Timestamp::decode(reader)?,
            follows: reader.u64()?,
            message: Multicast::decode(reader)?,
            hards: reader.list("local timestamps", MAX_GROUPS)?,
            is_final: reader.flag()?,
            is_delivered: reader.flag()?,
            owed: GroupSet::decode(reader)?,
        })
    }
}

impl Wire for State {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.clock.encode(writer);
        writer.u64(self.position);
        writer.bytes(&self.user);
        writer.option(self.newest.as_ref());
        writer.each(&self.messages);
        self.windows.encode(writer);
        writer.each(&self.settled);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        Ok(State {
            clock: Timestamp::decode(reader)?,
            position: reader.u64()?,
            user: reader.bytes("the user's state", MOST_STATE)?,
            newest: reader.option()?,
            messages: reader.list("messages of a checkpoint", MOST_FACTS)?,
            windows: Windows::decode(reader)?,
            settled: reader.list("settlements", MAX_GROUPS)?,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Entry::Hard(proposal) => write!(f, "SET-HARD {proposal:?}"),
            Entry::Soft(id, timestamp) => write!(f, "SYNC-SOFT {id}@{timestamp}"),
            Entry::Final(messages) => {
                f.write_str("SYNC-HARD")?;
                messages.iter().try_for_each(|Heard { id, hards }| write!(f, " {id}{hards:?}"))
            }
            Entry::Clock(timestamp) => write!(f, "CLOCK {timestamp}"),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {}", self.message, self.guess)
    }
}

impl fmt::Debug for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.id, self.hards)
    }
}

impl fmt::Debug for Hard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}@{}", self.group, self.index, self.timestamp)
    }
}
