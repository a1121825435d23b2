//! [`Access`]: what a message of the simulator does to the service that it is
//! meant for. It reads or writes one of a few keys, and its first letter says
//! which. From this follows which messages commute; only void ones, which have
//! no effect, are not its affair: whether a message is void, its payload does not say.

use skein_machine::{Conflicts, Multicast};

/// How many keys there are: few, so that many messages meet, and enough for most to pass each other by.
pub(crate) const KEYS: usize = 4;

/// Two messages conflict when they have the same key and at least one of them writes.
pub const SOME_COMMUTE: Conflicts = Conflicts::when(conflict);

/// No two messages conflict, unless one session sent them.
pub const ALL_COMMUTE: Conflicts = Conflicts::when(|_, _| false);

/// What a message does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// To which key.
    pub(crate) key: usize,
    pub(crate) is_write: bool,
}

impl Access {
    /// `None` for a message that says nothing, and so does nothing.
    pub(crate) fn of(message: &Multicast) -> Option<Access> {
        let letter = usize::from(*message.payload.first()?);
        Some(Access { key: letter % KEYS, is_write: letter / KEYS % 2 == 1 })
    }
}

fn conflict(one: &Multicast, other: &Multicast) -> bool {
    let (Some(one), Some(other)) = (Access::of(one), Access::of(other)) else { return false };
    one.key == other.key && (one.is_write || other.is_write)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use skein_machine::{MessageId, Timestamp};

    fn message(session: u64, payload: &[u8]) -> Multicast {
        Multicast {
            id: MessageId::new(session, 1, 0b1),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    fn do_conflict(one: &[u8], other: &[u8]) -> bool {
        SOME_COMMUTE.between(&message(1, one), &message(2, other))
    }

    /// Two reads of a key commute, and both conflict with a write of it: no sorting into kinds says as much.
    #[test]
    fn a_write_conflicts_with_whatever_has_its_key() {
        assert!(!do_conflict(b"a", b"aha") && !do_conflict(b"a", b"i"), "they read the same key");
        assert!(do_conflict(b"a", b"e") && do_conflict(b"e", b"i") && do_conflict(b"e", b"e"));
        assert!(!do_conflict(b"e", b"d") && !do_conflict(b"e", b"b"), "other keys");
        assert!(!do_conflict(b"", b"e") && !do_conflict(b"e", b"") && !do_conflict(b"", b""), "it says nothing");
    }

    #[test]
    fn it_is_symmetric_and_spreads() {
        let all: Vec<[u8; 1]> = (0..=u8::MAX).map(|byte| [byte]).collect();
        for one in &all {
            assert!(all.iter().all(|other| do_conflict(one, other) == do_conflict(other, one)));
        }
        let letters: Vec<Access> = (b'a'..=b'z').map(|letter| Access::of(&message(1, &[letter])).unwrap()).collect();
        let writes = letters.iter().filter(|access| access.is_write).count();
        assert!((10..=16).contains(&writes), "{writes} of 26 letters write");
        assert!((0..KEYS).all(|key| letters.iter().filter(|access| access.key == key).count() >= 6));
    }

    #[test]
    fn only_a_session_holds_all_together() {
        assert!(!ALL_COMMUTE.between(&message(1, b"e"), &message(2, b"e")));
        assert!(ALL_COMMUTE.between(&message(1, b"a"), &message(1, b"b")));
    }
}
