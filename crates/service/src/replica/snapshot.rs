//! [`Snapshot`]: the state of a replica on its way into a checkpoint, piece by
//! piece while commands go on; and the head of it, which holds what belongs to
//! no service: what has been answered, what may not be settled, what others may
//! still ask for.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use bytes::{Buf, Bytes};
use skein_machine::wire::{Reader, VERSION, Version, Wire, WireError, Writer};
use skein_machine::{Frozen, Position, Stamp};

use super::exchange::{Share, Turn};
use super::sessions::Sessions;
use crate::settled::Settled;

/// What stands in front of the service's own bytes.
#[derive(Clone, Debug)]
pub(super) struct Head {
    /// The last message that was applied.
    pub(super) applied: Option<Stamp>,
    pub(super) settled: Settled,
    pub(super) sessions: Sessions,
    pub(super) told: Vec<(Turn, Share)>,
}

/// A checkpoint that is being written.
pub(super) struct Snapshot {
    /// The first delivery that is not in it.
    pub(super) position: Position,
    /// The last message that is.
    pub(super) applied: Option<Stamp>,
    bytes: Vec<u8>,
    service: Box<dyn Frozen>,
}

impl Snapshot {
    pub(super) fn begin(position: Position, head: &Head, service: Box<dyn Frozen>) -> Snapshot {
        let mut encoded = Vec::new();
        head.encode(&mut Writer::new(&mut encoded, VERSION));
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(encoded.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&encoded);
        Snapshot { position, applied: head.applied, bytes, service }
    }

    /// Writes about so many bytes more. All of them when it is done.
    pub(super) fn go_on(&mut self, about: usize) -> Option<Bytes> {
        let enough = self.bytes.len() + about;
        while self.bytes.len() < enough {
            match self.service.next(enough - self.bytes.len()) {
                Some(piece) => self.bytes.extend_from_slice(&piece),
                None => return Some(core::mem::take(&mut self.bytes).into()),
            }
        }
        None
    }
}

/// What a checkpoint says, and what is left of it for the service.
pub(super) fn open(mut bytes: Bytes) -> Result<(Head, Bytes), String> {
    const BEGINNING: usize = 6;
    if bytes.len() < BEGINNING {
        return Err(format!("a checkpoint of {} bytes has no beginning", bytes.len()));
    }
    let version: Version = bytes.get_u16_le();
    let length = bytes.get_u32_le() as usize;
    if bytes.len() < length {
        return Err(format!("a checkpoint of {} bytes has a head of {length}", bytes.len()));
    }
    let head = bytes.split_to(length);
    let head = skein_machine::wire::from_bytes(head, version).map_err(|error| error.to_string())?;
    Ok((head, bytes))
}

impl Wire for Head {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.option(self.applied.as_ref());
        self.settled.encode(writer);
        self.sessions.encode(writer);
        writer.u32(self.told.len() as u32);
        for (turn, share) in &self.told {
            turn.encode(writer);
            share.encode(writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Head, WireError> {
        let applied = reader.option()?;
        let (settled, sessions) = (Settled::decode(reader)?, Sessions::decode(reader)?);
        let count = reader.u32()?;
        let told = (0..count).map(|_| Ok((Turn::decode(reader)?, Share::decode(reader)?)));
        Ok(Head { applied, settled, sessions, told: told.collect::<Result<_, WireError>>()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use skein_machine::{GroupId, MessageId, Timestamp};

    struct Pieces(Vec<&'static [u8]>);

    impl Frozen for Pieces {
        fn next(&mut self, _: usize) -> Option<Bytes> {
            (!self.0.is_empty()).then(|| Bytes::from_static(self.0.remove(0)))
        }
    }

    #[test]
    fn a_state_is_written_piece_by_piece() {
        let stamp = Stamp { timestamp: Timestamp(3), id: MessageId::new(1, 2, 3) };
        let head = Head {
            applied: Some(stamp),
            settled: Settled::new(GroupId::new(1).unwrap()),
            sessions: Sessions::default(),
            told: vec![(Turn { stamp, nth: 1 }, Share { was_applied: false, bytes: Bytes::from_static(b"t") })],
        };
        let mut snapshot = Snapshot::begin(7, &head, Box::new(Pieces(vec![b"abc", b"def", b"g"])));
        assert_eq!(snapshot.go_on(4), None);
        assert!(snapshot.bytes.ends_with(b"abcdef"), "a piece is written whole");
        let bytes = snapshot.go_on(100).unwrap();
        let (copy, rest) = open(bytes.clone()).unwrap();
        assert_eq!((copy.applied, &copy.told, &rest[..]), (head.applied, &head.told, &b"abcdefg"[..]));
        assert!(open(bytes.slice(..5)).is_err());
        assert!(open(bytes.slice(..20)).unwrap_err().contains("head"));
    }
}
