//! [`Failure`]: something that the file system did not do, in a sentence that
//! says what, where, why and what to do. It decides nothing: whether a failure
//! is the end is for whoever asked.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Files;

/// What was asked of the file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // the verbs are the names
pub enum Operation {
    Create,
    Open,
    List,
    Read,
    Write,
    Sync,
    Cut,
    Rename,
    Remove,
    Lock,
}

/// A request that the file system refused.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What was asked.
    pub operation: Operation,
    /// Of which file or folder.
    pub path: PathBuf,
    /// What the operating system said.
    pub error: Arc<io::Error>,
    /// How many bytes are free there, if the disk is full and will say.
    pub free: Option<u64>,
}

impl Failure {
    pub(crate) fn new(files: &dyn Files, operation: Operation, path: &Path, error: io::Error) -> Failure {
        let is_full = is_full(&error);
        let free = is_full.then(|| files.free(path.parent().unwrap_or(path)).ok()).flatten();
        Failure { operation, path: path.to_owned(), error: Arc::new(error), free }
    }

    /// For `map_err`.
    pub(crate) fn of<'a>(
        files: &'a dyn Files,
        operation: Operation,
        path: &'a Path,
    ) -> impl FnOnce(io::Error) -> Failure + 'a {
        move |error| Failure::new(files, operation, path, error)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = match self.operation {
            Operation::Create => "create",
            Operation::Open => "open",
            Operation::List => "list",
            Operation::Read => "read",
            Operation::Write => "write to",
            Operation::Sync => "sync",
            Operation::Cut => "cut",
            Operation::Rename => "rename",
            Operation::Remove => "remove",
            Operation::Lock => "lock",
        };
        write!(f, "cannot {verb} {}: {}; ", self.path.display(), self.error)?;
        if is_full(&self.error) {
            if let Some(free) = self.free {
                write!(f, "{free} bytes are free there: ")?;
            }
            return f.write_str("make room, then start the process again");
        }
        f.write_str(match (self.error.kind(), self.operation) {
            (ErrorKind::PermissionDenied, _) => "let the user that runs the process read and write there",
            (ErrorKind::ReadOnlyFilesystem, _) => "make the file system writable, then start the process again",
            (_, Operation::Write | Operation::Sync) => {
                "nothing since the last good sync counts: look after the disk, then start the process again"
            }
            _ => "look after the disk, then start the process again",
        })
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Ram;

    #[test]
    fn a_failure_says_what_where_why_and_what_to_do() {
        let files = Ram::default();
        let say = |operation, kind: ErrorKind| {
            Failure::new(&files, operation, Path::new("d/log/00000001.log"), kind.into()).to_string()
        };
        assert_eq!(
            say(Operation::Write, ErrorKind::StorageFull),
            "cannot write to d/log/00000001.log: no storage space; 0 bytes are free there: \
             make room, then start the process again"
        );
        let sync = say(Operation::Sync, ErrorKind::Other);
        assert!(sync.contains("cannot sync d/log/00000001.log") && sync.contains("look after the disk"), "{sync}");
        assert!(say(Operation::Open, ErrorKind::PermissionDenied).contains("let the user that runs the process"));
    }
}
