//! [`Session`]: our end of one TLS connection, between a socket and what is said.
//! It turns what a socket gives into bytes of frames or of a stream, and those
//! into what a socket takes. It never waits, and keeps no more than a record or two.

use std::io::{self, ErrorKind, Read, Write};

use rustls::Connection;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::reason;
use crate::conn::MOST_ROOM;
use crate::frame::FrameReader;

/// So much is read from a socket at once: two whole records.
const READ: usize = 32 << 10;

/// So much is encrypted at once, so that long messages do not stand in memory three times.
const AT_ONCE: usize = 64 << 10;

/// Where bytes go that were read, or that came out of what was read.
pub(crate) trait Room {
    /// Room to read into, never none.
    fn room(&mut self) -> &mut [u8];

    /// So much of it was read.
    fn read(&mut self, count: usize);
}

impl Room for FrameReader {
    fn room(&mut self) -> &mut [u8] {
        FrameReader::room(self)
    }

    fn read(&mut self, count: usize) {
        FrameReader::read(self, count);
    }
}

/// What a read came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// Bytes that the socket gave. None means that it is closed.
    pub(crate) raw: usize,
    /// Bytes that came out of them.
    pub(crate) plain: usize,
    /// The other end has said that this was its last.
    pub(crate) is_over: bool,
}

/// Our end of a connection.
pub(crate) struct Session {
    end: Box<Connection>,
    /// What the socket gave, to be decrypted. Not there before it is needed: whoever has many sessions lends one room
    /// to all.
    taken: Vec<u8>,
    /// What was encrypted, for as long as it takes to change places with what was not.
    sealed: Vec<u8>,
}

impl Session {
    pub(super) fn new(mut end: Connection) -> Session {
        // What waits is bounded by who speaks: before the handshake is done that is one hello.
        end.set_buffer_limit(None);
        Session { end: Box::new(end), taken: Vec::new(), sealed: Vec::new() }
    }

    /// As much as is asked of a socket at once.
    pub(crate) const ASKED: usize = READ;

    /// Reads once, and puts what comes out to the other bytes of frames. What is no TLS, or not from whom it should
    /// be, is an error of the kind [`ErrorKind::InvalidData`]; what is to be told the other end then is sealed next.
    pub(crate) fn open(&mut self, socket: &mut impl Read, frames: &mut FrameReader) -> io::Result<Opened> {
        let mut taken = std::mem::take(&mut self.taken);
        taken.resize(READ, 0);
        let opened = self.open_by(socket, &mut taken, frames);
        self.taken = taken;
        opened
    }

    /// The same by way of a room that is lent, and into any other. Nothing stays in what is lent.
    pub(crate) fn open_by(
        &mut self,
        socket: &mut impl Read,
        taken: &mut [u8],
        plain: &mut impl Room,
    ) -> io::Result<Opened> {
        let raw = socket.read(taken)?;
        let mut opened = Opened { raw, plain: 0, is_over: raw == 0 };
        let mut left = &taken[..raw];
        while !left.is_empty() && !opened.is_over {
            // It takes less at once than is there. That it takes nothing would be an end.
            opened.is_over = self.end.read_tls(&mut left)? == 0;
            let state = self.end.process_new_packets();
            let state = state.map_err(|error| io::Error::new(ErrorKind::InvalidData, reason::of(&error)))?;
            opened.is_over |= state.peer_has_closed();
            let mut waiting = state.plaintext_bytes_to_read();
            while waiting > 0 {
                let count = self.end.reader().read(plain.room())?;
                plain.read(count);
                opened.plain += count;
                waiting -= count;
            }
        }
        Ok(opened)
    }

    /// Whether there is something to tell the other end that nobody here has said.
    pub(crate) fn has_to_speak(&self) -> bool {
        self.end.wants_write()
    }

    /// Turns bytes into what the socket is to be given, and adds what the handshake needs. Before that is done, they
    /// wait here.
    pub(crate) fn seal(&mut self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut sealed = std::mem::take(&mut self.sealed);
        self.seal_into(bytes, &mut sealed)?;
        bytes.clear();
        bytes.shrink_to(MOST_ROOM);
        // The buffers change places, so neither is ever made anew.
        std::mem::swap(bytes, &mut sealed);
        self.sealed = sealed;
        Ok(())
    }

    /// The same, behind what the socket has not been given yet.
    pub(crate) fn seal_into(&mut self, bytes: &[u8], sealed: &mut Vec<u8>) -> io::Result<()> {
        for some in bytes.chunks(AT_ONCE) {
            self.end.writer().write_all(some)?;
            self.drain(sealed)?;
        }
        self.drain(sealed)
    }

    /// Nothing more will be said here, and the other end is to know: what is sealed next says so, the first time.
    pub(crate) fn say_goodbye(&mut self) {
        self.end.send_close_notify();
    }

    fn drain(&mut self, sealed: &mut Vec<u8>) -> io::Result<()> {
        while self.end.wants_write() {
            self.end.write_tls(sealed)?;
        }
        Ok(())
    }

    /// Whether the handshake goes on.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.end.is_handshaking()
    }

    /// Whether the certificate of the other end names this.
    pub(super) fn is_valid_for(&self, name: &ServerName<'_>) -> Result<(), String> {
        let first = self.end.peer_certificates().and_then(|chain| chain.first());
        let first = first.ok_or("it presents no certificate")?;
        is_valid_for(first, name)
    }
}

/// Whether a certificate may be presented by whoever is called so.
pub(super) fn is_valid_for(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> Result<(), String> {
    let parsed = ParsedCertificate::try_from(certificate).map_err(|error| reason::of(&error))?;
    verify_server_name(&parsed, name).map_err(|error| reason::of(&error))
}
