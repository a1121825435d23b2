//! How a replica comes by its connections and loses them: it dials peers, is
//! handed those who have called, and cuts off whoever has gone silent.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mio::Interest;
use mio::net::TcpStream;
use rustix::net::sockopt;
use skein_machine::wire::{OLDEST, Version};
use skein_machine::{Effect, MAX_PAYLOAD, Machine, ProcessId};

use crate::conn::Conn;
use crate::distance::Way;
use crate::front::{Front, Traffic};
use crate::guest::Guest;
use crate::hello::{self, Caller, Hello, Peer};
use crate::links::{Link, Whose};
use crate::listener::Seat;
use crate::replica::{Places, Replica};

/// After so long without a word a sign of life is sent,
const SAY_SOMETHING: Duration = Duration::from_secs(1);

/// and after so long without one the other end is taken for dead.
const TAKEN_FOR_DEAD: Duration = Duration::from_secs(5);

/// A client may ask for as much as a message holds, and a little more to say what is to be done with it.
const MAX_REQUEST: usize = MAX_PAYLOAD + (1 << 16);

/// A client may be silent. After this long the system asks whether it is there at all,
const IS_ANYBODY_THERE: Duration = Duration::from_secs(30);

/// and asks so often before it gives it up,
const QUESTIONS: u32 = 3;

/// after a pause each time.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(10);

impl<M: Machine, F: Front<M>> Replica<M, F> {
    pub(crate) fn dial_what_is_due(&mut self, now: Instant) {
        for nth in 0..self.links.len() {
            let link = &mut self.links[nth];
            if !link.is_due(now) {
                continue;
            }
            link.put_off(now);
            let (process, address) = (link.process, link.address);
            let session = match self.surroundings.tls.as_ref().map(|tls| tls.call(process)).transpose() {
                Ok(session) => session,
                Err(why) => {
                    tracing::error!(peer = %process, why, "cannot speak TLS");
                    continue;
                }
            };
            match TcpStream::connect(address) {
                Ok(stream) => {
                    let conn = self.conn(stream, Some(process)).with_session(session);
                    if let Some(slot) = self.take_in(conn, Whose::Dialled(process), self.surroundings.speaks, None) {
                        self.links[nth].dialling = Some(slot);
                    }
                }
                Err(error) => tracing::debug!(%process, %address, %error, "cannot connect"),
            }
        }
    }

    /// Some of the others may have moved. What they were told on the way is lost, as with any link that breaks.
    pub(crate) fn others_are_at(&mut self, places: Places) {
        self.surroundings.places = places;
        for nth in 0..self.links.len() {
            let link = &mut self.links[nth];
            let Some(address) = self.surroundings.places.addresses.get(&link.process) else { continue };
            if link.address == *address {
                continue;
            }
            tracing::info!(peer = %link.process, from = %link.address, to = %address, "has moved");
            link.moves_to(*address, Instant::now());
            let connections = [link.slot, link.dialling];
            connections.into_iter().flatten().for_each(|slot| self.lose(slot, "its process has moved"));
        }
    }

    pub(crate) fn next_dial(&self) -> Option<Instant> {
        self.links.iter().filter_map(Link::next_dial).min()
    }

    fn conn(&self, stream: TcpStream, peer: Option<ProcessId>) -> Conn {
        let _ = stream.set_nodelay(true);
        let distance = peer.and_then(|process| self.surroundings.places.distances.get(&process));
        // Each direction of each link is late by amounts of its own.
        let link = peer.map_or(0, |process| u64::from(self.me.process.0) << 16 | u64::from(process.0));
        let way = Way::new(distance.copied().unwrap_or_default(), link);
        Conn::new(stream, way, Instant::now())
    }

    fn take_in(&mut self, conn: Conn, whose: Whose, version: Version, seat: Option<Seat>) -> Option<usize> {
        let slot = self.slots.insert(conn, whose, version, seat);
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
        let hello = hello.with_plan(self.surroundings.plan).up_to(self.surroundings.speaks);
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
            hello::Answer::Welcome { version, .. } if !(OLDEST..=self.surroundings.speaks).contains(&version) => {
                let newest = self.surroundings.speaks;
                Err(format!("{process} wants to speak version {version}, and {OLDEST} to {newest} were offered"))
            }
            hello::Answer::Welcome { version, peer } => {
                self.meet(peer).inspect_err(|why| tracing::error!(peer = %process, why, "refused"))?;
                let place = self.slots.get(slot).expect("it has just spoken");
                place.version = version;
                self.stands(slot, process);
                Ok(())
            }
        }
    }

    /// The listener hands over a connection.
    pub(crate) fn on_connection(&mut self, guest: Guest, seat: Seat) {
        let version = guest.version;
        let answer = hello::Answer::Welcome { version, peer: self.me };
        let whose = match guest.hello.caller {
            Caller::Peer(peer) => {
                let expected = self.expects(peer.process).and_then(|()| self.agrees(guest.hello.plan));
                if let Err(why) = expected.and_then(|()| self.meet(peer)) {
                    tracing::error!(%peer, why, "refused");
                    return guest.refuse(why);
                }
                Whose::Peer(peer.process)
            }
            Caller::Client => {
                notice_whoever_vanishes(&guest.stream);
                Whose::Client(self.slots.next_client())
            }
        };
        let Guest { stream, session, rest, .. } = guest;
        let conn = self.conn(TcpStream::from_std(stream), whose.process()).with_reader(rest).with_session(session);
        let Some(slot) = self.take_in(conn, whose, version, Some(seat)) else { return };
        let place = self.slots.get(slot).expect("it was just taken in");
        place.conn.say(|buffer| buffer.extend_from_slice(&hello::to_bytes(&answer)));
        place.conn.end_frame();
        match whose {
            Whose::Client(client) => {
                place.conn.limit(MAX_REQUEST);
                self.front.on_client(client, &mut self.desk);
            }
            Whose::Peer(process) => self.stands(slot, process),
            Whose::Dialled(_) | Whose::Greeted(_) => unreachable!("it was dialled elsewhere"),
        }
        // What came with the hello is heard at once.
        self.is_ready(slot);
    }

    /// Whether a process may call.
    fn expects(&self, caller: ProcessId) -> Result<(), String> {
        let me = self.me.process;
        if caller == me {
            return Err(format!("{me} calls itself: give every process a number and a data directory of its own"));
        }
        match self.links.iter().find(|link| link.process == caller) {
            None => Err(format!("{caller} is no process of this cluster: use the same configuration everywhere")),
            Some(link) if link.is_mine_to_dial => {
                Err(format!("{me} calls {caller}, and never the other way round: use the same build everywhere"))
            }
            Some(_) => Ok(()),
        }
    }

    /// Whether a process was told the same of the cluster: otherwise the two would count different quorums, or speak
    /// different protocols.
    fn agrees(&self, plan: u32) -> Result<(), String> {
        if plan == self.surroundings.plan {
            return Ok(());
        }
        Err("its configuration is another one: protocol, clock and groups with their replicas must be the same at \
             every node. Compare the files, or use the same build everywhere"
            .to_owned())
    }

    /// Refuses a process that is not who it was, and remembers one that is newer than before.
    fn meet(&mut self, peer: Peer) -> Result<(), String> {
        self.data.meet(peer).map_err(|error| error.to_string())
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
        self.drop_what_was_said_to(process);
        let place = self.slots.get(slot).expect("it stands");
        place.whose = Whose::Peer(process);
        self.links[nth].stands_at(slot, Instant::now());
        tracing::debug!(peer = %process, "connected");
        self.machine.on_reconnect(self.surroundings.clock.now(), process, &mut self.out);
    }

    /// What was said before a link stands, in this turn or while the disk was slow, may follow something that is
    /// lost. A link loses an end, never the middle.
    fn drop_what_was_said_to(&mut self, process: ProcessId) {
        let is_for_others = |effect: &mut Effect<M>| match effect {
            Effect::Send(to, _) | Effect::SendEarly(to, _) => {
                to.remove(process);
                !to.is_empty()
            }
            _ => true,
        };
        self.held.retain_mut(|(_, effect)| is_for_others(effect));
        let mut kept: Vec<Effect<M>> = self.out.drain().collect();
        kept.retain_mut(is_for_others);
        kept.drain(..).for_each(|effect| self.out.push(effect));
    }

    /// A connection cannot be read. That certificates do not fit is for people to mend, so they have to know.
    pub(crate) fn fail(&mut self, slot: usize, error: &io::Error) {
        let whose = self.slots.get(slot).map(|place| place.whose);
        if error.kind() == ErrorKind::InvalidData
            && let Some(peer) = whose.and_then(Whose::process)
        {
            tracing::warn!(%peer, why = %error, "no link by TLS");
        }
        self.lose(slot, &error.to_string());
    }

    pub(crate) fn lose(&mut self, slot: usize, why: &str) {
        let Some(mut place) = self.slots.remove(slot) else { return };
        let _ = self.poll.registry().deregister(&mut place.conn.stream);
        self.ready.retain(|other| *other != slot);
        self.count(place.whose, place.conn.take_traffic());
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

    /// What went through a connection is counted, and for its link if it has one.
    pub(crate) fn count(&mut self, whose: Whose, traffic: Traffic) {
        if traffic == Traffic::default() {
            return;
        }
        self.desk.traffic.add(traffic);
        if let Whose::Peer(process) = whose
            && let Some(link) = self.links.iter_mut().find(|link| link.process == process)
        {
            link.traffic.add(traffic);
        }
    }

    /// A frame without a message.
    pub(crate) fn on_sign_of_life(&mut self, slot: usize) {
        let Some(place) = self.slots.get(slot) else { return };
        let Whose::Peer(process) = place.whose else { return };
        let link = self.links.iter_mut().find(|link| link.process == process);
        if link.is_some_and(|link| link.hears_a_sign(Instant::now())) {
            place.conn.give_sign();
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
                // Whoever does not listen to a farewell misses it.
                Whose::Client(_) if place.is_leaving && silence > TAKEN_FOR_DEAD => self.lose(slot, "it lingers"),
                Whose::Client(_) => {}
                _ if silence > TAKEN_FOR_DEAD => self.lose(slot, &format!("nothing was heard of it for {silence:?}")),
                Whose::Peer(process) => {
                    place.conn.keep_alive(now, SAY_SOMETHING);
                    let link = self.links.iter_mut().find(|link| link.process == process);
                    if link.is_some_and(|link| link.asks_for_a_sign(now)) {
                        place.conn.give_sign();
                    }
                }
                Whose::Dialled(_) | Whose::Greeted(_) => {}
            }
        }
    }
}

/// A client that is gone without a word, with its machine or its network, must not keep its seat.
pub(crate) fn notice_whoever_vanishes(stream: &impl AsFd) {
    let _ = sockopt::set_socket_keepalive(stream, true);
    let _ = sockopt::set_tcp_keepidle(stream, IS_ANYBODY_THERE);
    let _ = sockopt::set_tcp_keepintvl(stream, BETWEEN_QUESTIONS);
    let _ = sockopt::set_tcp_keepcnt(stream, QUESTIONS);
}
