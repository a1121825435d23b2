//! [`Row`]: the planted bugs of Mu, each with the weather in which it shows. Some
//! show in one run of hundreds, so a hunt for those begins where one does.

use skein_order::{Mutant, Planted};
use skein_sim::MILLISECOND;

use super::{Catch, first_found, replay};
use crate::mu_sim::{Plan, run_seed};

/// One planted bug.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) name: &'static str,
    mutant: Mutant,
    /// The first seed of the hunt.
    first: u64,
    is_network: bool,
}

/// A bug that is not caught within so many seeds has survived.
const SEEDS: u64 = 200;

/// Every bug of Mu that random weather shows. For the others there are schedules among the tests of the protocol.
pub(super) const ROWS: &[Row] = &[
    shared("mu-trusts-the-write", Mutant::MuTrustsTheWrite, 0),
    shared("mu-copies-too-early", Mutant::MuCopiesTooEarly, 1750),
    shared("mu-omits-prepare", Mutant::MuOmitsPrepare, 0),
    shared("mu-decides-by-a-minority", Mutant::MuDecidesByAMinority, 0),
    shared("mu-reports-what-was-replaced", Mutant::MuReportsWhatWasReplaced, 0),
    shared("mu-applies-twice", Mutant::MuAppliesTwice, 0),
    shared("mu-recycles-too-early", Mutant::MuRecyclesTooEarly, 0),
    shared("mu-adopts-any", Mutant::MuAdoptsAny, 0),
    network("mu-joins-without-looking", Mutant::MuJoinsWithoutLooking, 0),
    shared("mu-applies-undecided", Mutant::MuAppliesUndecided, 0),
];

const fn shared(name: &'static str, mutant: Mutant, first: u64) -> Row {
    Row { name, mutant, first, is_network: false }
}

const fn network(name: &'static str, mutant: Mutant, first: u64) -> Row {
    Row { name, mutant, first, is_network: true }
}

impl Row {
    pub(super) fn hunt(&self, jobs: usize) -> Catch {
        let seeds = self.first..self.first + SEEDS;
        let caught = first_found(seeds.clone(), jobs, |seed| self.broken(seed, Planted::bug(self.mutant)));
        let end = caught.map_or(seeds.end, |(seed, _)| seed + 1);
        let clean = (self.first..end).filter(|seed| self.broken(*seed, Planted::NONE).is_some());
        Catch {
            mutant: self.name,
            caught: caught.is_some(),
            property: caught.map_or("agreement on the log", |(_, property)| property),
            seeds_to_catch: end - self.first,
            clean_violations: clean.count() as u64,
            replay: replay(self.name),
        }
    }

    fn broken(&self, seed: u64, planted: Planted) -> Option<&'static str> {
        let plan = if self.is_network { Plan::network(600 * MILLISECOND) } else { Plan::shared(600 * MILLISECOND) };
        let outcome = run_seed(seed, &Plan { planted, ..plan });
        outcome.violations.first().map(|violation| violation.property)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_bug_of_mu_is_left_out() {
        // These need more misfortune than weather has: see the schedules of the protocol.
        let scheduled = [
            Mutant::MuReusesPlaces,
            Mutant::MuPreparesAtAMinority,
            Mutant::MuCountsLostMemories,
            Mutant::MuTrustsWhatItSkipped,
        ];
        for mutant in Mutant::MU {
            let hunted = ROWS.iter().any(|row| row.mutant == mutant);
            assert!(hunted != scheduled.contains(&mutant), "{mutant:?}");
        }
    }
}
