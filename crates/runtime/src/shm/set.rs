//! [`MemorySet`]: the memories of all replicas of a cluster, in one folder.
//!
//! All of them come to be at once, so whoever finds the folder finds it whole.
//! A memory that is lost later is made again alone, by whoever has its
//! replica's seat, and says of itself that it is blank: what its replica had
//! promised in the lost one is forgotten, and what that means is for the
//! protocol to know.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::scaffold::Scaffold;
use super::{Plan, Seat, SharedWords, ShmError, file, seat};

/// Whoever loses the race to create opens what the winner made. To lose it again somebody must have removed that.
const ATTEMPTS: usize = 8;

/// The memories of a cluster, mapped.
#[derive(Debug)]
pub struct MemorySet {
    folder: PathBuf,
    plan: Plan,
    /// Drawn when all of them were made.
    set: u64,
    /// None where one is lost.
    memories: Vec<Option<SharedWords>>,
}

/// What there is in a folder.
enum Folder {
    /// It does not exist, or nothing is in it.
    Unused,
    /// It has been used, and these memories are there.
    Used(Vec<bool>),
}

impl MemorySet {
    /// Opens the memories in a folder, and makes all of them if it does not exist or is empty.
    pub fn open_or_create(folder: &Path, plan: &Plan) -> Result<MemorySet, ShmError> {
        plan.check()?;
        for _ in 0..ATTEMPTS {
            match look_around(folder, plan)? {
                Folder::Used(there) => return MemorySet::open(folder, plan, &there),
                Folder::Unused => {
                    if let Some(set) = MemorySet::create(folder, plan)? {
                        return Ok(set);
                    }
                }
            }
        }
        Err(ShmError::Vanishing { path: folder.to_owned() })
    }

    /// Nothing if somebody else was faster.
    fn create(folder: &Path, plan: &Plan) -> Result<Option<MemorySet>, ShmError> {
        let scaffold = Scaffold::new(folder)?;
        let set = crate::data::draw();
        let make = |replica| {
            let made = SharedWords::make(&path_of(scaffold.path(), replica), plan, replica, set, false)?;
            Ok(Some(made.at(path_of(folder, replica))))
        };
        match (0..plan.replicas).map(make).collect::<Result<Vec<_>, ShmError>>() {
            Ok(memories) => {
                let made = MemorySet { folder: folder.to_owned(), plan: plan.clone(), set, memories };
                Ok(scaffold.put()?.then_some(made))
            }
            Err(ShmError::Full { .. }) => {
                // What is left is counted when nothing of this is there any more.
                drop(scaffold);
                Err(file::full(folder, plan.bytes().saturating_mul(plan.replicas as u64)))
            }
            Err(error) => Err(error),
        }
    }

    fn open(folder: &Path, plan: &Plan, there: &[bool]) -> Result<MemorySet, ShmError> {
        let open = |(replica, is_there): (usize, &bool)| {
            is_there.then(|| SharedWords::open(&path_of(folder, replica), plan, replica)).transpose()
        };
        let memories = there.iter().enumerate().map(open).collect::<Result<Vec<_>, ShmError>>()?;
        let Some(first) = memories.iter().flatten().next() else {
            return Err(ShmError::NothingLeft { path: folder.to_owned() });
        };
        let set = first.set();
        let (path, plan, folder) = (first.path().to_owned(), plan.clone(), folder.to_owned());
        if let Some(other) = memories.iter().flatten().find(|memory| memory.set() != set) {
            return Err(ShmError::OtherSet { path, other: other.path().to_owned() });
        }
        Ok(MemorySet { folder, plan, set, memories })
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The memory of a replica, unless it was lost before it was opened here.
    pub fn memory(&self, replica: usize) -> Option<&SharedWords> {
        self.memories[replica].as_ref()
    }

    /// Takes the seat of a replica, and says so in its memory, if it is there. Fails if a process has it.
    pub fn take(&mut self, replica: usize) -> Result<Seat, ShmError> {
        self.plan.check_replica(replica)?;
        let seat = Seat::take(&seat::path_of(&self.folder, replica), &self.folder, replica)?;
        // While it had no seat, somebody who had it may have made the memory anew.
        self.look_again(replica)?;
        if let Some(memory) = self.memory(replica) {
            memory.sign(seat.holder());
        }
        Ok(seat)
    }

    /// Makes the memory of a replica anew that was lost. It is blank until somebody declares it filled.
    pub fn renew(&mut self, seat: &Seat) -> Result<(), ShmError> {
        let replica = seat.replica();
        self.look_again(replica)?;
        let path = path_of(&self.folder, replica);
        if self.memories[replica].is_some() {
            return Err(ShmError::StillThere { path });
        }
        // Nobody else makes this one, and whoever had the seat before may have died half way.
        let to_be = self.folder.join(format!("replica-{replica}.memory.new"));
        match fs::remove_file(&to_be) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(ShmError::system("remove", &to_be)(error)),
            _ => {}
        }
        let memory = SharedWords::make(&to_be, &self.plan, replica, self.set, true)?.at(path.clone());
        memory.sign(seat.holder());
        match renameat_with(CWD, &to_be, CWD, &path, RenameFlags::NOREPLACE) {
            Ok(()) => {}
            // Somebody has put the lost file back.
            Err(Errno::EXIST) => return Err(ShmError::StillThere { path }),
            Err(error) => return Err(ShmError::system("create", &path)(error)),
        }
        self.memories[replica] = Some(memory);
        Ok(())
    }

    /// Opens the memory of a replica that was not there, or has been removed since it was opened. Whether it is
    /// another one now, or none.
    pub fn look_again(&mut self, replica: usize) -> Result<bool, ShmError> {
        let known = &mut self.memories[replica];
        if known.as_ref().is_some_and(|memory| !memory.is_lost()) {
            return Ok(false);
        }
        let was_there = known.take().is_some();
        match SharedWords::open(&path_of(&self.folder, replica), &self.plan, replica) {
            Ok(memory) if memory.set() != self.set => {
                let other = self.folder.clone();
                Err(ShmError::OtherSet { path: memory.path().to_owned(), other })
            }
            Ok(memory) => {
                *known = Some(memory);
                Ok(true)
            }
            Err(ShmError::Missing { .. }) => Ok(was_there),
            Err(error) => Err(error),
        }
    }
}

fn path_of(folder: &Path, replica: usize) -> PathBuf {
    folder.join(format!("replica-{replica}.memory"))
}

/// What is in the folder, which must be this user's alone and have nothing in it but what is made here.
fn look_around(folder: &Path, plan: &Plan) -> Result<Folder, ShmError> {
    let told = match fs::metadata(folder) {
        Ok(told) => told,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Folder::Unused),
        Err(error) => return Err(ShmError::system("look at", folder)(error)),
    };
    if !told.is_dir() {
        return Err(ShmError::NotAFolder { path: folder.to_owned() });
    }
    file::refuse_others(&told, folder)?;
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(ShmError::system("list", folder))? {
        let name = entry.map_err(ShmError::system("list", folder))?.file_name();
        is_empty = false;
        if !name.to_str().is_some_and(is_ours) {
            return Err(ShmError::Strange { path: folder.to_owned(), file: folder.join(name) });
        }
    }
    if is_empty {
        return Ok(Folder::Unused);
    }
    // Links to nowhere are there, too: they are refused when they are opened.
    let is_there = |replica| fs::symlink_metadata(path_of(folder, replica)).is_ok();
    Ok(Folder::Used((0..plan.replicas).map(is_there).collect()))
}

fn is_ours(name: &str) -> bool {
    let rest = name.strip_prefix("replica-").map(|rest| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    matches!(rest, Some(".memory" | ".memory.new" | ".lock"))
}
