//! Replicas that are behind: proposals that they missed, deliveries, or
//! everything, for one that is too far behind or lost its disk.

use alloc::boxed::Box;
use alloc::vec::Vec;

use skein_machine::{MessageId, Position, ProcessId, Up};

use super::Effects;
use super::record::{Delivered, Entry, Record, State};
use super::replica::Replica;
use super::wire::{Message, Reign};
use crate::Mutant;
use crate::parts::Rebirth;

/// So many deliveries travel in one message,
const DELIVERIES: usize = 256;

/// and so many bytes of payload, unless a single one is longer.
const DELIVERY_BYTES: usize = 1 << 20;

/// Somebody who was silent for so many ticks is not helped until it speaks.
const GONE: u32 = 20;

/// Ticks between two snapshots for the same replica.
const BETWEEN_SNAPSHOTS: u32 = 10;

/// Ticks without progress after which the leader tells a replica what the group has delivered.
const PATIENCE: u32 = 2;

/// The same for others: the leader may be the one that lags, or cut off.
const MORE_PATIENCE: u32 = 5;

/// For how many ticks something has not moved.
fn stalled((before, ticks): (Position, u32), now: Position) -> (Position, u32) {
    if before == now { (now, ticks.saturating_add(1)) } else { (now, 0) }
}

impl Replica {
    /// Helps replicas of the group that have stood still for a while. What the leader lacks, the others give it:
    /// nobody forgets a delivery that no quorum has on disk.
    pub(super) fn help_those_behind(&mut self, out: &mut Effects) {
        for process in self.others() {
            let silence = self.election.silence_of(process);
            let peer = self.peers.get_mut(&process).expect("every replica of the group is known");
            peer.pause.tick();
            peer.stalled = stalled(peer.stalled, peer.delivered);
            if silence > GONE {
                peer.begin_anew();
                continue;
            }
            let (delivered, ticks) = peer.stalled;
            if delivered >= self.written || ticks == 0 {
                continue;
            }
            let is_mine = self.election.is_primary() && peer.held == self.held;
            let patience = if self.election.is_primary() { PATIENCE } else { MORE_PATIENCE };
            if delivered < self.first_outcome {
                if is_mine && ticks.is_multiple_of(BETWEEN_SNAPSHOTS) {
                    self.send_snapshot(process, out);
                }
            } else if ticks.is_multiple_of(patience) {
                self.send_past(process, delivered, out);
            }
        }
    }

    /// Tells what was delivered from a position on, as much as one message takes.
    pub(super) fn send_past(&self, to: ProcessId, from: Position, out: &mut Effects) {
        let mut batch: Vec<Delivered> = Vec::new();
        let mut bytes = 0;
        for delivered in self.outcomes.iter().skip((from - self.first_outcome) as usize).take(DELIVERIES) {
            bytes += delivered.message.payload.len();
            if bytes > DELIVERY_BYTES && !batch.is_empty() {
                break;
            }
            batch.push(delivered.clone());
        }
        if !batch.is_empty() {
            out.send(to, Message::Past(from, batch));
        }
    }

    /// A follower holds the epoch now, or its link stands again: whatever is on the way.
    pub(super) fn show_everything(&self, to: ProcessId, out: &mut Effects) {
        let ids: Vec<MessageId> = self.stamps.iter().map(|stamp| stamp.id).collect();
        self.give(&ids, &[to], out);
    }

    /// Writes down what was delivered since the last time.
    pub(super) fn write_deliveries(&mut self, out: &mut Effects) {
        if self.written < self.delivered() {
            let new = self.outcomes.range((self.written - self.first_outcome) as usize..);
            self.write(
                || Record::Delivered(self.written, new.map(|delivered| delivered.outcome.clone()).collect()),
                out,
            );
            self.written = self.delivered();
        }
    }

    pub(super) fn send_snapshot(&mut self, to: ProcessId, out: &mut Effects) {
        let length = self.state_length();
        let peer = self.peers.get_mut(&to).expect("every replica of the group is known");
        if !peer.pause.is_over() {
            return;
        }
        peer.pause.begin(length);
        // The clock as it is, not what it has reserved.
        let state = State { ceiling: self.clock.value(), ..self.state() };
        out.send(to, Message::Snapshot(self.reign(), Box::new(state)));
    }

    /// Takes over everything from the leader, in one durable step.
    pub(super) fn on_snapshot(&mut self, from: ProcessId, reign: Reign, state: State, out: &mut Effects) {
        self.election.hear_of(reign.epoch);
        let me = Rebirth { process: self.me, incarnation: self.election.incarnation() };
        if self.election.is_amnesiac() {
            // Only an epoch that knows of this loss has excluded what was promised before it.
            if !reign.rebirths.contains(&me) {
                return;
            }
            // It remembers once this is on disk: when it hears its own next report.
            self.is_durable = false;
        } else {
            let is_behind = state.delivered() > self.delivered();
            if reign.epoch < self.election.promised() || (reign.epoch == self.held && !is_behind) {
                return;
            }
            if state.delivered() < self.delivered() {
                // It does not know yet what this one has delivered.
                if state.delivered() >= self.first_outcome {
                    self.send_past(from, state.delivered(), out);
                }
                return;
            }
        }
        self.election.follow_again();
        self.election.hear_primary();
        self.install(reign, state, out);
    }

    /// Holds a new epoch with everything that comes with it, in one durable step.
    pub(super) fn install(&mut self, reign: Reign, state: State, out: &mut Effects) {
        let delivered = self.delivered();
        let takes_user = state.position > self.position;
        let state = if takes_user { state } else { self.with_own_user(state) };
        let is_held = self.held == reign.epoch;
        // The ceiling travels with the checkpoint.
        let _ = self.clock.raise(state.ceiling.max(reign.clock));
        let (mut accepted, forgotten) = (state.accepted.clone(), state.forgotten);
        if is_held && !self.planted.is(Mutant::WhiteBoxForgetsItsVotes) {
            // What this replica has acknowledged in this epoch binds it, though its leader may not have accepted it.
            let is_new = |own: &Entry| accepted.iter().all(|entry| entry.message.id != own.message.id);
            let own: Vec<Entry> = self.accepted().into_iter().filter(is_new).collect();
            accepted.extend(own);
        }
        self.load(state);
        let was_established = self.is_established && is_held;
        self.switch_to(reign, accepted, forgotten);
        self.is_established = was_established || self.held.is_first();
        self.written = self.delivered();
        out.checkpoint(Record::Checkpoint(Box::new(self.state())));
        if takes_user && self.position > delivered {
            out.emit(Up::Install { position: self.position, bytes: self.user.clone() });
            self.deliver_again(self.position, out);
        } else {
            self.deliver_again(delivered, out);
        }
    }

    /// The same, with the user's state that is kept here, and what this replica has delivered since: it is as new.
    fn with_own_user(&self, state: State) -> State {
        let missing = state.first_outcome.saturating_sub(self.first_outcome) as usize;
        let mut outcomes: Vec<Delivered> = self.outcomes.iter().take(missing).cloned().collect();
        let first_outcome = state.first_outcome - outcomes.len() as Position;
        outcomes.extend(state.outcomes);
        State { position: self.position, user: self.user.clone(), first_outcome, outcomes, ..state }
    }

    /// Tells the user once more what it may have lost.
    pub(super) fn deliver_again(&mut self, from: Position, out: &mut Effects) {
        let lost = self.outcomes.iter().skip((from - self.first_outcome) as usize);
        let lost: Vec<Delivered> = lost.cloned().collect();
        for (position, Delivered { outcome, message }) in (from..).zip(lost) {
            self.tell_user(position, outcome.timestamp, message, out);
        }
    }

    /// A replica of the group has lost its memory and wants to come back.
    pub(super) fn on_rejoin(&mut self, from: ProcessId, incarnation: u32, out: &mut Effects) {
        let is_excluded = self.election.on_rejoin(from, incarnation);
        if is_excluded && self.election.is_primary() && self.held == self.election.promised() {
            self.send_snapshot(from, out);
        }
    }
}
