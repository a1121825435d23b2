//! [`ByGroup`]: one value for each of some groups, found by its number. There
//! are few groups, and they are asked for with every message.

use core::ops::Index;

use alloc::vec::Vec;

use skein_machine::GroupId;

/// Values by group, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ByGroup<T> {
    /// Nothing for groups that have none.
    values: Vec<Option<T>>,
}

impl<T> ByGroup<T> {
    /// The value of a group.
    #[inline]
    pub fn get(&self, group: GroupId) -> Option<&T> {
        self.values.get(group.index())?.as_ref()
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, group: GroupId) -> Option<&mut T> {
        self.values.get_mut(group.index())?.as_mut()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &T)> {
        let group = |number| GroupId::new(number).expect("every value was put in by its group");
        let values = self.values.iter().enumerate();
        values.filter_map(move |(number, value)| value.as_ref().map(|value| (group(number), value)))
    }

    /// All of them, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.values.iter_mut().flatten()
    }
}

impl<T> Index<GroupId> for ByGroup<T> {
    type Output = T;

    #[inline]
    fn index(&self, group: GroupId) -> &T {
        self.get(group).unwrap_or_else(|| panic!("nothing is known of {group}"))
    }
}

impl<T> FromIterator<(GroupId, T)> for ByGroup<T> {
    fn from_iter<I: IntoIterator<Item = (GroupId, T)>>(values: I) -> ByGroup<T> {
        let mut by_group = ByGroup { values: Vec::new() };
        for (group, value) in values {
            if by_group.values.len() <= group.index() {
                by_group.values.resize_with(group.index() + 1, || None);
            }
            by_group.values[group.index()] = Some(value);
        }
        by_group
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_groups_have_a_value() {
        let group = |number| GroupId::new(number).unwrap();
        let mut values: ByGroup<u32> = [(group(2), 20), (group(0), 0)].into_iter().collect();
        *values.get_mut(group(2)).unwrap() += 1;
        values.values_mut().for_each(|value| *value += 1);
        assert!(values.iter().eq([(group(0), &1), (group(2), &22)]));
        assert_eq!((values[group(2)], values.get(group(1)), values.get(group(9))), (22, None, None));
    }
}
