//! Who is at the other end: [`Slots`] holds every connection of a replica, and
//! a [`Link`] says by which of them a peer is reached, and when to try again.
//! Of two processes the one with the smaller number dials.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use skein_machine::ProcessId;
use skein_machine::wire::Version;

use crate::conn::Conn;
use crate::front::ClientId;
use crate::listener::Seat;

/// The first pause between two attempts,
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// and the longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Who is at the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose {
    /// Nobody yet: this process, if it answers.
    Dialled(ProcessId),
    /// This process was greeted, and has not answered.
    Greeted(ProcessId),
    Peer(ProcessId),
    Client(ClientId),
}

impl Whose {
    pub(crate) fn process(self) -> Option<ProcessId> {
        match self {
            Whose::Dialled(process) | Whose::Greeted(process) | Whose::Peer(process) => Some(process),
            Whose::Client(_) => None,
        }
    }
}

/// A connection and who it belongs to.
pub(crate) struct Place {
    pub(crate) conn: Conn,
    pub(crate) whose: Whose,
    pub(crate) version: Version,
    /// It is closed once everything is said.
    pub(crate) is_leaving: bool,
    /// It is among those that may have something to read.
    pub(crate) is_ready: bool,
    /// Whoever came through the door has one.
    _seat: Option<Seat>,
}

/// All connections of a replica.
pub(crate) struct Slots {
    places: Vec<Option<Place>>,
    /// Where nobody is.
    free: Vec<usize>,
    clients: u64,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots { places: Vec::new(), free: Vec::new(), clients: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Place> {
        self.places.get_mut(slot)?.as_mut()
    }

    pub(crate) fn insert(&mut self, conn: Conn, whose: Whose, version: Version, seat: Option<Seat>) -> usize {
        let slot = self.free();
        let place = Place { conn, whose, version, is_leaving: false, is_ready: false, _seat: seat };
        if slot == self.places.len() {
            self.places.push(None);
        } else {
            self.free.pop();
        }
        self.places[slot] = Some(place);
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Place> {
        let place = self.places.get_mut(slot)?.take()?;
        self.free.push(slot);
        Some(place)
    }

    /// How many clients are connected.
    pub(crate) fn clients_here(&self) -> usize {
        self.places.iter().flatten().filter(|place| matches!(place.whose, Whose::Client(_))).count()
    }

    /// The name of the next client: its place, and a number that tells it from others that had the place before.
    pub(crate) fn next_client(&mut self) -> ClientId {
        self.clients += 1;
        ClientId(self.clients << 32 | self.free() as u64)
    }

    fn free(&self) -> usize {
        self.free.last().copied().unwrap_or(self.places.len())
    }

    /// When the first frame that pretends to come from afar arrives.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.places.iter().flatten().filter_map(|place| place.conn.due()).min()
    }
}

/// The way to one peer.
pub(crate) struct Link {
    pub(crate) process: ProcessId,
    pub(crate) address: SocketAddr,
    /// The connection that stands.
    pub(crate) slot: Option<usize>,
    /// The connection that may stand soon.
    pub(crate) dialling: Option<usize>,
    pub(crate) is_mine_to_dial: bool,
    pause: Duration,
    again: Instant,
    /// Since when the connection stands, if it does.
    since: Instant,
}

impl Link {
    pub(crate) fn new(process: ProcessId, address: SocketAddr, is_mine_to_dial: bool, now: Instant) -> Link {
        let pause = FIRST_PAUSE;
        Link { process, address, slot: None, dialling: None, is_mine_to_dial, pause, again: now, since: now }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next_dial().is_some_and(|at| at <= now)
    }

    pub(crate) fn next_dial(&self) -> Option<Instant> {
        (self.is_mine_to_dial && self.slot.is_none() && self.dialling.is_none()).then_some(self.again)
    }

    /// Its process is somewhere else by now: dial it there at once.
    pub(crate) fn moves_to(&mut self, address: SocketAddr, now: Instant) {
        (self.address, self.again, self.pause) = (address, now, FIRST_PAUSE);
    }

    /// It is being dialled: not again for a while, and for longer each time.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.again = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    pub(crate) fn stands_at(&mut self, slot: usize, now: Instant) {
        (self.slot, self.dialling, self.since) = (Some(slot), None, now);
    }

    /// A connection is gone. Answers whether it was the one that stood.
    pub(crate) fn forget(&mut self, slot: usize, now: Instant) -> bool {
        if self.dialling == Some(slot) {
            self.dialling = None;
        }
        let stood = self.slot == Some(slot);
        if stood {
            self.slot = None;
            // One that falls as soon as it stands is no better than one that never stood.
            if now.duration_since(self.since) >= LONGEST_PAUSE {
                self.pause = FIRST_PAUSE;
            }
            self.put_off(now);
        }
        stood
    }
}
