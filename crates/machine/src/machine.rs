//! [`Machine`]: a protocol as a pure state. Time and randomness are arguments,
//! everything it wants done goes into [`Out`], and there is no other way in or
//! out, so that the simulator judges the very code that ships.

use core::fmt::Debug;
use core::hash::Hash;

use alloc::string::String;
use alloc::vec::Vec;

use crate::{MessageId, Out, Outlook, ProcessId, SessionId, Time, Wire};

/// How a process comes to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Boot {
    /// For the first time: its disk is empty because it has never run.
    First,
    /// After a stop or a crash, with everything that it had made durable.
    Again,
    /// With a disk that was lost or found damaged. It must not act as the
    /// process that it was, for it has forgotten what that one promised. Its
    /// first durable record must say so: a life that ends with an empty disk
    /// is followed by another of this kind, any other by [`Boot::Again`].
    Amnesiac {
        /// Counts the lives that began without memory, from 1.
        incarnation: u32,
    },
}

/// A protocol, a replica, a gossip agent: anything that reacts to commands,
/// messages and timers.
///
/// A host calls [`restore`](Machine::restore) for each durable record, then
/// [`start`](Machine::start) once, then the others as things happen. Links
/// between two processes keep the order of messages and lose none until they
/// break, of which both ends are told by [`on_reconnect`](Machine::on_reconnect).
///
/// A host hands over everything that is ready, one call each, and then calls
/// [`finish`](Machine::finish): that is a turn. Only then are the effects of
/// the whole turn performed, in order. A turn may be a single call, so what a
/// machine puts off until then costs no step, and under load saves many.
///
/// Late, duplicate and lost messages are weather: a machine drops what is
/// stale. A message that could not have come from this code, given its
/// invariants, is a bug: it panics with a sentence. A host that hears strangers
/// asks [`may_say`](Machine::may_say) first, and closes the link instead.
pub trait Machine: Sized {
    /// What its user asks for.
    type Command: Debug;
    /// What it says to its peers.
    type Message: Wire + Debug;
    /// Names one timer; arming an equal one replaces it.
    type Timer: Clone + Ord + Hash + Debug;
    /// What it must not forget.
    type Record: Wire + Debug;
    /// What it tells its user.
    type Event: Debug;

    /// Takes back one durable record: the newest checkpoint, then what followed.
    fn restore(&mut self, record: Self::Record);

    /// Begins to live. `seed` is all the randomness it gets in this life.
    fn start(&mut self, now: Time, seed: u64, out: &mut Out<Self>);

    /// Its user asks for something.
    fn on_command(&mut self, now: Time, command: Self::Command, out: &mut Out<Self>);

    /// A peer, or the machine itself, said something.
    fn on_message(&mut self, now: Time, from: ProcessId, message: Self::Message, out: &mut Out<Self>);

    /// Whether this peer may say this at all: a sentence if only a mistake in its configuration or a foreign program
    /// could have made it. It changes nothing, and costs little.
    fn may_say(&self, from: ProcessId, message: &Self::Message) -> Result<(), String> {
        let _ = (from, message);
        Ok(())
    }

    /// A timer came due that was neither replaced nor disarmed.
    fn on_timer(&mut self, now: Time, timer: Self::Timer, out: &mut Out<Self>);

    /// The link to `peer` broke and stands again: a suffix of what either end
    /// had sent is lost. What is sent from now on arrives in order again.
    fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Out<Self>) {
        let _ = (now, peer, out);
    }

    /// The turn is over: everything that was ready has been handed in. What
    /// follows from all of it together is best said here, and once.
    fn finish(&mut self, now: Time, out: &mut Out<Self>) {
        let _ = (now, out);
    }

    /// Panics unless the invariants hold. Called after every turn in simulation.
    fn check(&self);

    /// Tells what somebody who watches wants to see: counts and measures, each under a name of its own.
    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        let _ = tell;
    }

    /// What it knows of a message that it has not delivered, and what that waits for. It is asked seldom, and may take
    /// its time.
    fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        let _ = (session, sequence);
        None
    }

    /// Messages that it knows of and has not delivered, those that come first in front; so many at most.
    fn waiting(&self, most: usize) -> Vec<MessageId> {
        let _ = most;
        Vec::new()
    }

    /// Whether its memory counts: false while an amnesiac does not yet hold,
    /// durably, what its group knows. Too many of those at once are as bad as
    /// too many crashed.
    fn remembers(&self) -> bool {
        true
    }
}
