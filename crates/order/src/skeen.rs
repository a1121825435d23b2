//! Skeen's protocol (thesis 4.1.1, and Algorithm 4), as it is and extended.
//!
//! A message is sent to every process of its destination groups (START). Each
//! of them counts its logical clock up, and proposes the value to all the
//! others (PROPOSE). The highest proposal is the message's final timestamp, and
//! messages are delivered in the order of their final timestamps: a process
//! delivers one when nothing that it still waits for can come before.
//!
//! The thesis extends it (Algorithm 4 with its grey lines): who knows the final
//! timestamp, and has moved its clock past it, says so to the other destinations
//! (ACK), and none delivers before all have. That is meant to keep real time: it
//! does for two messages with a common destination, and not over longer chains
//! (docs/real-time-order.md). It is here to be looked at.
//!
//! Two message delays without conflicts, four with; three when extended; genuine. It survives no
//! crash and no lost message, and keeps nothing on disk: what production needs
//! beyond this idea is in the other protocols. Whoever asks for a message again
//! gets it once, as long as the message is among the last that were delivered.
//! Groups are names for their members here; each replica proposes for itself.
//! Its memory holds what is on the way. It has no means to bound that: a
//! destination cannot refuse what another one has proposed, and a sender
//! outside never learns the outcome. Only a sender that is itself swamped
//! turns new messages away.
//!
//! Every `…_wrongly` and every `planted` stands for a rule that only a build
//! with the feature `mutants` can break (`broken.rs`); read on as if they were not there.

mod broken;
mod reads;
mod wire;

pub use wire::Message;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;

use skein_machine::wire::Nothing;
use skein_machine::{
    Busy, Cluster, Delivery, Down, Machine, MessageId, Multicast, Out, Position, ProcessId, Stamp, Time, Timestamp, Up,
};

use self::reads::Reads;
use crate::parts::Recent;
use crate::{Mutant, Planted};

/// A process with this many messages on the way refuses to send another. Far
/// above what a healthy network holds, far below what memory does.
pub const MAX_PENDING: usize = 1 << 14;

/// So many deliveries are remembered. A client asks again after seconds at most.
pub const REMEMBERED: usize = 1 << 16;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Variant {
    /// As Skeen wrote it.
    Original,
    /// With the grey lines of Algorithm 4.
    Extended,
}

/// One process that runs Skeen's protocol.
#[derive(Clone, Debug, Hash)]
pub struct Skeen {
    me: ProcessId,
    cluster: Arc<Cluster>,
    variant: Variant,
    planted: Planted,
    clock: Timestamp,
    /// Every message that was heard of and is not delivered.
    pending: BTreeMap<MessageId, Pending>,
    /// The same messages, once proposed here, by the earliest place that each can still take.
    queue: BTreeSet<Stamp>,
    delivered: Position,
    newest: Option<Stamp>,
    /// The last deliveries, and their timestamps.
    lately: Recent<MessageId, Timestamp>,
    /// What its user wants to read.
    reads: Reads,
}

/// What is known of one message on the way.
#[derive(Clone, Debug, Default, Hash)]
struct Pending {
    /// The message, once START is here; a proposal can overtake it.
    message: Option<Multicast>,
    /// Who has proposed.
    heard: BTreeSet<ProcessId>,
    /// The highest proposal so far; the final timestamp once all are here.
    highest: Timestamp,
    /// Who has moved its clock past the final timestamp and said so.
    acknowledged: BTreeSet<ProcessId>,
    /// The timestamp under which it stands in the queue: at first the own
    /// proposal, then the final one. Zero before.
    bound: Timestamp,
}

impl Skeen {
    /// A process of this cluster, with its clock at zero.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>, variant: Variant, planted: Planted) -> Skeen {
        assert!(cluster.contains(me), "{me} is no process of the cluster");
        Skeen {
            me,
            cluster,
            variant,
            planted,
            clock: Timestamp::ZERO,
            pending: BTreeMap::new(),
            queue: BTreeSet::new(),
            delivered: 0,
            newest: None,
            lately: Recent::new(REMEMBERED),
            reads: Reads::default(),
        }
    }

    /// How many messages this process waits for.
    pub fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl Machine for Skeen {
    type Command = Down;
    type Message = Message;
    type Timer = Nothing;
    type Record = Nothing;
    type Event = Up;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, _: u64, _: &mut Out<Self>) {}

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Self>) {
        match command {
            Down::Multicast(message) => self.multicast(&message, out),
            Down::RaiseClock(timestamp) => self.clock = self.clock.max(timestamp),
            Down::ReadPoint(round) => self.want_to_read(round, out),
            Down::Retire => {} // nobody leads here
            Down::Checkpointed { .. } => panic!("Skeen keeps no log and never asks for a checkpoint"),
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Out<Self>) {
        match message {
            Message::Start(message) => self.on_start(from, message, out),
            Message::Propose { id, timestamp } => self.on_propose(from, id, timestamp, out),
            Message::Acknowledge(id) => self.on_acknowledge(from, id, out),
        }
    }

    fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Self>) {
        match timer {}
    }

    fn check(&self) {
        let mut queued = 0;
        for (&id, pending) in &self.pending {
            let covered = pending.bound <= self.clock || self.planted.is(Mutant::SkeenForgetsToRaise);
            assert!(covered, "{id} stands at {} above the clock {}", pending.bound, self.clock);
            if pending.message.is_some() {
                let place = Stamp { timestamp: pending.bound, id };
                assert!(self.queue.contains(&place), "{id} is pending and not queued at {place}");
                queued += 1;
            }
        }
        assert_eq!(queued, self.queue.len(), "something is queued that is not pending");
    }
}

impl Skeen {
    /// Step 1 at the sender, which need not be a destination.
    fn multicast(&mut self, message: &Multicast, out: &mut Out<Self>) {
        if let Err(error) = self.cluster.admit(message) {
            panic!("{} was multicast unchecked: {error}", message.id);
        }
        if self.pending.len() >= MAX_PENDING {
            out.emit(Up::Busy(Busy { id: message.id, why: "too many messages are on the way at this process" }));
            return;
        }
        if self.starts_wrongly(message, out) {
            return;
        }
        if let Some(timestamp) = self.lately.get(&message.id) {
            // Asked for again: the answer was lost.
            out.emit(Up::Done { id: message.id, timestamp: *timestamp });
            return;
        }
        out.send_all(self.cluster.replicas(message.id.destinations), Message::Start(message.clone()));
    }

    /// Step 2 at a destination: propose a timestamp above everything seen.
    fn on_start(&mut self, from: ProcessId, message: Multicast, out: &mut Out<Self>) {
        let id = message.id;
        if self.takes_a_start_wrongly(from, &message, out) {
            return;
        }
        let is_known = self.pending.get(&id).is_some_and(|pending| pending.message.is_some());
        if is_known || self.lately.get(&id).is_some() {
            // Asked for again: it has been proposed here, and once is enough.
            return;
        }
        let mine = self.cluster.group_of(self.me).is_some_and(|group| message.id.destinations.contains(group));
        assert!(mine, "{id} to {} was sent to {}, which is no destination", message.id.destinations, self.me);

        // The floor is what the session has seen, perhaps from a destination that is further on than this one.
        let floor = if self.planted.is(Mutant::SkeenIgnoresTheFloor) { Timestamp::ZERO } else { message.floor };
        self.clock = self.clock.max(floor).next();
        let timestamp = self.clock;
        out.send_all(self.other_destinations(id), Message::Propose { id, timestamp });

        let pending = self.pending.entry(id).or_default();
        pending.message = Some(message);
        pending.bound = timestamp;
        self.queue.insert(Stamp { timestamp, id });
        self.note_proposal(self.me, id, timestamp, out);
    }

    /// Step 3: a destination has proposed.
    fn on_propose(&mut self, from: ProcessId, id: MessageId, timestamp: Timestamp, out: &mut Out<Self>) {
        if self.planted.is(Mutant::SkeenDropsEarlyProposals) && !self.pending.contains_key(&id) {
            return;
        }
        self.pending.entry(id).or_default();
        self.note_proposal(from, id, timestamp, out);
    }

    /// The last proposal decides the final timestamp, and moves the clock past
    /// it, so that nothing proposed from now on can come before.
    fn note_proposal(&mut self, from: ProcessId, id: MessageId, timestamp: Timestamp, out: &mut Out<Self>) {
        let pending = self.pending.get_mut(&id).expect("a proposal is noted for a pending message");
        assert!(pending.heard.insert(from), "{from} proposed twice for {id}");
        pending.highest = pending.highest.max(timestamp);
        if pending.is_decided(&self.cluster) {
            let place = Stamp { timestamp: pending.highest, id };
            self.queue.remove(&Stamp { timestamp: pending.bound, id });
            self.queue.insert(place);
            pending.bound = pending.highest;
            if !self.planted.is(Mutant::SkeenForgetsToRaise) {
                self.clock = self.clock.max(pending.highest);
            }
            if self.variant == Variant::Extended {
                out.send_all(self.other_destinations(id), Message::Acknowledge(id));
                self.note_acknowledgement(self.me, id);
            }
            self.deliver_what_is_ripe(out);
        }
    }

    /// Step 4, in grey: a destination knows the final timestamp, and will propose nothing up to it.
    fn on_acknowledge(&mut self, from: ProcessId, id: MessageId, out: &mut Out<Self>) {
        self.note_acknowledgement(from, id);
        self.deliver_what_is_ripe(out);
    }

    fn note_acknowledgement(&mut self, from: ProcessId, id: MessageId) {
        let pending = self.pending.get_mut(&id).expect("no destination knows it all without this one's proposal");
        assert!(pending.acknowledged.insert(from), "{from} acknowledged {id} twice");
    }

    fn other_destinations(&self, id: MessageId) -> impl Iterator<Item = ProcessId> {
        self.cluster.replicas(id.destinations).filter(|process| *process != self.me)
    }

    /// Delivers from the front of the queue: whatever stands there decided has
    /// the lowest final timestamp of all, for the others can only move back.
    fn deliver_what_is_ripe(&mut self, out: &mut Out<Self>) {
        while let Some(&place) = self.next_to_deliver() {
            self.queue.remove(&place);
            let pending = self.pending.remove(&place.id).expect("what is queued is pending");
            let message = pending.message.expect("what is queued has its message");
            let is_later = self.newest.is_none_or(|newest| newest < place);
            assert!(is_later || self.planted != Planted::NONE, "{place} is delivered after {:?}", self.newest);
            self.newest = Some(place);
            if !self.delivers_wrongly(place, &message, out) {
                self.deliver(place, message, out);
            }
            self.note_for_readers(place);
        }
        self.tell_readers(out);
    }

    /// The message at the front, if its final timestamp is known, and known to be known.
    fn next_to_deliver(&self) -> Option<&Stamp> {
        let chosen = if self.chooses_wrongly() { self.wrong_choice() } else { self.queue.first() };
        chosen.filter(|place| self.is_decided(place) && self.is_acknowledged(place))
    }

    fn is_acknowledged(&self, place: &Stamp) -> bool {
        let destinations = || self.cluster.replicas(place.id.destinations).count();
        self.variant == Variant::Original || self.pending[&place.id].acknowledged.len() == destinations()
    }

    fn is_decided(&self, place: &Stamp) -> bool {
        self.pending[&place.id].is_decided(&self.cluster)
    }

    fn deliver(&mut self, place: Stamp, message: Multicast, out: &mut Out<Self>) {
        let delivery = Delivery { position: self.delivered, timestamp: place.timestamp, message };
        self.delivered += 1;
        self.lately.insert(place.id, place.timestamp);
        out.emit(Up::Deliver(delivery));
    }
}

impl Pending {
    fn is_decided(&self, cluster: &Cluster) -> bool {
        let Some(message) = &self.message else { return false };
        self.heard.len() == cluster.replicas(message.id.destinations).count()
    }
}
