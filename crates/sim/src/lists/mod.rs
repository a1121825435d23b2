//! Lists that grow: a service for the simulator, and the tongue of its clients.
//! Operations append to lists of several partitions at once, look at them, or
//! append to one what depends on others, so that everything that a replicated
//! service does is done.
//!
//! The service is the simplest that tells everything. It stands in for those
//! that people use, and knows nothing of them.

mod service;
mod tongue;
mod words;

pub use service::Lists;
pub use tongue::ListsTongue;
pub use words::{Deed, saw};
