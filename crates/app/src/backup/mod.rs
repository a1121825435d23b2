//! Backups of a store in a directory: one folder each, with a manifest and a
//! file for each partition, all of one moment. What makes, judges and brings
//! back one talks to the store as its clients do, so neither the groups nor the
//! placement of the store that it came from need be those of the store that it
//! goes to.
//!
//! A backup is written under a name that nobody takes for one, made durable, and
//! then renamed: a folder with a manifest is whole, as far as it was written.
//! Nothing here runs by itself: when to make one, and when to delete one, is for
//! whoever calls.

mod asker;
pub(crate) mod create;
mod data;
pub(crate) mod date;
pub(crate) mod manifest;
pub(crate) mod restore;
#[cfg(test)]
mod tests;
pub(crate) mod verify;

use std::fmt;

use serde::Serialize;

/// Something in a backup that is not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Damage {
    /// In which of its files.
    pub(crate) file: String,
    /// The first byte of what cannot be believed.
    pub(crate) offset: u64,
    /// What is wrong with it.
    pub(crate) why: String,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: damaged at byte {}: {}", self.file, self.offset, self.why)
    }
}

/// The bytes of a command.
type Words = Vec<Vec<u8>>;

/// A command of these words.
fn words(words: &[&[u8]]) -> Words {
    words.iter().map(|word| word.to_vec()).collect()
}
