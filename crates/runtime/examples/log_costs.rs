//! What the log costs on this machine: nanoseconds a record of 64 bytes, in
//! commits of 1 and of 64, and how many commits a second are synced. It
//! measures and judges nothing; numbers count in a release build only.
//!
//! `cargo run --release -p skein-runtime --example log_costs [FOLDER]`

#![forbid(unsafe_code)]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use skein_machine::{ClusterId, ProcessId};
use skein_runtime::data::{Begin, DataDir, Owner};
use skein_runtime::files::Native;
use skein_runtime::wal::{Settings, Storage, Wal};

/// Each line takes about so long.
const PATIENCE: Duration = Duration::from_millis(300);

/// So many bytes may wait for the disk.
const MAX_BACKLOG: usize = 1 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = folder.join(format!("skein-log-costs-{}", std::process::id()));
    println!("records of 64 bytes, in {}", folder.display());
    println!("storage  a commit   ns a record    records/s    commits/s");
    for storage in [Storage::Memory, Storage::Async, Storage::Sync] {
        for records in [1, 64] {
            let outcome = measure(&folder, storage, records);
            std::fs::remove_dir_all(&folder)?;
            let (commits, time) = outcome?;
            let (all, seconds) = (commits * records, time.as_secs_f64());
            println!(
                "{:<8}{records:>10}{:>14.1}{:>13.0}{:>13.0}",
                format!("{storage:?}"),
                time.as_nanos() as f64 / all as f64,
                all as f64 / seconds,
                commits as f64 / seconds,
            );
        }
    }
    let (commits, time) = one_by_one(&folder)?;
    std::fs::remove_dir_all(&folder)?;
    println!("one sync after the other: {:.0} commits/s", commits as f64 / time.as_secs_f64());
    Ok(())
}

fn open(folder: &Path, storage: Storage) -> Result<Wal, Box<dyn Error>> {
    let owner = Owner { cluster: ClusterId(1), process: ProcessId(0) };
    let mut data = DataDir::open(Arc::new(Native), folder, owner, Begin::Usual)?;
    let owner = thread::current();
    let settings = Settings { waker: Arc::new(move || owner.unpark()), ..Settings::default() };
    Ok(Wal::open(&mut data, storage, settings)?.0)
}

/// As fast as the disk follows: commits go on while earlier ones are synced.
fn measure(folder: &Path, storage: Storage, records: u64) -> Result<(u64, Duration), Box<dyn Error>> {
    let mut wal = open(folder, storage)?;
    let (begin, mut commits) = (Instant::now(), 0);
    while begin.elapsed() < PATIENCE {
        for _ in 0..1000 / records {
            for _ in 0..records {
                wal.append(|buffer| buffer.extend_from_slice(&[7; 64]));
            }
            wal.commit();
            commits += 1;
            while wal.backlog() > MAX_BACKLOG {
                thread::park();
            }
        }
    }
    wait(&wal)?;
    let time = begin.elapsed();
    wal.shutdown()?;
    Ok((commits, time))
}

/// Each commit waits for the one before it.
fn one_by_one(folder: &Path) -> Result<(u64, Duration), Box<dyn Error>> {
    let mut wal = open(folder, Storage::Sync)?;
    let (begin, mut commits) = (Instant::now(), 0);
    while begin.elapsed() < PATIENCE {
        wal.append(|buffer| buffer.extend_from_slice(&[7; 64]));
        wal.commit();
        wait(&wal)?;
        commits += 1;
    }
    let time = begin.elapsed();
    wal.shutdown()?;
    Ok((commits, time))
}

fn wait(wal: &Wal) -> Result<(), Box<dyn Error>> {
    while wal.durable() < wal.appended() {
        if let Some(failure) = wal.failure() {
            return Err(failure.into());
        }
        thread::park();
    }
    Ok(())
}
