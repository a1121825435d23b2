//! Between groups: what the primary of one proposes reaches every replica of
//! the others as a header; what a quorum of it holds is decided. Whoever has
//! delivered a message durably says so, and then nothing flows about it any more.
//! (Thesis, Algorithm 2, lines 46 to 50, and line 9.)

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, Position, ProcessId};

use super::Effects;
use super::catchup::GONE;
use super::heads::Head;
use super::replica::{Remote, Replica, Terms, Track};
use super::wire::{Header, Message, Question, Start};
use crate::Mutant;
use crate::parts::{ByGroup, Epoch, Few, Index, Row, Run, Spot, reached_by};

/// Ticks until something that should have come is asked for, at first; doubled each time, up to eight times this.
const PATIENCE: u32 = 5;

/// At most so many places in one message.
const BATCH: usize = 512;

impl Replica {
    pub(super) fn headers(&self, group: GroupId, headers: Vec<Header>) -> Message {
        Message::Headers { epoch: self.held, settled: self.settled_with(group), headers }
    }

    pub(super) fn acknowledgement(&self, group: GroupId) -> Message {
        Message::Acknowledge { held: self.held, index: self.log.last(), settled: self.settled_with(group) }
    }

    /// Up to here, everything that this group shares with another was delivered by a quorum there.
    fn settled_with(&self, group: GroupId) -> Index {
        let first_owed = self.remotes[group].owed.first();
        first_owed.map_or(self.decided, |(first, _)| self.decided.min(first - 1))
    }

    /// The primary of another group has proposed.
    pub(super) fn on_headers(
        &mut self,
        from: ProcessId,
        epoch: Epoch,
        settled: Index,
        headers: Vec<Header>,
        out: &mut Effects,
    ) {
        let group = self.cluster.group_of(from).expect("a primary is in a group");
        let remote = self.remotes.get_mut(group).expect("headers come from other groups");
        if !remote.hears(epoch) && !self.planted.is(Mutant::PrimCastHearsDeposedPrimaries) {
            return;
        }
        remote.settled = remote.settled.max(settled);
        let settled = remote.settled;
        for header in headers {
            let id = header.id;
            // Thesis, line 47: whatever is proposed here from now on comes after it.
            self.raise_clock(header.timestamp, out);
            let (spot, track) = self.tracks.enter(id);
            if !track.is_on_the_way() && (header.index <= settled || self.windows.delivered(id).is_some()) {
                self.forget_if_empty(id);
                continue;
            }
            // Whoever has it in the log may be waiting for the clocks only. If it is not there yet, it will be
            // above this timestamp, and where it is in the log all say so.
            let is_told = self.said.as_ref().is_some_and(|said| said.clock >= header.timestamp);
            self.is_clock_awaited |= track.index.is_some() && !is_told;
            let Header { index, timestamp, floor, expiry, follows, .. } = header;
            let head = Head { group, epoch, index, timestamp, is_decided: false };
            match track.heads.get(group) {
                Some(known) if known.is_decided || known.epoch > epoch => {}
                known => {
                    let remote = self.remotes.get_mut(group).expect("every group is known");
                    if let Some(known) = known {
                        remote.open.remove(&(known.epoch, known.index));
                    }
                    remote.open.insert((epoch, index), (id, spot));
                    track.heads.insert(head);
                    track.terms = Some(Terms { floor, expiry, follows });
                    self.certify_if_shown(id);
                }
            }
        }
        self.decide(group);
    }

    /// A replica of another group says how far it holds its log.
    pub(super) fn on_acknowledge(&mut self, from: ProcessId, held: Epoch, index: Index, settled: Index) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        let remote = self.remotes.get_mut(group).expect("acknowledgements come from other groups");
        let _ = remote.hears(held);
        remote.settled = remote.settled.max(settled);
        match remote.voters.get_mut(&from) {
            Some(voter) => *voter = (*voter).max((held, index)),
            None => {
                remote.voters.insert(from, (held, index));
            }
        }
        self.decide(group);
    }

    /// What a quorum of another group holds in the epoch of its header is decided, for ever.
    fn decide(&mut self, group: GroupId) {
        let quorum = self.cluster.quorum(group);
        let any_epoch = self.planted.is(Mutant::PrimCastForgetsTheHeadersEpoch);
        let Remote { open, voters, .. } = self.remotes.get_mut(group).expect("every group is known");
        let (Some(((first, _), _)), Some(((last, _), _))) = (open.first(), open.last()) else { return };
        let is_one_epoch = first == last;
        let reached_in = |epoch: Epoch| {
            let holders = voters.values().filter(|(held, _)| *held == epoch || any_epoch);
            reached_by(holders.map(|(_, index)| *index), quorum)
        };
        let mut note = |(epoch, index): (Epoch, Index), (id, spot): (MessageId, Spot)| {
            let Some(track) = self.tracks.at_mut(spot, &id) else { return };
            let head = track.heads.get_mut(group).filter(|head| (head.epoch, head.index) == (epoch, index));
            let Some(head) = head else { return };
            head.is_decided = true;
            // Where it stands so far is the highest of what was decided before.
            let timestamp = head.timestamp;
            if track.is_on_the_way() {
                self.queue.raise(id, spot, &mut track.place, timestamp);
            }
        };
        if is_one_epoch {
            let reached = reached_in(*first);
            while let Some(((_, index), _)) = open.first()
                && reached.is_some_and(|reached| *index <= reached)
                && let Some((place, message)) = open.pop_first()
            {
                note(place, message);
            }
        } else {
            let epochs: BTreeSet<Epoch> = open.iter().map(|((epoch, _), _)| *epoch).collect();
            let reached: BTreeMap<Epoch, Option<Index>> =
                epochs.into_iter().map(|epoch| (epoch, reached_in(epoch))).collect();
            open.retain(|place, message| {
                let is_decided = reached[&place.0].is_some_and(|reached| place.1 <= reached);
                if is_decided {
                    note(*place, *message);
                }
                !is_decided
            });
        }
        self.drop_dead_headers(group);
    }

    /// A proposal of an epoch that was overtaken, at a place that is settled since, was lost with its epoch.
    fn drop_dead_headers(&mut self, group: GroupId) {
        let remote = self.remotes.get_mut(group).expect("every group is known");
        let settled = remote.settled;
        let tracks = &self.tracks;
        let is_proposed = |id: &MessageId| tracks.get(id).is_some_and(|track| track.index.is_some());
        // In one epoch what is settled stands in front.
        let epochs = (remote.open.first().map(|(key, _)| key.0), remote.open.last().map(|(key, _)| key.0));
        let may_be_dead = |(key, _): &&((Epoch, Index), (MessageId, Spot))| key.1 <= settled || epochs.0 != epochs.1;
        let in_question = remote.open.iter().take_while(may_be_dead).filter(|(key, _)| key.1 <= settled);
        let dead: Vec<_> = in_question.filter(|(_, (id, _))| !is_proposed(id)).copied().collect();
        dead.iter().for_each(|(key, _)| {
            remote.open.remove(key);
        });
        for (_, (id, _)) in dead {
            if let Some(track) = self.tracks.get_mut(&id) {
                track.heads.remove(group);
                self.forget_if_empty(id);
            }
        }
    }

    /// Whether another group has proposed a message, as far as that is not over: what was settled
    /// there since was delivered here, and is forgotten.
    pub(super) fn is_shown(&self, track: &Track) -> bool {
        track.is_shown(&self.remotes)
    }

    /// Nothing is known of it any more.
    pub(super) fn forget_if_empty(&mut self, id: MessageId) {
        if self.tracks.get(&id).is_some_and(|track| track.index.is_none() && track.heads.is_empty()) {
            self.tracks.remove(&id);
        }
    }

    /// A quorum of another group has delivered these: it will never ask about them again.
    pub(super) fn on_settled(&mut self, from: ProcessId, places: &[Index]) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        for index in places {
            self.settle(group, *index);
        }
    }

    fn settle(&mut self, group: GroupId, index: Index) {
        let remote = self.remotes.get_mut(group).expect("every group is known");
        // What is not decided here may still be another message than the one that was delivered there.
        if index <= self.decided
            && let Some(spot) = remote.owed.remove(&index)
        {
            let id = self.log.get(index).expect("what is owed is kept").message.id;
            self.tracks.at_mut(spot, &id).expect("what is in the log is known").owed.remove(group);
        }
    }

    /// How much a quorum of the own group has delivered, durably.
    pub(super) fn delivered_by_quorum(&self) -> Position {
        reached_by(self.peers.values().map(|peer| peer.delivered), self.quorum()).unwrap_or(0)
    }

    /// Another group asks whether its messages are settled here.
    pub(super) fn on_ask(&self, from: ProcessId, questions: &[Question], out: &mut Effects) {
        let group = self.cluster.group_of(from).expect("a replica is in a group");
        let durable = self.delivered_by_quorum();
        let recent = (durable.saturating_sub(self.first_outcome)) as usize;
        let unsure: BTreeSet<MessageId> = self.outcomes.iter().skip(recent).map(|outcome| outcome.id).collect();
        let is_settled = |question: &&Question| {
            let is_durable = self.windows.delivered(question.id).is_some() && !unsure.contains(&question.id);
            question.index <= self.remotes[group].settled || is_durable
        };
        let places: Vec<Index> = questions.iter().filter(is_settled).map(|question| question.index).collect();
        if !places.is_empty() {
            out.send(from, Message::Settled(places));
        }
    }

    /// How much every replica of the own group has delivered, durably, but for those that are silent.
    fn delivered_by_all(&self) -> Position {
        let heard = self.peers.iter().filter(|(process, _)| self.election.silence_of(**process) <= GONE);
        heard.map(|(_, peer)| peer.delivered).min().unwrap_or(0).min(self.delivered_by_quorum())
    }

    /// Tells the other groups what was delivered: by all of the group, or by a quorum at the tick before. Whoever is
    /// behind by less than that still gets from them what they show.
    pub(super) fn announce_settled(&mut self, out: &mut Effects) {
        let durable = self.delivered_by_all().max(self.durable_at_tick);
        self.durable_at_tick = self.delivered_by_quorum();
        if self.election.is_primary() {
            self.announce_up_to(durable, out);
        } else {
            self.announced = 0;
        }
    }

    fn announce_up_to(&mut self, durable: Position, out: &mut Effects) {
        let first = self.announced.max(self.first_outcome);
        let new = self.outcomes.iter().skip((first - self.first_outcome) as usize);
        let new: Vec<_> = new.take(durable.saturating_sub(first) as usize).flat_map(|outcome| &outcome.marks).collect();
        for group in self.cluster.groups().iter() {
            let places: Vec<Index> = new.iter().filter(|mark| mark.group == group).map(|mark| mark.index).collect();
            for batch in places.chunks(BATCH) {
                out.send_all(self.cluster.members(group).iter().copied(), Message::Settled(batch.to_vec()));
            }
        }
        self.announced = first.max(durable.min(self.delivered()));
    }

    /// The same before the next tick, where all have delivered much.
    pub(super) fn settle_in_good_time(&mut self, out: &mut Effects) {
        let many = self.settings.settle_every;
        if self.delivered().saturating_sub(self.written) >= many && !self.election.is_amnesiac() {
            self.write_deliveries(out);
        }
        if self.election.is_primary() {
            let durable = self.delivered_by_all();
            if durable.min(self.delivered()).saturating_sub(self.announced) >= many {
                self.announce_up_to(durable, out);
            }
        }
    }

    /// Asks again for what should have come by now: START where another destination has not proposed,
    /// headers where it may not have heard of ours, a word about what was delivered here long ago.
    pub(super) fn ask_other_groups(&mut self, out: &mut Effects) {
        let mut overdue = Vec::new();
        let is_open = |track: &Track| track.index.is_some() && !(track.is_delivered && track.owed.is_empty());
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
        let mut headers: BTreeMap<GroupId, Vec<Header>> = Default::default();
        let mut questions: BTreeMap<GroupId, Vec<Question>> = Default::default();
        for id in overdue {
            let track = self.tracks.get(&id).expect("it was just found");
            let index = track.index.expect("it was chosen because it is in the log");
            let entry = self.log.get(index).expect("what is in the log is kept");
            for group in track.owed.iter() {
                if track.is_delivered {
                    questions.entry(group).or_default().push(Question { index, id });
                    continue;
                }
                if !self.may_propose() {
                    continue;
                }
                headers.entry(group).or_default().push(self.header_of(index, entry));
                if !track.heads.get(group).is_some_and(|head| head.is_decided) {
                    let start = Start {
                        message: entry.message.clone(),
                        follows: self.still_follows(entry),
                        sender: track.sender.unwrap_or(self.me),
                        proposed: Some(Box::new(Run { epoch: self.held, last: index })),
                    };
                    out.send(self.whom(group, track.tries - 1), Message::Start(start));
                }
            }
        }
        for (group, headers) in headers {
            let message = self.headers(group, headers);
            out.send_all(self.cluster.members(group).iter().copied(), message);
        }
        for (group, questions) in questions {
            out.send(self.whom(group, self.ticks), Message::Ask(questions));
        }
    }

    /// The primary that another group's headers or acknowledgements name, then its other replicas in turn.
    fn whom(&self, group: GroupId, tries: u32) -> ProcessId {
        let members = self.cluster.members(group);
        let leader = self.remotes[group].epoch.leader;
        let place = members.iter().position(|member| *member == leader).unwrap_or(0);
        members[(place + tries as usize) % members.len()]
    }

    /// Everything that another group, or one of its replicas, may not know yet.
    pub(super) fn tell_everything_owed(&self, group: GroupId, to: &[ProcessId], out: &mut Effects) {
        let owed = &self.remotes[group].owed;
        if owed.is_empty() || self.election.is_amnesiac() {
            return;
        }
        if self.may_propose() {
            let headers: Vec<Header> = owed
                .iter()
                .map(|(index, _)| self.header_of(*index, self.log.get(*index).expect("what is owed is kept")))
                .collect();
            for batch in headers.chunks(BATCH) {
                out.send_all(to.iter().copied(), self.headers(group, batch.to_vec()));
            }
        }
        out.send_all(to.iter().copied(), self.acknowledgement(group));
    }
}

impl Track {
    /// Whether it is in the log, and not delivered.
    pub(super) fn is_on_the_way(&self) -> bool {
        self.index.is_some() && !self.is_delivered
    }

    /// See [`Replica::is_shown`].
    pub(super) fn is_shown(&self, remotes: &ByGroup<Remote>) -> bool {
        self.heads.iter().any(|head| head.index > remotes[head.group].settled)
    }
}

impl Remote {
    /// A group that nothing was heard of.
    pub(super) fn new(first: Epoch) -> Remote {
        Remote { voters: Few::new(), open: Row::new(), settled: 0, epoch: first, owed: Row::new() }
    }

    /// Somebody speaks for this epoch of the group. Answers whether it is the newest.
    pub(super) fn hears(&mut self, epoch: Epoch) -> bool {
        self.epoch = self.epoch.max(epoch);
        self.epoch == epoch
    }
}
