//! What the fuzzer has found worth keeping, run as plain tests: a line for
//! each protocol.

use std::path::Path;

use skein_machine::wire::{Wire, examine};
use skein_order::skeen;

fn corpus_of<T: Wire>(target: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut inputs = 0;
    for file in folder.read_dir().expect("the corpus is part of the repository") {
        examine::<T>(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}

#[test]
fn skeen() {
    corpus_of::<skeen::Message>("skeen");
}
