//! Makes a backup: has the store hold all its partitions as they are at one
//! moment, and copies them piece by piece. Writes go on meanwhile; nodes may
//! come and go.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use skein_service::kv::{Entries, Part};

use super::asker::Asker;
use super::data::{Title, Writer};
use super::date::Date;
use super::manifest::{self, DataFile, FORMAT, Manifest, is_name};
use crate::cli::Mistake;
use crate::cli::kv::Store;
use crate::redis::Reply;

/// How often the store is told that the backup is still needed: many times within the time after which it is forgotten.
const KEEP_EVERY: Duration = Duration::from_secs(10);

/// More partitions than any store has.
const MAX_PARTITIONS: usize = 64;

/// What the ends of names say that nobody should take for a backup.
pub(crate) const UNFINISHED: &str = ".unfinished";

/// Copies a store into a new folder of a directory; the folder, and what is in it. `tick` hears of keys and bytes.
pub(crate) fn create(
    store: &Store,
    directory: &Path,
    name: Option<&str>,
    tick: impl FnMut(u64, u64),
) -> Result<(PathBuf, Manifest), Mistake> {
    if let Some(name) = name {
        check_name(directory, name)?;
    }
    fs::create_dir_all(directory).map_err(|error| failed("make", directory, &error))?;
    // A name makes that a backup is opened once, though its answer is lost on the way.
    let opened = Asker::named(store)?.ask(&[b"SKEIN.BACKUP", b"OPEN"])?;
    let mut copy = Copy::of(opened, Asker::new(store)?, tick)?;
    let name = match name {
        Some(name) => name.to_owned(),
        None => Date::of(copy.manifest.time_ms).compact(),
    };
    copy.manifest.cluster = store.cluster();
    let unfinished = directory.join(format!(".{name}.{:016x}{UNFINISHED}", crate::draw().map_err(Mistake)?));
    let folder = directory.join(&name);
    // The name again: it may come from the clock of the store, and another may have been faster.
    let written = check_name(directory, &name)
        .and_then(|()| copy.write(&unfinished))
        .and_then(|()| check_name(directory, &name))
        .and_then(|()| publish(&unfinished, &folder, directory));
    if written.is_err() {
        // What is half written is of no use to anybody; if it cannot be removed, its name says what it is.
        let _ = fs::remove_dir_all(&unfinished);
    }
    copy.close();
    written.map(|()| (folder, copy.manifest))
}

fn check_name(directory: &Path, name: &str) -> Result<(), Mistake> {
    if !is_name(name) {
        let rule = "letters, digits, dots, dashes and underscores, not beginning with a dot or a dash, and 100 at most";
        return Err(Mistake(format!("{name:?} is no name for a backup: it has {rule}")));
    }
    let folder = directory.join(name);
    match fs::symlink_metadata(&folder) {
        Ok(_) => Err(Mistake(format!("{} is there already: give another --name", folder.display()))),
        Err(_) => Ok(()),
    }
}

/// What is whole and durable gets the name by which it is found.
fn publish(unfinished: &Path, folder: &Path, directory: &Path) -> Result<(), Mistake> {
    sync(unfinished)?;
    fs::rename(unfinished, folder).map_err(|error| failed("name", folder, &error))?;
    sync(directory)
}

fn sync(folder: &Path) -> Result<(), Mistake> {
    File::open(folder).and_then(|file| file.sync_all()).map_err(|error| failed("sync", folder, &error))
}

fn failed(verb: &str, path: &Path, error: &std::io::Error) -> Mistake {
    Mistake(format!("cannot {verb} {}: {error}", path.display()))
}

fn strange() -> Mistake {
    Mistake("the store answers something that this command does not understand: use the same build".to_owned())
}

/// A backup that the store has opened.
struct Copy<'a, T> {
    asker: Asker<'a>,
    manifest: Manifest,
    partitions: usize,
    kept: Instant,
    tick: T,
}

impl<'a, T: FnMut(u64, u64)> Copy<'a, T> {
    fn of(opened: Reply, asker: Asker<'a>, tick: T) -> Result<Copy<'a, T>, Mistake> {
        let Reply::Array(Some(told)) = opened else { return Err(strange()) };
        let [
            Reply::Bulk(Some(name)),
            Reply::Integer(timestamp),
            Reply::Integer(time_ms),
            Reply::Integer(partitions @ 1..),
        ] = &told[..]
        else {
            return Err(strange());
        };
        let partitions = usize::try_from(*partitions).ok().filter(|partitions| *partitions <= MAX_PARTITIONS);
        let manifest = Manifest {
            format: FORMAT,
            skein: env!("CARGO_PKG_VERSION").to_owned(),
            cluster: None,
            snapshot: String::from_utf8(name.clone()).map_err(|_| strange())?,
            timestamp: *timestamp as u64,
            time_ms: *time_ms as u64,
            keys: 0,
            bytes: 0,
            files: Vec::new(),
            checksum: String::new(),
        };
        let partitions = partitions.ok_or_else(strange)?;
        Ok(Copy { asker, manifest, partitions, kept: Instant::now(), tick })
    }

    /// Writes everything into a new folder.
    fn write(&mut self, folder: &Path) -> Result<(), Mistake> {
        fs::create_dir(folder).map_err(|error| failed("make", folder, &error))?;
        for partition in 0..self.partitions {
            let file = self.partition(folder, partition)?;
            self.manifest.keys += file.keys;
            self.manifest.bytes += file.bytes;
            self.manifest.files.push(file);
        }
        let path = folder.join(manifest::FILE);
        let text = self.manifest.to_text();
        let write = || -> std::io::Result<()> {
            use std::io::Write;
            let mut file = File::create_new(&path)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        };
        write().map_err(|error| failed("write", &path, &error))
    }

    fn partition(&mut self, folder: &Path, partition: usize) -> Result<DataFile, Mistake> {
        let name = DataFile::name_of(partition);
        let path = folder.join(&name);
        let cannot = |error: std::io::Error| failed("write", &path, &error);
        let mut writer = Writer::create(&path, Title::of(&self.manifest.snapshot, partition)).map_err(cannot)?;
        let (mut entries, mut keys) = (Entries::new(), 0);
        let mut position = b"0".to_vec();
        loop {
            let piece = self.piece(partition, &mut position)?;
            let before = keys;
            let read = entries.read(&piece, |part| keys += u64::from(matches!(part, Part::Key { .. })));
            read.map_err(|malformed| {
                Mistake(format!("the store tells what is no backup of partition {partition}: {}", malformed.0))
            })?;
            if !piece.is_empty() {
                writer.piece(&piece).map_err(cannot)?;
            }
            (self.tick)(keys - before, piece.len() as u64);
            if position == b"0" {
                break;
            }
        }
        if !entries.is_between() {
            return Err(Mistake(format!("the store tells less than all of partition {partition}")));
        }
        let written = writer.finish(keys).map_err(cannot)?;
        Ok(DataFile { name, keys, bytes: written.bytes, sha256: written.sha256 })
    }

    /// The piece from a position on, which moves behind it.
    fn piece(&mut self, partition: usize, position: &mut Vec<u8>) -> Result<Vec<u8>, Mistake> {
        let name = self.manifest.snapshot.clone();
        if self.kept.elapsed() > KEEP_EVERY {
            self.asker.ask(&[b"SKEIN.BACKUP", b"KEEP", name.as_bytes()])?;
            self.kept = Instant::now();
        }
        let place = partition.to_string();
        let reply = self.asker.ask(&[b"SKEIN.BACKUP", b"READ", name.as_bytes(), place.as_bytes(), position])?;
        let Reply::Array(Some(told)) = reply else { return Err(strange()) };
        let Ok([Reply::Bulk(Some(next)), Reply::Bulk(Some(piece))]) = <[Reply; 2]>::try_from(told) else {
            return Err(strange());
        };
        // A store that stays where it is would be asked for ever.
        if next == *position && next != b"0" {
            return Err(strange());
        }
        *position = next;
        Ok(piece)
    }

    /// The store need not hold it any longer. If it does not hear of that, it forgets by itself.
    fn close(&mut self) {
        let name = self.manifest.snapshot.clone();
        self.asker.mention(&[b"SKEIN.BACKUP", b"CLOSE", name.as_bytes()]);
    }
}
