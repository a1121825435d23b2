//! A pipe in shared words: one process writes, another reads, and either may be
//! killed at any moment and come back. Where it was written and read up to
//! stands in the words themselves, and what was not written to its end was not
//! written: whoever comes back goes on there.
//!
//! A pipe never waits: a full one refuses, an empty one has nothing. What is
//! lost with a reader that was killed is asked again by whoever misses it.

use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use skein_runtime::shm::SharedWords;

use crate::words::MAX_ANSWER_BYTES;

/// Words of a pipe's ring: room for a command of every client there can be, asked twice, or for 200 of the longest
/// answers.
pub(super) const RING: usize = 1 << 15;

/// Nothing that is said is longer.
const MAX_BYTES: usize = MAX_ANSWER_BYTES;

/// What both ends write stands on lines of its own: processors fetch lines in pairs.
const AT_WRITTEN: usize = 0;
const AT_READ: usize = 16;
const AT_RING: usize = 32;

/// All words of a pipe.
pub(super) const WORDS: usize = AT_RING + RING;

/// A pipe that begins at one of the words.
#[derive(Debug)]
struct Pipe {
    words: SharedWords,
    begins: usize,
}

impl Pipe {
    fn word(&self, at: usize) -> &std::sync::atomic::AtomicU64 {
        &self.words.words()[self.begins + at]
    }

    fn ring(&self, position: u64) -> &std::sync::atomic::AtomicU64 {
        self.word(AT_RING + (position as usize & (RING - 1)))
    }
}

/// The end that writes.
#[derive(Debug)]
pub(super) struct Writer {
    pipe: Pipe,
    written: u64,
    /// How far the other end was when it was looked at last: to look is to wait for its core.
    read: u64,
}

impl Writer {
    /// Goes on where the last one was.
    pub(super) fn new(words: &SharedWords, begins: usize) -> Writer {
        let pipe = Pipe { words: words.clone(), begins };
        let (written, read) = (pipe.word(AT_WRITTEN).load(Relaxed), pipe.word(AT_READ).load(Acquire));
        Writer { pipe, written, read }
    }

    /// Writes something. False if there is no room for it now.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8]) -> bool {
        assert!(bytes.len() <= MAX_BYTES, "{} bytes are to be written, {MAX_BYTES} is the most", bytes.len());
        let words = 1 + bytes.len().div_ceil(8) as u64;
        if self.written + words > self.read + RING as u64 {
            self.read = self.pipe.word(AT_READ).load(Acquire);
            if self.written + words > self.read + RING as u64 {
                return false;
            }
        }
        self.pipe.ring(self.written).store(bytes.len() as u64, Relaxed);
        for (at, part) in (self.written + 1..).zip(bytes.chunks(8)) {
            let mut word = [0; 8];
            word[..part.len()].copy_from_slice(part);
            self.pipe.ring(at).store(u64::from_le_bytes(word), Relaxed);
        }
        self.written += words;
        // Whoever sees this sees all of it.
        self.pipe.word(AT_WRITTEN).store(self.written, Release);
        true
    }
}

/// The end that reads.
#[derive(Debug)]
pub(super) struct Reader {
    pipe: Pipe,
    read: u64,
    written: u64,
}

impl Reader {
    /// Goes on where the last one was.
    pub(super) fn new(words: &SharedWords, begins: usize) -> Reader {
        let pipe = Pipe { words: words.clone(), begins };
        let read = pipe.word(AT_READ).load(Relaxed);
        Reader { pipe, read, written: read }
    }

    /// Puts the next thing that was written in place of what is in the buffer. False if there is nothing.
    #[inline]
    pub(super) fn pop(&mut self, buffer: &mut Vec<u8>) -> bool {
        if self.read == self.written {
            self.written = self.pipe.word(AT_WRITTEN).load(Acquire);
            if self.read == self.written {
                return false;
            }
        }
        let length = self.pipe.ring(self.read).load(Relaxed);
        assert!(length <= MAX_BYTES as u64, "a pipe says that {length} bytes come, and {MAX_BYTES} is the most");
        let words = 1 + length.div_ceil(8);
        assert!(self.read + words <= self.written, "a pipe ends in the middle of what was written");
        buffer.clear();
        for at in self.read + 1..self.read + words {
            buffer.extend_from_slice(&self.pipe.ring(at).load(Relaxed).to_le_bytes());
        }
        buffer.truncate(length as usize);
        self.read += words;
        // The room may be used again only now that all of it was read.
        self.pipe.word(AT_READ).store(self.read, Release);
        true
    }

    /// Drops everything that was written so far.
    pub(super) fn skip(&mut self) {
        self.written = self.pipe.word(AT_WRITTEN).load(Acquire);
        self.read = self.written;
        self.pipe.word(AT_READ).store(self.read, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replicated::gate::tests::folder_of_words;

    #[test]
    fn what_is_written_is_read_in_order_until_it_is_full() {
        let folder = folder_of_words("pipe-full", WORDS);
        let (mut writer, mut reader) = (Writer::new(&folder.words, 0), Reader::new(&folder.words, 0));
        let mut buffer = Vec::new();
        assert!(!reader.pop(&mut buffer));
        // Several times round the ring, with lengths that fit it nowhere.
        for lap in 0..5_u8 {
            let mut count = 0;
            while writer.push(&[lap; 21]) {
                count += 1;
            }
            assert_eq!(count, RING / 4);
            for _ in 0..count {
                assert!(reader.pop(&mut buffer));
                assert_eq!(buffer, [lap; 21]);
            }
            assert!(!reader.pop(&mut buffer));
            assert!(writer.push(&[9; MAX_BYTES]) && reader.pop(&mut buffer));
            assert_eq!(buffer, [9; MAX_BYTES]);
        }
    }

    #[test]
    fn whoever_comes_back_goes_on_where_it_was() {
        let folder = folder_of_words("pipe-again", WORDS);
        let mut buffer = Vec::new();
        Writer::new(&folder.words, 0).push(b"one");
        Writer::new(&folder.words, 0).push(b"two");
        assert!(Reader::new(&folder.words, 0).pop(&mut buffer));
        assert_eq!(buffer, b"one");
        assert!(Reader::new(&folder.words, 0).pop(&mut buffer));
        assert_eq!(buffer, b"two");
        // What was not written to its end was not written.
        let pipe = Pipe { words: folder.words.clone(), begins: 0 };
        pipe.ring(4).store(77, Relaxed);
        assert!(!Reader::new(&folder.words, 0).pop(&mut buffer));
        Writer::new(&folder.words, 0).push(b"three");
        let mut reader = Reader::new(&folder.words, 0);
        reader.skip();
        assert!(!reader.pop(&mut buffer));
        Writer::new(&folder.words, 0).push(b"");
        assert!(reader.pop(&mut buffer) && buffer.is_empty());
    }

    #[test]
    #[should_panic(expected = "and 1056 is the most")]
    fn a_length_is_not_believed() {
        let folder = folder_of_words("pipe-length", WORDS);
        Writer::new(&folder.words, 0).push(b"one");
        Pipe { words: folder.words.clone(), begins: 0 }.ring(0).store(u64::MAX, Relaxed);
        Reader::new(&folder.words, 0).pop(&mut Vec::new());
    }

    #[test]
    fn two_threads_see_whole_words() {
        let folder = folder_of_words("pipe-threads", WORDS);
        let (mut writer, mut reader) = (Writer::new(&folder.words, 0), Reader::new(&folder.words, 0));
        const COUNT: u64 = 50_000;
        std::thread::scope(|scope| {
            scope.spawn(move || {
                for nth in 0..COUNT {
                    let bytes = nth.to_le_bytes().repeat(1 + nth as usize % 9);
                    while !writer.push(&bytes) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut buffer = Vec::new();
            for nth in 0..COUNT {
                while !reader.pop(&mut buffer) {
                    std::thread::yield_now();
                }
                assert_eq!(buffer, nth.to_le_bytes().repeat(1 + nth as usize % 9));
            }
        });
    }
}
