//! [`Value`]: what a key can hold: a string, a hash, a list, a set or a sorted
//! set. All but strings are made of trees, so that the clone of any value is
//! cheap, and each keeps count of its own logical size.
//!
//! Logical means that the size follows from what is held, never from how it is
//! laid out: replicas judge limits by it and must judge alike.

use core::cmp::Ordering;

use alloc::boxed::Box;

use super::blob::{Blob, Member};
use super::tree::Tree;

/// What is counted for an element beside its bytes: its place in a tree.
const ELEMENT: u64 = 32;

/// What a key holds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// Bytes.
    String(Blob),
    /// Fields with a value each.
    Hash(Hash),
    /// A sequence.
    List(List),
    /// Members.
    Set(Set),
    /// Members with a score each.
    Sorted(Box<Sorted>),
}

impl Value {
    /// A string of these bytes.
    pub(super) fn string(bytes: &[u8]) -> Value {
        Value::String(Blob::new(bytes))
    }

    /// What TYPE answers.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Value::String(_) => "string",
            Value::Hash(_) => "hash",
            Value::List(_) => "list",
            Value::Set(_) => "set",
            Value::Sorted(_) => "zset",
        }
    }

    /// How much memory it is said to take.
    pub(super) fn size(&self) -> u64 {
        match self {
            Value::String(blob) => blob.len() as u64,
            Value::Hash(hash) => hash.size,
            Value::List(list) => list.size,
            Value::Set(set) => set.size,
            Value::Sorted(sorted) => sorted.size,
        }
    }

    /// Whether it is a collection of nothing, which cannot stay.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Value::String(_) => false,
            Value::Hash(hash) => hash.fields.is_empty(),
            Value::List(list) => list.items.is_empty(),
            Value::Set(set) => set.members.is_empty(),
            Value::Sorted(sorted) => sorted.members.is_empty(),
        }
    }
}

/// One of the kinds of value, for those that will have no other.
pub(super) trait Kind: Sized {
    /// The value, if it is of this kind.
    fn of(value: &Value) -> Option<&Self>;
    /// The same, to be changed.
    fn of_mut(value: &mut Value) -> Option<&mut Self>;
    /// One without anything in it.
    fn empty() -> Value;
}

macro_rules! kind {
    ($kind:ty, $variant:ident, $empty:expr) => {
        impl Kind for $kind {
            fn of(value: &Value) -> Option<&Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
            fn of_mut(value: &mut Value) -> Option<&mut Self> {
                if let Value::$variant(value) = value { Some(value) } else { None }
            }
            fn empty() -> Value {
                Value::$variant($empty)
            }
        }
    };
}

kind!(Blob, String, Blob::new(b""));
kind!(Hash, Hash, Hash::default());
kind!(List, List, List::default());
kind!(Set, Set, Set::default());

impl Kind for Sorted {
    fn of(value: &Value) -> Option<&Self> {
        if let Value::Sorted(value) = value { Some(value) } else { None }
    }

    fn of_mut(value: &mut Value) -> Option<&mut Self> {
        if let Value::Sorted(value) = value { Some(value) } else { None }
    }

    fn empty() -> Value {
        Value::Sorted(Box::default())
    }
}

/// Fields with a value each, in the order of what they hash to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Hash {
    fields: Tree<Member, Blob>,
    size: u64,
}

impl Hash {
    /// All of it.
    pub(super) fn fields(&self) -> &Tree<Member, Blob> {
        &self.fields
    }

    /// How many fields.
    pub(super) fn len(&self) -> usize {
        self.fields.len()
    }

    /// What a field holds.
    pub(super) fn get(&self, field: &[u8]) -> Option<&Blob> {
        self.fields.get(Member::seek(field)).map(|(_, value)| value)
    }

    /// Sets a field; whether it is new.
    pub(super) fn set(&mut self, field: &[u8], value: &[u8]) -> bool {
        let old = self.fields.insert(Member::new(field), Blob::new(value));
        self.size += value.len() as u64;
        match &old {
            Some(old) => self.size -= old.len() as u64,
            None => self.size += field.len() as u64 + 2 * ELEMENT,
        }
        old.is_none()
    }

    /// Takes a field out; whether it was there.
    pub(super) fn remove(&mut self, field: &[u8]) -> bool {
        let Some((field, value)) = self.fields.remove(Member::seek(field)) else { return false };
        self.size -= (field.bytes().len() + value.len()) as u64 + 2 * ELEMENT;
        true
    }
}

/// A sequence of strings.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct List {
    items: Tree<(), Blob>,
    size: u64,
}

impl List {
    /// All of it.
    pub(super) fn items(&self) -> &Tree<(), Blob> {
        &self.items
    }

    /// How many items.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// The item at a place.
    pub(super) fn get(&self, place: usize) -> Option<&Blob> {
        self.items.nth(place).map(|(_, item)| item)
    }

    /// Puts an item before what is at a place now, or at the end.
    pub(super) fn insert(&mut self, place: usize, item: &[u8]) {
        self.size += item.len() as u64 + ELEMENT;
        self.items.insert_at(place, (), Blob::new(item));
    }

    /// Puts an item at the front, or at the end.
    pub(super) fn push(&mut self, front: bool, item: &[u8]) {
        self.insert(if front { 0 } else { self.len() }, item);
    }

    /// Takes the item at a place, which must be there.
    pub(super) fn remove(&mut self, place: usize) -> Blob {
        let (_, item) = self.items.remove_at(place);
        self.size -= item.len() as u64 + ELEMENT;
        item
    }

    /// Takes an item from the front, or from the end.
    pub(super) fn pop(&mut self, front: bool) -> Option<Blob> {
        let last = self.len().checked_sub(1)?;
        Some(self.remove(if front { 0 } else { last }))
    }

    /// Puts another item in the place of one, which must be there.
    pub(super) fn replace(&mut self, place: usize, item: &[u8]) {
        let old = self.items.nth_mut(place).expect("the place was looked up");
        self.size = self.size + item.len() as u64 - old.len() as u64;
        *old = Blob::new(item);
    }
}

/// Members, in the order of what they hash to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Set {
    members: Tree<Member, ()>,
    size: u64,
}

impl Set {
    /// All of it.
    pub(super) fn members(&self) -> &Tree<Member, ()> {
        &self.members
    }

    /// How many members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether this is a member.
    pub(super) fn contains(&self, member: &[u8]) -> bool {
        self.members.get(Member::seek(member)).is_some()
    }

    /// Adds a member; whether it is new.
    pub(super) fn insert(&mut self, member: &[u8]) -> bool {
        let new = self.members.insert(Member::new(member), ()).is_none();
        if new {
            self.size += member.len() as u64 + ELEMENT;
        }
        new
    }

    /// Takes a member out; whether it was there.
    pub(super) fn remove(&mut self, member: &[u8]) -> bool {
        let there = self.members.remove(Member::seek(member)).is_some();
        if there {
            self.size -= member.len() as u64 + ELEMENT;
        }
        there
    }
}

/// A score, in its order; there is none that is not a number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Score(pub f64);

impl Eq for Score {}

impl Ord for Score {
    fn cmp(&self, other: &Score) -> Ordering {
        self.0.partial_cmp(&other.0).expect("a score is a number")
    }
}

impl PartialOrd for Score {
    fn partial_cmp(&self, other: &Score) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Members with a score each, found by either.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Sorted {
    members: Tree<Member, f64>,
    ranking: Tree<(Score, Blob), ()>,
    size: u64,
}

impl Sorted {
    /// All of it by score, and among equals by name.
    pub(super) fn ranking(&self) -> &Tree<(Score, Blob), ()> {
        &self.ranking
    }

    /// All of it in the order of what the members hash to.
    pub(super) fn members(&self) -> &Tree<Member, f64> {
        &self.members
    }

    /// How many members.
    pub(super) fn len(&self) -> usize {
        self.members.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The score of a member.
    pub(super) fn score(&self, member: &[u8]) -> Option<f64> {
        self.members.get(Member::seek(member)).map(|(_, score)| *score)
    }

    /// How many members rank before this one.
    pub(super) fn rank(&self, member: &[u8]) -> Option<usize> {
        let score = self.score(member)?;
        self.ranking.rank(Sorted::seek(score, member)).ok()
    }

    /// Gives a member a score; the one that it had.
    pub(super) fn set(&mut self, member: &[u8], score: f64) -> Option<f64> {
        let name = Member::new(member);
        let blob = name.name.clone();
        let old = self.members.insert(name, score);
        match old {
            Some(old) => {
                self.ranking.remove(Sorted::seek(old, member)).expect("every member is ranked");
            }
            None => self.size += member.len() as u64 + 2 * ELEMENT,
        }
        self.ranking.insert((Score(score), blob), ());
        old
    }

    /// Takes a member out; the score that it had.
    pub(super) fn remove(&mut self, member: &[u8]) -> Option<f64> {
        let (_, score) = self.members.remove(Member::seek(member))?;
        self.ranking.remove(Sorted::seek(score, member)).expect("every member is ranked");
        self.size -= member.len() as u64 + 2 * ELEMENT;
        Some(score)
    }

    fn seek(score: f64, member: &[u8]) -> impl Fn(&(Score, Blob)) -> Ordering {
        move |(have, name)| have.cmp(&Score(score)).then_with(|| name.bytes().cmp(member))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_return_to_nothing() {
        let mut hash = Hash::default();
        assert!(hash.set(b"field", b"one") && !hash.set(b"field", b"three"));
        assert_eq!(hash.size, 10 + 2 * ELEMENT);
        assert!(hash.remove(b"field") && !hash.remove(b"field"));
        let mut list = List::default();
        list.push(true, b"a");
        list.push(false, b"bb");
        list.replace(0, b"ccc");
        assert_eq!(list.size, 5 + 2 * ELEMENT);
        assert_eq!(list.pop(true).unwrap().bytes(), b"ccc");
        assert_eq!(list.pop(false).unwrap().bytes(), b"bb");
        let mut set = Set::default();
        assert!(set.insert(b"m") && !set.insert(b"m") && set.remove(b"m"));
        let mut sorted = Sorted::default();
        assert_eq!(sorted.set(b"m", 1.0), None);
        assert_eq!(sorted.set(b"m", 2.0), Some(1.0));
        assert_eq!(sorted.rank(b"m"), Some(0));
        assert_eq!(sorted.remove(b"m"), Some(2.0));
        assert_eq!([hash.size, list.size, set.size, sorted.size], [0; 4]);
    }

    #[test]
    fn a_value_is_small() {
        assert!(size_of::<Value>() <= 40, "{}", size_of::<Value>());
    }
}
