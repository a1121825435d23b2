//! [`Agent`]: a member of a fleet with its copy of the map, and a share of the
//! origins to watch. It is [`Membership`], [`Spread`] and [`Health`] in one
//! machine, and tells each what the others find out.

use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{Nothing, Reader, WireError, Writer};
use skein_machine::{Effect, Machine, Out, ProcessId, Time, Wire};

use crate::health::{Health, Origin, Round, Task};
use crate::map::Map;
use crate::membership::{self, Membership};
use crate::owners::Owners;
use crate::spread::{self, Spread, Tick, Unchanged, Way, Word};
use crate::{Book, Mutant, Planted};

/// What the user of an agent may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum Command {
    /// Set the value of a key.
    Put { key: Bytes, value: Bytes },
    /// Remove a key.
    Remove { key: Bytes },
    /// This came of a probe that was asked for.
    Probed { round: Round, is_well: bool, why: Bytes },
    /// Say goodbye and go.
    Leave,
}

/// What an agent tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something about who is there.
    Member(membership::Event),
    /// Something about the map.
    Map(spread::Event),
    /// An origin is to be probed.
    Probe(Round),
    /// A change was not made.
    Unchanged(Bytes, Unchanged),
}

/// What one agent says to another.
#[derive(Clone, Debug)]
pub enum Message {
    /// About who is there.
    Member(membership::Message),
    /// About the map.
    Map(Word),
}

/// What an agent waits for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)]
pub enum Timer {
    Member(membership::Timer),
    Map(Tick),
    Origin(u32),
}

/// A member of a fleet with its copy of the map.
pub struct Agent {
    membership: Membership,
    spread: Spread,
    health: Health,
    tasks: Vec<Task>,
    /// The randomness of the map, until that begins.
    seed: Option<u64>,
    /// Whether it knew what the others have when origins were last divided.
    was_ready: bool,
    /// What membership wants done in this call.
    inner: Out<Membership>,
    /// Who lives here has changed in this turn.
    has_met: bool,
    planted: Planted,
}

impl Agent {
    /// An agent that has not begun.
    pub fn new(membership: membership::Settings, spread: spread::Settings, origins: Vec<Origin>, book: Book) -> Agent {
        assert!(membership.me == spread.me, "{:?} is not {:?}", membership.me, spread.me);
        let me = &membership.me;
        let health = Health::new(&me.name, &me.place, origins, me.life);
        let planted = spread.planted;
        Agent {
            membership: Membership::new(membership, book),
            spread: Spread::new(spread),
            health,
            tasks: Vec::new(),
            seed: None,
            was_ready: false,
            inner: Out::new(),
            has_met: false,
            planted,
        }
    }

    /// Who is there.
    pub fn membership(&self) -> &Membership {
        &self.membership
    }

    /// The map, and who is elsewhere.
    pub fn spread(&self) -> &Spread {
        &self.spread
    }

    /// What is watched.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Which handle stands for which address.
    pub fn book(&mut self) -> &mut Book {
        self.membership.book()
    }

    /// Lets membership act, and passes on what it wants.
    fn with_membership(&mut self, out: &mut Out<Agent>, act: impl FnOnce(&mut Membership, &mut Out<Membership>)) {
        act(&mut self.membership, &mut self.inner);
        for effect in self.inner.drain() {
            match effect {
                Effect::Send(to, message) => out.push(Effect::Send(to, Message::Member(message))),
                Effect::SendEarly(to, message) => out.push(Effect::SendEarly(to, Message::Member(message))),
                Effect::Arm(timer, after) => out.arm(Timer::Member(timer), after),
                Effect::Disarm(timer) => out.disarm(Timer::Member(timer)),
                Effect::Emit(event) | Effect::EmitEarly(event) => {
                    self.has_met = true;
                    out.emit(Event::Member(event));
                }
                Effect::Persist(record) | Effect::Checkpoint(record) | Effect::Compact(record) => match record {},
            }
        }
    }

    /// Lets the health checker act, and does what it asks for.
    fn with_health(&mut self, out: &mut Out<Agent>, act: impl FnOnce(&mut Health, &Map, &mut Vec<Task>)) {
        let mut tasks = core::mem::take(&mut self.tasks);
        act(&mut self.health, self.spread.map(), &mut tasks);
        for task in tasks.drain(..) {
            match task {
                Task::Wait(origin, after) => out.arm(Timer::Origin(origin), after),
                Task::Forget(origin) => out.disarm(Timer::Origin(origin)),
                Task::Probe(round) => out.emit(Event::Probe(round)),
                Task::Write(key, value) => self.with_spread(out, |spread, way| spread.note(&key, value, way)),
            }
        }
        self.tasks = tasks;
    }

    fn with_spread<T>(&mut self, out: &mut Out<Agent>, act: impl FnOnce(&mut Spread, &mut Path<'_>) -> T) -> T {
        act(&mut self.spread, &mut Path { book: self.membership.book(), out })
    }
}

/// The way of a spread through its agent.
struct Path<'a> {
    book: &'a mut Book,
    out: &'a mut Out<Agent>,
}

impl Way for Path<'_> {
    fn send(&mut self, to: SocketAddr, word: Word) {
        // An address for which there is no room is as good as one that nobody answers.
        if let Some(handle) = self.book.handle(to) {
            self.out.send(handle, Message::Map(word));
        }
    }

    fn answer(&mut self, to: ProcessId, word: Word) {
        self.out.send(to, Message::Map(word));
    }

    fn arm(&mut self, tick: Tick, after: Duration) {
        self.out.arm(Timer::Map(tick), after);
    }

    fn tell(&mut self, event: spread::Event) {
        self.out.emit(Event::Map(event));
    }
}

impl Machine for Agent {
    type Command = Command;
    type Message = Message;
    type Timer = Timer;
    type Record = Nothing;
    type Event = Event;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, now: Time, seed: u64, out: &mut Out<Agent>) {
        self.with_membership(out, |membership, out| membership.start(now, seed, out));
        self.seed = Some(seed ^ 1);
    }

    fn on_command(&mut self, now: Time, command: Command, out: &mut Out<Agent>) {
        match command {
            Command::Put { key, value } => {
                if let Err(why) = self.with_spread(out, |spread, way| spread.put(&key, value, way)) {
                    out.emit(Event::Unchanged(key, why));
                }
            }
            Command::Remove { key } => {
                if let Err(why) = self.with_spread(out, |spread, way| spread.remove(&key, way)) {
                    out.emit(Event::Unchanged(key, why));
                }
            }
            Command::Probed { round, is_well, why } => {
                self.with_health(out, |health, map, tasks| health.on_outcome(round, is_well, &why, map, tasks));
            }
            Command::Leave => {
                self.with_spread(out, |spread, way| spread.leave(way));
                self.with_membership(out, |membership, out| {
                    membership.on_command(now, membership::Command::Leave, out);
                });
            }
        }
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Message, out: &mut Out<Agent>) {
        match message {
            Message::Member(message) => {
                self.with_membership(out, |membership, out| membership.on_message(now, from, message, out));
            }
            Message::Map(word) => self.with_spread(out, |spread, way| spread.on_word(now, from, word, way)),
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer, out: &mut Out<Agent>) {
        match timer {
            Timer::Member(timer) => self.with_membership(out, |membership, out| membership.on_timer(now, timer, out)),
            Timer::Origin(origin) => self.with_health(out, |health, _, tasks| health.on_time(origin, tasks)),
            Timer::Map(tick) => self.with_spread(out, |spread, way| spread.on_tick(now, tick, way)),
        }
    }

    fn finish(&mut self, now: Time, out: &mut Out<Agent>) {
        self.with_membership(out, |membership, out| membership.finish(now, out));
        // Before it is let in it knows nobody whom it could ask, and would take itself for the first.
        if self.membership.is_inside()
            && let Some(seed) = self.seed.take()
        {
            self.with_spread(out, |spread, way| spread.start(seed, way));
        }
        let has_met = core::mem::take(&mut self.has_met);
        if has_met {
            let me = self.membership.me().id();
            let others: Vec<_> = self.membership.living().filter(|member| member.id() != me).cloned().collect();
            self.with_spread(out, |spread, way| spread.meet(now, others, way));
        }
        // Before it knows what the others have found it looks after nothing.
        let is_ready = self.spread.is_ready();
        let divides_again = has_met && is_ready && !self.planted.is(Mutant::AgentDividesOnce);
        if is_ready != self.was_ready || divides_again {
            self.was_ready = is_ready;
            let living = self.membership.living().filter(|_| is_ready);
            let owners = Owners::new(living.map(|member| (member.id(), member.weight)));
            self.with_health(out, |health, map, tasks| health.divide(&owners, map, tasks));
        }
    }

    fn check(&self) {
        self.membership.check();
        self.spread.check();
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        self.membership.gauges(tell);
        self.spread.gauges(tell);
    }
}

const MEMBER: u8 = 0;
const MAP: u8 = 1;

impl Wire for Message {
    fn encode(&self, writer: &mut Writer<'_>) {
        match self {
            Message::Member(message) => {
                writer.u8(MEMBER);
                message.encode(writer);
            }
            Message::Map(word) => {
                writer.u8(MAP);
                word.encode(writer);
            }
        }
    }

    fn decode(reader: &mut Reader) -> Result<Message, WireError> {
        match reader.u8()? {
            MEMBER => Ok(Message::Member(membership::Message::decode(reader)?)),
            MAP => Ok(Message::Map(Word::decode(reader)?)),
            tag => Err(WireError::UnknownTag { what: "message of an agent", tag }),
        }
    }
}
