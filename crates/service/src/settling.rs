//! [`Settling`]: an order that also says what is settled, for those who use it
//! without a service: the mode `linearizable`. It passes everything on as it
//! is, and tells its user up to which place answers may be released
//! ([`Up::Settled`]): when everything delivered before is delivered at all its
//! destinations, and likewise everything before it there. Deliveries never wait.
//!
//! It knows no protocol. Checkpoints of its user go through its hands, since it
//! must not forget what was not settled when one was taken.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{self, Reader, VERSION, WireError, Writer};
use skein_machine::{
    Cluster, Down, Effect, GroupId, Machine, MessageId, Ordering, Out, Outlook, ProcessId, SessionId, Stamp, Time,
    Timestamp, Up, Wire,
};

use crate::held::Held;
use crate::settled::{Inquiries, Settled, Word};
use crate::{Mutant, Near, Planted};

/// Between two looks at what may have been lost on the way.
const TICK: Duration = Duration::from_millis(20);

/// The longest state of a user that is kept with what is not settled.
const MOST_STATE: usize = 1 << 30;

/// An order that also says what is settled.
#[derive(Clone, Debug, Hash)]
pub struct Settling<M> {
    order: M,
    /// `None` for a process that holds no partition: it releases nothing.
    member: Option<Member>,
    /// The order has told everything early so far, so what follows from it is as true.
    is_early: bool,
    planted: Planted,
}

/// What a replica knows of what is settled.
#[derive(Clone, Debug, Hash)]
struct Member {
    group: GroupId,
    /// Everything up to here was delivered.
    safe: Timestamp,
    /// The order was asked to get here.
    raised: Timestamp,
    settled: Settled,
    /// What was delivered and not released.
    held: Held<Stamp>,
    newest: Option<Stamp>,
    inquiries: Inquiries,
    tick_is_armed: bool,
}

/// What two processes say to each other.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Message<O> {
    /// What their order says.
    Order(O),
    /// How far are you? It is enough to know when you have delivered up to here.
    AskStanding(Timestamp),
    /// So far are groups.
    Standing(Word),
}

/// The timers of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer<T> {
    /// One of the order's.
    Order(T),
    /// Look after what may be lost.
    Tick,
}

/// What a checkpoint holds beside the user's state.
struct Envelope {
    newest: Option<Stamp>,
    settled: Settled,
    user: Bytes,
}

impl<M: Ordering> Settling<M> {
    /// A process of this cluster around its order.
    pub fn new(me: ProcessId, cluster: &Cluster, near: Arc<Near>, order: M, planted: Planted) -> Settling<M> {
        let member = cluster.group_of(me).map(|group| Member {
            group,
            safe: Timestamp::ZERO,
            raised: Timestamp::ZERO,
            settled: Settled::new(group).planted(planted),
            held: Held::new(),
            newest: None,
            inquiries: Inquiries::new(me, group, near),
            tick_is_armed: false,
        });
        Settling { order, member, is_early: true, planted }
    }

    /// Lets the order take a step, and passes on what it wants done.
    fn with_order(&mut self, out: &mut Out<Self>, step: impl FnOnce(&mut M, &mut Out<M>)) {
        let mut inner = Out::new();
        out.swap_chronicle(&mut inner);
        step(&mut self.order, &mut inner);
        out.swap_chronicle(&mut inner);
        for effect in inner.drain() {
            self.is_early &= !matches!(effect, Effect::Emit(_));
            match effect {
                Effect::Persist(record) => out.persist(record),
                Effect::Checkpoint(record) => out.checkpoint(record),
                Effect::Compact(record) => out.compact(record),
                Effect::Send(to, message) => out.push(Effect::Send(to, Message::Order(message))),
                Effect::SendEarly(to, message) => out.push(Effect::SendEarly(to, Message::Order(message))),
                Effect::Arm(timer, after) => out.arm(Timer::Order(timer), after),
                Effect::Disarm(timer) => out.disarm(Timer::Order(timer)),
                Effect::Emit(up) | Effect::EmitEarly(up) => self.hear(up, out),
            }
        }
    }

    fn hear(&mut self, up: Up, out: &mut Out<Self>) {
        let is_early = self.is_early;
        let Some(member) = &mut self.member else { return out.emit_as(is_early, up) };
        match up {
            Up::Deliver(delivery) => {
                // What stands before it has to be settled before it is answered, but not this one itself.
                let early = if self.planted.is(Mutant::ReplicaSettlesEarly) { 8 } else { 0 };
                let need = Timestamp(member.settled.need().0.saturating_sub(early));
                member.settled.delivered(delivery.timestamp, delivery.message.id.destinations);
                member.newest = member.newest.max(Some(delivery.stamp()));
                member.held.hold(need, delivery.stamp());
                out.emit_as(is_early, Up::Deliver(delivery));
            }
            Up::Install { position, bytes } => {
                let envelope: Envelope = wire::from_bytes(bytes, VERSION)
                    .unwrap_or_else(|error| panic!("a checkpoint that this order was given back is none: {error}"));
                member.settled.merge(envelope.settled);
                if let Some(newest) = envelope.newest.filter(|newest| member.newest.is_none_or(|known| known < *newest))
                {
                    // Nobody remembers what stood before it, but nothing above it did.
                    let need = member.settled.need().min(newest.timestamp);
                    member.newest = Some(newest);
                    member.held.hold(need, newest);
                }
                out.emit_as(is_early, Up::Install { position, bytes: envelope.user });
            }
            Up::SafeTime(safe) => {
                member.safe = member.safe.max(safe);
                out.emit_as(is_early, Up::SafeTime(safe));
            }
            up => out.emit_as(is_early, up),
        }
    }
}

impl Member {
    /// Somebody waits until everything up to this timestamp is delivered here: another group, or an answer that is
    /// held, since nothing is settled here before.
    fn waited_for(&self) -> Timestamp {
        self.inquiries.waited_for().max(self.held.highest()).unwrap_or(Timestamp::ZERO)
    }

    /// What follows from all that was heard. Answers how far the order should raise its clock, if it does not know.
    fn advance<M: Ordering>(&mut self, is_early: bool, out: &mut Out<Settling<M>>) -> Option<Timestamp> {
        self.settled.advance(self.safe);
        if let Some(last) = self.held.release(self.settled.upto()).into_iter().max() {
            out.emit_as(is_early, Up::Settled(last));
        }
        let answered = self.inquiries.answer(self.safe);
        if !answered.is_empty() {
            let word = Word::of(self.group, self.safe, &self.settled);
            answered.into_iter().for_each(|process| out.send(process, Message::Standing(word.clone())));
        }
        let wanted = self.waited_for();
        let is_news = wanted > self.safe.max(self.raised);
        self.raised = self.raised.max(wanted);
        is_news.then_some(wanted)
    }

    /// Whoever waits asks, and asks again.
    fn ask<M: Ordering>(&mut self, out: &mut Out<Settling<M>>) {
        let questions = self.inquiries.pursue(self.held.highest(), &self.settled, self.safe);
        say(questions, out);
        if self.held.count() > 0 && !self.tick_is_armed {
            self.tick_is_armed = true;
            out.arm(Timer::Tick, TICK);
        }
    }
}

fn say<M: Ordering>(questions: Vec<(ProcessId, Timestamp)>, out: &mut Out<Settling<M>>) {
    for (process, upto) in questions {
        out.send(process, Message::AskStanding(upto));
    }
}

impl<M: Ordering> Machine for Settling<M> {
    type Command = Down;
    type Message = Message<M::Message>;
    type Timer = Timer<M::Timer>;
    type Record = M::Record;
    type Event = Up;

    fn restore(&mut self, record: M::Record) {
        self.order.restore(record);
    }

    fn start(&mut self, now: Time, seed: u64, out: &mut Out<Self>) {
        self.with_order(out, |order, inner| order.start(now, seed, inner));
    }

    fn on_command(&mut self, now: Time, command: Down, out: &mut Out<Self>) {
        let command = match (command, &self.member) {
            (Down::Checkpointed { position, bytes }, Some(member)) => {
                let envelope = Envelope { newest: member.newest, settled: member.settled.clone(), user: bytes };
                Down::Checkpointed { position, bytes: wire::to_bytes(&envelope) }
            }
            (command, _) => command,
        };
        self.with_order(out, |order, inner| order.on_command(now, command, inner));
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Message<M::Message>, out: &mut Out<Self>) {
        match (message, &mut self.member) {
            (Message::Order(message), _) => {
                self.with_order(out, |order, inner| order.on_message(now, from, message, inner));
            }
            (Message::AskStanding(upto), Some(member)) => member.inquiries.on_ask(from, upto),
            (Message::Standing(Word(groups)), Some(member)) => {
                groups.into_iter().for_each(|(group, standing)| member.settled.hear(group, standing));
            }
            (Message::AskStanding(_) | Message::Standing(_), None) => {
                panic!("{from} speaks of what is settled to one who holds no partition")
            }
        }
    }

    fn may_say(&self, from: ProcessId, message: &Message<M::Message>) -> Result<(), String> {
        match message {
            Message::Order(message) => self.order.may_say(from, message),
            _ if self.member.is_none() => {
                Err(format!("{from} speaks of what is settled to one who holds no partition"))
            }
            _ => Ok(()),
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer<M::Timer>, out: &mut Out<Self>) {
        match (timer, &mut self.member) {
            (Timer::Order(timer), _) => self.with_order(out, |order, inner| order.on_timer(now, timer, inner)),
            (Timer::Tick, Some(member)) => {
                member.tick_is_armed = false;
                say(member.inquiries.tick(), out);
            }
            (Timer::Tick, None) => panic!("only a replica has that timer"),
        }
    }

    fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Out<Self>) {
        self.with_order(out, |order, inner| order.on_reconnect(now, peer, inner));
    }

    fn finish(&mut self, now: Time, out: &mut Out<Self>) {
        loop {
            self.with_order(out, |order, inner| order.finish(now, inner));
            let wanted = self.member.as_mut().and_then(|member| member.advance(self.is_early, out));
            let Some(wanted) = wanted else { break };
            self.with_order(out, |order, inner| order.on_command(now, Down::RaiseClock(wanted), inner));
        }
        if let Some(member) = &mut self.member {
            member.ask(out);
        }
    }

    fn check(&self) {
        self.order.check();
        if let Some(member) = &self.member {
            let highest = member.held.highest();
            assert!(highest.is_none_or(|need| need <= member.settled.need()), "an answer waits for nothing");
        }
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        self.order.gauges(tell);
        if let Some(member) = &self.member {
            tell("answers_held", member.held.count() as u64);
        }
    }

    fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        self.order.outlook(session, sequence)
    }

    fn waiting(&self, most: usize) -> Vec<MessageId> {
        self.order.waiting(most)
    }

    fn remembers(&self) -> bool {
        self.order.remembers()
    }
}

const ORDER: u8 = 0;
const ASK_STANDING: u8 = 1;
const STANDING: u8 = 2;

impl<O: Wire> Wire for Message<O> {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Order(message) => {
                writer.u8(ORDER);
                message.encode(writer);
            }
            Message::AskStanding(timestamp) => {
                writer.u8(ASK_STANDING);
                timestamp.encode(writer);
            }
            Message::Standing(word) => {
                writer.u8(STANDING);
                word.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message<O>, WireError> {
        match reader.u8()? {
            ORDER => Ok(Message::Order(O::decode(reader)?)),
            ASK_STANDING => Ok(Message::AskStanding(Timestamp::decode(reader)?)),
            STANDING => Ok(Message::Standing(Word::decode(reader)?)),
            tag => Err(WireError::UnknownTag { what: "messages about what is settled", tag }),
        }
    }
}

impl Wire for Envelope {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.option(self.newest.as_ref());
        self.settled.encode(writer);
        writer.bytes(&self.user);
    }

    fn decode(reader: &mut Reader) -> Result<Envelope, WireError> {
        Ok(Envelope {
            newest: reader.option()?,
            settled: Settled::decode(reader)?,
            user: reader.bytes("a user's state", MOST_STATE)?,
        })
    }
}

impl<O: fmt::Debug> fmt::Debug for Message<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Order(message) => message.fmt(f),
            Message::AskStanding(timestamp) => write!(f, "ASK-STANDING up to {timestamp}"),
            Message::Standing(Word(groups)) => {
                f.write_str("STANDING")?;
                for (group, standing) in groups {
                    write!(f, " {group} up to {}", standing.delivered)?;
                    for (other, first) in &standing.shares {
                        write!(f, ", with {other} from {first}")?;
                    }
                    f.write_str(";")?;
                }
                Ok(())
            }
        }
    }
}
