//! [`Faulty`]: a file system with faults, in front of another one. They are
//! planned, or struck while it is in use. It never invents bytes: it refuses,
//! it writes less than it was given, or it is slow.

use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
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

/// What goes wrong from one moment to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Strike {
    /// The disk has no room for anything more.
    Full,
    /// The next sync of a file fails. Later ones succeed, as above.
    FailingSync,
    /// Of the next write, the first half gets to the file.
    TornWrite,
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
    is_full: AtomicBool,
    fails_sync: AtomicBool,
    tears_write: AtomicBool,
}

impl Faulty {
    /// The files of `inner`, with these faults.
    pub fn new(inner: Arc<dyn Files>, faults: Faults) -> Faulty {
        let (syncs, bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let (is_full, fails_sync, tears_write) =
            (AtomicBool::new(false), AtomicBool::new(false), AtomicBool::new(false));
        Faulty { inner, plan: Arc::new(Plan { faults, syncs, bytes, is_full, fails_sync, tears_write }) }
    }

    /// This goes wrong from now on.
    pub fn strike(&self, strike: Strike) {
        let switch = match strike {
            Strike::Full => &self.plan.is_full,
            Strike::FailingSync => &self.plan.fails_sync,
            Strike::TornWrite => &self.plan.tears_write,
        };
        switch.store(true, Relaxed);
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
        if self.plan.tears_write.swap(false, Relaxed) {
            self.inner.write_at(&first_of(pieces, length as usize / 2), offset)?;
            return Err(io::Error::other("this write was told to tear"));
        }
        let before = self.plan.bytes.fetch_add(length, Relaxed);
        let has_no_room = |limit: u64| before.saturating_add(length) > limit;
        if self.plan.is_full.load(Relaxed) || self.plan.faults.full_after_bytes.is_some_and(has_no_room) {
            return Err(ErrorKind::StorageFull.into());
        }
        self.inner.write_at(pieces, offset)
    }

    fn go_past_cache(&self) {
        self.inner.go_past_cache();
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
        if self.plan.fails_sync.swap(false, Relaxed) || self.plan.faults.failing_sync == Some(nth) {
            return Err(io::Error::other("this sync was told to fail"));
        }
        self.inner.sync()
    }
}

/// The pieces up to this many bytes.
fn first_of<'a>(pieces: &[&'a [u8]], mut left: usize) -> Vec<&'a [u8]> {
    let mut first = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let taken = left.min(piece.len());
        left -= taken;
        first.push(&piece[..taken]);
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;

    #[test]
    fn faults_strike_while_it_is_in_use() {
        let files = Faulty::new(Arc::new(Ram::default()), Faults::default());
        let file = files.create(Path::new("a")).unwrap();
        file.write_at(&[b"ab"], 0).unwrap();
        files.strike(Strike::FailingSync);
        assert!(file.sync().is_err() && file.sync().is_ok());
        files.strike(Strike::TornWrite);
        assert!(file.write_at(&[b"c", b"def"], 2).is_err());
        assert_eq!(file.length().unwrap(), 4, "half of it was written");
        file.write_at(&[b"cdef"], 2).unwrap();
        files.strike(Strike::Full);
        for _ in 0..2 {
            assert_eq!(file.write_at(&[b"g"], 6).unwrap_err().kind(), ErrorKind::StorageFull);
        }
    }

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
