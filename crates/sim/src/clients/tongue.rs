//! [`Tongue`]: how clients speak to a service. It thinks of what to ask for,
//! says it in the service's bytes, and says what the answers mean: which lists
//! were seen, and what was appended. It does not know replicas, time or faults.

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, Random, Reply, Timestamp};

use super::Habits;
use crate::check::linear::{Element, Fate, Key};

/// Who asks, and where.
#[derive(Clone, Copy, Debug)]
pub struct Asker {
    /// Which client.
    pub number: usize,
    /// The partition of the replica through which it asks.
    pub group: GroupId,
    /// Whether it names what it asks for. Then it asks for one thing at a time, and only what changes something is
    /// worth it.
    pub is_named: bool,
}

/// What somebody wants.
#[derive(Clone, Debug)]
pub struct Wish<D> {
    /// All of it, in a row. At least one thing.
    pub deeds: Vec<D>,
    /// How.
    pub way: Way,
}

/// How something is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It takes its place in the order, at every partition that it concerns.
    Order,
    /// It is read where it is: in the partition through which it is asked for, and no other.
    Read,
    /// The same, but nothing that was not seen already must be seen.
    Recall,
}

/// The answer to one thing.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// Which client asked.
    pub client: usize,
    /// The number of the operation that it is, among all that were asked for.
    pub operation: usize,
    /// How it was asked for.
    pub way: Way,
    /// Where it stands in the order.
    pub timestamp: Timestamp,
    /// What each of the partitions said, by rising group.
    pub replies: &'a [(GroupId, Reply)],
}

/// What an answer means.
#[derive(Clone, Debug)]
pub struct Meaning {
    /// Whether it has happened.
    pub fate: Fate,
    /// The lists that were seen, before anything was appended.
    pub saw: Vec<(Key, Vec<Element>)>,
    /// What another operation, which has happened, saw in its moment.
    pub earlier: Vec<(usize, Key, Vec<Element>)>,
    /// Where appended elements stand in their lists, counted from 1.
    pub places: Vec<(Key, Element, u64)>,
    /// What may be appended from now on, though nobody asks for it, each with who does it.
    pub expected: Vec<(String, Key, Element)>,
    /// What makes no sense.
    pub oddities: Vec<String>,
}

impl Meaning {
    /// It has happened, and nothing was seen.
    pub fn done() -> Meaning {
        Meaning {
            fate: Fate::Done,
            saw: Vec::new(),
            earlier: Vec::new(),
            places: Vec::new(),
            expected: Vec::new(),
            oddities: Vec::new(),
        }
    }
}

/// See above.
pub trait Tongue {
    /// One thing that is asked for.
    type Deed: Clone;

    /// What a client does next.
    fn wish(&mut self, asker: Asker, habits: &Habits, random: &mut Random) -> Wish<Self::Deed>;

    /// One look at all that a partition has, which can be read there. Asked for when nobody changes anything any more.
    fn look_at_everything(&mut self, group: GroupId) -> Self::Deed;

    /// The partitions that something concerns.
    fn groups(&self, deed: &Self::Deed) -> GroupSet;

    /// As the service reads it.
    fn bytes(&self, deed: &Self::Deed) -> Bytes;

    /// As people do.
    fn words(&self, deed: &Self::Deed) -> String;

    /// What it appends if it happens.
    fn appends(&self, deed: &Self::Deed) -> Vec<(Key, Element)>;

    /// What an answer means.
    fn understand(&mut self, deed: &Self::Deed, heard: Heard<'_>) -> Meaning;

    /// A client will hear nothing of what it wished, and goes on to something else.
    fn lose(&mut self, client: usize, wish: &Wish<Self::Deed>) {
        let _ = (client, wish);
    }
}
