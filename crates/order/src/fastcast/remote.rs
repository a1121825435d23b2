//! Between groups: every replica that learns the local timestamp of a message
//! tells it to the processes of the other destinations, until their groups
//! have it in their logs, and say so. A timestamp that was told is decided:
//! whoever says it, and whenever, it is true.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, ProcessId};

use super::Effects;
use super::entry::{Hard, Heard};
use super::replica::{Replica, Terms, Track};
use super::wire::{Fact, Message, Question, Shown, Start};
use crate::Mutant;
use crate::parts::{Epoch, Index};

/// Ticks until something that should have come is asked for, at first; doubled each time, up to eight times this.
const PATIENCE: u32 = 5;

/// At most so many of anything in one message.
const BATCH: usize = 512;

impl Replica {
    /// Up to here, everything that this group shares with another was learned by that group.
    fn settled_with(&self, group: GroupId) -> Index {
        let applied = self.consensus.applied();
        self.remotes[group].owed.first().map_or(applied, |(first, _)| applied.min(first - 1))
    }

    /// What a message looks like to other groups.
    fn fact_of(&self, id: MessageId) -> Option<Fact> {
        let own = self.tracks.get(&id)?.own.as_ref()?;
        let message = &own.message;
        let before = MessageId { sequence: own.follows, ..id };
        // The message before must be proposed first, if it is on the way. One that was delivered here is known to all
        // its destinations, who may have forgotten it.
        let is_on_the_way = own.follows > 0 && self.tracks.get(&before).is_some_and(|track| track.place.is_some());
        Some(Fact {
            index: own.index,
            timestamp: own.timestamp,
            id,
            floor: message.floor,
            expiry: message.expiry,
            follows: if is_on_the_way { own.follows } else { 0 },
        })
    }

    /// What another group has to hear of these messages.
    pub(super) fn facts(&self, group: GroupId, ids: &[MessageId]) -> Message {
        let facts = ids.iter().filter_map(|id| self.fact_of(*id)).collect();
        Message::Hard { epoch: self.consensus.promised(), settled: self.settled_with(group), facts }
    }

    /// The end of step 3: what was decided in this turn goes to the other destinations. It is a fact, and no promise of
    /// this replica, so it waits for no disk.
    pub(super) fn show(&mut self, out: &mut Effects) {
        for (group, ids) in core::mem::take(&mut self.shown) {
            for ids in ids.chunks(BATCH) {
                let message = self.facts(group, ids);
                out.send_early_to_all(self.cluster.members(group).iter().copied(), message);
            }
        }
        for (group, places) in core::mem::take(&mut self.learned) {
            // One of the group says it; if that is lost, somebody will ask.
            if self.consensus.may_propose() {
                for places in places.chunks(BATCH) {
                    let members = self.cluster.members(group).iter().copied();
                    out.send_early_to_all(members, Message::Learned(places.to_vec()));
                }
            }
        }
    }

    /// Another group has decided.
    pub(super) fn on_hard(&mut self, from: ProcessId, settled: Index, facts: &[Fact]) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        for fact in facts {
            self.hear_fact(group, settled, *fact);
        }
        let remote = self.remotes.get_mut(group).expect("every group is known");
        remote.settled = remote.settled.max(settled);
    }

    /// Notes a local timestamp of another group, unless this group has learned it long ago.
    pub(super) fn hear_fact(&mut self, group: GroupId, settled: Index, fact: Fact) {
        let Fact { index, timestamp, id, floor, expiry, follows } = fact;
        let remote = self.remotes.get_mut(group).expect("facts come from other groups");
        remote.settled = remote.settled.max(settled);
        let is_in_log = self.tracks.get(&id).is_some_and(|track| track.own.is_some());
        if !is_in_log && (index <= remote.settled || self.windows.delivered(id).is_some()) {
            return;
        }
        let (_, track) = self.tracks.enter(id);
        track.hear(Hard { group, index, timestamp });
        if track.own.is_none() {
            track.terms = Some(Terms { floor, expiry, follows });
        }
        self.line_up(id);
    }

    /// Whether another group has decided about a message, and waits for this one.
    pub(super) fn is_shown(&self, track: &Track) -> bool {
        track.hards.iter().any(|hard| hard.index > self.remotes[hard.group].settled)
    }

    /// Somebody leads another group.
    pub(super) fn believe(&mut self, group: GroupId, epoch: Epoch) {
        if let Some(remote) = self.remotes.get_mut(group) {
            remote.epoch = remote.epoch.max(epoch);
        }
    }

    /// Another group has these in its log: it will never ask about them again.
    pub(super) fn on_learned(&mut self, from: ProcessId, places: &[Index]) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        for index in places {
            let remote = self.remotes.get_mut(group).expect("every group is known");
            if let Some(id) = remote.owed.remove(index) {
                self.tracks.get_mut(&id).expect("what is owed is known").owed.remove(group);
            }
        }
    }

    /// Another group asks whether it has to go on telling.
    pub(super) fn on_ask(&self, from: ProcessId, questions: &[Question], out: &mut Effects) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        let has_learned = |question: &&Question| match self.tracks.get(&question.id).filter(|track| track.own.is_some())
        {
            Some(track) => track.is_final,
            // What is in no track was in the log with its final timestamp before it was forgotten.
            None => question.index <= self.remotes[group].settled || self.windows.delivered(question.id).is_some(),
        };
        let places: Vec<Index> = questions.iter().filter(has_learned).map(|question| question.index).collect();
        if !places.is_empty() {
            out.send(from, Message::Learned(places));
        }
    }

    /// Asks again for what should have come by now: START where another destination has shown no timestamp, and a
    /// word about what was delivered here long ago.
    pub(super) fn ask_other_groups(&mut self, out: &mut Effects) {
        let leads = self.consensus.may_propose();
        let is_open = |track: &Track| track.own.is_some() && !(track.is_final && track.owed.is_empty());
        let is_overdue = |track: &Track| track.age + 1 >= PATIENCE << track.tries.min(3);
        if self.tracks.all(|track| !is_open(track) || !is_overdue(track)) {
            // Everything came in time, as it does almost always.
            self.tracks.change_each(|track| track.age += u32::from(is_open(track)));
            return;
        }
        let mut overdue = Vec::new();
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
        let mut questions: BTreeMap<GroupId, Vec<Question>> = BTreeMap::new();
        let mut heard = Vec::new();
        for id in overdue {
            if !leads && self.unlogged.contains(&id) {
                heard.push(self.heard_of(id));
            }
            let track = self.tracks.get(&id).expect("it was just found");
            let own = track.own.as_ref().expect("it was chosen because it is in the log");
            let tries = track.tries - 1;
            for group in id.destinations.without(self.group).iter() {
                let is_missing = track.hards.iter().all(|hard| hard.group != group);
                if is_missing && leads {
                    let fact = self.fact_of(id).expect("it is in the log");
                    let shown = Shown { group: self.group, settled: self.settled_with(group), fact };
                    let start = Start {
                        message: own.message.clone(),
                        follows: fact.follows,
                        sender: track.sender.unwrap_or(self.me),
                        shown: Some(Box::new(shown)),
                    };
                    out.send(self.whom(group, tries), Message::Start(start));
                } else if track.turn.is_some() && track.owed.contains(group) {
                    questions.entry(group).or_default().push(Question { index: own.index, id });
                }
            }
        }
        for (group, questions) in questions {
            out.send(self.whom(group, self.ticks), Message::Ask(questions));
        }
        let leader = self.consensus.promised().leader;
        if !heard.is_empty() && leader != self.me {
            // Its links to the other groups may be down, and without it nobody puts this into the log.
            out.send(leader, Message::Heard(heard));
        }
    }

    /// A follower has heard what this leader may have missed.
    pub(super) fn on_heard(&mut self, messages: Vec<Heard>) {
        for Heard { id, hards } in messages {
            if let Some(track) = self.tracks.get_mut(&id).filter(|track| track.own.is_some()) {
                hards.into_iter().for_each(|hard| track.hear(hard));
                self.line_up(id);
            }
        }
    }

    /// The leader of another group as far as is known, then its other replicas in turn.
    fn whom(&self, group: GroupId, tries: u32) -> ProcessId {
        let members = self.cluster.members(group);
        let leader = self.remotes[group].epoch.leader;
        let place = members.iter().position(|member| *member == leader).unwrap_or(0);
        members[(place + tries as usize) % members.len()]
    }

    /// Everything that a process of another group may not know yet.
    pub(super) fn tell_everything_owed(&self, group: GroupId, to: ProcessId, out: &mut Effects) {
        let owed: Vec<MessageId> = self.remotes[group].owed.iter().map(|(_, id)| *id).collect();
        for ids in owed.chunks(BATCH) {
            out.send(to, self.facts(group, ids));
        }
    }

    /// Whether everything that others must know of a message is known to them.
    pub(super) fn is_settled(&self, track: &Track) -> bool {
        track.is_final && (track.owed.is_empty() || self.planted.is(Mutant::FastCastForgetsTooEarly))
    }
}
