//! [`Heads`]: what other groups have proposed for one message. Whether that
//! counts, and since when, is told in `remote.rs`.

use skein_machine::{GroupId, Timestamp};
use smallvec::SmallVec;

use crate::parts::{Epoch, Index};

/// Proposals of other groups, by group. Most messages go to few.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Heads(SmallVec<[Head; 2]>);

/// A proposal of another group.
#[derive(Clone, Copy, Debug, Hash)]
pub(super) struct Head {
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
    pub(super) index: Index,
    pub(super) timestamp: Timestamp,
    pub(super) is_decided: bool,
}

impl Heads {
    pub(super) fn get(&self, group: GroupId) -> Option<&Head> {
        self.0.iter().find(|head| head.group == group)
    }

    pub(super) fn get_mut(&mut self, group: GroupId) -> Option<&mut Head> {
        self.0.iter_mut().find(|head| head.group == group)
    }

    pub(super) fn highest_decided(&self) -> Timestamp {
        let decided = self.iter().filter(|head| head.is_decided);
        decided.map(|head| head.timestamp).max().unwrap_or(Timestamp::ZERO)
    }

    pub(super) fn insert(&mut self, head: Head) {
        match self.0.binary_search_by_key(&head.group, |other| other.group) {
            Ok(place) => self.0[place] = head,
            Err(place) => self.0.insert(place, head),
        }
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        self.retain(|head| head.group != group);
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&Head) -> bool) {
        self.0.retain(|head| stays(head));
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Head> {
        self.0.iter()
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
