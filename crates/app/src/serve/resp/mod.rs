//! The store's face for clients of Redis: any client, at any node. A thread of
//! its own reads what they say, answers what concerns only the connection, and
//! hands everything else to the replica that is best placed to order it or to
//! read it. It holds no data and decides nothing about any: a node may lose it
//! and has lost nothing.

mod client;
pub(crate) mod counts;
mod face;
mod information;
mod local;
pub(crate) mod parser;
mod partitions;
mod users;

pub use parser::examine;

pub(crate) use face::{Call, Directory, Face, Look, MAX_COMMAND, Way};
pub(crate) use users::Users;

/// So many clients a node serves.
pub(crate) const MOST_CLIENTS: usize = 10_000;

/// More a client is never expected to say before it is answered: a command, and what stands around its arguments.
pub(crate) const MOST_EXPECTED: usize = 2 * MAX_COMMAND;
