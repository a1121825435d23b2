//! [`Backups`]: snapshots of the partition that somebody is copying, whole, to a
//! place outside the store. Each is a clone of the tree of keys, as a cursor of
//! SKEIN.RANGE is, and has the same name at every partition.
//!
//! What a cursor may leave out, a backup may not: here all kinds of values are
//! held, in memory and in what a replica writes down, and the tree stays exactly
//! as it was, keys past their deadline included, so that a place in it means the
//! same at every replica. Backups are forgotten by ordered time and by number,
//! never by a clock, and apart from cursors: readers who open many of those do
//! not end a backup.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use skein_machine::Stamp;

use super::codec::{elements_of, write_piece};
use super::cursors::Opened;
use super::store::Entry;

/// A backup that nobody keeps for so long is forgotten: time enough for whoever copies it to find another node, and
/// for a group to find its majority again.
pub const MAX_BACKUP_IDLE_MS: u64 = 300_000;

/// So many are open at a time; one more, and that which was not kept for the longest time is forgotten. In the worst
/// case each holds a whole old tree, so there are few.
pub const MAX_BACKUPS: usize = 4;

/// How long a piece is that is read at once, about: an element is never cut, only a string is.
pub const PIECE: usize = 1 << 20;

/// What a backup is called: the stamp of the command that opened it, and which of the commands under it that was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct BackupName(pub(super) [u64; 4]);

impl BackupName {
    /// Of the command at this place.
    pub(super) fn of(stamp: Stamp, nth: u32) -> BackupName {
        BackupName([stamp.timestamp.0, stamp.id.session.0, stamp.id.sequence, u64::from(nth)])
    }

    /// The name as a client sees it.
    pub(super) fn write(self) -> String {
        let [timestamp, session, sequence, nth] = self.0;
        format!("{timestamp:x}-{session:x}-{sequence:x}-{nth:x}")
    }

    /// What such a text names.
    pub(super) fn parse(text: &[u8]) -> Option<BackupName> {
        let mut parts = core::str::from_utf8(text).ok()?.split('-');
        let mut words = [0; 4];
        for word in &mut words {
            *word = u64::from_str_radix(parts.next()?, 16).ok()?;
        }
        parts.next().is_none().then_some(BackupName(words))
    }
}

/// A place in a backup of one partition: so many keys, and so many elements of the next one, lie before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    rank: usize,
    element: usize,
}

impl Position {
    /// The position as a client sees it.
    fn write(self) -> String {
        format!("{}-{}", self.rank, self.element)
    }

    /// What such a text says; `0` is the beginning.
    pub(super) fn parse(text: &[u8]) -> Option<Position> {
        let text = core::str::from_utf8(text).ok()?;
        let (rank, element) = text.split_once('-').unwrap_or((text, "0"));
        Some(Position { rank: rank.parse().ok()?, element: element.parse().ok()? })
    }
}

/// Those that are open.
#[derive(Clone, Debug, Default)]
pub(super) struct Backups {
    open: BTreeMap<BackupName, Opened>,
}

impl Backups {
    /// Forgets those that nobody kept for too long.
    pub(super) fn forget_idle(&mut self, now_ms: u64) {
        if !self.open.is_empty() {
            self.open.retain(|_, opened| opened.used_ms().saturating_add(MAX_BACKUP_IDLE_MS) >= now_ms);
        }
    }

    /// Opens one of this name, and forgets another if there are too many.
    pub(super) fn open(&mut self, name: BackupName, opened: Opened) {
        self.open.insert(name, opened);
        if self.open.len() > MAX_BACKUPS {
            let oldest = self.open.iter().min_by_key(|(name, opened)| (opened.used_ms(), **name));
            let oldest = *oldest.expect("there are too many").0;
            self.open.remove(&oldest);
        }
    }

    /// Somebody still needs one; whether it is there.
    pub(super) fn keep(&mut self, name: BackupName, now_ms: u64) -> bool {
        let opened = self.open.get_mut(&name);
        opened.map(|opened| opened.touch(now_ms)).is_some()
    }

    /// One is not needed any more.
    pub(super) fn close(&mut self, name: BackupName) {
        self.open.remove(&name);
    }

    /// One that is open.
    pub(super) fn get(&self, name: BackupName) -> Option<&Opened> {
        self.open.get(&name)
    }

    /// All of them by name.
    pub(super) fn iter(&self) -> impl Iterator<Item = (BackupName, &Opened)> {
        self.open.iter().map(|(name, opened)| (*name, opened))
    }

    /// What comes from elsewhere.
    pub(super) fn restored(open: BTreeMap<BackupName, Opened>) -> Backups {
        Backups { open }
    }
}

/// The piece of a backup from a position on, and the position behind it as a client sees it: `0` if that was all.
/// Nothing if there is no such position.
pub(super) fn piece(opened: &Opened, from: Position) -> Option<(Vec<u8>, String)> {
    let keys = opened.keys();
    let Position { mut rank, mut element } = from;
    let is_there = match keys.nth(rank) {
        Some((_, entry)) => element == 0 || element < elements_of(&entry.value),
        None => rank == keys.len() && element == 0,
    };
    if !is_there {
        return None;
    }
    let mut piece = Vec::new();
    for (key, entry) in keys.slice(rank, keys.len()) {
        if piece.len() >= PIECE {
            return Some((piece, Position { rank, element }.write()));
        }
        // A key that could not be seen any more when the backup was opened is not in it.
        if entry.deadline_ms >= opened.opened_ms() {
            // How often things changed here says nothing elsewhere.
            let entry = Entry { version: 0, ..entry.clone() };
            if let Some(next) = write_piece(&mut piece, key.bytes(), &entry, element, PIECE) {
                return Some((piece, Position { rank, element: next }.write()));
            }
        }
        (rank, element) = (rank + 1, 0);
    }
    Some((piece, String::from("0")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::blob::Blob;
    use crate::kv::store::NEVER;
    use crate::kv::tree::Tree;
    use crate::kv::value::Value;
    use skein_machine::{MessageId, Timestamp};

    fn name(number: u64) -> BackupName {
        BackupName::of(Stamp { timestamp: Timestamp(number), id: MessageId::new(1, 2, 1) }, 3)
    }

    #[test]
    fn names_and_positions_survive_the_client() {
        assert_eq!(BackupName::parse(name(77).write().as_bytes()), Some(name(77)));
        for bad in [b"".as_slice(), b"1-2-3", b"1-2-3-4-5", b"1-2-3-x", b"\xff"] {
            assert_eq!(BackupName::parse(bad), None);
        }
        let position = Position { rank: 7, element: 9 };
        assert_eq!(Position::parse(position.write().as_bytes()), Some(position));
        assert_eq!(Position::parse(b"0"), Some(Position::default()));
        for bad in [b"".as_slice(), b"-", b"1-", b"-1", b"1-2-3", b"99999999999999999999"] {
            assert_eq!(Position::parse(bad), None);
        }
    }

    #[test]
    fn the_one_that_was_not_kept_for_the_longest_time_is_forgotten_first() {
        let mut backups = Backups::default();
        for number in 0..MAX_BACKUPS as u64 {
            backups.open(name(number), Opened::new(Tree::new(), number));
        }
        assert!(backups.keep(name(0), 1000));
        backups.open(name(99), Opened::new(Tree::new(), 1001));
        assert!(backups.get(name(0)).is_some() && !backups.keep(name(1), 1001));
        assert_eq!(backups.iter().count(), MAX_BACKUPS);
        backups.forget_idle(1001 + MAX_BACKUP_IDLE_MS);
        assert_eq!(backups.iter().map(|(name, _)| name).collect::<Vec<_>>(), [name(99)]);
        backups.forget_idle(1002 + MAX_BACKUP_IDLE_MS);
        assert_eq!(backups.iter().count(), 0);
    }

    fn opened(entries: &[(&str, Value, u64)]) -> Opened {
        let mut keys = Tree::new();
        for (key, value, deadline_ms) in entries {
            let entry = Entry { value: value.clone(), deadline_ms: *deadline_ms, version: 5 };
            keys.insert(Blob::new(key.as_bytes()), entry);
        }
        Opened::new(keys, 100)
    }

    #[test]
    fn a_position_that_is_nowhere_has_no_piece() {
        let string = Value::string(b"abc");
        let opened = opened(&[("gone", string.clone(), 99), ("k", string, NEVER)]);
        let (bytes, next) = piece(&opened, Position::default()).unwrap();
        assert_eq!((&bytes[..], &next[..]), (&b"\x01k\0\0\0\x03abc"[..], "0"));
        let (bytes, _) = piece(&opened, Position { rank: 1, element: 2 }).unwrap();
        assert_eq!(bytes, b"c");
        assert_eq!(piece(&opened, Position { rank: 2, element: 0 }), Some((Vec::new(), String::from("0"))));
        for (rank, element) in [(1, 3), (1, usize::MAX), (2, 1), (3, 0), (usize::MAX, 0)] {
            assert_eq!(piece(&opened, Position { rank, element }), None, "{rank}-{element}");
        }
    }

    #[test]
    fn a_piece_is_about_as_long_as_it_may_be() {
        let long = Value::string(&alloc::vec![b'x'; 5 * PIECE / 2]);
        let opened = opened(&[("a", long, NEVER), ("b", Value::string(b"short"), 100)]);
        let (mut position, mut lengths) = (Position::default(), Vec::new());
        loop {
            let (bytes, next) = piece(&opened, position).unwrap();
            lengths.push(bytes.len());
            if next == "0" {
                break;
            }
            position = Position::parse(next.as_bytes()).unwrap();
        }
        assert_eq!(lengths[..2], [PIECE, PIECE]);
        assert_eq!(lengths.len(), 3);
    }
}
