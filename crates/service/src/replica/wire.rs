//! [`Message`]: what replicas of a service say to each other, besides what
//! their order says. All of it may be lost and is asked for again.

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, SessionId, Stamp, Timestamp, Wire};

use super::exchange::{Share, Turn};
use super::record::State;
use super::sessions::Outcome;
use crate::settled::Word;

/// Said by one replica to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<O> {
    /// What the order has to say.
    Order(O),
    /// What a partition tells about a command.
    Share(Turn, GroupId, Share),
    /// What this partition tells about it, please, or whatever else brings me past the command.
    AskShare(Turn, GroupId),
    /// A state that is past the command.
    State(State),
    /// Everything that I was told about commands up to here is on my disk.
    Holds(Stamp),
    /// What became of a parcel of yours, and where it stands.
    Answer(ParcelId, Timestamp, Answer),
    /// What became of it, please? It stands at or below this timestamp, if that is not zero.
    AskAnswer(ParcelId, Timestamp),
    /// How far are you? I wait for this timestamp.
    AskStanding(Timestamp),
    /// How far my group is, and others that I know of.
    Standing(Word),
}

/// A parcel: the stream of its entry, and its number there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParcelId {
    /// The stream.
    pub session: SessionId,
    /// The number.
    pub sequence: u64,
}

/// What became of a parcel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(pub(super) Option<Outcome>);

const ORDER: u8 = 0;
const SHARE: u8 = 1;
const ASK_SHARE: u8 = 2;
const STATE: u8 = 3;
const HOLDS: u8 = 4;
const ANSWER: u8 = 5;
const ASK_ANSWER: u8 = 6;
const ASK_STANDING: u8 = 7;
const STANDING: u8 = 8;

impl<O: Wire> Wire for Message<O> {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Order(message) => {
                writer.u8(ORDER);
                message.encode(writer);
            }
            Message::Share(turn, group, share) => {
                writer.u8(SHARE);
                turn.encode(writer);
                group.encode(writer);
                share.encode(writer);
            }
            Message::AskShare(turn, group) => {
                writer.u8(ASK_SHARE);
                turn.encode(writer);
                group.encode(writer);
            }
            Message::State(state) => {
                writer.u8(STATE);
                state.encode(writer);
            }
            Message::Holds(upto) => {
                writer.u8(HOLDS);
                upto.encode(writer);
            }
            Message::Answer(parcel, timestamp, Answer(outcome)) => {
                writer.u8(ANSWER);
                parcel.encode(writer);
                timestamp.encode(writer);
                writer.option(outcome.as_ref());
            }
            Message::AskAnswer(parcel, done) => {
                writer.u8(ASK_ANSWER);
                parcel.encode(writer);
                done.encode(writer);
            }
            Message::AskStanding(timestamp) => {
                writer.u8(ASK_STANDING);
                timestamp.encode(writer);
            }
            Message::Standing(word) => {
                writer.u8(STANDING);
                word.encode(writer);
            }
        }
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Message<O>, WireError> {
        Ok(match reader.u8()? {
            ORDER => Message::Order(O::decode(reader)?),
            SHARE => Message::Share(Turn::decode(reader)?, GroupId::decode(reader)?, Share::decode(reader)?),
            ASK_SHARE => Message::AskShare(Turn::decode(reader)?, GroupId::decode(reader)?),
            STATE => Message::State(State::decode(reader)?),
            HOLDS => Message::Holds(Stamp::decode(reader)?),
            ANSWER => {
                let (parcel, timestamp) = (ParcelId::decode(reader)?, Timestamp::decode(reader)?);
                Message::Answer(parcel, timestamp, Answer(reader.option()?))
            }
            ASK_ANSWER => Message::AskAnswer(ParcelId::decode(reader)?, Timestamp::decode(reader)?),
            ASK_STANDING => Message::AskStanding(Timestamp::decode(reader)?),
            STANDING => Message::Standing(Word::decode(reader)?),
            tag => return Err(WireError::UnknownTag { what: "message", tag }),
        })
    }
}

impl Wire for ParcelId {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.session.0, self.sequence]);
    }

    fn decode(reader: &mut Reader) -> Result<ParcelId, WireError> {
        let [session, sequence] = reader.words()?;
        Ok(ParcelId { session: SessionId(session), sequence })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settled::Standing;
    use alloc::vec;
    use alloc::vec::Vec;
    use bytes::Bytes;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};
    use skein_machine::{MessageId, ProcessId, Reply};

    #[test]
    fn every_message_survives_the_journey() {
        let stamp = Stamp { timestamp: Timestamp(4), id: MessageId::new(1, 2, 3) };
        let turn = Turn { stamp, nth: 5 };
        let parcel = ParcelId { session: SessionId(1), sequence: 2 };
        let replies = Outcome::Replies(vec![Reply(Bytes::from_static(b"+OK")), Reply::default()]);
        let group = GroupId::new(2).unwrap();
        let standing = Standing { delivered: Timestamp(8), shares: vec![(group, Timestamp(3))] };
        let messages: Vec<Message<ProcessId>> = vec![
            Message::Order(ProcessId(6)),
            Message::Share(turn, group, Share { was_applied: false, bytes: Bytes::from_static(b"x") }),
            Message::AskShare(turn, group),
            Message::State(State { position: 7, bytes: Bytes::from_static(b"all") }),
            Message::Holds(stamp),
            Message::Answer(parcel, Timestamp(4), Answer(Some(replies))),
            Message::Answer(parcel, Timestamp(4), Answer(Some(Outcome::Void))),
            Message::Answer(parcel, Timestamp(0), Answer(None)),
            Message::AskAnswer(parcel, Timestamp(3)),
            Message::AskStanding(Timestamp(9)),
            Message::Standing(Word(vec![(group, standing)])),
        ];
        for message in messages {
            let bytes = to_bytes(&message);
            assert_eq!(from_bytes::<Message<ProcessId>>(bytes.clone(), VERSION).unwrap(), message);
            assert!(from_bytes::<Message<ProcessId>>(bytes.slice(..bytes.len() - 1), VERSION).is_err());
        }
        assert!(from_bytes::<Message<ProcessId>>(Bytes::from_static(&[99]), VERSION).is_err());
    }
}
