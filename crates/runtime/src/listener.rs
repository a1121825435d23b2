//! [`Listener`]: the one address of a node. A thread accepts connections, reads
//! who calls and whom, and hands each over to the thread of the replica that is
//! wanted. Whoever says nothing, too much, or something else, is gone soon, and
//! so is whoever finds no room.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use rustix::process::{Resource, getrlimit};
use skein_machine::wire::Version;
use skein_machine::{ClusterId, ProcessId};

use crate::frame::{FrameReader, FrameWriter};
use crate::hello::{self, Answer, Caller, Hello, MAX_HELLO};
use crate::replica::{Call, Handle};

/// Whoever has not said who it is by then will not.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many may be about to say it. For the next one, the one that has said nothing longest has to go.
const MOST_STRANGERS: usize = 512;

/// So many connections are accepted before the others at the door are listened to again.
const ACCEPTS_A_TURN: usize = 64;

/// When the system gives no more connections, it is asked again after this long: nothing tells when it would.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// So many clients a replica has at most: each costs a place in every turn.
const MOST_CLIENTS: usize = 1024;

/// So many more seats there are for peers, who take one for each connection, and the next before the last is free.
const SEATS_FOR_PEERS: usize = 1024;

/// So many descriptors are left for files: a replica that cannot open its log any more dies. Clients leave as many
/// for peers, too.
const SPARE_DESCRIPTORS: u64 = 64;

const DOOR: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Takes a connection over, or refuses it.
pub type Takes = Box<dyn Fn(std::net::TcpStream, Hello, Version, FrameReader) + Send>;

/// A connection that a replica was given and has not let go of yet.
pub(crate) struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// One of so many, if one is free.
    fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Seat> {
        let seat = Seat(taken.clone());
        // The drop of a seat that was not to be had gives it back.
        (taken.fetch_add(1, Ordering::Relaxed) < most).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Somebody at the door.
struct Stranger {
    stream: TcpStream,
    reader: FrameReader,
    said: usize,
    since: Instant,
}

/// Accepts connections until it is dropped.
pub struct Listener {
    address: SocketAddr,
    is_closing: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

/// How a replica is reached from its node's listener.
pub fn takes<C: Send + 'static>(handle: Handle<C>) -> Takes {
    takes_up_to(MOST_CLIENTS, handle)
}

/// The same, with another bound on its clients.
pub fn takes_up_to<C: Send + 'static>(most_clients: usize, handle: Handle<C>) -> Takes {
    let taken = Arc::new(AtomicUsize::new(0));
    Box::new(move |mut stream, hello, version, rest| {
        let most = match hello.caller {
            Caller::Client => most_clients,
            Caller::Peer(_) => most_clients + SEATS_FOR_PEERS,
        };
        let process = hello.to;
        let is_short = hello.caller == Caller::Client && is_short_of_descriptors(&stream, 2 * SPARE_DESCRIPTORS);
        let seat = Seat::take(&taken, most).filter(|_| !is_short);
        let Some(seat) = seat else {
            let why = format!("{process} has as many clients as it can serve: connect to another replica of its group");
            return refuse(&mut stream, why);
        };
        let call = Call::Connection { stream, hello, version, rest, seat };
        if let Some(Call::Connection { mut stream, .. }) = handle.offer(call) {
            refuse(&mut stream, format!("{process} has stopped: look into the log of its node"));
        }
    })
}

/// Whether few descriptors are left after this one. The lowest that is free is given out first, so its number tells.
fn is_short_of_descriptors(stream: &impl AsRawFd, spare: u64) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::try_from(stream.as_raw_fd()).is_ok_and(|number| number + spare >= limit)
}

/// Tells somebody why not. If the socket does not take the few bytes at once, it does not matter.
pub(crate) fn refuse(stream: &mut impl Write, why: String) {
    tracing::warn!(why, "refused a connection");
    let mut writer = FrameWriter::new();
    writer.message(|buffer| buffer.extend_from_slice(&hello::to_bytes(&Answer::refused(why))));
    let _ = stream.write(writer.finish());
}

impl Listener {
    /// Listens at an address, for the replicas of this node.
    pub fn open(address: SocketAddr, cluster: ClusterId, replicas: BTreeMap<ProcessId, Takes>) -> io::Result<Listener> {
        let mut door = TcpListener::bind(address)?;
        let address = door.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut door, DOOR, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let closing = is_closing.clone();
        let strangers = BTreeMap::new();
        let mut porter = Porter { poll, door, cluster, replicas, strangers, next: 0, knocks: None };
        let thread = std::thread::Builder::new().name("listener".to_owned()).spawn(move || porter.work(&closing))?;
        Ok(Listener { address, is_closing, waker, thread: Some(thread) })
    }

    /// Where it listens: of interest when any free port was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.is_closing.store(true, Ordering::Release);
        let _ = self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Porter {
    poll: Poll,
    door: TcpListener,
    cluster: ClusterId,
    replicas: BTreeMap<ProcessId, Takes>,
    /// In the order in which they came.
    strangers: BTreeMap<usize, Stranger>,
    next: usize,
    /// Somebody may be waiting to be accepted, of whom the poll has told already. When to look.
    knocks: Option<Instant>,
}

impl Porter {
    fn work(&mut self, is_closing: &AtomicBool) {
        let mut events = Events::with_capacity(64);
        while !is_closing.load(Ordering::Acquire) {
            let now = Instant::now();
            let knocks = self.knocks.map(|at| at.saturating_duration_since(now));
            let timeout = knocks.into_iter().chain((!self.strangers.is_empty()).then_some(PATIENCE / 5)).min();
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the listener cannot go on");
                return;
            }
            for event in &events {
                match event.token() {
                    DOOR => self.knocks = Some(now),
                    WAKER => {}
                    Token(stranger) => self.listen(stranger),
                }
            }
            let now = Instant::now();
            if self.knocks.is_some_and(|at| at <= now) {
                self.accept(now);
            }
            self.strangers.retain(|_, stranger| now.duration_since(stranger.since) < PATIENCE);
        }
    }

    fn accept(&mut self, now: Instant) {
        self.knocks = Some(now);
        for _ in 0..ACCEPTS_A_TURN {
            match self.door.accept() {
                Ok((mut stream, _)) if is_short_of_descriptors(&stream, SPARE_DESCRIPTORS) => {
                    refuse(&mut stream, "this node has too many connections: try again later".to_owned());
                }
                Ok((mut stream, _)) => {
                    if self.strangers.len() >= MOST_STRANGERS
                        && let Some((_, mut longest)) = self.strangers.pop_first()
                    {
                        let why = "too many others have come, and nothing was said here: say at once who calls";
                        refuse(&mut longest.stream, why.to_owned());
                    }
                    let number = self.next % WAKER.0;
                    self.next += 1;
                    if self.poll.registry().register(&mut stream, Token(number), Interest::READABLE).is_ok() {
                        let stranger = Stranger { stream, reader: FrameReader::new(), said: 0, since: now };
                        self.strangers.insert(number, stranger);
                        self.listen(number);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.knocks = None;
                    return;
                }
                Err(error) => {
                    // Out of descriptors, say. Those at the door wait, and the poll will not tell of them again.
                    tracing::warn!(%error, "cannot accept a connection");
                    self.knocks = Some(now + ASK_AGAIN);
                    return;
                }
            }
        }
    }

    fn listen(&mut self, number: usize) {
        let Some(stranger) = self.strangers.get_mut(&number) else { return };
        match stranger.hello() {
            Ok(None) => {}
            Ok(Some(hello)) => {
                let stranger = self.strangers.remove(&number).expect("it was just there");
                self.hand_over(stranger, hello);
            }
            Err(why) => {
                tracing::debug!(why, "whoever connected is no caller of ours");
                self.strangers.remove(&number);
            }
        }
    }

    fn hand_over(&mut self, mut stranger: Stranger, hello: Hello) {
        let _ = self.poll.registry().deregister(&mut stranger.stream);
        let version = match (hello.agree(self.cluster), self.replicas.contains_key(&hello.to)) {
            (Ok(version), true) => version,
            (Ok(_), false) => {
                let here: Vec<String> = self.replicas.keys().map(ToString::to_string).collect();
                let why = format!("{} is not here; this node has {}", hello.to, here.join(", "));
                return refuse(&mut stranger.stream, why);
            }
            (Err(why), _) => return refuse(&mut stranger.stream, why),
        };
        let Stranger { stream, reader, .. } = stranger;
        self.replicas[&hello.to](std::net::TcpStream::from(stream), hello, version, reader);
    }
}

impl Stranger {
    /// Its hello, once all of it has come.
    fn hello(&mut self) -> Result<Option<Hello>, String> {
        loop {
            let room = self.reader.room();
            let room_for_a_hello = room.len().min(MAX_HELLO);
            match self.stream.read(&mut room[..room_for_a_hello]) {
                Ok(0) => return Err("it closed the connection".to_owned()),
                Ok(count) => {
                    self.reader.read(count);
                    self.said += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error.to_string()),
            }
            if let Some(mut body) = self.reader.next_frame().map_err(|error| error.to_string())? {
                let message = self.reader.next_message(&mut body).map_err(|error| error.to_string())?;
                let message = message.ok_or("it says nothing")?;
                if !body.is_empty() {
                    return Err("it says more than who it is".to_owned());
                }
                return hello::from_bytes(message).map(Some).map_err(|error| error.to_string());
            }
            if self.said >= MAX_HELLO {
                return Err("it says more than who it is".to_owned());
            }
        }
    }
}
