//! Where the compiler's promises may be suspended: in two files.
//!
//! Whether an unsafe block is right is for its argument and for the model checkers to say, not
//! for this rule.

use super::Rule;
use super::places::{Place, Shelf, place};
use crate::finding::Finding;
use crate::lexer::words;
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "unsafe",
    law: "unsafe code lives in crates/runtime/src/shm.rs and cores.rs, and every other crate forbids it",
    check,
    #[cfg(test)]
    examples,
};

/// Memory shared between processes cannot be had without, nor what no crate asks of the system about a thread.
const ITS_HOMES: [&str; 2] = ["crates/runtime/src/shm.rs", "crates/runtime/src/cores.rs"];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        if !ITS_HOMES.contains(&file.path.as_str()) {
            for word in words(&rust.code).filter(|word| word.text == "unsafe") {
                let sentence = format!(
                    "`unsafe` lives in {} and nowhere else: write it safely, or give one of them an \
                     interface that does what you need.",
                    ITS_HOMES.join(" and ")
                );
                findings.push(Finding::new(&file.path, word.line, sentence));
            }
        }
        let Some(place) = place(&file.path).filter(Place::is_root) else {
            continue;
        };
        // `forbid` cannot be lifted in one module, so the crate with these files has to `deny`.
        let may_deny = place.shelf == Shelf::Crates && place.crate_folder == "runtime";
        let forbids = rust.code.contains("#![forbid(unsafe_code)]");
        let denies = may_deny && rust.code.contains("#![deny(unsafe_code)]");
        if !forbids && !denies {
            let wanted = if may_deny { "deny" } else { "forbid" };
            let sentence = format!(
                "This is the root of a crate, and it has to say that it does without unsafe code: \
                 add `#![{wanted}(unsafe_code)]`."
            );
            findings.push(Finding::new(&file.path, 1, sentence));
        }
    }
    findings
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "crates/sim/src/world.rs",
            "//! World.\nfn f() {\n    unsafe { g() }\n}\n",
            &["crates/sim/src/world.rs:3"],
        ),
        Example::breaks_with(
            "crates/sim/tests/world.rs",
            "#[cfg(test)]\nmod a { unsafe fn f() {} }\n",
            &["crates/sim/tests/world.rs:2"],
        ),
        Example::breaks_with(
            "crates/sim/src/lib.rs",
            "//! Simulator, with `#![forbid(unsafe_code)]` in words only.\n#![deny(unsafe_code)]\n",
            &["crates/sim/src/lib.rs:1"],
        ),
        Example::breaks_with("crates/a/src/bin/b.rs", "", &["crates/a/src/bin/b.rs:1"]),
        Example::breaks_with("examples/a/src/main.rs", "", &["examples/a/src/main.rs:1"]),
        Example::breaks_with(
            "examples/runtime/src/lib.rs",
            "#![deny(unsafe_code)]\n",
            &["examples/runtime/src/lib.rs:1"],
        ),
        Example::breaks_with("crates/runtime/src/lib.rs", "", &["crates/runtime/src/lib.rs:1"]),
        Example::keeps(Tree::of(&[
            ("crates/runtime/src/lib.rs", "#![deny(unsafe_code)]\nmod shm;\n"),
            ("crates/runtime/src/shm.rs", "#![allow(unsafe_code)]\nunsafe fn f() {}\n"),
            ("crates/runtime/src/cores.rs", "#![allow(unsafe_code)]\nunsafe fn f() {}\n"),
            ("crates/sim/src/lib.rs", "//! Never unsafe.\n#![forbid(unsafe_code)]\n"),
            ("crates/sim/src/word.rs", "fn f() -> &'static str { \"unsafe\" }\n"),
        ])),
    ]
}
