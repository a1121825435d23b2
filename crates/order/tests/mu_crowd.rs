//! Memories of Mu in a crowd: the owners of two of them grant their logs again
//! and again to two leaders, who write, are deposed, write late, and ask again;
//! places and slots are used again. Anybody may stand still for long between any
//! two words. That is more than can be tried in every order, so orders are drawn
//! by lot, with the checker `shuttle`. Every store is seen at once here: what
//! processors may see later is for the small models in `mu_words`.

use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use shuttle::rand::{Rng, thread_rng};
use shuttle::scheduler::RandomScheduler;
use shuttle::sync::atomic::{AtomicU64, AtomicUsize};
use shuttle::thread::{spawn, yield_now};
use shuttle::{Config, Runner};
use skein_order::Planted;
use skein_order::mu::memory::{End, Grant, Memory};
use skein_order::mu::{Shape, Slot, Words};

/// Two leaders, and two slots, so that each is soon used again.
const SHAPE: Shape = Shape { replicas: 2, slots: 2, value_bytes: 16, piece_bytes: 16 };

const MEMORIES: usize = 2;

/// How often each leader asks each memory.
const ROUNDS: u64 = 4;

/// How often a leader looks before it asks again.
const LOOKS: usize = 30;

/// How many slots it writes at most in one grant.
const WRITES: u64 = 3;

/// How many orders are drawn, unless `ORDERS` says how many.
const ORDERS: usize = 300;

/// One of so many words that somebody touches it touches late,
const STALLS: u32 = 60;

/// by so many turns at most: the others do hundreds of things meanwhile.
const MOST_TURNS: usize = 150;

/// The orders that are drawn are the same in each run.
const SEED: u64 = 1;

/// A rule that is broken, to see that it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Broken {
    Nothing,
    /// The log is copied before its grant is over.
    CopiesTooEarly,
    /// A place is used again although whoever was granted it may still write there.
    ReusesPlaces,
    /// A write counts as if the grant had stood.
    TrustsTheWrite,
    /// Whether the grant stands is asked before the write.
    AsksBefore,
}

/// Words in an order that is drawn.
struct Drawn(Vec<AtomicU64>);

impl Drawn {
    fn linger() {
        if thread_rng().gen_ratio(1, STALLS) {
            (0..thread_rng().gen_range(0..MOST_TURNS)).for_each(|_| yield_now());
        }
    }
}

impl Words for Drawn {
    fn load(&self, at: usize) -> u64 {
        Drawn::linger();
        self.0[at].load(SeqCst)
    }

    fn store(&self, at: usize, value: u64) {
        Drawn::linger();
        self.0[at].store(value, SeqCst);
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {}
}

/// What became of one memory. It belongs to the test, and orders nothing.
#[derive(Default)]
struct History {
    /// Generation and index of each write that was begun,
    begun: Vec<(u64, u64)>,
    /// and of each that stood.
    stood: Vec<(u64, u64)>,
    /// What the grantee of a generation found at an index.
    found: Vec<(u64, u64, Result<u32, End>)>,
}

/// A slot of which every word tells what it belongs to.
fn slot(index: u64, proposal: u32) -> Slot {
    let value = Bytes::from([[index as u8 + 1; 8], [proposal as u8; 8]].concat());
    Slot { index, proposal, decided: 0, value }
}

struct World {
    words: Drawn,
    history: Mutex<History>,
}

impl World {
    fn memory(&self) -> Memory<'_, Drawn> {
        Memory::new(&self.words, &SHAPE, Planted::NONE)
    }
}

/// Grants the log to whoever asks, as long as a leader is left.
fn own(world: &World, leaders: &AtomicUsize, broken: Broken) {
    let memory = world.memory();
    let mut current = Grant::default();
    let mut places = [Grant::default(); 3];
    let mut served = [0; 2];
    while leaders.load(SeqCst) > 0 {
        let asked = memory.asked();
        let new: Vec<usize> = (0..2).filter(|replica| asked.requests[*replica] > served[*replica]).collect();
        if new.is_empty() {
            yield_now();
            continue;
        }
        let to = new[thread_rng().gen_range(0..new.len())];
        let request = asked.requests[to];
        let may_be_used = |place: &usize| {
            let Grant { generation, to, request, .. } = places[*place];
            let is_given_up = generation == 0 || asked.requests[usize::from(to)] > request;
            *place != usize::from(current.place) && (is_given_up || broken == Broken::ReusesPlaces)
                || current.generation == 0
        };
        let place = (0..3).find(may_be_used).expect("each leader keeps one place at most");
        let grant = Grant { generation: current.generation + 1, place: place as u8, to: to as u8, request };
        let old = (current.generation > 0).then_some(current.place);
        if broken == Broken::CopiesTooEarly {
            memory.copy(old, &grant);
        }
        old.iter().for_each(|old| memory.revoke(usize::from(*old)));
        if broken != Broken::CopiesTooEarly {
            memory.copy(old, &grant);
        }
        memory.publish(&grant);
        (current, places[place], served[to]) = (grant, grant, request);
    }
}

/// Asks for the log, reads it, and writes on, whether or not it has been deposed.
fn lead(worlds: &[World], me: usize, broken: Broken) {
    for round in 1..=ROUNDS {
        worlds.iter().for_each(|world| world.memory().ask(me, round));
        for world in worlds {
            let memory = world.memory();
            let mine = (0..LOOKS).find_map(|_| {
                let grant = memory.look(me).grant;
                let is_mine = (usize::from(grant.to), grant.request) == (me, round) && grant.generation > 0;
                if !is_mine {
                    yield_now();
                }
                is_mine.then_some(grant)
            });
            if let Some(grant) = mine {
                let next = look_through(world, &memory, &grant);
                write(world, &memory, &grant, next, broken);
            }
        }
    }
}

/// Reads all that may be in the log. Answers where it ends.
fn look_through(world: &World, memory: &Memory<'_, Drawn>, grant: &Grant) -> u64 {
    let mut end = 0;
    for index in 0..2 * ROUNDS * WRITES {
        let mut stretch = memory.stretch((grant.place, grant.generation), index, 1, &mut BytesMut::new());
        let found = stretch.slots.pop().ok_or(stretch.end);
        if let Ok(found) = &found {
            assert_eq!(*found, slot(index, found.proposal), "half of a value");
            end = index + 1;
        }
        let found = found.map(|slot| slot.proposal);
        world.history.lock().unwrap().found.push((grant.generation, index, found));
    }
    end
}

/// Writes some slots: the last one again, or from the next one on.
fn write(world: &World, memory: &Memory<'_, Drawn>, grant: &Grant, next: u64, broken: Broken) {
    let place = usize::from(grant.place);
    let from = next.saturating_sub(thread_rng().gen_range(0..2));
    for index in from..from + thread_rng().gen_range(1..=WRITES) {
        let stood_before = memory.stood(place, grant.generation);
        world.history.lock().unwrap().begun.push((grant.generation, index));
        // Under one number a slot has one value, and a generation is granted once.
        memory.write(place, &slot(index, grant.generation as u32));
        memory.fence();
        let stood = match broken {
            Broken::TrustsTheWrite => true,
            Broken::AsksBefore => stood_before,
            _ => memory.stood(place, grant.generation),
        };
        if stood {
            world.history.lock().unwrap().stood.push((grant.generation, index));
        } else if thread_rng().gen_bool(0.5) {
            // Otherwise it goes on, as one does that has not heard yet.
            return;
        }
    }
}

/// Whatever stood is what every later grantee found, unless a later one has written over it, or used the slot again.
fn judge(history: &History) {
    for (generation, index) in &history.stood {
        let later = history.found.iter().filter(|(other, at, _)| other > generation && at == index);
        for (other, _, found) in later {
            match found {
                Ok(proposal) => assert!(
                    u64::from(*proposal) >= *generation,
                    "slot {index} stood in generation {generation}, and {other} found one of {proposal}"
                ),
                Err(why) => {
                    let is_used_again = |(_, at): &(u64, u64)| *at >= index + SHAPE.slots as u64;
                    let is_gone = history.begun.iter().any(is_used_again);
                    assert!(is_gone, "slot {index} stood in generation {generation}, and {other} found it {why:?}");
                }
            }
        }
    }
}

/// Draws orders. How many writes stood in them, or what was wrong in one.
fn draw(broken: Broken) -> Result<usize, String> {
    let seen = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counts = Arc::clone(&seen);
    let mut config = Config::new();
    config.failure_persistence = shuttle::FailurePersistence::None;
    let orders = std::env::var("ORDERS").map_or(ORDERS, |orders| orders.parse().unwrap());
    let runner = Runner::new(RandomScheduler::new_from_seed(SEED, orders), config);
    let drawn = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        runner.run(move || {
            let words = || Drawn((0..SHAPE.words()).map(|_| AtomicU64::new(0)).collect());
            let worlds: Vec<World> =
                (0..MEMORIES).map(|_| World { words: words(), history: Mutex::default() }).collect();
            let worlds = Arc::new(worlds);
            let leaders = Arc::new(AtomicUsize::new(2));
            let mut threads = Vec::new();
            for nth in 0..MEMORIES {
                let (worlds, leaders) = (Arc::clone(&worlds), Arc::clone(&leaders));
                threads.push(spawn(move || own(&worlds[nth], &leaders, broken)));
            }
            for me in 0..2 {
                let (worlds, leaders) = (Arc::clone(&worlds), Arc::clone(&leaders));
                threads.push(spawn(move || {
                    lead(&worlds, me, broken);
                    leaders.fetch_sub(1, SeqCst);
                }));
            }
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            for world in worlds.iter() {
                let history = world.history.lock().unwrap();
                judge(&history);
                counts.fetch_add(history.stood.len(), SeqCst);
            }
        });
    }));
    drawn.map(|_| seen.load(SeqCst)).map_err(|panic| match panic.downcast::<String>() {
        Ok(message) => *message,
        Err(_) => "no message".to_owned(),
    })
}

#[test]
fn what_stood_is_what_later_leaders_find() {
    let stood = draw(Broken::Nothing).unwrap();
    // Otherwise it would hold because nothing happened.
    assert!(stood > ORDERS * MEMORIES, "only {stood} writes stood");
}

#[test]
fn every_broken_rule_shows() {
    for broken in [Broken::CopiesTooEarly, Broken::ReusesPlaces, Broken::TrustsTheWrite, Broken::AsksBefore] {
        let what = draw(broken).expect_err(&format!("{broken:?} does not show"));
        assert!(what.contains("stood in generation"), "{broken:?} fails, and not because a write is lost: {what}");
    }
}
