//! White-Box in pictures of words: a lone message, what happens when something
//! breaks, and random seeds. `UPDATE=1` rewrites the traces; read the difference.

mod alone;
mod calm;
mod memory;
mod recovery;
mod room;
mod seeds;
