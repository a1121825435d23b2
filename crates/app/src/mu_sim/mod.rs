//! Mu in a simulated world: processors that die, stand still and come back
//! while their memories live, verbs that take their time and are torn, clients
//! that append to lists and look at them, and judges of what came out.
//!
//! A run follows from its seed. It knows Mu, and how to judge a log; what
//! breaks when is in [`weather`].

mod clients;
mod judge;
mod run;
mod weather;

pub use run::{Counts, Outcome, Plan, run_seed};
