//! How a slot of the log is written and read while others may do the same.
//!
//! A slot has two cells and one *visible* word, which is stored last and names
//! the cell that counts, the lap of the ring and the proposal. Whoever writes
//! fills the cell that is not visible for this lap, so a writer that dies half
//! way has destroyed nothing that counts. A cell begins with a *guard*, which
//! is stored before anything else of it: whoever reads a cell looks at the
//! guard again at the end, and knows whether somebody began to fill it anew.
//!
//! Nothing here knows whose turn it is to write.

use bytes::{BufMut, Bytes, BytesMut};

use super::shape::Shape;
use super::words::Words;

/// One value at its index in the log, as some leader wrote it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Slot {
    /// Its place in the order.
    pub index: u64,
    /// Under which number it was written last. Under one number a slot has one value.
    pub proposal: u32,
    /// How far its writer knew the log to be decided: the value before this one may count, once this one is here.
    pub decided: u64,
    /// What it says.
    pub value: Bytes,
}

/// What there is at an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// This.
    Slot(Slot),
    /// Nothing yet.
    Empty,
    /// Something once, and by now the ring has come round.
    Gone,
}

/// How far `decided` may count: the rest of its word is the value's length.
const DECIDED_BITS: u32 = 48;

/// How many bits of the proposal the visible word has, beside the lap and the cell. They tell apart what two leaders
/// wrote in one place; the guard has the whole number.
const VISIBLE_PROPOSAL: u64 = (1 << 23) - 1;

const LAP_SHIFT: u32 = 24;

/// A visible word: which cell counts, in which lap, by which proposal.
fn visible(lap: u64, proposal: u32, cell: usize) -> u64 {
    lap << LAP_SHIFT | (u64::from(proposal) & VISIBLE_PROPOSAL) << 1 | cell as u64
}

/// A guard: no two fillings of one cell have the same, but those that say the same.
fn guard(index: u64, proposal: u32) -> u64 {
    u64::from(proposal) << 32 | index & u64::from(u32::MAX)
}

/// Writes a slot, the visible word last. It is the writer's affair that nobody else writes here, and whether this
/// counts.
#[inline]
pub(super) fn write<W: Words + ?Sized>(words: &W, shape: &Shape, place: usize, slot: &Slot) {
    let start = shape.slot(place, slot.index);
    let lap = shape.lap(slot.index);
    let now = words.load(start);
    // In a slot that is empty in this lap the first cell is as good as the other, and it lies nearer.
    let cell = if now >> LAP_SHIFT == lap { 1 - (now & 1) as usize } else { 0 };
    let at = shape.cell(start, cell);
    // Whoever sees the new guard, and then looks at the visible word, sees the one that is there now: so whoever finds
    // no whole value under the word that it saw, and that word still there, knows that there is none any more.
    words.release();
    words.store(at, guard(slot.index, slot.proposal));
    // Whoever sees a word of the new value, and then looks at the guard, sees the new guard.
    words.release();
    words.store(at + 1, slot.decided << (64 - DECIDED_BITS) | slot.value.len() as u64);
    store_bytes(words, at + 2, &slot.value);
    // Whoever sees the visible word sees the whole cell.
    words.release();
    words.store(start, visible(lap, slot.proposal, cell));
}

/// Reads what there is at an index, while somebody may write.
#[inline]
pub(super) fn read<W: Words + ?Sized>(
    words: &W,
    shape: &Shape,
    place: usize,
    index: u64,
    room: &mut BytesMut,
) -> Found {
    let start = shape.slot(place, index);
    let lap = shape.lap(index);
    loop {
        let seen = words.load(start);
        if seen >> LAP_SHIFT != lap {
            return if seen >> LAP_SHIFT > lap { Found::Gone } else { Found::Empty };
        }
        words.acquire();
        let at = shape.cell(start, (seen & 1) as usize);
        let before = words.load(at);
        let proposal = (before >> 32) as u32;
        let about = words.load(at + 1);
        let length = (about & 0xffff) as usize;
        let is_whole = before == guard(index, proposal)
            && visible(lap, proposal, (seen & 1) as usize) == seen
            && length <= shape.value_bytes;
        if is_whole {
            load_bytes(words, at + 2, length, room);
            words.acquire();
            if words.load(at) == before {
                let value = room.split().freeze();
                return Found::Slot(Slot { index, proposal, decided: about >> (64 - DECIDED_BITS), value });
            }
            room.clear();
        }
        // Somebody fills this cell anew, so another is visible by now, or this lap is over: whoever is in the middle of
        // that has only the visible word left to store, and may have died before.
        words.acquire();
        if words.load(start) == seen {
            return Found::Gone;
        }
    }
}

/// Makes a slot look as if it had never been filled, unless it is of a lap before this index's.
pub(super) fn clear<W: Words + ?Sized>(words: &W, shape: &Shape, place: usize, index: u64) {
    let start = shape.slot(place, index);
    if words.load(start) != 0 {
        words.store(start, 0);
    }
}

/// The lap that a slot shows.
pub(super) fn lap<W: Words + ?Sized>(words: &W, shape: &Shape, place: usize, nth: u64) -> u64 {
    words.load(shape.slot(place, nth)) >> LAP_SHIFT
}

/// Stores bytes as words; the last is filled up with zeros.
#[inline]
pub(super) fn store_bytes<W: Words + ?Sized>(words: &W, at: usize, bytes: &[u8]) {
    let (whole, rest) = bytes.as_chunks::<8>();
    for (nth, word) in whole.iter().enumerate() {
        words.store(at + nth, u64::from_le_bytes(*word));
    }
    if !rest.is_empty() {
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        words.store(at + whole.len(), u64::from_le_bytes(last));
    }
}

/// Loads that many bytes and appends them.
#[inline]
pub(super) fn load_bytes<W: Words + ?Sized>(words: &W, at: usize, length: usize, room: &mut BytesMut) {
    room.reserve(length.next_multiple_of(8));
    for nth in 0..length.div_ceil(8) {
        room.put_u64_le(words.load(at + nth));
    }
    room.truncate(length);
}
