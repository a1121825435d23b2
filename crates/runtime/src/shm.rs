//! # Memory that processes share
//!
//! [`SharedWords`] are words of a file that several processes map, and that
//! outlive all of them. A [`MemorySet`] has one such file for each replica of a
//! cluster; whoever takes a [`Seat`] in it runs that replica and nobody else
//! does; and a [`Watch`] sees at once when the process on a seat dies.
//!
//! What the words mean is not known here, nor who may change which of them: that
//! is the business of a protocol. The words survive the death of processes and
//! not that of the machine, so what was made before the machine was started
//! last is refused.
//!
//! This file has nearly all `unsafe` code of the house: to map, to unmap, to look
//! at what is mapped, and to have the system mark a word of it.

mod error;
mod file;
mod header;
mod process;
mod scaffold;
mod seat;
mod set;
mod tie;
mod watch;

use std::fs::File;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use header::{AT_BLANK, AT_FINISHED, AT_OWNER, HEADER_WORDS, Header};

pub use error::ShmError;
pub use header::{MAX_MEASURES, MAX_REPLICAS, MAX_WORDS, Measure, Plan};
pub use process::Process;
pub use seat::Seat;
pub use set::MemorySet;
pub use watch::Watch;

/// The words of one memory, for as long as somebody has them. Clones are the same memory.
#[derive(Clone, Debug)]
pub struct SharedWords {
    memory: Arc<Memory>,
}

#[derive(Debug)]
struct Memory {
    path: PathBuf,
    /// What was mapped. It stays open, so that it can be told from whatever has its name later.
    file: File,
    set: u64,
    mapping: Mapping,
}

impl SharedWords {
    /// Makes the memory of one replica: a file of zeros at a path at which nothing is yet. All its room is set aside.
    pub fn create(path: &Path, plan: &Plan, replica: usize) -> Result<SharedWords, ShmError> {
        SharedWords::make(path, plan, replica, crate::data::draw(), false)
    }

    /// The same, as one of the set that was drawn, and blank if there was another before that is lost.
    fn make(path: &Path, plan: &Plan, replica: usize, set: u64, is_blank: bool) -> Result<SharedWords, ShmError> {
        plan.check()?;
        plan.check_replica(replica)?;
        let header = Header::new(plan, replica, set, process::start_of_machine()?);
        let file = file::create(path, plan.bytes())?;
        let words = SharedWords::map(path, file, plan, set)?;
        let all = words.memory.mapping.words();
        for (word, value) in all.iter().zip(header.to_words()) {
            word.store(value, Relaxed);
        }
        all[AT_FINISHED].store(0, Relaxed);
        all[AT_BLANK].store(u64::from(is_blank), Relaxed);
        // Whoever sees that it is finished sees all of it.
        all[AT_FINISHED].store(header.to_words()[AT_FINISHED], Release);
        Ok(words)
    }

    /// Opens the memory of one replica, if it is what the plan says.
    pub fn open(path: &Path, plan: &Plan, replica: usize) -> Result<SharedWords, ShmError> {
        plan.check()?;
        plan.check_replica(replica)?;
        let file = file::open(path)?;
        let header = Header::of_words(&file::header_of(&file, path)?, path)?;
        header.refuse_others(plan, replica, process::start_of_machine()?, path)?;
        file::check_length(&file, path, plan.bytes())?;
        // A copy of a memory may have holes in it, and to store into a hole of a full file system is death.
        file::reserve(&file, path, plan.bytes())?;
        let words = SharedWords::map(path, file, plan, header.set)?;
        if words.memory.mapping.words()[AT_FINISHED].load(Acquire) == 0 {
            return Err(ShmError::Unfinished { path: path.to_owned() });
        }
        Ok(words)
    }

    /// Maps a file that has the length of the plan.
    fn map(path: &Path, file: File, plan: &Plan, set: u64) -> Result<SharedWords, ShmError> {
        let mapping = Mapping::new(&file, HEADER_WORDS + plan.words).map_err(ShmError::system("map", path))?;
        Ok(SharedWords { memory: Arc::new(Memory { path: path.to_owned(), file, set, mapping }) })
    }

    /// The words, as many as the plan says. They begin at the start of a page, and every page has been touched.
    #[inline]
    pub fn words(&self) -> &[AtomicU64] {
        &self.memory.mapping.words()[HEADER_WORDS..]
    }

    /// Where the file was when it was opened.
    pub fn path(&self) -> &Path {
        &self.memory.path
    }

    /// Whether it was made in the place of one that was lost, and nobody has yet said that it holds again what that
    /// one did.
    pub fn is_blank(&self) -> bool {
        self.memory.mapping.words()[AT_BLANK].load(Acquire) != 0
    }

    /// Says that it holds again what was lost. It will not be blank in any later life either.
    pub fn declare_filled(&self) {
        self.memory.mapping.words()[AT_BLANK].store(0, Release);
    }

    /// Whether its file was removed or replaced, so that whoever opens this memory next finds another one, or none.
    pub fn is_lost(&self) -> bool {
        !file::is_at(&self.memory.file, &self.memory.path)
    }

    /// The process that was the last to run the replica; it may be dead.
    pub fn owner(&self) -> Option<Process> {
        let [who, world] = &self.memory.mapping.words()[AT_OWNER..AT_OWNER + 2] else { unreachable!("two words") };
        loop {
            let seen = who.load(Acquire);
            let process = Process::of_words([seen, world.load(Acquire)]);
            // Owners are changed in the order: nobody, where, who.
            if who.load(Relaxed) == seen {
                return (seen != 0).then_some(process);
            }
        }
    }

    /// Watches the process that was the last to run the replica.
    pub fn watch(&self) -> Result<Watch, ShmError> {
        let nobody = || ShmError::Nobody { path: self.path().to_owned() };
        Watch::on(self.owner().ok_or_else(nobody)?)
    }

    /// Whether the thread that took the seat last is known to be dead: at once, and without a word to the system. What
    /// is not known here a [`Watch`] tells.
    #[inline]
    pub fn is_orphan(&self) -> bool {
        tie::is_cut(self)
    }

    /// Only whoever has the seat may.
    fn sign(&self, owner: Process) {
        tie::tie(self);
        let [who, world] = owner.to_words();
        let words = &self.memory.mapping.words()[AT_OWNER..AT_OWNER + 2];
        words[0].store(0, Relaxed);
        words[1].store(world, Release);
        words[0].store(who, Release);
    }

    /// The same, after its file was put where it is to be found. Nobody else may have it yet.
    fn at(mut self, path: PathBuf) -> SharedWords {
        Arc::get_mut(&mut self.memory).expect("nobody else has it").path = path;
        self
    }

    fn set(&self) -> u64 {
        self.memory.set
    }
}

/// A file in memory, from its first word on.
#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    /// The file must have so many words; whoever calls has looked.
    #[allow(unsafe_code)]
    fn new(file: &File, words: usize) -> io::Result<Mapping> {
        let bytes = words.checked_mul(size_of::<AtomicU64>()).expect("plans have bounds");
        assert!(file.metadata()?.len() >= bytes as u64, "a mapping would go beyond the end of its file");
        // Every page is touched now, so that no store waits for the system later.
        let flags = MapFlags::SHARED | MapFlags::POPULATE;
        // SAFETY: the address is left to the system, which takes one where nothing is mapped, so no memory that anybody
        // has a reference to changes.
        let start = unsafe { mmap(ptr::null_mut(), bytes, ProtFlags::READ | ProtFlags::WRITE, flags, file, 0) }?;
        let start = NonNull::new(start.cast()).expect("the system never maps at address 0 unasked");
        Ok(Mapping { start, words })
    }

    #[inline]
    #[allow(unsafe_code)]
    fn words(&self) -> &[AtomicU64] {
        // SAFETY:
        // * `start` is where `new` mapped `words` words, and nothing unmaps them but `drop`, for which no reference may
        //   be left: all of them borrow from `self`.
        // * A page is aligned better than an `AtomicU64`, and all bits are valid ones.
        // * Others change the words while the slice lives: threads of this process through the same type, and other
        //   processes through their own mappings. Atomics may be changed behind a shared reference, and those of this
        //   size are single loads and stores of the processor, which does not know of processes. Whoever writes to the
        //   file with anything else can change values only, and every value is valid.
        // * The file was as long as the mapping when it was mapped. Should somebody cut it later, then touching what
        //   is gone ends the process (SIGBUS): it never reads something else. Only memory without a name could be
        //   sealed against that, and this must have one in order to be found again. So the file is its owner's alone,
        //   nothing of ours ever cuts one, and whoever opens it looks at its length. All its room was set aside, so a
        //   full file system is no reason either.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    #[allow(unsafe_code)]
    fn drop(&mut self) {
        let bytes = self.words * size_of::<AtomicU64>();
        // SAFETY: `new` mapped exactly this and nobody has unmapped it; no reference is left, since each borrows from
        // `self`, which is going away.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), bytes) };
        assert!(unmapped.is_ok(), "what was mapped can be unmapped: {unmapped:?}");
    }
}

/// What the system marks when this thread dies: one word of a memory. Until it is dropped, on the same thread.
#[derive(Debug)]
struct Entry {
    /// The list that the thread had before.
    former: (usize, usize),
    /// The system reads this when the thread dies.
    _list: Box<RobustList>,
    _not_for_other_threads: PhantomData<*mut ()>,
}

/// The system's own layout.
#[repr(C)]
#[derive(Debug)]
struct RobustList {
    /// The first lock of a ring that ends here: there is none.
    next: usize,
    /// From a lock to its word.
    offset: isize,
    /// A lock that is not in the ring, and is marked all the same.
    pending: usize,
}

impl Entry {
    /// It is the caller's affair to keep the memory for as long as the entry.
    #[allow(unsafe_code)]
    fn new(memory: &SharedWords, word: usize) -> io::Result<Entry> {
        let mut former = (0_usize, 0_usize);
        // SAFETY: the system writes an address and a length into the two words that it is given, of the thread that asks.
        let asked = unsafe { libc::syscall(libc::SYS_get_robust_list, 0, &raw mut former.0, &raw mut former.1) };
        if asked != 0 {
            return Err(io::Error::last_os_error());
        }
        let word = ptr::from_ref(&memory.memory.mapping.words()[word]).addr();
        let mut list = Box::new(RobustList { next: 0, offset: 0, pending: word });
        list.next = ptr::from_ref(&*list).addr();
        Entry::name(list.next, size_of::<RobustList>())?;
        Ok(Entry { former, _list: list, _not_for_other_threads: PhantomData })
    }

    /// Names this thread's list to the system.
    #[allow(unsafe_code)]
    fn name(list: usize, length: usize) -> io::Result<()> {
        // SAFETY: the system notes the address and reads what is there when this thread dies. It is either a list that
        // stays where it is until `drop` has named another, on this thread, for an entry is not sent to others; or the
        // one that the C library had named. The one word that the system may change then is an atomic of a memory that
        // is mapped for as long, and it changes it only if this thread's number is in it.
        let set = unsafe { libc::syscall(libc::SYS_set_robust_list, list, length) };
        if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let restored = Entry::name(self.former.0, self.former.1);
        assert!(restored.is_ok(), "a list that was there can be named again: {restored:?}");
    }
}

// SAFETY: a mapping belongs to the process and not to a thread, and all that can be had of it are atomics, which any
// thread may use, and unmap only when no other has them.
#[allow(unsafe_code)]
unsafe impl Send for Mapping {}

// SAFETY: the same.
#[allow(unsafe_code)]
unsafe impl Sync for Mapping {}
