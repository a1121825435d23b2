//! [`Replica`]: the state of one replica, and what it means to deliver a
//! message. How messages come in, and what happens when something breaks, is
//! told in the other files.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, Delivery, GroupId, GroupSet, MessageId, Multicast, Position, ProcessId, Stamp, Timestamp, Up,
};

use super::offers::Offers;
use super::reads::Reads;
use super::record::{Delivered, Entry, Outcome, Record};
use super::wire::{Ballots, Message, Promise, Report, Vote};
use super::{Effects, Holdings, Settings};
use crate::parts::{
    ByGroup, Clock, Election, Epoch, Few, Pause, Queue, Rebirth, Spot, Stream, Table, Windows, reached_by,
};
use crate::{Mutant, Planted};

/// How many values the clock reserves at once. A restart skips as many.
const RESERVE: u64 = 1 << 12;

/// One replica of a group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Replica {
    pub(super) me: ProcessId,
    pub(super) group: GroupId,
    pub(super) cluster: Arc<Cluster>,
    pub(super) settings: Settings,
    pub(super) planted: Planted,
    pub(super) boot: Boot,

    /// Who leads, and what was promised.
    pub(super) election: Election<Promise>,
    /// The epoch in which this replica accepts.
    pub(super) held: Epoch,
    /// A quorum has held it, so that what it began with can no longer be lost.
    pub(super) is_established: bool,
    /// What each replica of the group, this one too, has said of itself.
    pub(super) peers: Few<ProcessId, Peer>,
    pub(super) clock: Clock,

    /// What is known of every message on the way.
    pub(super) tracks: Table<MessageId, Track>,
    /// At a leader: its proposals, by the earliest place that each can still take.
    pub(super) queue: Queue,
    /// Whatever has a local timestamp here, by it.
    pub(super) stamps: BTreeSet<Stamp>,
    /// Messages that were not accepted because the one of their session that comes before is not, by that one.
    pub(super) held_back: BTreeMap<MessageId, MessageId>,
    /// The payloads of what has a local timestamp here, together.
    pub(super) pending_bytes: usize,
    pub(super) remotes: ByGroup<Remote>,
    /// What was delivered, and other destinations may have to ask about.
    pub(super) unsettled: Table<MessageId, Settling>,

    /// What was delivered, from `first_outcome` on.
    pub(super) outcomes: VecDeque<Delivered>,
    pub(super) first_outcome: Position,
    /// The payloads of that, together.
    pub(super) outcome_bytes: usize,
    pub(super) newest: Option<Stamp>,
    /// So many deliveries are written down.
    pub(super) written: Position,
    /// So many deliveries were announced to the other groups as settled.
    pub(super) announced: Position,
    /// So many were announced to the followers.
    pub(super) shown: Position,
    pub(super) windows: Windows,
    /// See [`State::forgotten`](super::State::forgotten).
    pub(super) forgotten: Timestamp,
    /// The first delivery that is not in the user's newest state.
    pub(super) position: Position,
    /// That state.
    pub(super) user: Bytes,
    pub(super) wants_checkpoint: bool,
    /// Messages accepted since the last checkpoint,
    pub(super) appended: usize,
    /// and the bytes of their payloads.
    pub(super) appended_bytes: usize,

    /// Everything up to this was delivered here, and nothing at or below it will ever be.
    pub(super) safe: Timestamp,
    /// The same, once so much was delivered.
    pub(super) safe_ahead: Option<(Position, Timestamp)>,
    /// Up to where the user was told.
    pub(super) told: Timestamp,
    /// The user waits until everything up to this is delivered.
    pub(super) target: Timestamp,
    /// Others of the group wait for that; a leader tells them.
    pub(super) awaited: Timestamp,
    /// A leader has told the others of its group how far everything is delivered.
    pub(super) safe_said: Timestamp,
    /// What its user wants to read.
    pub(super) reads: Reads,

    /// What was proposed in this turn, and nobody has been shown yet.
    pub(super) unshown: Vec<MessageId>,
    /// What it has to acknowledge at the end of this turn, to whom.
    pub(super) votes: BTreeMap<ProcessId, Vec<Vote>>,
    /// What others asked that was delivered here.
    pub(super) facts: BTreeMap<ProcessId, Vec<Outcome>>,
    pub(super) closed: Vec<MessageId>,
    /// What it has last said of itself.
    pub(super) said: Option<Report>,
    pub(super) ticks: u32,
    /// What it remembers is on disk: not so while it has just been given back what it had lost.
    pub(super) is_durable: bool,
}

/// What a replica of the group has said of itself.
#[derive(Clone, Debug, Hash)]
pub(super) struct Peer {
    pub(super) held: Epoch,
    /// Its clock, as told under promises up to the epoch that this replica holds.
    pub(super) clock: Timestamp,
    /// Its clock, as told under a later promise. It counts when this replica gets there.
    pub(super) ahead: Option<(Epoch, Timestamp)>,
    /// How much it has delivered, durably.
    pub(super) delivered: Position,
    /// How much that was at the last tick, and for how many ticks.
    pub(super) stalled: (Position, u32),
    /// Something long is on its way to it.
    pub(super) pause: Pause,
}

/// What is known of one message on the way.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Track {
    /// The message, as the own leader has proposed it.
    pub(super) message: Option<Multicast>,
    /// The message of its session that must be accepted before; zero for none.
    pub(super) follows: u64,
    /// From another group's proposal: what is needed to propose it without its payload.
    pub(super) terms: Option<Terms>,
    /// The proposals of its destinations.
    pub(super) offers: Offers,
    /// The local timestamp, once this replica has proposed or accepted it.
    pub(super) own: Option<Timestamp>,
    /// It is accepted, on disk.
    pub(super) is_accepted: bool,
    /// What this replica has acknowledged.
    pub(super) voted: Option<Ballots>,
    /// At a leader: what each replica of the destinations has last acknowledged.
    pub(super) votes: Few<ProcessId, Ballots>,
    /// What becomes of it, once that is known.
    pub(super) outcome: Option<Outcome>,
    /// Where it stands in the queue, while it is there.
    pub(super) place: Option<Timestamp>,
    /// Who waits for the outcome.
    pub(super) sender: Option<ProcessId>,
    /// Ticks since something was last done about it.
    pub(super) age: u32,
    pub(super) tries: u32,
}

/// On what a message is proposed, as another group's proposal says.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Terms {
    pub(super) floor: Timestamp,
    pub(super) expiry: Timestamp,
    pub(super) follows: u64,
}

/// A message that was delivered here.
#[derive(Clone, Debug, Hash)]
pub(super) struct Settling {
    pub(super) outcome: Outcome,
    /// Destinations that may not have learned the outcome durably.
    pub(super) owed: GroupSet,
    pub(super) age: u32,
    pub(super) tries: u32,
}

/// What is known of another group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Remote {
    /// What it shares with this group, and has proposed up to this, was delivered by a quorum of this group.
    pub(super) settled: Timestamp,
    /// The newest epoch of that group that was heard of. What a leader of an earlier one still shows was lost, or
    /// stands in the newer one too, and says nothing about what is settled.
    pub(super) epoch: Epoch,
    /// What has a local timestamp here, and that group may not have learned the outcome of durably.
    pub(super) owed: BTreeSet<Stamp>,
}

impl Replica {
    pub(super) fn new(
        me: ProcessId,
        group: GroupId,
        cluster: &Arc<Cluster>,
        boot: Boot,
        settings: Settings,
        planted: Planted,
    ) -> Replica {
        let first = Epoch::first(cluster.members(group)[0]);
        Replica {
            me,
            group,
            cluster: cluster.clone(),
            settings,
            planted,
            boot,
            election: Election::new(me, group, cluster, boot),
            held: first,
            // A group begins in its first epoch, with nothing: that is nothing to agree on.
            is_established: true,
            peers: cluster.members(group).iter().map(|member| (*member, Peer::new(first))).collect(),
            clock: Clock::new(RESERVE),
            tracks: Table::new(),
            queue: Queue::new(),
            stamps: BTreeSet::new(),
            held_back: BTreeMap::new(),
            pending_bytes: 0,
            remotes: cluster
                .groups()
                .iter()
                .filter(|other| *other != group)
                .map(|other| (other, Remote::new(Epoch::first(cluster.members(other)[0]))))
                .collect(),
            unsettled: Table::new(),
            outcomes: VecDeque::new(),
            first_outcome: 0,
            outcome_bytes: 0,
            newest: None,
            written: 0,
            announced: 0,
            shown: 0,
            windows: Windows::new(),
            forgotten: Timestamp::ZERO,
            position: 0,
            user: Bytes::new(),
            wants_checkpoint: false,
            appended: 0,
            appended_bytes: 0,
            safe: Timestamp::ZERO,
            safe_ahead: None,
            told: Timestamp::ZERO,
            target: Timestamp::ZERO,
            awaited: Timestamp::ZERO,
            safe_said: Timestamp::ZERO,
            reads: Reads::default(),
            unshown: Vec::new(),
            votes: BTreeMap::new(),
            facts: BTreeMap::new(),
            closed: Vec::new(),
            said: None,
            ticks: 0,
            is_durable: true,
        }
    }

    /// The replicas of the group, this one too.
    pub(super) fn members(&self) -> impl Iterator<Item = ProcessId> + use<> {
        self.cluster.each_member(self.group)
    }

    /// The other replicas of the group.
    pub(super) fn others(&self) -> impl Iterator<Item = ProcessId> + use<> {
        let me = self.me;
        self.members().filter(move |member| *member != me)
    }

    pub(super) fn quorum(&self) -> usize {
        self.cluster.quorum(self.group)
    }

    /// How many messages were delivered.
    pub(super) fn delivered(&self) -> Position {
        self.first_outcome + self.outcomes.len() as Position
    }

    /// Whether it may accept: it holds what it has promised.
    pub(super) fn holds_its_promise(&self) -> bool {
        !self.election.is_amnesiac() && self.held == self.election.promised()
    }

    /// Whether it leads, and a quorum holds what its epoch began with: it may propose and deliver.
    pub(super) fn may_lead(&self) -> bool {
        self.election.is_primary() && self.holds_its_promise() && self.is_established
    }

    pub(super) fn remembers(&self) -> bool {
        !self.election.is_amnesiac() && self.is_durable
    }

    /// How many bytes of payload it holds.
    pub(super) fn bytes(&self) -> usize {
        self.pending_bytes + self.outcome_bytes
    }

    pub(super) fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("group", self.group.index() as u64);
        tell("epoch", u64::from(self.held.round));
        tell("leader", u64::from(self.held.leader.0));
        tell("is_primary", u64::from(self.may_lead()));
        tell("is_settled", u64::from(self.holds_its_promise()));
        tell("is_without_memory", u64::from(!self.remembers()));
        tell("clock", self.clock.value().0);
        tell("safe_time", self.safe.0);
        tell("log_bytes", self.bytes() as u64);
        tell("delivered", self.delivered());
        tell("checkpointed", self.position);
        tell("pending", self.stamps.len() as u64);
        tell("sessions", self.windows.len() as u64);
        // A peer is heard of ten times a second, and by every one of its reports.
        const SILENT: u32 = 20;
        tell("silent_peers", self.election.silences().filter(|(_, silence)| *silence > SILENT).count() as u64);
    }

    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            open: 0,
            tracks: self.tracks.len(),
            pending: self.stamps.len(),
            unsettled: self.unsettled.len(),
            outcomes: self.outcomes.len(),
            bytes: self.bytes(),
            windows: self.windows.len(),
        }
    }

    /// Raises the clock, and writes down a new ceiling before anybody can count on a value above the old one.
    pub(super) fn raise_clock(&mut self, to: Timestamp, out: &mut Effects) {
        if let Some(ceiling) = self.clock.raise(to) {
            out.persist(Record::Ceiling(ceiling));
        }
    }

    /// Writes something down that is put together for it alone.
    pub(super) fn write(&self, record: impl FnOnce() -> Record, out: &mut Effects) {
        if self.settings.keeps_records {
            out.persist(record());
        }
    }

    /// What a replica said before it lost its memory does not count any more.
    pub(super) fn note_rebirth(&mut self, rebirth: Rebirth) {
        if self.election.note_rebirth(rebirth) && rebirth.process != self.me {
            let first = Epoch::first(self.cluster.members(self.group)[0]);
            self.peers.insert(rebirth.process, Peer::new(first));
        }
    }

    /// What a quorum has told that its clocks have passed: no later epoch proposes anything at or below.
    pub(super) fn quorum_clock(&self) -> Timestamp {
        let quorum = if self.planted.is(Mutant::WhiteBoxCountsAMinority) { 1 } else { self.quorum() };
        reached_by(self.peers.values().map(|peer| peer.clock), quorum).unwrap_or(Timestamp::ZERO)
    }

    // ---- Local timestamps.

    /// A message has a local timestamp from now on.
    pub(super) fn set_own(&mut self, id: MessageId, timestamp: Timestamp) {
        self.clear_own(id);
        let track = self.tracks.get_mut(&id).expect("what gets a timestamp is known");
        track.own = Some(timestamp);
        self.pending_bytes += track.message.as_ref().expect("what gets a timestamp is here").payload.len();
        let stamp = Stamp { timestamp, id };
        self.stamps.insert(stamp);
        for group in id.destinations.without(self.group).iter() {
            self.remotes.get_mut(group).expect("every group is known").owed.insert(stamp);
        }
    }

    /// It has none any more: its epoch has lost it, or it is delivered.
    pub(super) fn clear_own(&mut self, id: MessageId) {
        let Some(track) = self.tracks.get_mut(&id) else { return };
        let Some(timestamp) = track.own.take() else { return };
        self.pending_bytes -= track.message.as_ref().expect("what has a timestamp is here").payload.len();
        self.queue.remove(id, &mut track.place);
        let stamp = Stamp { timestamp, id };
        self.stamps.remove(&stamp);
        for group in id.destinations.without(self.group).iter() {
            self.remotes.get_mut(group).expect("every group is known").owed.remove(&stamp);
        }
    }

    /// Whether a message has been proposed here, and is not delivered.
    pub(super) fn is_on_the_way(&self, id: MessageId) -> bool {
        self.tracks.get(&id).is_some_and(|track| track.own.is_some())
    }

    /// Nothing is known of it any more.
    pub(super) fn forget_if_empty(&mut self, id: MessageId) {
        let is_empty = |track: &Track| track.own.is_none() && track.message.is_none() && track.offers.is_empty();
        self.tracks.remove_if(&id, is_empty);
    }

    // ---- Deliveries.

    /// The next message in the order of the group.
    pub(super) fn deliver(&mut self, outcome: Outcome, out: &mut Effects) {
        let position = self.delivered();
        let stamp = outcome.stamp();
        let id = outcome.id;
        self.raise_clock(outcome.timestamp, out);
        let track = self.tracks.get(&id).expect("what is delivered is known");
        let sender = track.sender;
        if !track.is_accepted || track.own != Some(outcome.own) {
            // By hearsay. What is delivered can be read back, so it is as good as accepted: its local timestamp
            // is decided.
            let message = track.message.clone().expect("what is delivered is here");
            let entry = Entry { timestamp: outcome.own, follows: track.follows, message };
            self.write(|| Record::Accepted(entry), out);
        }
        let message = self.note_delivery(outcome);
        if let Some(sender) = sender {
            self.answer(sender, stamp, out);
        }
        self.tell_user(position, stamp.timestamp, message, out);
        if let Some(next) = self.held_back.remove(&id) {
            self.accept(next, None, out);
        }
    }

    /// The user hears of a message.
    pub(super) fn tell_user(
        &mut self,
        position: Position,
        timestamp: Timestamp,
        message: Multicast,
        out: &mut Effects,
    ) {
        self.closed.push(message.id);
        out.emit(Up::Deliver(Delivery { position, timestamp, message }));
    }

    /// Whoever sent a message learns that it is delivered. One that delivers it too need not be told.
    pub(super) fn answer(&self, sender: ProcessId, Stamp { timestamp, id }: Stamp, out: &mut Effects) {
        if !self.cluster.group_of(sender).is_some_and(|group| id.destinations.contains(group)) {
            out.send(sender, Message::Done(id, timestamp));
        }
    }

    /// Notes that a message is delivered, and answers the message.
    pub(super) fn note_delivery(&mut self, outcome: Outcome) -> Multicast {
        let stamp = outcome.stamp();
        let id = outcome.id;
        let is_later = self.newest.is_none_or(|newest| newest < stamp);
        assert!(is_later || self.planted != Planted::NONE, "{stamp} is delivered after {:?}", self.newest);
        self.newest = Some(stamp);
        self.clear_own(id);
        let track = self.tracks.remove(&id).expect("what is delivered is known");
        let message = track.message.expect("what is delivered is here");
        self.windows.note(id, outcome.timestamp, message.expiry, &outcome.marks);
        if self.planted.is(Mutant::WhiteBoxForgetsWindows) && self.delivered().is_multiple_of(8) {
            self.windows.forget_wrongly(Stream::of(id));
        }
        let owed = id.destinations.without(self.group);
        if !owed.is_empty() {
            self.owe(Settling { outcome: outcome.clone(), owed, age: 0, tries: 0 });
        }
        self.appended += 1;
        self.appended_bytes += message.payload.len();
        self.outcome_bytes += message.payload.len();
        self.outcomes.push_back(Delivered { outcome, message: message.clone() });
        message
    }

    /// Other destinations may have to ask about a delivered message.
    pub(super) fn owe(&mut self, settling: Settling) {
        let stamp = Stamp { timestamp: settling.outcome.own, id: settling.outcome.id };
        for group in settling.owed.iter() {
            self.remotes.get_mut(group).expect("every group is known").owed.insert(stamp);
        }
        self.unsettled.insert(stamp.id, settling);
    }

    /// Where a message of the queue is found.
    pub(super) fn spot(&self, id: MessageId) -> Spot {
        self.tracks.spot(&id).expect("what is queued is known")
    }

    pub(super) fn check(&self) {
        let promised = self.election.promised();
        assert!(self.held <= promised, "{} is held and only {promised} promised", self.held);
        assert!(self.position <= self.delivered(), "the user's state covers what was not delivered");
        assert!(self.first_outcome <= self.position, "deliveries that the user does not hold are forgotten");
        let newest = self.newest.map_or(Timestamp::ZERO, |newest| newest.timestamp);
        let clock = self.clock.value();
        assert!(newest <= clock || self.planted != Planted::NONE, "delivered {newest} with the clock at {clock}");
        // Everything is looked at now and then: it takes its time.
        if self.planted == Planted::NONE && (self.clock.value().0 + self.delivered()).is_multiple_of(16) {
            self.check_tracks();
        }
    }

    fn check_tracks(&self) {
        let mut bytes = 0;
        for Stamp { timestamp, id } in &self.stamps {
            let track = self.tracks.get(id).unwrap_or_else(|| panic!("{id} has a timestamp and is not known"));
            assert_eq!(track.own, Some(*timestamp), "{id} has another timestamp");
            assert!(!self.unsettled.contains(id), "{id} was delivered and is on the way");
            for group in id.destinations.without(self.group).iter() {
                let is_listed = self.remotes[group].owed.contains(&Stamp { timestamp: *timestamp, id: *id });
                assert!(is_listed, "{id} is owed to {group} and not listed");
            }
            bytes += track.message.as_ref().map_or(0, |message| message.payload.len());
            assert!(!self.may_lead() || track.place.is_some(), "{id} is proposed and not queued");
        }
        assert_eq!(bytes, self.pending_bytes, "the payloads on the way do not add up");
        let bytes: usize = self.outcomes.iter().map(|delivered| delivered.message.payload.len()).sum();
        assert_eq!(bytes, self.outcome_bytes, "the payloads of what was delivered do not add up");
    }
}

impl Peer {
    pub(super) fn new(first: Epoch) -> Peer {
        Peer {
            held: first,
            clock: Timestamp::ZERO,
            ahead: None,
            delivered: 0,
            stalled: (0, 0),
            pause: Pause::default(),
        }
    }

    /// It is heard again after a silence: what it did not answer until now says nothing.
    pub(super) fn begin_anew(&mut self) {
        self.pause.end();
        self.stalled.1 = 0;
    }
}

impl Remote {
    /// A group that nothing was heard of.
    pub(super) fn new(first: Epoch) -> Remote {
        Remote { settled: Timestamp::ZERO, epoch: first, owed: BTreeSet::new() }
    }

    /// Somebody speaks for this epoch of the group. Answers whether it is the newest.
    pub(super) fn hears(&mut self, epoch: Epoch) -> bool {
        self.epoch = self.epoch.max(epoch);
        self.epoch == epoch
    }
}
