//! The gate of a replica: shared words through which the load gives it commands
//! and hears answers, and in which it says how it is. They outlive the
//! replica's process, so that the load loses nothing with it but time.
//!
//! A gate knows nothing of the log: whoever has a command that is not answered
//! asks it again, at any gate.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use skein_machine::ClusterId;
use skein_runtime::shm::{MemorySet, Plan, SharedWords, ShmError};

use super::pipe::{self, Reader, Writer};

/// Each on lines of its own.
const AT_LIFE: usize = 0;
const AT_LEADS: usize = 16;
const AT_STATE: usize = 32;
const AT_END: usize = 48;
const AT_REQUESTS: usize = 64;
const AT_ANSWERS: usize = AT_REQUESTS + pipe::WORDS;
const WORDS: usize = AT_ANSWERS + pipe::WORDS;

/// The gates of one run lie in a folder of its own, so there is nothing to tell them from.
const NOBODY: ClusterId = ClusterId(0);

/// How a replica is, as it said last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Which of its processes says so, from 1; 0 as long as the newest one is not ready.
    pub(super) life: u64,
    /// Since when it leads, in nanoseconds of the clock that all share; 0 if it does not.
    pub(super) leads: u64,
    /// It knows what the others do.
    pub(super) is_well: bool,
    /// Commands that its engine took, and the digest of what came of them.
    pub(super) taken: u64,
    pub(super) digest: u64,
}

/// One replica's.
#[derive(Clone, Debug)]
pub(super) struct Gate {
    words: SharedWords,
}

impl Gate {
    /// The gates of all replicas. Whoever comes first makes them.
    pub(super) fn open_all(folder: &Path, replicas: usize) -> Result<Vec<Gate>, ShmError> {
        let plan = Plan { cluster: NOBODY, replicas, words: WORDS, shape: Vec::new() };
        let set = MemorySet::open_or_create(folder, &plan)?;
        let gate = |nth| set.memory(nth).map(|words| Gate { words: words.clone() });
        (0..replicas).map(gate).collect::<Option<_>>().ok_or(ShmError::NothingLeft { path: folder.to_owned() })
    }

    fn word(&self, at: usize) -> &AtomicU64 {
        &self.words.words()[at]
    }

    // What the replica says.

    /// A new process has the replica, and is not ready: whatever the last one was, it is not any more.
    pub(super) fn begin(&self) {
        self.word(AT_LIFE).store(0, Release);
        self.tell_leads(0);
        self.tell_well(false);
    }

    /// It is ready.
    pub(super) fn tell_life(&self, life: u64) {
        self.word(AT_LIFE).store(life, Release);
    }

    pub(super) fn tell_leads(&self, since: u64) {
        self.word(AT_LEADS).store(since, Release);
    }

    pub(super) fn tell_well(&self, is_well: bool) {
        self.word(AT_STATE).store(u64::from(is_well), Release);
    }

    /// What its engine took. Two words, so they belong together only when it rests.
    #[inline]
    pub(super) fn tell_taken(&self, taken: u64, digest: u64) {
        self.word(AT_STATE + 1).store(taken, Relaxed);
        self.word(AT_STATE + 2).store(digest, Relaxed);
    }

    pub(super) fn is_to_end(&self) -> bool {
        self.word(AT_END).load(Acquire) != 0
    }

    /// The ends of the pipes that the replica has.
    pub(super) fn of_replica(&self) -> (Reader, Writer) {
        (Reader::new(&self.words, AT_REQUESTS), Writer::new(&self.words, AT_ANSWERS))
    }

    // What the others do.

    pub(super) fn state(&self) -> State {
        State {
            life: self.word(AT_LIFE).load(Acquire),
            leads: self.leads(),
            is_well: self.word(AT_STATE).load(Acquire) != 0,
            taken: self.word(AT_STATE + 1).load(Relaxed),
            digest: self.word(AT_STATE + 2).load(Relaxed),
        }
    }

    #[inline]
    pub(super) fn leads(&self) -> u64 {
        self.word(AT_LEADS).load(Acquire)
    }

    /// The replica is to write down how it ended, and go.
    pub(super) fn end(&self) {
        self.word(AT_END).store(1, Release);
    }

    /// The ends of the pipes that the load has.
    pub(super) fn of_load(&self) -> (Writer, Reader) {
        (Writer::new(&self.words, AT_REQUESTS), Reader::new(&self.words, AT_ANSWERS))
    }
}

/// Which replica leads: the one that began last. One that is dead or stands still may say that it leads, too.
#[inline]
pub(super) fn leader(gates: &[Gate]) -> Option<usize> {
    let leading = gates.iter().enumerate().map(|(nth, gate)| (gate.leads(), nth));
    leading.max().filter(|(since, _)| *since > 0).map(|(_, nth)| nth)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::path::PathBuf;

    /// Words in a folder that goes when the test is over.
    pub(crate) struct Folder {
        path: PathBuf,
        pub(crate) words: SharedWords,
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }

    fn path_of(name: &str) -> PathBuf {
        PathBuf::from("/dev/shm").join(format!("skein-exchange-test-{name}-{}", std::process::id()))
    }

    pub(crate) fn folder_of_words(name: &str, words: usize) -> Folder {
        let path = path_of(name);
        let plan = Plan { cluster: NOBODY, replicas: 1, words, shape: Vec::new() };
        let set = MemorySet::open_or_create(&path, &plan).unwrap();
        Folder { path, words: set.memory(0).unwrap().clone() }
    }

    #[test]
    fn both_sides_of_a_gate_are_the_same_words() {
        let path = path_of("gate");
        let ours = Gate::open_all(&path, 2).unwrap();
        let theirs = Gate::open_all(&path, 2).unwrap();
        let _gone = Folder { path, words: ours[0].words.clone() };
        let (mut ask, mut hear) = ours[1].of_load();
        let (mut take, mut tell) = theirs[1].of_replica();
        let mut buffer = Vec::new();
        assert!(ask.push(b"command") && take.pop(&mut buffer));
        assert_eq!(buffer, b"command");
        assert!(tell.push(b"answer") && hear.pop(&mut buffer));
        assert_eq!(buffer, b"answer");
        theirs[1].begin();
        theirs[1].tell_well(true);
        theirs[1].tell_taken(5, 6);
        theirs[1].tell_life(3);
        let expected = State { life: 3, leads: 0, is_well: true, taken: 5, digest: 6 };
        assert_eq!(ours[1].state(), expected);
        assert_eq!(leader(&ours), None);
        theirs[1].tell_leads(9);
        assert_eq!(leader(&ours), Some(1));
        theirs[0].tell_leads(10);
        assert_eq!(leader(&ours), Some(0), "whoever began last leads");
        assert!(!theirs[1].is_to_end());
        ours[1].end();
        assert!(theirs[1].is_to_end() && !theirs[0].is_to_end());
    }
}
