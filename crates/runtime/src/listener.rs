//! [`Listener`]: the one address of a node. A thread accepts connections, reads
//! who calls and whom, and hands each over to the thread of the replica that is
//! wanted. Whoever says nothing, too much, or something else, is gone soon, and
//! so is whoever finds no room. Where TLS is spoken, it comes first, and whoever
//! claims to be a peer has to have the certificate of that peer's node.

use std::collections::BTreeMap;
use std::io;
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

use crate::guest::Guest;
use crate::handle::{Call, Handle};
use crate::hello::{Caller, Hello};
use crate::stranger::{Stranger, Unfit};
use crate::tls::Tls;

/// Whoever has not said who it is by then will not.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many may be about to say it. For the next one, the one that has said nothing longest has to go.
const MOST_STRANGERS: usize = 512;

/// So many may wait at the door while whoever lets them in is busy. Whom the system cannot keep waiting is not told:
/// their calls are lost, and they call again after a second. What one asks for without saying is 128.
const QUEUE: i32 = 4096;

/// So many connections are accepted before the others at the door are listened to again.
const ACCEPTS_A_TURN: usize = 64;

/// When the system gives no more connections, it is asked again after this long: nothing tells when it would.
pub(crate) const ASK_AGAIN: Duration = Duration::from_millis(20);

/// So many clients a replica has at most: each costs a place in every turn.
const MOST_CLIENTS: usize = 1024;

/// So many more seats there are for peers, who take one for each connection, and the next before the last is free.
const SEATS_FOR_PEERS: usize = 1024;

/// So many descriptors are left for files: a replica that cannot open its log any more dies. Clients leave as many
/// for peers, too.
pub(crate) const SPARE_DESCRIPTORS: u64 = 64;

const DOOR: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Takes a connection over, or refuses it.
pub type Takes = Box<dyn Fn(Guest) + Send>;

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
    Box::new(move |guest| {
        let most = match guest.hello.caller {
            Caller::Client => most_clients,
            Caller::Peer(_) => most_clients + SEATS_FOR_PEERS,
        };
        let process = guest.hello.to;
        let is_client = guest.hello.caller == Caller::Client;
        let is_short = is_client && is_short_of_descriptors(&guest.stream, 2 * SPARE_DESCRIPTORS);
        let seat = Seat::take(&taken, most).filter(|_| !is_short);
        let Some(seat) = seat else {
            let why = format!("{process} has as many clients as it can serve: connect to another replica of its group");
            return guest.refuse(why);
        };
        if let Some(Call::Connection(guest, _)) = handle.offer(Call::Connection(Box::new(guest), seat)) {
            guest.refuse(format!("{process} has stopped: look into the log of its node"));
        }
    })
}

/// Listens where a crowd may come at once.
pub(crate) fn listen_at(address: SocketAddr) -> io::Result<TcpListener> {
    let door = TcpListener::bind(address)?;
    // It listens already. To say so again changes how many may wait.
    rustix::net::listen(&door, QUEUE)?;
    Ok(door)
}

/// Whether few descriptors are left after this one. The lowest that is free is given out first, so its number tells.
pub(crate) fn is_short_of_descriptors(stream: &impl AsRawFd, spare: u64) -> bool {
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    u64::try_from(stream.as_raw_fd()).is_ok_and(|number| number + spare >= limit)
}

impl Listener {
    /// Listens at an address, for the replicas of this node, which speak nothing newer than `speaks`. With TLS,
    /// nothing else is spoken.
    pub fn open(
        address: SocketAddr,
        cluster: ClusterId,
        speaks: Version,
        replicas: BTreeMap<ProcessId, Takes>,
        tls: Option<Tls>,
    ) -> io::Result<Listener> {
        let mut door = listen_at(address)?;
        let address = door.local_addr()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut door, DOOR, Interest::READABLE)?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let is_closing = Arc::new(AtomicBool::new(false));
        let closing = is_closing.clone();
        let strangers = BTreeMap::new();
        let mut porter = Porter { poll, door, cluster, speaks, replicas, tls, strangers, next: 0, knocks: None };
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
    /// The newest version that is agreed on with anybody.
    speaks: Version,
    replicas: BTreeMap<ProcessId, Takes>,
    tls: Option<Tls>,
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
                Ok((stream, _)) => self.let_in(stream, now),
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

    fn let_in(&mut self, mut stream: TcpStream, now: Instant) {
        let session = match self.tls.as_ref().map(Tls::answer).transpose() {
            Ok(session) => session,
            Err(why) => return tracing::error!(why, "cannot speak TLS"),
        };
        let is_short = is_short_of_descriptors(&stream, SPARE_DESCRIPTORS);
        let registered = self.poll.registry().register(&mut stream, Token(self.next), interest(session.is_some()));
        let stranger = Stranger::new(stream, session, now);
        if is_short || registered.is_err() {
            return stranger.refuse("this node has too many connections: try again later");
        }
        if self.strangers.len() >= MOST_STRANGERS
            && let Some((_, longest)) = self.strangers.pop_first()
        {
            longest.refuse("too many others have come, and nothing was said here: say at once who calls");
        }
        let number = self.next;
        self.next = (self.next + 1) % WAKER.0;
        self.strangers.insert(number, stranger);
        self.listen(number);
    }

    fn listen(&mut self, number: usize) {
        let Some(stranger) = self.strangers.get_mut(&number) else { return };
        match stranger.hello() {
            Ok(None) => {}
            Ok(Some(hello)) => {
                let stranger = self.strangers.remove(&number).expect("it was just there");
                self.hand_over(stranger, hello);
            }
            Err(Unfit::Silly(why)) => {
                tracing::debug!(why, "whoever connected is no caller of ours");
                self.strangers.remove(&number);
            }
            Err(Unfit::Barred(why)) => {
                let from = stranger.stream.peer_addr().map_or_else(|_| "nowhere".to_owned(), |from| from.to_string());
                tracing::warn!(from, why, "refused a connection");
                self.strangers.remove(&number);
            }
        }
    }

    fn hand_over(&mut self, mut stranger: Stranger, hello: Hello) {
        let _ = self.poll.registry().deregister(&mut stranger.stream);
        let version = match self.admit(&stranger, &hello).and_then(|()| hello.agree(self.cluster, self.speaks)) {
            Ok(version) => version,
            Err(why) => return stranger.refuse(&why),
        };
        let Some(takes) = self.replicas.get(&hello.to) else {
            let here: Vec<String> = self.replicas.keys().map(ToString::to_string).collect();
            return stranger.refuse(&format!("{} is not here; this node has {}", hello.to, here.join(", ")));
        };
        takes(stranger.into_guest(hello, version));
    }

    /// Whether somebody may be who it says. Anybody with a certificate may be a client.
    fn admit(&self, stranger: &Stranger, hello: &Hello) -> Result<(), String> {
        let (Some(tls), Caller::Peer(peer)) = (&self.tls, hello.caller) else { return Ok(()) };
        let session = stranger.session.as_ref().ok_or("only TLS is spoken here")?;
        tls.may_be(session, peer.process)
    }
}

/// A handshake also waits for its turn to write.
fn interest(is_tls: bool) -> Interest {
    if is_tls { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use super::*;

    #[test]
    fn a_crowd_may_wait_while_nobody_lets_it_in() {
        let door = listen_at("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = door.local_addr().unwrap();
        let allowed = std::fs::read_to_string("/proc/sys/net/core/somaxconn").unwrap().trim().parse().unwrap();
        // With all the descriptors that a system is sure to give.
        let crowd = usize::min(400, allowed);
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(900)).unwrap();
        let waiting: Vec<TcpStream> = (0..crowd).map(connect).collect();
        assert_eq!(waiting.len(), crowd);
    }
}
