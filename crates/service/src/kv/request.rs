//! [`Request`]: what is asked of the store, as the bytes that travel: in which
//! protocol to answer, and one command or a transaction. Arguments are slices
//! of those bytes; nothing is copied before a value is kept.
//!
//! The encoding is canonical and bounded: what decodes encodes to the same
//! bytes, and no count is believed for which there are no bytes.

use core::fmt;

use alloc::vec::Vec;
use bytes::Bytes;
use skein_machine::MAX_PAYLOAD;
use smallvec::SmallVec;

/// Most arguments of a command, its name included: as many as Redis takes.
pub const MAX_ARGUMENTS: usize = 1 << 20;

/// Most commands of a transaction, and most keys that it watches. A client that
/// sends one by one gets bored before; a payload of tiny commands does not.
pub const MAX_COMMANDS: usize = 1 << 16;

/// A transaction has this bit in its first byte, beside the protocol.
const TRANSACTION: u8 = 0x10;

/// The arguments of one command, its name first.
pub type Args<'a> = SmallVec<[&'a [u8]; 6]>;

/// The protocol in which a client reads replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Protocol {
    /// RESP2.
    #[default]
    Two,
    /// RESP3.
    Three,
}

/// What is asked, and how it is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// How.
    pub protocol: Protocol,
    /// What.
    pub body: Body<'a>,
}

/// One command or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body<'a> {
    /// One command.
    Command(Args<'a>),
    /// Commands that happen all together or not at all.
    Transaction(Transaction<'a>),
}

/// What stood between MULTI and EXEC, and before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction<'a> {
    /// Keys that were watched, each with the version that `SKEIN.VERSION` told
    /// then: if one has another now, nothing happens.
    pub watched: Vec<(&'a [u8], u64)>,
    /// What happens otherwise, in this order.
    pub commands: Vec<Args<'a>>,
}

impl<'a> Request<'a> {
    /// One command.
    pub fn command(protocol: Protocol, args: &[&'a [u8]]) -> Request<'a> {
        Request { protocol, body: Body::Command(args.iter().copied().collect()) }
    }

    /// Its bytes.
    pub fn encode(&self) -> Bytes {
        let mut buffer = match &self.body {
            Body::Command(args) => Vec::with_capacity(1 + room_of(args)),
            Body::Transaction(_) => Vec::new(),
        };
        let version = match self.protocol {
            Protocol::Two => 2,
            Protocol::Three => 3,
        };
        match &self.body {
            Body::Command(args) => {
                buffer.push(version);
                write_args(&mut buffer, args);
            }
            Body::Transaction(transaction) => {
                buffer.push(version | TRANSACTION);
                write_length(&mut buffer, transaction.watched.len() as u64);
                for (key, version) in &transaction.watched {
                    write_length(&mut buffer, key.len() as u64);
                    buffer.extend_from_slice(key);
                    write_length(&mut buffer, *version);
                }
                write_length(&mut buffer, transaction.commands.len() as u64);
                for args in &transaction.commands {
                    write_args(&mut buffer, args);
                }
            }
        }
        Bytes::from(buffer)
    }

    /// What these bytes ask.
    pub fn decode(bytes: &'a [u8]) -> Result<Request<'a>, Malformed> {
        if bytes.len() > MAX_PAYLOAD {
            return Err(Malformed("it is longer than any payload"));
        }
        let [head, rest @ ..] = bytes else { return Err(Malformed("it is empty")) };
        let mut cut = Cut(rest);
        let protocol = match head & !TRANSACTION {
            2 => Protocol::Two,
            3 => Protocol::Three,
            _ => return Err(Malformed("it names no protocol")),
        };
        let body = if head & TRANSACTION == 0 {
            Body::Command(cut.args()?)
        } else {
            let count = cut.count(MAX_COMMANDS)?;
            let mut watched = Vec::with_capacity(count);
            for _ in 0..count {
                watched.push((cut.bytes()?, cut.length()?));
            }
            let count = cut.count(MAX_COMMANDS)?;
            let mut commands = Vec::with_capacity(count);
            for _ in 0..count {
                commands.push(cut.args()?);
            }
            Body::Transaction(Transaction { watched, commands })
        };
        if !cut.0.is_empty() {
            return Err(Malformed("something follows its end"));
        }
        Ok(Request { protocol, body })
    }
}

/// Why bytes are no request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a request that is none: {}", self.0)
    }
}

impl core::error::Error for Malformed {}

/// How many bytes the arguments take.
fn room_of(args: &[&[u8]]) -> usize {
    let room = |length: usize| (usize::BITS - (length | 1).leading_zeros()).div_ceil(7) as usize;
    args.iter().fold(room(args.len()), |sum, arg| sum + room(arg.len()) + arg.len())
}

fn write_args(buffer: &mut Vec<u8>, args: &[&[u8]]) {
    write_length(buffer, args.len() as u64);
    for arg in args {
        write_length(buffer, arg.len() as u64);
        buffer.extend_from_slice(arg);
    }
}

/// Seven bits a byte, lowest first; the highest bit says that more follow.
pub(super) fn write_length(buffer: &mut Vec<u8>, mut length: u64) {
    while length >= 0x80 {
        buffer.push(length as u8 | 0x80);
        length >>= 7;
    }
    buffer.push(length as u8);
}

/// What was not taken yet.
pub(super) struct Cut<'a>(pub(super) &'a [u8]);

impl<'a> Cut<'a> {
    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let [byte, rest @ ..] = self.0 else { return Err(Malformed("it ends too early")) };
        self.0 = rest;
        Ok(*byte)
    }

    pub(super) fn word(&mut self) -> Result<u64, Malformed> {
        let Some((word, rest)) = self.0.split_first_chunk() else { return Err(Malformed("it ends too early")) };
        self.0 = rest;
        Ok(u64::from_le_bytes(*word))
    }

    pub(super) fn length(&mut self) -> Result<u64, Malformed> {
        let mut length = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits || (byte == 0 && shift > 0) {
                return Err(Malformed("a length is not as it would be written"));
            }
            length |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(length);
            }
        }
        Err(Malformed("a length has no end"))
    }

    /// How many items follow, each of at least a byte.
    pub(super) fn count(&mut self, limit: usize) -> Result<usize, Malformed> {
        let count = self.length()?;
        if count > limit as u64 || count > self.0.len() as u64 {
            return Err(Malformed("it counts more than there can be"));
        }
        Ok(count as usize)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        if length > self.0.len() as u64 {
            return Err(Malformed("it ends too early"));
        }
        let (bytes, rest) = self.0.split_at(length as usize);
        self.0 = rest;
        Ok(bytes)
    }

    fn args(&mut self) -> Result<Args<'a>, Malformed> {
        let count = self.count(MAX_ARGUMENTS)?;
        if count == 0 {
            return Err(Malformed("a command has no name"));
        }
        let mut args = Args::with_capacity(count);
        for _ in 0..count {
            args.push(self.bytes()?);
        }
        Ok(args)
    }
}

/// What the decoder must stand, for fuzzing: any bytes decode or are refused,
/// and what decodes encodes to the very same bytes.
pub fn examine(bytes: &[u8]) {
    if let Ok(request) = Request::decode(bytes) {
        assert_eq!(request.encode(), bytes, "what was decoded does not encode to the same bytes");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn golden_vectors() {
        let get = Request::command(Protocol::Three, &[b"GET", b"key"]);
        assert_eq!(get.encode(), b"\x03\x02\x03GET\x03key".as_slice());
        let transaction = Request {
            protocol: Protocol::Two,
            body: Body::Transaction(Transaction {
                watched: alloc::vec![(b"w".as_slice(), 300)],
                commands: alloc::vec![[b"DBSIZE".as_slice()].into_iter().collect()],
            }),
        };
        assert_eq!(transaction.encode(), b"\x12\x01\x01w\xac\x02\x01\x01\x06DBSIZE".as_slice());
        let bytes = transaction.encode();
        let again = Request::decode(&bytes).unwrap();
        assert_eq!(alloc::format!("{again:?}"), alloc::format!("{transaction:?}"));
    }

    #[test]
    fn a_command_knows_its_room() {
        for length in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152] {
            let long = alloc::vec![b'x'; length];
            let command = Request::command(Protocol::Two, &[b"SET", b"key", &long]);
            let Body::Command(args) = &command.body else { unreachable!("it is one") };
            assert_eq!(command.encode().len(), 1 + room_of(args), "an argument of {length} bytes");
        }
        let many = alloc::vec![b"x".as_slice(); 200];
        assert_eq!(Request::command(Protocol::Two, &many).encode().len(), 1 + room_of(&many));
    }

    #[test]
    fn what_is_refused() {
        let bad: [&[u8]; 8] = [
            b"",
            b"\x04",
            b"\x02\x00",
            b"\x02\x01",
            b"\x02\x81\x00\x00",
            b"\x02\x01\x05GET",
            b"\x02\x01\x01ab",
            b"\x02\xff\xff\xff\xff\x7f",
        ];
        for bytes in bad {
            assert!(Request::decode(bytes).is_err(), "{bytes:?}");
        }
        assert!(Request::decode(&alloc::vec![2; MAX_PAYLOAD + 1]).is_err());
        let many = alloc::vec![b"".as_slice(); MAX_ARGUMENTS + 1];
        assert!(Request::decode(&Request::command(Protocol::Two, &many).encode()).is_err());
        assert!(Request::decode(&Request::command(Protocol::Two, &many[1..]).encode()).is_ok());
        let commands = alloc::vec![[b"".as_slice()].into_iter().collect::<Args<'_>>(); MAX_COMMANDS + 1];
        let body = Body::Transaction(Transaction { watched: Vec::new(), commands });
        assert!(Request::decode(&Request { protocol: Protocol::Two, body }.encode()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_decode_or_are_refused(
            mut bytes: Vec<u8>,
            head in prop::sample::select(alloc::vec![2u8, 3, 18, 19]),
        ) {
            bytes.insert(0, head);
            examine(&bytes);
        }

        #[test]
        fn a_request_survives_the_journey(
            watched in prop::collection::vec((any::<Vec<u8>>(), any::<u64>()), 0..4),
            commands in prop::collection::vec(prop::collection::vec(any::<Vec<u8>>(), 1..5), 0..5),
        ) {
            let body = Body::Transaction(Transaction {
                watched: watched.iter().map(|(key, version)| (key.as_slice(), *version)).collect(),
                commands: commands.iter().map(|args| args.iter().map(Vec::as_slice).collect()).collect(),
            });
            let request = Request { protocol: Protocol::Three, body };
            let bytes = request.encode();
            let again = Request::decode(&bytes).unwrap();
            prop_assert_eq!(alloc::format!("{again:?}"), alloc::format!("{request:?}"));
        }
    }
}
