//! [`Words`]: memory as Mu sees it, words that several processors load and
//! store at the same time, and fences between.
//!
//! Everything that is done to a memory goes through this trait, so the same
//! lines run on memory that processes share, on the memory of a simulated
//! machine, and under a model checker that tries every order in which a
//! processor may let its stores be seen. No word is ever half written. Nothing
//! here knows what the words mean.

use core::sync::atomic::{AtomicU64, Ordering, fence};

/// Words that others load and store too.
pub trait Words {
    /// What a word holds. It says nothing of any other word.
    fn load(&self, at: usize) -> u64;

    /// Changes a word. It says nothing of any other word.
    fn store(&self, at: usize, value: u64);

    /// Loads after it see at least what those before it saw.
    fn acquire(&self);

    /// Stores before it are seen by whoever sees a store after it.
    fn release(&self);

    /// Of two processors that each store, come by here, and then load what the other stores, one at least sees the
    /// other.
    fn full(&self);
}

impl Words for [AtomicU64] {
    #[inline]
    fn load(&self, at: usize) -> u64 {
        self[at].load(Ordering::Relaxed)
    }

    #[inline]
    fn store(&self, at: usize, value: u64) {
        self[at].store(value, Ordering::Relaxed);
    }

    #[inline]
    fn acquire(&self) {
        fence(Ordering::Acquire);
    }

    #[inline]
    fn release(&self) {
        fence(Ordering::Release);
    }

    #[inline]
    fn full(&self) {
        fence(Ordering::SeqCst);
    }
}
