//! [`Input`]: what was read of a stream and not consumed. Room grows as bytes
//! come, never because of what they announce. This file knows no sockets.

use std::fmt;

use crate::tls::Room;

/// So much is read at once, as a rule.
pub(super) const READ: usize = 64 << 10;

/// So much at once of what is long: fewer reads, and still soon the next one's turn.
const READ_LONG: usize = 256 << 10;

/// With less room than this it grows: reads of a few bytes cost as much as others.
const LEAST_ROOM: usize = 16 << 10;

/// What was read and not consumed, in the order in which it came.
#[derive(Default)]
pub struct Input {
    bytes: Vec<u8>,
    /// What was read and not consumed lies between these.
    start: usize,
    end: usize,
}

impl Input {
    /// These bytes and no others, for whoever hands in what no socket gave.
    pub fn of(bytes: &[u8]) -> Input {
        Input { bytes: bytes.to_vec(), start: 0, end: bytes.len() }
    }

    /// All that is there.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The first so many bytes are done with.
    pub fn consume(&mut self, count: usize) {
        assert!(count <= self.len(), "{count} bytes are consumed where {} are", self.len());
        self.start += count;
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// Whether none are.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Puts bytes behind the others.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[self.end..end].copy_from_slice(bytes);
        self.end = end;
    }

    /// Nothing is there any more. The room stays for the next, unless it has grown.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > 2 * READ {
            *self = Input::default();
        }
    }

    /// The same bytes in no more room than they are worth.
    pub(super) fn tidy(self) -> Input {
        if self.len() < self.bytes.capacity() / 4 { Input::of(self.bytes()) } else { self }
    }
}

impl Room for Input {
    fn room(&mut self) -> &mut [u8] {
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
        if self.bytes.len() - self.end < LEAST_ROOM {
            // Not before half of it was consumed: then each byte is moved once, on the whole.
            if self.start > self.end / 2 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            }
            // Only this is touched. The vector may reserve twice as much, which costs nothing until it is.
            let wanted = self.end + self.len().clamp(READ, READ_LONG);
            if self.bytes.len() < wanted {
                self.bytes.resize(wanted, 0);
            }
        }
        let end = self.bytes.len().min(self.end + READ_LONG);
        &mut self.bytes[self.end..end]
    }

    fn read(&mut self, count: usize) {
        self.end += count;
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Input({} bytes)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is read in whatever pieces, and consumed in whatever others, comes out as it went in.
        #[test]
        fn bytes_come_out_as_they_went_in(steps in prop::collection::vec((0..50_000_usize, 0..60_000_usize, any::<bool>()), 1..60)) {
            let (mut input, mut next, mut first) = (Input::default(), 0_u32, 0_u32);
            for (reads, consumes, tidies) in steps {
                let room = input.room();
                prop_assert!(room.len() >= LEAST_ROOM);
                let reads = reads.min(room.len());
                for byte in &mut room[..reads] {
                    *byte = (next % 251) as u8;
                    next += 1;
                }
                input.read(reads);
                let consumes = consumes.min(input.len());
                for byte in &input.bytes()[..consumes] {
                    prop_assert_eq!(u32::from(*byte), first % 251);
                    first += 1;
                }
                input.consume(consumes);
                prop_assert_eq!(input.len(), (next - first) as usize);
                if tidies {
                    input = input.tidy();
                }
                prop_assert!(input.bytes.len() <= 4 * input.len() + 4 * READ_LONG, "{} for {}", input.bytes.len(), input.len());
            }
        }
    }

    #[test]
    #[should_panic(expected = "2 bytes are consumed where 1 are")]
    fn nobody_consumes_what_is_not_there() {
        Input::of(b"x").consume(2);
    }
}
