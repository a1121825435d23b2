//! What clients and replicas say to each other. A client asks one replica to
//! multicast, and hears from whichever replicas it has attached its session to.
//! Answers come in the order of deliveries, not of questions.

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Delivery, MessageId, Multicast, Position, SessionId, Timestamp, Wire};

/// A reason is a sentence.
const MAX_WORDS: usize = 1024;

/// What a client asks of a replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Multicast this. Repeating it does no harm.
    Multicast(Multicast),
    /// Tell this connection when messages of the session are delivered here.
    Attach(SessionId),
    /// Tell this connection of everything that is delivered here from now on.
    Tail,
    /// Tell what went through this replica so far.
    Count,
}

/// What a replica tells a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A message of an attached session was delivered here.
    Delivered {
        /// Which.
        id: MessageId,
        /// With which final timestamp.
        timestamp: Timestamp,
    },
    /// A message that was asked for on this connection was delivered elsewhere, so it will be at all destinations.
    Done {
        /// Which.
        id: MessageId,
        /// Its final timestamp, or a later one of its session.
        timestamp: Timestamp,
    },
    /// It was not accepted; ask again later, before anything else of the session.
    Busy {
        /// Which.
        id: MessageId,
        /// What is full.
        why: String,
    },
    /// It came too late, and its session is over.
    Expired(MessageId),
    /// Whoever follows: the next delivery.
    Next(Delivery),
    /// What went through this replica.
    Counts(Counts),
}

/// What went through a replica since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries.
    pub deliveries: u64,
    /// Bytes written to sockets.
    pub bytes_out: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Processor time of the whole process, user and system, in nanoseconds.
    pub processor_nanos: u64,
    /// Other replicas that are linked with it now.
    pub peers: u64,
}

const MULTICAST: u8 = 1;
const ATTACH: u8 = 2;
const TAIL: u8 = 3;
const COUNT: u8 = 4;

const DELIVERED: u8 = 1;
const BUSY: u8 = 2;
const EXPIRED: u8 = 3;
const NEXT: u8 = 4;
const COUNTS: u8 = 5;
const DONE: u8 = 6;

impl Wire for Request {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Request::Multicast(message) => {
                writer.u8(MULTICAST);
                message.encode(writer);
            }
            Request::Attach(session) => {
                writer.u8(ATTACH);
                session.encode(writer);
            }
            Request::Tail => writer.u8(TAIL),
            Request::Count => writer.u8(COUNT),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Request, WireError> {
        Ok(match reader.u8()? {
            MULTICAST => Request::Multicast(Multicast::decode(reader)?),
            ATTACH => Request::Attach(SessionId::decode(reader)?),
            TAIL => Request::Tail,
            COUNT => Request::Count,
            tag => return Err(WireError::UnknownTag { what: "requests", tag }),
        })
    }
}

impl Wire for Reply {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Reply::Delivered { id, timestamp } => {
                writer.u8(DELIVERED);
                id.encode(writer);
                timestamp.encode(writer);
            }
            Reply::Done { id, timestamp } => {
                writer.u8(DONE);
                id.encode(writer);
                timestamp.encode(writer);
            }
            Reply::Busy { id, why } => {
                writer.u8(BUSY);
                id.encode(writer);
                writer.bytes(why.as_bytes());
            }
            Reply::Expired(id) => {
                writer.u8(EXPIRED);
                id.encode(writer);
            }
            Reply::Next(delivery) => {
                writer.u8(NEXT);
                writer.u64(delivery.position);
                delivery.timestamp.encode(writer);
                delivery.message.encode(writer);
            }
            Reply::Counts(counts) => {
                writer.u8(COUNTS);
                writer.u64(counts.deliveries);
                writer.u64(counts.bytes_out);
                writer.u64(counts.writes);
                writer.u64(counts.processor_nanos);
                writer.u64(counts.peers);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Reply, WireError> {
        Ok(match reader.u8()? {
            DELIVERED => Reply::Delivered { id: MessageId::decode(reader)?, timestamp: Timestamp::decode(reader)? },
            BUSY => Reply::Busy { id: MessageId::decode(reader)?, why: words(&reader.bytes("a reason", MAX_WORDS)?)? },
            EXPIRED => Reply::Expired(MessageId::decode(reader)?),
            DONE => Reply::Done { id: MessageId::decode(reader)?, timestamp: Timestamp::decode(reader)? },
            NEXT => {
                let position: Position = reader.u64()?;
                let timestamp = Timestamp::decode(reader)?;
                Reply::Next(Delivery { position, timestamp, message: Multicast::decode(reader)? })
            }
            COUNTS => {
                let (deliveries, bytes_out, writes) = (reader.u64()?, reader.u64()?, reader.u64()?);
                let (processor_nanos, peers) = (reader.u64()?, reader.u64()?);
                Reply::Counts(Counts { deliveries, bytes_out, writes, processor_nanos, peers })
            }
            tag => return Err(WireError::UnknownTag { what: "replies", tag }),
        })
    }
}

fn words(bytes: &Bytes) -> Result<String, WireError> {
    String::from_utf8(bytes.to_vec()).map_err(|_| WireError::Invalid { what: "a sentence that is no text" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};

    fn message() -> Multicast {
        Multicast {
            id: MessageId::new(1, 2, 0b11),
            floor: Timestamp(3),
            expiry: Timestamp(9),
            payload: Bytes::from_static(b"set x"),
        }
    }

    #[test]
    fn everything_survives_the_journey() {
        let requests = [Request::Multicast(message()), Request::Attach(SessionId(7)), Request::Tail, Request::Count];
        for request in requests {
            assert_eq!(from_bytes::<Request>(to_bytes(&request), VERSION).unwrap(), request);
        }
        let id = message().id;
        let replies = [
            Reply::Delivered { id, timestamp: Timestamp(4) },
            Reply::Busy { id, why: "full".to_owned() },
            Reply::Expired(id),
            Reply::Done { id, timestamp: Timestamp(5) },
            Reply::Next(Delivery { position: 5, timestamp: Timestamp(6), message: message() }),
            Reply::Counts(Counts { deliveries: 1, bytes_out: 2, writes: 3, processor_nanos: 4, peers: 5 }),
        ];
        for reply in replies {
            assert_eq!(from_bytes::<Reply>(to_bytes(&reply), VERSION).unwrap(), reply);
        }
    }
}
