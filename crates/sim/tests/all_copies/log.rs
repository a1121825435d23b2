//! [`Log`]: every message of the cluster in one order, and what follows from
//! it. A session's messages enter in the order of their numbers, without a gap.
//! Between them stand blanks, which say only that time has passed.

use std::collections::BTreeMap;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, MessageId, Multicast, SessionId, Timestamp, Wire};

/// A message at its place in the log, or a blank.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) timestamp: Timestamp,
    pub(crate) message: Option<Multicast>,
}

/// All entries so far.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Log {
    entries: Vec<Entry>,
    places: BTreeMap<MessageId, usize>,
    newest: BTreeMap<SessionId, u64>,
}

/// What a message that somebody asks for is to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Standing {
    /// It may be appended.
    Next,
    /// It stands at this place.
    Known(usize),
    /// An earlier message of its session is missing.
    TooEarly,
}

impl Entry {
    /// Whether it is a message to this group.
    pub(crate) fn concerns(&self, group: GroupId) -> bool {
        self.message.as_ref().is_some_and(|message| message.id.destinations.contains(group))
    }
}

impl Log {
    pub(crate) fn of(entries: Vec<Entry>) -> Log {
        let mut log = Log::default();
        entries.into_iter().for_each(|entry| log.push(entry));
        log
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(crate) fn length(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn push(&mut self, entry: Entry) {
        if let Some(Multicast { id, .. }) = entry.message {
            self.places.insert(id, self.entries.len());
            self.newest.insert(id.session, id.sequence);
        }
        self.entries.push(entry);
    }

    /// An entry can overtake an earlier one of its session: the entry process
    /// that had the earlier one may have died with it. Only the sequencer sees
    /// all of a session, so only here can order be kept.
    pub(crate) fn standing(&self, id: MessageId) -> Standing {
        let newest = self.newest.get(&id.session).copied().unwrap_or(0);
        match self.places.get(&id) {
            Some(place) => Standing::Known(*place),
            None if id.sequence == newest + 1 => Standing::Next,
            None => Standing::TooEarly,
        }
    }

    /// For the mutant that does.
    pub(crate) fn forget_ids(&mut self) {
        self.places.clear();
        self.newest.clear();
    }

    /// The timestamp of the next entry: its number, raised above the floor and all before it.
    pub(crate) fn next_timestamp(&self, floor: Timestamp) -> Timestamp {
        Timestamp(self.length()).max(self.timestamp_before(self.entries.len())).max(floor).next()
    }

    /// The timestamp of the last of so many entries.
    pub(crate) fn timestamp_before(&self, place: usize) -> Timestamp {
        place.checked_sub(1).map_or(Timestamp::ZERO, |last| self.entries[last].timestamp)
    }

    pub(crate) fn check(&self) {
        let rises = |pair: &[Entry]| pair[0].timestamp < pair[1].timestamp;
        assert!(self.entries.windows(2).rev().take(8).all(rises), "the log's timestamps do not rise");
    }
}

impl Wire for Entry {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        writer.list(self.message.iter().cloned());
    }

    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        let timestamp = Timestamp::decode(reader)?;
        let message = reader.list("a message or none", 1)?.pop();
        Ok(Entry { timestamp, message })
    }
}
