//! How files are named, how they begin, and how long they may grow.
//!
//! These rules see a file from outside. What it says is for its readers to judge.

use super::Rule;
use super::places::place;
use crate::finding::Finding;
use crate::tree::Tree;

pub(super) const NAMES: Rule = Rule {
    name: "names",
    law: "a file is called after what it holds, never utils, helpers or common",
    check: check_names,
    #[cfg(test)]
    examples: examples_of_names,
};

pub(super) const OPENINGS: Rule = Rule {
    name: "openings",
    law: "every file begins with a `//!` paragraph",
    check: check_openings,
    #[cfg(test)]
    examples: examples_of_openings,
};

pub(super) const LENGTHS: Rule = Rule {
    name: "lengths",
    law: "no source file is longer than 600 lines",
    check: check_lengths,
    #[cfg(test)]
    examples: examples_of_lengths,
};

fn check_names(tree: &Tree) -> Vec<Finding> {
    const NAMELESS: &[&str] = &["utils", "util", "helpers", "helper", "common", "misc"];
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let stem = file.path.trim_end_matches(".rs");
        if let Some(name) = stem.split('/').find(|piece| NAMELESS.contains(piece)) {
            let sentence = format!(
                "`{name}` says nothing about what is inside: give each of its contents a home \
                 with the noun it belongs to."
            );
            findings.push(Finding::new(&file.path, 1, sentence));
        }
    }
    findings
}

fn check_openings(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        if !wants_opening(&file.path) {
            continue;
        }
        let first = first_line_of_its_own(&file.text, &rust.code);
        let opening = file.text.lines().nth(first).map(str::trim);
        let says_something =
            opening.and_then(|line| line.strip_prefix("//!")).is_some_and(|words| !words.trim().is_empty());
        if !says_something {
            let sentence = "The file does not say what it is: begin it with a `//!` paragraph on \
                            what it holds and what it will never do.";
            findings.push(Finding::new(&file.path, first + 1, sentence));
        }
    }
    findings
}

/// Folders below `tests` hold parts of the test that declares them, or data.
fn wants_opening(path: &str) -> bool {
    if path.starts_with("fuzz/fuzz_targets/") {
        return true;
    }
    place(path).is_some_and(|place| match place.part {
        "src" | "benches" | "examples" => true,
        "tests" => !place.rest.contains('/'),
        _ => false,
    })
}

/// The index of the first line that is neither empty, nor for the shell, nor of an inner attribute.
fn first_line_of_its_own(text: &str, code: &str) -> usize {
    let mut depth = 0_usize;
    for (index, (line, code)) in text.lines().zip(code.lines()).enumerate() {
        let of_attribute = depth > 0 || code.trim_start().starts_with("#![");
        depth += code.matches('[').count();
        depth = depth.saturating_sub(code.matches(']').count());
        let for_the_shell = index == 0 && line.starts_with("#!/");
        if !of_attribute && !for_the_shell && !line.trim().is_empty() {
            return index;
        }
    }
    0
}

fn check_lengths(tree: &Tree) -> Vec<Finding> {
    const LONGEST: usize = 600;
    let mut findings = Vec::new();
    for (file, _) in tree.rust() {
        let lines = file.text.lines().count();
        if place(&file.path).is_some_and(|place| place.part == "src") && lines > LONGEST {
            let sentence = format!(
                "The file has {lines} lines, and {LONGEST} is the most: there is a phase in it \
                 that wants its own file."
            );
            findings.push(Finding::new(&file.path, LONGEST + 1, sentence));
        }
    }
    findings
}

#[cfg(test)]
fn examples_of_names() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with("crates/sim/src/utils.rs", "", &["crates/sim/src/utils.rs:1"]),
        Example::breaks_with("crates/sim/tests/common/mod.rs", "", &["crates/sim/tests/common/mod.rs:1"]),
        Example::keeps(Tree::of(&[("crates/sim/src/utilisation.rs", ""), ("docs/common/page.md", "")])),
    ]
}

#[cfg(test)]
fn examples_of_openings() -> Vec<super::example::Example> {
    use super::example::Example;

    let path = "crates/sim/src/world.rs";
    vec![
        Example::breaks_with(path, "fn f() {}\n", &["crates/sim/src/world.rs:1"]),
        Example::breaks_with(path, "", &["crates/sim/src/world.rs:1"]),
        Example::breaks_with(path, "//!\n", &["crates/sim/src/world.rs:1"]),
        Example::breaks_with(path, "// World.\n//! Late.\n", &["crates/sim/src/world.rs:1"]),
        Example::breaks_with(path, "#![no_std]\nuse a;\n", &["crates/sim/src/world.rs:2"]),
        Example::breaks_with("examples/a/src/lib.rs", "fn f() {}\n", &["examples/a/src/lib.rs:1"]),
        Example::breaks_with("crates/sim/tests/calm.rs", "/// Outer.\n", &["crates/sim/tests/calm.rs:1"]),
        Example::breaks_with("fuzz/fuzz_targets/wire.rs", "#![no_main]\n\nuse a;\n", &["fuzz/fuzz_targets/wire.rs:3"]),
        Example::keeps_with(path, "//! World.\n"),
        Example::keeps_with(path, "#!/usr/bin/env run\n\n//! World.\n"),
        Example::keeps_with(path, "#![no_std]\n#![warn(\n    missing_docs,\n)]\n//! World.\n"),
        Example::keeps_with("crates/sim/tests/calm/part.rs", "fn f() {}\n"),
        Example::keeps_with("crates/sim/build.rs", "fn main() {}\n"),
    ]
}

#[cfg(test)]
fn examples_of_lengths() -> Vec<super::example::Example> {
    use super::example::Example;

    let path = "crates/sim/src/world.rs";
    vec![
        Example::breaks_with(path, &"\n".repeat(601), &["crates/sim/src/world.rs:601"]),
        Example::keeps_with(path, &"\n".repeat(600)),
        Example::keeps_with("crates/sim/tests/world.rs", &"\n".repeat(601)),
    ]
}
