//! What a fleet takes: time until a death is known, bytes, deaths that were none.

use std::time::{Duration, Instant};

use skein_edge::membership::Event;
use skein_machine::{ProcessId, Random};
use skein_sim::{Nanos, SECOND};

use super::{Fleet, Plan};

/// Nobody waits longer than this for the news of a death.
const PATIENCE: Nanos = 120 * SECOND;

/// How long it takes until all who survive know that one member was killed, at a moment that follows from the seed.
/// `None` when somebody does not know after two minutes.
pub(crate) fn detection(plan: Plan) -> Option<Nanos> {
    let mut random = Random::new(plan.seed ^ 0xdead);
    let members = u64::from(plan.members * plan.places);
    let mut fleet = Fleet::settled(plan);
    fleet.run(random.below(2 * SECOND));
    let victim = ProcessId(random.below(members) as u16);
    let whom = fleet.member(victim).expect("all live");
    fleet.kill(victim);
    let killed = fleet.world().now();
    let mut left = fleet.living().len();
    let known = fleet.run_until(killed + PATIENCE, |told| {
        left -= usize::from(told.event == Event::Down(whom.clone()));
        left == 0
    });
    known.map(|at| at - killed)
}

/// What happened in a fleet in which nobody died.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Calm {
    /// Members that somebody declared dead, and members that were told that somebody had.
    pub(crate) false_deaths: u64,
    /// Times that a member came to be suspected, as one other saw it.
    pub(crate) suspicions: u64,
    /// Bytes that each member sent in a second, without any headers of the network.
    pub(crate) bytes_per_member_s: f64,
}

/// Lets a fleet be for so long.
pub(crate) fn calm(plan: Plan, span: Nanos) -> Calm {
    let members = f64::from(plan.members * plan.places);
    let mut fleet = Fleet::settled(plan);
    let before = fleet.world().bytes_sent();
    fleet.run(span);
    let bytes = (fleet.world().bytes_sent() - before) as f64;
    let count = |is_one: fn(&Event) -> bool| fleet.told().iter().filter(|told| is_one(&told.event)).count() as u64;
    Calm {
        false_deaths: count(|event| matches!(event, Event::Down(_) | Event::Renewed)),
        suspicions: count(|event| matches!(event, Event::Suspect(_))),
        bytes_per_member_s: bytes / members / (span as f64 / SECOND as f64),
    }
}

/// What a large world costs whoever simulates it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Crowd {
    /// Until all had found each other and the news of that had gone round.
    pub(crate) beginning: Duration,
    /// What a virtual second took then.
    pub(crate) a_second: Duration,
}

/// Lets a large world run for so many virtual seconds.
pub(crate) fn crowd(plan: Plan, seconds: u32) -> Crowd {
    let began = Instant::now();
    let mut fleet = Fleet::new(plan);
    fleet.world().trust_machines();
    fleet.start_all();
    let settled = fleet.settle(60 * SECOND);
    assert!(settled.is_ok(), "a fleet does not come together: {settled:?}");
    fleet.run(10 * SECOND);
    let beginning = began.elapsed();
    let began = Instant::now();
    fleet.run(Nanos::from(seconds) * SECOND);
    Crowd { beginning, a_second: began.elapsed() / seconds }
}
