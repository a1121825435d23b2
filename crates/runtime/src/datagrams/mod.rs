//! # Machines whose peers come and go
//!
//! A [`Replica`](crate::replica::Replica) knows the few others to whom it has
//! links. A member of a fleet knows thousands by their addresses only, and
//! tells most of them little: what it says goes by datagrams, which may be lost,
//! and what is too long for one by a connection that is made for it. A [`Host`]
//! is a machine of that kind on one thread, with its socket and its timers.
//!
//! Whoever is not of the fleet is not heard: everything that travels is sealed,
//! and what does not open is dropped and counted.

mod handle;

pub use handle::{Handle, Unheard};
