//! # The one shape
//!
//! The ground floor of Skein. Every protocol, every replicated service and
//! every simulated or real host meets here and nowhere else: a protocol is a
//! [`Machine`], a pure state that takes commands, messages and timers and
//! answers with an ordered list of effects ([`Out`]). A host (the simulator or
//! a node on real sockets) performs the effects.
//!
//! This crate will never open a socket, read a clock, start a thread or
//! allocate a randomly seeded map: it is `no_std`, so the compiler refuses.

#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod chronicle;
mod cluster;
mod conflicts;
mod groups;
mod ids;
mod machine;
mod multicast;
mod out;
mod planted;
mod random;
mod recipients;
mod service;
mod time;
mod timers;
pub mod wire;

pub use chronicle::{Chronicle, Outlook, Place, Story, Want};
pub use cluster::{Cluster, ClusterError};
pub use conflicts::Conflicts;
pub use groups::{GroupId, GroupSet, MAX_GROUPS};
pub use ids::{ClusterId, MessageId, ProcessId, SessionId};
pub use machine::{Boot, Machine};
pub use multicast::{Busy, Delivery, Down, MAX_PAYLOAD, Multicast, Ordering, Position, Stamp, Up};
pub use out::{Effect, Out};
pub use planted::Planted;
pub use random::Random;
pub use recipients::Recipients;
pub use service::{Ask, Call, Command, Freshness, Frozen, Refusal, Reply, Router, Service, Serving, Shares, Told};
pub use time::{Time, Timestamp};
pub use timers::{Timers, Token};
pub use wire::Wire;
