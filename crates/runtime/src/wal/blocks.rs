//! [`Blocks`]: the end of a segment that goes to the disk past the cache of
//! the system, and therefore in whole blocks, of memory that begins as a block
//! does. It is written with zeros ahead: behind the log in its last block,
//! which is written again with whatever comes next, and in blocks of their
//! own. Room that was only reserved has to be noted by the file system as
//! written when something is, and that note is a second write of every sync.
//!
//! It syncs nothing, and has no idea what it writes.

use std::io;

use crate::files::{BLOCK, OpenFile};

/// So many bytes go into one write at most, besides zeros.
const ROOM: usize = 1 << 20;

/// So many zeros are written at once: a sync every now and then takes a little longer, and all others a third less.
pub(crate) const AHEAD: usize = 256 << 10;

#[repr(align(4096))]
struct Zeros([u8; AHEAD]);

static ZEROS: Zeros = Zeros([0; AHEAD]);

/// What is written of a segment, and where it goes on.
#[derive(Debug)]
pub(crate) struct Blocks {
    /// Room for a write, and before it what it takes to begin as a block does.
    memory: Vec<u8>,
    begin: usize,
    /// So many bytes are in it: those of the last block that was written, and what came since.
    length: usize,
    /// Where in the file the first of them lies.
    offset: u64,
    /// Up to here everything has been written, if only with zeros.
    written: u64,
    /// Zeros are written up to here at most.
    limit: u64,
}

impl Blocks {
    /// A segment that begins with this header, which is written together with what comes next.
    pub(crate) fn new(header: &[u8], limit: u64) -> Blocks {
        let memory = vec![0; ROOM + BLOCK];
        let begin = memory.as_ptr().align_offset(BLOCK);
        let limit = limit.next_multiple_of(BLOCK as u64);
        let mut blocks = Blocks { memory, begin, length: 0, offset: 0, written: 0, limit };
        blocks.take(header);
        blocks
    }

    /// Writes these pieces, one behind the other.
    pub(crate) fn write<'a>(&mut self, file: &dyn OpenFile, pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<()> {
        for mut piece in pieces {
            while !piece.is_empty() {
                if self.length == ROOM {
                    self.flush(file, 0)?;
                }
                piece = self.take(piece);
            }
        }
        self.flush(file, AHEAD as u64)
    }

    /// Takes as much as there is room for, and answers what is left.
    fn take<'a>(&mut self, piece: &'a [u8]) -> &'a [u8] {
        let (now, later) = piece.split_at(piece.len().min(ROOM - self.length));
        self.memory[self.begin + self.length..][..now.len()].copy_from_slice(now);
        self.length += now.len();
        later
    }

    /// Writes what was taken. If that gets to where nothing has been written, so many zeros go behind it.
    fn flush(&mut self, file: &dyn OpenFile, ahead: u64) -> io::Result<()> {
        let bytes = &mut self.memory[self.begin..][..self.length.next_multiple_of(BLOCK)];
        bytes[self.length..].fill(0);
        let end = self.offset + bytes.len() as u64;
        let zeros = if end > self.written { ahead.min(self.limit.saturating_sub(end)) } else { 0 };
        if zeros == 0 {
            file.write_at(&[bytes], self.offset)?;
        } else {
            file.write_at(&[bytes, &ZEROS.0[..zeros as usize]], self.offset)?;
        }
        self.written = self.written.max(end + zeros);
        let whole = self.length - self.length % BLOCK;
        bytes.copy_within(whole..self.length, 0);
        (self.offset, self.length) = (self.offset + whole as u64, self.length - whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::{Files, Ram};
    use std::path::Path;
    use std::sync::Arc;

    fn contents(file: &Arc<dyn OpenFile>) -> Vec<u8> {
        let mut bytes = vec![0; file.length().unwrap() as usize];
        file.read_at(&mut bytes, 0).unwrap();
        bytes
    }

    #[test]
    fn what_is_written_is_there_and_nothing_but_zeros_behind_it() {
        let file = Ram::default().create(Path::new("a")).unwrap();
        file.go_past_cache();
        let mut expected = b"header".to_vec();
        let mut blocks = Blocks::new(&expected, 9 << 20);
        let lengths = [1, BLOCK - 7, 0, 1, BLOCK, 3 * BLOCK - 1, 90, ROOM - 100, 10, ROOM, 2 * ROOM + 5, 1, 70_000, 3];
        for (nth, length) in lengths.into_iter().enumerate() {
            let (one, other) = (vec![nth as u8 + 1; length], vec![100 + nth as u8; length / 3]);
            blocks.write(&*file, [&one[..], &other[..]].into_iter()).unwrap();
            expected.extend(one.into_iter().chain(other));
            let found = contents(&file);
            assert!(found[..expected.len()] == expected, "after write {nth}");
            assert!(crate::files::is_blank(&found[expected.len()..]), "behind write {nth}");
        }
    }

    #[test]
    fn zeros_go_ahead_and_only_when_the_log_gets_there() {
        let ram = Ram::default();
        let file = ram.create(Path::new("a")).unwrap();
        let limit = 3 * AHEAD as u64 - 100;
        file.set_length(limit.next_multiple_of(BLOCK as u64)).unwrap();
        let mut blocks = Blocks::new(&[1; 64], limit);
        // What lies ahead is made to differ, to see whether it is written over.
        let mark =
            || ram.edit(Path::new("a"), |bytes| bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 9));
        let ahead = || contents(&file).iter().rev().take_while(|byte| **byte == 9).count();
        let mut write = |length| blocks.write(&*file, [&vec![1; length][..]].into_iter()).unwrap();
        write(300);
        mark();
        let before = ahead();
        assert_eq!(before, 3 * AHEAD - 364, "all of them");
        write(5000);
        assert_eq!(ahead(), 3 * AHEAD - 2 * BLOCK, "there were zeros enough");
        write(AHEAD - BLOCK);
        assert_eq!(ahead(), 3 * AHEAD - (AHEAD + BLOCK), "up to the last block that had some");
        write(BLOCK);
        assert_eq!(ahead(), 3 * AHEAD - (2 * AHEAD + 2 * BLOCK), "and now as many more");
        write(AHEAD + BLOCK);
        assert_eq!(ahead(), 0, "and to the end of the segment");
        assert_eq!(file.length().unwrap(), 3 * AHEAD as u64, "but not beyond");
    }
}
