//! Measurements on real ground. Servers are processes of their own, so that
//! their processor time can be told from that of the load; the speed of the
//! machine is measured in the same run, because it is never the same twice.

pub(crate) mod load;
pub(crate) mod multicast;
mod servers;
mod yardsticks;
