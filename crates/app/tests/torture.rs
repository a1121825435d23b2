//! Torture, tortured: a sound cluster passes, one that forgets is found out, and
//! nothing is left over, not even when torture itself is killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn torture(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
    command.arg("torture").args(arguments);
    command
}

/// The last line of standard output, and all of it.
fn summary(output: &Output) -> (String, String) {
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    (said.lines().last().unwrap_or_default().to_owned(), said)
}

fn number(summary: &str, name: &str) -> u64 {
    let (_, rest) = summary.split_once(&format!("\"{name}\":")).unwrap_or_else(|| panic!("no {name} in {summary}"));
    rest.split([',', '}', '.']).next().unwrap().parse().unwrap()
}

/// A folder that is not there yet, and is gone with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        Folder(std::env::temp_dir().join(format!("skein-torture-test-{}-{name}", std::process::id())))
    }

    fn name(&self) -> &str {
        self.0.to_str().unwrap()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_sound_cluster_loses_nothing() {
    let output = torture(&["--minutes", "0.1", "--json"]).output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((number(&summary, "lost"), number(&summary, "violations")), (0, 0));
    assert!(number(&summary, "acknowledged") > 0 && number(&summary, "power_cuts") > 0, "{summary}");
}

/// The same of a store and its clients.
#[test]
fn a_sound_store_loses_nothing() {
    let output = torture(&["--load", "kv", "--minutes", "0.1", "--json"]).output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(0), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!((number(&summary, "lost"), number(&summary, "violations")), (0, 0));
    assert!(number(&summary, "acknowledged") > 0 && number(&summary, "ops") > 0, "{summary}");
    assert!(number(&summary, "multicasts") > 0 && number(&summary, "power_cuts") > 0, "{summary}");
}

#[test]
fn a_store_that_forgets_is_found_out() {
    let folder = Folder::new("store-forgets");
    let arguments = ["--storage", "memory", "--faults", "power", "--minutes", "0.05", "--patience", "5", "--json"];
    let output = torture(&["--load", "kv"]).args(arguments).args(["--keep", folder.name()]).output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(number(&summary, "violations") > 0, "{summary}");
    assert!(fs::read_to_string(folder.0.join("operations")).unwrap().contains(" appends "));
}

/// What is kept in memory does not survive when all processes die at once. A run that says otherwise proves nothing.
#[test]
fn a_cluster_that_forgets_is_found_out_and_its_logs_are_kept() {
    let folder = Folder::new("forgets");
    let arguments = ["--storage", "memory", "--faults", "power", "--minutes", "0.03", "--patience", "2", "--json"];
    let output = torture(&arguments).args(["--keep", folder.name()]).output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(number(&summary, "lost") > 0 && number(&summary, "violations") > 0, "{summary}");
    assert!(said.contains("was acknowledged, and p") && said.contains("does not hold it"), "{said}");
    assert!(fs::read_to_string(folder.0.join("history")).unwrap().contains("has acknowledged s"));
    for file in ["skein.toml", "n0/skein.toml", "n0/life-1/log", "n0/life-2/p0.journal"] {
        assert!(folder.0.join(file).exists(), "{file}");
    }
}

/// One of the bugs of `skein sim mutants`, on sockets and disks.
#[cfg(feature = "mutants")]
#[test]
fn a_planted_bug_is_found_by_the_judges() {
    let folder = Folder::new("planted");
    let mut command = torture(&["--minutes", "0.03", "--patience", "5", "--json", "--keep", folder.name()]);
    let output = command.env("SKEIN_PLANTED", "primcast-ignores-pending-stamps").output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(number(&summary, "violations") > 0 && said.contains("\"property\":\"timestamps\""), "{said}");
}

/// One of the bugs of a service: what is asked for again by its name happens again.
#[cfg(feature = "mutants")]
#[test]
fn a_bug_planted_in_a_service_is_found_by_the_judges() {
    let folder = Folder::new("planted-in-service");
    let arguments = ["--load", "kv", "--faults", "kill,cut", "--minutes", "0.1", "--json"];
    let mut command = torture(&arguments);
    let output =
        command.args(["--keep", folder.name()]).env("SKEIN_PLANTED", "replica-forgets-names").output().unwrap();
    let (summary, said) = summary(&output);
    assert_eq!(output.status.code(), Some(1), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(number(&summary, "violations") > 0 && said.contains("was appended twice to list"), "{said}");
}

#[test]
fn questions_that_make_no_sense_are_refused() {
    let mistakes = [
        (["--replicas", "2"], "take an odd number"),
        (["--protocol", "skeen"], "survives no fault"),
        (["--minutes", "0"], "from 0.02"),
        (["--keep", "/"], "cannot make /"),
    ];
    let mistakes = mistakes.map(|(arguments, expected)| (arguments.to_vec(), expected)).into_iter();
    let logical = (vec!["--load", "kv", "--clock", "logical"], "the clock of a store is hybrid");
    for (arguments, expected) in mistakes.chain([logical]) {
        let output = torture(&arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{said}");
    }
}

/// Processes that were started with this folder among their arguments.
#[cfg(target_os = "linux")]
fn processes_in(folder: &std::path::Path) -> usize {
    let is_there = |entry: fs::DirEntry| {
        let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&command).contains(&*folder.to_string_lossy())
    };
    fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| is_there(entry).then_some(())).count()
}

#[cfg(target_os = "linux")]
#[test]
fn nodes_die_with_the_one_that_torments_them() {
    let folder = Folder::new("dies");
    let mut command = torture(&["--json", "--keep", folder.name()]);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = lines.next().unwrap().unwrap();
    assert!(line.contains("nodes are up"), "{line}");
    assert!(processes_in(&folder.0) > 1);
    child.kill().unwrap();
    child.wait().unwrap();
    let begin = Instant::now();
    while processes_in(&folder.0) > 0 {
        assert!(begin.elapsed() < Duration::from_secs(30), "some nodes live on");
        std::thread::sleep(Duration::from_millis(20));
    }
}
