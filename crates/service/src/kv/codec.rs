//! How entries become bytes, in snapshots and in what partitions tell each
//! other: a head that says what follows, then element by element, so that a
//! value of any size can be written in pieces.

use alloc::vec::Vec;

use super::request::{Cut, Malformed, write_length};
use super::store::Entry;
use super::tree::Tree;
use super::value::{Hash, Kind, List, Set, Sorted, Value};

/// Most elements of anything that is read: what memory holds, and not a number from a stranger.
const MAX_ELEMENTS: usize = u32::MAX as usize;

/// Which kind of value follows a head.
pub(super) const STRING: u8 = 0;
pub(super) const HASH: u8 = 1;
pub(super) const LIST: u8 = 2;
pub(super) const SET: u8 = 3;
pub(super) const SORTED: u8 = 4;

pub(super) fn write_bytes(buffer: &mut Vec<u8>, bytes: &[u8]) {
    write_length(buffer, bytes.len() as u64);
    buffer.extend_from_slice(bytes);
}

/// What stands before the elements of an entry.
pub(super) fn write_head(buffer: &mut Vec<u8>, key: &[u8], entry: &Entry) {
    write_bytes(buffer, key);
    // One more, so that the deadline that most keys have is the shortest.
    write_length(buffer, entry.deadline_ms.wrapping_add(1));
    write_length(buffer, entry.version);
    buffer.push(match &entry.value {
        Value::String(_) => STRING,
        Value::Hash(_) => HASH,
        Value::List(_) => LIST,
        Value::Set(_) => SET,
        Value::Sorted(_) => SORTED,
    });
    write_length(buffer, elements_of(&entry.value) as u64);
}

/// How many elements are written of a value: of a string, its bytes.
pub(super) fn elements_of(value: &Value) -> usize {
    match value {
        Value::String(blob) => blob.len(),
        Value::Hash(hash) => hash.len(),
        Value::List(list) => list.len(),
        Value::Set(set) => set.len(),
        Value::Sorted(sorted) => sorted.len(),
    }
}

/// Appends elements, or the bytes of a string, from one place on until the buffer is about this long; the
/// place to go on from, if there is more.
pub(super) fn write_elements(buffer: &mut Vec<u8>, value: &Value, from: usize, about: usize) -> Option<usize> {
    match value {
        Value::String(blob) => {
            let end = from.saturating_add(about.saturating_sub(buffer.len())).min(blob.len());
            buffer.extend_from_slice(&blob.bytes()[from..end]);
            (end < blob.len()).then_some(end)
        }
        Value::Hash(hash) => write_each(buffer, hash.fields(), from, about, |buffer, field, value| {
            write_bytes(buffer, field.bytes());
            write_bytes(buffer, value.bytes());
        }),
        Value::List(list) => {
            write_each(buffer, list.items(), from, about, |buffer, (), item| write_bytes(buffer, item.bytes()))
        }
        Value::Set(set) => {
            write_each(buffer, set.members(), from, about, |buffer, member, ()| write_bytes(buffer, member.bytes()))
        }
        Value::Sorted(sorted) => write_each(buffer, sorted.members(), from, about, |buffer, member, score| {
            write_bytes(buffer, member.bytes());
            buffer.extend_from_slice(&score.to_bits().to_le_bytes());
        }),
    }
}

fn write_each<K, V>(
    buffer: &mut Vec<u8>,
    tree: &Tree<K, V>,
    from: usize,
    about: usize,
    write: impl Fn(&mut Vec<u8>, &K, &V),
) -> Option<usize> {
    for (place, (key, value)) in tree.slice(from, tree.len()).enumerate() {
        if buffer.len() >= about {
            return Some(from + place);
        }
        write(buffer, key, value);
    }
    None
}

/// Appends an entry from one element on, its head if that is the first, until the buffer is about this long; the
/// element to go on from, if there is more.
pub(super) fn write_piece(
    buffer: &mut Vec<u8>,
    key: &[u8],
    entry: &Entry,
    element: usize,
    about: usize,
) -> Option<usize> {
    if element == 0 {
        write_head(buffer, key, entry);
    }
    match write_elements(buffer, &entry.value, element, about) {
        // A head that stands alone must not be written again: the first element comes with it.
        Some(0) => write_elements(buffer, &entry.value, 0, buffer.len() + 1),
        next => next,
    }
}

/// Appends a whole entry.
pub(super) fn write_entry(buffer: &mut Vec<u8>, key: &[u8], entry: &Entry) {
    write_head(buffer, key, entry);
    write_elements(buffer, &entry.value, 0, usize::MAX);
}

/// Takes a whole entry.
pub(super) fn read_entry<'a>(cut: &mut Cut<'a>) -> Result<(&'a [u8], Entry), Malformed> {
    let key = cut.bytes()?;
    let deadline_ms = cut.length()?.wrapping_sub(1);
    let version = cut.length()?;
    let kind = cut.byte()?;
    let value = if kind == STRING {
        Value::string(cut.bytes()?)
    } else {
        let count = cut.count(MAX_ELEMENTS)?;
        if count == 0 {
            return Err(Malformed("a collection of nothing"));
        }
        read_collection(cut, kind, count)?
    };
    Ok((key, Entry { value, deadline_ms, version }))
}

fn read_collection(cut: &mut Cut<'_>, kind: u8, count: usize) -> Result<Value, Malformed> {
    let value = match kind {
        HASH => {
            let mut hash = Hash::default();
            for _ in 0..count {
                hash.set(cut.bytes()?, cut.bytes()?);
            }
            (hash.len(), Value::Hash(hash))
        }
        LIST => {
            let mut list = List::default();
            for _ in 0..count {
                list.push(false, cut.bytes()?);
            }
            (list.len(), Value::List(list))
        }
        SET => {
            let mut set = Set::default();
            for _ in 0..count {
                set.insert(cut.bytes()?);
            }
            (set.len(), Value::Set(set))
        }
        SORTED => {
            let mut value = Sorted::empty();
            let sorted = Sorted::of_mut(&mut value).expect("it is one");
            for _ in 0..count {
                let member = cut.bytes()?;
                let score = f64::from_bits(cut.word()?);
                if score.is_nan() {
                    return Err(Malformed("a score that is no number"));
                }
                sorted.set(member, score);
            }
            (sorted.len(), value)
        }
        _ => return Err(Malformed("a value of no kind")),
    };
    if value.0 == count { Ok(value.1) } else { Err(Malformed("an element comes twice")) }
}
