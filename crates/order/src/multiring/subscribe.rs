//! Rings that are joined while the processes run.
//!
//! Such a ring has its places among the timestamps from the start, and its
//! acceptors too; but it sleeps: it carries no message, and no learner waits for
//! it. A group joins it by two entries. In the ring of the group stands SUBSCRIBE:
//! from that place on its learners wait for what the other ring has, each of them
//! from the same place, since all of them take that entry. Then in the other ring
//! stands JOINED, above that place. When all groups of a ring have joined it, it
//! is awake: what its coordinator proposes stands above all these places, so no
//! learner can have passed it without listening.
//!
//! Nobody has to ask for it. A group joins when it has seen enough messages that
//! the ring could have carried, and when another group has joined. What is counted
//! is not kept: that a group joins is agreed on, when it occurs to somebody is not.

use alloc::collections::BTreeMap;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use skein_machine::{GroupSet, ProcessId, Timestamp};

use super::Effects;
use super::entry::What;
use super::replica::Replica;
use super::ring::Ring;
use super::wire::{Message, Number};

/// What a process knows of rings that sleep.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Wishes {
    /// Messages that went around a larger ring, and could have gone around this one.
    seen: BTreeMap<Number, u64>,
    /// Rings of others that are awake by now.
    heard_of: BTreeSet<Number>,
}

impl Replica {
    /// A message was taken.
    pub(super) fn note_wish(&mut self, destinations: GroupSet) {
        if self.description.patience() == 0 {
            return;
        }
        let Some(best) = self.description.for_message(destinations).next() else { return };
        let sleeps = |ring: &Ring| usize::from(ring.number) == best && !ring.is_awake();
        if self.description.sleeps(best) && self.rings.iter().any(sleeps) {
            *self.wishes.seen.entry(best as Number).or_default() += 1;
        }
    }

    /// Somebody of a ring that slept says that it is awake.
    pub(super) fn hear_of_a_ring(&mut self, number: Number) {
        if self.description.sleeps(usize::from(number)) {
            self.wishes.heard_of.insert(number);
        }
    }

    /// Whether any learner waits for a ring, as far as is known here. Whoever waits and is not known asks by itself.
    pub(super) fn is_listened_to(&self, number: Number) -> bool {
        let is_here = |ring: &Ring| ring.number == number && (self.learner.hears(ring) || !ring.joined().is_empty());
        !self.description.sleeps(usize::from(number))
            || self.wishes.heard_of.contains(&number)
            || self.rings.iter().any(is_here)
    }

    /// Rings that slept and are awake, of those that it is in.
    pub(super) fn woken(&self) -> Vec<Number> {
        let woken = self.rings.iter().filter(|ring| ring.sleeps() && ring.is_awake());
        woken.map(|ring| ring.number).collect()
    }

    /// Every tick: whoever coordinates the ring of its group takes the next step into a ring that sleeps, if the group
    /// has taken the one before. Whoever comes after it goes on from there.
    pub(super) fn pursue_subscriptions(&mut self, out: &mut Effects) {
        self.learner.subscribe_late();
        if !self.rings[0].coordinates() {
            return;
        }
        for nth in 0..self.rings.len() {
            let ring = &self.rings[nth];
            let number = ring.number;
            if !ring.sleeps() || ring.joined().contains(self.group) {
                continue;
            }
            if let Some(since) = self.learner.subscribed(number) {
                // It is decided, so nobody has to wait for this process's disk.
                out.send_early(ring.consensus.promised().leader, Message::Join(number, since));
                continue;
            }
            let seen = self.wishes.seen.get(&number).copied().unwrap_or_default();
            if seen >= self.description.patience() || !ring.joined().is_empty() {
                self.rings[0].settle(What::Subscribe(number), Timestamp::ZERO, out);
            }
        }
    }

    /// The learners of a group listen to a ring from a place on.
    pub(super) fn on_join(&mut self, from: ProcessId, number: Number, since: Timestamp, out: &mut Effects) {
        let group = self.cluster.group_of(from).expect("it is in a ring");
        let ring = self.ring(number);
        if ring.coordinates() && !ring.joined().contains(group) {
            ring.settle(What::Joined(group), since, out);
        }
    }

    /// Whoever coordinates a ring that is awake and slept says so to everybody who cannot see it.
    pub(super) fn tell_who_is_awake(&mut self, out: &mut Effects) {
        for number in self.woken() {
            let ring = self.ring(number);
            if !ring.coordinates() {
                continue;
            }
            let told = Message::Primary(number, ring.consensus.held());
            let members = ring.members.clone();
            let others: Vec<ProcessId> =
                self.cluster.processes().filter(|process| !members.contains(process)).collect();
            out.send_early_to_all(others, told);
        }
    }
}
