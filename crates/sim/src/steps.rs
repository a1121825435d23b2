//! How many message delays a multicast takes, measured: a world where every
//! message takes the same time and nothing else takes any. Alone, and under
//! the worst conflicts that many small schedules can bring about, in which
//! messages are sent just before, at, and just after the moments that matter.

use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, Conflicts, Down, GroupSet, MessageId, Multicast, Ordering, ProcessId, Random, Timestamp, Up,
};

use crate::check::{Claims, StepBound, Violation, judge};
use crate::{DiskHabits, History, Latency, MILLISECOND, Nanos, Occurrence, World};

/// The message delay. Its size means nothing.
const DELAY: Nanos = MILLISECOND;

/// Just before or after: far less than a delay.
const MOMENT: Nanos = DELAY / 1000;

/// Before this everything settles: elections, first heartbeats. Thousands of schedules begin with it.
const WARM_UP: Nanos = 1500 * DELAY;

/// Where messages are counted, that is after so long: even what one does now and then has found its rhythm.
const AT_EASE: Nanos = 5000 * DELAY;

/// How many schedules look for the worst case.
const SCHEDULES: u64 = 3000;

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
/// what it promises: steps without conflicts, and at worst. With a relation,
/// only messages that conflict are held to one order. One that is not genuine
/// may be held up by messages that have other destinations, so without conflicts
/// is only what is alone.
pub fn measure<M: Ordering + 'static>(
    cluster: &Arc<Cluster>,
    promised: (u64, u64),
    is_genuine: bool,
    conflicts: Option<Conflicts>,
    maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static,
) -> Steps {
    let mut steps = Steps::default();
    let bound = StepBound { delay: DELAY, collision_free: promised.0, worst: promised.1 };
    let claims = Claims { conflicts, steps: Some(bound), ..Claims::CLASSIC };
    for script in lone_multicasts(cluster) {
        let history = play(cluster, &script, conflicts, maker.clone());
        steps.collision_free = steps.collision_free.max(longest(&history, |_| true));
        steps.collision_free_leaders =
            steps.collision_free_leaders.max(longest(&history, |process| is_first(cluster, process)));
        steps.violations.extend(judge(&history, &claims));
    }
    let without_conflicts = if is_genuine { promised.0 } else { promised.1 };
    let bound = StepBound { collision_free: without_conflicts, ..bound };
    let claims = Claims { steps: Some(bound), ..claims };
    for seed in 0..SCHEDULES {
        let script = conflicting_multicasts(cluster, seed);
        let history = play(cluster, &script, conflicts, maker.clone());
        steps.worst = steps.worst.max(longest(&history, |_| true));
        steps.worst_leaders = steps.worst_leaders.max(longest(&history, |process| is_first(cluster, process)));
        if steps.violations.len() < 10 {
            steps.violations.extend(judge(&history, &claims));
        }
    }
    (steps.messages, steps.bytes) = cost(cluster, conflicts, maker);
    steps
}

/// Who multicasts what, and when.
type Script = Vec<(Nanos, ProcessId, Multicast)>;

/// One message at a time: every kind of sender, to every number of groups.
fn lone_multicasts(cluster: &Cluster) -> Vec<Script> {
    let last_group = cluster.groups().iter().last().expect("a cluster has a group");
    let mut senders = vec![cluster.members(last_group)[0]];
    senders.extend(cluster.members(last_group).last());
    senders.extend(cluster.outsiders().first());
    let mut scripts = Vec::new();
    for sender in senders {
        for groups in 1..=cluster.groups().len() {
            scripts.push(vec![(WARM_UP, sender, message(1, GroupSet::first(groups), 0))]);
        }
    }
    scripts
}

/// A few messages around the same moments, after others that set the clocks apart.
fn conflicting_multicasts(cluster: &Cluster, seed: u64) -> Script {
    let mut random = Random::new(seed);
    let processes: Vec<ProcessId> = cluster.processes().collect();
    let groups: Vec<_> = cluster.groups().iter().collect();
    let mut script = Script::new();
    let ahead: GroupSet = [*random.pick(&groups)].into_iter().collect();
    for _ in 0..random.below(8) {
        script.push((WARM_UP / 2, *random.pick(&processes), message(script.len() as u64 + 1, ahead, 0)));
    }
    for _ in 0..random.between(2, 6) {
        // Halves of a delay, a moment early or late: what arrives just before something changes is the worst.
        let around = WARM_UP + random.below(9) * DELAY / 2;
        let at = around + random.below(3) * MOMENT - MOMENT;
        let set = GroupSet::from_bits(random.between(1, cluster.groups().bits()));
        script.push((at, *random.pick(&processes), message(script.len() as u64 + 1, set, 0)));
    }
    script.sort_by_key(|(at, ..)| *at);
    script
}

fn message(session: u64, destinations: GroupSet, payload: usize) -> Multicast {
    Multicast {
        id: MessageId::new(session, 1, destinations.bits()),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from(vec![0; payload]),
    }
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
    for (at, sender, message) in script {
        run_until(&mut world, &mut history, *at);
        history.multicast(*at, *sender, message);
        world.command(*sender, Down::Multicast(message.clone()));
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

/// The most delays from any multicast after the warm-up to its last delivery at these processes.
fn longest(history: &History, counts: impl Fn(ProcessId) -> bool) -> u64 {
    let mut longest = 0;
    for process in history.replicas().filter(|process| counts(*process)) {
        for entry in history.deliveries(process) {
            let sent = history.casts()[&entry.id].at;
            if sent < WARM_UP - DELAY {
                continue;
            }
            longest = longest.max((entry.at - sent).div_ceil(DELAY));
        }
    }
    longest
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
