//! [`Directory`]: who the members of all places are, kept in the map itself.
//! Every member writes a line of its own when it begins; when it dies, one of
//! its place notes that, and after a long time removes the line, which expels
//! it. Within a place the gossip knows better and sooner who lives.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Wire;
use skein_machine::wire::{self, Reader, VERSION, WireError, Writer};

use crate::map::{MEMBERS, Map};
use crate::owners::Owners;
use crate::{Member, MemberId, Name};

/// What is known of a member everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who it is. Its life is the one in which it writes to the map.
    pub member: Member,
    /// Whether it lives, as far as its place knows.
    pub is_up: bool,
}

/// All lines.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    lines: BTreeMap<MemberId, Line>,
    /// The living of each place where there are any: among them its offices are divided.
    places: BTreeMap<Name, BTreeSet<MemberId>>,
}

/// The key of a member's line.
pub(super) fn key(name: &Name) -> Vec<u8> {
    [MEMBERS, name.as_str().as_bytes()].concat()
}

impl Line {
    pub(super) fn to_value(&self) -> Bytes {
        wire::to_bytes(self)
    }
}

impl Wire for Line {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.member.encode(writer);
        writer.flag(self.is_up);
    }

    fn decode(reader: &mut Reader) -> Result<Line, WireError> {
        Ok(Line { member: Member::decode(reader)?, is_up: reader.flag()? })
    }
}

impl Directory {
    /// Something else is shown under this key, or nothing.
    pub(super) fn note(&mut self, map: &Map, key: &[u8]) {
        let Some(name) = key.strip_prefix(MEMBERS) else { return };
        let Some(name) = core::str::from_utf8(name).ok().and_then(|name| Name::new(name).ok()) else { return };
        if let Some(former) = self.lines.remove(&name.id())
            && let Some(living) = self.places.get_mut(&former.member.place)
        {
            living.remove(&name.id());
            if living.is_empty() {
                self.places.remove(&former.member.place);
            }
        }
        // What makes no sense was written by nobody of ours.
        let line = map.get(key).and_then(|value| wire::from_bytes::<Line>(value.clone(), VERSION).ok());
        if let Some(line) = line.filter(|line| line.member.name == name) {
            if line.is_up {
                self.places.entry(line.member.place.clone()).or_default().insert(name.id());
            }
            self.lines.insert(name.id(), line);
        }
    }

    /// Everybody who was not expelled.
    pub(super) fn lines(&self) -> impl Iterator<Item = &Line> {
        self.lines.values()
    }

    pub(super) fn line(&self, id: MemberId) -> Option<&Line> {
        self.lines.get(&id)
    }

    pub(super) fn of_place<'a>(&'a self, place: &'a Name) -> impl Iterator<Item = &'a Line> {
        self.lines.values().filter(move |line| line.member.place == *place)
    }

    /// Places where somebody lives.
    pub(super) fn places(&self) -> impl Iterator<Item = &Name> {
        self.places.keys()
    }

    /// The same, but for this one, each with those who live there. An office is no load: whoever is heavier does not get
    /// more of them.
    pub(super) fn elsewhere<'a>(&'a self, own: &'a Name) -> impl Iterator<Item = Owners> {
        let others = self.places.iter().filter(move |(place, _)| *place != own);
        others.map(|(_, living)| Owners::new(living.iter().map(|id| (*id, 1))))
    }
}
