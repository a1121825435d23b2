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
//! [`Replica`], the processor. What carries a verb to a memory is not known
//! here: memory that processes share, a network, or a simulated one. Why all of
//! it is right is told in docs/mu.md.

mod bounds;
mod fetch;
mod follow;
mod heal;
mod lead;
pub mod memory;
mod options;
mod owner;
mod place;
mod process;
mod registers;
mod replica;
mod request;
mod shape;
mod slot;
mod trust;
pub mod verb;
mod wire;
mod words;

pub use fetch::MAX_STATE;
pub use options::{MAX_WINDOW, Options, Pace};
pub use process::{Command, Event, Mu, Nothing, Refusal, Role, Timer};
pub use registers::Registers;
pub use replica::Replica;
pub use request::REQUEST_HEAD;
pub use shape::{MAX_PIECE, MAX_PLACES, MAX_REPLICAS, MAX_SLOTS, MAX_VALUE, MIN_PIECE, Shape, ShapeError};
pub use slot::{Found, Slot};
pub use words::Words;
