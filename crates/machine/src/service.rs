//! What a replicated service is to Skein: [`Service`], applied by every
//! replica of a partition in the same order, and [`Router`], which every node
//! has, for it answers which partitions a command concerns.
//!
//! Both are object-safe, so that one replica type serves them all. A service
//! sees no clock, no randomness and no protocol: the only time is the one in
//! the delivery.

use core::fmt;

use alloc::string::String;
use alloc::vec::Vec;
use bytes::Bytes;

use crate::{Delivery, GroupId, GroupSet};

/// A deterministic state that commands change.
pub trait Service {
    /// What this partition must tell the others before the command can be
    /// applied; `None` when the command needs nobody else's values.
    fn share(&self, delivery: &Delivery) -> Option<Bytes>;

    /// Applies a command. `shares` holds what the other partitions told.
    fn apply(&mut self, delivery: &Delivery, shares: &Shares) -> Reply;

    /// Answers a question without changing anything.
    fn read(&self, query: &[u8]) -> Reply;

    /// The whole state, to be installed elsewhere or after a restart.
    fn snapshot(&self) -> Snapshot;

    /// Becomes what the snapshot says.
    fn restore(&mut self, snapshot: Snapshot);
}

/// Knows where things are.
pub trait Router {
    /// The groups that a command concerns, at least one.
    fn groups(&self, command: &[u8]) -> Result<GroupSet, Refusal>;
}

/// A command that cannot be routed, with a sentence for whoever sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub String);

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl core::error::Error for Refusal {}

/// What a service answers; opaque to everything but the client's own face.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reply(pub Bytes);

/// The whole state of a service at one position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot(pub Bytes);

/// What other partitions told about one command, by group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Shares {
    told: Vec<(GroupId, Bytes)>,
}

impl Shares {
    /// Nobody told anything.
    pub fn none() -> Shares {
        Shares::default()
    }

    /// Adds what a group told; the first word of a group stands.
    pub fn insert(&mut self, group: GroupId, share: Bytes) {
        if let Err(place) = self.told.binary_search_by_key(&group, |(told, _)| *told) {
            self.told.insert(place, (group, share));
        }
    }

    /// What a group told.
    pub fn from(&self, group: GroupId) -> Option<&Bytes> {
        let place = self.told.binary_search_by_key(&group, |(told, _)| *told).ok()?;
        Some(&self.told[place].1)
    }

    /// Every share, by rising group.
    pub fn iter(&self) -> impl Iterator<Item = (GroupId, &Bytes)> {
        self.told.iter().map(|(group, share)| (*group, share))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageId, Multicast, Timestamp};
    use alloc::boxed::Box;

    /// The smallest service: it adds up the bytes that it is told.
    #[derive(Default)]
    struct Sum(u8);

    impl Service for Sum {
        fn share(&self, _: &Delivery) -> Option<Bytes> {
            None
        }

        fn apply(&mut self, delivery: &Delivery, _: &Shares) -> Reply {
            self.0 = delivery.message.payload.iter().fold(self.0, |sum, byte| sum.wrapping_add(*byte));
            self.read(&[])
        }

        fn read(&self, _: &[u8]) -> Reply {
            Reply(Bytes::copy_from_slice(&[self.0]))
        }

        fn snapshot(&self) -> Snapshot {
            Snapshot(Bytes::copy_from_slice(&[self.0]))
        }

        fn restore(&mut self, snapshot: Snapshot) {
            self.0 = snapshot.0[0];
        }
    }

    #[test]
    fn a_boxed_service_can_be_applied_copied_and_read() {
        let delivery = Delivery {
            position: 0,
            timestamp: Timestamp(1),
            message: Multicast {
                id: MessageId::new(1, 1, 0b1),
                floor: Timestamp::ZERO,
                expiry: Timestamp::MAX,
                payload: Bytes::from_static(&[2, 3]),
            },
        };
        let mut service: Box<dyn Service> = Box::new(Sum::default());
        assert_eq!(service.apply(&delivery, &Shares::none()), Reply(Bytes::from_static(&[5])));
        let mut copy: Box<dyn Service> = Box::new(Sum::default());
        copy.restore(service.snapshot());
        assert_eq!(copy.read(b""), Reply(Bytes::from_static(&[5])));
    }

    #[test]
    fn the_first_share_of_a_group_stands() {
        let group = GroupId::new(4).unwrap();
        let mut shares = Shares::none();
        shares.insert(group, Bytes::from_static(b"a"));
        shares.insert(group, Bytes::from_static(b"b"));
        assert_eq!(shares.from(group), Some(&Bytes::from_static(b"a")));
        assert_eq!(shares.from(GroupId::new(3).unwrap()), None);
        assert_eq!(shares.iter().count(), 1);
    }
}
