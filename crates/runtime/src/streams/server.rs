//! [`Server`]: the thread that serves streams, and whoever started it. Its loop
//! knows the order of a turn and nothing else: who is read and written is on
//! the desk, who comes is at a door.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token, Waker};

use super::caller::Shared;
use super::desk::Desk;
use super::door::Door;
use super::reading::Heard;
use super::stream::Phase;
use super::{Caller, Protocol, Settings, StreamId};
use crate::cores;
use crate::tls::Tls;

/// The protocol hears so often what time it is.
const TICK: Duration = Duration::from_millis(100);

/// Streams that are read in one turn: the others have theirs next, and nobody waits long for what is said together.
const READS_A_TURN: usize = 512;

/// Calls that are taken in one turn, for the same reason.
const CALLS_A_TURN: usize = 4096;

/// Events that are taken at once.
const EVENTS: usize = 1024;

const WAKER: Token = Token(usize::MAX);

/// The first door, and the others below it.
const DOOR: usize = usize::MAX - 1;

/// Serves streams until it is dropped.
pub struct Server<C> {
    addresses: Vec<SocketAddr>,
    caller: Caller<C>,
    thread: Option<JoinHandle<()>>,
}

impl<C: Send + 'static> Server<C> {
    /// Listens at each of these addresses, and serves whoever comes. With TLS, nothing else is spoken.
    pub fn open<P: Protocol<Call = C> + 'static>(
        addresses: Vec<SocketAddr>,
        tls: Option<Tls>,
        settings: Settings,
        protocol: P,
    ) -> io::Result<Server<C>> {
        let poll = Poll::new()?;
        let shared = Arc::new(Shared::new(Waker::new(poll.registry(), WAKER)?));
        let open = |(nth, address)| Door::open(address, Token(DOOR - nth), poll.registry());
        let doors = addresses.into_iter().enumerate().map(open).collect::<io::Result<Vec<Door>>>()?;
        let addresses = doors.iter().map(|door| door.address).collect();
        let (sender, calls) = channel();
        let caller = Caller { calls: sender, shared: shared.clone() };
        let is_patient = settings.is_patient;
        let desk = Desk::new(settings);
        let next_tick = Instant::now() + TICK;
        let mut hall = Hall { poll, doors, tls, calls, next_call: None, shared, desk, next_tick, protocol };
        let thread = std::thread::Builder::new().name("streams".to_owned()).spawn(move || {
            if is_patient {
                cores::be_patient();
            }
            hall.work();
        })?;
        Ok(Server { addresses, caller, thread: Some(thread) })
    }
}

impl<C> Server<C> {
    /// Whether its thread has ended though nobody closed it: it panicked, and serves nobody any more.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_some_and(std::thread::JoinHandle::is_finished)
    }

    /// Where it listens, in the order in which it was told to: of interest when any free port was asked for.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The way to its protocol.
    pub fn caller(&self) -> Caller<C> {
        self.caller.clone()
    }

    /// How many streams are open, those that are being closed too.
    pub fn streams(&self) -> usize {
        self.caller.shared.streams.load(Ordering::Relaxed)
    }

    /// Nobody is let in any more, and whoever is idle is closed: nothing of it is there that was not handed in, all it
    /// was told has been taken, and the protocol owes it nothing. The others go on, and so does the protocol.
    pub fn retire(&self) {
        self.caller.shared.is_retiring.store(true, Ordering::Release);
        let _ = self.caller.shared.wake();
    }
}

impl<C> Drop for Server<C> {
    fn drop(&mut self) {
        self.caller.shared.is_closing.store(true, Ordering::Release);
        let _ = self.caller.shared.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Hall<P: Protocol> {
    poll: Poll,
    doors: Vec<Door>,
    tls: Option<Tls>,
    calls: Receiver<P::Call>,
    /// What was found in the queue before going to sleep.
    next_call: Option<P::Call>,
    shared: Arc<Shared>,
    desk: Desk,
    next_tick: Instant,
    protocol: P,
}

impl<P: Protocol> Hall<P> {
    fn work(&mut self) {
        let mut events = Events::with_capacity(EVENTS);
        let mut gone = Vec::new();
        let mut has_calls = false;
        while !self.shared.is_closing.load(Ordering::Acquire) {
            if let Err(error) = self.sleep(&mut events, has_calls)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the server of streams cannot go on");
                return;
            }
            self.desk.now = Instant::now();
            for event in &events {
                match event.token() {
                    WAKER => {}
                    Token(token) if DOOR - token < self.doors.len() => {
                        self.doors[DOOR - token].knocks = Some(self.desk.now);
                    }
                    Token(token) => {
                        if let Ok(slot) = u32::try_from(token) {
                            self.desk.on_event(slot, event);
                        }
                    }
                }
            }
            self.hear_all();
            has_calls = self.take_calls();
            self.tick();
            self.accept();
            self.protocol.end_turn(&mut self.desk);
            self.desk.flush(self.poll.registry(), &mut gone);
            for client in gone.drain(..) {
                self.protocol.on_gone(client);
            }
            self.shared.streams.store(self.desk.slots.len(), Ordering::Relaxed);
        }
    }

    /// Waits until something comes up.
    fn sleep(&mut self, events: &mut Events, has_calls: bool) -> io::Result<()> {
        let mut timeout = Duration::ZERO;
        if !has_calls && !self.desk.is_busy() {
            self.shared.may_sleep();
            self.next_call = self.calls.try_recv().ok();
            let shared = &self.shared;
            let retires = shared.is_retiring.load(Ordering::Relaxed) && !self.doors.is_empty();
            if self.next_call.is_none() && !retires && !shared.is_closing.load(Ordering::Relaxed) {
                let knocks = self.doors.iter().filter_map(|door| door.knocks);
                let next = knocks.min().map_or(self.next_tick, |knocks| knocks.min(self.next_tick));
                timeout = next.saturating_duration_since(Instant::now());
            }
        }
        let polled = self.poll.poll(events, Some(timeout));
        self.shared.is_up();
        polled
    }

    /// Hands in what has come, of so many streams.
    fn hear_all(&mut self) {
        let Hall { desk, protocol, .. } = self;
        for client in std::mem::take(&mut desk.ended) {
            if desk.listens(client) {
                protocol.on_end(client, desk);
            }
        }
        for _ in 0..desk.ready.len().min(READS_A_TURN) {
            let Some(slot) = desk.ready.pop_front() else { break };
            match desk.hear(slot) {
                Heard::Nothing => {}
                Heard::Client(client, peer) => protocol.on_client(client, peer, desk),
                Heard::End(client) => protocol.on_end(client, desk),
                Heard::Bytes(client, mut input) => {
                    let outcome = protocol.on_bytes(client, &mut input, desk);
                    desk.give_back(client, input);
                    if let Err(why) = outcome {
                        tracing::debug!(stream = client.number(), why, "a client is not understood");
                        desk.close(client);
                    }
                }
            }
        }
    }

    /// Answers whether there may be more.
    fn take_calls(&mut self) -> bool {
        if let Some(call) = self.next_call.take() {
            self.protocol.on_call(call, &mut self.desk);
        }
        for _ in 0..CALLS_A_TURN {
            let Ok(call) = self.calls.try_recv() else { return false };
            self.protocol.on_call(call, &mut self.desk);
        }
        true
    }

    fn tick(&mut self) {
        let is_retiring = self.shared.is_retiring.load(Ordering::Acquire);
        if is_retiring {
            self.doors.drain(..).for_each(|door| door.close(self.poll.registry()));
        }
        if self.desk.now < self.next_tick {
            return;
        }
        self.next_tick = self.desk.now + TICK;
        self.desk.look_after();
        self.protocol.on_tick(self.desk.now, &mut self.desk);
        if is_retiring {
            self.close_idle();
        }
    }

    /// Once a tick, and only at the end: this looks at everybody.
    fn close_idle(&mut self) {
        let clients: Vec<(StreamId, Phase)> = self.desk.slots.iter().map(|stream| (stream.id, stream.phase)).collect();
        for (client, phase) in clients {
            match phase {
                Phase::Knocks => self.desk.doom(client.slot, "nobody is let in any more"),
                Phase::Open if self.desk.is_idle(client) && !self.protocol.owes(client) => self.desk.close(client),
                _ => {}
            }
        }
    }

    fn accept(&mut self) {
        let Hall { poll, doors, tls, desk, protocol, .. } = self;
        for door in doors {
            if door.knocks.is_some_and(|at| at <= desk.now) {
                door.accept(poll.registry(), tls.as_ref(), protocol, desk);
            }
        }
    }
}
