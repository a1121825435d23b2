//! [`Shared`]: what the log's owner and its threads know together, and the one
//! place that says what is durable. It does no work of its own, except that it
//! notes what is synced.
//!
//! A record is durable when it and everything before it is in the log, safely,
//! and every checkpoint up to it stands; or when a checkpoint stands that
//! replaces it. After a failure nothing becomes durable any more.

use std::collections::VecDeque;
use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{
    AtomicBool, AtomicU64, AtomicUsize,
    Ordering::{Acquire, Relaxed, Release},
};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Instant;

use skein_machine::wire::Version;

use super::batch::Batch;
use super::note::Note;
use super::syncs::SyncClock;
use super::tail::{self, OpenSegment};
use crate::data::Identity;
use crate::files::{Failure, Files};

/// Called by a thread of the log whenever more is durable, or something failed.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A buffer that has grown beyond this is not kept for another batch: with all
/// that are kept, that is 64 mebibytes at most.
const MAX_SPARE_BYTES: usize = 256 << 10;

/// So many empty buffers are kept: as many commits as come during one sync of a good disk.
const MAX_SPARES: usize = 256;

/// A checkpoint to write.
#[derive(Debug)]
pub(crate) struct Job {
    /// It replaces everything up to this record.
    pub(crate) record: u64,
    pub(crate) contents: Vec<u8>,
}

/// What changes under the lock.
#[derive(Debug, Default)]
pub(crate) struct State {
    /// Batches for the writer.
    pub(crate) queue: Vec<Batch>,
    pub(crate) spares: Vec<Vec<u8>>,
    /// The next checkpoint; a newer one takes the place of one that nobody has begun.
    pub(crate) job: Option<Job>,
    /// Numbered checkpoints that do not stand yet, in order.
    pub(crate) waiting: VecDeque<u64>,
    /// The newest checkpoint that stands.
    pub(crate) checkpoint: u64,
    /// Everything up to here is as safe in the log as this kind of storage makes it.
    pub(crate) logged: u64,
    /// Everything up to here is synced in the log.
    pub(crate) synced: u64,
    /// Segments that were written to and not synced since.
    pub(crate) unsynced: Vec<Arc<OpenSegment>>,
    /// Every segment's number and first record, oldest first.
    pub(crate) segments: VecDeque<(u64, u64)>,
    pub(crate) stops: bool,
    pub(crate) failure: Option<Failure>,
}

impl State {
    /// Up to where everything is safe when the log is up to `logged`.
    fn reaches(&self, logged: u64) -> u64 {
        let before_waiting = self.waiting.front().map_or(u64::MAX, |record| record - 1);
        logged.min(before_waiting).max(self.checkpoint)
    }

    pub(crate) fn adopt(&mut self, touched: &[Arc<OpenSegment>]) {
        for segment in touched {
            if self.segments.back().is_none_or(|(number, _)| *number < segment.number) {
                self.segments.push_back((segment.number, segment.first));
            }
        }
    }

    pub(crate) fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= MAX_SPARE_BYTES && self.spares.len() < MAX_SPARES {
            self.spares.push(buffer);
        }
    }
}

/// What the owner of the log and its threads share.
pub(crate) struct Shared {
    pub(crate) files: Arc<dyn Files>,
    pub(crate) folder: PathBuf,
    pub(crate) identity: Identity,
    /// In which version everything is written.
    pub(crate) version: Version,
    pub(crate) note: Note,
    waker: Waker,
    durable: AtomicU64,
    synced: AtomicU64,
    /// Bytes that were handed over and are not on the disk.
    pub(crate) backlog: AtomicUsize,
    /// How long syncs took.
    pub(crate) syncs: SyncClock,
    has_failed: AtomicBool,
    state: Mutex<State>,
    /// There is work for the writer.
    pub(crate) for_writer: Condvar,
    /// There is work for the keeper.
    pub(crate) for_keeper: Condvar,
}

impl Shared {
    pub(crate) fn new(
        files: Arc<dyn Files>,
        folder: PathBuf,
        identity: Identity,
        version: Version,
        note: Note,
        waker: Waker,
        state: State,
    ) -> Shared {
        Shared {
            files,
            folder,
            identity,
            version,
            note,
            waker,
            durable: AtomicU64::new(state.reaches(state.logged)),
            synced: AtomicU64::new(state.reaches(state.synced)),
            backlog: AtomicUsize::new(0),
            syncs: SyncClock::default(),
            has_failed: AtomicBool::new(false),
            state: Mutex::new(state),
            for_writer: Condvar::new(),
            for_keeper: Condvar::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics while holding the state")
    }

    pub(crate) fn durable(&self) -> u64 {
        self.durable.load(Acquire)
    }

    pub(crate) fn synced(&self) -> u64 {
        self.synced.load(Acquire)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Acquire)
    }

    pub(crate) fn failure(&self) -> Option<Failure> {
        if self.has_failed() { self.state().failure.clone() } else { None }
    }

    /// Syncs these segments, and notes how long that takes.
    pub(crate) fn sync(&self, segments: &[Arc<OpenSegment>]) -> Result<(), Failure> {
        let begin = Instant::now();
        tail::sync(&*self.files, &self.folder, segments)?;
        self.syncs.note(begin.elapsed());
        Ok(())
    }

    /// Lets `change` say what has become safe, and then raises what that makes durable.
    /// Answers whether anything is durable that was not.
    pub(crate) fn advance(&self, change: impl FnOnce(&mut State)) -> Result<bool, Failure> {
        let mut state = self.state();
        change(&mut state);
        let (durable, synced) = (state.reaches(state.logged), state.reaches(state.synced));
        drop(state);
        if self.has_failed() {
            return Ok(false);
        }
        if synced > self.synced() {
            // Noted before it is told: what anybody was promised is known to have been synced.
            self.note.raise(synced)?;
            self.synced.fetch_max(synced, Release);
        }
        Ok(self.durable.fetch_max(durable, Release) < durable)
    }

    /// The end: nothing becomes durable any more.
    pub(crate) fn fail(&self, failure: Failure) {
        let mut state = self.state();
        state.failure.get_or_insert(failure);
        state.queue.clear();
        state.job = None;
        self.has_failed.store(true, Release);
        drop(state);
        self.backlog.store(0, Relaxed);
    }

    /// Tells the owner what came of a round of work.
    pub(crate) fn tell(&self, outcome: Result<bool, Failure>) {
        match outcome {
            Ok(false) => return,
            Ok(true) => {}
            Err(failure) => self.fail(failure),
        }
        (self.waker)();
    }

    /// So many bytes are on the disk now.
    pub(crate) fn unload(&self, bytes: usize) {
        // After a failure nothing is on its way any more.
        let _ = self.backlog.fetch_update(Relaxed, Relaxed, |backlog| Some(backlog.saturating_sub(bytes)));
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("folder", &self.folder).field("durable", &self.durable()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_that_does_not_stand_holds_back_what_is_behind_it() {
        let mut state = State { waiting: [5, 8].into(), ..State::default() };
        assert_eq!([state.reaches(3), state.reaches(9)], [3, 4]);
        state.waiting.pop_front();
        state.checkpoint = 5;
        assert_eq!([state.reaches(3), state.reaches(9)], [5, 7], "what it replaces needs no log");
        state.waiting.clear();
        assert_eq!(state.reaches(9), 9);
    }

    #[test]
    fn buffers_are_kept_within_bounds() {
        let mut state = State::default();
        state.recycle(Vec::with_capacity(MAX_SPARE_BYTES * 2));
        assert!(state.spares.is_empty());
        (0..=MAX_SPARES).for_each(|_| state.recycle(Vec::with_capacity(64)));
        assert_eq!(state.spares.len(), MAX_SPARES);
    }
}
