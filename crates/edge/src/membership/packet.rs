//! [`Packet`]: a datagram of the gossip beneath, and [`Packets`], by which that
//! reads and writes them.
//!
//! A packet is checked from end to end before a machine sees it, as everything
//! that travels is, and then kept as the bytes that it was: the gossip reads
//! them once more by itself.

use core::fmt;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use bytes::{Buf, BufMut, Bytes};
use skein_machine::Wire;
use skein_machine::wire::{Reader, VERSION, WireError, Writer};

use super::identity::{Identity, Update};
use super::{MAX_DATAGRAM, MAX_MEMBERS};
use crate::MemberId;

/// What is left of a datagram behind what kind of message it is, and how long.
pub(super) const MAX_PACKET: usize = MAX_DATAGRAM - 5;

/// More updates than fit.
const MAX_UPDATES: u16 = 64;

/// Something that one gossip says to another.
#[derive(Clone)]
pub struct Packet {
    bytes: Bytes,
    /// What it says. Whoever writes one need not read it.
    words: Option<Words>,
}

/// What a packet says.
#[derive(Clone)]
pub(super) struct Words {
    pub(super) header: foca::Header<Identity>,
    pub(super) updates: Vec<Update>,
}

impl Packet {
    /// What the gossip here wrote.
    pub(super) fn written(bytes: &[u8]) -> Packet {
        Packet { bytes: Bytes::copy_from_slice(bytes), words: None }
    }

    /// The bytes, and what they say.
    pub(super) fn open(self) -> (Bytes, Words) {
        let read = || read(self.bytes.clone());
        let words = self.words.map_or_else(read, Ok);
        let words = words.unwrap_or_else(|error| panic!("the gossip writes what it cannot read: {error}"));
        (self.bytes, words)
    }
}

fn read(bytes: Bytes) -> Result<Words, WireError> {
    let mut reader = Reader::new(bytes, VERSION)?;
    let header = decode_header(&mut reader)?;
    let carries_updates = !matches!(header.message, foca::Message::Announce | foca::Message::TurnUndead);
    let mut updates = Vec::new();
    // The count of updates is the one number that the gossip writes by itself, with the high byte in front.
    // There is none where it would not have fitted.
    if carries_updates && reader.left() > 0 {
        let count = u16::from_be_bytes([reader.u8()?, reader.u8()?]);
        if count > MAX_UPDATES {
            let (length, limit) = (usize::from(count), usize::from(MAX_UPDATES));
            return Err(WireError::TooLong { what: "a list of updates", length, limit });
        }
        for _ in 0..count {
            updates.push(Update::decode(&mut reader)?);
        }
    }
    reader.finish()?;
    Ok(Words { header, updates })
}

impl Wire for Packet {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.bytes(&self.bytes);
    }

    fn decode(reader: &mut Reader) -> Result<Packet, WireError> {
        let bytes = reader.bytes("a packet", MAX_PACKET)?;
        let words = Some(read(bytes.clone())?);
        Ok(Packet { bytes, words })
    }
}

impl fmt::Debug for Packet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (_, Words { header, updates }) = self.clone().open();
        let foca::Header { src, src_incarnation, dst, message } = &header;
        write!(f, "{src:?} at {src_incarnation} to {dst:?}: {message:?}")?;
        if !updates.is_empty() {
            write!(f, ", {updates:?}")?;
        }
        Ok(())
    }
}

/// Reads and writes for the gossip, and sees to it that what is the same is in memory once.
#[derive(Debug, Default)]
pub(super) struct Packets {
    met: BTreeMap<MemberId, Identity>,
    scratch: Vec<u8>,
}

impl Packets {
    fn write(&mut self, mut buffer: impl BufMut, encode: impl FnOnce(&mut Writer<'_>)) -> Result<(), WireError> {
        self.scratch.clear();
        encode(&mut Writer::new(&mut self.scratch, VERSION));
        if self.scratch.len() > buffer.remaining_mut() {
            return Err(WireError::Short { need: self.scratch.len(), left: buffer.remaining_mut() });
        }
        buffer.put_slice(&self.scratch);
        Ok(())
    }

    fn read<T>(mut buffer: impl Buf, decode: impl FnOnce(&mut Reader) -> Result<T, WireError>) -> Result<T, WireError> {
        let mut reader = Reader::new(Bytes::copy_from_slice(buffer.chunk()), VERSION)?;
        let before = reader.left();
        let value = decode(&mut reader)?;
        buffer.advance(before - reader.left());
        Ok(value)
    }

    /// The same identity, as it is in memory already or with memory of its own.
    fn meet(&mut self, identity: &Identity) -> Identity {
        match self.met.get(&identity.id) {
            Some(met) if met == identity => met.clone(),
            _ => {
                if self.met.len() >= MAX_MEMBERS {
                    self.met.clear();
                }
                let met = identity.copied();
                self.met.insert(met.id, met.clone());
                met
            }
        }
    }
}

impl foca::Codec<Identity> for Packets {
    type Error = WireError;

    fn encode_header(&mut self, header: &foca::Header<Identity>, buffer: impl BufMut) -> Result<(), WireError> {
        self.write(buffer, |writer| encode_header(header, writer))
    }

    fn decode_header(&mut self, buffer: impl Buf) -> Result<foca::Header<Identity>, WireError> {
        let header = Packets::read(buffer, decode_header)?;
        let message = match header.message {
            foca::Message::PingReq { target, probe_number } => {
                foca::Message::PingReq { target: self.meet(&target), probe_number }
            }
            foca::Message::IndirectPing { origin, probe_number } => {
                foca::Message::IndirectPing { origin: self.meet(&origin), probe_number }
            }
            foca::Message::IndirectAck { target, probe_number } => {
                foca::Message::IndirectAck { target: self.meet(&target), probe_number }
            }
            foca::Message::ForwardedAck { origin, probe_number } => {
                foca::Message::ForwardedAck { origin: self.meet(&origin), probe_number }
            }
            other => other,
        };
        Ok(foca::Header { src: self.meet(&header.src), dst: self.meet(&header.dst), message, ..header })
    }

    fn encode_member(&mut self, member: &foca::Member<Identity>, buffer: impl BufMut) -> Result<(), WireError> {
        self.write(buffer, |writer| Update::from(member).encode(writer))
    }

    fn decode_member(&mut self, buffer: impl Buf) -> Result<foca::Member<Identity>, WireError> {
        let update = Packets::read(buffer, Update::decode)?;
        Ok(Update { identity: self.meet(&update.identity), ..update }.into_foca())
    }
}

const PING: u8 = 0;
const ACK: u8 = 1;
const PING_REQ: u8 = 2;
const INDIRECT_PING: u8 = 3;
const INDIRECT_ACK: u8 = 4;
const FORWARDED_ACK: u8 = 5;
const ANNOUNCE: u8 = 6;
const FEED: u8 = 7;
const GOSSIP: u8 = 8;
const TURN_UNDEAD: u8 = 9;

fn encode_header(header: &foca::Header<Identity>, writer: &mut Writer<'_>) {
    header.src.encode(writer);
    writer.u16(header.src_incarnation);
    header.dst.encode(writer);
    let (tag, number, third) = match &header.message {
        foca::Message::Ping(number) => (PING, Some(number), None),
        foca::Message::Ack(number) => (ACK, Some(number), None),
        foca::Message::PingReq { target, probe_number } => (PING_REQ, Some(probe_number), Some(target)),
        foca::Message::IndirectPing { origin, probe_number } => (INDIRECT_PING, Some(probe_number), Some(origin)),
        foca::Message::IndirectAck { target, probe_number } => (INDIRECT_ACK, Some(probe_number), Some(target)),
        foca::Message::ForwardedAck { origin, probe_number } => (FORWARDED_ACK, Some(probe_number), Some(origin)),
        foca::Message::Announce => (ANNOUNCE, None, None),
        foca::Message::Feed => (FEED, None, None),
        foca::Message::Gossip => (GOSSIP, None, None),
        foca::Message::TurnUndead => (TURN_UNDEAD, None, None),
        foca::Message::Broadcast => unreachable!("nothing is broadcast but what the gossip itself has to say"),
    };
    writer.u8(tag);
    number.into_iter().for_each(|number| writer.u8(*number));
    third.into_iter().for_each(|third| third.encode(writer));
}

fn decode_header(reader: &mut Reader) -> Result<foca::Header<Identity>, WireError> {
    let (src, src_incarnation, dst) = (Identity::decode(reader)?, reader.u16()?, Identity::decode(reader)?);
    let message = match reader.u8()? {
        PING => foca::Message::Ping(reader.u8()?),
        ACK => foca::Message::Ack(reader.u8()?),
        PING_REQ => foca::Message::PingReq { probe_number: reader.u8()?, target: Identity::decode(reader)? },
        INDIRECT_PING => foca::Message::IndirectPing { probe_number: reader.u8()?, origin: Identity::decode(reader)? },
        INDIRECT_ACK => foca::Message::IndirectAck { probe_number: reader.u8()?, target: Identity::decode(reader)? },
        FORWARDED_ACK => foca::Message::ForwardedAck { probe_number: reader.u8()?, origin: Identity::decode(reader)? },
        ANNOUNCE => foca::Message::Announce,
        FEED => foca::Message::Feed,
        GOSSIP => foca::Message::Gossip,
        TURN_UNDEAD => foca::Message::TurnUndead,
        tag => return Err(WireError::UnknownTag { what: "a message of gossip", tag }),
    };
    Ok(foca::Header { src, src_incarnation, dst, message })
}
