//! [`Names`]: what lists are called in the store, and where they lie. A list is
//! a list of Redis or a string of numbers of eight digits each. Most have a
//! generation: when enough was appended to one, the next has its turn, so that
//! nobody has to read for long and there are always some that are new.

use std::sync::Arc;

use skein_machine::{GroupId, GroupSet};
use skein_service::kv::{Division, Placement, Rule};
use skein_sim::check::linear::{Element, Key};

/// Lists that somebody may be the first to append to, and nobody twice by name: numbered from here on.
const FIRSTS: Key = 1 << 40;

/// Lamps are numbered from here on.
const LAMPS: Key = 1 << 41;

/// So many of the [`Names::first`] are in use at a time.
pub(super) const WINDOW: u64 = 4;

/// Digits of a number in a string.
const DIGITS: usize = 8;

/// What a key holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    List,
    String,
    /// Something that goes out at its deadline.
    Lamp,
}

/// See above.
#[derive(Clone, Debug)]
pub(super) struct Names {
    groups: u64,
    pub(super) placement: Arc<Placement>,
}

impl Names {
    /// For so many partitions: most keys are spread by hash, and each partition has a prefix of its own.
    pub(super) fn new(groups: usize) -> Names {
        let rule = |group| Rule { prefix: home(group).into_bytes(), division: Division::Group(group) };
        let all = GroupSet::first(groups);
        let placement = Placement::new(all.iter().map(rule).collect(), all).expect("every group exists");
        Names { groups: groups as u64, placement: Arc::new(placement) }
    }

    /// Lists of Redis in a generation.
    fn lists(&self) -> u64 {
        2 * self.groups + 1
    }

    /// Strings that are spread.
    fn strings(&self) -> u64 {
        self.groups + 1
    }

    /// Keys of a generation.
    pub(super) fn width(&self) -> u64 {
        self.lists() + self.strings() + self.groups
    }

    /// All keys of a generation.
    pub(super) fn generation(&self, number: u64) -> std::ops::Range<Key> {
        number * self.width()..(number + 1) * self.width()
    }

    /// One that has no generation, and of which kind it is.
    pub(super) fn first(&self, number: u64, kind: Kind) -> Key {
        FIRSTS + 2 * number + u64::from(kind == Kind::String)
    }

    pub(super) fn lamp(&self, number: Element) -> Key {
        LAMPS + number
    }

    pub(super) fn kind_of(&self, key: Key) -> Kind {
        match key {
            LAMPS.. => Kind::Lamp,
            FIRSTS.. if key % 2 == 1 => Kind::String,
            FIRSTS.. => Kind::List,
            _ if key % self.width() < self.lists() => Kind::List,
            _ => Kind::String,
        }
    }

    pub(super) fn name_of(&self, key: Key) -> String {
        let (generation, place) = (key / self.width(), key % self.width());
        match key {
            LAMPS.. => format!("lamp:{}", key - LAMPS),
            FIRSTS.. => format!("first:{}", key - FIRSTS),
            _ if place < self.lists() => format!("list:{generation:04}:{place}"),
            _ if place < self.lists() + self.strings() => format!("str:{generation:04}:{}", place - self.lists()),
            _ => {
                let group = GroupId::new((place - self.lists() - self.strings()) as usize);
                format!("{}{generation:04}", home(group.expect("there is such a group")))
            }
        }
    }

    pub(super) fn group_of(&self, key: Key) -> GroupId {
        self.placement.group_of(self.name_of(key).as_bytes())
    }

    /// All strings of a generation that are spread, and what they lie between.
    pub(super) fn strings_of(&self, generation: u64) -> (Vec<Key>, String, String) {
        let first = generation * self.width() + self.lists();
        let between = |end| format!("str:{generation:04}{end}");
        ((first..first + self.strings()).collect(), between(':'), between(';'))
    }

    /// The strings of one partition up to a generation, and what they lie between.
    pub(super) fn strings_at(&self, group: GroupId, upto: u64) -> (Vec<Key>, String, String) {
        let place = self.lists() + self.strings() + group.index() as u64;
        // Not too many for a walk in small steps.
        let since = upto.saturating_sub(4);
        let keys = (since..=upto).map(|generation| generation * self.width() + place);
        (keys.collect(), format!("{}{since:04}", home(group)), format!("{}{:04}", home(group), upto + 1))
    }
}

/// How keys of one partition begin. Its letters stand for nothing.
fn home(group: GroupId) -> String {
    format!("home{:02}:", group.index())
}

/// A list as a string.
pub(super) fn text(list: &[Element]) -> String {
    list.iter().map(|element| format!("{element:0DIGITS$}")).collect()
}

/// The list that a string is.
pub(super) fn parse(text: &[u8]) -> Option<Vec<Element>> {
    let chunks = text.chunks(DIGITS);
    let element =
        |chunk: &[u8]| if chunk.len() == DIGITS { std::str::from_utf8(chunk).ok()?.parse().ok() } else { None };
    chunks.map(element).collect()
}

/// How many elements a string of so many bytes has.
pub(super) fn count(bytes: u64) -> Option<u64> {
    bytes.is_multiple_of(DIGITS as u64).then_some(bytes / DIGITS as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_a_name_and_lies_where_it_should() {
        let names = Names::new(3);
        assert_eq!(names.width(), 7 + 4 + 3);
        let told: Vec<String> = [0, 6, 7, 10, 11, 13, 14].map(|key| names.name_of(key)).to_vec();
        let expected =
            ["list:0000:0", "list:0000:6", "str:0000:0", "str:0000:3", "home00:0000", "home02:0000", "list:0001:0"];
        assert_eq!(told, expected);
        assert_eq!(names.group_of(13).index(), 2);
        let (keys, start, end) = names.strings_of(1);
        let within = |key: &Key| (start.as_str()..end.as_str()).contains(&names.name_of(*key).as_str());
        assert!(keys.len() == 4 && keys.iter().all(within) && !within(&14) && !within(&7));
        let group = GroupId::new(2).unwrap();
        let (keys, start, end) = names.strings_at(group, 1);
        assert_eq!((&keys[..], &start[..], &end[..]), (&[13, 27][..], "home02:0000", "home02:0002"));
        let touched = names.placement.touching(start.as_bytes(), end.as_bytes());
        assert_eq!(touched, [group].into_iter().collect(), "a walk at home concerns nobody else");
        let kinds = [0, 7, names.first(3, Kind::String), names.first(3, Kind::List), names.lamp(1)];
        let kinds = kinds.map(|key| names.kind_of(key));
        assert_eq!(kinds, [Kind::List, Kind::String, Kind::String, Kind::List, Kind::Lamp]);
    }

    #[test]
    fn a_string_is_a_list() {
        assert_eq!(parse(text(&[7, 12_345_678]).as_bytes()), Some(vec![7, 12_345_678]));
        assert_eq!((parse(b"0000007"), parse(b"0000000x"), parse(b"")), (None, None, Some(vec![])));
        assert_eq!((count(16), count(9)), (Some(2), None));
    }
}
