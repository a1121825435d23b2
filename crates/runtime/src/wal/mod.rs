//! [`Wal`]: the write-ahead log of one replica. Records are appended, a commit
//! hands them to the disk together, and [`Wal::durable`] says how many are safe.
//!
//! A folder holds segments (`segment.rs`) made of batches (`batch.rs`), at most
//! a few checkpoints (`checkpoint.rs`), and a note of what is synced
//! (`note.rs`). Opening reads them (`scan.rs`) and repairs what a crash left
//! (`recovery.rs`); then batches go to the end of the log (`tail.rs`), past the
//! cache of the system where each is synced (`blocks.rs`), in the hands of
//! threads (`hands.rs`). The log never looks into a record, and never
//! tries again what failed once.

mod batch;
mod blocks;
mod check;
mod checkpoint;
mod damage;
mod examine;
mod hands;
#[cfg(test)]
mod model;
mod note;
mod recovery;
mod scan;
mod segment;
mod shared;
mod syncs;
mod tail;
#[cfg(test)]
mod tests;
mod window;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{VERSION, Version};
use skein_machine::{Boot, ProcessId};

use crate::data::DataDir;
use crate::files::{Failure, Held};
use batch::Batch;
use hands::{Hands, Keeper, Syncer, Writer};
use recovery::settle;
use shared::{Job, Shared, State};
use tail::{OpenSegment, Tail};

pub use check::{CheckpointReport, Report, SegmentReport, check};
pub use damage::{Damage, Torn, WalError};
pub use examine::examine;
pub use shared::Waker;
pub use syncs::{CLASSES, Syncs};

/// The most bytes in a record. A checkpoint may be longer; whatever is longer and no checkpoint is no record.
pub const MAX_RECORD: usize = 1 << 30;

/// A batch this long is closed, and the next record begins another one.
const FULL_BATCH: usize = 1 << 20;

/// When a record counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Storage {
    /// When it is committed, and nothing is written: every restart is an amnesia.
    Memory,
    /// When it is written. It survives the death of the process, and may be
    /// lost with the machine; that is synced a little later.
    Async,
    /// When it is synced.
    Sync,
}

/// How a log is kept.
#[derive(Clone)]
pub struct Settings {
    /// The version of the encoding in which records are appended, so that whoever reads them knows.
    pub version: Version,
    /// How long a segment is.
    pub segment_bytes: u64,
    /// How often an [`Async`](Storage::Async) log is synced.
    pub sync_every: Duration,
    /// Whether its threads wait for a core of their own accord ([`be_patient`](crate::cores::be_patient)).
    pub is_patient: bool,
    /// Called by a thread of the log whenever more is durable, or something
    /// failed; never in a call of the log's owner.
    pub waker: Waker,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            version: VERSION,
            segment_bytes: 64 << 20,
            sync_every: Duration::from_millis(100),
            is_patient: false,
            waker: Arc::new(|| {}),
        }
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Settings { version, segment_bytes, sync_every, is_patient, waker: _ } = self;
        f.debug_struct("Settings")
            .field("version", version)
            .field("segment_bytes", segment_bytes)
            .field("sync_every", sync_every)
            .field("is_patient", is_patient)
            .finish_non_exhaustive()
    }
}

/// What was in the log. All of it is durable.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// How the life that begins now begins.
    pub boot: Boot,
    /// The newest checkpoint, and the last record that it replaces.
    pub checkpoint: Option<(u64, Written)>,
    /// Every record since, in order.
    pub records: Vec<Written>,
    /// What was cut off, if the last life ended in the middle of a write.
    pub torn: Option<Torn>,
    /// The damage for which the whole log was set aside, and where it lies now.
    pub set_aside: Option<(Damage, PathBuf)>,
}

impl Recovered {
    /// Tells whoever reads the log of the node, as far as somebody should know.
    pub(crate) fn tell(&self, process: ProcessId) {
        if let Some(torn) = &self.torn {
            tracing::info!(%process, ?torn, "the end of the log was torn, and is cut");
        }
        if let Some((damage, aside)) = &self.set_aside {
            let aside = aside.display();
            tracing::error!(%process, %damage, %aside, "the log is damaged and set aside; the replica asks its group");
        }
        tracing::info!(%process, boot = ?self.boot, records = self.records.len(), "starts");
    }
}

/// A record or a checkpoint as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The version of the encoding that it is written in: that of its file, and not of the build that reads it.
    pub version: Version,
    /// What was appended.
    pub bytes: Bytes,
}

/// A log, open to be written.
#[derive(Debug)]
pub struct Wal {
    /// Records since the last commit: full batches, and the one that is being filled.
    full: Vec<Batch>,
    batch: Batch,
    /// The newest checkpoint since the last commit.
    job: Option<Job>,
    /// The numbers that checkpoints took since the last commit.
    numbered: Vec<u64>,
    /// The newest checkpoint that was ever asked for.
    newest: u64,
    engine: Engine,
    threads: Vec<JoinHandle<()>>,
    /// The directory stays ours while the log is open.
    _lock: Held,
}

#[derive(Debug)]
enum Engine {
    Memory { durable: u64 },
    Async { shared: Arc<Shared>, tail: Tail, touched: Vec<Arc<OpenSegment>> },
    Sync { shared: Arc<Shared> },
}

impl Wal {
    /// Opens the log in a data directory, and answers what it holds. Damage is refused.
    pub fn open(data: &mut DataDir, storage: Storage, settings: Settings) -> Result<(Wal, Recovered), WalError> {
        let Settings { sync_every, is_patient, .. } = settings;
        let (mut wal, recovered, hands) = Wal::assemble(data, storage, settings)?;
        if let (Some(hands), Some(shared)) = (hands, wal.engine.shared()) {
            wal.threads = hands.start(shared, sync_every, is_patient)?;
        }
        Ok((wal, recovered))
    }

    /// Opens the log in a data directory. One that is damaged is set aside as
    /// a whole, and the replica begins a life without memory.
    pub fn open_or_set_aside(
        data: &mut DataDir,
        storage: Storage,
        settings: Settings,
    ) -> Result<(Wal, Recovered), WalError> {
        match Wal::open(data, storage, settings.clone()) {
            Err(WalError::Damaged(damage)) => {
                let aside = data.set_log_aside()?;
                let (wal, recovered) = Wal::open(data, storage, settings)?;
                Ok((wal, Recovered { set_aside: Some((damage, aside)), ..recovered }))
            }
            other => other,
        }
    }

    /// Everything but the threads.
    fn assemble(
        data: &mut DataDir,
        storage: Storage,
        settings: Settings,
    ) -> Result<(Wal, Recovered, Option<Hands>), WalError> {
        let (folder, files) = (data.log_folder(), data.files().clone());
        let mut scan = scan::scan(&*files, &folder, &data.identity(), true)?;
        if let Some(damage) = scan.damage {
            return Err(WalError::Damaged(damage));
        }
        if storage == Storage::Memory && scan.last > 0 {
            return Err(WalError::WouldForget { folder, records: scan.last });
        }
        let (engine, hands) = match storage {
            Storage::Memory => (Engine::Memory { durable: 0 }, None),
            Storage::Async | Storage::Sync => {
                let settled = settle(&files, &folder, data.identity(), &scan)?;
                let (shared, tail) = Wal::share(data, settings, settled, &scan);
                let keeper = Keeper::new(shared.clone());
                if storage == Storage::Sync {
                    let writer = Some(Writer::new(shared.clone(), tail.past_cache()));
                    (Engine::Sync { shared }, Some(Hands { writer, syncer: None, keeper }))
                } else {
                    let syncer = Some(Syncer::new(shared.clone()));
                    (Engine::Async { shared, tail, touched: Vec::new() }, Some(Hands { writer: None, syncer, keeper }))
                }
            }
        };
        let boot = data.begin_life(scan.last == 0, storage == Storage::Memory)?;
        let newest = scan.checkpoint.as_ref().map_or(0, |(record, _)| *record);
        let wal = Wal {
            full: Vec::new(),
            batch: Batch::new(Vec::new(), scan.last + 1),
            job: None,
            numbered: Vec::new(),
            newest,
            engine,
            threads: Vec::new(),
            _lock: data.lock(),
        };
        let records = std::mem::take(&mut scan.records);
        let recovered = Recovered { boot, checkpoint: scan.checkpoint, records, torn: scan.torn, set_aside: None };
        Ok((wal, recovered, hands))
    }

    fn share(data: &DataDir, settings: Settings, settled: recovery::Settled, scan: &scan::Scan) -> (Arc<Shared>, Tail) {
        let (files, folder, identity) = (data.files().clone(), data.log_folder(), data.identity());
        let Settings { version, segment_bytes, waker, .. } = settings;
        let tail = Tail::new(files.clone(), folder.clone(), identity, version, segment_bytes, settled.next_number);
        let state = State {
            checkpoint: scan.checkpoint.as_ref().map_or(0, |(record, _)| *record),
            logged: scan.last,
            synced: scan.last,
            segments: settled.segments,
            ..State::default()
        };
        (Arc::new(Shared::new(files, folder, identity, version, settled.note, waker, state)), tail)
    }

    /// Appends a record and answers its number, counted from 1 over all lives.
    /// `encode` appends its bytes to the buffer; in memory nobody would ever
    /// read them, so there it is not called.
    pub fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if matches!(self.engine, Engine::Memory { .. }) {
            return self.batch.count();
        }
        if self.batch.len() >= FULL_BATCH {
            self.close_batch();
        }
        self.batch.append(encode);
        self.batch.last()
    }

    /// Appends a checkpoint: a record that replaces all before it once it is
    /// durable, which it is when its file is. Nothing behind it is durable before it.
    pub fn checkpoint(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> u64 {
        if matches!(self.engine, Engine::Memory { .. }) {
            self.newest = self.batch.count();
            return self.newest;
        }
        if !self.batch.is_empty() {
            self.close_batch();
        }
        self.batch.mark_checkpoint();
        let record = self.batch.last();
        self.write_checkpoint(record, encode);
        self.numbered.push(record);
        record
    }

    /// Replaces everything appended so far by a checkpoint that says the same.
    /// It takes no number, and nothing waits for it. Answers whether there was
    /// anything to replace since the newest checkpoint.
    pub fn compact(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> bool {
        let record = self.appended();
        if record == self.newest {
            return false;
        }
        self.write_checkpoint(record, encode);
        true
    }

    fn write_checkpoint(&mut self, record: u64, encode: impl FnOnce(&mut Vec<u8>)) {
        self.newest = record;
        if matches!(self.engine, Engine::Memory { .. }) {
            return;
        }
        // A newer one replaces everything that an older one does.
        let mut contents = self.job.take().map_or_else(Vec::new, |job| job.contents);
        contents.clear();
        encode(&mut contents);
        self.job = Some(Job { record, contents });
    }

    /// The number of the record that was appended last.
    pub fn appended(&self) -> u64 {
        if self.batch.is_empty() { self.batch.first - 1 } else { self.batch.last() }
    }

    fn close_batch(&mut self) {
        let next = Batch::new(self.engine.spare(), self.batch.last() + 1);
        self.full.push(std::mem::replace(&mut self.batch, next));
    }

    /// Hands everything that was appended to the disk. It waits for the disk
    /// only in an [`Async`](Storage::Async) log, and there only for the write.
    pub fn commit(&mut self) {
        if self.batch.is_empty() && self.full.is_empty() && self.job.is_none() {
            return;
        }
        let appended = self.appended();
        match &mut self.engine {
            Engine::Memory { durable } => {
                *durable = appended;
                self.batch.restart(appended + 1);
            }
            Engine::Sync { .. } => self.hand_over(),
            Engine::Async { .. } => self.write(appended),
        }
    }

    /// Everything goes to the writer.
    fn hand_over(&mut self) {
        let Engine::Sync { shared } = &self.engine else { unreachable!("nobody else has a writer") };
        if shared.has_failed() {
            return self.drop_all();
        }
        let mut bytes = self.full.iter().map(Batch::len).sum::<usize>();
        let mut state = shared.state();
        state.queue.append(&mut self.full);
        if !self.batch.is_empty() {
            bytes += self.batch.len();
            let next = Batch::new(state.spares.pop().unwrap_or_default(), self.batch.last() + 1);
            state.queue.push(std::mem::replace(&mut self.batch, next));
        }
        shared.backlog.fetch_add(bytes, Relaxed);
        let has_job = give_job(shared, &mut state, &mut self.numbered, &mut self.job);
        drop(state);
        shared.for_writer.notify_one();
        if has_job {
            shared.for_keeper.notify_one();
        }
    }

    /// Everything is written here and now.
    fn write(&mut self, appended: u64) {
        let Engine::Async { shared, tail, touched } = &mut self.engine else {
            unreachable!("nobody else has the tail")
        };
        if shared.has_failed() {
            return self.drop_all();
        }
        let synced = shared.synced();
        let mut written = tail.write(&mut self.full, synced, touched);
        if !self.batch.is_empty() {
            written = written.and_then(|()| tail.write(std::slice::from_mut(&mut self.batch), synced, touched));
        }
        let mut has_job = false;
        let moved = written.and_then(|()| {
            shared.advance(|state| {
                state.logged = appended;
                state.adopt(touched);
                for segment in touched.drain(..) {
                    if state.unsynced.last().is_none_or(|last| !Arc::ptr_eq(last, &segment)) {
                        state.unsynced.push(segment);
                    }
                }
                self.full.drain(..).for_each(|batch| state.recycle(batch.into_buffer()));
                has_job = give_job(shared, state, &mut self.numbered, &mut self.job);
            })
        });
        if has_job {
            shared.for_keeper.notify_one();
        }
        if let Err(failure) = moved {
            shared.fail(failure);
        }
        self.drop_all();
    }

    /// What was appended is on its way, or will never be.
    fn drop_all(&mut self) {
        let next = self.appended() + 1;
        self.full.clear();
        self.numbered.clear();
        self.job = None;
        self.batch.restart(next);
    }

    /// Everything up to this number is durable.
    pub fn durable(&self) -> u64 {
        match &self.engine {
            Engine::Memory { durable } => *durable,
            Engine::Async { shared, .. } | Engine::Sync { shared } => shared.durable(),
        }
    }

    /// Everything up to this number survives the death of the machine too.
    pub fn synced(&self) -> u64 {
        self.engine.shared().map_or(0, |shared| shared.synced())
    }

    /// How many bytes wait for the disk. Whoever commits should pause while this is much.
    pub fn backlog(&self) -> usize {
        self.engine.shared().map_or(0, |shared| shared.backlog.load(Relaxed))
    }

    /// How long its syncs took so far.
    pub fn syncs(&self) -> Syncs {
        self.engine.shared().map_or(Syncs::default(), |shared| shared.syncs.read())
    }

    /// What failed, if something did: from then on nothing becomes durable any more.
    pub fn failure(&self) -> Option<Failure> {
        self.engine.shared()?.failure()
    }

    /// Commits and syncs everything, and closes the log.
    pub fn shutdown(mut self) -> Result<(), Failure> {
        self.commit();
        self.stop();
        self.failure().map_or(Ok(()), Err)
    }

    /// The threads finish what was committed.
    fn stop(&mut self) {
        if let Some(shared) = self.engine.shared() {
            shared.state().stops = true;
            shared.for_writer.notify_all();
            shared.for_keeper.notify_all();
        }
        for thread in self.threads.drain(..) {
            // One that panicked has said so, in `failure`.
            let _ = thread.join();
        }
    }
}

impl Drop for Wal {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Engine {
    fn shared(&self) -> Option<&Arc<Shared>> {
        match self {
            Engine::Memory { .. } => None,
            Engine::Async { shared, .. } | Engine::Sync { shared } => Some(shared),
        }
    }

    /// An old buffer, or a new one.
    fn spare(&self) -> Vec<u8> {
        self.shared().and_then(|shared| shared.state().spares.pop()).unwrap_or_default()
    }
}

/// Gives the keeper the checkpoint of a commit. Answers whether there is one.
fn give_job(shared: &Shared, state: &mut State, numbered: &mut Vec<u64>, job: &mut Option<Job>) -> bool {
    state.waiting.extend(numbered.drain(..));
    let Some(job) = job.take() else { return false };
    shared.backlog.fetch_add(job.contents.len(), Relaxed);
    if let Some(older) = state.job.replace(job) {
        shared.unload(older.contents.len());
    }
    true
}
