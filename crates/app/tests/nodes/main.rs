//! Nodes as processes, as an operator runs them: with certificates, when a
//! machine is lost, when messages are long, and while a cluster is upgraded.

mod agents;
mod backup;
mod explain;
mod large;
mod place;
#[path = "../../../runtime/tests/ports/mod.rs"]
mod ports;
mod redis;
mod replace;
mod seeing;
mod store;
mod store_face;
mod store_tls;
mod tls;
mod versions;
