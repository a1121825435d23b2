//! Whoever reads a slot while it is written sees one value or the other, whole,
//! and under its own number; and finds none only where there is none.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use loom::sync::Arc;
use loom::thread::spawn;
use skein_order::mu::memory::{End, Memory};

use crate::modelled::{Lacking, View, explore, fails, holds};
use crate::stage::{FIRST, granted, memory, read, slot};

/// A slot, filled once.
const FILLED: &[(u64, u32)] = &[(0, 3)];
/// It is filled anew by another leader, in the other cell, and then used again in the next lap.
const REFILLED: &[(u64, u32)] = &[(0, 5), (1, 5)];
/// It is used again in the next lap, and filled anew there.
const LAPPED: &[(u64, u32)] = &[(1, 3), (1, 5)];
/// More than two leaders ever write into one place: both cells are filled anew in one lap.
const TWICE: &[(u64, u32)] = &[(0, 5), (0, 7)];

/// One writes while another reads the slots at 0 and at 1.
fn beside(
    before: &'static [(u64, u32)],
    written: &'static [(u64, u32)],
    writer: Lacking,
    reader: Lacking,
) -> Result<usize, String> {
    explore(move || {
        let words = granted(before);
        let theirs = Arc::clone(&words);
        // This is the test's own, and orders nothing that it looks at.
        let begun = std::sync::Arc::new(AtomicUsize::new(0));
        let tells = std::sync::Arc::clone(&begun);
        let thread = spawn(move || {
            let view = theirs.without(writer);
            let log = memory(&view);
            for (index, proposal) in written {
                tells.fetch_add(1, Relaxed);
                log.write(0, &slot(*index, *proposal));
            }
        });
        let view = words.without(reader);
        let log = memory(&view);
        for index in 0..2 {
            let ahead = |begun: usize| before.iter().chain(&written[..begun]).any(|(other, _)| *other > index);
            judge(&log, index, !before.iter().any(|(filled, _)| *filled == index), || ahead(begun.load(Relaxed)));
        }
        thread.join().unwrap();
    })
}

fn judge(log: &Memory<'_, View<'_>>, index: u64, may_be_empty: bool, may_be_gone: impl Fn() -> bool) {
    match read(log, &FIRST, index) {
        Ok(found) => assert_eq!(found, slot(index, found.proposal), "half of a value"),
        Err(End::Empty) => assert!(may_be_empty, "slot {index} was filled, and is empty"),
        Err(_) => assert!(may_be_gone(), "slot {index} is gone, and nobody used it again"),
    }
}

/// What is written beside a reader.
type Written = (&'static [(u64, u32)], &'static [(u64, u32)]);

const ALL: [Written; 4] = [(&[], FILLED), (FILLED, REFILLED), (FILLED, LAPPED), (FILLED, TWICE)];

const HALF: &str = "half of a value";
const GONE: &str = "is gone, and nobody used it again";

#[test]
fn a_reader_beside_a_writer_sees_whole_values() {
    for (before, written) in ALL {
        holds(beside(before, written, Lacking::Nothing, Lacking::Nothing));
    }
}

#[test]
fn each_fence_of_the_writer_is_needed() {
    let without = |(before, written), nth| beside(before, written, Lacking::Release(nth), Lacking::Nothing);
    // The one before the guard: of the second write, since the first is the first to a cell.
    fails(without((FILLED, TWICE), 3), GONE);
    // The one behind it, which says that the cell is being filled anew.
    fails(without((FILLED, LAPPED), 1), HALF);
    // The one before the visible word.
    fails(without((&[], FILLED), 2), HALF);
}

#[test]
fn each_fence_of_the_reader_is_needed() {
    let without = |(before, written), nth| beside(before, written, Lacking::Nothing, Lacking::Acquire(nth));
    // Two are for what is noted of the log. Then the one behind the visible word,
    fails(without((&[], FILLED), 2), GONE);
    fails(without((FILLED, REFILLED), 2), HALF);
    // the one before it looks at the guard again,
    fails(without((FILLED, LAPPED), 3), HALF);
    // and the one before it looks at the visible word again.
    fails(without((FILLED, TWICE), 4), GONE);
}
