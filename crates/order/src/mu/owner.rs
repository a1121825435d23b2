//! [`Owner`]: a replica as the owner of its memory, which grants the log to
//! whoever asks, one at a time.
//!
//! A grant is a fresh place with a copy of the log. First the old grant is
//! ended, then the log is copied, then the new grant is made known; a process
//! that dies in between has granted nothing, and its next life begins again.
//! It does not matter to whom the log is granted: a leader needs a majority of
//! grants, and they keep leaders apart, not opinions.

use alloc::vec::Vec;

use super::memory::{Asked, Grant, Survey};
use super::shape::Shape;
use super::verb::Verb;
use crate::{Mutant, Planted};

/// What a memory's owner knows of its grants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Owner {
    shape: Shape,
    planted: Planted,
    /// What was granted so far; nobody else changes it.
    survey: Survey,
    /// A grant is being made: nobody reads or grants until it is known.
    swaps: bool,
}

impl Owner {
    /// Goes on from what the memory says.
    pub(super) fn new(shape: Shape, planted: Planted, survey: Survey) -> Owner {
        Owner { shape, planted, survey, swaps: false }
    }

    /// The grant that counts, unless another is being made.
    pub(super) fn grant(&self) -> Option<Grant> {
        (!self.swaps && self.survey.current.generation > 0).then_some(self.survey.current)
    }

    /// Whether the memory has been told everything that it once knew.
    pub(super) fn is_whole(&self) -> bool {
        self.survey.is_whole || self.planted.is(Mutant::MuCountsLostMemories)
    }

    /// The memory was looked at again: it may be whole by now. Of everything else the owner knows best.
    pub(super) fn look_again(&mut self, survey: &Survey) {
        self.survey.is_whole |= survey.is_whole;
    }

    /// This grant is known now.
    pub(super) fn published(&mut self, generation: u64) {
        if self.swaps && self.survey.current.generation == generation {
            self.swaps = false;
        }
    }

    /// What to do about what is asked: of several that are new the lowest replica's is granted, for it is the one to
    /// lead if it lives, and the others are refused.
    pub(super) fn answer(&mut self, asked: &Asked) -> Vec<Verb> {
        let mut verbs = Vec::new();
        if self.swaps {
            return verbs;
        }
        let is_new = |replica: &usize| asked.requests[*replica] > self.survey.served[*replica];
        let mut new = (0..self.shape.replicas).filter(is_new).collect::<Vec<_>>().into_iter();
        let Some(chosen) = new.next() else { return verbs };
        for refused in new {
            let request = asked.requests[refused];
            self.survey.served[refused] = request;
            verbs.push(Verb::Refuse { replica: refused as u8, request });
        }
        let request = asked.requests[chosen];
        self.survey.served[chosen] = request;
        let current = self.survey.current;
        if self.survey.stands && (usize::from(current.to), current.request) == (chosen, request) {
            // The life before this one had granted it, and died before it noted that.
            verbs.push(Verb::Refuse { replica: chosen as u8, request });
            return verbs;
        }
        let place = self.free_place(asked);
        let grant = Grant { generation: current.generation + 1, place: place as u8, to: chosen as u8, request };
        let old = (current.generation > 0).then_some((current.place, current.generation));
        let revoke = old.map(|grant| Verb::Revoke { grant });
        let copy = Verb::Copy { from: old.map(|(place, _)| place), grant };
        if self.planted.is(Mutant::MuCopiesTooEarly) {
            verbs.push(copy);
            verbs.extend(revoke);
        } else {
            verbs.extend(revoke);
            verbs.push(copy);
        }
        verbs.push(Verb::Publish { grant });
        self.survey.places[place] = grant;
        self.survey.current = grant;
        self.survey.stands = true;
        self.swaps = true;
        verbs
    }

    /// A place to which nobody can still write. Each replica keeps one at most, the one that it was granted for its last
    /// request, and there is one place more than replicas.
    fn free_place(&self, asked: &Asked) -> usize {
        let current = self.survey.current;
        let places =
            || (0..self.shape.places()).filter(|place| *place != usize::from(current.place) || current.generation == 0);
        if self.planted.is(Mutant::MuReusesPlaces) {
            return places().next().expect("a memory has several places");
        }
        let grant = |place: &usize| self.survey.places[*place];
        // One that was never made known comes first, or it might be forgotten that nobody has it.
        let unknown = places().find(|place| grant(place).generation > current.generation);
        let given_up = |place: &usize| {
            let Grant { generation, to, request, .. } = grant(place);
            generation == 0 || asked.requests[usize::from(to)] > request
        };
        unknown.or_else(|| places().find(given_up)).expect("each replica keeps one place at most, and one is left")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { replicas: 3, slots: 8, value_bytes: 16, piece_bytes: 1 << 15 };

    fn asked(requests: [u64; 3]) -> Asked {
        let mut asked = Asked::default();
        asked.requests[..3].copy_from_slice(&requests);
        asked
    }

    fn granted(verbs: &[Verb]) -> Grant {
        let Some(Verb::Publish { grant }) = verbs.last() else { panic!("{verbs:?}") };
        *grant
    }

    #[test]
    fn the_lowest_of_several_is_granted_and_the_others_are_refused() {
        let mut owner = Owner::new(SHAPE, Planted::NONE, Survey::default());
        let verbs = owner.answer(&asked([0, 4, 9]));
        assert_eq!(verbs[0], Verb::Refuse { replica: 2, request: 9 });
        assert_eq!((granted(&verbs).to, granted(&verbs).request), (1, 4));
        assert_eq!((owner.grant(), owner.answer(&asked([7, 4, 9])).len()), (None, 0), "one at a time");
        owner.published(1);
        assert_eq!(owner.grant(), Some(granted(&verbs)));
        assert_eq!(owner.answer(&asked([0, 4, 9])), [], "each request is answered once");
    }

    #[test]
    fn a_place_is_free_when_whoever_had_it_has_asked_again() {
        let mut owner = Owner::new(SHAPE, Planted::NONE, Survey::default());
        let mut held = Vec::new();
        for requests in [[1, 0, 0], [1, 1, 0], [1, 1, 1]] {
            held.push(granted(&owner.answer(&asked(requests))));
            owner.published(held.len() as u64);
        }
        let again = granted(&owner.answer(&asked([2, 1, 1])));
        assert!(held[1..].iter().all(|grant| grant.place != again.place), "the other two may still write");
        owner.published(4);
        assert_eq!(granted(&owner.answer(&asked([2, 2, 1]))).place, held[1].place, "replica 1 has done with it");
        owner.published(5);
        assert_eq!(granted(&owner.answer(&asked([3, 2, 1]))).place, again.place);
    }

    #[test]
    fn a_life_that_died_while_it_granted_is_taken_up() {
        let first = Grant { generation: 1, place: 0, to: 1, request: 4 };
        let mut survey = Survey { current: first, ..Survey::default() };
        survey.places[0] = first;
        let half = Grant { generation: 2, place: 1, to: 2, request: 3 };
        survey.places[1] = half;
        let mut owner = Owner::new(SHAPE, Planted::NONE, survey);
        let verbs = owner.answer(&asked([0, 4, 3]));
        assert_eq!((granted(&verbs).to, granted(&verbs).place), (1, 1), "the place that nobody heard of");
        survey.stands = true;
        let mut owner = Owner::new(SHAPE, Planted::NONE, survey);
        let verbs = owner.answer(&asked([0, 4, 0]));
        assert_eq!(verbs, [Verb::Refuse { replica: 1, request: 4 }], "it stands, and only the note was missing");
    }
}
