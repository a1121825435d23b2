//! `skein sim mutants`: each planted bug, and the judge that must catch it.
//! The same seeds run without the bug, and must be clean. Here are the bugs of
//! protocols; those of the replicas of a service, and of the store, are in `lists`,
//! those of the edge in `edge`, and those of Mu in `mu`.

mod edge;
mod lists;
mod mu;

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use serde::Serialize;
use skein_machine::{Cluster, Conflicts};
use skein_order::Mutant;
use skein_sim::check::Violation;
use skein_sim::search::Scope;
use skein_sim::{Load, Mix, Plan, SECOND, SOME_COMMUTE, Scenario};

use crate::cli::{Mistake, MutantArguments, Verdict, jobs, output, search_of, seed_of, steps_of};
use crate::compose::{Mode, Protocol, Variant};
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
    /// What is promised about real time.
    mode: Mode,
    /// Messages expire so many timestamps above their session's floor.
    expiry: Option<u64>,
    /// Logs are cut at once, and faults strike twice as often.
    is_tight: bool,
    /// Some messages commute.
    conflicts: bool,
    /// It may take many seeds.
    is_rare: bool,
    /// The first seed to try. Where nothing shows for hundreds of them, the hunt begins a little before it does.
    first: u64,
    /// The properties that it may break: one of them at least.
    breaks: &'static [&'static str],
}

/// A bug that is not caught within so many seeds has survived.
const SEEDS: u64 = 400;

/// The same for bugs that show only when several things go wrong at once.
const SEEDS_OF_RARE: u64 = 4000;

const fn calm(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    let (protocol, hunt) = (Protocol::Skeen, Hunt::Seeds(Scenario::Calm));
    Row { protocol, hunt, shape: (3, 3), ..swarm(name, mutant, breaks) }
}

const fn swarm(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    let (protocol, hunt) = (Protocol::PrimCast, Hunt::Seeds(Scenario::Swarm));
    Row {
        name,
        mutant,
        protocol,
        hunt,
        shape: (2, 3),
        mode: Mode::Ordered,
        expiry: None,
        is_tight: false,
        conflicts: false,
        is_rare: false,
        first: 0,
        breaks,
    }
}

const fn whitebox(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { protocol: Protocol::WhiteBox, ..swarm(name, mutant, breaks) }
}

/// One that shows only when several things go wrong at once.
const fn rare(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { is_rare: true, ..swarm(name, mutant, breaks) }
}

/// The same in rings, whose logs are cut at once too.
const fn multiring(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { protocol: Protocol::MultiRing, is_tight: true, ..swarm(name, mutant, breaks) }
}

/// The same in FastCast, whose logs are cut at once here: what goes wrong in a transfer is seen.
const fn fastcast(name: &'static str, mutant: Mutant, breaks: &'static [&'static str]) -> Row {
    Row { protocol: Protocol::FastCast, is_tight: true, ..swarm(name, mutant, breaks) }
}

/// A bug that lets a group, or two of them, take different turns shows in any of these: which one depends on who
/// is the first to notice.
const ORDER: &[&str] =
    &["integrity", "agreement", "prefix order", "global order", "timestamps", "safe time", "invariant"];

/// The same, and groups that wait for what cannot come any more.
const ORDER_OR_PROGRESS: &[&str] =
    &["integrity", "agreement", "prefix order", "global order", "timestamps", "safe time", "invariant", "liveness"];

/// Every bug that is planted somewhere.
const ROWS: &[Row] = &[
    calm("skeen-delivers-twice", Mutant::SkeenDeliversTwice, &["integrity"]),
    calm("skeen-loses-a-decision", Mutant::SkeenLosesADecision, &["agreement"]),
    calm("skeen-skips-the-wait", Mutant::SkeenSkipsTheWait, &["global order"]),
    calm("skeen-breaks-ties-alone", Mutant::SkeenBreaksTiesAlone, &["prefix order"]),
    calm("skeen-forgets-to-raise", Mutant::SkeenForgetsToRaise, &["timestamps"]),
    calm("skeen-tells-everybody", Mutant::SkeenTellsEverybody, &["genuineness"]),
    calm("skeen-ignores-the-floor", Mutant::SkeenIgnoresTheFloor, &["sender order"]),
    Row { hunt: Hunt::Steps, ..calm("skeen-relays-the-start", Mutant::SkeenRelaysTheStart, &["step bound"]) },
    calm("skeen-drops-early-proposals", Mutant::SkeenDropsEarlyProposals, &["liveness"]),
    calm("skeen-reads-too-soon", Mutant::SkeenReadsTooSoon, &["read point"]),
    Row {
        hunt: Hunt::Search(2, 2),
        ..calm("skeen-skips-the-wait, searched", Mutant::SkeenSkipsTheWait, &["timestamps"])
    },
    Row { first: 250, ..rare("primcast-acknowledges-early", Mutant::PrimCastAcknowledgesEarly, ORDER_OR_PROGRESS) },
    rare("primcast-counts-itself-early", Mutant::PrimCastCountsItselfEarly, ORDER_OR_PROGRESS),
    swarm("primcast-takes-the-second-log", Mutant::PrimCastTakesTheSecondLog, ORDER),
    rare("primcast-counts-a-minority", Mutant::PrimCastCountsAMinority, ORDER),
    swarm("primcast-ignores-the-leader-clock", Mutant::PrimCastIgnoresTheLeaderClock, ORDER),
    swarm("primcast-ignores-pending-stamps", Mutant::PrimCastIgnoresPendingStamps, ORDER_OR_PROGRESS),
    rare("primcast-restarts-below-its-ceiling", Mutant::PrimCastRestartsBelowItsCeiling, ORDER),
    swarm("primcast-forgets-windows", Mutant::PrimCastForgetsWindows, ORDER),
    swarm("primcast-tells-bystanders", Mutant::PrimCastTellsBystanders, &["genuineness"]),
    swarm("primcast-forgets-what-it-follows", Mutant::PrimCastForgetsWhatItFollows, &["sender order"]),
    Row { first: 120, ..rare("primcast-follows-two-primaries", Mutant::PrimCastFollowsTwoPrimaries, ORDER) },
    swarm("primcast-resumes-as-primary", Mutant::PrimCastResumesAsPrimary, ORDER),
    Row {
        is_tight: true,
        first: 440,
        ..rare("primcast-begins-at-its-own-clock", Mutant::PrimCastBeginsAtItsOwnClock, ORDER)
    },
    swarm("primcast-adopts-without-cutting", Mutant::PrimCastAdoptsWithoutCutting, ORDER),
    swarm("primcast-forgets-the-headers-epoch", Mutant::PrimCastForgetsTheHeadersEpoch, ORDER),
    rare("primcast-counts-later-clocks", Mutant::PrimCastCountsLaterClocks, ORDER),
    swarm("primcast-trusts-a-restarted-leader", Mutant::PrimCastTrustsARestartedLeader, ORDER),
    Row { expiry: Some(60), ..swarm("primcast-refuses-alone", Mutant::PrimCastRefusesAlone, &["liveness"]) },
    rare("primcast-cuts-too-early", Mutant::PrimCastCutsTooEarly, &["liveness"]),
    Row { first: 290, ..rare("primcast-votes-without-memory", Mutant::PrimCastVotesWithoutMemory, ORDER_OR_PROGRESS) },
    swarm("primcast-reads-alone", Mutant::PrimCastReadsAlone, &["read point"]),
    Row {
        shape: (1, 5),
        ..swarm("primcast-reads-from-a-minority", Mutant::PrimCastReadsFromAMinority, &["read point"])
    },
    swarm("primcast-lowers-read-points-too-far", Mutant::PrimCastLowersReadPointsTooFar, &["read point"]),
    swarm("primcast-reads-on-old-replies", Mutant::PrimCastReadsOnOldReplies, &["read point"]),
    swarm("primcast-reads-too-soon", Mutant::PrimCastReadsTooSoon, &["read point"]),
    Row {
        shape: (1, 3),
        is_tight: true,
        ..rare("primcast-replies-without-memory", Mutant::PrimCastRepliesWithoutMemory, &["read point"])
    },
    Row {
        conflicts: true,
        ..swarm("primcast-overtakes-conflicts", Mutant::PrimCastOvertakesConflicts, &["prefix order"])
    },
    Row {
        conflicts: true,
        hunt: Hunt::Search(2, 2),
        ..swarm("primcast-overtakes-conflicts, searched", Mutant::PrimCastOvertakesConflicts, &["prefix order"])
    },
    Row {
        conflicts: true,
        ..swarm("primcast-forgets-early-deliveries", Mutant::PrimCastForgetsEarlyDeliveries, &["integrity"])
    },
    Row {
        shape: (3, 3),
        mode: Mode::GlobalOrder,
        ..swarm("primcast-forgets-what-is-in-front", Mutant::PrimCastForgetsWhatIsInFront, &["real-time order"])
    },
    Row {
        is_rare: true,
        is_tight: true,
        ..whitebox("whitebox-acknowledges-early", Mutant::WhiteBoxAcknowledgesEarly, ORDER_OR_PROGRESS)
    },
    Row {
        is_rare: true,
        is_tight: true,
        first: 1400,
        ..whitebox("whitebox-accepts-with-gaps", Mutant::WhiteBoxAcceptsWithGaps, &["sender order"])
    },
    Row {
        is_rare: true,
        is_tight: true,
        first: 500,
        ..whitebox("whitebox-counts-later-clocks", Mutant::WhiteBoxCountsLaterClocks, &["safe time"])
    },
    Row {
        is_rare: true,
        is_tight: true,
        ..whitebox("whitebox-counts-a-minority", Mutant::WhiteBoxCountsAMinority, &["safe time"])
    },
    Row {
        is_rare: true,
        is_tight: true,
        shape: (1, 3),
        ..whitebox("whitebox-replies-without-memory", Mutant::WhiteBoxRepliesWithoutMemory, &["read point"])
    },
    whitebox("whitebox-mixes-ballots", Mutant::WhiteBoxMixesBallots, ORDER_OR_PROGRESS),
    whitebox("whitebox-counts-one-vote-less", Mutant::WhiteBoxCountsOneVoteLess, ORDER_OR_PROGRESS),
    Row { hunt: Hunt::Steps, ..whitebox("whitebox-forgets-to-raise", Mutant::WhiteBoxForgetsToRaise, &["step bound"]) },
    whitebox("whitebox-skips-the-wait", Mutant::WhiteBoxSkipsTheWait, ORDER),
    Row {
        hunt: Hunt::Search(2, 2),
        ..whitebox("whitebox-skips-the-wait, searched", Mutant::WhiteBoxSkipsTheWait, ORDER)
    },
    whitebox("whitebox-forgets-what-it-follows", Mutant::WhiteBoxForgetsWhatItFollows, &["sender order"]),
    whitebox("whitebox-follows-two-leaders", Mutant::WhiteBoxFollowsTwoLeaders, ORDER_OR_PROGRESS),
    whitebox("whitebox-resumes-as-leader", Mutant::WhiteBoxResumesAsLeader, ORDER),
    whitebox("whitebox-restarts-below-its-ceiling", Mutant::WhiteBoxRestartsBelowItsCeiling, &["read point"]),
    whitebox("whitebox-takes-an-old-state", Mutant::WhiteBoxTakesAnOldState, ORDER_OR_PROGRESS),
    whitebox("whitebox-tells-its-own-clock", Mutant::WhiteBoxTellsItsOwnClock, &["safe time"]),
    Row { expiry: Some(60), ..whitebox("whitebox-refuses-alone", Mutant::WhiteBoxRefusesAlone, &["liveness"]) },
    Row {
        expiry: Some(60),
        ..whitebox("whitebox-delivers-any-payload", Mutant::WhiteBoxDeliversAnyPayload, &["integrity"])
    },
    Row { is_tight: true, ..whitebox("whitebox-forgets-facts", Mutant::WhiteBoxForgetsFacts, &["liveness"]) },
    whitebox("whitebox-forgets-windows", Mutant::WhiteBoxForgetsWindows, ORDER_OR_PROGRESS),
    whitebox("whitebox-tells-bystanders", Mutant::WhiteBoxTellsBystanders, &["genuineness"]),
    whitebox("whitebox-votes-without-memory", Mutant::WhiteBoxVotesWithoutMemory, ORDER_OR_PROGRESS),
    whitebox("whitebox-reads-alone", Mutant::WhiteBoxReadsAlone, &["read point"]),
    whitebox("whitebox-reads-on-old-replies", Mutant::WhiteBoxReadsOnOldReplies, &["read point"]),
    whitebox("whitebox-reads-too-soon", Mutant::WhiteBoxReadsTooSoon, &["read point"]),
    multiring("multiring-takes-one-too-many", Mutant::MultiRingTakesOneTooMany, ORDER),
    multiring("multiring-skips-without-agreement", Mutant::MultiRingSkipsWithoutAgreement, ORDER_OR_PROGRESS),
    multiring("multiring-counts-votes-twice", Mutant::MultiRingCountsVotesTwice, ORDER_OR_PROGRESS),
    multiring("multiring-forgets-windows", Mutant::MultiRingForgetsWindows, ORDER),
    multiring("multiring-ignores-the-floor", Mutant::MultiRingIgnoresTheFloor, &["sender order"]),
    multiring("multiring-forgets-what-it-follows", Mutant::MultiRingForgetsWhatItFollows, &["sender order"]),
    multiring("multiring-reads-alone", Mutant::MultiRingReadsAlone, &["read point"]),
    multiring("multiring-reads-too-soon", Mutant::MultiRingReadsTooSoon, &["read point"]),
    Row {
        is_rare: true,
        first: 250,
        ..multiring("multiring-trims-at-a-minority", Mutant::MultiRingTrimsAtAMinority, ORDER_OR_PROGRESS)
    },
    multiring("multiring-subscribes-at-leisure", Mutant::MultiRingSubscribesAtLeisure, ORDER),
    multiring("multiring-wakes-too-soon", Mutant::MultiRingWakesTooSoon, ORDER),
    Row {
        expiry: Some(6),
        is_rare: true,
        first: 250,
        ..multiring("multiring-refuses-alone", Mutant::MultiRingRefusesAlone, &["expiry"])
    },
    Row {
        is_rare: true,
        first: 300,
        ..fastcast("consensus-acknowledges-early", Mutant::ConsensusAcknowledgesEarly, ORDER_OR_PROGRESS)
    },
    fastcast("consensus-takes-the-second-log", Mutant::ConsensusTakesTheSecondLog, ORDER),
    fastcast("consensus-decides-by-a-minority", Mutant::ConsensusDecidesByAMinority, ORDER_OR_PROGRESS),
    fastcast("consensus-follows-two-leaders", Mutant::ConsensusFollowsTwoLeaders, ORDER_OR_PROGRESS),
    fastcast("consensus-resumes-as-leader", Mutant::ConsensusResumesAsLeader, ORDER_OR_PROGRESS),
    fastcast("consensus-adopts-without-cutting", Mutant::ConsensusAdoptsWithoutCutting, ORDER),
    fastcast("consensus-votes-without-memory", Mutant::ConsensusVotesWithoutMemory, ORDER_OR_PROGRESS),
    fastcast("fastcast-ignores-the-clock", Mutant::FastCastIgnoresTheClock, ORDER),
    fastcast("fastcast-ignores-pending-stamps", Mutant::FastCastIgnoresPendingStamps, ORDER),
    fastcast("fastcast-believes-guesses", Mutant::FastCastBelievesGuesses, ORDER),
    Row {
        expiry: Some(60),
        ..fastcast("fastcast-refuses-alone", Mutant::FastCastRefusesAlone, &["liveness", "agreement"])
    },
    fastcast("fastcast-forgets-what-it-follows", Mutant::FastCastForgetsWhatItFollows, &["sender order"]),
    fastcast("fastcast-forgets-too-early", Mutant::FastCastForgetsTooEarly, &["liveness", "agreement"]),
    fastcast("fastcast-forgets-windows", Mutant::FastCastForgetsWindows, ORDER),
    fastcast("fastcast-reads-alone", Mutant::FastCastReadsAlone, &["read point"]),
    fastcast("fastcast-reads-too-soon", Mutant::FastCastReadsTooSoon, &["read point"]),
];

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

/// The bug of this name.
pub(crate) fn named(name: &str) -> Option<Mutant> {
    ROWS.iter().find(|row| row.name == name).map(|row| row.mutant)
}

/// Runs every bug, or those whose name contains a text.
pub(crate) fn command(arguments: &MutantArguments) -> Verdict {
    let mut all_well = true;
    // A bug that a machine notices by itself ends in a panic; what it says is in the verdict.
    std::panic::set_hook(Box::new(|_| {}));
    let is_wanted = |name: &str| arguments.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let of_others = lists::ROWS.iter().map(|row| row.name).chain(edge::ROWS.iter().map(|row| row.name));
    let of_others = of_others.chain(mu::ROWS.iter().map(|row| row.name));
    let names: Vec<&str> = ROWS.iter().map(|row| row.name).chain(of_others).collect();
    if let Some(text) = &arguments.only
        && !names.iter().any(|name| is_wanted(name))
    {
        return Err(Mistake(format!("no planted bug has `{text}` in its name; there are {}", names.join(", "))));
    }
    let jobs = jobs(arguments.jobs);
    for row in ROWS.iter().filter(|row| is_wanted(row.name)) {
        let catch = row.hunt(jobs)?;
        all_well &= catch.show(arguments.json, matches!(row.hunt, Hunt::Seeds(_)));
    }
    for row in lists::ROWS.iter().filter(|row| is_wanted(row.name)) {
        all_well &= row.hunt(jobs)?.show(arguments.json, true);
    }
    for row in edge::ROWS.iter().filter(|row| is_wanted(row.name)) {
        all_well &= row.hunt(jobs).show(arguments.json, true);
    }
    for row in mu::ROWS.iter().filter(|row| is_wanted(row.name)) {
        all_well &= row.hunt(jobs).show(arguments.json, true);
    }
    Ok(all_well)
}

impl Catch {
    /// Answers whether all is as it should be.
    fn show(&self, is_json: bool, by_seeds: bool) -> bool {
        if is_json {
            output::json(self);
        } else {
            let how = match (self.caught, by_seeds) {
                (true, true) => format!("caught by {} after {} seeds", self.property, self.seeds_to_catch),
                (true, false) => format!("caught by {}", self.property),
                (false, _) => format!("SURVIVED {} seeds", self.seeds_to_catch),
            };
            let clean = match self.clean_violations {
                0 => String::new(),
                wrong => format!("; WITHOUT THE BUG {wrong} seeds fail too"),
            };
            output::line(format_args!("{:<40} {how}{clean}", self.mutant));
        }
        self.caught && self.clean_violations == 0
    }
}

fn replay(name: &str) -> String {
    format!("skein sim mutants --only '{name}'")
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
        let variant = self.variant(Variant::with_bug(self.mutant));
        let broken = |seed| self.broken(&seed_of(self.protocol, &plan, seed, None, variant).violations);
        let seeds = self.first..self.first + self.seeds();
        let caught = first_found(seeds.clone(), jobs, broken);
        let end = caught.map_or(seeds.end, |(seed, _)| seed + 1);
        let mut clean_violations = 0;
        let fleet = Fleet { seeds: self.first..end, jobs, resume: None, shows_progress: false };
        fleet.run(
            |seed| seed_of(self.protocol, &plan, seed, None, self.variant(Variant::PLAIN)),
            |report| clean_violations += u64::from(report.is_wrong || report.is_stuck),
        )?;
        let seeds_to_catch = end - self.first;
        Ok(Catch { seeds_to_catch, ..self.caught(caught.map(|(_, property)| property), clean_violations) })
    }

    fn hunt_by_steps(&self) -> Catch {
        let found = |variant| steps_of(self.protocol, variant, self.protocol.nature().steps).violations;
        self.caught(self.broken(&found(Variant::with_bug(self.mutant))), found(Variant::PLAIN).len() as u64)
    }

    fn hunt_by_search(&self, groups: usize, messages: usize) -> Result<Catch, Mistake> {
        let scope = Scope { conflicts: self.conflicts(), ..Scope::calm(groups, 1, messages) };
        let search = |variant| search_of(self.protocol, &scope, self.variant(variant), |_| {});
        let (with, without) = (search(Variant::with_bug(self.mutant))?, search(Variant::PLAIN)?);
        let caught = with.failure.and_then(|failure| self.broken(&failure.violations));
        Ok(self.caught(caught, u64::from(without.failure.is_some())))
    }

    /// What a hunt without seeds came to.
    fn caught(&self, property: Option<&'static str>, clean_violations: u64) -> Catch {
        Catch {
            mutant: self.name,
            caught: property.is_some(),
            property: property.unwrap_or(self.breaks[0]),
            seeds_to_catch: 1,
            clean_violations,
            replay: replay(self.name),
        }
    }

    /// The property among those that it may break that it did break.
    fn broken(&self, violations: &[Violation]) -> Option<&'static str> {
        violations.iter().map(|violation| violation.property).find(|property| self.breaks.contains(property))
    }

    fn seeds(&self) -> u64 {
        if self.is_rare { SEEDS_OF_RARE } else { SEEDS }
    }

    fn variant(&self, variant: Variant) -> Variant {
        Variant { mode: self.mode, is_tight: self.is_tight, conflicts: self.conflicts(), ..variant }
    }

    fn conflicts(&self) -> Option<Conflicts> {
        self.conflicts.then_some(SOME_COMMUTE)
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
                asks_for_read_points: true,
            },
            cluster,
            scenario,
            duration: 20 * SECOND,
            claims: nature.claims(scenario, self.mode, self.conflicts()),
            clock_bound: None,
            severity: if self.is_tight { 2.0 } else { 1.0 },
        }
    }
}

/// The first seed of which something is found, and what. Several are tried at once, and none behind it for longer
/// than that takes to be known.
fn first_found<T: Send>(seeds: Range<u64>, jobs: usize, find: impl Fn(u64) -> Option<T> + Sync) -> Option<(u64, T)> {
    let (next, found) = (AtomicU64::new(seeds.start), Mutex::new(None::<(u64, T)>));
    let known = || found.lock().expect("nobody panics while holding it");
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Relaxed);
                    if seed >= seeds.end || known().as_ref().is_some_and(|(first, _)| *first < seed) {
                        return;
                    }
                    if let Some(what) = find(seed) {
                        let mut known = known();
                        if known.as_ref().is_none_or(|(first, _)| seed < *first) {
                            *known = Some((seed, what));
                        }
                    }
                }
            });
        }
    });
    found.into_inner().expect("nobody panics while holding it")
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

    /// Also when another is found sooner.
    #[test]
    fn the_first_seed_is_the_first_in_order() {
        let find = |seed: u64| {
            std::thread::sleep(std::time::Duration::from_millis(if seed == 21 { 20 } else { 0 }));
            (seed >= 21).then_some(seed * 2)
        };
        for jobs in [1, 2, 8] {
            assert_eq!(first_found(10..40, jobs, find), Some((21, 42)));
            assert_eq!(first_found(10..20, jobs, find), None);
        }
    }
}
