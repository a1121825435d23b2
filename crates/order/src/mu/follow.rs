//! How a replica that does not lead learns what is decided: it looks into its
//! own memory, which the leader writes. Nobody tells it anything.
//!
//! A slot counts when it lies below what the leader has noted there, or when a
//! later slot of the same leader says that the log is decided up to behind it:
//! a leader writes without gaps, and under one number a slot has one value.

use skein_machine::Out;

use super::lead::STRETCH;
use super::memory::{End, Stretch};
use super::process::{Event, Mu};
use super::replica::Replica;
use super::request;
use super::verb::Verb;
use crate::Mutant;

impl Replica {
    /// Reads what stands behind what it has applied.
    #[inline]
    pub(super) fn look_for_slots(&mut self, out: &mut Out<Mu>) {
        let Some(grant) = self.owner.as_ref().and_then(super::owner::Owner::grant) else { return };
        let grant = (grant.place, grant.generation);
        // What decides the first of them may stand a window behind it.
        let most = STRETCH + self.options.window as u16;
        self.ask_for_slots(Verb::Slots { grant, from: self.applied, most }, out);
    }

    /// Slots of a memory.
    #[inline]
    pub(super) fn on_slots(&mut self, memory: u8, stretch: Stretch, out: &mut Out<Mu>) {
        if self.lead.is_some() {
            return self.on_slots_to_lead(memory, stretch, out);
        }
        let grant = self.owner.as_ref().and_then(super::owner::Owner::grant);
        if memory != self.me || grant.is_none_or(|grant| grant.generation != stretch.generation) {
            return;
        }
        if stretch.from != self.applied {
            return;
        }
        self.follow(stretch, out);
    }

    fn follow(&mut self, stretch: Stretch, out: &mut Out<Mu>) {
        let missing = match stretch.end {
            End::Gone => stretch.slots.is_empty(),
            End::Empty => stretch.slots.is_empty() && stretch.from < stretch.first_undecided,
            End::Asked => false,
        };
        if missing {
            return self.fall_behind(out);
        }
        let Some(last) = stretch.slots.last() else { return };
        let (by, up_to) = (last.proposal, last.decided);
        let applies_all = self.planted.is(Mutant::MuAppliesUndecided);
        for slot in stretch.slots {
            let index = slot.index;
            let is_decided = index < stretch.first_undecided || slot.proposal == by && index < up_to;
            if !is_decided && !applies_all {
                break;
            }
            for (tag, request) in request::requests(slot.value) {
                let token = self.answer(tag);
                if self.recent.is_new(index, tag) {
                    out.emit(Event::Apply { index, request, token });
                }
            }
            if self.sound >= index {
                self.sound = self.sound.max(index + 1);
            }
            self.applied = index + 1;
            // Whatever it lacked has come after all, and nobody may be further than it is: to go on waiting for a state
            // would be for ever.
            self.fetch.catch_up();
        }
        self.tell_applied(out);
    }
}
