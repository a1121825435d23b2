//! [`Store`]: the keys of one partition, or those that one command concerns,
//! with their values, deadlines and versions. A clone is free.
//!
//! Time is told by whoever applies a command ([`Store::begin`]) and never read
//! here. A key past its deadline cannot be seen, and is taken away by the next
//! command that writes to it or, a few at a time, by any that is applied.

use core::cmp::Ordering;

use super::blob::{Blob, Member};
use super::failure::Failure;
use super::tree::Tree;
use super::value::{Kind, Value};

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// What is counted for a key beside its bytes and its value: its places in
/// three trees, its deadline and its version.
const ENTRY: u64 = 160;

/// How many keys past their deadline a command takes away beside its own work:
/// more than one, so that they shrink however many commands make new ones, and
/// few, so that no command is slow because of others.
pub const REMOVALS: usize = 16;

/// A key's value and what else is known of it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// What it holds.
    pub value: Value,
    /// When it ends, in milliseconds since the epoch.
    pub deadline_ms: u64,
    /// The command of this partition that changed it last.
    pub version: u64,
}

/// Keys and what they hold.
#[derive(Clone, Debug, Default)]
pub(super) struct Store {
    keys: Tree<Blob, Entry>,
    /// The same keys in the order in which SCAN goes.
    scan: Tree<Member, ()>,
    deadlines: Tree<(u64, Blob), ()>,
    used: u64,
    now_ms: u64,
    version: u64,
    /// Whether any key is past its deadline.
    stale: bool,
}

impl Store {
    /// It is now this time, and what changes from here on gets this version.
    pub(super) fn begin(&mut self, now_ms: u64, version: u64) {
        self.now_ms = now_ms;
        self.version = version;
        self.stale = self.first_deadline().is_some_and(|deadline| deadline < now_ms);
    }

    /// Takes away some keys that are past their deadline.
    pub(super) fn clean(&mut self) {
        for _ in 0..REMOVALS {
            let Some((deadline, key)) = self.deadlines.nth(0).map(|(first, ())| first.clone()) else { break };
            if deadline >= self.now_ms {
                break;
            }
            self.drop_key(key.bytes());
        }
        self.stale = self.first_deadline().is_some_and(|deadline| deadline < self.now_ms);
    }

    /// The time of the command under way, in milliseconds since the epoch.
    pub(super) fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// How many keys can be seen.
    pub(super) fn len(&self) -> usize {
        self.keys.len() - self.expired()
    }

    /// How many of them have a deadline.
    pub(super) fn ending(&self) -> usize {
        self.deadlines.len() - self.expired()
    }

    /// How many keys are past their deadline and still here.
    fn expired(&self) -> usize {
        let before = |(deadline, _): &(u64, Blob)| match *deadline < self.now_ms {
            true => Ordering::Less,
            false => Ordering::Greater,
        };
        self.deadlines.rank(before).unwrap_or_else(|rank| rank)
    }

    /// Whether no key can be seen.
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How much memory everything is said to take, keys past their deadline included until they are taken away.
    pub(super) fn used(&self) -> u64 {
        self.used
    }

    /// All keys in order, also those past their deadline: see [`Store::visible`].
    pub(super) fn keys(&self) -> &Tree<Blob, Entry> {
        &self.keys
    }

    /// All keys in the order of what they hash to, also those past their deadline.
    pub(super) fn scan(&self) -> &Tree<Member, ()> {
        &self.scan
    }

    /// Whether an entry can be seen at this time.
    pub(super) fn visible(&self, entry: &Entry) -> bool {
        entry.deadline_ms >= self.now_ms
    }

    /// A key's entry.
    pub(super) fn entry(&self, key: &[u8]) -> Option<&Entry> {
        let (_, entry) = self.keys.get(Blob::seek(key))?;
        self.visible(entry).then_some(entry)
    }

    /// What a key holds.
    pub(super) fn get(&self, key: &[u8]) -> Option<&Value> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Whether a key is there.
    pub(super) fn contains(&self, key: &[u8]) -> bool {
        self.entry(key).is_some()
    }

    /// The version of a key; 0 if it is not there.
    pub(super) fn version_of(&self, key: &[u8]) -> u64 {
        self.entry(key).map_or(0, |entry| entry.version)
    }

    /// What a key holds, if it is of this kind or nothing.
    pub(super) fn read<K: Kind>(&self, key: &[u8]) -> Result<Option<&K>, Failure> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => K::of(value).map(Some).ok_or(Failure::WRONG_TYPE),
        }
    }

    /// Changes what a key holds, if it is there. The change also says whether
    /// it was one: a key that stays as it was keeps its version.
    pub(super) fn edit<K: Kind, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut K) -> (R, bool),
    ) -> Result<Option<R>, Failure> {
        self.drop_stale(key);
        let version = self.version;
        let Some(entry) = self.keys.get_mut(Blob::seek(key)) else { return Ok(None) };
        let before = entry.value.size();
        let value = K::of_mut(&mut entry.value).ok_or(Failure::WRONG_TYPE)?;
        let (result, changed) = change(value);
        if changed {
            entry.version = version;
        }
        self.used = self.used + entry.value.size() - before;
        if entry.value.is_gone() {
            self.drop_key(key);
        }
        Ok(Some(result))
    }

    /// The same, with something empty made for a key that is not there.
    pub(super) fn write<K: Kind, R>(
        &mut self,
        key: &[u8],
        change: impl FnOnce(&mut K) -> (R, bool),
    ) -> Result<R, Failure> {
        self.drop_stale(key);
        if self.get(key).is_none() {
            self.put(key, K::empty(), NEVER);
        }
        self.edit(key, change).map(|result| result.expect("it is there now"))
    }

    /// A key now holds this string until then, whatever was there before.
    pub(super) fn put_string(&mut self, key: &[u8], bytes: &[u8], deadline_ms: u64) {
        // One string after another, as a rule of the same length: there is nothing to take and to give back.
        let Some(entry) = self.keys.get_mut(Blob::seek(key)) else {
            return self.put(key, Value::string(bytes), deadline_ms);
        };
        let before = entry.value.size();
        match &mut entry.value {
            Value::String(blob) => blob.set(bytes),
            value => *value = Value::string(bytes),
        }
        let old_deadline_ms = core::mem::replace(&mut entry.deadline_ms, deadline_ms);
        entry.version = self.version;
        self.used = self.used + bytes.len() as u64 - before;
        self.index_deadline(key, old_deadline_ms, deadline_ms);
    }

    /// A key now holds this until then, whatever was there before. Of an empty collection nothing stays.
    pub(super) fn put(&mut self, key: &[u8], value: Value, deadline_ms: u64) {
        let entry = Entry { value, deadline_ms, version: self.version };
        self.put_entry(key, entry);
    }

    /// The same with the version given too: for what comes from elsewhere.
    pub(super) fn put_entry(&mut self, key: &[u8], entry: Entry) {
        let deadline_ms = entry.deadline_ms;
        let size = entry.value.size();
        let old_deadline_ms = match self.keys.insert(Blob::new(key), entry) {
            Some(old) => {
                self.used = self.used + size - old.value.size();
                old.deadline_ms
            }
            None => {
                self.used += ENTRY + key.len() as u64 + size;
                self.scan.insert(Member::new(key), ());
                NEVER
            }
        };
        self.index_deadline(key, old_deadline_ms, deadline_ms);
    }

    /// When a key ends from now on.
    pub(super) fn set_deadline(&mut self, key: &[u8], deadline_ms: u64) {
        let version = self.version;
        let Some(entry) = self.keys.get_mut(Blob::seek(key)) else { return };
        let old = core::mem::replace(&mut entry.deadline_ms, deadline_ms);
        entry.version = version;
        self.index_deadline(key, old, deadline_ms);
    }

    /// Takes a key away; what could be seen of it.
    pub(super) fn remove(&mut self, key: &[u8]) -> Option<Entry> {
        let entry = self.drop_key(key)?;
        self.visible(&entry).then_some(entry)
    }

    /// Takes everything away.
    pub(super) fn clear(&mut self) {
        self.keys = Tree::new();
        self.scan = Tree::new();
        self.deadlines = Tree::new();
        self.used = 0;
        self.stale = false;
    }

    fn first_deadline(&self) -> Option<u64> {
        self.deadlines.nth(0).map(|((deadline, _), ())| *deadline)
    }

    fn drop_stale(&mut self, key: &[u8]) {
        if self.stale && self.keys.get(Blob::seek(key)).is_some_and(|(_, entry)| !self.visible(entry)) {
            self.drop_key(key);
        }
    }

    fn drop_key(&mut self, key: &[u8]) -> Option<Entry> {
        let (_, entry) = self.keys.remove(Blob::seek(key))?;
        self.scan.remove(Member::seek(key)).expect("every key can be scanned");
        self.used -= ENTRY + key.len() as u64 + entry.value.size();
        self.index_deadline(key, entry.deadline_ms, NEVER);
        Some(entry)
    }

    fn index_deadline(&mut self, key: &[u8], old: u64, new: u64) {
        if old == new {
            return;
        }
        if old != NEVER {
            self.deadlines.remove(|(deadline, have)| deadline.cmp(&old).then_with(|| have.bytes().cmp(key)));
        }
        if new != NEVER {
            self.deadlines.insert((new, Blob::new(key)), ());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_past_its_deadline_cannot_be_seen() {
        let mut store = Store::default();
        store.begin(100, 1);
        store.put(b"k", Value::string(b"v"), 150);
        store.begin(150, 2);
        assert!(store.contains(b"k") && store.len() == 1, "its last millisecond");
        store.begin(151, 3);
        assert!(!store.contains(b"k") && store.is_empty() && store.version_of(b"k") == 0);
        assert!(store.used() > 0, "nobody took it away yet");
        store
            .write::<Blob, _>(b"k", |blob| {
                ((), {
                    blob.buffer().push(b'x');
                    true
                })
            })
            .unwrap();
        assert_eq!(store.get(b"k"), Some(&Value::string(b"x")));
        assert_eq!(store.entry(b"k").unwrap().deadline_ms, NEVER, "a new key does not inherit");
    }

    #[test]
    fn removals_are_bounded_and_complete() {
        let mut store = Store::default();
        store.begin(0, 1);
        for number in 0..3 * REMOVALS {
            store.put(alloc::format!("k{number}").as_bytes(), Value::string(b"v"), 5);
        }
        store.begin(6, 2);
        store.clean();
        assert_eq!(store.keys().len(), 2 * REMOVALS);
        store.clean();
        store.clean();
        assert_eq!((store.keys().len(), store.used(), store.scan().len()), (0, 0, 0));
    }

    #[test]
    fn a_string_replaces_whatever_was_there() {
        let mut store = Store::default();
        store.begin(100, 1);
        store.write::<crate::kv::value::Set, _>(b"k", |set| (set.insert(b"m"), true)).unwrap();
        store.set_deadline(b"k", 150);
        let frozen = store.clone();
        let long = [7; 100];
        for (version, bytes, deadline_ms) in [(2, &long[..], NEVER), (3, &[8; 100][..], 300), (4, b"v", 200)] {
            store.begin(110, version);
            store.put_string(b"k", bytes, deadline_ms);
            store.put_string(b"new", bytes, NEVER);
            let entry = store.entry(b"k").unwrap();
            assert_eq!((&entry.value, entry.deadline_ms, entry.version), (&Value::string(bytes), deadline_ms, version));
            assert_eq!((store.len(), store.ending()), (2, usize::from(deadline_ms != NEVER)));
            store.remove(b"new");
            let mut fresh = Store::default();
            fresh.put(b"k", Value::string(bytes), deadline_ms);
            assert_eq!(store.used(), fresh.used());
        }
        store.begin(250, 5);
        store.put_string(b"k", b"late", NEVER);
        assert_eq!((store.len(), store.ending(), store.get(b"k")), (1, 0, Some(&Value::string(b"late"))));
        assert_eq!((frozen.get(b"k").unwrap().kind(), frozen.len()), ("set", 1), "a clone keeps what it has");
    }

    #[test]
    fn what_is_used_returns_to_nothing() {
        let mut store = Store::default();
        store.put(b"a", Value::string(b"1"), 9);
        store.put(b"a", Value::string(b"22"), NEVER);
        store.set_deadline(b"a", 12);
        store.write::<crate::kv::value::Set, _>(b"s", |set| (set.insert(b"m"), true)).unwrap();
        assert!(store.write::<crate::kv::value::Set, ()>(b"a", |_| unreachable!()).is_err());
        store.edit::<crate::kv::value::Set, _>(b"s", |set| (set.remove(b"m"), true)).unwrap();
        assert!(!store.contains(b"s"), "an empty collection does not stay");
        store.remove(b"a").unwrap();
        assert_eq!(store.used(), 0);
    }
}
