//! Names of clusters, processes, sessions and messages. They are small, ordered
//! and print as a reader of a trace wants them: `p3`, `s7`, `s7.2`.
//! A name says nothing about where its owner lives.

use core::fmt;

use crate::GroupSet;

/// Tells one cluster from another, so that nodes of two never mix.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

/// One process of the cluster: a replica of a group, or an outsider that only multicasts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProcessId(pub u16);

/// One session: whoever multicasts, and expects its messages in the order sent.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u64);

/// One multicast message: the session that sent it, its number there, and the
/// groups that it is for. The groups belong to the name, so that nobody can
/// give two of them different ideas of one message.
///
/// Ids also break ties between equal timestamps, so their order is part of
/// the protocols.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// Who sent it.
    pub session: SessionId,
    /// Counts up within the session, from 1.
    pub sequence: u64,
    /// The groups that it concerns.
    pub destinations: GroupSet,
}

impl MessageId {
    /// The message `sequence` of session `session`, to the groups of these bits.
    pub const fn new(session: u64, sequence: u64, groups: u64) -> MessageId {
        MessageId { session: SessionId(session), sequence, destinations: GroupSet::from_bits(groups) }
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "s{}", self.0)
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.session, self.sequence)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn names_print_as_a_trace_wants_them() {
        assert_eq!(format!("{:?} {:?}", ProcessId(3), MessageId::new(7, 2, 1)), "p3 s7.2");
        assert_eq!(format!("{}", ClusterId(0xabc)), "0000000000000abc");
    }

    #[test]
    fn messages_order_by_session_then_number() {
        assert!(MessageId::new(1, 9, 1) < MessageId::new(2, 1, 1));
        assert!(MessageId::new(2, 1, 2) < MessageId::new(2, 2, 1));
    }
}
