//! What a ring agrees on, and what of it a process keeps: [`Entry`], where a
//! log was cut ([`Progress`]), and what a learner has taken ([`State`]).

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Multicast, Position, ProcessId, Timestamp, Wire};

use super::rings::Instance;
use crate::consensus::Content;
use crate::parts::Windows;

/// An entry of a ring's log: what stands at one instance. Between it and the entry before, all instances are skipped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The instance.
    pub instance: Instance,
    /// What it decides; nothing, if it is skipped too.
    pub proposal: Option<Proposal>,
}

/// A message that wants a place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// The message.
    pub message: Multicast,
    /// Who waits for the outcome.
    pub sender: ProcessId,
}

/// The last instance of a ring before its log begins: all that a ring keeps of what was cut.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress(pub Instance);

/// What a learner has made of the rings that it listens to, and its user's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// Everything up to this timestamp was taken: it stands for an instance of each ring.
    pub merged: Timestamp,
    /// The first delivery that is not in the user's state.
    pub position: Position,
    /// That state.
    pub user: Bytes,
    /// Deliveries since, in order.
    pub since: Vec<Delivered>,
    /// Which messages of each session were taken, wherever they were to be delivered.
    pub windows: Windows,
}

/// A message, and the timestamp with which it was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The message.
    pub message: Multicast,
}

impl Content for Entry {
    fn length(&self) -> usize {
        self.proposal.as_ref().map_or(0, |proposal| proposal.message.payload.len())
    }
}

impl Content for Progress {
    fn length(&self) -> usize {
        0
    }
}

/// More deliveries than there are between two checkpoints of a sound replica.
const MOST_DELIVERIES: usize = 1 << 24;

/// A longer state than any user has.
const MOST_STATE: usize = 1 << 30;

impl Wire for Entry {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.instance);
        writer.option(self.proposal.as_ref());
    }

    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        Ok(Entry { instance: reader.u64()?, proposal: reader.option()? })
    }
}

impl Wire for Proposal {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.message.encode(writer);
        self.sender.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Proposal, WireError> {
        Ok(Proposal { message: Multicast::decode(reader)?, sender: ProcessId::decode(reader)? })
    }
}

impl Wire for Progress {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Progress, WireError> {
        Ok(Progress(reader.u64()?))
    }
}

impl Wire for Delivered {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        self.message.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Delivered, WireError> {
        Ok(Delivered { timestamp: Timestamp::decode(reader)?, message: Multicast::decode(reader)? })
    }
}

impl Wire for State {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.merged.encode(writer);
        writer.u64(self.position);
        writer.bytes(&self.user);
        writer.each(&self.since);
        self.windows.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        Ok(State {
            merged: Timestamp::decode(reader)?,
            position: reader.u64()?,
            user: reader.bytes("the user's state", MOST_STATE)?,
            since: reader.list("deliveries of a checkpoint", MOST_DELIVERIES)?,
            windows: Windows::decode(reader)?,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.proposal {
            Some(proposal) => write!(f, "{}: {:?}", self.instance, proposal.message),
            None => write!(f, "{}: SKIP", self.instance),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {}", self.message, self.sender)
    }
}
