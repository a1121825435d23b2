//! [`Faulty`]: a file system with planned faults, in front of another one. It
//! never invents bytes: it refuses, or it is slow.

use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::{Files, Held, Lock, OpenFile};

/// What goes wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// This sync of a file fails, counted from 1. Later ones succeed, so whoever retries is found out.
    pub failing_sync: Option<u64>,
    /// The disk is full after so many bytes.
    pub full_after_bytes: Option<u64>,
    /// Every sync of a file takes so much longer.
    pub sync_delay: Duration,
}

/// Another file system, with faults.
#[derive(Clone, Debug)]
pub struct Faulty {
    inner: Arc<dyn Files>,
    plan: Arc<Plan>,
}

#[derive(Debug)]
struct Plan {
    faults: Faults,
    syncs: AtomicU64,
    bytes: AtomicU64,
}

impl Faulty {
    /// The files of `inner`, with these faults.
    pub fn new(inner: Arc<dyn Files>, faults: Faults) -> Faulty {
        Faulty { inner, plan: Arc::new(Plan { faults, syncs: AtomicU64::new(0), bytes: AtomicU64::new(0) }) }
    }

    /// How many syncs of files were asked for.
    pub fn syncs(&self) -> u64 {
        self.plan.syncs.load(Relaxed)
    }

    fn wrap(&self, file: io::Result<Arc<dyn OpenFile>>) -> io::Result<Arc<dyn OpenFile>> {
        Ok(Arc::new(FaultyFile { inner: file?, plan: self.plan.clone() }))
    }
}

impl Files for Faulty {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.wrap(self.inner.create(path))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.wrap(self.inner.open(path))
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.wrap(self.inner.open_to_read(path))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        self.inner.list(folder)
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.inner.create_folder(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.inner.sync_folder(folder)
    }

    fn lock(&self, path: &Path, lock: Lock) -> Result<Held, TryLockError> {
        self.inner.lock(path, lock)
    }

    fn free(&self, path: &Path) -> io::Result<u64> {
        self.inner.free(path)
    }
}

#[derive(Debug)]
struct FaultyFile {
    inner: Arc<dyn OpenFile>,
    plan: Arc<Plan>,
}

impl OpenFile for FaultyFile {
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let length = pieces.iter().map(|piece| piece.len() as u64).sum();
        let before = self.plan.bytes.fetch_add(length, Relaxed);
        if self.plan.faults.full_after_bytes.is_some_and(|limit| before.saturating_add(length) > limit) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.inner.write_at(pieces, offset)
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.inner.length()
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.inner.set_length(length)
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        self.inner.reserve(length)
    }

    fn sync(&self) -> io::Result<()> {
        std::thread::sleep(self.plan.faults.sync_delay);
        let nth = self.plan.syncs.fetch_add(1, Relaxed) + 1;
        if self.plan.faults.failing_sync == Some(nth) {
            return Err(io::Error::other("this sync was told to fail"));
        }
        self.inner.sync()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;

    #[test]
    fn faults_come_where_they_were_planned() {
        let faults = Faults { failing_sync: Some(2), full_after_bytes: Some(5), sync_delay: Duration::ZERO };
        let files = Faulty::new(Arc::new(Ram::default()), faults);
        let file = files.create(Path::new("a")).unwrap();
        assert!(file.sync().is_ok() && file.sync().is_err() && file.sync().is_ok());
        assert_eq!(files.syncs(), 3);
        file.write_at(&[b"abc"], 0).unwrap();
        assert_eq!(file.write_at(&[b"d", b"ef"], 3).unwrap_err().kind(), ErrorKind::StorageFull);
        assert_eq!(file.length().unwrap(), 3);
    }
}
