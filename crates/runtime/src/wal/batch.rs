//! [`Batch`]: the records of one commit, as the bytes that go to the disk, and
//! how to read them back. The header says how long the rest is, which records
//! it holds, and up to where everything was synced when it was written, and
//! has a checksum of its own, so that it can be believed when what follows it
//! cannot.
//!
//! | offset | | |
//! |---|---|---|
//! | 0 | 4 | `SKB1` |
//! | 4 | 4 | length of the body |
//! | 8 | 8 | number of the first record |
//! | 16 | 4 | how many numbers it takes |
//! | 20 | 4 | 1 if the first is that of a checkpoint, which lies in a file of its own |
//! | 24 | 8 | everything up to this number was synced |
//! | 32 | 4 | checksum of the body |
//! | 36 | 4 | checksum of the header |
//!
//! The body is, for each record, its length in four bytes and the record.
//! All numbers are little-endian. This file never reads or writes a file.

use bytes::Bytes;

use super::MAX_RECORD;

/// How long a header is.
pub(crate) const HEADER: usize = 40;

/// What every header begins with.
pub(crate) const MAGIC: [u8; 4] = *b"SKB1";

const LENGTH: usize = 4;

/// Records that are written together.
#[derive(Debug)]
pub(crate) struct Batch {
    /// The header, which is blank until the batch is sealed, and the body.
    bytes: Vec<u8>,
    pub(crate) first: u64,
    count: u32,
    begins_with_checkpoint: bool,
}

impl Batch {
    /// An empty batch in an old buffer; its first record will have this number.
    pub(crate) fn new(mut buffer: Vec<u8>, first: u64) -> Batch {
        buffer.clear();
        buffer.resize(HEADER, 0);
        Batch { bytes: buffer, first, count: 0, begins_with_checkpoint: false }
    }

    /// A batch of which nobody knows whether it makes sense, for [`examine`](super::examine).
    pub(crate) fn forged(first: u64, count: u32, body: &[u8]) -> Batch {
        let mut batch = Batch::new(Vec::new(), first);
        batch.bytes.extend_from_slice(body);
        Batch { count, ..batch }
    }

    /// Empties it; its first record will have this number.
    pub(crate) fn restart(&mut self, first: u64) {
        *self = Batch::new(std::mem::take(&mut self.bytes), first);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// How many bytes go to the disk.
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The number of its last record.
    pub(crate) fn last(&self) -> u64 {
        self.first + u64::from(self.count) - 1
    }

    /// Lets `encode` write a record at the end.
    pub(crate) fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[0; LENGTH]);
        encode(&mut self.bytes);
        let length = self.bytes.len().checked_sub(start + LENGTH).expect("a record only appends");
        assert!(length <= MAX_RECORD, "a record of {length} bytes is longer than {MAX_RECORD}");
        self.bytes[start..][..LENGTH].copy_from_slice(&(length as u32).to_le_bytes());
        self.count += 1;
    }

    /// Takes a number for a record that nobody will read.
    pub(crate) fn count(&mut self) -> u64 {
        self.count += 1;
        self.last()
    }

    /// Takes a number for a checkpoint, which lies in a file of its own.
    pub(crate) fn mark_checkpoint(&mut self) {
        // A log is cut between batches, and where a checkpoint is missing it is cut.
        assert!(self.is_empty(), "a checkpoint begins a batch");
        self.begins_with_checkpoint = true;
        self.count = 1;
    }

    /// Completes the header, when the batch is about to be written.
    pub(crate) fn seal(&mut self, seed: u32, synced: u64) {
        let (header, body) = self.bytes.split_at_mut(HEADER);
        let length = u32::try_from(body.len()).expect("a batch is one record longer than its limit at most");
        header[0..4].copy_from_slice(&MAGIC);
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..16].copy_from_slice(&self.first.to_le_bytes());
        header[16..20].copy_from_slice(&self.count.to_le_bytes());
        header[20..24].copy_from_slice(&u32::from(self.begins_with_checkpoint).to_le_bytes());
        header[24..32].copy_from_slice(&synced.to_le_bytes());
        header[32..36].copy_from_slice(&crc32c::crc32c_append(seed, body).to_le_bytes());
        let checksum = crc32c::crc32c_append(seed, &header[..36]);
        header[36..40].copy_from_slice(&checksum.to_le_bytes());
    }

    /// What [`seal`](Batch::seal) completed.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The buffer, for another batch.
    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.bytes
    }
}

/// What a header says, once its checksum matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// How long the body is.
    pub(crate) length: u32,
    pub(crate) first: u64,
    pub(crate) count: u32,
    pub(crate) begins_with_checkpoint: bool,
    pub(crate) synced: u64,
    checksum: u32,
}

impl Header {
    /// The header at the front of these bytes, if there is one.
    pub(crate) fn read(bytes: &[u8], seed: u32) -> Option<Header> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let u32_at = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
        let u64_at = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if bytes[0..4] != MAGIC || crc32c::crc32c_append(seed, &bytes[..36]) != u32_at(36) {
            return None;
        }
        Some(Header {
            length: u32_at(4),
            first: u64_at(8),
            count: u32_at(16),
            begins_with_checkpoint: u32_at(20) == 1,
            synced: u64_at(24),
            checksum: u32_at(32),
        })
    }

    /// Takes the records out of a body; a sentence about what is wrong with it if they are not whole.
    pub(crate) fn records(
        &self,
        body: &Bytes,
        seed: u32,
        mut take: impl FnMut(u64, Bytes),
    ) -> Result<(), &'static str> {
        if crc32c::crc32c_append(seed, body) != self.checksum {
            return Err("whose checksum matches");
        }
        self.for_each(body, |_, _| {})?;
        // Nothing is handed out before all of it is known to be sound.
        self.for_each(body, |number, range| take(number, body.slice(range)))
    }

    fn for_each(&self, body: &[u8], mut each: impl FnMut(u64, std::ops::Range<usize>)) -> Result<(), &'static str> {
        const UNSOUND: Result<(), &str> = Err("whose records fill it");
        let mut at = 0;
        for nth in u32::from(self.begins_with_checkpoint)..self.count {
            let Some(length) = body.get(at..).and_then(|left| left.first_chunk()) else { return UNSOUND };
            let (start, length) = (at + LENGTH, u32::from_le_bytes(*length) as usize);
            if length > MAX_RECORD || length > body.len() - start {
                return UNSOUND;
            }
            at = start + length;
            each(self.first.saturating_add(u64::from(nth)), start..at);
        }
        if at == body.len() { Ok(()) } else { UNSOUND }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> Vec<u8> {
        let mut batch = Batch::new(Vec::new(), 7);
        batch.mark_checkpoint();
        for record in ["one", "", "three"] {
            batch.append(|buffer| buffer.extend_from_slice(record.as_bytes()));
        }
        assert_eq!(batch.last(), 10);
        batch.seal(99, 5);
        batch.into_buffer()
    }

    fn read(bytes: &[u8], seed: u32) -> Option<Vec<(u64, Bytes)>> {
        let (header, mut records) = (Header::read(bytes, seed)?, Vec::new());
        let body = Bytes::copy_from_slice(bytes.get(HEADER..HEADER + header.length as usize)?);
        header.records(&body, seed, |number, record| records.push((number, record))).ok()?;
        Some(records)
    }

    #[test]
    fn what_was_sealed_is_read() {
        let bytes = sealed();
        let header = Header::read(&bytes, 99).unwrap();
        assert_eq!((header.first, header.count, header.synced, header.begins_with_checkpoint), (7, 4, 5, true));
        let records = read(&bytes, 99).unwrap();
        assert_eq!(records, [(8, "one".into()), (9, "".into()), (10, "three".into())]);
    }

    #[test]
    fn no_bit_of_it_can_change_unnoticed() {
        let bytes = sealed();
        for place in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[place / 8] ^= 1 << (place % 8);
            assert_eq!(read(&flipped, 99), None, "bit {place}");
        }
        assert_eq!(read(&bytes, 98), None, "of another segment");
        assert!((0..bytes.len()).all(|length| read(&bytes[..length], 99).is_none()));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused_even_with_a_right_checksum() {
        for (count, body) in [(2, &[1, 0, 0, 0, 9][..]), (1, &[2, 0, 0, 0, 9]), (1, &[0, 0, 0, 0, 9]), (1, &[255; 9])] {
            let checksum = crc32c::crc32c_append(99, body);
            let length = body.len() as u32;
            let header = Header { length, first: u64::MAX, count, begins_with_checkpoint: false, synced: 0, checksum };
            assert!(header.records(&Bytes::copy_from_slice(body), 99, |_, _| panic!("handed out")).is_err());
        }
    }
}
