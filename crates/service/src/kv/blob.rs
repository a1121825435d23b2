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
        let mut room = [0; INLINE];
        room[..bytes.len()].copy_from_slice(bytes);
        Blob(Kept::Inline(bytes.len() as u8, room))
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
    fn cmp(&self, other: &Blob) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
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
    fn a_member_is_found_by_its_name() {
        let member = Member::new(b"name");
        assert_eq!(Member::seek(b"name")(&member), Ordering::Equal);
        assert_ne!(Member::seek(b"other")(&member), Ordering::Equal);
    }
}
