//! What the fuzzer has found worth keeping, run as a plain test.

use std::path::Path;

use skein_machine::{Multicast, wire};

#[test]
fn every_kept_input_is_a_multicast_or_is_refused() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/multicast");
    let mut inputs = 0;
    for file in folder.read_dir().expect("the corpus is part of the repository") {
        wire::examine::<Multicast>(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}
