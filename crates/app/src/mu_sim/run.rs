//! [`Stage`]: one run, from the first beat to the verdict.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use skein_machine::{
    Boot, Call, Frozen, GroupId, MessageId, ProcessId, Random, Reply, Service, Shares, Stamp, Timestamp,
};
use skein_order::Planted;
use skein_order::mu::memory::{End, Progress};
use skein_order::mu::{Command, Event, Mu, Options, Pace, Registers, Replica, Shape};
use skein_sim::check::Violation;
use skein_sim::lists::Lists;
use skein_sim::run::words_of;
use skein_sim::{DiskHabits, Latency, MICROSECOND, MILLISECOND, Nanos, Occurrence, SECOND, Trace, World};

use super::clients::{Clients, Heard};
use super::judge::Judge;
use super::weather::Weather;

/// A run before it begins.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many replicas.
    pub replicas: usize,
    /// How long the weather lasts.
    pub span: Nanos,
    /// Memories are at the other end of links that break, and may be lost.
    pub is_network: bool,
    /// The rule that is broken, if any.
    pub planted: Planted,
    /// Whether everything that happens is written down.
    pub traces: bool,
}

impl Plan {
    /// Three processes of one host that share memory, which no process takes along when it dies.
    pub fn shared(span: Nanos) -> Plan {
        Plan { replicas: 3, span, is_network: false, planted: Planted::NONE, traces: false }
    }

    /// Three hosts, each with a memory that can be lost.
    pub fn network(span: Nanos) -> Plan {
        Plan { is_network: true, ..Plan::shared(span) }
    }
}

/// What happened in a run, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// What clients asked for.
    pub operations: u64,
    /// What they were answered.
    pub answered: u64,
    /// Requests that replicas applied.
    pub applied: u64,
    /// Processors that died.
    pub crashes: u64,
    /// Processors that stood still.
    pub pauses: u64,
    /// Memories that were lost.
    pub losses: u64,
    /// Links that broke.
    pub breaks: u64,
    /// How often somebody began to lead.
    pub leaders: u64,
    /// States that were fetched.
    pub states: u64,
    /// Virtual time.
    pub nanos: u64,
}

/// What a run came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What is wrong.
    pub violations: Vec<Violation>,
    /// What happened.
    pub counts: Counts,
    /// In words, if that was asked for.
    pub trace: String,
}

impl Outcome {
    /// In the words in which runs of every kind are told: a link that broke is a partition, a memory that was lost a
    /// fault of a disk.
    pub fn into_outcome(self, seed: u64) -> skein_sim::Outcome {
        let Counts { operations, applied, crashes, losses, breaks, nanos, .. } = self.counts;
        let mut counts = skein_sim::Counts { virtual_time: nanos, multicasts: operations, ..Default::default() };
        counts.deliveries = applied;
        counts.faults.crashes = crashes;
        counts.faults.partitions = breaks;
        counts.faults.disk_faults = losses;
        skein_sim::Outcome { seed, counts, violations: self.violations, trace: self.trace }
    }
}

/// After the weather, all must be well within so long.
const CALM: Nanos = 8 * SECOND;

/// What wakes the stage.
const WEATHER: u64 = 0;
const CLIENTS: u64 = 1;

/// Everything that takes part.
pub(super) struct Stage {
    pub(super) world: World<Mu>,
    pub(super) plan: Plan,
    pub(super) hosts: Vec<Host>,
    pub(super) counts: Counts,
    pub(super) judge: Judge,
}

/// What stands around a processor.
pub(super) struct Host {
    life: u32,
    lists: Lists,
    /// States that others fetch.
    held: Vec<Option<Box<dyn Frozen>>>,
    nth: u32,
    index: u64,
}

impl Host {
    fn new(replicas: usize) -> Host {
        let held = (0..replicas).map(|_| None).collect();
        Host { life: 0, lists: Lists::new(1), held, nth: 0, index: 0 }
    }

    fn apply(&mut self, index: u64, request: &Bytes) -> Reply {
        self.nth = if index == self.index { self.nth + 1 } else { 0 };
        self.index = index;
        let stamp = Stamp { timestamp: Timestamp(index + 1), id: MessageId::new(1, index + 1, 0b1) };
        let group = GroupId::new(0).expect("there is a first group");
        self.lists.apply(&Call { stamp, nth: self.nth, group, command: request }, &Shares::none())
    }
}

/// Runs one seed and judges it. A processor that panics breaks the property `invariant`.
pub fn run_seed(seed: u64, plan: &Plan) -> Outcome {
    let mut random = Random::new(seed);
    let mut stage = Stage::new(plan.clone(), &mut random);
    let mut clients = Clients::new(plan.replicas, random.fork(1));
    let mut weather = Weather::new(plan, random.fork(2));
    let beginning = random.below(MILLISECOND);
    let panicked = catch_unwind(AssertUnwindSafe(|| stage.play(&mut clients, &mut weather, beginning))).err();
    let mut outcome = stage.verdict(&clients);
    if let Some(panic) = panicked {
        let detail = words_of(panic.as_ref());
        outcome.violations.insert(0, Violation { property: "invariant", detail });
    }
    outcome
}

impl Stage {
    fn new(plan: Plan, random: &mut Random) -> Stage {
        let replicas = plan.replicas;
        let processes: Vec<ProcessId> = (0..2 * replicas as u16).map(ProcessId).collect();
        let near = |one: ProcessId, other: ProcessId| usize::from(one.0.abs_diff(other.0)) == replicas;
        let latency =
            Latency::between(
                &processes,
                0.5,
                |one, other| {
                    if near(one, other) { 2 * MICROSECOND } else { 10 * MICROSECOND }
                },
            );
        let slots = 1 << random.between(3, 6);
        let shape = Shape { replicas, slots, value_bytes: 200, piece_bytes: 1 << 15 };
        let window = random.between(1, (slots as u64 / 2).min(16));
        // Many runs have calm memories, in which nothing is torn: the rare things need many others to go well.
        let lingers = *random.pick(&[20, 200, 1000]);
        // Mostly whoever lives is seen to live between two ticks; a replica that is too hasty must do no harm either.
        let tick = if random.chance(0.9) { 4 * lingers.max(250) } else { 1000 };
        let pace = Pace {
            look: Duration::from_micros(random.between(100, 400)),
            glance: Duration::from_micros(random.between(100, 400)),
            tick: Duration::from_micros(tick),
            flush: Duration::from_micros(random.between(10, 300)),
            backoff: Duration::from_micros(random.between(1, tick)),
        };
        let lingers = Some(Duration::from_micros(lingers)).filter(|_| !plan.is_network || random.chance(0.5));
        let planted = plan.planted;
        let born: RefCell<BTreeSet<ProcessId>> = RefCell::default();
        let make = move |process: ProcessId, _: Boot| {
            let is_first = born.borrow_mut().insert(process);
            let me = usize::from(process.0);
            if me < replicas {
                let options = Options { me: me as u8, shape, window, queue: 64, pace: pace.clone() };
                Mu::Replica(Box::new(Replica::new(options, planted)))
            } else {
                Mu::Memory(Box::new(Registers::new((me - replicas) as u8, shape, is_first, lingers, planted)))
            }
        };
        let mut world = World::new(&processes, latency, DiskHabits::INSTANT, random.word(), Box::new(make));
        if random.chance(0.3) {
            world.let_turns_linger();
        }
        if plan.traces {
            world.set_trace(Trace::brief());
        }
        let hosts = (0..replicas).map(|_| Host::new(replicas)).collect();
        Stage { world, hosts, judge: Judge::new(replicas), plan, counts: Counts::default() }
    }

    /// From the first beat until all is calm and level.
    fn play(&mut self, clients: &mut Clients, weather: &mut Weather, beginning: Nanos) {
        self.world.start();
        self.world.wake_at(beginning, CLIENTS);
        self.world.wake_at(10 * MILLISECOND, WEATHER);
        let mut is_calm = false;
        while let Some(occurrence) = self.world.next(self.plan.span + CALM) {
            match occurrence {
                Occurrence::Told { process, life, event } => self.told(process, life, event, clients),
                Occurrence::Wake(WEATHER) if self.world.now() < self.plan.span => {
                    let after = weather.change(self, clients);
                    self.world.wake_at(self.world.now() + after, WEATHER);
                }
                Occurrence::Wake(WEATHER) => {
                    weather.calm(self);
                    is_calm = true;
                }
                Occurrence::Wake(_) => {
                    let after = clients.act(self);
                    self.world.wake_at(self.world.now() + after, CLIENTS);
                }
                Occurrence::Stopped(process) => panic!("{process} has no disk that could stop it"),
            }
            if is_calm && clients.close(self) {
                break;
            }
        }
    }

    /// A processor told its user something.
    fn told(&mut self, process: ProcessId, life: u32, event: Event, clients: &mut Clients) {
        let (me, now) = (usize::from(process.0), self.world.now());
        if self.world.life(process) != Some(life) {
            // It was said by a life that is over; nobody is there to act on it, but it was said.
            if let Event::Apply { index, request, .. } = &event {
                self.judge.applied(process, life, *index, request);
            }
            return;
        }
        if self.hosts[me].life != life {
            self.hosts[me] = Host { life, ..Host::new(self.plan.replicas) };
        }
        match event {
            Event::Apply { index, request, token } => {
                self.counts.applied += 1;
                self.judge.applied(process, life, index, &request);
                let reply = self.hosts[me].apply(index, &request);
                if let Some(token) = token {
                    self.counts.answered += 1;
                    clients.hear(now, token, Heard::Answer(&reply));
                }
            }
            Event::Refused { token, .. } => clients.hear(now, token, Heard::Refusal),
            Event::Unknown { token } => clients.hear(now, token, Heard::Nothing),
            Event::Role(role) => {
                self.counts.leaders += u64::from(role == skein_order::mu::Role::Leading);
            }
            Event::Snapshot { to } => {
                let frozen = self.hosts[me].lists.snapshot();
                self.hosts[me].held[usize::from(to)] = Some(frozen);
            }
            Event::Piece { to, most } => {
                let held = self.hosts[me].held[usize::from(to)].as_mut();
                let bytes = held.and_then(|held| held.next(most));
                let is_last = bytes.is_none();
                let bytes = bytes.unwrap_or_default();
                self.world.command(process, Command::Piece { to, bytes, is_last });
            }
            Event::Install { state } => {
                self.counts.states += 1;
                self.judge.installed(process, life);
                self.hosts[me].lists.restore(state).expect("a state is one");
            }
            // It may come yet; if not, the end does not come either.
            Event::Stuck => {}
        }
    }

    /// Whether a processor is up and has what it needs to go on by itself.
    pub(super) fn is_well(&self, replica: usize) -> bool {
        let gauge = |wanted: &str| {
            let mut value = 0;
            let machine = self.world.machine(ProcessId(replica as u16));
            if let Some(machine) = machine {
                skein_machine::Machine::gauges(machine, &mut |name, now| {
                    if name == wanted {
                        value = now;
                    }
                });
            }
            value
        };
        self.world.is_up(ProcessId(replica as u16)) && gauge("mu_life") > 0 && gauge("mu_behind") == 0
    }

    pub(super) fn applied(&self, replica: usize) -> u64 {
        match self.world.machine(ProcessId(replica as u16)) {
            Some(Mu::Replica(machine)) => machine.applied(),
            _ => 0,
        }
    }

    /// Whether a memory holds everything that it once knew.
    pub(super) fn is_whole(&self, replica: usize) -> bool {
        self.progress(replica).is_some_and(|progress| progress.is_whole)
    }

    /// What is noted in the copy of the log that a memory has granted last.
    fn progress(&self, replica: usize) -> Option<Progress> {
        let memory = ProcessId((self.plan.replicas + replica) as u16);
        let Some(Mu::Memory(registers)) = self.world.machine(memory) else { return None };
        let grant = registers.memory().look(0).grant;
        (grant.generation > 0).then(|| registers.memory().progress(usize::from(grant.place)))
    }

    /// Whether a processor is up and has a state that the memories can bring up to date. One that was started a moment
    /// ago, or that was not written to for a while, may have none, and not know it.
    pub(super) fn holds_state(&self, replica: usize) -> bool {
        let applied = self.applied(replica);
        self.is_well(replica) && (0..self.plan.replicas).all(|other| !self.is_past(other, applied))
    }

    /// The same, or all who lead have promised to wait for it: one of them may have been deposed and not know it.
    pub(super) fn keeps_state(&self, replica: usize) -> bool {
        let mut leaders = self.leaders();
        let waits = |(_, leader): (usize, &Replica)| leader.waits_for(replica as u8).is_some();
        let is_waited_for = leaders.next().is_some_and(waits) && leaders.all(waits);
        self.is_well(replica) && (self.holds_state(replica) || is_waited_for)
    }

    fn leaders(&self) -> impl Iterator<Item = (usize, &Replica)> {
        (0..self.plan.replicas).filter_map(|other| match self.world.machine(ProcessId(other as u16)) {
            Some(Mu::Replica(machine)) if machine.leads() => Some((other, &**machine)),
            _ => None,
        })
    }

    /// Whoever leads uses no slot again that somebody needs for whom it waits.
    pub(super) fn look_for_what_was_taken(&mut self) {
        let is_taken = |leader: usize, machine: &Replica, replica: usize| {
            let knows = machine.waits_for(replica as u8);
            let memory = ProcessId((self.plan.replicas + replica) as u16);
            let is_its = match self.world.machine(memory) {
                Some(Mu::Memory(registers)) => usize::from(registers.memory().look(0).grant.to) == leader,
                _ => false,
            };
            let applied = self.applied(replica);
            // A life that it does not know of yet may need more; so does one that has nothing yet, and fetches a state.
            knows.is_some_and(|known| (1..=applied).contains(&known)) && is_its && self.is_past(replica, applied)
        };
        let pairs = self.leaders().flat_map(|each| (0..self.plan.replicas).map(move |replica| (each, replica)));
        let found: Vec<_> = pairs
            .filter(|((leader, machine), replica)| leader != replica && is_taken(*leader, machine, *replica))
            .map(|((leader, machine), replica)| {
                let (known, applied) = (machine.waits_for(replica as u8).unwrap_or(0), self.applied(replica));
                format!(
                    "at {:.6} p{leader} leads, and took slots from p{replica} that it waits for: it knows of {known}, and \
                     that has applied {applied} ({:?})",
                    self.world.now() as f64 / 1e9,
                    self.progress(replica)
                )
            })
            .collect();
        found.into_iter().for_each(|detail| self.judge.odd(detail));
    }

    /// Whether a memory has given up the slot of this index.
    fn is_past(&self, replica: usize, index: u64) -> bool {
        let memory = ProcessId((self.plan.replicas + replica) as u16);
        let Some(Mu::Memory(registers)) = self.world.machine(memory) else { return false };
        let grant = registers.memory().look(0).grant;
        let place = (grant.place, grant.generation);
        let mut room = BytesMut::new();
        grant.generation > 0 && registers.memory().stretch(place, index, 1, &mut room).end == End::Gone
    }

    fn verdict(mut self, clients: &Clients) -> Outcome {
        self.counts.nanos = self.world.now();
        self.counts.operations = clients.operations.len() as u64;
        let lists: Vec<_> = self.hosts.iter().map(|host| host.lists.all()).collect();
        let trace = self.world.trace().to_owned();
        let violations = self.judge.verdict(clients, &lists);
        Outcome { violations, counts: self.counts, trace }
    }
}

/// Counts are added up over seeds.
impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.operations += other.operations;
        self.answered += other.answered;
        self.applied += other.applied;
        self.crashes += other.crashes;
        self.pauses += other.pauses;
        self.losses += other.losses;
        self.breaks += other.breaks;
        self.leaders += other.leaders;
        self.states += other.states;
        self.nanos += other.nanos;
    }
}
