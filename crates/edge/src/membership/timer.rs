//! [`Timer`]: what membership waits for.

use super::Identity;

/// One timer of a member.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Ask to be let in again, or look for seeds.
    Ask,
    /// Compare what is known with somebody.
    Exchange,
    /// Tell those who are suspected once more.
    Doubt,
    /// Say goodbye once more.
    Goodbye,
    /// One of the gossip beneath, with the number of its beginning: it begins again after a withdrawal, and what was
    /// armed before must not fire into that.
    Swim(u32, Tick),
}

/// A timer of the gossip beneath.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // as foca says
pub enum Tick {
    Probe(u8),
    Indirect { whom: Identity, token: u8 },
    Condemn { whom: Identity, incarnation: u16, token: u8 },
    Announce(u8),
    Call(u8),
    Gossip(u8),
    Forget(Identity),
}

impl From<foca::Timer<Identity>> for Tick {
    fn from(timer: foca::Timer<Identity>) -> Tick {
        match timer {
            foca::Timer::ProbeRandomMember(token) => Tick::Probe(token),
            foca::Timer::SendIndirectProbe { probed_id, token } => Tick::Indirect { whom: probed_id, token },
            foca::Timer::ChangeSuspectToDown { member_id, incarnation, token } => {
                Tick::Condemn { whom: member_id, incarnation, token }
            }
            foca::Timer::PeriodicAnnounce(token) => Tick::Announce(token),
            foca::Timer::PeriodicAnnounceDown(token) => Tick::Call(token),
            foca::Timer::PeriodicGossip(token) => Tick::Gossip(token),
            foca::Timer::RemoveDown(whom) => Tick::Forget(whom),
        }
    }
}

impl From<Tick> for foca::Timer<Identity> {
    fn from(tick: Tick) -> foca::Timer<Identity> {
        match tick {
            Tick::Probe(token) => foca::Timer::ProbeRandomMember(token),
            Tick::Indirect { whom, token } => foca::Timer::SendIndirectProbe { probed_id: whom, token },
            Tick::Condemn { whom, incarnation, token } => {
                foca::Timer::ChangeSuspectToDown { member_id: whom, incarnation, token }
            }
            Tick::Announce(token) => foca::Timer::PeriodicAnnounce(token),
            Tick::Call(token) => foca::Timer::PeriodicAnnounceDown(token),
            Tick::Gossip(token) => foca::Timer::PeriodicGossip(token),
            Tick::Forget(whom) => foca::Timer::RemoveDown(whom),
        }
    }
}
