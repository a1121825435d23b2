//! [`Stream`]: one client's connection, bytes in and bytes out, never waiting.
//! What it holds between two turns is what the client has begun to say and what
//! it has not taken; an idle one holds no buffer at all. What the bytes mean is
//! not known here, nor who else is connected.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;

use super::input::Input;
use super::{Settings, StreamId};
use crate::conn::{Filled, write_once};
use crate::stranger::{HANDSHAKE_RECORD, MAX_HANDSHAKE};
use crate::tls::{Room, Session};

/// Whoever is told the last has so long to take the next of it, and then to close its end. Closed before that, the
/// system would take back what was said.
pub(super) const FAREWELL: Duration = Duration::from_secs(5);

/// Whoever says nothing more may wait so long for an answer.
const LAST_ANSWER: Duration = Duration::from_secs(30);

/// Bytes of something unfinished that show that it comes to an end: whoever says so much in time has as much time
/// again.
const PROGRESS: usize = 64 << 10;

/// Writes in one turn of what the socket did not take before, so that nobody makes the others wait.
const WRITES: usize = 4;

/// So many buffers are kept for the next who has something to say, and none of them longer.
const SPARES: usize = 64;
const LONGEST_SPARE: usize = 64 << 10;

/// Buffers between two uses. What a stream writes in a turn is in one of these, and mostly gone with the turn.
#[derive(Default)]
pub(super) struct Spares(Vec<Vec<u8>>);

impl Spares {
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn put_back(&mut self, buffer: &mut Vec<u8>) {
        let mut buffer = std::mem::take(buffer);
        if (1..=LONGEST_SPARE).contains(&buffer.capacity()) && self.0.len() < SPARES {
            buffer.clear();
            self.0.push(buffer);
        }
    }
}

/// How far a stream has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The handshake of TLS goes on: the protocol has not heard of it.
    Knocks,
    /// Both sides may speak.
    Open,
    /// It is closed when everything was written, and is not read any more.
    Leaves,
    /// Everything was written. What still comes is thrown away until the other end is closed, too.
    Left,
}

/// One client's connection.
pub(super) struct Stream {
    pub(super) id: StreamId,
    pub(super) peer: SocketAddr,
    pub(super) socket: TcpStream,
    session: Option<Session>,
    /// Bytes of a handshake so far.
    knocked: usize,
    pub(super) phase: Phase,
    /// What was read and not consumed, and how much that may be.
    pub(super) input: Input,
    pub(super) most_input: usize,
    /// What was written in this turn,
    pub(super) said: Vec<u8>,
    /// and what the socket did not take before, from `written` on.
    unwritten: Vec<u8>,
    written: usize,
    /// The longest that was written at once among what the socket has not taken.
    pub(super) longest: usize,
    /// What of this is part of the sums of all streams.
    pub(super) counted: Burden,
    /// The socket takes more, as far as is known.
    pub(super) is_open_for_writing: bool,
    /// The socket may hold something to read,
    pub(super) has_more: bool,
    /// and behind that the end, as the poll has told.
    pub(super) is_read_closed: bool,
    /// The end was read,
    pub(super) is_over: bool,
    /// the protocol was told that there is one,
    pub(super) is_ended: bool,
    /// and that all was handed in before.
    pub(super) is_told: bool,
    pub(super) is_paused: bool,
    /// The protocol has more to say, but not before the client has taken some of it.
    pub(super) waits_for_room: bool,
    /// What is there is handed in again.
    pub(super) is_resumed: bool,
    /// It is among those that are read next.
    pub(super) is_ready: bool,
    /// It is among those that are written to at the end of the turn.
    pub(super) is_touched: bool,
    /// It is gone at the end of the turn.
    pub(super) is_doomed: bool,
    pub(super) is_settled: bool,
    pub(super) may_be_silent: bool,
    since: Instant,
    pub(super) heard_at: Instant,
    /// When the client last took something, or its end was near.
    pub(super) moved_at: Instant,
    /// Since when something is unfinished, and how much of it has come since then.
    pub(super) begun: Option<(Instant, usize)>,
    /// When it is looked at, if at all.
    pub(super) alarm: Option<Instant>,
}

/// What a stream makes the process keep.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Burden {
    pub(super) input: usize,
    pub(super) backlog: usize,
}

impl Stream {
    pub(super) fn new(
        id: StreamId,
        socket: TcpStream,
        peer: SocketAddr,
        session: Option<Session>,
        most_input: usize,
        now: Instant,
    ) -> Stream {
        Stream {
            id,
            peer,
            socket,
            phase: if session.is_some() { Phase::Knocks } else { Phase::Open },
            session,
            knocked: 0,
            input: Input::default(),
            most_input,
            said: Vec::new(),
            unwritten: Vec::new(),
            written: 0,
            longest: 0,
            counted: Burden::default(),
            is_open_for_writing: true,
            has_more: false,
            is_read_closed: false,
            is_over: false,
            is_ended: false,
            is_told: false,
            is_paused: false,
            waits_for_room: false,
            is_resumed: false,
            is_ready: false,
            is_touched: false,
            is_doomed: false,
            is_settled: false,
            may_be_silent: false,
            since: now,
            heard_at: now,
            moved_at: now,
            begun: None,
            alarm: None,
        }
    }

    /// Whether what is written reaches the client.
    pub(super) fn listens(&self) -> bool {
        !self.is_doomed && self.phase == Phase::Open
    }

    /// Whether nothing of it is handed in, and it is not to blame for that.
    pub(super) fn is_held_up(&self) -> bool {
        self.is_paused || self.waits_for_room
    }

    /// Whether the protocol was told of it, and not of its end.
    pub(super) fn is_known(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Leaves)
    }

    /// Bytes that were written and that the socket has not taken.
    pub(super) fn backlog(&self) -> usize {
        self.said.len() + self.unwritten.len() - self.written
    }

    pub(super) fn burden(&self) -> Burden {
        Burden { input: self.input.len(), backlog: self.backlog() }
    }

    /// Whether it has to be flushed although nothing was written.
    pub(super) fn has_to_speak(&self) -> bool {
        self.session.as_ref().is_some_and(Session::has_to_speak)
    }

    /// Whether the socket takes more than it was given in one turn.
    pub(super) fn takes_more(&self) -> bool {
        self.is_open_for_writing && self.written < self.unwritten.len()
    }

    /// Reads once. The room in which TLS is decrypted is lent.
    pub(super) fn fill(&mut self, input: &mut Input, lent: &mut [u8], settings: &Settings) -> io::Result<Filled> {
        let (count, asked) = match &mut self.session {
            None => {
                let room = input.room();
                let asked = room.len();
                let Some(count) = once(|| self.socket.read(room))? else { return Ok(Filled::Drained) };
                input.read(count);
                if count == 0 {
                    return Ok(Filled::Closed);
                }
                (count, asked)
            }
            Some(session) => {
                if self.knocked == 0 && !speaks_tls(&mut self.socket, &settings.refusal_in_the_clear)? {
                    return Ok(Filled::Drained);
                }
                let opened = once(|| session.open_by(&mut self.socket, lent, input));
                let Some(opened) = opened.inspect_err(|_| self.say_why())? else { return Ok(Filled::Drained) };
                if self.phase == Phase::Knocks {
                    self.knocked += opened.raw;
                }
                if opened.is_over {
                    return Ok(Filled::Closed);
                }
                (opened.raw, Session::ASKED)
            }
        };
        // The poll tells only of what comes after a read that found the socket empty. Of the end it may have told
        // already, together with the last bytes: then only a read can find it.
        Ok(if count < asked && !self.is_read_closed { Filled::Drained } else { Filled::More })
    }

    /// Whether the handshake is done: then it is open. A handshake without an end is an error.
    pub(super) fn opens(&mut self) -> io::Result<bool> {
        let is_done = self.session.as_ref().is_none_or(|session| !session.is_handshaking());
        if is_done {
            self.phase = Phase::Open;
        } else if self.knocked > MAX_HANDSHAKE {
            return Err(io::Error::new(ErrorKind::InvalidData, "its handshake has no end"));
        }
        Ok(is_done)
    }

    /// Throws away what still comes. Answers whether there may be more.
    pub(super) fn read_away(&mut self, lent: &mut [u8]) -> io::Result<Filled> {
        Ok(match once(|| self.socket.read(lent))? {
            None => Filled::Drained,
            Some(0) => Filled::Closed,
            Some(count) if count < lent.len() && !self.is_read_closed => Filled::Drained,
            Some(_) => Filled::More,
        })
    }

    /// Tells the other end by TLS what is wrong, if its socket takes that at once.
    fn say_why(&mut self) {
        let mut bytes = Vec::new();
        if let Some(session) = &mut self.session
            && session.seal_into(&[], &mut bytes).is_ok()
            && self.unwritten.is_empty()
        {
            let _ = self.socket.write(&bytes);
        }
    }

    /// Writes what there is, once if the socket takes it.
    pub(super) fn flush(&mut self, now: Instant, spares: &mut Spares) -> io::Result<()> {
        if let Some(session) = &mut self.session {
            if self.unwritten.capacity() == 0 {
                self.unwritten = spares.take();
            }
            session.seal_into(&self.said, &mut self.unwritten)?;
            spares.put_back(&mut self.said);
            if self.phase == Phase::Leaves {
                // Behind everything else that was said, and once, however often it is flushed.
                session.say_goodbye();
                session.seal_into(&[], &mut self.unwritten)?;
            }
        } else if self.unwritten.is_empty() {
            spares.put_back(&mut self.unwritten);
            self.unwritten = std::mem::take(&mut self.said);
        } else {
            self.unwritten.extend_from_slice(&self.said);
            spares.put_back(&mut self.said);
        }
        for _ in 0..WRITES {
            if !self.takes_more() {
                break;
            }
            let rest = &self.unwritten[self.written..];
            let count = write_once(&mut self.socket, rest, &mut self.is_open_for_writing)?;
            self.written += count;
            if count > 0 {
                self.moved_at = now;
            }
        }
        if self.written == self.unwritten.len() {
            (self.written, self.longest) = (0, 0);
            spares.put_back(&mut self.unwritten);
        } else if self.written > self.unwritten.len() / 2 {
            self.unwritten.drain(..self.written);
            self.written = 0;
        }
        Ok(())
    }

    /// Everything will have been said with the next flush.
    pub(super) fn leave(&mut self, now: Instant) {
        self.phase = Phase::Leaves;
        self.moved_at = now;
        self.forget_input();
    }

    /// Everything was said.
    pub(super) fn hang_up(&mut self, now: Instant) {
        self.phase = Phase::Left;
        self.moved_at = now;
        self.session = None;
        // If that fails, the next read does, too.
        let _ = self.socket.shutdown(Shutdown::Write);
    }

    pub(super) fn forget_input(&mut self) {
        (self.input, self.begun) = (Input::default(), None);
    }

    pub(super) fn forget_everything(&mut self) {
        self.forget_input();
        (self.said, self.unwritten, self.written) = (Vec::new(), Vec::new(), 0);
    }

    /// When it is too late for something, and what that is.
    pub(super) fn deadline(&self, settings: &Settings) -> Option<(Instant, &'static str)> {
        let is_leaving = matches!(self.phase, Phase::Leaves | Phase::Left);
        let is_awaited = !self.is_held_up() && !self.is_ended;
        let idle = settings.idle.filter(|_| is_awaited && !self.may_be_silent);
        let deadlines = [
            is_leaving.then(|| (self.moved_at + FAREWELL, "it does not take its farewell")),
            (self.is_ended && !is_leaving).then(|| (self.moved_at + LAST_ANSWER, "it was owed an answer for too long")),
            (self.waits_for_room && !is_leaving)
                .then(|| (self.moved_at + settings.unfinished, "it does not take what it is told")),
            (!self.is_settled && !is_leaving)
                .then(|| (self.since + settings.first_word, "it has not said anything whole")),
            self.begun.filter(|_| is_awaited).map(|(begun, _)| {
                (begun + settings.unfinished, "it has begun to say something and does not come to an end")
            }),
            idle.filter(|_| !is_leaving).map(|idle| (self.heard_at + idle, "it says nothing")),
        ];
        deadlines.into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// What is long takes its time: whoever has said a good part of it may go on.
    pub(super) fn goes_on(&mut self, now: Instant) {
        if self.begun.is_some_and(|(_, came)| came >= PROGRESS) {
            self.begun = Some((now, 0));
        }
    }
}

/// Nothing where it would have to wait.
fn once<T>(mut act: impl FnMut() -> io::Result<T>) -> io::Result<Option<T>> {
    loop {
        match act() {
            Ok(done) => return Ok(Some(done)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Looks at the first byte, which tells TLS from what is said in the clear. Nothing there is no.
fn speaks_tls(socket: &mut TcpStream, refusal: &[u8]) -> io::Result<bool> {
    let mut first = [HANDSHAKE_RECORD];
    let Some(count) = once(|| socket.peek(&mut first))? else { return Ok(false) };
    if count == 0 || first[0] == HANDSHAKE_RECORD {
        return Ok(true);
    }
    refuse(socket, refusal);
    Err(io::Error::new(ErrorKind::InvalidData, "it does not speak TLS"))
}

/// Sends somebody away with a few bytes. If the socket does not take them at once, it does not matter.
pub(super) fn refuse(socket: &mut TcpStream, refusal: &[u8]) {
    // Were bytes left unread, the system would take back what the other end is told.
    let _ = socket.read(&mut [0; 4096]);
    let _ = socket.write(refusal);
    let _ = socket.shutdown(Shutdown::Write);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten thousand of them are a few megabytes.
    #[test]
    fn an_idle_stream_is_small() {
        assert!(size_of::<Stream>() < 512, "{}", size_of::<Stream>());
    }
}
