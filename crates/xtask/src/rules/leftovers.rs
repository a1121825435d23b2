//! What may not stay behind: assertions that ships do not carry, and work that is not done.
//!
//! Both rules search words. They will never judge whether an assertion or a test is a good one.

use super::Rule;
use super::places::place;
use crate::finding::Finding;
use crate::lexer::{Word, words};
use crate::tree::Tree;

pub(super) const ASSERTIONS: Rule = Rule {
    name: "assertions",
    law: "invariants are plain assertions that release builds keep",
    check: check_assertions,
    #[cfg(test)]
    examples: examples_of_assertions,
};

pub(super) const UNFINISHED: Rule = Rule {
    name: "unfinished",
    law: "no placeholders, no notes of things to do, no tests that are skipped",
    check: check_unfinished,
    #[cfg(test)]
    examples: examples_of_unfinished,
};

fn check_assertions(tree: &Tree) -> Vec<Finding> {
    const DEBUG_ONLY: &[&str] = &["debug_assert", "debug_assert_eq", "debug_assert_ne"];
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        if place(&file.path).is_none_or(|place| place.part != "src") {
            continue;
        }
        let macros = |word: &Word<'_>| DEBUG_ONLY.contains(&word.text) && word.after.starts_with('!');
        for word in words(&rust.code).filter(macros) {
            let sentence = format!(
                "`{}` is gone in a release build, and so is every simulation's chance to see it: \
                 use `{}`.",
                word.text,
                word.text.trim_start_matches("debug_")
            );
            findings.push(Finding::new(&file.path, word.line, sentence));
        }
    }
    findings
}

fn check_unfinished(tree: &Tree) -> Vec<Finding> {
    const PLACEHOLDERS: &[&str] = &["todo", "unimplemented"];
    const NOTES: &[&str] = &["TODO", "FIXME", "XXX"];
    const SKIPPED: &str = "#[ignore";
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        for word in words(&rust.code) {
            if PLACEHOLDERS.contains(&word.text) && word.after.starts_with('!') {
                let sentence =
                    format!("`{}!` is a promise to write something: write it, or leave the item out.", word.text);
                findings.push(Finding::new(&file.path, word.line, sentence));
            }
        }
        for word in words(&rust.code).chain(words(&rust.comments)) {
            if NOTES.contains(&word.text) {
                let sentence = format!(
                    "`{}` marks work that is not done: do it now, or open an issue and say here \
                     what is deliberately absent.",
                    word.text
                );
                findings.push(Finding::new(&file.path, word.line, sentence));
            }
        }
        for (index, line) in rust.code.lines().enumerate() {
            if line.contains(SKIPPED) {
                let sentence = "A test that is ignored proves nothing: make it quick enough to \
                                run always, or delete it.";
                findings.push(Finding::new(&file.path, index + 1, sentence));
            }
        }
    }
    findings
}

#[cfg(test)]
fn examples_of_assertions() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "crates/sim/src/world.rs",
            "//! World.\nfn f() {\n    debug_assert!(true);\n    debug_assert_eq!(1, 1);\n}\n",
            &["crates/sim/src/world.rs:3", "crates/sim/src/world.rs:4"],
        ),
        Example::keeps_with(
            "crates/sim/src/world.rs",
            "//! Never debug_assert!\nfn f() { assert!(true, \"debug_assert!\"); }\n",
        ),
    ]
}

#[cfg(test)]
fn examples_of_unfinished() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "crates/sim/src/world.rs",
            "fn f() { todo!() }\nfn g() { unimplemented!(\"later\") }\n",
            &["crates/sim/src/world.rs:1", "crates/sim/src/world.rs:2"],
        ),
        Example::breaks_with(
            "fuzz/fuzz_targets/wire.rs",
            "//! Wire.\n// TODO: more\n/* FIXME */\n/// XXX\nfn f() {}\n",
            &["fuzz/fuzz_targets/wire.rs:2", "fuzz/fuzz_targets/wire.rs:3", "fuzz/fuzz_targets/wire.rs:4"],
        ),
        Example::breaks_with(
            "crates/sim/tests/long.rs",
            "//! Long.\n#[test]\n#[ignore = \"slow\"]\nfn f() {}\n",
            &["crates/sim/tests/long.rs:3"],
        ),
        Example::keeps_with(
            "crates/sim/src/world.rs",
            "//! All done; `todo!` is a macro.\nfn f(todo: bool) -> &'static str { \"TODO\" }\n",
        ),
    ]
}
