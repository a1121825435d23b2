//! One rule of a sound protocol broken at a time. Each must be caught, or the
//! world is too kind or the judges are too mild.

mod all_copies;

use std::sync::Arc;

use all_copies::plan::{plan, run};
use all_copies::{AllCopies, Mutant};
use bytes::Bytes;
use skein_machine::{Cluster, Down, MessageId, Multicast, ProcessId, Timestamp, Up};
use skein_sim::check::{Claims, Violation, judge};
use skein_sim::{DiskHabits, History, Latency, MILLISECOND, Nanos, Occurrence, Plan, SECOND, World};

/// Some seed must break this property. Others may break another one first: where the weather
/// changes its mind, so does what goes wrong first.
fn assert_caught(plan: &Plan, mutant: Mutant, seeds: u64, property: &str) {
    let breaks = |seed| run(plan, seed, Some(mutant), None).violations.iter().any(|found| found.property == property);
    assert!((0..seeds).any(breaks), "{mutant:?} breaks no {property} in {seeds} seeds");
}

/// The sequencer remembers what was acknowledged, and hears less after a crash.
#[test]
fn catches_an_early_acknowledgement() {
    assert_caught(&plan(2, 3, 1), Mutant::AcknowledgesEarly, 40, "invariant");
}

#[test]
fn catches_a_claim_to_what_was_forgotten() {
    assert_caught(&plan(2, 3, 1), Mutant::CountsWhatItForgot, 40, "agreement");
}

#[test]
fn catches_forgotten_ids() {
    assert_caught(&plan(2, 3, 1), Mutant::ForgetsIds, 40, "integrity");
}

#[test]
fn catches_a_session_that_overtakes_itself() {
    assert_caught(&plan(2, 3, 1), Mutant::OvertakesInSessions, 40, "sender order");
}

#[test]
fn catches_positions_that_begin_again() {
    assert_caught(&plan(2, 3, 1), Mutant::RestartsAtZero, 40, "prefix order");
}

#[test]
fn catches_a_sequencer_that_numbers_alone() {
    assert_caught(&plan(1, 3, 0), Mutant::NumbersAlone, 40, "invariant");
}

#[test]
fn catches_a_sequencer_that_trusts_the_first_copy() {
    assert_caught(&plan(1, 3, 0), Mutant::TrustsTheFirstCopy, 80, "prefix order");
}

#[test]
fn catches_a_message_that_is_denied_and_counts() {
    let mut plan = plan(2, 3, 1);
    plan.load.expiry = Some(30);
    assert_caught(&plan, Mutant::DeniesWhatItAppends, 40, "expiry");
}

#[test]
fn catches_a_word_that_is_given_too_early() {
    assert_caught(&plan(2, 3, 1), Mutant::SpeaksTooEarly, 40, "safe time");
}

#[test]
fn catches_a_timestamp_that_is_never_passed() {
    assert_caught(&plan(2, 3, 1), Mutant::ForgetsWishes, 40, "liveness");
}

const REPLICAS: [ProcessId; 3] = [ProcessId(0), ProcessId(1), ProcessId(2)];

/// One group of three whose fate is written down instead of drawn.
struct Stage {
    world: World<AllCopies>,
    history: History,
}

impl Stage {
    fn new(seed: u64, mutant: Option<Mutant>) -> Stage {
        let cluster = Arc::new(Cluster::regular(1, 3, 0).unwrap());
        let history = History::new(cluster.clone(), None);
        let latency = Latency::fixed(&REPLICAS, MILLISECOND);
        let maker = Box::new(move |me, boot| AllCopies::new(me, cluster.clone(), boot, mutant));
        let mut world = World::new(&REPLICAS, latency, DiskHabits::GOOD, seed, maker);
        world.start();
        Stage { world, history }
    }

    fn multicast(&mut self, session: u64, through: ProcessId) {
        let message = Multicast {
            id: MessageId::new(session, 1, 0b1),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::new(),
        };
        self.history.multicast(self.world.now(), through, &message);
        assert!(self.world.command(through, Down::Multicast(message)));
    }

    fn play(&mut self, span: Nanos) {
        let horizon = self.world.now() + span;
        while let Some(occurrence) = self.world.next(horizon) {
            if let Occurrence::Told { process, life, event: Up::Deliver(delivery) } = occurrence {
                self.history.delivered(self.world.now(), process, life, &delivery);
            }
        }
    }

    fn lose_disk_of_the_sequencer(&mut self) {
        self.world.crash(REPLICAS[0]);
        self.world.lose_disk(REPLICAS[0]);
    }

    /// A second message takes the place of the first, unless that is still known.
    fn end(mut self) -> Vec<Violation> {
        self.world.restart(REPLICAS[0]);
        self.play(2 * SECOND);
        self.multicast(2, REPLICAS[1]);
        self.play(2 * SECOND);
        assert!(self.history.delivery_count() > 0);
        judge(&self.history, &Claims { is_over: false, ..Claims::CLASSIC })
    }
}

/// A message that no other disk has, and the loss of the one that has it. What
/// was held back by the cut may still arrive after it, or be lost with the link.
fn the_sequencer_alone_has_it(seed: u64, mutant: Option<Mutant>) -> Vec<Violation> {
    let mut stage = Stage::new(seed, mutant);
    for other in &REPLICAS[1..] {
        stage.world.set_cut(REPLICAS[0], *other, true);
    }
    stage.multicast(1, REPLICAS[0]);
    stage.play(100 * MILLISECOND);
    stage.lose_disk_of_the_sequencer();
    for other in &REPLICAS[1..] {
        stage.world.set_cut(REPLICAS[0], *other, false);
    }
    stage.end()
}

#[test]
fn catches_a_delivery_that_one_disk_can_lose() {
    assert_caught_by_some_seed(the_sequencer_alone_has_it, Mutant::DeliversAlone);
}

/// A message that everybody has but only the sequencer on disk, and everybody dies.
fn the_others_have_it_in_memory(seed: u64, mutant: Option<Mutant>) -> Vec<Violation> {
    let mut stage = Stage::new(seed, mutant);
    for other in &REPLICAS[1..] {
        let habits = DiskHabits { fastest_sync: SECOND, slowest_sync: SECOND };
        stage.world.set_disk_habits(*other, habits);
    }
    stage.multicast(1, REPLICAS[0]);
    stage.play(100 * MILLISECOND);
    for other in &REPLICAS[1..] {
        stage.world.crash(*other);
    }
    stage.lose_disk_of_the_sequencer();
    for other in &REPLICAS[1..] {
        stage.world.set_disk_habits(*other, DiskHabits::GOOD);
        stage.world.restart(*other);
    }
    stage.end()
}

#[test]
fn catches_an_acknowledgement_that_memory_can_lose() {
    assert_caught_by_some_seed(the_others_have_it_in_memory, Mutant::AcknowledgesEarly);
}

/// The sound protocol passes every seed of a schedule, the mutant breaks the order in some.
fn assert_caught_by_some_seed(schedule: fn(u64, Option<Mutant>) -> Vec<Violation>, mutant: Mutant) {
    for seed in 0..20 {
        assert_eq!(schedule(seed, None), [], "seed {seed}");
    }
    let mut found = (0..20).flat_map(|seed| schedule(seed, Some(mutant)));
    assert!(found.any(|violation| violation.property == "prefix order"), "{mutant:?} survives");
}

/// What is known of a run does not depend on how it ended.
#[test]
fn a_run_that_was_cut_short_still_counts_its_messages() {
    let plan = plan(1, 3, 0);
    let is_invariant = |violation: &Violation| violation.property == "invariant";
    let outcome = (0..40)
        .map(|seed| run(&plan, seed, Some(Mutant::NumbersAlone), None))
        .find(|outcome| outcome.violations.iter().any(is_invariant))
        .expect("a run is cut short");
    assert!(outcome.counts.messages > outcome.counts.deliveries, "{:?}", outcome.counts);
}
