//! What is said when a group changes its primary: the candidacy, the promises,
//! and what an epoch begins with. The messages around them are in `wire.rs`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Position, Timestamp, Wire};

use super::super::record::{Outcome, State};
use super::{MOST_ENTRIES, MOST_OUTCOMES};
use crate::parts::{Entry, Epoch, Index, Outline, Rebirth};

/// What a candidate tells those whose promise it wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidacy {
    /// The epoch.
    pub epoch: Epoch,
    /// The shape of its log.
    pub outline: Outline,
    /// How much it has delivered.
    pub delivered: Position,
    /// Who lost its memory how often, as far as it knows.
    pub rebirths: Vec<Rebirth>,
}

/// A promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// To follow nobody below this epoch.
    pub epoch: Epoch,
    /// By which incarnation.
    pub incarnation: u32,
    /// The clock at the time of the promise.
    pub clock: Timestamp,
    /// The epoch whose log the giver holds.
    pub held: Epoch,
    /// The shape of that log.
    pub outline: Outline,
    /// Who lost its memory how often, as far as the giver knows.
    pub rebirths: Vec<Rebirth>,
    /// How much the giver has delivered.
    pub delivered: Position,
    /// What the candidate lacks of that, from its position on; nothing when that was forgotten.
    pub outcomes: Vec<Outcome>,
    /// The place up to which both logs agree; `entries` follow it. `None` when one was cut beyond the other's end.
    pub agreement: Option<Index>,
    /// What the candidate lacks, when the giver's log is the newer one.
    pub entries: Vec<Entry>,
    /// Everything, when the giver has cut what the candidate lacks of its log or of its deliveries.
    pub state: Option<Box<State>>,
}

/// What an epoch begins with, apart from its log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// The epoch.
    pub epoch: Epoch,
    /// Nothing is proposed in it at or below this.
    pub clock: Timestamp,
    /// Who lost its memory how often: the promises of earlier lives did not count.
    pub rebirths: Vec<Rebirth>,
}

/// No group has more replicas than this.
const MOST_REBIRTHS: usize = 64;

impl Wire for Candidacy {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        self.outline.encode(writer);
        writer.u64(self.delivered);
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Candidacy, WireError> {
        Ok(Candidacy {
            epoch: Epoch::decode(reader)?,
            outline: Outline::decode(reader)?,
            delivered: reader.u64()?,
            rebirths: reader.list("rebirths", MOST_REBIRTHS)?,
        })
    }
}

impl Wire for Promise {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        writer.u32(self.incarnation);
        self.clock.encode(writer);
        self.held.encode(writer);
        self.outline.encode(writer);
        writer.each(&self.rebirths);
        writer.u64(self.delivered);
        writer.each(&self.outcomes);
        writer.option(self.agreement.as_ref());
        writer.each(&self.entries);
        writer.option(self.state.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Promise, WireError> {
        Ok(Promise {
            epoch: Epoch::decode(reader)?,
            incarnation: reader.u32()?,
            clock: Timestamp::decode(reader)?,
            held: Epoch::decode(reader)?,
            outline: Outline::decode(reader)?,
            rebirths: reader.list("rebirths", MOST_REBIRTHS)?,
            delivered: reader.u64()?,
            outcomes: reader.list("outcomes", MOST_OUTCOMES)?,
            agreement: reader.option()?,
            entries: reader.list("entries", MOST_ENTRIES)?,
            state: reader.option()?,
        })
    }
}

impl Wire for Reign {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        self.clock.encode(writer);
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Reign, WireError> {
        Ok(Reign {
            epoch: Epoch::decode(reader)?,
            clock: Timestamp::decode(reader)?,
            rebirths: reader.list("rebirths", MOST_REBIRTHS)?,
        })
    }
}
