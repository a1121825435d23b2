//! `skein sim mutants`: each planted bug, and the judge that must catch it.
//! The same seeds run without the bug, and must be clean.

use std::sync::Arc;

use serde::Serialize;
use skein_machine::Cluster;
use skein_order::Mutant;
use skein_sim::check::Violation;
use skein_sim::search::Scope;
use skein_sim::{Load, Mix, Plan, SECOND, Scenario};

use crate::cli::{Mistake, MutantArguments, Verdict, jobs, output, search_of, seed_of, steps_of};
use crate::compose::{Protocol, Variant};
use crate::fleet::Fleet;

/// How a bug is hunted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hunt {
    /// By random seeds of this scenario.
    Seeds(Scenario),
    /// By counting steps.
    Steps,
    /// By trying every order with so many groups of one replica, and so many messages.
    Search(usize, usize),
}

/// One planted bug.
struct Row {
    name: &'static str,
    mutant: Mutant,
    protocol: Protocol,
    hunt: Hunt,
    /// How many groups, and replicas in each.
    shape: (usize, usize),
    /// Messages expire so many timestamps above their session's floor.
    expiry: Option<u64>,
    /// The property that it breaks.
    property: &'static str,
}

/// A bug that is not caught within so many seeds has survived.
const SEEDS: u64 = 400;

const fn calm(name: &'static str, mutant: Mutant, property: &'static str) -> Row {
    let (protocol, hunt) = (Protocol::Skeen, Hunt::Seeds(Scenario::Calm));
    Row { name, mutant, protocol, hunt, shape: (3, 3), expiry: None, property }
}

const fn swarm(name: &'static str, mutant: Mutant, property: &'static str) -> Row {
    let (protocol, hunt) = (Protocol::PrimCast, Hunt::Seeds(Scenario::Swarm));
    Row { name, mutant, protocol, hunt, shape: (2, 3), expiry: None, property }
}

/// Every bug that is planted somewhere.
const ROWS: &[Row] = &[
    calm("skeen-delivers-twice", Mutant::SkeenDeliversTwice, "integrity"),
    calm("skeen-loses-a-decision", Mutant::SkeenLosesADecision, "agreement"),
    calm("skeen-skips-the-wait", Mutant::SkeenSkipsTheWait, "global order"),
    calm("skeen-breaks-ties-alone", Mutant::SkeenBreaksTiesAlone, "prefix order"),
    calm("skeen-forgets-to-raise", Mutant::SkeenForgetsToRaise, "timestamps"),
    calm("skeen-tells-everybody", Mutant::SkeenTellsEverybody, "genuineness"),
    calm("skeen-ignores-the-floor", Mutant::SkeenIgnoresTheFloor, "sender order"),
    Row { hunt: Hunt::Steps, ..calm("skeen-relays-the-start", Mutant::SkeenRelaysTheStart, "step bound") },
    calm("skeen-drops-early-proposals", Mutant::SkeenDropsEarlyProposals, "liveness"),
    Row { hunt: Hunt::Search(2, 2), ..calm("skeen-skips-the-wait, searched", Mutant::SkeenSkipsTheWait, "timestamps") },
    swarm("primcast-acknowledges-early", Mutant::PrimCastAcknowledgesEarly, ANY),
    swarm("primcast-takes-the-second-log", Mutant::PrimCastTakesTheSecondLog, ANY),
    swarm("primcast-counts-a-minority", Mutant::PrimCastCountsAMinority, ANY),
    swarm("primcast-ignores-the-leader-clock", Mutant::PrimCastIgnoresTheLeaderClock, ANY),
    swarm("primcast-ignores-pending-stamps", Mutant::PrimCastIgnoresPendingStamps, ANY),
    swarm("primcast-restarts-below-its-ceiling", Mutant::PrimCastRestartsBelowItsCeiling, ANY),
    swarm("primcast-forgets-windows", Mutant::PrimCastForgetsWindows, ANY),
    swarm("primcast-tells-bystanders", Mutant::PrimCastTellsBystanders, "genuineness"),
    swarm("primcast-forgets-what-it-follows", Mutant::PrimCastForgetsWhatItFollows, "sender order"),
    swarm("primcast-promises-in-vain", Mutant::PrimCastPromisesInVain, ANY),
    swarm("primcast-resumes-as-primary", Mutant::PrimCastResumesAsPrimary, ANY),
    swarm("primcast-begins-at-its-own-clock", Mutant::PrimCastBeginsAtItsOwnClock, ANY),
    swarm("primcast-adopts-without-cutting", Mutant::PrimCastAdoptsWithoutCutting, ANY),
    swarm("primcast-forgets-the-headers-epoch", Mutant::PrimCastForgetsTheHeadersEpoch, ANY),
    swarm("primcast-counts-later-clocks", Mutant::PrimCastCountsLaterClocks, ANY),
    swarm("primcast-trusts-a-restarted-leader", Mutant::PrimCastTrustsARestartedLeader, ANY),
    Row { expiry: Some(60), ..swarm("primcast-refuses-alone", Mutant::PrimCastRefusesAlone, ANY) },
    swarm("primcast-cuts-too-early", Mutant::PrimCastCutsTooEarly, ANY),
    swarm("primcast-votes-without-memory", Mutant::PrimCastVotesWithoutMemory, ANY),
    Row { shape: (1, 5), ..swarm("primcast-counts-the-forgotten", Mutant::PrimCastCountsTheForgotten, ANY) },
];
const ANY: &str = "";

/// What the hunt for one bug came to.
#[derive(Serialize)]
struct Catch {
    mutant: &'static str,
    caught: bool,
    property: &'static str,
    seeds_to_catch: u64,
    clean_violations: u64,
    replay: String,
}

/// Runs every bug, or those whose name contains a text.
pub(crate) fn command(arguments: &MutantArguments) -> Verdict {
    let mut all_well = true;
    let is_wanted = |row: &&Row| arguments.only.as_ref().is_none_or(|text| row.name.contains(text.as_str()));
    if let Some(text) = &arguments.only
        && !ROWS.iter().any(|row| is_wanted(&row))
    {
        let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
        return Err(Mistake(format!("no planted bug has `{text}` in its name; there are {}", names.join(", "))));
    }
    for row in ROWS.iter().filter(is_wanted) {
        let catch = row.hunt(jobs(arguments.jobs))?;
        if arguments.json {
            output::json(&catch);
        } else {
            let how = match (catch.caught, row.hunt) {
                (true, Hunt::Seeds(_)) => format!("caught by {} after {} seeds", catch.property, catch.seeds_to_catch),
                (true, Hunt::Steps | Hunt::Search(..)) => format!("caught by {}", catch.property),
                (false, _) => format!("SURVIVED {} seeds", SEEDS),
            };
            let clean = match catch.clean_violations {
                0 => String::new(),
                wrong => format!("; WITHOUT THE BUG {wrong} seeds fail too"),
            };
            output::line(format_args!("{:<32} {how}{clean}", row.name));
        }
        all_well &= catch.caught && catch.clean_violations == 0;
    }
    Ok(all_well)
}

impl Row {
    fn hunt(&self, jobs: usize) -> Result<Catch, Mistake> {
        match self.hunt {
            Hunt::Seeds(scenario) => self.hunt_by_seeds(scenario, jobs),
            Hunt::Steps => Ok(self.hunt_by_steps()),
            Hunt::Search(groups, messages) => self.hunt_by_search(groups, messages),
        }
    }

    fn hunt_by_seeds(&self, scenario: Scenario, jobs: usize) -> Result<Catch, Mistake> {
        let plan = self.plan(scenario);
        let variant = Variant::with_bug(self.mutant);
        let caught =
            (0..SEEDS).find(|seed| self.breaks(&seed_of(self.protocol, &plan, *seed, None, variant).violations));
        let seeds_to_catch = caught.map_or(SEEDS, |seed| seed + 1);
        let mut clean_violations = 0;
        let fleet = Fleet { seeds: 0..seeds_to_catch, jobs, resume: None, shows_progress: false };
        fleet.run(
            |seed| seed_of(self.protocol, &plan, seed, None, Variant::PLAIN),
            |report| clean_violations += u64::from(report.is_wrong || report.is_stuck),
        )?;
        Ok(Catch {
            mutant: self.name,
            caught: caught.is_some(),
            property: self.property,
            seeds_to_catch,
            clean_violations,
            replay: self.replay(),
        })
    }

    fn hunt_by_steps(&self) -> Catch {
        let found = |variant| steps_of(self.protocol, variant, self.protocol.nature().steps).violations;
        self.caught(self.breaks(&found(Variant::with_bug(self.mutant))), found(Variant::PLAIN).len() as u64)
    }

    fn hunt_by_search(&self, groups: usize, messages: usize) -> Result<Catch, Mistake> {
        let scope = Scope::calm(groups, 1, messages);
        let with = search_of(self.protocol, &scope, Variant::with_bug(self.mutant), |_| {})?;
        let without = search_of(self.protocol, &scope, Variant::PLAIN, |_| {})?;
        let caught = with.failure.is_some_and(|failure| self.breaks(&failure.violations));
        Ok(self.caught(caught, u64::from(without.failure.is_some())))
    }

    /// What a hunt without seeds came to.
    fn caught(&self, caught: bool, clean_violations: u64) -> Catch {
        Catch {
            mutant: self.name,
            caught,
            property: self.property,
            seeds_to_catch: 1,
            clean_violations,
            replay: self.replay(),
        }
    }

    fn replay(&self) -> String {
        format!("skein sim mutants --only '{}'", self.name)
    }

    fn breaks(&self, violations: &[Violation]) -> bool {
        violations.iter().any(|violation| {
            if self.property == ANY {
                eprintln!("   {}: {}", self.name, &violation.to_string().chars().take(150).collect::<String>());
            }
            violation.property == self.property || self.property == ANY
        })
    }

    fn plan(&self, scenario: Scenario) -> Plan {
        let nature = self.protocol.nature();
        let (groups, replicas) = self.shape;
        let cluster = Arc::new(Cluster::regular(groups, replicas, 1).expect("a small cluster is one"));
        Plan {
            load: Load {
                per_second: 40.0,
                mix: Mix::usual(&cluster),
                payload: 16,
                expiry: self.expiry,
                misbehaves: nature.survives_faults,
                readers: nature.safe_time,
            },
            cluster,
            scenario,
            duration: 20 * SECOND,
            claims: nature.claims(scenario),
            clock_bound: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::in_words;
    use std::path::Path;

    /// What the search prints when it finds something, kept to be read.
    #[test]
    fn the_search_tells_the_story_of_a_bug() {
        let row = ROWS.iter().find(|row| matches!(row.hunt, Hunt::Search(..))).unwrap();
        let scope = Scope::calm(2, 1, 2);
        let report = search_of(row.protocol, &scope, Variant::with_bug(row.mutant), |_| {}).unwrap();
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/traces/skeen_skips_the_wait.txt");
        skein_sim::golden(file, &in_words(&report.failure.unwrap()));
    }

    /// Every property that a judge knows is broken by some bug here.
    #[test]
    fn every_bug_is_caught_and_nothing_else() {
        for row in &ROWS {
            let catch = row.hunt(2).unwrap();
            assert!(catch.caught, "{} survived", row.name);
            assert_eq!(catch.clean_violations, 0, "{}", row.name);
        }
    }
}
