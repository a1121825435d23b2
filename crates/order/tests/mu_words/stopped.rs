//! A leader that is stopped at any two places of its write path, and wakes up
//! when others have gone on without it: it does no harm, and knows that its
//! write does not count. All places are tried; what processors may see late is
//! for the other models.

use std::cell::{Cell, RefCell};

use bytes::BytesMut;
use skein_order::Planted;
use skein_order::mu::memory::{End, Grant, Memory};
use skein_order::mu::{Slot, Words};

use crate::stage::{FIRST, SECOND, SHAPE, slot};

/// Memory that several processors have.
#[derive(Default)]
struct Plain(RefCell<Vec<u64>>);

impl Words for Plain {
    fn load(&self, at: usize) -> u64 {
        self.0.borrow()[at]
    }

    fn store(&self, at: usize, value: u64) {
        self.0.borrow_mut()[at] = value;
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {}
}

/// The same for one who is stopped before it does this or that: meanwhile others do theirs.
struct Stopped<'a> {
    words: &'a Plain,
    done: Cell<usize>,
    stops: [usize; 2],
    meanwhile: &'a dyn Fn(usize),
}

impl Stopped<'_> {
    fn step(&self) {
        let step = self.done.replace(self.done.get() + 1);
        for (nth, stop) in self.stops.iter().enumerate() {
            if step == *stop {
                (self.meanwhile)(nth);
            }
        }
    }
}

impl Words for Stopped<'_> {
    fn load(&self, at: usize) -> u64 {
        self.step();
        self.words.load(at)
    }

    fn store(&self, at: usize, value: u64) {
        self.step();
        self.words.store(at, value);
    }

    fn acquire(&self) {}

    fn release(&self) {}

    fn full(&self) {
        self.step();
    }
}

/// What the leader does to a memory that is touched or fenced: it looks which cell is free, stores five words, passes
/// the fence, and asks whether its grant stood.
const STEPS: usize = 8;

/// A leader writes over a slot and is stopped twice; what others do meanwhile is done at the one stop and at the other.
/// Whether it stood, and whether it was stopped at all.
fn write_stopped(words: &Plain, written: &Slot, stops: [usize; 2], meanwhile: &dyn Fn(usize)) -> bool {
    let stopped = Stopped { words, done: Cell::new(0), stops, meanwhile };
    let leader = Memory::new(&stopped, &SHAPE, Planted::NONE);
    leader.write(0, written);
    leader.fence();
    let stood = leader.stood(0, 1);
    assert_eq!(stopped.done.get(), STEPS, "the write path has other steps than those that are tried");
    // Whatever was not done before the end is done after it.
    (0..2).filter(|nth| stops[*nth] >= STEPS).for_each(meanwhile);
    stood
}

fn granted() -> Plain {
    let words = Plain(RefCell::new(vec![0; SHAPE.words()]));
    let memory = Memory::new(&words, &SHAPE, Planted::NONE);
    memory.copy(None, &FIRST);
    memory.publish(&FIRST);
    memory.write(0, &slot(0, 3));
    words
}

fn read(words: &Plain, grant: &Grant, index: u64) -> Result<Slot, End> {
    let memory = Memory::new(words, &SHAPE, Planted::NONE);
    let mut stretch = memory.stretch((grant.place, grant.generation), index, 1, &mut BytesMut::new());
    stretch.slots.pop().ok_or(stretch.end)
}

#[test]
fn wherever_it_is_stopped_its_write_is_in_the_copy_or_does_not_count() {
    let (mut stood_in, mut fell_in) = (0, 0);
    for first in 0..=STEPS {
        for second in first..=STEPS {
            let words = granted();
            let owner = Memory::new(&words, &SHAPE, Planted::NONE);
            let meanwhile = |nth| match nth {
                0 => owner.revoke(0),
                _ => owner.copy(Some(0), &SECOND),
            };
            let stood = write_stopped(&words, &slot(0, 5), [first, second], &meanwhile);
            let copied = read(&words, &SECOND, 0).unwrap();
            assert!(copied == slot(0, 3) || copied == slot(0, 5), "{first}, {second}: half of it: {copied:?}");
            assert!(!stood || copied == slot(0, 5), "{first}, {second}: it stood, and is not in the copy");
            *if stood { &mut stood_in } else { &mut fell_in } += 1;
        }
    }
    assert_eq!((stood_in, fell_in), (1, 44), "it stands only if it has asked before the end");
}

#[test]
fn whoever_wakes_up_when_others_have_gone_on_does_no_harm() {
    for first in 0..STEPS {
        for second in first..=STEPS {
            let words = granted();
            let memory = Memory::new(&words, &SHAPE, Planted::NONE);
            let third = Grant { generation: 3, place: 2, to: 1, request: 2 };
            let meanwhile = |nth| match nth {
                0 => {
                    memory.revoke(0);
                    memory.copy(Some(0), &SECOND);
                    memory.publish(&SECOND);
                    memory.write(1, &slot(0, 7));
                    memory.advance(1, 1, 0);
                }
                _ => {
                    memory.write(1, &slot(1, 7));
                    memory.revoke(1);
                    memory.copy(Some(1), &third);
                    memory.publish(&third);
                }
            };
            let stood = write_stopped(&words, &slot(0, 5), [first, second], &meanwhile);
            assert!(!stood, "{first}, {second}: its grant was over before it asked");
            assert_eq!(memory.look(0).grant, third);
            assert_eq!(memory.progress(2).first_undecided, 1);
            assert_eq!(read(&words, &third, 1), Ok(slot(1, 7)), "{first}, {second}");
            assert_eq!(read(&words, &third, 0), Err(End::Gone), "{first}, {second}");
        }
    }
}
