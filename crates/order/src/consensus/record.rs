//! What a replica's part in a consensus looks like on a disk.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::Slot;
use super::wire::{MOST_ENTRIES, MOST_REPLICAS, Reign};
use crate::parts::{Epoch, Index, Rebirth};

/// One durable record.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record<E, S> {
    /// It has no memory of an earlier life; which of such lives this is.
    Reborn(u32),
    /// It follows nobody below this epoch; who lost its memory how often.
    Promised(Epoch, Vec<Rebirth>),
    /// It holds these, behind what it held before.
    Entries(Vec<Slot<E>>),
    /// It holds this epoch: what it held up to this place, and these.
    Adopted(Reign, Index, Vec<Slot<E>>),
    /// Everything so far.
    Checkpoint(Box<State<E, S>>),
}

/// Everything that a replica must not forget.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State<E, S> {
    /// In which of its lives without memory it is.
    pub incarnation: u32,
    /// Who lost its memory how often.
    pub rebirths: Vec<Rebirth>,
    /// The epoch whose log it holds.
    pub held: Epoch,
    /// It follows nobody below this one.
    pub promised: Epoch,
    /// The last place that is in the owner's state.
    pub at: Index,
    /// That state; nothing for the one in which a group begins.
    pub state: Option<S>,
    /// Where the log is cut.
    pub base: Index,
    /// The epoch of the entry there.
    pub base_epoch: Epoch,
    /// What follows.
    pub entries: Vec<Slot<E>>,
}

impl<E, S> State<E, S> {
    /// The place of the newest entry.
    pub(super) fn last(&self) -> Index {
        self.base + self.entries.len() as Index
    }
}

const REBORN: u8 = 1;
const PROMISED: u8 = 2;
const ENTRIES: u8 = 3;
const ADOPTED: u8 = 4;
const CHECKPOINT: u8 = 5;

impl<E: Wire, S: Wire> Wire for Record<E, S> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Record::Reborn(incarnation) => {
                writer.u8(REBORN);
                writer.u32(*incarnation);
            }
            Record::Promised(epoch, rebirths) => {
                writer.u8(PROMISED);
                epoch.encode(writer);
                writer.each(rebirths);
            }
            Record::Entries(entries) => {
                writer.u8(ENTRIES);
                writer.each(entries);
            }
            Record::Adopted(reign, keep, entries) => {
                writer.u8(ADOPTED);
                reign.encode(writer);
                writer.u64(*keep);
                writer.each(entries);
            }
            Record::Checkpoint(state) => {
                writer.u8(CHECKPOINT);
                state.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Record<E, S>, WireError> {
        Ok(match reader.u8()? {
            REBORN => Record::Reborn(reader.u32()?),
            PROMISED => Record::Promised(Epoch::decode(reader)?, reader.list("rebirths", MOST_REPLICAS)?),
            ENTRIES => Record::Entries(reader.list("entries", MOST_ENTRIES)?),
            ADOPTED => Record::Adopted(Reign::decode(reader)?, reader.u64()?, reader.list("entries", MOST_ENTRIES)?),
            CHECKPOINT => Record::Checkpoint(Box::new(State::decode(reader)?)),
            tag => return Err(WireError::UnknownTag { what: "the records of a consensus", tag }),
        })
    }
}

impl<E: Wire, S: Wire> Wire for State<E, S> {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.incarnation);
        writer.each(&self.rebirths);
        self.held.encode(writer);
        self.promised.encode(writer);
        writer.u64(self.at);
        writer.option(self.state.as_ref());
        writer.u64(self.base);
        self.base_epoch.encode(writer);
        writer.each(&self.entries);
    }

    fn decode(reader: &mut Reader) -> Result<State<E, S>, WireError> {
        Ok(State {
            incarnation: reader.u32()?,
            rebirths: reader.list("rebirths", MOST_REPLICAS)?,
            held: Epoch::decode(reader)?,
            promised: Epoch::decode(reader)?,
            at: reader.u64()?,
            state: reader.option()?,
            base: reader.u64()?,
            base_epoch: Epoch::decode(reader)?,
            entries: reader.list("entries", MOST_ENTRIES)?,
        })
    }
}
