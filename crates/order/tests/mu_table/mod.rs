//! [`Table`]: processors of Mu and their memories on a table, where whoever
//! writes a schedule deals every verb and every outcome by hand, or lets flow
//! what it does not care about.
//!
//! A user of a processor keeps all requests that were applied, in order. What
//! must not be is written down and never stops a schedule: a log on which two
//! do not agree, a request applied twice, states that differ in the end.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use skein_machine::{Effect, Out};
use skein_order::Planted;
use skein_order::mu::memory::Memory;
use skein_order::mu::verb::{Message, Outcome, Verb};
use skein_order::mu::{Command, Event, Mu, Options, Pace, Replica, Shape, Timer, Words};

/// More steps than any schedule takes until nothing more happens.
const MOST_STEPS: usize = 100_000;

/// A processor that lives, and its user.
struct Processor {
    machine: Replica,
    timers: BTreeSet<Timer>,
    state: Vec<Bytes>,
    /// Which slot it applied last, and how many requests of that.
    place: (u64, usize),
    /// States that others fetch.
    held: BTreeMap<u8, Vec<Bytes>>,
}

/// Everything that takes part.
pub(crate) struct Table {
    shape: Shape,
    window: u64,
    planted: Planted,
    processors: Vec<Option<Processor>>,
    memories: Vec<Arc<[AtomicU64]>>,
    /// What a processor has asked of a memory and was not done.
    asked: BTreeMap<(u8, u8), VecDeque<Verb>>,
    /// What came of it and was not heard.
    told: BTreeMap<(u8, u8), VecDeque<Outcome>>,
    /// Between these a processor and a memory, nothing flows by itself.
    held: BTreeSet<(u8, u8)>,
    /// What was applied at each index, by whoever was first.
    log: BTreeMap<u64, Vec<Bytes>>,
    /// Requests whose users were told that they are done.
    answered: BTreeSet<u64>,
    next_token: u64,
    odd: Vec<String>,
}

impl Table {
    /// Memories of a cluster that begins, and nobody alive.
    pub(crate) fn new(replicas: usize, slots: usize, window: u64, planted: Planted) -> Table {
        let shape = Shape { replicas, slots, value_bytes: 64, piece_bytes: 1 << 15 };
        let memories: Vec<Arc<[AtomicU64]>> = (0..replicas).map(|_| empty(&shape)).collect();
        for words in &memories {
            Memory::new(&words[..], &shape, planted).begin();
        }
        Table {
            shape,
            window,
            planted,
            processors: (0..replicas).map(|_| None).collect(),
            memories,
            asked: BTreeMap::new(),
            told: BTreeMap::new(),
            held: BTreeSet::new(),
            log: BTreeMap::new(),
            answered: BTreeSet::new(),
            next_token: 1,
            odd: Vec::new(),
        }
    }

    // Processors.

    /// A processor begins to live, and does whatever it can.
    pub(crate) fn start(&mut self, me: u8) {
        let pace = Pace {
            look: Duration::from_micros(10),
            glance: Duration::from_micros(10),
            tick: Duration::from_micros(100),
            flush: Duration::from_micros(10),
            backoff: Duration::from_micros(100),
        };
        let options = Options { me, shape: self.shape, window: self.window, queue: 64, pace };
        let machine = Replica::new(options, self.planted);
        let (timers, held) = (BTreeSet::new(), BTreeMap::new());
        let processor = Processor { machine, timers, state: Vec::new(), place: (0, 0), held };
        self.processors[usize::from(me)] = Some(processor);
        self.turn(me, |machine, out| machine.start(7, out));
        self.flow();
    }

    /// A processor dies. What it had asked and nobody had begun to do is never done.
    pub(crate) fn kill(&mut self, me: u8) {
        self.processors[usize::from(me)] = None;
        self.asked.retain(|(processor, _), _| *processor != me);
        self.told.retain(|(processor, _), _| *processor != me);
    }

    /// A processor hears that others died, or so it is told.
    pub(crate) fn suspect(&mut self, me: u8, others: &[u8]) {
        for other in others {
            self.turn(me, |machine, out| machine.on_command(Command::Died(*other), out));
        }
        self.flow();
    }

    /// A processor looks at its own memory.
    pub(crate) fn look(&mut self, me: u8) {
        self.fire(me, Timer::Look);
        self.flow();
    }

    /// A processor shows that it is well, and looks at the others.
    pub(crate) fn tick(&mut self, me: u8) {
        self.fire(me, Timer::Tick);
        self.flow();
    }

    /// A leader with nothing to write says what is decided.
    pub(crate) fn flush(&mut self, me: u8) {
        self.fire(me, Timer::Flush);
        self.flow();
    }

    /// A processor that was thwarted tries again.
    pub(crate) fn bid(&mut self, me: u8) {
        self.fire(me, Timer::Bid);
        self.flow();
    }

    /// Time passes for these.
    pub(crate) fn pass(&mut self, rounds: usize, who: &[u8]) {
        for _ in 0..rounds {
            for me in who {
                for timer in [Timer::Look, Timer::Tick, Timer::Flush, Timer::Bid] {
                    self.fire(*me, timer);
                    self.flow();
                }
            }
        }
    }

    /// A user proposes. Answers by which token it hears of it.
    pub(crate) fn propose(&mut self, me: u8, request: impl Into<Bytes>) -> u64 {
        let token = self.next_token;
        self.next_token += 1;
        let request = request.into();
        self.turn(me, |machine, out| machine.on_command(Command::Propose { token, request }, out));
        self.flow();
        token
    }

    /// Whether its user was told that it is done.
    pub(crate) fn is_answered(&self, token: u64) -> bool {
        self.answered.contains(&token)
    }

    /// Whether a processor leads.
    pub(crate) fn leads(&self, me: u8) -> bool {
        self.processors[usize::from(me)].as_ref().is_some_and(|processor| processor.machine.leads())
    }

    /// Whether a processor takes itself to lack what only another has.
    pub(crate) fn is_behind(&self, me: u8) -> bool {
        let mut is_behind = false;
        if let Some(processor) = &self.processors[usize::from(me)] {
            processor.machine.gauges(&mut |name, value| is_behind |= name == "mu_behind" && value > 0);
        }
        is_behind
    }

    /// How far a processor has applied.
    pub(crate) fn applied(&self, me: u8) -> u64 {
        self.processors[usize::from(me)].as_ref().map_or(0, |processor| processor.machine.applied())
    }

    // Memories, and the way to them.

    /// From now on nothing flows by itself between a processor and these memories.
    pub(crate) fn hold(&mut self, me: u8, memories: &[u8]) {
        self.held.extend(memories.iter().map(|memory| (me, *memory)));
    }

    /// What was held flows again.
    pub(crate) fn release(&mut self, me: u8, memories: &[u8]) {
        for memory in memories {
            self.held.remove(&(me, *memory));
        }
        self.flow();
    }

    /// Between a processor and a memory, verbs are done and outcomes heard one by one, until the next verb is this one.
    pub(crate) fn give_until(&mut self, me: u8, memory: u8, stops: impl Fn(&Verb) -> bool) {
        for _ in 0..MOST_STEPS {
            if let Some(verb) = self.asked.get(&(me, memory)).and_then(VecDeque::front) {
                if stops(verb) {
                    return;
                }
                self.work(me, memory, 1);
            } else if !self.hear(me, memory, |_| true) {
                panic!("p{me} asks nothing more of memory {memory}");
            }
            while self.hear(me, memory, |_| true) {}
            self.flow();
        }
        panic!("p{me} never asks that of memory {memory}");
    }

    /// So many verbs are done, and nobody hears of it.
    pub(crate) fn work(&mut self, me: u8, memory: u8, count: usize) {
        for _ in 0..count {
            let Some(verb) = self.asked.get_mut(&(me, memory)).and_then(VecDeque::pop_front) else { return };
            let words = &self.memories[usize::from(memory)][..];
            let there = Memory::new(words, &self.shape, self.planted);
            let outcome = verb.perform(&there, usize::from(me), &mut BytesMut::new());
            there.fence();
            let outcome = outcome.or_else(|| verb.outcome(&there));
            self.told.entry((me, memory)).or_default().extend(outcome);
        }
    }

    /// The first so many stores of the next verb are done, and no more.
    pub(crate) fn tear(&mut self, me: u8, memory: u8, stores: u64) {
        let verb = self.asked.get(&(me, memory)).and_then(VecDeque::front).expect("something was asked");
        let torn = Torn { words: &self.memories[usize::from(memory)], left: AtomicU64::new(stores) };
        verb.perform(&Memory::new(&torn, &self.shape, self.planted), usize::from(me), &mut BytesMut::new());
    }

    /// A processor does all that it has asked, in one turn and with one fence, as one that shares memory with the others
    /// does. Before the access to a memory of this number it stands still, for as long as `meanwhile` takes. Answers how
    /// many accesses it took.
    pub(crate) fn stall(&mut self, me: u8, access: usize, meanwhile: impl FnOnce(&mut Table)) -> usize {
        let mut verbs = Vec::new();
        for memory in (0..self.shape.replicas as u8).cycle() {
            let next = self.asked.get_mut(&(me, memory)).and_then(VecDeque::pop_front);
            verbs.extend(next.map(|verb| (memory, verb)));
            if !(0..self.shape.replicas as u8).any(|memory| self.asks(me, memory)) {
                break;
            }
        }
        let (shape, planted, memories) = (self.shape, self.planted, self.memories.clone());
        let left = Cell::new(access);
        let meanwhile = RefCell::new(Some(|| meanwhile(self)));
        let halting =
            |memory: u8| Halting { words: &memories[usize::from(memory)], left: &left, meanwhile: &meanwhile };
        let mut heard = Vec::new();
        for (memory, verb) in &verbs {
            let words = halting(*memory);
            let there = Memory::new(&words, &shape, planted);
            let outcome = verb.perform(&there, usize::from(me), &mut BytesMut::new());
            heard.extend(outcome.map(|outcome| (*memory, outcome)));
        }
        Memory::new(&halting(me), &shape, planted).fence();
        for (memory, verb) in &verbs {
            let outcome = verb.outcome(&Memory::new(&halting(*memory), &shape, planted));
            heard.extend(outcome.map(|outcome| (*memory, outcome)));
        }
        for (memory, outcome) in heard {
            self.told.entry((me, memory)).or_default().push_back(outcome);
        }
        access.wrapping_sub(left.get())
    }

    /// A processor hears of the first outcome of this kind. Whether there was one.
    pub(crate) fn hear(&mut self, me: u8, memory: u8, which: impl Fn(&Outcome) -> bool) -> bool {
        let Some(told) = self.told.get_mut(&(me, memory)) else { return false };
        let Some(outcome) = told.iter().position(which).and_then(|nth| told.remove(nth)) else { return false };
        self.turn(me, |machine, out| machine.on_outcome(memory, outcome, out));
        true
    }

    /// The link between a processor and a memory breaks, and stands again: what was not done is lost.
    pub(crate) fn break_link(&mut self, me: u8, memory: u8) {
        self.asked.remove(&(me, memory));
        self.told.remove(&(me, memory));
        if self.processors[usize::from(me)].is_some() {
            self.turn(me, |machine, out| machine.on_reconnect(memory, out));
        }
        self.flow();
    }

    /// A memory is lost, and made anew with nothing in it. Those who are held hear of it later: by [`Table::break_link`].
    pub(crate) fn lose(&mut self, memory: u8) {
        self.memories[usize::from(memory)] = empty(&self.shape);
        for me in 0..self.shape.replicas as u8 {
            self.asked.remove(&(me, memory));
            self.told.remove(&(me, memory));
        }
        for me in 0..self.shape.replicas as u8 {
            if !self.held.contains(&(me, memory)) {
                self.break_link(me, memory);
            }
        }
    }

    /// Whether a processor asks anything of a memory that was not done.
    pub(crate) fn asks(&self, me: u8, memory: u8) -> bool {
        self.is_next(me, memory, |_| true)
    }

    /// Whether a processor's next verb to a memory is this one.
    pub(crate) fn is_next(&self, me: u8, memory: u8, which: impl Fn(&Verb) -> bool) -> bool {
        self.asked.get(&(me, memory)).and_then(VecDeque::front).is_some_and(which)
    }

    // What it comes to.

    /// Everything flows and all live for a while; then what is wrong.
    pub(crate) fn end(mut self) -> Vec<String> {
        self.held.clear();
        for me in 0..self.shape.replicas as u8 {
            if self.processors[usize::from(me)].is_none() {
                self.start(me);
            }
        }
        self.flow();
        let all: Vec<u8> = (0..self.shape.replicas as u8).collect();
        self.pass(200, &all);
        let last = self.propose(all.iter().copied().find(|me| self.leads(*me)).unwrap_or(0), "the last");
        self.pass(200, &all);
        if !self.is_answered(last) {
            self.odd.push("nobody answers in the end".into());
        }
        self.verdict()
    }

    /// What is wrong so far.
    pub(crate) fn verdict(mut self) -> Vec<String> {
        let mut states: Vec<(usize, u64, Vec<Bytes>)> = Vec::new();
        for (me, processor) in self.processors.iter().enumerate() {
            let Some(processor) = processor else { continue };
            let mut seen = BTreeSet::new();
            for request in &processor.state {
                if !seen.insert(request) {
                    self.odd.push(format!("p{me} applied {request:?} twice"));
                }
            }
            states.push((me, processor.machine.applied(), processor.state.clone()));
        }
        for (me, applied, state) in &states {
            let other = states.iter().find(|(_, other, held)| other == applied && held != state);
            if let Some((other, _, held)) = other {
                self.odd.push(format!("p{me} holds {state:?} after {applied} slots, and p{other} {held:?}"));
            }
        }
        self.odd
    }

    // What everything above needs.

    /// Whatever is not held flows until nothing more happens.
    fn flow(&mut self) {
        for _ in 0..MOST_STEPS {
            let free = |pair: &(u8, u8)| !self.held.contains(pair);
            let heard = self.told.iter().find(|(pair, told)| free(pair) && !told.is_empty()).map(|(pair, _)| *pair);
            if let Some((me, memory)) = heard {
                self.hear(me, memory, |_| true);
                continue;
            }
            let asked = self.asked.iter().find(|(pair, asked)| free(pair) && !asked.is_empty()).map(|(pair, _)| *pair);
            let Some((me, memory)) = asked else { return };
            self.work(me, memory, 1);
        }
        panic!("something flows for ever");
    }

    fn fire(&mut self, me: u8, timer: Timer) {
        let Some(processor) = &mut self.processors[usize::from(me)] else { return };
        if processor.timers.remove(&timer) {
            self.turn(me, |machine, out| machine.on_timer(timer, out));
        }
    }

    /// A processor does something, and what it wants done is noted.
    fn turn(&mut self, me: u8, act: impl FnOnce(&mut Replica, &mut Out<Mu>)) {
        let Some(processor) = &mut self.processors[usize::from(me)] else { return };
        let mut out = Out::new();
        act(&mut processor.machine, &mut out);
        processor.machine.finish(&mut out);
        processor.machine.check();
        for effect in out.drain() {
            match effect {
                Effect::Send(to, Message::Do(verb)) => {
                    for to in to.iter() {
                        let memory = to.0 as u8 - self.shape.replicas as u8;
                        self.asked.entry((me, memory)).or_default().push_back(verb.clone());
                    }
                }
                Effect::Arm(timer, _) => {
                    self.processors[usize::from(me)].as_mut().expect("it acts").timers.insert(timer);
                }
                Effect::Emit(event) | Effect::EmitEarly(event) => self.on_event(me, event),
                other => panic!("no processor wants {other:?}"),
            }
        }
    }

    fn on_event(&mut self, me: u8, event: Event) {
        let Some(processor) = &mut self.processors[usize::from(me)] else { return };
        match event {
            Event::Apply { index, request, token } => {
                processor.state.push(request.clone());
                self.answered.extend(token);
                processor.place = (index, if processor.place.0 == index { processor.place.1 + 1 } else { 1 });
                let slot = self.log.entry(index).or_default();
                match slot.get(processor.place.1 - 1) {
                    Some(first) if *first == request => {}
                    Some(first) => {
                        self.odd.push(format!("p{me} applied {request:?} in slot {index}, and another {first:?}"));
                    }
                    None => slot.push(request),
                }
            }
            Event::Snapshot { to } => {
                processor.held.insert(to, processor.state.clone());
            }
            Event::Piece { to, .. } => {
                let held = processor.held.remove(&to).unwrap_or_default();
                let bytes = Bytes::from(held.join(&b","[..]));
                self.turn(me, |machine, out| machine.on_command(Command::Piece { to, bytes, is_last: true }, out));
            }
            Event::Install { state } => {
                let requests = state.split(|byte| *byte == b',').filter(|request| !request.is_empty());
                processor.state = requests.map(|request| state.slice_ref(request)).collect();
                let applied = processor.machine.applied();
                let mut first = BTreeSet::new();
                let log = self.log.range(..applied).flat_map(|(_, slot)| slot);
                let log: Vec<&Bytes> = log.filter(|request| first.insert(*request)).collect();
                if !log.iter().copied().eq(&processor.state) {
                    let held = &processor.state;
                    self.odd
                        .push(format!("p{me} is told the state {held:?} after {applied} slots, and that is {log:?}"));
                }
            }
            Event::Refused { .. } | Event::Unknown { .. } | Event::Role(_) | Event::Stuck => {}
        }
    }
}

fn empty(shape: &Shape) -> Arc<[AtomicU64]> {
    (0..shape.words()).map(|_| AtomicU64::new(0)).collect()
}

/// Memory that takes so many stores more.
struct Torn<'a> {
    words: &'a [AtomicU64],
    left: AtomicU64,
}

impl Words for Torn<'_> {
    fn load(&self, at: usize) -> u64 {
        self.words.load(at)
    }

    fn store(&self, at: usize, value: u64) {
        let left = self.left.load(Ordering::Relaxed);
        if left > 0 {
            self.left.store(left - 1, Ordering::Relaxed);
            self.words.store(at, value);
        }
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {
        fence(Ordering::SeqCst);
    }
}

/// Memory that somebody accesses who stands still before one access.
struct Halting<'a, F> {
    words: &'a [AtomicU64],
    left: &'a Cell<usize>,
    meanwhile: &'a RefCell<Option<F>>,
}

impl<F: FnOnce()> Halting<'_, F> {
    fn step(&self) {
        if self.left.get() == 0
            && let Some(meanwhile) = self.meanwhile.take()
        {
            meanwhile();
        }
        self.left.set(self.left.get().wrapping_sub(1));
    }
}

impl<F: FnOnce()> Words for Halting<'_, F> {
    fn load(&self, at: usize) -> u64 {
        self.step();
        self.words.load(at)
    }

    fn store(&self, at: usize, value: u64) {
        self.step();
        self.words.store(at, value);
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {
        self.step();
    }
}
