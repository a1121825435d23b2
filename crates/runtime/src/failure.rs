//! [`Failure`]: why a replica did not start, or stopped by itself, in a sentence.

use std::fmt;
use std::io;

use skein_machine::wire::WireError;

use crate::data::DataError;
use crate::files;
use crate::wal::WalError;

/// Why a replica did not start, or stopped by itself.
#[derive(Debug)]
pub enum Failure {
    /// The operating system refused something that cannot be done without.
    System(io::Error),
    /// Its directory is not what it should be.
    Data(DataError),
    /// Its log cannot be opened.
    Open(WalError),
    /// Its log holds a record that this build does not understand.
    Record(WireError),
    /// Its log can be trusted no more.
    Log(files::Failure),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::System(error) => write!(f, "the system refuses what cannot be done without: {error}"),
            Failure::Data(error) => error.fmt(f),
            Failure::Open(error) => error.fmt(f),
            Failure::Record(error) => {
                write!(f, "its log holds a record that this build does not understand ({error}): use the newer build")
            }
            Failure::Log(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for Failure {}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Failure {
        Failure::Data(error)
    }
}

impl From<WalError> for Failure {
    fn from(error: WalError) -> Failure {
        Failure::Open(error)
    }
}
