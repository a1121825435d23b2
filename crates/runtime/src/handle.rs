//! [`Handle`]: the way to a replica from other threads. What they want is put
//! into a queue and taken out between two turns, so nobody ever waits for a lock.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, SendError, Sender, channel};

use mio::Waker;
use skein_machine::{SessionId, Story};

use crate::guest::Guest;
use crate::inspect::{Explained, Inspection};
use crate::listener::Seat;
use crate::replica::Places;

/// What other threads hand to a replica.
pub(crate) enum Call<C> {
    /// A connection whose hello was read.
    Connection(Box<Guest>, Seat),
    Front(C),
    /// Where the others are by now.
    Places(Places),
    Inspect(Sender<Inspection>),
    Explain(SessionId, u64, Sender<Explained>),
    Slow(Sender<Vec<Story>>),
    Waiting(Sender<Vec<Story>>),
    Stop,
}

/// The way to a replica from other threads.
pub struct Handle<C> {
    pub(crate) calls: Sender<Call<C>>,
    pub(crate) waker: Arc<Waker>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Handle<C> {
        Handle { calls: self.calls.clone(), waker: self.waker.clone() }
    }
}

/// Whoever was to be told has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl<C> Handle<C> {
    /// Asks the front for something.
    pub fn call(&self, call: C) -> Result<(), Stopped> {
        self.push(Call::Front(call))
    }

    /// Tells it where the others are. A link to one that has moved is dropped, and made again.
    pub fn others_are_at(&self, places: Places) -> Result<(), Stopped> {
        self.push(Call::Places(places))
    }

    /// Asks how it is. The answer comes between two turns, or never if it has stopped.
    pub fn inspect(&self) -> Result<Receiver<Inspection>, Stopped> {
        let (asker, answer) = channel();
        self.push(Call::Inspect(asker))?;
        Ok(answer)
    }

    /// Asks how a message has got on.
    pub fn explain(&self, session: SessionId, sequence: u64) -> Result<Receiver<Explained>, Stopped> {
        let (asker, answer) = channel();
        self.push(Call::Explain(session, sequence, asker))?;
        Ok(answer)
    }

    /// Asks for the slowest messages that it remembers, the slowest first.
    pub fn slow(&self) -> Result<Receiver<Vec<Story>>, Stopped> {
        let (asker, answer) = channel();
        self.push(Call::Slow(asker))?;
        Ok(answer)
    }

    /// Asks for messages that it has not delivered, those that come first in front.
    pub fn waiting(&self) -> Result<Receiver<Vec<Story>>, Stopped> {
        let (asker, answer) = channel();
        self.push(Call::Waiting(asker))?;
        Ok(answer)
    }

    /// Ends its life, as a crash would.
    pub fn stop(&self) {
        let _ = self.push(Call::Stop);
    }

    fn push(&self, call: Call<C>) -> Result<(), Stopped> {
        self.offer(call).map_or(Ok(()), |_| Err(Stopped))
    }

    /// Gives the call back if there is nobody to take it.
    pub(crate) fn offer(&self, call: Call<C>) -> Option<Call<C>> {
        if let Err(SendError(call)) = self.calls.send(call) {
            return Some(call);
        }
        self.wake();
        None
    }

    /// Wakes it, for whoever has left something for it elsewhere.
    pub fn wake(&self) {
        let _ = self.waker.wake();
    }
}
