//! A partition as it was at one moment, on its way into bytes and back. The
//! bytes follow from what is held alone: replicas that applied the same write
//! the same, however they came to hold it.
//!
//! Cursors are in it, for a replica that starts from a snapshot must answer
//! like all others. Each is written as how its keys differ from those of now,
//! which is little unless much has changed since it was opened.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Frozen;

use super::blob::Blob;
use super::codec::{read_entry, write_bytes, write_elements, write_entry, write_head};
use super::cursors::{CursorName, Cursors, MAX_CURSORS, Opened};
use super::request::{Cut, Malformed, write_length};
use super::store::{Entry, Store};
use super::tree::Tree;
use super::value::{Set, Value};

/// The first bytes of a snapshot, the format's version last.
const MAGIC: &[u8; 8] = b"skeinkv\x01";

/// Marks in the differences of a cursor.
const END: u8 = 0;
const OTHER: u8 = 1;
const ABSENT: u8 = 2;

/// Everything that a replica of a partition holds.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) store: Store,
    pub(super) cursors: Cursors,
    /// How many commands were applied: the version of what the last one changed.
    pub(super) applied: u64,
}

/// A state that is being written.
pub(super) struct Writing {
    state: State,
    cursors: Vec<(CursorName, Opened)>,
    stage: Stage,
}

enum Stage {
    Head,
    Key { rank: usize, element: usize },
    Cursor { nth: usize },
    Difference { nth: usize, now: usize, then: usize },
    Done,
}

impl Writing {
    pub(super) fn new(state: State) -> Writing {
        let cursors = state.cursors.iter().map(|(name, opened)| (name, opened.clone())).collect();
        Writing { state, cursors, stage: Stage::Head }
    }

    fn step(&mut self, buffer: &mut Vec<u8>, about: usize) -> Stage {
        match self.stage {
            Stage::Head => {
                buffer.extend_from_slice(MAGIC);
                write_length(buffer, self.state.applied);
                let (stamp, nth) = self.state.cursors.last();
                stamp.into_iter().chain([nth]).for_each(|word| write_length(buffer, word));
                write_length(buffer, self.state.store.keys().len() as u64);
                Stage::Key { rank: 0, element: 0 }
            }
            Stage::Key { rank, element } => self.write_keys(buffer, about, rank, element),
            Stage::Cursor { nth } => match self.cursors.get(nth) {
                None => Stage::Done,
                Some((name, opened)) => {
                    name.0.into_iter().for_each(|word| write_length(buffer, word));
                    write_length(buffer, opened.opened_ms());
                    write_length(buffer, opened.used_ms());
                    Stage::Difference { nth, now: 0, then: 0 }
                }
            },
            Stage::Difference { nth, now, then } => self.write_difference(buffer, about, nth, now, then),
            Stage::Done => Stage::Done,
        }
    }

    fn write_keys(&self, buffer: &mut Vec<u8>, about: usize, mut rank: usize, mut element: usize) -> Stage {
        let keys = self.state.store.keys();
        for (key, entry) in keys.slice(rank, keys.len()) {
            if buffer.len() >= about {
                return Stage::Key { rank, element };
            }
            if element == 0 {
                write_head(buffer, key.bytes(), entry);
            }
            if let Some(next) = write_elements(buffer, &entry.value, element, about) {
                // A head that stands alone must not be written again: the first element comes with it.
                let next =
                    if next == 0 { write_elements(buffer, &entry.value, 0, buffer.len() + 1) } else { Some(next) };
                if let Some(next) = next {
                    return Stage::Key { rank, element: next };
                }
            }
            element = 0;
            rank += 1;
        }
        write_length(buffer, self.cursors.len() as u64);
        Stage::Cursor { nth: 0 }
    }

    /// Both trees side by side, as [`read_cursor`] will read it.
    fn write_difference(
        &self,
        buffer: &mut Vec<u8>,
        about: usize,
        nth: usize,
        mut now: usize,
        mut then: usize,
    ) -> Stage {
        let opened = &self.cursors[nth].1;
        let (keys, old_keys) = (self.state.store.keys(), opened.keys());
        let mut new = keys.slice(now, keys.len()).peekable();
        let mut old = old_keys.slice(then, old_keys.len()).peekable();
        loop {
            if buffer.len() >= about {
                return Stage::Difference { nth, now, then };
            }
            let order = match (new.peek(), old.peek()) {
                (None, None) => break,
                (Some(_), None) => core::cmp::Ordering::Less,
                (None, Some(_)) => core::cmp::Ordering::Greater,
                (Some((key, _)), Some((old_key, _))) => key.cmp(old_key),
            };
            let is = if order.is_le() { new.next() } else { None };
            let was = if order.is_ge() { old.next() } else { None };
            now += usize::from(is.is_some());
            then += usize::from(was.is_some());
            // What could not be seen when the cursor was opened is as good as absent.
            let seen = was.filter(|(_, entry)| entry.deadline_ms >= opened.opened_ms());
            match (is, was, seen) {
                (Some((_, is)), Some((_, was)), _) if is.version == was.version => {}
                (_, _, Some((key, entry))) => {
                    buffer.push(OTHER);
                    write_entry(buffer, key.bytes(), &shown(entry));
                }
                (Some((key, _)), _, None) => {
                    buffer.push(ABSENT);
                    write_bytes(buffer, key.bytes());
                }
                _ => {}
            }
        }
        buffer.push(END);
        Stage::Cursor { nth: nth + 1 }
    }
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
    let mut last = [0; 4];
    for word in &mut last {
        *word = cut.length()?;
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
        let (name, opened) = read_cursor(&mut cut, store.keys())?;
        open.insert(name, opened);
    }
    if !cut.0.is_empty() {
        return Err(Malformed("something follows its end"));
    }
    let [timestamp, session, sequence, nth] = last;
    let cursors = Cursors::restored(open, ([timestamp, session, sequence], nth));
    Ok(State { store, cursors, applied })
}

fn read_cursor(cut: &mut Cut<'_>, keys: &Tree<Blob, Entry>) -> Result<(CursorName, Opened), Malformed> {
    let mut name = [0; 4];
    for word in &mut name {
        *word = cut.length()?;
    }
    let (opened_ms, used_ms) = (cut.length()?, cut.length()?);
    let mut keys = keys.clone();
    loop {
        match cut.byte()? {
            END => break,
            OTHER => {
                let (key, entry) = read_entry(cut)?;
                keys.insert(Blob::new(key), entry);
            }
            ABSENT => {
                let key = cut.bytes()?;
                keys.remove(|have| have.bytes().cmp(key)).ok_or(Malformed("a key is absent that is not there"))?;
            }
            _ => return Err(Malformed("a cursor differs in no known way")),
        }
    }
    Ok((CursorName(name), Opened::restored(keys, opened_ms, used_ms)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn state() -> State {
        let mut state = State { applied: 9, ..State::default() };
        state.store.begin(5, 3);
        state.store.put(b"string", Value::string(b"value"), 77);
        state.store.write::<Set, _>(b"set", |set| ((0..100).all(|n: u8| set.insert(&[n])), true)).unwrap();
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
        assert_eq!(written(&state, 100), b"skeinkv\x01\xac\x02\0\0\0\0\x01\x01k\x0a\x02\0\x01v\0");
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(place in 0usize..400, byte: u8, cut in 0usize..400) {
            let mut bytes = written(&state(), 1 << 20);
            let place = place % bytes.len();
            bytes[place] = byte;
            bytes.truncate(bytes.len() - cut % 3);
            if let Ok(state) = read(&bytes) {
                prop_assert!(read(&written(&state, 1 << 20)).is_ok());
            }
        }
    }
}
