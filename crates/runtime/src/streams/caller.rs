//! [`Caller`]: the way to a server's thread from others. What they say is put
//! into a queue, and the thread is woken only when it sleeps: a thousand calls
//! before it looks cost one wake.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::Sender;

use mio::Waker;

pub use crate::handle::Stopped;

/// What a server's thread shares with others.
pub(super) struct Shared {
    waker: Waker,
    /// The thread works, or was woken: it will look again before it sleeps.
    is_awake: AtomicBool,
    pub(super) is_closing: AtomicBool,
    pub(super) is_retiring: AtomicBool,
    /// How many streams are open.
    pub(super) streams: AtomicUsize,
}

impl Shared {
    pub(super) fn new(waker: Waker) -> Shared {
        Shared {
            waker,
            is_awake: AtomicBool::new(true),
            is_closing: AtomicBool::new(false),
            is_retiring: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
        }
    }

    /// Has the thread look at what was left for it before this.
    pub(super) fn wake(&self) -> io::Result<()> {
        // Between what was left and the look whether anybody sleeps, as in `may_sleep` between that and the look
        // whether anything was left. One of the two sees what the other did.
        fence(Ordering::SeqCst);
        if self.is_awake.load(Ordering::Relaxed) || self.is_awake.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.waker.wake()
    }

    /// The thread would sleep. It has to look once more after this, and say [`Shared::is_up`] if it finds anything.
    pub(super) fn may_sleep(&self) {
        self.is_awake.store(false, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The thread works.
    pub(super) fn is_up(&self) {
        self.is_awake.store(true, Ordering::Relaxed);
    }
}

/// The way to a server's thread from others.
pub struct Caller<C> {
    pub(super) calls: Sender<C>,
    pub(super) shared: Arc<Shared>,
}

impl<C> Clone for Caller<C> {
    fn clone(&self) -> Caller<C> {
        Caller { calls: self.calls.clone(), shared: self.shared.clone() }
    }
}

impl<C> Caller<C> {
    /// Tells the protocol something, which hears it in this turn or the next.
    pub fn call(&self, call: C) -> Result<(), Stopped> {
        self.calls.send(call).map_err(|_| Stopped)?;
        self.shared.wake().map_err(|_| Stopped)
    }
}
