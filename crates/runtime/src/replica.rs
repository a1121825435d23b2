//! [`Replica`]: one machine on one thread, with its links, its log and its
//! front. A turn takes everything that is ready (sockets, calls from other
//! threads, timers, what has become durable), ends the machine's turn, hands
//! what it persists to the log, and then writes once to every peer that is
//! spoken to. What waits for the disk waits here; the loop goes on.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::{Events, Poll, Waker};
use skein_machine::wire::{self, Version, Writer};
use skein_machine::{Boot, Chronicle, Cluster, ClusterId, Effect, Machine, Out, ProcessId, Recipients, Time, Wire};

use crate::alarms::Alarms;
use crate::clock::HardwareClock;
use crate::conn::{Filled, MOST_ROOM};
use crate::data::{Begin, DataDir, Identity, Owner};
use crate::distance::Distance;
use crate::files::Files;
use crate::front::{Answer, ClientId, Desk, Front};
use crate::handle::Call;
use crate::hello::Peer;
use crate::links::{Link, Slots, Whose};
use crate::tls::Tls;
use crate::wal::{self, Storage, Wal, Written};

pub use crate::failure::Failure;
pub use crate::handle::{Handle, Stopped};

/// Bytes said to a peer and not taken by it, above which it is cut off. It catches up from the log. The longest
/// message among them does not count: whole states are longer than this.
const SLOW_PEER: usize = 64 << 20;

/// The same for a client, which has to connect again.
const SLOW_CLIENT: usize = 16 << 20;

/// Bytes kept for all clients together, of what they were told and of what they have begun to ask. Above this the
/// one that has most of them is cut off.
const ALL_SLOW_CLIENTS: usize = 128 << 20;

/// Bytes that wait for the disk, above which clients are not listened to.
const SLOW_DISK: usize = 32 << 20;

/// Reads from one connection in one turn, so that nobody makes the others wait.
const READS: usize = 4;

/// Clients that are read in one turn, so that a crowd of them does not make the peers wait. The others have theirs next.
const CLIENTS_A_TURN: usize = 8;

/// Calls that are taken in one turn, for the same reason.
const CALLS_A_TURN: usize = 256;

/// What a replica has to know of the world.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Which cluster.
    pub cluster: ClusterId,
    /// What all processes must have been told alike, as [`hello::plan_of`](crate::hello::plan_of) sums it up.
    pub plan: u32,
    /// Who it is.
    pub process: ProcessId,
    /// Where the others are when it starts.
    pub places: Places,
    /// The files of this machine.
    pub files: Arc<dyn Files>,
    /// Its own directory among them.
    pub data: PathBuf,
    /// What it takes for the time of day.
    pub clock: HardwareClock,
    /// What an acknowledgement is worth.
    pub storage: Storage,
    /// What it expects to find in its directory.
    pub begin: Begin,
    /// With what it makes itself known to others, and knows them. Without, everybody believes everybody.
    pub tls: Option<Tls>,
    /// The cluster, if it is to be noted how messages get on.
    pub notes: Option<Arc<Cluster>>,
    /// The newest version of the encoding that it uses, with others and on its disk. What it is told and what it
    /// finds may be in any that this build reads.
    pub speaks: Version,
    /// Push nobody off a core when something comes up.
    pub is_patient: bool,
    /// Look all the time instead of sleeping until something comes up.
    pub busy_poll: bool,
}

/// Where the other processes are, as far as that can change while a process lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// How they are reached.
    pub addresses: BTreeMap<ProcessId, SocketAddr>,
    /// How far away they pretend to be; nothing said means next door.
    pub distances: BTreeMap<ProcessId, Distance>,
}

/// One machine and everything around it.
pub struct Replica<M: Machine, F: Front<M>> {
    pub(crate) surroundings: Surroundings,
    pub(crate) machine: M,
    pub(crate) front: F,
    pub(crate) log: Wal,
    pub(crate) data: DataDir,
    pub(crate) me: Peer,
    pub(crate) poll: Poll,
    pub(crate) calls: Receiver<Call<F::Call>>,
    pub(crate) slots: Slots,
    pub(crate) links: Vec<Link>,
    pub(crate) alarms: Alarms<M::Timer>,
    pub(crate) out: Out<M>,
    pub(crate) desk: Desk<M>,
    /// What waits until so many records are durable.
    pub(crate) held: VecDeque<(u64, Effect<M>)>,
    /// So much of it is for the machine's user, who hears everything in its order.
    pub(crate) untold: usize,
    pub(crate) to_itself: VecDeque<M::Message>,
    /// The message that is being said, as bytes.
    pub(crate) said: Vec<u8>,
    /// Connections to clients to which something was said in this turn,
    pub(crate) answered: Vec<usize>,
    /// and those to others, in the order in which they were spoken to.
    pub(crate) spoken_to: Vec<usize>,
    /// Connections that may have something to read.
    pub(crate) ready: Vec<usize>,
    /// One of them need not wait for the disk.
    pub(crate) has_more: bool,
    /// Not all calls were taken.
    pub(crate) has_calls: bool,
    pub(crate) is_stopping: bool,
    pub(crate) next_look: Instant,
    /// When it was opened, by a clock that never falls and by the one that people read.
    pub(crate) began: (Instant, Time),
}

/// The poll's name for calls from other threads.
const WAKER: usize = usize::MAX;

impl<M: Machine, F: Front<M>> Replica<M, F> {
    /// Everything in its place, and what was on the disk in the machine; not yet alive.
    pub fn open(
        surroundings: Surroundings,
        maker: impl FnOnce(Boot) -> M,
        front: F,
    ) -> Result<(Self, Handle<F::Call>), Failure> {
        let poll = Poll::new().map_err(Failure::System)?;
        let waker = Arc::new(Waker::new(poll.registry(), mio::Token(WAKER)).map_err(Failure::System)?);
        let process = surroundings.process;
        let owner = Owner { cluster: surroundings.cluster, process };
        let mut data = DataDir::open(surroundings.files.clone(), &surroundings.data, owner, surroundings.begin)?;
        let wakes = waker.clone();
        let settings = wal::Settings {
            waker: Arc::new(move || {
                let _ = wakes.wake();
            }),
            version: surroundings.speaks,
            is_patient: surroundings.waits_for_cores(),
            ..wal::Settings::default()
        };
        let (log, recovered) = Wal::open_or_set_aside(&mut data, surroundings.storage, settings)?;
        recovered.tell(process);
        let Identity { birth, incarnation, .. } = data.identity();
        let mut machine = maker(recovered.boot);
        for Written { version, bytes } in
            recovered.checkpoint.map(|(_, record)| record).into_iter().chain(recovered.records)
        {
            let record = wire::from_bytes(bytes, version).map_err(Failure::Record)?;
            machine.restore(record);
        }

        let (sender, calls) = channel();
        let now = Instant::now();
        let links = surroundings.places.addresses.iter().filter(|(other, _)| **other != process);
        let links = links.map(|(other, address)| Link::new(*other, *address, process < *other, now)).collect();
        let out = match &surroundings.notes {
            Some(cluster) => Out::new().with_chronicle(Chronicle::new(process, cluster.clone())),
            None => Out::new(),
        };
        let replica = Replica {
            began: (now, surroundings.clock.now()),
            me: Peer { process, incarnation, birth },
            surroundings,
            machine,
            front,
            log,
            data,
            poll,
            calls,
            slots: Slots::new(),
            links,
            alarms: Alarms::new(),
            out,
            desk: Desk::new(),
            held: VecDeque::new(),
            untold: 0,
            to_itself: VecDeque::new(),
            said: Vec::new(),
            answered: Vec::new(),
            spoken_to: Vec::new(),
            ready: Vec::new(),
            has_more: false,
            has_calls: false,
            is_stopping: false,
            next_look: now,
        };
        Ok((replica, Handle { calls: sender, waker }))
    }

    /// One turn: waits until anything is ready, so long at most.
    pub(crate) fn turn(&mut self, events: &mut Events, longest: Option<Duration>) -> Result<(), Failure> {
        let now = Instant::now();
        self.dial_what_is_due(now);
        let timeout = [self.timeout(now), longest].into_iter().flatten().min();
        match self.poll.poll(events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled.map_err(Failure::System)?,
        }
        let mut was_called = false;
        for event in &*events {
            match event.token().0 {
                WAKER => was_called = true,
                slot => self.on_ready(slot, event),
            }
        }
        self.read_all();
        if was_called || self.has_calls || self.surroundings.busy_poll {
            self.take_calls();
        }
        let now = Instant::now();
        self.it_is(now);
        while let Some(timer) = self.alarms.fire(now) {
            self.machine.on_timer(self.surroundings.clock.now(), timer, &mut self.out);
        }
        self.release();
        self.end_turn()?;
        if let Some(chronicle) = self.out.chronicle() {
            chronicle.end_turn();
        }
        self.look_after_connections(now);
        self.flush();
        Ok(())
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.has_work() {
            return Some(Duration::ZERO);
        }
        let times = [self.alarms.next(), self.slots.due(), Some(self.next_look), self.next_dial()];
        times.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    // ---- What comes in.

    fn on_ready(&mut self, slot: usize, event: &Event) {
        let Some(place) = self.slots.get(slot) else { return };
        if event.is_read_closed() || event.is_error() {
            place.conn.on_read_closed();
        }
        if event.is_writable() {
            place.conn.on_writable();
            if let Whose::Dialled(process) = place.whose {
                self.greet(slot, process);
            }
        }
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            self.is_ready(slot);
        }
    }

    /// A connection may have something to read.
    pub(crate) fn is_ready(&mut self, slot: usize) {
        let Some(place) = self.slots.get(slot) else { return };
        if !std::mem::replace(&mut place.is_ready, true) {
            self.ready.push(slot);
        }
        self.has_more = true;
    }

    fn read_all(&mut self) {
        let is_slow = self.log.backlog() > SLOW_DISK;
        let mut clients_left = if is_slow { 0 } else { CLIENTS_A_TURN };
        let mut read = 0;
        let mut ready = std::mem::take(&mut self.ready);
        self.has_more = false;
        ready.retain(|slot| {
            let Some(place) = self.slots.get(*slot) else { return false };
            if matches!(place.whose, Whose::Client(_)) {
                if clients_left == 0 {
                    self.has_more |= !is_slow;
                    return true;
                }
                clients_left -= 1;
            }
            let has_more = self.read(*slot);
            read += usize::from(has_more);
            self.has_more |= has_more;
            if let Some(place) = self.slots.get(*slot) {
                place.is_ready = has_more;
            }
            has_more
        });
        // Whoever was read is last next time.
        ready.rotate_left(read);
        self.ready = ready;
    }

    /// Reads and hears what one connection has. Answers whether there may be more.
    fn read(&mut self, slot: usize) -> bool {
        for _ in 0..READS {
            let Some(place) = self.slots.get(slot) else { return false };
            let now = Instant::now();
            let filled = match place.conn.fill(now) {
                Ok(filled) => filled,
                Err(error) => {
                    self.fail(slot, &error);
                    return false;
                }
            };
            self.it_is(now);
            if let Err(why) = self.hear_all(slot) {
                self.lose(slot, &why);
                return false;
            }
            match filled {
                Filled::More => {}
                Filled::Drained => return false,
                Filled::Closed => {
                    self.lose(slot, "the other end closed it");
                    return false;
                }
            }
        }
        true
    }

    /// What is noted from now on happens at this moment.
    pub(crate) fn it_is(&mut self, now: Instant) {
        let (began, reading) = self.began;
        if let Some(chronicle) = self.out.chronicle() {
            chronicle.set_now(reading.after(now.duration_since(began)));
        }
    }

    fn hear_all(&mut self, slot: usize) -> Result<(), String> {
        // After the input was taken, never before.
        let now = self.surroundings.clock.now();
        while let Some(place) = self.slots.get(slot) {
            let Some(mut body) = place.conn.next_frame().map_err(|error| error.to_string())? else { break };
            if body.is_empty() {
                self.on_sign_of_life(slot);
            }
            while let Some(place) = self.slots.get(slot)
                && let Some(message) = place.conn.next_message(&mut body).map_err(|error| error.to_string())?
            {
                let (whose, version) = (place.whose, place.version);
                match whose {
                    Whose::Peer(process) => {
                        let message =
                            wire::from_bytes::<M::Message>(message, version).map_err(|error| error.to_string())?;
                        if let Err(why) = self.machine.may_say(process, &message) {
                            tracing::error!(peer = %process, why, "a peer says what it may not");
                            return Err(why);
                        }
                        self.machine.on_message(now, process, message, &mut self.out);
                    }
                    Whose::Client(_) if place.is_leaving => {}
                    Whose::Client(client) => self.front.on_request(client, message, &mut self.desk)?,
                    Whose::Greeted(process) => self.on_answer(slot, process, message)?,
                    Whose::Dialled(_) => return Err("it speaks before it was greeted".to_owned()),
                }
            }
        }
        Ok(())
    }

    fn take_calls(&mut self) {
        self.has_calls = true;
        for _ in 0..CALLS_A_TURN {
            match self.calls.try_recv() {
                Ok(Call::Front(call)) => self.front.on_call(call, &mut self.desk),
                Ok(Call::Connection(guest, seat)) => self.on_connection(*guest, seat),
                Ok(Call::Places(places)) => self.others_are_at(places),
                Ok(Call::Inspect(asker)) => {
                    // Whoever asked may not wait any more.
                    let _ = asker.send(self.inspect());
                }
                Ok(Call::Explain(session, sequence, asker)) => {
                    let _ = asker.send(self.explain(session, sequence));
                }
                Ok(Call::Slow(asker)) => {
                    self.it_is(Instant::now());
                    let _ = asker.send(self.out.chronicle().map(Chronicle::slow).unwrap_or_default());
                }
                Ok(Call::Waiting(asker)) => {
                    let _ = asker.send(self.waiting());
                }
                Ok(Call::Stop) => self.is_stopping = true,
                Err(_) => {
                    self.has_calls = false;
                    break;
                }
            }
        }
    }

    // ---- What goes out.

    /// Ends the machine's turn, and any that follow at once from what it says to itself and to its front.
    pub(crate) fn end_turn(&mut self) -> Result<(), Failure> {
        loop {
            let now = self.surroundings.clock.now();
            while let Some(command) = self.desk.commands.pop_front() {
                self.machine.on_command(now, command, &mut self.out);
            }
            while let Some(message) = self.to_itself.pop_front() {
                self.machine.on_message(now, self.me.process, message, &mut self.out);
            }
            self.machine.finish(now, &mut self.out);
            if cfg!(debug_assertions) {
                self.machine.check();
            }
            self.perform();
            self.log.commit();
            if let Some(failure) = self.log.failure() {
                return Err(Failure::Log(failure));
            }
            self.release();
            self.answer_clients();
            if self.desk.commands.is_empty() && self.to_itself.is_empty() {
                self.is_stopping |= self.desk.stop;
                return Ok(());
            }
        }
    }

    fn perform(&mut self) {
        let mut out = std::mem::take(&mut self.out);
        let (now, version) = (Instant::now(), self.surroundings.speaks);
        for effect in out.drain() {
            match effect {
                Effect::Persist(record) => {
                    self.log.append(|buffer| encode(&record, version, buffer));
                }
                Effect::Checkpoint(record) => {
                    self.log.checkpoint(|buffer| encode(&record, version, buffer));
                }
                Effect::Compact(record) => {
                    self.log.compact(|buffer| encode(&record, version, buffer));
                }
                Effect::Arm(timer, after) => self.alarms.arm(now, timer, after),
                Effect::Disarm(timer) => self.alarms.disarm(&timer),
                Effect::SendEarly(to, message) => self.send(to, message),
                Effect::EmitEarly(_) if self.untold == 0 => self.let_go(effect),
                Effect::Send(..) | Effect::Emit(_) | Effect::EmitEarly(_) => {
                    let needs = self.log.appended();
                    if self.held.is_empty() && self.log.durable() >= needs {
                        self.let_go(effect);
                    } else {
                        self.untold += usize::from(effect.tells());
                        self.held.push_back((needs, effect));
                    }
                }
            }
        }
        self.out = out;
    }

    /// Lets go of what has waited for the disk long enough.
    fn release(&mut self) {
        let durable = self.log.durable();
        while self.held.front().is_some_and(|(needs, _)| *needs <= durable) {
            let (_, effect) = self.held.pop_front().expect("there is a front");
            self.untold -= usize::from(effect.tells());
            self.let_go(effect);
        }
    }

    fn let_go(&mut self, effect: Effect<M>) {
        match effect {
            Effect::Send(to, message) => self.send(to, message),
            Effect::Emit(event) | Effect::EmitEarly(event) => self.front.on_event(event, &mut self.desk),
            _ => unreachable!("only what is sent or emitted comes here"),
        }
    }

    /// Encoded once for everybody who speaks the same version. To whom it cannot be said in the version that was
    /// agreed on, it is lost: protocols bear that.
    fn send(&mut self, to: Recipients, message: M::Message) {
        let (mut said_in, since) = (None, message.since());
        for process in to.iter().filter(|process| *process != self.me.process) {
            let link = self.links.iter().find(|link| link.process == process);
            // Whom no link leads to is told again when one does.
            let Some(place) = link.and_then(|link| link.slot).and_then(|slot| self.slots.get(slot)) else { continue };
            if place.version < since {
                continue;
            }
            if said_in != Some(place.version) {
                self.said.clear();
                message.encode(&mut Writer::new(&mut self.said, place.version));
                said_in = Some(place.version);
            }
            if !place.conn.has_said_something() {
                self.spoken_to.extend(link.and_then(|link| link.slot));
            }
            place.conn.say(|buffer| buffer.extend_from_slice(&self.said));
        }
        self.said.clear();
        self.said.shrink_to(MOST_ROOM);
        if to.iter().any(|process| process == self.me.process) {
            self.to_itself.push_back(message);
        }
    }

    fn answer_clients(&mut self) {
        let answers = std::mem::take(&mut self.desk.answers);
        for (client, answer) in &answers {
            let slot = client.slot();
            let Some(place) = self.slots.get(slot).filter(|place| place.whose == Whose::Client(*client)) else {
                continue;
            };
            match answer {
                Answer::Message { from, to } => {
                    let message = self.desk.said(*from, *to);
                    if !place.conn.has_said_something() {
                        self.answered.push(slot);
                    }
                    place.conn.say(|buffer| buffer.extend_from_slice(message));
                }
                Answer::Goodbye => place.is_leaving = true,
            }
        }
        self.desk.answers = answers;
        self.desk.clear();
    }

    /// One write to everybody who is spoken to: clients first, who wait for nothing else, and then in the order in
    /// which the machine thought of them. Whoever is woken up first may take this processor.
    fn flush(&mut self) {
        let now = Instant::now();
        for slot in self.answered.drain(..).chain(self.spoken_to.drain(..)) {
            if let Some(place) = self.slots.get(slot) {
                // If it fails, it does so again below.
                let _ = place.conn.flush(now);
            }
        }
        let (mut burden, mut heaviest) = (0, (0, 0));
        let mut peers = 0;
        for slot in 0..self.slots.len() {
            let Some(place) = self.slots.get(slot) else { continue };
            if matches!(place.whose, Whose::Dialled(_)) {
                continue;
            }
            let flushed = place.conn.flush(now);
            let (traffic, whose) = (place.conn.take_traffic(), place.whose);
            self.count(whose, traffic);
            if let Err(error) = flushed {
                self.lose(slot, &error.to_string());
                continue;
            }
            let Some(place) = self.slots.get(slot) else { continue };
            peers += usize::from(matches!(place.whose, Whose::Peer(_)));
            let backlog = place.conn.backlog();
            let is_slow = if matches!(place.whose, Whose::Client(_)) {
                burden += place.conn.burden();
                heaviest = heaviest.max((place.conn.burden(), slot));
                place.conn.delay() > SLOW_CLIENT
            } else {
                place.conn.delay() > SLOW_PEER
            };
            if is_slow {
                self.lose(slot, &format!("it does not take what it is told: {backlog} bytes wait"));
            } else if place.is_leaving && backlog == 0 {
                self.lose(slot, "all is said");
            }
        }
        self.desk.peers = peers;
        if burden > ALL_SLOW_CLIENTS {
            let why = format!("{burden} bytes are kept for clients, and {} of them for this one", heaviest.0);
            self.lose(heaviest.1, &why);
            // If it was not enough, there is another one.
            self.has_more = true;
        }
    }
}

fn encode<T: Wire>(value: &T, version: Version, buffer: &mut Vec<u8>) {
    assert!(value.since() <= version, "a record is written that version {version} does not know");
    value.encode(&mut Writer::new(buffer, version));
}

impl ClientId {
    fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}
