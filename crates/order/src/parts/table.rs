//! [`Table`]: a map that is asked for one key at a time, as a replica asks for
//! a message dozens of times on its way. Its hashes are not seeded, and nobody
//! sees in which order it holds what it holds: whoever wants all of it gets it
//! sorted, or asks of each item alone whether it stays.
//!
//! Items stay at their [`Spot`]. Whoever keeps that with a key finds its item
//! again without a search.

use core::fmt;
use core::hash::{BuildHasher, Hash, Hasher};

use alloc::vec::Vec;

use foldhash::fast::FixedState;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Values by key, without an order.
#[derive(Clone)]
pub struct Table<K, V> {
    /// Where the item of each key stands.
    spots: HashTable<u32>,
    items: Vec<Option<(K, V)>>,
    /// Where none does.
    free: Vec<u32>,
}

/// Where an item stood when it was last seen. It says nothing of what is known, only how to find it, so
/// all are equal: two states that differ in nothing else are one.
#[derive(Clone, Copy, Debug)]
pub struct Spot(u32);

impl PartialEq for Spot {
    fn eq(&self, _: &Spot) -> bool {
        true
    }
}

impl Eq for Spot {}

impl Hash for Spot {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

/// The same in every process and every life.
#[inline]
fn hash<K: Hash>(key: &K) -> u64 {
    FixedState::default().hash_one(key)
}

impl<K: Copy + Ord + Hash, V> Table<K, V> {
    /// Nothing yet.
    pub fn new() -> Table<K, V> {
        Table { spots: HashTable::new(), items: Vec::new(), free: Vec::new() }
    }

    /// Where the item of a key stands.
    #[inline]
    pub fn spot(&self, key: &K) -> Option<Spot> {
        self.spots.find(hash(key), |spot| holds(&self.items, *spot, key)).map(|spot| Spot(*spot))
    }

    /// The value of a key.
    #[inline]
    pub fn get(&self, key: &K) -> Option<&V> {
        self.spot(key).map(|spot| self.value(spot))
    }

    /// The same, to be changed.
    #[inline]
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.spot(key).map(|spot| self.value_mut(spot))
    }

    /// The value of a key that stood there. It is searched for if it does not any more.
    #[inline]
    pub fn at(&self, spot: Spot, key: &K) -> Option<&V> {
        if holds(&self.items, spot.0, key) { Some(self.value(spot)) } else { self.get(key) }
    }

    /// The same, to be changed.
    #[inline]
    pub fn at_mut(&mut self, spot: Spot, key: &K) -> Option<&mut V> {
        if holds(&self.items, spot.0, key) { Some(self.value_mut(spot)) } else { self.get_mut(key) }
    }

    #[inline]
    fn value(&self, spot: Spot) -> &V {
        &self.items[spot.0 as usize].as_ref().expect("an item stands at its spot").1
    }

    #[inline]
    fn value_mut(&mut self, spot: Spot) -> &mut V {
        &mut self.items[spot.0 as usize].as_mut().expect("an item stands at its spot").1
    }

    /// The value of a key and where it stands, with `V::default()` if there was none.
    #[inline]
    pub fn enter(&mut self, key: K) -> (Spot, &mut V)
    where
        V: Default,
    {
        let (spot, is_known) = self.place(key);
        let item = &mut self.items[spot.0 as usize];
        if !is_known {
            *item = Some((key, V::default()));
        }
        (spot, &mut item.as_mut().expect("an item stands at its spot").1)
    }

    /// The spot of a key, and whether its item is there already. If not, it has to be put there.
    #[inline]
    fn place(&mut self, key: K) -> (Spot, bool) {
        let (spots, items, free) = (&mut self.spots, &mut self.items, &mut self.free);
        let hash_at = |spot: &u32| hash(&items[*spot as usize].as_ref().expect("an item stands at its spot").0);
        match spots.entry(hash(&key), |spot| holds(items, *spot, &key), hash_at) {
            Entry::Occupied(there) => (Spot(*there.get()), true),
            Entry::Vacant(place) => {
                let spot = free.pop().unwrap_or(items.len() as u32);
                if spot as usize == items.len() {
                    items.push(None);
                }
                place.insert(spot);
                (Spot(spot), false)
            }
        }
    }

    /// Whether there is a value.
    pub fn contains(&self, key: &K) -> bool {
        self.spot(key).is_some()
    }

    /// Puts a value in, and answers the one that was there.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        let (spot, _) = self.place(key);
        self.items[spot.0 as usize].replace((key, value)).map(|(_, before)| before)
    }

    /// Puts a value in for a key that has none, and answers where it stands.
    pub fn insert_new(&mut self, key: K, value: V) -> Spot {
        let (spot, is_known) = self.place(key);
        assert!(!is_known, "a key has two values");
        self.items[spot.0 as usize] = Some((key, value));
        spot
    }

    /// Takes a value out.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.remove_if(key, |_| true)
    }

    /// Takes a value out if it has to go.
    #[inline]
    pub fn remove_if(&mut self, key: &K, goes: impl FnOnce(&V) -> bool) -> Option<V> {
        let entry = self.spots.find_entry(hash(key), |spot| holds(&self.items, *spot, key)).ok()?;
        let item = self.items[*entry.get() as usize].take_if(|(_, value)| goes(value))?;
        let (spot, _) = entry.remove();
        self.free.push(spot);
        Some(item.1)
    }

    /// Keeps what this says of each item by itself.
    pub fn retain(&mut self, stays: impl Fn(&K, &V) -> bool) {
        let (items, free) = (&mut self.items, &mut self.free);
        self.spots.retain(|spot| {
            let item = &mut items[*spot as usize];
            let has_to_go = item.take_if(|(key, value)| !stays(key, value)).is_some();
            if has_to_go {
                free.push(*spot);
            }
            !has_to_go
        });
    }

    /// Whether this holds of every value.
    pub fn all(&self, holds: impl Fn(&V) -> bool) -> bool {
        self.items.iter().flatten().all(|(_, value)| holds(value))
    }

    /// Changes each value by itself.
    pub fn change_each(&mut self, change: impl Fn(&mut V)) {
        self.items.iter_mut().flatten().for_each(|(_, value)| change(value));
    }

    /// All of it, by key: for what is done now and then.
    pub fn sorted(&self) -> Vec<(K, &V)> {
        self.sorted_if(|_| true)
    }

    /// Those that this asks for.
    pub fn sorted_if(&self, is_wanted: impl Fn(&V) -> bool) -> Vec<(K, &V)> {
        let wanted = self.items.iter().flatten().filter(|(_, value)| is_wanted(value));
        let mut wanted: Vec<(K, &V)> = wanted.map(|(key, value)| (*key, value)).collect();
        wanted.sort_unstable_by_key(|(key, _)| *key);
        wanted
    }

    /// The same, to be changed.
    pub fn sorted_mut_if(&mut self, is_wanted: impl Fn(&V) -> bool) -> Vec<(K, &mut V)> {
        let wanted = self.items.iter_mut().flatten().filter(|(_, value)| is_wanted(value));
        let mut wanted: Vec<(K, &mut V)> = wanted.map(|(key, value)| (*key, value)).collect();
        wanted.sort_unstable_by_key(|(key, _)| *key);
        wanted
    }

    /// All of it, by key, taken out.
    pub fn into_sorted(self) -> Vec<(K, V)> {
        let mut all: Vec<(K, V)> = self.items.into_iter().flatten().collect();
        all.sort_unstable_by_key(|(key, _)| *key);
        all
    }

    /// The lowest key that this asks for, and its value: for what is asked now and then.
    pub fn find(&self, is_wanted: impl Fn(&K) -> bool) -> Option<(K, &V)> {
        let wanted = self.items.iter().flatten().filter(|(key, _)| is_wanted(key));
        wanted.min_by_key(|(key, _)| *key).map(|(key, value)| (*key, value))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.spots.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.spots.is_empty()
    }
}

#[inline]
fn holds<K: PartialEq, V>(items: &[Option<(K, V)>], spot: u32, key: &K) -> bool {
    items.get(spot as usize).is_some_and(|item| item.as_ref().is_some_and(|(other, _)| other == key))
}

impl<K: Copy + Ord + Hash, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table::new()
    }
}

impl<K: Copy + Ord + Hash, V: PartialEq> PartialEq for Table<K, V> {
    fn eq(&self, other: &Table<K, V>) -> bool {
        self.len() == other.len() && self.items.iter().flatten().all(|(key, value)| other.get(key) == Some(value))
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
        for key in [3, 4] {
            let (spot, value) = one.enter(key);
            *value += 1;
            assert_eq!(one.spot(&key).map(|spot| spot.0), Some(spot.0));
        }
        assert_ne!(one, other);
        assert_eq!(one.into_sorted(), vec![(1, 10), (2, 20), (3, 31), (4, 1)]);
    }

    #[test]
    fn what_has_left_its_spot_is_searched_for() {
        let mut table = table(&[1, 2]);
        let spot = table.spot(&1).unwrap();
        assert_eq!((table.at(spot, &1), table.at(spot, &2), table.at(spot, &3)), (Some(&10), Some(&20), None));
        table.remove(&1);
        assert_eq!((table.at(spot, &1), table.items.len()), (None, 2));
        table.insert(3, 30);
        assert_eq!((table.at(spot, &3), table.items.len()), (Some(&30), 2), "a spot is used again");
        table.insert(1, 11);
        assert_eq!(table.at_mut(spot, &1), Some(&mut 11));
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
