//! [`Row`]: values whose keys come in rising order, and go about as they came.
//! Both ends cost next to nothing. A key that comes late, or goes early, moves
//! what stands between it and the nearer end.

use alloc::collections::VecDeque;

/// Values by key, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Row<K, V> {
    items: VecDeque<(K, V)>,
}

impl<K: Copy + Ord, V> Row<K, V> {
    /// Nothing yet.
    pub fn new() -> Row<K, V> {
        Row { items: VecDeque::new() }
    }

    fn place(&self, key: &K) -> Result<usize, usize> {
        self.items.binary_search_by(|(other, _)| other.cmp(key))
    }

    /// Puts a value in, in place of the one that was there.
    #[inline]
    pub fn insert(&mut self, key: K, value: V) {
        if self.last().is_none_or(|(last, _)| *last < key) {
            self.items.push_back((key, value));
        } else {
            self.insert_late(key, value);
        }
    }

    fn insert_late(&mut self, key: K, value: V) {
        match self.place(&key) {
            Ok(place) => self.items[place].1 = value,
            Err(place) => self.items.insert(place, (key, value)),
        }
    }

    /// Takes a value out.
    #[inline]
    pub fn remove(&mut self, key: &K) -> Option<V> {
        if self.first().is_some_and(|(first, _)| first == key) {
            return self.pop_first().map(|(_, value)| value);
        }
        self.remove_early(key)
    }

    fn remove_early(&mut self, key: &K) -> Option<V> {
        let place = self.place(key).ok()?;
        self.items.remove(place).map(|(_, value)| value)
    }

    /// Whether there is a value.
    pub fn contains(&self, key: &K) -> bool {
        self.place(key).is_ok()
    }

    /// The lowest key and its value.
    #[inline]
    pub fn first(&self) -> Option<&(K, V)> {
        self.items.front()
    }

    /// The highest key and its value.
    #[inline]
    pub fn last(&self) -> Option<&(K, V)> {
        self.items.back()
    }

    /// Takes the lowest key and its value out.
    #[inline]
    pub fn pop_first(&mut self) -> Option<(K, V)> {
        self.items.pop_front()
    }

    /// Everything, by key.
    pub fn iter(&self) -> impl Iterator<Item = &(K, V)> {
        self.items.iter()
    }

    /// Keeps what this says of each item; it is asked in order.
    pub fn retain(&mut self, mut stays: impl FnMut(&K, &V) -> bool) {
        self.items.retain(|(key, value)| stays(key, value));
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.items.clear();
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<K: Copy + Ord, V> Default for Row<K, V> {
    fn default() -> Row<K, V> {
        Row::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::collections::BTreeMap;
    use alloc::vec::Vec;
    use proptest::prelude::*;

    proptest! {
        /// Whatever comes and goes, and when: it is a map.
        #[test]
        fn it_is_a_map(steps in proptest::collection::vec((0u8..20, any::<Option<u8>>()), 0..60)) {
            let (mut row, mut map) = (Row::new(), BTreeMap::new());
            for (key, value) in steps {
                match value {
                    Some(value) => {
                        row.insert(key, value);
                        map.insert(key, value);
                    }
                    None => prop_assert_eq!(row.remove(&key), map.remove(&key)),
                }
                prop_assert_eq!(row.contains(&key), map.contains_key(&key));
            }
            let ends = (row.first().copied(), row.last().copied());
            prop_assert_eq!(ends, (map.iter().next().map(|(k, v)| (*k, *v)), map.iter().last().map(|(k, v)| (*k, *v))));
            row.retain(|key, _| key % 2 == 0);
            map.retain(|key, _| key % 2 == 0);
            prop_assert_eq!((row.is_empty(), row.len()), (map.is_empty(), map.len()));
            prop_assert_eq!(row.iter().copied().collect::<Vec<_>>(), map.clone().into_iter().collect::<Vec<_>>());
            prop_assert_eq!(row.pop_first(), map.pop_first());
            row.clear();
            prop_assert!(row.is_empty());
        }
    }
}
