//! The log as its owner meets it, with its threads, mostly on the real file
//! system; and what may not be seen through: damage, faults, misuse.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use skein_machine::{ClusterId, ProcessId, Random};

use super::*;
use crate::data::scratch::Scratch;
use crate::data::{Begin, Owner};
use crate::files::{Crash, Faults, Faulty, Files, Native, Ram};

const OWNER: Owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };

/// An open log, and who hears when it wakes its owner.
struct Life {
    wal: Wal,
    recovered: Recovered,
    woken: Receiver<()>,
}

fn settings(segment_bytes: u64) -> (Settings, Receiver<()>) {
    let (sender, woken) = channel();
    let waker = Arc::new(move || sender.send(()).unwrap_or_default());
    (Settings { segment_bytes, sync_every: Duration::from_millis(5), waker, ..Settings::default() }, woken)
}

fn open_in(files: Arc<dyn Files>, path: &Path, storage: Storage) -> Result<Life, WalError> {
    let mut data = DataDir::open(files, path, OWNER, Begin::Usual)?;
    let (settings, woken) = settings(4096);
    let (wal, recovered) = Wal::open(&mut data, storage, settings)?;
    Ok(Life { wal, recovered, woken })
}

fn open(path: &Path, storage: Storage) -> Result<Life, WalError> {
    open_in(Arc::new(Native), path, storage)
}

impl Life {
    fn append(&mut self, record: &str) -> u64 {
        self.wal.append(|buffer| buffer.extend_from_slice(record.as_bytes()))
    }

    /// Commits and waits for the disk.
    fn settle(&mut self) {
        self.wal.commit();
        while self.wal.durable() < self.wal.appended() {
            self.woken.recv_timeout(Duration::from_secs(20)).expect("it is told that more is durable");
            assert!(self.wal.failure().is_none(), "{:?}", self.wal.failure());
        }
    }

    fn found(&self) -> Vec<String> {
        let text = |written: &Written| String::from_utf8(written.bytes.to_vec()).unwrap();
        let checkpoint =
            self.recovered.checkpoint.iter().map(|(record, contents)| format!("{record}:{}", text(contents)));
        checkpoint.chain(self.recovered.records.iter().map(text)).collect()
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut names = Native.list(&path.join("log")).unwrap();
    names.sort();
    names
}

#[test]
fn what_is_durable_is_there_in_the_next_life() {
    for storage in [Storage::Async, Storage::Sync] {
        let scratch = Scratch::new();
        let mut life = open(scratch.path(), storage).unwrap();
        assert_eq!((life.found().len(), life.recovered.boot), (0, Boot::First));
        assert_eq!([life.append("one"), life.append("two")], [1, 2]);
        assert_eq!(life.wal.durable(), 0, "nothing before it is committed");
        life.settle();
        life.append("three");
        life.wal.shutdown().unwrap();
        let mut life = open(scratch.path(), storage).unwrap();
        assert_eq!(
            (life.found(), life.recovered.boot),
            (vec!["one".into(), "two".into(), "three".into()], Boot::Again)
        );
        assert_eq!(life.recovered.torn, None);
        assert_eq!(life.append("four"), 4);
        life.settle();
        life.wal.shutdown().unwrap();
        assert_eq!(open(scratch.path(), storage).unwrap().found().last().unwrap(), "four");
    }
}

#[test]
fn a_life_in_memory_writes_nothing_and_is_forgotten() {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Memory).unwrap();
    life.append("one");
    life.wal.checkpoint(|_| panic!("nobody would read it"));
    life.wal.compact(|_| panic!("nobody would read it"));
    assert_eq!((life.wal.appended(), life.wal.durable()), (2, 0));
    life.wal.commit();
    assert_eq!((life.wal.durable(), life.wal.backlog()), (2, 0));
    assert_eq!((life.append("two"), life.wal.durable()), (3, 2));
    life.wal.shutdown().unwrap();
    assert!(!scratch.path().join("log").exists());

    let life = open(scratch.path(), Storage::Sync).unwrap();
    assert_eq!((life.found().len(), life.recovered.boot), (0, Boot::Amnesiac { incarnation: 1 }));
}

#[test]
fn a_log_is_not_forgotten_by_a_life_in_memory() {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    life.append("one");
    life.wal.shutdown().unwrap();
    let refusal = open(scratch.path(), Storage::Memory).err().unwrap().to_string();
    assert!(refusal.contains("reaches to record 1, which a life in memory would forget"), "{refusal}");
}

#[test]
fn the_directory_is_ours_as_long_as_the_log_is_open() {
    let scratch = Scratch::new();
    let life = open(scratch.path(), Storage::Sync).unwrap();
    assert!(open(scratch.path(), Storage::Sync).err().unwrap().to_string().contains("in use"));
    assert!(check(&Native, scratch.path()).unwrap_err().to_string().contains("in use"));
    drop(life);
    assert!(check(&Native, scratch.path()).unwrap().is_sound());
}

#[test]
fn a_checkpoint_replaces_what_stands_before_it() {
    for storage in [Storage::Async, Storage::Sync] {
        let scratch = Scratch::new();
        let mut life = open(scratch.path(), storage).unwrap();
        for number in 1..=100 {
            life.append(&format!("{number:0>100}"));
            life.settle();
        }
        assert!(names(scratch.path()).len() > 4);
        assert_eq!(life.wal.checkpoint(|buffer| buffer.extend_from_slice(b"state")), 101);
        life.append("after");
        life.settle();
        life.wal.shutdown().unwrap();
        let names = names(scratch.path());
        assert_eq!(names.len(), 3, "one segment, one checkpoint, the note: {names:?}");
        let mut life = open(scratch.path(), storage).unwrap();
        assert_eq!(life.found(), ["101:state", "after"]);
        assert!(life.wal.compact(|buffer| buffer.extend_from_slice(b"more state")));
        assert!(!life.wal.compact(|_| panic!("it would say the same")));
        life.wal.shutdown().unwrap();
        assert_eq!(open(scratch.path(), storage).unwrap().found(), ["102:more state"]);
    }
}

/// By hand, so that nothing happens by itself.
fn by_hand(ram: &Ram, storage: Storage) -> Result<(Wal, Recovered, Hands), WalError> {
    let mut data = DataDir::open(Arc::new(ram.clone()), Path::new("d"), OWNER, Begin::Usual)?;
    let (wal, recovered, hands) = Wal::assemble(&mut data, storage, settings(4096).0)?;
    Ok((wal, recovered, hands.expect("it has hands")))
}

#[test]
fn nothing_behind_a_checkpoint_is_durable_before_it() {
    for storage in [Storage::Async, Storage::Sync] {
        let (mut wal, _, mut hands) = by_hand(&Ram::default(), storage).unwrap();
        wal.append(|_| {});
        assert_eq!(wal.checkpoint(|_| {}), 2);
        wal.append(|_| {});
        wal.commit();
        hands.writer.as_mut().map(Writer::round);
        hands.syncer.as_mut().map(Syncer::round);
        assert_eq!((wal.durable(), wal.synced()), (1, 1), "{storage:?}");
        hands.keeper.round();
        assert_eq!((wal.durable(), wal.synced()), (3, 3), "{storage:?}");
    }
}

#[test]
fn a_checkpoint_that_nobody_has_begun_gives_way_to_a_newer_one() {
    let ram = Ram::default();
    let (mut wal, _, mut hands) = by_hand(&ram, Storage::Sync).unwrap();
    for contents in ["old", "newer", "newest"] {
        wal.checkpoint(|buffer| buffer.extend_from_slice(contents.as_bytes()));
        wal.commit();
    }
    hands.writer.as_mut().map(Writer::round);
    assert_eq!((wal.durable(), wal.backlog()), (0, "newest".len()));
    assert!(hands.keeper.round() && !hands.keeper.round());
    assert_eq!((wal.durable(), wal.backlog()), (3, 0));
    drop((wal, hands));
    assert_eq!(by_hand(&ram, Storage::Sync).unwrap().1.checkpoint.unwrap().1.bytes, "newest");
}

#[test]
fn a_record_may_be_longer_than_a_segment() {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    let long = "long".repeat(700_000);
    for record in ["one", &long, "three"] {
        life.append(record);
    }
    life.settle();
    life.append(&long);
    life.wal.shutdown().unwrap();
    let life = open(scratch.path(), Storage::Sync).unwrap();
    assert!(life.found() == ["one", &long, "three", &long]);
}

#[test]
fn commits_that_come_during_a_sync_share_the_next_one() {
    let scratch = Scratch::new();
    let faults = Faults { sync_delay: Duration::from_millis(20), ..Faults::default() };
    let files = Arc::new(Faulty::new(Arc::new(Native), faults));
    let mut life = open_in(files.clone(), scratch.path(), Storage::Sync).unwrap();
    let before = files.syncs();
    for _ in 0..200 {
        life.append("record");
        life.wal.commit();
    }
    assert!(life.wal.backlog() > 0, "nobody waited for the disk");
    life.settle();
    assert_eq!(life.wal.backlog(), 0);
    let syncs = files.syncs() - before;
    assert!(syncs < 100, "{syncs} syncs");
}

/// The first sync that the writer does: the identity and the note come before.
const FIRST_SYNC_OF_THE_LOG: u64 = 3;

#[test]
fn a_sync_that_failed_is_the_end() {
    for storage in [Storage::Async, Storage::Sync] {
        let scratch = Scratch::new();
        let faults = Faults { failing_sync: Some(FIRST_SYNC_OF_THE_LOG), ..Faults::default() };
        let files = Arc::new(Faulty::new(Arc::new(Native), faults));
        let mut life = open_in(files.clone(), scratch.path(), storage).unwrap();
        life.append("one");
        life.wal.commit();
        life.woken.recv_timeout(Duration::from_secs(20)).expect("it is told that something failed");
        let (durable, failure) = (life.wal.durable(), life.wal.failure().unwrap().to_string());
        assert!(failure.contains("cannot sync") && failure.contains("00000001.log"), "{failure}");
        assert!(failure.contains("nothing since the last good sync counts"), "{failure}");
        life.append("two");
        life.wal.checkpoint(|_| {});
        life.wal.commit();
        assert_eq!((life.wal.durable(), life.wal.synced(), life.wal.backlog()), (durable, 0, 0));
        assert!(life.wal.shutdown().is_err());
        assert_eq!(files.syncs(), FIRST_SYNC_OF_THE_LOG, "nobody tried again");
    }
}

#[test]
fn a_checkpoint_that_failed_is_the_end_of_the_log_too() {
    let faults = Faults { failing_sync: Some(FIRST_SYNC_OF_THE_LOG), ..Faults::default() };
    let files = Arc::new(Faulty::new(Arc::new(Ram::default()), faults));
    let mut data = DataDir::open(files, Path::new("d"), OWNER, Begin::Usual).unwrap();
    let (mut wal, _, hands) = Wal::assemble(&mut data, Storage::Sync, settings(4096).0).unwrap();
    let Hands { writer, mut keeper, .. } = hands.unwrap();
    wal.append(|_| {});
    wal.compact(|_| {});
    wal.commit();
    keeper.round();
    writer.unwrap().round();
    assert_eq!((wal.durable(), wal.backlog()), (0, 0));
    assert!(wal.failure().unwrap().to_string().contains("cannot sync d/log/checkpoint.new"));
}

#[test]
fn a_full_disk_is_said_to_be_full() {
    for storage in [Storage::Async, Storage::Sync] {
        let scratch = Scratch::new();
        let faults = Faults { full_after_bytes: Some(1000), ..Faults::default() };
        let mut life = open_in(Arc::new(Faulty::new(Arc::new(Native), faults)), scratch.path(), storage).unwrap();
        let mut durable = 0;
        while life.wal.failure().is_none() {
            durable = life.wal.durable();
            life.append("a record");
            life.wal.commit();
        }
        let failure = life.wal.failure().unwrap().to_string();
        assert!(
            failure.contains("cannot write to") && failure.contains("bytes are free there: make room"),
            "{failure}"
        );
        assert!(life.wal.durable() >= durable && life.wal.durable() < life.wal.appended());
        drop(life);
        let life = open(scratch.path(), storage).unwrap();
        assert!(life.recovered.records.len() as u64 >= durable, "what was promised is there");
    }
}

#[test]
fn a_torn_end_is_cut_off_and_told() {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    life.append("one");
    life.settle();
    drop(life);
    let file = scratch.path().join("log/00000001.log");
    let mut bytes = fs::read(&file).unwrap();
    let end = 64 + 40 + 4 + 3;
    bytes.resize(end, 0);
    bytes.extend_from_slice(b"never finished");
    fs::write(&file, bytes).unwrap();
    let report = check(&Native, scratch.path()).unwrap();
    assert!(report.is_sound() && report.to_string().contains("torn at byte 111, 14 bytes that nobody was promised"));
    let life = open(scratch.path(), Storage::Sync).unwrap();
    let torn = life.recovered.torn.clone().unwrap();
    assert_eq!((torn.offset, torn.bytes, torn.file == file), (end as u64, 14, true));
    assert_eq!(fs::metadata(&file).unwrap().len(), end as u64);
    assert_eq!(life.found(), ["one"]);
}

/// Whoever reads a record knows in which version it was written, also where a checkpoint of one version stands before
/// records of another.
#[test]
fn a_record_keeps_its_version() {
    let scratch = Scratch::new();
    let begin = |version| {
        let mut data = DataDir::open(Arc::new(Native), scratch.path(), OWNER, Begin::Usual).unwrap();
        let settings = Settings { version, ..settings(4096).0 };
        Wal::open(&mut data, Storage::Async, settings).unwrap()
    };
    let found = |recovered: &Recovered| -> Vec<(Version, Bytes)> {
        let all = recovered.checkpoint.iter().map(|(_, written)| written).chain(&recovered.records);
        all.map(|Written { version, bytes }| (*version, bytes.clone())).collect()
    };
    let (one, two, three) = (Bytes::from("one"), Bytes::from("two"), Bytes::from("three"));
    for (version, record, before) in
        [(1, &one, vec![]), (2, &two, vec![(1, one.clone())]), (1, &three, vec![(1, one.clone()), (2, two.clone())])]
    {
        let (mut wal, recovered) = begin(version);
        assert_eq!(found(&recovered), before);
        wal.append(|buffer| buffer.extend_from_slice(record));
        wal.shutdown().unwrap();
    }
    // Its writer knows only version 1; that it has read the others is another matter.
    let (mut wal, recovered) = begin(1);
    assert_eq!(found(&recovered), [(1, one), (2, two), (1, three)]);
    wal.compact(|buffer| buffer.extend_from_slice(b"all"));
    wal.shutdown().unwrap();
    let (mut wal, _) = begin(2);
    wal.append(|buffer| buffer.extend_from_slice(b"four"));
    wal.shutdown().unwrap();
    let report = check(&Native, scratch.path()).unwrap().to_string();
    assert!(report.contains("checkpoint-3: replaces the records up to 3, 3 bytes in version 1"), "{report}");
    assert_eq!(found(&begin(2).1), [(1, Bytes::from("all")), (2, Bytes::from("four"))]);
}

/// A directory with `one` and `two`, each synced, and the file that they are in.
fn two_records() -> (Scratch, PathBuf) {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    for record in ["one", "two"] {
        life.append(record);
        life.settle();
    }
    drop(life);
    let file = scratch.path().join("log/00000001.log");
    (scratch, file)
}

#[test]
fn damage_is_refused_with_its_place() {
    let (scratch, file) = two_records();
    let mut bytes = fs::read(&file).unwrap();
    bytes[64 + 47 + 42] ^= 1;
    fs::write(&file, bytes).unwrap();
    let refusal = open(scratch.path(), Storage::Sync).err().unwrap().to_string();
    let expected = format!(
        "{}: damaged at byte 111, where a batch whose checksum matches should be; the records up to 1 are sound, \
         and those up to 2 had been synced; put back a copy, or let the process set its log aside and begin \
         without memory",
        file.display()
    );
    assert_eq!(refusal, expected);
}

#[test]
fn a_damaged_log_is_set_aside_and_never_deleted() {
    let (scratch, file) = two_records();
    let mut bytes = fs::read(&file).unwrap();
    bytes[70] ^= 1;
    fs::write(&file, &bytes).unwrap();
    let begin = || {
        let mut data = DataDir::open(Arc::new(Native), scratch.path(), OWNER, Begin::Usual).unwrap();
        Wal::open_or_set_aside(&mut data, Storage::Sync, settings(4096).0).unwrap()
    };
    let (wal, recovered) = begin();
    assert_eq!((recovered.boot, recovered.records.len()), (Boot::Amnesiac { incarnation: 1 }, 0));
    let (damage, aside) = recovered.set_aside.unwrap();
    assert_eq!((damage.file, damage.sound, damage.synced), (file, 0, 2));
    assert_eq!((fs::read(aside.join("00000001.log")).unwrap(), aside), (bytes, scratch.path().join("damaged-1")));
    drop(wal);
    let (mut wal, recovered) = begin();
    assert_eq!(recovered.boot, Boot::Amnesiac { incarnation: 2 }, "it wrote nothing down");
    wal.append(|_| {});
    wal.shutdown().unwrap();
    assert_eq!(begin().1.boot, Boot::Again);
}

#[test]
fn a_segment_that_is_missing_is_damage() {
    let scratch = Scratch::new();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    for _ in 0..3 {
        life.append(&"long".repeat(1000));
        life.settle();
    }
    drop(life);
    let copy = |number| fs::read(scratch.path().join(format!("log/0000000{number}.log"))).unwrap();
    let segments = [copy(1), copy(2), copy(3)];
    for (missing, complaint) in [
        (1, "d 0"),
        (2, "00000002.log, which is missing, should be; the records up to 1 are"),
        (3, "where record 3 should be"),
    ] {
        fs::remove_file(scratch.path().join(format!("log/0000000{missing}.log"))).unwrap();
        let report = check(&Native, scratch.path()).unwrap();
        assert!(!report.is_sound() && (report.to_string().contains(complaint) || missing == 1), "{report}");
        fs::write(scratch.path().join(format!("log/0000000{missing}.log")), &segments[missing - 1]).unwrap();
    }
    assert!(check(&Native, scratch.path()).unwrap().is_sound());
}

/// Behind the hole is a batch that says what had been synced, and only that: the note is gone too.
#[test]
fn a_hole_of_zeros_is_damage_if_something_behind_it_says_so() {
    let (scratch, file) = two_records();
    let mut life = open(scratch.path(), Storage::Sync).unwrap();
    for record in ["three", "four", "five"] {
        life.append(record);
        life.settle();
    }
    drop(life);
    let second = file.with_file_name("00000002.log");
    let mut bytes = fs::read(&second).unwrap();
    bytes[64..64 + 49].fill(0);
    fs::write(&second, bytes).unwrap();
    fs::remove_file(file.with_file_name("synced")).unwrap();
    let report = check(&Native, scratch.path()).unwrap();
    let damage = report.damage.unwrap();
    assert_eq!((damage.file, damage.offset, damage.sound, damage.synced), (second, 64, 2, 4));
}

/// The machine dies, and what survives of the checkpoint is nothing: the log must not pass for a shorter one.
#[test]
fn a_checkpoint_that_is_missing_is_damage_after_any_crash() {
    for seed in 0..50 {
        let ram = Ram::default();
        let (mut wal, _, mut hands) = by_hand(&ram, Storage::Sync).unwrap();
        for _ in 0..20 {
            wal.append(|buffer| buffer.resize(buffer.len() + 500, 1));
            wal.commit();
        }
        // All in one round, so that no batch says of another that it is synced.
        hands.writer.as_mut().map(Writer::round);
        wal.compact(|buffer| buffer.push(1));
        wal.commit();
        hands.keeper.round();
        drop((wal, hands));
        // What was taken away is away for good.
        ram.sync_folder(Path::new("d/log")).unwrap();
        let ram = ram.crash(Crash::Machine, &mut Random::new(seed));
        ram.remove(Path::new("d/log/checkpoint-20")).unwrap();
        let opened = by_hand(&ram, Storage::Sync);
        assert!(matches!(opened, Err(WalError::Damaged(_))), "seed {seed}: {:?}", opened.map(|(_, found, _)| found));
    }
}

#[test]
fn a_flaw_in_a_newer_checkpoint_is_no_harm_while_the_log_reaches_further() {
    let ram = Ram::default();
    let (mut wal, _, mut hands) = by_hand(&ram, Storage::Sync).unwrap();
    for _ in 0..3 {
        wal.append(|_| {});
    }
    wal.compact(|buffer| buffer.push(1));
    wal.commit();
    hands.writer.as_mut().map(Writer::round);
    hands.keeper.round();
    ram.edit(Path::new("d/log/checkpoint-3"), |bytes| bytes[64] ^= 1);
    drop((wal, hands));
    let (_, recovered, _) = by_hand(&ram, Storage::Sync).unwrap();
    assert_eq!((recovered.checkpoint, recovered.records.len()), (None, 3));
}

#[test]
fn no_thread_is_left_when_it_closes() {
    let scratch = Scratch::new();
    for _ in 0..20 {
        let mut life = open(scratch.path(), Storage::Async).unwrap();
        life.append("one");
        life.wal.commit();
        assert_eq!(life.wal.durable(), life.wal.appended(), "written is durable here");
    }
    assert_eq!(open(scratch.path(), Storage::Async).unwrap().found().len(), 20);
}
