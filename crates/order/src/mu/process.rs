//! [`Mu`]: a process of a cluster, which is a processor or a memory, and what a
//! processor and its user say to each other.
//!
//! Processors are numbered like their replicas, from 0; the memories follow, in
//! the same order.

use alloc::string::String;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Machine, Out, ProcessId, Time, Wire};

use super::registers::Registers;
use super::replica::Replica;
use super::verb::Message;

/// One process.
#[derive(Debug)]
pub enum Mu {
    /// A processor.
    Replica(alloc::boxed::Box<Replica>),
    /// A memory.
    Memory(alloc::boxed::Box<Registers>),
}

/// What its user asks of a processor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Put a request into the log: answered by [`Event::Apply`] with this token, [`Event::Refused`] or
    /// [`Event::Unknown`].
    Propose {
        /// Names it.
        token: u64,
        /// What is asked of the service.
        request: Bytes,
    },
    /// The process of a replica was seen to die.
    Died(u8),
    /// A piece of the state that [`Event::Snapshot`] asked to hold: the answer to [`Event::Piece`].
    Piece {
        /// For whom.
        to: u8,
        /// What it says.
        bytes: Bytes,
        /// Whether it is the last.
        is_last: bool,
    },
    /// The process is about to stop: others should not count on it.
    Retire,
}

/// What a processor tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Apply this, next.
    Apply {
        /// In which slot it stands.
        index: u64,
        /// What is asked of the service.
        request: Bytes,
        /// Who of this process waits for the answer.
        token: Option<u64>,
    },
    /// It was not put into the log, and will not be.
    Refused {
        /// What.
        token: u64,
        /// Why.
        why: Refusal,
    },
    /// It may be in the log, or get into it, or not.
    Unknown {
        /// What.
        token: u64,
    },
    /// This processor began or ceased to lead, or has another opinion of who does.
    Role(Role),
    /// Hold the state as it is now, for this replica, in place of what was held for it.
    Snapshot {
        /// For whom.
        to: u8,
    },
    /// Hand over the next piece of what is held: [`Command::Piece`].
    Piece {
        /// For whom.
        to: u8,
        /// How long at most.
        most: usize,
    },
    /// Become this state, and forget the own.
    Install {
        /// All pieces in a row.
        state: Bytes,
    },
    /// This replica needs the state of another, and nobody has one: all processes that had it are gone.
    Stuck,
}

/// Why something was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another replica leads, perhaps this one.
    NotLeader(Option<u8>),
    /// Too much waits already.
    Busy,
    /// It does not fit into a slot.
    TooLong {
        /// What would.
        longest: usize,
    },
}

/// What a processor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// What is proposed here is put into the log.
    Leading,
    /// Somebody else leads, or nobody yet.
    Following(Option<u8>),
}

/// What a process waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A processor looks at its own memory.
    Look,
    /// A processor shows that it is well, and looks at the others.
    Tick,
    /// A leader with nothing to write says what is decided.
    Flush,
    /// A processor that was thwarted tries to lead again.
    Bid,
    /// A simulated memory takes the next step for a processor,
    Step(u16),
    /// or lets what came of one be known.
    Say(u64),
}

/// Nothing is written to a disk: memories outlive processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nothing {}

impl Wire for Nothing {
    fn encode(&self, _: &mut Writer<'_>) {
        match *self {}
    }

    fn decode(_: &mut Reader) -> Result<Nothing, WireError> {
        Err(WireError::UnknownTag { what: "a record of Mu, which has none", tag: 0 })
    }
}

impl Machine for Mu {
    type Command = Command;
    type Message = Message;
    type Timer = Timer;
    type Record = Nothing;
    type Event = Event;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, seed: u64, out: &mut Out<Mu>) {
        match self {
            Mu::Replica(replica) => replica.start(seed, out),
            Mu::Memory(registers) => registers.start(seed),
        }
    }

    fn on_command(&mut self, _: Time, command: Command, out: &mut Out<Mu>) {
        match self {
            Mu::Replica(replica) => replica.on_command(command, out),
            Mu::Memory(_) => panic!("a memory has no user, and is told {command:?}"),
        }
    }

    fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        match self {
            Mu::Replica(replica) => replica.may_say(from, message),
            Mu::Memory(registers) => registers.may_say(from, message),
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Out<Mu>) {
        assert_eq!(self.may_say(from, &message), Ok(()), "its link is closed instead");
        match (self, message) {
            (Mu::Replica(replica), Message::Done(outcome)) => {
                let memory = usize::from(from.0).checked_sub(replica.options().shape.replicas);
                let memory = memory.unwrap_or_else(|| panic!("{from} is no memory, and says {outcome:?}"));
                replica.on_outcome(memory as u8, outcome, out);
            }
            (Mu::Memory(registers), Message::Do(verb)) => registers.on_verb(from, verb, out),
            (_, message) => panic!("{from} says {message:?} to the wrong kind of process"),
        }
    }

    fn on_timer(&mut self, _: Time, timer: Timer, out: &mut Out<Mu>) {
        match self {
            Mu::Replica(replica) => replica.on_timer(timer, out),
            Mu::Memory(registers) => registers.on_timer(timer, out),
        }
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Out<Mu>) {
        match self {
            Mu::Replica(replica) => {
                if let Some(memory) = usize::from(peer.0).checked_sub(replica.options().shape.replicas) {
                    replica.on_reconnect(memory as u8, out);
                }
            }
            Mu::Memory(registers) => registers.on_reconnect(peer),
        }
    }

    fn finish(&mut self, _: Time, out: &mut Out<Mu>) {
        if let Mu::Replica(replica) = self {
            replica.finish(out);
        }
    }

    fn check(&self) {
        if let Mu::Replica(replica) = self {
            replica.check();
        }
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        if let Mu::Replica(replica) = self {
            replica.gauges(tell);
        }
    }
}
