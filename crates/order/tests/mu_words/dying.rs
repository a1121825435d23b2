//! A writer that dies between any two stores: what counted before it began
//! still does, or what it wrote, and never something else. A processor that
//! dies stores a first part of what it would have; no checker is needed to try
//! them all.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use skein_order::Planted;
use skein_order::mu::memory::{End, Memory};
use skein_order::mu::{Slot, Words};

use crate::stage::{FIRST, SECOND, SHAPE, slot};

/// Memory in which so many more stores take effect.
struct Mortal {
    words: RefCell<Vec<u64>>,
    left: Cell<usize>,
}

impl Words for Mortal {
    fn load(&self, at: usize) -> u64 {
        self.words.borrow()[at]
    }

    fn store(&self, at: usize, value: u64) {
        if let Some(left) = self.left.get().checked_sub(1) {
            self.left.set(left);
            self.words.borrow_mut()[at] = value;
        }
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {}
}

const FOR_EVER: usize = usize::MAX;

/// What is at an index after a writer of a second slot died when it had stored so many words: where it wrote, and in a
/// copy that was made since. Nothing if the writer lives that long.
fn after(stores: usize, before: (u64, u32), written: (u64, u32), index: u64) -> Option<[Result<Slot, End>; 2]> {
    let words = Mortal { words: vec![0; SHAPE.words()].into(), left: FOR_EVER.into() };
    let memory = Memory::new(&words, &SHAPE, Planted::NONE);
    memory.copy(None, &FIRST);
    memory.publish(&FIRST);
    memory.write(0, &slot(before.0, before.1));
    words.left.set(stores);
    memory.write(0, &slot(written.0, written.1));
    let died = words.left.replace(FOR_EVER) == 0;
    memory.revoke(0);
    memory.copy(Some(0), &SECOND);
    let read = |place: u8, generation| {
        let mut stretch = memory.stretch((place, generation), index, 1, &mut BytesMut::new());
        stretch.slots.pop().ok_or(stretch.end)
    };
    died.then(|| [read(0, 1), read(1, 2)])
}

/// How many words a writer of a slot stores: the guard, what the value is about, two words of it, and the visible one.
const STORES: usize = 5;

#[test]
fn a_value_that_counted_does_until_another_one_is_whole() {
    for stores in 0..=STORES {
        let expected = if stores < STORES { slot(0, 3) } else { slot(0, 5) };
        assert_eq!(after(stores, (0, 3), (0, 5), 0), Some([Ok(expected.clone()), Ok(expected)]), "{stores} stores");
    }
    assert_eq!(after(STORES + 1, (0, 3), (0, 5), 0), None, "no writer stores more");
}

#[test]
fn a_slot_that_is_used_again_says_nothing_until_it_says_all() {
    for stores in 0..=STORES {
        let [there, copied] = after(stores, (0, 3), (1, 3), 0).unwrap();
        match stores {
            0 => assert_eq!([there, copied], [Ok(slot(0, 3)), Ok(slot(0, 3))]),
            STORES => assert_eq!([there, copied], [Err(End::Gone), Err(End::Gone)]),
            // What is half there is not copied, and the copy says so.
            _ => assert_eq!([there, copied], [Err(End::Gone), Err(End::Gone)], "{stores} stores"),
        }
        let [there, copied] = after(stores, (0, 3), (1, 3), 1).unwrap();
        let expected = if stores < STORES { Err(End::Empty) } else { Ok(slot(1, 3)) };
        assert_eq!([there, copied], [expected.clone(), expected], "{stores} stores");
    }
}
