//! [`Table`]: a map that is asked for one key at a time, as a replica asks for
//! a message dozens of times on its way. Its hashes are not seeded, and nobody
//! sees in which order it holds what it holds: whoever wants all of it gets it
//! sorted, or asks of each item alone whether it stays.

use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Values by key, without an order.
#[derive(Clone)]
pub struct Table<K, V> {
    items: HashTable<(K, V)>,
}

/// The same in every process and every life.
fn hash<K: Hash>(key: &K) -> u64 {
    FixedState::default().hash_one(key)
}

impl<K: Copy + Ord + Hash, V> Table<K, V> {
    /// Nothing yet.
    pub fn new() -> Table<K, V> {
        Table { items: HashTable::new() }
    }

    /// The value of a key.
    pub fn get(&self, key: &K) -> Option<&V> {
        self.items.find(hash(key), |(other, _)| other == key).map(|(_, value)| value)
    }

    /// The same, to be changed.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.items.find_mut(hash(key), |(other, _)| other == key).map(|(_, value)| value)
    }

    /// The value of a key, which is `V::default()` if there was none.
    pub fn get_or_default(&mut self, key: K) -> &mut V
    where
        V: Default,
    {
        let entry = self.items.entry(hash(&key), |(other, _)| *other == key, |(other, _)| hash(other));
        &mut entry.or_insert_with(|| (key, V::default())).into_mut().1
    }

    /// Whether there is a value.
    pub fn contains(&self, key: &K) -> bool {
        self.get(key).is_some()
    }

    /// Puts a value in, and answers the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.items.entry(hash(&key), |(other, _)| *other == key, |(other, _)| hash(other)) {
            Entry::Occupied(mut there) => Some(core::mem::replace(&mut there.get_mut().1, value)),
            Entry::Vacant(place) => {
                place.insert((key, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        let entry = self.items.find_entry(hash(key), |(other, _)| other == key).ok()?;
        Some(entry.remove().0.1)
    }

    /// Keeps what this says of each item by itself.
    pub fn retain(&mut self, stays: impl Fn(&K, &V) -> bool) {
        self.items.retain(|(key, value)| stays(key, value));
    }

    /// Whether this holds of every value.
    pub fn all(&self, holds: impl Fn(&V) -> bool) -> bool {
        self.items.iter().all(|(_, value)| holds(value))
    }

    /// Changes each value by itself.
    pub fn change_each(&mut self, change: impl Fn(&mut V)) {
        self.items.iter_mut().for_each(|(_, value)| change(value));
    }

    /// All of it, by key: for what is done now and then.
    pub fn sorted(&self) -> Vec<(K, &V)> {
        self.sorted_if(|_| true)
    }

    /// Those that this asks for.
    pub fn sorted_if(&self, is_wanted: impl Fn(&V) -> bool) -> Vec<(K, &V)> {
        let wanted = self.items.iter().filter(|(_, value)| is_wanted(value));
        let mut wanted: Vec<(K, &V)> = wanted.map(|(key, value)| (*key, value)).collect();
        wanted.sort_unstable_by_key(|(key, _)| *key);
        wanted
    }

    /// The same, to be changed.
    pub fn sorted_mut_if(&mut self, is_wanted: impl Fn(&V) -> bool) -> Vec<(K, &mut V)> {
        let wanted = self.items.iter_mut().filter(|(_, value)| is_wanted(value));
        let mut wanted: Vec<(K, &mut V)> = wanted.map(|(key, value)| (*key, value)).collect();
        wanted.sort_unstable_by_key(|(key, _)| *key);
        wanted
    }

    /// All of it, by key, taken out.
    pub fn into_sorted(self) -> Vec<(K, V)> {
        let mut all: Vec<(K, V)> = self.items.into_iter().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// The lowest key that this asks for, and its value: for what is asked now and then.
    pub fn find(&self, is_wanted: impl Fn(&K) -> bool) -> Option<(K, &V)> {
        let wanted = self.items.iter().filter(|(key, _)| is_wanted(key));
        wanted.min_by_key(|(key, _)| *key).map(|(key, value)| (*key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl<K: Copy + Ord + Hash, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table::new()
    }
}

impl<K: Copy + Ord + Hash, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        self.len() == other.len() && self.items.iter().all(|(key, value)| other.get(key) == Some(value))
    }
}

impl<K: Copy + Ord + Hash, V: Eq> Eq for Table<K, V> {}

/// Equal tables hash alike, whatever was done to them before.
impl<K: Copy + Ord + Hash, V: Hash> Hash for Table<K, V> {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.sorted().hash(hasher);
    }
}

impl<K: Copy + Ord + Hash + fmt::Debug, V: fmt::Debug> fmt::Debug for Table<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.sorted()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn table(keys: &[u64]) -> Table<u64, u64> {
        let mut table = Table::new();
        keys.iter().for_each(|key| assert_eq!(table.insert(*key, key * 10), None));
        table
    }

    #[test]
    fn nobody_sees_an_order() {
        let (mut one, mut other) = (table(&[3, 1, 2, 9]), table(&[2, 8, 3, 1]));
        assert_eq!((one.remove(&9), other.remove(&8), other.remove(&8)), (Some(90), Some(80), None));
        assert_eq!(one.sorted(), vec![(1, &10), (2, &20), (3, &30)]);
        assert_eq!((one == other, hash(&one) == hash(&other)), (true, true));
        *one.get_or_default(3) += 1;
        *one.get_or_default(4) += 1;
        assert_ne!(one, other);
        assert_eq!(one.into_sorted(), vec![(1, 10), (2, 20), (3, 31), (4, 1)]);
    }

    #[test]
    fn some_stay() {
        let mut table = table(&[1, 2, 3, 4]);
        table.change_each(|value| *value += 1);
        assert!(table.all(|value| value % 10 == 1) && !table.all(|value| *value > 11));
        table.retain(|key, _| key % 2 == 0);
        assert_eq!(table.sorted_mut_if(|value| *value > 30), vec![(4, &mut 41)]);
        assert!(!table.contains(&1) && table.get(&2) == Some(&21) && table.len() == 2 && !table.is_empty());
    }
}
