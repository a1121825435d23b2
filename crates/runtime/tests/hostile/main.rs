//! A replica among peers and clients that mean no good, or have bad luck:
//! sockets that speak the frames by hand, and a machine that does what it is
//! told and writes down all that happens to it.

mod births;
mod clients;
mod door;
mod links;
mod peers;
#[path = "../ports/mod.rs"]
mod ports;
mod proxy;
mod raw;
mod stage;
mod tls;
