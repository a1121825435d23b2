//! Clients of a replicated service under every kind of fault, whatever the
//! service: each does one thing after the other through some replica, looks for
//! another when its own is gone or silent, and writes down what it asked and
//! what it was told. What they saw can have happened one after the other, or
//! [`check::linear`](crate::check::linear) says why not.
//!
//! What is asked for and what an answer means is a [`Tongue`]'s affair. The
//! service and its tongue come together from outside; no particular one is
//! known here.

mod crowd;
mod habits;
mod run;
mod tongue;

pub use habits::Habits;
pub use run::{ClientsOutcome, ClientsPlan, run_clients};
pub use tongue::{Asker, Heard, Meaning, Tongue, Way, Wish};
