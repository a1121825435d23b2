//! # Machines whose peers come and go
//!
//! A [`Replica`](crate::replica::Replica) knows the few others to whom it has
//! links. A member of a fleet knows thousands by their addresses only, and
//! tells most of them little: what it says goes by datagrams, which may be lost,
//! and what is too long for one by a connection that is made for it. A [`Host`]
//! is a machine of that kind on one thread, with its socket and its timers.
//!
//! Whoever is not of the fleet is not heard: everything that travels is sealed,
//! and what does not open is dropped and counted.

mod frames;
mod ground;
mod handle;
mod host;
mod meters;
mod seal;
mod still;
mod streams;

pub use frames::MOST_FRAME;
pub use ground::Security;
pub use handle::{Handle, Unheard};
pub use host::{Addresses, Host, Socket};
pub use meters::{Meter, Meters};
pub use seal::{Key, Keys};
#[doc(hidden)]
pub use still::still;
