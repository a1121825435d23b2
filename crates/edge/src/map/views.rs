//! What values may mean: [`Register`], [`Counter`], [`Set`] and [`Flag`], each
//! a view of some keys of a [`Map`]. They hold nothing themselves, and merge
//! because the map does.
//!
//! A view that has parts keeps each under a key of its own: the name of the
//! view, a zero byte, and the name of the part. So two members that change
//! different parts do not disturb each other, and no view's name has a zero in
//! it.

use alloc::vec::Vec;

use bytes::Bytes;

use super::{Key, MAX_KEY, Map, Refused};
use crate::dots::Dot;

/// A value of which the latest counts, by the clocks of those who set it.
#[derive(Clone, Debug)]
pub struct Register(Key);

/// A number to which everybody adds.
#[derive(Clone, Debug)]
pub struct Counter(Key);

/// A set from which something is removed only if whoever removes it has seen it there.
#[derive(Clone, Debug)]
pub struct Set(Key);

/// Raised or not; whoever raises it wins against those who lower it at the same time.
#[derive(Clone, Debug)]
pub struct Flag(Key);

/// Between the name of a view and that of a part.
const SEPARATOR: u8 = 0;

fn name(name: &[u8]) -> Result<Key, Refused> {
    match name.contains(&SEPARATOR) || name.len() > MAX_KEY {
        true => Err(Refused::Name),
        false => Ok(name.into()),
    }
}

fn part(view: &[u8], part: &[u8]) -> Vec<u8> {
    [view, &[SEPARATOR], part].concat()
}

impl Register {
    /// The register of this name.
    pub fn new(key: &[u8]) -> Result<Register, Refused> {
        Ok(Register(name(key)?))
    }

    /// Sets it. What stood here counts as earlier whatever its time says, for it was seen.
    pub fn set(&self, map: &mut Map, time: u64, value: &[u8]) -> Result<Dot, Refused> {
        let latest = self.latest(map).map_or(0, |(seen, _)| seen.saturating_add(1));
        let mut bytes = time.max(latest).to_le_bytes().to_vec();
        bytes.extend_from_slice(value);
        map.put(&self.0, bytes.into())
    }

    /// The latest value.
    pub fn get(&self, map: &Map) -> Option<Bytes> {
        self.latest(map).map(|(_, value)| value)
    }

    /// Of values of the same time the one of the higher dot, as good as any.
    fn latest(&self, map: &Map) -> Option<(u64, Bytes)> {
        let timed = map.values(&self.0).filter_map(|(dot, bytes)| {
            let time = u64::from_le_bytes(*bytes.first_chunk()?);
            Some((time, dot, bytes.slice(size_of::<u64>()..)))
        });
        timed.max_by_key(|(time, dot, _)| (*time, *dot)).map(|(time, _, value)| (time, value))
    }
}

impl Counter {
    /// The counter of this name.
    pub fn new(key: &[u8]) -> Result<Counter, Refused> {
        Ok(Counter(name(key)?))
    }

    /// Adds to what this member has added. Nobody else writes its part; after a restart it may not know yet what it
    /// added before, and then both stand side by side until it does.
    pub fn add(&self, map: &mut Map, by: i64) -> Result<Dot, Refused> {
        let key = part(&self.0, &map.actor().member.0.to_be_bytes());
        let own: i64 = sum(map, &key).saturating_add(by);
        map.put(&key, Bytes::copy_from_slice(&own.to_le_bytes()))
    }

    /// What all have added.
    pub fn value(&self, map: &Map) -> i64 {
        let prefix = part(&self.0, &[]);
        map.with_prefix(&prefix).map(|(key, _)| sum(map, key)).fold(0, i64::saturating_add)
    }
}

/// Of one part of a counter.
fn sum(map: &Map, key: &[u8]) -> i64 {
    let numbers = map.values(key).filter_map(|(_, bytes)| Some(i64::from_le_bytes(bytes.as_ref().try_into().ok()?)));
    numbers.fold(0, i64::saturating_add)
}

impl Set {
    /// The set of this name.
    pub fn new(key: &[u8]) -> Result<Set, Refused> {
        Ok(Set(name(key)?))
    }

    /// Puts an element in.
    pub fn insert(&self, map: &mut Map, element: &[u8]) -> Result<Dot, Refused> {
        map.put(&part(&self.0, element), Bytes::new())
    }

    /// Takes an element out, as far as it was seen here.
    pub fn remove(&self, map: &mut Map, element: &[u8]) -> Option<Dot> {
        map.remove(&part(&self.0, element))
    }

    /// Whether it is in.
    pub fn contains(&self, map: &Map, element: &[u8]) -> bool {
        map.get(&part(&self.0, element)).is_some()
    }

    /// What is in, in order.
    pub fn elements(&self, map: &Map) -> Vec<Bytes> {
        let prefix = part(&self.0, &[]);
        map.with_prefix(&prefix).map(|(key, _)| Bytes::copy_from_slice(&key[prefix.len()..])).collect()
    }
}

impl Flag {
    /// The flag of this name.
    pub fn new(key: &[u8]) -> Result<Flag, Refused> {
        Ok(Flag(name(key)?))
    }

    /// Raises it.
    pub fn raise(&self, map: &mut Map) -> Result<Dot, Refused> {
        map.put(&self.0, Bytes::new())
    }

    /// Lowers it, as far as it was seen to be raised.
    pub fn lower(&self, map: &mut Map) -> Option<Dot> {
        map.remove(&self.0)
    }

    /// Whether it is raised.
    pub fn is_raised(&self, map: &Map) -> bool {
        map.get(&self.0).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberId;
    use crate::dots::Actor;

    fn maps() -> [Map; 3] {
        [1, 2, 3].map(|member| Map::new(Actor { member: MemberId(member), life: 1 }))
    }

    /// Everybody tells everybody.
    fn meet(maps: &mut [Map; 3]) {
        for (from, to) in (0..3).flat_map(|from| (0..3).map(move |to| (from, to))) {
            let (asker, seen) = (maps[to].actor(), maps[to].seen().clone());
            for delta in maps[from].beyond(asker, &seen, 1000) {
                maps[to].merge(delta).unwrap();
            }
        }
    }

    #[test]
    fn of_a_register_the_latest_counts() {
        let (mut maps, register) = (maps(), Register::new(b"r").unwrap());
        register.set(&mut maps[0], 100, b"early").unwrap();
        register.set(&mut maps[1], 200, b"late").unwrap();
        meet(&mut maps);
        maps.iter().for_each(|map| assert_eq!(register.get(map).unwrap(), "late"));
        // A clock that is behind does not undo what was seen.
        register.set(&mut maps[2], 50, b"later still").unwrap();
        register.set(&mut maps[0], 150, b"at the same time").unwrap();
        meet(&mut maps);
        let shown = register.get(&maps[0]);
        maps.iter().for_each(|map| assert_eq!(register.get(map), shown));
        assert_ne!(shown.unwrap(), "late");
    }

    #[test]
    fn a_counter_adds_up_also_over_lives() {
        let (mut maps, counter) = (maps(), Counter::new(b"c").unwrap());
        for (map, by) in maps.iter_mut().zip([5, -2, 10]) {
            counter.add(map, by).unwrap();
            counter.add(map, 1).unwrap();
        }
        meet(&mut maps);
        maps.iter().for_each(|map| assert_eq!(counter.value(map), 16));
        // The first comes back knowing nothing, and adds before it hears.
        maps[0] = Map::new(Actor { member: MemberId(1), life: 2 });
        counter.add(&mut maps[0], 4).unwrap();
        meet(&mut maps);
        counter.add(&mut maps[0], 1).unwrap();
        meet(&mut maps);
        maps.iter().for_each(|map| assert_eq!(counter.value(map), 21));
    }

    #[test]
    fn a_set_keeps_what_was_put_in_unseen() {
        let (mut maps, set) = (maps(), Set::new(b"s").unwrap());
        set.insert(&mut maps[0], b"a").unwrap();
        set.insert(&mut maps[0], b"b").unwrap();
        meet(&mut maps);
        assert!(set.remove(&mut maps[1], b"a").is_some() && set.remove(&mut maps[1], b"b").is_some());
        set.insert(&mut maps[2], b"b").unwrap();
        meet(&mut maps);
        for map in &maps {
            assert_eq!(set.elements(map), ["b"]);
            assert!(set.contains(map, b"b") && !set.contains(map, b"a"));
        }
    }

    #[test]
    fn a_flag_that_is_raised_meanwhile_stays_up() {
        let (mut maps, flag) = (maps(), Flag::new(b"f").unwrap());
        flag.raise(&mut maps[0]).unwrap();
        meet(&mut maps);
        flag.lower(&mut maps[1]).unwrap();
        meet(&mut maps);
        maps.iter().for_each(|map| assert!(!flag.is_raised(map)));
        flag.raise(&mut maps[0]).unwrap();
        meet(&mut maps);
        flag.lower(&mut maps[1]).unwrap();
        flag.raise(&mut maps[2]).unwrap();
        meet(&mut maps);
        maps.iter().for_each(|map| assert!(flag.is_raised(map)));
    }

    #[test]
    fn a_name_that_could_be_a_part_is_refused() {
        assert_eq!(Set::new(b"a\0b").unwrap_err(), Refused::Name);
        assert_eq!(Flag::new(&[1; MAX_KEY + 1]).unwrap_err(), Refused::Name);
    }
}
