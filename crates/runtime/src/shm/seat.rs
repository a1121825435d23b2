//! [`Seat`]: who runs a replica. A process that has it keeps it until it dies,
//! however it dies; meanwhile nobody else gets it.
//!
//! The lock lies on a file beside the memory, since the memory may be lost and
//! made anew while its replica runs.

use std::fs::{File, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use super::{Process, ShmError, file, tie};

/// Somebody may remove the file of a lock between our opening and locking it, once. More often is no chance.
const ATTEMPTS: usize = 8;

/// What is in the file of a lock is for people: a number, and never longer.
const MAX_NOTE: usize = 64;

/// The right to run one replica, for as long as it is kept.
#[derive(Debug)]
pub struct Seat {
    replica: usize,
    holder: Process,
    /// The lock goes with the file, and the file goes with the process.
    lock: File,
}

impl Seat {
    /// Takes the seat of a replica by the lock at `path`. `folder` is what messages call the set.
    pub(super) fn take(path: &Path, folder: &Path, replica: usize) -> Result<Seat, ShmError> {
        let holder = Process::own()?;
        for _ in 0..ATTEMPTS {
            let lock = file::open_lock(path)?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(ShmError::Taken { path: folder.to_owned(), replica, pid: holder_of(&lock) });
                }
                Err(TryLockError::Error(error)) => return Err(ShmError::system("lock", path)(error)),
            }
            // Whoever comes next would lock another file.
            if !file::is_at(&lock, path) {
                continue;
            }
            let note = format!("process {}\n", holder.pid);
            let noted = lock.set_len(0).and_then(|()| lock.write_all_at(note.as_bytes(), 0));
            noted.map_err(ShmError::system("write to", path))?;
            return Ok(Seat { replica, holder, lock });
        }
        Err(ShmError::Vanishing { path: path.to_owned() })
    }

    /// Which replica.
    pub fn replica(&self) -> usize {
        self.replica
    }

    /// Who has it: this process.
    pub(super) fn holder(&self) -> Process {
        self.holder
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        tie::untie();
        // A program that was being started at this moment may have the file, too, and would keep the lock a little.
        let _ = self.lock.unlock();
    }
}

/// Where the lock of a replica is.
pub(super) fn path_of(folder: &Path, replica: usize) -> PathBuf {
    folder.join(format!("replica-{replica}.lock"))
}

/// Who has noted that it has the lock. Nobody may have, in the moment after it was taken.
fn holder_of(lock: &File) -> Option<u32> {
    let mut note = [0; MAX_NOTE];
    let length = lock.read_at(&mut note, 0).ok()?;
    str::from_utf8(&note[..length]).ok()?.strip_prefix("process ")?.trim_end().parse().ok()
}
