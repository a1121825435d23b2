//! How values become bytes: by hand, little-endian, of fixed width, so that
//! the layout is a decision and not an accident of a compiler or a crate.
//!
//! A writer and a reader know the [`Version`] that two nodes agreed on or that
//! stands at the head of a log, and a type that has grown since looks at it.
//! Encodings are canonical: bytes that decode are exactly what encoding the
//! value gives, so two replicas that hold the same value hold the same bytes.
//! Frames, checksums and streams are the host's; this file knows none of them.
//!
//! What is small is inlined: a header is eight words, and a call for each costs
//! more than the words do.

mod ids;

use core::fmt;

use alloc::boxed::Box;
use alloc::vec::Vec;
use bytes::{Buf, Bytes};

/// A version of the encoding.
pub type Version = u16;

/// What this build writes, unless it is told to write an older one. Since 2 there are words for those who read
/// without multicasting; every layout is as it was in 1.
pub const VERSION: Version = 2;

/// The oldest that this build still reads.
pub const OLDEST: Version = 1;

/// A value that travels, or rests on a disk.
pub trait Wire: Sized {
    /// Appends the value.
    fn encode(&self, writer: &mut Writer<'_>);

    /// Takes a value from the front.
    fn decode(reader: &mut Reader) -> Result<Self, WireError>;

    /// The version since which this value can be said. To whom an older one was agreed on it is not said at all,
    /// as if it had been lost on the way: a host asks before it encodes, and a protocol does without an answer.
    #[inline]
    fn since(&self) -> Version {
        OLDEST
    }
}

/// Appends values to a buffer.
#[derive(Debug)]
pub struct Writer<'a> {
    buffer: &'a mut Vec<u8>,
    version: Version,
}

impl<'a> Writer<'a> {
    /// Appends to `buffer` in this version.
    pub fn new(buffer: &'a mut Vec<u8>, version: Version) -> Writer<'a> {
        Writer { buffer, version }
    }

    /// The version to write.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Appends a byte.
    #[inline]
    pub fn u8(&mut self, value: u8) {
        self.buffer.push(value);
    }

    /// Appends a yes or no.
    #[inline]
    pub fn flag(&mut self, value: bool) {
        self.u8(u8::from(value));
    }

    /// Appends two bytes.
    #[inline]
    pub fn u16(&mut self, value: u16) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends four bytes.
    #[inline]
    pub fn u32(&mut self, value: u32) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends eight bytes.
    #[inline]
    pub fn u64(&mut self, value: u64) {
        self.buffer.extend_from_slice(&value.to_le_bytes());
    }

    /// Appends eight bytes for each.
    #[inline]
    pub fn words<const N: usize>(&mut self, values: [u64; N]) {
        self.buffer.extend_from_slice(values.map(u64::to_le_bytes).as_flattened());
    }

    /// Appends a length and then the bytes.
    #[inline]
    pub fn bytes(&mut self, value: &[u8]) {
        self.length(value.len());
        self.buffer.extend_from_slice(value);
    }

    /// Appends a count and then each item.
    #[inline]
    pub fn list<T: Wire>(&mut self, items: impl ExactSizeIterator<Item = T>) {
        self.length(items.len());
        for item in items {
            item.encode(self);
        }
    }

    /// Appends a count and then each of these items.
    #[inline]
    pub fn each<T: Wire>(&mut self, items: &[T]) {
        self.length(items.len());
        for item in items {
            item.encode(self);
        }
    }

    /// Appends whether there is something, and then what there is.
    #[inline]
    pub fn option<T: Wire>(&mut self, item: Option<&T>) {
        self.flag(item.is_some());
        if let Some(item) = item {
            item.encode(self);
        }
    }

    #[inline]
    fn length(&mut self, length: usize) {
        self.u32(u32::try_from(length).expect("nothing that travels is 4 GiB long"));
    }
}

/// Takes values from the front of a buffer. Payloads are slices of it, not copies.
#[derive(Debug)]
pub struct Reader {
    /// What was not taken yet.
    bytes: Bytes,
    version: Version,
}

impl Reader {
    /// Reads `bytes`, which were written in this version.
    pub fn new(bytes: Bytes, version: Version) -> Result<Reader, WireError> {
        if !(OLDEST..=VERSION).contains(&version) {
            return Err(WireError::Version { version });
        }
        Ok(Reader { bytes, version })
    }

    /// The version that was written.
    pub fn version(&self) -> Version {
        self.version
    }

    /// How many bytes are left.
    #[inline]
    pub fn left(&self) -> usize {
        self.bytes.len()
    }

    /// Takes a byte.
    #[inline]
    pub fn u8(&mut self) -> Result<u8, WireError> {
        Ok(u8::from_le_bytes(self.take()?))
    }

    /// Takes a yes or no: nothing else will do.
    #[inline]
    pub fn flag(&mut self) -> Result<bool, WireError> {
        match self.u8()? {
            0 => Ok(false),
            1 => Ok(true),
            tag => Err(WireError::UnknownTag { what: "a yes or no", tag }),
        }
    }

    /// Takes two bytes.
    #[inline]
    pub fn u16(&mut self) -> Result<u16, WireError> {
        Ok(u16::from_le_bytes(self.take()?))
    }

    /// Takes four bytes.
    #[inline]
    pub fn u32(&mut self) -> Result<u32, WireError> {
        Ok(u32::from_le_bytes(self.take()?))
    }

    /// Takes eight bytes.
    #[inline]
    pub fn u64(&mut self) -> Result<u64, WireError> {
        Ok(u64::from_le_bytes(self.take()?))
    }

    /// Takes so many times eight bytes.
    #[inline]
    pub fn words<const N: usize>(&mut self) -> Result<[u64; N], WireError> {
        let need = N * size_of::<u64>();
        let Some(taken) = self.bytes.get(..need) else { return Err(self.short(need)) };
        let mut words = [0; N];
        for (word, bytes) in words.iter_mut().zip(taken.as_chunks().0) {
            *word = u64::from_le_bytes(*bytes);
        }
        self.bytes.advance(need);
        Ok(words)
    }

    /// Takes a length and that many bytes; `what` they are, for the error.
    #[inline]
    pub fn bytes(&mut self, what: &'static str, limit: usize) -> Result<Bytes, WireError> {
        let length = self.length(what, limit)?;
        if self.left() < length {
            return Err(self.short(length));
        }
        Ok(self.bytes.split_to(length))
    }

    /// Takes a count and that many items.
    #[inline]
    pub fn list<T: Wire>(&mut self, what: &'static str, limit: usize) -> Result<Vec<T>, WireError> {
        let count = self.length(what, limit)?;
        let mut items = Vec::with_capacity(self.room_for::<T>(count));
        for _ in 0..count {
            items.push(T::decode(self)?);
        }
        Ok(items)
    }

    /// Takes what there is, if anything.
    #[inline]
    pub fn option<T: Wire>(&mut self) -> Result<Option<T>, WireError> {
        Ok(if self.flag()? { Some(T::decode(self)?) } else { None })
    }

    /// No allocation on the word of a stranger: never more than twice the memory that there are bytes left. An item
    /// may take more memory than bytes; what takes even more than that grows as items are really there.
    #[inline]
    fn room_for<T>(&self, count: usize) -> usize {
        count.min(2 * self.left() / size_of::<T>().max(1))
    }

    /// The value must end here.
    #[inline]
    pub fn finish(self) -> Result<(), WireError> {
        if self.left() == 0 { Ok(()) } else { Err(WireError::Trailing { left: self.left() }) }
    }

    #[inline]
    fn length(&mut self, what: &'static str, limit: usize) -> Result<usize, WireError> {
        let length = self.u32()? as usize;
        if length > limit { Err(WireError::TooLong { what, length, limit }) } else { Ok(length) }
    }

    #[inline]
    fn take<const N: usize>(&mut self) -> Result<[u8; N], WireError> {
        let Some(&taken) = self.bytes.first_chunk() else { return Err(self.short(N)) };
        self.bytes.advance(N);
        Ok(taken)
    }

    #[cold]
    fn short(&self, need: usize) -> WireError {
        WireError::Short { need, left: self.left() }
    }
}

/// One whole value as bytes, in the newest version.
pub fn to_bytes<T: Wire>(value: &T) -> Bytes {
    let mut buffer = Vec::new();
    value.encode(&mut Writer::new(&mut buffer, VERSION));
    Bytes::from(buffer)
}

/// One whole value from bytes of this version, with nothing behind it.
pub fn from_bytes<T: Wire>(bytes: Bytes, version: Version) -> Result<T, WireError> {
    let mut reader = Reader::new(bytes, version)?;
    let value = T::decode(&mut reader)?;
    reader.finish()?;
    Ok(value)
}

/// What every decoder must stand, for fuzzing: in every version, any bytes decode
/// or are refused, and what decodes encodes to the very same bytes.
pub fn examine<T: Wire>(bytes: &[u8]) {
    for version in OLDEST..=VERSION {
        if let Ok(value) = from_bytes::<T>(Bytes::copy_from_slice(bytes), version) {
            assert!(value.since() <= version, "version {version} decodes what it does not know");
            let mut again = Vec::new();
            value.encode(&mut Writer::new(&mut again, version));
            assert_eq!(again, bytes, "what was decoded does not encode to the same bytes");
        }
    }
}

/// Why bytes are not a value.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum WireError {
    Short { need: usize, left: usize },
    TooLong { what: &'static str, length: usize, limit: usize },
    UnknownTag { what: &'static str, tag: u8 },
    Invalid { what: &'static str },
    Trailing { left: usize },
    Version { version: Version },
}

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WireError::Short { need, left } => write!(f, "{need} bytes were expected where {left} are left"),
            WireError::TooLong { what, length, limit } => {
                write!(f, "{what} claims a length of {length} where at most {limit} are allowed")
            }
            WireError::UnknownTag { what, tag } => write!(f, "{tag} is no kind of {what}"),
            WireError::Invalid { what } => write!(f, "{what} cannot be"),
            WireError::Trailing { left } => write!(f, "{left} bytes follow the end of the value"),
            WireError::Version { version } => {
                write!(f, "version {version} of the encoding; this build reads {OLDEST} to {VERSION}")
            }
        }
    }
}

impl core::error::Error for WireError {}

/// A kind of value that does not exist, for machines without timers or records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Nothing {}

impl Wire for Nothing {
    fn encode(&self, _: &mut Writer<'_>) {
        match *self {}
    }

    fn decode(_: &mut Reader) -> Result<Nothing, WireError> {
        Err(WireError::Invalid { what: "a value of a kind that has none" })
    }
}

/// A number, in a list.
impl Wire for u64 {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(*self);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<u64, WireError> {
        reader.u64()
    }
}

/// Where a value lies makes no difference to those who read it.
impl<T: Wire> Wire for Box<T> {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        T::encode(self, writer);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Box<T>, WireError> {
        T::decode(reader).map(Box::new)
    }

    #[inline]
    fn since(&self) -> Version {
        T::since(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{GroupId, MessageId, Multicast, ProcessId, Timestamp};
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    #[test]
    fn refuses_other_versions() {
        assert!(Reader::new(Bytes::new(), VERSION + 1).unwrap_err().to_string().contains("this build reads 1 to 2"));
        assert!(Reader::new(Bytes::new(), 0).is_err());
    }

    #[test]
    fn a_length_is_believed_only_within_its_limit() {
        let mut huge = vec![0xff, 0xff, 0xff, 0xff];
        huge.resize(100, 0);
        let mut reader = Reader::new(Bytes::from(huge), VERSION).unwrap();
        assert!(matches!(reader.bytes("a payload", 99), Err(WireError::TooLong { limit: 99, .. })));
        let mut reader = Reader::new(Bytes::from_static(&[9, 0, 0, 0, 1, 2]), VERSION).unwrap();
        assert_eq!(reader.bytes("a payload", 10), Err(WireError::Short { need: 9, left: 2 }));
    }

    #[test]
    fn a_list_reads_what_it_counts() {
        let mut buffer = Vec::new();
        Writer::new(&mut buffer, VERSION).list([ProcessId(1), ProcessId(2)].into_iter());
        let mut reader = Reader::new(Bytes::from(buffer), VERSION).unwrap();
        assert_eq!(reader.list::<ProcessId>("some", 2).unwrap(), [ProcessId(1), ProcessId(2)]);
        let mut reader = Reader::new(Bytes::from_static(&[3, 0, 0, 0]), VERSION).unwrap();
        assert!(matches!(reader.list::<ProcessId>("some", 2), Err(WireError::TooLong { .. })));
    }

    #[test]
    fn what_need_not_be_there_is_there_or_not() {
        let mut buffer = Vec::new();
        let mut writer = Writer::new(&mut buffer, VERSION);
        writer.option(Some(&Box::new(7u64)));
        writer.option(None::<&u64>);
        let mut bytes = vec![1, 7, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(buffer, bytes);
        bytes.push(2);
        let mut reader = Reader::new(Bytes::from(bytes), VERSION).unwrap();
        assert_eq!(reader.option(), Ok(Some(Box::new(7u64))));
        assert_eq!(reader.option::<u64>(), Ok(None));
        assert_eq!(reader.flag(), Err(WireError::UnknownTag { what: "a yes or no", tag: 2 }));
    }

    /// A hundred bytes that claim to be a thousand items get no more memory than two hundred bytes.
    #[test]
    fn a_list_gets_memory_for_what_can_be_there() {
        let reader = Reader::new(Bytes::from(vec![0; 100]), VERSION).unwrap();
        assert_eq!(reader.room_for::<[u64; 5]>(1000), 5);
        assert_eq!(reader.room_for::<u8>(1000), 200);
        assert_eq!(reader.room_for::<u8>(7), 7);
        assert_eq!(reader.room_for::<()>(1000), 200);
    }

    #[test]
    fn nothing_may_follow() {
        assert_eq!(
            from_bytes::<ProcessId>(Bytes::from_static(&[1, 2, 3]), VERSION),
            Err(WireError::Trailing { left: 1 })
        );
    }

    /// The layout of version 1. A change here is a new version, never an edit.
    #[test]
    fn golden_vectors() {
        let message = Multicast {
            id: MessageId::new(0x0102, 3, 0b101),
            floor: Timestamp(7),
            expiry: Timestamp::MAX,
            payload: Bytes::from_static(b"hey"),
        };
        let golden = [
            2, 1, 0, 0, 0, 0, 0, 0, // session
            3, 0, 0, 0, 0, 0, 0, 0, // sequence
            5, 0, 0, 0, 0, 0, 0, 0, // destinations
            7, 0, 0, 0, 0, 0, 0, 0, // floor
            255, 255, 255, 255, 255, 255, 255, 255, // expiry
            3, 0, 0, 0, b'h', b'e', b'y', // payload
        ];
        assert_eq!(to_bytes(&message), golden.as_slice());
        assert_eq!(from_bytes::<Multicast>(Bytes::copy_from_slice(&golden), 1).unwrap(), message);
        assert_eq!(to_bytes(&ProcessId(0x0203)), [3, 2].as_slice());
        assert_eq!(to_bytes(&GroupId::new(63).unwrap()), [63].as_slice());
    }

    #[test]
    fn impossible_values_are_refused() {
        assert!(from_bytes::<GroupId>(Bytes::from_static(&[64]), VERSION).is_err());
        assert!(from_bytes::<Nothing>(Bytes::new(), VERSION).is_err());
        assert!(from_bytes::<Multicast>(Bytes::from(vec![0; 44]), VERSION).is_err(), "no destination");
    }

    proptest! {
        #[test]
        fn a_multicast_survives_the_journey(
            session: u64, sequence: u64, bits in 1u64.., floor: u64, expiry: u64, payload: Vec<u8>,
        ) {
            let message = Multicast {
                id: MessageId::new(session, sequence, bits),
                floor: Timestamp(floor),
                expiry: Timestamp(expiry),
                payload: Bytes::from(payload),
            };
            prop_assert_eq!(from_bytes::<Multicast>(to_bytes(&message), VERSION).unwrap(), message);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes: Vec<u8>) {
            examine::<Multicast>(&bytes);
        }
    }
}
