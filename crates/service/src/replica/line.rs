//! [`Line`]: what was delivered and is not applied, and how it is applied. A
//! message with commands that need what other partitions hold makes those
//! behind it wait until the others have told it; everything else is applied as
//! soon as it is there.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{
    Call, Command, Delivery, GroupId, GroupSet, Ordering, ProcessId, Reply, Service, Shares, Stamp, Timestamp,
};

use super::answers::{Due, MAX_ANSWERS, TOO_LONG};
use super::exchange::{Share, Turn};
use super::parcel::{Parcel, unpack};
use super::record::{Record, State};
use super::sessions::{Named, Outcome};
use super::wire::{Message, ParcelId};
use super::{Effects, Replica};
use crate::Mutant;

/// What was delivered and is not applied.
#[derive(Clone, Debug, Hash)]
pub(super) struct Line {
    waiting: VecDeque<Waiting>,
}

/// One message that was delivered.
#[derive(Clone, Debug, Hash)]
pub(super) struct Waiting {
    stamp: Stamp,
    /// What has to be settled before it is answered.
    need: Timestamp,
    bytes: usize,
    what: What,
}

#[derive(Clone, Debug, Hash)]
enum What {
    /// No commands.
    Foreign,
    /// Commands that came too late.
    Void(Parcel),
    /// Commands, and the replies to the first of them.
    Parcel(Parcel, Vec<Reply>),
}

impl Waiting {
    pub(super) fn new(delivery: &Delivery, need: Timestamp) -> Waiting {
        let payload = &delivery.message.payload;
        // A session may look like one of ours and be somebody else's: then its messages are no parcels.
        let what = match unpack(&delivery.message) {
            None => What::Foreign,
            Some(parcel) if delivery.is_void() => What::Void(parcel),
            Some(parcel) => {
                let replies = Vec::with_capacity(parcel.commands.len());
                What::Parcel(parcel, replies)
            }
        };
        Waiting { stamp: delivery.stamp(), need, bytes: payload.len(), what }
    }

    pub(super) fn is_foreign(&self) -> bool {
        matches!(self.what, What::Foreign)
    }
}

impl Line {
    pub(super) fn new() -> Line {
        Line { waiting: VecDeque::new() }
    }

    pub(super) fn push(&mut self, waiting: Waiting) {
        self.waiting.push_back(waiting);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The timestamp of the first.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.waiting.front().map(|waiting| waiting.stamp.timestamp)
    }

    /// The command that is next.
    fn next_turn(&self) -> Option<Turn> {
        match self.waiting.front() {
            Some(Waiting { stamp, what: What::Parcel(_, replies), .. }) => {
                Some(Turn { stamp: *stamp, nth: replies.len() as u32 })
            }
            _ => None,
        }
    }

    /// Takes the first ones out: a state holds them.
    pub(super) fn skip(&mut self, count: usize) {
        self.waiting.drain(..count.min(self.waiting.len()));
    }

    /// Whether some commands of the first message are applied and others are not.
    pub(super) fn is_in_the_middle(&self) -> bool {
        self.waiting.front().is_some_and(|first| matches!(&first.what, What::Parcel(_, replies) if !replies.is_empty()))
    }
}

impl<M: Ordering, S: Service> Replica<M, S> {
    /// Applies what can be applied.
    pub(super) fn run_line(&mut self, out: &mut Effects<M, S>) {
        while let Some(first) = self.line.waiting.pop_front() {
            let Waiting { stamp, need, bytes, what } = first;
            let (parcel, outcome) = match what {
                What::Foreign => (None, Outcome::Void),
                What::Void(parcel) => (Some(parcel), Outcome::Void),
                What::Parcel(parcel, mut replies) => {
                    if !self.apply(stamp, &parcel, &mut replies, out) {
                        self.line.waiting.push_front(Waiting {
                            stamp,
                            need,
                            bytes,
                            what: What::Parcel(parcel, replies),
                        });
                        return;
                    }
                    (Some(parcel), Outcome::Replies(replies))
                }
            };
            self.position += 1;
            self.applied = Some(stamp);
            self.applied_bytes += bytes;
            self.blocked = (0, 0);
            if let Some(parcel) = parcel {
                self.answer_parcel(stamp, need, &parcel, outcome, out);
            }
        }
    }

    /// Applies the commands of a parcel, from the first on that has no reply. Answers whether all of them have one.
    fn apply(&mut self, stamp: Stamp, parcel: &Parcel, replies: &mut Vec<Reply>, out: &mut Effects<M, S>) -> bool {
        // One that others carry out a part of is not for this partition to refuse.
        let is_own = stamp.id.destinations.without(self.group).is_empty();
        let mut length = replies.iter().map(|reply| reply.0.len()).sum::<usize>();
        for (nth, Command { name, command }) in parcel.commands.iter().enumerate().skip(replies.len()) {
            let call = Call { stamp, nth: nth as u32, group: self.group, command };
            let named = name.map_or(Named::New, |name| self.sessions.named(name));
            let was_applied = name.map(|_| named != Named::New);
            let Some((shares, was_applied_elsewhere)) = self.meet(&call, was_applied, out) else {
                return false;
            };
            let reply = match named {
                Named::Again(reply) => reply,
                Named::Overtaken => self.service.refuse(command, "a later command of this session was applied before"),
                Named::New if was_applied_elsewhere => {
                    self.service.refuse(command, "it was applied before, and its answer is forgotten")
                }
                Named::New if is_own && length >= MAX_ANSWERS => self.service.refuse(command, TOO_LONG),
                Named::New => {
                    let reply = self.service.apply(&call, &shares);
                    if let Some(name) = name.filter(|_| !self.planted.is(Mutant::ReplicaForgetsNames)) {
                        self.sessions.remember(stamp.timestamp, name, reply.clone());
                    }
                    reply
                }
            };
            length += reply.0.len();
            replies.push(reply);
        }
        true
    }

    /// What the other partitions tell about a command, and whether one of them has applied it before; `None` until all
    /// have spoken. They hear at once what this one tells. One that has a name is told of in any case, with whether it
    /// `was_applied` here: who has forgotten that must not do a part of it that the others refuse.
    fn meet(&mut self, call: &Call<'_>, was_applied: Option<bool>, out: &mut Effects<M, S>) -> Option<(Shares, bool)> {
        let others = call.stamp.id.destinations.without(self.group);
        if others.is_empty() {
            return Some((Shares::none(), false));
        }
        let turn = Turn { stamp: call.stamp, nth: call.nth };
        if self.exchange.told(turn).is_none() {
            let told = self.service.share(call).or_else(|| was_applied.map(|_| Bytes::new()));
            let Some(bytes) = told else { return Some((Shares::none(), false)) };
            self.tell_share(turn, &Share { was_applied: was_applied.unwrap_or(false), bytes }, others, out);
        }
        if !self.exchange.silent(turn, others).is_empty() {
            return None;
        }
        self.owes_holds = self.owes_holds.or(others);
        Some(self.exchange.shares(turn))
    }

    /// A bug to plant: the state that is told is the one before what still waits in line.
    pub(super) fn share_too_early(&mut self, waiting: &Waiting, out: &mut Effects<M, S>) {
        let What::Parcel(parcel, _) = &waiting.what else { return };
        let others = waiting.stamp.id.destinations.without(self.group);
        for (nth, Command { command, .. }) in parcel.commands.iter().enumerate() {
            let call = Call { stamp: waiting.stamp, nth: nth as u32, group: self.group, command };
            let Some(bytes) = Some(others).filter(|others| !others.is_empty()).and_then(|_| self.service.share(&call))
            else {
                continue;
            };
            self.tell_share(
                Turn { stamp: call.stamp, nth: call.nth },
                &Share { was_applied: false, bytes },
                others,
                out,
            );
        }
    }

    /// Tells those for whom this replica is the nearest, and those who have asked already.
    fn tell_share(&mut self, turn: Turn, share: &Share, others: GroupSet, out: &mut Effects<M, S>) {
        let mut told = self.exchange.tell(turn, share.clone());
        for group in others.iter() {
            let members = self.cluster.members(group).iter().copied();
            told.extend(members.filter(|process| self.near.nearest(*process, self.group) == Some(self.me)));
        }
        told.sort_unstable();
        told.dedup();
        for process in told {
            out.send(process, Message::Share(turn, self.group, share.clone()));
        }
    }

    /// Another partition tells something, by its own mouth or by that of somebody of this group.
    pub(super) fn on_share(&mut self, turn: Turn, group: GroupId, share: Share, out: &mut Effects<M, S>) {
        if group == self.group || self.applied.is_some_and(|applied| turn.stamp <= applied) {
            return;
        }
        if !self.exchange.has_room() && self.line.next_turn() != Some(turn) {
            return;
        }
        if self.line.next_turn() == Some(turn) {
            // Who has told this has what follows: there is reason to ask again soon.
            self.blocked = (0, 0);
        }
        if self.exchange.hear(turn, group, share.clone()) && self.settings.keeps_records {
            out.persist(Record::Share(turn, group, share));
        }
    }

    /// Somebody misses what a partition has told.
    pub(super) fn on_ask_share(&mut self, from: ProcessId, turn: Turn, group: GroupId, out: &mut Effects<M, S>) {
        if group == self.group {
            match self.exchange.told(turn) {
                Some(share) => out.send(from, Message::Share(turn, group, share.clone())),
                None if self.applied.is_none_or(|applied| applied < turn.stamp) => {
                    if let Some(home) = self.cluster.group_of(from) {
                        self.exchange.want(home, from, turn);
                    }
                }
                // It is forgotten, for a majority over there has it.
                None => {}
            }
        } else if self.exchange.heard(turn, group).is_some() {
            for (turn, share) in self.exchange.heard_from(turn, group) {
                out.send(from, Message::Share(turn, group, share));
            }
        } else if let Some(state) = &self.latest
            && self.latest_applied.is_some_and(|applied| turn.stamp <= applied)
        {
            out.send(from, Message::State(state.clone()));
        }
    }

    /// Somebody of this group hands over a state, for the shares are gone that would lead there.
    pub(super) fn on_state(&mut self, state: State, out: &mut Effects<M, S>) {
        if state.position <= self.position || state.bytes.is_empty() {
            return;
        }
        if self.settings.keeps_records {
            out.persist(Record::State(state.clone()));
        }
        self.take_over(state);
    }

    /// Asks for what the first in line waits for, one after the other of those who may have it.
    pub(super) fn ask_for_shares(&mut self, out: &mut Effects<M, S>) {
        let Some(turn) = self.line.next_turn() else { return };
        let silent = self.exchange.silent(turn, turn.stamp.id.destinations.without(self.group));
        let (age, asks) = self.blocked;
        // Everybody is asked soon, and then again less and less often: what comes may be a state, which takes its time.
        let rounds = asks / (2 * self.cluster.members(self.group).len());
        if age + 1 < super::PATIENCE.min(1 << asks.min(8)) << rounds.min(5) {
            self.blocked.0 += 1;
            return;
        }
        self.blocked = (0, asks + 1);
        for group in silent.iter() {
            let peers = self.near.rank(self.me, self.group).iter().filter(|peer| **peer != self.me);
            let candidates: Vec<ProcessId> = self.near.rank(self.me, group).iter().chain(peers).copied().collect();
            if let Some(process) = candidates.get(asks % candidates.len().max(1)) {
                out.send(*process, Message::AskShare(turn, group));
            }
        }
    }

    /// Those who have told something may forget it when a majority here has it on disk.
    pub(super) fn tell_what_is_held(&mut self, out: &mut Effects<M, S>) {
        let owed = core::mem::take(&mut self.owes_holds);
        if let Some(applied) = self.applied.filter(|_| !owed.is_empty()) {
            for process in self.cluster.replicas(owed) {
                out.send(process, Message::Holds(applied));
            }
        }
    }

    /// What a parcel did is kept, and told to its entry if that is this replica's part.
    fn answer_parcel(
        &mut self,
        stamp: Stamp,
        need: Timestamp,
        parcel: &Parcel,
        outcome: Outcome,
        out: &mut Effects<M, S>,
    ) {
        if parcel.entry == self.me {
            self.entry.done(stamp.id, stamp.timestamp);
        }
        let id = ParcelId { session: stamp.id.session, sequence: stamp.id.sequence };
        self.sessions.keep(stamp.timestamp, id.session, id.sequence, parcel.answered, outcome.clone());
        let due = if parcel.entry == self.me {
            Due::Here(id, stamp.timestamp, outcome)
        } else if self.cluster.group_of(parcel.entry) != Some(self.group)
            && self.near.nearest(parcel.entry, self.group) == Some(self.me)
        {
            Due::There(parcel.entry, id, stamp.timestamp, outcome)
        } else {
            return;
        };
        self.answer(need, due, out);
    }
}
