//! Deliveries that wait for certificates: the mode in which no message that was
//! multicast after another was delivered, anywhere, ever comes before it
//! (the thesis's atomic global order, chapter 5).
//!
//! Whatever comes before a message at one of its destinations was delivered
//! somewhere when that message is, wherever that is, or is that destination's
//! alone and was multicast. Then nothing that begins later can stand in front of
//! it, nor in front of what stands in front of it. At the own destination this
//! follows from the order of deliveries. Every other one certifies it: its
//! primary says how far its clock is, and which message may come first of those
//! that it shares with others only; a quorum's clocks say that no later primary
//! proposes in front of that.
//!
//! A message that both destinations receive needs no word: where it is delivered
//! second, it is known to come later, or was delivered already.
//!
//! What is told of this never takes part in ordering: a certificate that was lost
//! is asked for again. Why it is safe and ends: docs/decisions.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{Cluster, GroupId, GroupSet, MessageId, ProcessId, Stamp, Timestamp};

use super::Effects;
use super::replica::{Replica, Track};
use super::wire::{Message, Standing};
use crate::parts::{Epoch, Rebirth, reached_by};
use crate::{Mutant, Planted};

/// Ticks after which a certificate that lets a message wait is asked for.
const PATIENCE: u32 = 2;

/// At most so many messages that both groups receive are passed over on the way to one that they do not share. Where
/// there are more, the next stands for what may follow.
const LOOKS_AHEAD: usize = 256;

/// What other groups have certified, and what they were told.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Certificates {
    heard: BTreeMap<GroupId, Word>,
    told: BTreeMap<GroupId, Standing>,
    /// Who is told at the end of this turn, if there is something new.
    due: GroupSet,
    /// What waits for certificates alone, and for how many ticks.
    waits: Option<(MessageId, u32)>,
}

/// What is known of another group.
#[derive(Clone, Debug, Hash)]
struct Word {
    /// Which primary has spoken last.
    epoch: Epoch,
    /// It proposes nothing at or below this,
    clock: Timestamp,
    /// and of what it has proposed, but for what both groups share, nothing that it has not delivered comes before
    /// this.
    front: Option<Stamp>,
    /// The clocks of its replicas.
    clocks: BTreeMap<ProcessId, Told>,
    /// In which life those of its replicas are, as far as that primary knew, that have lost their memory.
    lives: BTreeMap<ProcessId, u32>,
}

/// The clock of a replica, as told under promises up to the epoch that has spoken, and under later ones.
#[derive(Clone, Debug, Default, Hash)]
struct Told {
    /// In which of its lives without memory it said so.
    incarnation: u32,
    clock: Timestamp,
    ahead: Option<(Epoch, Timestamp)>,
}

impl Certificates {
    /// A group is to be told where this replica stands.
    pub(super) fn owe(&mut self, group: GroupId) {
        self.due.insert(group);
    }
}

impl Word {
    fn new(first: Epoch) -> Word {
        Word { epoch: first, clock: Timestamp::ZERO, front: None, clocks: BTreeMap::new(), lives: BTreeMap::new() }
    }

    fn hear(&mut self, from: ProcessId, standing: &Standing) {
        let Standing { incarnation, promised, clock, leads, front, .. } = *standing;
        if leads && promised >= self.epoch {
            if promised > self.epoch {
                self.epoch = promised;
                self.clocks.values_mut().for_each(|told| told.recount(promised));
            }
            (self.clock, self.front) = (clock, front);
            for Rebirth { process, incarnation } in &standing.rebirths {
                let life = self.lives.entry(*process).or_default();
                *life = (*life).max(*incarnation);
            }
        }
        let told = self.clocks.entry(from).or_default();
        if incarnation < told.incarnation {
            return;
        }
        if incarnation > told.incarnation {
            // What it said before, it may have forgotten.
            *told = Told { incarnation, ..Told::default() };
        }
        if promised <= self.epoch {
            told.clock = told.clock.max(clock);
        } else {
            told.ahead = told.ahead.max(Some((promised, clock)));
        }
    }

    /// Whether everything that can come before a message there, and that only others receive, was delivered.
    fn covers(&self, stamp: Stamp, quorum: usize, planted: Planted) -> bool {
        let has_come_to = |clock: Timestamp| clock >= stamp.timestamp;
        let quorum = if planted.is(Mutant::PrimCastCertifiesByAMinority) { 1 } else { quorum };
        let counted = self.clocks.iter().filter_map(|(from, told)| self.counted(*from, told, planted));
        let quorum_clock = reached_by(counted, quorum);
        let takes_any_front = planted.is(Mutant::PrimCastForgetsWhatIsInFront);
        let is_behind = self.front.is_none_or(|front| stamp < front) || takes_any_front;
        has_come_to(self.clock) && quorum_clock.is_some_and(has_come_to) && is_behind
    }

    /// What somebody told in a life that the primary knows to be over counts no more: it may have been taken in again
    /// with a lower clock.
    fn counted(&self, from: ProcessId, told: &Told, planted: Planted) -> Option<Timestamp> {
        let life = self.lives.get(&from).copied().unwrap_or(0);
        (told.incarnation >= life || planted.is(Mutant::PrimCastCertifiesByAFormerLife)).then_some(told.clock)
    }
}

impl Told {
    /// What was told under a later promise counts once its epoch has spoken.
    fn recount(&mut self, epoch: Epoch) {
        if let Some((promised, clock)) = self.ahead
            && promised <= epoch
        {
            self.ahead = None;
            self.clock = self.clock.max(clock);
        }
    }
}

impl Replica {
    /// The destinations of a message that have not certified it yet, if deliveries wait for that.
    pub(super) fn uncertified(&self, stamp: Stamp) -> GroupSet {
        let mut missing = GroupSet::EMPTY;
        if self.settings.waits_for_certificates {
            for group in self.other_groups(stamp.id.destinations).iter() {
                let word = self.certificates.heard.get(&group);
                if !word.is_some_and(|word| word.covers(stamp, self.cluster.quorum(group), self.planted)) {
                    missing.insert(group);
                }
            }
        }
        missing
    }

    /// A replica of another group has said where it stands.
    pub(super) fn on_standing(&mut self, from: ProcessId, standing: &Standing) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        let first = Epoch::first(self.cluster.members(group)[0]);
        self.certificates.heard.entry(group).or_insert_with(|| Word::new(first)).hear(from, standing);
    }

    /// All that can raise the final timestamp of a message is shown here, so every destination waits for this clock.
    pub(super) fn certify_if_shown(&mut self, id: MessageId) {
        let is_shown = |track: &Track| {
            let others = self.other_groups(id.destinations);
            track.index.is_some() && others.iter().all(|group| track.heads.get(group).is_some())
        };
        if self.settings.waits_for_certificates && self.tracks.get(&id).is_some_and(is_shown) {
            self.other_groups(id.destinations).iter().for_each(|group| self.certificates.owe(group));
        }
    }

    /// The end of a turn: tells the groups that may wait for it where this replica stands.
    pub(super) fn certify(&mut self, out: &mut Effects) {
        let mut due = core::mem::take(&mut self.certificates.due);
        if !self.settings.waits_for_certificates || self.election.is_amnesiac() {
            return;
        }
        if self.may_propose() {
            // What stood in front has moved.
            let told = self.certificates.told.iter().filter(|(_, told)| told.front.is_some());
            for (group, told) in told.filter(|(group, _)| !self.remotes[**group].owed.is_empty()) {
                if told.front != self.front_before(*group) {
                    due.insert(*group);
                }
            }
        }
        for group in due.iter() {
            let standing = self.standing_to(group);
            if self.certificates.told.get(&group) != Some(&standing) {
                let message = Message::Standing(Box::new(standing.clone()));
                out.send_all(self.cluster.members(group).iter().copied(), message);
                self.certificates.told.insert(group, standing);
            }
        }
    }

    fn standing_to(&self, group: GroupId) -> Standing {
        let leads = self.may_propose();
        let front = if leads { self.front_before(group) } else { None };
        Standing {
            incarnation: self.election.incarnation(),
            promised: self.election.promised(),
            clock: self.clock.value(),
            leads,
            front,
            rebirths: if leads { self.election.rebirths() } else { Vec::new() },
        }
    }

    /// Of what is on the way here and in a third group, and not there, what can come first.
    fn front_before(&self, group: GroupId) -> Option<Stamp> {
        let mut shared = 0;
        let is_first = |place: &Stamp| {
            shared += usize::from(place.id.destinations.contains(group));
            !place.id.destinations.contains(group) || shared > LOOKS_AHEAD
        };
        self.queue.wide().find(is_first)
    }

    /// Whoever can be reached again may have missed a word.
    pub(super) fn certify_again(&self, to: ProcessId, group: GroupId, out: &mut Effects) {
        if self.settings.waits_for_certificates && !self.remotes[group].owed.is_empty() {
            out.send(to, Message::Standing(Box::new(self.standing_to(group))));
        }
    }

    /// Every tick: asks for certificates that should have come.
    pub(super) fn ask_for_certificates(&mut self, out: &mut Effects) {
        let waiting = self.waits_for_certificates_only();
        let ticks = match self.certificates.waits {
            Some((id, ticks)) if waiting.is_some_and(|stamp| stamp.id == id) => ticks + 1,
            _ => 0,
        };
        self.certificates.waits = waiting.map(|stamp| (stamp.id, ticks));
        let Some(stamp) = waiting.filter(|_| ticks > 0 && ticks.is_multiple_of(PATIENCE)) else { return };
        for group in self.uncertified(stamp).iter() {
            out.send_all(self.cluster.members(group).iter().copied(), Message::Certify(stamp.timestamp));
        }
    }

    /// The next message of the order, if nothing but certificates is missing.
    fn waits_for_certificates_only(&self) -> Option<Stamp> {
        let (first, spot) = self.queue.first().filter(|_| self.settings.waits_for_certificates)?;
        let outcome = self.outcome(first.id, spot)?;
        let stamp = Stamp { timestamp: outcome.timestamp, id: outcome.id };
        let is_ripe = self.is_settled_in() && self.leader_clock().min(self.quorum_clock()) >= stamp.timestamp;
        (is_ripe && !self.uncertified(stamp).is_empty()).then_some(stamp)
    }

    /// Another destination waits: it hears at once where this replica stands.
    pub(super) fn on_certify(&mut self, from: ProcessId, timestamp: Timestamp, out: &mut Effects) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        self.raise_clock(timestamp.min(Cluster::HIGHEST_FLOOR), out);
        let standing = self.standing_to(group);
        if standing.front.is_some() {
            // It is told when that has gone.
            self.certificates.told.insert(group, standing.clone());
        }
        out.send(from, Message::Standing(Box::new(standing)));
    }
}
