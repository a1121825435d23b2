//! [`Native`]: the file system of the operating system. Nothing is cached and
//! nothing is retried, except a call that a signal broke off, and a write past
//! the system's cache that was refused for its shape.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::{Arc, Once};

use rustix::fs::{FallocateFlags, OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::{Errno, pwritev};

use super::{Files, Held, Lock, OpenFile, left_of};

/// So many pieces go into one call; more are refused by the system.
const MAX_PIECES: usize = 1024;

/// The real files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Native;

impl Files for Native {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(OpenOptions::new().read(true).write(true).open(path)?))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(File::open(path)?))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(folder)? {
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        fs::create_dir(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        // `a` lies in the folder ``, which the system calls `.`.
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        File::open(folder)?.sync_all()
    }

    fn lock(&self, path: &Path, lock: Lock) -> Result<Held, TryLockError> {
        let file = match lock {
            Lock::Alone => OpenOptions::new().write(true).create(true).truncate(false).open(path),
            Lock::ToRead => File::open(path),
        };
        let file = file.map_err(TryLockError::Error)?;
        match lock {
            Lock::Alone => file.try_lock()?,
            Lock::ToRead => file.try_lock_shared()?,
        }
        Ok(Arc::new(file))
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        let told = rustix::fs::statvfs(path)?;
        Ok(told.f_bavail.saturating_mul(told.f_frsize))
    }
}

/// Says it to whoever reads the log of the node: syncs take a little longer, and nothing else is different.
fn tell_once(why: &io::Error) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| tracing::info!(%why, "nothing can be written past the system's cache here: logs go through it"));
}

/// Answers whether writes have gone past the cache until now.
fn go_through_cache(file: &File) -> bool {
    let Ok(flags) = fcntl_getfl(file) else { return false };
    flags.contains(OFlags::DIRECT) && fcntl_setfl(file, flags - OFlags::DIRECT).is_ok()
}

fn write_all(file: &File, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
    use std::os::unix::fs::FileExt;
    let mut written = 0;
    if let [piece] = pieces {
        return file.write_all_at(piece, offset);
    }
    let length = pieces.iter().map(|piece| piece.len()).sum();
    while written < length {
        let left = left_of(pieces, written);
        match pwritev(file, &left[..left.len().min(MAX_PIECES)], offset + written as u64) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

impl OpenFile for File {
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        match write_all(self, pieces, offset) {
            // A device whose blocks are larger than ours refuses before it writes anything.
            Err(error) if error.kind() == ErrorKind::InvalidInput && go_through_cache(self) => {
                tell_once(&error);
                write_all(self, pieces, offset)
            }
            outcome => outcome,
        }
    }

    fn go_past_cache(&self) {
        if let Err(error) = fcntl_getfl(self).and_then(|flags| fcntl_setfl(self, flags | OFlags::DIRECT)) {
            tell_once(&error.into());
        }
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut read = 0;
        while read < buffer.len() {
            match std::os::unix::fs::FileExt::read_at(self, &mut buffer[read..], offset + read as u64) {
                Ok(0) => break,
                Ok(more) => read += more,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.set_len(length)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        match rustix::fs::fallocate(self, FallocateFlags::empty(), 0, length) {
            // Then the file grows as it is written, which only costs time.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            other => Ok(other?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::scratch::Scratch;
    use crate::files::BLOCK;

    #[test]
    fn more_pieces_than_one_call_takes_arrive_in_order() {
        let scratch = Scratch::new();
        let file = Native.create(&scratch.path().join("a")).unwrap();
        let bytes: Vec<u8> = (0..10_000u32).map(|number| number as u8).collect();
        let pieces: Vec<&[u8]> = bytes.chunks(3).collect();
        assert!(pieces.len() > MAX_PIECES);
        file.write_at(&pieces, 7).unwrap();
        let mut read = vec![1; 10_100];
        assert_eq!(file.read_at(&mut read, 0).unwrap(), 10_007);
        assert_eq!((&read[..7], &read[7..10_007]), (&[0; 7][..], &bytes[..]));
    }

    #[test]
    fn what_goes_past_the_cache_arrives_and_what_cannot_goes_through_it() {
        let scratch = Scratch::new();
        let path = scratch.path().join("a");
        let file = Native.create(&path).unwrap();
        file.go_past_cache();
        let memory: Vec<u8> = (0..4 * BLOCK).map(|place| (place / 5) as u8).collect();
        let blocks = &memory[memory.as_ptr().align_offset(BLOCK)..][..3 * BLOCK];
        file.write_at(&[&blocks[..BLOCK], &blocks[BLOCK..2 * BLOCK]], 0).unwrap();
        file.write_at(&[&blocks[2 * BLOCK..]], 2 * BLOCK as u64).unwrap();
        file.sync().unwrap();
        let reader = Native.open_to_read(&path).unwrap();
        let mut read = vec![0; 4 * BLOCK];
        assert_eq!(reader.read_at(&mut read, 0).unwrap(), 3 * BLOCK);
        assert!(read[..3 * BLOCK] == *blocks);
        file.write_at(&[b"no block"], 3).unwrap();
        reader.read_at(&mut read, 0).unwrap();
        assert_eq!((&read[..3], &read[3..11]), (&blocks[..3], &b"no block"[..]));
    }

    #[test]
    fn room_that_is_reserved_reads_as_zeros() {
        let scratch = Scratch::new();
        let file = Native.create(&scratch.path().join("a")).unwrap();
        file.reserve(4096).unwrap();
        assert!([0, 4096].contains(&file.length().unwrap()), "all, or nothing where that cannot be had");
        assert!(Native.free(scratch.path()).unwrap() > 0);
    }

    #[test]
    fn a_lock_keeps_others_out_until_it_is_dropped() {
        let scratch = Scratch::new();
        let path = scratch.path().join("lock");
        assert!(matches!(Native.lock(&path, Lock::ToRead), Err(TryLockError::Error(_))), "there is none");
        let held = Native.lock(&path, Lock::Alone).unwrap();
        assert!(matches!(Native.lock(&path, Lock::Alone), Err(TryLockError::WouldBlock)));
        assert!(matches!(Native.lock(&path, Lock::ToRead), Err(TryLockError::WouldBlock)));
        drop(held);
        let reader = Native.lock(&path, Lock::ToRead).unwrap();
        assert!(Native.lock(&path, Lock::ToRead).is_ok());
        assert!(matches!(Native.lock(&path, Lock::Alone), Err(TryLockError::WouldBlock)));
        drop(reader);
    }
}
