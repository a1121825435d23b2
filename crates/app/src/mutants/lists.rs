//! [`Row`]: the planted bugs of the replicas of a service, and of the store,
//! each with the crowd and the weather in which lists or the store show it soon,
//! and the judge that must catch it. What is told of a hunt is what is told of
//! any other.

use std::sync::Arc;

use skein_machine::Cluster;
use skein_service::{Mutant, Planted};
use skein_sim::check::{LIVENESS, linear};
use skein_sim::clients::{ClientsPlan, Habits};
use skein_sim::{Outcome, SECOND, Scenario};

use super::{Catch, first_found, replay};
use crate::cli::{Mistake, Served, counted, served_of};
use crate::compose::{Clock, Protocol, Variant};
use crate::fleet::Fleet;

/// One planted bug.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    mutant: Mutant,
    served: Served,
    clock: Clock,
    /// How many groups, and replicas in each.
    shape: (usize, usize),
    scenario: Scenario,
    severity: f64,
    /// How many use the lists, and how they are.
    crowd: (usize, Habits),
    /// Logs are cut at once, and next to nothing is kept for those behind.
    is_tight: bool,
    /// Some ways are far longer than the way back.
    is_lopsided: bool,
    seconds: u64,
    /// The seed to begin with, where what shows the bug is seldom met.
    first: u64,
    /// The properties that it may break: one of them at least.
    breaks: &'static [&'static str],
}

/// A bug that is not caught within so many seeds has survived.
const SEEDS: u64 = 400;

const WRONG: &[&str] = &[linear::LINEARIZABLE];

/// A replica that knows too little stops itself, or waits for what nobody has.
const WRONG_OR_STUCK: &[&str] = &[linear::LINEARIZABLE, LIVENESS, "invariant"];

/// Three replicas of each of two groups, under all faults, and clients who ask for much.
const fn eager(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row {
        name,
        mutant,
        served: Served::Lists,
        clock: Clock::Logical,
        shape: (2, 3),
        scenario: Scenario::Swarm,
        severity: 1.0,
        crowd: (12, Habits::EAGER),
        is_tight: false,
        is_lopsided: false,
        seconds: 15,
        first: 0,
        breaks,
    }
}

/// Three groups that cut their logs at once, while faults come thick: replicas take over states.
const fn tight(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { shape: (3, 3), severity: 3.0, is_tight: true, ..eager(name, mutant, breaks) }
}

/// Three groups of one, and clients who lose no time between an answer and the next question.
const fn hasty(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { shape: (3, 1), crowd: (16, Habits::HASTY), seconds: 6, ..eager(name, mutant, breaks) }
}

/// The same in calm, where one hears at once of what another hears of much later.
const fn lopsided(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { scenario: Scenario::Calm, is_lopsided: true, ..hasty(name, mutant, breaks) }
}

/// The store, for a shorter time: it takes longer.
const fn store(row: Row) -> Row {
    Row { served: Served::Kv, seconds: 10, ..row }
}

/// Every bug of a replica, and of the store.
pub(super) const ROWS: &[Row] = &[
    Row { first: 430, ..lopsided("replica-settles-early", Mutant::ReplicaSettlesEarly, WRONG) },
    eager("replica-reads-without-asking", Mutant::ReplicaReadsWithoutAsking, WRONG),
    eager("replica-shares-too-early", Mutant::ReplicaSharesTooEarly, WRONG_OR_STUCK),
    eager("replica-forgets-names", Mutant::ReplicaForgetsNames, WRONG_OR_STUCK),
    tight("replica-forgets-shares", Mutant::ReplicaForgetsShares, WRONG_OR_STUCK),
    // Three partitions in a row, of which the one in the middle is slow to tell: one seed in thousands.
    Row { first: 2600, ..lopsided("replica-trusts-its-neighbours", Mutant::ReplicaTrustsItsNeighbours, WRONG) },
    Row { first: 60, ..tight("replica-forgets-what-it-told", Mutant::ReplicaForgetsWhatItTold, WRONG_OR_STUCK) },
    eager("replica-recalls-too-little", Mutant::ReplicaRecallsTooLittle, WRONG),
    hasty("replica-reads-the-unsettled", Mutant::ReplicaReadsTheUnsettled, WRONG),
    // Partitions that do not decide alike have replies that do not fit together.
    store(eager("kv-watches-alone", Mutant::KvWatchesAlone, WRONG_OR_STUCK)),
    store(eager("kv-sets-alone", Mutant::KvSetsAlone, WRONG_OR_STUCK)),
    store(eager("kv-moves-unnoticed", Mutant::KvMovesUnnoticed, WRONG)),
    // Deadlines come.
    Row {
        shape: (3, 3),
        clock: Clock::Hybrid,
        first: 20,
        ..store(eager("kv-reads-in-the-past", Mutant::KvReadsInThePast, WRONG))
    },
    store(tight("kv-forgets-cursors", Mutant::KvForgetsCursors, WRONG_OR_STUCK)),
];

impl Row {
    pub(super) fn hunt(&self, jobs: usize) -> Result<Catch, Mistake> {
        let plan = self.plan();
        let broken = |seed| self.broken(&self.run(&plan, seed, Planted::bug(self.mutant)));
        let seeds = self.first..self.first + SEEDS;
        let caught = first_found(seeds.clone(), jobs, broken);
        let end = caught.map_or(seeds.end, |(seed, _)| seed + 1);
        let mut clean_violations = 0;
        let fleet = Fleet { seeds: self.first..end, jobs, resume: None, shows_progress: false };
        fleet.run(
            |seed| self.run(&plan, seed, Planted::NONE),
            |report| clean_violations += u64::from(report.is_wrong || report.is_stuck),
        )?;
        Ok(Catch {
            mutant: self.name,
            caught: caught.is_some(),
            property: caught.map_or(self.breaks[0], |(_, property)| property),
            seeds_to_catch: end - self.first,
            clean_violations,
            replay: replay(self.name),
        })
    }

    /// The property among those that it may break that it did break.
    fn broken(&self, outcome: &Outcome) -> Option<&'static str> {
        let mut properties = outcome.violations.iter().map(|violation| violation.property);
        properties.find(|property| self.breaks.contains(property))
    }

    fn run(&self, plan: &ClientsPlan, seed: u64, planted: Planted) -> Outcome {
        let variant = Variant { clock: self.clock, is_tight: self.is_tight, ..Variant::PLAIN };
        counted(served_of(self.served, Protocol::PrimCast, plan, seed, None, variant, planted))
    }

    fn plan(&self) -> ClientsPlan {
        let ((groups, replicas), (clients, habits)) = (self.shape, self.crowd);
        ClientsPlan {
            cluster: Arc::new(Cluster::regular(groups, replicas, 0).expect("a small cluster is one")),
            scenario: self.scenario,
            clients,
            habits,
            is_forgetful: false,
            is_lopsided: self.is_lopsided,
            duration: self.seconds * SECOND,
            clock_bound: None,
            severity: self.severity,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bug_of_a_service_is_left_out() {
        let rows: Vec<_> = ROWS.iter().map(|row| (row.name, row.mutant)).collect();
        // One takes a message that is on its way for longer than clocks err: a schedule of the replicas' own tests has it.
        let met_by_seeds = |(_, mutant): &(_, Mutant)| *mutant != Mutant::ReplicaReadsInThePast;
        assert_eq!(rows, Mutant::ALL.into_iter().filter(met_by_seeds).collect::<Vec<_>>());
    }
}
