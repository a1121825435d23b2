//! [`Row`]: the planted bugs of the edge, each with the fleet in which it shows
//! soon, and the judge that must catch it: those of `skein sim edge`, and those
//! of the storms that its tests go through. What is told of a hunt is what is
//! told of any other.

use std::panic::{AssertUnwindSafe, catch_unwind};

use skein_edge::spread::Tempo;
use skein_edge::{Mutant, Planted};
use skein_sim::SECOND;

use super::{Catch, first_found, replay};
use crate::edge_sim::figures::{self, BAR_OF_GAP_S};
use crate::edge_sim::{self, maps};

/// One planted bug.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    mutant: Mutant,
    judge: Judge,
}

/// Who must catch it.
#[derive(Clone, Copy)]
enum Judge {
    /// Halves that were parted and met again.
    Heal,
    /// The same where an answer is many datagrams, some of which are lost.
    HealInPieces,
    /// One that was expelled and came back.
    Exile,
    /// Who probes which origin.
    Probing,
    /// Who sees whom after a storm.
    Storm,
}

/// A bug that is not caught within so many seeds has survived.
const SEEDS: u64 = 400;

/// Every bug of the edge.
pub(super) const ROWS: &[Row] = &[
    row("map-believes-ahead-of-itself", Mutant::MapBelievesAheadOfItself, Judge::HealInPieces),
    row("map-forgets-what-it-never-saw", Mutant::MapForgetsWhatItNeverSaw, Judge::Exile),
    row("membership-goes-back", Mutant::MembershipGoesBack, Judge::Storm),
    row("spread-counts-without-the-silent", Mutant::SpreadCountsWithoutTheSilent, Judge::Heal),
    row("agent-divides-once", Mutant::AgentDividesOnce, Judge::Probing),
];

const fn row(name: &'static str, mutant: Mutant, judge: Judge) -> Row {
    Row { name, mutant, judge }
}

impl Row {
    pub(super) fn hunt(&self, jobs: usize) -> Catch {
        let caught = first_found(0..SEEDS, jobs, |seed| self.judge.broken(seed, Planted::bug(self.mutant)));
        let seeds_to_catch = caught.map_or(SEEDS, |(seed, _)| seed + 1);
        let clean = (0..seeds_to_catch).filter(|seed| self.judge.broken(*seed, Planted::NONE).is_some());
        Catch {
            mutant: self.name,
            caught: caught.is_some(),
            property: caught.map_or(self.judge.name(), |(_, property)| property),
            seeds_to_catch,
            clean_violations: clean.count() as u64,
            replay: replay(self.name),
        }
    }
}

impl Judge {
    /// What it finds, if anything. A bug that a machine notices by itself ends in a panic.
    fn broken(self, seed: u64, planted: Planted) -> Option<&'static str> {
        let is_wrong = catch_unwind(AssertUnwindSafe(|| self.finds(seed, planted)));
        is_wrong.map_or(Some("invariant"), |is_wrong| is_wrong.then(|| self.name()))
    }

    fn finds(self, seed: u64, planted: Planted) -> bool {
        let six = maps::Plan { planted, ..maps::Plan::of(1, 6, seed) };
        match self {
            Judge::Heal => !figures::heal(six).is_empty(),
            Judge::HealInPieces => {
                let tempo = Tempo { piece: 300, ..Tempo::default() };
                !figures::heal(maps::Plan { tempo, ..six }).is_empty()
            }
            Judge::Exile => !figures::exile(six).is_empty(),
            Judge::Probing => {
                let probing = figures::probing(&maps::Plan { planted, ..maps::Plan::of(2, 8, seed) }, 200);
                probing.wrongly > 0 || probing.gap_s > BAR_OF_GAP_S
            }
            Judge::Storm => {
                let plan = edge_sim::Plan { planted, ..edge_sim::Plan::of(12, seed) };
                edge_sim::storm(plan.losing(0.02), 60 * SECOND).is_err()
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Judge::Heal | Judge::HealInPieces => "heal",
            Judge::Exile => "exile",
            Judge::Probing => "probing",
            Judge::Storm => "convergence",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bug_of_the_edge_is_left_out() {
        let rows: Vec<_> = ROWS.iter().map(|row| (row.name, row.mutant)).collect();
        assert_eq!(rows, Mutant::ALL);
    }

    #[test]
    fn a_bug_is_caught_and_nothing_without_it() {
        let row = ROWS.iter().find(|row| matches!(row.judge, Judge::Probing)).unwrap();
        let catch = row.hunt(2);
        assert!(catch.caught && catch.clean_violations == 0, "after {} seeds", catch.seeds_to_catch);
    }
}
