//! # Mu: a service replicated in microseconds
//!
//! [`Mu`] is one replica of a service, on the thread that owns it: the log
//! lies in memory that several processes share and that outlives them, the
//! leader writes a request straight into all copies, and a request takes well
//! under a microsecond. Any minority of the processes may be killed; the
//! machine itself may not. The protocol is in [`skein_order::mu`], the memory in
//! [`skein_runtime::shm`].
//!
//! Over several hosts the same replica writes to memories that servers keep
//! ([`MuConfig::network`], [`MemoryServer`]): a request takes as long as a
//! network does, and any minority of the hosts may be lost.
//!
//! A replica has no thread of its own and never waits: whoever owns it calls
//! [`Mu::propose`], or [`Mu::poll`] again and again. A replica that nobody
//! polls is taken for one that stands still, and another leads.
//!
//! ```no_run
//! # fn service() -> Box<dyn skein::machine::Service> { unimplemented!() }
//! # fn main() -> Result<(), skein::mu::MuError> {
//! use skein::mu::{Mu, MuConfig, Role};
//!
//! // This is replica 0 of three; the others are processes that say 1 and 2.
//! let mut mu = Mu::open(&MuConfig::new("prices", 0, 3), service())?;
//! loop {
//!     if mu.role() == Role::Leading {
//!         let reply = mu.propose(b"GOOG 171")?;
//!         println!("{reply:?}");
//!     } else {
//!         mu.poll();
//!     }
//! }
//! # }
//! ```

mod config;
mod desk;
mod drive;
mod error;
mod far;
mod ground;
mod host;
mod peers;
mod requests;
mod server;
mod timers;

#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use skein_machine::{Reply, Service};
use skein_order::mu::Command;

pub use config::{Fabric, MuConfig, Network};
pub use error::MuError;
pub use server::MemoryServer;
pub use skein_order::mu::{Pace, Role};

use desk::Desk;
use drive::Drive;
use requests::Requests;

/// One replica of a service.
pub struct Mu {
    drive: Drive,
    desk: Desk,
    requests: Requests,
    /// The number of the next request: tickets count up.
    next: u64,
    queue: usize,
    patience: Duration,
}

/// A request that was submitted: [`Mu::poll`] says what became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(u64);

impl Mu {
    /// Takes the seat of a replica in the cluster's memories, and makes them if this is the first one there. It does not
    /// wait for the others: until there is a leader, [`Mu::propose`] is refused.
    pub fn open(config: &MuConfig, service: Box<dyn Service>) -> Result<Mu, MuError> {
        let options = config.options()?;
        if let Some(core) = config.core {
            skein_runtime::cores::keep_to(core)?;
        }
        let longest = config.longest;
        let queue = options.queue;
        let mut desk = Desk::new(service, options.shape.replicas);
        let drive = Drive::start(config, options, crate::draw().map_err(MuError::NoChance)?, &mut desk)?;
        Ok(Mu { drive, desk, requests: Requests::new(longest), next: 1, queue, patience: config.patience })
    }

    /// Puts a request into the log and answers what the service says of it. It comes back when the request is decided
    /// and applied here, when it was refused, or when nobody can know what becomes of it ([`MuError::Unknown`]).
    ///
    /// As long as no majority answers, it waits, for [`MuConfig::patience`] at most.
    #[inline]
    pub fn propose(&mut self, request: &[u8]) -> Result<Reply, MuError> {
        let token = self.say(request)?;
        if let Some(answer) = self.desk.take(token) {
            if answer.is_ok() {
                // Only now, when nobody waits, there is time for what comes by again and again.
                self.drive.keep_time(&mut self.desk);
            } else {
                // Whoever asks again and again must find out that the leader is dead.
                self.drive.poll(true, &mut self.desk);
            }
            return answer;
        }
        self.wait(token)
    }

    /// It was not decided at once: others must do something first.
    #[cold]
    fn wait(&mut self, token: u64) -> Result<Reply, MuError> {
        let until = Instant::now() + self.patience;
        loop {
            let slept = self.drive.poll(false, &mut self.desk);
            if let Some(answer) = self.desk.take(token) {
                return answer;
            }
            if Instant::now() >= until {
                self.desk.forget(token);
                return Err(MuError::Silent { after: self.patience });
            }
            if let Some(failure) = self.drive.failure() {
                return Err(failure);
            }
            if !slept {
                std::thread::yield_now();
            }
        }
    }

    /// Puts a request into the log and does not wait: several may be on their way.
    pub fn submit(&mut self, request: &[u8]) -> Result<Ticket, MuError> {
        if self.desk.unread() >= self.queue {
            return Err(MuError::Busy);
        }
        Ok(Ticket(self.say(request)?))
    }

    fn say(&mut self, request: &[u8]) -> Result<u64, MuError> {
        if request.len() > self.requests.longest() {
            return Err(MuError::TooLong { bytes: request.len(), longest: self.requests.longest() });
        }
        if let Some(failure) = self.drive.failure() {
            return Err(failure);
        }
        let token = self.next;
        self.next += 1;
        let request = self.requests.copy(request);
        self.drive.command(Command::Propose { token, request }, &mut self.desk);
        Ok(token)
    }

    /// Does whatever is ready, and says what became of one submitted request, if anything has. A replica that does not
    /// lead and finds nothing to do lets others have its core for a moment; over a network any replica does, for
    /// [`Pace::look`] at most.
    #[inline]
    pub fn poll(&mut self) -> Option<(Ticket, Result<Reply, MuError>)> {
        let was_busy = self.drive.poll(self.desk.unread() > 0, &mut self.desk);
        if !was_busy && self.desk.role() != Role::Leading {
            std::thread::yield_now();
        }
        self.desk.next().map(|(token, answer)| (Ticket(token), answer))
    }

    /// Whether it leads, and if not, who seems to.
    pub fn role(&self) -> Role {
        self.desk.role()
    }

    /// How many slots of the log its service has applied.
    pub fn applied(&self) -> u64 {
        self.drive.applied()
    }

    /// How far the service of a replica had applied the log when it last said so. Nothing is known of one whose memory
    /// is lost.
    pub fn applied_by(&self, replica: usize) -> Option<u64> {
        self.drive.applied_by(replica)
    }

    /// Whether it knows what the others do. A replica that was away fetches a state first, and does not lead meanwhile.
    pub fn is_well(&self) -> bool {
        self.drive.is_well()
    }

    /// Says that this process is about to stop. Go on polling until another leads, so that nobody waits.
    pub fn retire(&mut self) {
        self.drive.command(Command::Retire, &mut self.desk);
    }

    /// Reads its certificates again: new connections use them. If anything is wrong with them, all stays as it was.
    pub fn reload(&self) -> Result<(), MuError> {
        self.drive.reload()
    }

    /// A question to the service as it is here, which may be behind.
    pub fn service(&self) -> &dyn Service {
        self.desk.service()
    }
}
