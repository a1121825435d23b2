//! Runs that are not told as a story: long ones in calm, and random ones with
//! every fault.

use std::sync::Arc;

use skein_machine::{Cluster, Multicast, ProcessId, Random, Timestamp, Up};
use skein_order::Planted;
use skein_sim::check::Claims;
use skein_sim::{DiskHabits, Latency, Load, Mix, Nanos, Outcome, Plan, SECOND, Scenario, Trace, run_seed};

use super::{Guest, Room, TO_BOTH, TO_G, TO_H, cluster, message};

/// Each session sends so many, all to the same groups through the same process, and ends.
pub(crate) const OF_A_SESSION: u64 = 10;

/// So many multicasts, one a millisecond, of sessions that expire so far above the newest timestamp that they knew
/// when they began. Three of four go to each group. `look` sees what became of each.
pub(crate) fn calm_for_long<M: Guest>(
    settings: M::Settings,
    multicasts: u64,
    expiry: u64,
    mut look: impl FnMut(u64, &Room<M>),
) {
    let processes: Vec<ProcessId> = cluster().processes().collect();
    let latency = Latency::varied(&processes, &mut Random::new(7));
    let mut room = Room::with(settings, latency, DiskHabits::GOOD, 7);
    room.run(1000);
    let (mut newest, mut expires) = (Timestamp::ZERO, Timestamp::ZERO);
    for nth in 0..multicasts {
        let (session, sequence) = (nth / OF_A_SESSION + 1, nth % OF_A_SESSION + 1);
        if sequence == 1 {
            expires = Timestamp(newest.0 + expiry);
        }
        let groups = [TO_G, TO_BOTH, TO_H, TO_BOTH][(session % 4) as usize];
        let sender = processes[session as usize % processes.len()];
        room.multicast(sender, Multicast { expiry: expires, ..message(session, sequence, groups, "x") });
        room.run(1);
        room.world.take_traffic();
        for (_, delivered) in std::mem::take(&mut room.deliveries) {
            newest = newest.max(delivered.last().expect("something was delivered").1.timestamp);
        }
        look(nth, &room);
    }
    room.run(1000);
    let told_off = room.said.iter().find(|(_, said)| !matches!(said, Up::SafeTime(_) | Up::Done { .. }));
    assert!(told_off.is_none(), "in a calm run nothing is turned away or expires: {told_off:?}");
    for process in cluster().replicas(cluster().groups()) {
        assert_eq!(room.applied(process), multicasts / 4 * 3, "at {process}");
    }
}

/// Every fault, on a load of so many multicasts a second, for so long.
pub(crate) fn swarm(cluster: &Arc<Cluster>, per_second: f64, payload: usize, duration: Nanos) -> Plan {
    Plan {
        cluster: cluster.clone(),
        scenario: Scenario::Swarm,
        load: Load {
            per_second,
            mix: Mix::usual(cluster),
            payload,
            expiry: None,
            misbehaves: true,
            readers: true,
            asks_for_read_points: true,
        },
        duration,
        claims: Claims::CLASSIC,
        clock_bound: None,
        severity: 1.0,
    }
}

/// Runs one seed of a plan.
pub(crate) fn seed_of<M: Guest>(plan: &Plan, seed: u64, settings: M::Settings, trace: Option<Trace>) -> Outcome {
    let cluster = plan.cluster.clone();
    run_seed(plan, seed, trace, move |process, boot| M::make(process, &cluster, boot, settings, Planted::NONE))
}

/// Every fault, in groups of every size.
pub(crate) fn assert_a_swarm_breaks_nothing<M: Guest>(settings: M::Settings, claims: Claims) {
    for (groups, replicas, severity) in [(3, 3, 1.0), (2, 5, 3.0), (4, 3, 3.0), (3, 1, 1.0)] {
        let cluster = Arc::new(Cluster::regular(groups, replicas, 3).unwrap());
        let plan = Plan { severity, claims, ..swarm(&cluster, 50.0, 64, 15 * SECOND) };
        for seed in 0..6 {
            let load = Load { expiry: [None, Some(60), Some(6)][(seed % 3) as usize], ..plan.load.clone() };
            let outcome = seed_of::<M>(&Plan { load, ..plan.clone() }, seed, settings, None);
            assert_eq!(outcome.violations, [], "{groups} groups of {replicas}, seed {seed}");
        }
    }
}

/// The same seed of a swarm, faults and all, tells the same story twice; another one tells another.
pub(crate) fn assert_a_seed_decides_everything<M: Guest>(plan: &Plan, settings: M::Settings) {
    let tell = |seed| {
        let outcome = seed_of::<M>(plan, seed, settings, Some(Trace::full()));
        assert_eq!(outcome.violations, [], "seed {seed}");
        outcome.trace
    };
    let story = tell(5);
    assert!(story.contains("crashes") && story.contains("NEW-STATE"), "a dull story: {}", story.len());
    assert!(story == tell(5), "the same seed told another story");
    assert!(story != tell(6), "another seed told the same story");
}
