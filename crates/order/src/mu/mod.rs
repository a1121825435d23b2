//! # Mu: a log that its leader writes straight into the memories of all
//!
//! From "Microsecond Consensus for Microsecond Applications" (OSDI 2020). The
//! peers of a processor are not other processors but memories, which do what
//! they are told and outlive their processes: a leader replicates a request by
//! writing it into the copies of the log that it was granted, and no other
//! processor takes part. What keeps two leaders apart is that a copy is granted
//! to one of them at a time.
//!
//! Read [`memory`] first, which has the rules of a single memory, then
//! [`replica`], the processor. What carries a verb to a memory is not known
//! here: memory that processes share, a network, or a simulated one.

pub mod memory;
mod shape;
mod slot;
pub mod verb;
mod words;

pub use shape::{MAX_PIECE, MAX_PLACES, MAX_REPLICAS, MAX_SLOTS, MAX_VALUE, Shape, ShapeError};
pub use slot::{Found, Slot};
pub use words::Words;
