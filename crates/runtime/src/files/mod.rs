//! [`Files`]: all that the log and the data directory ask of a file system, as
//! one small trait, so that a faulty one can stand in for the real one. It has
//! no idea what the files hold, and retries nothing.

mod failure;
mod faulty;
mod native;
mod ram;

use std::any::Any;
use std::fmt::Debug;
use std::fs::TryLockError;
use std::io::{self, IoSlice};
use std::path::Path;
use std::sync::Arc;

pub use failure::{Failure, Operation};
pub use faulty::{Faults, Faulty, Strike};
pub use native::Native;
pub use ram::{Crash, Ram};

/// What goes past the cache begins and ends at multiples of this many bytes.
pub const BLOCK: usize = 4096;

/// Who else may hold a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lock {
    /// Nobody. The file to lock is created when there is none.
    Alone,
    /// Others that only read. The file must be there.
    ToRead,
}

/// Kept for as long as something stays locked.
pub type Held = Arc<dyn Any + Send + Sync>;

/// A file system.
pub trait Files: Debug + Send + Sync {
    /// Creates a file that is not there yet, to be read and written.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;

    /// Opens a file that is there, to be read and written.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;

    /// Opens a file that is there, to be read.
    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>>;

    /// The names in a folder, in no order. Names that are no text are left out: we write none.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// Creates a folder in one that is there.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// Gives a file or a folder another name, in place of what has it.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Locks a file until the answer is dropped.
    fn lock(&self, path: &Path, lock: Lock) -> Result<Held, TryLockError>;

    /// How many bytes are free where the path lies.
    fn free(&self, path: &Path) -> io::Result<u64>;
}

/// A file that is open. It has no cursor, so threads can share it.
pub trait OpenFile: Debug + Send + Sync {
    /// Writes all these bytes, one piece behind the other.
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()>;

    /// Lets writes go past the cache of the system from now on, where that can be had; they still have to be synced.
    /// Each piece has to begin and end where a [`BLOCK`] does, in the file and in memory. Whoever wants to read opens
    /// the file again.
    fn go_past_cache(&self);

    /// Fills the buffer from the file; answers how much of it, which is less only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// How long the file is.
    fn length(&self) -> io::Result<u64>;

    /// Cuts the file, or lengthens it with zeros.
    fn set_length(&self, length: u64) -> io::Result<()>;

    /// Takes room for this many bytes, which read as zeros; does nothing where that cannot be had.
    fn reserve(&self, length: u64) -> io::Result<()>;

    /// Makes the contents and the length durable.
    fn sync(&self) -> io::Result<()>;
}

/// Whether all these bytes are zero.
pub(crate) fn is_blank(bytes: &[u8]) -> bool {
    // In words, so that the zeros of a whole segment take no time.
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|word| *word == [0; 8]) && rest.iter().all(|byte| *byte == 0)
}

/// The pieces behind the first `written` bytes.
fn left_of<'a>(pieces: &[&'a [u8]], mut written: usize) -> Vec<IoSlice<'a>> {
    let mut left = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let skipped = written.min(piece.len());
        written -= skipped;
        if skipped < piece.len() {
            left.push(IoSlice::new(&piece[skipped..]));
        }
    }
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_left_out() {
        let pieces: [&[u8]; 4] = [b"abc", b"", b"de", b"f"];
        let left = |written| left_of(&pieces, written).iter().flat_map(|piece| piece.to_vec()).collect::<Vec<_>>();
        assert_eq!([left(0), left(2), left(3), left(4), left(6)], [&b"abcdef"[..], b"cdef", b"def", b"ef", b""]);
    }

    #[test]
    fn blank_is_only_what_is_all_zero() {
        assert!(is_blank(&[]) && is_blank(&[0; 21]));
        for place in 0..21 {
            let mut bytes = [0; 21];
            bytes[place] = 1;
            assert!(!is_blank(&bytes));
        }
    }
}
