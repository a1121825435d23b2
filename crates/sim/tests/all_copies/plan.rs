//! Whole runs of [`AllCopies`] under every kind of fault.

use std::sync::Arc;

use skein_machine::Cluster;
use skein_sim::check::{Claims, RealTime};
use skein_sim::{Load, Mix, Outcome, Plan, SECOND, Scenario, Trace, run_seed};

use super::{AllCopies, Mutant};

/// A minute of swarm. One log orders everything, so real time is kept in the strictest sense.
pub(crate) fn plan(groups: usize, replicas: usize, outsiders: usize) -> Plan {
    let cluster = Arc::new(Cluster::regular(groups, replicas, outsiders).unwrap());
    Plan {
        scenario: Scenario::Swarm,
        load: Load {
            per_second: 20.0,
            mix: Mix::usual(&cluster),
            payload: 32,
            expiry: None,
            misbehaves: true,
            readers: true,
            asks_for_read_points: false,
        },
        duration: 60 * SECOND,
        claims: Claims { real_time: Some(RealTime::Deliveries), ..Claims::CLASSIC },
        clock_bound: None,
        severity: 1.0,
        cluster,
    }
}

/// One seed.
pub(crate) fn run(plan: &Plan, seed: u64, mutant: Option<Mutant>, trace: Option<Trace>) -> Outcome {
    let cluster = plan.cluster.clone();
    run_seed(plan, seed, trace, move |me, boot| AllCopies::new(me, cluster.clone(), boot, mutant))
}
