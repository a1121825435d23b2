//! How many message delays a multicast takes, measured: a world where every
//! message takes the same time and nothing else takes any. Alone, and under
//! the worst conflicts that were found among thousands of small schedules: some
//! drawn by lot, and then the worst of those varied, as long as it gets no better.

mod script;

use std::sync::Arc;

use skein_machine::{Boot, Cluster, Conflicts, Down, GroupSet, Multicast, Ordering, ProcessId, Random, Up};

use self::script::{Script, message};

use crate::check::{Calm, Claims, StepBound, Violation, judge};
use crate::{DiskHabits, History, Latency, MILLISECOND, Nanos, Occurrence, World};

/// The message delay. Its size means nothing.
const DELAY: Nanos = MILLISECOND;

/// Before this everything settles: elections, first heartbeats. Thousands of schedules begin with it.
const WARM_UP: Nanos = 1500 * DELAY;

/// Where messages are counted, that is after so long: even what one does now and then has found its rhythm.
const AT_EASE: Nanos = 5000 * DELAY;

/// How many times the worst case is looked for from the beginning.
const CLIMBS: u64 = 5;

/// So many schedules each time. More from one beginning find more than many beginnings.
const SCHEDULES: usize = 600;

/// The first ones of them, which are drawn by lot.
const DRAWN: usize = 100;

/// The payload of the multicast whose messages and bytes are counted.
const PAYLOAD: usize = 64;

/// What was measured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steps {
    /// Delays to the last delivery anywhere, nothing else being under way.
    pub collision_free: u64,
    /// The same to the last delivery at the first replicas of the groups.
    pub collision_free_leaders: u64,
    /// Delays to the last delivery anywhere, under the worst conflicts found.
    pub worst: u64,
    /// The same at the first replicas.
    pub worst_leaders: u64,
    /// Messages between processes for one multicast to two groups, sent by a replica of one.
    pub messages: u64,
    /// Bytes of these messages, without framing.
    pub bytes: u64,
    /// Properties that did not hold on the way, step bounds among them.
    pub violations: Vec<Violation>,
}

/// Measures a protocol on a cluster of at least two groups, and compares with
/// what it promises: steps without conflicts, and at worst, and what a conflict is.
/// With a relation, only messages that conflict are held to one order.
pub fn measure<M: Ordering + 'static>(
    cluster: &Arc<Cluster>,
    promised: (u64, u64),
    calm: Calm,
    conflicts: Option<Conflicts>,
    maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static,
) -> Steps {
    let mut steps = Steps::default();
    let bound = StepBound { delay: DELAY, collision_free: promised.0, worst: promised.1, calm };
    let claims = Claims { conflicts, steps: Some(bound), ..Claims::CLASSIC };
    for script in Script::lone(cluster) {
        let history = play(cluster, &script, conflicts, maker.clone());
        steps.collision_free = steps.collision_free.max(delays(longest(&history, |_| true)));
        steps.collision_free_leaders =
            steps.collision_free_leaders.max(delays(longest(&history, |process| is_first(cluster, process))));
        steps.violations.extend(judge(&history, &claims));
    }
    for seed in 0..CLIMBS {
        let mut random = Random::new(seed);
        let mut worst: Option<(Nanos, Script)> = None;
        for nth in 0..SCHEDULES {
            let script = match &worst {
                Some((_, script)) if nth >= DRAWN => script.varied(cluster, &mut random),
                _ => Script::drawn(cluster, &mut random),
            };
            let history = play(cluster, &script, conflicts, maker.clone());
            let took = longest(&history, |_| true);
            steps.worst = steps.worst.max(delays(took));
            steps.worst_leaders =
                steps.worst_leaders.max(delays(longest(&history, |process| is_first(cluster, process))));
            if steps.violations.len() < 10 {
                steps.violations.extend(judge(&history, &claims));
            }
            // One that is as bad is another place to go on from.
            if worst.as_ref().is_none_or(|(most, _)| took >= *most) {
                worst = Some((took, script));
            }
        }
    }
    (steps.messages, steps.bytes) = cost(cluster, conflicts, maker);
    steps
}

/// Plays a script to its end.
fn play<M: Ordering + 'static>(
    cluster: &Arc<Cluster>,
    script: &Script,
    conflicts: Option<Conflicts>,
    maker: impl Fn(ProcessId, Boot) -> M + 'static,
) -> History {
    let mut history = History::new(cluster.clone(), conflicts);
    let mut world = even_world(cluster, maker);
    for (at, sender, message) in script.casts() {
        run_until(&mut world, &mut history, at);
        history.multicast(at, sender, &message);
        world.command(sender, Down::Multicast(message));
    }
    let end = world.now() + 100 * DELAY;
    run_until(&mut world, &mut history, end);
    history
}

fn even_world<M: Ordering + 'static>(cluster: &Cluster, maker: impl Fn(ProcessId, Boot) -> M + 'static) -> World<M> {
    let processes: Vec<ProcessId> = cluster.processes().collect();
    let latency = Latency::fixed(&processes, DELAY);
    let mut world = World::new(&processes, latency, DiskHabits::INSTANT, 1, Box::new(maker));
    world.start();
    world
}

fn run_until<M: Ordering>(world: &mut World<M>, history: &mut History, horizon: Nanos) {
    while let Some(occurrence) = world.next(horizon) {
        if let Occurrence::Told { process, life, event: Up::Deliver(delivery) } = occurrence {
            history.delivered(world.now(), process, life, &delivery);
        }
    }
}

/// The longest time from any multicast after the warm-up to its last delivery at these processes.
fn longest(history: &History, counts: impl Fn(ProcessId) -> bool) -> Nanos {
    let mut longest = 0;
    for process in history.replicas().filter(|process| counts(*process)) {
        for entry in history.deliveries(process) {
            let sent = history.casts()[&entry.id].at;
            if sent >= WARM_UP - DELAY {
                longest = longest.max(entry.at - sent);
            }
        }
    }
    longest
}

/// So many delays are that; one that has begun is one.
fn delays(time: Nanos) -> u64 {
    time.div_ceil(DELAY)
}

fn is_first(cluster: &Cluster, process: ProcessId) -> bool {
    cluster.group_of(process).is_some_and(|group| cluster.members(group)[0] == process)
}

/// Messages and bytes of one multicast to the first two groups, beyond what flows without it.
fn cost<M: Ordering + 'static>(
    cluster: &Arc<Cluster>,
    conflicts: Option<Conflicts>,
    maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static,
) -> (u64, u64) {
    let spent = |message: Option<Multicast>| {
        let mut world = even_world(cluster, maker.clone());
        let mut history = History::new(cluster.clone(), conflicts);
        run_until(&mut world, &mut history, AT_EASE);
        if let Some(message) = message {
            let sender = cluster.processes().next().expect("a cluster has a process");
            history.multicast(AT_EASE, sender, &message);
            world.command(sender, Down::Multicast(message));
        }
        run_until(&mut world, &mut history, AT_EASE + 100 * DELAY);
        (world.traffic().len() as u64, world.bytes_sent())
    };
    let with = spent(Some(message(1, GroupSet::first(2), PAYLOAD)));
    let without = spent(None);
    // What a busy protocol saves elsewhere, such as heartbeats, counts in its favour.
    (with.0.saturating_sub(without.0), with.1.saturating_sub(without.1))
}
