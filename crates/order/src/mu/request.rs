//! What a slot's value is made of: requests, each with a [`Tag`] that tells it
//! from every other, and [`Recent`], which sees to it that a request which got
//! into the log twice is applied once.
//!
//! A leader whose writes fail does not know which of its values will be
//! decided. It prepares again, and proposes again what it did not find; one
//! copy of what it had written may all the same have survived in a memory that
//! it did not reach, and another leader may adopt it. The two stand less than
//! [`MAX_WINDOW`] slots apart (docs/mu.md has the argument), so it is enough to
//! remember a little.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::options::MAX_WINDOW;

/// Names a request: by which replica it was proposed, in which of its lives, and as which. It comes round after a
/// trillion requests of one life; what must be told apart is never further apart than a few.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tag(u64);

/// The bytes of a request's tag and length.
pub const REQUEST_HEAD: usize = 12;

const SEQUENCE_BITS: u32 = 40;
const LIFE_BITS: u32 = 20;
const SEQUENCES: u64 = (1 << SEQUENCE_BITS) - 1;
const LIVES: u64 = (1 << LIFE_BITS) - 1;

/// Said of a request that its proposer had proposed before.
const AGAIN: u64 = 1 << 63;

impl Tag {
    /// The request of this number that this replica proposes in this life.
    pub(super) fn new(replica: u8, life: u64, sequence: u64) -> Tag {
        let who = u64::from(replica & 7) << (SEQUENCE_BITS + LIFE_BITS);
        Tag(who | (life & LIVES) << SEQUENCE_BITS | sequence & SEQUENCES)
    }

    /// The same, proposed again.
    #[must_use]
    pub(super) fn again(self) -> Tag {
        Tag(self.0 | AGAIN)
    }

    fn is_again(self) -> bool {
        self.0 & AGAIN != 0
    }

    /// How many requests after `sequence` this one was made, if it was by that replica in that life.
    pub(super) fn after(self, replica: u8, life: u64, sequence: u64) -> Option<usize> {
        let first = Tag::new(replica, life, sequence).0;
        let mine = self.0 & !AGAIN;
        (mine >> SEQUENCE_BITS == first >> SEQUENCE_BITS).then(|| (mine.wrapping_sub(first) & SEQUENCES) as usize)
    }

    fn name(self) -> u64 {
        self.0 & !AGAIN
    }
}

/// Takes a value apart. What is no request ends it: only this code writes values.
pub(super) fn requests(mut value: Bytes) -> impl Iterator<Item = (Tag, Bytes)> {
    core::iter::from_fn(move || {
        if value.len() < REQUEST_HEAD {
            return None;
        }
        let tag = Tag(value.get_u64_le());
        let length = value.get_u32_le() as usize;
        (length <= value.len()).then(|| (tag, value.split_to(length)))
    })
}

/// Memory for values, used again when nobody holds them any more.
#[derive(Debug)]
pub(super) struct Pool {
    chunks: Vec<BytesMut>,
    at: usize,
}

/// Enough chunks that by the time the first comes round again, what was in it is decided.
const CHUNKS: usize = 4;

const CHUNK_BYTES: usize = 1 << 17;

impl Pool {
    /// Nothing is used yet.
    pub(super) fn new() -> Pool {
        Pool { chunks: (0..CHUNKS).map(|_| BytesMut::new()).collect(), at: 0 }
    }

    /// A value of these requests.
    pub(super) fn value<'a>(&mut self, bytes: usize, requests: impl Iterator<Item = (Tag, &'a [u8])>) -> Bytes {
        if self.chunks[self.at].capacity() < bytes {
            self.at = (self.at + 1) % CHUNKS;
            if !self.chunks[self.at].try_reclaim(CHUNK_BYTES) {
                self.chunks[self.at] = BytesMut::with_capacity(CHUNK_BYTES);
            }
        }
        let chunk = &mut self.chunks[self.at];
        for (tag, request) in requests {
            chunk.put_u64_le(tag.0);
            chunk.put_u32_le(u32::try_from(request.len()).expect("a request fits into a slot"));
            chunk.put_slice(request);
        }
        chunk.split().freeze()
    }
}

/// The requests of the last slots.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Recent {
    /// By rising index.
    tags: VecDeque<(u64, Tag)>,
    /// How many of them were proposed again. As long as there are none, nothing can be there twice.
    again: usize,
}

/// Two copies of a request stand less than a window apart, and that holds for the window of every leader.
const REMEMBERED: u64 = 2 * MAX_WINDOW;

impl Recent {
    /// A request was decided at this index: whether it is for the first time.
    #[inline]
    pub(super) fn is_new(&mut self, index: u64, tag: Tag) -> bool {
        while let Some((old, tag)) = self.tags.front()
            && old + REMEMBERED <= index
        {
            self.again -= usize::from(tag.is_again());
            self.tags.pop_front();
        }
        let may_be_twice = tag.is_again() || self.again > 0;
        if may_be_twice && self.tags.iter().any(|(_, other)| other.name() == tag.name()) {
            return false;
        }
        self.again += usize::from(tag.is_again());
        self.tags.push_back((index, tag));
        true
    }

    /// For another replica.
    pub(super) fn encode(&self, room: &mut Vec<u8>) {
        for (index, tag) in &self.tags {
            room.put_u64_le(*index);
            room.put_u64_le(tag.0);
        }
    }

    /// From another replica.
    pub(super) fn decode(mut bytes: Bytes) -> Recent {
        let mut recent = Recent::default();
        while bytes.len() >= 16 {
            let (index, tag) = (bytes.get_u64_le(), Tag(bytes.get_u64_le()));
            recent.again += usize::from(tag.is_again());
            recent.tags.push_back((index, tag));
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_apart_as_it_was_put_together() {
        let mut pool = Pool::new();
        let tags = [Tag::new(2, 7, 1), Tag::new(2, 7, 2).again()];
        let value = pool.value(40, tags.into_iter().zip([&b"one"[..], b""]));
        let apart: Vec<_> = requests(value).collect();
        assert_eq!(apart, [(tags[0], Bytes::from_static(b"one")), (tags[1], Bytes::new())]);
        assert_eq!(requests(Bytes::from_static(&[0; 11])).count(), 0);
    }

    #[test]
    fn values_that_nobody_holds_give_their_memory_back() {
        let mut pool = Pool::new();
        let request = [7; 1000];
        let each =
            |pool: &mut Pool| pool.value(1012, [(Tag::new(0, 1, 1), &request[..])].into_iter()).as_ptr() as usize;
        let first: Vec<_> = (0..8 * CHUNK_BYTES / 1012).map(|_| each(&mut pool)).collect();
        let again: Vec<_> = (0..8 * CHUNK_BYTES / 1012).map(|_| each(&mut pool)).collect();
        let new = again.iter().filter(|place| !first.contains(place)).count();
        assert_eq!(new, 0, "every value lies where one lay before");
    }

    #[test]
    fn a_tag_knows_whose_it_is() {
        let tag = Tag::new(1, 3, 10);
        assert_eq!(tag.again().after(1, 3, 8), Some(2));
        assert_eq!(tag.after(1, 4, 8), None);
        assert_eq!(tag.after(2, 3, 8), None);
        assert_eq!(Tag::new(1, 3, SEQUENCES + 3).after(1, 3, SEQUENCES), Some(3), "numbers come round");
    }

    #[test]
    fn only_what_was_proposed_again_can_be_there_twice() {
        let mut recent = Recent::default();
        let tag = Tag::new(0, 1, 5);
        assert!(recent.is_new(1, tag.again()));
        assert!(!recent.is_new(3, tag), "the copy that it had lost sight of");
        assert!(recent.is_new(4, Tag::new(0, 1, 6)));
        let mut bytes = Vec::new();
        recent.encode(&mut bytes);
        let mut copy = Recent::decode(Bytes::from(bytes));
        assert_eq!(copy, recent);
        assert!(!copy.is_new(5, tag));
        assert!(copy.is_new(1 + REMEMBERED, Tag::new(0, 1, 7)));
        assert_eq!(copy.again, 0, "what is long past is forgotten");
    }
}
