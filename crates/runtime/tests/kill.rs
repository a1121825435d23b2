//! A process that is killed in the middle of its work: what it said was
//! durable is there, on the real file system, in order.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use skein_machine::{Boot, ClusterId, ProcessId};
use skein_runtime::data::{Begin, DataDir, Owner};
use skein_runtime::files::Native;
use skein_runtime::wal::{Recovered, Settings, Storage, Wal};

/// Where the child lives, and how it keeps its records: `PATH:STORAGE`.
const ROLE: &str = "SKEIN_TEST_KILLED_CHILD";

fn open(path: &Path, storage: Storage) -> (Wal, Recovered) {
    let owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };
    let mut data = DataDir::open(Arc::new(Native), path, owner, Begin::Usual).unwrap();
    Wal::open(&mut data, storage, Settings { segment_bytes: 20_000, ..Settings::default() }).unwrap()
}

fn contents(number: u64) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number as usize % 20)
}

/// The child: appends until it is killed, and says what is durable. Does nothing in an ordinary run.
#[test]
fn child() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let (path, storage) = role.rsplit_once(':').unwrap();
    let (mut wal, _) = open(Path::new(path), if storage == "sync" { Storage::Sync } else { Storage::Async });
    loop {
        for _ in 0..5 {
            let number = wal.appended() + 1;
            wal.append(|buffer| buffer.extend_from_slice(&contents(number)));
        }
        if wal.appended().is_multiple_of(1000) {
            let state = contents(wal.appended());
            wal.compact(|buffer| buffer.extend_from_slice(&state));
        }
        wal.commit();
        while wal.backlog() > 10_000 {
            std::thread::yield_now();
        }
        println!("durable {}", wal.durable());
    }
}

#[test]
fn what_was_durable_outlives_a_killed_process() {
    for storage in ["async", "sync"] {
        let path = std::env::temp_dir().join(format!("skein-kill-{}-{storage}", std::process::id()));
        let mut last = 0;
        for life in 1..=5 {
            let mut command = Command::new(std::env::current_exe().unwrap());
            command.args(["child", "--exact", "--nocapture"]).env(ROLE, format!("{}:{storage}", path.display()));
            let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
            let mut told = lines.filter_map(|line| line.strip_prefix("durable ")?.parse().ok());
            let promised: u64 = told.find(|durable| *durable > last + 700).unwrap();
            child.kill().unwrap();
            // It may have said more before it died.
            let promised = told.last().unwrap_or(promised);
            child.wait().unwrap();

            let (_, recovered) = open(&path, Storage::Sync);
            let replaced = recovered.checkpoint.map_or(0, |(record, state)| {
                assert_eq!(state.bytes, contents(record));
                record
            });
            for (record, number) in recovered.records.iter().zip(replaced + 1..) {
                assert_eq!(record.bytes, contents(number), "record {number}");
            }
            last = replaced + recovered.records.len() as u64;
            assert!(last >= promised, "{storage}, life {life}: {promised} were durable, {last} are there");
            assert_eq!(recovered.boot, Boot::Again);
        }
        std::fs::remove_dir_all(&path).unwrap();
    }
}
