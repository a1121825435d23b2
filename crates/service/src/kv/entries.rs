//! [`Entries`]: what the pieces of a backup say, part by part, for whoever reads
//! them outside the store. It holds no value and no piece, however large a value
//! is, and believes nothing: whatever bytes it is given, it reads or refuses.
//!
//! A piece ends between two elements, or within the bytes of a string, and
//! nowhere else; so what lies between two pieces is only how much of a value is
//! still to come.

use alloc::vec::Vec;

use super::codec::{HASH, LIST, SET, SORTED, STRING};
use super::request::{Cut, Malformed};

/// Of which kind a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    /// Bytes.
    String,
    /// Fields with a value each.
    Hash,
    /// Items in a row.
    List,
    /// Members.
    Set,
    /// Members with a score each.
    Sorted,
}

/// What a piece says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part<'a> {
    /// A key, with what is known of it before its value.
    Key {
        /// The key.
        key: &'a [u8],
        /// When it ends, in milliseconds since the epoch, if it does.
        deadline_ms: Option<u64>,
        /// Of which kind its value is.
        kind: ValueKind,
        /// How many elements, or bytes, are still to come.
        length: u64,
    },
    /// Some bytes of a string.
    Bytes(&'a [u8]),
    /// A field of a hash and its value.
    Field(&'a [u8], &'a [u8]),
    /// An item of a list.
    Item(&'a [u8]),
    /// A member of a set.
    Member(&'a [u8]),
    /// A member of a sorted set, and its score, which is a number.
    Scored(&'a [u8], f64),
    /// The value is complete.
    End,
}

/// Where a reader of pieces is.
#[derive(Clone, Debug, Default)]
pub struct Entries {
    /// Of which value more is to come, and how much.
    left: Option<(ValueKind, u64)>,
    /// The last key; they rise.
    last: Option<Vec<u8>>,
}

impl Entries {
    /// Before the first piece of a partition.
    pub fn new() -> Entries {
        Entries::default()
    }

    /// Reads the next piece, and says what it says.
    pub fn read<'a>(&mut self, piece: &'a [u8], mut each: impl FnMut(Part<'a>)) -> Result<(), Malformed> {
        let mut cut = Cut(piece);
        loop {
            match self.left {
                None if cut.0.is_empty() => return Ok(()),
                None => each(self.head(&mut cut)?),
                Some((_, 0)) => {
                    self.left = None;
                    each(Part::End);
                }
                Some(_) if cut.0.is_empty() => return Ok(()),
                Some((kind, left)) => {
                    let (part, taken) = element(&mut cut, kind, left)?;
                    self.left = Some((kind, left - taken));
                    each(part);
                }
            }
        }
    }

    /// Whether no value waits for its rest, so that this may be the end.
    pub fn is_between(&self) -> bool {
        self.left.is_none()
    }

    fn head<'a>(&mut self, cut: &mut Cut<'a>) -> Result<Part<'a>, Malformed> {
        let key = cut.bytes()?;
        if self.last.as_deref().is_some_and(|last| last >= key) {
            return Err(Malformed("a key is not behind the one before it"));
        }
        let last = self.last.get_or_insert_default();
        last.clear();
        last.extend_from_slice(key);
        let deadline_ms = cut.length()?.checked_sub(1);
        let _version = cut.length()?;
        let kind = match cut.byte()? {
            STRING => ValueKind::String,
            HASH => ValueKind::Hash,
            LIST => ValueKind::List,
            SET => ValueKind::Set,
            SORTED => ValueKind::Sorted,
            _ => return Err(Malformed("a value of no kind")),
        };
        let length = cut.length()?;
        if length == 0 && kind != ValueKind::String {
            return Err(Malformed("a collection of nothing"));
        }
        self.left = Some((kind, length));
        Ok(Part::Key { key, deadline_ms, kind, length })
    }
}

/// One element, or as many bytes of a string as there are; and how many that is.
fn element<'a>(cut: &mut Cut<'a>, kind: ValueKind, left: u64) -> Result<(Part<'a>, u64), Malformed> {
    let part = match kind {
        ValueKind::String => {
            let length = usize::try_from(left).unwrap_or(usize::MAX).min(cut.0.len());
            let (bytes, rest) = cut.0.split_at(length);
            cut.0 = rest;
            return Ok((Part::Bytes(bytes), length as u64));
        }
        ValueKind::Hash => Part::Field(cut.bytes()?, cut.bytes()?),
        ValueKind::List => Part::Item(cut.bytes()?),
        ValueKind::Set => Part::Member(cut.bytes()?),
        ValueKind::Sorted => {
            let (member, score) = (cut.bytes()?, f64::from_bits(cut.word()?));
            if score.is_nan() {
                return Err(Malformed("a score that is no number"));
            }
            Part::Scored(member, score)
        }
    };
    Ok((part, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::codec::write_entry;
    use crate::kv::store::{Entry, NEVER};
    use crate::kv::value::{Kind, Sorted, Value};
    use alloc::format;
    use alloc::string::String;
    use proptest::prelude::*;

    fn told(pieces: &[&[u8]]) -> Result<Vec<String>, Malformed> {
        let (mut entries, mut parts) = (Entries::new(), Vec::new());
        for piece in pieces {
            entries.read(piece, |part| parts.push(format!("{part:?}")))?;
        }
        assert!(entries.is_between());
        Ok(parts)
    }

    #[test]
    fn a_value_of_each_kind_is_told_part_by_part() {
        let mut sorted = Sorted::empty();
        Sorted::of_mut(&mut sorted).unwrap().set(b"m", -0.0);
        let mut bytes = Vec::new();
        for (key, value, deadline_ms) in
            [("a", Value::string(b""), NEVER), ("b", Value::string(b"xyz"), 0), ("c", sorted, 7)]
        {
            write_entry(&mut bytes, key.as_bytes(), &Entry { value, deadline_ms, version: 3 });
        }
        let expected = [
            "Key { key: [97], deadline_ms: None, kind: String, length: 0 }",
            "End",
            "Key { key: [98], deadline_ms: Some(0), kind: String, length: 3 }",
            "Bytes([120, 121, 122])",
            "End",
            "Key { key: [99], deadline_ms: Some(7), kind: Sorted, length: 1 }",
            "Scored([109], -0.0)",
            "End",
        ];
        assert_eq!(told(&[&bytes]).unwrap(), expected);
        // Cut within a string: the second half is told in a part of its own.
        let end = bytes.windows(3).position(|bytes| bytes == b"xyz").unwrap();
        assert_eq!(told(&[&bytes[..=end], &bytes[end + 1..]]).unwrap().len(), expected.len() + 1);
    }

    #[test]
    fn what_is_refused() {
        let cases: [(&[u8], &str); 6] = [
            (b"\x01b\0\0\0\0\x01a\0\0\0\0", "a key is not behind the one before it"),
            (b"\x01b\0\0\0\0\x01b\0\0\0\0", "a key is not behind the one before it"),
            (b"\x01b\0\0\x05\0", "a value of no kind"),
            (b"\x01b\0\0\x03\0", "a collection of nothing"),
            (b"\x01b\0\0\x04\x01\x01m\0\0\0\0\0\0\xf8\x7f", "a score that is no number"),
            (b"\x01b\0\0\x01\x01\x01f", "it ends too early"),
        ];
        for (bytes, why) in cases {
            assert_eq!(told(&[bytes]), Err(Malformed(why)));
        }
        let mut entries = Entries::new();
        entries.read(b"\x01b\0\0\x03\x02\x01m", |_| {}).unwrap();
        assert!(!entries.is_between(), "a member is missing");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes: Vec<u8>, kind in 0u8..6, count in 0u8..4, cut in 0usize..64) {
            bytes.splice(0..0, [1, b'k', 0, 0, kind, count]);
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            let mut entries = Entries::new();
            let _ = entries.read(first, |_| {}).and_then(|()| entries.read(second, |_| {}));
        }
    }
}
