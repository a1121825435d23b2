//! Messages that commute need not wait for each other (thesis 4.4.3): one whose
//! final timestamp is known is delivered before its turn when nothing that is
//! still on the way, and may come before it, conflicts with it.
//!
//! Inside, nothing changes: every message still has its turn, in the order of
//! stamps, and the log, the outcomes and what other groups are told go by that.
//! A message that was delivered early is passed over when its turn comes. Only
//! what the user holds is no prefix of the order any more, so whoever keeps the
//! user's state keeps with it which messages it holds beyond their turn.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use skein_machine::{Conflicts, Delivery, MessageId, Multicast, Position, Stamp, Timestamp, Up};

use super::Effects;
use super::replica::Replica;
use crate::Mutant;
use crate::parts::Index;

/// So many messages on the way are looked at in one step. What stands further behind waits a little longer.
const LOOKS_AHEAD: usize = 256;

/// What the user holds beyond a prefix of the order.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Early {
    /// Delivered, and not their turn yet.
    ahead: BTreeMap<MessageId, Timestamp>,
    /// What the user's newest state holds of the deliveries from `Replica::position` on.
    covered: BTreeMap<MessageId, Timestamp>,
    /// Delivered since that state, in the order in which the user heard of them.
    since: VecDeque<Stamp>,
}

/// A message on the way, with the lowest final timestamp that it can still get.
struct Waiting<'a> {
    message: &'a Multicast,
    bound: Timestamp,
}

impl Early {
    /// How many messages wait for their turn.
    pub(super) fn len(&self) -> usize {
        self.ahead.len()
    }

    /// Whether a message was delivered and waits for its turn.
    pub(super) fn contains(&self, id: MessageId) -> bool {
        self.ahead.contains_key(&id)
    }

    /// With which timestamp a message was delivered that waits for its turn.
    pub(super) fn timestamp(&self, id: MessageId) -> Option<Timestamp> {
        self.ahead.get(&id).copied()
    }

    /// Whether the user's newest state holds a message beyond the position that it covers.
    pub(super) fn covers(&self, id: MessageId) -> bool {
        self.covered.contains_key(&id)
    }

    /// The turn of a message has come. Answers when it was delivered early: with which timestamp.
    #[inline]
    pub(super) fn turn(&mut self, id: MessageId) -> Option<Timestamp> {
        if self.ahead.is_empty() { None } else { self.ahead.remove(&id) }
    }

    /// What the user's newest state holds beyond the position that it covers, by place.
    pub(super) fn covered(&self) -> Vec<Stamp> {
        let mut covered: Vec<Stamp> =
            self.covered.iter().map(|(id, timestamp)| Stamp { timestamp: *timestamp, id: *id }).collect();
        covered.sort_unstable();
        covered
    }

    /// The user has forgotten everything but this state. Answers what else it held beyond its turn.
    pub(super) fn restart(&mut self, covered: &[Stamp]) -> BTreeMap<MessageId, Timestamp> {
        self.covered = covered.iter().map(|stamp| (stamp.id, stamp.timestamp)).collect();
        self.since.clear();
        core::mem::replace(&mut self.ahead, self.covered.clone())
    }
}

impl Waiting<'_> {
    /// Whether the order of two messages matters to the user. One that is surely void has no effect, and may
    /// have lost its payload; its session is ordered all the same.
    fn conflicts(&self, other: &Waiting<'_>, conflicts: Conflicts) -> bool {
        let has_effect = |waiting: &Waiting<'_>| waiting.bound <= waiting.message.expiry;
        let is_one_session = self.message.id.session == other.message.id.session;
        is_one_session || (has_effect(self) && has_effect(other) && conflicts.between(self.message, other.message))
    }
}

impl Replica {
    /// How many messages the user holds.
    pub(super) fn told(&self) -> Position {
        self.delivered() + self.early.len() as Position
    }

    /// How many of them its newest state holds.
    pub(super) fn kept(&self) -> Position {
        self.position + self.early.covered.len() as Position
    }

    /// What a checkpoint says of that.
    pub(super) fn covered(&self) -> Vec<Stamp> {
        if self.planted.is(Mutant::PrimCastForgetsEarlyDeliveries) {
            return Vec::new();
        }
        self.early.covered()
    }

    /// The user hears of a message, which stands in the log.
    pub(super) fn tell_user(&mut self, position: Position, stamp: Stamp, index: Index, out: &mut Effects) {
        if self.settings.conflicts.is_some() {
            self.early.since.push_back(stamp);
        }
        self.closed.push(stamp.id);
        if self.settings.clock_error.is_some() {
            self.past.wait_for(stamp);
        }
        let message = self.log.get(index).expect("what the user hears of is kept").message.clone();
        out.emit_early(Up::Deliver(Delivery { position, timestamp: stamp.timestamp, message }));
    }

    /// Delivers what need not wait for its turn. What lies above the clocks has to: something may yet be
    /// proposed before it.
    pub(super) fn deliver_what_commutes(&mut self, clocks: Timestamp, out: &mut Effects) {
        let Some(conflicts) = self.settings.conflicts else { return };
        let overtakes = self.planted.is(Mutant::PrimCastOvertakesConflicts);
        let mut before: Vec<Waiting<'_>> = Vec::new();
        let mut ripe = Vec::new();
        for (place, spot) in self.queue.iter().take_while(|(place, _)| place.timestamp <= clocks).take(LOOKS_AHEAD) {
            if self.early.contains(place.id) {
                continue;
            }
            let index = self.track(place.id, spot).index.expect("what is queued is in the log");
            let message = &self.log.get(index).expect("what is on the way is kept").message;
            let waiting = Waiting { message, bound: place.timestamp };
            let is_final = self.outcome(place.id, spot).is_some();
            if is_final && !before.iter().any(|other| other.conflicts(&waiting, conflicts)) {
                ripe.push((place, spot));
            } else if !overtakes || is_final {
                before.push(waiting);
            }
        }
        for (stamp, spot) in ripe {
            self.note_early(stamp, spot, out);
            self.answer_sender(stamp, spot, out);
            self.deliver_early(stamp, out);
        }
    }

    fn deliver_early(&mut self, stamp: Stamp, out: &mut Effects) {
        let index = self.find(stamp.id).expect("what is delivered early is in the log");
        let position = self.told();
        self.early.ahead.insert(stamp.id, stamp.timestamp);
        self.tell_user(position, stamp, index, out);
    }

    /// The user was given a state that need not hold all that it had heard of: it hears of that again, and in
    /// the same order where the order matters.
    pub(super) fn deliver_early_again(&mut self, held: BTreeMap<MessageId, Timestamp>, out: &mut Effects) {
        let mut again: Vec<Stamp> = held.into_iter().map(|(id, timestamp)| Stamp { timestamp, id }).collect();
        again.sort_unstable();
        for stamp in again {
            if self.is_on_the_way(stamp.id) && !self.early.contains(stamp.id) {
                self.deliver_early(stamp, out);
            }
        }
    }

    /// The user's newest state holds everything that it had heard of before this position.
    pub(super) fn cover(&mut self, position: Position) {
        let new = (position - self.kept()) as usize;
        let new: Vec<Stamp> = self.early.since.drain(..new).collect();
        self.early.covered.extend(new.into_iter().map(|stamp| (stamp.id, stamp.timestamp)));
        let from = (self.position - self.first_outcome) as usize;
        for outcome in self.outcomes.iter().skip(from) {
            if self.early.covered.remove(&outcome.id).is_none() {
                break;
            }
            self.position += 1;
        }
    }
}
