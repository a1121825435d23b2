//! [`Scaffold`]: a folder that is being made, under a name that nobody looks
//! for, until it is whole and takes its place in one step.
//!
//! Whoever makes it holds a lock on it, which goes when its process does. So
//! whoever makes the next one can tell what was left behind from what is still
//! being made, and takes the former away: it would fill the memory of the
//! machine for good.

use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::{ShmError, file};

/// Others than the owner may not even look.
const MODE: u32 = 0o700;

/// Whoever clears away may come between the making of a folder and its lock, once. More often is no chance.
const ATTEMPTS: usize = 8;

/// A folder under a name of its own. What is not put in its place goes when this does.
#[derive(Debug)]
pub(super) struct Scaffold {
    place: PathBuf,
    path: PathBuf,
    _lock: File,
}

impl Scaffold {
    /// Begins a folder that is to stand at `place`, and takes away what others have left behind.
    pub(super) fn new(place: &Path) -> Result<Scaffold, ShmError> {
        let Some(name) = place.file_name() else { return Err(ShmError::NotAFolder { path: place.to_owned() }) };
        let parent = file::folder_of(place);
        let mark = format!(".{}.new-", name.to_string_lossy());
        clear(parent, &mark).map_err(ShmError::system("list", parent))?;
        for _ in 0..ATTEMPTS {
            let path = parent.join(format!("{mark}{:016x}", crate::data::draw()));
            DirBuilder::new().mode(MODE).create(&path).map_err(ShmError::system("create", &path))?;
            // Whoever clears away may have found it before it had a lock: then it is gone, or about to be.
            let Ok(lock) = File::open(&path) else { continue };
            if lock.try_lock().is_ok() && file::is_at(&lock, &path) {
                return Ok(Scaffold { place: place.to_owned(), path, _lock: lock });
            }
        }
        Err(ShmError::Vanishing { path: place.to_owned() })
    }

    /// Where it is until it is in its place.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Puts the folder in its place. False if something is there already, which then stays.
    pub(super) fn put(self) -> Result<bool, ShmError> {
        match fs::rename(&self.path, &self.place) {
            Ok(()) => Ok(true),
            Err(error) if matches!(error.kind(), ErrorKind::DirectoryNotEmpty | ErrorKind::AlreadyExists) => Ok(false),
            Err(error) => Err(ShmError::system("create", &self.place)(error)),
        }
    }
}

impl Drop for Scaffold {
    fn drop(&mut self) {
        // If it is in its place by now, nothing has this name. If it cannot be removed, the next one tries again.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders that were left behind: they have such a name and nobody holds their lock.
fn clear(parent: &Path, mark: &str) -> io::Result<()> {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        let is_one = entry.file_name().to_string_lossy().starts_with(mark);
        // It may be gone by now, or be somebody else's.
        if !is_one || !entry.metadata().is_ok_and(|told| told.is_dir() && told.uid() == own) {
            continue;
        }
        let Ok(lock) = File::open(entry.path()) else { continue };
        if lock.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::scratch::Scratch;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_first_that_is_whole_takes_the_place() {
        let scratch = Scratch::new();
        let place = scratch.path().join("mu");
        let (one, other) = (Scaffold::new(&place).unwrap(), Scaffold::new(&place).unwrap());
        fs::write(one.path().join("a"), "1").unwrap();
        fs::write(other.path().join("a"), "2").unwrap();
        assert_eq!(names(scratch.path()).len(), 2, "neither takes the other away");
        assert!(other.put().unwrap());
        assert!(!one.put().unwrap());
        assert_eq!(names(scratch.path()), ["mu"]);
        assert_eq!(fs::read_to_string(place.join("a")).unwrap(), "2");
    }

    #[test]
    fn what_was_left_behind_is_taken_away() {
        let scratch = Scratch::new();
        let place = scratch.path().join("mu");
        let left = scratch.path().join(".mu.new-0123");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("a"), "1").unwrap();
        fs::create_dir(scratch.path().join(".nu.new-0123")).unwrap();
        let scaffold = Scaffold::new(&place).unwrap();
        assert!(!left.exists());
        drop(scaffold);
        assert_eq!(names(scratch.path()), [".nu.new-0123"]);
    }

    #[test]
    fn an_empty_folder_is_a_place() {
        let scratch = Scratch::new();
        let place = scratch.path().join("mu");
        fs::create_dir(&place).unwrap();
        let scaffold = Scaffold::new(&place).unwrap();
        fs::write(scaffold.path().join("a"), "1").unwrap();
        assert!(scaffold.put().unwrap());
        assert_eq!(names(&place), ["a"]);
    }
}
