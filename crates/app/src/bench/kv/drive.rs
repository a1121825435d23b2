//! One thread of the load: connections, each with so many operations on the way,
//! that begin another whenever one is over. It measures how long each took, from
//! the first byte that was written to the last that was read, and knows nothing
//! of what the operations are.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use super::replies::Reply;
use super::workload::{Asked, Mill, Then, command};
use crate::bench::experiment::times;
use crate::cli::Mistake;

/// A store that says nothing for so long is none to measure.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is read at once.
const READ: usize = 64 << 10;

/// A connection says no more while so much of what it has said is not on its way.
const MOST_UNSENT: usize = 1 << 20;

/// Why nothing was counted: the first few words of the first error.
const LONGEST_REASON: usize = 200;

/// What every connection says first.
#[derive(Clone, Debug, Default)]
pub(super) struct Greeting(pub(super) Vec<Vec<String>>);

/// Which operations, and for how long.
pub(super) enum Task {
    /// Every record from here to there once.
    Insert { next: u64, end: u64 },
    /// Whatever the mill makes, until then; what ends before the first moment is not counted.
    Run { count_from: Instant, until: Instant },
}

/// What a thread saw.
pub(super) struct Seen {
    /// How long operations took, in nanoseconds; as many as were counted.
    pub(super) latencies: Histogram<u64>,
    /// Operations of which some command was answered with an error.
    pub(super) errors: u64,
    /// What the first error said.
    pub(super) reason: Option<String>,
}

/// An operation on the way.
struct Operation {
    begun: Instant,
    asked: Asked,
    has_failed: bool,
}

struct Connection {
    stream: TcpStream,
    operations: VecDeque<Operation>,
    unsent: Vec<u8>,
    heard: Vec<u8>,
    is_writable_watched: bool,
}

/// The connections of one thread.
pub(super) struct Driver {
    poll: Poll,
    connections: Vec<Connection>,
    /// What is read at once lands here.
    room: Vec<u8>,
}

impl Driver {
    /// Connects to each of these and says the greeting.
    pub(super) fn connect(addresses: &[SocketAddr], greeting: &Greeting) -> Result<Driver, Mistake> {
        let poll = Poll::new().map_err(|error| Mistake(format!("the load cannot start: {error}")))?;
        let mut connections = Vec::new();
        for (nth, address) in addresses.iter().enumerate() {
            let connection = Connection::open(*address, greeting, &poll, Token(nth));
            connections.push(connection.map_err(|why| Mistake(format!("{address}: {why}")))?);
        }
        Ok(Driver { poll, connections, room: vec![0; READ] })
    }

    /// Has each connection keep so many operations on the way.
    pub(super) fn run(&mut self, mill: &mut Mill, mut task: Task, pipeline: usize) -> Result<Seen, Mistake> {
        let mut seen = Seen { latencies: times(), errors: 0, reason: None };
        let mut events = Events::with_capacity(self.connections.len().clamp(16, 1024));
        let now = Instant::now();
        for (nth, connection) in self.connections.iter_mut().enumerate() {
            while connection.operations.len() < pipeline && connection.begin(mill, &mut task, now) {}
            connection.write(&self.poll, Token(nth)).map_err(|error| lost(&error))?;
        }
        let mut last_word = Instant::now();
        loop {
            let is_busy = self.connections.iter().any(|connection| !connection.operations.is_empty());
            if !is_busy {
                return Ok(seen);
            }
            match self.poll.poll(&mut events, Some(PATIENCE)) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                outcome => outcome.map_err(|error| lost(&error))?,
            }
            if events.is_empty() && last_word.elapsed() >= PATIENCE {
                return Err(Mistake(format!("the store has said nothing for {PATIENCE:?}")));
            }
            for event in &events {
                last_word = Instant::now();
                let connection = &mut self.connections[event.token().0];
                let turn = connection.turn(mill, &mut task, &mut seen, &mut self.room);
                turn.and_then(|()| connection.write(&self.poll, event.token())).map_err(|error| lost(&error))?;
            }
        }
    }
}

fn lost(error: &io::Error) -> Mistake {
    Mistake(format!("a connection of the load is lost: {error}"))
}

impl Connection {
    fn open(address: SocketAddr, greeting: &Greeting, poll: &Poll, token: Token) -> Result<Connection, String> {
        let said = |error: io::Error| error.to_string();
        let mut stream = std::net::TcpStream::connect_timeout(&address, PATIENCE).map_err(said)?;
        stream.set_nodelay(true).map_err(said)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(said)?;
        for words in &greeting.0 {
            let mut out = Vec::new();
            let words: Vec<&[u8]> = words.iter().map(String::as_bytes).collect();
            command(&mut out, &words);
            stream.write_all(&out).map_err(said)?;
            let mut heard = Vec::new();
            loop {
                match Reply::first(&heard) {
                    Ok(Some(reply)) => match reply.error() {
                        Some(why) => return Err(String::from_utf8_lossy(why).into_owned()),
                        None => break,
                    },
                    Ok(None) => {
                        let mut room = [0; 512];
                        let count = stream.read(&mut room).map_err(said)?;
                        if count == 0 {
                            return Err("it closed the connection".to_owned());
                        }
                        heard.extend_from_slice(&room[..count]);
                    }
                    Err(_) => return Err("it does not speak Redis' protocol".to_owned()),
                }
            }
        }
        stream.set_nonblocking(true).map_err(said)?;
        let mut stream = TcpStream::from_std(stream);
        poll.registry().register(&mut stream, token, Interest::READABLE).map_err(said)?;
        Ok(Connection {
            stream,
            operations: VecDeque::new(),
            unsent: Vec::new(),
            heard: Vec::new(),
            is_writable_watched: false,
        })
    }

    /// Begins another operation, if there is one to begin.
    fn begin(&mut self, mill: &mut Mill, task: &mut Task, now: Instant) -> bool {
        let asked = match task {
            Task::Insert { next, end } if *next < *end => {
                *next += 1;
                mill.insert(*next - 1, &mut self.unsent)
            }
            Task::Run { until, .. } if now < *until => mill.begin(&mut self.unsent),
            Task::Insert { .. } | Task::Run { .. } => return false,
        };
        self.operations.push_back(Operation { begun: now, asked, has_failed: false });
        true
    }

    /// Reads what is there, and prepares what follows from it.
    fn turn(&mut self, mill: &mut Mill, task: &mut Task, seen: &mut Seen, room: &mut [u8]) -> io::Result<()> {
        let mut at = 0;
        loop {
            match self.stream.read(room) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(count) => {
                    self.heard.extend_from_slice(&room[..count]);
                    let now = Instant::now();
                    while let Some(length) = self.hear(at, now, mill, task, seen)? {
                        at += length;
                    }
                    // What is there now was there all at once, or comes with another event.
                    if count < READ {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.heard.drain(..at);
        Ok(())
    }

    /// Takes one reply, if all of it is there, and answers how long it was.
    fn hear(
        &mut self,
        at: usize,
        now: Instant,
        mill: &mut Mill,
        task: &mut Task,
        seen: &mut Seen,
    ) -> io::Result<Option<usize>> {
        let nonsense = |why: &str| io::Error::new(ErrorKind::InvalidData, why.to_owned());
        let reply = Reply::first(&self.heard[at..]).map_err(|_| nonsense("it says what is no reply"))?;
        let Some(reply) = reply else { return Ok(None) };
        let length = reply.length();
        let Some(operation) = self.operations.front_mut() else {
            return Err(nonsense("it answers what nobody asked"));
        };
        if let Some(why) = reply.error() {
            operation.has_failed = true;
            let why = &why[..why.len().min(LONGEST_REASON)];
            seen.reason.get_or_insert_with(|| String::from_utf8_lossy(why).into_owned());
        }
        operation.asked.replies -= 1;
        if operation.asked.replies > 0 {
            return Ok(Some(length));
        }
        let Operation { begun, asked, has_failed } = self.operations.pop_front().expect("it is there");
        let follows = match has_failed || asked.then == Then::Over {
            true => None,
            false => mill.go_on(asked.then, Some(reply), &mut self.unsent),
        };
        if let Some(asked) = follows {
            self.operations.push_back(Operation { begun, asked, has_failed });
            return Ok(Some(length));
        }
        let counts = match task {
            Task::Insert { .. } => true,
            Task::Run { count_from, until } => now >= *count_from && now < *until,
        };
        if counts && has_failed {
            seen.errors += 1;
        } else if counts {
            seen.latencies.saturating_record(now.duration_since(begun).as_nanos() as u64);
        }
        self.begin(mill, task, now);
        Ok(Some(length))
    }

    /// Writes as much as there is room for, and has the system tell when there is more.
    fn write(&mut self, poll: &Poll, token: Token) -> io::Result<()> {
        let mut sent = 0;
        while sent < self.unsent.len() {
            match self.stream.write(&self.unsent[sent..]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unsent.drain(..sent);
        if self.unsent.len() > MOST_UNSENT {
            return Err(io::Error::new(ErrorKind::OutOfMemory, "the store does not read what it is told"));
        }
        let wanted = !self.unsent.is_empty();
        if wanted != self.is_writable_watched {
            let interest = if wanted { Interest::READABLE | Interest::WRITABLE } else { Interest::READABLE };
            poll.registry().reregister(&mut self.stream, token, interest)?;
            self.is_writable_watched = wanted;
        }
        Ok(())
    }
}
