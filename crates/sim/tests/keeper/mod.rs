//! The smallest machine with something to lose: a client asks a keeper to keep
//! numbers, and the keeper says so when it has. One of the two is process 0.

use std::collections::BTreeSet;

use skein_machine::wire::{Nothing, Reader, WireError, Writer};
use skein_machine::{Machine, Out, ProcessId, Time, Wire};

pub(crate) const CLIENT: ProcessId = ProcessId(0);
pub(crate) const KEEPER: ProcessId = ProcessId(1);

/// A client or a keeper, by its number.
#[derive(Debug)]
pub(crate) struct Keeper {
    me: ProcessId,
    /// Whether it acknowledges before the number is on its disk, as it must not.
    is_hasty: bool,
    /// At the keeper: what it keeps. At the client: what it has asked for.
    numbers: BTreeSet<u64>,
}

#[derive(Debug)]
pub(crate) enum Message {
    Keep(u64),
    Kept(u64),
}

#[derive(Debug)]
pub(crate) struct Record(u64);

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// The client heard that a number is kept.
    Kept(u64),
    /// The keeper found these when it started.
    Found(BTreeSet<u64>),
}

impl Keeper {
    pub(crate) fn new(me: ProcessId, is_hasty: bool) -> Keeper {
        Keeper { me, is_hasty, numbers: BTreeSet::new() }
    }
}

impl Machine for Keeper {
    type Command = u64;
    type Message = Message;
    type Timer = Nothing;
    type Record = Record;
    type Event = Event;

    fn restore(&mut self, Record(number): Record) {
        self.numbers.insert(number);
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Self>) {
        if self.me == KEEPER {
            out.emit(Event::Found(self.numbers.clone()));
        }
    }

    fn on_command(&mut self, _: Time, number: u64, out: &mut Out<Self>) {
        self.numbers.insert(number);
        out.send(KEEPER, Message::Keep(number));
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Out<Self>) {
        match message {
            Message::Keep(number) => {
                if self.numbers.insert(number) {
                    out.persist(Record(number));
                }
                if self.is_hasty {
                    out.send_early(from, Message::Kept(number));
                } else {
                    out.send(from, Message::Kept(number));
                }
            }
            Message::Kept(number) => out.emit(Event::Kept(number)),
        }
    }

    fn on_timer(&mut self, _: Time, timer: Nothing, _: &mut Out<Self>) {
        match timer {}
    }

    fn check(&self) {}
}

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        let (tag, number) = match self {
            Message::Keep(number) => (1, number),
            Message::Kept(number) => (2, number),
        };
        writer.u8(tag);
        writer.u64(*number);
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        match reader.u8()? {
            1 => Ok(Message::Keep(reader.u64()?)),
            2 => Ok(Message::Kept(reader.u64()?)),
            tag => Err(WireError::UnknownTag { what: "message", tag }),
        }
    }
}

impl Wire for Record {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Record, WireError> {
        Ok(Record(reader.u64()?))
    }
}
