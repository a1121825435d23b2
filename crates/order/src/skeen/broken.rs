//! Skeen's protocol with a rule broken, where that takes more than a word: the
//! bugs that the judges must catch. Nothing here runs unless a bug is planted.

use skein_machine::{Multicast, Out, ProcessId, Stamp};

use super::{Message, Skeen};
use crate::Mutant;

impl Skeen {
    /// Sends START to the wrong processes. Answers whether it did.
    pub(super) fn starts_wrongly(&self, message: &Multicast, out: &mut Out<Skeen>) -> bool {
        let start = || Message::Start(message.clone());
        if self.planted.is(Mutant::SkeenTellsEverybody) {
            out.send_all(self.cluster.processes(), start());
            return true;
        }
        if self.planted.is(Mutant::SkeenRelaysTheStart) {
            out.send_all(self.cluster.replicas(message.id.destinations).take(1), start());
            return true;
        }
        false
    }

    /// The other end of the same: bystanders look away, and the first
    /// destination passes START on. Answers whether that was all.
    pub(super) fn takes_a_start_wrongly(&self, from: ProcessId, message: &Multicast, out: &mut Out<Skeen>) -> bool {
        let mut destinations = self.cluster.replicas(message.id.destinations);
        if self.planted.is(Mutant::SkeenRelaysTheStart) && destinations.next() == Some(self.me) && from != self.me {
            out.send_all(destinations, Message::Start(message.clone()));
            return false;
        }
        self.planted.is(Mutant::SkeenTellsEverybody)
            && !self.cluster.group_of(self.me).is_some_and(|group| message.id.destinations.contains(group))
    }

    /// Whether the next delivery is chosen by a broken rule.
    pub(super) fn chooses_wrongly(&self) -> bool {
        let breaks_ties = self.planted.is(Mutant::SkeenBreaksTiesAlone) && self.me.0 % 2 == 1;
        breaks_ties || self.planted.is(Mutant::SkeenSkipsTheWait)
    }

    /// The first that is decided, whatever stands before it; or of those with
    /// the lowest timestamp the one with the highest id.
    pub(super) fn wrong_choice(&self) -> Option<&Stamp> {
        if self.planted.is(Mutant::SkeenSkipsTheWait) {
            return self.queue.iter().find(|place| self.is_decided(place));
        }
        let first = self.queue.first()?;
        self.queue.iter().take_while(|place| place.timestamp == first.timestamp).last()
    }

    /// Delivers twice, or now and then not at all. Answers whether it did.
    pub(super) fn delivers_wrongly(&mut self, place: Stamp, message: &Multicast, out: &mut Out<Skeen>) -> bool {
        if self.planted.is(Mutant::SkeenDeliversTwice) {
            self.deliver(place, message.clone(), out);
            self.deliver(place, message.clone(), out);
            return true;
        }
        let is_unlucky = (place.timestamp.0 + u64::from(self.me.0)).is_multiple_of(16);
        self.planted.is(Mutant::SkeenLosesADecision) && is_unlucky
    }
}
