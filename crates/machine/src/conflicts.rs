//! [`Conflicts`]: which messages commute. A service that says so need not see
//! all its messages in one order, only those whose order makes a difference.
//! It will never judge order by itself: what to do about it is the protocol's.

use core::fmt;
use core::hash::{Hash, Hasher};

use crate::Multicast;

/// A relation over messages: whether the order of two of them matters to the
/// service. It must be symmetric, look at nothing but the messages, and be the
/// same at every process of a cluster.
#[derive(Clone, Copy)]
pub struct Conflicts {
    relation: fn(&Multicast, &Multicast) -> bool,
}

impl Conflicts {
    /// Messages conflict when this says so.
    pub const fn when(relation: fn(&Multicast, &Multicast) -> bool) -> Conflicts {
        Conflicts { relation }
    }

    /// Whether two messages must be delivered in one order everywhere. Those of
    /// one session always must, whatever they say.
    pub fn between(self, one: &Multicast, other: &Multicast) -> bool {
        one.id.session == other.id.session || (self.relation)(one, other)
    }
}

/// The same function is the same relation.
impl PartialEq for Conflicts {
    fn eq(&self, other: &Conflicts) -> bool {
        core::ptr::fn_addr_eq(self.relation, other.relation)
    }
}

impl Eq for Conflicts {}

impl Hash for Conflicts {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.relation as usize).hash(state);
    }
}

impl fmt::Debug for Conflicts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("some messages commute")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MessageId, Timestamp};
    use bytes::Bytes;

    fn message(session: u64, payload: &'static [u8]) -> Multicast {
        Multicast {
            id: MessageId::new(session, 1, 0b1),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::from_static(payload),
        }
    }

    #[test]
    fn a_session_keeps_its_order_whatever_it_says() {
        let same_payload = Conflicts::when(|one, other| one.payload == other.payload);
        assert!(same_payload.between(&message(1, b"a"), &message(2, b"a")));
        assert!(!same_payload.between(&message(1, b"a"), &message(2, b"b")));
        assert!(same_payload.between(&message(1, b"a"), &message(1, b"b")));
    }
}
