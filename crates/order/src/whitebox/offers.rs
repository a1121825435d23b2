//! [`Offers`]: what the leaders of a message's destinations have proposed for
//! it, the newest of each. Together their epochs are the ballots that a replica
//! acknowledges.

use skein_machine::{GroupId, GroupSet, Timestamp};
use smallvec::SmallVec;

use super::wire::{Ballot, Ballots};
use crate::parts::Epoch;

/// Proposals by group. Most messages go to few.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Offers(SmallVec<[Offer; 2]>);

/// The proposal of one group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Offer {
    pub(super) group: GroupId,
    pub(super) epoch: Epoch,
    pub(super) timestamp: Timestamp,
}

impl Offers {
    pub(super) fn get(&self, group: GroupId) -> Option<&Offer> {
        self.0.iter().find(|offer| offer.group == group)
    }

    /// Takes a proposal, unless one of a later epoch is known.
    pub(super) fn insert(&mut self, offer: Offer) {
        match self.0.binary_search_by_key(&offer.group, |other| other.group) {
            Ok(place) if self.0[place].epoch > offer.epoch => {}
            Ok(place) => self.0[place] = offer,
            Err(place) => self.0.insert(place, offer),
        }
    }

    pub(super) fn remove(&mut self, group: GroupId) {
        self.0.retain(|offer| offer.group != group);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Offer> {
        self.0.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The ballots, once every destination has proposed.
    pub(super) fn ballots(&self, destinations: GroupSet) -> Option<Ballots> {
        let is_complete = destinations.iter().all(|group| self.get(group).is_some());
        let ballot = |Offer { group, epoch, .. }: &Offer| Ballot { group: *group, epoch: *epoch };
        is_complete.then(|| self.0.iter().map(ballot).collect())
    }

    /// The highest timestamp among them: the final one, if they are those that count.
    pub(super) fn highest(&self) -> Timestamp {
        self.0.iter().map(|offer| offer.timestamp).max().unwrap_or(Timestamp::ZERO)
    }
}
