//! [`Delta`]: a part of a map, as it travels. It brings changes, and each of
//! them can be taken alone. What was replaced is not brought: for such dots a
//! delta speaks only as a whole, all its parts together, because what replaced
//! them may be in any other part. Parts may be lost, doubled and put in any
//! order, and a lost one is never taken for known.

use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use super::cut::CutId;
use super::record::{Content, MAX_KEY, MAX_VALUE, Past, Record};
use crate::dots::{Actor, Dot, Dots, MAX_ACTORS, Span};

/// Changes of one delta. At some twenty bytes each, more do not fit into any message.
const MAX_RECORDS: usize = 1 << 20;

/// Actors that one change may have known of the same key, since everybody last had it.
const MAX_PAST: usize = MAX_ACTORS;

/// No map has so many changes that there are more parts of it than this.
pub(super) const MAX_PARTS: u32 = 1 << 20;

/// Dots, and what is left of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    /// What its sender had adopted. Only maps that have forgotten the same understand each other.
    pub(super) cut: CutId,
    /// Which part it is of what. Without, it is only news, and speaks for nothing but the changes that it brings.
    pub(super) part: Option<Part>,
    /// What it speaks for.
    pub(super) covers: Dots,
    /// Sorted, each among the dots.
    pub(super) records: Vec<(Dot, Record)>,
}

/// A place among the parts of one delta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Whose question it answers.
    pub(super) to: Actor,
    /// Tells one delta from all others.
    pub(super) of: DeltaId,
    /// From 0.
    pub(super) place: u32,
    /// How many there are.
    pub(super) count: u32,
}

/// Names a delta: the actor that told it, and how many it had told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct DeltaId {
    pub(super) by: Actor,
    pub(super) nth: u64,
}

impl Delta {
    fn empty(cut: CutId) -> Delta {
        Delta { cut, part: None, covers: Dots::new(), records: Vec::new() }
    }

    /// What its sender had adopted.
    pub fn cut(&self) -> CutId {
        self.cut
    }

    /// Whether it is a part of what this one asked for.
    pub fn is_for(&self, actor: Actor) -> bool {
        self.part.is_some_and(|part| part.to == actor)
    }

    /// What it speaks for.
    pub fn covers(&self) -> &Dots {
        &self.covers
    }

    /// How many changes it brings.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether it brings no change; it may speak for dots that were replaced.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }
}

/// Cuts a delta into parts of a size.
pub(super) struct Parts {
    parts: Vec<Delta>,
    current: Delta,
    /// What the current part takes at most, as bytes.
    size: usize,
    limit: usize,
}

/// Bytes of a delta without dots and records.
const FRAME: usize = 8 + 1 + 48 + 4 + 4;

/// Bytes of an actor among dots.
const ACTOR: usize = 16 + 4;

/// Bytes of a span among dots.
const SPAN: usize = 16;

impl Parts {
    pub(super) fn new(cut: CutId, limit: usize) -> Parts {
        Parts { parts: Vec::new(), current: Delta::empty(cut), size: FRAME, limit }
    }

    /// Goes on with the numbers of an actor from `first` to `last`, of which only the last may have a record.
    pub(super) fn add(&mut self, actor: Actor, first: u64, last: u64, record: Option<&Record>) {
        // A span that goes on takes no more room; what is counted here may be too much, never too little.
        let size = ACTOR + SPAN + record.map_or(0, size);
        if self.size + size > self.limit && !self.current.covers.is_empty() {
            let next = Delta::empty(self.current.cut);
            self.parts.push(core::mem::replace(&mut self.current, next));
            self.size = FRAME;
        }
        let goes_on = self.current.covers.newest(actor) + 1 == first && first > 1;
        self.current.covers.insert_span(actor, Span { first, last });
        self.size += size - if goes_on { ACTOR + SPAN } else { 0 };
        if let Some(record) = record {
            self.current.records.push((Dot { actor, nth: last }, record.clone()));
        }
    }

    /// The parts, each of which is news.
    pub(super) fn news(mut self) -> Vec<Delta> {
        if !self.current.covers.is_empty() {
            self.parts.push(self.current);
        }
        self.parts
    }

    /// The parts of a whole.
    pub(super) fn whole(self, to: Actor, of: DeltaId) -> Vec<Delta> {
        let nothing = Delta::empty(self.current.cut);
        let mut parts = self.news();
        if parts.is_empty() {
            parts.push(nothing);
        }
        let count = u32::try_from(parts.len()).expect("a map has not so many changes");
        for (place, delta) in (0..).zip(&mut parts) {
            delta.part = Some(Part { to, of, place, count });
        }
        parts
    }
}

/// What a record takes in a delta.
pub(super) fn size(record: &Record) -> usize {
    let value = match &record.content {
        Content::Value(value) => 4 + value.len(),
        Content::Removed => 0,
    };
    let past = if record.past.is_empty() { 0 } else { 4 + 24 * record.past.entries().len() };
    4 + 8 + 1 + 4 + record.key.len() + value + past
}

/// What a record takes by itself, with its dot.
pub(super) fn size_alone(record: &Record) -> usize {
    size(record) - 4 + 16
}

/// Bits of the byte that says what follows.
const HAS_VALUE: u8 = 1;
const HAS_PAST: u8 = 2;

impl Wire for Delta {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.cut.encode(writer);
        writer.option(self.part.as_ref());
        self.covers.encode(writer);
        writer.u32(u32::try_from(self.records.len()).expect("nothing that travels is that long"));
        let mut place = 0u32;
        let mut actors = self.covers.actors();
        let mut current = actors.next();
        for (dot, record) in &self.records {
            while current != Some(dot.actor) {
                current = actors.next();
                place += 1;
                assert!(current.is_some(), "{dot:?} is brought and not spoken for");
            }
            writer.u32(place);
            writer.u64(dot.nth);
            write(record, writer);
        }
    }

    fn decode(reader: &mut Reader) -> Result<Delta, WireError> {
        let (cut, part, covers) = (CutId::decode(reader)?, reader.option()?, Dots::decode(reader)?);
        let count = reader.u32()? as usize;
        if count > MAX_RECORDS {
            return Err(WireError::TooLong { what: "a delta", length: count, limit: MAX_RECORDS });
        }
        let actors: Vec<Actor> = covers.actors().collect();
        let mut records: Vec<(Dot, Record)> = Vec::with_capacity(count.min(reader.left() / 17));
        for _ in 0..count {
            let (place, nth) = (reader.u32()? as usize, reader.u64()?);
            let dot = actors.get(place).map(|actor| Dot { actor: *actor, nth });
            let dot = dot.filter(|dot| covers.contains(*dot) && records.last().is_none_or(|(last, _)| last < dot));
            let Some(dot) = dot else {
                return Err(WireError::Invalid { what: "a change that its delta does not cover" });
            };
            records.push((dot, read(dot.actor, reader)?));
        }
        let mut spoken_for = covers.spans().map(|(_, span)| span.last - span.first).fold(0, u64::saturating_add);
        spoken_for = spoken_for.saturating_add(covers.spans().count() as u64);
        if part.is_none() && spoken_for != records.len() as u64 {
            return Err(WireError::Invalid { what: "news of changes that are not there" });
        }
        Ok(Delta { cut, part, covers, records })
    }
}

impl Wire for Part {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.to.encode(writer);
        self.of.by.encode(writer);
        writer.u64(self.of.nth);
        writer.u32(self.place);
        writer.u32(self.count);
    }

    fn decode(reader: &mut Reader) -> Result<Part, WireError> {
        let to = Actor::decode(reader)?;
        let of = DeltaId { by: Actor::decode(reader)?, nth: reader.u64()? };
        let (place, count) = (reader.u32()?, reader.u32()?);
        if place >= count || count > MAX_PARTS {
            return Err(WireError::Invalid { what: "a part of a delta" });
        }
        Ok(Part { to, of, place, count })
    }
}

fn write(record: &Record, writer: &mut Writer<'_>) {
    let has_past = !record.past.is_empty();
    let has_value = matches!(record.content, Content::Value(_));
    writer.u8(if has_value { HAS_VALUE } else { 0 } | if has_past { HAS_PAST } else { 0 });
    writer.bytes(&record.key);
    if let Content::Value(value) = &record.content {
        writer.bytes(value);
    }
    if has_past {
        writer.list(record.past.entries().iter().map(|(actor, nth)| Dot { actor: *actor, nth: *nth }));
    }
}

fn read(own: Actor, reader: &mut Reader) -> Result<Record, WireError> {
    let kind = reader.u8()?;
    if kind > (HAS_VALUE | HAS_PAST) {
        return Err(WireError::UnknownTag { what: "change", tag: kind });
    }
    let key = reader.bytes("a key", MAX_KEY)?;
    let content = match kind & HAS_VALUE != 0 {
        // Its own copy: a slice would hold on to the whole message for as long as one value of it stands.
        true => Content::Value(Bytes::copy_from_slice(&reader.bytes("a value", MAX_VALUE)?)),
        false => Content::Removed,
    };
    let past = match kind & HAS_PAST != 0 {
        true => {
            let entries = reader.list::<Dot>("what a change knew", MAX_PAST)?;
            let is_sorted = entries.is_sorted_by(|one, next| one.actor < next.actor);
            if entries.is_empty() || !is_sorted || entries.iter().any(|dot| dot.actor == own) {
                return Err(WireError::Invalid { what: "what a change knew" });
            }
            Past::told(entries.into_iter().map(|dot| (dot.actor, dot.nth)).collect())
        }
        false => Past::default(),
    };
    Ok(Record { key: key.as_ref().into(), content, past })
}
