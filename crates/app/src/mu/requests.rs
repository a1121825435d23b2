//! [`Requests`]: memory for what users propose. What nobody holds any more is
//! used again, so that in the long run nothing is allocated.

use bytes::{BufMut, Bytes, BytesMut};

/// Enough chunks that by the time the first comes round again, what was in it has been answered.
const CHUNKS: usize = 4;

/// Some hundred requests: a chunk is seldom left, and all of them fit into a cache.
const CHUNK_BYTES: usize = 1 << 15;

/// Chunks in turn.
#[derive(Debug)]
pub(super) struct Requests {
    chunks: [BytesMut; CHUNKS],
    at: usize,
    longest: usize,
}

impl Requests {
    /// For requests of so many bytes at most.
    pub(super) fn new(longest: usize) -> Requests {
        Requests { chunks: std::array::from_fn(|_| BytesMut::new()), at: 0, longest }
    }

    pub(super) fn longest(&self) -> usize {
        self.longest
    }

    /// A copy of a request.
    #[inline]
    pub(super) fn copy(&mut self, request: &[u8]) -> Bytes {
        if self.chunks[self.at].capacity() < request.len() {
            self.turn();
        }
        let chunk = &mut self.chunks[self.at];
        chunk.put_slice(request);
        chunk.split().freeze()
    }

    #[cold]
    fn turn(&mut self) {
        self.at = (self.at + 1) % CHUNKS;
        let bytes = CHUNK_BYTES.max(self.longest);
        if !self.chunks[self.at].try_reclaim(bytes) {
            self.chunks[self.at] = BytesMut::with_capacity(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_holds_is_used_again() {
        let mut requests = Requests::new(1000);
        let mut round = || -> Vec<usize> {
            let count = 2 * CHUNKS * CHUNK_BYTES / 1000;
            (0..count).map(|_| requests.copy(&[7; 1000]).as_ptr() as usize).collect()
        };
        let first = round();
        assert!(round().iter().all(|place| first.contains(place)));
    }

    #[test]
    fn what_somebody_holds_stays() {
        let mut requests = Requests::new(1000);
        let held: Vec<Bytes> = (0..200_u8).map(|nth| requests.copy(&[nth; 1000])).collect();
        for _ in 0..400 {
            requests.copy(&[255; 1000]);
        }
        assert!(held.iter().zip(0..).all(|(bytes, nth)| bytes[..] == [nth; 1000]));
    }
}
