//! Between groups, after the steps: what should have come is asked for, a group
//! that was told nothing of the outcome is told the facts, and whoever has
//! delivered a message durably says so, and then nothing flows about it any more.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, ProcessId, Stamp, Timestamp};

use super::Effects;
use super::record::Outcome;
use super::replica::{Replica, Settling, Track};
use super::wire::{Message, Question, Start};
use crate::Mutant;
use crate::parts::{Mark, reached_by};

/// Ticks until something that should have come is asked for, at first; doubled each time, up to eight times this.
pub(super) const PATIENCE: u32 = 5;

/// At most so many messages are asked about in one tick, and so many are in one word.
const BATCH: usize = 512;

impl Replica {
    /// Up to here, everything that this group shares with another was delivered by a quorum there. Nothing is
    /// proposed below the clocks any more, neither in this epoch nor in a later one.
    pub(super) fn settled_with(&self, group: GroupId) -> Timestamp {
        let clocks = self.clock.value().min(self.quorum_clock());
        let first_owed = self.remotes[group].owed.first();
        first_owed.map_or(clocks, |first| clocks.min(Timestamp(first.timestamp.0 - 1)))
    }

    // ---- Facts.

    /// Whoever shows a message, or asks for it, that was delivered here, is told what became of it.
    pub(super) fn tell_fact(&mut self, to: ProcessId, id: MessageId) {
        if let Some(settling) = self.unsettled.get(&id) {
            let outcome = settling.outcome.clone();
            self.facts.entry(to).or_default().push(outcome);
        }
    }

    /// Another destination has delivered these. Nobody but a leader needs to know: it counts if the leader's own
    /// proposal is the one that was accepted, and then it need not count votes.
    pub(super) fn on_facts(&mut self, from: ProcessId, facts: Vec<Outcome>) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        if !self.election.is_primary() || !self.holds_its_promise() {
            return;
        }
        for fact in facts {
            let Outcome { id, own, timestamp, marks } = fact;
            let Some(track) = self.tracks.get(&id).filter(|track| track.outcome.is_none()) else { continue };
            let mine = marks.iter().find(|mark| mark.group == self.group);
            let mine = mine.map(|mark| Timestamp(mark.index)).filter(|mine| track.own == Some(*mine));
            let Some(mine) = mine else { continue };
            let theirs = Mark { group, index: own.0 };
            let others = marks.into_iter().filter(|mark| mark.group != self.group).chain([theirs]);
            let mut marks: Vec<Mark> = others.collect();
            marks.sort_by_key(|mark| mark.group);
            self.commit(Outcome { id, own: mine, timestamp, marks: marks.into() });
        }
    }

    // ---- What was delivered is settled.

    /// A quorum of another group has delivered these: it will never ask about them again.
    pub(super) fn on_settled(&mut self, from: ProcessId, timestamps: &[Timestamp]) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        for timestamp in timestamps {
            self.settle(group, *timestamp);
        }
    }

    fn settle(&mut self, group: GroupId, timestamp: Timestamp) {
        let remote = self.remotes.get_mut(group).expect("every group is known");
        let from = Stamp { timestamp, id: MessageId::new(0, 0, 0) };
        let owed = remote.owed.range(from..).take_while(|stamp| stamp.timestamp == timestamp);
        // What is not delivered here may be another message than the one that was delivered there.
        let delivered: Vec<Stamp> = owed.filter(|stamp| self.unsettled.contains(&stamp.id)).copied().collect();
        for stamp in delivered {
            remote.owed.remove(&stamp);
            let settling = self.unsettled.get_mut(&stamp.id).expect("it was just found");
            settling.owed.remove(group);
            if settling.owed.is_empty() {
                self.unsettled.remove(&stamp.id);
            }
        }
    }

    /// How much a quorum of the own group has delivered, durably.
    pub(super) fn delivered_by_quorum(&self) -> u64 {
        reached_by(self.peers.values().map(|peer| peer.delivered), self.quorum()).unwrap_or(0)
    }

    /// Another group asks whether its messages are settled here.
    pub(super) fn on_ask(&self, from: ProcessId, questions: &[Question], out: &mut Effects) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        let recent = self.delivered_by_quorum().saturating_sub(self.first_outcome) as usize;
        let unsure: BTreeSet<MessageId> =
            self.outcomes.iter().skip(recent).map(|delivered| delivered.outcome.id).collect();
        let is_settled = |question: &&Question| {
            let is_durable = self.windows.delivered(question.id).is_some() && !unsure.contains(&question.id);
            question.timestamp <= self.remotes[group].settled || is_durable
        };
        let settled: Vec<Timestamp> = questions.iter().filter(is_settled).map(|asked| asked.timestamp).collect();
        if !settled.is_empty() {
            out.send(from, Message::Settled(settled));
        }
    }

    /// A leader tells the other groups what a quorum has delivered since it last told them.
    pub(super) fn announce_settled(&mut self, out: &mut Effects) {
        if !self.election.is_primary() {
            self.announced = 0;
            return;
        }
        let durable = self.delivered_by_quorum();
        let first = self.announced.max(self.first_outcome);
        let new = self.outcomes.iter().skip((first - self.first_outcome) as usize);
        let new = new.take(durable.saturating_sub(first) as usize);
        let marks: Vec<Mark> = new.flat_map(|delivered| &delivered.outcome.marks).copied().collect();
        for group in self.cluster.groups().iter() {
            let settled = marks.iter().filter(|mark| mark.group == group);
            let settled: Vec<Timestamp> = settled.map(|mark| Timestamp(mark.index)).collect();
            for batch in settled.chunks(BATCH) {
                out.send_all(self.cluster.members(group).iter().copied(), Message::Settled(batch.to_vec()));
            }
        }
        self.announced = first.max(durable.min(self.delivered()));
    }

    // ---- What should have come.

    /// A leader shows again what was not acknowledged, and says START where another destination has not proposed. Any
    /// replica asks whether what it has delivered is settled.
    pub(super) fn ask_other_groups(&mut self, out: &mut Effects) {
        if self.may_lead() {
            self.press_on(out);
        }
        let mut questions: BTreeMap<GroupId, Vec<Question>> = BTreeMap::new();
        let is_overdue = |settling: &Settling| settling.age >= PATIENCE << settling.tries.min(3);
        self.unsettled.change_each(|settling| settling.age += 1);
        for (id, settling) in self.unsettled.sorted_mut_if(is_overdue).into_iter().take(BATCH) {
            (settling.age, settling.tries) = (0, settling.tries.saturating_add(1));
            for group in settling.owed.iter() {
                questions.entry(group).or_default().push(Question { timestamp: settling.outcome.own, id });
            }
        }
        for (group, questions) in questions {
            out.send(self.whom(group, self.ticks), Message::Ask(questions));
        }
    }

    fn press_on(&mut self, out: &mut Effects) {
        let mut overdue = Vec::new();
        let is_open = |track: &Track| track.own.is_some() && track.outcome.is_none();
        let is_overdue = |track: &Track| track.age + 1 >= PATIENCE << track.tries.min(3);
        if self.tracks.all(|track| !is_open(track) || !is_overdue(track)) {
            // Everything came in time, as it does almost always.
            self.tracks.change_each(|track| track.age += u32::from(is_open(track)));
            return;
        }
        for (id, track) in self.tracks.sorted_mut_if(is_open) {
            track.age += 1;
            if track.age >= PATIENCE << track.tries.min(3) {
                (track.age, track.tries) = (0, track.tries.saturating_add(1));
                overdue.push(id);
            }
            if overdue.len() == BATCH {
                break;
            }
        }
        // In the order in which they were proposed: a session's messages are accepted in order.
        overdue.sort_by_key(|id| self.tracks.get(id).and_then(|track| track.own));
        let mut missing: BTreeMap<(GroupId, ProcessId), Vec<MessageId>> = BTreeMap::new();
        for id in &overdue {
            let track = self.tracks.get(id).expect("it was just found");
            let ballots = track.offers.ballots(id.destinations);
            for group in id.destinations.iter() {
                for process in self.cluster.members(group).iter().filter(|process| **process != self.me) {
                    let has_voted = ballots.is_some() && track.votes.get(process) == ballots.as_ref();
                    let is_ready = group != self.group || self.takes(*process);
                    // One of each group is asked in any case: it may have delivered the message since, and show its
                    // proposal no more to those here who have lost it.
                    let is_asked = group != self.group
                        && *process == self.whom(group, track.tries - 1)
                        && !self.planted.is(Mutant::WhiteBoxAsksNobodyElse);
                    if (!has_voted || is_asked) && is_ready {
                        missing.entry((group, *process)).or_default().push(*id);
                    }
                }
            }
        }
        self.show_again(missing, out);
        for id in overdue {
            self.accept(id, Some(self.me), out);
            self.start_elsewhere(id, out);
        }
    }

    /// Whether a follower is to be shown proposals now.
    fn takes(&self, process: ProcessId) -> bool {
        let peer = &self.peers[&process];
        peer.held == self.held && peer.pause.is_over()
    }

    /// START, payload included, to each destination that has shown no proposal: a group may have lost it with its
    /// leader.
    fn start_elsewhere(&self, id: MessageId, out: &mut Effects) {
        let track = self.tracks.get(&id).expect("it was just found");
        let entry = self.entry_of(track);
        for group in id.destinations.without(self.group).iter() {
            let remote = &self.remotes[group];
            if track.offers.get(group).is_some_and(|offer| offer.epoch == remote.epoch) {
                continue;
            }
            let start = Start {
                message: entry.message.clone(),
                follows: entry.follows,
                sender: track.sender.unwrap_or(self.me),
                proposed: Some((self.held, entry.timestamp)),
            };
            out.send(self.whom(group, track.tries - 1), Message::Start(start));
        }
    }

    /// The leader that another group's proposals name, then its other replicas in turn.
    fn whom(&self, group: GroupId, tries: u32) -> ProcessId {
        let members = self.cluster.members(group);
        let leader = self.remotes[group].epoch.leader;
        let place = members.iter().position(|member| *member == leader).unwrap_or(0);
        members[(place + tries as usize) % members.len()]
    }

    /// Everything that a replica of another group may not know, after a link stands again.
    pub(super) fn tell_everything_owed(&self, group: GroupId, to: ProcessId, out: &mut Effects) {
        if self.may_lead() {
            let owed = self.remotes[group].owed.iter();
            let ids: Vec<MessageId> = owed.map(|stamp| stamp.id).filter(|id| self.is_on_the_way(*id)).collect();
            self.show_to(&ids, group, &[to], out);
        }
    }

    /// Forgets what other groups have shown and this one never proposed, as far as that is over.
    pub(super) fn drop_what_is_over(&mut self) {
        let (windows, remotes) = (&self.windows, &self.remotes);
        self.tracks.retain(|id, track| {
            let mut others = track.offers.iter().filter(|offer| remotes.get(offer.group).is_some());
            let is_shown = others.any(|offer| offer.timestamp > remotes[offer.group].settled);
            let is_open = windows.delivered(*id).is_none() && is_shown;
            track.own.is_some() || track.message.is_some() || is_open
        });
    }
}
