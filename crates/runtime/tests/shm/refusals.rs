//! Memory that is not opened, and what is said about it.

use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use skein_machine::ClusterId;
use skein_runtime::shm::{MemorySet, Plan, SharedWords};

use crate::stage::{Scratch, plan, plan_of};

/// A set, and what is said when it is opened after something was done to the file of replica 1.
fn after(damage: impl FnOnce(&Path)) -> String {
    let scratch = Scratch::new();
    drop(MemorySet::open_or_create(&scratch.set(), &plan()).unwrap());
    let file = scratch.set().join("replica-1.memory");
    damage(&file);
    let refusal = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap_err().to_string();
    refusal.replace(scratch.path().to_str().unwrap(), "d")
}

fn open_file(path: &Path) -> File {
    OpenOptions::new().write(true).open(path).unwrap()
}

fn put(path: &Path, word: u64, value: u64) {
    open_file(path).write_all_at(&value.to_ne_bytes(), word * 8).unwrap();
}

const BYTES: u64 = 4096 + 3_000 * 8;

#[test]
fn what_is_not_ours() {
    let refusal = after(|file| put(file, 0, 1));
    assert_eq!(refusal, "d/mu/replica-1.memory is not a memory of ours; check the path, or move it away");
    let refusal = after(|file| put(file, 1, 3));
    assert!(refusal.contains("has layout 3, and this build reads only 2; use the build that made it"), "{refusal}");
    let refusal = after(|file| put(file, 7, 2_999));
    assert!(refusal.contains("what d/mu/replica-1.memory says of itself is damaged"), "{refusal}");
    let refusal = after(|file| {
        let text = "nothing but text, and so much of it that it fills a page\n".repeat(100);
        fs::write(file, text).unwrap();
    });
    assert!(refusal.contains("is not a memory of ours"), "{refusal}");
}

#[test]
fn what_was_never_finished() {
    for damage in [
        |file: &Path| put(file, 2, 0),
        |file: &Path| {
            fs::remove_file(file).unwrap();
            File::create(file).unwrap().set_len(BYTES).unwrap();
            fs::set_permissions(file, Permissions::from_mode(0o600)).unwrap();
        },
    ] {
        let refusal = after(damage);
        assert!(refusal.starts_with("d/mu/replica-1.memory was never finished: whoever made it died"), "{refusal}");
    }
}

#[test]
fn what_has_another_length() {
    for length in [0, 8, 4095, 4096, BYTES - 1, BYTES + 1, BYTES + 4096] {
        let refusal = after(|file| open_file(file).set_len(length).unwrap());
        let wanted = if length < 4096 { 4096 } else { BYTES };
        let why = if length < BYTES { "cut short" } else { "added to" };
        assert_eq!(
            refusal,
            format!(
                "d/mu/replica-1.memory has {length} bytes and should have {wanted}, so it was {why}; remove it, and \
                 its replica gets a blank one"
            )
        );
    }
}

#[test]
fn what_was_made_for_something_else() {
    let scratch = Scratch::new();
    drop(MemorySet::open_or_create(&scratch.set(), &plan()).unwrap());
    let refusal = |other: &dyn Fn(&mut Plan)| {
        let mut plan = plan();
        other(&mut plan);
        MemorySet::open_or_create(&scratch.set(), &plan).unwrap_err().to_string()
    };
    let other = refusal(&|plan| plan.cluster = ClusterId(0xbad));
    assert!(other.contains("belongs to cluster 00000000000005ea, not to 0000000000000bad"), "{other}");
    let other = refusal(&|plan| plan.replicas = 2);
    assert!(other.contains("was made for 3 replicas, and 2 are wanted; say 3, or stop all replicas"), "{other}");
    let other = refusal(&|plan| plan.shape[0].value = 32);
    assert!(other.contains("was made for 16 slots, and 32 are wanted"), "{other}");
    let other = refusal(&|plan| plan.words = 4_000);
    assert!(other.contains("was made for 3000 words, and 4000 are wanted"), "{other}");
    let other = SharedWords::open(&scratch.set().join("replica-0.memory"), &plan(), 1).unwrap_err().to_string();
    assert!(other.contains("is the memory of replica 0, not of 1"), "{other}");
    let other = SharedWords::open(&scratch.set().join("replica-0.memory"), &plan(), 3).unwrap_err().to_string();
    assert_eq!(other, "there is no replica 3 among 3; they are counted from 0");
    MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
}

#[test]
fn what_was_made_with_others() {
    let scratch = Scratch::new();
    let other = scratch.path().join("other");
    drop(MemorySet::open_or_create(&scratch.set(), &plan()).unwrap());
    drop(MemorySet::open_or_create(&other, &plan()).unwrap());
    fs::rename(other.join("replica-1.memory"), scratch.set().join("replica-1.memory")).unwrap();
    let refusal = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap_err().to_string();
    let expected = "replica-1.memory were not made for each other; remove the one that does not belong there";
    assert!(refusal.ends_with(expected), "{refusal}");
}

#[test]
fn what_others_may_write_to() {
    let refusal = after(|file| fs::set_permissions(file, Permissions::from_mode(0o620)).unwrap());
    assert!(refusal.contains("memory may be written by others than its owner, and whoever may"), "{refusal}");
    let refusal = after(|file| {
        fs::set_permissions(file.parent().unwrap(), Permissions::from_mode(0o777)).unwrap();
    });
    assert!(refusal.starts_with("d/mu may be written by others than its owner"), "{refusal}");
}

#[test]
fn what_is_no_file() {
    let folder = after(|file| {
        fs::remove_file(file).unwrap();
        fs::create_dir(file).unwrap();
    });
    let link = after(|file| {
        let moved = file.parent().unwrap().parent().unwrap().join("moved");
        fs::rename(file, &moved).unwrap();
        symlink(&moved, file).unwrap();
    });
    for refusal in [folder, link] {
        assert_eq!(refusal, "d/mu/replica-1.memory is no plain file; move it away");
    }
}

#[test]
fn folders_of_somebody_else() {
    let scratch = Scratch::new();
    let open = |path: PathBuf| {
        let refusal = MemorySet::open_or_create(&path, &plan()).unwrap_err().to_string();
        refusal.replace(scratch.path().to_str().unwrap(), "d")
    };
    fs::write(scratch.set(), "").unwrap();
    assert_eq!(open(scratch.set()), "d/mu is no directory; name another one, or move it away");
    let used = scratch.path().join("used");
    fs::create_dir(&used).unwrap();
    fs::write(used.join("letters"), "").unwrap();
    assert_eq!(
        open(used),
        "d/used/letters is not ours, and d/used must be empty when it is first used; name another directory"
    );
    let refusal = open(scratch.path().join("no/such/folder"));
    assert!(refusal.starts_with("cannot list d/no/such: No such file"), "{refusal}");
    assert_eq!(crate::stage::names(scratch.path()), ["mu", "used"], "nothing was made");
}

#[test]
fn a_folder_in_which_no_memory_is_left() {
    let scratch = Scratch::new();
    let mut set = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap();
    let seat = set.take(2).unwrap();
    for replica in 0..3 {
        fs::remove_file(scratch.set().join(format!("replica-{replica}.memory"))).unwrap();
    }
    let refusal = MemorySet::open_or_create(&scratch.set(), &plan()).unwrap_err().to_string();
    assert!(refusal.contains("was used and no memory is left in it"), "{refusal}");
    drop(seat);
}

#[test]
fn a_single_memory_is_made_once() {
    let scratch = Scratch::new();
    let path = scratch.path().join("alone");
    let missing = SharedWords::open(&path, &plan(), 0).unwrap_err().to_string();
    assert!(missing.ends_with("alone does not exist; check the path"), "{missing}");
    let memory = SharedWords::create(&path, &plan(), 0).unwrap();
    assert_eq!((memory.words().len(), memory.is_blank()), (3_000, false));
    let again = SharedWords::create(&path, &plan(), 0).unwrap_err().to_string();
    assert!(again.starts_with("cannot create ") && again.contains("File exists"), "{again}");
    let too_large = SharedWords::create(&path, &plan_of(0), 0).unwrap_err().to_string();
    assert!(too_large.starts_with("a memory of 0 words is asked for"), "{too_large}");
}
