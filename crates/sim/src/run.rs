//! One seed from start to verdict: sixty virtual seconds of load and weather,
//! then calm, then the judges. Everything in it follows from the plan and the
//! seed, so a seed is a bug report.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use skein_machine::{Boot, Cluster, Down, Ordering, ProcessId, Random, Up};

use crate::askers::Askers;
use crate::check::{Claims, LIVENESS, Violation, judge};
use crate::readers::Readers;
use crate::sessions::{Alarm, Sessions};
use crate::stand_in::StandIn;
use crate::weather::{FaultCounts, Storm};
use crate::{DiskHabits, History, Latency, Load, Nanos, Occurrence, SECOND, Trace, Weather, World};

/// After the faults have stopped, everything must be delivered within this.
pub const CALM_BOUND: Nanos = 60 * SECOND;

/// Where the processes stand and what happens to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Random delays and every kind of fault.
    Swarm,
    /// Random delays, no fault.
    Calm,
    /// One cluster in one room.
    Lan,
    /// Three regions, each group over all of them, leaders together.
    Colocated,
    /// A region for every group.
    Distributed,
    /// Nine regions of a real cloud.
    Planet,
}

impl Scenario {
    /// Whether processes, links, disks or clocks fail in it.
    pub fn has_faults(self) -> bool {
        self == Scenario::Swarm
    }
}

/// What to run, but for the seed.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The processes.
    pub cluster: Arc<Cluster>,
    /// Where they stand, and the weather.
    pub scenario: Scenario,
    /// What is asked of them.
    pub load: Load,
    /// How long load and weather last.
    pub duration: Nanos,
    /// What must hold.
    pub claims: Claims,
    /// Hardware clocks stay within this of true time, where the protocol relies on it.
    pub clock_bound: Option<Nanos>,
    /// Faults strike so many times as often as usual.
    pub severity: f64,
}

/// What a seed did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Virtual time.
    pub virtual_time: Nanos,
    /// Messages that sessions sent, retries not counted.
    pub multicasts: u64,
    /// Deliveries at all processes, repetitions not counted.
    pub deliveries: u64,
    /// Messages between processes.
    pub messages: u64,
    /// What broke.
    pub faults: FaultCounts,
}

/// What a seed did, and what was wrong with it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What happened.
    pub counts: Counts,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// The interaction in words, if it was wanted.
    pub trace: String,
}

impl Outcome {
    /// Whether a property was broken, beyond being late.
    pub fn is_wrong(&self) -> bool {
        self.violations.iter().any(|violation| violation.property != LIVENESS)
    }

    /// Whether something never came that should have.
    pub fn is_stuck(&self) -> bool {
        self.violations.iter().any(|violation| violation.property == LIVENESS)
    }
}

/// Runs one seed. A machine that panics breaks the property `invariant`.
pub fn run_seed<M: Ordering + 'static>(
    plan: &Plan,
    seed: u64,
    trace: Option<Trace>,
    maker: impl Fn(ProcessId, Boot) -> M + 'static,
) -> Outcome {
    let mut run = Run::new(plan, seed, trace, maker);
    let panicked = catch_unwind(AssertUnwindSafe(|| run.play())).err();
    if panicked.is_none() {
        run.miss_what_never_came();
    }
    run.history.traffic = run.world.take_traffic();
    let history = run.history;
    let counts = Counts {
        virtual_time: run.world.now(),
        multicasts: run.sessions.multicasts,
        deliveries: history.delivery_count(),
        messages: history.traffic.len() as u64,
        faults: run.weather.counts,
    };
    let mut violations = Vec::new();
    if let Some(panic) = &panicked {
        let detail = format!("at {:.6} s: {}", run.world.now() as f64 / SECOND as f64, words_of(panic.as_ref()));
        violations.push(Violation { property: "invariant", detail });
    }
    // A run that was cut short is not over: nothing can be said of what it would have delivered.
    let claims = Claims { is_over: plan.claims.is_over && panicked.is_none(), ..plan.claims };
    violations.extend(judge(&history, &claims));
    Outcome { seed, counts, violations, trace: run.world.trace().to_owned() }
}

/// What a panic said.
pub fn words_of(panic: &(dyn std::any::Any + Send)) -> String {
    match (panic.downcast_ref::<String>(), panic.downcast_ref::<&str>()) {
        (Some(text), _) => text.clone(),
        (_, Some(text)) => (*text).to_owned(),
        _ => "a panic without words".to_owned(),
    }
}

struct Run<M: Ordering> {
    world: World<M>,
    sessions: Sessions,
    weather: Weather,
    readers: Option<Readers>,
    askers: Option<Askers>,
    history: History,
    duration: Nanos,
    /// What the numbers behind wakes stand for.
    wakes: Vec<Wake>,
    /// Wakes that are over, to be used again.
    free: Vec<usize>,
    service: StandIn,
}

#[derive(Clone, Copy)]
enum Wake {
    Session(Alarm),
    Weather(Storm),
    Reader,
    Asker,
}

impl<M: Ordering + 'static> Run<M> {
    fn new(plan: &Plan, seed: u64, trace: Option<Trace>, maker: impl Fn(ProcessId, Boot) -> M + 'static) -> Run<M> {
        let mut random = Random::new(seed);
        let processes: Vec<ProcessId> = plan.cluster.processes().collect();
        let latency = match plan.scenario {
            Scenario::Swarm | Scenario::Calm => Latency::varied(&processes, &mut random.fork(1)),
            Scenario::Lan => Latency::lan(&plan.cluster),
            Scenario::Colocated => Latency::colocated(&plan.cluster),
            Scenario::Distributed => Latency::distributed(&plan.cluster),
            Scenario::Planet => Latency::planet(&plan.cluster),
        };
        let world_seed = random.fork(2).word();
        let sessions = Sessions::new(plan.load.clone(), &plan.cluster, random.fork(3));
        let weather = match plan.scenario {
            Scenario::Swarm => Weather::swarm(plan.cluster.clone(), plan.clock_bound, plan.severity, random.fork(4)),
            _ => Weather::none(plan.cluster.clone()),
        };
        let readers = plan.load.readers.then(|| Readers::new(&plan.cluster, random.fork(5)));
        let askers = plan.load.asks_for_read_points.then(|| Askers::new(&plan.cluster, random.fork(6)));
        let mut world = World::new(&processes, latency, DiskHabits::GOOD, world_seed, Box::new(maker));
        world.let_turns_linger();
        if let Some(trace) = trace {
            world.set_trace(trace);
        }
        Run {
            world,
            sessions,
            weather,
            readers,
            askers,
            history: History::new(plan.cluster.clone(), plan.claims.conflicts),
            duration: plan.duration,
            wakes: Vec::new(),
            free: Vec::new(),
            service: StandIn::default(),
        }
    }

    fn play(&mut self) {
        let storms = self.weather.begin(&mut self.world);
        self.world.start();
        for (at, storm) in storms {
            self.plan(at, Wake::Weather(storm));
        }
        for (at, alarm) in self.sessions.first_alarms() {
            self.plan(at, Wake::Session(alarm));
        }
        self.plan_reader();
        self.plan_asker();
        self.run_until(self.duration);
        self.world.remark("calm");
        self.sessions.close();
        self.weather.calm(&mut self.world);
        let bound = self.duration + CALM_BOUND;
        let mut was_quiet = false;
        while self.world.now() < bound {
            self.run_until(self.world.now() + SECOND / 2);
            let is_read = self.readers.as_ref().is_none_or(|readers| readers.open(&self.world).is_empty());
            let is_read = is_read && self.askers.as_ref().is_none_or(|askers| askers.open(&self.world).is_empty());
            let is_told = !self.sessions.is_waiting() && self.history.unfinished() == 0;
            let is_quiet = is_read && is_told && self.behind().next().is_none();
            // Quiet twice: whatever still travels must do no harm either, and what it sets off is judged at its end.
            if is_quiet && was_quiet {
                break;
            }
            was_quiet = is_quiet;
        }
    }

    /// What a reader waits for, and its replica still lives, had a calm time to come. So had what a state lacks.
    fn miss_what_never_came(&mut self) {
        for words in self.readers.iter().flat_map(|readers| readers.open(&self.world)) {
            self.history.odd(LIVENESS, words);
        }
        for words in self.askers.iter().flat_map(|askers| askers.open(&self.world)) {
            self.history.odd(LIVENESS, words);
        }
        let behind: Vec<String> = self.behind().collect();
        for words in behind {
            self.history.odd(LIVENESS, words);
        }
    }

    /// The replicas whose states do not hold all that their group has delivered, in words. Asked only where some
    /// messages commute: elsewhere a state is behind, and has no hole.
    fn behind(&self) -> impl Iterator<Item = String> {
        let states = self.history.states().into_iter();
        states.flat_map(|states| self.history.replicas().map(move |process| (states, process))).filter_map(
            |(states, process)| {
                let group = self.history.cluster().group_of(process).expect("a replica has a group");
                let missing = states.missing(process, group, self.world.life(process)?);
                (missing > 0).then(|| format!("the state of {process} lacks {missing} messages that {group} delivered"))
            },
        )
    }

    fn run_until(&mut self, horizon: Nanos) {
        while let Some(occurrence) = self.world.next(horizon) {
            match occurrence {
                Occurrence::Told { process, life, event } => self.hear(process, life, event),
                Occurrence::Stopped(process) => {
                    let (at, storm) = self.weather.stopped(process, &self.world);
                    self.plan(at, Wake::Weather(storm));
                }
                Occurrence::Wake(number) => self.wake(number as usize),
            }
        }
    }

    fn wake(&mut self, number: usize) {
        self.free.push(number);
        match self.wakes[number] {
            Wake::Session(alarm) => {
                if let Some((at, next)) = self.sessions.wake(alarm, &mut self.world, &mut self.history) {
                    self.plan(at, Wake::Session(next));
                }
            }
            Wake::Weather(storm) => {
                for (at, next) in self.weather.wake(storm, &mut self.world, || Down::Retire) {
                    self.plan(at, Wake::Weather(next));
                }
            }
            Wake::Reader => {
                if self.world.now() < self.duration
                    && let Some(readers) = &mut self.readers
                {
                    readers.ask(&mut self.world);
                    self.plan_reader();
                }
            }
            Wake::Asker => {
                if self.world.now() < self.duration
                    && let Some(askers) = &mut self.askers
                {
                    askers.ask(&mut self.world, &mut self.history);
                    self.plan_asker();
                }
            }
        }
    }

    fn plan_reader(&mut self) {
        if let Some(readers) = &mut self.readers {
            let at = self.world.now() + readers.pause();
            self.plan(at, Wake::Reader);
        }
    }

    fn plan_asker(&mut self) {
        if let Some(askers) = &mut self.askers {
            let at = self.world.now() + askers.pause();
            self.plan(at, Wake::Asker);
        }
    }

    fn plan(&mut self, at: Nanos, wake: Wake) {
        let number = match self.free.pop() {
            Some(number) => {
                self.wakes[number] = wake;
                number
            }
            None => {
                self.wakes.push(wake);
                self.wakes.len() - 1
            }
        };
        self.world.wake_at(at, number as u64);
    }

    /// Stands where a replica stands.
    fn hear(&mut self, process: ProcessId, life: u32, event: Up) {
        let now = self.world.now();
        match event {
            Up::Deliver(delivery) => {
                self.service.apply(&mut self.history, process, life, &delivery);
                self.history.delivered(now, process, life, &delivery);
                if let Some(readers) = &mut self.readers {
                    readers.delivered(delivery.timestamp);
                }
                if let Some(askers) = &mut self.askers {
                    askers.delivered(process, delivery.timestamp);
                }
                if let Some((at, alarm)) = self.sessions.heard(now, delivery.message.id, delivery.timestamp) {
                    self.plan(at, Wake::Session(alarm));
                }
            }
            Up::Busy(busy) => self.sessions.turned_away(now, busy.id),
            Up::WantCheckpoint => {
                let (position, bytes) = self.service.hand_in(&self.history, process, life);
                self.world.command(process, Down::Checkpointed { position, bytes });
            }
            Up::Install { position, bytes } => {
                self.service.install(&mut self.history, now, (process, life), position, bytes);
            }
            Up::Done { id, timestamp } => {
                self.history.done(process, id, timestamp);
                if let Some((at, alarm)) = self.sessions.heard(now, id, timestamp) {
                    self.plan(at, Wake::Session(alarm));
                }
            }
            Up::Expired(id) => {
                self.history.expired(process, id);
                self.sessions.expired(id, &mut self.history);
            }
            Up::SafeTime(timestamp) => {
                self.history.safe_time(process, life, timestamp);
                self.sessions.passed(timestamp);
                if let Some(readers) = &mut self.readers {
                    readers.told(process, life, timestamp);
                }
            }
            Up::ReadPoint { round, timestamp } => {
                self.history.read_point(process, life, round, timestamp);
                if let Some(askers) = &mut self.askers {
                    askers.answered(process, life, round);
                }
            }
            Up::Settled(stamp) => self.history.settled(process, stamp),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Mix;
    use skein_machine::wire::Nothing;
    use skein_machine::{Delivery, Machine, MessageId, Multicast, Out, SessionId, Time, Timestamp};

    /// One group of two: the first orders everything, the second follows. What the session 1 sends waits
    /// until somewhat after the calm has begun, and a little longer at the second.
    struct Sluggish {
        me: ProcessId,
        known: std::collections::BTreeSet<MessageId>,
        waiting: Vec<Multicast>,
        is_late: bool,
        delivered: u64,
        clock: Timestamp,
    }

    const FIRST: ProcessId = ProcessId(0);
    const SECOND_ONE: ProcessId = ProcessId(1);
    const LOAD_LASTS: Nanos = 10 * SECOND;

    impl Sluggish {
        fn take(&mut self, message: Multicast, out: &mut Out<Sluggish>) {
            if !self.known.insert(message.id) {
                return;
            }
            if message.id.session == SessionId(1) && !self.is_late {
                self.waiting.push(message);
                return;
            }
            self.clock = self.clock.max(message.floor).next();
            if self.me == FIRST {
                out.send(SECOND_ONE, message.clone());
            }
            out.emit(Up::Deliver(Delivery { position: self.delivered, timestamp: self.clock, message }));
            self.delivered += 1;
        }
    }

    impl Machine for Sluggish {
        type Command = Down;
        type Message = Multicast;
        type Timer = ();
        type Record = Nothing;
        type Event = Up;

        fn restore(&mut self, record: Nothing) {
            match record {}
        }

        fn start(&mut self, _: Time, _: u64, out: &mut Out<Sluggish>) {
            let until = if self.me == FIRST { LOAD_LASTS + 9 * SECOND / 10 } else { LOAD_LASTS + 12 * SECOND / 10 };
            out.arm((), std::time::Duration::from_nanos(until));
        }

        fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Sluggish>) {
            let Down::Multicast(message) = command else { panic!("nothing else is asked for") };
            if self.me == FIRST { self.take(message, out) } else { out.send(FIRST, message) }
        }

        fn on_message(&mut self, _: Time, _: ProcessId, message: Multicast, out: &mut Out<Sluggish>) {
            self.take(message, out);
        }

        fn on_timer(&mut self, _: Time, (): (), out: &mut Out<Sluggish>) {
            self.is_late = true;
            for message in std::mem::take(&mut self.waiting) {
                self.known.remove(&message.id);
                self.take(message, out);
            }
        }

        fn check(&self) {}
    }

    /// A message whose session died may be delivered by nobody, or late. It must not be judged half-way.
    #[test]
    fn what_comes_up_after_the_calm_is_seen_through_to_its_end() {
        let cluster = Arc::new(Cluster::regular(1, 2, 1).unwrap());
        let plan = Plan {
            load: Load {
                per_second: 40.0,
                mix: Mix::usual(&cluster),
                payload: 8,
                expiry: None,
                misbehaves: true,
                readers: false,
                asks_for_read_points: false,
            },
            cluster,
            scenario: Scenario::Calm,
            duration: LOAD_LASTS,
            claims: Claims::CLASSIC,
            clock_bound: None,
            severity: 1.0,
        };
        let maker = |me, _| Sluggish {
            me,
            known: std::collections::BTreeSet::new(),
            waiting: Vec::new(),
            is_late: false,
            delivered: 0,
            clock: Timestamp::ZERO,
        };
        for seed in 0..10 {
            let outcome = run_seed(&plan, seed, None, maker);
            assert_eq!(outcome.violations, [], "seed {seed}");
        }
    }
}
