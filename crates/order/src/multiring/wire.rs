//! What processes say to each other, as values and as bytes: between senders
//! and rings, along a ring, between rings, and among the learners of a group.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{MessageId, Multicast, ProcessId, Timestamp, Wire};

use super::entry::{Entry, Progress, State};
use super::rings::{Instance, MAX_RINGS};
use crate::consensus::{self, Report};
use crate::parts::{Epoch, Refusal};

/// What the processes of a ring say to each other to agree.
pub type Agreement = consensus::Message<Entry, Progress>;

/// What one of them must not forget of it.
pub type Kept = consensus::Record<Entry, Progress>;

/// The number of a ring.
pub type Number = u8;

/// A message between two processes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// To the coordinator of a ring: order this.
    Start(Start),
    /// To a sender: this is who coordinates the ring that you asked, or that you may ask from now on.
    Primary(Number, Epoch),
    /// To a sender: the message was delivered with this final timestamp or a lower one.
    Done(MessageId, Timestamp),
    /// To a sender: the message was not taken.
    Refused(MessageId, Refusal),
    /// Along a ring, from each process to the next.
    Pass(Number, Box<Pass>),
    /// What is not said along a ring, but straight: elections, help for those who missed something.
    Agreement(Number, Box<Agreement>),
    /// To the coordinator of a ring: others wait for it to pass this timestamp.
    Raise(Number, Timestamp),
    /// To everybody who shares a ring: the speaker's checkpoint goes so far.
    Safe(Timestamp),
    /// To another learner of the group: the speaker lacks what the rings have trimmed up to here.
    Fetch(Timestamp),
    /// The answer.
    Learned(Box<State>),
    /// To everybody in the own group: somebody wants to read. How far is the group's own ring?
    Inquire(u64),
    /// The answer to the question of this name: up to this instance.
    Reply(u64, Instance),
    /// To the coordinator of a ring that sleeps: the speaker's group listens to it, from this timestamp on.
    Join(Number, Timestamp),
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
}

/// What goes along a ring together.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Pass {
    /// What the coordinator has appended, and how many processes it still has to pass.
    pub values: Vec<(u16, Agreement)>,
    /// How far each of these processes holds it: votes.
    pub votes: Vec<(ProcessId, Report)>,
}

/// What a process must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    /// About the agreement in one ring.
    Ring(Number, Kept),
    /// The learner has taken over what another one had.
    Learned(Box<State>),
    /// Everything so far: the learner's state, and that of each ring.
    Checkpoint(Box<State>, Vec<(Number, consensus::State<Entry, Progress>)>),
}

/// More values, or votes, than one turn of a sound process brings.
const MOST_PASSED: usize = 1 << 20;

const START: u8 = 1;
const PRIMARY: u8 = 2;
const DONE: u8 = 3;
const REFUSED: u8 = 4;
const PASS: u8 = 5;
const AGREEMENT: u8 = 6;
const RAISE: u8 = 7;
const SAFE: u8 = 8;
const FETCH: u8 = 9;
const LEARNED: u8 = 10;
const INQUIRE: u8 = 11;
const REPLY: u8 = 12;
const JOIN: u8 = 13;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Start(Start { message, follows, sender }) => {
                writer.u8(START);
                message.encode(writer);
                writer.u64(*follows);
                sender.encode(writer);
            }
            Message::Primary(ring, epoch) => {
                writer.u8(PRIMARY);
                writer.u8(*ring);
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
            Message::Pass(ring, pass) => {
                writer.u8(PASS);
                writer.u8(*ring);
                writer.list(pass.values.iter().map(|(hops, value)| Value(*hops, value.clone())));
                writer.list(pass.votes.iter().map(|(process, report)| Vote(*process, report.clone())));
            }
            Message::Agreement(ring, agreement) => {
                writer.u8(AGREEMENT);
                writer.u8(*ring);
                agreement.encode(writer);
            }
            Message::Raise(ring, timestamp) => {
                writer.u8(RAISE);
                writer.u8(*ring);
                timestamp.encode(writer);
            }
            Message::Safe(timestamp) => {
                writer.u8(SAFE);
                timestamp.encode(writer);
            }
            Message::Fetch(timestamp) => {
                writer.u8(FETCH);
                timestamp.encode(writer);
            }
            Message::Learned(state) => {
                writer.u8(LEARNED);
                state.encode(writer);
            }
            Message::Inquire(name) => {
                writer.u8(INQUIRE);
                writer.u64(*name);
            }
            Message::Reply(name, instance) => {
                writer.u8(REPLY);
                writer.u64(*name);
                writer.u64(*instance);
            }
            Message::Join(ring, timestamp) => {
                writer.u8(JOIN);
                writer.u8(*ring);
                timestamp.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        Ok(match reader.u8()? {
            START => Message::Start(Start {
                message: Multicast::decode(reader)?,
                follows: reader.u64()?,
                sender: ProcessId::decode(reader)?,
            }),
            PRIMARY => Message::Primary(reader.u8()?, Epoch::decode(reader)?),
            DONE => Message::Done(MessageId::decode(reader)?, Timestamp::decode(reader)?),
            REFUSED => Message::Refused(MessageId::decode(reader)?, Refusal::decode(reader)?),
            PASS => {
                let ring = reader.u8()?;
                let values: Vec<Value> = reader.list("values", MOST_PASSED)?;
                let votes: Vec<Vote> = reader.list("votes", MOST_PASSED)?;
                let values = values.into_iter().map(|Value(hops, value)| (hops, value)).collect();
                let votes = votes.into_iter().map(|Vote(process, report)| (process, report)).collect();
                Message::Pass(ring, Box::new(Pass { values, votes }))
            }
            AGREEMENT => Message::Agreement(reader.u8()?, Box::new(Agreement::decode(reader)?)),
            RAISE => Message::Raise(reader.u8()?, Timestamp::decode(reader)?),
            SAFE => Message::Safe(Timestamp::decode(reader)?),
            FETCH => Message::Fetch(Timestamp::decode(reader)?),
            LEARNED => Message::Learned(Box::new(State::decode(reader)?)),
            INQUIRE => Message::Inquire(reader.u64()?),
            REPLY => Message::Reply(reader.u64()?, reader.u64()?),
            JOIN => Message::Join(reader.u8()?, Timestamp::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "the messages of rings", tag }),
        })
    }
}

/// A value on its way along a ring, and how many processes it still has to pass.
struct Value(u16, Agreement);

impl Wire for Value {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(u32::from(self.0));
        self.1.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Value, WireError> {
        let invalid = WireError::Invalid { what: "a ring that is longer than any" };
        let hops = u16::try_from(reader.u32()?).map_err(|_| invalid)?;
        match Agreement::decode(reader)? {
            value @ Agreement::Append { .. } => Ok(Value(hops, value)),
            _ => Err(WireError::Invalid { what: "something that is no value along a ring" }),
        }
    }
}

/// A vote, and whose it is.
struct Vote(ProcessId, Report);

impl Wire for Vote {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
        self.1.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Vote, WireError> {
        Ok(Vote(ProcessId::decode(reader)?, Report::decode(reader)?))
    }
}

/// A ring, and what its consensus has on the disk.
struct Rest(Number, consensus::State<Entry, Progress>);

impl Wire for Rest {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.0);
        self.1.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Rest, WireError> {
        Ok(Rest(reader.u8()?, consensus::State::decode(reader)?))
    }
}

const RING: u8 = 1;
const TAKEN_OVER: u8 = 2;
const CHECKPOINT: u8 = 3;

impl Wire for Record {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Record::Ring(ring, kept) => {
                writer.u8(RING);
                writer.u8(*ring);
                kept.encode(writer);
            }
            Record::Learned(state) => {
                writer.u8(TAKEN_OVER);
                state.encode(writer);
            }
            Record::Checkpoint(state, rings) => {
                writer.u8(CHECKPOINT);
                state.encode(writer);
                writer.list(rings.iter().map(|(ring, rest)| Rest(*ring, rest.clone())));
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Record, WireError> {
        Ok(match reader.u8()? {
            RING => Record::Ring(reader.u8()?, Kept::decode(reader)?),
            TAKEN_OVER => Record::Learned(Box::new(State::decode(reader)?)),
            CHECKPOINT => {
                let state = Box::new(State::decode(reader)?);
                let rings: Vec<Rest> = reader.list("rings", MAX_RINGS)?;
                Record::Checkpoint(state, rings.into_iter().map(|Rest(ring, rest)| (ring, rest)).collect())
            }
            tag => return Err(WireError::UnknownTag { what: "the records of rings", tag }),
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Start(start) => write!(f, "{start:?}"),
            Message::Primary(ring, epoch) => write!(f, "PRIMARY of ring {ring} is {} in {epoch}", epoch.leader),
            Message::Done(id, timestamp) => write!(f, "DONE {id}@{timestamp}"),
            Message::Refused(id, refusal) => write!(f, "REFUSED {id}: {refusal:?}"),
            Message::Pass(ring, pass) => {
                write!(f, "PASS ring {ring}:")?;
                pass.values.iter().try_for_each(|(_, value)| write!(f, " {value:?};"))?;
                pass.votes.iter().try_for_each(|(process, report)| write!(f, " {process} {report:?};"))
            }
            Message::Agreement(ring, agreement) => write!(f, "ring {ring}: {agreement:?}"),
            Message::Raise(ring, timestamp) => write!(f, "RAISE ring {ring} to {timestamp}"),
            Message::Safe(timestamp) => write!(f, "SAFE up to {timestamp}"),
            Message::Fetch(timestamp) => write!(f, "FETCH what was trimmed up to {timestamp}"),
            Message::Learned(state) => write!(f, "LEARNED everything up to {}", state.merged),
            // The name is drawn by lot and tells a reader nothing.
            Message::Inquire(_) => f.write_str("INQUIRE"),
            Message::Reply(_, instance) => write!(f, "REPLY ring up to {instance}"),
            Message::Join(ring, timestamp) => write!(f, "JOIN ring {ring} from {timestamp} on"),
        }
    }
}

impl fmt::Debug for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "START {:?}", self.message)?;
        if self.follows > 0 {
            write!(f, " after .{}", self.follows)?;
        }
        Ok(())
    }
}
