//! Mu by schedules: executions that random weather hardly ever meets, each
//! dealt by hand. A schedule answers what went wrong in it. Where it was
//! written against a planted bug, it must find that bug, and nothing in the
//! right code.

mod mu_table;

use mu_table::Table;
use skein_order::Planted;
use skein_order::mu::verb::Verb;

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
        table.tick(0);
        table.tick(1);
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
