//! What members say to each other, and how it becomes bytes.

use alloc::vec::Vec;
use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::identity::{Identity, Update};
use super::packet::Packet;
use super::{MAX_MEMBERS, Refusal};
use crate::Member;

/// What one member says to another. Only [`Message::Welcome`] and [`Message::Exchange`] may be larger than a datagram.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum Message {
    /// What the gossip beneath has to say.
    Packet(Packet),
    /// May I come in? Said to an address, before it is known who is there.
    Hello { me: Identity, is_inside: bool },
    /// You are in, and this is all that I know.
    Welcome { state: Vec<Update> },
    /// You are not.
    Refused { why: Refusal },
    /// This is all that I know; and what do you?
    Exchange { state: Vec<Update>, is_question: bool },
    /// This is what all that I know comes to.
    Digest { digest: u64 },
    /// I take you for dead soon, unless I hear from you.
    Doubt { by: Identity, whom: Identity, incarnation: u16 },
    /// I leave.
    Goodbye { me: Identity },
    /// I heard that you leave.
    Farewell,
}

const PACKET: u8 = 0;
const HELLO: u8 = 1;
const WELCOME: u8 = 2;
const REFUSED: u8 = 3;
const EXCHANGE: u8 = 4;
const DOUBT: u8 = 5;
const GOODBYE: u8 = 6;
const FAREWELL: u8 = 7;
const DIGEST: u8 = 8;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Packet(packet) => {
                writer.u8(PACKET);
                packet.encode(writer);
            }
            Message::Hello { me, is_inside } => {
                writer.u8(HELLO);
                writer.flag(*is_inside);
                me.encode(writer);
            }
            Message::Welcome { state } => {
                writer.u8(WELCOME);
                writer.each(state);
            }
            Message::Refused { why } => {
                writer.u8(REFUSED);
                why.encode(writer);
            }
            Message::Exchange { state, is_question } => {
                writer.u8(EXCHANGE);
                writer.flag(*is_question);
                writer.each(state);
            }
            Message::Doubt { by, whom, incarnation } => {
                writer.u8(DOUBT);
                by.encode(writer);
                whom.encode(writer);
                writer.u16(*incarnation);
            }
            Message::Goodbye { me } => {
                writer.u8(GOODBYE);
                me.encode(writer);
            }
            Message::Farewell => writer.u8(FAREWELL),
            Message::Digest { digest } => {
                writer.u8(DIGEST);
                writer.u64(*digest);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        // The largest fleet, and the one who tells.
        const MOST: usize = MAX_MEMBERS + 1;
        Ok(match reader.u8()? {
            PACKET => Message::Packet(Packet::decode(reader)?),
            HELLO => Message::Hello { is_inside: reader.flag()?, me: Identity::decode(reader)? },
            WELCOME => Message::Welcome { state: reader.list("a fleet", MOST)? },
            REFUSED => Message::Refused { why: Refusal::decode(reader)? },
            EXCHANGE => {
                let is_question = reader.flag()?;
                Message::Exchange { state: reader.list("a fleet", MOST)?, is_question }
            }
            DOUBT => Message::Doubt {
                by: Identity::decode(reader)?,
                whom: Identity::decode(reader)?,
                incarnation: reader.u16()?,
            },
            GOODBYE => Message::Goodbye { me: Identity::decode(reader)? },
            FAREWELL => Message::Farewell,
            DIGEST => Message::Digest { digest: reader.u64()? },
            tag => return Err(WireError::UnknownTag { what: "a message between members", tag }),
        })
    }
}

const TAKEN: u8 = 0;
const FULL: u8 = 1;

impl Wire for Refusal {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Refusal::Taken { holder } => {
                writer.u8(TAKEN);
                holder.encode(writer);
            }
            Refusal::Full => writer.u8(FULL),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Refusal, WireError> {
        match reader.u8()? {
            TAKEN => Ok(Refusal::Taken { holder: Member::decode(reader)? }),
            FULL => Ok(Refusal::Full),
            tag => Err(WireError::UnknownTag { what: "a refusal", tag }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use bytes::Bytes;
    use proptest::prelude::*;
    use skein_machine::wire::{VERSION, examine, from_bytes, to_bytes};

    use super::super::packet::Packets;
    use super::super::{MAX_DATAGRAM, Pace};
    use crate::Name;
    use foca::Codec;

    fn identity(number: u64) -> Identity {
        let name = |text: &str| Name::new(text).unwrap();
        let address = format!("10.0.{}.{}:7000", number >> 8 & 0xff, number & 0xff).parse().unwrap();
        Identity::new(Member::new(name(&format!("m{number}")), name("cph"), address).living(number), number as u32)
    }

    fn update(number: u64) -> Update {
        let state = [foca::State::Alive, foca::State::Suspect, foca::State::Down][number as usize % 3];
        Update { identity: identity(number), incarnation: number as u16, state }
    }

    fn packet(message: foca::Message<Identity>, updates: &[Update]) -> Message {
        let header = foca::Header { src: identity(1), src_incarnation: 7, dst: identity(2), message };
        let (mut packets, mut bytes) = (Packets::default(), Vec::new());
        packets.encode_header(&header, &mut bytes).unwrap();
        if !updates.is_empty() {
            bytes.extend((updates.len() as u16).to_be_bytes());
            updates.iter().for_each(|update| {
                packets.encode_member(&update.clone().into_foca(), &mut bytes).unwrap();
            });
        }
        Message::Packet(Packet::written(&bytes))
    }

    /// One of each kind.
    fn all() -> Vec<Message> {
        let (target, origin, probe_number) = (identity(3), identity(4), 9);
        let updates: Vec<Update> = (5..9).map(update).collect();
        let gossip = [
            foca::Message::Ping(1),
            foca::Message::Ack(2),
            foca::Message::PingReq { target: target.clone(), probe_number },
            foca::Message::IndirectPing { origin: origin.clone(), probe_number },
            foca::Message::IndirectAck { target, probe_number },
            foca::Message::ForwardedAck { origin, probe_number },
            foca::Message::Announce,
            foca::Message::Feed,
            foca::Message::Gossip,
            foca::Message::TurnUndead,
        ];
        let carries =
            |message: &foca::Message<_>| !matches!(message, foca::Message::Announce | foca::Message::TurnUndead);
        let mut all: Vec<Message> = gossip
            .into_iter()
            .map(|message| packet(message.clone(), if carries(&message) { &updates } else { &[] }))
            .collect();
        let holder = Member::clone(&identity(3).member);
        all.extend([
            Message::Hello { me: identity(1), is_inside: true },
            Message::Welcome { state: updates.clone() },
            Message::Refused { why: Refusal::Taken { holder } },
            Message::Refused { why: Refusal::Full },
            Message::Exchange { state: updates, is_question: true },
            Message::Doubt { by: identity(1), whom: identity(2), incarnation: 3 },
            Message::Goodbye { me: identity(1) },
            Message::Farewell,
            Message::Digest { digest: 7 },
        ]);
        all
    }

    #[test]
    fn every_message_survives_the_journey() {
        for message in all() {
            let bytes = to_bytes(&message);
            let again: Message = from_bytes(bytes.clone(), VERSION).unwrap();
            assert_eq!((format!("{again:?}"), to_bytes(&again)), (format!("{message:?}"), bytes));
        }
    }

    #[test]
    fn a_packet_that_does_not_fit_is_refused() {
        let refused = |message: &Message| from_bytes::<Message>(to_bytes(message), VERSION).unwrap_err();
        let many: Vec<Update> = (0..60).map(update).collect();
        assert!(matches!(refused(&packet(foca::Message::Gossip, &many)), WireError::TooLong { what: "a packet", .. }));
        assert_eq!(
            refused(&packet(foca::Message::Announce, &many[..2])),
            WireError::Trailing { left: 2 + 2 * 39 },
            "what announces has nothing else to say"
        );
        let mut lie = to_bytes(&packet(foca::Message::Gossip, &many[..1])).to_vec();
        let count = lie.len() - 39 - 2;
        assert_eq!(lie[count..count + 2], [0, 1]);
        lie[count + 1] = 65;
        let limit = WireError::TooLong { what: "a list of updates", length: 65, limit: 64 };
        assert_eq!(from_bytes::<Message>(Bytes::from(lie), VERSION).unwrap_err(), limit);
    }

    #[test]
    fn the_longest_names_still_leave_room_for_news() {
        let long = Name::new(&"n".repeat(crate::MAX_NAME)).unwrap();
        let address = "[2001:db8::1]:7000".parse().unwrap();
        let longest = Identity::new(Member::new(long.clone(), long, address), 0);
        let indirect = foca::Message::PingReq { target: longest.clone(), probe_number: 0 };
        let header = foca::Header { src: longest.clone(), src_incarnation: 0, dst: longest.clone(), message: indirect };
        let mut bytes = Vec::new();
        Packets::default().encode_header(&header, &mut bytes).unwrap();
        let update = to_bytes(&Update::alive(longest)).len();
        let packet = Pace::of(64).config().max_packet_size.get();
        assert!(bytes.len() + 2 + 4 * update <= packet, "{} and {update} in {packet}", bytes.len());
        assert_eq!(packet + 5, MAX_DATAGRAM);
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            examine::<Message>(&bytes);
        }

        /// Bytes that are nearly a message get further than any.
        #[test]
        fn a_message_with_a_wrong_byte_decodes_or_is_refused(which: prop::sample::Index, at: prop::sample::Index, byte: u8) {
            let all = all();
            let mut bytes = to_bytes(which.get(&all)).to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            examine::<Message>(&bytes);
            bytes.truncate(at);
            examine::<Message>(&bytes);
        }
    }
}
