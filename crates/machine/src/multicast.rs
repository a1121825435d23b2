//! What goes down into an atomic multicast protocol and what comes up from it.
//! The words are the same for every protocol, so a replica, the simulator and
//! the library work with any of them. No protocol's own messages live here.

use core::fmt;

use alloc::vec::Vec;
use bytes::Bytes;

use crate::wire::{Reader, WireError, Writer};
use crate::{Machine, MessageId, Timestamp, Wire};

/// The longest payload, in bytes. A message crosses every link in one piece
/// and is held until delivered, so this bounds what one session can pin down.
pub const MAX_PAYLOAD: usize = 16 << 20;

/// How many messages a replica delivered before this one. All replicas of a
/// group have the same message at a position, unless some messages commute
/// ([`Conflicts`](crate::Conflicts)): then each counts in its own order.
pub type Position = u64;

/// A message to be delivered at every process of its destination groups.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Multicast {
    /// Its name, for ever, and the groups that it concerns.
    pub id: MessageId,
    /// Its final timestamp must lie above this: what its session has seen.
    pub floor: Timestamp,
    /// With a final timestamp above this it is void: delivered, without effect.
    pub expiry: Timestamp,
    /// What it says; opaque to the protocol.
    pub payload: Bytes,
}

/// Where a message stands in the order: by timestamp, then by id.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// The final timestamp.
    pub timestamp: Timestamp,
    /// Breaks ties.
    pub id: MessageId,
}

/// A message at its place in the order of one group.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Delivery {
    /// Counts the deliveries, from 0. After a restart a protocol repeats
    /// deliveries since its checkpoint; the position tells which, or, where
    /// some messages commute, how many.
    pub position: Position,
    /// The final timestamp.
    pub timestamp: Timestamp,
    /// The message itself.
    pub message: Multicast,
}

impl Delivery {
    /// Where it stands in the order of the whole cluster.
    pub fn stamp(&self) -> Stamp {
        Stamp { timestamp: self.timestamp, id: self.message.id }
    }

    /// Whether it came too late to count. The same answer everywhere, since
    /// it follows from the final timestamp alone.
    pub fn is_void(&self) -> bool {
        self.timestamp > self.message.expiry
    }
}

/// What the user of a multicast protocol asks of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Down {
    /// Multicast this message.
    Multicast(Multicast),
    /// The answer to [`Up::WantCheckpoint`]: the user's state, with everything
    /// before `position` applied, durable together with the protocol's own.
    Checkpointed {
        /// The first delivery that is not in it.
        position: Position,
        /// The user's state.
        bytes: Bytes,
    },
    /// Somebody waits for the group to pass this timestamp.
    RaiseClock(Timestamp),
    /// Somebody wants to read what the group has: answered by [`Up::ReadPoint`], perhaps never.
    ReadPoint(u64),
    /// The process is about to stop: what it leads should be handed over.
    Retire,
}

/// What a multicast protocol tells its user.
#[derive(Clone, PartialEq, Eq)]
pub enum Up {
    /// The next message in the order of this group.
    Deliver(Delivery),
    /// Answers to messages up to this place may be released.
    Settled(Stamp),
    /// Everything up to this timestamp has been delivered here.
    SafeTime(Timestamp),
    /// Everything that was delivered anywhere in this group before
    /// [`Down::ReadPoint`] lies at or below this timestamp, and all of it has
    /// been delivered here. What is asked for later comes above it.
    ReadPoint {
        /// Which question this answers, and with it every earlier one.
        round: u64,
        /// The timestamp.
        timestamp: Timestamp,
    },
    /// This message was not accepted and has no effect; try again later, and
    /// before any later message of its session.
    Busy(Busy),
    /// This message comes too late: it was delivered long ago, so long that
    /// nobody remembers, or it never will be but void. Its session ends here:
    /// no later message of it is accepted, and asking again is no use.
    Expired(MessageId),
    /// A message that was multicast through this process has been delivered at
    /// a destination, so it will be at all of them. Said when the process hears
    /// of it from others: where it delivers the message itself, that says it.
    Done {
        /// The message.
        id: MessageId,
        /// Its final timestamp; or, of one that was delivered long ago, that of
        /// a later message of its session.
        timestamp: Timestamp,
    },
    /// The log has grown: hand in a checkpoint.
    WantCheckpoint,
    /// Forget the own state and take this one: the own checkpoint after a
    /// restart, or what others of the group had.
    Install {
        /// The first delivery that is not in it.
        position: Position,
        /// The user's state.
        bytes: Bytes,
    },
}

/// A message that was turned away, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Busy {
    /// The message.
    pub id: MessageId,
    /// What is full, in words for a person.
    pub why: &'static str,
}

/// An atomic multicast protocol: any machine that speaks [`Down`] and [`Up`].
pub trait Ordering: Machine<Command = Down, Event = Up> {}

impl<M: Machine<Command = Down, Event = Up>> Ordering for M {}

impl Wire for Multicast {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        self.id.encode(writer);
        self.floor.encode(writer);
        self.expiry.encode(writer);
        writer.bytes(&self.payload);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Multicast, WireError> {
        let [session, sequence, destinations, floor, expiry] = reader.words()?;
        Ok(Multicast {
            id: MessageId::from_words([session, sequence, destinations])?,
            floor: Timestamp(floor),
            expiry: Timestamp(expiry),
            payload: reader.bytes("a payload", MAX_PAYLOAD)?,
        })
    }
}

impl Wire for Stamp {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        self.id.encode(writer);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Stamp, WireError> {
        Ok(Stamp { timestamp: Timestamp::decode(reader)?, id: MessageId::decode(reader)? })
    }
}

impl fmt::Debug for Multicast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.id, self.id.destinations)?;
        if self.floor > Timestamp::ZERO {
            write!(f, " above {}", self.floor)?;
        }
        if self.expiry < Timestamp::MAX {
            write!(f, " until {}", self.expiry)?;
        }
        if !self.payload.is_empty() {
            write!(f, " {}", Excerpt(&self.payload))?;
        }
        Ok(())
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.id, self.timestamp)
    }
}

impl fmt::Debug for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} {}", self.position, self.stamp())?;
        if self.is_void() {
            f.write_str(" void")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Down {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Down::Multicast(message) => write!(f, "multicast {message:?}"),
            Down::Checkpointed { position, bytes } => {
                write!(f, "keep a checkpoint of {} bytes at #{position}", bytes.len())
            }
            Down::RaiseClock(timestamp) => write!(f, "raise its clock to {timestamp}"),
            Down::ReadPoint(round) => write!(f, "find a point to read at, question {round}"),
            Down::Retire => f.write_str("hand over what it leads"),
        }
    }
}

impl fmt::Debug for Up {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Up::Deliver(delivery) => write!(f, "delivers {delivery:?}"),
            Up::Settled(stamp) => write!(f, "knows everything settled up to {stamp}"),
            Up::SafeTime(timestamp) => write!(f, "has delivered everything up to {timestamp}"),
            Up::ReadPoint { round, timestamp } => write!(f, "may read at {timestamp}, question {round}"),
            Up::Busy(busy) => write!(f, "turns {} away: {}", busy.id, busy.why),
            Up::Expired(id) => write!(f, "lets {id} expire"),
            Up::Done { id, timestamp } => write!(f, "hears that {id} is done by {timestamp}"),
            Up::WantCheckpoint => f.write_str("wants a checkpoint"),
            Up::Install { position, bytes } => write!(f, "takes over {} bytes of state at #{position}", bytes.len()),
        }
    }
}

/// The beginning of a payload, for traces.
struct Excerpt<'a>(&'a [u8]);

impl fmt::Display for Excerpt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 16;
        let shown: Vec<u8> = self.0.iter().copied().take(SHOWN).collect();
        let more = if self.0.len() > SHOWN { "…" } else { "" };
        write!(f, "\"{}{more}\"", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    fn message(expiry: Timestamp) -> Multicast {
        Multicast {
            id: MessageId::new(1, 2, 0b11),
            floor: Timestamp(4),
            expiry,
            payload: Bytes::from_static(b"set x\n"),
        }
    }

    #[test]
    fn late_means_void() {
        let on_time = Delivery { position: 0, timestamp: Timestamp(9), message: message(Timestamp(9)) };
        let late = Delivery { position: 0, timestamp: Timestamp(10), message: message(Timestamp(9)) };
        assert!(!on_time.is_void() && late.is_void());
        assert_eq!(format!("{late:?}"), "#0 s1.2@10 void");
    }

    #[test]
    fn prints_what_a_reader_needs() {
        assert_eq!(format!("{:?}", message(Timestamp::MAX)), "s1.2 to g0+g1 above 4 \"set x\\n\"");
        let busy = Busy { id: MessageId::new(1, 2, 0b11), why: "no room" };
        assert_eq!(format!("{:?}", Up::Busy(busy)), "turns s1.2 away: no room");
        assert_eq!(format!("{:?}", Up::Expired(MessageId::new(1, 2, 0b11))), "lets s1.2 expire");
        assert_eq!(format!("{:?}", Down::RaiseClock(Timestamp(3))), "raise its clock to 3");
        assert_eq!(format!("{:?}", Down::Retire), "hand over what it leads");
    }
}
