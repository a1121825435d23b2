//! [`DataError`]: why a directory is not opened, in a sentence that says what
//! is wrong, where, and what to do.

use std::fmt;
use std::path::PathBuf;

use skein_machine::{ClusterId, ProcessId};

use crate::files::Failure;

/// Why a directory is not opened.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum DataError {
    NoParent { path: PathBuf },
    NotADirectory { path: PathBuf },
    NoDataDirectory { path: PathBuf },
    InUse { path: PathBuf },
    OtherCluster { path: PathBuf, found: ClusterId, wanted: ClusterId },
    OtherProcess { path: PathBuf, found: ProcessId, wanted: ProcessId },
    Newer { path: PathBuf, format: u16 },
    Unreadable { file: PathBuf, why: String },
    NoIdentity { path: PathBuf, file: PathBuf },
    Strange { path: PathBuf, file: PathBuf },
    NothingLost { path: PathBuf },
    Stale { why: String },
    Files(Failure),
}

impl fmt::Display for DataError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataError::NoParent { path } => {
                write!(f, "the folder in which {} should lie does not exist; create it", path.display())
            }
            DataError::NotADirectory { path } => {
                write!(f, "{} is no directory; name another one, or move it away", path.display())
            }
            DataError::NoDataDirectory { path } => {
                write!(f, "{} is no data directory: it has no file `identity`; check the path", path.display())
            }
            DataError::InUse { path } => {
                write!(f, "{} is in use by another process; stop that one first", path.display())
            }
            DataError::OtherCluster { path, found, wanted } => write!(
                f,
                "{} belongs to cluster {found}, not to {wanted}; check the path and the cluster's description",
                path.display()
            ),
            DataError::OtherProcess { path, found, wanted } => {
                write!(
                    f,
                    "{} belongs to {found}, not to {wanted}; give each process a directory of its own",
                    path.display()
                )
            }
            DataError::Newer { path, format } => write!(
                f,
                "{} has format {format}, and this build reads only {}; use the newer build that wrote it",
                path.display(),
                crate::identity::FORMAT
            ),
            DataError::Unreadable { file, why } => write!(
                f,
                "{} cannot be read: {why}; put back a copy of it, or move the directory away and rejoin",
                file.display()
            ),
            DataError::NoIdentity { path, file } => write!(
                f,
                "{} is there but no file `identity` beside it, so nobody knows whose {} is; \
                 put the identity back, or move the directory away and rejoin",
                file.display(),
                path.display()
            ),
            DataError::Strange { path, file } => write!(
                f,
                "{} is not ours, and {} must be empty when it is first used; name another directory",
                file.display(),
                path.display()
            ),
            DataError::NothingLost { path } => write!(
                f,
                "{} already has an identity, and only a process whose disk is lost may rejoin; \
                 start it as usual, or move the directory away first",
                path.display()
            ),
            DataError::Stale { why } => f.write_str(why),
            DataError::Files(failure) => failure.fmt(f),
        }
    }
}

impl std::error::Error for DataError {}

impl From<Failure> for DataError {
    fn from(failure: Failure) -> DataError {
        DataError::Files(failure)
    }
}
