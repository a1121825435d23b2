//! [`Map`]: a map of which every member has a copy, changes it alone, and which
//! becomes the same everywhere whatever the order in which changes get about.
//!
//! Every change of a key is a record with a name of its own ([`Dot`]) that says
//! which other changes of the key it knew. Those it replaces; two of which
//! neither knew the other are both kept. So a map is for each key the set of
//! changes that no other replaces, two maps are merged by putting these sets
//! together, and neither order nor repetition matters. Which of several values
//! is *shown* follows from the names of their writers alone: no clock is asked,
//! and no list of members, for these differ from place to place.
//!
//! To tell another what it lacks takes one question: the [`Dots`] that it has
//! seen. A removal is a change like any other, and is remembered until
//! everybody has it ([`Cut`]).
//!
//! Nothing here knows who the members are, or sends anything.

mod cut;
mod delta;
mod forgetting;
mod record;
mod room;
mod seen;
#[cfg(test)]
mod tests;
pub mod views;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Bound;

use bytes::Bytes;
use smallvec::SmallVec;
use xxhash_rust::xxh3::xxh3_64;

pub use cut::{Cut, CutId, Report};
pub use delta::Delta;
pub use record::{Key, MAX_KEY, MAX_VALUE};
pub(crate) use room::MEMBERS;
pub use room::{MAX_FINDINGS, MAX_KEYS, MAX_LINES, RESERVED};
pub use seen::DRAWER_BITS;

use crate::dots::{Actor, Dot, Dots};
use crate::owners::pull;
use crate::{Mutant, Planted};
use delta::{DeltaId, Part, Parts};
use record::{Content, Past, Record};
use room::Room;
use seen::Seen;

/// One member's copy of the map.
#[derive(Clone)]
pub struct Map {
    /// Who changes it here.
    actor: Actor,
    /// Every change that was heard of, but those in the lives that the cut names as over.
    seen: Seen,
    /// What everybody has.
    cut: Cut,
    /// Every change that nothing replaces.
    records: BTreeMap<Dot, Record>,
    /// Where the changes of a key are; no key without one.
    keys: BTreeMap<Key, Heads>,
    /// How many those are.
    room: Room,
    /// Changes that say that something is gone.
    removals: usize,
    /// Keys that have a value.
    held: usize,
    /// Counts changes that came in, here or from others; and the newest of them.
    arrivals: u64,
    arrived: VecDeque<Dot>,
    /// Deltas told, to give each a name.
    told: u64,
    /// Deltas of which parts are missing, the newest last.
    open: Vec<Open>,
    idle: Idle,
    planted: Planted,
}

/// What was so when the cut was adopted.
#[derive(Clone, Default)]
struct Idle {
    /// Of these actors everybody has all, and nothing of theirs stood here.
    actors: BTreeSet<Actor>,
    /// What was seen, beyond the cut. What replaced theirs is among it, or is forgotten.
    seen: Dots,
}

/// A delta of which not all parts are here yet.
#[derive(Clone)]
struct Open {
    of: DeltaId,
    /// What the parts that are here speak for.
    covers: Dots,
    /// Which parts those are.
    places: BTreeSet<u32>,
}

/// Changes of which it is known when they came in. Between a comparison and the question that follows there are far
/// fewer, and who asks later compares again.
const MAX_ARRIVED: usize = 1 << 12;

/// From so many others answers may be under way at once. What is left over is asked for again.
const MAX_OPEN: usize = 16;

/// Changes of one key of which none replaces another, sorted. Almost always one.
type Heads = SmallVec<[Dot; 1]>;

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum Refused {
    Key { length: usize },
    Value { length: usize },
    Full,
    Name,
}

/// Why a delta is not merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unmerged {
    /// Its sender has forgotten more than this map, or less: cuts come first.
    OtherCut,
    /// This map would grow beyond its bounds.
    TooMuch,
    /// It knows more of what this one did in its life than this one: somebody else has the same name and life.
    Impostor,
}

/// What a delta brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merged {
    /// Of these keys another value is shown now.
    pub changed: Vec<Key>,
    /// These changes were not heard of before.
    pub new: Dots,
    /// It was the last part of a whole: nothing that its sender had is missing here.
    pub is_whole: bool,
}

/// What became of a cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Adopted {
    /// Nothing is new.
    Known,
    /// What everybody has is forgotten. Nothing that is shown has changed.
    Yes,
    /// It cannot be adopted here, and whoever told it is of the smaller side: that one must begin anew, and be told so,
    /// for it may know no reason itself.
    TheyAreOutdated,
    /// This map lacks something that others have forgotten: it must [begin anew](Map::begin_anew).
    Outdated,
}

impl Map {
    /// An empty map that this actor changes.
    pub fn new(actor: Actor) -> Map {
        Map::with_planted(actor, Planted::NONE)
    }

    /// The same with one of its rules broken.
    pub fn with_planted(actor: Actor, planted: Planted) -> Map {
        Map {
            actor,
            seen: Seen::new(),
            cut: Cut::none(),
            records: BTreeMap::new(),
            keys: BTreeMap::new(),
            room: Room::default(),
            removals: 0,
            held: 0,
            // No two lives count from the same number, so what was asked of one is not answered by another.
            arrivals: xxh3_64(&actor.life.to_le_bytes()) >> 1,
            arrived: VecDeque::new(),
            told: 0,
            open: Vec::new(),
            idle: Idle::default(),
            planted,
        }
    }

    /// Whose changes are made here.
    pub fn actor(&self) -> Actor {
        self.actor
    }

    /// What was heard of, but for the lives that are over.
    pub fn seen(&self) -> &Dots {
        &self.seen
    }

    /// A sum over what was seen of the members of each drawer: where two maps have seen the same it is the same.
    pub fn sums(&self) -> &[u64] {
        self.seen.sums()
    }

    /// What everybody has.
    pub fn cut(&self) -> &Cut {
        &self.cut
    }

    /// How many keys have a value.
    pub fn len(&self) -> usize {
        self.held
    }

    /// Whether no key has a value.
    pub fn is_empty(&self) -> bool {
        self.held == 0
    }

    /// Changes that are kept, removals among them.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    /// What the changes that are kept would take, each alone, with its dot.
    pub fn encoded_len(&self) -> usize {
        self.records.values().map(delta::size_alone).sum()
    }

    /// Removals that not everybody has yet.
    pub fn removals(&self) -> usize {
        self.removals
    }

    /// The value that is shown.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        self.shown(key, self.keys.get(key)?)
    }

    /// Every value that stands, each with the change that put it there.
    pub fn values(&self, key: &[u8]) -> impl Iterator<Item = (Dot, &Bytes)> {
        self.keys.get(key).into_iter().flatten().filter_map(|dot| self.value(*dot))
    }

    /// All keys that have a value, in order, each with the one that is shown.
    pub fn iter(&self) -> impl Iterator<Item = (&Key, &Bytes)> {
        self.keys.iter().filter_map(|(key, heads)| Some((key, self.shown(key, heads)?)))
    }

    /// The same for the keys that begin so.
    pub fn with_prefix<'a>(&'a self, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Key, &'a Bytes)> {
        self.range(Bound::Included(prefix), prefix)
    }

    /// The same for those of them that come after a key: whoever reads a large map reads it in pieces.
    pub fn with_prefix_after<'a>(
        &'a self,
        prefix: &'a [u8],
        after: &'a [u8],
    ) -> impl Iterator<Item = (&'a Key, &'a Bytes)> {
        // What comes before all of them leaves none out.
        let from = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.range(from, prefix)
    }

    fn range<'a>(&'a self, from: Bound<&'a [u8]>, prefix: &'a [u8]) -> impl Iterator<Item = (&'a Key, &'a Bytes)> {
        let keys = self.keys.range::<[u8], _>((from, Bound::Unbounded));
        let keys = keys.take_while(move |(key, _)| key.starts_with(prefix));
        keys.filter_map(|(key, heads)| Some((key, self.shown(key, heads)?)))
    }

    /// The writer decides, by what everybody knows of it for ever: not who is alive, nor what it weighs.
    fn shown(&self, key: &[u8], heads: &Heads) -> Option<&Bytes> {
        if let [only] = heads.as_slice() {
            return self.value(*only).map(|(_, value)| value);
        }
        let values = heads.iter().filter_map(|dot| self.value(*dot));
        values.max_by_key(|(dot, _)| (pull(dot.actor.member, key), *dot)).map(|(_, value)| value)
    }

    fn value(&self, dot: Dot) -> Option<(Dot, &Bytes)> {
        match &self.records[&dot].content {
            Content::Value(value) => Some((dot, value)),
            Content::Removed => None,
        }
    }

    /// Sets the value of a key, in place of all that stand here.
    pub fn put(&mut self, key: &[u8], value: Bytes) -> Result<Dot, Refused> {
        if key.len() > MAX_KEY {
            return Err(Refused::Key { length: key.len() });
        }
        if value.len() > MAX_VALUE {
            return Err(Refused::Value { length: value.len() });
        }
        if !self.room.has_one_for(key) && !self.keys.contains_key(key) {
            return Err(Refused::Full);
        }
        Ok(self.change(key, Content::Value(value)))
    }

    /// Removes all values of a key that stand here. `None` if there is none.
    pub fn remove(&mut self, key: &[u8]) -> Option<Dot> {
        self.values(key).next()?;
        Some(self.change(key, Content::Removed))
    }

    fn change(&mut self, key: &[u8], content: Content) -> Dot {
        let dot = Dot { actor: self.actor, nth: self.seen.newest(self.actor) + 1 };
        let (key, heads) = match self.keys.remove_entry(key) {
            Some(entry) => entry,
            None => {
                self.room.add(key);
                (key.into(), Heads::new())
            }
        };
        self.held -= usize::from(heads.iter().any(|dot| self.value(*dot).is_some()));
        self.held += usize::from(matches!(content, Content::Value(_)));
        let past = Past::of(self.actor, heads.iter().map(|dot| (*dot, &self.records[dot])));
        heads.iter().for_each(|dot| self.drop_record(*dot));
        self.insert_record(dot, Record { key: key.clone(), content, past });
        self.keys.insert(key, Heads::from_elem(dot, 1));
        self.seen.insert(dot);
        self.note_arrival(dot);
        dot
    }

    /// The changes among these dots that still stand, for anybody, in parts of at most so many bytes; a change that is
    /// larger has a part of its own.
    pub fn news(&self, dots: &Dots, limit: usize) -> Vec<Delta> {
        let mut parts = Parts::new(self.cut.id(), limit);
        for (actor, span) in dots.spans() {
            for (dot, record) in self.records.range(Dot { actor, nth: span.first }..=Dot { actor, nth: span.last }) {
                parts.add(actor, dot.nth, dot.nth, Some(record));
            }
        }
        parts.news()
    }

    /// Everything that the map of this actor lacks, which has seen so much, in such parts, of which there is one at
    /// least. As a whole they are for this one alone.
    pub fn beyond(&mut self, to: Actor, seen: &Dots, limit: usize) -> Vec<Delta> {
        self.whole(to, &self.seen.without(seen), limit)
    }

    /// The same for a map that lacks these.
    pub fn whole(&mut self, to: Actor, missing: &Dots, limit: usize) -> Vec<Delta> {
        let mut parts = Parts::new(self.cut.id(), limit);
        for (actor, span) in missing.spans() {
            let mut first = span.first;
            for (dot, record) in self.records.range(Dot { actor, nth: first }..=Dot { actor, nth: span.last }) {
                parts.add(actor, first, dot.nth, Some(record));
                first = dot.nth + 1;
            }
            if first <= span.last {
                parts.add(actor, first, span.last, None);
            }
        }
        self.told += 1;
        let mut parts = parts.whole(to, DeltaId { by: self.actor, nth: self.told });
        if self.planted.is(Mutant::MapBelievesAheadOfItself) {
            parts.iter_mut().for_each(|part| part.covers = missing.clone());
        }
        parts
    }

    /// Takes what another map told.
    pub fn merge(&mut self, delta: Delta) -> Result<Merged, Unmerged> {
        if delta.cut != self.cut.id() {
            return Err(Unmerged::OtherCut);
        }
        if delta.covers.newest(self.actor) > self.seen.newest(self.actor) {
            return Err(Unmerged::Impostor);
        }
        if !self.seen.has_room_for(&delta.covers) || !self.has_room_for(&delta.records) {
            return Err(Unmerged::TooMuch);
        }
        let mut merged = Merged::default();
        for (dot, record) in delta.records {
            // Either it stands here, or something has replaced it.
            if !self.has_seen(dot) {
                merged.new.insert(dot);
                self.take(dot, record, &mut merged.changed);
            }
        }
        // What was left out the one who asked had seen. Somebody else need not have, not even that one's next life.
        let part = delta.part.filter(|part| part.to == self.actor);
        merged.is_whole = part.is_some_and(|part| self.cover(part, &delta.covers));
        Ok(merged)
    }

    /// Whether there is room for the keys that are not here yet. What changes others always comes in, or nobody would
    /// hear that something was removed from a map that is full.
    fn has_room_for(&self, records: &[(Dot, Record)]) -> bool {
        let keys = records.iter().map(|(_, record)| &record.key);
        self.room.has_some(records.len())
            || self.room.has_some_for(keys.filter(|key| !self.keys.contains_key(*key)).map(|key| &**key))
    }

    /// Counts what a part speaks for as seen, once all parts are here: what replaced it may be in any of them. Answers
    /// whether they are.
    fn cover(&mut self, part: Part, covers: &Dots) -> bool {
        if self.planted.is(Mutant::MapBelievesAheadOfItself) {
            self.see(covers);
            return true;
        }
        let place = self.open.iter().position(|open| open.of == part.of).unwrap_or_else(|| {
            if self.open.len() == MAX_OPEN {
                self.open.remove(0);
            }
            self.open.push(Open { of: part.of, covers: Dots::new(), places: BTreeSet::new() });
            self.open.len() - 1
        });
        let open = &mut self.open[place];
        open.covers.join(covers);
        open.places.insert(part.place);
        let is_whole = open.places.len() == part.count as usize;
        if is_whole {
            let open = self.open.remove(place);
            self.see(&open.covers);
        }
        is_whole
    }

    fn see(&mut self, dots: &Dots) {
        for (actor, span) in dots.spans().filter(|(actor, _)| !self.cut.is_over(*actor)) {
            self.seen.insert_span(actor, span);
        }
    }

    /// Counts the changes that come in.
    pub fn arrivals(&self) -> u64 {
        self.arrivals
    }

    /// Those that came in after so many. `None` if that is not known any more.
    pub fn arrived_since(&self, arrivals: u64) -> Option<Dots> {
        let count = usize::try_from(self.arrivals.checked_sub(arrivals)?).ok()?;
        let begin = self.arrived.len().checked_sub(count)?;
        Some(self.arrived.range(begin..).copied().collect())
    }

    fn note_arrival(&mut self, dot: Dot) {
        self.arrivals += 1;
        if self.arrived.len() == MAX_ARRIVED {
            self.arrived.pop_front();
        }
        self.arrived.push_back(dot);
    }

    fn has_seen(&self, dot: Dot) -> bool {
        self.seen.contains(dot) || self.cut.is_over(dot.actor)
    }

    /// Puts a change that is new here among those of its key.
    fn take(&mut self, dot: Dot, record: Record, changed: &mut Vec<Key>) {
        self.seen.insert(dot);
        self.note_arrival(dot);
        let Some((key, heads)) = self.keys.get_key_value(&record.key) else {
            if matches!(record.content, Content::Value(_)) {
                changed.push(record.key.clone());
                self.held += 1;
            }
            self.room.add(&record.key);
            self.keys.insert(record.key.clone(), Heads::from_elem(dot, 1));
            self.insert_record(dot, record);
            return;
        };
        if heads.iter().any(|head| self.records[head].replaces(*head, dot)) {
            return;
        }
        let key = key.clone();
        let before = self.get(&key).cloned();
        let heads = self.keys.get_mut(&key).expect("it was just there");
        let replaced: Heads = heads.iter().copied().filter(|head| record.replaces(dot, *head)).collect();
        heads.retain(|head| !replaced.contains(head));
        let place = heads.partition_point(|head| *head < dot);
        heads.insert(place, dot);
        replaced.iter().for_each(|dot| self.drop_record(*dot));
        self.insert_record(dot, Record { key: key.clone(), ..record });
        let after = self.get(&key);
        let (was_held, is_held) = (before.is_some(), after.is_some());
        if after != before.as_ref() {
            changed.push(key);
        }
        self.held = self.held - usize::from(was_held) + usize::from(is_held);
    }

    fn insert_record(&mut self, dot: Dot, record: Record) {
        self.removals += usize::from(matches!(record.content, Content::Removed));
        self.records.insert(dot, record);
    }

    fn drop_record(&mut self, dot: Dot) {
        let record = self.records.remove(&dot).expect("a change of a key is kept");
        self.removals -= usize::from(matches!(record.content, Content::Removed));
    }

    /// Panics unless everything fits together.
    pub fn check(&self) {
        let heads: usize = self.keys.values().map(SmallVec::len).sum();
        assert!(heads == self.records.len(), "{heads} changes under keys, {} kept", self.records.len());
        for (key, heads) in &self.keys {
            assert!(!heads.is_empty(), "{key:?} has no change");
            assert!(heads.is_sorted_by(|one, next| one < next), "{key:?} has changes out of order");
            for dot in heads {
                let record = &self.records[dot];
                assert!(record.key == *key, "{dot:?} stands under {key:?} and not under {:?}", record.key);
                assert!(self.has_seen(*dot), "{dot:?} is kept and was never seen");
                for other in heads.iter().filter(|other| *other != dot) {
                    assert!(!record.replaces(*dot, *other), "{dot:?} stands beside {other:?}, which it replaces");
                }
            }
        }
        let mut room = Room::default();
        self.keys.keys().for_each(|key| room.add(key));
        assert!(room == self.room, "there are {room:?} keys, not {:?}", self.room);
        self.seen.check();
        let removals = self.records.values().filter(|record| matches!(record.content, Content::Removed)).count();
        assert!(removals == self.removals, "{removals} removals, not {}", self.removals);
        let held = self.iter().count();
        assert!(held == self.held, "{held} keys have a value, not {}", self.held);
        let all = self.seen.actors().chain(self.records.keys().map(|dot| dot.actor));
        all.for_each(|actor| assert!(!self.cut.is_over(actor), "{actor:?} is over, and remembered"));
    }
}

impl PartialEq for Map {
    /// Whether two copies hold the same and know the same, whoever changes them.
    fn eq(&self, other: &Map) -> bool {
        self.records == other.records && self.keys == other.keys && *self.seen == *other.seen && self.cut == other.cut
    }
}

impl fmt::Debug for Map {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = f.debug_map();
        for (dot, record) in &self.records {
            map.entry(dot, record);
        }
        map.finish()?;
        write!(f, " of {:?}, seen {:?}, {:?}", self.actor, *self.seen, self.cut)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::Key { length } => write!(f, "a key has at most {MAX_KEY} bytes, and this has {length}"),
            Refused::Value { length } => write!(f, "a value has at most {MAX_VALUE} bytes, and this has {length}"),
            Refused::Name => write!(f, "a view's name has no zero byte and at most {MAX_KEY} bytes"),
            Refused::Full => {
                write!(f, "the map has {MAX_KEYS} keys of users, and more is not kept: remove some")
            }
        }
    }
}

impl core::error::Error for Refused {}
