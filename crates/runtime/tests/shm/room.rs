//! What happens when there is no room: an error when a memory is made, and
//! never a death later. Each test has a tiny file system of its own.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::Ordering::Relaxed;

use rustix::process::{Resource, Rlimit, setrlimit};
use skein_runtime::shm::MemorySet;

use crate::stage::{Actor, PART, Scratch, cast, names, plan, plan_of, say};

/// How large the file system is.
const ROOM: usize = 256 * 1024;

/// Plays a role on a file system of its own, which only it sees. What the role asserts fails here.
fn on_its_own(kind: &str, role: &str) {
    let scratch = Scratch::new();
    let mount = format!("mount -t {kind} -o size={ROOM} none \"$1\"");
    let alone = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]).arg(scratch.path());
        command
    };
    let may = alone(&mount).output().is_ok_and(|output| output.status.success());
    if !may {
        // Past the harness, which would keep it to itself.
        let _ = writeln!(std::io::stderr(), "SKIPPED {role}: no file system of its own can be had on this machine");
        return;
    }
    let mut command = alone(&format!("{mount} && shift && exec \"$@\""));
    command.arg(std::env::current_exe().unwrap()).args(PART);
    let output = cast(command, role, scratch.path()).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{told}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    assert!(told.contains("> all of it"), "the role was not played: {told}");
}

/// Takes what room is left.
fn take_the_rest(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("rest");
    let mut rest = File::create(&path).unwrap();
    let refused = loop {
        if let Err(error) = rest.write_all(&[1; 4096]) {
            break error.kind();
        }
    };
    assert_eq!(refused, ErrorKind::StorageFull);
    path
}

#[test]
fn a_full_file_system_is_an_error_and_never_a_death() {
    on_its_own("tmpfs", "room");
}

pub(crate) fn fill(folder: &Path) {
    let place = folder.join("mu");
    // Two of the three would fit.
    let large = plan_of(ROOM / 8 / 3 + 1);
    let needed = 3 * (4096 + 8 * large.words);
    let refusal = MemorySet::open_or_create(&place, &large).unwrap_err().to_string();
    let expected = format!("{} needs {needed} bytes, and {ROOM} are available there; make room", place.display());
    assert!(refusal.starts_with(&expected), "{refusal}");
    assert!(names(folder).is_empty(), "what was half made is there: {:?}", names(folder));

    let plan = plan_of(64 * 1024 / 8);
    let mut set = MemorySet::open_or_create(&place, &plan).unwrap();
    let rest = take_the_rest(folder);
    for replica in 0..3 {
        // A page that was not set aside would be this process's death.
        set.memory(replica).unwrap().words().iter().for_each(|word| word.store(u64::MAX, Relaxed));
    }
    let opened = MemorySet::open_or_create(&place, &plan).unwrap();
    assert!(opened.memory(2).unwrap().words().iter().all(|word| word.load(Relaxed) == u64::MAX));
    drop(opened);

    // A file that is cut short and grown again, as a copy may be, is all holes.
    let holes = OpenOptions::new().write(true).open(place.join("replica-2.memory")).unwrap();
    let length = holes.metadata().unwrap().len();
    fs::remove_file(&rest).unwrap();
    let header = fs::read(place.join("replica-2.memory")).unwrap()[..4096].to_vec();
    drop(holes);
    fs::remove_file(place.join("replica-2.memory")).unwrap();
    set.look_again(2).unwrap();
    let holes =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(place.join("replica-2.memory")).unwrap();
    holes.set_len(length).unwrap();
    holes.write_all_at(&header, 0).unwrap();
    drop(holes);
    let rest = take_the_rest(folder);
    let refusal = MemorySet::open_or_create(&place, &plan).unwrap_err().to_string();
    assert!(refusal.contains(&format!("replica-2.memory needs {length} bytes, and 0 are available")), "{refusal}");
    fs::remove_file(&rest).unwrap();
    MemorySet::open_or_create(&place, &plan).unwrap();

    // A lost memory is not made anew without room, and then it is.
    fs::remove_file(place.join("replica-0.memory")).unwrap();
    let seat = set.take(0).unwrap();
    let rest = take_the_rest(folder);
    let refusal = set.renew(&seat).unwrap_err().to_string();
    assert!(refusal.contains("are available there; make room"), "{refusal}");
    assert_eq!(names(&place), ["replica-0.lock", "replica-1.memory", "replica-2.memory"]);
    fs::remove_file(&rest).unwrap();
    set.renew(&seat).unwrap();
    assert!(set.memory(0).unwrap().is_blank());
    say("all of it");
}

#[test]
fn a_file_system_that_sets_no_room_aside_is_refused() {
    on_its_own("ramfs", "holes");
}

pub(crate) fn no_room_aside(folder: &Path) {
    let refusal = MemorySet::open_or_create(&folder.join("mu"), &plan()).unwrap_err().to_string();
    assert!(refusal.contains("cannot set room aside") && refusal.contains("best below /dev/shm"), "{refusal}");
    assert!(names(folder).is_empty());
    say("all of it");
}

#[test]
fn a_limit_on_files_is_an_error_and_never_a_death() {
    let scratch = Scratch::new();
    let mut actor = Actor::start("limit", scratch.path());
    assert_eq!(actor.hear().as_deref(), Some("all of it"));
}

pub(crate) fn exceed_the_limit(folder: &Path) {
    let allowed = 20_000;
    setrlimit(Resource::Fsize, Rlimit { current: Some(allowed), maximum: None }).unwrap();
    let refusal = MemorySet::open_or_create(&folder.join("mu"), &plan()).unwrap_err().to_string();
    let expected = "needs 28096 bytes, and no file of this process may have more than 20000; raise that limit";
    assert!(refusal.contains(expected), "{refusal}");
    assert!(names(folder).is_empty());
    say("all of it");
}
