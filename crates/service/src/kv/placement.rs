//! [`Placement`]: which partition holds which key, the same at every node.
//!
//! A list of rules by prefix, first match wins: all keys of a prefix in one
//! group, spread over several by hash, or cut into ranges at split points. What
//! no rule takes is spread by hash over all groups. `{tag}` in a key that is
//! spread by hash stands for the whole key, so that keys with one tag lie
//! together. Where data lies is a format: what is pinned below never changes.

use core::fmt;

use alloc::vec::Vec;

use skein_machine::{GroupId, GroupSet};

use super::xxh64::xxh64;

/// Keys that begin with this go where it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// How the keys begin.
    pub prefix: Vec<u8>,
    /// Where they are.
    pub division: Division,
}

/// Where keys of one kind are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Division {
    /// All in one group.
    Group(GroupId),
    /// Spread over these, by hash.
    Hash(Vec<GroupId>),
    /// In order: below the first point in the first group, and so on. One point less than groups.
    Split {
        /// The groups, by rising keys.
        groups: Vec<GroupId>,
        /// Where each but the first begins.
        points: Vec<Vec<u8>>,
    },
}

/// Where all keys are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placement {
    rules: Vec<Rule>,
    everything: GroupSet,
    groups: Vec<GroupId>,
}

/// Why rules are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PlacementError {
    /// There is no group to hold anything.
    NoGroups,
    /// A rule, counted from 1, spreads keys over no group.
    EmptyRule(usize),
    /// A rule's points do not fit its groups.
    Points(usize),
    /// A rule's points do not rise.
    Order(usize),
    /// A rule names a group that does not exist.
    Unknown(usize, GroupId),
}

impl fmt::Display for PlacementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlacementError::NoGroups => f.write_str("no group holds any keys: name at least one"),
            PlacementError::EmptyRule(rule) => write!(f, "rule {rule} names no group: name one, or take the rule out"),
            PlacementError::Points(rule) => {
                write!(f, "rule {rule} needs one split point less than it has groups")
            }
            PlacementError::Order(rule) => write!(f, "the split points of rule {rule} do not rise: sort them"),
            PlacementError::Unknown(rule, group) => {
                write!(f, "rule {rule} names {group}, which no process belongs to: add it, or take it out of the rule")
            }
        }
    }
}

impl core::error::Error for PlacementError {}

impl Placement {
    /// These rules, and everything else spread over all groups.
    pub fn new(rules: Vec<Rule>, everything: GroupSet) -> Result<Placement, PlacementError> {
        if everything.is_empty() {
            return Err(PlacementError::NoGroups);
        }
        for (nth, rule) in rules.iter().enumerate() {
            let nth = nth + 1;
            let groups = rule.division.groups();
            if groups.is_empty() {
                return Err(PlacementError::EmptyRule(nth));
            }
            if let Some(group) = groups.iter().find(|group| !everything.contains(**group)) {
                return Err(PlacementError::Unknown(nth, *group));
            }
            if let Division::Split { groups, points } = &rule.division {
                if points.len() + 1 != groups.len() {
                    return Err(PlacementError::Points(nth));
                }
                if !points.is_sorted_by(|one, other| one < other) {
                    return Err(PlacementError::Order(nth));
                }
            }
        }
        Ok(Placement { rules, everything, groups: everything.iter().collect() })
    }

    /// All groups that hold keys.
    pub fn everything(&self) -> GroupSet {
        self.everything
    }

    /// The group with so many lower ones.
    pub fn nth(&self, place: usize) -> Option<GroupId> {
        self.groups.get(place).copied()
    }

    /// How many groups are lower than this one.
    pub fn place_of(&self, group: GroupId) -> usize {
        self.groups.partition_point(|have| *have < group)
    }

    /// The group that holds a key.
    pub fn group_of(&self, key: &[u8]) -> GroupId {
        if let [only] = self.groups[..] {
            return only;
        }
        match self.rules.iter().find(|rule| key.starts_with(&rule.prefix)) {
            None => by_hash(&self.groups, key),
            Some(rule) => match &rule.division {
                Division::Group(group) => *group,
                Division::Hash(groups) => by_hash(groups, key),
                Division::Split { groups, points } => groups[points.partition_point(|point| point.as_slice() <= key)],
            },
        }
    }

    /// The groups that can hold a key from `start` up to, but not including,
    /// `end`, which is behind everything if it is empty.
    pub fn touching(&self, start: &[u8], end: &[u8]) -> GroupSet {
        let mut touched = GroupSet::EMPTY;
        let before_end = |key: &[u8]| end.is_empty() || key < end;
        for rule in &self.rules {
            // Keys with the prefix are those from it up to the next word of its length.
            let beyond = !start.starts_with(&rule.prefix) && start > rule.prefix.as_slice();
            if beyond || !before_end(&rule.prefix) {
                continue;
            }
            match &rule.division {
                Division::Group(group) => touched.insert(*group),
                Division::Hash(groups) => groups.iter().for_each(|group| touched.insert(*group)),
                Division::Split { groups, points } => {
                    for (place, group) in groups.iter().enumerate() {
                        let from = if place == 0 { b"".as_slice() } else { &points[place - 1] };
                        let ends_before = points.get(place).is_some_and(|point| point.as_slice() <= start);
                        if !ends_before && before_end(from) {
                            touched.insert(*group);
                        }
                    }
                }
            }
            if start.starts_with(&rule.prefix) && !end.is_empty() && end.starts_with(&rule.prefix) {
                // Both ends have the prefix, and so has everything between.
                return touched;
            }
        }
        touched.or(self.everything)
    }
}

impl Division {
    fn groups(&self) -> &[GroupId] {
        match self {
            Division::Group(group) => core::slice::from_ref(group),
            Division::Hash(groups) | Division::Split { groups, .. } => groups,
        }
    }
}

/// What of a key is hashed: the first `{tag}` that is not empty, or all of it.
fn hashed(key: &[u8]) -> &[u8] {
    let Some(open) = key.iter().position(|byte| *byte == b'{') else { return key };
    let behind = &key[open + 1..];
    match behind.iter().position(|byte| *byte == b'}') {
        None | Some(0) => key,
        Some(close) => &behind[..close],
    }
}

fn by_hash(groups: &[GroupId], key: &[u8]) -> GroupId {
    let place = (u128::from(xxh64(hashed(key))) * groups.len() as u128) >> 64;
    groups[place as usize]
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use alloc::vec;
    use proptest::prelude::*;

    fn group(number: usize) -> GroupId {
        GroupId::new(number).unwrap()
    }

    fn mixed() -> Placement {
        let rules = vec![
            Rule { prefix: b"eu:".to_vec(), division: Division::Group(group(1)) },
            Rule {
                prefix: b"log:".to_vec(),
                division: Division::Split {
                    groups: vec![group(0), group(2), group(3)],
                    points: vec![b"log:h".to_vec(), b"log:p".to_vec()],
                },
            },
            Rule { prefix: b"u".to_vec(), division: Division::Hash(vec![group(2), group(3)]) },
        ];
        Placement::new(rules, GroupSet::first(4)).unwrap()
    }

    /// Where keys lie for ever.
    #[test]
    fn golden_vectors() {
        let placement = Placement::new(Vec::new(), GroupSet::first(8)).unwrap();
        let places: Vec<usize> = ["", "a", "b", "key:1", "key:2", "{key:2}x", "user:{42}:name", "42", "{}a", "x{a"]
            .iter()
            .map(|key| placement.group_of(key.as_bytes()).index())
            .collect();
        assert_eq!(places, GOLDEN);
    }

    const GOLDEN: [usize; 10] = [7, 6, 3, 5, 2, 2, 3, 3, 0, 1];

    #[test]
    fn the_first_rule_that_matches_wins() {
        let placement = mixed();
        let of = |key: &str| placement.group_of(key.as_bytes()).index();
        assert_eq!([of("eu:x"), of("log:a"), of("log:h"), of("log:o"), of("log:p"), of("log:z")], [1, 0, 2, 2, 3, 3]);
        assert!([2, 3].contains(&of("user")));
        assert_eq!(of("u{7}a"), of("u{7}b"));
        assert_eq!(placement.place_of(group(3)), 3);
    }

    #[test]
    fn ranges_touch_what_they_can() {
        let placement = mixed();
        let of = |start: &str, end: &str| placement.touching(start.as_bytes(), end.as_bytes()).to_string();
        assert_eq!(of("eu:a", "eu:b"), "g1");
        assert_eq!(of("log:a", "log:b"), "g0");
        assert_eq!(of("log:a", "log:i"), "g0+g2");
        assert_eq!(of("log:q", "log:r"), "g3");
        assert_eq!(of("u1", "u2"), "g2+g3");
        assert_eq!(of("", ""), "g0+g1+g2+g3");
        assert_eq!(of("a", "b"), "g0+g1+g2+g3");
    }

    #[test]
    fn rules_that_cannot_be() {
        let new = |division| Placement::new(vec![Rule { prefix: Vec::new(), division }], GroupSet::first(2));
        assert_eq!(Placement::new(Vec::new(), GroupSet::EMPTY), Err(PlacementError::NoGroups));
        assert_eq!(new(Division::Hash(Vec::new())), Err(PlacementError::EmptyRule(1)));
        assert_eq!(new(Division::Group(group(2))), Err(PlacementError::Unknown(1, group(2))));
        let split = |points: &[&str]| Division::Split {
            groups: vec![group(0), group(1), group(0)],
            points: points.iter().map(|point| point.as_bytes().to_vec()).collect(),
        };
        assert_eq!(new(split(&["a"])), Err(PlacementError::Points(1)));
        assert_eq!(new(split(&["b", "a"])), Err(PlacementError::Order(1)));
        assert!(new(split(&["a", "b"])).is_ok());
    }

    proptest! {
        #[test]
        fn a_key_in_range_lies_where_the_range_touches(
            start in "[a-z:]{0,5}",
            end in "[a-z:]{0,5}",
            rest in "[a-z:]{0,4}",
            prefix in "(eu:|log:|u|)",
        ) {
            let placement = mixed();
            let key = alloc::format!("{prefix}{rest}");
            if key >= start && (end.is_empty() || key < end) {
                let touched = placement.touching(start.as_bytes(), end.as_bytes());
                prop_assert!(touched.contains(placement.group_of(key.as_bytes())));
            }
        }
    }
}
