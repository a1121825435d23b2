//! Agents in a simulated world: what one writes everybody knows soon, what is
//! removed stays removed, and who comes late or back has what the others have.

#[path = "../../app/src/edge_sim/mod.rs"]
#[allow(dead_code, unused_imports)] // who measures needs more of it than these tests
mod edge_sim;

use core::time::Duration;

use edge_sim::maps::{Maps, Plan};
use skein_machine::ProcessId;
use skein_sim::{MILLISECOND, SECOND};

const fn p(number: u16) -> ProcessId {
    ProcessId(number)
}

fn all_have(maps: &Maps, key: &str, value: Option<&str>) -> bool {
    maps.living().iter().all(|process| maps.get(*process, key).as_deref() == value.map(str::as_bytes))
}

#[test]
fn what_one_writes_everybody_knows() {
    let mut maps = Maps::settled(Plan::of(3, 6, 1));
    assert!(maps.agree(), "a fleet that came together holds the same");
    maps.put(p(4), "k", "v");
    let near = |maps: &Maps| (0..6).all(|process| maps.get(p(process), "k").is_some());
    let took = maps.run_until(SECOND, near).expect("its place knows");
    assert!(took < SECOND, "{took}");
    maps.run_until(5 * SECOND, |maps| all_have(maps, "k", Some("v"))).expect("all know");
    maps.remove(p(17), "k");
    maps.run_until(5 * SECOND, |maps| all_have(maps, "k", None)).expect("all know that it is gone");
    maps.run(3 * SECOND);
    assert!(maps.agree());
    assert_eq!((maps.anew(), maps.refused()), (0, 0));
}

#[test]
fn losses_are_found_by_comparing() {
    let plan = Plan { loss: 0.3, ..Plan::of(2, 8, 2) };
    let mut maps = Maps::settled(plan);
    for nth in 0..40 {
        maps.put(p(nth % 16), &format!("key-{nth}"), "v");
        maps.run(20 * MILLISECOND);
    }
    maps.run_until(20 * SECOND, Maps::agree).expect("they come to agree");
    assert!((0..40).all(|nth| all_have(&maps, &format!("key-{nth}"), Some("v"))));
}

#[test]
fn who_comes_late_is_told_everything() {
    let mut maps = Maps::new(Plan::of(1, 4, 3));
    (0..3).for_each(|process| maps.start(p(process)));
    maps.run(8 * SECOND);
    for nth in 0..500 {
        maps.put(p(nth % 3), &format!("key-{nth}"), &"value".repeat(20));
    }
    maps.run(5 * SECOND);
    maps.start(p(3));
    maps.run_until(5 * SECOND, |maps| maps.agent(p(3)).is_some_and(|agent| agent.spread().is_ready())).expect("ready");
    assert_eq!(maps.get(p(3), "key-499").unwrap(), "value".repeat(20));
    maps.run_until(5 * SECOND, Maps::agree).expect("they agree");
}

#[test]
fn halves_that_were_apart_agree_and_nothing_comes_back() {
    let mut maps = Maps::settled(Plan::of(1, 8, 4));
    maps.put(p(0), "gone", "v");
    maps.put(p(0), "both", "v");
    maps.run(5 * SECOND);
    let side: Vec<_> = (0..4).map(p).collect();
    maps.part(&side, true);
    maps.remove(p(1), "gone");
    maps.put(p(2), "both", "left");
    maps.put(p(6), "both", "right");
    maps.put(p(5), "one", "v");
    maps.run(60 * SECOND);
    maps.part(&side, false);
    maps.run_until(60 * SECOND, Maps::agree).expect("they come to agree");
    assert!(all_have(&maps, "gone", None) && all_have(&maps, "one", Some("v")));
    let shown = maps.get(p(0), "both").unwrap();
    assert!(shown == "left" || shown == "right");
    assert!(all_have(&maps, "both", Some(core::str::from_utf8(&shown).unwrap())));
    assert_eq!(maps.anew(), 0);
}

#[test]
fn removals_are_forgotten_when_everybody_has_them() {
    let mut plan = Plan::of(2, 4, 5);
    plan.tempo.cut_every = Duration::from_secs(10);
    let mut maps = Maps::settled(plan);
    for nth in 0..20 {
        maps.put(p(nth % 8), &format!("key-{nth}"), "v");
    }
    maps.run(5 * SECOND);
    (0..20).for_each(|nth| maps.remove(p((nth + 3) % 8), &format!("key-{nth}")));
    let removals =
        |maps: &Maps| maps.living().iter().map(|p| maps.agent(*p).unwrap().spread().map().removals()).sum::<usize>();
    assert!(removals(&maps) > 0);
    maps.run_until(60 * SECOND, |maps| removals(maps) == 0).expect("all is forgotten");
    maps.run(5 * SECOND);
    assert!(maps.agree());
    assert_eq!(maps.anew(), 0);
    assert!((0..20).all(|nth| all_have(&maps, &format!("key-{nth}"), None)));
}

#[test]
fn who_is_expelled_comes_back_with_nothing() {
    let mut plan = Plan::of(1, 6, 6);
    (plan.tempo.cut_every, plan.tempo.expel_after) = (Duration::from_secs(5), Duration::from_secs(20));
    let mut maps = Maps::settled(plan);
    maps.put(p(5), "old", "v");
    maps.run(5 * SECOND);
    maps.part(&[p(5)], true);
    maps.put(p(5), "unheard", "v");
    maps.remove(p(0), "old");
    maps.run(120 * SECOND);
    assert_eq!(maps.get(p(5), "old").unwrap(), "v", "it has not heard");
    assert_eq!(maps.agent(p(0)).unwrap().spread().map().removals(), 0, "the others have forgotten");
    assert_eq!(maps.agent(p(0)).unwrap().spread().lines().count(), 5);
    maps.part(&[p(5)], false);
    maps.run_until(120 * SECOND, |maps| maps.anew() == 1 && maps.agree()).expect("it begins anew");
    assert!(all_have(&maps, "old", None) && all_have(&maps, "unheard", None));
    assert_eq!(maps.agent(p(0)).unwrap().spread().lines().count(), 6, "it is back");
}

#[test]
fn a_member_that_starts_again_is_the_same_and_leaves_no_trace_of_its_lives() {
    let mut plan = Plan::of(1, 4, 7);
    plan.tempo.cut_every = Duration::from_secs(5);
    let mut maps = Maps::settled(plan);
    for nth in 0..6 {
        maps.put(p(3), "own", &format!("{nth}"));
        maps.run(3 * SECOND);
        maps.kill(p(3));
        maps.run(8 * SECOND);
        let line = maps.agent(p(0)).unwrap().spread().lines().find(|line| line.member.name.as_str() == "m3").cloned();
        assert!(!line.unwrap().is_up, "it is known to be down");
        maps.start(p(3));
        maps.run(5 * SECOND);
    }
    maps.run(30 * SECOND);
    assert!(maps.agree());
    assert!(all_have(&maps, "own", Some("5")));
    let actors = maps.agent(p(0)).unwrap().spread().map().seen().actors().len();
    assert!(actors <= 6, "{actors} actors are remembered");
    assert_eq!(maps.anew(), 0);
}

#[test]
fn who_leaves_is_gone_at_once() {
    let mut maps = Maps::settled(Plan::of(2, 3, 8));
    maps.leave(p(4));
    let lines = |maps: &Maps, at| maps.agent(p(at)).unwrap().spread().lines().count();
    maps.run_until(5 * SECOND, |maps| [0, 1, 2, 3, 5].iter().all(|at| lines(maps, *at) == 5)).expect("all know");
}

/// The judges by which `skein sim edge` measures.
mod judges {
    use super::*;
    use edge_sim::figures::{self, BAR_OF_GAP_S};
    use skein_edge::Planted;
    use skein_edge::spread::Tempo;

    type Judge = fn(u64, Planted) -> Vec<String>;

    fn six(seed: u64, planted: Planted) -> Plan {
        Plan { planted, ..Plan::of(1, 6, seed) }
    }

    fn exile(seed: u64, planted: Planted) -> Vec<String> {
        figures::exile(six(seed, planted))
    }

    /// An answer is many datagrams, and some of them are lost.
    fn heal_in_pieces(seed: u64, planted: Planted) -> Vec<String> {
        figures::heal(Plan { tempo: Tempo { piece: 300, ..Tempo::default() }, ..six(seed, planted) })
    }

    fn heal(seed: u64, planted: Planted) -> Vec<String> {
        figures::heal(six(seed, planted))
    }

    fn probing(seed: u64, planted: Planted) -> Vec<String> {
        let probing = figures::probing(&Plan { planted, ..Plan::of(2, 8, seed) }, 200);
        let is_right = probing.wrongly == 0 && probing.gap_s <= BAR_OF_GAP_S;
        if is_right { Vec::new() } else { vec![format!("{probing:?}")] }
    }

    #[test]
    fn find_nothing_in_a_fleet_that_is_well() {
        for seed in 0..5 {
            for judge in [heal as Judge, heal_in_pieces, exile, probing] {
                assert_eq!(judge(seed, Planted::NONE), Vec::<String>::new(), "seed {seed}");
            }
        }
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn find_what_is_planted() {
        use skein_edge::Mutant;

        let judges: [(Mutant, Judge); 4] = [
            (Mutant::MapBelievesAheadOfItself, heal_in_pieces),
            (Mutant::MapForgetsWhatItNeverSaw, exile),
            (Mutant::SpreadCountsWithoutTheSilent, heal),
            (Mutant::AgentDividesOnce, probing),
        ];
        for (mutant, judge) in judges {
            let found = (0..50).find_map(|seed| judge(seed, Planted::bug(mutant)).pop().map(|found| (seed, found)));
            assert!(found.is_some(), "{mutant:?} survives");
        }
    }
}
