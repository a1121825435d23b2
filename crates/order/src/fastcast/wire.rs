//! What FastCast's processes say to each other, as values and as bytes, in the
//! order in which a multicast meets them: between sender and groups, between
//! groups, and inside a group.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, MessageId, Multicast, ProcessId, Timestamp, Wire};

use super::entry::{Entry, Heard, State};
use crate::consensus;
use crate::parts::{Epoch, Index, Refusal};

/// What the replicas of a group say to each other to agree.
pub type Agreement = consensus::Message<Entry, State>;

/// What a replica must not forget.
pub type Record = consensus::Record<Entry, State>;

/// A message between two processes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// To the leader of a destination: order this.
    Start(Start),
    /// To a sender: this is who leads the group that you asked.
    Primary(Epoch),
    /// To a sender: the message was delivered with this final timestamp or a lower one.
    Done(MessageId, Timestamp),
    /// To a sender: the message was not taken.
    Refused(MessageId, Refusal),
    /// From one leader to another: which timestamps these messages are believed to get in the speaker's group.
    Soft {
        /// The speaker's epoch.
        epoch: Epoch,
        /// The messages, each with its timestamp.
        guesses: Vec<Guess>,
    },
    /// To every replica of another destination: which timestamps these messages have got.
    Hard {
        /// Who leads the speaker's group.
        epoch: Epoch,
        /// Everything that both groups share up to this place of the speaker's log was learned by the hearer's group,
        /// and will not be spoken of again.
        settled: Index,
        /// The messages.
        facts: Vec<Fact>,
    },
    /// To another destination: the speaker's group has learned what stands at these places of your log.
    Learned(Vec<Index>),
    /// To another destination: has your group learned what stands at these places of my log?
    Ask(Vec<Question>),
    /// Inside a group: what its consensus says.
    Agreement(Box<Agreement>),
    /// To the leader: these are the local timestamps elsewhere that the speaker has heard of, and the leader may not.
    Heard(Vec<Heard>),
    /// To the leader: somebody waits for the clock of the group to pass this.
    Raise(Timestamp),
    /// To everybody in the own group: somebody wants to read. How far is your log?
    Inquire(u64),
    /// The answer to the question of this name: the log ends here.
    Reply(u64, Index),
}

/// A message on its way to be ordered.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Start {
    /// The message.
    pub message: Multicast,
    /// The message of its session that must be proposed before; zero for none.
    pub follows: u64,
    /// Who waits for the outcome.
    pub sender: ProcessId,
    /// When another destination asks in the name of the sender: what it has decided.
    pub shown: Option<Box<Shown>>,
}

/// A local timestamp, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shown {
    /// The group.
    pub group: GroupId,
    /// See [`Message::Hard`].
    pub settled: Index,
    /// The timestamp.
    pub fact: Fact,
}

/// Which timestamp a message is believed to get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Guess {
    /// The message.
    pub id: MessageId,
    /// The timestamp.
    pub timestamp: Timestamp,
}

/// The local timestamp of a message, decided for ever.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fact {
    /// Its place in the log of that group.
    pub index: Index,
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The message.
    pub id: MessageId,
    /// Its floor.
    pub floor: Timestamp,
    /// Its expiry.
    pub expiry: Timestamp,
    /// See [`Start::follows`].
    pub follows: u64,
}

/// A place in the speaker's log, and the message there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// The place.
    pub index: Index,
    /// The message.
    pub id: MessageId,
}

impl From<Agreement> for Message {
    fn from(agreement: Agreement) -> Message {
        Message::Agreement(Box::new(agreement))
    }
}

/// More facts than one message, or one checkpoint, of a sound process holds.
pub(super) const MOST_FACTS: usize = 1 << 24;

/// A longer state than any user has.
pub(super) const MOST_STATE: usize = 1 << 30;

const START: u8 = 1;
const PRIMARY: u8 = 2;
const DONE: u8 = 3;
const REFUSED: u8 = 4;
const SOFT: u8 = 5;
const HARD: u8 = 6;
const LEARNED: u8 = 7;
const ASK: u8 = 8;
const AGREEMENT: u8 = 9;
const HEARD: u8 = 10;
const RAISE: u8 = 11;
const INQUIRE: u8 = 12;
const REPLY: u8 = 13;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Start(start) => {
                writer.u8(START);
                start.encode(writer);
            }
            Message::Primary(epoch) => {
                writer.u8(PRIMARY);
                epoch.encode(writer);
            }
            Message::Done(id, timestamp) => {
                writer.u8(DONE);
                id.encode(writer);
                timestamp.encode(writer);
            }
            Message::Refused(id, refusal) => {
                writer.u8(REFUSED);
                id.encode(writer);
                refusal.encode(writer);
            }
            Message::Soft { epoch, guesses } => {
                writer.u8(SOFT);
                epoch.encode(writer);
                writer.each(guesses);
            }
            Message::Hard { epoch, settled, facts } => {
                writer.u8(HARD);
                epoch.encode(writer);
                writer.u64(*settled);
                writer.each(facts);
            }
            Message::Learned(places) => {
                writer.u8(LEARNED);
                writer.each(places);
            }
            Message::Ask(questions) => {
                writer.u8(ASK);
                writer.each(questions);
            }
            Message::Agreement(agreement) => {
                writer.u8(AGREEMENT);
                agreement.encode(writer);
            }
            Message::Heard(messages) => {
                writer.u8(HEARD);
                writer.each(messages);
            }
            Message::Raise(timestamp) => {
                writer.u8(RAISE);
                timestamp.encode(writer);
            }
            Message::Inquire(name) => {
                writer.u8(INQUIRE);
                writer.u64(*name);
            }
            Message::Reply(name, last) => {
                writer.u8(REPLY);
                writer.u64(*name);
                writer.u64(*last);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        Ok(match reader.u8()? {
            START => Message::Start(Start::decode(reader)?),
            PRIMARY => Message::Primary(Epoch::decode(reader)?),
            DONE => Message::Done(MessageId::decode(reader)?, Timestamp::decode(reader)?),
            REFUSED => Message::Refused(MessageId::decode(reader)?, Refusal::decode(reader)?),
            SOFT => Message::Soft { epoch: Epoch::decode(reader)?, guesses: reader.list("guesses", MOST_FACTS)? },
            HARD => Message::Hard {
                epoch: Epoch::decode(reader)?,
                settled: reader.u64()?,
                facts: reader.list("facts", MOST_FACTS)?,
            },
            LEARNED => Message::Learned(reader.list("learned places", MOST_FACTS)?),
            ASK => Message::Ask(reader.list("questions", MOST_FACTS)?),
            AGREEMENT => Message::Agreement(Box::new(Agreement::decode(reader)?)),
            HEARD => Message::Heard(reader.list("messages", MOST_FACTS)?),
            RAISE => Message::Raise(Timestamp::decode(reader)?),
            INQUIRE => Message::Inquire(reader.u64()?),
            REPLY => Message::Reply(reader.u64()?, reader.u64()?),
            tag => return Err(WireError::UnknownTag { what: "FastCast's messages", tag }),
        })
    }
}

impl Wire for Start {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.message.encode(writer);
        writer.u64(self.follows);
        self.sender.encode(writer);
        writer.option(self.shown.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Start, WireError> {
        Ok(Start {
            message: Multicast::decode(reader)?,
            follows: reader.u64()?,
            sender: ProcessId::decode(reader)?,
            shown: reader.option()?,
        })
    }
}

impl Wire for Shown {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        writer.u64(self.settled);
        self.fact.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Shown, WireError> {
        Ok(Shown { group: GroupId::decode(reader)?, settled: reader.u64()?, fact: Fact::decode(reader)? })
    }
}

impl Wire for Guess {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        self.timestamp.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Guess, WireError> {
        Ok(Guess { id: MessageId::decode(reader)?, timestamp: Timestamp::decode(reader)? })
    }
}

impl Wire for Fact {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.timestamp.encode(writer);
        self.id.encode(writer);
        self.floor.encode(writer);
        self.expiry.encode(writer);
        writer.u64(self.follows);
    }

    fn decode(reader: &mut Reader) -> Result<Fact, WireError> {
        Ok(Fact {
            index: reader.u64()?,
            timestamp: Timestamp::decode(reader)?,
            id: MessageId::decode(reader)?,
            floor: Timestamp::decode(reader)?,
            expiry: Timestamp::decode(reader)?,
            follows: reader.u64()?,
        })
    }
}

impl Wire for Question {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.id.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Question, WireError> {
        Ok(Question { index: reader.u64()?, id: MessageId::decode(reader)? })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Start(start) => write!(f, "{start:?}"),
            Message::Primary(epoch) => write!(f, "PRIMARY is {} in {epoch}", epoch.leader),
            Message::Done(id, timestamp) => write!(f, "DONE {id}@{timestamp}"),
            Message::Refused(id, refusal) => write!(f, "REFUSED {id}: {refusal:?}"),
            Message::Soft { epoch, guesses } => {
                write!(f, "SOFT {epoch}:")?;
                guesses.iter().try_for_each(|Guess { id, timestamp }| write!(f, " {id}@{timestamp}"))
            }
            Message::Hard { facts, .. } => {
                f.write_str("HARD")?;
                facts.iter().try_for_each(|fact| write!(f, " {fact:?}"))
            }
            Message::Learned(places) => write!(f, "LEARNED {places:?}"),
            Message::Ask(questions) => write!(f, "ASK {questions:?}"),
            Message::Agreement(agreement) => write!(f, "{agreement:?}"),
            Message::Heard(messages) => {
                f.write_str("HEARD")?;
                messages.iter().try_for_each(|Heard { id, hards }| write!(f, " {id}{hards:?}"))
            }
            Message::Raise(timestamp) => write!(f, "RAISE to {timestamp}"),
            // The name is drawn by lot and tells a reader nothing.
            Message::Inquire(_) => f.write_str("INQUIRE"),
            Message::Reply(_, last) => write!(f, "REPLY log up to {last}"),
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "START {:?}", self.message)?;
        if self.follows > 0 {
            write!(f, " after .{}", self.follows)?;
        }
        if let Some(shown) = &self.shown {
            write!(f, ", {} has {:?}", shown.group, shown.fact)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{} at {}", self.id, self.timestamp, self.index)
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.id, self.index)
    }
}
