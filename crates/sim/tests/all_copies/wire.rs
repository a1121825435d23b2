//! What the processes of [`AllCopies`](super::AllCopies) say, and what they keep.

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{MessageId, Multicast, Position, Timestamp, Wire};

use super::log::Entry;

/// The longest list of entries. A run has a thousand or two.
const MAX_ENTRIES: usize = 1 << 20;

/// A message between two processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// From a sender to the sequencer.
    Ask(Multicast),
    /// From the sequencer to a sender: this one is on every disk.
    Taken(MessageId),
    /// From the sequencer to a replica: entries from this place on, and how many everybody has.
    Append { first: u64, entries: Vec<Entry>, everywhere: u64 },
    /// From a replica to the sequencer: so many entries are on its disk.
    Held { length: u64, recovered: bool },
    /// From the sequencer to a replica that has forgotten: with so many entries it counts again.
    Goal(u64),
    /// From the sequencer to a sender: this one came too late.
    Expired(MessageId),
    /// From a replica to the sequencer: somebody waits for this timestamp to be passed.
    Raise(Timestamp),
    /// From a sequencer that has forgotten to every other replica.
    Fetch,
    /// The answer: everything on its disk.
    Copy(Vec<Entry>),
    /// To itself: the record that says so is on disk.
    Recovered,
}

/// What a process keeps on its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    /// The life began without memory.
    Forgot,
    /// The next entry of the log.
    Appended(Entry),
    /// What had been forgotten is here again.
    Recovered,
    /// Everything: the log, and the user's state up to a position if it gave one.
    Everything { entries: Vec<Entry>, recovered: bool, user: Option<(Position, Bytes)> },
}

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Ask(message) => {
                writer.u8(1);
                message.encode(writer);
            }
            Message::Taken(id) => {
                writer.u8(2);
                id.encode(writer);
            }
            Message::Append { first, entries, everywhere } => {
                writer.u8(3);
                writer.u64(*first);
                writer.list(entries.iter().cloned());
                writer.u64(*everywhere);
            }
            Message::Held { length, recovered } => {
                writer.u8(4);
                writer.u64(*length);
                writer.u8(u8::from(*recovered));
            }
            Message::Goal(length) => {
                writer.u8(5);
                writer.u64(*length);
            }
            Message::Fetch => writer.u8(6),
            Message::Copy(entries) => {
                writer.u8(7);
                writer.list(entries.iter().cloned());
            }
            Message::Recovered => writer.u8(8),
            Message::Expired(id) => {
                writer.u8(9);
                id.encode(writer);
            }
            Message::Raise(timestamp) => {
                writer.u8(10);
                timestamp.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        Ok(match reader.u8()? {
            1 => Message::Ask(Multicast::decode(reader)?),
            2 => Message::Taken(MessageId::decode(reader)?),
            3 => {
                let first = reader.u64()?;
                let entries = reader.list("entries", MAX_ENTRIES)?;
                Message::Append { first, entries, everywhere: reader.u64()? }
            }
            4 => Message::Held { length: reader.u64()?, recovered: reader.u8()? == 1 },
            5 => Message::Goal(reader.u64()?),
            6 => Message::Fetch,
            7 => Message::Copy(reader.list("entries", MAX_ENTRIES)?),
            8 => Message::Recovered,
            9 => Message::Expired(MessageId::decode(reader)?),
            10 => Message::Raise(Timestamp::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "message", tag }),
        })
    }
}

impl Wire for Record {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Record::Forgot => writer.u8(1),
            Record::Appended(entry) => {
                writer.u8(2);
                entry.encode(writer);
            }
            Record::Recovered => writer.u8(3),
            Record::Everything { entries, recovered, user } => {
                writer.u8(4);
                writer.list(entries.iter().cloned());
                writer.u8(u8::from(*recovered));
                writer.u8(u8::from(user.is_some()));
                if let Some((position, bytes)) = user {
                    writer.u64(*position);
                    writer.bytes(bytes);
                }
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Record, WireError> {
        Ok(match reader.u8()? {
            1 => Record::Forgot,
            2 => Record::Appended(Entry::decode(reader)?),
            3 => Record::Recovered,
            4 => {
                let entries = reader.list("entries", MAX_ENTRIES)?;
                let recovered = reader.u8()? == 1;
                let user = match reader.u8()? {
                    0 => None,
                    _ => Some((reader.u64()?, reader.bytes("a state", 1 << 10)?)),
                };
                Record::Everything { entries, recovered, user }
            }
            tag => return Err(WireError::UnknownTag { what: "record", tag }),
        })
    }
}
