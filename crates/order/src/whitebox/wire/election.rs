//! What is said when a group changes its leader: the candidacy, the answers,
//! and what an epoch begins with. The messages around them are in `wire.rs`.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Position, Timestamp, Wire};

use super::super::record::{Delivered, Entry, State};
use super::{MOST_ENTRIES, MOST_OUTCOMES, MOST_REBIRTHS};
use crate::parts::{Epoch, Rebirth};

/// What a candidate tells those whose promise it wants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Candidacy {
    /// The epoch.
    pub epoch: Epoch,
    /// How much it has delivered.
    pub delivered: Position,
    /// Who lost its memory how often, as far as it knows.
    pub rebirths: Vec<Rebirth>,
}

/// A promise, with what its giver holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Promise {
    /// To follow nobody below this epoch.
    pub epoch: Epoch,
    /// By which incarnation.
    pub incarnation: u32,
    /// The clock at the time of the promise.
    pub clock: Timestamp,
    /// The epoch that the giver holds.
    pub held: Epoch,
    /// What it has accepted and not delivered.
    pub accepted: Vec<Entry>,
    /// Who lost its memory how often, as far as the giver knows.
    pub rebirths: Vec<Rebirth>,
    /// How much the giver has delivered.
    pub delivered: Position,
    /// What the candidate lacks of that; nothing when that was forgotten.
    pub outcomes: Vec<Delivered>,
    /// See [`State::forgotten`].
    pub forgotten: Timestamp,
    /// Everything, when the giver has forgotten deliveries that the candidate lacks.
    pub state: Option<Box<State>>,
}

/// What an epoch begins with, apart from messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reign {
    /// The epoch.
    pub epoch: Epoch,
    /// Nothing is proposed in it at or below this.
    pub clock: Timestamp,
    /// Who lost its memory how often: the promises of earlier lives did not count.
    pub rebirths: Vec<Rebirth>,
}

impl Wire for Candidacy {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        writer.u64(self.delivered);
        writer.each(&self.rebirths);
    }

    fn decode(reader: &mut Reader) -> Result<Candidacy, WireError> {
        Ok(Candidacy {
            epoch: Epoch::decode(reader)?,
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
        writer.each(&self.accepted);
        writer.each(&self.rebirths);
        writer.u64(self.delivered);
        writer.each(&self.outcomes);
        self.forgotten.encode(writer);
        writer.option(self.state.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Promise, WireError> {
        Ok(Promise {
            epoch: Epoch::decode(reader)?,
            incarnation: reader.u32()?,
            clock: Timestamp::decode(reader)?,
            held: Epoch::decode(reader)?,
            accepted: reader.list("entries", MOST_ENTRIES)?,
            rebirths: reader.list("rebirths", MOST_REBIRTHS)?,
            delivered: reader.u64()?,
            outcomes: reader.list("deliveries", MOST_OUTCOMES)?,
            forgotten: Timestamp::decode(reader)?,
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
