//! [`Learner`]: what a process makes of the rings that it listens to. It takes
//! their rounds in order, and of each what each ring has in it; drops what it
//! has taken before, and what concerns other groups; and delivers the rest.
//!
//! It follows from the rings alone, so every learner of a group delivers the
//! same, and a state of one of them will do for any other.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{Delivery, GroupId, MessageId, Position, ProcessId, Timestamp, Up};

use super::Effects;
use super::entry::{Delivered, Proposal, State};
use super::ring::Ring;
use crate::parts::{Stream, Windows};
use crate::{Mutant, Planted};

/// One learner.
#[derive(Clone, Debug, Hash)]
pub(super) struct Learner {
    group: GroupId,
    planted: Planted,
    /// Takes one instance too many from each ring: a bug to plant.
    is_greedy: bool,
    /// Everything up to here was taken.
    pub(super) merged: Timestamp,
    /// Which messages of each session were taken.
    pub(super) windows: Windows,
    /// The first delivery that is not in the user's newest state,
    pub(super) position: Position,
    /// that state,
    pub(super) user: Bytes,
    /// and the deliveries since.
    since: VecDeque<Delivered>,
    /// How many deliveries the user knows of.
    pub(super) told: Position,
    /// Deliveries since the last checkpoint,
    pub(super) fresh: usize,
    /// and the bytes of their payloads.
    pub(super) fresh_bytes: usize,
}

/// A message that was taken for the first time.
pub(super) struct Taken {
    pub(super) id: MessageId,
    pub(super) timestamp: Timestamp,
    pub(super) sender: ProcessId,
}

impl Learner {
    pub(super) fn new(me: ProcessId, group: GroupId, planted: Planted) -> Learner {
        Learner {
            group,
            planted,
            is_greedy: planted.is(Mutant::MultiRingTakesOneTooMany) && me.0.is_multiple_of(2),
            merged: Timestamp::ZERO,
            windows: Windows::new(),
            position: 0,
            user: Bytes::new(),
            since: VecDeque::new(),
            told: 0,
            fresh: 0,
            fresh_bytes: 0,
        }
    }

    /// How many messages were delivered.
    pub(super) fn delivered(&self) -> Position {
        self.position + self.since.len() as Position
    }

    /// Whether the rings have trimmed what it has not taken.
    pub(super) fn is_behind(&self, rings: &[Ring]) -> bool {
        self.lacks(rings) > self.merged
    }

    /// Up to where it must have everything before it can go on from the rings.
    pub(super) fn lacks(&self, rings: &[Ring]) -> Timestamp {
        rings.iter().map(Ring::begins).max().unwrap_or(Timestamp::ZERO)
    }

    /// Takes whatever is known by now, in order, as long as nothing can come before it.
    pub(super) fn take(&mut self, rings: &mut [Ring], out: &mut Effects) -> Vec<Taken> {
        let mut taken = Vec::new();
        if self.is_behind(rings) {
            return taken;
        }
        rings.iter_mut().for_each(|ring| ring.drop_up_to(self.merged));
        loop {
            let place = |ring: &Ring| {
                let (instance, is_here) = ring.next();
                let place = match self.is_greedy {
                    true => ring.timestamp_taken_wrongly(instance),
                    false => ring.timestamp(instance),
                };
                (place, is_here)
            };
            let first = rings.iter_mut().min_by_key(|ring| place(ring).0).expect("a group has a ring of its own");
            let (timestamp, is_here) = (first.timestamp(first.next().0), place(first).1);
            if !is_here {
                self.merged = self.merged.max(Timestamp(timestamp.0 - 1));
                return taken;
            }
            let is_later = timestamp > self.merged || self.planted != Planted::NONE;
            assert!(is_later, "{timestamp} is taken after {}", self.merged);
            self.merged = self.merged.max(timestamp);
            let entry = first.take_first().expect("it is here");
            if let Some(Proposal { message, sender }) = entry.proposal {
                let id = message.id;
                if self.windows.delivered(id).is_some() {
                    // It was lost on the way, or so it seemed, and proposed again.
                    continue;
                }
                self.windows.note(id, timestamp, message.expiry, &[]);
                if self.planted.is(Mutant::MultiRingForgetsWindows) && timestamp.0.is_multiple_of(3) {
                    self.windows.forget_wrongly(Stream::of(id));
                }
                if id.destinations.contains(self.group) {
                    self.fresh += 1;
                    self.fresh_bytes += message.payload.len();
                    self.deliver(Delivered { timestamp, message }, out);
                }
                taken.push(Taken { id, timestamp, sender });
            } else {
                self.fresh += 1;
            }
        }
    }

    fn deliver(&mut self, delivered: Delivered, out: &mut Effects) {
        self.tell(self.delivered(), &delivered, out);
        self.since.push_back(delivered);
    }

    /// The user hears of a delivery, unless it knows of it.
    fn tell(&mut self, position: Position, delivered: &Delivered, out: &mut Effects) {
        if position >= self.told {
            self.told = position + 1;
            let Delivered { timestamp, message } = delivered.clone();
            out.emit(Up::Deliver(Delivery { position, timestamp, message }));
        }
    }

    /// Begins to live: the user gets its state back, and what was delivered since.
    pub(super) fn start(&mut self, out: &mut Effects) {
        self.told = self.position;
        if self.position > 0 {
            out.emit(Up::Install { position: self.position, bytes: self.user.clone() });
        }
        self.tell_what_is_new(out);
    }

    fn tell_what_is_new(&mut self, out: &mut Effects) {
        for (position, delivered) in (self.position..).zip(self.since.clone()) {
            self.tell(position, &delivered, out);
        }
    }

    /// Everything that follows from the rings so far.
    pub(super) fn state(&self) -> State {
        State {
            merged: self.merged,
            position: self.position,
            user: self.user.clone(),
            since: self.since.iter().cloned().collect(),
            windows: self.windows.clone(),
        }
    }

    /// Takes back what was written down.
    pub(super) fn load(&mut self, state: State) {
        let State { merged, position, user, since, windows } = state;
        (self.merged, self.position, self.user, self.windows) = (merged, position, user, windows);
        self.since = since.into();
    }

    /// Takes over what another learner of the group has, who is further on.
    pub(super) fn take_over(&mut self, mut state: State, out: &mut Effects) {
        let own = (state.position < self.position).then(|| (self.position, self.user.clone()));
        let news = (state.position > self.told).then_some(state.position);
        if let Some((position, user)) = own {
            // The own user's state is the newer one.
            state.since.drain(..(position - state.position) as usize);
            (state.position, state.user) = (position, user);
        }
        self.load(state);
        if let Some(position) = news {
            self.told = position;
            out.emit(Up::Install { position, bytes: self.user.clone() });
        }
        assert!(self.delivered() >= self.told, "somebody who is further on has delivered less");
        self.tell_what_is_new(out);
    }

    /// The user's state covers every delivery before this position.
    pub(super) fn cover(&mut self, position: Position, user: Bytes) {
        self.since.drain(..(position - self.position) as usize);
        (self.position, self.user) = (position, user);
        (self.fresh, self.fresh_bytes) = (0, 0);
    }

    /// Forgets sessions. What comes later stands above everything that was taken, here and in the rings: whatever expired
    /// there is never proposed again.
    pub(super) fn forget(&mut self, safe: Timestamp) {
        self.windows.forget(self.merged.min(safe), |_| false, |_| true);
    }

    pub(super) fn check(&self) {
        assert!(self.position <= self.told, "the user's state covers what it was not told");
        let stamps = self.since.iter().map(|delivered| delivered.timestamp);
        assert!(self.planted != Planted::NONE || stamps.is_sorted(), "deliveries are out of order");
    }
}
