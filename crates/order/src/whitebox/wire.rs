//! What White-Box's processes say to each other, as values and as bytes, in the
//! order in which a multicast meets them: between sender and groups, among the
//! destinations, inside a group, between groups afterwards, and when a group
//! changes its leader.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, MAX_GROUPS, MessageId, Multicast, Position, ProcessId, Timestamp, Wire};
use smallvec::SmallVec;

mod election;

pub use election::{Candidacy, Promise, Reign};

use super::record::{Delivered, Entry, Inheritance, Outcome, State};
use crate::parts::{Epoch, Refusal};

/// A message between two processes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// To the leader of a destination: order this.
    Start(Start),
    /// To a sender: this is who leads the group that you asked.
    Leader(Epoch),
    /// To a sender: the message was delivered with this final timestamp or a lower one.
    Done(MessageId, Timestamp),
    /// To a sender: the message was not taken.
    Refused(MessageId, Refusal),
    /// ACCEPT from a leader to its followers, with the messages themselves.
    Propose {
        /// The leader's epoch.
        epoch: Epoch,
        /// The proposals.
        entries: Vec<Entry>,
    },
    /// ACCEPT from a leader to every replica of another destination, or to one that has the message already.
    Accept {
        /// The leader's epoch.
        epoch: Epoch,
        /// Everything that both groups share, and that the speaker's has proposed up to this timestamp, was
        /// delivered by a quorum of the hearer's group, and will not be spoken of again.
        settled: Timestamp,
        /// The proposals.
        headers: Vec<Header>,
    },
    /// ACK: to the leader of a destination.
    Acknowledge {
        /// Which of the lives without memory the speaker is in.
        incarnation: u32,
        /// It follows nobody below this epoch.
        promised: Epoch,
        /// Its clock, which has passed every proposal of what it acknowledges.
        clock: Timestamp,
        /// What it acknowledges.
        votes: Vec<Vote>,
    },
    /// From a leader to its followers: what the group delivered from this position on. Whoever lacks one of the
    /// messages will be given it.
    Deliver {
        /// The position of the first.
        position: Position,
        /// What they are.
        outcomes: Vec<Outcome>,
        /// Nothing else is ever delivered at or below this.
        safe: Timestamp,
    },
    /// From a replica that is ahead: the same with the messages.
    Past(Position, Vec<Delivered>),
    /// To a replica of another destination: these were delivered, as the speaker's group sees them.
    Facts(Vec<Outcome>),
    /// To everybody in the own group: how far the speaker has come.
    Report(Report),
    /// Somebody waits for the clock of the group to pass this.
    Raise(Timestamp),
    /// To everybody in the own group: somebody wants to read. How far is your clock?
    Inquire(u64),
    /// The answer to that question, and all that a report says.
    Reply(u64, Report),
    /// To another destination: a quorum of the speaker's group has delivered what yours has proposed with these
    /// timestamps.
    Settled(Vec<Timestamp>),
    /// To another destination: have you delivered these, which my group has proposed so?
    Ask(Vec<Question>),
    /// Before an election: do you hear a leader?
    Canvass,
    /// After a canvass: no.
    Silent,
    /// From a candidate: promise to follow nobody below this epoch.
    NewLeader(Candidacy),
    /// The promise, with what its giver knows.
    Promise(Box<Promise>),
    /// From a leader that has won: what its epoch begins with.
    NewState(Box<Inheritance>),
    /// The same for one that is too far behind.
    Snapshot(Reign, Box<State>),
    /// From one that lost its disk, to its group: take me in again as this incarnation.
    Rejoin(u32),
    /// From a leader that is about to stop: stand for election.
    Stand,
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
    /// When a destination asks in the name of the sender: in which epoch and with which timestamp it has proposed
    /// the message itself.
    pub proposed: Option<(Epoch, Timestamp)>,
}

/// A proposal as another group sees it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// The local timestamp.
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

/// Which epoch of a group a proposal counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Ballot {
    /// The group.
    pub group: GroupId,
    /// Its epoch.
    pub epoch: Epoch,
}

/// One ballot of each destination, by group. Most messages go to few.
pub type Ballots = SmallVec<[Ballot; 2]>;

/// A replica has accepted its group's proposal for a message, and knows those of all destinations.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Vote {
    /// The message.
    pub id: MessageId,
    /// In which epochs they were made.
    pub ballots: Ballots,
}

/// How far a replica has come.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// Which of the lives without memory it is in.
    pub incarnation: u32,
    /// The epoch that it holds.
    pub held: Epoch,
    /// It follows nobody below this epoch.
    pub promised: Epoch,
    /// It will promise no later epoch a lower clock, nor, as a leader, propose a lower timestamp.
    pub clock: Timestamp,
    /// Whether it leads the epoch that it has promised.
    pub is_leader: bool,
    /// How many deliveries it has on disk.
    pub delivered: Position,
    /// Whoever has delivered so much
    pub safe_from: Position,
    /// has delivered everything up to this.
    pub safe: Timestamp,
}

/// A message of the speaker's group, and the timestamp that it was proposed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The message.
    pub id: MessageId,
}

/// More entries than one message of a sound process holds.
pub(super) const MOST_ENTRIES: usize = 1 << 20;

/// More deliveries than one message or checkpoint of a sound process holds.
pub(super) const MOST_OUTCOMES: usize = 1 << 24;

/// No group has more replicas than this.
pub(super) const MOST_REBIRTHS: usize = 64;

const START: u8 = 1;
const LEADER: u8 = 2;
const DONE: u8 = 3;
const REFUSED: u8 = 4;
const PROPOSE: u8 = 5;
const ACCEPT: u8 = 6;
const ACKNOWLEDGE: u8 = 7;
const DELIVER: u8 = 8;
const PAST: u8 = 9;
const FACTS: u8 = 10;
const REPORT: u8 = 11;
const RAISE: u8 = 12;
const INQUIRE: u8 = 13;
const REPLY: u8 = 14;
const SETTLED: u8 = 15;
const ASK: u8 = 16;
const CANVASS: u8 = 17;
const SILENT: u8 = 18;
const NEW_LEADER: u8 = 19;
const PROMISE: u8 = 20;
const NEW_STATE: u8 = 21;
const SNAPSHOT: u8 = 22;
const REJOIN: u8 = 23;
const STAND: u8 = 24;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Start(start) => {
                writer.u8(START);
                start.encode(writer);
            }
            Message::Leader(epoch) => {
                writer.u8(LEADER);
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
            Message::Propose { epoch, entries } => {
                writer.u8(PROPOSE);
                epoch.encode(writer);
                writer.each(entries);
            }
            Message::Accept { epoch, settled, headers } => {
                writer.u8(ACCEPT);
                epoch.encode(writer);
                settled.encode(writer);
                writer.each(headers);
            }
            Message::Acknowledge { incarnation, promised, clock, votes } => {
                writer.u8(ACKNOWLEDGE);
                writer.u32(*incarnation);
                promised.encode(writer);
                clock.encode(writer);
                writer.each(votes);
            }
            Message::Deliver { position, outcomes, safe } => {
                writer.u8(DELIVER);
                writer.u64(*position);
                writer.each(outcomes);
                safe.encode(writer);
            }
            Message::Past(position, delivered) => {
                writer.u8(PAST);
                writer.u64(*position);
                writer.each(delivered);
            }
            Message::Facts(outcomes) => {
                writer.u8(FACTS);
                writer.each(outcomes);
            }
            Message::Report(report) => {
                writer.u8(REPORT);
                report.encode(writer);
            }
            Message::Raise(timestamp) => {
                writer.u8(RAISE);
                timestamp.encode(writer);
            }
            Message::Inquire(name) => {
                writer.u8(INQUIRE);
                writer.u64(*name);
            }
            Message::Reply(name, report) => {
                writer.u8(REPLY);
                writer.u64(*name);
                report.encode(writer);
            }
            Message::Settled(timestamps) => {
                writer.u8(SETTLED);
                writer.each(timestamps);
            }
            Message::Ask(questions) => {
                writer.u8(ASK);
                writer.each(questions);
            }
            Message::Canvass => writer.u8(CANVASS),
            Message::Silent => writer.u8(SILENT),
            Message::NewLeader(candidacy) => {
                writer.u8(NEW_LEADER);
                candidacy.encode(writer);
            }
            Message::Promise(promise) => {
                writer.u8(PROMISE);
                promise.encode(writer);
            }
            Message::NewState(inheritance) => {
                writer.u8(NEW_STATE);
                inheritance.encode(writer);
            }
            Message::Snapshot(reign, state) => {
                writer.u8(SNAPSHOT);
                reign.encode(writer);
                state.encode(writer);
            }
            Message::Rejoin(incarnation) => {
                writer.u8(REJOIN);
                writer.u32(*incarnation);
            }
            Message::Stand => writer.u8(STAND),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        Ok(match reader.u8()? {
            START => Message::Start(Start::decode(reader)?),
            LEADER => Message::Leader(Epoch::decode(reader)?),
            DONE => Message::Done(MessageId::decode(reader)?, Timestamp::decode(reader)?),
            REFUSED => Message::Refused(MessageId::decode(reader)?, Refusal::decode(reader)?),
            PROPOSE => {
                Message::Propose { epoch: Epoch::decode(reader)?, entries: reader.list("entries", MOST_ENTRIES)? }
            }
            ACCEPT => Message::Accept {
                epoch: Epoch::decode(reader)?,
                settled: Timestamp::decode(reader)?,
                headers: reader.list("headers", MOST_ENTRIES)?,
            },
            ACKNOWLEDGE => Message::Acknowledge {
                incarnation: reader.u32()?,
                promised: Epoch::decode(reader)?,
                clock: Timestamp::decode(reader)?,
                votes: reader.list("votes", MOST_ENTRIES)?,
            },
            DELIVER => Message::Deliver {
                position: reader.u64()?,
                outcomes: reader.list("outcomes", MOST_OUTCOMES)?,
                safe: Timestamp::decode(reader)?,
            },
            PAST => Message::Past(reader.u64()?, reader.list("deliveries", MOST_OUTCOMES)?),
            FACTS => Message::Facts(reader.list("outcomes", MOST_OUTCOMES)?),
            REPORT => Message::Report(Report::decode(reader)?),
            RAISE => Message::Raise(Timestamp::decode(reader)?),
            INQUIRE => Message::Inquire(reader.u64()?),
            REPLY => Message::Reply(reader.u64()?, Report::decode(reader)?),
            SETTLED => Message::Settled(reader.list("settled timestamps", MOST_ENTRIES)?),
            ASK => Message::Ask(reader.list("questions", MOST_ENTRIES)?),
            CANVASS => Message::Canvass,
            SILENT => Message::Silent,
            NEW_LEADER => Message::NewLeader(Candidacy::decode(reader)?),
            PROMISE => Message::Promise(Box::new(Promise::decode(reader)?)),
            NEW_STATE => Message::NewState(Box::new(Inheritance::decode(reader)?)),
            SNAPSHOT => Message::Snapshot(Reign::decode(reader)?, Box::new(State::decode(reader)?)),
            REJOIN => Message::Rejoin(reader.u32()?),
            STAND => Message::Stand,
            tag => return Err(WireError::UnknownTag { what: "White-Box's messages", tag }),
        })
    }
}

impl Wire for Start {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.message.encode(writer);
        writer.u64(self.follows);
        self.sender.encode(writer);
        writer.flag(self.proposed.is_some());
        if let Some((epoch, timestamp)) = self.proposed {
            epoch.encode(writer);
            timestamp.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Start, WireError> {
        Ok(Start {
            message: Multicast::decode(reader)?,
            follows: reader.u64()?,
            sender: ProcessId::decode(reader)?,
            proposed: match reader.flag()? {
                true => Some((Epoch::decode(reader)?, Timestamp::decode(reader)?)),
                false => None,
            },
        })
    }
}

impl Wire for Header {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        self.id.encode(writer);
        self.floor.encode(writer);
        self.expiry.encode(writer);
        writer.u64(self.follows);
    }

    fn decode(reader: &mut Reader) -> Result<Header, WireError> {
        let [timestamp, session, sequence, destinations, floor, expiry, follows] = reader.words()?;
        Ok(Header {
            timestamp: Timestamp(timestamp),
            id: MessageId::from_words([session, sequence, destinations])?,
            floor: Timestamp(floor),
            expiry: Timestamp(expiry),
            follows,
        })
    }
}

impl Wire for Ballot {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        self.epoch.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Ballot, WireError> {
        Ok(Ballot { group: GroupId::decode(reader)?, epoch: Epoch::decode(reader)? })
    }
}

impl Wire for Vote {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        writer.each(&self.ballots);
    }

    fn decode(reader: &mut Reader) -> Result<Vote, WireError> {
        Ok(Vote { id: MessageId::decode(reader)?, ballots: reader.list("ballots", MAX_GROUPS)?.into() })
    }
}

impl Wire for Report {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        self.held.encode(writer);
        self.promised.encode(writer);
        self.clock.encode(writer);
        writer.flag(self.is_leader);
        writer.u64(self.delivered);
        writer.u64(self.safe_from);
        self.safe.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Report, WireError> {
        Ok(Report {
            incarnation: reader.u32()?,
            held: Epoch::decode(reader)?,
            promised: Epoch::decode(reader)?,
            clock: Timestamp::decode(reader)?,
            is_leader: reader.flag()?,
            delivered: reader.u64()?,
            safe_from: reader.u64()?,
            safe: Timestamp::decode(reader)?,
        })
    }
}

impl Wire for Question {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        self.id.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Question, WireError> {
        Ok(Question { timestamp: Timestamp::decode(reader)?, id: MessageId::decode(reader)? })
    }
}
