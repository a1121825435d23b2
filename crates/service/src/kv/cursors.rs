//! [`Cursors`]: the snapshots that clients read page by page. Each is a clone of
//! the partition's tree of keys, which costs nothing until things change.
//!
//! A cursor has the same name at every partition that it reads, made of the
//! place in the order of the command that opened it, and it is forgotten by
//! ordered time and by number, never by a clock or by memory that runs short:
//! replicas forget alike.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use skein_machine::Stamp;

use super::blob::Blob;
use super::store::Entry;
use super::tree::Tree;

/// A cursor that is not used for so long is forgotten: time enough for a client
/// to work on a page, and little for a tree that changes to be held twice.
pub const MAX_IDLE_MS: u64 = 60_000;

/// So many are open at a time; one more, and that which was not used for the
/// longest time is forgotten. In the worst case each holds a whole old tree.
pub const MAX_CURSORS: usize = 64;

/// What a cursor is called: the stamp of the message that opened it, and the
/// number of the command among those that the message carries. A partition that
/// counted only what it opened itself would give another name than one that
/// another command of the message does not concern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct CursorName(pub(super) [u64; 4]);

impl CursorName {
    /// The cursor as a client sees it: the name, and the last key that was told.
    pub(super) fn write(self, last: &[u8]) -> Vec<u8> {
        let [timestamp, session, sequence, nth] = self.0;
        let mut text = format!("{timestamp:x}-{session:x}-{sequence:x}-{nth:x}-").into_bytes();
        for byte in last {
            text.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
        }
        text
    }

    /// What such a text says.
    pub(super) fn parse(text: &[u8]) -> Option<(CursorName, Vec<u8>)> {
        let mut parts = text.split(|byte| *byte == b'-');
        let mut words = [0; 4];
        for word in &mut words {
            *word = u64::from_str_radix(core::str::from_utf8(parts.next()?).ok()?, 16).ok()?;
        }
        let last = parts.next()?;
        if parts.next().is_some() || last.len() % 2 == 1 {
            return None;
        }
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let bytes = last.chunks(2).map(|pair| Some((digit(pair[0])? << 4 | digit(pair[1])?) as u8));
        Some((CursorName(words), bytes.collect::<Option<Vec<u8>>>()?))
    }
}

/// One of them.
#[derive(Clone, Debug)]
pub(super) struct Opened {
    keys: Tree<Blob, Entry>,
    opened_ms: u64,
    used_ms: u64,
}

impl Opened {
    /// A snapshot of these keys.
    pub(super) fn new(keys: Tree<Blob, Entry>, now_ms: u64) -> Opened {
        Opened { keys, opened_ms: now_ms, used_ms: now_ms }
    }

    /// One that comes from elsewhere.
    pub(super) fn restored(keys: Tree<Blob, Entry>, opened_ms: u64, used_ms: u64) -> Opened {
        Opened { keys, opened_ms, used_ms }
    }

    /// The keys, those past their deadline at that time included.
    pub(super) fn keys(&self) -> &Tree<Blob, Entry> {
        &self.keys
    }

    /// When it was opened.
    pub(super) fn opened_ms(&self) -> u64 {
        self.opened_ms
    }

    /// It is used now.
    pub(super) fn touch(&mut self, now_ms: u64) {
        self.used_ms = now_ms;
    }

    /// When it was used last.
    pub(super) fn used_ms(&self) -> u64 {
        self.used_ms
    }
}

/// Those that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct Cursors {
    open: BTreeMap<CursorName, Opened>,
}

impl Cursors {
    /// Forgets those that were not used for too long.
    pub(super) fn forget_idle(&mut self, now_ms: u64) {
        if !self.open.is_empty() {
            self.open.retain(|_, opened| opened.used_ms + MAX_IDLE_MS >= now_ms);
        }
    }

    /// Opens one at this place in the order, and forgets another if there are too many.
    pub(super) fn open(&mut self, stamp: Stamp, nth: u32, opened: Opened) -> CursorName {
        let name = CursorName([stamp.timestamp.0, stamp.id.session.0, stamp.id.sequence, u64::from(nth)]);
        self.open.insert(name, opened);
        if self.open.len() > MAX_CURSORS {
            let oldest = self.open.iter().min_by_key(|(name, opened)| (opened.used_ms, **name));
            let oldest = *oldest.expect("there are too many").0;
            self.open.remove(&oldest);
        }
        name
    }

    /// One that is used now.
    pub(super) fn touch(&mut self, name: CursorName, now_ms: u64) -> Option<&Opened> {
        let opened = self.open.get_mut(&name)?;
        opened.touch(now_ms);
        Some(opened)
    }

    /// How many are open.
    pub(super) fn count(&self) -> usize {
        self.open.len()
    }

    /// One is not needed any more.
    pub(super) fn close(&mut self, name: CursorName) {
        self.open.remove(&name);
    }

    /// All of them by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (CursorName, &Opened)> {
        self.open.iter().map(|(name, opened)| (*name, opened))
    }

    /// What comes from elsewhere.
    pub(super) fn restored(open: BTreeMap<CursorName, Opened>) -> Cursors {
        Cursors { open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::{MessageId, Timestamp};

    fn stamp(timestamp: u64) -> Stamp {
        Stamp { timestamp: Timestamp(timestamp), id: MessageId::new(1, 2, 1) }
    }

    #[test]
    fn a_name_survives_the_client() {
        let name = CursorName([u64::MAX, 0, 7, 1]);
        for last in [b"".as_slice(), b"key", b"\x00\xff-"] {
            assert_eq!(CursorName::parse(&name.write(last)), Some((name, last.to_vec())));
        }
        for bad in [b"".as_slice(), b"0", b"1-2-3-4", b"1-2-3-4-5", b"1-2-3-4-zz", b"1-2-3-4-55-6"] {
            assert_eq!(CursorName::parse(bad), None);
        }
    }

    #[test]
    fn the_longest_unused_is_forgotten_first() {
        let mut cursors = Cursors::default();
        let open = |time: u64| cursors.open(stamp(time / 2), (time % 2) as u32, Opened::new(Tree::new(), time));
        let names: Vec<CursorName> = (0..MAX_CURSORS as u64).map(open).collect();
        assert!(cursors.touch(names[0], 1000).is_some());
        cursors.open(stamp(5000), 0, Opened::new(Tree::new(), 1001));
        assert!(cursors.touch(names[0], 1000).is_some() && cursors.touch(names[1], 1000).is_none());
        cursors.forget_idle(1001 + MAX_IDLE_MS);
        assert_eq!(cursors.iter().count(), 1);
        cursors.forget_idle(1002 + MAX_IDLE_MS);
        assert_eq!(cursors.iter().count(), 0);
    }
}
