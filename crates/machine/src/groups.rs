//! Groups and sets of groups. A destination set is one word: at most
//! [`MAX_GROUPS`] groups, so that a set travels, hashes and compares for free.

use core::fmt;

/// How many groups one cluster may have. One bit each in a [`GroupSet`].
pub const MAX_GROUPS: usize = 64;

/// One group of replicas, which orders and holds one partition.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(u8);

impl GroupId {
    /// The group with this number, or `None` past [`MAX_GROUPS`].
    pub const fn new(number: usize) -> Option<GroupId> {
        if number < MAX_GROUPS { Some(GroupId(number as u8)) } else { None }
    }

    /// The group's number, from 0.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// A set of groups, such as the destinations of a message.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupSet(u64);

impl GroupSet {
    /// No group at all.
    pub const EMPTY: GroupSet = GroupSet(0);

    /// The first `count` groups.
    pub fn first(count: usize) -> GroupSet {
        assert!(count <= MAX_GROUPS, "a cluster has at most {MAX_GROUPS} groups, not {count}");
        if count == MAX_GROUPS { GroupSet(u64::MAX) } else { GroupSet((1 << count) - 1) }
    }

    /// The set as a word, one bit a group.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// The set that this word describes.
    pub const fn from_bits(bits: u64) -> GroupSet {
        GroupSet(bits)
    }

    /// Adds a group.
    pub fn insert(&mut self, group: GroupId) {
        self.0 |= 1 << group.0;
    }

    /// Takes a group out.
    pub fn remove(&mut self, group: GroupId) {
        self.0 &= !(1 << group.0);
    }

    /// The set without this group.
    #[must_use]
    pub const fn without(self, group: GroupId) -> GroupSet {
        GroupSet(self.0 & !(1 << group.0))
    }

    /// Whether the group is in the set.
    pub const fn contains(self, group: GroupId) -> bool {
        self.0 >> group.0 & 1 == 1
    }

    /// How many groups.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Groups that are in both.
    pub const fn and(self, other: GroupSet) -> GroupSet {
        GroupSet(self.0 & other.0)
    }

    /// Groups that are in either.
    pub const fn or(self, other: GroupSet) -> GroupSet {
        GroupSet(self.0 | other.0)
    }

    /// Whether every group of this set is in `other` too.
    pub const fn within(self, other: GroupSet) -> bool {
        self.0 & !other.0 == 0
    }

    /// The groups in rising order.
    pub fn iter(self) -> impl Iterator<Item = GroupId> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            if left == 0 {
                return None;
            }
            let lowest = left.trailing_zeros() as u8;
            left &= left - 1;
            Some(GroupId(lowest))
        })
    }
}

impl FromIterator<GroupId> for GroupSet {
    fn from_iter<I: IntoIterator<Item = GroupId>>(groups: I) -> GroupSet {
        let mut set = GroupSet::EMPTY;
        for group in groups {
            set.insert(group);
        }
        set
    }
}

impl fmt::Display for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "g{}", self.0)
    }
}

impl fmt::Debug for GroupId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nobody");
        }
        for (nth, group) in self.iter().enumerate() {
            if nth > 0 {
                f.write_str("+")?;
            }
            write!(f, "{group}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for GroupSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec::Vec};

    fn group(number: usize) -> GroupId {
        GroupId::new(number).unwrap()
    }

    #[test]
    fn the_sixty_fourth_group_is_the_last() {
        assert!(GroupId::new(63).is_some());
        assert!(GroupId::new(64).is_none());
        assert_eq!(GroupSet::first(64).len(), 64);
        assert!(GroupSet::first(64).contains(group(63)));
    }

    #[test]
    fn a_set_holds_what_was_put_in() {
        let mut set: GroupSet = [group(5), group(0), group(63)].into_iter().collect();
        assert_eq!(set.iter().map(GroupId::index).collect::<Vec<_>>(), [0, 5, 63]);
        set.remove(group(5));
        assert_eq!(format!("{set} {}", GroupSet::EMPTY), "g0+g63 nobody");
        assert!(set.within(GroupSet::first(64)) && !set.within(GroupSet::first(63)));
        assert_eq!(set.and(GroupSet::first(3)), GroupSet::first(1));
    }
}
