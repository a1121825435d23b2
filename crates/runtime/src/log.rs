//! [`Log`]: where the records of a replica go, as its loop sees it.

/// Takes records in order and says how many of them are safe.
pub trait Log: Send {
    /// Adds a record.
    fn append(&mut self, encode: impl FnOnce(&mut Vec<u8>));

    /// Adds a record that replaces all earlier ones once it is durable.
    fn checkpoint(&mut self, encode: impl FnOnce(&mut Vec<u8>));

    /// Replaces all records so far, in its own time, by one that says the same.
    fn compact(&mut self, encode: impl FnOnce(&mut Vec<u8>));

    /// Hands everything that was added to the disk. An error is final.
    fn commit(&mut self) -> Result<(), String>;

    /// How many records were added.
    fn written(&self) -> u64;

    /// How many of them are durable.
    fn durable(&self) -> u64;

    /// Bytes that wait for the disk.
    fn backlog(&self) -> usize;
}

/// Keeps nothing: for those who trust their neighbours to stay alive.
#[derive(Debug, Default)]
pub struct Nowhere;

impl Log for Nowhere {
    fn append(&mut self, _: impl FnOnce(&mut Vec<u8>)) {}

    fn checkpoint(&mut self, _: impl FnOnce(&mut Vec<u8>)) {}

    fn compact(&mut self, _: impl FnOnce(&mut Vec<u8>)) {}

    fn commit(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn written(&self) -> u64 {
        0
    }

    fn durable(&self) -> u64 {
        0
    }

    fn backlog(&self) -> usize {
        0
    }
}
