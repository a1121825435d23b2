//! [`DataDir`]: the directory that belongs to one replica. It says whose it
//! is, keeps others out while it is open, and knows how the next life begins.
//!
//! What it says is durable before anything is done on the strength of it. It
//! deletes nothing: a log that is damaged is moved aside. It never looks into
//! the log.

mod acquaintances;
mod error;
#[cfg(test)]
pub(crate) mod scratch;
#[cfg(test)]
mod tests;

use std::collections::hash_map::RandomState;
use std::fs::TryLockError;
use std::hash::{BuildHasher, Hasher};
use std::io::ErrorKind;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skein_machine::{Boot, ClusterId, ProcessId};

use crate::files::{Failure, Files, Held, Lock, Operation};
use crate::hello::Peer;
use crate::identity::Flaw;

pub use crate::identity::Identity;
use acquaintances::{Acquaintances, Meeting};
pub use error::DataError;

const IDENTITY: &str = "identity";
const IDENTITY_TO_BE: &str = "identity.new";
const PEERS: &str = "peers";
const PEERS_TO_BE: &str = "peers.new";
const LOCK: &str = "lock";
const LOG: &str = "log";
const DAMAGED: &str = "damaged-";

/// What a file system may put into a folder that nobody has used yet.
const NOBODYS: &[&str] = &["lost+found"];

/// No identity is longer. What claims to be one and is, is none.
const MAX_IDENTITY: usize = 4096;

/// Every process that can have a number takes a line of less than this.
const MAX_PEERS: usize = 64 << 16;

/// Who wants to use a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster that it is part of.
    pub cluster: ClusterId,
    /// Which process it is.
    pub process: ProcessId,
}

/// What an owner expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Its directory, or none at all if it has never lived.
    Usual,
    /// Nothing: it has lived, its disk is lost, and it joins again as an amnesiac.
    Rejoin {
        /// Counts the lives without memory; higher than in any before.
        incarnation: NonZeroU32,
    },
}

/// The directory of one replica, open and locked.
#[derive(Debug)]
pub struct DataDir {
    files: Arc<dyn Files>,
    path: PathBuf,
    identity: Identity,
    acquaintances: Acquaintances,
    /// Nobody lived here before.
    is_new: bool,
    lock: Held,
}

impl DataDir {
    /// Opens the directory of `owner`, and creates it on first use.
    pub fn open(files: Arc<dyn Files>, path: &Path, owner: Owner, begin: Begin) -> Result<DataDir, DataError> {
        create_if_missing(&*files, path)?;
        // Looked at before it is locked: in somebody else's folder we do not even leave a lock.
        look_around(&*files, path)?;
        let lock = lock(&*files, path, Lock::Alone)?;
        let is_new = look_around(&*files, path)?;
        let identity = if is_new {
            let incarnation = match begin {
                Begin::Usual => 0,
                Begin::Rejoin { incarnation } => incarnation.get(),
            };
            let Owner { cluster, process } = owner;
            Identity { cluster, process, birth: draw(), incarnation, forgets: false }
        } else {
            read_identity(&*files, path)?
        };
        let acquaintances = Acquaintances::default();
        let mut data = DataDir { files, path: path.to_owned(), identity, acquaintances, is_new, lock };
        if is_new {
            data.become_known(identity)?;
        } else {
            data.refuse_strangers(owner, begin)?;
            data.acquaintances = data.read_acquaintances()?;
        }
        Ok(data)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whose it is.
    pub fn identity(&self) -> Identity {
        self.identity
    }

    /// The files that it lies in.
    pub fn files(&self) -> &Arc<dyn Files> {
        &self.files
    }

    pub(crate) fn lock(&self) -> Held {
        self.lock.clone()
    }

    pub(crate) fn log_folder(&self) -> PathBuf {
        self.path.join(LOG)
    }

    /// How the life that starts now begins, given whether anything is in its
    /// log and whether it will keep its own records in memory only. What it
    /// then counts as is durable when this returns.
    pub(crate) fn begin_life(&mut self, is_log_empty: bool, forgets: bool) -> Result<Boot, DataError> {
        let was = self.identity;
        let boot = if self.is_new {
            match was.incarnation {
                0 => Boot::First,
                incarnation => Boot::Amnesiac { incarnation },
            }
        } else if was.forgets || (was.incarnation > 0 && is_log_empty) {
            // A life before this one had no memory and did not live to write that down, or kept it all in memory.
            Boot::Amnesiac { incarnation: was.incarnation + 1 }
        } else {
            Boot::Again
        };
        self.is_new = false;
        let incarnation = match boot {
            Boot::Amnesiac { incarnation } => incarnation,
            _ => was.incarnation,
        };
        let identity = Identity { incarnation, forgets, ..was };
        if identity != was {
            self.become_known(identity)?;
        }
        Ok(boot)
    }

    /// Refuses a peer that has forgotten what it promised, or is an old copy of one that was met before. One that is
    /// new or newer is remembered, durably, when this returns.
    pub fn meet(&mut self, peer: Peer) -> Result<(), DataError> {
        match self.acquaintances.meet(peer).map_err(|stale| DataError::Stale { why: stale.to_string() })? {
            Meeting::Known => Ok(()),
            Meeting::New(newer) => {
                self.replace(PEERS, PEERS_TO_BE, newer.to_text().as_bytes())?;
                self.acquaintances = newer;
                Ok(())
            }
        }
    }

    /// Nobody was met before if there is no such file.
    fn read_acquaintances(&self) -> Result<Acquaintances, DataError> {
        let file = self.path.join(PEERS);
        match read(&*self.files, &file, MAX_PEERS) {
            Ok(text) => Acquaintances::from_text(&text).map_err(|why| DataError::Unreadable { file, why }),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Acquaintances::default()),
            Err(error) => Err(Failure::new(&*self.files, Operation::Read, &file, error).into()),
        }
    }

    /// Moves the log aside, as it is, and answers where to. The next life begins without memory.
    pub fn set_log_aside(&mut self) -> Result<PathBuf, DataError> {
        // Identity first: a crash between the two finds the damage again, whereas
        // an empty log with the old identity would pass for a life that promised nothing.
        self.become_known(Identity { incarnation: self.identity.incarnation + 1, ..self.identity })?;
        let names = list(&*self.files, &self.path)?;
        let is_free = |name: &String| !names.contains(name);
        let name = (1..).map(|n: u32| format!("{DAMAGED}{n}")).find(is_free).expect("some name is free");
        let (log, aside) = (self.log_folder(), self.path.join(name));
        self.files.rename(&log, &aside).map_err(Failure::of(&*self.files, Operation::Rename, &log))?;
        self.sync_names(&self.path)?;
        // What was just counted is this life's, not another one's.
        self.is_new = true;
        Ok(aside)
    }

    fn refuse_strangers(&self, owner: Owner, begin: Begin) -> Result<(), DataError> {
        let (path, identity) = (self.path.clone(), self.identity);
        if identity.cluster != owner.cluster {
            return Err(DataError::OtherCluster { path, found: identity.cluster, wanted: owner.cluster });
        }
        if identity.process != owner.process {
            return Err(DataError::OtherProcess { path, found: identity.process, wanted: owner.process });
        }
        match begin {
            Begin::Usual => Ok(()),
            Begin::Rejoin { .. } => Err(DataError::NothingLost { path }),
        }
    }

    /// Replaces the identity, durably, before anything else is done.
    fn become_known(&mut self, identity: Identity) -> Result<(), DataError> {
        self.replace(IDENTITY, IDENTITY_TO_BE, identity.to_text().as_bytes())?;
        self.identity = identity;
        Ok(())
    }

    /// Replaces a file as a whole, durably.
    fn replace(&self, name: &str, to_be: &str, text: &[u8]) -> Result<(), DataError> {
        let (path, temporary) = (self.path.join(name), self.path.join(to_be));
        let fails = |operation| Failure::of(&*self.files, operation, &temporary);
        match self.files.remove(&temporary) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(fails(Operation::Remove)(error).into()),
            _ => {}
        }
        let file = self.files.create(&temporary).map_err(fails(Operation::Create))?;
        file.write_at(&[text], 0).map_err(fails(Operation::Write))?;
        file.sync().map_err(fails(Operation::Sync))?;
        self.files.rename(&temporary, &path).map_err(fails(Operation::Rename))?;
        self.sync_names(&self.path)
    }

    fn sync_names(&self, folder: &Path) -> Result<(), DataError> {
        Ok(self.files.sync_folder(folder).map_err(Failure::of(&*self.files, Operation::Sync, folder))?)
    }
}

/// Whether a directory belongs to a process already.
pub fn is_somebodys(files: &dyn Files, path: &Path) -> bool {
    list(files, path).is_ok_and(|names| names.iter().any(|name| name == IDENTITY))
}

/// The identity in a directory.
pub(crate) fn read_identity(files: &dyn Files, path: &Path) -> Result<Identity, DataError> {
    let file = path.join(IDENTITY);
    let text = read(files, &file, MAX_IDENTITY).map_err(|error| match error.kind() {
        ErrorKind::NotFound => DataError::NoDataDirectory { path: path.to_owned() },
        ErrorKind::NotADirectory => DataError::NotADirectory { path: path.to_owned() },
        _ => Failure::new(files, Operation::Read, &file, error).into(),
    })?;
    Identity::from_text(&text).map_err(|flaw| match flaw {
        Flaw::Newer { format } => DataError::Newer { path: path.to_owned(), format },
        Flaw::Unreadable { why } => DataError::Unreadable { file, why },
    })
}

fn read(files: &dyn Files, path: &Path, most: usize) -> std::io::Result<Vec<u8>> {
    let mut text = vec![0; most];
    let length = files.open_to_read(path)?.read_at(&mut text, 0)?;
    text.truncate(length);
    Ok(text)
}

/// Keeps others out, or those that write.
pub(crate) fn lock(files: &dyn Files, path: &Path, how: Lock) -> Result<Held, DataError> {
    let file = path.join(LOCK);
    files.lock(&file, how).map_err(|error| match error {
        TryLockError::WouldBlock => DataError::InUse { path: path.to_owned() },
        TryLockError::Error(error) => Failure::new(files, Operation::Lock, &file, error).into(),
    })
}

/// Where the log of a directory is.
pub(crate) fn log_folder(path: &Path) -> PathBuf {
    path.join(LOG)
}

fn create_if_missing(files: &dyn Files, path: &Path) -> Result<(), DataError> {
    let parent = path.parent().unwrap_or(Path::new(""));
    match files.create_folder(path) {
        Ok(()) => Ok(files.sync_folder(parent).map_err(Failure::of(files, Operation::Sync, parent))?),
        Err(error) => match error.kind() {
            ErrorKind::AlreadyExists => Ok(()),
            ErrorKind::NotFound => Err(DataError::NoParent { path: path.to_owned() }),
            ErrorKind::NotADirectory => Err(DataError::NotADirectory { path: parent.to_owned() }),
            _ => Err(Failure::new(files, Operation::Create, path, error).into()),
        },
    }
}

/// Whether nobody has used the directory yet. It must not be somebody else's.
fn look_around(files: &dyn Files, path: &Path) -> Result<bool, DataError> {
    let names = list(files, path)?;
    if names.iter().any(|name| name == IDENTITY) {
        return Ok(false);
    }
    for name in names {
        let (path, file) = (path.to_owned(), path.join(&name));
        if [LOG, PEERS, PEERS_TO_BE].contains(&name.as_str()) || name.starts_with(DAMAGED) {
            return Err(DataError::NoIdentity { path, file });
        }
        if ![LOCK, IDENTITY_TO_BE].contains(&name.as_str()) && !NOBODYS.contains(&name.as_str()) {
            return Err(DataError::Strange { path, file });
        }
    }
    Ok(true)
}

fn list(files: &dyn Files, path: &Path) -> Result<Vec<String>, DataError> {
    files.list(path).map_err(|error| match error.kind() {
        ErrorKind::NotADirectory => DataError::NotADirectory { path: path.to_owned() },
        _ => Failure::new(files, Operation::List, path, error).into(),
    })
}

/// A number that no other directory has. The keys of a map's hasher are all the chance that `std` offers.
pub(crate) fn draw() -> u64 {
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}
