//! [`Replica`]: what one replica knows of the messages of its group, how that
//! follows from what the group has agreed on, and when a message is delivered.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, Delivery, GroupId, GroupSet, MessageId, Multicast, Outlook, Position, ProcessId, Random, SessionId,
    Stamp, Timestamp, Up, Want,
};

use super::entry::{Entry, Hard, Heard, Proposal, State};
use super::leader::Reign;
use super::reads::Reads;
use super::wire::Message;
use super::{Effects, Holdings, Settings};
use crate::consensus::Consensus;
use crate::parts::{ByGroup, Epoch, Index, Mark, Marks, Queue, Row, Spot, Stream, Table, Windows};
use crate::{Mutant, Planted};

/// One replica of a group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Replica {
    pub(super) me: ProcessId,
    pub(super) group: GroupId,
    pub(super) cluster: Arc<Cluster>,
    pub(super) settings: Settings,
    pub(super) planted: Planted,
    pub(super) random: Random,
    /// How the group agrees.
    pub(super) consensus: Consensus<Entry, State>,

    /// The group's clock, after everything that was applied. Whatever gets a local timestamp later gets a higher one.
    pub(super) clock: Timestamp,
    /// What is known of every message that is not forgotten.
    pub(super) tracks: Table<MessageId, Track>,
    /// Messages that have a local timestamp and are not delivered, by the earliest place that each can still take.
    pub(super) queue: Queue,
    /// What is known of other groups.
    pub(super) remotes: ByGroup<Remote>,
    /// Messages whose final timestamp is known here, and not yet said in the log.
    pub(super) unlogged: BTreeSet<MessageId>,
    /// Those of them that became known in this turn.
    pub(super) newly_known: Vec<MessageId>,
    pub(super) windows: Windows,

    /// How many messages were delivered.
    pub(super) delivered: Position,
    pub(super) newest: Option<Stamp>,
    /// What was delivered since the user's newest state.
    pub(super) turns: VecDeque<Stamp>,
    /// The first delivery that is not in that state,
    pub(super) position: Position,
    /// the last one that is,
    pub(super) covered: Option<Stamp>,
    /// and the state.
    pub(super) user: Bytes,
    /// How many deliveries the user knows of. What is delivered again after a state was taken over is no news.
    pub(super) told: Position,
    pub(super) wants_checkpoint: bool,
    /// Entries since the last checkpoint,
    pub(super) appended: usize,
    /// and the bytes of their payloads.
    pub(super) appended_bytes: usize,

    /// What it knows as the leader of an epoch.
    pub(super) reign: Option<Reign>,
    /// Local timestamps that the other destinations have to hear of, from this turn.
    pub(super) shown: BTreeMap<GroupId, Vec<MessageId>>,
    /// What the group has learned of the logs of others, from this turn.
    pub(super) learned: BTreeMap<GroupId, Vec<Index>>,
    /// Messages that were delivered in this turn: the sender waits for them no more.
    pub(super) closed: Vec<MessageId>,

    /// Somebody waits until everything up to this is delivered.
    pub(super) target: Timestamp,
    /// Up to where its user was told that everything is delivered.
    pub(super) safe: Timestamp,
    /// What its user wants to read.
    pub(super) reads: Reads,
    pub(super) ticks: u32,
}

/// What is known of one message.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Track {
    /// What the own group has decided.
    pub(super) own: Option<Own>,
    /// The local timestamps elsewhere, as far as they were heard of.
    pub(super) hards: Vec<Hard>,
    /// From another group: what is needed to propose it without its payload.
    pub(super) terms: Option<Terms>,
    /// The log of the own group says all local timestamps.
    pub(super) is_final: bool,
    /// Its turn among the deliveries.
    pub(super) turn: Option<Position>,
    /// Where it stands in the queue, while it is there.
    pub(super) place: Option<Timestamp>,
    /// Destinations that may not have learned the own timestamp durably.
    pub(super) owed: GroupSet,
    /// Who waits for the outcome.
    pub(super) sender: Option<ProcessId>,
    /// Ticks since something was last done about it.
    pub(super) age: u32,
    pub(super) tries: u32,
}

/// A message at its place in the log of the own group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Own {
    pub(super) index: Index,
    pub(super) timestamp: Timestamp,
    pub(super) follows: u64,
    pub(super) message: Multicast,
}

/// On what a message is proposed.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Terms {
    pub(super) floor: Timestamp,
    pub(super) expiry: Timestamp,
    pub(super) follows: u64,
}

/// What is known of another group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Remote {
    /// Who leads it, as far as anybody has said.
    pub(super) epoch: Epoch,
    /// Up to this place of its log, everything shared was learned by this group.
    pub(super) settled: Index,
    /// Own entries that it shares and that it may not have learned.
    pub(super) owed: Row<Index, MessageId>,
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
        let others = cluster.groups().iter().filter(|other| *other != group);
        let first = |group| Epoch::first(cluster.members(group)[0]);
        Replica {
            me,
            group,
            cluster: cluster.clone(),
            settings,
            planted,
            random: Random::new(0),
            consensus: Consensus::new(me, group, cluster, boot, settings.keeps_records, planted),
            clock: Timestamp::ZERO,
            tracks: Table::new(),
            queue: Queue::new(),
            remotes: others
                .map(|other| (other, Remote { epoch: first(other), settled: 0, owed: Row::new() }))
                .collect(),
            unlogged: BTreeSet::new(),
            newly_known: Vec::new(),
            windows: Windows::new(),
            delivered: 0,
            newest: None,
            turns: VecDeque::new(),
            position: 0,
            covered: None,
            user: Bytes::new(),
            told: 0,
            wants_checkpoint: false,
            appended: 0,
            appended_bytes: 0,
            reign: None,
            shown: BTreeMap::new(),
            learned: BTreeMap::new(),
            closed: Vec::new(),
            target: Timestamp::ZERO,
            safe: Timestamp::ZERO,
            reads: Reads::default(),
            ticks: 0,
        }
    }

    /// The end of a turn: applies what is decided, delivers what is ripe, and says what follows.
    pub(super) fn finish(&mut self, out: &mut Effects) {
        self.consensus.decide();
        while let Some((index, entry)) = self.consensus.next_decided() {
            self.apply(index, entry);
        }
        if !self.consensus.is_amnesiac() {
            self.deliver_what_is_ripe(out);
            self.lead(out);
            self.show(out);
            self.pursue_reads(out);
            self.tell_safe_time(out);
            self.ask_for_checkpoint(out);
        }
        self.consensus.speak(out);
    }

    // ---- What follows from the log.

    /// The group has agreed on this.
    fn apply(&mut self, index: Index, entry: Entry) {
        self.appended += 1;
        let clock = self.clock;
        self.clock = entry.raise(clock);
        match entry {
            Entry::Hard(proposal) => self.apply_hard(index, clock, proposal),
            Entry::Final(messages) => {
                for Heard { id, hards } in messages {
                    self.apply_final(id, hards);
                }
            }
            Entry::Soft(..) | Entry::Clock(_) => {}
        }
    }

    /// Step 3: a message has its local timestamp.
    fn apply_hard(&mut self, index: Index, clock: Timestamp, proposal: Proposal) {
        let timestamp = proposal.timestamp(clock);
        let Proposal { message, follows, .. } = proposal;
        let id = message.id;
        self.appended_bytes += message.payload.len();
        let owed = id.destinations.without(self.group);
        if let Some(reign) = &mut self.reign {
            reign.proposed.remove(&id);
        }
        let (_, track) = self.tracks.enter(id);
        assert!(track.own.is_none(), "{id} is in the log of {} twice", self.group);
        track.own = Some(Own { index, timestamp, follows, message });
        (track.owed, track.age, track.tries) = (owed, 0, 0);
        // Whoever has no other destination has nothing to learn.
        track.is_final = owed.is_empty();
        for group in owed.iter() {
            self.remotes.get_mut(group).expect("every group is known").owed.insert(index, id);
            self.shown.entry(group).or_default().push(id);
        }
        self.line_up(id);
    }

    /// The log says all local timestamps of a message.
    fn apply_final(&mut self, id: MessageId, hards: Vec<Hard>) {
        for hard in &hards {
            self.learned.entry(hard.group).or_default().push(hard.index);
        }
        self.unlogged.remove(&id);
        if let Some(reign) = &mut self.reign {
            reign.closing.remove(&id);
        }
        // Two leaders may have said it. Then it may be forgotten by now.
        let Some(track) = self.tracks.get_mut(&id) else { return };
        track.is_final = true;
        for hard in hards {
            track.hear(hard);
        }
        self.line_up(id);
    }

    /// Puts a message at the earliest place that it can still take.
    pub(super) fn line_up(&mut self, id: MessageId) {
        let others = id.destinations.without(self.group);
        let spot = self.tracks.spot(&id).expect("what is lined up is known");
        let track = self.tracks.at_mut(spot, &id).expect("it was just found");
        let Some(own) = &track.own else { return };
        if track.turn.is_some() {
            return;
        }
        let bound = track.hards.iter().map(|hard| hard.timestamp).fold(own.timestamp, Timestamp::max);
        self.queue.raise(id, spot, &mut track.place, bound);
        if !track.is_final && track.final_timestamp(others).is_some() && self.unlogged.insert(id) {
            self.newly_known.push(id);
        }
    }

    // ---- Deliveries.

    /// Delivers from the front of the queue: what stands there with its final timestamp, at or below the clock, comes
    /// before everything that is on the way or will ever be.
    pub(super) fn deliver_what_is_ripe(&mut self, out: &mut Effects) {
        while let Some((first, spot)) = self.next_to_deliver() {
            let track = self.tracks.at(spot, &first.id).expect("what is queued is known");
            let Some(timestamp) = track.final_timestamp(first.id.destinations.without(self.group)) else { break };
            if self.clock < timestamp && !self.planted.is(Mutant::FastCastIgnoresTheClock) {
                break;
            }
            self.deliver(Stamp { timestamp, id: first.id }, spot, out);
        }
    }

    fn next_to_deliver(&self) -> Option<(Stamp, Spot)> {
        if self.planted.is(Mutant::FastCastIgnoresPendingStamps) {
            let is_ripe = |(place, spot): &(Stamp, Spot)| {
                let track = self.tracks.at(*spot, &place.id).expect("what is queued is known");
                let timestamp = track.final_timestamp(place.id.destinations.without(self.group));
                timestamp.is_some_and(|timestamp| timestamp <= self.clock)
            };
            return self.queue.iter().find(is_ripe);
        }
        self.queue.first()
    }

    fn deliver(&mut self, stamp: Stamp, spot: Spot, out: &mut Effects) {
        let Stamp { timestamp, id } = stamp;
        let is_later = self.newest.is_none_or(|newest| newest < stamp);
        assert!(is_later || self.planted != Planted::NONE, "{stamp} is delivered after {:?}", self.newest);
        self.newest = Some(stamp);
        let position = self.delivered;
        self.delivered += 1;
        self.turns.push_back(stamp);
        let track = self.tracks.at_mut(spot, &id).expect("what is delivered is known");
        (track.turn, track.age, track.tries, track.terms) = (Some(position), 0, 0, None);
        self.queue.remove(id, &mut track.place);
        let sender = track.sender.take();
        let own = track.own.as_ref().expect("what is delivered is in the log");
        let message = own.message.clone();
        let marks: Marks = track.hards.iter().map(|hard| Mark { group: hard.group, index: hard.index }).collect();
        self.windows.note(id, timestamp, message.expiry, &marks);
        if self.planted.is(Mutant::FastCastForgetsWindows) && position.is_multiple_of(8) {
            self.windows.forget_wrongly(Stream::of(id));
        }
        if let Some(sender) = sender {
            self.answer(sender, stamp, out);
        }
        self.closed.push(id);
        if position >= self.told {
            self.told = position + 1;
            out.emit(Up::Deliver(Delivery { position, timestamp, message }));
        }
    }

    /// Whoever waits for the outcome hears it. One that delivers the message too need not be told.
    pub(super) fn answer(&self, sender: ProcessId, Stamp { timestamp, id }: Stamp, out: &mut Effects) {
        if !self.cluster.group_of(sender).is_some_and(|group| id.destinations.contains(group)) {
            out.send(sender, Message::Done(id, timestamp));
        }
    }

    // ---- For those who watch.

    pub(super) fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("group", self.group.index() as u64);
        self.consensus.gauges(tell);
        tell("clock", self.clock.0);
        tell("safe_time", self.safe_time().0);
        tell("delivered", self.delivered);
        tell("checkpointed", self.position);
        tell("pending", self.queue.len() as u64);
        tell("sessions", self.windows.len() as u64);
    }

    pub(super) fn holdings(&self) -> Holdings {
        Holdings {
            open: 0,
            entries: self.consensus.log().len(),
            tracks: self.tracks.len(),
            pending: self.queue.len(),
            windows: self.windows.len(),
        }
    }

    /// See [`Machine::outlook`](skein_machine::Machine::outlook).
    pub(super) fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        let (id, track) = self.tracks.find(|id| (id.session, id.sequence) == (session, sequence))?;
        if track.turn.is_some() {
            return None;
        }
        let others = id.destinations.without(self.group);
        let timestamp = track.final_timestamp(others);
        let mut wants = Vec::new();
        if track.own.is_none() {
            wants.push(if self.consensus.is_settled() { Want::Proposal(self.group) } else { Want::Primary });
        }
        let is_missing = |group: &GroupId| track.hards.iter().all(|hard| hard.group != *group);
        wants.extend(others.iter().filter(is_missing).map(Want::Proposal));
        if timestamp.is_some_and(|timestamp| timestamp > self.clock) {
            wants.push(Want::PrimaryClock(self.consensus.held().leader));
        }
        if let Some((first, _)) = self.queue.first().filter(|(first, _)| first.id != id && wants.is_empty()) {
            wants.push(Want::Turn(first.id));
        }
        Some(Outlook { id, sender: track.sender, places: Vec::new(), timestamp, wants })
    }

    /// See [`Machine::waiting`](skein_machine::Machine::waiting).
    pub(super) fn waiting(&self, most: usize) -> Vec<MessageId> {
        self.queue.iter().map(|(stamp, _)| stamp.id).take(most).collect()
    }

    pub(super) fn check(&self) {
        self.consensus.check();
        assert!(self.position <= self.delivered, "the user's state covers what was not delivered");
        assert!(self.delivered <= self.told, "the user was told of {} deliveries of {}", self.told, self.delivered);
        assert_eq!(self.position + self.turns.len() as Position, self.delivered, "turns are missing");
        // Everything is looked at now and then: it takes its time.
        if self.planted == Planted::NONE && (self.consensus.applied() + self.delivered).is_multiple_of(16) {
            self.check_tracks();
        }
    }

    fn check_tracks(&self) {
        let mut pending = 0;
        for (id, track) in self.tracks.sorted() {
            let is_pending = track.own.is_some() && track.turn.is_none();
            assert_eq!(track.place.is_some(), is_pending, "{id} is on the way or delivered");
            pending += usize::from(is_pending);
            for group in track.owed.iter() {
                let index = track.own.as_ref().expect("what is owed is in the log").index;
                assert!(self.remotes[group].owed.contains(&index), "{id} is owed to {group} and not listed");
            }
            if let Some(own) = &track.own {
                assert!(own.timestamp <= self.clock, "{id} has {} above the clock {}", own.timestamp, self.clock);
            }
        }
        assert_eq!(pending, self.queue.len(), "something is queued that is not in the log");
    }
}

impl Track {
    /// Notes a local timestamp elsewhere. It was decided, so there is only one.
    pub(super) fn hear(&mut self, hard: Hard) {
        match self.hards.binary_search_by_key(&hard.group, |known| known.group) {
            Ok(place) => {
                let known = self.hards[place];
                assert!(known == hard, "{known:?} was decided, and {hard:?} too");
            }
            Err(place) => self.hards.insert(place, hard),
        }
    }

    /// The final timestamp, once all local ones are known: of the own group, and of these.
    pub(super) fn final_timestamp(&self, others: GroupSet) -> Option<Timestamp> {
        let own = self.own.as_ref()?;
        if self.hards.len() < others.len() {
            return None;
        }
        Some(self.hards.iter().map(|hard| hard.timestamp).fold(own.timestamp, Timestamp::max))
    }
}
