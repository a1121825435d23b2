//! What a ring agrees on, and what of it a process keeps: [`Entry`], where a
//! log was cut ([`Progress`]), and what a learner has taken ([`State`]).

use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, Multicast, Position, ProcessId, Timestamp, Wire};

use super::rings::{Instance, MAX_RINGS};
use super::wire::Number;
use crate::consensus::Content;
use crate::parts::Windows;

/// An entry of a ring's log: what stands at one instance. Between it and the entry before, all instances are skipped.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// The instance.
    pub instance: Instance,
    /// What it decides.
    pub what: What,
}

/// What an instance decides.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum What {
    /// Nothing: it is skipped, too.
    Skip,
    /// This message stands there.
    Message(Proposal),
    /// In the ring of a group: from here on its learners listen to that ring, too.
    Subscribe(Number),
    /// In a ring that sleeps: the learners of this group listen to it from an earlier place on.
    Joined(GroupId),
}

/// A message that wants a place.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proposal {
    /// The message.
    pub message: Multicast,
    /// Who waits for the outcome.
    pub sender: ProcessId,
}

/// All that a ring keeps of what was cut from its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// The last instance before its log begins.
    pub instance: Instance,
    /// The groups that have joined it, if it slept.
    pub joined: GroupSet,
}

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
    /// The rings that slept and are listened to, and from where on.
    pub subscriptions: Vec<Subscription>,
}

/// A ring that slept, and the place in the own ring from which it is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Subscription {
    /// The ring.
    pub ring: Number,
    /// What it has up to here concerns nobody.
    pub since: Timestamp,
}

/// A message, and the timestamp with which it was delivered.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Delivered {
    /// The timestamp.
    pub timestamp: Timestamp,
    /// The message.
    pub message: Multicast,
}

impl Entry {
    /// The message that stands there, if one does.
    pub fn proposal(&self) -> Option<&Proposal> {
        match &self.what {
            What::Message(proposal) => Some(proposal),
            What::Skip | What::Subscribe(_) | What::Joined(_) => None,
        }
    }
}

impl Content for Entry {
    fn length(&self) -> usize {
        self.proposal().map_or(0, |proposal| proposal.message.payload.len())
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

const SKIP: u8 = 0;
const MESSAGE: u8 = 1;
const SUBSCRIBE: u8 = 2;
const JOINED: u8 = 3;

impl Wire for Entry {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.instance);
        match &self.what {
            What::Skip => writer.u8(SKIP),
            What::Message(proposal) => {
                writer.u8(MESSAGE);
                proposal.encode(writer);
            }
            What::Subscribe(ring) => {
                writer.u8(SUBSCRIBE);
                writer.u8(*ring);
            }
            What::Joined(group) => {
                writer.u8(JOINED);
                group.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        let instance = reader.u64()?;
        let what = match reader.u8()? {
            SKIP => What::Skip,
            MESSAGE => What::Message(Proposal::decode(reader)?),
            SUBSCRIBE => What::Subscribe(reader.u8()?),
            JOINED => What::Joined(GroupId::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "what an instance decides", tag }),
        };
        Ok(Entry { instance, what })
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

/// Stands where an instance or a timestamp would, and is none: behind it comes the same with what there is to tell of
/// rings that were joined. Where none was, the layout is as it was before any could be.
const JOINED_RINGS: u64 = u64::MAX;

impl Wire for Progress {
    fn encode(&self, writer: &mut Writer<'_>) {
        if !self.joined.is_empty() {
            writer.u64(JOINED_RINGS);
            self.joined.encode(writer);
        }
        writer.u64(self.instance);
    }

    fn decode(reader: &mut Reader) -> Result<Progress, WireError> {
        let (mut instance, mut joined) = (reader.u64()?, GroupSet::EMPTY);
        if instance == JOINED_RINGS {
            (joined, instance) = (GroupSet::decode(reader)?, reader.u64()?);
            if joined.is_empty() || instance == JOINED_RINGS {
                return Err(WireError::Invalid { what: "a ring that nobody has joined" });
            }
        }
        Ok(Progress { instance, joined })
    }
}

impl Wire for Subscription {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.ring);
        self.since.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Subscription, WireError> {
        Ok(Subscription { ring: reader.u8()?, since: Timestamp::decode(reader)? })
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
        if !self.subscriptions.is_empty() {
            writer.u64(JOINED_RINGS);
            writer.each(&self.subscriptions);
        }
        self.merged.encode(writer);
        writer.u64(self.position);
        writer.bytes(&self.user);
        writer.each(&self.since);
        self.windows.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<State, WireError> {
        let (mut merged, mut subscriptions) = (Timestamp::decode(reader)?, Vec::new());
        if merged.0 == JOINED_RINGS {
            (subscriptions, merged) = (reader.list("subscriptions", MAX_RINGS)?, Timestamp::decode(reader)?);
            if subscriptions.is_empty() || merged.0 == JOINED_RINGS {
                return Err(WireError::Invalid { what: "a learner that has joined no ring" });
            }
        }
        Ok(State {
            merged,
            position: reader.u64()?,
            user: reader.bytes("the user's state", MOST_STATE)?,
            since: reader.list("deliveries of a checkpoint", MOST_DELIVERIES)?,
            windows: Windows::decode(reader)?,
            subscriptions,
        })
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.instance)?;
        match &self.what {
            What::Skip => f.write_str("SKIP"),
            What::Message(proposal) => write!(f, "{:?}", proposal.message),
            What::Subscribe(ring) => write!(f, "SUBSCRIBE to ring {ring}"),
            What::Joined(group) => write!(f, "JOINED by {group}"),
        }
    }
}

impl fmt::Debug for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} from {}", self.message, self.sender)
    }
}
