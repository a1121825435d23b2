//! [`Record`]: one change of one key, which carries all that is needed to
//! compare it with any other change of that key, whoever made it and whatever
//! else was lost on the way.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::dots::{Actor, Dot};

/// A key, shared between the places that name it.
pub type Key = Arc<[u8]>;

/// Longer names of things are no names; a delta of one record must fit any message.
pub const MAX_KEY: usize = 1 << 10;

/// What is larger is a file and not a fact about a fleet.
pub const MAX_VALUE: usize = 1 << 16;

/// A change, without its dot, under which it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Record {
    pub(super) key: Key,
    pub(super) content: Content,
    pub(super) past: Past,
}

/// What a change says of its key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Content {
    Value(Bytes),
    /// The values that stood here are gone.
    Removed,
}

/// The changes of the same key that one change knew of: of each actor, those up to a number. Whoever knows one change
/// of an actor to a key replaces all that this actor did to it before, so numbers of other keys in between do no harm.
/// The actor of the change itself is left out: its own earlier changes of the key are always known to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Past(Box<[(Actor, u64)]>);

impl Past {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn entries(&self) -> &[(Actor, u64)] {
        &self.0
    }

    /// Sorted entries, as they were told.
    pub(super) fn told(entries: Vec<(Actor, u64)>) -> Past {
        Past(entries.into())
    }

    /// Drops what it says of these actors.
    pub(super) fn forget(&mut self, is_one: impl Fn(Actor) -> bool) {
        if self.0.iter().any(|(actor, _)| is_one(*actor)) {
            self.0 = self.0.iter().copied().filter(|(actor, _)| !is_one(*actor)).collect();
        }
    }

    fn contains(&self, dot: Dot) -> bool {
        match self.0.binary_search_by_key(&dot.actor, |(actor, _)| *actor) {
            Ok(place) => dot.nth <= self.0[place].1,
            Err(_) => false,
        }
    }

    /// What a change by this actor knows that finds these changes in its place.
    pub(super) fn of<'a>(actor: Actor, heads: impl Iterator<Item = (Dot, &'a Record)>) -> Past {
        let mut known = Vec::new();
        for (dot, record) in heads {
            known.push((dot.actor, dot.nth));
            known.extend_from_slice(&record.past.0);
        }
        known.retain(|(other, _)| *other != actor);
        known.sort_unstable_by(|(one, low), (other, high)| one.cmp(other).then(high.cmp(low)));
        known.dedup_by_key(|(actor, _)| *actor);
        Past(known.into())
    }
}

impl Record {
    /// Whether this change, of this dot, knew the other one of the same key, and so stands in its place.
    pub(super) fn replaces(&self, own: Dot, other: Dot) -> bool {
        if own.actor == other.actor { other.nth < own.nth } else { self.past.contains(other) }
    }
}
