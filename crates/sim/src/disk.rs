//! A disk that forgets, tears and rots. Records are kept as bytes with a
//! checksum each; what was appended is safe only once a sync has finished.
//!
//! A crash keeps some prefix of what was not synced, perhaps with a torn write
//! behind it. A record that was synced and does not match its checksum is
//! never handed out: reading says that the disk is damaged.

use std::collections::VecDeque;

use bytes::Bytes;
use skein_machine::Random;

use crate::{MICROSECOND, Nanos};

/// A record that replaces others is large: writing it takes up to so many times as long as the slowest sync.
const COMPACTION_TAKES: u64 = 1000;

/// How fast a disk is.
#[derive(Clone, Copy, Debug)]
pub struct DiskHabits {
    /// A sync takes at least this long.
    pub fastest_sync: Nanos,
    /// And at most this long.
    pub slowest_sync: Nanos,
}

impl DiskHabits {
    /// A sync takes no time: for counting steps.
    pub const INSTANT: DiskHabits = DiskHabits { fastest_sync: 0, slowest_sync: 0 };
    /// A good solid-state disk.
    pub const GOOD: DiskHabits = DiskHabits { fastest_sync: 50 * MICROSECOND, slowest_sync: 500 * MICROSECOND };
}

/// The disk of one process.
#[derive(Clone, Debug)]
pub struct Disk {
    habits: DiskHabits,
    records: VecDeque<Record>,
    /// Numbers count appended records over all lives; this one was the last.
    written: u64,
    /// Everything up to this number is safe.
    durable: u64,
    /// A sync is under way, and covers everything up to this number.
    syncing: Option<u64>,
    /// A record that is being written beside the others, to replace those up to its number.
    compaction: Option<Compaction>,
    full: bool,
    sync_will_fail: bool,
}

#[derive(Clone, Debug)]
struct Compaction {
    record: Record,
    is_written: bool,
}

#[derive(Clone, Debug)]
struct Record {
    number: u64,
    is_checkpoint: bool,
    bytes: Vec<u8>,
    checksum: u32,
}

/// Nothing more fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The sync did not work, and what it covered may or may not be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SyncFailed;

/// A record that had been synced does not match its checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Damaged {
    pub(crate) record: u64,
}

impl Disk {
    /// An empty disk.
    pub fn new(habits: DiskHabits) -> Disk {
        Disk {
            habits,
            records: VecDeque::new(),
            written: 0,
            durable: 0,
            syncing: None,
            compaction: None,
            full: false,
            sync_will_fail: false,
        }
    }

    /// The number of the record that was appended last.
    pub(crate) fn written(&self) -> u64 {
        self.written
    }

    /// Everything up to this number is safe.
    pub(crate) fn durable(&self) -> u64 {
        self.durable
    }

    /// How many records it holds.
    pub fn records(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn set_habits(&mut self, habits: DiskHabits) {
        self.habits = habits;
    }

    pub(crate) fn set_full(&mut self, full: bool) {
        self.full = full;
    }

    pub(crate) fn set_sync_failing(&mut self, will_fail: bool) {
        self.sync_will_fail = will_fail;
    }

    /// Appends a record; a checkpoint replaces what stands before it once it is safe.
    pub(crate) fn append(&mut self, bytes: Vec<u8>, is_checkpoint: bool) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        self.written += 1;
        let checksum = crc32c::crc32c(&bytes);
        self.records.push_back(Record { number: self.written, is_checkpoint, bytes, checksum });
        Ok(())
    }

    /// Begins a sync if there is something to sync and none is under way;
    /// answers how long it will take.
    pub(crate) fn begin_sync(&mut self, random: &mut Random) -> Option<Nanos> {
        if self.syncing.is_some() || self.written == self.durable {
            return None;
        }
        self.syncing = Some(self.written);
        Some(random.between(self.habits.fastest_sync, self.habits.slowest_sync))
    }

    /// The sync is over: what it covered is safe, and the newest checkpoint in it replaces what stood before.
    pub(crate) fn finish_sync(&mut self) -> Result<(), SyncFailed> {
        let covered = self.syncing.take().expect("a sync ends that has begun");
        if std::mem::take(&mut self.sync_will_fail) {
            return Err(SyncFailed);
        }
        self.durable = covered;
        let safe = |record: &&Record| record.is_checkpoint && record.number <= covered;
        if let Some(checkpoint) = self.records.iter().rev().find(safe).map(|record| record.number) {
            self.records.retain(|record| record.number >= checkpoint);
        }
        self.put_compaction_in_place();
        Ok(())
    }

    /// Begins to write a record that will replace everything so far, in place of an older one that is not
    /// finished. Answers how long it takes, unless there is no room.
    pub(crate) fn compact(&mut self, bytes: Vec<u8>, random: &mut Random) -> Option<Nanos> {
        self.compaction = None;
        if self.full {
            return None;
        }
        let checksum = crc32c::crc32c(&bytes);
        let record = Record { number: self.written, is_checkpoint: true, bytes, checksum };
        self.compaction = Some(Compaction { record, is_written: false });
        Some(random.below(COMPACTION_TAKES * self.habits.slowest_sync + 1))
    }

    /// The record that was begun at this number stands on the disk, if it was not given up meanwhile.
    pub(crate) fn finish_compaction(&mut self, number: u64) {
        if let Some(compaction) = self.compaction.as_mut().filter(|compaction| compaction.record.number == number) {
            compaction.is_written = true;
        }
        self.put_compaction_in_place();
    }

    /// Once everything that it replaces is safe, it does. One that a safe checkpoint has overtaken is of no use.
    fn put_compaction_in_place(&mut self) {
        let durable = self.durable;
        let is_ripe = |compaction: &mut Compaction| compaction.is_written && compaction.record.number <= durable;
        let Some(Compaction { record, .. }) = self.compaction.take_if(is_ripe) else { return };
        let overtakes = |other: &Record| other.is_checkpoint && (record.number..=durable).contains(&other.number);
        if !self.records.iter().any(overtakes) {
            self.records.retain(|other| other.number > record.number);
            self.records.push_front(record);
        }
    }

    /// The process died: of what was not synced, some prefix survives, and the
    /// next record may be torn. Answers whether it is.
    pub(crate) fn crash(&mut self, random: &mut Random) -> bool {
        self.syncing = None;
        self.sync_will_fail = false;
        // What was being written beside the log may just have been finished.
        if random.chance(0.5)
            && let Some(compaction) = &mut self.compaction
        {
            compaction.is_written = true;
            self.put_compaction_in_place();
        }
        self.compaction = None;
        let unsynced = self.written - self.durable;
        if unsynced == 0 {
            return false;
        }
        let survivors = random.between(0, unsynced);
        let last = self.durable + survivors;
        let torn = survivors < unsynced && random.chance(0.5);
        self.records.retain(|record| record.number <= last + u64::from(torn));
        if torn && let Some(record) = self.records.back_mut() {
            // A sector that never arrived: the length is there, the end is not.
            let kept = random.below(record.bytes.len() as u64 + 1) as usize;
            record.bytes[kept..].fill(0);
            record.checksum ^= 1 << random.below(32);
        }
        self.written = self.records.back().map_or(self.durable, |record| record.number);
        torn
    }

    /// Everything is gone.
    pub(crate) fn wipe(&mut self) {
        *self = Disk { full: self.full, ..Disk::new(self.habits) };
    }

    /// Flips one bit of a record that was synced; answers whether there was one.
    pub(crate) fn rot(&mut self, random: &mut Random) -> bool {
        let durable = self.durable;
        let mut synced: Vec<_> =
            self.records.iter_mut().filter(|record| record.number <= durable && !record.bytes.is_empty()).collect();
        if synced.is_empty() {
            return false;
        }
        let victim = random.below(synced.len() as u64) as usize;
        let bytes = &mut synced[victim].bytes;
        let place = random.below(bytes.len() as u64) as usize;
        bytes[place] ^= 1 << random.below(8);
        true
    }

    /// Reads everything after a restart, from the newest checkpoint on. A tail
    /// that was never synced and does not match is cut; anything older must match.
    pub(crate) fn read(&mut self) -> Result<Vec<Bytes>, Damaged> {
        let mut sound = Vec::new();
        for place in 0..self.records.len() {
            let record = &self.records[place];
            if crc32c::crc32c(&record.bytes) == record.checksum {
                sound.push(Bytes::copy_from_slice(&record.bytes));
            } else if record.number > self.durable {
                self.records.truncate(place);
                break;
            } else {
                return Err(Damaged { record: record.number });
            }
        }
        // A checkpoint that survived the crash unsynced is safe now, and replaces what stands before it.
        if let Some(checkpoint) = self.records.iter().rposition(|record| record.is_checkpoint) {
            self.records.drain(..checkpoint);
            sound.drain(..checkpoint);
        }
        // What survived is read back from the platter, so it is as safe as if it had been synced.
        self.written = self.records.back().map_or(self.durable, |record| record.number);
        self.durable = self.written;
        Ok(sound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(records: &[&str], synced: usize) -> (Disk, Random) {
        let (mut disk, mut random) = (Disk::new(DiskHabits::GOOD), Random::new(1));
        for (nth, record) in records.iter().enumerate() {
            disk.append(record.as_bytes().to_vec(), record.starts_with('C')).unwrap();
            if nth + 1 == synced {
                disk.begin_sync(&mut random).unwrap();
                disk.finish_sync().unwrap();
            }
        }
        (disk, random)
    }

    fn contents(disk: &mut Disk) -> Vec<String> {
        disk.read().unwrap().iter().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap()).collect()
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_some_prefix_of_the_rest() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let (mut disk, _) = disk(&["a", "b", "c", "d"], 2);
            let is_torn = disk.crash(&mut Random::new(seed));
            let is_sound = |record: &Record| crc32c::crc32c(&record.bytes) == record.checksum;
            assert_eq!(is_torn, !disk.records.iter().all(is_sound), "it says what it did");
            outcomes.insert(contents(&mut disk).join(""));
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["ab", "abc", "abcd"]);
    }

    #[test]
    fn a_sync_covers_only_what_was_there_when_it_began() {
        let (mut disk, mut random) = disk(&["a"], 0);
        assert!(disk.begin_sync(&mut random).is_some());
        disk.append(b"b".to_vec(), false).unwrap();
        assert!(disk.begin_sync(&mut random).is_none(), "one is under way");
        disk.finish_sync().unwrap();
        assert_eq!((disk.durable(), disk.written()), (1, 2));
    }

    #[test]
    fn a_checkpoint_replaces_the_past_once_it_is_safe() {
        let (mut disk1, _) = disk(&["a", "b", "C", "d"], 4);
        assert_eq!(contents(&mut disk1), ["C", "d"]);
        let (disk2, _) = disk(&["a", "b", "C"], 2);
        assert_eq!(disk2.records(), 3, "not safe yet");
    }

    #[test]
    fn a_checkpoint_that_survives_a_crash_unsynced_stands_alone() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let (mut disk, _) = disk(&["a", "b", "C", "d"], 2);
            disk.crash(&mut Random::new(seed));
            outcomes.insert(contents(&mut disk).join(""));
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["C", "Cd", "ab"]);
    }

    #[test]
    fn a_compaction_replaces_what_was_there_when_it_began() {
        let (mut disk, mut random) = disk(&["a", "b"], 2);
        assert!(disk.compact(b"AB".to_vec(), &mut random).is_some());
        disk.append(b"c".to_vec(), false).unwrap();
        disk.begin_sync(&mut random).unwrap();
        disk.finish_sync().unwrap();
        assert_eq!(contents(&mut disk.clone()), ["a", "b", "c"], "it is not finished");
        disk.finish_compaction(2);
        assert_eq!(contents(&mut disk), ["AB", "c"]);
    }

    #[test]
    fn a_compaction_waits_for_what_it_replaces() {
        let (mut disk, mut random) = disk(&["a", "b"], 1);
        disk.compact(b"AB".to_vec(), &mut random);
        disk.finish_compaction(2);
        assert_eq!(disk.records(), 2);
        disk.begin_sync(&mut random).unwrap();
        disk.finish_sync().unwrap();
        assert_eq!(contents(&mut disk), ["AB"]);
    }

    #[test]
    fn a_compaction_that_was_overtaken_is_dropped() {
        let (mut disk, mut random) = disk(&["a"], 1);
        disk.compact(b"A".to_vec(), &mut random);
        disk.append(b"C".to_vec(), true).unwrap();
        disk.begin_sync(&mut random).unwrap();
        disk.finish_sync().unwrap();
        disk.finish_compaction(1);
        assert_eq!(contents(&mut disk), ["C"]);
        disk.set_full(true);
        assert!(disk.compact(b"C".to_vec(), &mut random).is_none(), "there is no room");
    }

    #[test]
    fn a_crash_keeps_a_compaction_or_what_it_would_replace() {
        let mut outcomes = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let (mut disk, mut random) = disk(&["a", "b", "c"], 3);
            disk.compact(b"ABC".to_vec(), &mut random);
            disk.append(b"d".to_vec(), false).unwrap();
            disk.crash(&mut Random::new(seed));
            disk.finish_compaction(3);
            outcomes.insert(contents(&mut disk).join(""));
        }
        assert_eq!(outcomes.into_iter().collect::<Vec<_>>(), ["ABC", "ABCd", "abc", "abcd"]);
    }

    #[test]
    fn a_flipped_bit_is_noticed_and_never_served() {
        for seed in 0..50 {
            let (mut disk, _) = disk(&["a", "b", "c"], 3);
            let mut random = Random::new(seed);
            disk.crash(&mut random);
            assert!(disk.rot(&mut random));
            assert!(disk.read().is_err());
        }
    }

    #[test]
    fn a_failed_sync_makes_nothing_safe() {
        let (mut disk, mut random) = disk(&["a"], 0);
        disk.set_sync_failing(true);
        disk.begin_sync(&mut random).unwrap();
        assert_eq!(disk.finish_sync(), Err(SyncFailed));
        assert_eq!(disk.durable(), 0);
    }

    #[test]
    fn a_full_disk_takes_nothing_and_keeps_what_it_has() {
        let (mut disk, _) = disk(&["a"], 1);
        disk.set_full(true);
        assert_eq!(disk.append(b"b".to_vec(), false), Err(Full));
        assert_eq!(contents(&mut disk), ["a"]);
        disk.wipe();
        assert!(contents(&mut disk).is_empty());
    }
}
