//! The handshake: before anything else, whoever opens a connection says who it
//! is and whom it wants, and is welcomed or told why not. Strangers see these
//! few bytes and nothing behind them. This file reads and writes no socket.

use std::fmt;

use bytes::Bytes;
use skein_machine::wire::{self, OLDEST, Reader, VERSION, Version, WireError, Writer};
use skein_machine::{ClusterId, ProcessId, Wire};

use crate::frame::{FrameError, FrameReader};

/// A hello is short; what is longer is none.
pub const MAX_HELLO: usize = 512;

/// Tells our connections from any other.
const MAGIC: u64 = u64::from_le_bytes(*b"skein\x01\r\n");

/// The layout of the handshake itself, which every version reads.
const LAYOUT: Version = 1;

/// The first message of whoever opened the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// The versions of the encoding that it can speak.
    pub oldest: Version,
    /// The newest of them.
    pub newest: Version,
    /// To which cluster it believes to speak.
    pub cluster: ClusterId,
    /// Whom it wants to speak to.
    pub to: ProcessId,
    /// Who it is.
    pub caller: Caller,
    /// What it was told of the cluster, as [`plan_of`] sums it up: peers must have been told the same. A client
    /// says nothing of it.
    pub plan: u32,
}

/// Who opens a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Another process of the cluster.
    Peer(Peer),
    /// Somebody who wants to be served.
    Client,
}

/// A process as it presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Peer {
    /// Which process.
    pub process: ProcessId,
    /// How often it has lost its memory.
    pub incarnation: u32,
    /// Drawn when its data directory was made: another directory is another life, whatever its name.
    pub birth: u64,
}

/// The answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection stands, and this is the version to speak.
    Welcome {
        /// The newest that both know.
        version: Version,
        /// Who answers.
        peer: Peer,
    },
    /// It does not, for this reason.
    Refused(String),
}

impl Answer {
    /// A refusal, of which no more is said than is read.
    pub fn refused(mut why: String) -> Answer {
        let end = (0..=MAX_HELLO.min(why.len())).rev().find(|end| why.is_char_boundary(*end));
        why.truncate(end.expect("it begins somewhere"));
        Answer::Refused(why)
    }
}

impl Hello {
    /// What this build says.
    pub fn new(cluster: ClusterId, to: ProcessId, caller: Caller) -> Hello {
        Hello { oldest: OLDEST, newest: VERSION, cluster, to, caller, plan: 0 }
    }

    /// The same with a plan.
    pub fn with_plan(self, plan: u32) -> Hello {
        Hello { plan, ..self }
    }

    /// The same of one that speaks nothing newer than this, whatever its build knows.
    pub fn up_to(self, newest: Version) -> Hello {
        Hello { newest, ..self }
    }

    /// The version that both can speak, or a sentence that says why there is none. Whoever answers speaks nothing
    /// newer than `newest`.
    pub fn agree(&self, cluster: ClusterId, newest: Version) -> Result<Version, String> {
        if self.cluster != cluster {
            return Err(format!(
                "this is cluster {cluster}, and {} was called for: compare the addresses in both configurations",
                self.cluster
            ));
        }
        let version = self.newest.min(newest);
        if version < self.oldest.max(OLDEST) {
            return Err(format!(
                "versions {} to {} are spoken there and {OLDEST} to {newest} here: upgrade the older one step by step",
                self.oldest, self.newest
            ));
        }
        Ok(version)
    }
}

/// Sums up what every process must have been told alike. It finds mistakes; it keeps nobody out.
pub fn plan_of(told: &str) -> u32 {
    crc32c::crc32c(told.as_bytes())
}

/// The bytes of a handshake message.
pub fn to_bytes<T: Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut Writer::new(&mut bytes, LAYOUT));
    bytes
}

/// A handshake message from its bytes.
pub fn from_bytes<T: Wire>(bytes: Bytes) -> Result<T, WireError> {
    wire::from_bytes(bytes, LAYOUT)
}

/// What every listener must stand, for fuzzing: any bytes are frames or are refused, the same ones however they
/// arrive; any body of a frame holds messages or does not; any message is a hello, or an answer, or neither.
pub fn examine(bytes: &[u8]) {
    let whole = hear(bytes, usize::MAX);
    assert_eq!(whole, hear(bytes, 7), "what arrives in pieces is something else");
    let (length, checksum) = (u32::try_from(bytes.len()).unwrap_or(u32::MAX), crc32c::crc32c(bytes));
    let framed = [&length.to_le_bytes()[..], &checksum.to_le_bytes(), bytes].concat();
    let (messages, _) = hear(&framed, usize::MAX);
    let said: usize = messages.iter().map(Bytes::len).sum();
    assert!(said <= bytes.len(), "{said} bytes of messages came out of {}", bytes.len());
    for message in messages.iter().map(|message| &message[..]).chain([bytes]) {
        wire::examine::<Hello>(message);
        wire::examine::<Answer>(message);
    }
}

/// The messages in these bytes, which arrive so many at a time, and why they end.
fn hear(mut bytes: &[u8], step: usize) -> (Vec<Bytes>, Option<FrameError>) {
    let (mut reader, mut messages) = (FrameReader::new(), Vec::new());
    while !bytes.is_empty() {
        let room = reader.room();
        let count = bytes.len().min(step).min(room.len());
        room[..count].copy_from_slice(&bytes[..count]);
        reader.read(count);
        bytes = &bytes[count..];
        if let Err(error) = reader.take_all(&mut messages) {
            return (messages, Some(error));
        }
    }
    (messages, None)
}

const PEER: u8 = 1;
const CLIENT: u8 = 2;
const WELCOME: u8 = 1;
const REFUSED: u8 = 2;

impl Wire for Hello {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(MAGIC);
        writer.u16(self.oldest);
        writer.u16(self.newest);
        writer.u64(self.cluster.0);
        writer.u32(self.plan);
        self.to.encode(writer);
        match self.caller {
            Caller::Peer(peer) => {
                writer.u8(PEER);
                peer.encode(writer);
            }
            Caller::Client => writer.u8(CLIENT),
        }
    }

    fn decode(reader: &mut Reader) -> Result<Hello, WireError> {
        if reader.u64()? != MAGIC {
            return Err(WireError::Invalid { what: "the beginning of a connection of another protocol" });
        }
        Ok(Hello {
            oldest: reader.u16()?,
            newest: reader.u16()?,
            cluster: ClusterId(reader.u64()?),
            plan: reader.u32()?,
            to: ProcessId::decode(reader)?,
            caller: match reader.u8()? {
                PEER => Caller::Peer(Peer::decode(reader)?),
                CLIENT => Caller::Client,
                tag => return Err(WireError::UnknownTag { what: "callers", tag }),
            },
        })
    }
}

impl Wire for Peer {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.process.encode(writer);
        writer.u32(self.incarnation);
        writer.u64(self.birth);
    }

    fn decode(reader: &mut Reader) -> Result<Peer, WireError> {
        Ok(Peer { process: ProcessId::decode(reader)?, incarnation: reader.u32()?, birth: reader.u64()? })
    }
}

impl Wire for Answer {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Answer::Welcome { version, peer } => {
                writer.u8(WELCOME);
                writer.u16(*version);
                peer.encode(writer);
            }
            Answer::Refused(why) => {
                writer.u8(REFUSED);
                writer.bytes(why.as_bytes());
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Answer, WireError> {
        Ok(match reader.u8()? {
            WELCOME => Answer::Welcome { version: reader.u16()?, peer: Peer::decode(reader)? },
            REFUSED => {
                let why = reader.bytes("a reason", MAX_HELLO)?;
                let why = String::from_utf8(why.to_vec());
                Answer::Refused(why.map_err(|_| WireError::Invalid { what: "a reason that is no text" })?)
            }
            tag => return Err(WireError::UnknownTag { what: "answers", tag }),
        })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.process)?;
        if self.incarnation > 0 {
            write!(f, " in incarnation {}", self.incarnation)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        let peer = Peer { process: ProcessId(2), incarnation: 1, birth: 9 };
        Hello::new(ClusterId(7), ProcessId(3), Caller::Peer(peer)).with_plan(5)
    }

    /// Every version must read this, for ever: it is how versions find out about each other.
    #[test]
    fn golden_vectors() {
        for newest in 1..=2 {
            golden_hello(newest);
        }
        assert_eq!((hello().oldest, hello().newest), (1, 2));
        let refused = Answer::Refused("no".to_owned());
        assert_eq!(to_bytes(&refused), [&[2][..], &2u32.to_le_bytes(), b"no"].concat());
        assert_eq!(from_bytes::<Answer>(to_bytes(&refused).into()).unwrap(), refused);
    }

    fn golden_hello(newest: u8) {
        let hello = hello().up_to(newest.into());
        let bytes = to_bytes(&hello);
        let golden = [
            &b"skein\x01\r\n"[..],
            &[1, 0, newest, 0],
            &7u64.to_le_bytes(),
            &[5, 0, 0, 0],
            &[3, 0],
            &[1, 2, 0, 1, 0, 0, 0],
            &9u64.to_le_bytes(),
        ];
        assert_eq!(bytes, golden.concat());
        assert_eq!(from_bytes::<Hello>(bytes.into()).unwrap(), hello);
    }

    #[test]
    fn neighbouring_versions_agree_on_the_older_one() {
        let speaks = |oldest, newest| Hello { oldest, newest, ..hello() }.agree(ClusterId(7), VERSION);
        assert_eq!(speaks(VERSION, VERSION + 1), Ok(VERSION));
        assert!(speaks(VERSION + 1, VERSION + 2).unwrap_err().contains("upgrade the older one"));
        assert_eq!(hello().agree(ClusterId(7), OLDEST), Ok(OLDEST), "one that is held back");
        assert_eq!(hello().up_to(OLDEST).agree(ClusterId(7), VERSION), Ok(OLDEST));
        assert!(hello().agree(ClusterId(8), VERSION).unwrap_err().contains("0000000000000007 was called for"));
    }

    #[test]
    fn a_refusal_is_cut_where_it_can_be_read() {
        let answer = Answer::refused("ä".repeat(MAX_HELLO));
        assert_eq!(from_bytes::<Answer>(to_bytes(&answer).into()).unwrap(), answer);
        assert_eq!(Answer::refused("no".to_owned()), Answer::Refused("no".to_owned()));
    }

    #[test]
    fn another_protocol_is_no_hello() {
        let error = from_bytes::<Hello>(Bytes::from_static(b"GET / HTTP/1.1\r\n\r\n")).unwrap_err();
        assert!(error.to_string().contains("another protocol"), "{error}");
    }
}
