//! What can be wrong with a log: [`Torn`], which is weather, [`Damage`], which
//! is not, and [`WalError`], why a log is not opened. This file decides
//! nothing; `scan.rs` does.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;
use skein_machine::wire::{OLDEST, VERSION, Version};

use crate::data::DataError;
use crate::files::Failure;

/// The end of a log that was being written when the process or the machine
/// died. Nothing in it was known to be synced, so nobody was promised any of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Torn {
    /// The file in which it begins.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// How many bytes from there to the end of the log are not blank.
    pub bytes: u64,
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Torn { file, offset, bytes } = self;
        write!(f, "{}: torn at byte {offset}, {bytes} bytes that nobody was promised", file.display())
    }
}

/// Something that had been synced is not there, or not as it was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Damage {
    /// The file.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// What should have been there.
    pub expected: String,
    /// All records up to this number are sound. There may be sound ones behind the damage.
    pub sound: u64,
    /// Everything up to this number had been synced.
    pub synced: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { file, offset, expected, sound, synced } = self;
        write!(f, "{}: damaged at byte {offset}, where {expected} should be; ", file.display())?;
        match sound {
            0 => f.write_str("no record before it is sound")?,
            _ => write!(f, "the records up to {sound} are sound")?,
        }
        if synced > sound { write!(f, ", and those up to {synced} had been synced") } else { Ok(()) }
    }
}

/// Why a log is not opened.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum WalError {
    Damaged(Damage),
    Newer { file: PathBuf, version: Version },
    WouldForget { folder: PathBuf, records: u64 },
    Data(DataError),
    Files(Failure),
}

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WalError::Damaged(damage) => {
                write!(f, "{damage}; put back a copy, or let the process set its log aside and begin without memory")
            }
            WalError::Newer { file, version } => write!(
                f,
                "{} has version {version}, and this build reads {OLDEST} to {VERSION}; use the build that wrote it, or, \
                 before it goes back to this one, have it write what both know (speak_version)",
                file.display(),
            ),
            WalError::WouldForget { folder, records } => write!(
                f,
                "{} reaches to record {records}, which a life in memory would forget; \
                 keep the records on disk, or use another directory",
                folder.display()
            ),
            WalError::Data(error) => error.fmt(f),
            WalError::Files(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for WalError {}

impl From<DataError> for WalError {
    fn from(error: DataError) -> WalError {
        WalError::Data(error)
    }
}

impl From<Failure> for WalError {
    fn from(failure: Failure) -> WalError {
        WalError::Files(failure)
    }
}
