//! [`Ring`]: one process's part in one ring: an acceptor, a learner, and at
//! times the coordinator, who numbers messages. What was decided waits here
//! until the learner takes it; in which order it takes what the rings have is
//! none of their business.

use alloc::collections::{BTreeSet, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::convert::Infallible;

use skein_machine::{Boot, Cluster, Effect, GroupSet, Machine, MessageId, Out, ProcessId, Time, Timestamp};

use super::Effects;
use super::circle::Circle;
use super::entry::{Entry, Progress, Proposal, What};
use super::rings::{Instance, Rings};
use super::wire::{Agreement, Kept, Message, Number, Pass, Record};
use crate::consensus::{self, Consensus, Report, Tail};
use crate::parts::Epoch;
use crate::{Mutant, Planted};

/// What a consensus wants done, before it is said in which ring.
type Inner = Out<Within>;

/// One process in one ring.
#[derive(Clone, Debug, Hash)]
pub(super) struct Ring {
    pub(super) number: Number,
    pub(super) me: ProcessId,
    planted: Planted,
    rings: Arc<Rings>,
    /// Everybody in it.
    pub(super) members: Vec<ProcessId>,
    pub(super) consensus: Consensus<Entry, Progress>,
    circle: Circle,
    /// What is decided and not taken by the learner.
    arrived: VecDeque<Entry>,
    /// Up to this instance everything is decided, and known.
    known: Instance,
    /// What stood here and before was trimmed before this process took it from this ring.
    begins: Instance,
    /// Groups that have joined it, if it slept: so it was decided.
    joined: GroupSet,
    /// What it knows as the coordinator of an epoch.
    reign: Option<Reign>,
    /// Others wait for the ring to pass this.
    wanted: Timestamp,
    /// What was last said to everybody about the epoch.
    said: Option<(u32, Epoch, Epoch, bool)>,
}

/// What a coordinator knows. Another epoch begins anew.
#[derive(Clone, Debug, Hash)]
struct Reign {
    epoch: Epoch,
    /// The last instance in the log.
    ahead: Instance,
    /// Messages in the log that no learner here has taken.
    proposed: BTreeSet<MessageId>,
    /// Something was proposed in this turn: up to this timestamp.
    fresh: Option<Timestamp>,
}

impl Ring {
    pub(super) fn new(
        me: ProcessId,
        number: usize,
        rings: &Arc<Rings>,
        cluster: &Cluster,
        boot: Boot,
        keeps_records: bool,
        planted: Planted,
    ) -> Ring {
        let members = rings.circle(number, cluster);
        // For its consensus the processes of a ring are one group. More than half of the processes of several groups
        // are well whenever more than half of each are.
        let joined = cluster.joined(rings.served(number));
        let group = joined.group_of(me).expect("a process is in its own rings");
        Ring {
            number: Number::try_from(number).expect("there are few rings"),
            me,
            planted,
            rings: rings.clone(),
            circle: Circle::new(me, &members),
            members,
            consensus: Consensus::new(me, group, &Arc::new(joined), boot, keeps_records, planted),
            arrived: VecDeque::new(),
            known: 0,
            begins: 0,
            joined: GroupSet::EMPTY,
            reign: None,
            wanted: Timestamp::ZERO,
            said: None,
        }
    }

    /// Where an instance of it stands.
    pub(super) fn timestamp(&self, instance: Instance) -> Timestamp {
        self.rings.timestamp(usize::from(self.number), instance)
    }

    /// Where a learner that takes one instance too many in a round believes that it stands: a bug to plant.
    pub(super) fn timestamp_taken_wrongly(&self, instance: Instance) -> Timestamp {
        self.rings.timestamp_taken_wrongly(usize::from(self.number), instance)
    }

    fn first_above(&self, timestamp: Timestamp) -> Instance {
        self.rings.first_above(usize::from(self.number), timestamp)
    }

    pub(super) fn others(&self) -> impl Iterator<Item = ProcessId> {
        self.members.iter().copied().filter(|member| *member != self.me)
    }

    // ---- What is said in it.

    /// Does something with the consensus, and says in which ring what it wants done.
    fn with(&mut self, out: &mut Effects, act: impl FnOnce(&mut Consensus<Entry, Progress>, &mut Inner)) {
        let mut inner = Inner::new();
        act(&mut self.consensus, &mut inner);
        let number = self.number;
        for effect in inner.drain() {
            match effect {
                // What others had takes the place of what stands in the records before: nothing of other rings does.
                Effect::Persist(kept) | Effect::Checkpoint(kept) | Effect::Compact(kept) => {
                    out.persist(Record::Ring(number, kept));
                }
                Effect::Send(to, agreement) => {
                    self.note(&agreement);
                    out.push(Effect::Send(to, Message::Agreement(number, agreement.into())));
                }
                Effect::SendEarly(to, agreement) => {
                    out.push(Effect::SendEarly(to, Message::Agreement(number, agreement.into())));
                }
                Effect::Arm(..) | Effect::Disarm(_) | Effect::Emit(_) | Effect::EmitEarly(_) => {
                    unreachable!("a consensus has no timers and no user")
                }
            }
        }
    }

    /// What everybody has been told about the epoch need not be told again.
    fn note(&mut self, agreement: &Agreement) {
        if let Agreement::Report(report) = agreement {
            self.said = Some(epochs_of(report));
        }
    }

    /// The end of a turn: what was proposed sets out, and what came by goes on.
    pub(super) fn speak(&mut self, out: &mut Effects) {
        let mut inner = Inner::new();
        self.consensus.speak(&mut inner);
        let number = self.number;
        for effect in inner.drain() {
            match effect {
                Effect::SendEarly(_, value) => self.circle.begin(value),
                // A vote goes along the ring, once it is on disk: when its giver hears it. What it says of epochs
                // decides who leads and must not wait for anybody.
                Effect::Send(to, Agreement::Report(report)) if self.said == Some(epochs_of(&report)) => {
                    if to.iter().any(|process| process == self.me) {
                        out.send(self.me, Message::Agreement(number, Agreement::Report(report).into()));
                    }
                }
                Effect::Send(to, agreement) => {
                    self.note(&agreement);
                    out.push(Effect::Send(to, Message::Agreement(number, agreement.into())));
                }
                _ => unreachable!("at the end of a turn a consensus only speaks"),
            }
        }
        let consensus = &self.consensus;
        if let Some((next, pass)) = self.circle.take(|process| consensus.silence_of(process)) {
            // Values promise nothing, and the votes of others are on their disks.
            out.send_early(next, Message::Pass(number, pass));
        }
    }

    /// Somebody of the ring said something to this process alone, or it hears itself.
    pub(super) fn on_agreement(&mut self, from: ProcessId, agreement: Agreement, out: &mut Effects) {
        if let (true, Agreement::Report(report)) = (from == self.me, &agreement) {
            self.circle.pass_vote(self.me, report.clone());
        }
        self.with(out, |consensus, inner| consensus.on_message(from, agreement, inner));
    }

    /// Values and votes come by.
    pub(super) fn on_pass(&mut self, pass: Pass, out: &mut Effects) {
        for (hops, value) in pass.values {
            let Agreement::Append { epoch, .. } = &value else { unreachable!("only values are passed on") };
            let leader = epoch.leader;
            // Even one that has lost its memory passes on what it may not hold itself.
            self.circle.pass_value(hops - 1, value.clone());
            if leader != self.me {
                self.with(out, |consensus, inner| consensus.on_message(leader, value, inner));
            }
        }
        for (process, report) in pass.votes {
            if process == self.me {
                // The ring has closed over somebody.
                continue;
            }
            self.circle.pass_vote(process, report.clone());
            let voter = if self.planted.is(Mutant::MultiRingCountsVotesTwice) {
                // Whoever hands a vote on, and hands it on again, is taken for one who has voted.
                self.others().find(|other| *other != process).unwrap_or(process)
            } else {
                process
            };
            self.with(out, |consensus, inner| consensus.on_message(voter, Agreement::Report(report), inner));
        }
    }

    pub(super) fn on_reconnect(&mut self, peer: ProcessId, out: &mut Effects) {
        self.with(out, |consensus, inner| consensus.on_reconnect(peer, inner));
    }

    pub(super) fn start(&mut self, seed: u64, out: &mut Effects) {
        self.with(out, |consensus, inner| consensus.start(seed, inner));
    }

    pub(super) fn tick(&mut self, out: &mut Effects) {
        self.with(out, Consensus::tick);
    }

    pub(super) fn retire(&mut self, out: &mut Effects) {
        self.with(out, |consensus, inner| consensus.retire(inner));
    }

    // ---- What is decided.

    /// Takes what is decided by now from the log.
    pub(super) fn learn(&mut self) {
        self.consensus.decide();
        while let Some((_, entry)) = self.consensus.next_decided() {
            let is_next = entry.instance > self.known || self.planted != Planted::NONE;
            assert!(is_next, "{entry:?} is decided in ring {} after {}", self.number, self.known);
            self.known = self.known.max(entry.instance);
            match &entry.what {
                What::Joined(group) => self.joined.insert(*group),
                What::Message(_) => assert!(self.is_awake(), "ring {} sleeps and carries {entry:?}", self.number),
                What::Skip | What::Subscribe(_) => {}
            }
            self.arrived.push_back(entry);
        }
    }

    /// Everything up to this timestamp was taken, here or by another learner: it waits no more. Answers whether there
    /// was a message.
    pub(super) fn drop_up_to(&mut self, merged: Timestamp) -> bool {
        let mut is_message = false;
        while let Some(entry) = self.arrived.front()
            && self.timestamp(entry.instance) <= merged
        {
            let entry = self.arrived.pop_front().expect("it was just seen");
            is_message |= entry.proposal().is_some();
            self.close(&entry);
        }
        is_message
    }

    fn close(&mut self, entry: &Entry) {
        if let (Some(reign), Some(proposal)) = (&mut self.reign, entry.proposal()) {
            reign.proposed.remove(&proposal.message.id);
        }
    }

    /// Takes the first entry that is decided and was not taken.
    pub(super) fn take_first(&mut self) -> Option<Entry> {
        let entry = self.arrived.pop_front()?;
        self.close(&entry);
        Some(entry)
    }

    /// The instance of the first entry that was not taken, and whether it is here; otherwise the first that may come.
    pub(super) fn next(&self) -> (Instance, bool) {
        match self.arrived.front() {
            Some(entry) => (entry.instance, true),
            None => (self.known + 1, false),
        }
    }

    /// Up to where it is known what stands in it.
    pub(super) fn known(&self) -> Timestamp {
        self.timestamp(self.known)
    }

    pub(super) fn waiting(&self) -> impl Iterator<Item = (Timestamp, MessageId)> {
        let message = |entry: &Entry| Some((self.timestamp(entry.instance), entry.proposal()?.message.id));
        self.arrived.iter().filter_map(message)
    }

    /// The last instance in the log, decided or not.
    pub(super) fn end(&self) -> Instance {
        let last = self.consensus.log().last();
        // Below an empty log everything is decided and known.
        self.consensus.log().get(last).map_or(self.known, |slot| slot.content.instance)
    }

    // ---- Rings that sleep.

    /// Whether it carries nothing until its groups have joined it.
    pub(super) fn sleeps(&self) -> bool {
        self.rings.sleeps(usize::from(self.number))
    }

    /// Whether messages may stand in it: it never slept, or all its groups have joined it.
    pub(super) fn is_awake(&self) -> bool {
        let is_early = self.planted.is(Mutant::MultiRingWakesTooSoon) && !self.joined.is_empty();
        is_early || !self.sleeps() || self.rings.served(usize::from(self.number)).within(self.joined)
    }

    /// The groups that have joined it, if it slept.
    pub(super) fn joined(&self) -> GroupSet {
        self.joined
    }

    /// Its coordinator lets this group join, above a place that its learners have passed; or has the group's own ring
    /// say that they listen to another one.
    pub(super) fn settle(&mut self, what: What, above: Timestamp, out: &mut Effects) {
        let log = self.consensus.log();
        let is_there = |entry: &Entry| entry.what == what;
        let is_proposed = log.after(self.consensus.applied(), usize::MAX).any(|slot| is_there(&slot.content));
        if is_proposed || self.arrived.iter().any(is_there) {
            return;
        }
        let instance = self.next_instance(above);
        let timestamp = self.timestamp(instance);
        self.reign.as_mut().expect("whoever proposes coordinates").fresh = Some(timestamp);
        self.append(Entry { instance, what }, out);
    }

    // ---- What it must not forget.

    pub(super) fn restore(&mut self, kept: Kept) {
        let is_whole = matches!(kept, Kept::Checkpoint(_));
        let found = self.consensus.restore(kept);
        if is_whole {
            self.go_on_from(found.unwrap_or_default());
        }
    }

    /// Holds what others have sent.
    pub(super) fn take_over_what_arrives(&mut self, out: &mut Effects) {
        let Some(arrived) = self.consensus.arrival() else { return };
        let progress = arrived.unwrap_or_default();
        self.with(out, |consensus, inner| consensus.install(progress, inner));
        self.go_on_from(progress);
    }

    /// The log begins behind this instance now. What is between it and what is known was trimmed.
    fn go_on_from(&mut self, Progress { instance, joined }: Progress) {
        if instance != self.known {
            self.arrived.clear();
            self.begins = instance;
        }
        self.known = instance;
        // Nobody leaves a ring.
        self.joined = self.joined.or(joined);
        self.reign = None;
    }

    /// What stands up to here the learner must have from elsewhere.
    pub(super) fn begins(&self) -> Timestamp {
        match self.begins {
            0 => Timestamp::ZERO,
            instance => self.timestamp(instance),
        }
    }

    /// Trims the log up to a timestamp that everybody who may need it has in a checkpoint.
    pub(super) fn trim(&mut self, safe: Timestamp, tail: Tail) {
        let log = self.consensus.log();
        let is_safe = |entry: &Entry| self.timestamp(entry.instance) <= safe;
        let old = log.after(log.base(), usize::MAX).take_while(|slot| is_safe(&slot.content)).count();
        let place = log.base() + old as u64;
        let joined = self.joined;
        self.consensus.trim(place, tail, |entry| Progress { instance: entry.instance, joined });
    }

    pub(super) fn portrait(&self) -> (Number, consensus::State<Entry, Progress>) {
        (self.number, self.consensus.portrait())
    }

    // ---- The coordinator.

    /// Whether it numbers what comes; if so, what it knows is of its own epoch.
    pub(super) fn coordinates(&mut self) -> bool {
        if !self.consensus.may_propose() {
            self.reign = None;
            return false;
        }
        let epoch = self.consensus.held();
        if self.reign.as_ref().is_none_or(|reign| reign.epoch != epoch) {
            let log = self.consensus.log();
            let open = log.after(self.consensus.applied(), usize::MAX).map(|slot| &slot.content);
            let proposed = self.arrived.iter().chain(open).filter_map(Entry::proposal);
            let proposed = proposed.map(|proposal| proposal.message.id).collect();
            self.reign = Some(Reign { epoch, ahead: self.end(), proposed, fresh: None });
        }
        true
    }

    fn reign(&self) -> &Reign {
        self.reign.as_ref().expect("whoever asks coordinates")
    }

    pub(super) fn has_proposed(&self, id: MessageId) -> bool {
        self.reign().proposed.contains(&id)
    }

    /// How many messages it has proposed that were not taken.
    pub(super) fn open(&self) -> usize {
        self.reign().proposed.len()
    }

    /// What the next message gets, if it must stand above this floor.
    pub(super) fn next_timestamp(&self, floor: Timestamp) -> Timestamp {
        self.timestamp(self.next_instance(floor))
    }

    fn next_instance(&self, floor: Timestamp) -> Instance {
        (self.reign().ahead + 1).max(self.first_above(floor))
    }

    /// A message gets the next instance above its floor; those between are skipped.
    pub(super) fn propose(&mut self, proposal: Proposal, out: &mut Effects) {
        let instance = match self.planted.is(Mutant::MultiRingIgnoresTheFloor) {
            true => self.reign().ahead + 1,
            false => self.next_instance(proposal.message.floor),
        };
        let timestamp = self.timestamp(instance);
        let reign = self.reign.as_mut().expect("whoever proposes coordinates");
        reign.proposed.insert(proposal.message.id);
        reign.fresh = Some(timestamp);
        self.append(Entry { instance, what: What::Message(proposal) }, out);
    }

    fn append(&mut self, entry: Entry, out: &mut Effects) {
        let reign = self.reign.as_mut().expect("whoever proposes coordinates");
        reign.ahead = entry.instance;
        self.with(out, |consensus, inner| {
            consensus.propose(entry, inner);
        });
    }

    /// Others wait until nothing can come in this ring up to a timestamp.
    pub(super) fn want(&mut self, timestamp: Timestamp) {
        self.wanted = self.wanted.max(timestamp);
    }

    /// The same until everybody sees that it has passed a timestamp: by an entry above it.
    pub(super) fn want_past(&mut self, timestamp: Timestamp) {
        self.want(self.rings.a_round_later(timestamp));
    }

    /// Fills up with skipped instances as far as others wait. Answers what other rings should know: how far this one
    /// has come by what it proposed in this turn.
    pub(super) fn skip(&mut self, out: &mut Effects) -> Option<Timestamp> {
        let wanted = core::mem::take(&mut self.wanted);
        if !self.coordinates() {
            return None;
        }
        let last = self.first_above(wanted) - 1;
        if last > self.reign().ahead {
            if self.planted.is(Mutant::MultiRingSkipsWithoutAgreement) {
                self.known = self.known.max(last);
            }
            self.append(Entry { instance: last, what: What::Skip }, out);
        }
        self.reign.as_mut().expect("it coordinates").fresh.take()
    }

    pub(super) fn check(&self) {
        self.consensus.check();
        let instances = self.arrived.iter().map(|entry| entry.instance);
        assert!(instances.clone().is_sorted(), "what waits in ring {} is out of order", self.number);
        let last = instances.last();
        assert!(
            last.is_none_or(|last| last <= self.known),
            "something waits in ring {} beyond what is known",
            self.number
        );
    }
}

/// What a report says but for the place in the log.
fn epochs_of(report: &Report) -> (u32, Epoch, Epoch, bool) {
    (report.incarnation, report.held, report.promised, report.is_leader)
}

/// What a consensus takes for the machine that it is a part of: nobody, since there are several in one machine.
#[derive(Debug)]
pub(super) enum Within {}

impl Machine for Within {
    type Command = Infallible;
    type Message = Agreement;
    type Timer = ();
    type Record = Kept;
    type Event = Infallible;

    fn restore(&mut self, _: Kept) {
        match *self {}
    }

    fn start(&mut self, _: Time, _: u64, _: &mut Inner) {
        match *self {}
    }

    fn on_command(&mut self, _: Time, _: Infallible, _: &mut Inner) {
        match *self {}
    }

    fn on_message(&mut self, _: Time, _: ProcessId, _: Agreement, _: &mut Inner) {
        match *self {}
    }

    fn on_timer(&mut self, _: Time, (): (), _: &mut Inner) {
        match *self {}
    }

    fn check(&self) {
        match *self {}
    }
}
