//! What a node serves: the faces that clients see.

pub(crate) mod http;
mod metrics;
pub(crate) mod multicast;
pub(crate) mod story;
