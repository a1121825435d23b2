//! # Atomic multicast, protocol by protocol
//!
//! Each protocol is a [`skein_machine::Ordering`]: a pure machine that takes
//! multicasts and gives deliveries, in one order that all processes share.
//! Start with [`skeen`]: the smallest, and the pattern for the rest.
//!
//! [`mu`] is none of these: it replicates one log, by writing it into the
//! memories of all.
//!
//! Nothing here opens a socket, reads a clock or knows what is replicated.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod consensus;
pub mod fastcast;
pub mod mu;
pub mod multiring;
mod mutant;
pub mod parts;
pub mod primcast;
pub mod skeen;
pub mod whitebox;

pub use mutant::{Mutant, Planted};
