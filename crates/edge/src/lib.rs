//! # Shared state without coordination
//!
//! A fleet of servers that must know the same things soon, and need not know
//! them in the same order, wants no leader and no vote. Here are the pieces of
//! which such a fleet is made, each usable alone.
//!
//! Nothing here opens a socket or reads a clock, and nothing here knows of
//! ordered state: what must be agreed on has no place in this room.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod agent;
mod book;
pub mod dots;
pub mod health;
pub mod map;
mod member;
pub mod membership;
mod mutant;
mod name;
pub mod owners;
pub mod spread;
pub mod trial;

pub use agent::Agent;
pub use book::Book;
pub use member::Member;
pub use membership::Membership;
pub use mutant::{Mutant, Planted};
pub use name::{MAX_NAME, MemberId, Name, NameError};
pub use spread::Spread;
