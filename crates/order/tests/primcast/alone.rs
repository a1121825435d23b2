//! [`Alone`]: one process without a world, that is told things one by one and
//! whose answers are looked at.

use skein_machine::{Boot, Down, Machine, Multicast, Out, ProcessId, Time};
use skein_order::Planted;
use skein_order::primcast::{Message, PrimCast, Settings, Start};

use super::room::{CLIENT, cluster};

/// One process without a world.
pub(crate) struct Alone(pub(crate) PrimCast);

impl Alone {
    pub(crate) fn new(me: ProcessId) -> Alone {
        let mut machine = PrimCast::new(me, cluster(), Boot::First, Settings::DEFAULT, Planted::NONE);
        machine.start(Time::ZERO, 1, &mut Out::new());
        Alone(machine)
    }

    /// Asks it to multicast, and answers what it wants done, in words.
    pub(crate) fn multicast(&mut self, message: Multicast) -> String {
        let mut out = Out::new();
        self.0.on_command(Time::ZERO, Down::Multicast(message), &mut out);
        self.0.finish(Time::ZERO, &mut out);
        format!("{out:?}")
    }

    /// Tells it a message, and answers what it wants done.
    pub(crate) fn hear(&mut self, from: ProcessId, message: Message) -> Out<PrimCast> {
        let mut out = Out::new();
        self.0.on_message(Time::ZERO, from, message, &mut out);
        self.0.finish(Time::ZERO, &mut out);
        out
    }

    pub(crate) fn in_words(&mut self, from: ProcessId, message: Message) -> String {
        format!("{:?}", self.hear(from, message))
    }
}

/// START, as a client says it.
pub(crate) fn start(message: Multicast) -> Message {
    Message::Start(Start { message, follows: 0, sender: CLIENT, proposed: None })
}
