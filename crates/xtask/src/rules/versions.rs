//! One version of each crate: two are twice the build, and their types do not fit each other.
//!
//! Only what a build on this machine compiles is looked at. Test dependencies are not, nor what
//! other platforms pull in.

use std::collections::{BTreeMap, BTreeSet};

use super::Rule;
use crate::finding::Finding;
use crate::metadata::{Kind, Metadata};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "versions",
    law: "a build holds one version of each crate",
    check: |tree| check(tree, TOLERATED),
    #[cfg(test)]
    examples,
};

/// A crate that may come in several versions, and the reason why that cannot be helped yet.
struct Tolerated {
    name: &'static str,
    because: &'static str,
}

/// Nothing is here unless it forces us, and an entry goes when its reason does.
const TOLERATED: &[Tolerated] = &[Tolerated {
    name: "getrandom",
    because: "0.4 is an option of `rand` that only tests take, and Cargo counts the options of tests in",
}];

fn check(tree: &Tree, tolerated: &[Tolerated]) -> Vec<Finding> {
    for entry in tolerated {
        assert!(!entry.because.is_empty(), "`{}` wants a reason", entry.name);
    }
    let built = built_packages(&tree.host);
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in &tree.host.packages {
        if built.contains(package.id.as_str()) {
            let of_name = versions.entry(&package.name).or_default();
            of_name.push(&package.version);
        }
    }
    versions
        .into_iter()
        .filter(|(name, of_name)| of_name.len() > 1 && tolerated.iter().all(|entry| entry.name != *name))
        .map(|(name, of_name)| {
            let entry = format!("name = \"{name}\"");
            let sentence = format!(
                "The build holds `{name}` in the versions {}: bring them together (`cargo tree -i \
                 {name}` says who asks), or tolerate it in the rule `versions` with a reason.",
                of_name.join(" and ")
            );
            let line = tree.line_where("Cargo.lock", |line| line == entry);
            Finding::new("Cargo.lock", line, sentence)
        })
        .collect()
}

/// The ids of all packages that our own crates reach without their tests.
fn built_packages(metadata: &Metadata) -> BTreeSet<&str> {
    let mut built = BTreeSet::new();
    let mut ahead: Vec<&str> = metadata.members().map(|member| member.id.as_str()).collect();
    while let Some(id) = ahead.pop() {
        if !built.insert(id) {
            continue;
        }
        let nodes = metadata.resolve.nodes.iter().filter(|node| node.id == id);
        for edge in nodes.flat_map(|node| &node.deps) {
            let only_tests = edge.dep_kinds.iter().all(|edge| edge.kind == Some(Kind::Dev));
            if !only_tests {
                ahead.push(&edge.pkg);
            }
        }
    }
    built
}

/// Our crate asks for one version itself, and for another through `middle`.
#[cfg(test)]
fn house(kind: Option<Kind>) -> Tree {
    use crate::metadata::Package;

    let packages = vec![
        Package::ours("skein", "crates/app"),
        Package::foreign("middle", "1.0.0"),
        Package::foreign("syn", "2.0.0"),
        Package::foreign("syn", "3.0.0"),
    ];
    let metadata = Metadata::of(packages)
        .linked("skein 0.1.0", None, "middle 1.0.0")
        .linked("middle 1.0.0", None, "syn 2.0.0")
        .linked("skein 0.1.0", kind, "syn 3.0.0");
    Tree::of(&[("Cargo.lock", "[[package]]\nname = \"syn\"\n")]).with(metadata)
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks(house(None), &["Cargo.lock:2"]),
        Example::breaks(house(Some(Kind::Build)), &["Cargo.lock:2"]),
        Example::keeps(house(Some(Kind::Dev))),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tolerated_crate_may_come_twice() {
        let tolerated = Tolerated { name: "syn", because: "two generations of macros" };
        assert!(check(&house(None), &[tolerated]).is_empty());
    }
}
