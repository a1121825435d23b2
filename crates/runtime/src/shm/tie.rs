//! [`Tie`]: has the system say in a memory that the thread which runs its
//! replica is dead, as the first thing that it does when the thread dies.
//!
//! The system keeps a list for each thread, of the locks to mark when it dies:
//! robust futexes. It does so before it takes the process's memory apart, which
//! is most of the time of a death, and the mark can be seen without asking the
//! system. Where no mark appears, a [`Watch`](super::Watch) sees the death later.
//!
//! A thread has one such list, and here one entry in it. While a thread is tied
//! its robust locks of the C library are not marked; nothing in Rust has any.

use std::cell::RefCell;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use super::header::AT_TIE;
use super::{Entry, SharedWords};

/// The system sets this when the thread of that number dies.
const DIED: u32 = 1 << 30;

/// The other bits of the mark that are not the number.
const WAITERS: u32 = 1 << 31;

thread_local! {
    static TIED: RefCell<Option<Tie>> = const { RefCell::new(None) };
}

/// This thread, tied to a memory until this is dropped.
#[derive(Debug)]
struct Tie {
    entry: Option<Entry>,
    memory: SharedWords,
    number: u32,
}

impl Drop for Tie {
    fn drop(&mut self) {
        // The list first: from then on nobody touches the word but by its name.
        drop(self.entry.take());
        let word = word(&self.memory);
        let _ = word.compare_exchange(of_number(self.number), 0, Release, Acquire);
    }
}

/// Ties this thread to a memory, instead of the one that it was tied to. Where the system does not offer it, nothing
/// happens.
pub(super) fn tie(memory: &SharedWords) {
    untie();
    let number = rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs();
    word(memory).store(of_number(number), Release);
    let entry = Entry::new(memory, AT_TIE).ok();
    TIED.set(Some(Tie { entry, memory: memory.clone(), number }));
}

/// This thread runs no replica any more.
pub(super) fn untie() {
    // While the thread ends there may be none.
    let _ = TIED.try_with(|tied| tied.borrow_mut().take());
}

/// Whether the thread that was tied to it is dead.
pub(super) fn is_cut(memory: &SharedWords) -> bool {
    number_in(word(memory).load(Acquire)) & DIED != 0
}

fn word(memory: &SharedWords) -> &AtomicU64 {
    &memory.memory.mapping.words()[AT_TIE]
}

/// The system knows four bytes of it, the first.
fn of_number(number: u32) -> u64 {
    let number = number & !(DIED | WAITERS);
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&number.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

fn number_in(word: u64) -> u32 {
    let bytes = word.to_ne_bytes();
    u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
