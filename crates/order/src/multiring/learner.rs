//! [`Learner`]: what a process makes of the rings that it listens to. It takes
//! their rounds in order, and of each what each ring has in it; drops what it
//! has taken before, and what concerns other groups; and delivers the rest.
//!
//! It follows from the rings alone, so every learner of a group delivers the
//! same, and a state of one of them will do for any other. Also from which place
//! on it listens to a ring that slept: its group's own ring says so.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::{Delivery, GroupId, MessageId, Position, ProcessId, Timestamp, Up};

use super::Effects;
use super::entry::{Delivered, Proposal, State, Subscription, What};
use super::ring::Ring;
use super::wire::Number;
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
    /// The rings that slept and that it listens to by now.
    subscriptions: Vec<Subscription>,
    /// It will listen to these when it gets round to it: a bug to plant.
    postponed: Vec<Number>,
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
            subscriptions: Vec::new(),
            postponed: Vec::new(),
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

    /// From where on it listens to a ring that slept.
    pub(super) fn subscribed(&self, ring: Number) -> Option<Timestamp> {
        self.subscriptions.iter().find(|subscription| subscription.ring == ring).map(|subscription| subscription.since)
    }

    /// Whether what stands in a ring is for it, or may be.
    pub(super) fn hears(&self, ring: &Ring) -> bool {
        !ring.sleeps() || self.subscribed(ring.number).is_some()
    }

    /// What a ring has up to here was taken, or is none of its business: there is no message then.
    fn pass(&self, ring: &mut Ring) {
        let was_message = ring.drop_up_to(self.merged);
        let is_well = !was_message || self.hears(ring) || self.planted != Planted::NONE;
        assert!(is_well, "ring {} carried a message before {} has joined it", ring.number, self.group);
    }

    /// From here on it listens to this ring, too.
    fn subscribe(&mut self, ring: Number, since: Timestamp) {
        if self.subscribed(ring).is_none() {
            self.subscriptions.push(Subscription { ring, since });
        }
    }

    /// Begins to listen to what it should have listened to before: a bug to plant.
    pub(super) fn subscribe_late(&mut self) {
        for ring in core::mem::take(&mut self.postponed) {
            self.subscribe(ring, self.merged);
        }
    }

    /// Takes whatever is known by now, in order, as long as nothing can come before it.
    pub(super) fn take(&mut self, rings: &mut [Ring], out: &mut Effects) -> Vec<Taken> {
        let mut taken = Vec::new();
        if self.is_behind(rings) {
            return taken;
        }
        rings.iter_mut().for_each(|ring| self.pass(ring));
        loop {
            let place = |ring: &Ring| {
                let (instance, is_here) = ring.next();
                let place = match self.is_greedy {
                    true => ring.timestamp_taken_wrongly(instance),
                    false => ring.timestamp(instance),
                };
                (place, is_here)
            };
            let heard = rings.iter_mut().filter(|ring| self.hears(ring));
            let first = heard.min_by_key(|ring| place(ring).0).expect("a group has a ring of its own");
            let (timestamp, is_here) = (first.timestamp(first.next().0), place(first).1);
            if !is_here {
                self.merged = self.merged.max(Timestamp(timestamp.0 - 1));
                return taken;
            }
            let is_later = timestamp > self.merged || self.planted != Planted::NONE;
            assert!(is_later, "{timestamp} is taken after {}", self.merged);
            self.merged = self.merged.max(timestamp);
            let entry = first.take_first().expect("it is here");
            let Proposal { message, sender } = match entry.what {
                What::Message(proposal) => proposal,
                What::Skip | What::Joined(_) => {
                    self.fresh += 1;
                    continue;
                }
                What::Subscribe(number) => {
                    self.fresh += 1;
                    if self.planted.is(Mutant::MultiRingSubscribesAtLeisure) {
                        self.postponed.push(number);
                        continue;
                    }
                    let ring = rings.iter_mut().find(|ring| ring.number == number && ring.sleeps());
                    self.pass(ring.expect("a group subscribes to a ring that serves it and sleeps"));
                    self.subscribe(number, timestamp);
                    continue;
                }
            };
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
            subscriptions: self.subscriptions.clone(),
        }
    }

    /// Takes back what was written down.
    pub(super) fn load(&mut self, state: State) {
        let State { merged, position, user, since, windows, subscriptions } = state;
        (self.merged, self.position, self.user, self.windows) = (merged, position, user, windows);
        self.subscriptions = subscriptions;
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
