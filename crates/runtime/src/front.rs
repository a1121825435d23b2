//! [`Front`]: what stands between a machine and those whom it serves. It lives
//! on the machine's thread, hears every event, and speaks to clients and to
//! the machine through a [`Desk`]. What clients say is its own affair: this
//! file knows only that it comes in messages.

use std::collections::VecDeque;

use bytes::Bytes;
use skein_machine::Machine;

/// One client, for as long as its connection stands. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub(crate) u64);

/// The user of a machine.
pub trait Front<M: Machine>: Send {
    /// What other threads of the process may ask.
    type Call: Send;

    /// The machine says something.
    fn on_event(&mut self, event: M::Event, desk: &mut Desk<M>);

    /// Another thread asks for something.
    fn on_call(&mut self, call: Self::Call, desk: &mut Desk<M>);

    /// A client has connected.
    fn on_client(&mut self, client: ClientId, desk: &mut Desk<M>) {
        let _ = (client, desk);
    }

    /// A client says something. What is no request is answered by an error, and the connection is closed.
    fn on_request(&mut self, client: ClientId, request: Bytes, desk: &mut Desk<M>) -> Result<(), String> {
        let _ = (client, request, desk);
        Err("nobody is served here".to_owned())
    }

    /// A client is gone, with whatever it was owed.
    fn on_gone(&mut self, client: ClientId) {
        let _ = client;
    }
}

/// What a front wants done.
pub struct Desk<M: Machine> {
    pub(crate) commands: VecDeque<M::Command>,
    pub(crate) answers: Vec<(ClientId, Answer)>,
    pub(crate) stop: bool,
    /// What went through this replica's connections, those that are gone too.
    pub traffic: Traffic,
    /// How many peers are linked with it.
    pub peers: usize,
    bytes: Vec<u8>,
}

/// What went through connections, to peers and clients together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that were read.
    pub bytes_in: u64,
    /// Bytes that were written.
    pub bytes_out: u64,
    /// Writes to sockets.
    pub writes: u64,
    /// Frames that came,
    pub frames_in: u64,
    /// and frames that went: a frame carries what was ready together.
    pub frames_out: u64,
}

impl Traffic {
    pub(crate) fn add(&mut self, more: Traffic) {
        self.bytes_in += more.bytes_in;
        self.bytes_out += more.bytes_out;
        self.writes += more.writes;
        self.frames_in += more.frames_in;
        self.frames_out += more.frames_out;
    }
}

/// What is said to a client.
#[derive(Debug)]
pub(crate) enum Answer {
    /// What lies between these in the desk's bytes.
    Message { from: usize, to: usize },
    /// Nothing more.
    Goodbye,
}

impl<M: Machine> Desk<M> {
    pub(crate) fn new() -> Desk<M> {
        Desk {
            commands: VecDeque::new(),
            answers: Vec::new(),
            stop: false,
            traffic: Traffic::default(),
            peers: 0,
            bytes: Vec::new(),
        }
    }

    /// Asks the machine for something, in this turn.
    pub fn command(&mut self, command: M::Command) {
        self.commands.push_back(command);
    }

    /// Says one message to a client.
    pub fn answer(&mut self, client: ClientId, encode: impl FnOnce(&mut Vec<u8>)) {
        let from = self.bytes.len();
        encode(&mut self.bytes);
        self.answers.push((client, Answer::Message { from, to: self.bytes.len() }));
    }

    /// Closes a client's connection, after everything that was said.
    pub fn close(&mut self, client: ClientId) {
        self.answers.push((client, Answer::Goodbye));
    }

    /// Ends the life of this machine after this turn.
    pub fn stop(&mut self) {
        self.stop = true;
    }

    pub(crate) fn said(&self, from: usize, to: usize) -> &[u8] {
        &self.bytes[from..to]
    }

    pub(crate) fn clear(&mut self) {
        self.answers.clear();
        self.bytes.clear();
        self.bytes.shrink_to(1 << 20);
    }
}
