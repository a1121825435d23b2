//! [`Recent`]: the newest of many things, by name. A bound for what nobody
//! takes back: the oldest is forgotten first.

use alloc::collections::{BTreeMap, VecDeque};

/// At most so many values by key; beyond that the one that was first there goes.
#[derive(Clone, Debug, Hash)]
pub struct Recent<K, V> {
    values: BTreeMap<K, V>,
    /// Keys by age. One that was removed stands here until its turn.
    ages: VecDeque<K>,
    most: usize,
}

impl<K: Ord + Copy, V> Recent<K, V> {
    /// Nothing yet.
    pub fn new(most: usize) -> Recent<K, V> {
        Recent { values: BTreeMap::new(), ages: VecDeque::new(), most }
    }

    /// Remembers a value. One that is known keeps its age.
    pub fn insert(&mut self, key: K, value: V) {
        if self.values.insert(key, value).is_none() {
            self.ages.push_back(key);
        }
        while self.ages.len() > self.most {
            if let Some(oldest) = self.ages.pop_front() {
                self.values.remove(&oldest);
            }
        }
    }

    /// What is remembered of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.values.get(key)
    }

    /// Forgets a key.
    pub fn remove(&mut self, key: &K) {
        if self.values.remove(key).is_some() {
            self.ages.retain(|other| other != key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_forgotten_first() {
        let mut recent = Recent::new(2);
        recent.insert(9, "a");
        recent.insert(1, "b");
        recent.insert(9, "c");
        recent.insert(5, "d");
        assert_eq!((recent.get(&9), recent.get(&1), recent.get(&5)), (None, Some(&"b"), Some(&"d")));
        recent.remove(&1);
        recent.insert(7, "e");
        assert_eq!((recent.get(&5), recent.get(&7)), (Some(&"d"), Some(&"e")), "what was removed takes no place");
    }
}
