//! What a node serves: the faces that clients see.

pub(crate) mod door;
mod face_metrics;
pub(crate) mod http;
pub(crate) mod metrics;
pub(crate) mod multicast;
pub(crate) mod resp;
pub(crate) mod store;
pub(crate) mod story;
