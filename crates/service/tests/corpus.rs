//! What the fuzzer has found worth keeping, run as plain tests.

use std::path::Path;

use skein_machine::wire;
use skein_order::primcast;
use skein_service::kv;
use skein_service::replica::{Message, Record};

fn each(corpus: &str, least: usize, examine: impl Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(corpus);
    let files = folder.read_dir().expect("the corpus is part of the repository");
    let inputs = files.map(|file| examine(&std::fs::read(file.unwrap().path()).unwrap())).count();
    assert!(inputs >= least, "only {inputs} inputs in {}", folder.display());
}

#[test]
fn requests() {
    each("kv_request", 10, |bytes| {
        kv::examine(bytes);
        kv::try_out(bytes);
    });
}

#[test]
fn messages_and_records() {
    each("replica", 10, |bytes| {
        wire::examine::<Message<primcast::Message>>(bytes);
        wire::examine::<Record<primcast::Record>>(bytes);
    });
}
