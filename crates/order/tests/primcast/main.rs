//! PrimCast in pictures of words: the figure of the thesis, what a multicast
//! costs, what happens when something breaks, and the bounds. `UPDATE=1`
//! rewrites the traces; read the difference.

mod alone;
mod bounds;
mod bytes;
mod calm;
mod certificates;
mod commute;
mod findings;
mod memory;
mod outlook;
mod past;
mod reads;
mod rebirth;
mod recovery;
mod room;
mod schedules;
