//! [`Replica`]: a replicated service, as a machine around an order and the
//! service's own state. It is what every service needs and none should have to
//! write: commands find their way in and answers their way back (`entry.rs`),
//! are applied once (`sessions.rs`) and in order (`line.rs`), with what other
//! partitions tell where a command needs that (`exchange.rs`); answers leave
//! when nobody can see the world without them any more (`settled.rs`,
//! `held.rs`); questions are answered by whichever replica is near (`reads.rs`);
//! the state is written down while work goes on (`snapshot.rs`).
//!
//! It takes the order's effects one by one and passes them on in their order,
//! with its own between them, of which only answers go early, and only where
//! the order tells everything early: they follow from what it told, and from what
//! other partitions tell again until it is on the disk here.
//!
//! It knows no protocol, and of its service only that it is one.

mod answers;
#[cfg(test)]
mod by_hand;
mod copies;
mod entry;
mod exchange;
mod line;
mod parcel;
mod reads;
mod record;
mod sessions;
mod snapshot;
mod states;
mod wire;

pub use crate::Near;
pub use crate::settled::Word;
pub use exchange::{MAX_SHARE, Share, Turn};
pub use parcel::{Parcel, unpack};
pub use record::{Base, Record, State};
pub use wire::{Answer, Message, ParcelId};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use skein_machine::{
    Ask, Cluster, Delivery, Down, Effect, Freshness, GroupId, GroupSet, Machine, MessageId, Ordering, Out, Outlook,
    Position, ProcessId, Random, Service, SessionId, Stamp, Time, Timestamp, Told, Up,
};

use self::answers::Due;
use self::entry::{Entry, Overdue};
use self::exchange::Exchange;
use self::line::{Line, Waiting};
use self::reads::Reads;
use self::sessions::Sessions;
use self::snapshot::Snapshot;
use crate::Planted;
use crate::held::Held;
use crate::settled::{Inquiries, Settled};

/// Between two looks at what may have been lost on the way.
const TICK: Duration = Duration::from_millis(20);

/// A command waits no longer than this for company.
const HURRY: Duration = Duration::from_millis(1);

/// With timestamps that follow real time, a command that is not in the order by then is void, and whoever asked can be
/// told so. Longer than any election takes.
const TOO_LATE: Duration = Duration::from_secs(60);

/// Ticks after which a question that was not answered is put to somebody else.
const PATIENCE: u32 = 3;

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// What an answer promises.
    pub mode: Mode,
    /// Timestamps are nanoseconds since the Unix epoch, or near them.
    pub follows_real_time: bool,
    /// Whether what is persisted can ever be read again.
    pub keeps_records: bool,
    /// Whether the user hears all that the order says, not only of messages that are no commands: for whoever writes
    /// down what happens.
    pub tells_everything: bool,
}

/// What an answer promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// That the command stands in the order.
    Ordered,
    /// That everybody who asks from now on sees the world with it.
    Linearizable,
    /// The same, as long as no hardware clock is further from true time than this. The order says which timestamps are
    /// past on all of them ([`Up::Settled`]), and no other group is asked.
    LinearizableClock(Duration),
}

/// The timers of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer<T> {
    /// One of the order's.
    Order(T),
    /// Look after what may be lost.
    Tick,
    /// Send what waits for company.
    Hurry,
}

/// One replica of a service.
pub struct Replica<M: Ordering, S: Service> {
    me: ProcessId,
    group: GroupId,
    cluster: Arc<Cluster>,
    near: Arc<Near>,
    settings: Settings,
    planted: Planted,
    /// The user wants to hear of every delivery.
    is_followed: bool,
    /// The order has told everything early so far, so what follows from it is as true.
    is_early: bool,

    order: M,
    /// What the order wants done, on its way into what this machine wants done.
    inner: Out<M>,

    service: S,
    /// The first delivery that is not applied.
    position: Position,
    /// The first delivery that the order has not told.
    told_position: Position,
    /// The last message that is applied.
    applied: Option<Stamp>,
    /// What was delivered and is not applied.
    line: Line,
    sessions: Sessions,
    exchange: Exchange,
    /// Groups that wait to hear what is safe here.
    owes_holds: GroupSet,
    /// How often somebody was asked for what the first in line waits for, and how long ago.
    blocked: (u32, usize),

    entry: Entry,
    is_hurried: bool,
    hurry_is_armed: bool,

    /// Everything up to here was delivered.
    safe: Timestamp,
    settled: Settled,
    /// Everything up to here is past on every clock, where answers wait for that.
    past: Timestamp,
    held: Held<Due>,
    inquiries: Inquiries,
    reads: Reads,
    raised: Timestamp,

    wants_checkpoint: bool,
    snapshot: Option<Snapshot>,
    /// The last checkpoint, for one who cannot go on otherwise.
    latest: Option<State>,
    /// The last message in it.
    latest_applied: Option<Stamp>,
    /// A state that came from another replica, while the order holds an older one.
    ahead: Option<State>,
    /// Bytes of commands applied since the last piece.
    applied_bytes: usize,
    tick_is_armed: bool,
    /// It had lost its memory, and has not applied everything that its group has.
    is_catching_up: bool,
}

impl<M: Ordering, S: Service> Replica<M, S> {
    /// A replica of a cluster, around its order and an empty service.
    pub fn new(
        me: ProcessId,
        cluster: Arc<Cluster>,
        near: Arc<Near>,
        order: M,
        service: S,
        settings: Settings,
        planted: Planted,
    ) -> Replica<M, S> {
        let group = cluster.group_of(me).unwrap_or_else(|| panic!("{me} is in no group, and holds no service"));
        Replica {
            me,
            group,
            cluster,
            inquiries: Inquiries::new(me, group, near.clone()),
            near,
            settings,
            planted,
            is_followed: false,
            is_early: true,
            order,
            inner: Out::new(),
            service,
            position: 0,
            told_position: 0,
            applied: None,
            line: Line::new(),
            sessions: Sessions::default(),
            exchange: Exchange::default(),
            owes_holds: GroupSet::EMPTY,
            blocked: (0, 0),
            entry: Entry::new(me, &mut Random::new(0)),
            is_hurried: false,
            hurry_is_armed: false,
            safe: Timestamp::ZERO,
            settled: Settled::new(group).planted(planted),
            past: Timestamp::ZERO,
            held: Held::new(),
            reads: Reads::default(),
            raised: Timestamp::ZERO,
            wants_checkpoint: false,
            snapshot: None,
            latest: None,
            latest_applied: None,
            ahead: None,
            applied_bytes: 0,
            tick_is_armed: false,
            is_catching_up: false,
        }
    }

    /// The service, as it is here and now.
    pub fn service(&self) -> &S {
        &self.service
    }
}

type Effects<M, S> = Out<Replica<M, S>>;

impl<M: Ordering, S: Service> Machine for Replica<M, S> {
    type Command = Ask;
    type Message = Message<M::Message>;
    type Timer = Timer<M::Timer>;
    type Record = Record<M::Record>;
    type Event = Told;

    fn restore(&mut self, record: Record<M::Record>) {
        match record {
            Record::Order(record) => self.order.restore(record),
            Record::Share(turn, group, share) => {
                self.exchange.hear(turn, group, share);
            }
            Record::State(state) => self.ahead = Some(state),
            Record::Base(base) => {
                self.exchange = Exchange::default();
                self.exchange.restore_told(base.told);
                for (turn, group, share) in base.heard {
                    self.exchange.hear(turn, group, share);
                }
                self.ahead = base.ahead;
                self.order.restore(base.order);
            }
        }
        if self.planted.is(crate::Mutant::ReplicaForgetsShares) {
            self.exchange = Exchange::default();
        }
    }

    fn start(&mut self, now: Time, seed: u64, out: &mut Effects<M, S>) {
        let mut random = Random::new(seed);
        self.entry = Entry::new(self.me, &mut random.fork(1));
        let seed = random.word();
        if !self.order.remembers() {
            self.is_catching_up = true;
            self.reads.ask_for_itself();
        }
        self.with_order(now, out, |order, inner| order.start(now, seed, inner));
        // The order begins with its own checkpoint, and a later state may have come from elsewhere.
        if let Some(state) = self.ahead.clone().filter(|state| state.position > self.position) {
            self.take_over(state);
        }
    }

    fn on_command(&mut self, now: Time, ask: Ask, out: &mut Effects<M, S>) {
        let refused = match ask {
            Ask::Calls { token, groups, floor, commands } => {
                let asked = if !groups.is_empty() && groups.within(self.cluster.groups()) {
                    self.entry.ask(token, groups, floor, commands)
                } else {
                    Err("there is no such partition")
                };
                asked.err().map(|why| (token, why))
            }
            Ask::Read { token, mut freshness, queries } => {
                if self.planted.is(crate::Mutant::ReplicaReadsWithoutAsking) {
                    freshness = Freshness::Causal(Timestamp::ZERO);
                }
                if self.planted.is(crate::Mutant::ReplicaRecallsTooLittle)
                    && let Freshness::Causal(floor) = &mut freshness
                {
                    *floor = Timestamp::ZERO;
                }
                self.reads.ask(token, freshness, queries, self.held.count()).err().map(|why| (token, why))
            }
            Ask::Forget(token) => {
                self.entry.forget(token);
                self.reads.forget(token);
                self.held.forget(|due| matches!(due, Due::Reader(reader, ..) if *reader == token));
                None
            }
            Ask::Multicast(message) => {
                assert!(message.id.session.0 < Ask::SESSIONS, "{} is a session of replicas", message.id.session);
                self.with_order(now, out, |order, inner| order.on_command(now, Down::Multicast(message), inner));
                None
            }
            Ask::Follow(whether) => {
                self.is_followed = whether;
                None
            }
            Ask::Retire => {
                self.with_order(now, out, |order, inner| order.on_command(now, Down::Retire, inner));
                None
            }
        };
        if let Some((token, why)) = refused {
            out.emit_as(self.is_early, Told::Failed { token, certain: true, why });
        }
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Message<M::Message>, out: &mut Effects<M, S>) {
        match message {
            Message::Order(message) => {
                self.with_order(now, out, |order, inner| order.on_message(now, from, message, inner));
            }
            Message::Share(turn, group, share) => self.on_share(turn, group, share, out),
            Message::AskShare(turn, group) => self.on_ask_share(from, turn, group, out),
            Message::State(state) => self.on_state(state, out),
            Message::Holds(upto) => {
                self.exchange.holds(from, upto);
                self.exchange.forget_told(self.group, &self.cluster, self.planted);
            }
            Message::Answer(parcel, timestamp, Answer(outcome)) => {
                if let Some(group) = self.cluster.group_of(from) {
                    self.hear_answer(parcel, group, timestamp, outcome, out);
                }
            }
            Message::AskAnswer(parcel, done) => self.on_ask_answer(from, parcel, done, out),
            Message::AskStanding(upto) => self.inquiries.on_ask(from, upto),
            Message::Standing(Word(groups)) => {
                groups.into_iter().for_each(|(group, standing)| self.settled.hear(group, standing));
            }
        }
    }

    fn may_say(&self, from: ProcessId, message: &Message<M::Message>) -> Result<(), String> {
        match message {
            Message::Order(message) => self.order.may_say(from, message),
            _ if self.cluster.group_of(from).is_none() => {
                Err(format!("{from} holds no partition, and speaks as if it did"))
            }
            Message::Share(turn, group, _) | Message::AskShare(turn, group) => {
                let named = turn.stamp.id.destinations;
                match named.contains(*group) && named.contains(self.group) {
                    true => Ok(()),
                    false => Err(format!("{} does not concern both {group} and {}", turn.stamp.id, self.group)),
                }
            }
            Message::State(_) if self.cluster.group_of(from) != Some(self.group) => {
                Err(format!("{from} hands in the state of another partition"))
            }
            _ => Ok(()),
        }
    }

    fn on_timer(&mut self, now: Time, timer: Timer<M::Timer>, out: &mut Effects<M, S>) {
        match timer {
            Timer::Order(timer) => self.with_order(now, out, |order, inner| order.on_timer(now, timer, inner)),
            Timer::Tick => {
                self.tick_is_armed = false;
                self.tick(now, out);
            }
            Timer::Hurry => {
                self.hurry_is_armed = false;
                self.is_hurried = true;
            }
        }
    }

    fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Effects<M, S>) {
        self.with_order(now, out, |order, inner| order.on_reconnect(now, peer, inner));
    }

    fn finish(&mut self, now: Time, out: &mut Effects<M, S>) {
        loop {
            let downs = self.what_to_ask_of_the_order(now, out);
            let has_asked = !downs.is_empty();
            for down in downs {
                self.with_order(now, out, |order, inner| order.on_command(now, down, inner));
            }
            self.with_order(now, out, |order, inner| order.finish(now, inner));
            self.run_line(out);
            self.answer_questions(out);
            // What was answered makes room for what waits, and what is held may wait for this group alone.
            if !(has_asked && self.entry.has_room() || self.waits_for_more()) {
                break;
            }
        }
        self.ask_how_far_others_are(out);
        self.arm(out);
    }

    fn check(&self) {
        self.order.check();
        assert!(self.position + self.line.len() as Position >= self.told_position, "a delivery was lost on the way in");
        let applied = self.applied.map_or(Timestamp::ZERO, |stamp| stamp.timestamp);
        if let Some(first) = self.line.first() {
            assert!(first >= applied, "{first} comes after {applied}, and is to be applied");
        }
        let most = match self.settings.mode {
            Mode::LinearizableClock(_) => self.line.first().map_or(applied, |first| first.max(applied)),
            Mode::Ordered | Mode::Linearizable => self.settled.need(),
        };
        assert!(self.held.highest().is_none_or(|need| need <= most), "an answer waits for nothing");
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        self.order.gauges(tell);
        let [open, waiting_bytes] = self.entry.counts();
        let [told, heard] = self.exchange.counts();
        let [streams, answers, names] = self.sessions.counts();
        tell("parcels_open", open as u64);
        tell("commands_waiting_bytes", waiting_bytes as u64);
        tell("parcels_unapplied", self.line.len() as u64);
        tell("answers_held", self.held.count() as u64);
        tell("reads_waiting", self.reads.count() as u64);
        tell("shares_told", told as u64);
        tell("shares_heard", heard as u64);
        tell("streams", streams as u64);
        tell("answers_kept", answers as u64);
        tell("names", names as u64);
        self.service.gauges(tell);
    }

    fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        self.order.outlook(session, sequence)
    }

    fn waiting(&self, most: usize) -> Vec<MessageId> {
        self.order.waiting(most)
    }

    /// What other partitions told, no order gives back. While those of its group who heard it are needed, for nobody
    /// may tell it again, they must not forget it one after the other.
    fn remembers(&self) -> bool {
        self.order.remembers() && !self.is_catching_up
    }
}

impl<M: Ordering, S: Service> Replica<M, S> {
    /// Lets the order take a step, and passes on what it wants done.
    fn with_order(&mut self, now: Time, out: &mut Effects<M, S>, step: impl FnOnce(&mut M, &mut Out<M>)) {
        out.swap_chronicle(&mut self.inner);
        step(&mut self.order, &mut self.inner);
        out.swap_chronicle(&mut self.inner);
        let mut inner = core::mem::take(&mut self.inner);
        for effect in inner.drain() {
            self.is_early &= !matches!(effect, Effect::Emit(_));
            match effect {
                Effect::Persist(record) => out.persist(Record::Order(record)),
                Effect::Checkpoint(record) => out.checkpoint(self.base(record)),
                Effect::Compact(record) => out.compact(self.base(record)),
                Effect::Send(to, message) => out.push(Effect::Send(to, Message::Order(message))),
                Effect::SendEarly(to, message) => out.push(Effect::SendEarly(to, Message::Order(message))),
                Effect::Arm(timer, after) => out.arm(Timer::Order(timer), after),
                Effect::Disarm(timer) => out.disarm(Timer::Order(timer)),
                Effect::Emit(up) | Effect::EmitEarly(up) => self.hear(now, up, out),
            }
        }
        self.inner = inner;
    }

    /// Everything that is not the order's and must not be forgotten goes with what replaces all records.
    fn base(&self, order: M::Record) -> Record<M::Record> {
        let (told, heard) = (self.exchange.all_told(), self.exchange.all_heard());
        Record::Base(Box::new(Base { order, told, heard, ahead: self.ahead.clone() }))
    }

    /// What the order says. It is asked for nothing here: that has its turn when all was heard.
    fn hear(&mut self, _: Time, up: Up, out: &mut Effects<M, S>) {
        if self.settings.tells_everything {
            // Before anybody hears of what it leads to.
            out.emit_as(self.is_early, Told::Up(up.clone()));
        }
        match up {
            Up::Deliver(delivery) => self.deliver(delivery, out),
            Up::SafeTime(safe) => self.safe = self.safe.max(safe),
            Up::ReadPoint { round, timestamp } => self.reads.found(round, timestamp.max(self.reads.least())),
            Up::WantCheckpoint => self.wants_checkpoint = true,
            Up::Install { position, bytes } => self.install(State { position, bytes }),
            Up::Settled(stamp) => self.past = self.past.max(stamp.timestamp),
            Up::Busy(busy) if parcel::is_ours(busy.id) => self.entry.turned_away(busy.id),
            Up::Expired(id) if parcel::is_ours(id) => {
                let mut tell = Vec::new();
                self.entry.expired(id, &mut tell);
                tell.into_iter().for_each(|told| out.emit_as(self.is_early, told));
            }
            Up::Done { id, timestamp } if parcel::is_ours(id) => self.entry.done(id, timestamp),
            up if !self.settings.tells_everything => out.emit_as(self.is_early, Told::Up(up)),
            _ => {}
        }
    }

    fn deliver(&mut self, delivery: Delivery, out: &mut Effects<M, S>) {
        self.told_position = delivery.position + 1;
        let next = self.position + self.line.len() as Position;
        if delivery.position < next {
            return; // a state that came from elsewhere holds it
        }
        assert!(delivery.position == next, "#{} is delivered where #{next} comes next", delivery.position);
        // What stands before this one has to be settled before it is answered, but not this one itself.
        let early = if self.planted.is(crate::Mutant::ReplicaSettlesEarly) { 8 } else { 0 };
        let need = match self.settings.mode {
            Mode::LinearizableClock(_) => delivery.timestamp,
            Mode::Ordered | Mode::Linearizable => Timestamp(self.settled.need().0.saturating_sub(early)),
        };
        self.settled.delivered(delivery.timestamp, delivery.message.id.destinations);
        let waiting = Waiting::new(&delivery, need);
        if (waiting.is_foreign() || self.is_followed) && !self.settings.tells_everything {
            out.emit_as(self.is_early, Told::Up(Up::Deliver(delivery)));
        }
        if self.planted.is(crate::Mutant::ReplicaSharesTooEarly) {
            self.share_too_early(&waiting, out);
        }
        self.line.push(waiting);
    }

    /// Commands, questions and checkpoints that are ready for the order.
    fn what_to_ask_of_the_order(&mut self, now: Time, out: &mut Effects<M, S>) -> Vec<Down> {
        let mut downs = Vec::new();
        let mut messages = Vec::new();
        let is_hurried = core::mem::take(&mut self.is_hurried);
        let is_left = self.entry.pack(self.too_late(now), is_hurried, &mut messages);
        if is_left && !self.hurry_is_armed {
            self.hurry_is_armed = true;
            out.arm(Timer::Hurry, HURRY);
        }
        downs.extend(messages.into_iter().map(Down::Multicast));
        if let Some(round) = self.reads.question() {
            downs.extend(self.raise_to_present(now).map(Down::RaiseClock));
            downs.push(Down::ReadPoint(round));
        }
        if self.waits_for_more() {
            self.raised = self.waited_for();
            downs.push(Down::RaiseClock(self.raised));
        }
        downs.extend(self.write_checkpoint());
        downs
    }

    /// Commands that are not in the order by then are void.
    fn too_late(&self, now: Time) -> Timestamp {
        if !self.settings.follows_real_time {
            return Timestamp::MAX;
        }
        let late = now.after(TOO_LATE).as_nanos();
        Timestamp(late.max(self.safe.0.saturating_add(TOO_LATE.as_nanos() as u64)))
    }

    /// Looks after what may have been lost.
    fn tick(&mut self, now: Time, out: &mut Effects<M, S>) {
        let mut messages = Vec::new();
        for Overdue { parcel, group, done, asks } in self.entry.tick(&mut messages) {
            if group == self.group {
                self.on_ask_answer(self.me, parcel, done, out);
                continue;
            }
            let rank = self.near.rank(self.me, group);
            // The nearest answers without being asked, so one that has not is dead or far behind: the next is asked first.
            if let Some(process) = rank.get((asks as usize + 1) % rank.len().max(1)) {
                out.send(*process, Message::AskAnswer(parcel, done));
            }
        }
        for message in messages {
            self.with_order(now, out, |order, inner| order.on_command(now, Down::Multicast(message), inner));
        }
        for (process, upto) in self.inquiries.tick() {
            out.send(process, Message::AskStanding(upto));
        }
        self.ask_for_shares(out);
        self.tell_what_is_held(out);
    }

    /// A tick comes while there is something to look after.
    fn arm(&mut self, out: &mut Effects<M, S>) {
        let is_idle = self.entry.is_idle()
            && self.line.is_empty()
            && self.held.count() == 0
            && self.owes_holds.is_empty()
            && self.snapshot.is_none();
        if !is_idle && !self.tick_is_armed {
            self.tick_is_armed = true;
            out.arm(Timer::Tick, TICK);
        }
    }
}
