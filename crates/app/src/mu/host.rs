//! [`Host`]: drives one processor of Mu on memory that is at hand. The thread
//! that calls it performs the verbs itself, so what comes of them is known at
//! once, and a request is replicated before the call is over.
//!
//! It never waits, has no thread and takes no lock. On the way of a leader's
//! request nothing is allocated and the system is not called; what comes by
//! again and again is done when nobody waits.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use skein_machine::{Effect, Out};
use skein_order::Planted;
use skein_order::mu::memory::Memory;
use skein_order::mu::verb::{Message, Outcome, Verb};
use skein_order::mu::{Command, Event, Mu, Options, Replica, Shape};

use super::ground::{Ground, News};
use super::timers::Timers;

/// How often a replica that polls looks whether the others live: a system call for each of them, and the larger part of
/// the time after which another leads when a leader dies.
const WATCH: Duration = Duration::from_micros(50);

/// The same for one that leads. Nothing that it does waits for it.
const WATCH_LEADING: Duration = Duration::from_millis(1);

/// Who is told what happens.
pub(super) trait User {
    /// Something happened, and may want an answer.
    fn told(&mut self, event: Event) -> Option<Command>;
}

/// A processor and what it stands on.
pub(super) struct Host<G> {
    replica: Replica,
    ground: G,
    shape: Shape,
    me: usize,
    out: Out<Mu>,
    timers: Timers,
    clock: Instant,
    /// What the clock said when it was looked at last. Timers are armed from there, so now and then one is early.
    now: u64,
    watch_at: u64,
    /// Writes that were performed in this turn, and may count.
    writes: Vec<(u8, Verb)>,
    /// What came of verbs.
    outcomes: Vec<(u8, Outcome)>,
    /// What its user said to what it was told.
    answers: Vec<Command>,
    room: BytesMut,
}

impl<G: Ground> Host<G> {
    /// A processor begins to live.
    pub(super) fn start(options: Options, ground: G, seed: u64, user: &mut impl User) -> Host<G> {
        let (shape, me) = (options.shape, usize::from(options.me));
        let mut host = Host {
            replica: Replica::new(options, Planted::NONE),
            ground,
            shape,
            me,
            out: Out::new(),
            timers: Timers::new(),
            clock: Instant::now(),
            now: 0,
            watch_at: 0,
            writes: Vec::new(),
            outcomes: Vec::new(),
            answers: Vec::new(),
            room: BytesMut::new(),
        };
        host.replica.start(seed, &mut host.out);
        host.settle(user);
        host
    }

    /// Its user asks for something: a turn, and all turns that follow from it.
    #[inline]
    pub(super) fn command(&mut self, command: Command, user: &mut impl User) {
        self.replica.on_command(command, &mut self.out);
        self.settle(user);
    }

    /// Whatever is ready. Whether there was anything for its user.
    #[inline]
    pub(super) fn poll(&mut self, user: &mut impl User) -> bool {
        let applied = self.replica.applied();
        self.keep_time(user);
        if self.now >= self.watch_at {
            self.watch(user);
        }
        self.replica.applied() != applied
    }

    /// Timers that came due, each once.
    #[inline]
    pub(super) fn keep_time(&mut self, user: &mut impl User) {
        self.now = self.clock.elapsed().as_nanos() as u64;
        let mut is_due = false;
        for nth in 0..Timers::KINDS {
            if let Some(timer) = self.timers.take(nth, self.now) {
                self.replica.on_timer(timer, &mut self.out);
                is_due = true;
            }
        }
        if is_due {
            self.settle(user);
        }
    }

    #[cold]
    fn watch(&mut self, user: &mut impl User) {
        let every = if self.replica.leads() { WATCH_LEADING } else { WATCH };
        self.watch_at = self.now + every.as_nanos() as u64;
        let Host { ground, replica, out, .. } = self;
        ground.look(&mut |news| match news {
            News::Died(other) => replica.on_command(Command::Died(other), out),
            News::Changed(other) => replica.on_reconnect(other, out),
        });
        self.settle(user);
    }

    /// Ends the turn, does what it asked for, and hands back what came of it, until nothing is left.
    #[inline]
    fn settle(&mut self, user: &mut impl User) {
        loop {
            self.replica.finish(&mut self.out);
            if self.out.is_empty() {
                return;
            }
            self.perform(user);
            self.count_writes();
            // Mostly there are none: what a leader does again and again is to write.
            if !self.outcomes.is_empty() {
                for (memory, outcome) in self.outcomes.drain(..) {
                    self.replica.on_outcome(memory, outcome, &mut self.out);
                }
            }
            if !self.answers.is_empty() {
                for answer in self.answers.drain(..) {
                    self.replica.on_command(answer, &mut self.out);
                }
            }
        }
    }

    #[inline]
    fn perform(&mut self, user: &mut impl User) {
        let Host { ground, shape, me, out, timers, now, writes, outcomes, answers, room, .. } = self;
        for effect in out.drain() {
            match effect {
                Effect::Send(to, Message::Do(verb)) => {
                    let memory = usize::from(to.as_slice()[0].0) - shape.replicas;
                    // What is asked of a memory that is lost does not happen, as when a link breaks.
                    let Some(words) = ground.words(memory) else { continue };
                    let outcome = verb.perform(&Memory::new(words, shape, Planted::NONE), *me, room);
                    if verb.is_write() {
                        // It is kept and not dropped here: to give a value back is a locked instruction, which would
                        // wait until this memory has the words before the next one is begun.
                        writes.push((memory as u8, verb));
                    } else if let Some(outcome) = outcome {
                        outcomes.push((memory as u8, outcome));
                    }
                }
                Effect::Emit(event) | Effect::EmitEarly(event) => answers.extend(user.told(event)),
                Effect::Arm(timer, after) => timers.arm(&timer, *now, after),
                Effect::Disarm(timer) => timers.disarm(&timer),
                other => unreachable!("a processor asks nothing else of its host: {other:?}"),
            }
        }
    }

    /// One fence for all writes of a turn, and then whether their grants stood.
    #[inline]
    fn count_writes(&mut self) {
        let Host { ground, shape, replica, out, writes, me, .. } = self;
        if writes.is_empty() {
            return;
        }
        if let Some(words) = ground.words(*me) {
            Memory::new(words, shape, Planted::NONE).fence();
        }
        for (memory, verb) in &*writes {
            let Some(words) = ground.words(usize::from(*memory)) else { continue };
            if let Some(outcome) = verb.outcome(&Memory::new(words, shape, Planted::NONE)) {
                replica.on_outcome(*memory, outcome, out);
            }
        }
        writes.clear();
    }

    pub(super) fn applied(&self) -> u64 {
        self.replica.applied()
    }

    pub(super) fn applied_by(&self, replica: usize) -> Option<u64> {
        let words = self.ground.words(replica)?;
        Some(Memory::new(words, &self.shape, Planted::NONE).look(self.me).applied)
    }

    pub(super) fn is_well(&self) -> bool {
        self.replica.is_well()
    }
}
