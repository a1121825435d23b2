//! [`Tail`]: the end of the log, where batches are written. It opens one
//! segment after the other, and syncs none: it says which it touched.
//!
//! A log that is synced all the time is written with zeros ahead of its end.
//! Room that was only reserved has to be noted by the file system as written
//! when something is, and that note is a second write of every sync.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use skein_machine::wire::Version;

use super::batch::Batch;
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

/// So many zeros are written at once: a sync every now and then takes a little longer, and all others a third less.
static ZEROS: [u8; 256 << 10] = [0; 256 << 10];

/// Where the next batch goes.
#[derive(Debug)]
pub(crate) struct Tail {
    files: Arc<dyn Files>,
    folder: PathBuf,
    identity: Identity,
    version: Version,
    capacity: u64,
    has_zeros_ahead: bool,
    next_number: u64,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    segment: Arc<OpenSegment>,
    seed: u32,
    offset: u64,
    /// Up to here everything has been written, if only with zeros.
    written: u64,
    limit: u64,
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
        Tail { files, folder, identity, version, capacity, has_zeros_ahead: false, next_number: next, open: None }
    }

    /// The same, with zeros ahead.
    pub(crate) fn with_zeros_ahead(self) -> Tail {
        Tail { has_zeros_ahead: true, ..self }
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
            let written = open.write(now, synced, self.has_zeros_ahead);
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
        let prepared = file.reserve(limit).and_then(|()| file.write_at(&[&header], 0));
        prepared.map_err(Failure::of(&*self.files, Operation::Write, &path))?;
        self.next_number += 1;
        let seed = seed(Kind::Segment, number, &self.identity);
        let segment = OpenSegment { number, first, path, file, name_is_durable: AtomicBool::new(false) };
        let (offset, written) = (HEADER as u64, HEADER as u64);
        Ok(Open { segment: Arc::new(segment), seed, offset, written, limit })
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

    fn write(&mut self, batches: &mut [Batch], synced: u64, has_zeros_ahead: bool) -> std::io::Result<()> {
        batches.iter_mut().for_each(|batch| batch.seal(self.seed, synced));
        let end = self.offset + batches.iter().map(|batch| batch.len() as u64).sum::<u64>();
        let zeros = if has_zeros_ahead && end > self.written { (self.limit - end).min(ZEROS.len() as u64) } else { 0 };
        if let ([batch], 0) = (&*batches, zeros) {
            self.segment.file.write_at(&[batch.bytes()], self.offset)?;
        } else {
            let mut pieces: Vec<&[u8]> = batches.iter().map(Batch::bytes).collect();
            pieces.push(&ZEROS[..zeros as usize]);
            self.segment.file.write_at(&pieces, self.offset)?;
        }
        self.offset = end;
        self.written = self.written.max(end + zeros);
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
        let ram = Ram::default();
        let mut tail = Tail::new(Arc::new(ram.clone()), PathBuf::new(), identity, VERSION, 1000, 4);
        let mut touched = Vec::new();
        let mut batches = [batch(1, 300), batch(2, 300), batch(3, 300), batch(4, 5000), batch(5, 10)];
        tail.write(&mut batches, 0, &mut touched).unwrap();
        tail.write(&mut [batch(6, 10)], 0, &mut touched).unwrap();
        let seen: Vec<_> = touched.iter().map(|segment| (segment.number, segment.first)).collect();
        assert_eq!(seen, [(4, 1), (5, 3), (6, 4), (7, 5)]);
        let lengths = touched.iter().map(|segment| segment.file.length().unwrap());
        assert_eq!(lengths.collect::<Vec<_>>(), [1000, 1000, 64 + 40 + 4 + 5000, 1000]);
        sync(&ram, Path::new(""), &touched).unwrap();
        assert!(touched.iter().all(|segment| segment.name_is_durable.load(Relaxed)));
    }

    #[test]
    fn zeros_are_written_ahead_and_only_when_the_log_gets_there() {
        let identity =
            Identity { cluster: ClusterId(7), process: ProcessId(3), birth: 5, incarnation: 0, forgets: false };
        let (ram, capacity) = (Ram::default(), 3 * ZEROS.len() as u64);
        let tail = Tail::new(Arc::new(ram.clone()), PathBuf::new(), identity, VERSION, capacity, 4);
        let mut tail = tail.with_zeros_ahead();
        let path = PathBuf::from(segment_name(4));
        // What lies ahead is made to differ, to see whether it is written over.
        let mark = || ram.edit(&path, |bytes| bytes.iter_mut().filter(|byte| **byte == 0).for_each(|byte| *byte = 9));
        let marks_left = || {
            let mut bytes = vec![0; capacity as usize];
            ram.open(&path).unwrap().read_at(&mut bytes, 0).unwrap();
            bytes.iter().rev().take_while(|byte| **byte == 9).count()
        };
        let mut write = |number, length| tail.write(&mut [batch(number, length)], 0, &mut Vec::new()).unwrap();
        write(1, 300);
        mark();
        let ahead = marks_left();
        write(2, 1000);
        assert_eq!(marks_left(), ahead - 1044, "there were zeros enough");
        write(3, ZEROS.len());
        assert_eq!(marks_left(), ahead - 1044 - (ZEROS.len() + 44) - ZEROS.len());
        mark();
        write(4, ZEROS.len() - 5000);
        assert_eq!(marks_left(), ahead - 1044 - (ZEROS.len() + 44) - (ZEROS.len() - 5000 + 44), "up to there");
        write(5, 100_000);
        assert_eq!(marks_left(), 0, "and to the end of the segment, but not beyond");
        assert_eq!(ram.open(&path).unwrap().length().unwrap(), capacity);
    }
}
