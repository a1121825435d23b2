//! What Skeen's processes say to each other, as values and as bytes.

use core::fmt;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{MessageId, Multicast, Timestamp, Wire};

/// A message between two processes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message {
    /// From the sender to every destination: the message itself.
    Start(Multicast),
    /// From a destination to the others: the timestamp that it proposes.
    Propose {
        /// For which message.
        id: MessageId,
        /// The proposer's clock.
        timestamp: Timestamp,
    },
    /// From a destination to the others, where that is asked for: its clock has passed the final timestamp of this.
    Acknowledge(MessageId),
}

const START: u8 = 1;
const PROPOSE: u8 = 2;
const ACKNOWLEDGE: u8 = 3;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Start(message) => {
                writer.u8(START);
                message.encode(writer);
            }
            Message::Propose { id, timestamp } => {
                writer.u8(PROPOSE);
                id.encode(writer);
                timestamp.encode(writer);
            }
            Message::Acknowledge(id) => {
                writer.u8(ACKNOWLEDGE);
                id.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        match reader.u8()? {
            START => Ok(Message::Start(Multicast::decode(reader)?)),
            PROPOSE => Ok(Message::Propose { id: MessageId::decode(reader)?, timestamp: Timestamp::decode(reader)? }),
            ACKNOWLEDGE => Ok(Message::Acknowledge(MessageId::decode(reader)?)),
            tag => Err(WireError::UnknownTag { what: "Skeen's messages", tag }),
        }
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Start(message) => write!(f, "START {message:?}"),
            Message::Propose { id, timestamp } => write!(f, "PROPOSE {id} at {timestamp}"),
            Message::Acknowledge(id) => write!(f, "ACK {id}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use bytes::Bytes;
    use skein_machine::wire::{OLDEST, VERSION, from_bytes, to_bytes};

    /// The layout of version 1. A change here is a new version, never an edit.
    #[test]
    fn golden_vectors() {
        let start = Message::Start(Multicast {
            id: MessageId::new(1, 2, 0b1),
            floor: Timestamp(3),
            expiry: Timestamp(4),
            payload: Bytes::from_static(b"x"),
        });
        let mut golden = vec![1];
        for word in [1u64, 2, 1, 3, 4] {
            golden.extend_from_slice(&word.to_le_bytes());
        }
        golden.extend_from_slice(&[1, 0, 0, 0, b'x']);
        assert_eq!(to_bytes(&start), golden);
        for version in OLDEST..=VERSION {
            assert_eq!(from_bytes::<Message>(golden.clone().into(), version).unwrap(), start);
        }

        let propose = Message::Propose { id: MessageId::new(1, 2, 0b1), timestamp: Timestamp(5) };
        let mut golden = vec![2];
        for word in [1u64, 2, 1, 5] {
            golden.extend_from_slice(&word.to_le_bytes());
        }
        assert_eq!(to_bytes(&propose), golden);
        for version in OLDEST..=VERSION {
            assert_eq!(from_bytes::<Message>(golden.clone().into(), version).unwrap(), propose);
        }

        let acknowledge = Message::Acknowledge(MessageId::new(1, 2, 0b1));
        let mut golden = vec![3];
        for word in [1u64, 2, 1] {
            golden.extend_from_slice(&word.to_le_bytes());
        }
        assert_eq!(to_bytes(&acknowledge), golden);
        for version in OLDEST..=VERSION {
            assert_eq!(from_bytes::<Message>(golden.clone().into(), version).unwrap(), acknowledge);
        }
    }

    #[test]
    fn an_unknown_kind_is_refused() {
        let refused = from_bytes::<Message>(Bytes::from_static(&[4, 0, 0]), VERSION);
        assert_eq!(refused, Err(WireError::UnknownTag { what: "Skeen's messages", tag: 4 }));
    }
}
