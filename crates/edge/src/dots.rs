//! [`Dot`]: the name of one change, and [`Dots`], a set of them: what was seen
//! of whom.
//!
//! A member numbers its changes from 1, and begins anew in each of its lives:
//! an [`Actor`] is a member in one life, and no life comes twice, so no dot is
//! ever given to two changes. Of most actors everything up to some number was
//! seen, and then a set is a version vector; what came out of turn makes
//! further spans beside the first. It names exactly what was seen, so what was
//! lost on the way is never taken for known.

use alloc::collections::BTreeMap;
use alloc::collections::btree_map::Entry;
use core::fmt;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};
use smallvec::{SmallVec, smallvec};

use crate::MemberId;

/// A member in one of its lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// Which member.
    pub member: MemberId,
    /// In which life: each has a higher number than all before it.
    pub life: u64,
}

/// One change: the `nth` of its actor, from 1.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Whose change it is.
    pub actor: Actor,
    /// Its number.
    pub nth: u64,
}

/// After every life there may be another. Whoever takes the time for it, in millionths of a second, is far below this.
pub const LAST_LIFE: u64 = u64::MAX / 2;

/// Members of a large fleet, each in several lives. A set that names more is not ours.
pub const MAX_ACTORS: usize = 1 << 16;

/// So many pieces of what one actor did may be known without what lies between. More would mean that almost every
/// message is lost, and then it is time to ask for what is missing and not to go on collecting.
pub const MAX_SPANS: usize = 1 << 10;

/// A set of dots.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Dots {
    /// No actor without a dot.
    actors: BTreeMap<Actor, Spans>,
}

/// Numbers of one actor: sorted, and with a gap between each two. Almost always one that begins with 1.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
struct Spans(SmallVec<[Span; 1]>);

/// The numbers from the first to the last, both included.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// At least 1.
    pub first: u64,
    /// At least the first, and never the highest number of all.
    pub last: u64,
}

impl Dots {
    /// No dot.
    pub fn new() -> Dots {
        Dots::default()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.actors.is_empty()
    }

    /// Whether this one is among them.
    pub fn contains(&self, dot: Dot) -> bool {
        self.actors.get(&dot.actor).is_some_and(|spans| spans.contains(dot.nth))
    }

    /// Whether all of this span are among them.
    pub fn contains_span(&self, actor: Actor, span: Span) -> bool {
        self.actors.get(&actor).is_some_and(|spans| spans.has_all_of(span))
    }

    /// Whether all of those are among these.
    pub fn covers(&self, other: &Dots) -> bool {
        other.spans().all(|(actor, span)| self.contains_span(actor, span))
    }

    /// Adds one.
    pub fn insert(&mut self, dot: Dot) {
        self.insert_span(dot.actor, Span { first: dot.nth, last: dot.nth });
    }

    /// Adds the numbers of a span.
    pub fn insert_span(&mut self, actor: Actor, span: Span) {
        self.actors.entry(actor).or_default().insert(span);
    }

    /// Adds all of those.
    pub fn join(&mut self, other: &Dots) {
        for (actor, spans) in &other.actors {
            match self.actors.entry(*actor) {
                Entry::Vacant(entry) => {
                    entry.insert(spans.clone());
                }
                Entry::Occupied(mut entry) => spans.0.iter().for_each(|span| entry.get_mut().insert(*span)),
            }
        }
    }

    /// Those that are not among the others.
    #[must_use]
    pub fn without(&self, other: &Dots) -> Dots {
        Dots { actors: self.beyond(other).collect() }
    }

    /// The same, one actor after the other. The two sets are walked side by side: they are large, and mostly alike.
    fn beyond<'a>(&'a self, other: &'a Dots) -> impl Iterator<Item = (Actor, Spans)> {
        let mut others = other.actors.iter().peekable();
        self.actors.iter().filter_map(move |(actor, spans)| {
            while others.next_if(|(other, _)| *other < actor).is_some() {}
            let left = match others.next_if(|(other, _)| *other == actor) {
                Some((_, same)) if same == spans => return None,
                Some((_, others)) => spans.without(others),
                None => spans.clone(),
            };
            (!left.0.is_empty()).then_some((*actor, left))
        })
    }

    /// Those that are not among the others, in order.
    pub fn spans_beyond<'a>(&'a self, other: &'a Dots) -> impl Iterator<Item = (Actor, Span)> {
        self.beyond(other).flat_map(|(actor, spans)| spans.0.into_iter().map(move |span| (actor, span)))
    }

    /// Those that are among the others too.
    #[must_use]
    pub fn meet(&self, other: &Dots) -> Dots {
        let both = self.actors.iter().filter_map(|(actor, spans)| {
            let both = spans.without(&spans.without(other.actors.get(actor)?));
            (!both.0.is_empty()).then_some((*actor, both))
        });
        Dots { actors: both.collect() }
    }

    /// Adds all those of the members from one id to another, both included.
    pub fn join_members(&mut self, other: &Dots, first: MemberId, last: MemberId) {
        let range = Actor { member: first, life: 0 }..=Actor { member: last, life: u64::MAX };
        for (actor, spans) in other.actors.range(range) {
            spans.0.iter().for_each(|span| self.insert_span(*actor, *span));
        }
    }

    /// Drops all dots of an actor.
    pub fn forget(&mut self, actor: Actor) {
        self.actors.remove(&actor);
    }

    /// Whose dots there are.
    pub fn actors(&self) -> impl ExactSizeIterator<Item = Actor> {
        self.actors.keys().copied()
    }

    /// The first life of a member of which there is anything.
    pub fn first_life(&self, member: MemberId) -> Option<u64> {
        let from = Actor { member, life: 0 };
        self.actors.range(from..).next().filter(|(actor, _)| actor.member == member).map(|(actor, _)| actor.life)
    }

    /// The dots of one actor, in order.
    pub fn spans_of(&self, actor: Actor) -> &[Span] {
        self.actors.get(&actor).map_or(&[], |spans| &spans.0)
    }

    /// All of them, in order.
    pub fn spans(&self) -> impl Iterator<Item = (Actor, Span)> {
        self.actors.iter().flat_map(|(actor, spans)| spans.0.iter().map(move |span| (*actor, *span)))
    }

    /// The highest number of an actor; 0 if there is none.
    pub fn newest(&self, actor: Actor) -> u64 {
        self.spans_of(actor).last().map_or(0, |span| span.last)
    }

    /// Whether this set with all of the other would keep within its bounds.
    pub fn has_room_for(&self, other: &Dots) -> bool {
        let strangers = other.actors.keys().filter(|actor| !self.actors.contains_key(actor)).count();
        self.actors.len() + strangers <= MAX_ACTORS
            && other.actors.iter().all(|(actor, spans)| {
                let Some(own) = self.actors.get(actor) else { return true };
                if own.0.len() + spans.0.len() <= MAX_SPANS {
                    return true;
                }
                let mut both = own.clone();
                spans.0.iter().for_each(|span| both.insert(*span));
                both.0.len() <= MAX_SPANS
            })
    }
}

impl Spans {
    /// The first span that ends at this number or above.
    fn place(&self, nth: u64) -> usize {
        self.0.partition_point(|span| span.last < nth)
    }

    fn contains(&self, nth: u64) -> bool {
        self.0.get(self.place(nth)).is_some_and(|span| span.first <= nth)
    }

    fn has_all_of(&self, span: Span) -> bool {
        self.0.get(self.place(span.first)).is_some_and(|own| own.first <= span.first && span.last <= own.last)
    }

    /// Adds a span, and makes one of all that it touches.
    fn insert(&mut self, span: Span) {
        if let [only] = self.0.as_mut_slice()
            && only.last + 1 == span.first
        {
            only.last = span.last;
            return;
        }
        let begin = self.place(span.first.saturating_sub(1));
        let end = begin + self.0[begin..].partition_point(|own| own.first <= span.last + 1);
        if begin == end {
            self.0.insert(begin, span);
            return;
        }
        self.0[begin] = Span { first: self.0[begin].first.min(span.first), last: self.0[end - 1].last.max(span.last) };
        self.0.drain(begin + 1..end);
    }

    fn without(&self, other: &Spans) -> Spans {
        let mut left = SmallVec::new();
        for own in &self.0 {
            let mut first = own.first;
            for taken in &other.0[other.place(first)..] {
                if taken.first > own.last {
                    break;
                }
                if first < taken.first {
                    left.push(Span { first, last: taken.first - 1 });
                }
                first = taken.last + 1;
            }
            if first <= own.last {
                left.push(Span { first, last: own.last });
            }
        }
        Spans(left)
    }
}

impl FromIterator<Dot> for Dots {
    fn from_iter<I: IntoIterator<Item = Dot>>(dots: I) -> Dots {
        let mut set = Dots::new();
        dots.into_iter().for_each(|dot| set.insert(dot));
        set
    }
}

impl From<Dot> for Dots {
    fn from(dot: Dot) -> Dots {
        let span = Span { first: dot.nth, last: dot.nth };
        Dots { actors: BTreeMap::from([(dot.actor, Spans(smallvec![span]))]) }
    }
}

impl fmt::Debug for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}/{}", self.member, self.life)
    }
}

impl fmt::Debug for Dot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}.{}", self.actor, self.nth)
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last { write!(f, "{}", self.first) } else { write!(f, "{}-{}", self.first, self.last) }
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.0).finish()
    }
}

impl fmt::Debug for Dots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.actors).finish()
    }
}

impl Wire for Actor {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.member.encode(writer);
        writer.u64(self.life);
    }

    fn decode(reader: &mut Reader) -> Result<Actor, WireError> {
        let actor = Actor { member: MemberId::decode(reader)?, life: reader.u64()? };
        if actor.life > LAST_LIFE { Err(WireError::Invalid { what: "a life of this number" }) } else { Ok(actor) }
    }
}

impl Wire for Dot {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.actor.encode(writer);
        writer.u64(self.nth);
    }

    fn decode(reader: &mut Reader) -> Result<Dot, WireError> {
        let dot = Dot { actor: Actor::decode(reader)?, nth: reader.u64()? };
        // Beyond the last number there is none, so what follows a span can always be named.
        if dot.nth == 0 || dot.nth == u64::MAX {
            Err(WireError::Invalid { what: "a dot of this number" })
        } else {
            Ok(dot)
        }
    }
}

impl Wire for Span {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.words([self.first, self.last]);
    }

    fn decode(reader: &mut Reader) -> Result<Span, WireError> {
        let [first, last] = reader.words()?;
        if first == 0 || last < first || last == u64::MAX {
            return Err(WireError::Invalid { what: "a span of dots" });
        }
        Ok(Span { first, last })
    }
}

/// The spans of one actor, as they travel.
struct Line(Actor, Spans);

impl Wire for Line {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.encode(writer);
        writer.each(&self.1.0);
    }

    fn decode(reader: &mut Reader) -> Result<Line, WireError> {
        let actor = Actor::decode(reader)?;
        let spans = reader.list::<Span>("the spans of an actor", MAX_SPANS)?;
        let is_sorted = spans.windows(2).all(|pair| pair[0].last + 1 < pair[1].first);
        if spans.is_empty() || !is_sorted {
            return Err(WireError::Invalid { what: "a list of spans out of order" });
        }
        Ok(Line(actor, Spans(spans.into())))
    }
}

impl Wire for Dots {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.list(self.actors.iter().map(|(actor, spans)| Line(*actor, spans.clone())));
    }

    fn decode(reader: &mut Reader) -> Result<Dots, WireError> {
        let lines = reader.list::<Line>("a set of dots", MAX_ACTORS)?;
        if !lines.is_sorted_by(|one, next| one.0 < next.0) {
            return Err(WireError::Invalid { what: "a set of dots out of order" });
        }
        Ok(Dots { actors: lines.into_iter().map(|Line(actor, spans)| (actor, spans)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeSet;
    use alloc::format;
    use alloc::vec::Vec;
    use proptest::prelude::*;
    use skein_machine::wire::{self, VERSION};

    fn actor(member: u64, life: u64) -> Actor {
        Actor { member: MemberId(member), life }
    }

    fn dot((member, life, nth): (u64, u64, u64)) -> Dot {
        Dot { actor: actor(member, life), nth }
    }

    fn some_dots() -> impl Strategy<Value = BTreeSet<Dot>> {
        proptest::collection::btree_set((0u64..3, 1u64..3, 1u64..12).prop_map(dot), 0..40)
    }

    fn listed(dots: &Dots) -> BTreeSet<Dot> {
        dots.spans().flat_map(|(actor, span)| (span.first..=span.last).map(move |nth| Dot { actor, nth })).collect()
    }

    proptest! {
        #[test]
        fn it_is_a_set(one in some_dots(), other in some_dots()) {
            let (a, b): (Dots, Dots) = (one.iter().copied().collect(), other.iter().copied().collect());
            prop_assert_eq!(listed(&a), one.clone());
            prop_assert_eq!(listed(&a.without(&b)), &one - &other);
            prop_assert_eq!(listed(&a.meet(&b)), &one & &other);
            prop_assert_eq!(a.covers(&b), one.is_superset(&other));
            let mut both = a.clone();
            both.join(&b);
            prop_assert_eq!(listed(&both), &one | &other);
            // Equal sets look alike, however they came about.
            prop_assert_eq!(&both, &(&one | &other).into_iter().rev().collect::<Dots>());
            for dot in (0..3).flat_map(|m| (1..3).flat_map(move |l| (1..13).map(move |n| dot((m, l, n))))) {
                prop_assert_eq!(a.contains(dot), one.contains(&dot));
            }
            prop_assert_eq!(wire::from_bytes::<Dots>(wire::to_bytes(&both), VERSION).unwrap(), both);
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0u8..4, 0..120)) {
            wire::examine::<Dots>(&bytes);
            wire::examine::<Dot>(&bytes);
        }
    }

    #[test]
    fn what_is_too_much_is_refused() {
        let spans = |count: u64| -> Dots { (0..count).map(|nth| dot((1, 1, 2 * nth + 1))).collect() };
        let full = spans(MAX_SPANS as u64);
        assert!(!full.has_room_for(&Dots::from(dot((1, 1, 5000)))), "one span too many");
        assert!(full.has_room_for(&Dots::from(dot((1, 1, 2)))), "this one closes a gap");
        assert!(wire::from_bytes::<Dots>(wire::to_bytes(&full), VERSION).is_ok());
        let error = wire::from_bytes::<Dots>(wire::to_bytes(&spans(MAX_SPANS as u64 + 1)), VERSION).unwrap_err();
        assert!(format!("{error}").contains("1025 where at most 1024"), "{error}");

        let actors = |count: u64| -> Dots { (0..count).map(|member| dot((member, 1, 1))).collect() };
        let full = actors(MAX_ACTORS as u64);
        assert!(full.has_room_for(&Dots::from(dot((7, 1, 2)))));
        assert!(!full.has_room_for(&Dots::from(dot((7, 2, 1)))), "an actor too many");
        assert!(wire::from_bytes::<Dots>(wire::to_bytes(&actors(MAX_ACTORS as u64 + 1)), VERSION).is_err());
    }

    #[test]
    fn only_one_way_of_saying_it_is_understood() {
        let twice: Vec<_> = [(1, 1, 1), (1, 1, 2)].map(dot).to_vec();
        let bytes = wire::to_bytes(&twice.iter().copied().collect::<Dots>());
        let mut split = Vec::new();
        let writer = &mut Writer::new(&mut split, VERSION);
        writer.u32(1);
        actor(1, 1).encode(writer);
        writer.each(&[Span { first: 1, last: 1 }, Span { first: 2, last: 2 }]);
        assert!(wire::from_bytes::<Dots>(split.into(), VERSION).is_err(), "two spans that touch are one");
        assert!(wire::from_bytes::<Dots>(bytes, VERSION).is_ok());
        for wrong in [(1, 1, 0), (1, 1, u64::MAX)] {
            assert!(wire::from_bytes::<Dot>(wire::to_bytes(&dot(wrong)), VERSION).is_err());
        }
    }
}
