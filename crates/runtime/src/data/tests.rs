//! What a directory answers, and whom it refuses. On the real file system,
//! except where a crash is wanted.

use std::fs;

use super::scratch::Scratch;
use super::*;
use crate::files::{Crash, Native, Ram};
use skein_machine::Random;

const OWNER: Owner = Owner { cluster: ClusterId(7), process: ProcessId(3) };

fn native() -> Arc<dyn Files> {
    Arc::new(Native)
}

fn open(path: &Path) -> Result<DataDir, DataError> {
    DataDir::open(native(), path, OWNER, Begin::Usual)
}

fn rejoin(path: &Path, incarnation: u32) -> Result<DataDir, DataError> {
    let incarnation = NonZeroU32::new(incarnation).unwrap();
    DataDir::open(native(), path, OWNER, Begin::Rejoin { incarnation })
}

fn refusal(result: Result<DataDir, DataError>) -> String {
    result.unwrap_err().to_string()
}

#[test]
fn the_first_life_is_told_from_later_ones() {
    let scratch = Scratch::new();
    let path = scratch.path().join("p3");
    let mut data = open(&path).unwrap();
    assert_eq!(data.begin_life(true, false).unwrap(), Boot::First);
    let identity = data.identity();
    drop(data);
    let mut data = open(&path).unwrap();
    assert_eq!((data.identity(), data.begin_life(true, false).unwrap()), (identity, Boot::Again));
    let other = open(&scratch.path().join("q")).unwrap();
    assert_ne!(other.identity().birth, identity.birth);
}

#[test]
fn an_amnesiac_that_wrote_nothing_down_is_one_again() {
    let scratch = Scratch::new();
    let path = scratch.path().join("p3");
    let boot = |data: &mut DataDir, is_log_empty| data.begin_life(is_log_empty, false).unwrap();
    assert_eq!(boot(&mut rejoin(&path, 4).unwrap(), true), Boot::Amnesiac { incarnation: 4 });
    assert_eq!(boot(&mut open(&path).unwrap(), true), Boot::Amnesiac { incarnation: 5 });
    assert_eq!(boot(&mut open(&path).unwrap(), true), Boot::Amnesiac { incarnation: 6 });
    assert_eq!(boot(&mut open(&path).unwrap(), false), Boot::Again);
    assert!(refusal(rejoin(&path, 9)).contains("already has an identity, and only a process whose disk is lost"));
}

#[test]
fn a_life_in_memory_is_followed_by_one_without() {
    let scratch = Scratch::new();
    let path = scratch.path().join("p3");
    assert_eq!(open(&path).unwrap().begin_life(true, true).unwrap(), Boot::First);
    assert_eq!(open(&path).unwrap().begin_life(true, true).unwrap(), Boot::Amnesiac { incarnation: 1 });
    assert_eq!(open(&path).unwrap().begin_life(true, false).unwrap(), Boot::Amnesiac { incarnation: 2 });
    assert_eq!(open(&path).unwrap().begin_life(false, false).unwrap(), Boot::Again);
}

#[test]
fn a_log_set_aside_is_kept_and_begins_a_life_without_memory() {
    let scratch = Scratch::new();
    let path = scratch.path();
    for nth in 1..=2 {
        let mut data = open(path).unwrap();
        fs::create_dir(data.log_folder()).unwrap();
        fs::write(data.log_folder().join("a"), "precious").unwrap();
        let aside = data.set_log_aside().unwrap();
        assert_eq!(aside, path.join(format!("damaged-{nth}")));
        assert_eq!(fs::read_to_string(aside.join("a")).unwrap(), "precious");
        assert_eq!(data.begin_life(true, false).unwrap(), Boot::Amnesiac { incarnation: nth });
    }
}

#[test]
fn others_are_refused() {
    let scratch = Scratch::new();
    let path = scratch.path();
    let data = open(path).unwrap();
    assert!(refusal(open(path)).contains("is in use by another process"));
    drop(data);
    let other = |owner| refusal(DataDir::open(native(), path, owner, Begin::Usual));
    let of_cluster = other(Owner { cluster: ClusterId(8), ..OWNER });
    assert!(of_cluster.contains("belongs to cluster 0000000000000007, not to 0000000000000008"), "{of_cluster}");
    assert!(other(Owner { process: ProcessId(4), ..OWNER }).contains("belongs to p3, not to p4"));
    assert!(open(path).is_ok());
}

#[test]
fn what_is_no_data_directory_is_refused_and_left_alone() {
    let scratch = Scratch::new();
    let path = |name| scratch.path().join(name);
    fs::write(path("file"), "").unwrap();
    assert!(refusal(open(&path("file"))).contains("file is no directory"));
    assert!(refusal(open(&path("file/inside"))).contains("file is no directory"));
    assert!(refusal(open(&path("no/such"))).contains("no/such should lie does not exist; create it"));

    fs::create_dir_all(path("home/letters")).unwrap();
    assert!(refusal(open(&path("home"))).contains("letters is not ours"));
    assert_eq!(fs::read_dir(path("home")).unwrap().count(), 1, "not even a lock is left");

    fs::create_dir_all(path("orphan/log")).unwrap();
    assert!(refusal(open(&path("orphan"))).contains("so nobody knows whose"));
    fs::create_dir_all(path("disk/lost+found")).unwrap();
    assert!(open(&path("disk")).is_ok(), "a file system of its own");
}

#[test]
fn an_identity_that_cannot_be_read_is_never_replaced() {
    let scratch = Scratch::new();
    open(scratch.path()).unwrap();
    let file = scratch.path().join(IDENTITY);
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replace("process 3", "process 4")).unwrap();
    assert!(refusal(open(scratch.path())).contains("its checksum does not match; put back a copy"));
    fs::write(&file, text.replace("format 1", "format 9")).unwrap();
    assert!(refusal(open(scratch.path())).contains("has format 9, and this build reads only 1"));
    fs::write(&file, vec![b'x'; 1 << 20]).unwrap();
    assert!(refusal(open(scratch.path())).contains("cannot be read"));
}

#[test]
fn a_folder_without_permission_says_what_to_do() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = Scratch::new();
    let path = scratch.path().join("locked");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o500)).unwrap();
    // Whoever may do everything is not kept out by a mode.
    if let Err(error) = open(&path) {
        assert!(error.to_string().contains("let the user that runs the process read and write there"), "{error}");
    }
}

/// Power goes at every point of a first life: the next one is again the first, or knows who it is.
#[test]
fn a_directory_is_born_whole_or_not_at_all() {
    let (mut newborn, mut known) = (0, 0);
    for seed in 0..40 {
        for changes in 0..12 {
            let ram = Ram::default();
            ram.fail_after(changes);
            let born = DataDir::open(Arc::new(ram.clone()), Path::new("d"), OWNER, Begin::Usual);
            let after = ram.crash(Crash::Machine, &mut Random::new(seed));
            let mut data = DataDir::open(Arc::new(after), Path::new("d"), OWNER, Begin::Usual).unwrap();
            match data.begin_life(true, false).unwrap() {
                Boot::First => newborn += 1,
                Boot::Again => known += 1,
                amnesiac => panic!("{amnesiac:?}"),
            }
            if let Ok(born) = born {
                assert_eq!(born.identity(), data.identity());
            }
        }
    }
    assert!(newborn > 0 && known > 0);
}
