//! [`Messages`]: the outside of a bare multicast protocol. Messages are sent,
//! each by an outsider of its own, and what is delivered is judged as any other
//! history is.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{
    Cluster, Delivery, Down, GroupSet, MessageId, Multicast, Ordering, ProcessId, Stamp, Timestamp, Up,
};

use super::outside::{Outside, Story, tell};
use super::{MomentKind, Scope};
use crate::History;
use crate::check::{Claims, RealTime, Violation, judge};

/// What the messages say where some commute. The first and the third read what the second writes, and the fourth
/// writes elsewhere: of any two that follow each other some commute and some do not.
const LETTERS: &[u8] = b"aeidbfjh";

/// One workload.
pub(super) struct Messages<'a> {
    scope: &'a Scope,
    cluster: &'a Arc<Cluster>,
    workload: &'a [GroupSet],
    processes: Vec<ProcessId>,
}

/// What was sent and delivered.
#[derive(Clone)]
pub(super) struct Memory {
    /// By process.
    lives: Vec<Lives>,
    /// Which messages were sent, one bit each.
    sent: u64,
    /// For each message: which others were over when it was sent.
    over_before: Vec<u64>,
    /// Everything, in order. Not hashed: what matters of it is hashed by the fields.
    log: Vec<Seen>,
}

/// What one process delivered.
#[derive(Clone, Default, Hash)]
struct Lives {
    /// With all its lives together.
    delivered: Vec<(MessageId, Timestamp)>,
    /// How many of these it has told in this life.
    told: u64,
    /// Where some messages commute, instead: what it told in this life, in whatever order.
    holds: BTreeSet<Stamp>,
    /// And in each life before: what these lacked may yet turn out to be a hole.
    held: BTreeSet<BTreeSet<Stamp>>,
    /// Up to where it has released answers.
    settled: Option<Stamp>,
}

/// What the outside sees.
#[derive(Clone)]
enum Seen {
    Sent { nth: u8 },
    Delivered { place: u8, life: u32, delivery: Arc<Delivery> },
    Settled { place: u8, stamp: Stamp },
}

impl Lives {
    /// A repetition after a restart is seen by the judges. Here it changes what is held, or how much is told. The
    /// order in which commuting messages were told makes no difference: what conflicts was compared when it was told.
    fn remember(&mut self, delivery: &Delivery, do_some_commute: bool) {
        if do_some_commute {
            self.holds.insert(delivery.stamp());
            return;
        }
        if delivery.position as usize >= self.delivered.len() {
            self.delivered.push((delivery.message.id, delivery.timestamp));
        }
        self.told += 1;
    }
}

impl Hash for Memory {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Memory { lives, sent, over_before, log: _ } = self;
        (lives, sent, over_before).hash(state);
    }
}

impl<'a> Messages<'a> {
    pub(super) fn new(scope: &'a Scope, cluster: &'a Arc<Cluster>, workload: &'a [GroupSet]) -> Messages<'a> {
        Messages { scope, cluster, workload, processes: cluster.processes().collect() }
    }

    /// The message `nth`, each of a session of its own.
    fn message(&self, nth: u8) -> Multicast {
        Multicast {
            id: MessageId::new(u64::from(nth) + 1, 1, self.workload[usize::from(nth)].bits()),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: self.payload(nth),
        }
    }

    fn payload(&self, nth: u8) -> Bytes {
        match self.scope.conflicts {
            Some(_) => Bytes::from_static(LETTERS).slice(usize::from(nth)..=usize::from(nth)),
            None => Bytes::new(),
        }
    }

    fn count(&self) -> u8 {
        self.workload.len() as u8
    }

    /// The outsider that sends the message `nth`.
    fn sender(&self, nth: u8) -> ProcessId {
        self.cluster.outsiders()[usize::from(nth)]
    }

    fn place(&self, process: ProcessId) -> usize {
        let place = self.processes.iter().position(|other| *other == process);
        place.unwrap_or_else(|| panic!("there is no process {process} in this search"))
    }

    /// Which messages are over now, in the sense that the scope asks for.
    fn over(&self, memory: &Memory) -> u64 {
        let Some(kind) = self.scope.real_time else { return 0 };
        let has = |place: usize, id: MessageId| memory.lives[place].delivered.iter().any(|(other, _)| *other == id);
        let is_over = |nth: &u8| {
            let message = self.message(*nth);
            let by = |process: &ProcessId| has(self.place(*process), message.id);
            match kind {
                RealTime::Deliveries => self.processes.iter().any(by),
                RealTime::Completions => {
                    message.id.destinations.iter().all(|group| self.cluster.members(group).iter().any(by))
                }
                RealTime::Answers => {
                    let has_released = |process: &ProcessId| {
                        let Lives { delivered, settled, .. } = &memory.lives[self.place(*process)];
                        let stamp = delivered.iter().find(|(id, _)| *id == message.id);
                        stamp.is_some_and(|(id, timestamp)| *settled >= Some(Stamp { timestamp: *timestamp, id: *id }))
                    };
                    message.id.destinations.iter().all(|group| self.cluster.members(group).iter().any(has_released))
                }
            }
        };
        (0..self.count()).filter(is_over).fold(0, |bits, nth| bits | 1 << nth)
    }
}

impl<M: Ordering> Outside<M> for Messages<'_> {
    type Memory = Memory;

    fn begin(&self) -> Memory {
        Memory {
            lives: vec![Lives::default(); self.processes.len()],
            sent: 0,
            over_before: vec![0; self.workload.len()],
            log: Vec::new(),
        }
    }

    /// Without a real-time order to keep, everything: a START that waits on its link is as good as one not sent.
    fn asked_at_first(&self) -> Vec<u8> {
        if self.scope.real_time.is_none() { (0..self.count()).collect() } else { Vec::new() }
    }

    fn may_be_asked(&self, memory: &Memory) -> Vec<u8> {
        (0..self.count()).filter(|nth| memory.sent >> nth & 1 == 0).collect()
    }

    fn is_all_asked(&self, memory: &Memory) -> bool {
        memory.sent == (1 << self.count()) - 1
    }

    fn ask(&self, nth: u8, memory: &mut Memory, story: &mut Story) -> (u8, Down) {
        let (message, sender) = (self.message(nth), self.sender(nth));
        memory.sent |= 1 << nth;
        memory.over_before[usize::from(nth)] = self.over(memory);
        memory.log.push(Seen::Sent { nth });
        let kind = MomentKind::Multicast(message.id, message.id.destinations);
        tell(story, kind, sender, || format!("multicasts {message:?}"));
        (self.place(sender) as u8, Down::Multicast(message))
    }

    fn hear(&self, place: u8, life: u32, up: Up, memory: &mut Memory, story: &mut Story) {
        // A search asks nobody for checkpoints and holds nothing back.
        let process = self.processes[usize::from(place)];
        if let Up::Settled(stamp) = up {
            tell(story, MomentKind::Answer, process, || format!("may answer up to {stamp}"));
            let settled = &mut memory.lives[usize::from(place)].settled;
            *settled = (*settled).max(Some(stamp));
            memory.log.push(Seen::Settled { place, stamp });
            return;
        }
        let Up::Deliver(delivery) = up else { return };
        let group = self.cluster.group_of(process).expect("only a replica delivers");
        tell(story, MomentKind::Deliver(delivery.message.id, group), process, || format!("delivers {delivery:?}"));
        memory.lives[usize::from(place)].remember(&delivery, self.scope.conflicts.is_some());
        memory.log.push(Seen::Delivered { place, life, delivery: Arc::new(delivery) });
    }

    fn begins_to_live(&self, place: u8, memory: &mut Memory) {
        let lives = &mut memory.lives[usize::from(place)];
        lives.told = 0;
        let gone = std::mem::take(&mut lives.holds);
        if !gone.is_empty() {
            lives.held.insert(gone);
        }
    }

    fn seen(&self, memory: &Memory) -> usize {
        memory.log.len()
    }

    fn judge(&self, memory: &Memory, _: &[Option<&M>], is_over: bool) -> Vec<Violation> {
        let mut history = History::new(self.cluster.clone(), self.scope.conflicts);
        for (at, seen) in memory.log.iter().enumerate() {
            match seen {
                Seen::Sent { nth } => history.multicast(at as u64, self.sender(*nth), &self.message(*nth)),
                Seen::Delivered { place, life, delivery } => {
                    history.delivered(at as u64, self.processes[usize::from(*place)], *life, delivery);
                }
                Seen::Settled { place, stamp } => {
                    history.settled(self.processes[usize::from(*place)], *stamp);
                }
            }
        }
        let Scope { conflicts, real_time, .. } = *self.scope;
        judge(&history, &Claims { conflicts, real_time, is_over, ..Claims::CLASSIC })
    }
}
