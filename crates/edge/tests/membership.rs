//! Members in a simulated world: how they find each other, how they part, and
//! what they make of deaths, cuts, losses and names that are taken.

#[path = "../../app/src/edge_sim/mod.rs"]
#[allow(dead_code, unused_imports)] // who measures needs more of it than these tests
mod edge_sim;

use std::time::Duration;

use edge_sim::{Fleet, Plan, calm, detection, storm};
use skein_edge::membership::{Event, Pace, Refusal, Standing};
use skein_machine::ProcessId;
use skein_sim::{MILLISECOND, Nanos, SECOND};

const fn p(number: u16) -> ProcessId {
    ProcessId(number)
}

fn seconds(nanos: Nanos) -> f64 {
    nanos as f64 / SECOND as f64
}

/// Waits until all see what is true, and answers how many seconds that took.
fn settle(fleet: &mut Fleet, within: Nanos) -> f64 {
    let took = fleet.settle(within);
    seconds(took.unwrap_or_else(|violations| panic!("after {} s: {violations:#?}", seconds(within))))
}

#[test]
fn all_come_in_through_one() {
    let mut fleet = Fleet::new(Plan::of(64, 1));
    fleet.start_all();
    let took = settle(&mut fleet, 10 * SECOND);
    assert!(took < 2.0, "{took} s");
    assert!((0..64).all(|process| fleet.told_by(p(process)).first() == Some(&&Event::Joined)));
}

#[test]
fn all_know_of_a_death_within_six_seconds() {
    for seed in 0..3 {
        let took = seconds(detection(Plan::of(64, seed)).expect("all know in the end"));
        assert!(took < 6.0, "seed {seed}: {took} s");
    }
}

/// The only other one is probed in each period. It must not be given more time by each probe that fails.
#[test]
fn one_of_two_knows_of_the_death_of_the_other() {
    let took = seconds(detection(Plan::of(2, 1)).expect("it knows in the end"));
    assert!(took < 5.0, "{took} s");
}

/// Where so much is lost, whoever suspects has to say so to the face of whom it suspects.
#[test]
fn the_suspected_hear_of_it_in_time() {
    let calm = calm(Plan::of(16, 1).losing(0.25), 120 * SECOND);
    assert_eq!(calm.false_deaths, 0, "{calm:?}");
}

#[test]
fn nobody_is_declared_dead_because_datagrams_are_lost() {
    let calm = calm(Plan::of(64, 1).losing(0.05), 60 * SECOND);
    assert_eq!(calm.false_deaths, 0, "{calm:?}");
    assert!(calm.suspicions > 0, "nothing was at stake: {calm:?}");
}

#[test]
fn halves_that_were_parted_find_each_other() {
    let mut fleet = Fleet::settled(Plan::of(32, 1));
    let half: Vec<ProcessId> = (0..16).map(ProcessId).collect();
    fleet.part(&half, true);
    fleet.run(60 * SECOND);
    let sees = |process: u16| fleet.machine(p(process)).unwrap().living().count();
    assert_eq!((sees(1), sees(31)), (16, 16), "each half is alone");
    fleet.forget();
    fleet.part(&half, false);
    let took = settle(&mut fleet, 60 * SECOND);
    assert!(took < 20.0, "{took} s");
    let renewed = fleet.told().iter().filter(|told| told.event == Event::Renewed).count();
    assert!(renewed >= 16, "{renewed} came back");
    fleet.run(30 * SECOND);
    assert_eq!(fleet.judge(), []);
}

#[test]
fn a_member_that_starts_again_is_back_at_once() {
    let mut fleet = Fleet::settled(Plan::of(8, 1));
    fleet.kill(p(3));
    fleet.run(200 * MILLISECOND);
    fleet.start(p(3));
    let took = settle(&mut fleet, 10 * SECOND);
    assert!(took < 2.0, "nobody waits for the death of the former life: {took} s");
    let lives: Vec<String> = fleet.told_by(p(5)).iter().map(|event| format!("{event:?}")).collect();
    assert_eq!(lives, ["Down(m3.1@10.0.0.3:7000)", "Up(m3.2@10.0.0.3:7000)"]);
}

/// It is the one through which all come in, so it has nobody to ask.
#[test]
fn a_founder_that_starts_again_is_found() {
    // While others still probe its former life it hears from them at once. Later they call it, for they call the dead.
    for (pause, limit) in [(200 * MILLISECOND, 1.0), (30 * SECOND, 10.0)] {
        let mut fleet = Fleet::settled(Plan::of(8, 1));
        fleet.kill(p(0));
        fleet.run(pause);
        fleet.start(p(0));
        let took = settle(&mut fleet, 30 * SECOND);
        assert!(took < limit, "{took} s");
    }
}

#[test]
fn whoever_finds_nobody_begins_alone_and_is_found() {
    let mut fleet = Fleet::new(Plan::of(3, 1));
    fleet.start(p(1));
    fleet.run(9 * SECOND);
    assert!(!fleet.machine(p(1)).unwrap().is_inside(), "others may be slow to begin");
    fleet.run(6 * SECOND);
    assert!(fleet.machine(p(1)).unwrap().is_inside());
    fleet.start(p(0));
    fleet.start(p(2));
    let took = settle(&mut fleet, 20 * SECOND);
    assert!(took < 3.0, "{took} s");
}

#[test]
fn a_member_moves_to_another_address() {
    let mut fleet = Fleet::settled(Plan::of(8, 1).with_spare(1));
    fleet.kill(p(3));
    fleet.start_as(p(8), "m3");
    let took = settle(&mut fleet, 20 * SECOND);
    assert!(took < 8.0, "as soon as the death is known: {took} s");
    assert_eq!(fleet.member(p(8)).unwrap().life, 2);
}

#[test]
fn a_name_that_is_taken_is_refused_until_its_holder_is_dead() {
    let mut fleet = Fleet::settled(Plan::of(8, 1).with_spare(1));
    let (newcomer, holder) = (p(8), fleet.member(p(3)).unwrap());
    fleet.start_as(newcomer, "m3");
    let it = fleet.member(newcomer).unwrap();
    fleet.expect_outside(newcomer);
    fleet.run(20 * SECOND);
    let why = Refusal::Taken { holder };
    assert_eq!(fleet.told_by(newcomer), [&Event::Refused(why)], "told once, however often it asks");
    assert_eq!(fleet.told().len(), 1, "nobody else saw anything: {:?}", fleet.told());
    assert_eq!(fleet.judge(), []);

    fleet.kill(p(3));
    fleet.run(20 * SECOND);
    assert_eq!(fleet.told_by(newcomer)[1], &Event::Joined);
    let seen = fleet.machine(p(5)).unwrap();
    assert_eq!(seen.living().filter(|member| member.name == it.name).collect::<Vec<_>>(), [&it]);
}

/// Each half lets one in. Everybody stands by the later life, and the other one hears of it.
#[test]
fn of_two_with_one_name_in_two_halves_one_withdraws() {
    let mut fleet = Fleet::settled(Plan::of(8, 1).with_spare(1));
    let side = [p(0), p(1), p(2), p(8)];
    fleet.part(&side, true);
    fleet.run(20 * SECOND);
    fleet.start_as(p(8), "m5");
    fleet.run(10 * SECOND);
    fleet.forget();
    fleet.part(&side, false);
    fleet.expect_outside(p(5));
    settle(&mut fleet, 60 * SECOND);
    fleet.run(60 * SECOND);
    assert_eq!(fleet.judge(), []);
    let holder = fleet.member(p(8)).unwrap();
    assert!(fleet.told_by(p(5)).contains(&&Event::Refused(Refusal::Taken { holder })));
    assert!(!fleet.told_by(p(8)).iter().any(|event| matches!(event, Event::Refused(_))));
}

/// A tenth of a second from one place to another, and somebody who is slow to answer is not dead.
#[test]
fn a_fleet_can_stand_in_places_far_apart() {
    let plan = |seed| Plan::of(8, seed).in_places(3).in_one_fleet();
    let calm = calm(plan(1).losing(0.05), 60 * SECOND);
    assert_eq!(calm.false_deaths, 0, "{calm:?}");
    let took = seconds(detection(plan(1)).expect("all know in the end"));
    assert!(took < 12.0, "{took} s");
}

/// Lists pass from one to another all the time, and must not bring back what another has forgotten already.
#[test]
fn the_dead_are_forgotten_in_the_end() {
    let pace = Pace { memory: Duration::from_secs(20), ..Pace::of(16) };
    let mut fleet = Fleet::settled(Plan { pace, ..Plan::of(16, 1) });
    fleet.kill(p(3));
    fleet.run(15 * SECOND);
    let others = |fleet: &Fleet| fleet.machine(p(5)).unwrap().others().count();
    assert_eq!((others(&fleet), fleet.judge()), (15, vec![]), "known to be dead");
    fleet.run(15 * SECOND);
    for _ in 0..30 {
        fleet.run(SECOND);
        assert_eq!(others(&fleet), 14);
    }
}

#[test]
fn who_leaves_politely_is_not_suspected() {
    let mut fleet = Fleet::settled(Plan::of(32, 1).losing(0.05));
    let it = fleet.member(p(3)).unwrap();
    fleet.forget();
    fleet.leave(p(3));
    fleet.run(5 * SECOND);
    assert_eq!(fleet.told_by(p(3)).last(), Some(&&Event::Gone));
    assert_eq!(fleet.judge(), []);
    for process in fleet.living() {
        let told = fleet.told_by(process);
        assert!(told.contains(&&Event::Left(it.clone())), "{process} heard {told:?}");
        assert!(!told.contains(&&Event::Suspect(it.clone())) && !told.contains(&&Event::Down(it.clone())));
        let listed = fleet.machine(process).unwrap().others().find(|listed| *listed.member() == it);
        assert_eq!(listed.unwrap().standing(), Standing::Left);
    }
    fleet.kill(p(3));
    fleet.start(p(3));
    let took = settle(&mut fleet, 10 * SECOND);
    assert!(took < 3.0, "{took} s");
}

#[test]
fn a_storm_of_restarts_passes() {
    let mut fleet = Fleet::settled(Plan::of(32, 1).losing(0.02));
    for round in 0..3 {
        for process in (0..32).map(ProcessId) {
            fleet.kill(process);
            fleet.run(30 * MILLISECOND);
            fleet.start(process);
            fleet.run(round * 20 * MILLISECOND);
        }
    }
    let took = settle(&mut fleet, 60 * SECOND);
    assert!(took < 15.0, "{took} s");
    fleet.run(30 * SECOND);
    assert_eq!(fleet.judge(), []);
}

#[test]
fn a_fleet_that_lost_power_comes_together_again() {
    let mut fleet = Fleet::settled(Plan::of(16, 1));
    (0..16).map(ProcessId).for_each(|process| fleet.kill(process));
    fleet.run(SECOND);
    (0..16).rev().map(ProcessId).for_each(|process| fleet.start(process));
    settle(&mut fleet, 20 * SECOND);
}

#[test]
fn a_pause_is_a_death_that_is_taken_back() {
    let mut fleet = Fleet::settled(Plan::of(16, 1));
    let it = fleet.member(p(3)).unwrap();
    fleet.world().pause(p(3));
    fleet.run(10 * SECOND);
    assert!(fleet.told_by(p(5)).contains(&&Event::Down(it.clone())));
    fleet.world().resume(p(3));
    settle(&mut fleet, 20 * SECOND);
    assert!(fleet.told_by(p(3)).contains(&&Event::Renewed));
    assert_eq!(fleet.told_by(p(5)).last(), Some(&&Event::Up(it)), "in the same life");
}

#[test]
fn after_a_storm_all_see_what_is_true() {
    for seed in 0..20 {
        let took = storm(Plan::of(12, seed).losing(0.02), 60 * SECOND);
        took.unwrap_or_else(|violations| panic!("seed {seed}: {violations:#?}"));
    }
}

#[test]
fn a_seed_has_one_history() {
    let run = || {
        let mut fleet = Fleet::settled(Plan::of(16, 7).losing(0.1));
        fleet.kill(p(3));
        fleet.run(10 * SECOND);
        format!("{:?}", fleet.told())
    };
    assert_eq!(run(), run());
}

#[cfg(feature = "mutants")]
#[test]
fn a_member_that_goes_back_to_its_first_life_is_caught() {
    use skein_edge::{Mutant, Planted};

    let run = |planted| {
        let mut fleet = Fleet::settled(Plan { planted, ..Plan::of(8, 1) });
        fleet.kill(p(3));
        fleet.run(10 * SECOND);
        fleet.start(p(3));
        fleet.settle(30 * SECOND)
    };
    assert!(run(Planted::NONE).is_ok());
    let found = run(Planted::bug(Mutant::MembershipGoesBack)).unwrap_err();
    assert!(found[0].detail.contains("does not see m3.2@"), "{found:?}");
}
