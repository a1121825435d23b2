//! [`Replica`]: one process of a group: the rings that it is in, its learner,
//! and what goes on between the rings: who is asked to skip ahead, what may be
//! trimmed, and who is helped by whom. What becomes of messages that want a place
//! is in `starts.rs`.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, GroupId, GroupSet, MessageId, Outlook, Position, ProcessId, Random, SessionId, Timestamp, Up, Want,
};

use super::entry::State;
use super::learner::{Learner, Taken};
use super::reads::Reads;
use super::ring::Ring;
use super::rings::Rings;
use super::subscribe::Wishes;
use super::wire::{Message, Number, Record, Start};
use super::{Effects, Settings, Timer};
use crate::consensus::Tail;
use crate::parts::Epoch;
use crate::{Mutant, Planted};

/// How often a process tells its rings that it lives, and looks at what should have come.
const TICK: Duration = Duration::from_millis(100);

/// Ticks between two words about how far the own checkpoint goes, in case one was lost.
const TICKS_BETWEEN_WORDS: u32 = 10;

/// Ticks until another learner is asked for what was trimmed: its answer is long.
const TICKS_FOR_AN_ANSWER: u32 = 5;

/// One process of a group.
#[derive(Clone, Debug, Hash)]
pub(super) struct Replica {
    pub(super) me: ProcessId,
    pub(super) group: GroupId,
    pub(super) cluster: Arc<Cluster>,
    pub(super) description: Arc<Rings>,
    settings: Settings,
    pub(super) planted: Planted,
    pub(super) random: Random,
    /// The rings that its group listens to, its own first, and those that it may come to listen to.
    pub(super) rings: Vec<Ring>,
    /// The newest epoch that anybody has spoken of, of every ring there is.
    leaders: Vec<Epoch>,
    pub(super) learner: Learner,
    /// How far the checkpoints go of everybody in its rings: what of a ring lies below is needed no more.
    safe: BTreeMap<ProcessId, Timestamp>,
    /// What the learner has taken over from another one, up to here, is perhaps not on the disk.
    taken_over: Option<Timestamp>,
    wants_checkpoint: bool,
    /// Messages that were delivered in this turn: the sender waits for them no more.
    pub(super) closed: Vec<MessageId>,
    /// Somebody waits until everything up to this is delivered.
    pub(super) target: Timestamp,
    /// Up to where its user was told that everything is delivered.
    pub(super) told_safe: Timestamp,
    pub(super) reads: Reads,
    pub(super) wishes: Wishes,
    pub(super) ticks: u32,
}

impl Replica {
    pub(super) fn new(
        me: ProcessId,
        group: GroupId,
        cluster: &Arc<Cluster>,
        description: &Arc<Rings>,
        boot: Boot,
        settings: Settings,
        planted: Planted,
    ) -> Replica {
        let ring = |number| Ring::new(me, number, description, cluster, boot, settings.keeps_records, planted);
        let first = |number| Epoch::first(description.circle(number, cluster)[0]);
        Replica {
            me,
            group,
            cluster: cluster.clone(),
            settings,
            planted,
            random: Random::new(0),
            rings: description.heard_by(group).map(ring).collect(),
            leaders: (0..description.count()).map(first).collect(),
            description: description.clone(),
            learner: Learner::new(me, group, planted),
            safe: BTreeMap::new(),
            taken_over: None,
            wants_checkpoint: false,
            closed: Vec::new(),
            target: Timestamp::ZERO,
            told_safe: Timestamp::ZERO,
            reads: Reads::default(),
            wishes: Wishes::default(),
            ticks: 0,
        }
    }

    pub(super) fn ring(&mut self, number: Number) -> &mut Ring {
        let ring = self.rings.iter_mut().find(|ring| ring.number == number);
        ring.expect("only what concerns its own rings is heard")
    }

    /// The rings that its learner waits for.
    fn heard(&self) -> impl Iterator<Item = &Ring> {
        self.rings.iter().filter(|ring| self.learner.hears(ring))
    }

    /// Whether it has forgotten what it promised in any ring.
    pub(super) fn is_amnesiac(&self) -> bool {
        self.rings.iter().any(|ring| ring.consensus.is_amnesiac())
    }

    /// Whether its memory counts.
    pub(super) fn remembers(&self) -> bool {
        let all = self.rings.iter().all(|ring| ring.consensus.remembers());
        all && self.taken_over.is_none() && !self.learner.is_behind(&self.rings)
    }

    /// The others of the group.
    pub(super) fn mates(&self) -> impl Iterator<Item = ProcessId> + use<> {
        let (cluster, group, me) = (self.cluster.clone(), self.group, self.me);
        let members = (0..cluster.members(group).len()).map(move |place| cluster.members(group)[place]);
        members.filter(move |member| *member != me)
    }

    /// Everybody who shares a ring with this process. One of them is in the ring of everybody.
    fn everybody(&self) -> Vec<ProcessId> {
        let mut others: Vec<ProcessId> = self.rings.iter().flat_map(Ring::others).collect();
        others.sort_unstable();
        others.dedup();
        others
    }

    // ---- How it lives.

    pub(super) fn restore(&mut self, record: Record) {
        match record {
            Record::Ring(number, kept) => self.ring(number).restore(kept),
            Record::Learned(state) => self.learner.load(*state),
            Record::Checkpoint(state, rings) => {
                self.learner.load(*state);
                for (number, rest) in rings {
                    self.ring(number).restore(crate::consensus::Record::Checkpoint(Box::new(rest)));
                }
            }
        }
    }

    pub(super) fn start(&mut self, seed: u64, out: &mut Effects) {
        self.random = Random::new(seed);
        for ring in &mut self.rings {
            ring.start(self.random.word(), out);
        }
        self.learner.start(out);
        if self.learner.merged > Timestamp::ZERO {
            out.send(self.me, Message::Safe(self.learner.merged));
        }
        // Processes that start together do not tick together.
        out.arm(Timer::Tick, Duration::from_millis(self.random.between(1, TICK.as_millis() as u64)));
    }

    pub(super) fn on_message(&mut self, from: ProcessId, message: Message, out: &mut Effects) {
        if let Err(why) = self.may_say(from, &message) {
            panic!("{why}");
        }
        match message {
            Message::Start(start) => self.on_start(from, start, out),
            Message::Pass(number, pass) => {
                self.ring(number).on_pass(*pass, out);
                self.take_over_what_arrives(number, out);
            }
            Message::Agreement(number, agreement) => {
                self.ring(number).on_agreement(from, *agreement, out);
                self.take_over_what_arrives(number, out);
            }
            Message::Raise(number, timestamp) => self.on_raise(from, number, timestamp, out),
            Message::Safe(timestamp) => self.on_safe(from, timestamp, out),
            Message::Fetch(timestamp) => self.on_fetch(from, timestamp, out),
            Message::Learned(state) => self.on_learned(*state, out),
            Message::Inquire(name) => self.on_inquire(from, name, out),
            Message::Reply(name, instance) => self.on_reply(from, name, instance),
            Message::Join(number, timestamp) => self.on_join(from, number, timestamp, out),
            Message::Primary(..) | Message::Done(..) | Message::Refused(..) => {
                unreachable!("the sender hears these")
            }
        }
    }

    /// Who may say what: a mistake in it is a bug here or in a configuration, and would spoil a quorum silently.
    pub(super) fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        let ring = |number: Number| self.rings.iter().find(|ring| ring.number == number);
        let (is_right, what) = match message {
            Message::Start(Start { message, .. }) => {
                self.cluster
                    .admit(message)
                    .map_err(|error| format!("{from} sent {} to {}: {error}", message.id, self.me))?;
                let may_stand = self.description.for_message(message.id.destinations);
                (may_stand.into_iter().any(|number| ring(number as Number).is_some()), "a message for another ring")
            }
            Message::Pass(number, pass) => {
                let is_member = |process: ProcessId| ring(*number).is_some_and(|ring| ring.members.contains(&process));
                let are_members = pass.votes.iter().all(|(process, _)| is_member(*process));
                let is_short = pass.values.iter().all(|(hops, _)| *hops > 0);
                (is_member(from) && are_members && is_short, "what only the process before it in a ring may")
            }
            Message::Agreement(number, _) => {
                (ring(*number).is_some_and(|ring| ring.members.contains(&from)), "what only members of a ring may")
            }
            Message::Raise(number, timestamp) => {
                let is_right = ring(*number).is_some() && *timestamp <= Self::HIGHEST;
                (is_right && self.cluster.group_of(from).is_some(), "to raise what is not its to raise")
            }
            Message::Join(number, timestamp) => {
                let group = self.cluster.group_of(from);
                let joins = |ring: &Ring| ring.sleeps() && group.is_some_and(|group| self.served(ring).contains(group));
                (ring(*number).is_some_and(joins) && *timestamp <= Self::HIGHEST, "to let it join what it may not")
            }
            Message::Safe(_) => (self.cluster.group_of(from).is_some(), "what only a process in a ring may"),
            _ => (self.cluster.group_of(from) == Some(self.group), "what only its group may"),
        };
        is_right.then_some(()).ok_or_else(|| format!("{from} says to {}: {what}", self.me))
    }

    /// No ring is raised beyond this: what a message may bring along, and what that and others may need above it.
    pub(super) const HIGHEST: Timestamp = Timestamp(Cluster::HIGHEST_FLOOR.0 + (1 << 48));

    /// Ten times a second: a heartbeat, and everything that is tried until it works.
    pub(super) fn tick(&mut self, out: &mut Effects) {
        out.arm(Timer::Tick, TICK);
        self.ticks = self.ticks.wrapping_add(1);
        for ring in &mut self.rings {
            ring.tick(out);
        }
        self.ask_for_skips(out);
        self.fetch_what_was_trimmed(out);
        if !self.is_amnesiac() {
            self.tick_reads(out);
            self.pursue_subscriptions(out);
            if self.ticks.is_multiple_of(TICKS_BETWEEN_WORDS) {
                if let Some(safe) = self.safe.get(&self.me) {
                    out.send_all(self.everybody(), Message::Safe(*safe));
                }
                self.tell_who_is_awake(out);
            }
        }
    }

    /// What was on its way to this process, or from it, may be lost.
    pub(super) fn on_reconnect(&mut self, peer: ProcessId, out: &mut Effects) {
        for ring in self.rings.iter_mut().filter(|ring| ring.members.contains(&peer)) {
            ring.on_reconnect(peer, out);
        }
    }

    /// The end of a turn: takes what is decided, skips where others wait, and says what follows.
    pub(super) fn finish(&mut self, out: &mut Effects) {
        self.rings.iter_mut().for_each(Ring::learn);
        for taken in self.learner.take(&mut self.rings, out) {
            self.answer_sender(&taken, out);
            self.note_wish(taken.id.destinations);
            self.closed.push(taken.id);
        }
        self.lead(out);
        if !self.is_amnesiac() {
            self.pursue_reads(out);
            self.tell_safe_time(out);
            self.ask_for_checkpoint(out);
        }
        for ring in &mut self.rings {
            ring.speak(out);
        }
    }

    /// Who waits for the outcome and is no destination hears of it from the first destination's leader.
    fn answer_sender(&self, taken: &Taken, out: &mut Effects) {
        let Taken { id, timestamp, sender } = *taken;
        let is_destination = self.cluster.group_of(sender).is_some_and(|group| id.destinations.contains(group));
        let speaks = id.destinations.iter().next() == Some(self.group) && self.rings[0].consensus.may_propose();
        if speaks && !is_destination {
            out.send(sender, Message::Done(id, timestamp));
        }
    }

    // ---- Between rings.

    /// Somebody coordinates a ring.
    pub(super) fn believe(&mut self, number: Number, epoch: Epoch) {
        let known = &mut self.leaders[usize::from(number)];
        *known = epoch.max(*known);
    }

    /// Coordinators skip as far as others wait, and tell those of the other rings how far they have come: learners that
    /// listen to both wait for the slower one.
    fn lead(&mut self, out: &mut Effects) {
        for nth in 0..self.rings.len() {
            let Some(timestamp) = self.rings[nth].skip(out) else { continue };
            let number = usize::from(self.rings[nth].number);
            let served = self.description.served(number);
            for other in (0..self.description.count()).filter(|other| *other != number) {
                if !self.description.served(other).and(served).is_empty() && self.is_listened_to(other as Number) {
                    self.raise(other as Number, timestamp, out);
                }
            }
        }
        // What this process asks of itself is done in the same turn.
        for ring in &mut self.rings {
            ring.skip(out);
        }
    }

    /// Has a ring pass a timestamp.
    pub(super) fn raise(&mut self, number: Number, timestamp: Timestamp, out: &mut Effects) {
        let timestamp = timestamp.min(Self::HIGHEST);
        let leader = match self.rings.iter().find(|ring| ring.number == number) {
            Some(ring) => ring.consensus.promised().leader,
            None => self.leaders[usize::from(number)].leader,
        };
        if leader == self.me {
            self.ring(number).want(timestamp);
        } else {
            // It promises nothing.
            out.send_early(leader, Message::Raise(number, timestamp));
        }
    }

    /// Others wait for a ring, and may not have heard who coordinates it by now.
    fn on_raise(&mut self, from: ProcessId, number: Number, timestamp: Timestamp, out: &mut Effects) {
        let ring = self.ring(number);
        if ring.coordinates() {
            ring.want(timestamp);
            return;
        }
        let epoch = ring.consensus.promised();
        if !ring.members.contains(&from) && epoch.leader != ring.me {
            out.send_early(from, Message::Primary(number, epoch));
            out.send_early(epoch.leader, Message::Raise(number, timestamp));
        }
    }

    /// What waits for a ring, or somebody who waits for a timestamp, asks its coordinator.
    pub(super) fn ask_for_skips(&mut self, out: &mut Effects) {
        let here = self.heard().map(Ring::known).max().unwrap_or(Timestamp::ZERO);
        let wanted = here.max(self.target);
        let slow = self.heard().filter(|ring| ring.timestamp(ring.next().0) <= wanted && !ring.next().1);
        let slow: Vec<Number> = slow.map(|ring| ring.number).collect();
        for number in slow {
            self.raise(number, wanted, out);
        }
    }

    // ---- Checkpoints, and what they allow to trim.

    /// The log has grown: the user should hand in its state.
    fn ask_for_checkpoint(&mut self, out: &mut Effects) {
        let learner = &self.learner;
        let is_long = self.settings.wants_checkpoint(learner.fresh, learner.fresh_bytes, learner.user.len());
        if is_long && !self.wants_checkpoint {
            self.wants_checkpoint = true;
            out.emit(Up::WantCheckpoint);
        }
    }

    /// The user's state covers every delivery before this position.
    pub(super) fn checkpointed(&mut self, position: Position, bytes: Bytes, out: &mut Effects) {
        let told = self.learner.told;
        assert!(position <= told, "a checkpoint at {position} covers more than the {told} deliveries");
        self.wants_checkpoint = false;
        let is_old = position < self.learner.position || position > self.learner.delivered();
        if is_old || self.is_amnesiac() || self.learner.is_behind(&self.rings) {
            // Of before a restart, or before what it covers was delivered again.
            return;
        }
        // A session may be forgotten when nobody can ask for what it sent: when that came too late, and was delivered in
        // every group. Until then whoever coordinates a ring knows that it stands there.
        let groups = self.rings.iter().fold(GroupSet::EMPTY, |groups, ring| groups.or(self.served(ring)));
        let safe = groups.iter().map(|group| self.safe_in(group)).min().unwrap_or(Timestamp::ZERO);
        self.learner.cover(position, bytes);
        self.learner.forget(safe);
        self.trim();
        if self.settings.keeps_records {
            let rings = self.rings.iter().map(Ring::portrait).collect();
            out.compact(Record::Checkpoint(Box::new(self.learner.state()), rings));
        }
        // Everything that it follows from is on the disk when this is heard, and so is what it says once the earlier
        // records are gone.
        out.send(self.me, Message::Safe(self.learner.merged));
    }

    /// Trims each ring as far as a quorum of every group that it serves, and this process, have come.
    fn trim(&mut self) {
        let own = self.learner.merged;
        let Settings { tail, tail_bytes, .. } = self.settings;
        let tail = Tail { entries: tail, bytes: tail_bytes };
        for nth in 0..self.rings.len() {
            let served = self.served(&self.rings[nth]);
            let safe = served.iter().map(|group| self.safe_in(group)).min().unwrap_or(Timestamp::ZERO);
            self.rings[nth].trim(own.min(safe), tail);
        }
    }

    pub(super) fn served(&self, ring: &Ring) -> GroupSet {
        self.description.served(usize::from(ring.number))
    }

    /// What a quorum of a group has in its checkpoints.
    fn safe_in(&self, group: GroupId) -> Timestamp {
        let members = self.cluster.members(group).iter();
        let mut safe: Vec<Timestamp> =
            members.map(|member| self.safe.get(member).copied().unwrap_or(Timestamp::ZERO)).collect();
        safe.sort_unstable_by(|one, other| other.cmp(one));
        let quorum = if self.planted.is(Mutant::MultiRingTrimsAtAMinority) { 1 } else { self.cluster.quorum(group) };
        safe[quorum - 1]
    }

    /// A checkpoint goes so far.
    fn on_safe(&mut self, from: ProcessId, timestamp: Timestamp, out: &mut Effects) {
        let known = self.safe.entry(from).or_default();
        *known = timestamp.max(*known);
        if from == self.me {
            self.taken_over = self.taken_over.filter(|taken_over| *taken_over > timestamp);
            out.send_early_to_all(self.everybody(), Message::Safe(timestamp));
        }
    }

    /// Somebody has sent everything that is left of a ring. It takes the place of what this process has written down of
    /// it, so what the learner has made of that is written down before: others may rely on it.
    fn take_over_what_arrives(&mut self, number: Number, out: &mut Effects) {
        if self.ring(number).consensus.arrival().is_none() {
            return;
        }
        if self.learner.merged > Timestamp::ZERO {
            out.persist(Record::Learned(Box::new(self.learner.state())));
        }
        self.ring(number).take_over_what_arrives(out);
    }

    /// The rings have trimmed what this learner has not taken: somebody of its group has it.
    fn fetch_what_was_trimmed(&self, out: &mut Effects) {
        if !self.learner.is_behind(&self.rings) || !self.ticks.is_multiple_of(TICKS_FOR_AN_ANSWER) {
            return;
        }
        let mates: Vec<ProcessId> = self.mates().collect();
        let turn = (self.ticks / TICKS_FOR_AN_ANSWER) as usize;
        if let Some(mate) = mates.get(turn % mates.len().max(1)) {
            out.send(*mate, Message::Fetch(self.learner.lacks(&self.rings)));
        }
    }

    fn on_fetch(&self, from: ProcessId, timestamp: Timestamp, out: &mut Effects) {
        if self.learner.merged >= timestamp && !self.learner.is_behind(&self.rings) {
            out.send(from, Message::Learned(Box::new(self.learner.state())));
        }
    }

    /// Another learner of the group has sent what it has made of the rings.
    fn on_learned(&mut self, state: State, out: &mut Effects) {
        if !self.learner.is_behind(&self.rings) || state.merged < self.learner.lacks(&self.rings) {
            return;
        }
        let merged = state.merged;
        out.persist(Record::Learned(Box::new(state.clone())));
        self.learner.take_over(state, out);
        self.taken_over = Some(merged);
        out.send(self.me, Message::Safe(merged));
    }

    // ---- For those who watch.

    pub(super) fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("group", self.group.index() as u64);
        self.rings[0].consensus.gauges(tell);
        tell("rings", self.heard().count() as u64);
        tell("rings_asleep", self.rings.iter().filter(|ring| !ring.is_awake()).count() as u64);
        let entries = self.rings.iter().map(|ring| ring.consensus.log().len() as u64);
        tell("entries_of_all_rings", entries.sum());
        tell("safe_time", self.learner.merged.0);
        tell("delivered", self.learner.delivered());
        tell("checkpointed", self.learner.position);
        tell("pending", self.rings.iter().map(|ring| ring.waiting().count() as u64).sum());
        tell("sessions", self.learner.windows.len() as u64);
    }

    /// See [`Machine::outlook`](skein_machine::Machine::outlook).
    pub(super) fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        let waiting = self.rings.iter().flat_map(Ring::waiting);
        let (timestamp, id) = { waiting }.find(|(_, id)| (id.session, id.sequence) == (session, sequence))?;
        let slow = self.heard().filter(|ring| ring.timestamp(ring.next().0) < timestamp && !ring.next().1);
        let wants = slow.map(|ring| Want::PrimaryClock(ring.consensus.promised().leader)).collect();
        Some(Outlook { id, sender: None, places: Vec::new(), timestamp: Some(timestamp), wants })
    }

    /// See [`Machine::waiting`](skein_machine::Machine::waiting).
    pub(super) fn waiting(&self, most: usize) -> Vec<MessageId> {
        let mut waiting: Vec<(Timestamp, MessageId)> = self.rings.iter().flat_map(Ring::waiting).collect();
        waiting.sort_unstable();
        waiting.into_iter().map(|(_, id)| id).take(most).collect()
    }

    pub(super) fn check(&self) {
        self.rings.iter().for_each(Ring::check);
        self.learner.check();
    }
}
