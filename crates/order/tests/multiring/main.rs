//! Multi-Ring Paxos in pictures of words: what goes along a ring, what happens
//! when something breaks, and what is kept. `UPDATE=1` rewrites the traces; read
//! the difference.

mod calm;
mod recovery;
mod room;
mod subscriptions;
