//! [`Heads`]: what other groups have proposed for one message. Whether that
//! counts, and since when, is told in `remote.rs`.

use skein_machine::{GroupId, Timestamp};
use smallvec::SmallVec;

use crate::parts::{Epoch, Index};

/// Proposals of other groups, by group. Most messages go to few.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Heads(SmallVec<[(GroupId, Head); 2]>);

/// A proposal of another group.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Head {
    pub(super) epoch: Epoch,
    pub(super) index: Index,
    pub(super) timestamp: Timestamp,
    pub(super) is_decided: bool,
}

impl Heads {
    pub(super) fn get(&self, group: GroupId) -> Option<&Head> {
        self.0.iter().find(|(other, _)| *other == group).map(|(_, head)| head)
    }

    pub(super) fn get_mut(&mut self, group: GroupId) -> Option<&mut Head> {
        self.0.iter_mut().find(|(other, _)| *other == group).map(|(_, head)| head)
    }

    pub(super) fn highest_decided(&self) -> Timestamp {
        let decided = self.iter().filter(|(_, head)| head.is_decided);
        decided.map(|(_, head)| head.timestamp).max().unwrap_or(Timestamp::ZERO)
    }

    pub(super) fn insert(&mut self, group: GroupId, head: Head) {
        match self.0.binary_search_by_key(&group, |(other, _)| *other) {
            Ok(place) => self.0[place].1 = head,
            Err(place) => self.0.insert(place, (group, head)),
        }
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        self.retain(|other, _| other != group);
    }

    pub(super) fn retain(&mut self, stays: impl Fn(GroupId, &Head) -> bool) {
        self.0.retain(|(group, head)| stays(*group, head));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (GroupId, &Head)> {
        self.0.iter().map(|(group, head)| (*group, head))
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
