//! # The key-value store
//!
//! [`Kv`] is one partition of a store that answers as Redis 7 does. It is a
//! pure [`Service`](skein_machine::Service): time comes with each command, choices that look random
//! follow from it, and limits are judged on logical sizes, so that replicas
//! that apply the same answer the same, byte for byte.
//!
//! A [`Request`] says in which protocol to answer; the [`Reply`](skein_machine::Reply) is what the
//! client reads. Where keys lie says [`Placement`], which partitions a request
//! concerns and how it is carried out there says [`Plan`], and [`KvRouter`]
//! joins what they answered. What commands there are says [`table`].
//!
//! Nothing here waits: no command blocks, and none has an effect that another
//! partition could undo.

mod answer;
mod backups;
mod blob;
mod codec;
mod commands;
mod cursors;
mod entries;
mod exchange;
mod execute;
mod extended;
mod failure;
mod glob;
mod limits;
mod number;
mod parts;
mod placement;
mod request;
mod route;
mod service;
mod snapshot;
mod store;
pub mod table;
mod tree;
mod value;
mod xxh64;

pub use answer::Answer;
pub use backups::{MAX_BACKUP_IDLE_MS, MAX_BACKUPS, PIECE};
pub use cursors::{MAX_CURSORS, MAX_IDLE_MS};
pub use entries::{Entries, Part, ValueKind};
pub use exchange::MAX_SHARE;
pub use execute::check;
pub use failure::Failure;
pub use glob::matches as glob_matches;
pub use limits::Limits;
pub use parts::join;
pub use placement::{Division, Placement, PlacementError, Rule};
pub use request::{Args, Body, MAX_ARGUMENTS, MAX_COMMANDS, Malformed, Protocol, Request, Transaction, examine};
pub use route::{Plan, Way, only_reads};
pub use service::{Kv, KvRouter, answer_here, try_out};
pub use store::REMOVALS;
pub use tree::Tree;
