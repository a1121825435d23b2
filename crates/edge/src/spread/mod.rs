//! [`Spread`]: how the map gets about. What is new is pushed to a few others,
//! who push it on; what was lost on the way is found by comparing now and then
//! with somebody; and who has just begun is told everything at once.
//!
//! There are two levels. Within a place everybody talks to everybody. Between
//! places a few relays do, chosen by rendezvous among those who live, so nobody
//! appoints them and another takes over when one dies.
//!
//! It knows who lives in its place because somebody [tells](Spread::meet) it,
//! and who is where else from the map (`directory.rs`).

mod catching_up;
mod counting;
mod digest;
mod directory;
mod rumours;
#[cfg(test)]
mod tests;
mod word;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::{ProcessId, Random, Time};

pub use digest::{Digest, Drawers};
pub use directory::Line;
pub use word::{Question, Word};

pub use crate::map::RESERVED;

use crate::dots::{Actor, Dot};
use crate::map::{Key, Map, Refused};
use crate::owners::Owners;
use crate::{Member, MemberId, Name, Planted};
use counting::Counting;
use directory::Directory;
use rumours::Rumours;

/// What a spread begins with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who it is, in which life.
    pub me: Member,
    /// Where members of other places may be found before the map says who they are. One's own address counts for nothing.
    pub gateways: Vec<SocketAddr>,
    /// How fast things go.
    pub tempo: Tempo,
    /// The rule that is broken, if any.
    pub planted: Planted,
}

/// How fast things go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tempo {
    /// News waits for more news so long.
    pub push_every: Duration,
    /// News goes to so many others at a time.
    pub fanout: usize,
    /// So often.
    pub rounds: u8,
    /// Somebody is compared with so often: what was lost is found after this, and a few times as long at worst.
    pub compare_every: Duration,
    /// So many of a place talk to other places.
    pub relays: usize,
    /// What everybody has is forgotten so often.
    pub cut_every: Duration,
    /// Who was not heard of for so long is expelled: it may come back, but with nothing.
    pub expel_after: Duration,
    /// A large answer goes in pieces of so many bytes. Larger ones would hold up everything else on a connection.
    pub piece: usize,
}

impl Default for Tempo {
    fn default() -> Tempo {
        Tempo {
            push_every: Duration::from_millis(100),
            fanout: 3,
            rounds: 3,
            compare_every: Duration::from_secs(1),
            relays: 2,
            cut_every: Duration::from_secs(60),
            expel_after: Duration::from_secs(60 * 60),
            piece: 1 << 18,
        }
    }
}

/// What a spread waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Tick {
    /// Push what is new.
    Push,
    /// Compare with somebody, or ask to be told everything.
    Compare,
    /// Make a cut, and look who is to be expelled.
    Cut,
    /// A place takes too long to report.
    Overdue,
    /// Look whether the lines of those who are gone say so.
    Lines,
}

/// What a spread tells its user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It has what the others have: from now on it takes changes.
    Ready,
    /// Another value of this key is shown, or none.
    Changed(Key),
    /// It lacked what others have forgotten, and begins anew with nothing. [`Event::Ready`] follows.
    BeginsAnew,
}

/// Who does for a spread what it wants done.
pub trait Way {
    /// Says something to whoever is at this address.
    fn send(&mut self, to: SocketAddr, word: Word);
    /// Answers somebody who was just heard.
    fn answer(&mut self, to: ProcessId, word: Word);
    /// Comes back after a while, and not at an earlier time that was asked for.
    fn arm(&mut self, tick: Tick, after: Duration);
    /// Tells the user something.
    fn tell(&mut self, event: Event);
}

/// Why a change is not made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// It does not know yet what the others have.
    NotReady,
    /// The key is the map's own.
    Reserved,
    /// The map refuses.
    Map(Refused),
}

/// A map, and how it gets about.
pub struct Spread {
    settings: Settings,
    map: Map,
    random: Random,
    phase: Phase,
    /// Others who live in this place.
    near: BTreeMap<MemberId, Member>,
    /// The living of this place and this one, for its offices.
    here: Owners,
    directory: Directory,
    rumours: Rumours,
    counting: Counting,
    /// How many changes had come in here when somebody last had seen the same: no more of them than there are handles.
    agreed: BTreeMap<ProcessId, u64>,
    /// Since when those of this place are gone whose line is still there.
    gone: BTreeMap<MemberId, Time>,
    counts: Counts,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// It asks to be told everything. So often nobody answered.
    Beginning {
        tries: u32,
        /// Parts of an answer came in since it last looked.
        is_being_told: bool,
    },
    Ready,
    /// It has said that it goes, and what it last did is still on its way.
    Leaving,
}

/// What somebody who watches may want to know.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    /// Deltas that were not merged for want of room.
    crowded: u64,
    /// Deltas of maps that had forgotten something else.
    foreign: u64,
    /// Deltas that knew more of this member than it has done.
    impostors: u64,
    /// Lives that were begun anew.
    anew: u64,
    /// Cuts that were made here.
    cuts: u64,
}

/// Whoever finds nobody who knows anything in so many tries is the first. With the default tempo that is five seconds.
const LONELY_TRIES: u32 = 20;

impl Spread {
    /// One that has not begun.
    pub fn new(mut settings: Settings) -> Spread {
        // All may be given the same list.
        settings.gateways.retain(|gateway| *gateway != settings.me.address);
        let actor = Actor { member: settings.me.id(), life: settings.me.life };
        let map = Map::with_planted(actor, settings.planted);
        let mut spread = Spread {
            map,
            random: Random::new(0),
            phase: Phase::Beginning { tries: 0, is_being_told: false },
            near: BTreeMap::new(),
            here: Owners::default(),
            directory: Directory::default(),
            rumours: Rumours::default(),
            counting: Counting::default(),
            agreed: BTreeMap::new(),
            gone: BTreeMap::new(),
            counts: Counts::default(),
            settings,
        };
        spread.elect();
        spread
    }

    /// Begins. `seed` is all the randomness it gets.
    pub fn start(&mut self, seed: u64, way: &mut impl Way) {
        self.random = Random::new(seed);
        let cut_every = self.jittered(self.settings.tempo.cut_every);
        way.arm(Tick::Cut, cut_every);
        way.arm(Tick::Compare, self.settings.tempo.compare_every / 10);
    }

    /// The map.
    pub fn map(&self) -> &Map {
        &self.map
    }

    /// Whether it has what the others have.
    pub fn is_ready(&self) -> bool {
        self.phase == Phase::Ready
    }

    /// Everybody in all places who was not expelled.
    pub fn lines(&self) -> impl Iterator<Item = &Line> {
        self.directory.lines()
    }

    /// For each other that has compared itself with this one and had seen the same: how many changes had [come
    /// in](Map::arrivals) here by then. All of those have got as far as there, at least. Who compares is drawn, so that in
    /// a large place it takes a while until it is known of everybody.
    pub fn agreed(&self) -> impl Iterator<Item = u64> {
        self.agreed.values().copied()
    }

    /// Sets a value.
    pub fn put(&mut self, key: &[u8], value: Bytes, way: &mut impl Way) -> Result<(), Unchanged> {
        self.admit(key)?;
        let dot = self.map.put(key, value).map_err(Unchanged::Map)?;
        self.spread_own(dot, key, way);
        Ok(())
    }

    /// Writes what only this crate writes. Nothing happens before it knows what the others have.
    pub(crate) fn note(&mut self, key: &[u8], value: Bytes, way: &mut impl Way) {
        if !self.is_ready() {
            return;
        }
        // There is room of its own for it; where that is full too, gauges say so.
        if let Ok(dot) = self.map.put(key, value) {
            self.spread_own(dot, key, way);
        }
    }

    /// Removes a value. Answers whether there was one.
    pub fn remove(&mut self, key: &[u8], way: &mut impl Way) -> Result<bool, Unchanged> {
        self.admit(key)?;
        let dot = self.map.remove(key);
        if let Some(dot) = dot {
            self.spread_own(dot, key, way);
        }
        Ok(dot.is_some())
    }

    fn admit(&self, key: &[u8]) -> Result<(), Unchanged> {
        if key.starts_with(RESERVED) {
            return Err(Unchanged::Reserved);
        }
        if self.is_ready() { Ok(()) } else { Err(Unchanged::NotReady) }
    }

    fn spread_own(&mut self, dot: Dot, key: &[u8], way: &mut impl Way) {
        self.directory.note(&self.map, key);
        way.tell(Event::Changed(key.into()));
        self.rumour(&dot.into(), false, way);
    }

    /// These live in this place, besides this one.
    pub fn meet(&mut self, now: Time, members: impl IntoIterator<Item = Member>, way: &mut impl Way) {
        let near: BTreeMap<_, _> = members.into_iter().map(|member| (member.id(), member)).collect();
        let is_new = near != self.near;
        self.near = near;
        if is_new {
            self.elect();
            self.keep_lines(now, way);
        }
    }

    fn elect(&mut self) {
        let me = self.settings.me.id();
        self.here = Owners::new(self.near.keys().copied().chain([me]).map(|id| (id, 1)));
    }

    /// Sees to it that the lines of this place say who lives. One's own is one's own affair; those of the dead belong to
    /// whoever is first in line for them.
    fn keep_lines(&mut self, now: Time, way: &mut impl Way) {
        if !self.is_ready() {
            return;
        }
        let me = self.settings.me.clone();
        let own = Line { member: me.clone().living(self.map.actor().life), is_up: true };
        if self.directory.line(me.id()) != Some(&own) {
            self.write_line(&own, way);
        }
        let mut written = Vec::new();
        for line in self.directory.of_place(&me.place) {
            let id = line.member.id();
            if id == me.id() || self.near.contains_key(&id) {
                self.gone.remove(&id);
                continue;
            }
            let since = *self.gone.entry(id).or_insert(now);
            // Whoever leaves takes its line back itself, and that may still be on its way.
            let is_surely_gone = now.since(since) >= self.settings.tempo.compare_every * 2;
            if line.is_up && !is_surely_gone {
                way.arm(Tick::Lines, self.settings.tempo.compare_every * 2);
            }
            if self.here.owner(&directory::key(&line.member.name)) != Some(me.id()) {
                continue;
            }
            if now.since(since) >= self.settings.tempo.expel_after {
                written.push((line.clone(), true));
            } else if line.is_up && is_surely_gone {
                written.push((Line { is_up: false, ..line.clone() }, false));
            }
        }
        for (line, is_expelled) in written {
            if is_expelled {
                self.strike_line(&line.member.name, way);
            } else {
                self.write_line(&line, way);
            }
        }
    }

    fn write_line(&mut self, line: &Line, way: &mut impl Way) {
        self.note(&directory::key(&line.member.name), line.to_value(), way);
    }

    fn strike_line(&mut self, name: &Name, way: &mut impl Way) {
        let key = directory::key(name);
        if let Some(dot) = self.map.remove(&key) {
            self.spread_own(dot, &key, way);
        }
        self.gone.remove(&name.id());
    }

    /// Takes its own line back and says so, before it goes.
    pub fn leave(&mut self, way: &mut impl Way) {
        if self.is_ready() {
            let name = self.settings.me.name.clone();
            self.strike_line(&name, way);
            self.phase = Phase::Leaving;
            self.push(way);
        }
    }

    /// Hears a word.
    pub fn on_word(&mut self, now: Time, from: ProcessId, word: Word, way: &mut impl Way) {
        if self.phase == Phase::Leaving {
            return; // whatever it learned it would not stay to use, and to begin anew would be to stay
        }
        match word {
            Word::News { delta, is_from_afar } => self.on_news(now, delta, is_from_afar, way),
            Word::Compare { cut, digest, at } => self.on_compare(from, cut, &digest, at, way),
            Word::Ask(question) => self.on_ask(from, question, way),
            Word::Adopt { cut, refuses } => self.on_adopt(from, &cut, refuses, way),
            Word::Count { round, cut, is_for_place } => self.on_count(from, round, cut, is_for_place, way),
            Word::Counted { round, report, members } => self.on_counted(round, &report, &members, way),
        }
    }

    /// A time has come.
    pub fn on_tick(&mut self, now: Time, tick: Tick, way: &mut impl Way) {
        match tick {
            Tick::Push => self.push(way),
            Tick::Compare => self.compare(now, way),
            Tick::Cut => {
                let cut_every = self.jittered(self.settings.tempo.cut_every);
                way.arm(Tick::Cut, cut_every);
                self.keep_lines(now, way);
                self.begin_count(way);
            }
            Tick::Overdue => self.give_up_counts(way),
            Tick::Lines => self.keep_lines(now, way),
        }
    }

    /// So that not everybody does everything at the same time.
    fn jittered(&mut self, span: Duration) -> Duration {
        let nanos = span.as_nanos() as u64;
        Duration::from_nanos(self.random.between(nanos - nanos / 10, nanos + nanos / 10))
    }

    /// Somebody else of this place.
    fn somebody_near(&mut self) -> Option<SocketAddr> {
        if self.near.is_empty() {
            return None;
        }
        let nth = self.random.below(self.near.len() as u64) as usize;
        self.near.values().nth(nth).map(|member| member.address)
    }

    /// Whether it talks to other places.
    fn is_relay(&self) -> bool {
        self.here.first(RELAYS, self.settings.tempo.relays).contains(&self.settings.me.id())
    }

    /// One of those who speak for each of the other places.
    fn relays_elsewhere(&mut self) -> Vec<SocketAddr> {
        let mut relays = Vec::new();
        for owners in self.directory.elsewhere(&self.settings.me.place) {
            let office = owners.first(RELAYS, self.settings.tempo.relays);
            relays.extend(self.directory.line(*self.random.pick(&office)).map(|line| line.member.address));
        }
        relays
    }

    /// What is worth telling somebody who watches.
    pub fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("edge_map_keys", self.map.len() as u64);
        tell("edge_map_records", self.map.records() as u64);
        tell("edge_map_removals", self.map.removals() as u64);
        tell("edge_map_actors", self.map.seen().actors().len() as u64);
        tell("edge_map_cut_generation", self.map.cut().generation());
        tell("edge_deltas_crowded_total", self.counts.crowded);
        tell("edge_deltas_foreign_total", self.counts.foreign);
        tell("edge_deltas_impostor_total", self.counts.impostors);
        tell("edge_lives_anew_total", self.counts.anew);
        tell("edge_cuts_made_total", self.counts.cuts);
    }

    /// Panics unless the map is well.
    pub fn check(&self) {
        self.map.check();
    }
}

/// The office of those who talk to other places.
const RELAYS: &[u8] = b"relays";
