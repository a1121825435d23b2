//! What keeps the pure crates pure: they build without `std`, and chance never orders them.
//!
//! The compiler does the real work once `no_std` stands at the root. These rules only see to it
//! that nobody takes it away; they will never try to find clocks or sockets themselves.

use super::Rule;
use super::places::{PURE, is_source_of};
use crate::finding::Finding;
use crate::lexer::words;
use crate::tree::Tree;

pub(super) const NO_STD: Rule = Rule {
    name: "pure",
    law: "machine, order, service and edge are `no_std`, outside their tests",
    check: check_no_std,
    #[cfg(test)]
    examples: examples_of_no_std,
};

pub(super) const SEEDLESS: Rule = Rule {
    name: "seedless",
    law: "no randomly seeded maps in machine, order, service and edge",
    check: check_maps,
    #[cfg(test)]
    examples: examples_of_maps,
};

fn check_no_std(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for folder in PURE {
        let root = format!("crates/{folder}/src/lib.rs");
        if !tree.has(&format!("crates/{folder}")) {
            continue;
        }
        let code = tree.file(&root).and_then(|file| file.rust.as_ref());
        if !code.is_some_and(|rust| rust.code.contains("#![no_std]")) {
            let sentence = "This crate touches nothing, and the compiler has to know: begin the \
                            library with `#![no_std]` and use `alloc`.";
            findings.push(Finding::new(root, 1, sentence));
        }
    }
    for (file, rust) in tree.rust() {
        if !is_source_of(&file.path, PURE) {
            continue;
        }
        let words: Vec<_> = words(&rust.shipped).collect();
        for three in words.windows(3) {
            if three[0].text == "extern" && three[1].text == "crate" && three[2].text == "std" {
                let sentence = "A pure crate may use `std` in its tests only: put the line behind \
                                `#[cfg(test)]`, or take what you need from `core` and `alloc`.";
                findings.push(Finding::new(&file.path, three[0].line, sentence));
            }
        }
    }
    findings
}

/// Tests are not spared: one that walks such a map fails on some days and not on others.
fn check_maps(tree: &Tree) -> Vec<Finding> {
    const SEEDED: &[&str] = &["HashMap", "HashSet", "RandomState", "ahash"];
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        if !is_source_of(&file.path, PURE) {
            continue;
        }
        for word in words(&rust.code).filter(|word| SEEDED.contains(&word.text)) {
            let sentence = format!(
                "`{}` orders its entries by chance, and the same seed has to give the same \
                 history twice: use `BTreeMap`, `BTreeSet` or a `Vec`.",
                word.text
            );
            findings.push(Finding::new(&file.path, word.line, sentence));
        }
    }
    findings
}

#[cfg(test)]
fn examples_of_no_std() -> Vec<super::example::Example> {
    use super::example::Example;

    let root = "crates/edge/src/lib.rs";
    let with_part =
        |part| Tree::of(&[("crates/order/src/lib.rs", "//! Order.\n#![no_std]\n"), ("crates/order/src/part.rs", part)]);
    vec![
        Example::breaks_with(root, "//! Edge, no #![no_std].\n", &["crates/edge/src/lib.rs:1"]),
        Example::breaks_with("crates/edge/Cargo.toml", "", &["crates/edge/src/lib.rs:1"]),
        Example::breaks(with_part("//! Part.\n\nextern crate std;\n"), &["crates/order/src/part.rs:3"]),
        Example::keeps(with_part("//! Part.\n#[cfg(test)]\nextern crate std;\nextern crate alloc;\n")),
        Example::keeps_with("crates/runtime/src/lib.rs", "//! It has the world.\n"),
    ]
}

#[cfg(test)]
fn examples_of_maps() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "crates/service/src/kv.rs",
            "//! Keys.\nuse std::collections::HashMap;\ntype A = ahash::AHasher;\n",
            &["crates/service/src/kv.rs:2", "crates/service/src/kv.rs:3"],
        ),
        Example::keeps_with("crates/service/src/kv.rs", "//! Not a HashMap.\nuse alloc::collections::BTreeMap;\n"),
        Example::keeps_with("crates/runtime/src/tcp.rs", "use std::collections::HashMap;\n"),
    ]
}
