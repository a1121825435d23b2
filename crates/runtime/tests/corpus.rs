//! What the fuzzer has found worth keeping, run as plain tests.

use std::path::Path;

fn run(name: &str, examine: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
    let mut inputs = 0;
    for file in folder.read_dir().expect("the corpus is part of the repository") {
        examine(&std::fs::read(file.unwrap().path()).unwrap());
        inputs += 1;
    }
    assert!(inputs >= 10, "only {inputs} inputs in {}", folder.display());
}

#[test]
fn log() {
    run("log", skein_runtime::wal::examine);
}

#[test]
fn connection() {
    run("connection", skein_runtime::hello::examine);
}
