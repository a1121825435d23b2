//! Brings a backup back, into a store of any shape, by ordinary commands: SET
//! and APPEND, RPUSH, SADD, HSET, ZADD, and PEXPIREAT behind the last element.
//! Nothing is asked before the whole backup was found to be sound.
//!
//! Each partition of the store has a lane of its own: a named session, in which
//! one transaction after the other goes to it alone. A transaction whose answer
//! was lost is asked for again by its name, through another node, and is done
//! once: otherwise lists would have items twice.

use std::collections::BTreeMap;
use std::path::Path;

use skein_service::kv::{Entries, Part, ValueKind};

use super::asker::Asker;
use super::data::{Next, Reader, Title};
use super::manifest::Manifest;
use super::verify::{Report, verify};
use super::{Words, words};
use crate::cli::Mistake;
use crate::cli::kv::Store;
use crate::redis::Reply;

/// The longest command that a store takes is 15 MiB; a name for it and what stands between its words goes off that.
const LONGEST_COMMAND: usize = (15 << 20) - (1 << 10);

/// Elements of one command, and about how many bytes.
const MAX_ELEMENTS: usize = 512;
const COMMAND_BYTES: usize = 256 << 10;

/// Commands of one transaction, and about how many bytes: what a replica applies in a row, while others wait.
const MAX_COMMANDS: usize = 512;
const TRANSACTION_BYTES: usize = 1 << 20;

/// Keys that are looked for at once.
const MAX_LOOKED_FOR: usize = 1000;

/// What was done.
pub(crate) enum Restored {
    /// Nothing: the backup is not as it was written.
    Damaged(Report),
    /// All of it.
    Whole {
        /// How many keys the backup has.
        keys: u64,
        /// How many the store has now.
        size: i64,
    },
}

/// Puts all keys of a backup into a store: an empty one, unless keys of the backup replace those of the same name.
/// `verified` hears of bytes, `restored` of keys.
pub(crate) fn restore(
    store: &Store,
    folder: &Path,
    replaces: bool,
    verified: impl FnMut(u64),
    restored: impl FnMut(u64),
) -> Result<Restored, Mistake> {
    let mut survey = Survey::default();
    let report = verify(folder, |part| survey.see(part), verified)?;
    let manifest = match report {
        Report { manifest: Some(manifest), damages } if damages.is_empty() => manifest,
        report => return Ok(Restored::Damaged(report)),
    };
    if let Some(why) = survey.too_long {
        return Err(Mistake(why));
    }
    let mut asker = Asker::new(store)?;
    let size = size_of(&mut asker)?;
    if size > 0 && !replaces {
        return Err(Mistake(format!(
            "the store is not empty, it has {size} keys: empty it, or say --replace, and then keys of the backup \
             replace those of the same name, and all others stay"
        )));
    }
    let mut restoring = Restoring { store, asker, lanes: BTreeMap::new(), replaces, value: None, restored };
    restoring.all(folder, &manifest).map_err(|Mistake(why)| {
        Mistake(format!(
            "{why}; what was brought back until then is in the store: when that is mended, restore with --replace"
        ))
    })?;
    Ok(Restored::Whole { keys: manifest.keys, size: size_of(&mut restoring.asker)? })
}

fn size_of(asker: &mut Asker<'_>) -> Result<i64, Mistake> {
    match asker.ask(&[b"DBSIZE"])? {
        Reply::Integer(size) => Ok(size),
        _ => Err(strange()),
    }
}

fn strange() -> Mistake {
    Mistake("the store answers something that this command does not understand: use the same build".to_owned())
}

/// What no command can say, found before the first one is said.
#[derive(Default)]
struct Survey {
    key: Vec<u8>,
    too_long: Option<String>,
}

impl Survey {
    fn see(&mut self, part: &Part<'_>) {
        let length = match part {
            Part::Key { key, .. } => {
                self.key.clear();
                self.key.extend_from_slice(key);
                0
            }
            Part::Bytes(bytes) | Part::Item(bytes) | Part::Member(bytes) | Part::Scored(bytes, _) => bytes.len(),
            Part::Field(field, value) => field.len() + value.len(),
            Part::End => 0,
        };
        if self.key.len() + length > LONGEST_COMMAND {
            let shown = self.key[..self.key.len().min(40)].escape_ascii();
            self.too_long.get_or_insert_with(|| {
                format!(
                    "an element of the key {shown} is too long to be brought back: with the key it has {} bytes, and a \
                     command takes {LONGEST_COMMAND}; nothing was done",
                    self.key.len() + length
                )
            });
        }
    }
}

/// A value that is being said.
struct Value {
    key: Vec<u8>,
    /// Where it goes.
    lane: Vec<u8>,
    deadline_ms: Option<u64>,
    /// The command that is being put together, and its bytes.
    command: Words,
    bytes: usize,
}

/// A restore under way.
struct Restoring<'a, T> {
    store: &'a Store,
    asker: Asker<'a>,
    lanes: BTreeMap<Vec<u8>, Lane<'a>>,
    replaces: bool,
    value: Option<Value>,
    restored: T,
}

impl<T: FnMut(u64)> Restoring<'_, T> {
    fn all(&mut self, folder: &Path, manifest: &Manifest) -> Result<(), Mistake> {
        // It was sound a moment ago: whatever is not so now is a disk that cannot be trusted.
        let changed =
            |damage: super::Damage| Mistake(format!("the backup has changed since it was verified: {damage}"));
        for (partition, file) in manifest.files.iter().enumerate() {
            let title = Title::of(&manifest.snapshot, partition);
            let mut reader = Reader::open(folder, &file.name, title).map_err(changed)?;
            let mut entries = Entries::new();
            while let Next::Piece(at, piece) = reader.next().map_err(changed)? {
                let mut parts = Vec::new();
                let read = entries.read(&piece, |part| parts.push(part));
                read.map_err(|malformed| changed(reader.damage(at, malformed.0)))?;
                self.piece(&parts)?;
            }
        }
        self.lanes.values_mut().try_for_each(Lane::send)?;
        self.lanes.values_mut().try_for_each(Lane::settle)
    }

    fn piece(&mut self, parts: &[Part<'_>]) -> Result<(), Mistake> {
        let key_of = |part: &Part<'_>| match part {
            Part::Key { key, .. } => Some(key.to_vec()),
            _ => None,
        };
        let keys: Vec<Vec<u8>> = parts.iter().filter_map(key_of).collect();
        let mut homes = self.homes(&keys)?.into_iter();
        for part in parts {
            match part {
                Part::Key { key, deadline_ms, kind, length } => {
                    let lane = homes.next().expect("every key was looked for");
                    self.begin(
                        Value { key: key.to_vec(), lane, deadline_ms: *deadline_ms, command: Vec::new(), bytes: 0 },
                        *kind,
                        *length,
                    )?;
                }
                Part::Bytes(bytes) => {
                    let command = self.value().command.clone();
                    self.push([command, words(&[bytes])].concat())?;
                    // What was set is appended to from now on.
                    self.value().command[0] = b"APPEND".to_vec();
                }
                Part::Field(field, value) => self.element(&[field, value])?,
                Part::Item(name) | Part::Member(name) => self.element(&[name])?,
                // In the shortest spelling that is read as the same number again.
                Part::Scored(member, score) => self.element(&[format!("{score:e}").as_bytes(), member])?,
                Part::End => self.end()?,
            }
        }
        Ok(())
    }

    /// The partitions of keys.
    fn homes(&mut self, keys: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, Mistake> {
        let mut homes = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MAX_LOOKED_FOR) {
            let commands: Vec<Words> = keys.iter().map(|key| words(&[b"SKEIN.WHERE", key])).collect();
            self.asker.say(&commands);
            for reply in self.asker.hear(&commands)? {
                let Reply::Bulk(Some(home)) = reply else { return Err(strange()) };
                homes.push(home);
            }
        }
        Ok(homes)
    }

    fn value(&mut self) -> &mut Value {
        self.value.as_mut().expect("a part stands behind its key")
    }

    fn begin(&mut self, mut value: Value, kind: ValueKind, length: u64) -> Result<(), Mistake> {
        let verb: &[u8] = match kind {
            ValueKind::String => b"SET",
            ValueKind::Hash => b"HSET",
            ValueKind::List => b"RPUSH",
            ValueKind::Set => b"SADD",
            ValueKind::Sorted => b"ZADD",
        };
        value.command = words(&[verb, &value.key]);
        let key = value.key.clone();
        self.value = Some(value);
        if kind == ValueKind::String && length == 0 {
            self.push(words(&[verb, &key, b""]))?;
        } else if kind != ValueKind::String && self.replaces {
            self.push(words(&[b"DEL", &key]))?;
        }
        Ok(())
    }

    fn element(&mut self, said: &[&[u8]]) -> Result<(), Mistake> {
        let length: usize = said.iter().map(|word| word.len()).sum();
        let value = self.value();
        if value.command.len() > 2 * MAX_ELEMENTS || (value.command.len() > 2 && value.bytes + length > COMMAND_BYTES) {
            self.flush()?;
        }
        let value = self.value();
        value.command.extend(said.iter().map(|word| word.to_vec()));
        value.bytes += length;
        Ok(())
    }

    /// Says the elements that came together.
    fn flush(&mut self) -> Result<(), Mistake> {
        let value = self.value();
        if value.command.len() == 2 {
            return Ok(());
        }
        let rest = words(&[&value.command[0], &value.command[1]]);
        let command = std::mem::replace(&mut value.command, rest);
        value.bytes = 0;
        self.push(command)
    }

    fn end(&mut self) -> Result<(), Mistake> {
        self.flush()?;
        let value = self.value();
        if let Some(deadline_ms) = value.deadline_ms {
            let command = words(&[b"PEXPIREAT", &value.key, deadline_ms.to_string().as_bytes()]);
            self.push(command)?;
        }
        self.value = None;
        (self.restored)(1);
        Ok(())
    }

    /// A command goes to the partition of the key that is being said.
    fn push(&mut self, command: Words) -> Result<(), Mistake> {
        let home = &self.value.as_ref().expect("it is being said").lane;
        if !self.lanes.contains_key(home) {
            let lane = Lane { asker: Asker::named(self.store)?, waiting: Vec::new(), bytes: 0, said: Vec::new() };
            self.lanes.insert(home.clone(), lane);
        }
        self.lanes.get_mut(home).expect("it was just made").push(command)
    }
}

/// What goes to one partition.
struct Lane<'a> {
    asker: Asker<'a>,
    /// What goes next, and its bytes.
    waiting: Vec<Words>,
    bytes: usize,
    /// What was said and not answered yet.
    said: Vec<Words>,
}

impl Lane<'_> {
    fn push(&mut self, command: Words) -> Result<(), Mistake> {
        let length: usize = command.iter().map(Vec::len).sum();
        if self.waiting.len() >= MAX_COMMANDS || (!self.waiting.is_empty() && self.bytes + length > TRANSACTION_BYTES) {
            self.send()?;
        }
        self.waiting.push(command);
        self.bytes += length;
        Ok(())
    }

    /// Says what waits, when what was said before is done. Its answer is waited for later: other lanes go on.
    fn send(&mut self) -> Result<(), Mistake> {
        self.settle()?;
        let mut commands = std::mem::take(&mut self.waiting);
        self.bytes = 0;
        if commands.len() > 1 {
            commands.insert(0, words(&[b"MULTI"]));
            commands.push(words(&[b"EXEC"]));
        }
        if !commands.is_empty() {
            self.asker.say(&commands);
        }
        self.said = commands;
        Ok(())
    }

    fn settle(&mut self) -> Result<(), Mistake> {
        let said = std::mem::take(&mut self.said);
        if !said.is_empty() {
            self.asker.hear(&said)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_command_can_say_is_found() {
        let key = |length: usize| vec![b'k'; length];
        let cases = [(1, LONGEST_COMMAND - 1, false), (1, LONGEST_COMMAND, true), (LONGEST_COMMAND + 1, 0, true)];
        for (key_length, length, is_too_long) in cases {
            let mut survey = Survey::default();
            let key = key(key_length);
            survey.see(&Part::Key { key: &key, deadline_ms: None, kind: ValueKind::List, length: 1 });
            survey.see(&Part::Item(&vec![b'x'; length]));
            assert_eq!(survey.too_long.is_some(), is_too_long, "{key_length} and {length}");
        }
        let mut survey = Survey::default();
        survey.see(&Part::Key { key: b"\xff", deadline_ms: None, kind: ValueKind::Hash, length: 1 });
        survey.see(&Part::Field(&key(LONGEST_COMMAND / 2), &key(LONGEST_COMMAND / 2)));
        let why = survey.too_long.unwrap();
        assert!(why.contains("of the key \\xff is too long") && why.contains("nothing was done"), "{why}");
    }

    #[test]
    fn a_score_is_spelled_so_that_it_is_read_again() {
        for score in [0.1, 5e-324, f64::MAX, -1.0 / 3.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, 123_456_789.0] {
            assert_eq!(format!("{score:e}").parse::<f64>().unwrap().to_bits(), score.to_bits());
        }
    }
}
