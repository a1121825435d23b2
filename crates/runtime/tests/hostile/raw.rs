//! [`Raw`]: one end of a connection, held by hand.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use bytes::Bytes;
use skein_machine::ProcessId;
use skein_machine::wire::VERSION;
use skein_runtime::frame::{FrameReader, FrameWriter};
use skein_runtime::hello::{self, Answer, Caller, Hello, Peer};

use crate::stage::{CLUSTER, Word};

/// How long something may take that should come at once.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Raw {
    pub(crate) stream: TcpStream,
    reader: FrameReader,
    body: Bytes,
}

/// A process as it presents itself when nothing is special about it.
pub(crate) fn peer(process: u16) -> Peer {
    Peer { process: ProcessId(process), incarnation: 0, birth: u64::from(process) + 100 }
}

/// These messages in one frame.
pub(crate) fn frame(messages: &[&[u8]]) -> Vec<u8> {
    let mut writer = FrameWriter::new();
    messages.iter().for_each(|message| writer.message(|buffer| buffer.extend_from_slice(message)));
    std::mem::take(writer.finish())
}

pub(crate) fn hello(to: u16, caller: Caller) -> Vec<u8> {
    hello::to_bytes(&Hello::new(CLUSTER, ProcessId(to), caller))
}

impl Raw {
    pub(crate) fn connect(address: SocketAddr) -> Raw {
        Raw::of(TcpStream::connect(address).unwrap())
    }

    pub(crate) fn of(stream: TcpStream) -> Raw {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Raw { stream, reader: FrameReader::new(), body: Bytes::new() }
    }

    /// Takes the next connection, reads who calls, and leaves the answer to the test.
    pub(crate) fn accept(listener: &TcpListener) -> (Raw, Hello) {
        let mut raw = Raw::of(listener.accept().unwrap().0);
        let hello = hello::from_bytes(raw.hear().expect("it says who it is")).unwrap();
        (raw, hello)
    }

    /// A client that was let in.
    pub(crate) fn client(address: SocketAddr, to: u16) -> Raw {
        let mut raw = Raw::connect(address);
        raw.say(&[&hello(to, Caller::Client)]);
        raw.welcome();
        raw
    }

    /// A peer that was let in.
    pub(crate) fn peer(address: SocketAddr, to: u16, peer: Peer) -> Raw {
        let mut raw = Raw::connect(address);
        raw.say(&[&hello(to, Caller::Peer(peer))]);
        raw.welcome();
        raw
    }

    pub(crate) fn say(&mut self, messages: &[&[u8]]) {
        self.stream.write_all(&frame(messages)).unwrap();
    }

    pub(crate) fn answer(&mut self, peer: Peer) {
        self.say(&[&hello::to_bytes(&Answer::Welcome { version: VERSION, peer })]);
    }

    /// The next message, or nothing if the other end has closed the connection.
    pub(crate) fn hear(&mut self) -> Option<Bytes> {
        loop {
            if let Some(message) = self.reader.next_message(&mut self.body).unwrap() {
                return Some(message);
            }
            if let Some(body) = self.reader.next_frame().unwrap() {
                self.body = body;
                continue;
            }
            match self.stream.read(self.reader.room()) {
                Ok(0) => return None,
                Ok(count) => self.reader.read(count),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
    }

    pub(crate) fn hear_word(&mut self) -> u64 {
        Word::of(self.hear().expect("it is not closed")).number
    }

    pub(crate) fn hear_answer(&mut self) -> Answer {
        hello::from_bytes(self.hear().expect("an answer, not silence")).unwrap()
    }

    pub(crate) fn welcome(&mut self) {
        let answer = self.hear_answer();
        assert!(matches!(answer, Answer::Welcome { .. }), "{answer:?}");
    }

    /// The sentence with which it is turned away.
    pub(crate) fn refusal(&mut self) -> String {
        match self.hear_answer() {
            Answer::Refused(why) => {
                assert_eq!(self.hear(), None);
                why
            }
            welcome => panic!("{welcome:?}"),
        }
    }
}
