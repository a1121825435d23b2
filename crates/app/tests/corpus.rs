//! What the fuzzer has found worth keeping, run as a plain test.

use std::path::Path;

use skein::machine::wire;
use skein::speech::{Reply, Request};

#[test]
fn request() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/request");
    let mut inputs = 0;
    for file in folder.read_dir().expect("the corpus is part of the repository") {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        wire::examine::<Request>(&bytes);
        wire::examine::<Reply>(&bytes);
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}

#[test]
fn commands() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/commands");
    let files = folder.read_dir().expect("the corpus is part of the repository");
    let inputs = files.map(|file| skein::examine_commands(&std::fs::read(file.unwrap().path()).unwrap())).count();
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}
