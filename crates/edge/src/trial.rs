//! Trials: what may come from outside is told to machines that are well, which
//! must stand it. They never panic, what they hold fits together, and what they
//! say then everybody can read. For fuzzing; nothing else uses it, and no other
//! machine hears any of it.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{Reader, VERSION, examine, from_bytes, to_bytes};
use skein_machine::{Effect, Machine, Out, ProcessId, Time, Wire};

use crate::membership::{self, Membership, Pace};
use crate::spread::{self, Event, Spread, Tempo, Tick, Way, Word};
use crate::{Book, Member, Name, Planted, agent};

/// Whoever is tried: the first member of a simulated fleet.
pub const TRIED: ProcessId = ProcessId(0);

/// Who it is in a trial, and the others of whom it knows.
pub fn member(process: ProcessId) -> Member {
    let name = |text| Name::new(text).expect("a word is a name");
    let names = ["tried", "second", "third"];
    let own = names[usize::from(process.0) % names.len()];
    Member::new(name(own), name("here"), Book::ruled_address(process))
}

/// The seeds of a trial are of a fleet that is in no hurry to forget, and forgets.
pub fn tempo() -> Tempo {
    Tempo { cut_every: Duration::from_secs(5), expel_after: Duration::from_secs(30), piece: 300, ..Tempo::default() }
}

/// Any bytes are a message of an agent, or are refused.
pub fn message(bytes: &[u8]) {
    examine::<agent::Message>(bytes);
}

/// Words between maps, one after the other: a map that hears them merges, asks, counts, and is written meanwhile.
/// Answers how many there were.
pub fn words(bytes: &[u8]) -> usize {
    let me = member(TRIED);
    let settings = spread::Settings { me, gateways: Vec::new(), tempo: tempo(), planted: Planted::NONE };
    let (mut spread, mut way) = (Spread::new(settings), Listener);
    let mut now = Time::ZERO;
    spread.start(1, &mut way);
    spread.on_tick(now, Tick::Compare, &mut way);
    spread.meet(now, [member(ProcessId(1)), member(ProcessId(2))], &mut way);
    let ticks = [Tick::Compare, Tick::Push, Tick::Cut, Tick::Lines, Tick::Overdue];
    let words = all::<Word>(bytes);
    let count = words.len();
    for (nth, word) in words.into_iter().enumerate() {
        now = now.after(Duration::from_secs(1));
        spread.on_word(now, ProcessId(1 + nth as u16 % 2), word, &mut way);
        spread.check();
        spread.on_tick(now, ticks[nth % ticks.len()], &mut way);
        // Refused while it begins anew.
        let key = [b'a' + nth as u8 % 3];
        let _ = match nth % 4 {
            0 => spread.remove(&key, &mut way).map(drop),
            _ => spread.put(&key, Bytes::from_static(b"own"), &mut way),
        };
        spread.check();
    }
    count
}

/// Messages between members, one after the other, told to one that is in a fleet; what it waits for comes meanwhile.
/// Answers how many there were.
pub fn packets(bytes: &[u8]) -> usize {
    let settings =
        membership::Settings { me: member(TRIED), seeds: Vec::new(), pace: Pace::of(3), planted: Planted::NONE };
    let mut membership = Membership::new(settings, Book::of_rule());
    let (mut out, mut timers, mut now) = (Out::new(), BTreeMap::new(), Time::ZERO);
    membership.start(now, 1, &mut out);
    membership.finish(now, &mut out);
    settle(&mut out, now, &mut timers);
    let messages = all::<membership::Message>(bytes);
    let count = messages.len();
    for (nth, message) in messages.into_iter().enumerate() {
        membership.on_message(now, ProcessId(1 + nth as u16 % 2), message, &mut out);
        membership.finish(now, &mut out);
        membership.check();
        settle(&mut out, now, &mut timers);
        let next = timers.iter().min_by_key(|(_, at)| **at).map(|(timer, _): (&membership::Timer, _)| timer.clone());
        // Not after each, so that several are heard in the same state.
        if let Some(timer) = next.filter(|_| nth % 3 == 2) {
            now = timers.remove(&timer).unwrap_or(now).max(now);
            membership.on_timer(now, timer, &mut out);
            membership.finish(now, &mut out);
            membership.check();
            settle(&mut out, now, &mut timers);
        }
    }
    count
}

/// What follows on each other in these bytes, up to where nothing can be read any more.
fn all<T: Wire>(bytes: &[u8]) -> Vec<T> {
    let mut reader = Reader::new(Bytes::copy_from_slice(bytes), VERSION).expect("this version is known");
    core::iter::from_fn(|| T::decode(&mut reader).ok()).collect()
}

fn settle(out: &mut Out<Membership>, now: Time, timers: &mut BTreeMap<membership::Timer, Time>) {
    for effect in out.drain() {
        match effect {
            Effect::Send(_, message) | Effect::SendEarly(_, message) => can_be_read(&message),
            Effect::Arm(timer, span) => drop(timers.insert(timer, now.after(span))),
            Effect::Disarm(timer) => drop(timers.remove(&timer)),
            Effect::Emit(_) | Effect::EmitEarly(_) => {}
            Effect::Persist(record) | Effect::Checkpoint(record) | Effect::Compact(record) => match record {},
        }
    }
}

/// One member that hears nonsense must not become one to which nobody can listen.
fn can_be_read<T: Wire + Debug>(message: &T) {
    let again = from_bytes::<T>(to_bytes(message), VERSION);
    assert!(again.is_ok(), "it says what nobody can read, {:?}: {message:?}", again.err());
}

/// Hears what a spread says.
struct Listener;

impl Way for Listener {
    fn send(&mut self, _: SocketAddr, word: Word) {
        can_be_read(&word);
    }

    fn answer(&mut self, _: ProcessId, word: Word) {
        can_be_read(&word);
    }

    fn arm(&mut self, _: Tick, _: Duration) {}

    fn tell(&mut self, _: Event) {}
}
