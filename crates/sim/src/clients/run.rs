//! One seed of clients and weather: a minute of both, then calm, then a last
//! look at everything through every replica, then the judge.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use skein_machine::{Ask, Boot, Cluster, ProcessId, Random, Serving, Told};

use super::crowd::Crowd;
use super::habits::Habits;
use super::tongue::Tongue;
use crate::check::{LIVENESS, Violation, linear};
use crate::run::{CALM_BOUND, words_of};
use crate::weather::{FaultCounts, Storm};
use crate::{DiskHabits, Latency, Nanos, Occurrence, SECOND, Scenario, Trace, Weather, World};

/// Who died may have left something half begun that nobody waits for any more. Its partitions bring it to its end, and
/// repeat what they say every two seconds at most; so the last looks, which are not one moment, all see it, or none does.
const AFTERMATH: Nanos = 10 * SECOND;

/// What to run, but for the seed.
#[derive(Clone, Debug)]
pub struct ClientsPlan {
    /// The processes, in groups of one size.
    pub cluster: Arc<Cluster>,
    /// Where they stand, and the weather.
    pub scenario: Scenario,
    /// How many use the service.
    pub clients: usize,
    /// And how they are.
    pub habits: Habits,
    /// Whoever crashes loses what is on its disk, as if it kept everything in memory.
    pub is_forgetful: bool,
    /// Some ways are far longer than the way back: what one partition has done long ago another hears much later.
    pub is_lopsided: bool,
    /// How long they do, and faults strike.
    pub duration: Nanos,
    /// Hardware clocks stay within this of true time, where something relies on it.
    pub clock_bound: Option<Nanos>,
    /// Faults strike so many times as often as usual.
    pub severity: f64,
}

/// What a seed did, and what was wrong with it.
#[derive(Clone, Debug)]
pub struct ClientsOutcome {
    /// The seed.
    pub seed: u64,
    /// Virtual time.
    pub virtual_time: Nanos,
    /// What clients asked for.
    pub operations: u64,
    /// What they were answered.
    pub answered: u64,
    /// How long the answered ones took together.
    pub waited: Nanos,
    /// Messages between processes.
    pub messages: u64,
    /// What broke.
    pub faults: FaultCounts,
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// The interaction in words, if it was wanted.
    pub trace: String,
}

/// Runs one seed. A machine that panics breaks the property `invariant`.
pub fn run_clients<M: Serving + 'static>(
    plan: &ClientsPlan,
    seed: u64,
    trace: Option<Trace>,
    tongue: impl Tongue,
    maker: impl Fn(ProcessId, Boot) -> M + 'static,
) -> ClientsOutcome {
    let mut run = Run::new(plan, seed, trace, tongue, maker);
    let panicked = catch_unwind(AssertUnwindSafe(|| run.play())).err();
    let mut violations = Vec::new();
    if let Some(panic) = &panicked {
        let detail = format!("at {:.6} s: {}", run.world.now() as f64 / SECOND as f64, words_of(panic.as_ref()));
        violations.push(Violation { property: "invariant", detail });
    } else {
        let open = run.clients.open();
        let gauges: Vec<String> = if open.is_empty() { Vec::new() } else { run.gauges().collect() };
        violations
            .extend(open.into_iter().take(3).chain(gauges).map(|detail| Violation { property: LIVENESS, detail }));
    }
    let Crowd { operations, places, oddities, .. } = &run.clients;
    violations.extend(linear::check(operations));
    violations.extend(linear::check_places(operations, places));
    let odd = |detail: &String| Violation { property: linear::LINEARIZABLE, detail: detail.clone() };
    violations.extend(oddities.iter().map(odd));
    violations.truncate(12);
    let spans = operations.iter().filter_map(|operation| Some(operation.answered? - operation.asked));
    ClientsOutcome {
        seed,
        virtual_time: run.world.now(),
        operations: operations.len() as u64,
        answered: operations.iter().filter(|operation| operation.answered.is_some()).count() as u64,
        waited: spans.sum(),
        messages: run.world.traffic().len() as u64,
        faults: run.weather.counts,
        violations,
        trace: run.world.trace().to_owned(),
    }
}

struct Run<M: Serving, T: Tongue> {
    world: World<M>,
    clients: Crowd<T>,
    weather: Weather,
    duration: Nanos,
    wakes: Vec<Wake>,
}

#[derive(Clone, Copy)]
enum Wake {
    Client(usize),
    Weather(Storm),
}

impl<M: Serving + 'static, T: Tongue> Run<M, T> {
    fn new(
        plan: &ClientsPlan,
        seed: u64,
        trace: Option<Trace>,
        tongue: T,
        maker: impl Fn(ProcessId, Boot) -> M + 'static,
    ) -> Run<M, T> {
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
        let clients = Crowd::new(tongue, plan.clients, plan.habits, &plan.cluster, random.fork(3));
        let mut weather = match plan.scenario {
            Scenario::Swarm => Weather::swarm(plan.cluster.clone(), plan.clock_bound, plan.severity, random.fork(4)),
            _ => Weather::none(plan.cluster.clone()),
        };
        if plan.is_forgetful {
            weather.forget_with_every_crash();
        }
        let mut world = World::new(&processes, latency, DiskHabits::GOOD, world_seed, Box::new(maker));
        world.let_turns_linger();
        if plan.is_lopsided {
            let mut random = random.fork(5);
            let ways = processes.iter().flat_map(|from| processes.iter().map(move |to| (*from, *to)));
            for (from, to) in ways.filter(|(from, to)| from != to) {
                if random.chance(0.3) {
                    world.set_slowdown(from, to, random.between(20, 400) as f64);
                }
            }
        }
        if let Some(trace) = trace {
            world.set_trace(trace);
        }
        Run { world, clients, weather, duration: plan.duration, wakes: Vec::new() }
    }

    fn play(&mut self) {
        let storms = self.weather.begin(&mut self.world);
        self.world.start();
        storms.into_iter().for_each(|(at, storm)| self.plan(at, Wake::Weather(storm)));
        for number in 0..self.clients.count() {
            let at = self.clients.thinks_until(0);
            self.plan(at, Wake::Client(number));
        }
        self.run_until(self.duration);
        self.world.remark("calm");
        self.clients.close();
        self.weather.calm(&mut self.world);
        self.wait_for_answers(self.duration + CALM_BOUND);
        self.run_until(self.world.now() + AFTERMATH);
        self.world.remark("the last look");
        self.clients.look_at_everything(&mut self.world);
        self.wait_for_answers(self.world.now() + CALM_BOUND);
    }

    fn wait_for_answers(&mut self, bound: Nanos) {
        while self.clients.is_waiting() && self.world.now() < bound {
            self.run_until(self.world.now() + SECOND / 4);
        }
    }

    fn run_until(&mut self, horizon: Nanos) {
        while let Some(occurrence) = self.world.next(horizon) {
            match occurrence {
                Occurrence::Told { event, .. } => self.hear(event),
                Occurrence::Stopped(process) => {
                    let (at, storm) = self.weather.stopped(process, &self.world);
                    self.plan(at, Wake::Weather(storm));
                }
                Occurrence::Wake(number) => match self.wakes[number as usize] {
                    Wake::Client(client) => {
                        let at = self.clients.wake(client, &mut self.world);
                        self.world.wake_at(at, number);
                    }
                    Wake::Weather(storm) => {
                        let next = self.weather.wake(storm, &mut self.world, || Ask::Retire);
                        next.into_iter().for_each(|(at, storm)| self.plan(at, Wake::Weather(storm)));
                    }
                },
            }
        }
    }

    fn hear(&mut self, told: Told) {
        // A client that was answered looks around again when its next glance is due, which is soon enough.
        self.clients.hear(told, &mut self.world);
    }

    /// How every replica is, for whoever looks for what it waits for.
    fn gauges(&self) -> impl Iterator<Item = String> {
        self.clients.replicas().iter().map(|process| {
            let mut words = format!("{process}:");
            if let Some(machine) = self.world.machine(*process) {
                machine.gauges(&mut |name, value| {
                    if value > 0 {
                        words += &format!(" {name} {value}");
                    }
                });
                for id in machine.waiting(2) {
                    words +=
                        &format!("; waits {id} to {}: {:?}", id.destinations, machine.outlook(id.session, id.sequence));
                }
            }
            words
        })
    }

    fn plan(&mut self, at: Nanos, wake: Wake) {
        self.wakes.push(wake);
        self.world.wake_at(at, self.wakes.len() as u64 - 1);
    }
}
