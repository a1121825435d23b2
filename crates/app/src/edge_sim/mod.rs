//! The edge in the simulator: fleets of members in a world whose datagrams get
//! lost, what is done to them, and how long it takes until they know. It stands
//! where `sim` and the edge meet, for neither knows the other.

pub(crate) mod figures;
mod fleet;
pub(crate) mod maps;
mod measure;
mod storm;

pub(crate) use fleet::{Fleet, Plan, Told};
pub(crate) use measure::{Calm, Crowd, calm, crowd, detection};
pub(crate) use storm::storm;
