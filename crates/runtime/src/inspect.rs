//! [`Inspection`]: what a replica says of itself when it is asked, for those
//! who watch it: its machine's gauges, its links, its log. Taken on the
//! replica's own thread between two turns, so it fits together.

use skein_machine::{Machine, ProcessId};

use crate::front::{Front, Traffic};
use crate::replica::Replica;

/// One replica at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// Who it is.
    pub process: ProcessId,
    /// How often it has lost its memory.
    pub incarnation: u32,
    /// What its machine counts and measures, by name.
    pub gauges: Vec<(&'static str, u64)>,
    /// The way to each of the others.
    pub links: Vec<LinkState>,
    /// How many clients it has.
    pub clients: usize,
    /// Records that its log has taken, in all its lives.
    pub log_appended: u64,
    /// How many of them are durable.
    pub log_durable: u64,
    /// Bytes that wait for the disk.
    pub log_backlog: usize,
    /// Things to say that wait for the disk.
    pub held_back: usize,
    /// What went through its connections.
    pub traffic: Traffic,
}

/// The way to one peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// The peer.
    pub peer: ProcessId,
    /// Whether it is connected.
    pub is_up: bool,
    /// Bytes that it was told and has not taken.
    pub backlog: usize,
}

impl<M: Machine, F: Front<M>> Replica<M, F> {
    pub(crate) fn inspect(&mut self) -> Inspection {
        let mut gauges = Vec::new();
        self.machine.gauges(&mut |name, value| gauges.push((name, value)));
        let mut links = Vec::new();
        for nth in 0..self.links.len() {
            let (peer, slot) = (self.links[nth].process, self.links[nth].slot);
            let backlog = slot.and_then(|slot| self.slots.get(slot)).map(|place| place.conn.backlog());
            links.push(LinkState { peer, is_up: backlog.is_some(), backlog: backlog.unwrap_or(0) });
        }
        Inspection {
            process: self.me.process,
            incarnation: self.me.incarnation,
            gauges,
            links,
            clients: self.slots.clients_here(),
            log_appended: self.log.appended(),
            log_durable: self.log.durable(),
            log_backlog: self.log.backlog(),
            held_back: self.held.len(),
            traffic: self.desk.traffic,
        }
    }
}
