//! # The real world
//!
//! What a replica stands on outside the simulator: [`files`] is the file
//! system behind a small trait, [`data`] the directory that belongs to one
//! replica, [`wal`] the log in which it keeps what it must not forget.
//!
//! This crate knows no particular protocol and never will: it hosts machines.

#![forbid(unsafe_code)]

pub mod data;
pub mod files;
mod identity;
pub mod wal;
