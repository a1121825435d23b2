//! [`Slots`]: every stream of a server, each in a place of its own, and when
//! each has to be looked at next. A name that was given to one stream is never
//! that of another, although they may have had the same place.

use std::collections::BTreeSet;
use std::time::Instant;

use super::StreamId;
use super::stream::Stream;

/// Every stream, by its place.
#[derive(Default)]
pub(super) struct Slots {
    places: Vec<Option<Stream>>,
    free: Vec<u32>,
    born: u64,
    /// When to look at whom: one moment for each, which may be earlier than there is anything to see.
    alarms: BTreeSet<(Instant, u32)>,
}

impl Slots {
    /// How many are there.
    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// The name of the next one.
    pub(super) fn next_id(&self) -> StreamId {
        let last = u32::try_from(self.places.len()).expect("fewer streams than descriptors");
        StreamId { number: self.born + 1, slot: self.free.last().copied().unwrap_or(last) }
    }

    /// Puts a stream where its name says.
    pub(super) fn insert(&mut self, stream: Stream) {
        let slot = stream.id.slot;
        assert!(stream.id == self.next_id(), "a stream gets the next name");
        self.born += 1;
        if slot as usize == self.places.len() {
            self.places.push(None);
        } else {
            self.free.pop();
        }
        self.places[slot as usize] = Some(stream);
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<Stream> {
        let stream = self.places.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        if let Some(at) = stream.alarm {
            self.alarms.remove(&(at, slot));
        }
        Some(stream)
    }

    pub(super) fn get(&mut self, slot: u32) -> Option<&mut Stream> {
        self.places.get_mut(slot as usize)?.as_mut()
    }

    /// The stream of this name, if it is there.
    pub(super) fn named(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.get(id.slot).filter(|stream| stream.id == id)
    }

    pub(super) fn look(&self, id: StreamId) -> Option<&Stream> {
        self.places.get(id.slot as usize)?.as_ref().filter(|stream| stream.id == id)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Stream> {
        self.places.iter().flatten()
    }

    /// Looks at a stream at this moment or before. That it is looked at too soon costs less than to move the moment
    /// with every byte.
    pub(super) fn look_at(&mut self, slot: u32, at: Option<Instant>) {
        let (Some(Some(stream)), Some(at)) = (self.places.get_mut(slot as usize), at) else { return };
        if stream.alarm.is_some_and(|alarm| alarm <= at) {
            return;
        }
        if let Some(later) = stream.alarm.replace(at) {
            self.alarms.remove(&(later, slot));
        }
        self.alarms.insert((at, slot));
    }

    /// The next stream that has to be looked at by now.
    pub(super) fn due(&mut self, now: Instant) -> Option<u32> {
        let (at, slot) = *self.alarms.first()?;
        if at > now {
            return None;
        }
        self.alarms.pop_first();
        let stream = self.get(slot).expect("whoever is gone has no alarm");
        stream.alarm = None;
        Some(slot)
    }
}
