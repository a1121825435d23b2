//! [`Shape`]: how large a memory is, and where everything in it lies.
//!
//! A memory is the *home* of its replica, which says how that is, and several
//! *places*, each of which holds one grant's copy of the log. Whatever two
//! processors touch at the same time lies on lines of its own, so that neither
//! waits for the other's stores to something else. Offsets are in words.

use core::fmt;

/// Words in the piece of memory that processors pass to and fro as a whole.
const LINE: usize = 8;

/// The most replicas of one log: what a person can still reason about, and what fits into a message.
pub const MAX_REPLICAS: usize = 7;

/// Enough places that one is free whenever somebody asks: whoever has stopped keeps one, and never more.
pub const MAX_PLACES: usize = MAX_REPLICAS + 1;

/// The longest value of a slot: its length has sixteen bits.
pub const MAX_VALUE: usize = u16::MAX as usize;

/// The most slots of a ring: a swap copies what is alive of them while nobody can write.
pub const MAX_SLOTS: usize = 1 << 16;

/// The longest piece of a state on its way to another replica,
pub const MAX_PIECE: usize = 1 << 20;

/// and the shortest: the first has the names of the last requests, of so many slots with so many in each.
pub const MIN_PIECE: usize = 1 << 15;

/// A memory's measures: all memories of a cluster have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shape {
    /// How many replicas, each with its memory.
    pub replicas: usize,
    /// How many slots a ring has: a power of two.
    pub slots: usize,
    /// How many bytes the value of a slot has at most.
    pub value_bytes: usize,
    /// How many bytes of a state are told at once to a replica that fetches it.
    pub piece_bytes: usize,
}

/// Why measures cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShapeError {
    /// Neither one nor too many.
    Replicas(usize),
    /// A power of two within bounds.
    Slots(usize),
    /// Something, and not too much.
    Value(usize),
    /// Something, and not too much.
    Piece(usize),
}

impl fmt::Display for ShapeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShapeError::Replicas(count) => write!(f, "{count} replicas: take 1 to {MAX_REPLICAS}, best an odd number"),
            ShapeError::Slots(count) => write!(f, "{count} slots: take a power of two from 8 to {MAX_SLOTS}"),
            ShapeError::Value(bytes) => write!(f, "values of {bytes} bytes: take 16 to {MAX_VALUE}"),
            ShapeError::Piece(bytes) => write!(f, "pieces of {bytes} bytes: take {MIN_PIECE} to {MAX_PIECE}"),
        }
    }
}

impl core::error::Error for ShapeError {}

// Where things lie in the home.
const LIFE: usize = 0;
const BEAT: usize = LINE;
const APPLIED: usize = 2 * LINE;
const CURRENT: usize = 3 * LINE;
const WHOLE: usize = 4 * LINE;
const SERVED: usize = 5 * LINE;
const ASKED: usize = 6 * LINE;

// Where things lie in the head of a place. Each line has one writer at a time.
const GRANT: usize = 0;
const TITLE: usize = LINE;
const PROGRESS: usize = 2 * LINE;
const HEAD: usize = 3 * LINE;

/// The words of a slot that come before the value: its visible word, then the guard and the account of a cell.
const ABOUT_CELL: usize = 2;

impl Shape {
    /// Whether this can be.
    pub fn check(&self) -> Result<(), ShapeError> {
        if !(1..=MAX_REPLICAS).contains(&self.replicas) {
            return Err(ShapeError::Replicas(self.replicas));
        }
        if !self.slots.is_power_of_two() || !(8..=MAX_SLOTS).contains(&self.slots) {
            return Err(ShapeError::Slots(self.slots));
        }
        if !(16..=MAX_VALUE).contains(&self.value_bytes) {
            return Err(ShapeError::Value(self.value_bytes));
        }
        if !(MIN_PIECE..=MAX_PIECE).contains(&self.piece_bytes) {
            return Err(ShapeError::Piece(self.piece_bytes));
        }
        Ok(())
    }

    /// How many replicas are more than half.
    pub fn majority(&self) -> usize {
        self.replicas / 2 + 1
    }

    /// How many places a memory has. Everybody who ever led keeps one at most, and one more is being made.
    pub fn places(&self) -> usize {
        self.replicas + 1
    }

    /// How many words a memory has.
    pub fn words(&self) -> usize {
        self.place(self.places())
    }

    pub(super) fn life(&self) -> usize {
        LIFE
    }

    pub(super) fn beat(&self) -> usize {
        BEAT
    }

    pub(super) fn applied(&self) -> usize {
        APPLIED
    }

    pub(super) fn current(&self) -> usize {
        CURRENT
    }

    pub(super) fn whole(&self) -> usize {
        WHOLE
    }

    /// The last request of a replica that was answered. All of them fit on one line.
    pub(super) fn served(&self, replica: usize) -> usize {
        SERVED + replica
    }

    /// What a replica asks for: to be granted the log, and beside it to be told a piece of the state.
    pub(super) fn asked(&self, replica: usize) -> usize {
        ASKED + replica * LINE
    }

    pub(super) fn wanted(&self, replica: usize) -> usize {
        self.asked(replica) + 1
    }

    /// The piece that is told to a replica: two words that name it, then its bytes.
    pub(super) fn piece(&self, replica: usize) -> usize {
        ASKED + self.replicas * LINE + replica * lines(2 + self.piece_bytes.div_ceil(8))
    }

    fn place(&self, place: usize) -> usize {
        self.piece(self.replicas) + place * (HEAD + self.slots * self.slot_words())
    }

    /// The word by which a grant stands or falls.
    pub(super) fn grant(&self, place: usize) -> usize {
        self.place(place) + GRANT
    }

    /// Generation, grantee and request: written before the grant is published, and never after.
    pub(super) fn title(&self, place: usize) -> usize {
        self.place(place) + TITLE
    }

    /// What the leader notes: its proposal number, how far all is decided, what is still needed, whether all is there.
    pub(super) fn progress(&self, place: usize) -> usize {
        self.place(place) + PROGRESS
    }

    /// The slot of an index.
    pub(super) fn slot(&self, place: usize, index: u64) -> usize {
        // The ring is a power of two, so the cast loses nothing that counts.
        let nth = index as usize & (self.slots - 1);
        self.place(place) + HEAD + nth * self.slot_words()
    }

    /// The time around the ring in which an index comes by, from 1: a slot that was never filled says 0.
    pub(super) fn lap(&self, index: u64) -> u64 {
        (index >> self.slots.trailing_zeros()) + 1
    }

    /// One of the two cells of a slot.
    pub(super) fn cell(&self, slot: usize, cell: usize) -> usize {
        slot + 1 + cell * self.cell_words()
    }

    fn cell_words(&self) -> usize {
        ABOUT_CELL + self.value_bytes.div_ceil(8)
    }

    fn slot_words(&self) -> usize {
        lines(1 + 2 * self.cell_words())
    }
}

/// So many words, up to the end of their last line.
fn lines(words: usize) -> usize {
    words.next_multiple_of(LINE)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { replicas: 3, slots: 16, value_bytes: 76, piece_bytes: MIN_PIECE + 4 };

    #[test]
    fn nothing_overlaps() {
        let mut starts = alloc::vec![SHAPE.life(), SHAPE.beat(), SHAPE.applied(), SHAPE.current(), SHAPE.whole()];
        starts.push(SHAPE.served(0));
        for replica in 0..3 {
            starts.push(SHAPE.asked(replica));
        }
        for replica in 0..3 {
            starts.push(SHAPE.piece(replica));
        }
        for place in 0..SHAPE.places() {
            starts.extend([SHAPE.grant(place), SHAPE.title(place), SHAPE.progress(place)]);
            starts.extend((0..16).map(|index| SHAPE.slot(place, index)));
        }
        starts.push(SHAPE.words());
        assert!(starts.is_sorted_by(|one, next| one + LINE <= *next), "{starts:?}");
        assert!(starts.iter().all(|start| start % LINE == 0));
        assert_eq!(SHAPE.slot(1, 17), SHAPE.slot(1, 1));
        assert_eq!((SHAPE.lap(0), SHAPE.lap(15), SHAPE.lap(16)), (1, 1, 2));
        let slot = SHAPE.slot(0, 0);
        assert!(SHAPE.cell(slot, 1) + ABOUT_CELL + SHAPE.value_bytes.div_ceil(8) <= SHAPE.slot(0, 1));
    }

    #[test]
    fn measures_that_cannot_be_are_refused() {
        assert_eq!(SHAPE.check(), Ok(()));
        assert_eq!(Shape { replicas: 8, ..SHAPE }.check(), Err(ShapeError::Replicas(8)));
        assert_eq!(Shape { slots: 24, ..SHAPE }.check(), Err(ShapeError::Slots(24)));
        assert_eq!(Shape { value_bytes: 1 << 16, ..SHAPE }.check(), Err(ShapeError::Value(1 << 16)));
        assert_eq!(Shape { piece_bytes: 0, ..SHAPE }.check(), Err(ShapeError::Piece(0)));
    }
}
