//! [`Windows`]: which messages of each session were delivered, so that none is
//! ordered twice. A group delivers the messages of a session to one set of groups
//! in the order sent, so the newest one says it all.
//!
//! A window may be forgotten once nothing can ask about it any more: whoever
//! repeats a message finds it expired, and what other groups may still show of
//! it lies below the marks that they have settled.

use alloc::vec::Vec;
use smallvec::SmallVec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{GroupId, GroupSet, MessageId, SessionId, Timestamp, Wire};

use super::{Index, Table};

/// Where a message stands in the log of another group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The group.
    pub group: GroupId,
    /// The place in its log.
    pub index: Index,
}

/// Where a message stands in the logs of its other destinations. Most have few.
pub type Marks = SmallVec<[Mark; 2]>;

/// What is known of the messages of one session to one set of groups.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// The newest message that was delivered.
    pub sequence: u64,
    /// Its final timestamp: the highest of them.
    pub timestamp: Timestamp,
    /// The latest expiry of them.
    pub expiry: Timestamp,
    /// The highest place of any of them in the logs of other groups.
    pub marks: Marks,
}

/// The windows of all sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Windows {
    sessions: Table<Stream, Window>,
}

/// A session, and one set of groups that it sends to. Not the session alone: of one that sends here
/// and elsewhere at once, nobody can say which of its messages were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stream {
    session: SessionId,
    destinations: GroupSet,
}

impl Stream {
    /// Where this message belongs.
    pub fn of(id: MessageId) -> Stream {
        Stream { session: id.session, destinations: id.destinations }
    }
}

impl Windows {
    /// No session yet.
    pub fn new() -> Windows {
        Windows::default()
    }

    /// A message was delivered.
    pub fn note(&mut self, id: MessageId, timestamp: Timestamp, expiry: Timestamp, marks: &[Mark]) {
        let Some(window) = self.sessions.get_mut(&Stream::of(id)) else {
            let window = Window { sequence: id.sequence, timestamp, expiry, marks: Marks::from(marks) };
            self.sessions.insert(Stream::of(id), window);
            return;
        };
        window.sequence = window.sequence.max(id.sequence);
        window.timestamp = window.timestamp.max(timestamp);
        window.expiry = window.expiry.max(expiry);
        for mark in marks {
            match window.marks.iter_mut().find(|known| known.group == mark.group) {
                Some(known) => known.index = known.index.max(mark.index),
                None => window.marks.push(*mark),
            }
        }
    }

    /// The window that says that this message was delivered, if it was.
    pub fn delivered(&self, id: MessageId) -> Option<&Window> {
        self.sessions.get(&Stream::of(id)).filter(|window| id.sequence <= window.sequence)
    }

    /// Forgets what nobody can ask about: everything of the session expired
    /// before `safe`, up to which all is delivered, and settled by the other groups.
    /// Sessions that are still needed for another reason stay.
    pub fn forget(&mut self, safe: Timestamp, is_needed: impl Fn(Stream) -> bool, is_settled: impl Fn(&Mark) -> bool) {
        let stays = |stream: Stream, window: &Window| {
            window.expiry > safe || is_needed(stream) || !window.marks.iter().all(&is_settled)
        };
        self.sessions.retain(|stream, window| stays(*stream, window));
    }

    /// Forgets a session too early: a bug to plant.
    pub(crate) fn forget_wrongly(&mut self, stream: Stream) {
        self.sessions.remove(&stream);
    }

    /// How many sessions are known.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }
}

/// More sessions than a checkpoint of a sound replica holds.
const MOST_SESSIONS: usize = 1 << 24;

impl Wire for Mark {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.group.encode(writer);
        writer.u64(self.index);
    }

    fn decode(reader: &mut Reader) -> Result<Mark, WireError> {
        Ok(Mark { group: GroupId::decode(reader)?, index: reader.u64()? })
    }
}

/// One window, as it rests on a disk.
struct Line(Stream, Window);

impl Wire for Line {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.0.session.encode(writer);
        self.0.destinations.encode(writer);
        writer.u64(self.1.sequence);
        self.1.timestamp.encode(writer);
        self.1.expiry.encode(writer);
        writer.each(&self.1.marks);
    }

    fn decode(reader: &mut Reader) -> Result<Line, WireError> {
        let stream = Stream { session: SessionId::decode(reader)?, destinations: GroupSet::decode(reader)? };
        let window = Window {
            sequence: reader.u64()?,
            timestamp: Timestamp::decode(reader)?,
            expiry: Timestamp::decode(reader)?,
            marks: reader.list("marks of a session", skein_machine::MAX_GROUPS)?.into(),
        };
        Ok(Line(stream, window))
    }
}

impl Wire for Windows {
    fn encode(&self, writer: &mut Writer<'_>) {
        let lines = self.sessions.sorted();
        writer.list(lines.into_iter().map(|(stream, window)| Line(stream, window.clone())));
    }

    fn decode(reader: &mut Reader) -> Result<Windows, WireError> {
        let lines: Vec<Line> = reader.list("sessions", MOST_SESSIONS)?;
        // Canonical: rising, each session once.
        if !lines.windows(2).all(|pair| pair[0].0 < pair[1].0) {
            return Err(WireError::Invalid { what: "a list of sessions out of order" });
        }
        let mut sessions = Table::new();
        for Line(stream, window) in lines {
            sessions.insert(stream, window);
        }
        Ok(Windows { sessions })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};

    fn mark(group: usize, index: Index) -> Mark {
        Mark { group: GroupId::new(group).unwrap(), index }
    }

    fn windows() -> Windows {
        let mut windows = Windows::new();
        windows.note(MessageId::new(1, 3, 0b11), Timestamp(5), Timestamp(20), &[mark(1, 7)]);
        windows.note(MessageId::new(1, 4, 0b11), Timestamp(6), Timestamp(10), &[mark(2, 1), mark(1, 9)]);
        windows
    }

    #[test]
    fn everything_up_to_the_newest_was_delivered() {
        let windows = windows();
        assert!(windows.delivered(MessageId::new(1, 5, 0b11)).is_none());
        assert!(windows.delivered(MessageId::new(2, 1, 0b11)).is_none());
        let window = windows.delivered(MessageId::new(1, 2, 0b11)).unwrap();
        assert_eq!((window.sequence, window.timestamp, window.expiry), (4, Timestamp(6), Timestamp(20)));
        assert_eq!(window.marks[..], [mark(1, 9), mark(2, 1)]);
    }

    #[test]
    fn what_was_delivered_to_some_groups_says_nothing_about_others() {
        assert!(windows().delivered(MessageId::new(1, 2, 0b1)).is_none());
    }

    #[test]
    fn it_is_forgotten_when_expired_and_settled_everywhere() {
        let mut windows = windows();
        windows.forget(Timestamp(19), |_| false, |_| true);
        assert_eq!(windows.len(), 1, "one of its messages may still come");
        windows.forget(Timestamp(20), |_| false, |mark| mark.index < 9);
        assert_eq!(windows.len(), 1, "another group may still ask");
        windows.forget(Timestamp(20), |_| true, |_| true);
        assert_eq!(windows.len(), 1, "it is needed");
        windows.forget(Timestamp(20), |_| false, |_| true);
        assert!(windows.is_empty());
    }

    #[test]
    fn it_survives_the_journey() {
        assert_eq!(from_bytes::<Windows>(to_bytes(&windows()), VERSION).unwrap(), windows());
    }
}
