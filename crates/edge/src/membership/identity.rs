//! [`Identity`]: who a member is to the gossip beneath, and [`Update`]: what is
//! said of one.
//!
//! Of two that claim one name the greater stands, and everybody must agree on
//! which that is. A later life is greater. Within one life a member may be
//! declared dead while it lives; that cannot be taken back, so it comes back
//! reborn, with a count of its own. Its life stays, for what it has written is
//! named by that, and nothing of it was lost.

use core::fmt;

use alloc::sync::Arc;
use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use crate::{Member, MemberId};

/// A member, and how often it came back from being declared dead.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Identity {
    pub(super) id: MemberId,
    pub(super) rebirth: u32,
    pub(super) member: Arc<Member>,
}

impl Identity {
    pub(super) fn new(member: Member, rebirth: u32) -> Identity {
        Identity { id: member.id(), rebirth, member: Arc::new(member) }
    }

    /// The same with memory of its own.
    pub(super) fn copied(&self) -> Identity {
        Identity { member: Arc::new(self.member.copied()), ..*self }
    }

    /// Whether it stands where another claims the same name. In one life the address counts before all rebirths:
    /// two processes that were given one life by mistake would otherwise overtake each other for ever.
    pub(super) fn beats(&self, other: &Identity) -> bool {
        let rank = |identity: &Identity| (identity.member.life, identity.member.address, identity.rebirth);
        (rank(self), &self.member) > (rank(other), &other.member)
    }

    /// Whether another process, which is not this one in an earlier or later life, claims the same name.
    pub(super) fn is_namesake_of(&self, other: &Identity) -> bool {
        self.id == other.id && self.member.address != other.member.address
    }
}

impl foca::Identity for Identity {
    type Addr = MemberId;

    fn renew(&self) -> Option<Identity> {
        Some(Identity { rebirth: self.rebirth.checked_add(1)?, ..self.clone() })
    }

    fn addr(&self) -> MemberId {
        self.id
    }

    fn win_addr_conflict(&self, adversary: &Identity) -> bool {
        self.beats(adversary)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.rebirth {
            0 => write!(f, "{}", self.member),
            rebirth => write!(f, "{}+{rebirth}", self.member),
        }
    }
}

impl Wire for Identity {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.member.encode(writer);
        writer.u32(self.rebirth);
    }

    fn decode(reader: &mut Reader) -> Result<Identity, WireError> {
        let member = Member::decode(reader)?;
        Ok(Identity::new(member, reader.u32()?))
    }
}

/// What is said of a member that left politely: no suspicion ever counts so far.
pub(super) const LEFT: u16 = u16::MAX;

/// What one member says of another.
#[derive(Clone, PartialEq, Eq)]
pub struct Update {
    pub(super) identity: Identity,
    pub(super) incarnation: u16,
    pub(super) state: foca::State,
}

impl Update {
    pub(super) fn alive(identity: Identity) -> Update {
        Update { identity, incarnation: 0, state: foca::State::Alive }
    }

    pub(super) fn is_active(&self) -> bool {
        self.state != foca::State::Down
    }

    pub(super) fn into_foca(self) -> foca::Member<Identity> {
        foca::Member::new(self.identity, self.incarnation, self.state)
    }
}

impl From<&foca::Member<Identity>> for Update {
    fn from(member: &foca::Member<Identity>) -> Update {
        Update { identity: member.id().clone(), incarnation: member.incarnation(), state: member.state() }
    }
}

impl fmt::Debug for Update {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Update { identity, incarnation, .. } = self;
        match self.state {
            foca::State::Alive => write!(f, "{identity:?} lives at {incarnation}"),
            foca::State::Suspect => write!(f, "{identity:?} is suspected at {incarnation}"),
            foca::State::Down if *incarnation == LEFT => write!(f, "{identity:?} has left"),
            foca::State::Down => write!(f, "{identity:?} is down"),
        }
    }
}

const ALIVE: u8 = 0;
const SUSPECT: u8 = 1;
const DOWN: u8 = 2;

impl Wire for Update {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.identity.encode(writer);
        writer.u16(self.incarnation);
        writer.u8(match self.state {
            foca::State::Alive => ALIVE,
            foca::State::Suspect => SUSPECT,
            foca::State::Down => DOWN,
        });
    }

    fn decode(reader: &mut Reader) -> Result<Update, WireError> {
        let (identity, incarnation) = (Identity::decode(reader)?, reader.u16()?);
        let state = match reader.u8()? {
            ALIVE => foca::State::Alive,
            SUSPECT => foca::State::Suspect,
            DOWN => foca::State::Down,
            tag => return Err(WireError::UnknownTag { what: "a state of a member", tag }),
        };
        Ok(Update { identity, incarnation, state })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use foca::Identity as _;

    fn identity(address: &str, life: u64, rebirth: u32) -> Identity {
        let name = |text| Name::new(text).unwrap();
        Identity::new(Member::new(name("a"), name("b"), address.parse().unwrap()).living(life), rebirth)
    }

    #[test]
    fn of_two_with_one_name_everybody_takes_the_same() {
        let (here, there) = ("10.0.0.1:7", "10.0.0.2:7");
        let rising = [
            identity(here, 1, 0),
            identity(here, 1, 7),
            identity(there, 1, 0),
            identity(there, 1, 1),
            identity(here, 2, 0),
        ];
        for (low, lower) in rising.iter().enumerate() {
            for (high, higher) in rising.iter().enumerate() {
                assert_eq!(higher.beats(lower), high > low, "{higher:?} beside {lower:?}");
            }
        }
    }

    #[test]
    fn whoever_is_reborn_beats_what_it_was_and_keeps_its_life() {
        let before = identity("10.0.0.1:7", 5, 0);
        let after = before.renew().unwrap();
        assert!(after.win_addr_conflict(&before) && after.member == before.member);
        assert_eq!(identity("10.0.0.1:7", 5, u32::MAX).renew(), None);
    }
}
