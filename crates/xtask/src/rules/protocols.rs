//! Each protocol keeps to itself: to delete one is to delete its folder and a few known lines.
//!
//! The rule looks for the names of protocols in identifiers. Comments may mention them, since a
//! part may say whom it serves; strings may too. It will never know what an import means, so a
//! protocol that hides behind another name is for a reader to find.

use super::Rule;
use super::places::{Shelf, place};
use crate::finding::Finding;
use crate::lexer::words;
use crate::tree::{File, Tree};

pub(super) const RULE: Rule = Rule {
    name: "protocols",
    law: "no crate below the app names a protocol, and no protocol names another",
    check,
    #[cfg(test)]
    examples,
};

const PROTOCOLS: &[&str] = &["skeen", "primcast", "whitebox", "fastcast", "multiring"];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in tree.rust() {
        let Some(ground) = ground_of(file) else {
            continue;
        };
        for word in words(&rust.code) {
            let Some(protocol) = PROTOCOLS.iter().find(|name| mentions(word.text, name)) else {
                continue;
            };
            let line = rust.code.lines().nth(word.line - 1).unwrap_or_default();
            let welcome = match ground {
                Ground::Neutral => false,
                Ground::Of(owner) => owner == *protocol,
                Ground::Root => is_module_line(line),
            };
            if !welcome {
                findings.push(Finding::new(&file.path, word.line, sentence(word.text, ground)));
            }
        }
    }
    findings
}

/// Whose ground a file stands on.
#[derive(Clone, Copy)]
enum Ground<'a> {
    /// Nobody's: it has to serve them all.
    Neutral,
    /// One protocol's own.
    Of(&'a str),
    /// The list of protocols, one line each.
    Root,
}

/// Nothing for files that may name whom they like: the app, examples, tests that join rooms, and
/// the one file of planted bugs, each of which is some protocol's.
fn ground_of(file: &File) -> Option<Ground<'_>> {
    let place = place(&file.path).filter(|place| place.shelf == Shelf::Crates)?;
    match (place.crate_folder, place.part) {
        ("machine", _) | ("service" | "edge" | "sim" | "runtime", "src") => Some(Ground::Neutral),
        ("order", "src") => {
            let first = place.rest.split('/').next()?.trim_end_matches(".rs");
            Some(match first {
                "mutant" => return None,
                "lib" => Ground::Root,
                name if PROTOCOLS.contains(&name) => Ground::Of(name),
                _ => Ground::Neutral,
            })
        }
        _ => None,
    }
}

fn is_module_line(line: &str) -> bool {
    let declaration = line.trim().trim_start_matches("pub ");
    declaration.starts_with("mod ") && declaration.ends_with(';')
}

/// Whether the identifier has the name in it as whole words: `PrimCast`, `on_primcast` and
/// `FAST_CAST` have one, `unskeened` has none.
fn mentions(identifier: &str, name: &str) -> bool {
    let parts = parts_of(identifier);
    (0..parts.len()).any(|start| {
        let mut rest = name;
        parts[start..].iter().any(|part| {
            let Some(left) = rest.strip_prefix(part.as_str()) else {
                rest = "-"; // A gap: nothing that follows may continue the name.
                return false;
            };
            rest = left;
            rest.is_empty()
        })
    })
}

/// The words of an identifier in either convention, in lower case.
fn parts_of(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let letters: Vec<char> = identifier.chars().collect();
    for (at, &letter) in letters.iter().enumerate() {
        let after_small = at > 0 && !letters[at - 1].is_uppercase();
        let before_small = letters.get(at + 1).is_some_and(|next| next.is_lowercase());
        let begins = letter == '_' || (letter.is_uppercase() && (after_small || before_small));
        if begins {
            parts.push(String::new());
        }
        if letter != '_' {
            let part = parts.last_mut().expect("there is one from the start");
            part.extend(letter.to_lowercase());
        }
    }
    parts.retain(|part| !part.is_empty());
    parts
}

fn sentence(word: &str, ground: Ground<'_>) -> String {
    match ground {
        Ground::Neutral => format!(
            "`{word}` names a protocol where all of them are served: take what differs as a \
             parameter, or move this to the protocol's folder, to the app or to its tests."
        ),
        Ground::Of(owner) => format!(
            "`{word}` names another protocol than `{owner}`, and then neither can be deleted \
             alone: move what they share to `parts`."
        ),
        Ground::Root => format!(
            "`{word}` names a protocol outside its one `mod` line: let those who use it write \
             its path."
        ),
    }
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "crates/sim/src/world.rs",
            "//! World.\nfn f(node: PrimCastNode) {}\nfn run_skeen() {}\n",
            &["crates/sim/src/world.rs:2", "crates/sim/src/world.rs:3"],
        ),
        Example::breaks_with(
            "crates/machine/tests/a.rs",
            "use skein_order::fastcast;\n",
            &["crates/machine/tests/a.rs:1"],
        ),
        Example::breaks_with(
            "crates/order/src/primcast/mod.rs",
            "//! Primcast.\nuse crate::whitebox::Vote;\n",
            &["crates/order/src/primcast/mod.rs:2"],
        ),
        Example::breaks_with(
            "crates/order/src/parts/clock.rs",
            "struct WhiteBoxClock;\n",
            &["crates/order/src/parts/clock.rs:1"],
        ),
        Example::breaks_with(
            "crates/order/src/lib.rs",
            "pub mod skeen;\npub use skeen::Skeen;\n",
            &["crates/order/src/lib.rs:2", "crates/order/src/lib.rs:2"],
        ),
        Example::keeps(Tree::of(&[
            ("crates/sim/src/world.rs", "//! Runs PrimCast.\nfn f() -> &'static str { \"skeen\" }"),
            ("crates/sim/tests/skeen.rs", "use skein_order::skeen::Skeen;\n"),
            ("crates/app/src/compose.rs", "use skein_order::skeen::Skeen;\n"),
            ("examples/sim/src/lib.rs", "use skein_order::skeen::Skeen;\n"),
            ("crates/order/src/lib.rs", "pub mod skeen;\nmod multiring;\n"),
            ("crates/order/src/skeen.rs", "//! Unlike FastCast.\nstruct Skeen;\n"),
            ("crates/order/src/mutant.rs", "enum Mutant { SkeenForgets, FastCastHurries }\n"),
        ])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_in_every_convention() {
        for identifier in ["Skeen", "SKEEN", "skeen", "on_skeen", "SkeenConfig", "mySkeen"] {
            assert!(mentions(identifier, "skeen"), "{identifier}");
        }
        for identifier in ["PrimCast", "prim_cast", "Primcast", "NewPRIMCAST", "PrimCastNode"] {
            assert!(mentions(identifier, "primcast"), "{identifier}");
        }
        for identifier in ["unskeened", "skeens", "prim_a_cast", "cast", "broadcast", "_"] {
            for protocol in PROTOCOLS {
                assert!(!mentions(identifier, protocol), "{identifier} names {protocol}");
            }
        }
    }
}
