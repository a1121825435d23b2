//! Mu by schedules: executions that random weather hardly ever meets, each
//! dealt by hand. A schedule answers what went wrong in it. Where it was
//! written against a planted bug, it must find that bug, and nothing in the
//! right code.

#[path = "../mu_table/mod.rs"]
mod mu_table;
mod skipped;
mod stalls;

use mu_table::Table;
use skein_order::Planted;
use skein_order::mu::verb::{Outcome, Verb};

const NOTHING: [&str; 0] = [];

fn is_write(verb: &Verb) -> bool {
    matches!(verb, Verb::Write { .. })
}

/// Eight slots fill a ring. A leader begins to use the first again, and dies in the middle of that, while a copy is made
/// for one who has applied nothing: what was torn was decided, and must not look as if nothing had ever been there.
fn a_torn_slot_is_copied(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    table.hold(1, &[0]);
    table.hold(2, &[0]);
    table.start(1);
    table.start(2);
    table.suspect(1, &[0]);
    table.suspect(2, &[0]);
    table.pass(12, &[1, 2]);
    assert!(table.leads(1));
    for request in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let token = table.propose(1, request);
        assert!(table.is_answered(token));
        // The follower learns what is decided from later slots, and nobody notes it in a memory.
        table.look(2);
        table.tick(1);
    }
    table.hold(1, &[0, 1, 2]);
    table.propose(1, "i");
    assert!(table.is_next(1, 2, is_write));
    table.tear(1, 2, 3);
    table.kill(1);
    table.release(2, &[0]);
    table.suspect(2, &[1]);
    table.start(0);
    table.suspect(0, &[1]);
    for _ in 0..12 {
        table.pass(1, &[0, 2]);
    }
    table.propose(0, "j");
    table.end()
}

#[test]
fn a_slot_that_was_torn_is_gone_from_a_copy_too() {
    assert_eq!(a_torn_slot_is_copied(Planted::NONE), NOTHING);
}

/// A leader fills a memory that was lost, and does not know that another has taken its place by a majority in which
/// that memory was, before it was lost.
fn a_deposed_leader_heals(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    table.hold(0, &[2]);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    table.propose(0, "a");
    // Another leads with the other two. The first does not look at anything for a while.
    table.hold(0, &[1]);
    table.hold(1, &[0]);
    table.suspect(1, &[0]);
    table.pass(6, &[1, 2]);
    assert!(table.leads(1) && table.leads(0));
    // The memory of the third is lost. The first hears of it at once.
    table.hold(1, &[0, 2]);
    table.lose(2);
    table.break_link(0, 2);
    table.release(0, &[2]);
    table.pass(12, &[2, 0]);
    table.propose(0, "b");
    // Now the second does.
    table.break_link(1, 2);
    table.release(1, &[2]);
    table.pass(12, &[2, 1]);
    table.propose(1, "c");
    table.pass(3, &[2, 1]);
    table.end()
}

#[test]
fn a_deposed_leader_heals_nobody() {
    assert_eq!(a_deposed_leader_heals(Planted::NONE), NOTHING);
}

/// Whoever tells a state dies after its first words. Its next life tells them again, of another state, while the one who
/// asked has gone on with what it had heard.
fn a_state_is_told_by_two_lives(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 16, 4, planted);
    for me in [0, 1, 2] {
        table.hold(me, &[2]);
    }
    table.start(0);
    table.start(1);
    table.pass(3, &[0, 1]);
    assert!(table.leads(0));
    for request in ["a", "b", "c", "d"] {
        table.propose(0, request);
        table.pass(1, &[1, 0]);
    }
    table.pass(2, &[1, 0]);
    table.release(2, &[2]);
    table.start(2);
    while !table.is_behind(2) {
        table.pass(1, &[0, 1, 2]);
    }
    // The want is there, and the first life tells how far its state goes.
    table.look(1);
    table.hold(2, &[1]);
    table.look(2);
    table.give_until(2, 1, |verb| matches!(verb, Verb::Want { .. }));
    table.kill(1);
    table.propose(0, "e");
    table.propose(0, "f");
    table.start(1);
    table.pass(6, &[0, 1]);
    table.release(2, &[1]);
    table.pass(6, &[1, 2]);
    for me in [0, 1] {
        table.release(me, &[2]);
    }
    table.end()
}

#[test]
fn a_state_is_told_by_one_life() {
    assert_eq!(a_state_is_told_by_two_lives(Planted::NONE), NOTHING);
}

/// One who took itself to be behind, because others went on and its memory was not written, is written again.
#[test]
fn whoever_has_caught_up_by_itself_is_not_behind() {
    let mut table = Table::new(3, 16, 4, Planted::NONE);
    table.hold(0, &[2]);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    table.propose(0, "a");
    table.pass(2, &[0, 1]);
    // Whoever is asked for a state does not look at anything.
    while !table.is_behind(2) {
        for me in [0, 1] {
            table.look(me);
            table.tick(me);
        }
        table.pass(1, &[2]);
    }
    table.release(0, &[2]);
    for _ in 0..20 {
        table.look(2);
        table.tick(0);
        table.flush(0);
    }
    assert_eq!(table.applied(2), 1);
    table.pass(100, &[0, 1, 2]);
    assert!(!table.is_behind(2), "it has everything, and for want of somebody further on it never finds out");
    assert_eq!(table.end(), NOTHING);
}

/// A memory is lost while its processor wakes up, and has already heard that it is whole.
#[test]
fn a_memory_that_is_lost_while_its_processor_wakes_is_not_whole() {
    let mut table = Table::new(3, 16, 4, Planted::NONE);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    table.propose(0, "a");
    table.kill(0);
    table.suspect(1, &[0]);
    table.pass(6, &[1, 2]);
    assert!(table.leads(1));
    table.hold(0, &[0]);
    table.start(0);
    table.give_until(0, 0, |verb| matches!(verb, Verb::Live { .. }));
    table.lose(0);
    table.break_link(0, 0);
    table.release(0, &[0]);
    assert_eq!(table.end(), NOTHING);
}

/// A leader that has filled the ring dies for good; of the two that are left neither has applied anything of it, and
/// one has it all in its memory.
#[test]
fn a_full_ring_holds_nobody_up_for_ever() {
    let mut table = Table::new(3, 8, 4, Planted::NONE);
    table.hold(0, &[2]);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    for request in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        let token = table.propose(0, request);
        assert!(table.is_answered(token), "{request}");
    }
    assert_eq!((table.applied(0), table.applied(1), table.applied(2)), (8, 0, 0));
    table.kill(0);
    table.suspect(2, &[0]);
    table.suspect(1, &[0]);
    table.pass(100, &[1, 2]);
    let token = table.propose(1, "i");
    table.pass(10, &[1, 2]);
    assert!(table.is_answered(token), "a majority lives, and has everything");
    assert_eq!(table.end(), NOTHING);
}

/// A deposed leader's write comes late, to a place that was granted again.
fn a_late_write_finds_its_place_taken(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    table.propose(0, "a");
    table.hold(0, &[0, 1, 2]);
    table.propose(0, "late");
    // Two more lead, one after the other, so the place of the first is the oldest.
    table.hold(1, &[0]);
    table.suspect(1, &[0]);
    table.pass(6, &[1, 2]);
    assert!(table.leads(1));
    table.hold(2, &[0]);
    table.suspect(2, &[0, 1]);
    for _ in 0..6 {
        table.look(1);
        table.pass(1, &[2]);
    }
    assert!(table.leads(2));
    let token = table.propose(2, "b");
    assert!(table.is_answered(token));
    table.flush(2);
    // What the first had written before arrives.
    table.work(0, 2, 1);
    table.kill(2);
    table.start(2);
    table.pass(2, &[2]);
    table.end()
}

/// A would-be leader reads before it knows that its number stands where it reads.
fn a_number_stands_too_late(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    table.hold(2, &[0]);
    table.start(1);
    table.start(2);
    table.hold(2, &[1]);
    table.suspect(2, &[0, 1]);
    table.look(2);
    table.tick(2);
    // It is granted the copy of the second, and is about to write its number there.
    table.give_until(2, 1, |verb| matches!(verb, Verb::Ask { .. }));
    table.work(2, 1, 1);
    table.look(1);
    for _ in 0..3 {
        table.look(2);
        table.tick(2);
    }
    table.give_until(2, 1, |verb| matches!(verb, Verb::Raise { .. }));
    // Meanwhile the first leads, and decides.
    table.hold(0, &[2]);
    table.start(0);
    for _ in 0..6 {
        table.tick(0);
        table.look(0);
        table.look(1);
    }
    assert!(table.leads(0));
    let token = table.propose(0, "a");
    assert!(table.is_answered(token));
    // The number arrives, in a place that counts no more, and so does what asks for slots. Nobody says whether it stood.
    table.work(2, 1, 9);
    while table.hear(2, 1, |outcome| matches!(outcome, Outcome::Slots(_))) {}
    table.release(2, &[0]);
    for _ in 0..12 {
        table.look(0);
        table.look(2);
        table.tick(2);
        while table.hear(2, 1, |outcome| matches!(outcome, Outcome::Slots(_))) {}
    }
    table.propose(2, "b");
    table.end()
}

/// What only a crashed processor and a lost memory had is not there when the third looks.
fn what_was_lost_counts(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    table.hold(0, &[1]);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    let token = table.propose(0, "a");
    assert!(table.is_answered(token));
    table.kill(0);
    table.kill(2);
    table.lose(2);
    table.start(2);
    table.suspect(1, &[0]);
    table.suspect(2, &[0]);
    table.pass(12, &[1, 2]);
    table.propose(1, "b");
    table.pass(3, &[1, 2]);
    table.end()
}

/// A leader is granted a copy late, in which another has decided under a higher number.
fn a_late_grant_holds_a_higher_number(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    table.hold(0, &[2]);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    table.hold(0, &[1]);
    table.hold(2, &[0]);
    table.suspect(2, &[0, 1]);
    table.pass(6, &[2, 1]);
    assert!(table.leads(2) && table.leads(0));
    let token = table.propose(2, "a");
    assert!(table.is_answered(token));
    table.release(0, &[2]);
    table.hold(2, &[1]);
    for _ in 0..3 {
        table.look(2);
        table.tick(0);
    }
    table.propose(0, "b");
    table.end()
}

/// A request stands in two slots: one copy lies in a memory that its proposer did not reach when it proposed it again.
fn a_request_stands_twice(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    // Of three writes one arrives, and the proposer's own is lost with its link.
    table.hold(0, &[0, 1, 2]);
    table.propose(0, "a");
    table.work(0, 2, 1);
    table.break_link(0, 0);
    // Another leads with the first two, which have nothing, and fills that slot in its own memory.
    table.hold(1, &[2]);
    table.release(0, &[0]);
    table.suspect(1, &[0]);
    for _ in 0..6 {
        table.look(0);
        table.look(1);
        table.tick(1);
    }
    assert!(table.leads(1));
    table.hold(1, &[0]);
    table.propose(1, "v");
    // The first leads again with these two, adopts what it finds, and proposes again what it does not find.
    table.release(0, &[1]);
    table.hold(0, &[0, 1]);
    for _ in 0..6 {
        table.bid(0);
        table.tick(0);
        table.look(0);
        for memory in [0, 1] {
            let is_write = |verb: &Verb| is_write(verb);
            while table.asks(0, memory) && !table.is_next(0, memory, is_write) {
                table.work(0, memory, 1);
                while table.hear(0, memory, |_| true) {}
            }
        }
        table.look(1);
    }
    assert!(table.leads(0) && table.is_next(0, 1, is_write));
    // Both slots arrive at one memory, and their writer dies.
    table.work(0, 1, 2);
    table.kill(0);
    table.release(0, &[0, 2]);
    table.start(0);
    table.hold(0, &[2]);
    // The third leads with the first: it adopts the copy that everybody had lost sight of.
    table.hold(2, &[1]);
    table.suspect(2, &[0, 1]);
    for _ in 0..12 {
        table.look(0);
        table.pass(1, &[2]);
    }
    assert!(table.leads(2));
    table.release(2, &[1]);
    table.look(1);
    table.pass(3, &[2, 1]);
    // And whoever leads next, with the memory in which both are, adopts the other.
    table.kill(2);
    table.start(2);
    table.release(1, &[0, 2]);
    table.suspect(1, &[0]);
    table.pass(12, &[1, 2]);
    table.end()
}

#[test]
fn a_late_write_lands_where_nobody_reads() {
    assert_eq!(a_late_write_finds_its_place_taken(Planted::NONE), NOTHING);
}

#[test]
fn whoever_reads_knows_that_its_number_stands() {
    assert_eq!(a_number_stands_too_late(Planted::NONE), NOTHING);
}

#[test]
fn a_lost_memory_makes_no_majority() {
    assert_eq!(what_was_lost_counts(Planted::NONE), NOTHING);
}

#[test]
fn a_late_grant_is_looked_at() {
    assert_eq!(a_late_grant_holds_a_higher_number(Planted::NONE), NOTHING);
}

#[test]
fn a_request_that_stands_twice_is_applied_once() {
    assert_eq!(a_request_stands_twice(Planted::NONE), NOTHING);
}

#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_fail_their_schedules() {
    use skein_order::Mutant;
    type Schedule = fn(Planted) -> Vec<String>;
    let schedules: [(Mutant, Schedule); 8] = [
        (Mutant::MuTrustsTheWrite, stalls::a_leader_stands_still),
        (Mutant::MuReusesPlaces, stalls::a_leader_stands_still),
        (Mutant::MuReusesPlaces, a_late_write_finds_its_place_taken),
        (Mutant::MuPreparesAtAMinority, a_number_stands_too_late),
        (Mutant::MuCountsLostMemories, what_was_lost_counts),
        (Mutant::MuJoinsWithoutLooking, a_late_grant_holds_a_higher_number),
        (Mutant::MuAppliesTwice, a_request_stands_twice),
        (Mutant::MuTrustsWhatItSkipped, skipped::what_was_skipped_is_told),
    ];
    for (mutant, schedule) in schedules {
        let found = schedule(Planted::bug(mutant));
        println!("{mutant:?}: {found:?}");
        assert_ne!(found, NOTHING, "{mutant:?} goes unseen");
    }
}

/// A leader has as many slots on their way as it may, all the time: what decides the first of them stands far behind it.
#[test]
fn a_full_window_hides_nothing_from_a_follower() {
    let mut table = Table::new(3, 256, 64, Planted::NONE);
    for me in [0, 1, 2] {
        table.start(me);
    }
    table.pass(3, &[0, 1, 2]);
    assert!(table.leads(0));
    table.hold(0, &[0, 1, 2]);
    for nth in 0..200 {
        table.propose(0, "again");
        if nth >= 63 {
            for memory in [0, 1, 2] {
                table.work(0, memory, 1);
                table.hear(0, memory, |_| true);
            }
        }
        table.look(1);
    }
    // What it was written last says that all is decided but a window.
    assert!(table.applied(1) > 0, "it follows while its leader writes on");
}
