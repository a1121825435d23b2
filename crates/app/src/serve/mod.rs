//! What a node serves: the faces that clients see.

mod door;
mod face_metrics;
pub(crate) mod http;
mod metrics;
pub(crate) mod multicast;
pub(crate) mod resp;
pub(crate) mod store;
pub(crate) mod story;
