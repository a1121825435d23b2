//! # A world for machines
//!
//! One thread, virtual time, and one seed that decides everything. [`World`]
//! runs any number of [`skein_machine::Machine`]s over a network, disks and
//! clocks that misbehave on purpose; [`check`] judges what came out; [`search`]
//! tries every order of events in a small scope instead of a random one.
//!
//! The simulator knows no protocol and no service. It drives the very code
//! that ships, through the same effects that a real node performs.

#![forbid(unsafe_code)]

mod access;
mod agenda;
mod askers;
pub mod check;
pub mod clients;
mod clock;
mod datagrams;
mod disk;
pub mod flow;
mod history;
mod latency;
pub mod lists;
mod network;
#[cfg(test)]
mod pen;
mod process;
mod readers;
mod releases;
pub mod run;
mod safe_times;
pub mod search;
mod sessions;
mod stand_in;
mod states;
pub mod steps;
mod trace;
mod weather;
mod world;

pub use access::{ALL_COMMUTE, SOME_COMMUTE};
pub use clock::Clock;
pub use datagrams::Datagrams;
pub use disk::{Disk, DiskHabits};
pub use history::{Cast, Entry, History, Sent};
pub use latency::{Latency, PLANET, Region};
pub use network::Network;
pub use run::{Counts, Outcome, Plan, Scenario, run_seed};
pub use sessions::{Load, Mix};
pub use trace::{Trace, golden};
pub use weather::Weather;
pub use world::{Maker, Occurrence, World};

/// Virtual time: nanoseconds since the simulation began.
pub type Nanos = u64;

/// One virtual microsecond.
pub const MICROSECOND: Nanos = 1_000;
/// One virtual millisecond.
pub const MILLISECOND: Nanos = 1_000_000;
/// One virtual second.
pub const SECOND: Nanos = 1_000_000_000;
