//! [`Listener`]: the one address of a node. A thread accepts connections, reads
//! who calls and whom, and hands each over to the thread of the replica that is
//! wanted. Whoever says nothing, too much, or something else, is gone soon.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token, Waker};
use skein_machine::wire::Version;
use skein_machine::{ClusterId, ProcessId};

use crate::frame::{FrameReader, FrameWriter};
use crate::hello::{self, Answer, Hello, MAX_HELLO};
use crate::replica::{Call, Handle};

/// Whoever has not said who it is by then will not.
const PATIENCE: Duration = Duration::from_secs(5);

/// So many may be about to say it.
const MOST_STRANGERS: usize = 1024;

const DOOR: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);

/// Takes a connection over.
pub type Takes = Box<dyn Fn(std::net::TcpStream, Hello, Version, FrameReader) + Send>;

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
    Box::new(move |stream, hello, version, rest| {
        // A replica that has stopped takes nobody in: the connection is closed as it is dropped.
        let _ = handle.push(Call::Connection { stream, hello, version, rest });
    })
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
        let mut porter = Porter { poll, door, cluster, replicas, strangers: BTreeMap::new(), next: 0 };
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
    strangers: BTreeMap<usize, Stranger>,
    next: usize,
}

impl Porter {
    fn work(&mut self, is_closing: &AtomicBool) {
        let mut events = Events::with_capacity(64);
        while !is_closing.load(Ordering::Acquire) {
            let timeout = (!self.strangers.is_empty()).then_some(PATIENCE / 5);
            if let Err(error) = self.poll.poll(&mut events, timeout)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the listener cannot go on");
                return;
            }
            for event in &events {
                match event.token() {
                    DOOR => self.accept(),
                    WAKER => {}
                    Token(stranger) => self.listen(stranger),
                }
            }
            let now = Instant::now();
            self.strangers.retain(|_, stranger| now.duration_since(stranger.since) < PATIENCE);
        }
    }

    fn accept(&mut self) {
        loop {
            match self.door.accept() {
                Ok((stream, address)) if self.strangers.len() >= MOST_STRANGERS => {
                    tracing::warn!(%address, "turned away: too many others have not said who they are");
                    drop(stream);
                }
                Ok((mut stream, _)) => {
                    let number = self.next % WAKER.0;
                    self.next += 1;
                    if self.poll.registry().register(&mut stream, Token(number), Interest::READABLE).is_ok() {
                        let stranger = Stranger { stream, reader: FrameReader::new(), said: 0, since: Instant::now() };
                        self.strangers.insert(number, stranger);
                        self.listen(number);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    // Out of descriptors, say. Those at the door wait; a short sleep lets others go first.
                    tracing::warn!(%error, "cannot accept a connection");
                    std::thread::sleep(Duration::from_millis(10));
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
                return stranger.refuse(why);
            }
            (Err(why), _) => return stranger.refuse(why),
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
                return hello::from_bytes(message).map(Some).map_err(|error| error.to_string());
            }
            if self.said >= MAX_HELLO {
                return Err("it says more than who it is".to_owned());
            }
        }
    }

    /// Tells it why not. If the socket does not take the few bytes at once, it does not matter.
    fn refuse(mut self, why: String) {
        tracing::warn!(why, "refused a connection");
        let mut writer = FrameWriter::new();
        writer.message(|buffer| buffer.extend_from_slice(&hello::to_bytes(&Answer::Refused(why))));
        let _ = self.stream.write(writer.finish());
    }
}
