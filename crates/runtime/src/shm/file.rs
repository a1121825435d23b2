//! The files that are shared: made so that they cannot fill up later, and
//! opened with suspicion. None is ever cut, and nothing is mapped here.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::{FallocateFlags, OFlags, fallocate};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Resource, geteuid, getrlimit};

use super::ShmError;
use super::header::{HEADER_BYTES, HEADER_WORDS};

/// Others than the owner may not even look.
const MODE: u32 = 0o600;

/// Whoever else may write could cut the file, and so end the process, or make the words say anything.
const WRITE_OF_OTHERS: u32 = 0o022;

/// Makes a file of zeros of which every page is there, or none at all.
pub(super) fn create(path: &Path, bytes: u64) -> Result<File, ShmError> {
    let mut options = options();
    let file = options.create_new(true).open(path).map_err(ShmError::system("create", path))?;
    if let Err(error) = reserve(&file, path, bytes) {
        // What is half made would take the room that is missing, and pass for a memory that was cut short.
        fs::remove_file(path).map_err(ShmError::system("remove", path))?;
        return Err(match error {
            ShmError::Full { path, needed, .. } => full(&path, needed),
            error => error,
        });
    }
    Ok(file)
}

/// Opens a file that is this user's alone.
pub(super) fn open(path: &Path) -> Result<File, ShmError> {
    let file = options().open(path).map_err(|error| match Errno::from_io_error(&error) {
        Some(Errno::NOENT) => ShmError::Missing { path: path.to_owned() },
        // A folder, or a link to something: neither is opened.
        Some(Errno::ISDIR | Errno::LOOP) => ShmError::NotAFile { path: path.to_owned() },
        _ => ShmError::system("open", path)(error),
    })?;
    let told = file.metadata().map_err(ShmError::system("look at", path))?;
    if !told.is_file() {
        return Err(ShmError::NotAFile { path: path.to_owned() });
    }
    refuse_others(&told, path)?;
    Ok(file)
}

/// Opens a file for a lock, and makes it if need be.
pub(super) fn open_lock(path: &Path) -> Result<File, ShmError> {
    options().create(true).truncate(false).open(path).map_err(ShmError::system("open", path))
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    // Whoever put a link there may want us to write somewhere else.
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).expect("flags of the system are of the system's size");
    options.read(true).write(true).mode(MODE).custom_flags(flags);
    options
}

/// Refuses what others than this user could change.
pub(super) fn refuse_others(told: &Metadata, path: &Path) -> Result<(), ShmError> {
    let own = geteuid().as_raw();
    let open = |why| Err(ShmError::Open { path: path.to_owned(), why });
    if told.uid() != own {
        return open(format!("belongs to user {}, not to {own}, who runs the process", told.uid()));
    }
    if told.mode() & WRITE_OF_OTHERS != 0 {
        return open("may be written by others than its owner".to_owned());
    }
    Ok(())
}

/// The first page, if the file has one.
pub(super) fn header_of(file: &File, path: &Path) -> Result<[u64; HEADER_WORDS], ShmError> {
    let mut page = [0; HEADER_BYTES];
    match file.read_exact_at(&mut page, 0) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            let found = file.metadata().map_err(ShmError::system("look at", path))?.len();
            return Err(ShmError::OtherLength { path: path.to_owned(), found, wanted: HEADER_BYTES as u64 });
        }
        Err(error) => return Err(ShmError::system("read", path)(error)),
    }
    let (words, _) = page.as_chunks::<8>();
    let mut header = [0; HEADER_WORDS];
    for (word, bytes) in header.iter_mut().zip(words) {
        *word = u64::from_ne_bytes(*bytes);
    }
    Ok(header)
}

/// Refuses a file of any other length.
pub(super) fn check_length(file: &File, path: &Path, wanted: u64) -> Result<(), ShmError> {
    let found = file.metadata().map_err(ShmError::system("look at", path))?.len();
    if found == wanted { Ok(()) } else { Err(ShmError::OtherLength { path: path.to_owned(), found, wanted }) }
}

/// Sees to it that every page of the file is there. Nothing that is written changes.
pub(super) fn reserve(file: &File, path: &Path, bytes: u64) -> Result<(), ShmError> {
    // To go beyond this limit is not only refused: the process is killed.
    if let Some(allowed) = getrlimit(Resource::Fsize).current.filter(|allowed| *allowed < bytes) {
        return Err(ShmError::Limited { path: path.to_owned(), needed: bytes, allowed });
    }
    match retry_on_intr(|| fallocate(file, FallocateFlags::empty(), 0, bytes)) {
        Ok(()) => Ok(()),
        Err(Errno::NOSPC | Errno::DQUOT | Errno::NOMEM | Errno::FBIG) => Err(full(path, bytes)),
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => Err(ShmError::NoRoomAside { path: path.to_owned() }),
        Err(error) => Err(ShmError::system("set room aside for", path)(error)),
    }
}

/// There is not enough room, and this much is left by now.
pub(super) fn full(path: &Path, needed: u64) -> ShmError {
    let told = rustix::fs::statvfs(folder_of(path));
    let available = told.ok().map(|told| told.f_bavail.saturating_mul(told.f_frsize));
    ShmError::Full { path: path.to_owned(), needed, available }
}

/// The folder in which a path lies: `a` lies in the folder ``, which the system calls `.`.
pub(super) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether the file is still the one that is found at the path.
pub(super) fn is_at(file: &File, path: &Path) -> bool {
    let (Ok(held), Ok(named)) = (file.metadata(), fs::symlink_metadata(path)) else { return false };
    (held.dev(), held.ino()) == (named.dev(), named.ino())
}
