//! [`Handle`]: the way to a host's thread from others. Whoever wants to know
//! something brings a function that looks at the machine; it is called between
//! two steps, so nobody waits for a lock and nobody sees half of anything.

use std::collections::HashSet;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use skein_machine::{Machine, Time};
use tokio::sync::{Notify, mpsc, oneshot};

use super::ground::{Ground, Security};
use super::meters::Meters;

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
    /// From now on members know each other by this.
    Secure(Security),
    /// Nothing comes from these or goes to them.
    BeDeafTo(HashSet<SocketAddr>),
}

/// The other end of all handles.
pub(super) struct Orders<M: Machine> {
    pub(super) calls: mpsc::Receiver<Call<M>>,
    pub(super) stop: Arc<Notify>,
}

/// The way to a host from other threads.
pub struct Handle<M: Machine> {
    calls: mpsc::Sender<Call<M>>,
    stop: Arc<Notify>,
    ground: Arc<Ground>,
}

impl<M: Machine> Clone for Handle<M> {
    fn clone(&self) -> Handle<M> {
        Handle { calls: self.calls.clone(), stop: self.stop.clone(), ground: self.ground.clone() }
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
    pub(super) fn new(ground: Arc<Ground>) -> (Handle<M>, Orders<M>) {
        let (calls, taken) = mpsc::channel(MOST_CALLS);
        let stop = Arc::new(Notify::new());
        (Handle { calls, stop: stop.clone(), ground }, Orders { calls: taken, stop })
    }

    /// What has come and gone there.
    pub fn meters(&self) -> &Meters {
        &self.ground.meters
    }

    /// From now on members know each other by this. Connections that stand are left alone.
    pub fn secure(&self, security: Security) -> Result<(), Unheard> {
        self.push(Call::Secure(security))
    }

    /// Nothing comes from these any more, or goes to them, as if the network were parted there: for whoever tries out
    /// what a fleet does then.
    pub fn be_deaf_to(&self, others: HashSet<SocketAddr>) -> Result<(), Unheard> {
        self.push(Call::BeDeafTo(others))
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
        self.stop.notify_one();
    }

    fn push(&self, call: Call<M>) -> Result<(), Unheard> {
        self.calls.try_send(call).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => Unheard::Busy,
            mpsc::error::TrySendError::Closed(_) => Unheard::Stopped,
        })
    }
}
