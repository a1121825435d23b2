//! [`Inspection`]: what a replica says of itself when it is asked, for those
//! who watch it: its machine's gauges, its links, its log. Taken on the
//! replica's own thread between two turns, so it fits together.

use std::time::{Duration, Instant};

use skein_machine::chronicle::Counts;
use skein_machine::{Machine, ProcessId, SessionId, Story, Time};

use crate::front::{Front, Traffic};
use crate::links::Link;
use crate::replica::Replica;
use crate::wal::Syncs;

/// So many messages that wait are told of at once: those in front, for which the others wait.
pub const MOST_WAITING: usize = 64;

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
    /// How long the log's syncs took.
    pub syncs: Syncs,
    /// Things to say that wait for the disk.
    pub held_back: usize,
    /// What went through its connections.
    pub traffic: Traffic,
    /// What was noted of its messages, if anything is.
    pub counts: Counts,
}

/// What a replica remembers of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// How it has got on, if that is remembered.
    pub story: Option<Story>,
    /// So many deliveries are remembered here,
    pub remembered: u64,
    /// and this is when the oldest of them was.
    pub since: Option<Time>,
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
    /// What went through its connections.
    pub traffic: Traffic,
    /// How long it takes until it gives a sign of life that it was asked for. One end of a link asks.
    pub round_trip: Option<Duration>,
}

impl<M: Machine, F: Front<M>> Replica<M, F> {
    pub(crate) fn inspect(&mut self) -> Inspection {
        let mut gauges = Vec::new();
        self.machine.gauges(&mut |name, value| gauges.push((name, value)));
        let mut links = Vec::new();
        for nth in 0..self.links.len() {
            let (peer, slot) = (self.links[nth].process, self.links[nth].slot);
            let backlog = slot.and_then(|slot| self.slots.get(slot)).map(|place| place.conn.backlog());
            let Link { traffic, round_trip, .. } = self.links[nth];
            let (is_up, backlog) = (backlog.is_some(), backlog.unwrap_or(0));
            links.push(LinkState { peer, is_up, backlog, traffic, round_trip });
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
            syncs: self.log.syncs(),
            held_back: self.held.len(),
            traffic: self.desk.traffic,
            counts: self.out.chronicle().map(|chronicle| chronicle.counts()).unwrap_or_default(),
        }
    }

    pub(crate) fn waiting(&mut self) -> Vec<Story> {
        let waiting = self.machine.waiting(MOST_WAITING);
        let stories = waiting.into_iter().map(|id| self.explain(id.session, id.sequence).story);
        stories.flatten().filter(|story| story.delivered.is_none()).collect()
    }

    pub(crate) fn explain(&mut self, session: SessionId, sequence: u64) -> Explained {
        self.it_is(Instant::now());
        let outlook = self.machine.outlook(session, sequence);
        let Some(chronicle) = self.out.chronicle() else {
            return Explained { story: None, remembered: 0, since: None };
        };
        let (since, remembered) = chronicle.remembers();
        Explained { story: chronicle.story(session, sequence, outlook), remembered, since }
    }
}
