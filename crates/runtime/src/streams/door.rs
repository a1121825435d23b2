//! [`Door`]: one address at which a server listens. Whoever comes when there is
//! no room is told so; whom the system does not give us waits, and is asked for
//! again after a pause, for no poll would tell.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};

use super::desk::Desk;
use super::stream::refuse;
use super::{Protocol, StreamId};
use crate::connections::notice_whoever_vanishes;
use crate::listener::{ASK_AGAIN, SPARE_DESCRIPTORS, is_short_of_descriptors, listen_at};
use crate::tls::Tls;

/// So many are accepted at one door before those who are in are listened to again.
const ACCEPTS_A_TURN: usize = 64;

/// Streams leave so many descriptors for the files, the peers and the clients of their node, which were there first.
const SPARE: u64 = 4 * SPARE_DESCRIPTORS;

/// One address.
pub(super) struct Door {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    /// Somebody may be waiting, of whom the poll has told already. When to look.
    pub(super) knocks: Option<Instant>,
}

impl Door {
    pub(super) fn open(address: SocketAddr, token: Token, registry: &Registry) -> io::Result<Door> {
        let open = || {
            let mut listener = listen_at(address)?;
            registry.register(&mut listener, token, Interest::READABLE)?;
            Ok(Door { address: listener.local_addr()?, listener, knocks: None })
        };
        open().map_err(|error: io::Error| io::Error::new(error.kind(), format!("cannot listen at {address}: {error}")))
    }

    pub(super) fn close(mut self, registry: &Registry) {
        let _ = registry.deregister(&mut self.listener);
    }

    /// Accepts whoever is there, up to a bound.
    pub(super) fn accept(
        &mut self,
        registry: &Registry,
        tls: Option<&Tls>,
        protocol: &mut impl Protocol,
        desk: &mut Desk,
    ) {
        self.knocks = Some(desk.now);
        for _ in 0..ACCEPTS_A_TURN {
            match self.listener.accept() {
                Ok((socket, peer)) => {
                    if let Some(client) = let_in(socket, peer, registry, tls, desk) {
                        protocol.on_client(client, peer, desk);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.knocks = None;
                    return;
                }
                // Whoever has gone again before it was accepted.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a stream");
                    self.knocks = Some(desk.now + ASK_AGAIN);
                    return;
                }
            }
        }
    }
}

/// Takes in one who has come. Answers who it is if the protocol has to know at once.
fn let_in(
    mut socket: TcpStream,
    peer: SocketAddr,
    registry: &Registry,
    tls: Option<&Tls>,
    desk: &mut Desk,
) -> Option<StreamId> {
    if desk.slots.len() >= desk.settings.most_streams || is_short_of_descriptors(&socket, SPARE) {
        tracing::debug!(from = %peer, "a stream too many");
        desk.tally.refused += 1;
        if tls.is_none() {
            refuse(&mut socket, &desk.settings.refusal);
        }
        return None;
    }
    let session = match tls.map(|tls| tls.answer_with(desk.settings.certificates)).transpose() {
        Ok(session) => session,
        Err(why) => {
            tracing::error!(why, "cannot speak TLS");
            return None;
        }
    };
    let _ = socket.set_nodelay(true);
    notice_whoever_vanishes(&socket);
    let token = Token(desk.slots.next_id().slot as usize);
    if let Err(error) = registry.register(&mut socket, token, Interest::READABLE | Interest::WRITABLE) {
        tracing::warn!(%error, "cannot take in a stream");
        return None;
    }
    let is_open = session.is_none();
    let client = desk.take_in(socket, peer, session);
    is_open.then_some(client)
}
