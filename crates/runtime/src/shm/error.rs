//! [`ShmError`]: why memory is not shared, in a sentence that says what is
//! wrong, where, and what to do.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_machine::ClusterId;

use super::header::LAYOUT;

/// Why memory is not shared.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum ShmError {
    TooLarge { words: usize, most: usize },
    TooMany { replicas: usize, most: usize },
    NoSuchReplica { replica: usize, replicas: usize },
    Missing { path: PathBuf },
    NotAFolder { path: PathBuf },
    NotAFile { path: PathBuf },
    Strange { path: PathBuf, file: PathBuf },
    NothingLeft { path: PathBuf },
    Open { path: PathBuf, why: String },
    NotOurs { path: PathBuf },
    OtherLayout { path: PathBuf, found: u64 },
    Unfinished { path: PathBuf },
    Damaged { path: PathBuf },
    OtherCluster { path: PathBuf, found: ClusterId, wanted: ClusterId },
    OtherReplica { path: PathBuf, found: u64, wanted: usize },
    OtherSize { path: PathBuf, what: &'static str, found: u64, wanted: u64 },
    OtherStart { path: PathBuf },
    OtherSet { path: PathBuf, other: PathBuf },
    OtherLength { path: PathBuf, found: u64, wanted: u64 },
    Full { path: PathBuf, needed: u64, available: Option<u64> },
    Limited { path: PathBuf, needed: u64, allowed: u64 },
    NoRoomAside { path: PathBuf },
    Taken { path: PathBuf, replica: usize, pid: Option<u32> },
    StillThere { path: PathBuf },
    Vanishing { path: PathBuf },
    Nobody { path: PathBuf },
    OtherWorld { pid: u32 },
    Hidden { pid: u32, why: String },
    System { doing: &'static str, path: PathBuf, error: Arc<io::Error> },
}

impl ShmError {
    /// For `map_err`.
    pub(super) fn system<'a, E: Into<io::Error>>(
        doing: &'static str,
        path: &'a Path,
    ) -> impl FnOnce(E) -> ShmError + 'a {
        move |error| ShmError::System { doing, path: path.to_owned(), error: Arc::new(error.into()) }
    }
}

impl fmt::Display for ShmError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ShmError::TooLarge { words, most } => {
                write!(f, "a memory of {words} words is asked for; ask for 1 to {most}")
            }
            ShmError::TooMany { replicas, most } => {
                write!(f, "memories for {replicas} replicas are asked for; ask for 1 to {most}")
            }
            ShmError::NoSuchReplica { replica, replicas } => {
                write!(f, "there is no replica {replica} among {replicas}; they are counted from 0")
            }
            ShmError::Missing { path } => write!(f, "{} does not exist; check the path", path.display()),
            ShmError::NotAFolder { path } => {
                write!(f, "{} is no directory; name another one, or move it away", path.display())
            }
            ShmError::NotAFile { path } => write!(f, "{} is no plain file; move it away", path.display()),
            ShmError::Strange { path, file } => write!(
                f,
                "{} is not ours, and {} must be empty when it is first used; name another directory",
                file.display(),
                path.display()
            ),
            ShmError::NothingLeft { path } => write!(
                f,
                "{} was used and no memory is left in it, so whatever its replicas knew is lost; \
                 remove the directory to begin anew",
                path.display()
            ),
            ShmError::Open { path, why } => write!(
                f,
                "{} {why}, and whoever may write there can do anything to the memory; let it belong to the user \
                 that runs the process, and let nobody else write",
                path.display()
            ),
            ShmError::NotOurs { path } => {
                write!(f, "{} is not a memory of ours; check the path, or move it away", path.display())
            }
            ShmError::OtherLayout { path, found } => write!(
                f,
                "{} has layout {found}, and this build reads only {LAYOUT}; use the build that made it, or stop all \
                 replicas and remove the directory",
                path.display()
            ),
            ShmError::Unfinished { path } => write!(
                f,
                "{} was never finished: whoever made it died, or is still at it; if nobody is, remove it",
                path.display()
            ),
            ShmError::Damaged { path } => write!(
                f,
                "what {} says of itself is damaged, so nothing in it can be trusted; remove it, and its replica \
                 gets a blank one",
                path.display()
            ),
            ShmError::OtherCluster { path, found, wanted } => write!(
                f,
                "{} belongs to cluster {found}, not to {wanted}; check the path and the cluster's description",
                path.display()
            ),
            ShmError::OtherReplica { path, found, wanted } => write!(
                f,
                "{} is the memory of replica {found}, not of {wanted}; put each file back under its own name",
                path.display()
            ),
            ShmError::OtherSize { path, what, found, wanted } => write!(
                f,
                "{} was made for {found} {what}, and {wanted} are wanted; say {found}, or stop all replicas and \
                 remove the directory",
                path.display()
            ),
            ShmError::OtherStart { path } => write!(
                f,
                "{} was made before this machine was started last, so it may hold old and new side by side; \
                 remove it, and put the directory where nothing outlives the machine, as in /dev/shm",
                path.display()
            ),
            ShmError::OtherSet { path, other } => write!(
                f,
                "{} and {} were not made for each other; remove the one that does not belong there",
                path.display(),
                other.display()
            ),
            ShmError::OtherLength { path, found, wanted } => write!(
                f,
                "{} has {found} bytes and should have {wanted}, so it was {}; remove it, and its replica gets a \
                 blank one",
                path.display(),
                if found < wanted { "cut short" } else { "added to" }
            ),
            ShmError::Full { path, needed, available } => {
                write!(f, "{} needs {needed} bytes, and ", path.display())?;
                match available {
                    Some(available) => write!(f, "{available} are available there")?,
                    None => f.write_str("so many are not available there")?,
                }
                f.write_str("; make room, ask for fewer or shorter slots, or name a directory with more room")
            }
            ShmError::Limited { path, needed, allowed } => write!(
                f,
                "{} needs {needed} bytes, and no file of this process may have more than {allowed}; raise that \
                 limit (`ulimit -f`)",
                path.display()
            ),
            ShmError::NoRoomAside { path } => write!(
                f,
                "the file system of {} cannot set room aside, so it could be full in the middle of a write; name a \
                 directory elsewhere, best below /dev/shm",
                path.display()
            ),
            ShmError::Taken { path, replica, pid } => {
                write!(f, "replica {replica} of {} is run by ", path.display())?;
                match pid {
                    Some(pid) => write!(f, "process {pid} already; stop that one first"),
                    None => f.write_str("another process already; stop that one first"),
                }
            }
            ShmError::StillThere { path } => {
                write!(f, "{} is there, and only a memory that was lost is made anew", path.display())
            }
            ShmError::Vanishing { path } => {
                write!(f, "{} is removed again and again while it is being made; see who does that", path.display())
            }
            ShmError::Nobody { path } => {
                write!(f, "no process has run the replica of {} yet, so there is none to watch", path.display())
            }
            ShmError::OtherWorld { pid } => write!(
                f,
                "process {pid} lives in another container, from which its number means nothing here, so its death \
                 cannot be seen; let the replicas share their process numbers (`--pid`)"
            ),
            ShmError::Hidden { pid, why } => write!(
                f,
                "process {pid} cannot be told from another with its number: {why}; let the replicas see each other \
                 in /proc"
            ),
            ShmError::System { doing, path, error } => write!(f, "cannot {doing} {}: {error}", path.display()),
        }
    }
}

impl std::error::Error for ShmError {}
