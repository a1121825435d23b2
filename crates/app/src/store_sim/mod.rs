//! The store that ships, in the simulator: what its clients ask for, as the
//! bytes that a node's face makes of it, and what they are told. Everything that
//! they do appends to lists or looks at them, so that the judge of
//! linearizability can read it: commands on one key and on several, transactions
//! with and without `WATCH`, values that move between partitions, what is
//! pipelined, walks in pages, deadlines. It stands where `sim` and the store
//! meet, for neither knows the other.

mod deed;
mod names;
mod step;
mod tongue;
mod walk;
mod wishes;

#[cfg(test)]
mod tests;

pub(crate) use tongue::StoreTongue;
