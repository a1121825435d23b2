//! # Skein
//!
//! Atomic multicast that stays correct across shards and continents: messages
//! to any set of groups of replicas, delivered by all of them in one order,
//! without one log through which everything must pass.
//!
//! This library is the face of the workspace. [`machine`] is the shape that
//! every protocol has, [`order`] holds the protocols, [`sim`] judges them,
//! [`runtime`] holds what a replica keeps on a real disk.
//! [`compose`] is the only place where a protocol meets a host.

#![forbid(unsafe_code)]

mod agent;
mod backup;
mod bench;
pub mod certificates;
pub mod cli;
pub mod client;
pub mod compose;
pub mod config;
mod dev;
mod diagram;
mod diary;
#[allow(dead_code, unused_imports)] // the tests of the edge use more of it
mod edge_sim;
mod fleet;
mod list_words;
pub mod mu;
#[allow(dead_code, unreachable_pub, unused_imports)] // what works on the protocol alone uses it too
mod mu_sim;
#[cfg(feature = "mutants")]
mod mutants;
pub mod node;
mod redis;
mod serve;
pub mod service;
mod signals;
pub mod speech;
mod store_sim;
mod supervisor;
mod torture;

/// Processor time that this process has used, user and system.
pub(crate) fn processor_time() -> std::time::Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    std::time::Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A number that nobody else has.
pub(crate) fn draw() -> Result<u64, String> {
    use std::io::Read;
    let mut bytes = [0; 8];
    let drawn = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    drawn.map_err(|error| format!("cannot draw a random number from /dev/urandom: {error}"))?;
    Ok(u64::from_le_bytes(bytes))
}

/// For fuzzing: whatever a client of Redis may say.
pub use serve::resp::examine as examine_commands;

pub use mu::Mu;
pub use skein_machine as machine;
pub use skein_order as order;
pub use skein_runtime as runtime;
pub use skein_service as services;
pub use skein_sim as sim;
