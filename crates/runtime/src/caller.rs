//! [`Callers`]: the client's side. Connections to replicas, all looked after by
//! one thread, which decides when to wait. What is said is the user's affair.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::{Events, Interest, Poll, Token};
use skein_machine::{ClusterId, ProcessId};

use crate::conn::{Conn, Filled};
use crate::distance::{Distance, Way};
use crate::frame::{FrameReader, FrameWriter};
use crate::hello::{self, Answer, Caller, Hello};
use crate::tls::{Session, Tls};

/// A replica that does not answer by then is not there.
const PATIENCE: Duration = Duration::from_secs(5);

/// Connections of one client.
pub struct Callers {
    poll: Poll,
    events: Events,
    conns: Vec<Option<Conn>>,
    ready: Vec<usize>,
    tls: Option<Tls>,
}

/// What came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A message on this connection.
    Message(usize, Bytes),
    /// This connection is gone, for this reason.
    Lost(usize, String),
}

impl Callers {
    /// No connection yet.
    pub fn new() -> io::Result<Callers> {
        let (poll, events) = (Poll::new()?, Events::with_capacity(64));
        Ok(Callers { poll, events, conns: Vec::new(), ready: Vec::new(), tls: None })
    }

    /// From now on TLS is spoken, if there is something to speak it with.
    pub fn with_tls(self, tls: Option<Tls>) -> Callers {
        Callers { tls, ..self }
    }

    /// Connects to a replica and waits until it has answered.
    pub fn call(&mut self, address: SocketAddr, cluster: ClusterId, to: ProcessId) -> io::Result<usize> {
        let session = self.tls.as_ref().map(|tls| tls.call(to)).transpose().map_err(io::Error::other)?;
        let (stream, session, reader) = greet(address, session, &Hello::new(cluster, to, Caller::Client))?;
        stream.set_nonblocking(true)?;
        let mut stream = mio::net::TcpStream::from_std(stream);
        let number = self.conns.len();
        self.poll.registry().register(&mut stream, Token(number), Interest::READABLE | Interest::WRITABLE)?;
        let conn = Conn::new(stream, Way::new(Distance::default(), 0), Instant::now())
            .with_reader(reader)
            .with_session(session);
        self.conns.push(Some(conn));
        self.ready.push(number);
        Ok(number)
    }

    /// Says something on a connection, once it is flushed. On one that is gone, nobody hears it.
    pub fn say(&mut self, number: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        if let Some(conn) = &mut self.conns[number] {
            conn.say(encode);
        }
    }

    /// Writes what was said, and waits for an answer for so long, or longer if `timeout` is `None`.
    pub fn wait(&mut self, timeout: Option<Duration>, heard: &mut Vec<Heard>) -> io::Result<()> {
        self.flush(heard);
        let timeout = if self.ready.is_empty() { timeout } else { Some(Duration::ZERO) };
        match self.poll.poll(&mut self.events, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            polled => polled?,
        }
        for event in &self.events {
            let number = event.token().0;
            let Some(conn) = &mut self.conns[number] else { continue };
            if event.is_writable() {
                conn.on_writable();
            }
            let is_closed = event.is_read_closed() || event.is_error();
            if is_closed {
                conn.on_read_closed();
            }
            if (event.is_readable() || is_closed) && !self.ready.contains(&number) {
                self.ready.push(number);
            }
        }
        for number in std::mem::take(&mut self.ready) {
            self.read(number, heard);
        }
        Ok(())
    }

    fn flush(&mut self, heard: &mut Vec<Heard>) {
        let now = Instant::now();
        for (number, place) in self.conns.iter_mut().enumerate() {
            if let Some(conn) = place
                && let Err(error) = conn.flush(now)
            {
                *place = None;
                heard.push(Heard::Lost(number, error.to_string()));
            }
        }
    }

    fn read(&mut self, number: usize, heard: &mut Vec<Heard>) {
        let Some(conn) = &mut self.conns[number] else { return };
        let outcome = match conn.fill(Instant::now()) {
            Ok(filled) => read_frames(conn, number, heard).map(|()| filled),
            Err(error) => Err(error.to_string()),
        };
        match outcome {
            Ok(Filled::More) => self.ready.push(number),
            Ok(Filled::Drained) => {}
            Ok(Filled::Closed) => self.lose(number, "it closed the connection".to_owned(), heard),
            Err(why) => self.lose(number, why, heard),
        }
    }

    fn lose(&mut self, number: usize, why: String, heard: &mut Vec<Heard>) {
        self.conns[number] = None;
        heard.push(Heard::Lost(number, why));
    }
}

fn read_frames(conn: &mut Conn, number: usize, heard: &mut Vec<Heard>) -> Result<(), String> {
    while let Some(mut body) = conn.next_frame().map_err(|error| error.to_string())? {
        while let Some(message) = conn.next_message(&mut body).map_err(|error| error.to_string())? {
            heard.push(Heard::Message(number, message));
        }
    }
    Ok(())
}

/// Connects, says who calls, and waits for the welcome.
fn greet(
    address: SocketAddr,
    mut session: Option<Session>,
    hello: &Hello,
) -> io::Result<(TcpStream, Option<Session>, FrameReader)> {
    let end = Instant::now() + PATIENCE;
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_nodelay(true)?;
    let mut writer = FrameWriter::new();
    writer.message(|buffer| buffer.extend_from_slice(&hello::to_bytes(hello)));
    let bytes = writer.finish();
    let mut reader = FrameReader::new();
    loop {
        // A handshake goes to and fro, and the hello is said when it is done.
        if let Some(session) = &mut session {
            session.seal(bytes)?;
        }
        stream.write_all(bytes)?;
        bytes.clear();
        // No time at all would mean for ever.
        let left = end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        stream.set_read_timeout(Some(left))?;
        let is_over = match read(&mut stream, session.as_mut(), &mut reader) {
            Ok(is_over) => is_over,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, format!("it says nothing for {PATIENCE:?}")));
            }
            Err(error) => {
                // There may be something to tell the other end about it.
                if let Some(session) = &mut session {
                    session.seal(bytes)?;
                    let _ = stream.write_all(bytes);
                }
                return Err(error);
            }
        };
        if let Some(mut body) = reader.next_frame().map_err(io::Error::other)? {
            let message = reader.next_message(&mut body).map_err(io::Error::other)?;
            let message = message.ok_or_else(|| io::Error::other("it says nothing"))?;
            return match hello::from_bytes::<Answer>(message).map_err(io::Error::other)? {
                Answer::Welcome { .. } => Ok((stream, session, reader)),
                Answer::Refused(why) => Err(io::Error::new(io::ErrorKind::ConnectionRefused, why)),
            };
        }
        if is_over {
            let why = match session.is_some_and(|session| session.is_handshaking()) {
                true => "it closed the connection instead of speaking TLS: are certificates configured there?",
                false => "it closed the connection without a word",
            };
            return Err(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        }
    }
}

/// Reads once, and answers whether that was the end.
fn read(stream: &mut TcpStream, session: Option<&mut Session>, reader: &mut FrameReader) -> io::Result<bool> {
    match session {
        Some(session) => session.open(stream, reader).map(|opened| opened.is_over),
        None => {
            let count = stream.read(reader.room())?;
            reader.read(count);
            Ok(count == 0)
        }
    }
}
