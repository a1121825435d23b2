//! Who is at the other end: [`Slots`] holds every connection of a replica, and
//! a [`Link`] says by which of them a peer is reached, and when to try again.
//! Of two processes the one with the smaller number dials.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use skein_machine::ProcessId;
use skein_machine::wire::Version;

use crate::conn::Conn;
use crate::front::ClientId;

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
}

/// All connections of a replica.
pub(crate) struct Slots {
    places: Vec<Option<Place>>,
    clients: u64,
}

impl Slots {
    pub(crate) fn new() -> Slots {
        Slots { places: Vec::new(), clients: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    pub(crate) fn get(&mut self, slot: usize) -> Option<&mut Place> {
        self.places.get_mut(slot)?.as_mut()
    }

    pub(crate) fn insert(&mut self, conn: Conn, whose: Whose, version: Version) -> usize {
        let slot = self.free();
        let place = Place { conn, whose, version, is_leaving: false };
        if slot == self.places.len() {
            self.places.push(None);
        }
        self.places[slot] = Some(place);
        slot
    }

    pub(crate) fn remove(&mut self, slot: usize) -> Option<Place> {
        self.places.get_mut(slot)?.take()
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
        self.places.iter().position(Option::is_none).unwrap_or(self.places.len())
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
    is_mine_to_dial: bool,
    pause: Duration,
    again: Instant,
}

impl Link {
    pub(crate) fn new(process: ProcessId, address: SocketAddr, is_mine_to_dial: bool, now: Instant) -> Link {
        Link { process, address, slot: None, dialling: None, is_mine_to_dial, pause: FIRST_PAUSE, again: now }
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.next_dial().is_some_and(|at| at <= now)
    }

    pub(crate) fn next_dial(&self) -> Option<Instant> {
        (self.is_mine_to_dial && self.slot.is_none() && self.dialling.is_none()).then_some(self.again)
    }

    /// It is being dialled: not again for a while, and for longer each time.
    pub(crate) fn put_off(&mut self, now: Instant) {
        self.again = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    pub(crate) fn stands_at(&mut self, slot: usize) {
        (self.slot, self.dialling, self.pause) = (Some(slot), None, FIRST_PAUSE);
    }

    /// A connection is gone. Answers whether it was the one that stood.
    pub(crate) fn forget(&mut self, slot: usize, now: Instant) -> bool {
        if self.dialling == Some(slot) {
            self.dialling = None;
        }
        let stood = self.slot == Some(slot);
        if stood {
            self.slot = None;
            self.again = now + FIRST_PAUSE;
        }
        stood
    }
}
