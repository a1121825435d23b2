//! [`Directory`]: who the members of all places are, kept in the map itself.
//! Every member writes a line of its own when it begins; when it dies, one of
//! its place notes that, and after a long time removes the line, which expels
//! it. Within a place the gossip knows better and sooner who lives.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Wire;
use skein_machine::wire::{self, Reader, VERSION, WireError, Writer};

use crate::map::Map;
use crate::owners::Owners;
use crate::{Member, MemberId, Name};

/// Keys that begin so are the map's own.
pub const RESERVED: &[u8] = b"@";

/// Before the name of a member in the key of its line.
const PREFIX: &[u8] = b"@member/";

/// What is known of a member everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Who it is. Its life is the one in which it writes to the map.
    pub member: Member,
    /// Whether it lives, as far as its place knows.
    pub is_up: bool,
}

/// All lines, by place.
#[derive(Clone, Debug, Default)]
pub(super) struct Directory {
    lines: BTreeMap<MemberId, Line>,
    /// The living of each place, among whom its offices are divided.
    places: BTreeMap<Name, Owners>,
}

/// The key of a member's line.
pub(super) fn key(name: &Name) -> Vec<u8> {
    [PREFIX, name.as_str().as_bytes()].concat()
}

pub(super) fn is_line(key: &[u8]) -> bool {
    key.starts_with(PREFIX)
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
    /// As the map has it.
    pub(super) fn read(map: &Map) -> Directory {
        // What makes no sense was written by nobody of ours.
        let lines = map.with_prefix(PREFIX).filter_map(|(_, value)| wire::from_bytes(value.clone(), VERSION).ok());
        let lines: BTreeMap<_, _> = lines.map(|line: Line| (line.member.id(), line)).collect();
        let mut living: BTreeMap<Name, Vec<(MemberId, u32)>> = BTreeMap::new();
        for line in lines.values() {
            let place = living.entry(line.member.place.clone()).or_default();
            if line.is_up {
                // An office is no load: whoever is heavier does not get more of them.
                place.push((line.member.id(), 1));
            }
        }
        let places = living.into_iter().map(|(place, living)| (place, Owners::new(living))).collect();
        Directory { lines, places }
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

    /// Places where somebody lives, and who of them has offices.
    pub(super) fn places(&self) -> impl Iterator<Item = (&Name, &Owners)> {
        self.places.iter().filter(|(_, owners)| owners.members().len() > 0)
    }
}
