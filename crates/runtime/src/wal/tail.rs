//! [`Tail`]: the end of the log, where batches are written. It opens one
//! segment after the other, and syncs none: it says which it touched.
//!
//! A log that is synced all the time goes past the cache of the system
//! (`blocks.rs`), one that is not goes through it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use skein_machine::wire::Version;

use super::batch::Batch;
use super::blocks::Blocks;
use super::segment::{HEADER, Header, Kind, seed, segment_name};
use crate::data::Identity;
use crate::files::{Failure, Files, OpenFile, Operation};

/// A segment that is open. Threads share it: one writes, another may sync.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    pub(crate) number: u64,
    pub(crate) first: u64,
    path: PathBuf,
    file: Arc<dyn OpenFile>,
    name_is_durable: AtomicBool,
}

/// Where the next batch goes.
#[derive(Debug)]
pub(crate) struct Tail {
    files: Arc<dyn Files>,
    folder: PathBuf,
    identity: Identity,
    version: Version,
    capacity: u64,
    goes_past_cache: bool,
    next_number: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    segment: Arc<OpenSegment>,
    seed: u32,
    offset: u64,
    limit: u64,
    /// If it goes past the cache.
    blocks: Option<Box<Blocks>>,
}

impl Tail {
    /// The end of a log whose next segment has this number. It is created with the first batch.
    pub(crate) fn new(
        files: Arc<dyn Files>,
        folder: PathBuf,
        identity: Identity,
        version: Version,
        capacity: u64,
        next: u64,
    ) -> Tail {
        Tail { files, folder, identity, version, capacity, goes_past_cache: false, next_number: next, open: None }
    }

    /// The same, past the cache.
    pub(crate) fn past_cache(self) -> Tail {
        Tail { goes_past_cache: true, ..self }
    }

    /// Writes these batches, and adds the segments that have to be synced for it.
    pub(crate) fn write(
        &mut self,
        mut batches: &mut [Batch],
        synced: u64,
        touched: &mut Vec<Arc<OpenSegment>>,
    ) -> Result<(), Failure> {
        while let Some(first) = batches.first() {
            let (number, length) = (first.first, first.len() as u64);
            let open = match self.open.take() {
                Some(open) if open.offset + length <= open.limit => open,
                _ => self.begin_segment(number, length)?,
            };
            let open = self.open.insert(open);
            if touched.last().is_none_or(|last| !Arc::ptr_eq(last, &open.segment)) {
                touched.push(open.segment.clone());
            }
            let (now, later) = batches.split_at_mut(open.how_many_fit(batches));
            let written = open.write(now, synced);
            written.map_err(Failure::of(&*self.files, Operation::Write, &open.segment.path))?;
            batches = later;
        }
        Ok(())
    }

    fn begin_segment(&mut self, first: u64, length: u64) -> Result<Open, Failure> {
        let number = self.next_number;
        let path = self.folder.join(segment_name(number));
        let file = self.files.create(&path).map_err(Failure::of(&*self.files, Operation::Create, &path))?;
        // A batch that is longer than any segment gets one of its own size.
        let limit = self.capacity.max(HEADER as u64 + length);
        let header = Header { kind: Kind::Segment, version: self.version, size: number, record: first };
        let header = header.to_bytes(&self.identity);
        let blocks = self.goes_past_cache.then(|| Box::new(Blocks::new(&header, limit)));
        let prepared = file.reserve(limit).and_then(|()| {
            // Blocks keep the header until something comes behind it.
            if blocks.is_none() { file.write_at(&[&header], 0) } else { Ok(()) }
        });
        prepared.map_err(Failure::of(&*self.files, Operation::Write, &path))?;
        if blocks.is_some() {
            file.go_past_cache();
        }
        self.next_number += 1;
        let seed = seed(Kind::Segment, number, &self.identity);
        let segment = OpenSegment { number, first, path, file, name_is_durable: AtomicBool::new(false) };
        Ok(Open { segment: Arc::new(segment), seed, offset: HEADER as u64, limit, blocks })
    }
}

impl Open {
    fn how_many_fit(&self, batches: &[Batch]) -> usize {
        let mut end = self.offset;
        let fits = |batch: &&Batch| {
            end += batch.len() as u64;
            end <= self.limit
        };
        batches.iter().take_while(fits).count()
    }

    fn write(&mut self, batches: &mut [Batch], synced: u64) -> std::io::Result<()> {
        batches.iter_mut().for_each(|batch| batch.seal(self.seed, synced));
        let (file, bytes) = (&*self.segment.file, batches.iter().map(Batch::bytes));
        match &mut self.blocks {
            Some(blocks) => blocks.write(file, bytes)?,
            None => file.write_at(&bytes.collect::<Vec<_>>(), self.offset)?,
        }
        self.offset += batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        Ok(())
    }
}

/// Syncs these segments, oldest first, and their names if they are new.
pub(crate) fn sync(files: &dyn Files, folder: &Path, segments: &[Arc<OpenSegment>]) -> Result<(), Failure> {
    for segment in segments {
        segment.file.sync().map_err(Failure::of(files, Operation::Sync, &segment.path))?;
    }
    if segments.iter().any(|segment| !segment.name_is_durable.load(Relaxed)) {
        files.sync_folder(folder).map_err(Failure::of(files, Operation::Sync, folder))?;
        segments.iter().for_each(|segment| segment.name_is_durable.store(true, Relaxed));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;
    use skein_machine::wire::VERSION;
    use skein_machine::{ClusterId, ProcessId};

    fn batch(first: u64, length: usize) -> Batch {
        let mut batch = Batch::new(Vec::new(), first);
        batch.append(|buffer| buffer.extend(std::iter::repeat_n(1, length)));
        batch
    }

    #[test]
    fn a_batch_goes_where_it_fits() {
        let identity =
            Identity { cluster: ClusterId(7), process: ProcessId(3), birth: 5, incarnation: 0, forgets: false };
        for (goes_past_cache, expected) in [(false, [1000, 1000, 5108, 1000]), (true, [4096, 4096, 8192, 4096])] {
            let ram = Ram::default();
            let tail = Tail::new(Arc::new(ram.clone()), PathBuf::new(), identity, VERSION, 1000, 4);
            let mut tail = Tail { goes_past_cache, ..tail };
            let mut touched = Vec::new();
            let mut batches = [batch(1, 300), batch(2, 300), batch(3, 300), batch(4, 5000), batch(5, 10)];
            tail.write(&mut batches, 0, &mut touched).unwrap();
            tail.write(&mut [batch(6, 10)], 0, &mut touched).unwrap();
            let seen: Vec<_> = touched.iter().map(|segment| (segment.number, segment.first)).collect();
            assert_eq!(seen, [(4, 1), (5, 3), (6, 4), (7, 5)]);
            let lengths = touched.iter().map(|segment| segment.file.length().unwrap());
            assert_eq!(lengths.collect::<Vec<_>>(), expected);
            sync(&ram, Path::new(""), &touched).unwrap();
            assert!(touched.iter().all(|segment| segment.name_is_durable.load(Relaxed)));
        }
    }
}
