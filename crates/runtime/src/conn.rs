//! [`Conn`]: one connection, frames in and frames out, never waiting. What the
//! socket does not take at once is kept, up to a bound that its owner watches.
//! An emulated distance holds frames back before they reach the socket, and TLS
//! encrypts a turn's frames together. Who is at the other end is not known here.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::net::TcpStream;

use crate::distance::Way;
use crate::frame::{FrameError, FrameReader, FrameWriter};
use crate::front::Traffic;
use crate::tls::Session;

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filled {
    /// There may be more.
    More,
    /// The socket has been read empty.
    Drained,
    /// The other end is gone.
    Closed,
}

/// So much memory a connection keeps that has nothing to write: what two of the longest frames need.
pub(crate) const MOST_ROOM: usize = 1 << 22;

/// Writes in one turn of what the socket did not take before, so that nobody makes the others wait.
const WRITES: usize = 4;

/// One connection.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    reader: FrameReader,
    writer: FrameWriter,
    /// What stands between the frames and the socket, where nothing is said in the clear.
    session: Option<Session>,
    /// What the socket did not take, from `written` on.
    unwritten: Vec<u8>,
    written: usize,
    /// The socket takes more, as far as is known.
    is_open_for_writing: bool,
    /// The other end says nothing more after what the socket holds.
    is_read_closed: bool,
    /// The longest message among those that wait for the socket.
    longest: usize,
    /// How far away the other end pretends to be.
    way: Way,
    /// Frames that travel that way, by when they arrive.
    on_the_way: VecDeque<(Instant, Vec<u8>)>,
    held_back: usize,
    pub(crate) heard_at: Instant,
    said_at: Instant,
    pub(crate) traffic: Traffic,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream, way: Way, now: Instant) -> Conn {
        Conn {
            stream,
            reader: FrameReader::new(),
            writer: FrameWriter::new(),
            session: None,
            unwritten: Vec::new(),
            written: 0,
            is_open_for_writing: true,
            is_read_closed: false,
            longest: 0,
            way,
            on_the_way: VecDeque::new(),
            held_back: 0,
            heard_at: now,
            said_at: now,
            traffic: Traffic::default(),
        }
    }

    /// What was read with the handshake and belongs behind it.
    pub(crate) fn with_reader(self, reader: FrameReader) -> Conn {
        Conn { reader, ..self }
    }

    /// Speaks TLS, if there is a session.
    pub(crate) fn with_session(self, session: Option<Session>) -> Conn {
        Conn { session, ..self }
    }

    /// Reads once.
    pub(crate) fn fill(&mut self, now: Instant) -> io::Result<Filled> {
        if self.session.is_some() {
            return self.fill_and_decrypt(now);
        }
        let room = self.reader.room();
        let asked = room.len();
        loop {
            match self.stream.read(room) {
                Ok(0) => return Ok(Filled::Closed),
                Ok(count) => {
                    self.reader.read(count);
                    self.heard_at = now;
                    self.traffic.bytes_in += count as u64;
                    return Ok(self.after(count, asked));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Filled::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// The poll tells only of what comes after a read that found the socket empty. Of the end it may have told
    /// already, together with the last bytes: then only a read can find it.
    fn after(&self, count: usize, asked: usize) -> Filled {
        if count < asked && !self.is_read_closed { Filled::Drained } else { Filled::More }
    }

    /// The same through TLS. Only what comes out of it is a sign of life: a handshake has to end some time.
    fn fill_and_decrypt(&mut self, now: Instant) -> io::Result<Filled> {
        let session = self.session.as_mut().expect("there is one");
        let opened = loop {
            match session.open(&mut self.stream, &mut self.reader) {
                Ok(opened) => break opened,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Filled::Drained),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    self.say_why();
                    return Err(error);
                }
            }
        };
        self.traffic.bytes_in += opened.raw as u64;
        if opened.plain > 0 {
            self.heard_at = now;
        }
        Ok(if opened.is_over { Filled::Closed } else { self.after(opened.raw, Session::ASKED) })
    }

    /// Tells the other end by TLS what is wrong, if its socket takes that at once.
    fn say_why(&mut self) {
        let mut bytes = Vec::new();
        if let Some(session) = &mut self.session
            && session.seal(&mut bytes).is_ok()
            && self.unwritten.is_empty()
        {
            let _ = self.stream.write(&bytes);
        }
    }

    pub(crate) fn next_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let frame = self.reader.next_frame()?;
        self.traffic.frames_in += u64::from(frame.is_some());
        Ok(frame)
    }

    /// What went through it since this was asked last.
    pub(crate) fn take_traffic(&mut self) -> Traffic {
        self.traffic.frames_out += self.writer.take_count();
        std::mem::take(&mut self.traffic)
    }

    pub(crate) fn next_message(&mut self, body: &mut Bytes) -> Result<Option<Bytes>, FrameError> {
        self.reader.next_message(body)
    }

    /// Adds a message to what the next flush writes.
    pub(crate) fn say(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.writer.len();
        self.writer.message(encode);
        self.longest = self.longest.max(self.writer.len() - before);
    }

    /// What is said next has a frame of its own: whoever waits for an answer takes only the first message of a frame.
    pub(crate) fn end_frame(&mut self) {
        self.writer.close();
    }

    /// No message from the other end may be longer.
    pub(crate) fn limit(&mut self, limit: usize) {
        self.reader.limit(limit);
    }

    /// Lets the other end know that this one lives, if it has not heard anything for so long.
    pub(crate) fn keep_alive(&mut self, now: Instant, after: Duration) {
        if now.duration_since(self.said_at) >= after && self.writer.is_empty() {
            self.writer.sign_of_life();
        }
    }

    /// Lets the other end know that this one lives: it asks for the same, or answers.
    pub(crate) fn give_sign(&mut self) {
        self.writer.sign_of_life();
    }

    /// The socket takes more.
    pub(crate) fn on_writable(&mut self) {
        self.is_open_for_writing = true;
    }

    /// The other end has said its last.
    pub(crate) fn on_read_closed(&mut self) {
        self.is_read_closed = true;
    }

    /// Writes what there is and may arrive by now.
    pub(crate) fn flush(&mut self, now: Instant) -> io::Result<()> {
        let has_to_speak = self.session.as_ref().is_some_and(Session::has_to_speak);
        if !self.writer.is_empty() || has_to_speak {
            self.said_at = now;
            if let Some(session) = &mut self.session {
                session.seal(self.writer.finish())?;
            }
            if self.way.is_zero() && self.unwritten.is_empty() && self.is_open_for_writing {
                return self.write_through();
            }
            let bytes = self.writer.finish();
            if self.way.is_zero() {
                self.unwritten.append(bytes);
            } else {
                self.held_back += bytes.len();
                self.on_the_way.push_back((self.way.arrival(now), std::mem::take(bytes)));
            }
        }
        while self.on_the_way.front().is_some_and(|(due, _)| *due <= now) {
            let (_, mut bytes) = self.on_the_way.pop_front().expect("something is due");
            self.held_back -= bytes.len();
            self.unwritten.append(&mut bytes);
        }
        self.write_rest()
    }

    /// When there is something to write again: at once if the socket takes more than one turn may give it, or when
    /// what is on its way arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        if self.is_open_for_writing && self.written < self.unwritten.len() {
            return Some(self.said_at);
        }
        self.on_the_way.front().map(|(due, _)| *due)
    }

    /// Whether something was said since the last flush.
    pub(crate) fn has_said_something(&self) -> bool {
        !self.writer.is_empty()
    }

    /// Bytes that were said and did not reach the socket.
    pub(crate) fn backlog(&self) -> usize {
        self.writer.len() + self.held_back + self.unwritten.len() - self.written
    }

    /// The same, but the longest message among them counts for nothing: that it takes its time is no delay.
    pub(crate) fn delay(&self) -> usize {
        self.backlog().saturating_sub(self.longest)
    }

    /// What this connection makes the process keep, for as long as the other end likes.
    pub(crate) fn burden(&self) -> usize {
        self.backlog() + self.reader.unfinished()
    }

    /// The usual case: everything straight from where it was encoded into the socket.
    fn write_through(&mut self) -> io::Result<()> {
        let bytes = self.writer.finish();
        if bytes.is_empty() {
            return Ok(()); // a handshake goes first, and it waits for the other end
        }
        let count = write_once(&mut self.stream, bytes, &mut self.is_open_for_writing)?;
        self.traffic.writes += 1;
        self.traffic.bytes_out += count as u64;
        if count < bytes.len() {
            std::mem::swap(&mut self.unwritten, bytes);
            self.written = count;
        } else {
            bytes.clear();
            bytes.shrink_to(MOST_ROOM);
        }
        self.write_rest()
    }

    fn write_rest(&mut self) -> io::Result<()> {
        for _ in 0..WRITES {
            if self.written == self.unwritten.len() || !self.is_open_for_writing {
                break;
            }
            let count = write_once(&mut self.stream, &self.unwritten[self.written..], &mut self.is_open_for_writing)?;
            self.traffic.writes += 1;
            self.traffic.bytes_out += count as u64;
            self.written += count;
        }
        if self.written == self.unwritten.len() {
            self.written = 0;
            self.unwritten.clear();
            self.unwritten.shrink_to(MOST_ROOM);
        } else if self.written > self.unwritten.len() / 2 {
            self.unwritten.drain(..self.written);
            self.written = 0;
        }
        if self.backlog() == 0 {
            self.longest = 0;
        }
        Ok(())
    }
}

/// Writes once what the socket takes, which may be nothing.
pub(crate) fn write_once(stream: &mut TcpStream, bytes: &[u8], is_open: &mut bool) -> io::Result<usize> {
    loop {
        match stream.write(bytes) {
            Ok(0) if !bytes.is_empty() => return Err(ErrorKind::WriteZero.into()),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                *is_open = false;
                return Ok(0);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::distance::Distance;

    /// Frames over a distance with jitter, through a socket: each is there no sooner than it may be, and in its turn.
    #[test]
    fn frames_over_a_distance_keep_their_order() {
        let distance = Distance { delay: Duration::from_millis(5), jitter: Duration::from_millis(5) };
        let door = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let near = std::net::TcpStream::connect(door.local_addr().unwrap()).unwrap();
        let (mut far, _) = door.accept().unwrap();
        near.set_nonblocking(true).unwrap();
        let mut conn = Conn::new(TcpStream::from_std(near), Way::new(distance, 7), Instant::now());
        let begin = Instant::now();
        let mut due = Vec::new();
        for number in 0..100_u8 {
            conn.say(|buffer| buffer.push(number));
            conn.flush(begin + Duration::from_micros(10) * u32::from(number)).unwrap();
            due.push(conn.on_the_way.back().unwrap().0.duration_since(begin));
        }
        assert!(due.is_sorted() && due[0] >= distance.delay && due[99] <= Duration::from_millis(11), "{due:?}");
        assert_eq!(conn.due(), Some(begin + due[0]));
        conn.flush(begin + due[0] - Duration::from_nanos(1)).unwrap();
        assert_eq!(conn.traffic.bytes_out, 0, "nothing arrives before its time");
        conn.flush(begin + due[50]).unwrap();
        let halfway = conn.traffic.bytes_out;
        conn.flush(begin + due[99]).unwrap();
        assert!(0 < halfway && halfway < conn.traffic.bytes_out && conn.backlog() == 0);
        drop(conn);
        let (mut reader, mut bytes, mut messages) = (FrameReader::new(), Vec::new(), Vec::new());
        far.read_to_end(&mut bytes).unwrap();
        reader.room()[..bytes.len()].copy_from_slice(&bytes);
        reader.read(bytes.len());
        reader.take_all(&mut messages).unwrap();
        assert_eq!(messages, (0..100_u8).map(|number| Bytes::from(vec![number])).collect::<Vec<_>>());
    }
}
