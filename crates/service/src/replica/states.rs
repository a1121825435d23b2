//! States: how a replica becomes what a checkpoint says, be it its own or that of
//! another, and how it writes down what it is.

use skein_machine::{Down, Ordering, Service};

use super::Replica;
use super::record::State;
use super::snapshot::{self, Head, Snapshot};

/// Of a checkpoint so much is written in every turn, besides
const PIECE: usize = 32 << 10;

/// so many times what was applied meanwhile: the log must not outgrow what replaces it.
const PACE: usize = 4;

impl<M: Ordering, S: Service> Replica<M, S> {
    /// A state from the own disk, or one that the order had to take from others.
    pub(super) fn install(&mut self, state: State) {
        self.told_position = state.position;
        if state.position > self.position {
            self.load(&state);
            (self.latest, self.latest_applied) = (Some(state), self.applied);
        }
    }

    /// A state that others have, and the order here has not.
    pub(super) fn take_over(&mut self, state: State) {
        self.load(&state);
        (self.latest, self.latest_applied) = (Some(state.clone()), self.applied);
        self.ahead = Some(state);
    }

    /// Becomes what a state says.
    pub(super) fn load(&mut self, state: &State) {
        let passed = (state.position - self.position) as usize;
        self.position = state.position;
        self.line.skip(passed);
        // What was being written is of no use any more, and the order still waits for a checkpoint: it does not ask
        // twice.
        self.wants_checkpoint |= self.snapshot.take().is_some();
        self.blocked = (0, 0);
        if state.bytes.is_empty() {
            return; // nobody has handed in anything before that
        }
        let (head, rest) = snapshot::open(state.bytes.clone()).unwrap_or_else(|why| panic!("a checkpoint: {why}"));
        let Head { applied, settled, sessions, told } = head;
        (self.applied, self.sessions) = (applied, sessions);
        self.settled.merge(settled);
        self.exchange.restore_told(told);
        self.service.restore(rest).unwrap_or_else(|why| panic!("a checkpoint: {why}"));
    }

    /// Writes the next piece of a checkpoint; the whole of it when it is ready.
    pub(super) fn write_checkpoint(&mut self) -> Option<Down> {
        let about = PIECE + PACE * core::mem::take(&mut self.applied_bytes);
        // Not in the middle of a parcel, and not ahead of the order, which would not know what it means.
        if self.snapshot.is_none() {
            if !self.wants_checkpoint || self.line.is_in_the_middle() || self.position > self.told_position {
                return None;
            }
            self.wants_checkpoint = false;
            let told = self.exchange.all_told();
            let (settled, sessions) = (self.settled.clone(), self.sessions.clone());
            let head = Head { applied: self.applied, settled, sessions, told };
            self.snapshot = Some(Snapshot::begin(self.position, &head, self.service.snapshot()));
        }
        let snapshot = self.snapshot.as_mut().expect("it was begun");
        let bytes = snapshot.go_on(about)?;
        let (position, applied) = (snapshot.position, snapshot.applied);
        self.snapshot = None;
        if let Some(applied) = applied {
            self.exchange.forget_heard(applied);
        }
        self.ahead = self.ahead.take().filter(|ahead| ahead.position > position);
        (self.latest, self.latest_applied) = (Some(State { position, bytes: bytes.clone() }), applied);
        Some(Down::Checkpointed { position, bytes })
    }
}
