//! What comes from elsewhere: under which licence, from which source, and which crates never.
//!
//! Everything that Cargo could download for any platform is judged. The rules will never look for
//! advisories: those change while the tree stands still, and a build must not.

use super::Rule;
use crate::finding::Finding;
use crate::licence;
use crate::metadata::{CRATES_IO, Package};
use crate::tree::Tree;

pub(super) const LICENCES: Rule = Rule {
    name: "licences",
    law: "every dependency may be used under a licence from the list",
    check: check_licences,
    #[cfg(test)]
    examples: examples_of_licences,
};

pub(super) const SOURCES: Rule = Rule {
    name: "sources",
    law: "every dependency comes from crates.io or from this repository",
    check: check_sources,
    #[cfg(test)]
    examples: examples_of_sources,
};

pub(super) const BANS: Rule = Rule {
    name: "bans",
    law: "crates that were tried or looked at and refused stay out",
    check: check_bans,
    #[cfg(test)]
    examples: examples_of_bans,
};

/// None of them asks more of our users than to keep a notice, or in the case of the MPL to
/// publish changes to the files it covers.
const ALLOWED_LICENCES: &[&str] = &[
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Unicode-3.0",
    "Unicode-DFS-2016",
    "Zlib",
    "CC0-1.0",
    "0BSD",
    "Unlicense",
    "MPL-2.0",
    "BSL-1.0",
];

/// How far a ban reaches.
#[derive(PartialEq, Eq)]
enum Reach {
    /// It may not be in the build at all.
    Everywhere,
    /// We may not ask for it; what a dependency does inside is its own choice.
    OurManifests,
}

/// A crate that was refused, and why: half a sentence that follows its name.
struct Ban(&'static str, Reach, &'static str);

use Reach::{Everywhere, OurManifests};

#[rustfmt::skip]
const BANS_OF_CRATES: &[Ban] = &[
    Ban("bincode", Everywhere, "is abandoned, and our wire format is written by hand"),
    Ban("failure", Everywhere, "is abandoned; errors are plain enums here"),
    Ban("figment", OurManifests, "is dormant; the configuration merges its own layers"),
    Ban("gxhash", Everywhere, "collides"),
    Ban("lazy_static", OurManifests, "has been overtaken by `std::sync::LazyLock`"),
    Ban("metrics", OurManifests, "keeps one registry per process, and tests run many nodes in one"),
    Ban("native-tls", Everywhere, "binds to a system library; TLS is rustls here"),
    Ban("openssl", Everywhere, "binds to a system library; TLS is rustls here"),
    Ban("openssl-sys", Everywhere, "binds to a system library; TLS is rustls here"),
    Ban("rkyv", OurManifests, "has open advisories on soundness; layouts are zerocopy here"),
    Ban("rocksdb", Everywhere, "is a C++ build with a second log under ours"),
    Ban("librocksdb-sys", Everywhere, "is a C++ build with a second log under ours"),
    Ban("structopt", OurManifests, "has become a part of clap"),
];

fn check_licences(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.metadata.packages {
        let complaint = match &package.license {
            None => "names no licence".to_owned(),
            Some(expression) => match licence::is_met(expression, ALLOWED_LICENCES) {
                Ok(true) => continue,
                Ok(false) => format!("comes under `{expression}`, which is not on the list"),
                Err(why) => format!("has the licence expression `{expression}`, which {why}"),
            },
        };
        let sentence = format!(
            "`{} {}` {complaint}: find another crate, or add the licence to the rule `licences` \
             with a decision page.",
            package.name, package.version
        );
        findings.push(finding_on(tree, package, sentence));
    }
    findings
}

fn check_sources(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &tree.metadata.packages {
        let welcome = match package.source.as_deref() {
            Some(source) => source == CRATES_IO,
            None => tree.metadata.relative(&package.manifest_path).is_some(),
        };
        if !welcome {
            let sentence = format!(
                "`{} {}` comes from {}, which others cannot rely on: use a release on crates.io, \
                 or take the code into this repository.",
                package.name,
                package.version,
                package.source.as_deref().unwrap_or("a folder outside the repository"),
            );
            findings.push(finding_on(tree, package, sentence));
        }
    }
    findings
}

fn check_bans(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for Ban(name, reach, why) in BANS_OF_CRATES {
        let sentence = format!("`{name}` {why}: do without it.");
        if *reach == Everywhere {
            let present = tree.metadata.packages.iter().filter(|package| package.name == *name);
            findings.extend(present.map(|package| finding_on(tree, package, &sentence)));
            continue;
        }
        for member in tree.metadata.members() {
            if member.dependencies.iter().any(|dependency| dependency.name == *name) {
                findings.push(finding_on(tree, member, &sentence));
            }
        }
    }
    findings
}

fn finding_on(tree: &Tree, package: &Package, sentence: impl Into<String>) -> Finding {
    let ours = tree.metadata.members().any(|member| member.id == package.id);
    match tree.metadata.relative(&package.manifest_path) {
        Some(manifest) if ours => Finding::new(manifest, 1, sentence),
        _ => Finding::new("Cargo.lock", tree.line_in_lock(package), sentence),
    }
}

/// A tree with one crate of ours and one other.
#[cfg(test)]
fn house(ours: Package, other: Package) -> Tree {
    use crate::metadata::Metadata;

    let lock = format!("version = 4\n\n[[package]]\nname = \"{}\"\nversion = \"{}\"\n", other.name, other.version);
    Tree::of(&[("Cargo.lock", &lock)]).with(Metadata::of(vec![ours, other]))
}

#[cfg(test)]
fn examples_of_licences() -> Vec<super::example::Example> {
    use super::example::Example;

    let under = |licence: Option<&str>| {
        let mut package = Package::foreign("serde", "1.0.0");
        package.license = licence.map(str::to_owned);
        house(Package::ours("skein", "crates/app"), package)
    };
    vec![
        Example::breaks(under(None), &["Cargo.lock:4"]),
        Example::breaks(under(Some("GPL-3.0-only")), &["Cargo.lock:4"]),
        Example::breaks(under(Some("MIT AND")), &["Cargo.lock:4"]),
        Example::keeps(under(Some("GPL-3.0-only OR MIT"))),
    ]
}

#[cfg(test)]
fn examples_of_sources() -> Vec<super::example::Example> {
    use super::example::Example;
    use crate::metadata::Metadata;

    let ours = || Package::ours("skein", "crates/app");
    let mut forked = Package::foreign("serde", "1.0.0");
    forked.source = Some("git+https://example.org/serde".to_owned());
    let mut outside = Package::ours("serde", "crates/serde");
    outside.manifest_path = "/elsewhere/Cargo.toml".to_owned();
    vec![
        Example::breaks(house(ours(), forked), &["Cargo.lock:4"]),
        Example::breaks(Tree::of(&[]).with(Metadata::of(vec![outside])), &["Cargo.lock:1"]),
        Example::keeps(house(ours(), Package::foreign("serde", "1.0.0"))),
    ]
}

#[cfg(test)]
fn examples_of_bans() -> Vec<super::example::Example> {
    use super::example::Example;

    let ours = || Package::ours("skein", "crates/app");
    let lazy = || Package::foreign("lazy_static", "1.5.0");
    vec![
        Example::breaks(house(ours(), Package::foreign("openssl", "0.10.0")), &["Cargo.lock:4"]),
        Example::breaks(house(ours().needs("lazy_static", None), lazy()), &["crates/app/Cargo.toml:1"]),
        Example::keeps(house(ours(), lazy())),
    ]
}
