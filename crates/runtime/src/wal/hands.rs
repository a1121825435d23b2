//! The hands of the log: [`Writer`] writes and syncs what was committed,
//! [`Syncer`] syncs what others wrote, [`Keeper`] writes checkpoints and takes
//! away what they replace. Each works in rounds, so that a test can take them
//! one by one; a thread does nothing but call them. None ever tries again.

use std::path::Path;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::batch::Batch;
use super::checkpoint;
use super::segment::{Name, checkpoint_name, segment_name};
use super::shared::{Job, Shared, State};
use super::tail::{OpenSegment, Tail};
use crate::cores;
use crate::courtesy::Courtesy;
use crate::files::{Failure, Operation};

/// Writes all that was committed meanwhile, with one write and one sync.
#[derive(Debug)]
pub(crate) struct Writer {
    shared: Arc<Shared>,
    tail: Tail,
    taken: Vec<Batch>,
    touched: Vec<Arc<OpenSegment>>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, tail: Tail) -> Writer {
        Writer { shared, tail, taken: Vec::new(), touched: Vec::new() }
    }

    /// Answers whether there was anything to do.
    pub(crate) fn round(&mut self) -> bool {
        std::mem::swap(&mut self.taken, &mut self.shared.state().queue);
        if self.taken.is_empty() || self.shared.has_failed() {
            return false;
        }
        let outcome = self.write();
        let bytes = self.taken.drain(..).map(|batch| batch.len()).sum();
        self.shared.unload(bytes);
        self.shared.tell(outcome);
        true
    }

    fn write(&mut self) -> Result<bool, Failure> {
        let Writer { shared, tail, taken, touched } = self;
        tail.write(taken, shared.synced(), touched)?;
        shared.sync(touched)?;
        let last = taken.last().map_or(0, Batch::last);
        let moved = shared.advance(|state| {
            (state.logged, state.synced) = (last, last);
            state.adopt(touched);
            for batch in taken.drain(..) {
                shared.unload(batch.len());
                state.recycle(batch.into_buffer());
            }
        });
        touched.clear();
        moved
    }

    fn live(mut self, mut courtesy: Courtesy) {
        loop {
            let state = self.shared.state();
            let idle = |state: &mut State| state.queue.is_empty() && !state.stops;
            drop(self.shared.for_writer.wait_while(state, idle).expect("nobody panics while holding the state"));
            // The owner may be about to commit more.
            courtesy.after_you();
            if !self.round() {
                return;
            }
        }
    }
}

/// Syncs every now and then what was written by somebody else.
#[derive(Debug)]
pub(crate) struct Syncer {
    shared: Arc<Shared>,
}

impl Syncer {
    pub(crate) fn new(shared: Arc<Shared>) -> Syncer {
        Syncer { shared }
    }

    /// Answers whether there was anything to do.
    pub(crate) fn round(&mut self) -> bool {
        let mut state = self.shared.state();
        let (segments, logged) = (std::mem::take(&mut state.unsynced), state.logged);
        drop(state);
        if segments.is_empty() || self.shared.has_failed() {
            return false;
        }
        let synced = self.shared.sync(&segments);
        self.shared.tell(synced.and_then(|()| self.shared.advance(|state| state.synced = logged)));
        true
    }

    fn live(mut self, every: Duration) {
        loop {
            let state = self.shared.state();
            let told = self.shared.for_writer.wait_timeout_while(state, every, |state| !state.stops);
            let stops = told.expect("nobody panics while holding the state").0.stops;
            self.round();
            if stops {
                return;
            }
        }
    }
}

/// Writes checkpoints beside the log.
#[derive(Debug)]
pub(crate) struct Keeper {
    shared: Arc<Shared>,
}

impl Keeper {
    pub(crate) fn new(shared: Arc<Shared>) -> Keeper {
        Keeper { shared }
    }

    /// Answers whether there was anything to do.
    pub(crate) fn round(&mut self) -> bool {
        let Some(job) = self.shared.state().job.take().filter(|_| !self.shared.has_failed()) else { return false };
        let outcome = self.write(&job);
        self.shared.unload(job.contents.len());
        let is_sound = outcome.is_ok();
        self.shared.tell(outcome);
        if is_sound {
            self.clear_away(job.record);
        }
        true
    }

    fn write(&self, job: &Job) -> Result<bool, Failure> {
        let Shared { files, folder, identity, version, .. } = &*self.shared;
        checkpoint::write(&**files, folder, identity, *version, job.record, &job.contents)?;
        self.shared.advance(|state| {
            state.checkpoint = state.checkpoint.max(job.record);
            state.waiting.retain(|record| *record > job.record);
        })
    }

    /// Takes away what the checkpoint replaces. A file that stays is no harm: the next life takes it away.
    fn clear_away(&self, record: u64) {
        let Shared { files, folder, note, .. } = &*self.shared;
        // Durable before anything goes: the note must say that there was something, should the checkpoint get lost.
        if let Err(failure) = note.sync() {
            return self.shared.tell(Err(failure));
        }
        let mut replaced = Vec::new();
        let mut state = self.shared.state();
        while state.segments.get(1).is_some_and(|(_, first)| *first <= record + 1) {
            replaced.extend(state.segments.pop_front());
        }
        drop(state);
        for (number, _) in replaced {
            let _ = files.remove(&folder.join(segment_name(number)));
        }
        for name in files.list(folder).unwrap_or_default() {
            if let Name::Checkpoint(older) = Name::of(&name)
                && older < record
            {
                let _ = files.remove(&folder.join(checkpoint_name(older)));
            }
        }
    }

    fn live(mut self) {
        loop {
            let state = self.shared.state();
            let idle = |state: &mut State| state.job.is_none() && !state.stops;
            drop(self.shared.for_keeper.wait_while(state, idle).expect("nobody panics while holding the state"));
            if !self.round() {
                return;
            }
        }
    }
}

/// All hands of a log.
#[derive(Debug)]
pub(crate) struct Hands {
    /// Of a log that syncs before it promises.
    pub(crate) writer: Option<Writer>,
    /// Of one that does not.
    pub(crate) syncer: Option<Syncer>,
    pub(crate) keeper: Keeper,
}

impl Hands {
    /// Gives each a thread of its own.
    pub(crate) fn start(
        self,
        shared: &Arc<Shared>,
        sync_every: Duration,
        is_patient: bool,
    ) -> Result<Vec<JoinHandle<()>>, Failure> {
        let spawn = |name, work| spawn(name, shared, is_patient, work);
        let keeper = self.keeper;
        let mut threads = vec![spawn("skein-keeper", Box::new(move || keeper.live()) as Work)?];
        if let Some(writer) = self.writer {
            threads.push(spawn("skein-writer", Box::new(move || writer.live(Courtesy::of(is_patient))))?);
        }
        if let Some(syncer) = self.syncer {
            threads.push(spawn("skein-syncer", Box::new(move || syncer.live(sync_every)))?);
        }
        Ok(threads)
    }
}

type Work = Box<dyn FnOnce() + Send>;

fn spawn(name: &str, shared: &Arc<Shared>, is_patient: bool, work: Work) -> Result<JoinHandle<()>, Failure> {
    let last_word = LastWord(shared.clone());
    let life = move || {
        let _last_word = last_word;
        if is_patient {
            cores::be_patient();
        }
        work();
    };
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(life);
    spawned.map_err(Failure::of(&*shared.files, Operation::Open, Path::new(name)))
}

/// A thread that panics must not leave its owner waiting.
struct LastWord(Arc<Shared>);

impl Drop for LastWord {
    fn drop(&mut self) {
        if thread::panicking() {
            let Shared { files, folder, .. } = &*self.0;
            let error = std::io::Error::other("a thread of the log panicked");
            self.0.tell(Err(Failure::new(&**files, Operation::Write, folder, error)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::data::scratch::Scratch;
    use crate::data::{Begin, DataDir, Owner};
    use crate::files::Native;
    use crate::wal::{Settings, Storage, Wal};

    /// The one who wakes the owner is a thread of the log.
    #[test]
    fn threads_are_as_patient_as_they_are_told_to_be() {
        let own_way = cores::tests::way();
        for is_patient in [false, true] {
            let scratch = Scratch::new();
            let (sender, ways) = channel();
            let waker = Arc::new(move || sender.send(cores::tests::way()).unwrap_or_default());
            let owner = Owner { cluster: skein_machine::ClusterId(7), process: skein_machine::ProcessId(3) };
            let mut data = DataDir::open(Arc::new(Native), scratch.path(), owner, Begin::Usual).unwrap();
            let settings = Settings { is_patient, waker, ..Settings::default() };
            let (mut wal, _) = Wal::open(&mut data, Storage::Sync, settings).unwrap();
            wal.append(|buffer| buffer.push(b'x'));
            wal.commit();
            let way = ways.recv_timeout(Duration::from_secs(20)).expect("the record becomes durable");
            let expected = if is_patient { cores::tests::patient(own_way) } else { own_way };
            assert_eq!(way, expected, "told to be patient: {is_patient}");
        }
    }
}
