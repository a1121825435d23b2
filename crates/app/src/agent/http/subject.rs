//! [`Subject`]: what a key of the map is about. The fleet keeps what it knows
//! of itself under keys of its own; here they are read back, for people.

use bytes::Bytes;
use serde::Serialize;
use skein_edge::Name;
use skein_edge::health::{self, Finding, State};
use skein_edge::spread::Line;
use skein_machine::wire::{self, VERSION};

/// What a key is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Subject {
    /// What was found of an origin, seen from a place.
    Finding { place: Name, origin: Name },
    /// A member, as all places know it.
    Line { member: Name },
    /// Something that somebody has put there.
    Fact,
}

/// Keys of findings begin so.
pub(super) const FINDINGS: &[u8] = b"@origin/";

/// Keys of members' lines begin so.
pub(super) const LINES: &[u8] = b"@member/";

impl Subject {
    pub(super) fn of(key: &[u8]) -> Subject {
        Subject::of_finding(key).or_else(|| Subject::of_line(key)).unwrap_or(Subject::Fact)
    }

    fn of_finding(key: &[u8]) -> Option<Subject> {
        let (place, origin) = std::str::from_utf8(key.strip_prefix(FINDINGS)?).ok()?.split_once('/')?;
        let (place, origin) = (Name::new(place).ok()?, Name::new(origin).ok()?);
        // The crate that writes such keys says how they look.
        (health::key(&place, &origin) == key).then_some(Subject::Finding { place, origin })
    }

    fn of_line(key: &[u8]) -> Option<Subject> {
        let member = std::str::from_utf8(key.strip_prefix(LINES)?).ok()?;
        Some(Subject::Line { member: Name::new(member).ok()? })
    }
}

/// What was found, if these bytes say so. What makes no sense was written by nobody of ours. It has memory of its own:
/// what is kept for longer than the map keeps it must not hold on to all that came with it.
pub(super) fn finding(value: &[u8]) -> Option<Finding> {
    wire::from_bytes(Bytes::copy_from_slice(value), VERSION).ok()
}

/// A member's line, if these bytes are one.
pub(super) fn line(value: &Bytes) -> Option<Line> {
    wire::from_bytes(value.clone(), VERSION).ok()
}

/// How an origin is, in a word. Nobody may have found out yet.
pub(super) fn word(state: Option<State>) -> &'static str {
    match state {
        Some(State::Up) => "up",
        Some(State::Down) => "down",
        None => "unknown",
    }
}

/// A value of the fleet's own, for people.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Decoded {
    Finding { state: &'static str, by: String, why: String },
    Member { name: String, place: String, address: String, weight: u32, life: u64, is_up: bool },
}

impl Decoded {
    pub(super) fn of(key: &[u8], value: &Bytes) -> Option<Decoded> {
        match Subject::of(key) {
            Subject::Finding { .. } => {
                let Finding { state, by, why } = finding(value)?;
                let why = String::from_utf8_lossy(&why).into_owned();
                Some(Decoded::Finding { state: word(Some(state)), by: by.to_string(), why })
            }
            Subject::Line { .. } => {
                let Line { member, is_up } = line(value)?;
                Some(Decoded::Member {
                    name: member.name.to_string(),
                    place: member.place.to_string(),
                    address: member.address.to_string(),
                    weight: member.weight,
                    life: member.life,
                    is_up,
                })
            }
            Subject::Fact => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_the_fleet_are_read_back_and_others_are_facts() {
        let name = |text: &str| Name::new(text).unwrap();
        let key = health::key(&name("cph"), &name("shop.example:443"));
        assert_eq!(Subject::of(&key), Subject::Finding { place: name("cph"), origin: name("shop.example:443") });
        assert_eq!(Subject::of(b"@member/a-1"), Subject::Line { member: name("a-1") });
        for odd in ["@origin/cph", "@origin/cph/a/b", "@origin//a", "@member/", "@member/a b", "origin/cph/a", "@other"]
        {
            assert_eq!(Subject::of(odd.as_bytes()), Subject::Fact, "{odd}");
        }
        assert_eq!(Subject::of(b"@member/\xff"), Subject::Fact);
    }

    #[test]
    fn values_that_make_no_sense_are_not_decoded() {
        let by = Name::new("a").unwrap();
        let value = wire::to_bytes(&Finding { state: State::Down, by, why: Bytes::from_static(b"refused \xff") });
        let Some(Decoded::Finding { state, by, why }) = Decoded::of(b"@origin/p/o", &value) else {
            panic!("{value:?}")
        };
        assert_eq!((state, by.as_str(), why.as_str()), ("down", "a", "refused \u{fffd}"));
        assert!(Decoded::of(b"@origin/p/o", &Bytes::from_static(b"nonsense")).is_none());
        assert!(Decoded::of(b"@member/a", &value).is_none() && Decoded::of(b"o", &value).is_none());
    }
}
