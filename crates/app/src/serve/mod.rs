//! What a node serves: the faces that clients see.

pub(crate) mod http;
pub(crate) mod multicast;
pub(crate) mod story;
