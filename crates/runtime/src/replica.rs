//! [`Replica`]: one machine on one thread, with its links, its log and its
//! front. A turn takes everything that is ready (sockets, calls from other
//! threads, timers, what has become durable), ends the machine's turn, hands
//! what it persists to the log, and then writes once to every peer that is
//! spoken to. What waits for the disk waits here; the loop goes on.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use mio::{Events, Poll, Waker};
use skein_machine::wire::{self, VERSION, Version, WireError, Writer};
use skein_machine::{Boot, ClusterId, Effect, Machine, Out, ProcessId, Time, Wire};

use crate::alarms::Alarms;
use crate::conn::Filled;
use crate::data::{Begin, DataDir, DataError, Identity, Owner};
use crate::files::{self, Files};
use crate::frame::FrameReader;
use crate::front::{Answer, ClientId, Desk, Front};
use crate::hello::{Hello, Peer};
use crate::inspect::Inspection;
use crate::links::{Link, Slots, Whose};
use crate::wal::{self, Recovered, Storage, Wal, WalError};

/// Bytes said to a peer and not taken by it, above which it is cut off. It catches up from the log.
const SLOW_PEER: usize = 64 << 20;

/// The same for a client, which has to connect again.
const SLOW_CLIENT: usize = 16 << 20;

/// Bytes that wait for the disk, above which clients are not listened to.
const SLOW_DISK: usize = 32 << 20;

/// Reads from one connection in one turn, so that nobody makes the others wait.
const READS: usize = 4;

/// What a replica has to know of the world.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Which cluster.
    pub cluster: ClusterId,
    /// Who it is.
    pub process: ProcessId,
    /// Where the others are.
    pub addresses: BTreeMap<ProcessId, SocketAddr>,
    /// How far away the others pretend to be; nothing said means next door.
    pub distances: BTreeMap<ProcessId, Duration>,
    /// The files of this machine.
    pub files: Arc<dyn Files>,
    /// Its own directory among them.
    pub data: PathBuf,
    /// What an acknowledgement is worth.
    pub storage: Storage,
    /// What it expects to find in its directory.
    pub begin: Begin,
    /// Look all the time instead of sleeping until something comes up.
    pub busy_poll: bool,
}

/// What other threads hand to a replica.
pub(crate) enum Call<C> {
    /// A connection whose hello was read.
    Connection {
        stream: std::net::TcpStream,
        hello: Hello,
        version: Version,
        rest: FrameReader,
    },
    Front(C),
    Inspect(Sender<Inspection>),
    Stop,
}

/// The way to a replica from other threads.
pub struct Handle<C> {
    calls: Sender<Call<C>>,
    waker: Arc<Waker>,
}

impl<C> Clone for Handle<C> {
    fn clone(&self) -> Handle<C> {
        Handle { calls: self.calls.clone(), waker: self.waker.clone() }
    }
}

/// The replica has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

impl<C> Handle<C> {
    /// Asks the front for something.
    pub fn call(&self, call: C) -> Result<(), Stopped> {
        self.push(Call::Front(call))
    }

    /// Asks how it is. The answer comes between two turns, or never if it has stopped.
    pub fn inspect(&self) -> Result<Receiver<Inspection>, Stopped> {
        let (asker, answer) = channel();
        self.push(Call::Inspect(asker))?;
        Ok(answer)
    }

    /// Ends its life, as a crash would.
    pub fn stop(&self) {
        let _ = self.push(Call::Stop);
    }

    pub(crate) fn push(&self, call: Call<C>) -> Result<(), Stopped> {
        self.calls.send(call).map_err(|_| Stopped)?;
        self.waker.wake().map_err(|_| Stopped)
    }

    /// Wakes it, for whoever has left something for it elsewhere.
    pub fn wake(&self) {
        let _ = self.waker.wake();
    }
}

/// Why a replica did not start, or stopped by itself.
#[derive(Debug)]
pub enum Failure {
    /// The operating system refused something that cannot be done without.
    System(io::Error),
    /// Its directory is not what it should be.
    Data(DataError),
    /// Its log cannot be opened.
    Open(WalError),
    /// Its log holds a record that this build does not understand.
    Record(WireError),
    /// Its log can be trusted no more.
    Log(files::Failure),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::System(error) => write!(f, "the system refuses what cannot be done without: {error}"),
            Failure::Data(error) => error.fmt(f),
            Failure::Open(error) => error.fmt(f),
            Failure::Record(error) => {
                write!(f, "its log holds a record that this build does not understand ({error}): use the newer build")
            }
            Failure::Log(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::Data(error)
    }
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Failure {
        Failure::Open(error)
    }
}

/// One machine and everything around it.
pub struct Replica<M: Machine, F: Front<M>> {
    pub(crate) surroundings: Surroundings,
    pub(crate) machine: M,
    pub(crate) front: F,
    pub(crate) log: Wal,
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
    pub(crate) to_itself: VecDeque<M::Message>,
    /// Connections that may have something to read.
    pub(crate) ready: Vec<usize>,
    pub(crate) is_stopping: bool,
    pub(crate) next_look: Instant,
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
            ..wal::Settings::default()
        };
        let (log, recovered) = Wal::open_or_set_aside(&mut data, surroundings.storage, settings)?;
        tell_of(process, &recovered);
        let Identity { birth, incarnation, .. } = data.identity();
        let mut machine = maker(recovered.boot);
        for record in recovered.checkpoint.into_iter().map(|(_, record)| record).chain(recovered.records) {
            let record = wire::from_bytes(record, VERSION).map_err(Failure::Record)?;
            machine.restore(record);
        }

        let (sender, calls) = channel();
        let now = Instant::now();
        let links = surroundings.addresses.iter().filter(|(other, _)| **other != process);
        let links = links.map(|(other, address)| Link::new(*other, *address, process < *other, now)).collect();
        let replica = Replica {
            me: Peer { process, incarnation, birth },
            surroundings,
            machine,
            front,
            log,
            poll,
            calls,
            slots: Slots::new(),
            links,
            alarms: Alarms::new(),
            out: Out::new(),
            desk: Desk::new(),
            held: VecDeque::new(),
            to_itself: VecDeque::new(),
            ready: Vec::new(),
            is_stopping: false,
            next_look: now,
        };
        Ok((replica, Handle { calls: sender, waker }))
    }

    /// Lives until it is stopped.
    pub fn run(mut self, seed: u64) -> Result<(), Failure> {
        let mut events = Events::with_capacity(256);
        self.machine.start(time(), seed, &mut self.out);
        self.end_turn()?;
        while !self.is_stopping {
            let now = Instant::now();
            self.dial_what_is_due(now);
            let timeout = self.timeout(now);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                polled => polled.map_err(Failure::System)?,
            }
            let mut was_called = false;
            for event in &events {
                match event.token().0 {
                    WAKER => was_called = true,
                    slot => self.on_ready(slot, event.is_readable() || event.is_read_closed(), event.is_writable()),
                }
            }
            self.read_all();
            if was_called || self.surroundings.busy_poll {
                self.take_calls();
            }
            let now = Instant::now();
            while let Some(timer) = self.alarms.fire(now) {
                self.machine.on_timer(time(), timer, &mut self.out);
            }
            self.release();
            self.end_turn()?;
            self.look_after_connections(now);
            self.flush();
        }
        self.log.shutdown().map_err(Failure::Log)
    }

    fn timeout(&self, now: Instant) -> Option<Duration> {
        if self.surroundings.busy_poll || !self.ready.is_empty() || !self.to_itself.is_empty() {
            return Some(Duration::ZERO);
        }
        let times = [self.alarms.next(), self.slots.due(), Some(self.next_look), self.next_dial()];
        times.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    // ---- What comes in.

    fn on_ready(&mut self, slot: usize, is_readable: bool, is_writable: bool) {
        let Some(place) = self.slots.get(slot) else { return };
        if is_writable {
            place.conn.on_writable();
            if let Whose::Dialled(process) = place.whose {
                self.greet(slot, process);
            }
        }
        if is_readable && !self.ready.contains(&slot) {
            self.ready.push(slot);
        }
    }

    fn read_all(&mut self) {
        let is_slow = self.log.backlog() > SLOW_DISK;
        let mut later = Vec::new();
        for slot in std::mem::take(&mut self.ready) {
            let waits = self.slots.get(slot).is_some_and(|place| matches!(place.whose, Whose::Client(_)));
            if (waits && is_slow) || self.read(slot) {
                later.push(slot);
            }
        }
        self.ready = later;
    }

    /// Reads and hears what one connection has. Answers whether there may be more.
    fn read(&mut self, slot: usize) -> bool {
        for _ in 0..READS {
            let Some(place) = self.slots.get(slot) else { return false };
            let filled = match place.conn.fill(Instant::now()) {
                Ok(filled) => filled,
                Err(error) => {
                    self.lose(slot, &error.to_string());
                    return false;
                }
            };
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

    fn hear_all(&mut self, slot: usize) -> Result<(), String> {
        // After the input was taken, never before.
        let now = time();
        while let Some(place) = self.slots.get(slot) {
            let Some(mut body) = place.conn.next_frame().map_err(|error| error.to_string())? else { break };
            while let Some(place) = self.slots.get(slot)
                && let Some(message) = place.conn.next_message(&mut body).map_err(|error| error.to_string())?
            {
                let (whose, version) = (place.whose, place.version);
                match whose {
                    Whose::Peer(process) => {
                        let message =
                            wire::from_bytes::<M::Message>(message, version).map_err(|error| error.to_string())?;
                        self.machine.on_message(now, process, message, &mut self.out);
                    }
                    Whose::Client(client) => self.front.on_request(client, message, &mut self.desk)?,
                    Whose::Greeted(process) => self.on_answer(slot, process, message)?,
                    Whose::Dialled(_) => return Err("it speaks before it was greeted".to_owned()),
                }
            }
        }
        Ok(())
    }

    fn take_calls(&mut self) {
        while let Ok(call) = self.calls.try_recv() {
            match call {
                Call::Front(call) => self.front.on_call(call, &mut self.desk),
                Call::Connection { stream, hello, version, rest } => self.on_connection(stream, &hello, version, rest),
                Call::Inspect(asker) => {
                    // Whoever asked may not wait any more.
                    let _ = asker.send(self.inspect());
                }
                Call::Stop => self.is_stopping = true,
            }
        }
    }

    // ---- What goes out.

    /// Ends the machine's turn, and any that follow at once from what it says to itself and to its front.
    fn end_turn(&mut self) -> Result<(), Failure> {
        loop {
            let now = time();
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
        let now = Instant::now();
        for effect in out.drain() {
            match effect {
                Effect::Persist(record) => {
                    self.log.append(|buffer| encode(&record, buffer));
                }
                Effect::Checkpoint(record) => {
                    self.log.checkpoint(|buffer| encode(&record, buffer));
                }
                Effect::Compact(record) => {
                    self.log.compact(|buffer| encode(&record, buffer));
                }
                Effect::Arm(timer, after) => self.alarms.arm(now, timer, after),
                Effect::Disarm(timer) => self.alarms.disarm(&timer),
                Effect::SendEarly(to, message) => self.send(to, message),
                Effect::Send(..) | Effect::Emit(_) => {
                    let needs = self.log.appended();
                    if self.held.is_empty() && self.log.durable() >= needs {
                        self.let_go(effect);
                    } else {
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
            self.let_go(effect);
        }
    }

    fn let_go(&mut self, effect: Effect<M>) {
        match effect {
            Effect::Send(to, message) => self.send(to, message),
            Effect::Emit(event) => self.front.on_event(event, &mut self.desk),
            _ => unreachable!("only what is sent or emitted waits"),
        }
    }

    fn send(&mut self, to: ProcessId, message: M::Message) {
        if to == self.me.process {
            self.to_itself.push_back(message);
            return;
        }
        let link = self.links.iter().find(|link| link.process == to);
        // Whom no link leads to is told again when one does.
        if let Some(place) = link.and_then(|link| link.slot).and_then(|slot| self.slots.get(slot)) {
            let version = place.version;
            place.conn.say(|buffer| message.encode(&mut Writer::new(buffer, version)));
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
                    place.conn.say(|buffer| buffer.extend_from_slice(message));
                }
                Answer::Goodbye => place.is_leaving = true,
            }
        }
        self.desk.answers = answers;
        self.desk.clear();
    }

    /// One write to everybody who is spoken to.
    fn flush(&mut self) {
        let now = Instant::now();
        for slot in 0..self.slots.len() {
            let Some(place) = self.slots.get(slot) else { continue };
            if matches!(place.whose, Whose::Dialled(_)) {
                continue;
            }
            let flushed = place.conn.flush(now);
            let traffic = std::mem::take(&mut place.conn.traffic);
            self.desk.traffic.bytes_in += traffic.bytes_in;
            self.desk.traffic.bytes_out += traffic.bytes_out;
            self.desk.traffic.writes += traffic.writes;
            if let Err(error) = flushed {
                self.lose(slot, &error.to_string());
                continue;
            }
            let Some(place) = self.slots.get(slot) else { continue };
            let backlog = place.conn.backlog();
            let limit = if matches!(place.whose, Whose::Client(_)) { SLOW_CLIENT } else { SLOW_PEER };
            if backlog > limit {
                self.lose(slot, &format!("it does not take what it is told: {backlog} bytes wait"));
            } else if place.is_leaving && backlog == 0 {
                self.lose(slot, "all is said");
            }
        }
    }
}

/// What was found on the disk, as far as somebody should know.
fn tell_of(process: ProcessId, recovered: &Recovered) {
    if let Some(torn) = &recovered.torn {
        tracing::info!(%process, ?torn, "the end of the log was torn, and is cut");
    }
    if let Some((damage, aside)) = &recovered.set_aside {
        let aside = aside.display();
        tracing::error!(%process, %damage, %aside, "the log is damaged and set aside; the replica asks its group");
    }
    tracing::info!(%process, boot = ?recovered.boot, records = recovered.records.len(), "starts");
}

/// What the hardware clock shows.
pub(crate) fn time() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time::from_nanos(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

fn encode<T: Wire>(value: &T, buffer: &mut Vec<u8>) {
    value.encode(&mut Writer::new(buffer, VERSION));
}

impl ClientId {
    fn slot(self) -> usize {
        (self.0 & 0xffff_ffff) as usize
    }
}
