//! What the fuzzer has found worth keeping, run as plain tests: a line for
//! each protocol. `UPDATE=1` writes the seeds anew, one for every kind of
//! message; a difference there is a change of the layout.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use skein_machine::wire::{VERSION, Wire, WireError, examine, from_bytes, to_bytes};
use skein_order::{fastcast, multiring, primcast, skeen, whitebox};

mod fastcast_kinds;
mod multiring_kinds;
mod primcast_kinds;
mod whitebox_kinds;

fn folder_of(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target)
}

fn corpus_of<T: Wire>(target: &str) {
    let folder = folder_of(target);
    let mut inputs = 0;
    for file in folder.read_dir().expect("the corpus is part of the repository") {
        examine::<T>(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}

/// The corpus has a seed of every kind, as this build writes it.
fn seeds_of<T: Wire>(target: &str, kinds: u8, seeds: Vec<(&'static str, T)>) {
    let mut seen = BTreeSet::new();
    for (name, seed) in seeds {
        let (file, bytes) = (folder_of(target).join(format!("seed-{name}")), to_bytes(&seed));
        if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
            std::fs::create_dir_all(folder_of(target)).unwrap();
            std::fs::write(&file, &bytes).unwrap();
        }
        let kept = std::fs::read(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert_eq!(bytes, kept, "{name} is laid out differently; read the difference, then run with UPDATE=1");
        seen.insert(bytes[0]);
    }
    assert!(seen.into_iter().eq(1..=kinds), "a kind has no seed");
    let next = from_bytes::<T>(Bytes::from(vec![kinds + 1]), VERSION);
    assert!(matches!(next, Err(WireError::UnknownTag { .. })), "there is another kind, and it has no seed");
}

#[test]
fn skeen() {
    corpus_of::<skeen::Message>("skeen");
}

#[test]
fn primcast() {
    seeds_of("primcast", primcast_kinds::KINDS_OF_MESSAGES, primcast_kinds::messages());
    corpus_of::<primcast::Message>("primcast");
    seeds_of("primcast_record", primcast_kinds::KINDS_OF_RECORDS, primcast_kinds::records());
    corpus_of::<primcast::Record>("primcast_record");
}

#[test]
fn fastcast() {
    seeds_of("fastcast", fastcast_kinds::KINDS_OF_MESSAGES, fastcast_kinds::messages());
    corpus_of::<fastcast::Message>("fastcast");
    seeds_of("fastcast_record", fastcast_kinds::KINDS_OF_RECORDS, fastcast_kinds::records());
    corpus_of::<fastcast::Record>("fastcast_record");
}

#[test]
fn multiring() {
    seeds_of("multiring", multiring_kinds::KINDS_OF_MESSAGES, multiring_kinds::messages());
    corpus_of::<multiring::Message>("multiring");
    seeds_of("multiring_record", multiring_kinds::KINDS_OF_RECORDS, multiring_kinds::records());
    corpus_of::<multiring::Record>("multiring_record");
}

#[test]
fn whitebox() {
    seeds_of("whitebox", whitebox_kinds::KINDS_OF_MESSAGES, whitebox_kinds::messages());
    corpus_of::<whitebox::Message>("whitebox");
    seeds_of("whitebox_record", whitebox_kinds::KINDS_OF_RECORDS, whitebox_kinds::records());
    corpus_of::<whitebox::Record>("whitebox_record");
}
