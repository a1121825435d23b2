//! # Streams of bytes, for protocols that are not ours
//!
//! A [`Server`] accepts on one or more addresses and serves every stream from
//! one thread. What the bytes mean is known to the [`Protocol`] alone, which
//! lives on that thread: no lock stands on the way of a byte. A turn takes what
//! is ready (bytes, calls from other threads), hands it in, lets the protocol
//! say what is best said together, and then writes once to every stream that is
//! spoken to. A turn costs what has come up in it, however many streams are open.
//!
//! Nobody is trusted: what a client announces costs nothing before it comes,
//! what it does not take is kept up to a bound, and whoever says nothing whole
//! is gone soon.

mod caller;
mod desk;
mod door;
mod input;
mod reading;
mod server;
mod settings;
mod slots;
mod stream;
mod writing;

use std::net::SocketAddr;
use std::time::Instant;

pub use caller::{Caller, Stopped};
pub use desk::{Desk, Tally};
pub use input::Input;
pub use server::Server;
pub use settings::Settings;

/// One stream, for as long as it stands. Never used twice; whoever comes later is greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    number: u64,
    slot: u32,
}

impl StreamId {
    /// A number that no other stream of the same server has: they are counted from one.
    pub fn number(self) -> u64 {
        self.number
    }
}

/// What stands behind the streams. It lives on the server's thread.
pub trait Protocol: Send {
    /// What other threads may tell it.
    type Call: Send;

    /// A client has connected; where TLS is spoken, the handshake is done.
    fn on_client(&mut self, client: StreamId, peer: SocketAddr, desk: &mut Desk);

    /// More bytes have come: `input` holds everything that was read and not consumed. What is not consumed stays, and
    /// is handed in again when there is more, or after [`Desk::resume`]. A sentence in place of an answer closes the
    /// stream after what was written so far: the protocol has written its own error, if it has any.
    fn on_bytes(&mut self, client: StreamId, input: &mut Input, desk: &mut Desk) -> Result<(), String>;

    /// The client says nothing more, and may still listen: the stream is closed after what was written so far. A
    /// protocol that owes an answer closes it later by itself, and not much later. Of a stream that is paused the end
    /// may be known before all was read; then it is told again after the rest, should that be wanted.
    fn on_end(&mut self, client: StreamId, desk: &mut Desk) {
        desk.close(client);
    }

    /// Another thread tells something.
    fn on_call(&mut self, call: Self::Call, desk: &mut Desk);

    /// Everything that was ready has been handed in; what is said together is best said now.
    fn end_turn(&mut self, desk: &mut Desk);

    /// Comes about every 100 ms.
    fn on_tick(&mut self, now: Instant, desk: &mut Desk);

    /// Whether an answer is on its way to a client. Whoever is owed something is not closed when the server retires.
    fn owes(&self, client: StreamId) -> bool {
        let _ = client;
        false
    }

    /// A client is gone, or has been told the last: once for each that came, except for those who are there when the
    /// server stops. Whatever it is told now is lost.
    fn on_gone(&mut self, client: StreamId);
}
