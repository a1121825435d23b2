//! The load of torture: sessions that multicast through some replica to random
//! sets of groups, change to another replica when no answer comes or their
//! connection is lost, ask there again for everything that is open, and die now
//! and then. They keep the rules of sessions: only messages to one and the same
//! set are on the way together, and before the set changes, the answer to all is
//! there, and its timestamp the floor of what follows.
//!
//! Each thread writes down what it asked and what it was told. It judges nothing.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{GroupSet, MessageId, Multicast, ProcessId, Random, SessionId, Timestamp, Wire};
use skein_runtime::caller::{Callers, Heard};
use skein_sim::Mix;

use super::journal::moment;
use crate::cli::Mistake;
use crate::config::Config;
use crate::speech::{Reply, Request};

/// Threads, so that one that waits for a silent replica's welcome does not keep the others from asking.
pub(crate) const THREADS: u64 = 4;

/// Sessions of one thread that live at once. With all of them waiting, the load waits too.
const SESSIONS: usize = 16;

/// How many messages of one session may be on the way at once.
const PIPELINE: usize = 4;

/// How long a session waits before it asks again, at first.
const PATIENCE: Duration = Duration::from_secs(2);

/// After it was turned away, or found nobody, it asks again after this.
const PAUSE: Duration = Duration::from_millis(100);

/// Somebody who does not answer is not called again for so long.
const AVOIDED_FOR: Duration = Duration::from_secs(1);

/// One message in so many is large.
const LARGE: f64 = 0.002;

/// What all threads and whoever watches them share.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Nothing new is asked for any more; what is open still is.
    pub(crate) is_closing: AtomicBool,
    /// Not even that.
    pub(crate) is_over: AtomicBool,
    pub(crate) multicasts: AtomicU64,
    pub(crate) acknowledged: AtomicU64,
}

/// What one thread did and heard, each with its moment, in that order.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) asked: Vec<(u64, ProcessId, Multicast)>,
    /// Who has acknowledged what. Once for each message.
    pub(crate) told: Vec<(u64, ProcessId, MessageId, Timestamp)>,
    /// What nobody insists on any more.
    pub(crate) given_up: Vec<MessageId>,
    /// Answers that should never have come.
    pub(crate) strange: Vec<String>,
}

/// All threads.
pub(crate) struct Load {
    pub(crate) tally: Arc<Tally>,
    threads: Vec<JoinHandle<Notes>>,
}

impl Load {
    /// Begins to ask for so many multicasts a second, over all sessions.
    pub(crate) fn begin(config: &Config, random: &mut Random, per_second: f64) -> Result<Load, Mistake> {
        let tally = Arc::new(Tally::default());
        let mut load = Load { tally, threads: Vec::new() };
        for nth in 0..THREADS {
            let callers = Callers::new().map_err(|error| Mistake(format!("no client can begin: {error}")))?;
            let client = Client {
                mix: Mix::usual(&config.cluster),
                config: config.clone(),
                pause: Duration::from_secs_f64(THREADS as f64 / per_second),
                random: random.fork(nth),
                callers,
                connections: BTreeMap::new(),
                avoided: BTreeMap::new(),
                sessions: Vec::new(),
                next_session: nth + 1,
                notes: Notes::default(),
                tally: load.tally.clone(),
            };
            let thread = std::thread::Builder::new().name(format!("client {nth}")).spawn(move || client.live());
            load.threads.push(thread.map_err(|error| Mistake(format!("there is no thread for a client: {error}")))?);
        }
        Ok(load)
    }

    /// Whether every session has all its answers, once it is closing.
    pub(crate) fn is_done(&self) -> bool {
        self.threads.iter().all(JoinHandle::is_finished)
    }

    /// Ends it and answers what it wrote down.
    pub(crate) fn end(mut self) -> Result<Vec<Notes>, Mistake> {
        self.tally.is_over.store(true, Relaxed);
        let ended = std::mem::take(&mut self.threads).into_iter().map(JoinHandle::join);
        ended.map(|notes| notes.map_err(|_| Mistake("a client of the load panicked".to_owned()))).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.tally.is_over.store(true, Relaxed);
    }
}

struct Client {
    config: Config,
    mix: Mix,
    pause: Duration,
    random: Random,
    callers: Callers,
    connections: BTreeMap<ProcessId, usize>,
    /// Who did not answer, and until when that is remembered.
    avoided: BTreeMap<ProcessId, Instant>,
    sessions: Vec<Session>,
    next_session: u64,
    notes: Notes,
    tally: Arc<Tally>,
}

struct Session {
    id: SessionId,
    entry: ProcessId,
    /// The connection on which everything that is open was asked for.
    asked_on: Option<usize>,
    next_sequence: u64,
    floor: Timestamp,
    /// What was sent and not answered, in order, all to one set.
    open: VecDeque<Multicast>,
    ask_again: Instant,
    tries: u32,
}

impl Client {
    fn live(mut self) -> Notes {
        let mut next = Instant::now();
        let mut heard = Vec::new();
        while !self.tally.is_over.load(Relaxed) {
            let is_closing = self.tally.is_closing.load(Relaxed);
            if is_closing && self.sessions.iter().all(|session| session.open.is_empty()) {
                break;
            }
            let now = Instant::now();
            if !is_closing && next <= now {
                self.multicast();
                // What was missed while everybody waited is not made up for.
                next = (next + self.pause).max(now - self.pause * 10);
            }
            self.ask_again();
            let wait = if is_closing { PAUSE / 2 } else { next.saturating_duration_since(now).min(PAUSE / 2) };
            if let Err(error) = self.callers.wait(Some(wait), &mut heard) {
                self.notes.strange.push(format!("a client cannot wait for answers: {error}"));
                break;
            }
            for word in heard.drain(..) {
                match word {
                    Heard::Message(connection, reply) => self.hear(connection, reply),
                    Heard::Lost(connection, _) => self.lose(connection),
                }
            }
        }
        self.notes
    }

    /// One more message of some session.
    fn multicast(&mut self) {
        if self.random.chance(0.002) && !self.sessions.is_empty() {
            self.kill_one();
        }
        let set = self.mix.draw(&mut self.random);
        let Some(nth) = self.somebody_for(set) else { return };
        let payload = self.payload();
        let entries: Vec<ProcessId> = self.config.homes.keys().copied().collect();
        let session = &mut self.sessions[nth];
        // Between two messages a session may go through another replica.
        if session.open.is_empty() && self.random.chance(0.05) {
            session.entry = *self.random.pick(&entries);
        }
        let id = MessageId { session: session.id, sequence: session.next_sequence, destinations: set };
        let message = Multicast { id, floor: session.floor, expiry: Timestamp::MAX, payload };
        session.next_sequence += 1;
        if session.open.is_empty() {
            session.ask_again = Instant::now() + PATIENCE;
            session.tries = 0;
        }
        session.open.push_back(message.clone());
        self.tally.multicasts.fetch_add(1, Relaxed);
        let connection = self.connections.get(&session.entry).copied();
        if connection.is_some() && session.asked_on == connection {
            self.ask(nth, &message);
        } else {
            self.ask_for_everything(nth);
        }
    }

    /// A session that may send to this set now, perhaps a new one.
    fn somebody_for(&mut self, set: GroupSet) -> Option<usize> {
        let may_send = |session: &Session| match session.open.back() {
            None => true,
            Some(message) => message.id.destinations == set && session.open.len() < PIPELINE,
        };
        let ready: Vec<usize> = (0..self.sessions.len()).filter(|nth| may_send(&self.sessions[*nth])).collect();
        if !ready.is_empty() && self.sessions.len() >= SESSIONS / 2 {
            return Some(*self.random.pick(&ready));
        }
        if self.sessions.len() >= SESSIONS {
            return None;
        }
        let entries: Vec<ProcessId> = self.config.homes.keys().copied().collect();
        self.sessions.push(Session {
            id: SessionId(self.next_session),
            entry: *self.random.pick(&entries),
            asked_on: None,
            next_sequence: 1,
            floor: Timestamp::ZERO,
            open: VecDeque::new(),
            ask_again: Instant::now(),
            tries: 0,
        });
        self.next_session += THREADS;
        Some(self.sessions.len() - 1)
    }

    fn payload(&mut self) -> Bytes {
        let most = if self.random.chance(LARGE) { 20_000 } else { 64 };
        let length = self.random.between(1, most) as usize;
        // Letters, because people read histories.
        let letters = self.random.word().to_le_bytes().map(|byte| b'a' + byte % 26);
        letters.iter().copied().cycle().take(length).collect::<Vec<u8>>().into()
    }

    /// A session dies: whatever it had open may be delivered or not.
    fn kill_one(&mut self) {
        let nth = self.random.below(self.sessions.len() as u64) as usize;
        let dead = self.sessions.swap_remove(nth);
        self.notes.given_up.extend(dead.open.iter().map(|message| message.id));
    }

    /// Sessions that have waited too long go elsewhere, as a rule.
    fn ask_again(&mut self) {
        let now = Instant::now();
        for nth in 0..self.sessions.len() {
            let session = &mut self.sessions[nth];
            if session.open.is_empty() || now < session.ask_again {
                continue;
            }
            if session.asked_on.is_some() && self.random.chance(0.7) {
                let entries: Vec<ProcessId> = self.config.homes.keys().copied().collect();
                session.entry = *self.random.pick(&entries);
            }
            self.ask_for_everything(nth);
        }
    }

    /// Asks for everything that is open, in order, where the session is or wherever somebody answers.
    fn ask_for_everything(&mut self, nth: usize) {
        let connection = self.connect(nth);
        let session = &mut self.sessions[nth];
        session.asked_on = connection;
        if connection.is_none() {
            session.ask_again = Instant::now() + PAUSE;
            return;
        }
        session.ask_again = Instant::now() + PATIENCE * (1 << session.tries.min(2));
        session.tries += 1;
        for message in session.open.clone() {
            self.ask(nth, &message);
        }
    }

    fn ask(&mut self, nth: usize, message: &Multicast) {
        let session = &self.sessions[nth];
        let connection = session.asked_on.expect("it has somebody to ask");
        self.notes.asked.push((moment(), session.entry, message.clone()));
        say(&mut self.callers, connection, &Request::Multicast(message.clone()));
    }

    /// A connection to the entry of a session, or to one that takes its place, which is to tell it of its deliveries.
    fn connect(&mut self, nth: usize) -> Option<usize> {
        let now = Instant::now();
        self.avoided.retain(|_, until| now < *until);
        let mut entries: Vec<ProcessId> = self.config.homes.keys().copied().collect();
        self.random.shuffle(&mut entries);
        entries.insert(0, self.sessions[nth].entry);
        for entry in entries {
            let known = self.connections.get(&entry).copied();
            if known.is_none() && self.avoided.contains_key(&entry) {
                continue;
            }
            let Some(connection) = known.or_else(|| self.call(entry)) else { continue };
            let session = &mut self.sessions[nth];
            session.entry = entry;
            if session.asked_on != Some(connection) {
                say(&mut self.callers, connection, &Request::Attach(session.id));
            }
            return Some(connection);
        }
        None
    }

    fn call(&mut self, entry: ProcessId) -> Option<usize> {
        let address = self.config.nodes[&self.config.homes[&entry]].address;
        match self.callers.call(address, self.config.cluster.id(), entry) {
            Ok(connection) => {
                self.connections.insert(entry, connection);
                Some(connection)
            }
            Err(_) => {
                self.avoided.insert(entry, Instant::now() + AVOIDED_FOR);
                None
            }
        }
    }

    fn lose(&mut self, connection: usize) {
        self.connections.retain(|_, other| *other != connection);
        for session in self.sessions.iter_mut().filter(|session| session.asked_on == Some(connection)) {
            // What it was asked may be lost with it.
            session.asked_on = None;
            session.ask_again = Instant::now();
        }
    }

    fn hear(&mut self, connection: usize, reply: Bytes) {
        let process = self.connections.iter().find(|(_, other)| **other == connection);
        let Some(process) = process.map(|(process, _)| *process) else { return };
        match wire::from_bytes::<Reply>(reply, VERSION) {
            Ok(Reply::Delivered { id, timestamp } | Reply::Done { id, timestamp }) => {
                self.acknowledge(process, id, timestamp);
            }
            Ok(Reply::Busy { id, .. }) => {
                let whose = self.sessions.iter_mut().find(|session| session.id == id.session);
                if let Some(session) = whose.filter(|session| session.asked_on == Some(connection)) {
                    // Nothing behind it was accepted either. Asked again for, it comes before all that.
                    session.asked_on = None;
                    session.ask_again = Instant::now() + PAUSE;
                }
            }
            // Nothing here expires, counts or follows.
            Ok(other) => self.notes.strange.push(format!("{process} answers {other:?}, which nobody asked for")),
            Err(error) => self.notes.strange.push(format!("{process} says what makes no sense: {error}")),
        }
    }

    fn acknowledge(&mut self, process: ProcessId, id: MessageId, timestamp: Timestamp) {
        let Some(session) = self.sessions.iter_mut().find(|session| session.id == id.session) else { return };
        let before = session.open.len();
        session.open.retain(|message| message.id != id);
        if session.open.len() == before {
            return;
        }
        session.floor = session.floor.max(timestamp);
        (session.ask_again, session.tries) = (Instant::now() + PATIENCE, 0);
        self.tally.acknowledged.fetch_add(1, Relaxed);
        self.notes.told.push((moment(), process, id, timestamp));
    }
}

fn say(callers: &mut Callers, connection: usize, request: &Request) {
    callers.say(connection, |buffer| request.encode(&mut Writer::new(buffer, VERSION)));
}
