//! Replicas that are behind: entries that they missed, deliveries whose
//! decisions other groups will not repeat, or everything, for one that is too
//! far behind or lost its disk.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{Position, ProcessId};

use super::Effects;
use super::record::{Outcome, Record, State};
use super::replica::Replica;
use super::wire::{Message, Reign};
use crate::parts::Rebirth;

/// So many outcomes, which are small.
const OUTCOMES: usize = 4096;

/// Ticks after which a primary hands over that cannot deliver what others of its group have.
const GIVING_UP: u32 = 20;

/// Somebody who was silent for so many ticks is not helped until it speaks, and nobody waits for it.
pub(super) const GONE: u32 = 20;

/// Ticks between two snapshots for the same replica.
const BETWEEN_SNAPSHOTS: u32 = 10;

/// Ticks without progress after which the primary tells a replica what the group has delivered.
const PATIENCE: u32 = 2;

/// The same for others: the primary may be the one that lags, or cut off.
const MORE_PATIENCE: u32 = 5;

/// For how many ticks something has not moved.
fn stalled((before, ticks): (u64, u32), now: u64) -> (u64, u32) {
    if before == now { (now, ticks.saturating_add(1)) } else { (now, 0) }
}

impl Replica {
    /// Helps replicas of the group that have stood still for a while.
    pub(super) fn help_those_behind(&mut self, out: &mut Effects) {
        self.hand_over_if_stuck(out);
        for process in self.others() {
            let peer = self.peers.get_mut(&process).expect("every replica of the group is known");
            peer.pause.tick();
            peer.log_stalled = stalled(peer.log_stalled, peer.index);
            if peer.index >= self.log.last() {
                // It has stood still because there was nothing to take.
                peer.log_stalled.1 = 0;
            }
            peer.deliveries_stalled = stalled(peer.deliveries_stalled, peer.delivered);
            if self.election.silence_of(process) > GONE {
                peer.begin_anew();
                continue;
            }
            let ((index, waits), (delivered, ticks)) = (peer.log_stalled, peer.deliveries_stalled);
            let is_mine = self.election.is_primary() && peer.held == self.held;
            if is_mine && index < self.log.base() && waits > 0 && waits.is_multiple_of(BETWEEN_SNAPSHOTS) {
                self.send_snapshot(process, out);
            } else if is_mine && index < self.log.last() && waits.is_power_of_two() {
                // What takes its time must not be overtaken by its copies.
                self.resend(process, out);
            }
            // The primary first; if it cannot, whoever can.
            let patience = if self.election.is_primary() { PATIENCE } else { MORE_PATIENCE };
            // One whose log was cut off has no use for deliveries that it cannot make.
            let needs_log = is_mine && index < self.log.base();
            if !needs_log && delivered < self.written && ticks > 0 && ticks.is_multiple_of(patience) {
                if delivered >= self.first_outcome {
                    self.send_outcomes(process, delivered, out);
                } else if is_mine && ticks.is_multiple_of(BETWEEN_SNAPSHOTS) {
                    self.send_snapshot(process, out);
                }
            }
        }
    }

    /// A primary that has stood still behind its followers lacks what nobody repeats, and what they may have
    /// forgotten: whoever knows it should lead, and will tell.
    fn hand_over_if_stuck(&mut self, out: &mut Effects) {
        let mine = self.delivered();
        self.stuck = stalled(self.stuck, mine);
        let is_due = self.stuck.1 > 0 && self.stuck.1.is_multiple_of(GIVING_UP);
        let follower = self.others().filter(|process| self.peers[process].held == self.held);
        let furthest = follower.max_by_key(|process| self.peers[process].delivered);
        if let Some(heir) = furthest
            && is_due
            && self.election.is_primary()
            && self.peers[&heir].delivered > mine
        {
            out.send(heir, Message::Stand);
        }
    }

    /// Sends a follower what it lacks, from where it said that it stands.
    pub(super) fn resend(&mut self, to: ProcessId, out: &mut Effects) {
        let previous = self.peers[&to].index;
        if previous < self.log.base() {
            return self.send_snapshot(to, out);
        }
        let entries = self.batch_after(previous);
        if entries.is_empty() {
            return;
        }
        self.peers.get_mut(&to).expect("it is known").resent = Some(previous + entries.len() as u64);
        out.send_early(to, Message::Append { epoch: self.held, previous, entries });
    }

    /// It has taken all that was sent again, and there is more.
    pub(super) fn resend_more(&mut self, to: ProcessId, out: &mut Effects) {
        let last = self.log.last();
        let peer = self.peers.get_mut(&to).expect("every replica of the group is known");
        if peer.resent.is_some_and(|resent| peer.index >= resent) {
            peer.resent = None;
            if self.election.is_primary() && peer.held == self.held && peer.index < last {
                self.resend(to, out);
            }
        }
    }

    fn send_outcomes(&self, to: ProcessId, from: Position, out: &mut Effects) {
        let missing = self.outcomes.iter().skip((from - self.first_outcome) as usize);
        let outcomes: Vec<Outcome> = missing.take(OUTCOMES).cloned().collect();
        out.send(to, Message::Outcomes(from, outcomes));
    }

    pub(super) fn on_outcomes(&mut self, first: Position, outcomes: Vec<Outcome>, out: &mut Effects) {
        let is_decided = |outcome: &Outcome| self.find(outcome.id).is_some_and(|index| index <= self.decided);
        // What is not decided here may be an entry that its epoch has lost, though the message was not.
        let known = first.max(self.delivered()) - first;
        let end =
            known as usize + outcomes.iter().skip(known as usize).take_while(|outcome| is_decided(outcome)).count();
        self.take_outcomes(first, outcomes.into_iter().take(end).collect(), out);
    }

    /// What others of the group have delivered is delivered here, too: that it
    /// may be was found out once, and needs no other reason.
    pub(super) fn take_outcomes(&mut self, first: Position, outcomes: Vec<Outcome>, out: &mut Effects) {
        for (position, outcome) in (first..).zip(outcomes) {
            if position < self.delivered() {
                continue;
            }
            if position > self.delivered() || self.find(outcome.id).is_none() {
                break;
            }
            self.raise_clock(outcome.timestamp, out);
            self.deliver(outcome, out);
        }
    }

    /// Writes down what was delivered since the last time.
    pub(super) fn write_deliveries(&mut self, out: &mut Effects) {
        if self.written < self.delivered() {
            let new = self.outcomes.range((self.written - self.first_outcome) as usize..);
            self.write(|| Record::Delivered(self.written, new.cloned().collect()), out);
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
        let reign = Reign { epoch: self.held, clock: self.clock.value(), rebirths: self.election.rebirths() };
        // The clock as it is, not what it has reserved.
        let state = State { ceiling: self.clock.value(), ..self.state() };
        out.send(to, Message::Snapshot(reign, Box::new(state)));
    }

    /// Takes over everything from the primary, in one durable step.
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
            let is_newer = reign.epoch > self.held || state.last() >= self.log.last();
            if reign.epoch < self.election.promised() || !is_newer {
                return;
            }
            if state.delivered() < self.delivered() {
                // It does not know yet what this one has delivered.
                if state.delivered() >= self.first_outcome {
                    self.send_outcomes(from, state.delivered(), out);
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
        let (delivered, told) = (self.delivered(), self.told());
        let takes_user = state.position > self.position;
        let state = if takes_user { state } else { self.with_own_user(state) };
        let covered = state.early.clone();
        // The ceiling travels with the checkpoint.
        let _ = self.clock.raise(state.ceiling.max(reign.clock));
        self.load(State {
            incarnation: self.election.incarnation(),
            promised: reign.epoch,
            held: reign.epoch,
            ..state
        });
        let held = if takes_user { self.early.restart(&covered) } else { BTreeMap::new() };
        for rebirth in reign.rebirths {
            self.note_rebirth(rebirth);
        }
        self.election.hear_of(reign.epoch);
        self.is_established = self.held.is_first();
        (self.leader_clock, self.leader_ahead) = (reign.clock, None);
        self.recount_clocks();
        self.written = self.delivered();
        out.checkpoint(Record::Checkpoint(Box::new(self.state())));
        // Where messages commute, no count says whether the user holds all that is in a newer state.
        if takes_user && (self.position > delivered || self.settings.conflicts.is_some()) {
            self.hand_over_user(out);
            self.deliver_again(self.position, self.kept(), out);
        } else {
            self.deliver_again(delivered, told, out);
        }
        self.deliver_early_again(held, out);
        for (group, remote) in self.remotes.iter() {
            if !remote.owed.is_empty() {
                self.acknowledge.insert(group);
                self.certificates.owe(group);
            }
        }
    }

    /// The same, with the user's state that is kept here: it is as new.
    fn with_own_user(&self, state: State) -> State {
        State { position: self.position, user: self.user.clone(), early: self.early.covered(), ..state }
    }

    /// A replica of the group has lost its memory and wants to come back.
    pub(super) fn on_rejoin(&mut self, from: ProcessId, incarnation: u32, out: &mut Effects) {
        let is_excluded = self.election.on_rejoin(from, incarnation);
        if is_excluded && self.election.is_primary() {
            self.send_snapshot(from, out);
        }
    }
}
