//! [`Seen`]: the dots that a map has heard of, and sums over them by which two
//! maps find out where they differ. The sums are kept while dots come in: to
//! walk over what thousands of members did takes longer than all the rest of a
//! comparison.

use core::ops::Deref;

use alloc::boxed::Box;
use alloc::vec;
use xxhash_rust::xxh3::xxh3_64;

use crate::MemberId;
use crate::dots::{Actor, Dot, Dots, Span};

/// Members are sorted by the highest bits of their ids into so many drawers, as a power of two: a sum for each fits a
/// datagram.
pub const DRAWER_BITS: u32 = 7;

/// Dots, and a sum for each drawer.
#[derive(Clone)]
pub(super) struct Seen {
    dots: Dots,
    /// Of hashes: it does not matter who comes first.
    sums: Box<[u64]>,
}

/// Where a member is sorted in among so many drawers, as a power of two.
fn drawer(member: MemberId, bits: u32) -> usize {
    member.0.checked_shr(u64::BITS - bits).unwrap_or(0) as usize
}

impl Seen {
    pub(super) fn new() -> Seen {
        Seen { dots: Dots::new(), sums: vec![0; 1 << DRAWER_BITS].into() }
    }

    pub(super) fn sums(&self) -> &[u64] {
        &self.sums
    }

    pub(super) fn insert(&mut self, dot: Dot) {
        self.insert_span(dot.actor, Span { first: dot.nth, last: dot.nth });
    }

    pub(super) fn insert_span(&mut self, actor: Actor, span: Span) {
        if !self.dots.contains_span(actor, span) {
            self.change(actor, |dots| dots.insert_span(actor, span));
        }
    }

    pub(super) fn forget(&mut self, actor: Actor) {
        self.change(actor, |dots| dots.forget(actor));
    }

    fn change(&mut self, actor: Actor, change: impl FnOnce(&mut Dots)) {
        let before = sum(actor, self.dots.spans_of(actor));
        change(&mut self.dots);
        let after = sum(actor, self.dots.spans_of(actor));
        let sum = &mut self.sums[drawer(actor.member, DRAWER_BITS)];
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    }

    /// Panics unless the sums are those of the dots.
    pub(super) fn check(&self) {
        let mut sums = vec![0u64; 1 << DRAWER_BITS];
        for actor in self.dots.actors() {
            let own = &mut sums[drawer(actor.member, DRAWER_BITS)];
            *own = own.wrapping_add(sum(actor, self.dots.spans_of(actor)));
        }
        assert!(*sums == *self.sums, "the sums over what was seen are not those of what was seen");
    }
}

/// Of what one actor did.
fn sum(actor: Actor, spans: &[Span]) -> u64 {
    let hash = |span: &Span| {
        let words = [actor.member.0, actor.life, span.first, span.last];
        xxh3_64(words.map(u64::to_le_bytes).as_flattened())
    };
    spans.iter().map(hash).fold(0, u64::wrapping_add)
}

impl Deref for Seen {
    type Target = Dots;

    fn deref(&self) -> &Dots {
        &self.dots
    }
}
