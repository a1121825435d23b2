//! The log against a simple model, through crashes at every point, those of
//! recovery included. What was promised is there, in order; what was not
//! committed never is. The hands of the log are moved one by one, so a seed
//! repeats the same history.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use proptest::prelude::*;
use skein_machine::{ClusterId, ProcessId, Random};

use super::*;
use crate::data::{Begin, Owner};
use crate::files::{Crash, Ram};

#[derive(Clone, Copy, Debug)]
enum Step {
    Append {
        length: usize,
    },
    Checkpoint,
    Compact,
    Commit,
    Write,
    Keep,
    /// From so many changes on, nothing works any more, until the crash.
    LosePower {
        changes: u64,
    },
    Crash {
        crash: Crash,
        seed: u64,
        changes_of_recovery: Option<u64>,
    },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let crash = prop_oneof![Just(Crash::Process), Just(Crash::Machine)];
    let length = prop_oneof![9 => 0..200usize, 1 => 900..3000usize];
    let step = prop_oneof![
        12 => length.prop_map(|length| Step::Append { length }),
        1 => Just(Step::Checkpoint),
        1 => Just(Step::Compact),
        6 => Just(Step::Commit),
        6 => Just(Step::Write),
        3 => Just(Step::Keep),
        1 => (0..9u64).prop_map(|changes| Step::LosePower { changes }),
        2 => (crash, any::<u64>(), prop::option::of(0..25u64))
            .prop_map(|(crash, seed, changes_of_recovery)| Step::Crash { crash, seed, changes_of_recovery }),
    ];
    prop::collection::vec(step, 1..120)
}

/// One replica and what it remembers of what it wrote.
struct Model {
    storage: Storage,
    segment_bytes: u64,
    ram: Ram,
    wal: Option<(Wal, Hands)>,
    /// Every record that may be on the disk, by number from 1; `None` is a checkpoint.
    written: Vec<Option<Bytes>>,
    committed: u64,
    /// Makes every record differ from all others, even of its own number.
    drawn: u64,
}

impl Model {
    fn new(storage: Storage, segment_bytes: u64) -> Model {
        let (ram, written) = (Ram::default(), Vec::new());
        let mut model = Model { storage, segment_bytes, ram, wal: None, written, committed: 0, drawn: 0 };
        model.wal = Some(model.open().expect("nothing is wrong yet"));
        model
    }

    fn open(&mut self) -> Result<(Wal, Hands), WalError> {
        let owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };
        let mut data = DataDir::open(Arc::new(self.ram.clone()), Path::new("d"), owner, Begin::Usual)?;
        let settings = Settings { segment_bytes: self.segment_bytes, ..Settings::default() };
        let (wal, recovered, hands) = Wal::assemble(&mut data, self.storage, settings)?;
        self.compare(&wal, &recovered);
        Ok((wal, hands.expect("this storage has hands")))
    }

    /// What was recovered is what was written, up to some point.
    fn compare(&mut self, wal: &Wal, recovered: &Recovered) {
        let replaced = recovered.checkpoint.as_ref().map_or(0, |(record, contents)| {
            assert_eq!(contents.bytes, self.state_at(*record), "the checkpoint that replaces {record}");
            *record
        });
        let last = replaced + recovered.records.len() as u64;
        assert!(last <= self.committed, "{last} was never committed");
        for (record, number) in recovered.records.iter().zip(replaced..) {
            assert_eq!(Some(&record.bytes), self.written[number as usize].as_ref(), "record {}", number + 1);
        }
        self.written.truncate(last as usize);
        self.committed = last;
        assert_eq!((wal.appended(), wal.durable(), wal.synced()), (last, last, last));
    }

    /// What a checkpoint says: a digest of everything before it.
    fn state_at(&self, record: u64) -> Bytes {
        let known = self.written[..record as usize].iter().flatten();
        let digest = known.fold(0, |digest, record| crc32c::crc32c_append(digest, record));
        Bytes::from(format!("{record} {digest}").repeat(40))
    }

    fn take(&mut self, step: Step) {
        let (mut wal, mut hands) = self.wal.take().expect("it is open between steps");
        match step {
            Step::Append { length } => {
                self.drawn += 1;
                let record: Bytes = self.drawn.to_le_bytes().repeat(length / 8 + 1).into();
                let number = wal.append(|buffer| buffer.extend_from_slice(&record));
                self.written.push(Some(record));
                assert_eq!(number, self.written.len() as u64);
            }
            Step::Checkpoint => {
                self.written.push(None);
                let contents = self.state_at(self.written.len() as u64);
                assert_eq!(wal.checkpoint(|buffer| buffer.extend_from_slice(&contents)), self.written.len() as u64);
            }
            Step::Compact => {
                let contents = self.state_at(self.written.len() as u64);
                wal.compact(|buffer| buffer.extend_from_slice(&contents));
            }
            Step::Commit => {
                wal.commit();
                self.committed = wal.appended();
            }
            Step::Write => {
                hands.writer.as_mut().map(hands::Writer::round);
                hands.syncer.as_mut().map(hands::Syncer::round);
            }
            Step::Keep => drop(hands.keeper.round()),
            Step::LosePower { changes } => self.ram.fail_after(changes),
            Step::Crash { crash, seed, changes_of_recovery } => {
                let promised = match (crash, self.storage) {
                    (Crash::Machine, Storage::Async) => wal.synced(),
                    _ => wal.durable(),
                };
                assert!(wal.durable() <= self.committed && wal.synced() <= wal.durable());
                drop((wal, hands));
                self.wal = Some(self.crash(crash, seed, changes_of_recovery));
                assert!(self.committed >= promised, "{promised} were promised, {} are there", self.committed);
                return;
            }
        }
        self.wal = Some((wal, hands));
    }

    /// Crashes and comes back, perhaps after another crash on the way.
    fn crash(&mut self, crash: Crash, seed: u64, changes_of_recovery: Option<u64>) -> (Wal, Hands) {
        let mut random = Random::new(seed);
        self.ram = self.ram.crash(crash, &mut random);
        if let Some(changes) = changes_of_recovery {
            self.ram.fail_after(changes);
            match self.open() {
                Ok(open) => drop(open),
                Err(WalError::Damaged(damage)) => panic!("no crash is damage: {damage}"),
                Err(_) => {}
            }
            // A log that promised only to survive the process is not held to more.
            let again = if self.storage == Storage::Async { crash } else { Crash::Machine };
            self.ram = self.ram.crash(again, &mut random);
        }
        self.open().unwrap_or_else(|error| panic!("no crash keeps it from opening: {error}"))
    }
}

/// Less than a block of the disk, and some blocks.
fn segment_bytes() -> impl Strategy<Value = u64> {
    prop_oneof![Just(1500), Just(10_000)]
}

fn follow(storage: Storage, segment_bytes: u64, steps: Vec<Step>) {
    let mut model = Model::new(storage, segment_bytes);
    steps.into_iter().for_each(|step| model.take(step));
    model.take(Step::Crash { crash: Crash::Machine, seed: 1, changes_of_recovery: None });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_was_synced_survives_every_crash(segment_bytes in segment_bytes(), steps in steps()) {
        follow(Storage::Sync, segment_bytes, steps);
    }

    #[test]
    fn what_was_written_survives_the_death_of_the_process(segment_bytes in segment_bytes(), steps in steps()) {
        follow(Storage::Async, segment_bytes, steps);
    }
}
