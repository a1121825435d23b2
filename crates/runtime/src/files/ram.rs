//! [`Ram`]: files in memory that can crash as a machine does. It knows what
//! was synced and what was not; a crash of the machine keeps any part of the
//! latter, sector by sector, and any prefix of the changes of names in a
//! folder. What goes past the cache has to be in blocks, as anywhere. For tests
//! and the fuzzer: it never touches a disk.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::TryLockError;
use std::io::{self, ErrorKind};
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use skein_machine::Random;

use super::{BLOCK, Files, Held, Lock, OpenFile};

/// What arrives on a disk as a whole, or not at all.
const SECTOR: usize = 512;

/// How much a crash takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process died. What it wrote is with the operating system, which lives on.
    Process,
    /// The machine died. What was not synced is there in part.
    Machine,
}

/// Files in memory. Clones share them.
#[derive(Clone, Debug)]
pub struct Ram {
    shared: Arc<Mutex<Tree>>,
}

#[derive(Clone, Debug)]
struct Tree {
    /// The first is the root. A node that nothing leads to any more stays for those who have it open.
    nodes: Vec<Node>,
    locked: BTreeSet<PathBuf>,
    /// So many changes still work.
    changes_left: Option<u64>,
}

#[derive(Clone, Debug)]
enum Node {
    File {
        cached: Vec<u8>,
        durable: Vec<u8>,
    },
    Folder {
        /// What it held at the last sync and after each change since; never empty.
        history: Vec<Names>,
    },
}

type Names = BTreeMap<String, usize>;

impl Default for Ram {
    fn default() -> Ram {
        let root = Node::Folder { history: vec![Names::new()] };
        Ram::of(Tree { nodes: vec![root], locked: BTreeSet::new(), changes_left: None })
    }
}

impl Ram {
    fn of(tree: Tree) -> Ram {
        Ram { shared: Arc::new(Mutex::new(tree)) }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.shared.lock().expect("no test panics in here")
    }

    /// What is there after a crash now, as files of their own: these go on as if nothing had happened.
    pub fn crash(&self, crash: Crash, random: &mut Random) -> Ram {
        let mut tree = self.tree().clone();
        tree.locked.clear();
        tree.changes_left = None;
        if crash == Crash::Machine {
            tree.nodes.iter_mut().for_each(|node| node.lose_power(random));
        }
        Ram::of(tree)
    }

    /// After so many changes, every further one fails.
    pub fn fail_after(&self, changes: u64) {
        self.tree().changes_left = Some(changes);
    }

    /// Changes the contents of a file behind everybody's back, durably.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut tree = self.tree();
        let place = tree.find(path).expect("the file to edit is there");
        let Node::File { cached, durable } = &mut tree.nodes[place] else { panic!("{} is a folder", path.display()) };
        edit(cached);
        durable.clone_from(cached);
    }
}

impl Node {
    fn lose_power(&mut self, random: &mut Random) {
        match self {
            Node::Folder { history } => {
                let survivor = random.below(history.len() as u64) as usize;
                *history = vec![history.swap_remove(survivor)];
            }
            Node::File { cached, durable } => {
                let mut left = if random.chance(0.5) { cached.clone() } else { durable.clone() };
                for (nth, sector) in left.chunks_mut(SECTOR).enumerate() {
                    let source = if random.chance(0.5) { &*cached } else { &*durable };
                    let known = source.get(nth * SECTOR..).unwrap_or(&[]);
                    let known = &known[..known.len().min(sector.len())];
                    sector[..known.len()].copy_from_slice(known);
                    sector[known.len()..].fill(0);
                }
                durable.clone_from(&left);
                *cached = left;
            }
        }
    }
}

impl Tree {
    fn find(&self, path: &Path) -> io::Result<usize> {
        let mut place = 0;
        for component in path.components() {
            if let Component::Normal(name) = component {
                let name = name.to_str().ok_or(ErrorKind::InvalidInput)?;
                place = *self.names(place)?.get(name).ok_or(ErrorKind::NotFound)?;
            }
        }
        Ok(place)
    }

    fn names(&self, place: usize) -> io::Result<&Names> {
        match &self.nodes[place] {
            Node::Folder { history } => Ok(history.last().expect("a folder has a present")),
            Node::File { .. } => Err(ErrorKind::NotADirectory.into()),
        }
    }

    /// Every change counts, and from some point on all fail.
    fn spend(&mut self) -> io::Result<()> {
        match &mut self.changes_left {
            None => Ok(()),
            Some(0) => Err(io::Error::other("the power is gone")),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
        }
    }

    fn change_names<T>(
        &mut self,
        path: &Path,
        change: impl FnOnce(&mut Names, String) -> io::Result<T>,
    ) -> io::Result<T> {
        self.spend()?;
        let folder = self.find(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?.to_owned();
        let mut names = self.names(folder)?.clone();
        let answer = change(&mut names, name)?;
        let Node::Folder { history } = &mut self.nodes[folder] else { unreachable!("it has names") };
        history.push(names);
        Ok(answer)
    }

    fn add(&mut self, path: &Path, node: Node) -> io::Result<usize> {
        let place = self.nodes.len();
        self.change_names(path, |names, name| match names.insert(name, place) {
            None => Ok(()),
            Some(_) => Err(ErrorKind::AlreadyExists.into()),
        })?;
        self.nodes.push(node);
        Ok(place)
    }

    /// Both contents of a file: in the cache, and on the disk.
    fn contents(&mut self, place: usize) -> (&mut Vec<u8>, &mut Vec<u8>) {
        match &mut self.nodes[place] {
            Node::File { cached, durable } => (cached, durable),
            Node::Folder { .. } => unreachable!("a folder cannot be opened"),
        }
    }
}

impl Ram {
    fn open_file(&self, place: usize) -> Arc<dyn OpenFile> {
        Arc::new(RamFile { ram: self.clone(), place, goes_past_cache: AtomicBool::new(false) })
    }
}

impl Files for Ram {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let place = self.tree().add(path, Node::File { cached: Vec::new(), durable: Vec::new() })?;
        Ok(self.open_file(place))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        let tree = self.tree();
        let place = tree.find(path)?;
        match tree.nodes[place] {
            Node::Folder { .. } => Err(ErrorKind::IsADirectory.into()),
            Node::File { .. } => Ok(self.open_file(place)),
        }
    }

    fn open_to_read(&self, path: &Path) -> io::Result<Arc<dyn OpenFile>> {
        self.open(path)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let tree = self.tree();
        let place = tree.find(folder)?;
        Ok(tree.names(place)?.keys().cloned().collect())
    }

    fn create_folder(&self, path: &Path) -> io::Result<()> {
        self.tree().add(path, Node::Folder { history: vec![Names::new()] })?;
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        assert_eq!(from.parent(), to.parent(), "only within a folder: no disk does more at once for certain");
        let target = to.file_name().and_then(|name| name.to_str()).ok_or(ErrorKind::InvalidInput)?.to_owned();
        self.tree().change_names(from, |names, name| {
            let place = names.remove(&name).ok_or(ErrorKind::NotFound)?;
            names.insert(target, place);
            Ok(())
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.tree().change_names(path, |names, name| {
            names.remove(&name).ok_or(ErrorKind::NotFound)?;
            Ok(())
        })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut tree = self.tree();
        tree.spend()?;
        let place = tree.find(folder)?;
        match &mut tree.nodes[place] {
            Node::Folder { history } => drop(history.drain(..history.len() - 1)),
            Node::File { .. } => return Err(ErrorKind::NotADirectory.into()),
        }
        Ok(())
    }

    fn lock(&self, path: &Path, lock: Lock) -> Result<Held, TryLockError> {
        if lock == Lock::Alone && self.tree().find(path).is_err() {
            self.create(path).map_err(TryLockError::Error)?;
        }
        self.open(path).map_err(TryLockError::Error)?;
        if !self.tree().locked.insert(path.to_owned()) {
            return Err(TryLockError::WouldBlock);
        }
        Ok(Arc::new(RamLock { ram: self.clone(), path: path.to_owned() }))
    }

    fn free(&self, _: &Path) -> io::Result<u64> {
        Ok(0)
    }
}

struct RamLock {
    ram: Ram,
    path: PathBuf,
}

impl Drop for RamLock {
    fn drop(&mut self) {
        self.ram.tree().locked.remove(&self.path);
    }
}

#[derive(Debug)]
struct RamFile {
    ram: Ram,
    place: usize,
    goes_past_cache: AtomicBool,
}

impl RamFile {
    fn change(&self, change: impl FnOnce(&mut Vec<u8>, &mut Vec<u8>)) -> io::Result<()> {
        let mut tree = self.ram.tree();
        tree.spend()?;
        let (cached, durable) = tree.contents(self.place);
        change(cached, durable);
        Ok(())
    }
}

impl OpenFile for RamFile {
    fn write_at(&self, pieces: &[&[u8]], offset: u64) -> io::Result<()> {
        let (bytes, offset) = (pieces.concat(), offset as usize);
        if self.goes_past_cache.load(Relaxed) {
            let is_block = |piece: &&[u8]| piece.as_ptr().align_offset(BLOCK) == 0 && piece.len().is_multiple_of(BLOCK);
            assert!(offset.is_multiple_of(BLOCK) && pieces.iter().all(is_block), "these are no blocks, at {offset}");
        }
        self.change(|cached, _| {
            cached.resize(cached.len().max(offset + bytes.len()), 0);
            cached[offset..][..bytes.len()].copy_from_slice(&bytes);
        })
    }

    fn go_past_cache(&self) {
        self.goes_past_cache.store(true, Relaxed);
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut tree = self.ram.tree();
        let (cached, _) = tree.contents(self.place);
        let known = cached.get(offset as usize..).unwrap_or(&[]);
        let read = known.len().min(buffer.len());
        buffer[..read].copy_from_slice(&known[..read]);
        Ok(read)
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.ram.tree().contents(self.place).0.len() as u64)
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        self.change(|cached, _| cached.resize(length as usize, 0))
    }

    fn reserve(&self, length: u64) -> io::Result<()> {
        self.change(|cached, _| cached.resize(cached.len().max(length as usize), 0))
    }

    fn sync(&self) -> io::Result<()> {
        self.change(|cached, durable| durable.clone_from(cached))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All contents of `path` that a crash may leave; `None` is no file.
    fn after_crashes(ram: &Ram, crash: Crash, path: &str) -> BTreeSet<Option<Vec<u8>>> {
        let outcome = |seed| {
            let file = ram.crash(crash, &mut Random::new(seed)).open(Path::new(path)).ok()?;
            let mut bytes = vec![0; file.length().unwrap() as usize];
            file.read_at(&mut bytes, 0).unwrap();
            Some(bytes)
        };
        (0..200).map(outcome).collect()
    }

    #[test]
    fn what_was_synced_stays_and_the_rest_is_there_in_part() {
        let ram = Ram::default();
        let file = ram.create(Path::new("a")).unwrap();
        file.write_at(&[&[1; 2 * SECTOR]], 0).unwrap();
        file.sync().unwrap();
        ram.sync_folder(Path::new("")).unwrap();
        file.write_at(&[&[2; 2 * SECTOR]], 0).unwrap();
        assert_eq!(after_crashes(&ram, Crash::Process, "a"), BTreeSet::from([Some(vec![2; 2 * SECTOR])]));
        let sectors = [[1, 1], [1, 2], [2, 1], [2, 2]];
        let expected = sectors.map(|[one, two]| Some([[one; SECTOR], [two; SECTOR]].concat()));
        assert_eq!(after_crashes(&ram, Crash::Machine, "a"), BTreeSet::from(expected));
    }

    #[test]
    fn a_name_is_durable_once_its_folder_is_synced() {
        let ram = Ram::default();
        let file = ram.create(Path::new("a")).unwrap();
        file.write_at(&[b"x"], 0).unwrap();
        file.sync().unwrap();
        assert_eq!(after_crashes(&ram, Crash::Machine, "a"), BTreeSet::from([None, Some(b"x".to_vec())]));
        ram.sync_folder(Path::new("")).unwrap();
        ram.rename(Path::new("a"), Path::new("b")).unwrap();
        assert_eq!(after_crashes(&ram, Crash::Machine, "a").len(), 2);
        ram.sync_folder(Path::new("")).unwrap();
        assert_eq!(after_crashes(&ram, Crash::Machine, "a"), BTreeSet::from([None]));
        assert_eq!(after_crashes(&ram, Crash::Machine, "b"), BTreeSet::from([Some(b"x".to_vec())]));
    }

    #[test]
    fn power_can_go_in_the_middle() {
        let ram = Ram::default();
        ram.fail_after(2);
        let file = ram.create(Path::new("a")).unwrap();
        assert!(file.write_at(&[b"x"], 0).is_ok() && file.sync().is_err() && ram.remove(Path::new("a")).is_err());
    }

    #[test]
    fn a_lock_is_for_one() {
        let ram = Ram::default();
        let held = ram.lock(Path::new("lock"), Lock::Alone).unwrap();
        assert!(matches!(ram.lock(Path::new("lock"), Lock::Alone), Err(TryLockError::WouldBlock)));
        drop(held);
        assert!(ram.lock(Path::new("lock"), Lock::ToRead).is_ok());
    }
}
