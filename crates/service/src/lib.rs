//! # Services on an order
//!
//! A [`Service`](skein_machine::Service) is a deterministic state. What every
//! one of them needs stands around it in [`replica`], and the services that
//! Skein brings have a folder each: [`kv`] is the key-value store.
//!
//! Nothing here opens a socket, reads a clock or knows a protocol.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod kv;
mod mutant;
pub mod replica;

pub use mutant::{Mutant, Planted};
