//! [`Handle`]: the way to a host's thread from others. Whoever wants to know
//! something brings a function that looks at the machine; it is called between
//! two steps, so nobody waits for a lock and nobody sees half of anything.

use std::fmt;

use skein_machine::{Machine, Time};
use tokio::sync::{mpsc, oneshot};

/// Calls that wait to be taken. Whoever comes when so many do is told to come later.
pub(super) const MOST_CALLS: usize = 4_096;

type Look<M> = Box<dyn FnOnce(&M, Time) + Send>;
type Then<M> = Box<dyn FnOnce(&M, Time, &[<M as Machine>::Event]) + Send>;

/// What other threads want of a host.
pub(super) enum Call<M: Machine> {
    /// Look at the machine.
    Look(Look<M>),
    /// Command it, and then look what it said.
    Command(M::Command, Then<M>),
    /// End, as a crash would.
    Stop,
}

/// The way to a host from other threads.
pub struct Handle<M: Machine> {
    calls: mpsc::Sender<Call<M>>,
}

impl<M: Machine> Clone for Handle<M> {
    fn clone(&self) -> Handle<M> {
        Handle { calls: self.calls.clone() }
    }
}

/// Why a host does not hear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unheard {
    /// It has stopped.
    Stopped,
    /// It has more to do than it can: come later.
    Busy,
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unheard::Stopped => "the agent has stopped",
            Unheard::Busy => "the agent has more to do than it can: try again",
        })
    }
}

impl<M: Machine> Handle<M> {
    pub(super) fn new() -> (Handle<M>, mpsc::Receiver<Call<M>>) {
        let (calls, taken) = mpsc::channel(MOST_CALLS);
        (Handle { calls }, taken)
    }

    /// Has a function look at the machine. It runs on the machine's thread: let it be quick.
    pub fn look(&self, look: impl FnOnce(&M, Time) + Send + 'static) -> Result<(), Unheard> {
        self.push(Call::Look(Box::new(look)))
    }

    /// Commands the machine, and has a function look what it said to that.
    pub fn command(
        &self,
        command: M::Command,
        then: impl FnOnce(&M, Time, &[M::Event]) + Send + 'static,
    ) -> Result<(), Unheard> {
        self.push(Call::Command(command, Box::new(then)))
    }

    /// What a look has found.
    pub async fn see<T: Send + 'static>(
        &self,
        look: impl FnOnce(&M, Time) -> T + Send + 'static,
    ) -> Result<T, Unheard> {
        let (asker, answer) = oneshot::channel();
        // Whoever has asked may be gone.
        self.look(move |machine, now| drop(asker.send(look(machine, now))))?;
        answer.await.map_err(|_| Unheard::Stopped)
    }

    /// Ends the host's life, as a crash would.
    pub fn stop(&self) {
        // If there is no room, it will see that nobody holds on to it; if it has stopped, all is done.
        let _ = self.calls.try_send(Call::Stop);
    }

    fn push(&self, call: Call<M>) -> Result<(), Unheard> {
        self.calls.try_send(call).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unheard::Busy,
            mpsc::error::TrySendError::Closed(_) => Unheard::Stopped,
        })
    }
}
