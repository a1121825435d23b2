//! Messages that travel alone: how a [`World`] sends them off and drops them in.

use bytes::Bytes;
use skein_machine::{Machine, ProcessId};

use super::World;
use crate::world::Event;
use crate::{Datagrams, Nanos};

/// So much can wait at a process that stands still; what comes then is lost, as where a socket's buffer is full.
const BUFFER: usize = 256;

impl<M: Machine> World<M> {
    /// From now on small messages travel alone. What is on its way already arrives as it was sent.
    pub fn let_datagrams(&mut self, datagrams: Datagrams) {
        self.network.let_datagrams(datagrams);
    }

    /// From now on a message that travels alone is lost with this probability.
    pub fn set_loss(&mut self, loss: f64) {
        let datagrams = self.network.datagrams().expect("messages travel alone where loss is set");
        *datagrams = datagrams.with_loss(loss);
    }

    /// Cuts every link, both ways, between processes of these two sides, or lets it through again.
    pub fn set_cut_between(&mut self, left: &[ProcessId], right: &[ProcessId], is_cut: bool) {
        self.note(|| format!("{} and {} processes {}", left.len(), right.len(), ["meet", "part"][usize::from(is_cut)]));
        for (one, other) in left.iter().flat_map(|one| right.iter().map(move |other| (*one, *other))) {
            self.set_cut(one, other, is_cut);
            self.set_cut(other, one, is_cut);
        }
    }

    /// Puts a message on a way of its own.
    pub(super) fn cast(&mut self, from: usize, place: usize, message: Bytes) {
        let arrives: Option<Nanos> = self.network.cast(from, place, self.now, &mut self.random);
        if let Some(at) = arrives {
            self.agenda.plan(at, Event::Datagram { from, place, message });
        }
    }

    /// A message that travelled alone arrives, if the way is still open.
    pub(super) fn drop_in(&mut self, from: usize, place: usize, message: Bytes) {
        if self.network.is_cut_off(from, place) {
            return;
        }
        if !self.processes[place].is_paused {
            self.hear(from, place, message);
        } else if self.processes[place].deferred.len() < BUFFER {
            self.processes[place].deferred.push(Event::Datagram { from, place, message });
        }
    }
}
