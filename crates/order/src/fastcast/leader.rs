//! What a leader does: it takes messages, guesses their timestamps and tells
//! its guesses, and raises its group's clock to what it believes, and later
//! knows, to be final timestamps. Everything that counts is done by entries of
//! the log; a guess decides nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use skein_machine::{GroupId, MessageId, Multicast, ProcessId, Stamp, Timestamp};

use super::Effects;
use super::entry::{Entry, Hard, Heard, Proposal};
use super::replica::{Replica, Terms, Track};
use super::wire::{Guess, Message, Start};
use crate::Mutant;
use crate::parts::{Epoch, MAX_PENDING, MAX_PENDING_BYTES, Refusal};

/// With payloads longer than this in its log a leader refuses what it may. Twice what is on the way at most: who gets
/// there has a user who does not hand in checkpoints.
const MAX_LOG_BYTES: usize = 2 * MAX_PENDING_BYTES;

/// So many final timestamps stand in one entry.
const CLOSED_AT_ONCE: usize = 512;

/// Ticks after which the guesses of others are of no use any more.
const GUESSES_LAST: u32 = 20;

/// What a replica knows as the leader of an epoch. Another epoch begins anew.
#[derive(Clone, Debug, Hash)]
pub(super) struct Reign {
    epoch: Epoch,
    /// Where the clock will stand at the end of the log.
    ahead: Timestamp,
    /// The soft clock: the last guess. What is decided raises it, too.
    soft: Timestamp,
    /// Messages in the log that are not decided, and the timestamp that was guessed for each.
    pub(super) proposed: BTreeMap<MessageId, Timestamp>,
    /// Messages whose final timestamps are in the log and not decided.
    pub(super) closing: BTreeSet<MessageId>,
    /// What other leaders have guessed.
    guesses: BTreeMap<MessageId, Guesses>,
    /// Messages about which something was learned in this turn.
    fresh: BTreeSet<MessageId>,
    /// Its own guesses of this turn, which the others have not been told.
    untold: BTreeMap<GroupId, Vec<Guess>>,
}

/// What other leaders have guessed for one message.
#[derive(Clone, Debug, Default, Hash)]
struct Guesses {
    heard: BTreeMap<GroupId, Timestamp>,
    age: u32,
}

impl Replica {
    /// A sender, or another destination that has decided about the message already, wants it ordered.
    pub(super) fn on_start(&mut self, from: ProcessId, start: Start, out: &mut Effects) {
        let id = start.message.id;
        if let Some(shown) = start.shown.as_deref().filter(|shown| shown.group != self.group) {
            self.hear_fact(shown.group, shown.settled, shown.fact);
        }
        if self.answer_start(from, &start, out) {
            return;
        }
        if !self.consensus.may_propose() || self.reign.is_none() {
            self.pass_on(from, start, out);
            return;
        }
        let Start { message, follows, sender, .. } = start;
        if self.reign.as_ref().is_some_and(|reign| reign.proposed.contains_key(&id)) {
            self.tracks.enter(id).1.sender = Some(sender);
            return;
        }
        let is_shown = self.tracks.get(&id).is_some_and(|track| self.is_shown(track));
        let is_late = self.next_timestamp(message.floor) > message.expiry;
        if is_late && (!is_shown || self.planted.is(Mutant::FastCastRefusesAlone)) {
            // Nobody has decided about it. If every timestamp that it could still get is too late, its sender may know.
            if self.clock >= message.expiry {
                out.send(sender, Message::Refused(id, Refusal::Expired));
            }
            return;
        }
        if !self.has_proposed(id, follows) && !self.planted.is(Mutant::FastCastForgetsWhatItFollows) {
            // The one before was lost on the way; both will be sent again, in order.
            return;
        }
        // Only what no other group can be waiting for is refused: two full groups must not wait for each other.
        let is_full = self.queue.len() >= MAX_PENDING || self.consensus.log().bytes() >= MAX_LOG_BYTES;
        if is_full && id.destinations.len() == 1 {
            out.send(sender, Message::Refused(id, Refusal::Full));
            return;
        }
        let message = if is_late { Multicast { payload: bytes::Bytes::new(), ..message } } else { message };
        self.propose(message, follows, out);
        self.tracks.enter(id).1.sender = Some(sender);
    }

    /// Answers one who asks for a message that has its timestamp here. Any replica can.
    fn answer_start(&mut self, from: ProcessId, start: &Start, out: &mut Effects) -> bool {
        let id = start.message.id;
        let asker = self.cluster.group_of(from).filter(|group| *group != self.group);
        let others = id.destinations.without(self.group);
        if let Some(track) = self.tracks.get_mut(&id)
            && track.own.is_some()
        {
            match track.final_timestamp(others).filter(|_| track.turn.is_some()) {
                Some(timestamp) => self.answer(start.sender, Stamp { timestamp, id }, out),
                None => track.sender = Some(start.sender),
            }
            if let Some(group) = asker.filter(|group| others.contains(*group)) {
                let message = self.facts(group, &[id]);
                out.send_early(from, message);
            }
            return true;
        }
        if let Some(window) = self.windows.delivered(id) {
            // The newest timestamp of the session: at least that of this message.
            out.send(start.sender, Message::Done(id, window.timestamp));
            return true;
        }
        false
    }

    /// A follower knows who leads, and says so.
    fn pass_on(&self, from: ProcessId, start: Start, out: &mut Effects) {
        let epoch = self.consensus.promised();
        if epoch.leader == self.me || self.cluster.group_of(from) == Some(self.group) {
            return;
        }
        out.send_early(from, Message::Primary(epoch));
        out.send_early(epoch.leader, Message::Start(start));
    }

    /// Whether the message of the session that must come before is in the log.
    fn has_proposed(&self, id: MessageId, follows: u64) -> bool {
        let before = MessageId { sequence: follows, ..id };
        let is_in_log = |track: &Track| track.own.is_some();
        follows == 0
            || self.tracks.get(&before).is_some_and(is_in_log)
            || self.reign.as_ref().is_some_and(|reign| reign.proposed.contains_key(&before))
            || self.windows.delivered(before).is_some()
    }

    /// What the next message gets, unless the log is lost with its leader: more than the clock will show at the end of
    /// the log, decided or not.
    fn next_timestamp(&self, floor: Timestamp) -> Timestamp {
        let ahead = self.reign.as_ref().map_or(self.clock, |reign| reign.ahead);
        ahead.max(floor).next()
    }

    /// What it tells the others that the next message gets: more than what is decided, and than its guesses before.
    /// Raises of the clock that are on their way through the log do not count, as published, and make guesses wrong.
    fn guess(&mut self, floor: Timestamp) -> Timestamp {
        let reign = self.reign.as_mut().expect("whoever proposes leads");
        reign.soft = reign.soft.max(self.clock).max(floor).next();
        reign.soft
    }

    /// Step 2: a message goes into the log, and the other leaders hear what timestamp to expect.
    fn propose(&mut self, message: Multicast, follows: u64, out: &mut Effects) {
        let id = message.id;
        let guess = self.guess(message.floor);
        let others = id.destinations.without(self.group);
        let proposal = Proposal { message, follows, guess };
        let reign = self.reign.as_mut().expect("whoever proposes leads");
        reign.proposed.insert(id, guess);
        for group in others.iter() {
            reign.untold.entry(group).or_default().push(Guess { id, timestamp: guess });
        }
        reign.fresh.insert(id);
        self.append(Entry::Hard(proposal), out);
    }

    fn append(&mut self, entry: Entry, out: &mut Effects) {
        let reign = self.reign.as_mut().expect("whoever proposes leads");
        reign.ahead = entry.raise(reign.ahead);
        self.consensus.propose(entry, out);
    }

    /// Another leader has guessed.
    pub(super) fn on_soft(&mut self, from: ProcessId, guesses: Vec<Guess>) {
        let group = self.cluster.group_of(from).expect("a leader is in a group");
        if self.planted.is(Mutant::FastCastBelievesGuesses) {
            for Guess { id, timestamp } in guesses {
                self.tracks.enter(id).1.hear(Hard { group, index: 0, timestamp });
                self.line_up(id);
            }
            return;
        }
        let Some(reign) = &mut self.reign else { return };
        for Guess { id, timestamp } in guesses {
            let is_over = self.tracks.get(&id).is_some_and(|track| track.is_final || track.turn.is_some());
            // Beyond what is on the way in a sound group, guesses only cost memory.
            if is_over || self.windows.delivered(id).is_some() || reign.guesses.len() >= MAX_PENDING {
                continue;
            }
            reign.guesses.entry(id).or_default().heard.insert(group, timestamp);
            reign.fresh.insert(id);
        }
    }

    /// The end of a turn: what a leader can do now.
    pub(super) fn lead(&mut self, out: &mut Effects) {
        if !self.consensus.may_propose() {
            self.reign = None;
            self.newly_known.clear();
            return;
        }
        if self.reign.as_ref().is_none_or(|reign| reign.epoch != self.consensus.held()) {
            self.begin_reign();
        }
        self.synchronize(out);
        self.close_what_is_late(out);
        let reign = self.reign.as_mut().expect("it leads");
        for (group, guesses) in core::mem::take(&mut reign.untold) {
            let message = Message::Soft { epoch: reign.epoch, guesses };
            // A guess promises nothing.
            out.send_early(self.remotes[group].epoch.leader, message);
        }
    }

    /// What is in the log and not decided was proposed by others, perhaps, and is as good as proposed here.
    fn begin_reign(&mut self) {
        let mut reign = Reign {
            epoch: self.consensus.held(),
            ahead: self.clock,
            soft: self.clock,
            proposed: BTreeMap::new(),
            closing: BTreeSet::new(),
            guesses: BTreeMap::new(),
            fresh: BTreeSet::new(),
            untold: BTreeMap::new(),
        };
        for slot in self.consensus.log().after(self.consensus.applied(), usize::MAX) {
            reign.ahead = slot.content.raise(reign.ahead);
            match &slot.content {
                Entry::Hard(proposal) => {
                    reign.proposed.insert(proposal.message.id, reign.ahead);
                }
                Entry::Final(messages) => reign.closing.extend(messages.iter().map(|heard| heard.id)),
                Entry::Soft(..) | Entry::Clock(_) => {}
            }
        }
        self.reign = Some(reign);
        self.newly_known = self.unlogged.iter().copied().collect();
    }

    /// SYNC-SOFT: all guesses for a message are known, and the clock is raised to the highest of them while the
    /// local timestamps are still being decided.
    fn synchronize(&mut self, out: &mut Effects) {
        let reign = self.reign.as_mut().expect("it leads");
        for id in core::mem::take(&mut reign.fresh) {
            let reign = self.reign.as_mut().expect("it leads");
            let own = self.tracks.get(&id).and_then(|track| track.own.as_ref()).map(|own| own.timestamp);
            let Some(own) = own.or_else(|| reign.proposed.get(&id).copied()) else { continue };
            let Some(guesses) = reign.guesses.get(&id) else { continue };
            if guesses.heard.len() + 1 < id.destinations.len() {
                continue;
            }
            let highest = guesses.heard.values().copied().fold(own, Timestamp::max);
            reign.guesses.remove(&id);
            if highest > reign.ahead {
                self.append(Entry::Soft(id, highest), out);
            }
        }
    }

    /// SYNC-HARD: a final timestamp is known that the clock will not reach by what is in the log, which only grows.
    /// Whatever else is known goes along.
    fn close_what_is_late(&mut self, out: &mut Effects) {
        let newly_known = core::mem::take(&mut self.newly_known);
        let reign = self.reign.as_ref().expect("it leads");
        let is_late = |id: &MessageId| {
            let others = id.destinations.without(self.group);
            let timestamp = self.tracks.get(id).and_then(|track| track.final_timestamp(others));
            !reign.closing.contains(id) && timestamp.is_some_and(|timestamp| timestamp > reign.ahead)
        };
        if newly_known.iter().any(is_late) {
            self.close(out);
        }
    }

    /// What is known of final timestamps is said in the log: from there on the group has learned it for good.
    fn close(&mut self, out: &mut Effects) {
        loop {
            let reign = self.reign.as_mut().expect("it leads");
            let open = self.unlogged.iter().filter(|id| !reign.closing.contains(*id)).take(CLOSED_AT_ONCE);
            let open: Vec<MessageId> = open.copied().collect();
            if open.is_empty() {
                return;
            }
            reign.closing.extend(open.iter().copied());
            let messages = open.into_iter().map(|id| self.heard_of(id)).collect();
            self.append(Entry::Final(messages), out);
        }
    }

    /// What is known of a message that waits for nothing but the log.
    pub(super) fn heard_of(&self, id: MessageId) -> Heard {
        Heard { id, hards: self.tracks.get(&id).expect("what is not closed is known").hards.clone() }
    }

    /// What a leader does every tick: what nobody waits for, and what became too late.
    pub(super) fn tick_reign(&mut self, out: &mut Effects) {
        if !self.consensus.may_propose() || self.reign.is_none() {
            return;
        }
        self.close(out);
        self.propose_what_is_void(out);
        let reign = self.reign.as_mut().expect("it leads");
        reign.guesses.retain(|_, guesses| {
            guesses.age += 1;
            guesses.age <= GUESSES_LAST
        });
    }

    /// Messages that another group has decided about and that can only be void by now need no payload: they are
    /// proposed as soon as it is their turn.
    fn propose_what_is_void(&mut self, out: &mut Effects) {
        if self.planted.is(Mutant::FastCastRefusesAlone) {
            return;
        }
        let clock = self.clock;
        let is_late = |track: &Track| {
            track.own.is_none() && track.terms.is_some_and(|terms| terms.expiry <= clock) && self.is_shown(track)
        };
        let late: Vec<(MessageId, Terms)> =
            self.tracks.sorted_if(is_late).into_iter().filter_map(|(id, track)| Some((id, track.terms?))).collect();
        for (id, Terms { floor, expiry, follows }) in late {
            let is_proposed = self.reign.as_ref().is_some_and(|reign| reign.proposed.contains_key(&id));
            if !is_proposed && self.has_proposed(id, follows) {
                self.propose(Multicast { id, floor, expiry, payload: bytes::Bytes::new() }, follows, out);
            }
        }
    }

    /// Somebody of the group waits for the clock to pass this.
    pub(super) fn raise_to(&mut self, timestamp: Timestamp, out: &mut Effects) {
        if self.consensus.may_propose() && self.reign.as_ref().is_some_and(|reign| reign.ahead < timestamp) {
            self.append(Entry::Clock(timestamp), out);
        }
    }
}
