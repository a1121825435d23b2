//! A memory with a single slot, and what is written there.

use bytes::{Bytes, BytesMut};
use loom::sync::Arc;
use skein_order::Planted;
use skein_order::mu::memory::{End, Grant, Memory};
use skein_order::mu::{Shape, Slot, Words};

use crate::modelled::{Modelled, View};

/// The smallest memory in which everything can go wrong: each index comes by in a lap of its own.
pub(crate) const SHAPE: Shape = Shape { replicas: 2, slots: 1, value_bytes: 16, piece_bytes: 16 };

/// The first grant: of place 0, to replica 0.
pub(crate) const FIRST: Grant = Grant { generation: 1, place: 0, to: 0, request: 1 };

/// The next: of place 1, to replica 1.
pub(crate) const SECOND: Grant = Grant { generation: 2, place: 1, to: 1, request: 1 };

/// A slot of which every word tells what it belongs to.
pub(crate) fn slot(index: u64, proposal: u32) -> Slot {
    let value = Bytes::from([[index as u8 + 1; 8], [proposal as u8; 8]].concat());
    Slot { index, proposal, decided: index + u64::from(proposal), value }
}

pub(crate) fn memory<W: Words>(words: &W) -> Memory<'_, W> {
    Memory::new(words, &SHAPE, Planted::NONE)
}

/// A memory that has granted its log once, and that log with these slots.
pub(crate) fn granted(slots: &[(u64, u32)]) -> Arc<Modelled> {
    let words = Arc::new(Modelled::new(SHAPE.words()));
    let view = words.view();
    let first = memory(&view);
    first.begin();
    first.copy(None, &FIRST);
    first.publish(&FIRST);
    slots.iter().for_each(|(index, proposal)| first.write(0, &slot(*index, *proposal)));
    Arc::clone(&words)
}

/// The slot at an index, or why there is none.
pub(crate) fn read(memory: &Memory<'_, View<'_>>, grant: &Grant, index: u64) -> Result<Slot, End> {
    let mut stretch = memory.stretch((grant.place, grant.generation), index, 1, &mut BytesMut::new());
    stretch.slots.pop().ok_or(stretch.end)
}
