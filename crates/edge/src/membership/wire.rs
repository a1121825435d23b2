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
    Hello { me: Identity },
    /// You are in, and this is all that I know.
    Welcome { state: Vec<Update> },
    /// You are not.
    Refused { why: Refusal },
    /// This is all that I know; and what do you?
    Exchange { state: Vec<Update>, is_question: bool },
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

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Packet(packet) => {
                writer.u8(PACKET);
                packet.encode(writer);
            }
            Message::Hello { me } => {
                writer.u8(HELLO);
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
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        // The largest fleet, and the one who tells.
        const MOST: usize = MAX_MEMBERS + 1;
        Ok(match reader.u8()? {
            PACKET => Message::Packet(Packet::decode(reader)?),
            HELLO => Message::Hello { me: Identity::decode(reader)? },
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
