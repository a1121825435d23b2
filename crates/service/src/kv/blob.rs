//! [`Blob`]: some bytes that clone for almost nothing: short ones lie in the
//! blob itself, longer ones are shared. A string that grows becomes a buffer
//! with room, so that appending to it is cheap while nobody shares it.
//!
//! How its bytes are kept can never be seen: blobs compare as bytes do.

use core::cmp::Ordering;
use core::fmt;

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::xxh64::xxh64;

/// So many bytes fit beside the tag and the length without making a blob larger than three words.
const INLINE: usize = 22;

/// Some bytes.
#[derive(Clone)]
pub(super) struct Blob(Kept);

#[derive(Clone)]
enum Kept {
    /// How many of these bytes it is; the others are zero.
    Inline(u8, [u8; INLINE]),
    Shared(Arc<[u8]>),
    Grown(Arc<Vec<u8>>),
}

impl Blob {
    /// These bytes, copied.
    pub(super) fn new(bytes: &[u8]) -> Blob {
        if bytes.len() > INLINE {
            return Blob(Kept::Shared(Arc::from(bytes)));
        }
        Blob(Kept::Inline(bytes.len() as u8, padded(bytes)))
    }

    /// How blobs compare to these bytes.
    #[inline]
    pub(super) fn seek(bytes: &[u8]) -> impl Fn(&Blob) -> Ordering {
        let short = (bytes.len() <= INLINE).then(|| (as_numbers(&padded(bytes)), bytes.len() as u8));
        move |blob| match (&blob.0, short) {
            (Kept::Inline(length, room), Some((numbers, sought))) => {
                as_numbers(room).cmp(&numbers).then(length.cmp(&sought))
            }
            _ => blob.bytes().cmp(bytes),
        }
    }

    /// The bytes.
    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        match &self.0 {
            Kept::Inline(length, room) => &room[..usize::from(*length)],
            Kept::Shared(shared) => shared,
            Kept::Grown(grown) => grown,
        }
    }

    /// From now on these bytes. What is as long as before is written in its place, if nobody shares it.
    pub(super) fn set(&mut self, bytes: &[u8]) {
        if let Kept::Shared(shared) = &mut self.0
            && shared.len() == bytes.len()
            && let Some(alone) = Arc::get_mut(shared)
        {
            alone.copy_from_slice(bytes);
        } else {
            *self = Blob::new(bytes);
        }
    }

    /// How many bytes.
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// The bytes as a buffer that can be changed and extended.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        if !matches!(self.0, Kept::Grown(_)) {
            self.0 = Kept::Grown(Arc::new(self.bytes().to_vec()));
        }
        match &mut self.0 {
            Kept::Grown(grown) => Arc::make_mut(grown),
            Kept::Inline(..) | Kept::Shared(_) => unreachable!("it was just made to grow"),
        }
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Blob {
        Blob::new(&bytes)
    }
}

impl PartialEq for Blob {
    fn eq(&self, other: &Blob) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Blob {}

impl Ord for Blob {
    /// Short ones compare as numbers, which takes no loop and no call: every search in a tree of keys lives on it.
    #[inline]
    fn cmp(&self, other: &Blob) -> Ordering {
        if let (Kept::Inline(length, room), Kept::Inline(other_length, other_room)) = (&self.0, &other.0) {
            return as_numbers(room).cmp(&as_numbers(other_room)).then(length.cmp(other_length));
        }
        self.bytes().cmp(other.bytes())
    }
}

/// These bytes, and zeros up to where a blob ends.
fn padded(bytes: &[u8]) -> [u8; INLINE] {
    let mut room = [0; INLINE];
    room[..bytes.len()].copy_from_slice(bytes);
    room
}

/// Numbers that compare as these bytes do.
#[inline]
fn as_numbers(room: &[u8; INLINE]) -> (u128, u64) {
    // The second overlaps the first, for which nothing is different when those are equal.
    let (first, last) = (room.first_chunk::<16>(), room.last_chunk::<8>());
    let (first, last) = (first.expect("there are 22"), last.expect("there are 22"));
    (u128::from_be_bytes(*first), u64::from_be_bytes(*last))
}

impl PartialOrd for Blob {
    fn partial_cmp(&self, other: &Blob) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.bytes().escape_ascii())
    }
}

/// A name in a hash, a set, or an index for SCAN. Names are ordered by what
/// they hash to: a scan can then go on from a number, and misses nothing that
/// was there all the time, however much changed in between.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Member {
    /// What the name hashes to.
    pub hash: u64,
    /// The name.
    pub name: Blob,
}

impl Member {
    /// A name with its hash.
    pub(super) fn new(name: &[u8]) -> Member {
        Member { hash: xxh64(name), name: Blob::new(name) }
    }

    /// How members compare to the one of this name.
    #[inline]
    pub(super) fn seek(name: &[u8]) -> impl Fn(&Member) -> Ordering {
        let hash = xxh64(name);
        move |member| member.hash.cmp(&hash).then_with(|| member.name.bytes().cmp(name))
    }

    /// The name's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.name.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blob_is_three_words_and_compares_as_its_bytes() {
        assert_eq!(size_of::<Blob>(), 24);
        for length in [0, 1, INLINE, INLINE + 1, 1000] {
            let bytes = alloc::vec![7; length];
            let mut grown = Blob::new(&bytes);
            assert_eq!(grown.bytes(), bytes);
            let before = grown.clone();
            grown.buffer().push(1);
            assert_eq!(before.bytes(), bytes, "a clone never changes");
            assert_eq!(before.cmp(&grown), Ordering::Less);
            grown.buffer().pop();
            assert_eq!(before, grown);
        }
    }

    #[test]
    fn blobs_of_any_two_lengths_compare_as_their_bytes() {
        let mut all: Vec<Vec<u8>> = Vec::new();
        for length in 0..INLINE + 3 {
            for last in [0, 1, 0x7f, 0x80, 0xff] {
                for place in [0, 7, 8, 13, 14, 15, 16, 21, 22, 24] {
                    let mut bytes = alloc::vec![b'k'; length];
                    if let Some(byte) = bytes.get_mut(place) {
                        *byte = last;
                    }
                    all.push(bytes);
                }
            }
        }
        for one in &all {
            for other in &all {
                assert_eq!(Blob::new(one).cmp(&Blob::new(other)), one.cmp(other), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn what_is_shared_is_not_written_over() {
        for (length, other) in [(100, 100), (100, 99), (5, 100), (100, 5)] {
            let mut blob = Blob::new(&alloc::vec![1; length]);
            let kept = blob.clone();
            blob.set(&alloc::vec![2; other]);
            assert_eq!((kept.bytes(), blob.bytes()), (&alloc::vec![1; length][..], &alloc::vec![2; other][..]));
            let place = blob.bytes().as_ptr();
            blob.set(&alloc::vec![3; other]);
            assert_eq!((blob.bytes(), blob.bytes().as_ptr()), (&alloc::vec![3; other][..], place));
        }
    }

    #[test]
    fn a_member_is_found_by_its_name() {
        let member = Member::new(b"name");
        assert_eq!(Member::seek(b"name")(&member), Ordering::Equal);
        assert_ne!(Member::seek(b"other")(&member), Ordering::Equal);
    }
}
