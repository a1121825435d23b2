//! # Services on an order
//!
//! A [`Service`](skein_machine::Service) is a deterministic state. What every
//! one of them needs stands around it in [`replica`], and the services that
//! Skein brings have a folder each: [`kv`] is the key-value store. Whoever uses
//! an order without a service may have it say which answers may be released:
//! [`settling`].
//!
//! Nothing here opens a socket, reads a clock or knows a protocol.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod held;
pub mod kv;
mod mutant;
mod near;
pub mod replica;
mod settled;
pub mod settling;

pub use mutant::{Mutant, Planted};
pub use near::Near;
