//! `skein log check` as its users meet it, on logs that are whole, torn,
//! damaged, in use, or none at all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use skein::machine::{ClusterId, ProcessId};
use skein::runtime::data::{Begin, DataDir, Owner};
use skein::runtime::files::Native;
use skein::runtime::wal::{Settings, Storage, Wal};

/// One test after the other: a process that one of them starts holds the locks of all for a moment, until it has
/// become another program.
static ALONE: Mutex<()> = Mutex::new(());

/// A data directory for one test, gone when it ends.
struct Directory(PathBuf, #[allow(dead_code)] MutexGuard<'static, ()>);

impl Directory {
    /// With a checkpoint of the first two records of five, each synced.
    fn new(name: &str) -> Directory {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = std::env::temp_dir().join(format!("skein-cli-{}-{name}", std::process::id()));
        let directory = Directory(directory, alone);
        let mut wal = directory.open();
        for nth in 1..=5 {
            wal.append(|buffer| buffer.extend_from_slice(b"record"));
            if nth == 2 {
                wal.compact(|buffer| buffer.extend_from_slice(b"state"));
            }
            wal.commit();
        }
        wal.shutdown().unwrap();
        directory
    }

    fn open(&self) -> Wal {
        let owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };
        let mut data = DataDir::open(Arc::new(Native), &self.0, owner, Begin::Usual).unwrap();
        Wal::open(&mut data, Storage::Async, Settings { segment_bytes: 4096, ..Settings::default() }).unwrap().0
    }

    fn segment(&self) -> PathBuf {
        self.0.join("log/00000001.log")
    }

    fn edit(&self, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut bytes = fs::read(self.segment()).unwrap();
        edit(&mut bytes);
        fs::write(self.segment(), bytes).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).unwrap();
    }
}

/// One batch holds one record of six bytes.
const BATCH: usize = 40 + 4 + 6;

fn check(path: &Path, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.args(["log", "check"]).arg(path).args(more).output().expect("the binary runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn a_sound_log_is_described() {
    let directory = Directory::new("sound");
    let output = check(&directory.0, &[]);
    let expected = format!(
        "{}: p3 of cluster 0000000000000007\n  checkpoint-2: replaces the records up to 2, 5 bytes\n  \
         00000001.log: from record 1 on, 5 batches in {} sound bytes\n  \
         3 records behind the checkpoint, the last is 5; synced up to 5\nsound\n",
        directory.0.display(),
        64 + 5 * BATCH
    );
    assert_eq!((text(&output.stdout), output.status.code()), (expected, Some(0)));
    assert!(output.stderr.is_empty());
}

#[test]
fn a_torn_end_is_mentioned_and_sound() {
    let directory = Directory::new("torn");
    directory.edit(|bytes| bytes[64 + 5 * BATCH..][..9].fill(7));
    let output = check(&directory.0, &[]);
    assert_eq!(output.status.code(), Some(0));
    let expected =
        format!("torn at byte {}, 9 bytes that nobody was promised; the next start cuts it off", 64 + 5 * BATCH);
    assert!(text(&output.stdout).contains(&expected), "{}", text(&output.stdout));
    let json: serde_json::Value = serde_json::from_slice(&check(&directory.0, &["--json"]).stdout).unwrap();
    assert_eq!((&json["torn"]["bytes"], &json["damage"]), (&9.into(), &serde_json::Value::Null));
}

#[test]
fn damage_has_a_place_and_exit_code_1() {
    let directory = Directory::new("damaged");
    directory.edit(|bytes| bytes[64 + 3 * BATCH + 45] ^= 1);
    let output = check(&directory.0, &[]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "damaged: {}: damaged at byte {}, where a batch whose checksum matches should be; \
         the records up to 3 are sound, and those up to 5 had been synced\n",
        directory.segment().display(),
        64 + 3 * BATCH
    );
    assert!(text(&output.stdout).ends_with(&expected), "{}", text(&output.stdout));
}

#[test]
fn scripts_get_the_fields_that_they_rely_on() {
    let directory = Directory::new("json");
    directory.edit(|bytes| bytes.truncate(64 + 3 * BATCH));
    let output = check(&directory.0, &["--json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["cluster"], &json["process"]), (&"0000000000000007".into(), &3.into()));
    assert_eq!((&json["incarnation"], &json["records"]), (&0.into(), &1.into()));
    assert_eq!((&json["last_record"], &json["synced"]), (&3.into(), &5.into()));
    assert_eq!((&json["checkpoints"][0]["record"], &json["checkpoints"][0]["bytes"]), (&2.into(), &5.into()));
    assert_eq!((&json["segments"][0]["first_record"], &json["segments"][0]["batches"]), (&1.into(), &3.into()));
    let damage = &json["damage"];
    assert_eq!((&damage["offset"], &damage["sound"]), (&(64 + 3 * BATCH).into(), &3.into()));
    assert_eq!((&damage["expected"], &damage["file"]), (&"record 4".into(), &json["segments"][0]["file"]));
}

#[test]
fn what_cannot_be_checked_is_refused_with_exit_code_2() {
    let directory = Directory::new("refused");
    let refusal = |path: &Path| {
        let output = check(path, &[]);
        assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
        text(&output.stderr)
    };
    let wal = directory.open();
    assert!(refusal(&directory.0).contains("is in use by another process; stop that one first"));
    drop(wal);
    assert!(refusal(&directory.0.join("log")).contains("is no data directory: it has no file `identity`"));
    assert!(refusal(&directory.0.join("nowhere")).contains("is no data directory"));
    assert!(refusal(&directory.segment()).contains("is no directory"));
    fs::write(directory.0.join("identity"), "nonsense").unwrap();
    assert!(refusal(&directory.0).contains("put back a copy of it"));
}

#[test]
fn checking_changes_nothing() {
    let directory = Directory::new("untouched");
    directory.edit(|bytes| bytes[64 + 5 * BATCH..][..9].fill(7));
    let files = || {
        let log = directory.0.join("log");
        let mut files: Vec<_> = [&directory.0, &log]
            .into_iter()
            .flat_map(|folder| fs::read_dir(folder).unwrap())
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.is_file())
            .map(|path| (fs::read(&path).unwrap(), path))
            .collect();
        files.sort();
        files
    };
    let before = files();
    check(&directory.0, &[]);
    assert!(files() == before);
}
