//! [`Native`]: the file system of the operating system. Nothing is cached and
//! nothing is retried, except a call that a signal broke off.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use rustix::fs::FallocateFlags;
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

impl OpenFile for File {
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        use std::os::unix::fs::FileExt;
        let mut written = 0;
        if let [piece] = pieces {
            return self.write_all_at(piece, offset);
        }
        let length = pieces.iter().map(|piece| piece.len()).sum();
        while written < length {
            let left = left_of(pieces, written);
            match pwritev(self, &left[..left.len().min(MAX_PIECES)], offset + written as u64) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
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
