//! [`Registers`]: a memory as a process of its own, at the end of a link: the
//! memory server of a host, or a memory in simulation.
//!
//! In simulation it does what memory that processors share does to them. A
//! verb is not done at once: some words of a slot are there before others,
//! other processors' verbs come in between, and whether a grant stood is looked
//! at later than the write. If the writer dies, what it had begun may stay
//! half done. What came of verbs arrives in any order. Each processor's own
//! verbs keep their order, as stores of one processor do.

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use core::cell::Cell;
use core::sync::atomic::AtomicU64;
use core::time::Duration;

use bytes::BytesMut;
use skein_machine::{Out, ProcessId, Random};

use super::memory::Memory;
use super::process::{Mu, Timer};
use super::shape::Shape;
use super::verb::{Message, Outcome, Verb};
use super::words::Words;
use crate::Planted;

/// A memory that others are linked to.
#[derive(Debug)]
pub struct Registers {
    owner: u8,
    words: Box<[AtomicU64]>,
    shape: Shape,
    planted: Planted,
    room: BytesMut,
    /// How long a step of a verb takes at most; nothing where verbs are done at once.
    lingers: Option<Duration>,
    random: Random,
    /// What each processor has asked for and is not done.
    queues: BTreeMap<ProcessId, VecDeque<(Verb, Stage)>>,
    /// What came of verbs and is not known yet.
    unsaid: BTreeMap<u64, (ProcessId, Outcome)>,
    said: u64,
}

/// How far a verb has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing was done.
    New,
    /// Some of its words are stored.
    Torn,
    /// It is done, and whether its grant stood is open.
    Done,
}

/// How many words a verb stores that changes more than one and is not the copy of a log: a slot has hardly more, and of
/// a piece it is the beginning.
const MOST_STORES: u64 = 24;

impl Registers {
    /// A replica's memory: an empty one of a cluster that begins, or one that was lost and is made anew.
    pub fn new(owner: u8, shape: Shape, is_first: bool, lingers: Option<Duration>, planted: Planted) -> Registers {
        let words = (0..shape.words()).map(|_| AtomicU64::new(0)).collect::<Box<[_]>>();
        if is_first {
            Memory::new(&words[..], &shape, planted).begin();
        }
        Registers {
            owner,
            words,
            shape,
            planted,
            room: BytesMut::new(),
            lingers,
            random: Random::new(0),
            queues: BTreeMap::new(),
            unsaid: BTreeMap::new(),
            said: 0,
        }
    }

    /// Begins.
    pub fn start(&mut self, seed: u64) {
        self.random = Random::new(seed);
    }

    /// Whose memory it is.
    pub(super) fn owner(&self) -> u8 {
        self.owner
    }

    pub(super) fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The memory itself, for whoever judges it.
    pub fn memory(&self) -> Memory<'_, [AtomicU64]> {
        Memory::new(&self.words, &self.shape, self.planted)
    }

    /// A processor asks.
    pub fn on_verb(&mut self, from: ProcessId, verb: Verb, out: &mut Out<Mu>) {
        if self.lingers.is_none() {
            if let Some(outcome) = self.perform_at_once(from, &verb) {
                out.send(from, Message::Done(outcome));
            }
            return;
        }
        let queue = self.queues.entry(from).or_default();
        queue.push_back((verb, Stage::New));
        if queue.len() == 1 {
            self.arm_step(from, out);
        }
    }

    /// At the end of a network nobody else comes between: what is granted to another is not written at all.
    fn perform_at_once(&mut self, from: ProcessId, verb: &Verb) -> Option<Outcome> {
        let memory = Memory::new(&self.words[..], &self.shape, self.planted);
        if verb.is_write() && verb.outcome(&memory).is_some_and(|outcome| !outcome.stood()) {
            return verb.outcome(&memory);
        }
        let makes_sense = match verb {
            Verb::Copy { grant, .. } => memory.is_free(grant.place),
            Verb::Publish { grant } => memory.is_copied(grant),
            _ => true,
        };
        if !makes_sense {
            return None;
        }
        let outcome = verb.perform(&memory, usize::from(from.0), &mut self.room);
        outcome.or_else(|| verb.outcome(&memory))
    }

    /// A step of a processor's verb, or word of one that is done.
    pub fn on_timer(&mut self, timer: Timer, out: &mut Out<Mu>) {
        match timer {
            Timer::Step(from) => self.step(ProcessId(from), out),
            Timer::Say(number) => {
                if let Some((to, outcome)) = self.unsaid.remove(&number) {
                    out.send(to, Message::Done(outcome));
                }
            }
            _ => panic!("a memory waits for nothing else, and {timer:?} came due"),
        }
    }

    fn arm_step(&mut self, from: ProcessId, out: &mut Out<Mu>) {
        let wait = self.moment();
        out.arm(Timer::Step(from.0), wait);
    }

    fn moment(&mut self) -> Duration {
        let most = u64::try_from(self.lingers.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        // Mostly nothing comes between; now and then a processor stands still in the middle of a verb, sometimes until it
        // has been forgotten.
        let span = match self.random.below(400) {
            0 => 20 * most,
            1..20 => most,
            _ => most / 16,
        };
        Duration::from_nanos(self.random.below(span + 1))
    }

    fn step(&mut self, from: ProcessId, out: &mut Out<Mu>) {
        let Some((verb, _)) = self.queues.get(&from).and_then(VecDeque::front) else { return };
        let most = most_stores(verb, &self.shape);
        // What owners do is never in the way of a leader's writes, so it is torn to see what is left by one that dies.
        let tears = most > 0 && self.random.chance(if verb.is_write() { 0.5 } else { 0.1 });
        let stores = self.random.below(most.max(1));
        let Some((verb, stage)) = self.queues.get_mut(&from).and_then(VecDeque::front_mut) else { return };
        let memory = Memory::new(&self.words[..], &self.shape, self.planted);
        let me = usize::from(from.0);
        let outcome = match stage {
            Stage::New if tears => {
                let torn = Torn { words: &self.words, left: Cell::new(stores) };
                verb.perform(&Memory::new(&torn, &self.shape, self.planted), me, &mut self.room);
                *stage = Stage::Torn;
                None
            }
            Stage::New | Stage::Torn if verb.is_write() => {
                verb.perform(&memory, me, &mut self.room);
                *stage = Stage::Done;
                None
            }
            Stage::New | Stage::Torn => {
                *stage = Stage::Done;
                verb.perform(&memory, me, &mut self.room)
            }
            Stage::Done => verb.outcome(&memory),
        };
        let is_over = *stage == Stage::Done && (outcome.is_some() || !verb.is_write());
        if is_over && let Some(queue) = self.queues.get_mut(&from) {
            queue.pop_front();
        }
        if let Some(outcome) = outcome {
            self.said += 1;
            let number = self.said;
            self.unsaid.insert(number, (from, outcome));
            let wait = self.moment();
            out.arm(Timer::Say(number), wait);
        }
        if self.queues.get(&from).is_some_and(|queue| !queue.is_empty()) {
            self.arm_step(from, out);
        }
    }

    /// The link to a processor broke, most likely with its life. Of what it had begun any part may be left.
    pub fn on_reconnect(&mut self, peer: ProcessId) {
        if let Some(queue) = self.queues.get_mut(&peer) {
            let left = self.random.below(queue.len() as u64 + 1) as usize;
            queue.truncate(left);
        }
        self.unsaid.retain(|_, (to, _)| *to != peer);
    }
}

/// How many words a verb stores at most: none if it is done all at once.
fn most_stores(verb: &Verb, shape: &Shape) -> u64 {
    match verb {
        Verb::Copy { .. } => (shape.words() / shape.places()) as u64,
        Verb::Advance { .. } | Verb::Publish { .. } | Verb::Live { .. } | Verb::Tell { .. } => MOST_STORES,
        _ if verb.is_write() => MOST_STORES,
        _ => 0,
    }
}

/// Memory that takes so many stores more: those after them are on their way.
struct Torn<'a> {
    words: &'a [AtomicU64],
    left: Cell<u64>,
}

impl Words for Torn<'_> {
    fn load(&self, at: usize) -> u64 {
        self.words.load(at)
    }

    fn store(&self, at: usize, value: u64) {
        if self.left.get() > 0 {
            self.left.set(self.left.get() - 1);
            self.words.store(at, value);
        }
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {}
}
