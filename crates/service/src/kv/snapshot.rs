//! A partition as it was at one moment, on its way into bytes and back. The
//! bytes follow from what is held alone: replicas that applied the same write
//! the same, however they came to hold it.
//!
//! Cursors are in it, for a replica that starts from a snapshot must answer
//! like all others. Each is written as how its keys differ from those of now,
//! which is little unless much has changed since it was opened. So are backups,
//! behind them and only if there are any: what has none is written as it always
//! was.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Frozen;

use super::backups::{BackupName, Backups, MAX_BACKUPS};
use super::blob::Blob;
use super::codec::{read_entry, write_bytes, write_piece};
use super::cursors::{CursorName, Cursors, MAX_CURSORS, Opened};
use super::request::{Cut, Malformed, write_length};
use super::store::{Entry, Store};
use super::tree::Tree;
use super::value::{Set, Value};

/// The first bytes of a snapshot, the format's version last.
const MAGIC: &[u8; 8] = b"skeinkv\x01";

/// Four numbers that once counted what was opened under one stamp. Nothing follows from them any more: they are
/// written as nothing and read as anything, so that snapshots of before and of now are read on both sides.
const UNUSED: [u8; 4] = [0; 4];

/// Marks in the differences of a cursor.
const END: u8 = 0;
const OTHER: u8 = 1;
const ABSENT: u8 = 2;

/// Everything that a replica of a partition holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) cursors: Cursors,
    pub(super) backups: Backups,
    /// How many commands were applied: the version of what the last one changed.
    pub(super) applied: u64,
}

/// A state that is being written.
pub(super) struct Writing {
    state: State,
    cursors: Vec<(CursorName, Opened)>,
    backups: Vec<(BackupName, Opened)>,
    stage: Stage,
}

enum Stage {
    Head,
    Key { rank: usize, element: usize },
    Cursor { nth: usize },
    CursorDifference { nth: usize, at: Place },
    Backups,
    Backup { nth: usize },
    BackupDifference { nth: usize, at: Place },
    Done,
}

/// How far two trees are compared: up to these ranks, and so many elements of the next entry are written.
#[derive(Clone, Copy, Default)]
struct Place {
    now: usize,
    then: usize,
    element: usize,
}

/// What is written of an entry that was held and is another now.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Show {
    /// What a cursor can show.
    What,
    /// All of it.
    Whole,
}

impl Writing {
    pub(super) fn new(state: State) -> Writing {
        let cursors = state.cursors.iter().map(|(name, opened)| (name, opened.clone())).collect();
        let backups = state.backups.iter().map(|(name, opened)| (name, opened.clone())).collect();
        Writing { state, cursors, backups, stage: Stage::Head }
    }

    fn step(&mut self, buffer: &mut Vec<u8>, about: usize) -> Stage {
        match self.stage {
            Stage::Head => {
                buffer.extend_from_slice(MAGIC);
                write_length(buffer, self.state.applied);
                buffer.extend_from_slice(&UNUSED);
                write_length(buffer, self.state.store.keys().len() as u64);
                Stage::Key { rank: 0, element: 0 }
            }
            Stage::Key { rank, element } => self.write_keys(buffer, about, rank, element),
            Stage::Cursor { nth } => match self.cursors.get(nth) {
                None => Stage::Backups,
                Some((name, opened)) => {
                    write_name(buffer, name.0, opened);
                    Stage::CursorDifference { nth, at: Place::default() }
                }
            },
            Stage::CursorDifference { nth, at } => {
                match self.write_difference(buffer, about, &self.cursors[nth].1, Show::What, at) {
                    Some(at) => Stage::CursorDifference { nth, at },
                    None => Stage::Cursor { nth: nth + 1 },
                }
            }
            Stage::Backups if self.backups.is_empty() => Stage::Done,
            Stage::Backups => {
                write_length(buffer, self.backups.len() as u64);
                Stage::Backup { nth: 0 }
            }
            Stage::Backup { nth } => match self.backups.get(nth) {
                None => Stage::Done,
                Some((name, opened)) => {
                    write_name(buffer, name.0, opened);
                    Stage::BackupDifference { nth, at: Place::default() }
                }
            },
            Stage::BackupDifference { nth, at } => {
                match self.write_difference(buffer, about, &self.backups[nth].1, Show::Whole, at) {
                    Some(at) => Stage::BackupDifference { nth, at },
                    None => Stage::Backup { nth: nth + 1 },
                }
            }
            Stage::Done => Stage::Done,
        }
    }

    fn write_keys(&self, buffer: &mut Vec<u8>, about: usize, mut rank: usize, mut element: usize) -> Stage {
        let keys = self.state.store.keys();
        for (key, entry) in keys.slice(rank, keys.len()) {
            if buffer.len() >= about {
                return Stage::Key { rank, element };
            }
            if let Some(next) = write_piece(buffer, key.bytes(), entry, element, about) {
                return Stage::Key { rank, element: next };
            }
            element = 0;
            rank += 1;
        }
        write_length(buffer, self.cursors.len() as u64);
        Stage::Cursor { nth: 0 }
    }

    /// Both trees side by side, as [`read_difference`] will read it; the place to go on from, if there is more.
    fn write_difference(
        &self,
        buffer: &mut Vec<u8>,
        about: usize,
        opened: &Opened,
        show: Show,
        mut at: Place,
    ) -> Option<Place> {
        let (keys, old_keys) = (self.state.store.keys(), opened.keys());
        let mut new = keys.slice(at.now, keys.len()).peekable();
        let mut old = old_keys.slice(at.then, old_keys.len()).peekable();
        loop {
            if buffer.len() >= about {
                return Some(at);
            }
            let order = match (new.peek(), old.peek()) {
                (None, None) => break,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some((key, _)), Some((old_key, _))) => key.cmp(old_key),
            };
            let is = if order.is_le() { new.next() } else { None };
            let was = if order.is_ge() { old.next() } else { None };
            // What could not be seen when a cursor was opened is as good as absent. In a backup it keeps its place,
            // for places are counted.
            let is_kept = |entry: &Entry| show == Show::Whole || entry.deadline_ms >= opened.opened_ms();
            let kept = was.filter(|(_, entry)| is_kept(entry));
            match (is, was, kept) {
                (Some((_, is)), Some((_, was)), _) if is.version == was.version => {}
                (_, _, Some((key, entry))) => {
                    if at.element == 0 {
                        buffer.push(OTHER);
                    }
                    let entry = if show == Show::Whole { entry.clone() } else { shown(entry) };
                    if let Some(element) = write_piece(buffer, key.bytes(), &entry, at.element, about) {
                        return Some(Place { element, ..at });
                    }
                }
                (Some((key, _)), _, None) => {
                    buffer.push(ABSENT);
                    write_bytes(buffer, key.bytes());
                }
                _ => {}
            }
            at.now += usize::from(is.is_some());
            at.then += usize::from(was.is_some());
            at.element = 0;
        }
        buffer.push(END);
        None
    }
}

/// What something is called that is open, and since when.
fn write_name(buffer: &mut Vec<u8>, words: [u64; 4], opened: &Opened) {
    words.into_iter().chain([opened.opened_ms(), opened.used_ms()]).for_each(|word| write_length(buffer, word));
}

/// What a cursor can show of an entry: strings, and of anything else that it is there.
fn shown(entry: &Entry) -> Entry {
    let value = match &entry.value {
        Value::String(blob) => Value::String(blob.clone()),
        _ => {
            let mut something = Set::default();
            something.insert(b"");
            Value::Set(something)
        }
    };
    Entry { value, ..entry.clone() }
}

impl Frozen for Writing {
    fn next(&mut self, about: usize) -> Option<Bytes> {
        let mut buffer = Vec::new();
        while buffer.len() < about.max(1) && !matches!(self.stage, Stage::Done) {
            self.stage = self.step(&mut buffer, about.max(1));
        }
        if buffer.is_empty() { None } else { Some(Bytes::from(buffer)) }
    }
}

/// The state that these bytes are of.
pub(super) fn read(bytes: &[u8]) -> Result<State, Malformed> {
    let Some(rest) = bytes.strip_prefix(MAGIC) else {
        return Err(Malformed("it does not begin as a snapshot of the store that this build reads"));
    };
    let mut cut = Cut(rest);
    let applied = cut.length()?;
    for _ in UNUSED {
        cut.length()?;
    }
    let mut store = Store::default();
    let count = cut.count(usize::MAX)?;
    for _ in 0..count {
        let (key, entry) = read_entry(&mut cut)?;
        store.put_entry(key, entry);
    }
    if store.keys().len() != count {
        return Err(Malformed("a key comes twice"));
    }
    let count = cut.count(MAX_CURSORS)?;
    let mut open = BTreeMap::new();
    for _ in 0..count {
        let (name, opened) = read_opened(&mut cut, store.keys())?;
        open.insert(CursorName(name), opened);
    }
    let cursors = Cursors::restored(open);
    let mut open = BTreeMap::new();
    if !cut.0.is_empty() {
        let count = cut.count(MAX_BACKUPS)?;
        for _ in 0..count {
            let (name, opened) = read_opened(&mut cut, store.keys())?;
            open.insert(BackupName(name), opened);
        }
        if count == 0 || !cut.0.is_empty() {
            return Err(Malformed("something follows its end"));
        }
    }
    Ok(State { store, cursors, backups: Backups::restored(open), applied })
}

fn read_opened(cut: &mut Cut<'_>, keys: &Tree<Blob, Entry>) -> Result<([u64; 4], Opened), Malformed> {
    let mut name = [0; 4];
    for word in &mut name {
        *word = cut.length()?;
    }
    let (opened_ms, used_ms) = (cut.length()?, cut.length()?);
    Ok((name, Opened::restored(read_difference(cut, keys.clone())?, opened_ms, used_ms)))
}

fn read_difference(cut: &mut Cut<'_>, mut keys: Tree<Blob, Entry>) -> Result<Tree<Blob, Entry>, Malformed> {
    loop {
        match cut.byte()? {
            END => return Ok(keys),
            OTHER => {
                let (key, entry) = read_entry(cut)?;
                keys.insert(Blob::new(key), entry);
            }
            ABSENT => {
                let key = cut.bytes()?;
                keys.remove(|have| have.bytes().cmp(key)).ok_or(Malformed("a key is absent that is not there"))?;
            }
            _ => return Err(Malformed("what was opened differs in no known way")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use skein_machine::{MessageId, Stamp, Timestamp};

    fn state() -> State {
        let mut state = State { applied: 9, ..State::default() };
        state.store.begin(5, 3);
        state.store.put(b"string", Value::string(b"value"), 77);
        state.store.write::<Set, _>(b"set", |set| ((0..100).all(|n: u8| set.insert(&[n])), true)).unwrap();
        state
    }

    /// The same with a cursor and a backup, since when everything has changed.
    fn opened() -> State {
        let mut state = state();
        state.store.put(b"past", Value::string(b"unseen"), 4);
        let held = |state: &State| Opened::new(state.store.keys().clone(), 5);
        let stamp = Stamp { timestamp: Timestamp(7), id: MessageId::new(8, 9, 1) };
        state.cursors.open(stamp, 2, held(&state));
        state.backups.open(BackupName::of(stamp, 1), held(&state));
        state.store.begin(6, 4);
        state.store.put(b"string", Value::string(b"other"), 77);
        state.store.put(b"new", Value::string(b"new"), 77);
        state.store.remove(b"set");
        state.store.remove(b"past");
        state
    }

    fn written(state: &State, about: usize) -> Vec<u8> {
        let mut writing = Writing::new(state.clone());
        let mut bytes = Vec::new();
        while let Some(piece) = writing.next(about) {
            assert!(piece.len() < about + 64, "a piece of {} where about {about} were asked for", piece.len());
            bytes.extend_from_slice(&piece);
        }
        bytes
    }

    #[test]
    fn a_state_survives_whatever_the_pieces() {
        let state = state();
        let bytes = written(&state, 1 << 20);
        for about in [0, 1, 2, 7, 64, 1000] {
            assert_eq!(written(&state, about), bytes);
        }
        let again = read(&bytes).unwrap();
        assert_eq!(again.store.keys(), state.store.keys());
        assert_eq!((again.store.used(), again.applied), (state.store.used(), 9));
    }

    /// The layout of the first version: what older replicas wrote must be read for ever.
    #[test]
    fn golden_vector() {
        let mut state = State { applied: 300, ..State::default() };
        state.store.begin(5, 2);
        state.store.put(b"k", Value::string(b"v"), 9);
        let bytes = b"skeinkv\x01\xac\x02\0\0\0\0\x01\x01k\x0a\x02\0\x01v\0";
        assert_eq!(written(&state, 100), bytes);
        // An older replica had opened a cursor, its second under the stamp 7, 8, 9.
        let counted = b"skeinkv\x01\xac\x02\x07\x08\x09\x01\x01\x01k\x0a\x02\0\x01v\0";
        assert_eq!(written(&read(counted).unwrap(), 100), bytes);
    }

    #[test]
    fn a_backup_is_written_whole_and_a_cursor_as_far_as_it_shows() {
        let state = opened();
        let bytes = written(&state, 1 << 20);
        for about in [0, 1, 2, 7, 64, 1000] {
            assert_eq!(written(&state, about), bytes);
        }
        let again = read(&bytes).unwrap();
        assert_eq!(written(&again, 50), bytes);
        let (held, had) = (again.backups.iter().next().unwrap().1, state.backups.iter().next().unwrap().1);
        assert_eq!(held.keys(), had.keys());
        let (cursor, _) = (again.cursors.iter().next().unwrap().1, ());
        assert!(cursor.keys().len() == 2 && held.keys().len() == 3);
        assert_eq!((held.opened_ms(), held.used_ms()), (5, 5));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(place in 0usize..1200, byte: u8, cut in 0usize..400, open: bool) {
            let mut bytes = written(&if open { opened() } else { state() }, 1 << 20);
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut % 3);
            if let Ok(state) = read(&bytes) {
                prop_assert!(read(&written(&state, 1 << 20)).is_ok());
            }
        }
    }
}
