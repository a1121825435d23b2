//! Lists that grow: a service for the simulator, and the clients that use it
//! under every kind of fault. Operations append to lists of several partitions
//! at once, look at them, or append to one what depends on others, so that
//! everything that a replicated service does is done; and what the clients see
//! says whether it can have happened one after the other
//! ([`check::linear`](crate::check::linear)).
//!
//! The service is the simplest that tells everything. It stands in for those
//! that people use, and knows nothing of them.

mod clients;
mod run;
mod service;
mod words;

pub use clients::Habits;
pub use run::{ListsOutcome, ListsPlan, run_lists};
pub use service::Lists;
