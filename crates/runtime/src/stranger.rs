//! [`Stranger`]: somebody at the door who has not said who it is. It is read no
//! further than that, and by TLS where that is spoken: the handshake goes on
//! here, until there is a hello or a reason to close the door.

use std::io::{ErrorKind, Read, Write};
use std::time::Instant;

use mio::net::TcpStream;
use skein_machine::wire::Version;

use crate::frame::{FrameError, FrameReader};
use crate::guest::{Guest, refuse, tell};
use crate::hello::{self, Hello, MAX_HELLO};
use crate::tls::Session;

/// A handshake of TLS with a long chain of certificates is shorter. What is longer is none.
pub(crate) const MAX_HANDSHAKE: usize = 64 << 10;

/// How a TLS connection begins: no frame that is a hello does.
pub(crate) const HANDSHAKE_RECORD: u8 = 0x16;

/// Somebody at the door.
pub(crate) struct Stranger {
    pub(crate) stream: TcpStream,
    /// Our end of a handshake, where nothing is said in the clear.
    pub(crate) session: Option<Session>,
    /// What the socket did not take of it.
    unsent: Vec<u8>,
    has_begun: bool,
    reader: FrameReader,
    /// Bytes of hellos.
    said: usize,
    /// Bytes of TLS.
    sealed: usize,
    pub(crate) since: Instant,
}

/// Why somebody is no caller of ours.
pub(crate) enum Unfit {
    /// It makes no sense. That happens all the time, and concerns nobody.
    Silly(String),
    /// It cannot prove that it belongs here, which may be a mistake that somebody has to mend.
    Barred(String),
}

impl From<FrameError> for Unfit {
    fn from(error: FrameError) -> Unfit {
        Unfit::Silly(error.to_string())
    }
}

impl Stranger {
    pub(crate) fn new(stream: TcpStream, session: Option<Session>, since: Instant) -> Stranger {
        let (unsent, reader) = (Vec::new(), FrameReader::new());
        Stranger { stream, session, unsent, has_begun: false, reader, said: 0, sealed: 0, since }
    }

    /// Sends it away. In the middle of a handshake there is nothing that it would understand.
    pub(crate) fn refuse(mut self, why: &str) {
        if self.session.as_ref().is_some_and(Session::is_handshaking) {
            return tracing::warn!(why, "refused a connection");
        }
        refuse(&mut self.stream, self.session.as_mut(), why.to_owned());
    }

    /// It has said who it is, and is let in.
    pub(crate) fn into_guest(self, hello: Hello, version: Version) -> Guest {
        let Stranger { stream, session, reader: rest, .. } = self;
        Guest { stream: stream.into(), session, hello, version, rest }
    }

    /// Its hello, once all of it has come.
    pub(crate) fn hello(&mut self) -> Result<Option<Hello>, Unfit> {
        if !self.has_begun {
            self.has_begun = self.begins_as_it_should()?;
        }
        while self.has_begun {
            let read = if self.session.is_some() { self.read_sealed()? } else { self.read()? };
            let Some(is_over) = read else { break };
            if let Some(mut body) = self.reader.next_frame()? {
                let message = self.reader.next_message(&mut body)?;
                let message = message.ok_or_else(|| Unfit::Silly("it says nothing".to_owned()))?;
                if !body.is_empty() {
                    return Err(Unfit::Silly("it says more than who it is".to_owned()));
                }
                return hello::from_bytes(message).map(Some).map_err(|error| Unfit::Silly(error.to_string()));
            }
            if self.said >= MAX_HELLO {
                return Err(Unfit::Silly("it says more than who it is".to_owned()));
            }
            if is_over {
                return Err(Unfit::Silly("it closed the connection".to_owned()));
            }
        }
        Ok(None)
    }

    /// Looks at the first byte, which tells TLS from what is said in the clear. Answers whether there is one.
    fn begins_as_it_should(&mut self) -> Result<bool, Unfit> {
        let mut first = [0];
        match self.stream.peek(&mut first) {
            Ok(0) => return Err(Unfit::Silly("it closed the connection".to_owned())),
            Ok(_) if self.session.is_some() == (first[0] == HANDSHAKE_RECORD) => return Ok(true),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(Unfit::Silly(error.to_string())),
        }
        if self.session.is_some() {
            self.read_away();
            // What it says in the clear is answered in the clear, by this sentence and no other.
            let why = "only TLS is spoken here: use a configuration with certificates, or --ca, --cert and --key";
            tell(&mut self.stream, None, why.to_owned());
            return Err(Unfit::Barred("it does not speak TLS".to_owned()));
        }
        // Whatever else begins like this is no hello either: its frame would be too long.
        self.read_away();
        let why = "it speaks TLS, and no certificates are configured here: use the same configuration everywhere";
        Err(Unfit::Barred(why.to_owned()))
    }

    /// Were bytes left unread, the system would take back what the other end is told.
    fn read_away(&mut self) {
        let _ = self.stream.read(&mut [0; 4096]);
    }

    /// Reads once. Answers nothing if there is nothing, else whether that was the end.
    fn read(&mut self) -> Result<Option<bool>, Unfit> {
        let room = self.reader.room();
        let room_for_a_hello = room.len().min(MAX_HELLO);
        loop {
            match self.stream.read(&mut room[..room_for_a_hello]) {
                Ok(count) => {
                    self.reader.read(count);
                    self.said += count;
                    return Ok(Some(count == 0));
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Unfit::Silly(error.to_string())),
            }
        }
    }

    /// The same by TLS, whose handshake wants answers.
    fn read_sealed(&mut self) -> Result<Option<bool>, Unfit> {
        let session = self.session.as_mut().expect("it speaks TLS");
        let opened = session.open(&mut self.stream, &mut self.reader);
        // Also when it failed: then there is an alert to send.
        let mut bytes = Vec::new();
        session.seal(&mut bytes).map_err(|error| Unfit::Silly(error.to_string()))?;
        self.unsent.append(&mut bytes);
        let sent = self.send();
        match opened {
            Ok(opened) => {
                sent?;
                self.said += opened.plain;
                self.sealed += opened.raw;
                if self.sealed > MAX_HANDSHAKE {
                    return Err(Unfit::Silly("its handshake has no end".to_owned()));
                }
                Ok(Some(opened.is_over))
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => sent.map(|()| None),
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(Some(false)),
            Err(error) if error.kind() == ErrorKind::InvalidData => Err(Unfit::Barred(error.to_string())),
            Err(error) => Err(Unfit::Silly(error.to_string())),
        }
    }

    fn send(&mut self) -> Result<(), Unfit> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(count) => drop(self.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(Unfit::Silly(error.to_string())),
            }
        }
        Ok(())
    }
}
