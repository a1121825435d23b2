//! FastCast in pictures of words: a lone message, what a lost guess costs, what
//! happens when something breaks, and the bounds. `UPDATE=1` rewrites the
//! traces; read the difference.

mod calm;
mod memory;
mod recovery;
mod room;
