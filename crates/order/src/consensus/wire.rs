//! What the replicas of a group say to each other to agree, as values and as
//! bytes: in the normal case, and when the group changes its leader.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::Slot;
use super::record::State;
use crate::parts::{Epoch, Index, Outline, Rebirth};

/// A message between two replicas of a group.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message<E, S> {
    /// From a leader to its followers: entries behind this place in the log of its epoch.
    Append {
        /// The leader's epoch.
        epoch: Epoch,
        /// The place before the first entry.
        previous: Index,
        /// The entries.
        entries: Vec<Slot<E>>,
    },
    /// To everybody: how far the speaker holds the log.
    Report(Report),
    /// Before an election: do you hear a leader?
    Canvass,
    /// After a canvass: no.
    Silent,
    /// From a candidate: promise to follow nobody below this epoch.
    NewEpoch(Candidacy),
    /// The promise, with what its giver holds.
    Promise(Box<Promise<E, S>>),
    /// From a leader that has won: the log of its epoch.
    NewState {
        /// What the epoch begins with.
        reign: Reign,
        /// The place up to which both logs agree.
        previous: Index,
        /// The epoch of the entry there.
        previous_epoch: Epoch,
        /// What follows.
        entries: Vec<Slot<E>>,
    },
    /// The same for one that is too far behind.
    Snapshot(Reign, Box<State<E, S>>),
    /// From one that lost its disk: take me in again as this incarnation.
    Rejoin(u32),
    /// From a leader that is about to stop: stand for election.
    Stand,
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
    /// Whether it leads that epoch.
    pub is_leader: bool,
}

/// What a candidate tells those whose promise it wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidacy {
    /// The epoch.
    pub epoch: Epoch,
    /// The shape of its log.
    pub outline: Outline,
    /// Who lost its memory how often, as far as it knows.
    pub rebirths: Vec<Rebirth>,
}

/// A promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise<E, S> {
    /// To follow nobody below this epoch.
    pub epoch: Epoch,
    /// By which incarnation.
    pub incarnation: u32,
    /// The epoch whose log the giver holds.
    pub held: Epoch,
    /// The shape of that log.
    pub outline: Outline,
    /// Who lost its memory how often, as far as the giver knows.
    pub rebirths: Vec<Rebirth>,
    /// The place up to which both logs agree; `entries` follow it. `None` when one was cut beyond the other's end.
    pub agreement: Option<Index>,
    /// What the candidate lacks, when the giver's log is the longer one.
    pub entries: Vec<Slot<E>>,
    /// Everything, when the giver has cut what the candidate lacks.
    pub state: Option<Box<State<E, S>>>,
}

/// What an epoch begins with, beside its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// The epoch.
    pub epoch: Epoch,
    /// Who lost its memory how often: their earlier lives do not count in it.
    pub rebirths: Vec<Rebirth>,
}

impl Report {
    /// Whether it says more than an earlier one.
    pub(super) fn has_moved(&self, other: &Report) -> bool {
        self != other
    }

    /// Whether it differs from another one in the length of the log at most.
    pub(super) fn is_of_one_reign(&self, other: &Report) -> bool {
        Report { index: other.index, ..self.clone() } == *other
    }
}

/// More entries than one message of a sound process holds.
pub(super) const MOST_ENTRIES: usize = 1 << 20;

/// More replicas than a group has.
pub(super) const MOST_REPLICAS: usize = 1 << 8;

const APPEND: u8 = 1;
const REPORT: u8 = 2;
const CANVASS: u8 = 3;
const SILENT: u8 = 4;
const NEW_EPOCH: u8 = 5;
const PROMISE: u8 = 6;
const NEW_STATE: u8 = 7;
const SNAPSHOT: u8 = 8;
const REJOIN: u8 = 9;
const STAND: u8 = 10;

impl<E: Wire, S: Wire> Wire for Message<E, S> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
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
            Message::Rejoin(incarnation) => {
                writer.u8(REJOIN);
                writer.u32(*incarnation);
            }
            Message::Stand => writer.u8(STAND),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message<E, S>, WireError> {
        Ok(match reader.u8()? {
            APPEND => Message::Append {
                epoch: Epoch::decode(reader)?,
                previous: reader.u64()?,
                entries: reader.list("entries", MOST_ENTRIES)?,
            },
            REPORT => Message::Report(Report::decode(reader)?),
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
            REJOIN => Message::Rejoin(reader.u32()?),
            STAND => Message::Stand,
            tag => return Err(WireError::UnknownTag { what: "what is said in a consensus", tag }),
        })
    }
}

impl Wire for Report {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        self.held.encode(writer);
        writer.u64(self.index);
        self.promised.encode(writer);
        writer.flag(self.is_leader);
    }

    fn decode(reader: &mut Reader) -> Result<Report, WireError> {
        Ok(Report {
            incarnation: reader.u32()?,
            held: Epoch::decode(reader)?,
            index: reader.u64()?,
            promised: Epoch::decode(reader)?,
            is_leader: reader.flag()?,
        })
    }
}

impl Wire for Candidacy {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        self.outline.encode(writer);
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Candidacy, WireError> {
        Ok(Candidacy {
            epoch: Epoch::decode(reader)?,
            outline: Outline::decode(reader)?,
            rebirths: reader.list("rebirths", MOST_REPLICAS)?,
        })
    }
}

impl<E: Wire, S: Wire> Wire for Promise<E, S> {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        writer.u32(self.incarnation);
        self.held.encode(writer);
        self.outline.encode(writer);
        writer.each(&self.rebirths);
        writer.option(self.agreement.as_ref());
        writer.each(&self.entries);
        writer.option(self.state.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Promise<E, S>, WireError> {
        Ok(Promise {
            epoch: Epoch::decode(reader)?,
            incarnation: reader.u32()?,
            held: Epoch::decode(reader)?,
            outline: Outline::decode(reader)?,
            rebirths: reader.list("rebirths", MOST_REPLICAS)?,
            agreement: reader.option()?,
            entries: reader.list("entries", MOST_ENTRIES)?,
            state: reader.option()?,
        })
    }
}

impl Wire for Reign {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Reign, WireError> {
        Ok(Reign { epoch: Epoch::decode(reader)?, rebirths: reader.list("rebirths", MOST_REPLICAS)? })
    }
}
