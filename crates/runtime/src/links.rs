//! Who is at the other end: [`Slots`] holds every connection of a replica, and
//! a [`Link`] says by which of them a peer is reached, and when to try again.
//! Of two processes the one with the smaller number dials.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use skein_machine::ProcessId;
use skein_machine::wire::Version;

use crate::conn::Conn;
use crate::front::{ClientId, Traffic};
use crate::listener::Seat;

/// The first pause between two attempts,
const FIRST_PAUSE: Duration = Duration::from_millis(20);

/// and the longest.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// A round trip counts for one part in so many, and those before for the rest, as TCP has it.
const SMOOTH: u32 = 8;

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
    /// What went through its connections.
    pub(crate) traffic: Traffic,
    /// When the other end was asked for a sign of life that it has not given.
    asked: Option<Instant>,
    /// How long it takes to get one: the last few, smoothed.
    pub(crate) round_trip: Option<Duration>,
}

impl Link {
    pub(crate) fn new(process: ProcessId, address: SocketAddr, is_mine_to_dial: bool, now: Instant) -> Link {
        let pause = FIRST_PAUSE;
        Link {
            process,
            address,
            slot: None,
            dialling: None,
            is_mine_to_dial,
            pause,
            again: now,
            since: now,
            traffic: Traffic::default(),
            asked: None,
            round_trip: None,
        }
    }

    /// Whether it is time to ask for a sign of life, which is then asked for. Whoever dials asks, and the other end
    /// answers each: if both did, they would never come to an end. No connection loses a sign and stands.
    pub(crate) fn asks_for_a_sign(&mut self, now: Instant) -> bool {
        let is_time = self.is_mine_to_dial && self.asked.is_none();
        if is_time {
            self.asked = Some(now);
        }
        is_time
    }

    /// A sign of life came. Answers whether the other end waits for one in return.
    pub(crate) fn hears_a_sign(&mut self, now: Instant) -> bool {
        if !self.is_mine_to_dial {
            return true;
        }
        if let Some(asked) = self.asked.take() {
            let took = now.duration_since(asked);
            self.round_trip = Some(self.round_trip.map_or(took, |known| (known * (SMOOTH - 1) + took) / SMOOTH));
        }
        false
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
        (self.asked, self.round_trip) = (None, None);
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

#[cfg(test)]
mod tests {
    use super::*;

    fn link(is_mine_to_dial: bool) -> (Link, Instant) {
        let now = Instant::now();
        (Link::new(ProcessId(1), SocketAddr::from(([127, 0, 0, 1], 1)), is_mine_to_dial, now), now)
    }

    #[test]
    fn one_end_asks_for_signs_of_life_and_the_other_answers() {
        let millis = Duration::from_millis;
        let (mut asks, now) = link(true);
        asks.stands_at(0, now);
        assert!(!asks.hears_a_sign(now) && asks.round_trip.is_none(), "it has not asked");
        assert!(asks.asks_for_a_sign(now) && !asks.asks_for_a_sign(now + millis(900)));
        assert!(!asks.hears_a_sign(now + millis(1000)));
        assert_eq!(asks.round_trip, Some(millis(1000)));
        assert!(asks.asks_for_a_sign(now + millis(2000)));
        assert!(!asks.hears_a_sign(now + millis(2200)));
        assert_eq!(asks.round_trip, Some(millis(900)));
        asks.stands_at(1, now);
        assert_eq!(asks.round_trip, None, "another connection may go another way");

        let (mut answers, now) = link(false);
        assert!(answers.hears_a_sign(now) && !answers.asks_for_a_sign(now));
    }
}
