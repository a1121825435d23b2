//! [`Few`]: values by key where there are as many as a group has replicas. A
//! list in order: to look through it is faster than any search.

use core::ops::Index;

use alloc::vec::Vec;

/// A few values by key, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Few<K, V> {
    items: Vec<(K, V)>,
}

impl<K: Copy + Ord, V> Few<K, V> {
    /// None yet.
    pub const fn new() -> Few<K, V> {
        Few { items: Vec::new() }
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.items.iter().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.items.iter_mut().find(|(other, _)| other == key).map(|(_, value)| value)
    }

    /// Puts a value in, and answers the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.items.binary_search_by_key(&key, |(other, _)| *other) {
            Ok(place) => Some(core::mem::replace(&mut self.items[place].1, value)),
            Err(place) => {
                self.items.insert(place, (key, value));
                None
            }
        }
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&K, &V)> + Clone {
        self.items.iter().map(|(key, value)| (key, value))
    }

    /// All keys.
    pub fn keys(&self) -> impl Iterator<Item = &K> + Clone {
        self.items.iter().map(|(key, _)| key)
    }

    /// All values.
    pub fn values(&self) -> impl Iterator<Item = &V> + Clone {
        self.items.iter().map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn values_mut(&mut self) -> impl Iterator<Item = &mut V> {
        self.items.iter_mut().map(|(_, value)| value)
    }
}

impl<K: Copy + Ord, V> Default for Few<K, V> {
    fn default() -> Few<K, V> {
        Few::new()
    }
}

impl<K: Copy + Ord, V> Index<&K> for Few<K, V> {
    type Output = V;

    #[inline]
    fn index(&self, key: &K) -> &V {
        self.get(key).expect("it is one of the few")
    }
}

impl<K: Copy + Ord, V> FromIterator<(K, V)> for Few<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(items: I) -> Few<K, V> {
        let mut few = Few::new();
        for (key, value) in items {
            few.insert(key, value);
        }
        few
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn they_stand_in_order() {
        let mut few: Few<u8, u32> = [(3, 30), (1, 10)].into_iter().collect();
        assert_eq!((few.insert(2, 20), few.insert(3, 33)), (None, Some(30)));
        *few.get_mut(&1).unwrap() += 1;
        few.values_mut().for_each(|value| *value += 1);
        assert!(few.iter().eq([(&1, &12), (&2, &21), (&3, &34)]));
        assert!(few.keys().eq([&1, &2, &3]) && few.values().eq([&12, &21, &34]));
        assert_eq!((few[&2], few.get(&4)), (21, None));
    }
}
