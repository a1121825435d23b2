//! What a leader only meant to skip in its own memory, and what stands there.

use skein_order::Planted;
use skein_order::mu::verb::{Outcome, Verb};

use super::NOTHING;
use super::mu_table::Table;

/// The first one's memory does all that its processor has asked of it, and nobody hears of it.
fn work_off(table: &mut Table) {
    while table.asks(1, 1) {
        table.work(1, 1, 1);
    }
}

/// A leader has its state from another, and its memory lacks what that came from. It is deposed before the first write of
/// its own memory counts, so nothing says there what is missing. A value that it wrote in its first days, and that nobody
/// decided, still stands there when it leads again and looks for what somebody lacks.
pub(super) fn what_was_skipped_is_told(planted: Planted) -> Vec<String> {
    let mut table = Table::new(3, 8, 4, planted);
    for me in [1, 2] {
        table.hold(me, &[0]);
        table.start(me);
        table.suspect(me, &[0]);
    }
    table.pass(12, &[1, 2]);
    assert!(table.leads(1));
    for request in ["a", "b"] {
        let token = table.propose(1, request);
        table.pass(2, &[1, 2]);
        assert!(table.is_answered(token));
    }
    table.hold(1, &[2]);
    table.propose(1, "old");
    // Another leads, and decides something else without this memory. Only he knows that he did.
    table.hold(0, &[1]);
    table.start(0);
    table.suspect(0, &[1]);
    table.release(2, &[0]);
    for _ in 0..20 {
        table.pass(1, &[0]);
        table.tick(2);
        table.look(2);
    }
    assert!(table.leads(0));
    let token = table.propose(0, "new");
    assert!(table.is_answered(token));
    table.hold(0, &[2]);
    // The first one begins a new life, and is told the state. Of what is in that, its memory has nothing.
    table.kill(1);
    table.release(1, &[0, 2]);
    table.start(1);
    for _ in 0..100 {
        for me in [0, 1] {
            table.tick(me);
            table.look(me);
        }
    }
    assert_eq!((table.applied(1), table.applied(2)), (3, 2));
    // The other one dies. The first is granted its own memory and the third; before it has read that one, its own is
    // granted to somebody else.
    table.kill(0);
    table.suspect(2, &[0]);
    table.hold(1, &[2]);
    table.suspect(1, &[0]);
    let reads = |verb: &Verb| matches!(verb, Verb::Slots { .. });
    for _ in 0..60 {
        if table.is_next(1, 2, reads) {
            break;
        }
        table.work(1, 2, 1);
        while table.hear(1, 2, |_| true) {}
        if !table.asks(1, 2) {
            for me in [2, 1] {
                table.tick(me);
                table.look(me);
            }
            table.bid(1);
        }
    }
    assert!(table.is_next(1, 2, reads));
    table.hold(2, &[2]);
    table.suspect(2, &[1]);
    table.hold(1, &[1]);
    table.look(1);
    // It grants the copy to the third, and has not heard that this is done.
    work_off(&mut table);
    while table.hear(1, 1, |_| true) {}
    work_off(&mut table);
    // It leads without knowing, and finds out with its first write.
    table.release(1, &[2]);
    assert!(table.leads(1));
    table.propose(1, "mine");
    work_off(&mut table);
    assert!(table.hear(1, 1, |outcome| matches!(outcome, Outcome::Wrote { stood: false, .. })));
    assert!(!table.leads(1));
    // The third trusts it again, and it leads once more.
    table.release(1, &[1]);
    for _ in 0..20 {
        table.tick(1);
        table.tick(2);
    }
    table.release(2, &[2]);
    table.pass(50, &[1, 2]);
    table.end()
}

#[test]
fn what_was_skipped_is_looked_for_elsewhere() {
    assert_eq!(what_was_skipped_is_told(Planted::NONE), NOTHING);
}
