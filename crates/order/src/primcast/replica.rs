//! [`Replica`]: the state of one replica, what it knows of its peers, and when
//! a message may be delivered. How messages come in, and what happens when
//! something breaks, is told in the other files.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{
    Boot, Chronicle, Cluster, GroupId, GroupSet, MessageId, Place, Position, ProcessId, Stamp, Time, Timestamp,
};

use super::audience::Unsaid;
use super::certificates::Certificates;
use super::early::Early;
use super::heads::Heads;
use super::notes::places_of;
use super::past::Past;
use super::reads::Reads;
use super::record::{Outcome, Record};
use super::wire::{Message, Promise, Report};
use super::{ClockKind, Effects, Holdings, Settings};
use crate::parts::{
    ByGroup, Clock, Election, Epoch, Few, Index, Log, Mark, Marks, Pause, Queue, Row, Spot, Stream, Table, Windows,
    reached_by,
};
use crate::{Mutant, Planted};

/// How many values a logical clock reserves at once. A restart skips as many.
const RESERVE: u64 = 1 << 12;

/// How far ahead a hybrid clock reserves.
const RESERVE_NANOS: u64 = 1_000_000_000;

/// Ticks after which what a silent replica has said of its hardware clock counts no more.
const STALE: u32 = 20;

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

    /// The epoch whose log this replica holds.
    pub(super) held: Epoch,
    /// A quorum has held the held epoch, so that its beginning can no longer be lost.
    pub(super) is_established: bool,
    /// What each replica of the group, this one too, has said of itself.
    pub(super) peers: Few<ProcessId, Peer>,

    pub(super) clock: Clock,
    pub(super) log: Log,
    /// Everything in the log up to here is decided.
    pub(super) decided: Index,
    /// Nothing is proposed in the held epoch at or below this.
    pub(super) leader_clock: Timestamp,
    /// A clock of the primary that counts once the log reaches this place:
    /// before, it might cover an entry that was lost on the way.
    pub(super) leader_ahead: Option<(Index, Timestamp)>,

    /// What is known of every message that is not forgotten.
    pub(super) tracks: Table<MessageId, Track>,
    /// Messages in the log that are not delivered, by the earliest place that each can still take.
    pub(super) queue: Queue,
    pub(super) remotes: ByGroup<Remote>,

    /// What was delivered, from `first_outcome` on.
    pub(super) outcomes: VecDeque<Outcome>,
    pub(super) first_outcome: Position,
    pub(super) newest: Option<Stamp>,
    /// So many deliveries are written down.
    pub(super) written: Position,
    /// So many deliveries were announced to the other groups as settled.
    pub(super) announced: Position,
    /// So many a quorum of the group had delivered at the last tick, durably.
    pub(super) durable_at_tick: Position,
    pub(super) windows: Windows,
    /// The first turn that is not in the user's newest state.
    pub(super) position: Position,
    /// What was delivered before its turn.
    pub(super) early: Early,
    /// That state.
    pub(super) user: Bytes,
    pub(super) wants_checkpoint: bool,
    /// The first of the proposals of this turn, which nobody has been shown yet.
    pub(super) unshown: Option<Index>,
    /// Entries since the last checkpoint,
    pub(super) appended: usize,
    /// and the bytes of their payloads.
    pub(super) appended_bytes: usize,

    /// What may not be answered yet.
    pub(super) past: Past,
    /// What deliveries wait for, where they wait for other groups.
    pub(super) certificates: Certificates,
    /// Others can tell that its hardware clock is wrong.
    pub(super) is_fenced: bool,
    /// What it has last said of itself to those of its group who wait for it.
    pub(super) said: Option<Report>,
    /// Groups that must be told how far it holds the log.
    pub(super) acknowledge: GroupSet,
    /// Others of the group wait for a clock that this replica has reached since it spoke.
    pub(super) is_clock_awaited: bool,
    /// What it has kept from those who can do without it for a moment.
    pub(super) unsaid: Unsaid,
    /// Somebody waits until everything up to this is delivered.
    pub(super) target: Timestamp,
    /// What its user wants to read.
    pub(super) reads: Reads,
    /// Up to where its user was told that everything is delivered.
    pub(super) told: Timestamp,
    pub(super) closed: Vec<MessageId>,
    pub(super) ticks: u32,
    /// How much was delivered at the last tick, and for how many ticks.
    pub(super) stuck: (Position, u32),
    /// What it remembers is on disk: not so while it has just been given back what it had lost.
    pub(super) is_durable: bool,
}

/// What a replica of the group has said of itself.
#[derive(Clone, Debug, Hash)]
pub(super) struct Peer {
    pub(super) held: Epoch,
    pub(super) index: Index,
    /// Its clock, as told under promises up to the epoch that this replica holds.
    pub(super) clock: Timestamp,
    /// Its clock, as told under a later promise. It counts when this replica gets there.
    pub(super) ahead: Option<(Epoch, Timestamp)>,
    /// How much it has delivered, durably.
    pub(super) delivered: Position,
    /// Its hardware clock.
    pub(super) reading: Time,
    /// Where its log ended at the last tick, and for how many ticks.
    pub(super) log_stalled: (Index, u32),
    /// The same of its deliveries: one that proposes need not get anywhere with them.
    pub(super) deliveries_stalled: (Position, u32),
    /// Entries were sent to it again up to here.
    pub(super) resent: Option<Index>,
    /// Something long is on its way to it.
    pub(super) pause: Pause,
}

/// What is known of one message.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Track {
    /// Its place in the own log.
    pub(super) index: Option<Index>,
    /// What other groups have proposed.
    pub(super) heads: Heads,
    /// From a header: what is needed to propose it without its payload.
    pub(super) terms: Option<Terms>,
    pub(super) is_delivered: bool,
    /// Its turn among the deliveries, if that is remembered; before it was delivered, nothing.
    pub(super) turn: Position,
    /// Where it stands in the queue, while it is there.
    pub(super) place: Option<Timestamp>,
    /// Destinations that may not have learned the own decision durably.
    pub(super) owed: GroupSet,
    /// Who waits for the outcome.
    pub(super) sender: Option<ProcessId>,
    /// Ticks since something was last done about it.
    pub(super) age: u32,
    pub(super) tries: u32,
}

/// On what a message is proposed, as its header says.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Terms {
    pub(super) floor: Timestamp,
    pub(super) expiry: Timestamp,
    pub(super) follows: u64,
}

/// What is known of another group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Remote {
    /// How far each of its replicas holds the log of which epoch.
    pub(super) voters: Few<ProcessId, (Epoch, Index)>,
    /// Its proposals that are not decided yet, by epoch and place.
    pub(super) open: Row<(Epoch, Index), (MessageId, Spot)>,
    /// Its log is settled up to here: what it shares with this group was delivered by a quorum of this group.
    pub(super) settled: Index,
    /// The newest epoch of that group that was heard of. What a primary of an earlier one still shows was lost,
    /// or stands in the newer one's log too: its places say nothing about what is settled.
    pub(super) epoch: Epoch,
    /// Own entries that it shares and that it may not have learned durably.
    pub(super) owed: Row<Index, Spot>,
}

/// Whoever certifies asks for what is shared.
pub(super) fn queue_for(settings: Settings) -> Queue {
    if settings.waits_for_certificates { Queue::with_wide() } else { Queue::new() }
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
        let reserve = match settings.clock {
            ClockKind::Logical => RESERVE,
            ClockKind::Hybrid { .. } => RESERVE_NANOS,
        };
        Replica {
            me,
            group,
            cluster: cluster.clone(),
            settings,
            planted,
            boot,
            election: Election::new(me, group, cluster, boot),
            held: first,
            // A group begins in its first epoch, with an empty log: that is nothing to agree on.
            is_established: true,
            peers: cluster.members(group).iter().map(|member| (*member, Peer::new(first))).collect(),
            clock: Clock::new(reserve),
            log: Log::new(first),
            decided: 0,
            leader_clock: Timestamp::ZERO,
            leader_ahead: None,
            tracks: Table::new(),
            queue: queue_for(settings),
            remotes: cluster
                .groups()
                .iter()
                .filter(|other| *other != group)
                .map(|other| (other, Remote::new(Epoch::first(cluster.members(other)[0]))))
                .collect(),
            outcomes: VecDeque::new(),
            first_outcome: 0,
            newest: None,
            written: 0,
            announced: 0,
            durable_at_tick: 0,
            windows: Windows::new(),
            position: 0,
            early: Early::default(),
            user: Bytes::new(),
            wants_checkpoint: false,
            unshown: None,
            appended: 0,
            appended_bytes: 0,
            past: Past::default(),
            certificates: Certificates::default(),
            is_fenced: false,
            said: None,
            acknowledge: GroupSet::EMPTY,
            is_clock_awaited: false,
            unsaid: Unsaid::default(),
            target: Timestamp::ZERO,
            reads: Reads::default(),
            told: Timestamp::ZERO,
            closed: Vec::new(),
            ticks: 0,
            stuck: (0, 0),
            is_durable: true,
        }
    }

    /// The replicas of the group, this one too.
    pub(super) fn members(&self) -> impl Iterator<Item = ProcessId> + use<> {
        let (cluster, group) = (self.cluster.clone(), self.group);
        (0..cluster.members(group).len()).map(move |place| cluster.members(group)[place])
    }

    /// The other replicas of the group.
    pub(super) fn others(&self) -> impl Iterator<Item = ProcessId> + use<> {
        let me = self.me;
        self.members().filter(move |member| *member != me)
    }

    pub(super) fn quorum(&self) -> usize {
        self.cluster.quorum(self.group)
    }

    /// The destinations of a message but the own group.
    pub(super) fn other_groups(&self, destinations: GroupSet) -> GroupSet {
        let mut others = destinations;
        others.remove(self.group);
        others
    }

    /// How many messages have had their turn: what was delivered early does not count yet.
    pub(super) fn delivered(&self) -> Position {
        self.first_outcome + self.outcomes.len() as Position
    }

    /// Whether it holds what it has promised to hold, and so may propose or deliver.
    pub(super) fn is_settled_in(&self) -> bool {
        !self.election.is_amnesiac() && self.holds_its_promise() && self.is_established
    }

    /// Whether it holds the newest epoch that it has promised.
    pub(super) fn holds_its_promise(&self) -> bool {
        self.held == self.election.promised()
    }

    /// Whether it may propose.
    pub(super) fn may_propose(&self) -> bool {
        self.election.is_primary() && self.is_settled_in()
    }

    pub(super) fn remembers(&self) -> bool {
        !self.election.is_amnesiac() && self.is_durable
    }

    pub(super) fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("group", self.group.index() as u64);
        tell("epoch", u64::from(self.held.round));
        tell("leader", u64::from(self.held.leader.0));
        tell("is_primary", u64::from(self.may_propose()));
        tell("is_settled", u64::from(self.is_settled_in()));
        tell("is_without_memory", u64::from(!self.remembers()));
        tell("clock", self.clock.value().0);
        tell("clock_is_fenced", u64::from(self.is_fenced));
        tell("safe_time", self.safe_time().0);
        tell("log_last", self.log.last());
        tell("log_decided", self.decided);
        tell("log_base", self.log.base());
        tell("log_entries", self.log.len() as u64);
        tell("log_bytes", self.log.bytes() as u64);
        tell("delivered", self.delivered());
        tell("checkpointed", self.position);
        tell("pending", self.queue.len() as u64);
        tell("sessions", self.windows.len() as u64);
        // A peer is heard of ten times a second, and by every one of its reports.
        const SILENT: u32 = 20;
        tell("silent_peers", self.election.silences().filter(|(_, ticks)| *ticks > SILENT).count() as u64);
    }

    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            open: 0,
            entries: self.log.len(),
            bytes: self.log.bytes(),
            tracks: self.tracks.len(),
            pending: self.queue.len(),
            outcomes: self.outcomes.len(),
            windows: self.windows.len(),
        }
    }

    /// Raises the clock, and writes down a new ceiling before anybody can hear of a value above the old one.
    pub(super) fn raise_clock(&mut self, to: Timestamp, out: &mut Effects) {
        if let Some(ceiling) = self.clock.raise(to) {
            out.persist(Record::Ceiling(ceiling));
        }
    }

    /// What the hardware clock says, as far as it is believed: one that runs far ahead of its group
    /// must not take everybody's timestamps along.
    pub(super) fn reading(&self, now: Time) -> Option<Timestamp> {
        let ClockKind::Hybrid { bound } = self.settings.clock else { return None };
        let fresh = self.election.silences().filter(|(_, ticks)| *ticks <= STALE);
        let others = fresh.map(|(process, _)| self.peers[&process].reading);
        let shown = reached_by(others.chain([now]), self.quorum())?;
        Some(Timestamp(now.min(shown.after(bound)).as_nanos()))
    }

    /// Writes something down that is put together for it alone.
    pub(super) fn write(&self, record: impl FnOnce() -> Record, out: &mut Effects) {
        if self.settings.keeps_records {
            out.persist(record());
        }
    }

    // ---- Decisions and deliveries.

    /// Decides and delivers whatever has become possible.
    pub(super) fn advance(&mut self, now: Time, out: &mut Effects) {
        let holders = self.peers.values().filter(|peer| peer.held == self.held).map(|peer| peer.index);
        if let Some(index) = reached_by(holders, self.quorum()) {
            self.decided = self.decided.max(index.min(self.log.last()));
            if !self.is_established {
                self.is_established = true;
                self.begin_reign(now, out);
            }
        }
        if self.is_settled_in() {
            self.deliver_what_is_ripe(out);
        }
        self.tell_safe_time(out);
        self.ask_for_checkpoint(out);
    }

    fn deliver_what_is_ripe(&mut self, out: &mut Effects) {
        let waits_for_leader = !self.planted.is(Mutant::PrimCastIgnoresTheLeaderClock);
        let quorum_clock = self.quorum_clock();
        while let Some((first, spot)) = self.next_to_deliver() {
            let Some(outcome) = self.outcome(first.id, spot) else { break };
            let leader_may_come_before = waits_for_leader && self.leader_clock() < outcome.timestamp;
            if leader_may_come_before || quorum_clock < outcome.timestamp {
                break;
            }
            if !self.uncertified(Stamp { timestamp: outcome.timestamp, id: outcome.id }).is_empty() {
                break;
            }
            self.deliver_at(spot, outcome, out);
        }
        self.deliver_what_commutes(self.leader_clock().min(quorum_clock), out);
    }

    /// The message that can have the earliest place of all.
    fn next_to_deliver(&self) -> Option<(Stamp, Spot)> {
        if self.planted.is(Mutant::PrimCastIgnoresPendingStamps) {
            return self.queue.iter().find(|(place, spot)| self.outcome(place.id, *spot).is_some());
        }
        self.queue.first()
    }

    /// What becomes of a message in the log, once every destination has decided.
    #[inline]
    pub(super) fn outcome(&self, id: MessageId, spot: Spot) -> Option<Outcome> {
        let track = self.track(id, spot);
        let index = track.index.filter(|index| *index <= self.decided)?;
        let timestamp = self.log.get(index).expect("what is on the way is kept").timestamp;
        let mut outcome = Outcome { id, timestamp, marks: Marks::new() };
        for group in self.other_groups(id.destinations).iter() {
            let head = track.heads.get(group).filter(|head| head.is_decided)?;
            outcome.timestamp = outcome.timestamp.max(head.timestamp);
            outcome.marks.push(Mark { group, index: head.index });
        }
        Some(outcome)
    }

    /// What is known of a message that something is known of.
    #[inline]
    pub(super) fn track(&self, id: MessageId, spot: Spot) -> &Track {
        self.tracks.at(spot, &id).unwrap_or_else(|| panic!("nothing is known of {id}"))
    }

    /// Whether a message is in the log, and not delivered.
    pub(super) fn is_on_the_way(&self, id: MessageId) -> bool {
        self.tracks.get(&id).is_some_and(|track| track.place.is_some())
    }

    /// Where a message stands in the log, if it is kept there.
    pub(super) fn find(&self, id: MessageId) -> Option<Index> {
        self.tracks.get(&id).and_then(|track| track.index)
    }

    /// The next message in the order of the group.
    pub(super) fn deliver(&mut self, outcome: Outcome, out: &mut Effects) {
        let spot = self.tracks.spot(&outcome.id).expect("what is delivered is known");
        self.deliver_at(spot, outcome, out);
    }

    fn deliver_at(&mut self, spot: Spot, outcome: Outcome, out: &mut Effects) {
        let stamp = Stamp { timestamp: outcome.timestamp, id: outcome.id };
        let position = self.told();
        let (sender, index) = self.note_delivery(outcome, spot, out.chronicle());
        if let Some(sender) = sender {
            self.answer(sender, stamp, out);
        }
        if let Some(index) = index {
            self.tell_user(position, stamp, index, out);
        }
    }

    /// Whoever sent a message learns that it is delivered, and waits no more.
    pub(super) fn answer_sender(&mut self, stamp: Stamp, spot: Spot, out: &mut Effects) {
        let sender = self.tracks.at_mut(spot, &stamp.id).and_then(|track| track.sender.take());
        if let Some(sender) = sender {
            self.answer(sender, stamp, out);
        }
    }

    /// One that delivers the message too need not be told.
    fn answer(&self, sender: ProcessId, Stamp { timestamp, id }: Stamp, out: &mut Effects) {
        if !self.cluster.group_of(sender).is_some_and(|group| id.destinations.contains(group)) {
            out.send_early(sender, Message::Done(id, timestamp));
        }
    }

    /// Notes that a message has had its turn. Answers who waits for that, and where the message stands in the log
    /// unless it was delivered before.
    pub(super) fn note_delivery(
        &mut self,
        outcome: Outcome,
        spot: Spot,
        chronicle: Option<&mut Chronicle>,
    ) -> (Option<ProcessId>, Option<Index>) {
        let stamp = Stamp { timestamp: outcome.timestamp, id: outcome.id };
        let Stamp { timestamp, id } = stamp;
        let is_later = self.newest.is_none_or(|newest| newest < stamp);
        assert!(is_later || self.planted != Planted::NONE, "{stamp} is delivered after {:?}", self.newest);
        self.newest = Some(stamp);
        let turn = self.delivered();
        let early = self.early.turn(id);
        let track = self.tracks.at_mut(spot, &id).expect("what is delivered is known");
        let index = track.index.expect("what is delivered is in the log");
        let entry = self.log.get(index).expect("what is delivered is kept");
        let sender = track.sender.take();
        if let Some(chronicle) = chronicle.filter(|_| early.is_none()) {
            let place = Place { group: self.group, round: entry.epoch.round, index, timestamp: entry.timestamp };
            chronicle.delivered(stamp, sender, place, places_of(&track.heads));
        }
        (track.is_delivered, track.turn, track.age, track.tries, track.terms) = (true, turn, 0, 0, None);
        // What is decided is not open any more.
        for head in track.heads.iter().filter(|head| !head.is_decided) {
            let remote = self.remotes.get_mut(head.group).expect("every group is known");
            remote.open.remove(&(head.epoch, head.index));
        }
        track.heads.clear();
        self.queue.remove(id, &mut track.place);
        self.windows.note(id, timestamp, entry.message.expiry, &outcome.marks);
        self.outcomes.push_back(outcome);
        if self.planted.is(Mutant::PrimCastForgetsWindows) && turn.is_multiple_of(8) {
            self.windows.forget_wrongly(Stream::of(id));
        }
        let is_the_same = early.is_none_or(|early| early == timestamp);
        assert!(is_the_same || self.planted != Planted::NONE, "{id} was delivered with {early:?}, not {timestamp}");
        (sender, early.is_none().then_some(index))
    }

    pub(super) fn check(&self) {
        let promised = self.election.promised();
        assert!(self.held <= promised, "{} is held and only {promised} promised", self.held);
        assert!(self.decided <= self.log.last(), "decided up to {} of {}", self.decided, self.log.last());
        assert!(self.log.base() <= self.decided, "the log is cut at {}, above {}", self.log.base(), self.decided);
        assert!(self.position <= self.delivered(), "the user's state covers what was not delivered");
        assert!(self.early.len() <= self.queue.len(), "something was delivered early that is not on the way");
        assert!(self.first_outcome <= self.position, "outcomes that the user does not hold are forgotten");
        let newest = self.newest.map_or(Timestamp::ZERO, |newest| newest.timestamp);
        let clock = self.clock.value();
        assert!(newest <= clock || self.planted != Planted::NONE, "delivered {newest} with the clock at {clock}");
        // Everything is looked at now and then: it takes its time.
        if self.planted == Planted::NONE && (self.log.last() + self.delivered()).is_multiple_of(16) {
            self.check_tracks();
        }
    }

    fn check_tracks(&self) {
        let mut pending = 0;
        for (index, entry) in self.log.iter() {
            let id = entry.message.id;
            let track = self.tracks.get(&id).unwrap_or_else(|| panic!("{id} is in the log and not known"));
            assert_eq!(track.index, Some(index), "{id} stands elsewhere");
            assert_eq!(track.place.is_some(), !track.is_delivered, "{id} is on the way or delivered");
            for group in track.owed.iter() {
                assert!(self.remotes[group].owed.contains(&index), "{id} is owed to {group} and not listed");
            }
            pending += usize::from(!track.is_delivered);
        }
        assert_eq!(pending, self.queue.len(), "something is queued that is not in the log");
    }
}

impl Track {
    /// The lowest final timestamp that a message in this log can still get.
    pub(super) fn bound(&self, log: &Log) -> Timestamp {
        let index = self.index.expect("what has a bound is in the log");
        let own = log.get(index).expect("what is on the way is kept").timestamp;
        self.heads.highest_decided().max(own)
    }
}

impl Peer {
    /// It is heard again after a silence: what it did not answer until now says nothing.
    pub(super) fn begin_anew(&mut self) {
        self.pause.end();
        (self.log_stalled.1, self.deliveries_stalled.1) = (0, 0);
    }

    pub(super) fn new(first: Epoch) -> Peer {
        Peer {
            held: first,
            index: 0,
            clock: Timestamp::ZERO,
            ahead: None,
            delivered: 0,
            reading: Time::ZERO,
            log_stalled: (0, 0),
            deliveries_stalled: (0, 0),
            resent: None,
            pause: Pause::default(),
        }
    }
}
