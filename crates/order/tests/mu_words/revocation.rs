//! A write counts if its grant stood after it: then it is in the copy that was
//! made when the grant was over. Each fence is needed, and so is the question.

use bytes::BytesMut;
use loom::sync::Arc;
use loom::thread::spawn;
use skein_order::mu::Slot;
use skein_order::mu::memory::End;

use crate::modelled::{Lacking, explore, fails, holds};
#[cfg(feature = "mutants")]
use crate::stage::SHAPE;
use crate::stage::{SECOND, granted, memory, read, slot};

/// How the two sides go about it.
#[derive(Clone, Copy)]
struct Sides {
    writer: Lacking,
    owner: Lacking,
    /// The writer asks after it has written, and not before.
    asks_after: bool,
    /// The owner copies after it has revoked, and not before.
    copies_after: bool,
}

const SOUND: Sides = Sides { writer: Lacking::Nothing, owner: Lacking::Nothing, asks_after: true, copies_after: true };

/// A leader writes slots while the owner of the memory ends its grant and makes a copy. Whether they stood, and what of
/// the last one is in the copy.
fn swap(
    sides: Sides,
    before: &'static [(u64, u32)],
    written: &'static [(u64, u32)],
    judge: fn(bool, Result<Slot, End>),
) -> Result<usize, String> {
    explore(move || {
        let words = granted(before);
        let theirs = Arc::clone(&words);
        let writer = spawn(move || {
            let view = theirs.without(sides.writer);
            let log = memory(&view);
            let stood_before = log.stood(0, 1);
            written.iter().for_each(|(index, proposal)| log.write(0, &slot(*index, *proposal)));
            log.fence();
            if sides.asks_after { log.stood(0, 1) } else { stood_before }
        });
        let view = words.without(sides.owner);
        let owner = memory(&view);
        if sides.copies_after {
            owner.revoke(0);
            owner.copy(Some(0), &SECOND);
        } else {
            owner.copy(Some(0), &SECOND);
            owner.revoke(0);
        }
        let stood = writer.join().unwrap();
        let index = written.last().map_or(0, |(index, _)| *index);
        judge(stood, read(&owner, &SECOND, index));
    })
}

/// The first value of a log.
fn first_value(sides: Sides) -> Result<usize, String> {
    swap(sides, &[], &[(0, 5)], |stood, copied| match copied {
        Ok(copied) => assert_eq!(copied, slot(0, 5), "half of it is in the copy"),
        Err(why) => assert!(!stood, "it stood, and is not in the copy: {why:?}"),
    })
}

/// A value in place of another, which counts until this one does.
fn second_value(sides: Sides) -> Result<usize, String> {
    swap(sides, &[(0, 3)], &[(0, 5)], |stood, copied| {
        let copied = copied.expect("one of the two is in the copy");
        assert!(copied == slot(0, 5) || copied == slot(0, 3), "half of it is in the copy: {copied:?}");
        assert!(!stood || copied.proposal == 5, "it stood, and is not in the copy: {copied:?}");
    })
}

/// A value in the next lap, over one that nobody needs.
fn next_lap(sides: Sides) -> Result<usize, String> {
    swap(sides, &[(0, 3)], &[(1, 3)], |stood, copied| match copied {
        Ok(copied) => assert_eq!(copied, slot(1, 3), "half of it is in the copy"),
        Err(why) => assert!(!stood, "it stood, and is not in the copy: {why:?}"),
    })
}

/// Two values in place of another, so that both cells are filled anew. A copy notes of what is gone that it was decided
/// and is not needed, so nothing may pass for gone that is not.
fn both_cells(sides: Sides) -> Result<usize, String> {
    swap(sides, &[(0, 3)], &[(0, 5), (0, 7)], |stood, copied| {
        let copied = copied.unwrap_or_else(|why| panic!("it is {why:?} in the copy, and nobody used it again"));
        assert_eq!(copied, slot(0, copied.proposal), "half of it is in the copy");
        assert!(!stood || copied.proposal == 7, "it stood, and is not in the copy: {copied:?}");
    })
}

const MODELS: [fn(Sides) -> Result<usize, String>; 4] = [first_value, second_value, next_lap, both_cells];

const MISSING: &str = "it stood, and is not in the copy";
const HALF: &str = "half of it is in the copy";

#[test]
fn a_write_that_stood_is_in_the_copy_and_none_is_there_by_half() {
    MODELS.iter().for_each(|model| holds(model(SOUND)));
}

#[test]
fn both_sides_need_a_full_fence() {
    for model in MODELS {
        for lacking in [Lacking::Full, Lacking::HalfOfFull] {
            fails(model(Sides { writer: lacking, ..SOUND }), MISSING);
            fails(model(Sides { owner: lacking, ..SOUND }), MISSING);
        }
    }
}

#[test]
fn the_question_comes_after_the_write_and_the_copy_after_the_end() {
    for model in MODELS {
        fails(model(Sides { asks_after: false, ..SOUND }), MISSING);
        fails(model(Sides { copies_after: false, ..SOUND }), MISSING);
    }
}

#[test]
fn what_is_visible_is_whole_because_of_a_fence_on_either_side() {
    // The writer's last one, before the visible word, and the owner's first one after it.
    fails(first_value(Sides { writer: Lacking::Release(2), ..SOUND }), HALF);
    fails(first_value(Sides { owner: Lacking::Acquire(1), ..SOUND }), HALF);
    fails(next_lap(Sides { writer: Lacking::Release(2), ..SOUND }), HALF);
    fails(next_lap(Sides { owner: Lacking::Acquire(1), ..SOUND }), HALF);
}

#[test]
fn what_passes_for_gone_is_gone() {
    // The fence before the guard of the second value.
    fails(both_cells(Sides { writer: Lacking::Release(3), ..SOUND }), "and nobody used it again");
}

#[cfg(feature = "mutants")]
#[test]
fn whoever_trusts_its_write_is_caught() {
    use skein_order::mu::memory::Memory;
    use skein_order::{Mutant, Planted};
    let explored = explore(|| {
        let words = granted(&[]);
        let theirs = Arc::clone(&words);
        let writer = spawn(move || {
            let view = theirs.view();
            let log = Memory::new(&view, &SHAPE, Planted::bug(Mutant::MuTrustsTheWrite));
            log.write(0, &slot(0, 5));
            log.fence();
            log.stood(0, 1)
        });
        let view = words.view();
        let owner = memory(&view);
        owner.revoke(0);
        owner.copy(Some(0), &SECOND);
        let stood = writer.join().unwrap();
        assert!(!stood || read(&owner, &SECOND, 0).is_ok(), "{MISSING}");
    });
    fails(explored, MISSING);
}

/// A leader takes a number, and says that a memory which was lost is whole again.
fn notes(sides: Sides) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[]);
        let theirs = Arc::clone(&words);
        let writer = spawn(move || {
            let view = theirs.without(sides.writer);
            let log = memory(&view);
            log.raise(0, 9);
            log.heal(0);
            log.fence();
            log.stood(0, 1)
        });
        let view = words.without(sides.owner);
        let owner = memory(&view);
        owner.revoke(0);
        owner.copy(Some(0), &SECOND);
        let stood = writer.join().unwrap();
        let noted = owner.progress(1);
        assert!(!stood || (noted.proposal, noted.is_whole) == (9, true), "{MISSING}: {noted:?}");
    })
}

#[test]
fn a_number_that_stood_is_in_the_copy() {
    holds(notes(SOUND));
    for lacking in [Lacking::Full, Lacking::HalfOfFull] {
        fails(notes(Sides { writer: lacking, ..SOUND }), MISSING);
        fails(notes(Sides { owner: lacking, ..SOUND }), MISSING);
    }
}

/// A leader writes a slot over another, and notes that it is decided. It does not ask: that is true whether or not its
/// grant stands, for others have it. But then the copy must not say the same of what was there before.
fn decided(sides: Sides) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[(0, 3)]);
        let theirs = Arc::clone(&words);
        let writer = spawn(move || {
            let view = theirs.without(sides.writer);
            let log = memory(&view);
            log.write(0, &slot(0, 5));
            log.advance(0, 1, 0);
        });
        let view = words.without(sides.owner);
        let owner = memory(&view);
        owner.revoke(0);
        owner.copy(Some(0), &SECOND);
        writer.join().unwrap();
        if owner.progress(1).first_undecided > 0 {
            assert_eq!(read(&owner, &SECOND, 0), Ok(slot(0, 5)), "something else is said to be decided");
        }
    })
}

#[test]
fn what_is_noted_as_decided_is_what_was_decided() {
    holds(decided(SOUND));
    fails(decided(Sides { writer: Lacking::Release(3), ..SOUND }), "something else is said to be decided");
    fails(decided(Sides { owner: Lacking::Acquire(0), ..SOUND }), "something else is said to be decided");
}

/// A leader lets a memory do without a slot that is decided: what stands there is not what was decided.
fn jump(writer: Lacking, reader: Lacking) -> Result<usize, String> {
    explore(move || {
        let words = granted(&[(0, 3)]);
        let theirs = Arc::clone(&words);
        let writer = spawn(move || memory(&theirs.without(writer)).advance(0, 1, 1));
        let view = words.without(reader);
        let stretch = memory(&view).stretch((0, 1), 0, 1, &mut BytesMut::new());
        writer.join().unwrap();
        if stretch.first_undecided > 0 {
            assert_eq!((stretch.slots, stretch.end), (vec![], End::Gone), "what is missing is said to be decided");
        }
    })
}

#[test]
fn what_is_missing_is_not_taken_for_decided() {
    holds(jump(Lacking::Nothing, Lacking::Nothing));
    fails(jump(Lacking::Release(0), Lacking::Nothing), "what is missing is said to be decided");
    fails(jump(Lacking::Nothing, Lacking::Acquire(0)), "what is missing is said to be decided");
}
