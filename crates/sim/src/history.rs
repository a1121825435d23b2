//! What happened, as seen from outside: who multicast what, what every process
//! delivered at which position, and who sent to whom. The checkers read this
//! and nothing else, so they can judge any protocol.
//!
//! A process repeats deliveries after a restart. Here each position counts
//! once; a repetition that differs is written down as an oddity. Where some
//! messages commute, each message counts once, wherever it is repeated.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use skein_machine::{
    Cluster, Conflicts, Delivery, GroupId, MessageId, Multicast, Position, ProcessId, Stamp, Timestamp,
};

use crate::Nanos;
use crate::check::{READ_POINT, ReadPoint, SAFE_TIME, Violation};
use crate::releases::Releases;
use crate::safe_times::{SafeTimes, Word};
use crate::states::States;

/// Every message that was multicast.
pub(crate) type Casts = BTreeMap<MessageId, Cast>;

/// Everything that was observed in one run.
#[derive(Clone, Debug)]
pub struct History {
    cluster: Arc<Cluster>,
    casts: Casts,
    seen: BTreeMap<ProcessId, Seen>,
    /// Only where some messages commute.
    states: Option<States>,
    safe_times: BTreeMap<GroupId, SafeTimes>,
    dones: Vec<Done>,
    read_points: Vec<ReadPoint>,
    /// Messages between processes, in the order of their sending.
    pub traffic: Vec<Sent>,
    oddities: Vec<Violation>,
    /// Counts what was observed: real time, finer than any clock.
    moments: u64,
}

/// Somebody's word that a message has been delivered elsewhere.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Done {
    pub(crate) moment: u64,
    pub(crate) process: ProcessId,
    pub(crate) stamp: Stamp,
}

/// A message that was multicast.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The message.
    pub message: Multicast,
    /// Every process through which it was sent, and since when; retries may add some.
    pub senders: BTreeMap<ProcessId, Nanos>,
    /// When it was sent first.
    pub at: Nanos,
    /// The same in moments, which order everything observed.
    pub moment: u64,
    /// Whether somebody insists on its delivery. A session that died does not.
    pub is_owed: bool,
    /// The moment at which, and the process by which, it was first said to have come too late.
    pub expired: Option<(u64, ProcessId)>,
}

/// A message at its place in the deliveries of one process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Which message.
    pub id: MessageId,
    /// With which final timestamp.
    pub timestamp: Timestamp,
    /// When it was delivered there first.
    pub at: Nanos,
    /// The same in moments.
    pub moment: u64,
}

/// A message between two processes, of whatever content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// When.
    pub at: Nanos,
    /// From which process.
    pub from: ProcessId,
    /// To which.
    pub to: ProcessId,
}

#[derive(Clone, Debug, Default)]
struct Seen {
    /// Where some messages commute: in the order of first delivery, over all lives.
    by_position: BTreeMap<Position, Entry>,
    life: u32,
    /// The position that this life delivers next.
    next: Position,
    /// Up to which timestamp this life has said that everything was delivered.
    safe: Option<Timestamp>,
    /// What this life was asked and has not answered, and when.
    asked: BTreeMap<u64, u64>,
    /// Up to where it said, in whichever life, that answers may leave, and when.
    released: Releases,
}

impl Seen {
    /// Its user forgets everything with a life, and must be told from the beginning or be given a checkpoint.
    fn live(&mut self, life: u32) {
        if self.life != life {
            (self.life, self.next, self.safe) = (life, 0, None);
            self.asked.clear();
        }
    }

    /// Was delivered here in no life before.
    fn append(&mut self, entry: Entry) {
        self.by_position.insert(self.by_position.len() as Position, entry);
    }
}

impl Entry {
    /// Its place in the order of the cluster.
    pub fn stamp(&self) -> Stamp {
        Stamp { timestamp: self.timestamp, id: self.id }
    }
}

impl History {
    /// Nothing has happened yet. With a relation, only messages that conflict have one order.
    pub fn new(cluster: Arc<Cluster>, conflicts: Option<Conflicts>) -> History {
        let seen = cluster.replicas(cluster.groups()).map(|process| (process, Seen::default())).collect();
        History {
            cluster,
            casts: BTreeMap::new(),
            seen,
            states: conflicts.map(States::new),
            safe_times: BTreeMap::new(),
            dones: Vec::new(),
            read_points: Vec::new(),
            traffic: Vec::new(),
            oddities: Vec::new(),
            moments: 0,
        }
    }

    /// Who could take part.
    pub fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// Which messages conflict; `None`: all.
    pub fn conflicts(&self) -> Option<Conflicts> {
        self.states.as_ref().map(States::conflicts)
    }

    /// Every message that was multicast.
    pub fn casts(&self) -> &BTreeMap<MessageId, Cast> {
        &self.casts
    }

    /// What processes have said of deliveries elsewhere.
    pub(crate) fn dones(&self) -> &[Done] {
        &self.dones
    }

    /// What replicas have answered to those who wanted to read.
    pub(crate) fn read_points(&self) -> &[ReadPoint] {
        &self.read_points
    }

    /// Contradictions that were seen while the history was written.
    pub fn oddities(&self) -> &[Violation] {
        &self.oddities
    }

    /// What a process delivered, in the order of positions, or, where some messages commute, of first deliveries.
    pub fn deliveries(&self, process: ProcessId) -> impl DoubleEndedIterator<Item = &Entry> {
        self.seen.get(&process).into_iter().flat_map(|seen| seen.by_position.values())
    }

    /// The processes that deliver.
    pub fn replicas(&self) -> impl Iterator<Item = ProcessId> {
        self.seen.keys().copied()
    }

    /// What the users of replicas hold, if some messages commute.
    pub(crate) fn states(&self) -> Option<&States> {
        self.states.as_ref()
    }

    /// What the replicas of a group have said of its future.
    pub(crate) fn safe_times(&self, group: GroupId) -> Option<&SafeTimes> {
        self.safe_times.get(&group)
    }

    /// How many deliveries there were in all.
    pub fn delivery_count(&self) -> u64 {
        self.seen.values().map(|seen| seen.by_position.len() as u64).sum()
    }

    /// A process was asked to multicast a message, perhaps not for the first time.
    pub fn multicast(&mut self, now: Nanos, sender: ProcessId, message: &Multicast) {
        let moment = self.tick();
        let cast = self.casts.entry(message.id).or_insert_with(|| Cast {
            message: message.clone(),
            senders: BTreeMap::new(),
            at: now,
            moment,
            is_owed: true,
            expired: None,
        });
        cast.senders.entry(sender).or_insert(now);
    }

    /// Nobody insists on this message any more.
    pub fn give_up(&mut self, id: MessageId) {
        if let Some(cast) = self.casts.get_mut(&id) {
            cast.is_owed = false;
        }
    }

    /// A process said that this message came too late, so nobody waits for it any more.
    pub fn expired(&mut self, process: ProcessId, id: MessageId) {
        let moment = self.tick();
        match self.casts.get_mut(&id) {
            Some(cast) => {
                cast.is_owed = false;
                cast.expired.get_or_insert((moment, process));
            }
            None => self.odd("expiry", format!("{process} lets {id} expire, which nobody multicast")),
        }
    }

    /// A process said that a message has been delivered elsewhere.
    pub fn done(&mut self, process: ProcessId, id: MessageId, timestamp: Timestamp) {
        let moment = self.tick();
        self.dones.push(Done { moment, process, stamp: Stamp { timestamp, id } });
    }

    /// A process delivered a message. Answers whether it is new there.
    pub fn delivered(&mut self, now: Nanos, process: ProcessId, life: u32, delivery: &Delivery) -> bool {
        let moment = self.tick();
        self.compare_with_what_was_sent(process, delivery);
        let Some(seen) = self.seen.get_mut(&process) else {
            self.odd("integrity", format!("{process} is in no group and delivered {delivery:?}"));
            return false;
        };
        seen.live(life);
        let entry = Entry { id: delivery.message.id, timestamp: delivery.timestamp, at: now, moment };
        if let Some(states) = &mut self.states {
            let group = self.cluster.group_of(process).expect("a replica has a group");
            let is_new = states.delivered(&self.casts, (process, group, life), delivery, &mut self.oddities);
            if is_new {
                seen.append(entry);
            }
            return is_new;
        }
        let expected = std::mem::replace(&mut seen.next, delivery.position + 1);
        let before = *seen.by_position.entry(delivery.position).or_insert(entry);
        let position = delivery.position;
        if position != expected {
            self.odd("prefix order", format!("{process} delivered position {position} where {expected} is next"));
        }
        if before.stamp() != entry.stamp() {
            let (now, then) = (entry.stamp(), before.stamp());
            self.odd("prefix order", format!("{process} delivered {then} and, after a restart, {now} in its place"));
        }
        before == entry
    }

    /// A process said that answers up to this place may leave.
    pub fn settled(&mut self, process: ProcessId, stamp: Stamp) {
        let moment = self.tick();
        let seen = self.seen.get_mut(&process).expect("only a replica releases answers");
        seen.released.note(stamp, moment);
    }

    /// The moment at which a process said that the answer to a message at this place may leave.
    pub(crate) fn released(&self, process: ProcessId, stamp: Stamp) -> Option<u64> {
        self.seen.get(&process)?.released.of(stamp)
    }

    /// A process took over a state that holds these messages, where some commute.
    pub fn installed_set(&mut self, now: Nanos, process: ProcessId, life: u32, held: &BTreeSet<Stamp>) {
        let moment = self.tick();
        let group = self.cluster.group_of(process).expect("a replica installs");
        let states = self.states.as_mut().expect("without a relation, a position says what is held");
        let seen = self.seen.get_mut(&process).expect("a replica is known");
        seen.live(life);
        for Stamp { timestamp, id } in states.installed((process, group, life), held) {
            seen.append(Entry { id, timestamp, at: now, moment });
        }
    }

    /// A process took over the state of another: everything before `position` counts as delivered there.
    pub fn installed(&mut self, now: Nanos, process: ProcessId, life: u32, position: Position) {
        let moment = self.tick();
        let group = self.cluster.group_of(process).expect("a replica installs");
        let members = self.cluster.members(group).to_vec();
        assert!(self.states.is_none(), "with a relation, a position does not say what is held");
        let mut taken_over = Vec::new();
        for member in members {
            let others = self.seen[&member].by_position.range(..position);
            taken_over.extend(others.map(|(position, entry)| (*position, Entry { at: now, moment, ..*entry })));
        }
        let seen = self.seen.get_mut(&process).expect("a replica is known");
        seen.live(life);
        seen.next = position;
        for (position, entry) in taken_over {
            seen.by_position.entry(position).or_insert(entry);
        }
    }

    /// A process said that everything up to this timestamp has been delivered there.
    pub fn safe_time(&mut self, process: ProcessId, life: u32, timestamp: Timestamp) {
        let Some(group) = self.cluster.group_of(process) else {
            self.odd(SAFE_TIME, format!("{process} is in no group and has delivered everything up to {timestamp}"));
            return;
        };
        let seen = self.seen.get_mut(&process).expect("a replica is known");
        seen.live(life);
        let before = seen.safe.replace(timestamp);
        let count = self.count_up_to(process, life, timestamp);
        self.safe_times.entry(group).or_default().add(count, Word { timestamp, process });
        if let Some(before) = before
            && timestamp <= before
        {
            self.odd(SAFE_TIME, format!("{process} says that {timestamp} is safe after it said so of {before}"));
        }
    }

    /// How many messages at or below a timestamp this life has.
    fn count_up_to(&self, process: ProcessId, life: u32, timestamp: Timestamp) -> u64 {
        match &self.states {
            Some(states) => states.count_up_to(process, life, timestamp),
            None => {
                let seen = &self.seen[&process];
                let held = seen.by_position.range(..seen.next).rev();
                seen.next - held.take_while(|(_, entry)| entry.timestamp > timestamp).count() as u64
            }
        }
    }

    /// Somebody asks a replica for a point to read at.
    pub fn asked(&mut self, process: ProcessId, life: u32, round: u64) {
        let moment = self.tick();
        let seen = self.seen.get_mut(&process).expect("only a replica is asked");
        seen.live(life);
        seen.asked.insert(round, moment);
    }

    /// A replica answers that question, and with it every earlier one.
    pub fn read_point(&mut self, process: ProcessId, life: u32, round: u64, timestamp: Timestamp) {
        let Some(seen) = self.seen.get_mut(&process) else {
            self.odd(READ_POINT, format!("{process} is in no group and lets somebody read at {timestamp}"));
            return;
        };
        seen.live(life);
        let later = seen.asked.split_off(&(round + 1));
        let answered = std::mem::replace(&mut seen.asked, later);
        let Some(asked) = answered.get(&round).copied() else {
            self.odd(READ_POINT, format!("{process} answers question {round}, which nobody asked"));
            return;
        };
        let held = self.count_up_to(process, life, timestamp);
        self.read_points.push(ReadPoint { process, asked, timestamp, held });
    }

    /// When the last replica of all destinations delivered a message; `None` if some did not.
    pub fn finished(&self) -> BTreeMap<MessageId, Nanos> {
        let mut progress: BTreeMap<MessageId, (usize, Nanos)> = BTreeMap::new();
        for seen in self.seen.values() {
            for entry in seen.by_position.values() {
                let (replicas, last) = progress.entry(entry.id).or_default();
                *replicas += 1;
                *last = (*last).max(entry.at);
            }
        }
        progress.retain(|id, (replicas, _)| {
            let cast = self.casts.get(id);
            cast.is_some_and(|cast| *replicas >= self.cluster.replicas(cast.message.id.destinations).count())
        });
        progress.into_iter().map(|(id, (_, last))| (id, last)).collect()
    }

    /// How many messages are owed, or were delivered somewhere, and are missing at some destination.
    pub fn unfinished(&self) -> usize {
        let mut delivered: BTreeMap<MessageId, usize> = BTreeMap::new();
        for entry in self.seen.values().flat_map(|seen| seen.by_position.values()) {
            *delivered.entry(entry.id).or_default() += 1;
        }
        let missing = |(id, cast): &(&MessageId, &Cast)| {
            let wanted = self.cluster.replicas(cast.message.id.destinations).count();
            match delivered.get(id) {
                Some(replicas) => *replicas < wanted,
                None => cast.is_owed,
            }
        };
        self.casts.iter().filter(missing).count()
    }

    fn tick(&mut self) -> u64 {
        self.moments += 1;
        self.moments
    }

    /// What is delivered must be what was multicast, to the last byte.
    fn compare_with_what_was_sent(&mut self, process: ProcessId, delivery: &Delivery) {
        let id = delivery.message.id;
        let Some(cast) = self.casts.get(&id) else {
            self.odd("integrity", format!("{process} delivered {id}, which nobody multicast"));
            return;
        };
        let mut sent = cast.message.clone();
        if delivery.is_void() && delivery.message.payload.is_empty() {
            // A void message may travel without its payload. That it is void follows from the
            // expiry that it was given, so all else must be as it was.
            sent.payload.clear();
        }
        let floor = sent.floor;
        if sent != delivery.message {
            let got = &delivery.message;
            self.odd("integrity", format!("{process} delivered {got:?} where {sent:?} was multicast"));
        } else if delivery.timestamp <= floor {
            self.odd("sender order", format!("{process} delivered {delivery:?}, not above its floor {floor}"));
        }
    }

    /// Writes down a contradiction.
    pub(crate) fn odd(&mut self, property: &'static str, detail: String) {
        self.oddities.push(Violation { property, detail });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pen::Pen;
    use bytes::Bytes;
    use skein_machine::GroupSet;

    fn properties(pen: &Pen) -> Vec<&'static str> {
        pen.history.oddities().iter().map(|oddity| oddity.property).collect()
    }

    #[test]
    fn a_repetition_after_a_restart_counts_once() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        let delivery = Delivery { position: 0, timestamp: Timestamp(5), message: pen.message(1, 1, 1) };
        assert!(!pen.history.delivered(9, ProcessId(0), 2, &delivery));
        assert_eq!((pen.history.delivery_count(), properties(&pen).len()), (1, 0));
    }

    #[test]
    fn a_repetition_that_differs_is_odd() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).cast(2, 1, 1).deliver(0, 1, 1, 5);
        let delivery = Delivery { position: 0, timestamp: Timestamp(5), message: pen.message(2, 1, 1) };
        pen.history.delivered(9, ProcessId(0), 2, &delivery);
        assert_eq!(properties(&pen), ["prefix order"]);
    }

    #[test]
    fn a_repetition_with_another_timestamp_is_odd() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        let delivery = Delivery { position: 0, timestamp: Timestamp(6), message: pen.message(1, 1, 1) };
        pen.history.delivered(9, ProcessId(0), 2, &delivery);
        assert_eq!(properties(&pen), ["prefix order"]);
    }

    /// Its user has forgotten everything, so a new life begins before the first delivery or at a checkpoint.
    #[test]
    fn a_life_that_begins_in_the_middle_is_odd() {
        let begin = |installed: Option<Position>, position: Position| {
            let mut pen = Pen::new(1, 1);
            pen.cast(1, 1, 1).cast(1, 2, 1).cast(1, 3, 1).deliver(0, 1, 1, 5).deliver(0, 1, 2, 6);
            if let Some(installed) = installed {
                pen.history.installed(8, ProcessId(0), 2, installed);
            }
            let (sequence, timestamp) = (position + 1, Timestamp(position + 5));
            let delivery = Delivery { position, timestamp, message: pen.message(1, sequence, 1) };
            pen.history.delivered(9, ProcessId(0), 2, &delivery);
            properties(&pen)
        };
        assert!(begin(None, 0).is_empty());
        assert_eq!(begin(None, 1), ["prefix order"]);
        assert_eq!(begin(None, 2), ["prefix order"], "what it knows by heart it must say again");
        assert!(begin(Some(1), 1).is_empty() && begin(Some(2), 2).is_empty());
        assert_eq!(begin(Some(1), 0), ["prefix order"], "that is in the checkpoint");
        assert_eq!(begin(Some(1), 2), ["prefix order"]);
    }

    #[test]
    fn a_position_is_repeated_only_by_another_life() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1).deliver(0, 1, 1, 5);
        let delivery = Delivery { position: 0, timestamp: Timestamp(5), message: pen.message(1, 1, 1) };
        pen.history.delivered(9, ProcessId(0), 1, &delivery);
        assert_eq!(properties(&pen), ["prefix order"]);
    }

    #[test]
    fn a_skipped_position_is_odd() {
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1);
        let delivery = Delivery { position: 3, timestamp: Timestamp(5), message: pen.message(1, 1, 1) };
        pen.history.delivered(9, ProcessId(0), 1, &delivery);
        assert_eq!(properties(&pen), ["prefix order"]);
    }

    #[test]
    fn what_nobody_sent_or_somebody_changed_is_odd() {
        let mut pen = Pen::new(1, 1);
        pen.deliver(0, 1, 1, 5);
        assert_eq!(properties(&pen), ["integrity"]);
        let mut pen = Pen::new(1, 1);
        pen.cast(1, 1, 1);
        let mut message = pen.message(1, 1, 1);
        message.payload = Bytes::from_static(b"forged");
        pen.history.delivered(9, ProcessId(0), 1, &Delivery { position: 0, timestamp: Timestamp(1), message });
        assert_eq!(properties(&pen), ["integrity"]);
    }

    #[test]
    fn what_nobody_sent_cannot_be_late() {
        let mut pen = Pen::new(1, 1);
        pen.expire(0, 1, 1);
        assert_eq!(properties(&pen), ["expiry"]);
    }

    #[test]
    fn safe_times_rise_within_a_life() {
        let mut pen = Pen::new(1, 1);
        pen.safe(0, 5).safe(0, 6);
        pen.history.safe_time(ProcessId(0), 2, Timestamp(4));
        assert!(properties(&pen).is_empty(), "a new life begins anew");
        pen.history.safe_time(ProcessId(0), 2, Timestamp(4));
        pen.history.safe_time(ProcessId(0), 2, Timestamp(3));
        pen.safe(1, 9);
        assert_eq!(properties(&pen), [SAFE_TIME; 3], "the same, a lower one, and an outsider's");
    }

    /// A message that came too late may have lost its payload on the way, and nothing else.
    #[test]
    fn a_void_message_is_still_the_one_that_was_sent() {
        let sent = |pen: &Pen| Multicast {
            floor: Timestamp(3),
            expiry: Timestamp(8),
            payload: Bytes::from_static(b"words"),
            ..pen.message(1, 1, 1)
        };
        let found = |timestamp, change: &dyn Fn(&mut Multicast)| {
            let mut pen = Pen::new(1, 1);
            let mut message = sent(&pen);
            pen.history.multicast(1, ProcessId(0), &message);
            change(&mut message);
            let delivery = Delivery { position: 0, timestamp: Timestamp(timestamp), message };
            pen.history.delivered(9, ProcessId(0), 1, &delivery);
            properties(&pen)
        };
        assert!(found(9, &|_| {}).is_empty());
        assert!(found(9, &|message| message.payload.clear()).is_empty());
        assert_eq!(found(8, &|message| message.payload.clear()), ["integrity"], "it is not late");
        assert_eq!(found(9, &|message| message.payload = Bytes::from_static(b"forged")), ["integrity"]);
        assert_eq!(found(9, &|message| message.expiry = Timestamp(7)), ["integrity"]);
        assert_eq!(found(9, &|message| message.id.destinations = GroupSet::from_bits(0b11)), ["integrity"]);
        // What would be in time is made late.
        assert_eq!(found(8, &|message| message.expiry = Timestamp(0)), ["integrity"]);
    }

    #[test]
    fn a_timestamp_that_is_not_above_the_floor_is_odd() {
        for (timestamp, expiry, is_odd) in [(42, 99, false), (41, 99, true), (41, 1, true)] {
            let mut pen = Pen::new(1, 1);
            let message = Multicast { floor: Timestamp(41), expiry: Timestamp(expiry), ..pen.message(1, 1, 1) };
            pen.history.multicast(1, ProcessId(0), &message);
            let delivery = Delivery { position: 0, timestamp: Timestamp(timestamp), message };
            pen.history.delivered(9, ProcessId(0), 1, &delivery);
            assert_eq!(properties(&pen), if is_odd { vec!["sender order"] } else { vec![] });
        }
    }

    #[test]
    fn an_installed_prefix_counts_as_delivered() {
        let mut pen = Pen::new(1, 2);
        pen.cast(1, 1, 1).cast(1, 2, 1).deliver(0, 1, 1, 5).deliver(0, 1, 2, 6);
        assert_eq!(pen.history.unfinished(), 2);
        pen.history.installed(99, ProcessId(1), 2, 1);
        assert_eq!((pen.history.unfinished(), pen.history.finished().len()), (1, 1));
    }
}
