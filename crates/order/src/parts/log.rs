//! [`Log`]: what a group has proposed, in order. Entries are told apart by
//! their place and the epoch that proposed them: two logs that agree on both
//! at one place agree on everything before.
//!
//! What an entry says beyond that is the protocol's own affair ([`Logged`]).
//!
//! The log is cut at its base. Entries at or below it are gone, but for those
//! that somebody still needs; above it there is no hole. It does not know where
//! a message stands: whoever has a log keeps that with what else it knows of it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::fmt;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Multicast, Timestamp, Wire};

use super::Epoch;

/// A place in the log of a group, from 1. Zero: before everything.
pub type Index = u64;

/// What stands in a log.
pub trait Logged {
    /// Which epoch proposed it.
    fn epoch(&self) -> Epoch;

    /// How many bytes of payload it holds.
    fn length(&self) -> usize;

    /// Lets go of the payload.
    fn strip(&mut self);

    /// Panics with a sentence if it cannot stand behind this one, whatever their epochs.
    fn assert_behind(&self, newest: &Self) {
        let _ = newest;
    }
}

/// One proposal of a message.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Which epoch proposed it.
    pub epoch: Epoch,
    /// The local timestamp.
    pub timestamp: Timestamp,
    /// The message of its session that must be proposed before; zero for none.
    pub follows: u64,
    /// The message.
    pub message: Multicast,
}

/// The proposals of a group, as far as they are kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log<E = Entry> {
    base: Index,
    /// The epoch of the entry at the base.
    base_epoch: Epoch,
    /// What is kept at or below the base, by place.
    old: VecDeque<(Index, E)>,
    /// What stands above it.
    entries: VecDeque<E>,
    /// The payloads of all that is kept.
    bytes: usize,
}

/// What becomes of an entry at or below the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// All of it is needed.
    Kept,
    /// Its payload is not.
    Stripped,
    /// Nothing is.
    Removed,
}

/// The shape of a log: enough to find where two of them part.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Outline {
    /// Where it is cut.
    pub base: Index,
    /// The epoch of the entry at the base.
    pub base_epoch: Epoch,
    /// The epochs above, each with its last entry.
    pub runs: Vec<Run>,
}

/// Entries of one epoch, one behind the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Run {
    /// Who proposed them.
    pub epoch: Epoch,
    /// The place of the last one.
    pub last: Index,
}

/// More runs than elections between two checkpoints of a sound replica.
const MOST_RUNS: usize = 1 << 20;

impl<E: Logged> Log<E> {
    /// An empty log, of a group that begins in this epoch.
    pub fn new(first: Epoch) -> Log<E> {
        Log { base: 0, base_epoch: first, old: VecDeque::new(), entries: VecDeque::new(), bytes: 0 }
    }

    /// A log that was cut: its base, and what is kept.
    pub fn restore(base: Index, base_epoch: Epoch, entries: impl Iterator<Item = (Index, E)>) -> Log<E> {
        let mut log = Log { base, ..Log::new(base_epoch) };
        for (index, entry) in entries {
            log.bytes += entry.length();
            if index > base {
                assert_eq!(index, log.last() + 1, "a log has a hole above its base");
                log.entries.push_back(entry);
            } else {
                log.old.push_back((index, entry));
            }
        }
        let old = log.old.make_contiguous();
        old.sort_by_key(|(index, _)| *index);
        assert!(old.windows(2).all(|pair| pair[0].0 < pair[1].0), "a log has two entries at one place");
        log
    }

    /// Where it is cut.
    pub fn base(&self) -> Index {
        self.base
    }

    /// The epoch of the entry at the base.
    pub fn base_epoch(&self) -> Epoch {
        self.base_epoch
    }

    /// The place of the newest entry.
    pub fn last(&self) -> Index {
        self.base + self.entries.len() as Index
    }

    /// Appends an entry and answers its place.
    pub fn append(&mut self, entry: E) -> Index {
        if let Some(newest) = self.entries.back().or_else(|| self.get(self.base)) {
            let (old, new) = (newest.epoch(), entry.epoch());
            assert!(old <= new, "an entry of {new} follows one of {old}");
            entry.assert_behind(newest);
        }
        self.bytes += entry.length();
        self.entries.push_back(entry);
        self.last()
    }

    /// The entry at a place, if it is kept.
    pub fn get(&self, index: Index) -> Option<&E> {
        if index > self.base {
            return self.entries.get((index - self.base - 1) as usize);
        }
        let place = self.old.binary_search_by_key(&index, |(place, _)| *place).ok()?;
        Some(&self.old[place].1)
    }

    /// Everything that is kept, in order.
    pub fn iter(&self) -> impl Iterator<Item = (Index, &E)> {
        let old = self.old.iter().map(|(index, entry)| (*index, entry));
        old.chain((self.base + 1..).zip(&self.entries))
    }

    /// What follows a place that is not cut, at most this many.
    pub fn after(&self, index: Index, most: usize) -> impl Iterator<Item = &E> {
        assert!(index >= self.base, "what follows {index} was cut up to {}", self.base);
        let from = self.entries.len().min((index - self.base) as usize);
        self.entries.range(from..).take(most)
    }

    /// Where the newest entries begin: at most so many of them, with at most so many bytes of payload.
    pub fn newest(&self, most: u64, bytes: usize) -> Index {
        let mut total = 0;
        let fits = |entry: &&E| {
            total += entry.length();
            total <= bytes
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.last() - self.entries.iter().rev().take(most).take_while(fits).count() as Index
    }

    /// How many bytes of payload are kept.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many entries are kept.
    pub fn len(&self) -> usize {
        self.old.len() + self.entries.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The epoch of the entry at a place that is not cut.
    pub fn epoch_at(&self, index: Index) -> Option<Epoch> {
        match index {
            _ if index == self.base => Some(self.base_epoch),
            _ if index > self.base => self.get(index).map(E::epoch),
            _ => None,
        }
    }

    /// Takes everything behind a place out, and answers it.
    pub fn truncate(&mut self, keep: Index) -> Vec<(Index, E)> {
        assert!(keep >= self.base, "what stands before {} was cut because it is decided", self.base);
        let keep = self.last().min(keep);
        let taken = self.entries.split_off((keep - self.base) as usize);
        self.bytes -= taken.iter().map(E::length).sum::<usize>();
        (keep + 1..).zip(taken).collect()
    }

    /// Moves the base. What stands before stays until it is removed.
    pub fn cut(&mut self, base: Index) {
        if base > self.base {
            self.base_epoch = self.epoch_at(base).expect("a log is cut at an entry that it has");
            let cut = self.entries.drain(..(base - self.base) as usize);
            self.old.extend((self.base + 1..).zip(cut));
            self.base = base;
        }
    }

    /// Decides about each entry at or below the base, in order.
    pub fn sift(&mut self, mut fate: impl FnMut(Index, &E) -> Fate) {
        let bytes = &mut self.bytes;
        self.old.retain_mut(|(index, entry)| {
            let fate = fate(*index, entry);
            if fate != Fate::Kept {
                *bytes -= entry.length();
                entry.strip();
            }
            fate != Fate::Removed
        });
    }

    /// Its shape.
    pub fn outline(&self) -> Outline {
        let mut runs: Vec<Run> = Vec::new();
        for (index, entry) in (self.base + 1..).zip(&self.entries) {
            match runs.last_mut() {
                Some(run) if run.epoch == entry.epoch() => run.last = index,
                _ => runs.push(Run { epoch: entry.epoch(), last: index }),
            }
        }
        Outline { base: self.base, base_epoch: self.base_epoch, runs }
    }

    /// The last place at which both agree, or `None` when one was cut beyond the end of the other.
    pub fn agreement(&self, other: &Outline) -> Option<Index> {
        let low = self.base.max(other.base);
        let mut place = self.last().min(other.last());
        while place >= low {
            // An epoch at a place that both have: equal there, equal before.
            if self.epoch_at(place).is_some_and(|epoch| other.epoch_at(place) == Some(epoch)) {
                return Some(place);
            }
            place = place.checked_sub(1)?;
        }
        None
    }
}

impl Outline {
    /// The place of its newest entry.
    pub fn last(&self) -> Index {
        self.runs.last().map_or(self.base, |run| run.last)
    }

    /// The epoch of the entry at a place that is not cut.
    pub fn epoch_at(&self, index: Index) -> Option<Epoch> {
        if index == self.base {
            return Some(self.base_epoch);
        }
        if index < self.base {
            return None;
        }
        self.runs.iter().find(|run| index <= run.last).map(|run| run.epoch)
    }
}

impl Logged for Entry {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn length(&self) -> usize {
        self.message.payload.len()
    }

    fn strip(&mut self) {
        self.message.payload = Bytes::new();
    }

    fn assert_behind(&self, newest: &Entry) {
        let (old, new) = (newest.timestamp, self.timestamp);
        assert!(old < new, "{} is proposed at {new} after {old}", self.message.id);
    }
}

impl Wire for Entry {
    #[inline]
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        self.timestamp.encode(writer);
        writer.u64(self.follows);
        self.message.encode(writer);
    }

    #[inline]
    fn decode(reader: &mut Reader) -> Result<Entry, WireError> {
        Ok(Entry {
            epoch: Epoch::decode(reader)?,
            timestamp: Timestamp::decode(reader)?,
            follows: reader.u64()?,
            message: Multicast::decode(reader)?,
        })
    }
}

impl Wire for Run {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        writer.u64(self.last);
    }

    fn decode(reader: &mut Reader) -> Result<Run, WireError> {
        Ok(Run { epoch: Epoch::decode(reader)?, last: reader.u64()? })
    }
}

impl Wire for Outline {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.base);
        self.base_epoch.encode(writer);
        writer.each(&self.runs);
    }

    fn decode(reader: &mut Reader) -> Result<Outline, WireError> {
        let outline = Outline {
            base: reader.u64()?,
            base_epoch: Epoch::decode(reader)?,
            runs: reader.list("runs of a log", MOST_RUNS)?,
        };
        let rises = outline.runs.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].last < pair[1].last);
        if !rises || outline.runs.first().is_some_and(|run| run.last <= outline.base) {
            return Err(WireError::Invalid { what: "the outline of a log that does not rise" });
        }
        Ok(outline)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {} of {}", self.message, self.timestamp, self.epoch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use skein_machine::MessageId;
    use skein_machine::ProcessId;
    use skein_machine::wire::{VERSION, from_bytes, to_bytes};

    fn epoch(round: u32) -> Epoch {
        Epoch { round, leader: ProcessId(0) }
    }

    fn log(rounds: &[u32]) -> Log {
        let mut log = Log::new(epoch(0));
        for (nth, round) in rounds.iter().enumerate() {
            let message = Multicast {
                id: MessageId::new(u64::from(*round), nth as u64 + 1, 0b1),
                floor: Timestamp::ZERO,
                expiry: Timestamp::MAX,
                payload: Bytes::from_static(b"x"),
            };
            log.append(Entry { epoch: epoch(*round), timestamp: Timestamp(nth as u64 + 1), follows: 0, message });
        }
        log
    }

    #[test]
    fn two_logs_agree_up_to_where_their_epochs_part() {
        let mine = log(&[0, 0, 1, 1]);
        assert_eq!(mine.agreement(&log(&[0, 0, 1, 1, 2]).outline()), Some(4));
        assert_eq!(mine.agreement(&log(&[0, 0, 0, 2]).outline()), Some(2));
        assert_eq!(mine.agreement(&log(&[3]).outline()), Some(0));
        assert_eq!(mine.agreement(&log(&[]).outline()), Some(0));
    }

    #[test]
    fn a_log_that_was_cut_too_far_agrees_nowhere() {
        let mut ahead = log(&[0, 0, 1, 1]);
        ahead.cut(3);
        assert_eq!(log(&[0, 0]).agreement(&ahead.outline()), None);
        assert_eq!(log(&[0, 0, 1]).agreement(&ahead.outline()), Some(3));
        assert_eq!(ahead.agreement(&log(&[0, 0]).outline()), None);
        assert_eq!(ahead.agreement(&log(&[0, 0, 1, 2]).outline()), Some(3));
    }

    #[test]
    fn what_is_cut_stays_until_it_is_removed() {
        let mut log = log(&[0, 1]);
        log.cut(2);
        log.sift(|index, _| if index == 1 { Fate::Removed } else { Fate::Stripped });
        assert_eq!((log.len(), log.last(), log.epoch_at(2), log.epoch_at(1)), (1, 2, Some(epoch(1)), None));
        assert!(log.get(2).unwrap().message.payload.is_empty());
        let kept = log.iter().map(|(index, entry)| (index, entry.clone())).collect::<Vec<_>>();
        assert_eq!(Log::restore(2, epoch(1), kept.into_iter()), log);
    }

    /// Every payload is one byte long here.
    #[test]
    fn a_log_knows_how_many_bytes_it_keeps() {
        let mut log = log(&[0, 0, 1, 1]);
        assert_eq!(log.bytes(), 4);
        log.cut(2);
        assert_eq!(log.bytes(), 4);
        log.sift(|index, _| if index == 1 { Fate::Stripped } else { Fate::Kept });
        assert_eq!(log.bytes(), 3);
        log.sift(|_, _| Fate::Removed);
        assert_eq!(log.bytes(), 2);
        log.truncate(3);
        assert_eq!((log.bytes(), log.len()), (1, 1));
    }

    #[test]
    fn the_newest_entries_are_few_enough_and_short_enough() {
        let log = log(&[0, 0, 1, 1]);
        assert_eq!(log.newest(3, 100), 1);
        assert_eq!(log.newest(100, 2), 2);
        assert_eq!((log.newest(100, 100), log.newest(0, 100), log.newest(100, 0)), (0, 4, 4));
    }

    #[test]
    fn truncation_takes_what_stands_behind() {
        let mut log = log(&[0, 1, 1]);
        assert_eq!(log.truncate(1).len(), 2);
        assert_eq!((log.last(), log.get(2), log.get(1).is_some()), (1, None, true));
        assert!(log.truncate(5).is_empty());
        assert_eq!(log.last(), 1);
    }

    #[test]
    #[should_panic(expected = "is proposed at 2 after 2")]
    fn timestamps_rise() {
        let mut log = log(&[0, 0]);
        let mut entry = log.get(2).unwrap().clone();
        entry.message.id = MessageId::new(9, 9, 0b1);
        log.append(entry);
    }

    #[test]
    fn an_outline_survives_the_journey() {
        let outline = log(&[0, 0, 1]).outline();
        assert_eq!(outline.runs, vec![Run { epoch: epoch(0), last: 2 }, Run { epoch: epoch(1), last: 3 }]);
        assert_eq!(from_bytes::<Outline>(to_bytes(&outline), VERSION).unwrap(), outline);
        let wrong = Outline { base: 4, ..outline };
        assert!(from_bytes::<Outline>(to_bytes(&wrong), VERSION).is_err());
    }
}
