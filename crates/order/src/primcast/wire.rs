//! What PrimCast's processes say to each other, as values and as bytes, in the
//! order in which a multicast meets them: between sender and groups, inside a
//! group, between groups, and when a group changes its primary.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::wire::{OLDEST, Reader, Version, WireError, Writer};
use skein_machine::{MAX_GROUPS, MessageId, Multicast, Position, ProcessId, Stamp, Time, Timestamp, Wire};

mod election;

pub use election::{Candidacy, Promise, Reign};

use super::record::{Outcome, State};
use crate::parts::{Entry, Epoch, Index, Rebirth, Refusal, Run};

/// A message between two processes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// To the primary of a destination: order this.
    Start(Start),
    /// To a sender: this is who leads the group that you asked.
    Primary(Epoch),
    /// To a sender: the message was delivered with this final timestamp or a lower one.
    Done(MessageId, Timestamp),
    /// To a sender: the message was not taken.
    Refused(MessageId, Refusal),
    /// From a primary to its followers: entries behind this place in the log of its epoch.
    Append {
        /// The primary's epoch.
        epoch: Epoch,
        /// The place before the first entry.
        previous: Index,
        /// The entries.
        entries: Vec<Entry>,
    },
    /// To everybody in the own group: how far the speaker has come.
    Report(Report),
    /// Somebody waits for the clock of the group to pass this.
    Raise(Timestamp),
    /// To everybody in the own group: somebody wants to read. How far is your clock? Since version 2.
    Inquire {
        /// Which question, for the reply.
        name: u64,
        /// The clock of whoever asks; the others raise theirs to it.
        clock: Timestamp,
    },
    /// The answer, and all that a report says. Since version 2.
    Reply {
        /// Which question.
        name: u64,
        /// How far the speaker has come since it was asked.
        report: Report,
    },
    /// From a primary to every replica of another destination: proposals, which are no votes.
    Headers {
        /// The primary's epoch.
        epoch: Epoch,
        /// See [`Message::Acknowledge`].
        settled: Index,
        /// The proposals.
        headers: Vec<Header>,
    },
    /// To every replica of another destination: the speaker holds the log of its group up to here.
    Acknowledge {
        /// In this epoch.
        held: Epoch,
        /// Up to this place.
        index: Index,
        /// Everything that both groups share up to this place of the speaker's log was delivered by
        /// a quorum of the hearer's group, and will not be spoken of again.
        settled: Index,
    },
    /// To another destination: a quorum of the speaker's group has delivered what stands at these places of yours.
    Settled(Vec<Index>),
    /// To another destination: have you delivered what stands at these places of my log?
    Ask(Vec<Question>),
    /// Before an election: do you hear a primary?
    Canvass,
    /// After a canvass: no.
    Silent,
    /// From a candidate: promise to follow nobody below this epoch.
    NewEpoch(Candidacy),
    /// The promise, with what its giver knows.
    Promise(Box<Promise>),
    /// From a primary that has won: the log of its epoch.
    NewState {
        /// What the epoch begins with.
        reign: Reign,
        /// The place up to which both logs agree.
        previous: Index,
        /// The epoch of the entry there.
        previous_epoch: Epoch,
        /// What follows.
        entries: Vec<Entry>,
    },
    /// The same for one that is too far behind.
    Snapshot(Reign, Box<State>),
    /// From a replica that is ahead: what the group delivered from this position on.
    Outcomes(Position, Vec<Outcome>),
    /// From one that lost its disk, to its group: take me in again as this incarnation.
    Rejoin(u32),
    /// From a primary that is about to stop: stand for election.
    Stand,
    /// Inside a group: your hardware clock is ahead of mine by more than both may err.
    Ahead,
    /// To another destination: what may still come before a message here. Since version 2.
    Standing(Box<Standing>),
    /// From another destination, which waits for a [`Message::Standing`]: is your clock there yet? Since version 2.
    Certify(Timestamp),
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
    /// When a destination asks in the name of the sender: in which epoch and where it has
    /// proposed the message itself. Rare, so it stands apart: every message is as large as the largest.
    pub proposed: Option<Box<Run>>,
}

/// How far a replica has come.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Report {
    /// Which of the lives without memory it is in.
    pub incarnation: u32,
    /// The epoch whose log it holds.
    pub held: Epoch,
    /// Up to where.
    pub index: Index,
    /// It follows nobody below this epoch.
    pub promised: Epoch,
    /// It will promise no later epoch a lower clock, nor, as a primary, propose a lower timestamp.
    pub clock: Timestamp,
    /// Whether it is the primary of the epoch that it has promised.
    pub is_primary: bool,
    /// How many deliveries it has on disk.
    pub delivered: Position,
    /// Its hardware clock, where clocks are hybrid.
    pub reading: Time,
}

/// A proposal as another group sees it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Header {
    /// Its place in the log of the proposing group.
    pub index: Index,
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

/// Where a replica stands, for a group that waits until nothing can come before a message here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Standing {
    /// Which of the lives without memory it is in.
    pub incarnation: u32,
    /// It follows nobody below this epoch.
    pub promised: Epoch,
    /// It will promise no later epoch a lower clock.
    pub clock: Timestamp,
    /// Whether it leads that epoch, and proposes nothing at or below that clock any more.
    pub leads: bool,
    /// If so, what can come first here of what it shares with others, and not with the hearer, and has not delivered,
    pub front: Option<Stamp>,
    /// and who of its group has lost its memory how often.
    pub rebirths: Vec<Rebirth>,
}

/// A place in the speaker's log, and the message there.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Question {
    /// The place.
    pub index: Index,
    /// The message.
    pub id: MessageId,
}

/// More entries than one message of a sound process holds.
pub(super) const MOST_ENTRIES: usize = 1 << 20;

/// More deliveries than one message or checkpoint of a sound process holds.
pub(super) const MOST_OUTCOMES: usize = 1 << 24;

const START: u8 = 1;
const PRIMARY: u8 = 2;
const DONE: u8 = 3;
const REFUSED: u8 = 4;
const APPEND: u8 = 5;
const REPORT: u8 = 6;
const RAISE: u8 = 7;
const HEADERS: u8 = 8;
const ACKNOWLEDGE: u8 = 9;
const SETTLED: u8 = 10;
const ASK: u8 = 11;
const CANVASS: u8 = 12;
const SILENT: u8 = 13;
const NEW_EPOCH: u8 = 14;
const PROMISE: u8 = 15;
const NEW_STATE: u8 = 16;
const SNAPSHOT: u8 = 17;
const OUTCOMES: u8 = 18;
const REJOIN: u8 = 19;
const STAND: u8 = 20;
const INQUIRE: u8 = 21;
const REPLY: u8 = 22;
const AHEAD: u8 = 23;
const STANDING: u8 = 24;
const CERTIFY: u8 = 25;

/// From this version on there are the messages that name it.
const READS: Version = 2;

impl Wire for Message {
    fn since(&self) -> Version {
        match self {
            Message::Inquire { .. }
            | Message::Reply { .. }
            | Message::Ahead
            | Message::Standing(_)
            | Message::Certify(_) => READS,
            _ => OLDEST,
        }
    }

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
            Message::Append { epoch, previous, entries } => {
                writer.u8(APPEND);
                epoch.encode(writer);
                writer.u64(*previous);
                writer.each(entries);
            }
            Message::Report(report) => {
                writer.u8(REPORT);
                report.encode(writer);
            }
            Message::Raise(timestamp) => {
                writer.u8(RAISE);
                timestamp.encode(writer);
            }
            Message::Inquire { name, clock } => {
                writer.u8(INQUIRE);
                writer.u64(*name);
                clock.encode(writer);
            }
            Message::Reply { name, report } => {
                writer.u8(REPLY);
                writer.u64(*name);
                report.encode(writer);
            }
            Message::Headers { epoch, settled, headers } => {
                writer.u8(HEADERS);
                epoch.encode(writer);
                writer.u64(*settled);
                writer.each(headers);
            }
            Message::Acknowledge { held, index, settled } => {
                writer.u8(ACKNOWLEDGE);
                held.encode(writer);
                writer.u64(*index);
                writer.u64(*settled);
            }
            Message::Settled(places) => {
                writer.u8(SETTLED);
                writer.each(places);
            }
            Message::Ask(questions) => {
                writer.u8(ASK);
                writer.each(questions);
            }
            Message::Canvass => writer.u8(CANVASS),
            Message::Silent => writer.u8(SILENT),
            Message::NewEpoch(candidacy) => {
                writer.u8(NEW_EPOCH);
                candidacy.encode(writer);
            }
            Message::Promise(promise) => {
                writer.u8(PROMISE);
                promise.encode(writer);
            }
            Message::NewState { reign, previous, previous_epoch, entries } => {
                writer.u8(NEW_STATE);
                reign.encode(writer);
                writer.u64(*previous);
                previous_epoch.encode(writer);
                writer.each(entries);
            }
            Message::Snapshot(reign, state) => {
                writer.u8(SNAPSHOT);
                reign.encode(writer);
                state.encode(writer);
            }
            Message::Outcomes(position, outcomes) => {
                writer.u8(OUTCOMES);
                writer.u64(*position);
                writer.each(outcomes);
            }
            Message::Rejoin(incarnation) => {
                writer.u8(REJOIN);
                writer.u32(*incarnation);
            }
            Message::Stand => writer.u8(STAND),
            Message::Ahead => writer.u8(AHEAD),
            Message::Standing(standing) => {
                writer.u8(STANDING);
                standing.encode(writer);
            }
            Message::Certify(timestamp) => {
                writer.u8(CERTIFY);
                timestamp.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        Ok(match reader.u8()? {
            START => Message::Start(Start::decode(reader)?),
            PRIMARY => Message::Primary(Epoch::decode(reader)?),
            DONE => Message::Done(MessageId::decode(reader)?, Timestamp::decode(reader)?),
            REFUSED => Message::Refused(MessageId::decode(reader)?, Refusal::decode(reader)?),
            APPEND => Message::Append {
                epoch: Epoch::decode(reader)?,
                previous: reader.u64()?,
                entries: reader.list("entries", MOST_ENTRIES)?,
            },
            REPORT => Message::Report(Report::decode(reader)?),
            RAISE => Message::Raise(Timestamp::decode(reader)?),
            HEADERS => Message::Headers {
                epoch: Epoch::decode(reader)?,
                settled: reader.u64()?,
                headers: reader.list("headers", MOST_ENTRIES)?,
            },
            ACKNOWLEDGE => {
                Message::Acknowledge { held: Epoch::decode(reader)?, index: reader.u64()?, settled: reader.u64()? }
            }
            SETTLED => Message::Settled(reader.list("settled places", MOST_ENTRIES)?),
            ASK => Message::Ask(reader.list("questions", MOST_ENTRIES)?),
            CANVASS => Message::Canvass,
            SILENT => Message::Silent,
            NEW_EPOCH => Message::NewEpoch(Candidacy::decode(reader)?),
            PROMISE => Message::Promise(Box::new(Promise::decode(reader)?)),
            NEW_STATE => Message::NewState {
                reign: Reign::decode(reader)?,
                previous: reader.u64()?,
                previous_epoch: Epoch::decode(reader)?,
                entries: reader.list("entries", MOST_ENTRIES)?,
            },
            SNAPSHOT => Message::Snapshot(Reign::decode(reader)?, Box::new(State::decode(reader)?)),
            OUTCOMES => Message::Outcomes(reader.u64()?, reader.list("outcomes", MOST_OUTCOMES)?),
            REJOIN => Message::Rejoin(reader.u32()?),
            STAND => Message::Stand,
            INQUIRE if reader.version() >= READS => {
                Message::Inquire { name: reader.u64()?, clock: Timestamp::decode(reader)? }
            }
            REPLY if reader.version() >= READS => {
                Message::Reply { name: reader.u64()?, report: Report::decode(reader)? }
            }
            AHEAD if reader.version() >= READS => Message::Ahead,
            STANDING if reader.version() >= READS => Message::Standing(Box::new(Standing::decode(reader)?)),
            CERTIFY if reader.version() >= READS => Message::Certify(Timestamp::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "PrimCast's messages", tag }),
        })
    }
}

impl Wire for Start {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.message.encode(writer);
        writer.u64(self.follows);
        self.sender.encode(writer);
        writer.option(self.proposed.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Start, WireError> {
        Ok(Start {
            message: Multicast::decode(reader)?,
            follows: reader.u64()?,
            sender: ProcessId::decode(reader)?,
            proposed: reader.option()?,
        })
    }
}

impl Wire for Report {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        self.held.encode(writer);
        writer.u64(self.index);
        self.promised.encode(writer);
        self.clock.encode(writer);
        writer.flag(self.is_primary);
        writer.u64(self.delivered);
        writer.u64(self.reading.as_nanos());
    }

    fn decode(reader: &mut Reader) -> Result<Report, WireError> {
        Ok(Report {
            incarnation: reader.u32()?,
            held: Epoch::decode(reader)?,
            index: reader.u64()?,
            promised: Epoch::decode(reader)?,
            clock: Timestamp::decode(reader)?,
            is_primary: reader.flag()?,
            delivered: reader.u64()?,
            reading: Time::from_nanos(reader.u64()?),
        })
    }
}

impl Wire for Header {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.index);
        self.timestamp.encode(writer);
        self.id.encode(writer);
        self.floor.encode(writer);
        self.expiry.encode(writer);
        writer.u64(self.follows);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Header, WireError> {
        let [index, timestamp, session, sequence, destinations, floor, expiry, follows] = reader.words()?;
        Ok(Header {
            index,
            timestamp: Timestamp(timestamp),
            id: MessageId::from_words([session, sequence, destinations])?,
            floor: Timestamp(floor),
            expiry: Timestamp(expiry),
            follows,
        })
    }
}

impl Wire for Standing {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        self.promised.encode(writer);
        self.clock.encode(writer);
        writer.flag(self.leads);
        writer.option(self.front.as_ref());
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Standing, WireError> {
        Ok(Standing {
            incarnation: reader.u32()?,
            promised: Epoch::decode(reader)?,
            clock: Timestamp::decode(reader)?,
            leads: reader.flag()?,
            front: reader.option()?,
            rebirths: reader.list("rebirths", MAX_GROUPS)?,
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

#[cfg(test)]
mod tests;
