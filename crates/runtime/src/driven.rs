//! [`Driven`]: a replica without a thread of its own. Whoever owns it calls
//! [`Driven::turn`] again and again, and looks at the machine in between.

use std::time::Duration;

use mio::Events;
use skein_machine::Machine;

use crate::cores;
use crate::courtesy::Courtesy;
use crate::failure::Failure;
use crate::front::Front;
use crate::replica::{Replica, Surroundings};

/// A replica that lives as far as it is driven.
pub struct Driven<M: Machine, F: Front<M>> {
    replica: Replica<M, F>,
    events: Events,
}

impl<M: Machine, F: Front<M>> Replica<M, F> {
    /// Lives until it is stopped, on a thread of its own.
    pub fn run(self, seed: u64) -> Result<(), Failure> {
        let is_patient = self.surroundings.waits_for_cores();
        if is_patient {
            cores::be_patient();
        }
        let mut courtesy = Courtesy::of(is_patient);
        let mut driven = self.start(seed)?;
        while driven.turn(None)? {
            if !driven.replica.has_work() {
                courtesy.after_you();
            }
        }
        driven.shutdown()
    }

    /// Whether there is something to do already, so that it must not sleep.
    pub(crate) fn has_work(&self) -> bool {
        self.surroundings.busy_poll || self.has_more || self.has_calls || !self.to_itself.is_empty()
    }

    /// Begins to live, driven by whoever calls.
    pub fn start(mut self, seed: u64) -> Result<Driven<M, F>, Failure> {
        self.machine.start(self.surroundings.clock.now(), seed, &mut self.out);
        self.end_turn()?;
        Ok(Driven { replica: self, events: Events::with_capacity(256) })
    }
}

impl Surroundings {
    /// Whether its threads are patient: those of its log, too. Where one looks all the time, others would wait for it.
    pub(crate) fn waits_for_cores(&self) -> bool {
        self.is_patient && !self.busy_poll
    }
}

impl<M: Machine, F: Front<M>> Driven<M, F> {
    /// Asks the machine for something, in the next turn.
    pub fn command(&mut self, command: M::Command) {
        self.replica.desk.command(command);
    }

    /// Does what is ready; if nothing is, waits for it, so long at most. Answers whether it goes on.
    pub fn turn(&mut self, longest: Option<Duration>) -> Result<bool, Failure> {
        self.replica.turn(&mut self.events, longest)?;
        Ok(!self.replica.is_stopping)
    }

    /// What stands between the machine and its users.
    pub fn front(&mut self) -> &mut F {
        &mut self.replica.front
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &M {
        &self.replica.machine
    }

    /// Ends its life in order.
    pub fn shutdown(self) -> Result<(), Failure> {
        self.replica.log.shutdown().map_err(Failure::Log)
    }
}
