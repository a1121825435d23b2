//! [`Epoch`]: one reign of one process over its group. Epochs of different
//! groups have nothing to do with each other.

use core::fmt;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{ProcessId, Wire};

/// A reign. Two processes never lead the same one, since its leader is part of
/// its name, and a process never leads one twice, since it makes a promise to
/// itself first, on disk.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Counts up.
    pub round: u32,
    /// Who proposes in it.
    pub leader: ProcessId,
}

impl Epoch {
    /// The one in which a group begins, led by its first replica.
    pub const fn first(leader: ProcessId) -> Epoch {
        Epoch { round: 0, leader }
    }

    /// The next one that this process may lead.
    #[must_use]
    pub fn next(self, leader: ProcessId) -> Epoch {
        Epoch { round: self.round.checked_add(1).expect("a group does not see four billion elections"), leader }
    }

    /// Whether it is the one in which a group begins.
    pub const fn is_first(self) -> bool {
        self.round == 0
    }
}

impl Wire for Epoch {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.round);
        self.leader.encode(writer);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Epoch, WireError> {
        Ok(Epoch { round: reader.u32()?, leader: ProcessId::decode(reader)? })
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}/{}", self.round, self.leader)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;

    #[test]
    fn a_later_round_wins_whoever_leads_it() {
        let first = Epoch::first(ProcessId(0));
        let (low, high) = (first.next(ProcessId(1)), first.next(ProcessId(2)));
        assert!(first < low && low < high && high < low.next(ProcessId(0)));
        assert!(first.is_first() && !low.is_first());
        assert_eq!(format!("{low:?}"), "e1/p1");
    }
}
