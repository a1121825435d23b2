//! How a replica comes by its connections and loses them: it dials peers, is
//! handed those who have called, and cuts off whoever has gone silent.

use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Interest;
use mio::net::TcpStream;
use skein_machine::wire::{VERSION, Version};
use skein_machine::{Machine, ProcessId};

use crate::conn::Conn;
use crate::frame::FrameReader;
use crate::front::Front;
use crate::hello::{self, Caller, Hello};
use crate::links::{Link, Whose};
use crate::replica::{Replica, time};

/// After so long without a word a sign of life is sent,
const SAY_SOMETHING: Duration = Duration::from_secs(1);

/// and after so long without one the other end is taken for dead.
const TAKEN_FOR_DEAD: Duration = Duration::from_secs(5);

impl<M: Machine, F: Front<M>> Replica<M, F> {
    pub(crate) fn dial_what_is_due(&mut self, now: Instant) {
        for nth in 0..self.links.len() {
            let link = &mut self.links[nth];
            if !link.is_due(now) {
                continue;
            }
            link.put_off(now);
            let (process, address) = (link.process, link.address);
            match TcpStream::connect(address) {
                Ok(stream) => {
                    let slot = self.take_in(stream, Whose::Dialled(process), VERSION, FrameReader::new());
                    if let Some(slot) = slot {
                        self.links[nth].dialling = Some(slot);
                    }
                }
                Err(error) => tracing::debug!(%process, %address, %error, "cannot connect"),
            }
        }
    }

    pub(crate) fn next_dial(&self) -> Option<Instant> {
        self.links.iter().filter_map(Link::next_dial).min()
    }

    fn take_in(&mut self, stream: TcpStream, whose: Whose, version: Version, rest: FrameReader) -> Option<usize> {
        let _ = stream.set_nodelay(true);
        let distance = whose.process().and_then(|process| self.surroundings.distances.get(&process));
        let conn = Conn::new(stream, distance.copied().unwrap_or_default(), Instant::now()).with_reader(rest);
        let slot = self.slots.insert(conn, whose, version);
        let place = self.slots.get(slot).expect("it was just put there");
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut place.conn.stream, mio::Token(slot), interest) {
            self.lose(slot, &error.to_string());
            return None;
        }
        Some(slot)
    }

    /// A connection that was dialled stands, or does not.
    pub(crate) fn greet(&mut self, slot: usize, process: ProcessId) {
        let Some(place) = self.slots.get(slot) else { return };
        if let Ok(Some(error)) | Err(error) = place.conn.stream.take_error() {
            self.lose(slot, &error.to_string());
            return;
        }
        if place.conn.stream.peer_addr().is_err() {
            return; // not yet
        }
        let hello = Hello::new(self.surroundings.cluster, process, Caller::Peer(self.me));
        place.whose = Whose::Greeted(process);
        place.conn.say(|buffer| buffer.extend_from_slice(&hello::to_bytes(&hello)));
    }

    pub(crate) fn on_answer(&mut self, slot: usize, process: ProcessId, message: Bytes) -> Result<(), String> {
        let answer = hello::from_bytes::<hello::Answer>(message).map_err(|error| error.to_string())?;
        match answer {
            hello::Answer::Refused(why) => {
                tracing::warn!(peer = %process, why, "refused");
                Err(format!("{process} refused: {why}"))
            }
            hello::Answer::Welcome { peer, .. } if peer.process != process => {
                Err(format!("{} answers where {process} was called", peer.process))
            }
            hello::Answer::Welcome { version, .. } => {
                let place = self.slots.get(slot).expect("it has just spoken");
                place.version = version;
                self.stands(slot, process);
                Ok(())
            }
        }
    }

    /// The listener hands over a connection.
    pub(crate) fn on_connection(
        &mut self,
        stream: std::net::TcpStream,
        hello: &Hello,
        version: Version,
        rest: FrameReader,
    ) {
        let answer = hello::Answer::Welcome { version, peer: self.me };
        let whose = match hello.caller {
            Caller::Peer(peer) => Whose::Peer(peer.process),
            Caller::Client => Whose::Client(self.slots.next_client()),
        };
        let Some(slot) = self.take_in(TcpStream::from_std(stream), whose, version, rest) else { return };
        let place = self.slots.get(slot).expect("it was just taken in");
        place.conn.say(|buffer| buffer.extend_from_slice(&hello::to_bytes(&answer)));
        match whose {
            Whose::Client(client) => self.front.on_client(client, &mut self.desk),
            Whose::Peer(process) => self.stands(slot, process),
            Whose::Dialled(_) | Whose::Greeted(_) => unreachable!("it was dialled elsewhere"),
        }
        // What came with the hello is heard at once.
        if !self.ready.contains(&slot) {
            self.ready.push(slot);
        }
    }

    /// A link stands: whatever was said on an earlier one may be lost.
    fn stands(&mut self, slot: usize, process: ProcessId) {
        let Some(nth) = self.links.iter().position(|link| link.process == process) else {
            self.lose(slot, "it is no peer");
            return;
        };
        if let Some(earlier) = self.links[nth].slot.take() {
            self.lose(earlier, "it connected anew");
        }
        let place = self.slots.get(slot).expect("it stands");
        place.whose = Whose::Peer(process);
        self.links[nth].stands_at(slot);
        tracing::debug!(peer = %process, "connected");
        self.machine.on_reconnect(time(), process, &mut self.out);
    }

    pub(crate) fn lose(&mut self, slot: usize, why: &str) {
        let Some(mut place) = self.slots.remove(slot) else { return };
        let _ = self.poll.registry().deregister(&mut place.conn.stream);
        self.ready.retain(|other| *other != slot);
        if let Whose::Client(client) = place.whose {
            tracing::debug!(?client, why, "a client is gone");
            self.front.on_gone(client);
        }
        for link in &mut self.links {
            if link.forget(slot, Instant::now()) {
                tracing::debug!(peer = %link.process, why, "disconnected");
            }
        }
    }

    /// Now and then: signs of life, and those who give none.
    pub(crate) fn look_after_connections(&mut self, now: Instant) {
        if now < self.next_look {
            return;
        }
        self.next_look = now + SAY_SOMETHING / 2;
        for slot in 0..self.slots.len() {
            let Some(place) = self.slots.get(slot) else { continue };
            let silence = now.duration_since(place.conn.heard_at);
            match place.whose {
                Whose::Client(_) => {}
                _ if silence > TAKEN_FOR_DEAD => self.lose(slot, &format!("nothing was heard of it for {silence:?}")),
                Whose::Peer(_) => place.conn.keep_alive(now, SAY_SOMETHING),
                Whose::Dialled(_) | Whose::Greeted(_) => {}
            }
        }
    }
}
