//! [`Ledger`]: what was multicast and is not over, and what must hold of it.
//! It holds what is on the way and forgets the rest, so it stays as small as
//! that is. It asserts what a history would be judged by, as far as that can
//! be seen one delivery at a time.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use skein_machine::{Cluster, MessageId, Position, ProcessId, Stamp, Timestamp};

use super::{Flow, LONGEST};
use crate::Nanos;

/// What is on the way.
pub(super) struct Ledger {
    cluster: Arc<Cluster>,
    /// What happens meanwhile is counted.
    counted: Range<Nanos>,
    answers_wait: bool,
    open: BTreeMap<MessageId, Open>,
    replicas: BTreeMap<ProcessId, Replica>,
    /// Answered, and not yet fetched by those who asked.
    answered: Vec<MessageId>,
    /// Messages that the last replica delivered while it counted.
    pub(super) finished: u64,
}

/// A message that some replica has not delivered, or that has no answer.
struct Open {
    at: Nanos,
    entry: ProcessId,
    /// Once somebody has delivered it.
    timestamp: Option<Timestamp>,
    /// Replicas that have not delivered it.
    missing: usize,
    is_answered: bool,
}

/// What one replica has delivered.
#[derive(Default)]
struct Replica {
    is_first: bool,
    delivered: Position,
    newest: Option<Stamp>,
    settled: Option<Stamp>,
    /// What was multicast through it and delivered by it and may not be answered yet, in order, and since when.
    held: VecDeque<(Stamp, Nanos)>,
}

impl Ledger {
    pub(super) fn new(cluster: Arc<Cluster>, counted: Range<Nanos>, answers_wait: bool) -> Ledger {
        let mut replicas = BTreeMap::new();
        for group in cluster.groups().iter() {
            for (nth, member) in cluster.members(group).iter().enumerate() {
                replicas.insert(*member, Replica { is_first: nth == 0, ..Replica::default() });
            }
        }
        Ledger { cluster, counted, answers_wait, open: BTreeMap::new(), replicas, answered: Vec::new(), finished: 0 }
    }

    /// A message is multicast.
    pub(super) fn begin(&mut self, now: Nanos, entry: ProcessId, id: MessageId) {
        let missing = self.cluster.replicas(id.destinations).count();
        let open = Open { at: now, entry, timestamp: None, missing, is_answered: false };
        assert!(self.open.insert(id, open).is_none(), "{id} is multicast twice");
    }

    /// It was refused, and has no effect.
    pub(super) fn strike_out(&mut self, id: MessageId) {
        let open = self.open.remove(&id);
        let is_sound = open.is_some_and(|open| open.timestamp.is_none());
        assert!(is_sound, "{id} is turned away, and is delivered somewhere or was never multicast");
    }

    /// A replica delivered it.
    pub(super) fn delivered(&mut self, now: Nanos, process: ProcessId, stamp: Stamp, flow: &mut Flow) {
        let id = stamp.id;
        let group = self.cluster.group_of(process);
        assert!(
            group.is_some_and(|group| id.destinations.contains(group)),
            "{process} delivers {id}, which does not concern it"
        );
        let replica = self.replicas.get_mut(&process).expect("whoever has a group is a replica");
        // Whatever is delivered twice breaks this too.
        assert!(
            replica.newest.is_none_or(|newest| newest < stamp),
            "{process} delivers {stamp} after something that comes later, or after itself"
        );
        replica.newest = Some(stamp);
        replica.delivered += 1;
        let open = self.open.get_mut(&id).unwrap_or_else(|| panic!("{process} delivers {id}, which nobody waits for"));
        let known = *open.timestamp.get_or_insert(stamp.timestamp);
        assert!(known == stamp.timestamp, "{process} delivers {stamp}, and somebody else at {known}");
        open.missing -= 1;
        let took = (now - open.at).clamp(1, LONGEST);
        let is_counted = self.counted.contains(&now);
        if is_counted {
            flow.everywhere.saturating_record(took);
            if replica.is_first {
                flow.at_leaders.saturating_record(took);
            }
            self.finished += u64::from(open.missing == 0);
        }
        if open.entry == process {
            replica.held.push_back((stamp, now));
            let upto = if self.answers_wait { replica.settled } else { Some(stamp) };
            self.answer(now, process, upto, flow);
        }
        self.forget_if_over(id);
    }

    /// What this replica has delivered up to here may be answered.
    pub(super) fn settled(&mut self, now: Nanos, process: ProcessId, upto: Stamp, flow: &mut Flow) {
        let replica = self.replicas.get_mut(&process).expect("only replicas settle anything");
        replica.settled = replica.settled.max(Some(upto));
        if self.answers_wait {
            self.answer(now, process, Some(upto), flow);
        }
    }

    /// An outsider hears that somebody has delivered its message: that is its answer.
    pub(super) fn heard_of(&mut self, now: Nanos, process: ProcessId, id: MessageId, flow: &mut Flow) {
        if self.replicas.contains_key(&process) {
            return; // its own delivery says it
        }
        let Some(open) = self.open.get_mut(&id).filter(|open| !open.is_answered) else { return };
        open.is_answered = true;
        if self.counted.contains(&now) {
            flow.answers.saturating_record((now - open.at).clamp(1, LONGEST));
        }
        self.answered.push(id);
        self.forget_if_over(id);
    }

    fn answer(&mut self, now: Nanos, process: ProcessId, upto: Option<Stamp>, flow: &mut Flow) {
        let is_counted = self.counted.contains(&now);
        let held = &mut self.replicas.get_mut(&process).expect("only replicas hold answers").held;
        let mut over = Vec::new();
        while let Some((stamp, since)) = held.front().copied().filter(|(stamp, _)| Some(*stamp) <= upto) {
            held.pop_front();
            let open = self.open.get_mut(&stamp.id).expect("what is held is open");
            open.is_answered = true;
            if is_counted {
                flow.answers.saturating_record((now - open.at).clamp(1, LONGEST));
                if now > since {
                    flow.waits.saturating_record((now - since).min(LONGEST));
                }
            }
            over.push(stamp.id);
        }
        for id in over {
            self.answered.push(id);
            self.forget_if_over(id);
        }
    }

    fn forget_if_over(&mut self, id: MessageId) {
        if self.open.get(&id).is_some_and(|open| open.missing == 0 && open.is_answered) {
            self.open.remove(&id);
        }
    }

    /// What was answered since this was last asked.
    pub(super) fn take_answered(&mut self) -> Vec<MessageId> {
        std::mem::take(&mut self.answered)
    }

    /// How many messages a replica has delivered.
    pub(super) fn position(&self, process: ProcessId) -> Position {
        self.replicas[&process].delivered
    }

    /// Whether something is on the way.
    pub(super) fn is_waiting(&self) -> bool {
        !self.open.is_empty()
    }

    /// It is over: nothing may be missing.
    pub(super) fn close(&self) {
        let missing = self.open.iter().find(|(_, open)| open.missing > 0);
        if let Some((id, open)) = missing {
            panic!("{id} was multicast at {} ns and is not delivered everywhere: {} lack it", open.at, open.missing);
        }
        if let Some(id) = self.open.keys().next() {
            panic!("{id} is delivered everywhere and will never be answered");
        }
    }
}
