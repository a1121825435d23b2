//! The walls between crates: who may depend on whom.
//!
//! The table below is the plan of the house. It speaks of our own crates only; what comes from
//! elsewhere is judged with the dependencies.

use super::Rule;
use crate::finding::Finding;
use crate::metadata::{Dependency, Kind, Package};
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "edges",
    law: "crates depend on each other as the plan of the house allows",
    check,
    #[cfg(test)]
    examples,
};

/// One crate of the plan.
struct Room {
    package: &'static str,
    /// The other rules go by folder, so a crate that moves would walk out of them.
    folder: &'static str,
    /// Normal and build dependencies.
    uses: &'static [&'static str],
    /// What its tests may use besides.
    tests_use: &'static [&'static str],
}

/// The middle floor has no doors, but its tests may look into the neighbours' rooms.
const MIDDLE: &[&str] = &["skein-order", "skein-service", "skein-edge", "skein-sim", "skein-runtime"];
const GROUND: &[&str] = &["skein-machine"];
const BELOW_APP: &[&str] =
    &["skein-machine", "skein-order", "skein-service", "skein-edge", "skein-sim", "skein-runtime"];
/// Examples stand on what users stand on; memory that processes share and cores are there, too.
const SHELF: &[&str] = &["skein", "skein-machine", "skein-runtime"];

#[rustfmt::skip]
const PLAN: &[Room] = &[
    Room { package: "skein-machine", folder: "crates/machine", uses: &[], tests_use: &[] },
    Room { package: "skein-order", folder: "crates/order", uses: GROUND, tests_use: MIDDLE },
    Room { package: "skein-service", folder: "crates/service", uses: GROUND, tests_use: MIDDLE },
    Room { package: "skein-edge", folder: "crates/edge", uses: GROUND, tests_use: MIDDLE },
    Room { package: "skein-sim", folder: "crates/sim", uses: GROUND, tests_use: MIDDLE },
    Room { package: "skein-runtime", folder: "crates/runtime", uses: GROUND, tests_use: MIDDLE },
    Room { package: "skein", folder: "crates/app", uses: BELOW_APP, tests_use: &[] },
    Room { package: "skein-exchange", folder: "examples/exchange", uses: SHELF, tests_use: &[] },
    Room { package: "xtask", folder: "crates/xtask", uses: &[], tests_use: &[] },
];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for member in tree.metadata.members() {
        let manifest = tree.metadata.relative(&member.manifest_path).unwrap_or(&member.manifest_path);
        let Some(room) = PLAN.iter().find(|room| room.package == member.name) else {
            let sentence = format!(
                "The crate `{}` is not in the plan of the house: add it to the house plan in \
                 ARCHITECTURE.md and to the table of the rule `edges` first.",
                member.name
            );
            findings.push(Finding::new(manifest, 1, sentence));
            continue;
        };
        if manifest != format!("{}/Cargo.toml", room.folder) {
            let sentence = format!(
                "The crate `{}` belongs in {}, where the other rules look for it: move it back.",
                member.name, room.folder
            );
            findings.push(Finding::new(manifest, 1, sentence));
        }
        for dependency in &member.dependencies {
            if is_ours(tree, &dependency.name) && !allows(room, dependency) {
                let line = tree.line_where(manifest, |line| declares(line, &dependency.name));
                findings.push(Finding::new(manifest, line, sentence(member, dependency)));
            }
        }
    }
    findings
}

fn is_ours(tree: &Tree, name: &str) -> bool {
    PLAN.iter().any(|room| room.package == name) || tree.metadata.members().any(|member| member.name == name)
}

fn allows(room: &Room, dependency: &Dependency) -> bool {
    let name = dependency.name.as_str();
    let for_tests = dependency.kind == Some(Kind::Dev);
    room.uses.contains(&name) || (for_tests && room.tests_use.contains(&name))
}

/// `skein-machine = …` and `skein-machine.workspace = true` both.
fn declares(line: &str, name: &str) -> bool {
    line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '.', '=']))
}

fn sentence(member: &Package, dependency: &Dependency) -> String {
    let (from, to) = (&member.name, &dependency.name);
    if dependency.kind == Some(Kind::Dev) {
        format!("The tests of `{from}` may not use `{to}`: move what needs both to crates/app/tests.")
    } else {
        format!(
            "`{from}` may not depend on `{to}`: there is no door between them, so let the two \
             meet in `skein`, or move what they share to `skein-machine`."
        )
    }
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;
    use crate::metadata::Metadata;

    let house = |packages: Vec<Package>| Tree::of(&[]).with(Metadata::of(packages));
    let order = || Package::ours("skein-order", "crates/order");
    let runtime = || Package::ours("skein-runtime", "crates/runtime");
    let machine = || Package::ours("skein-machine", "crates/machine");
    let app = || Package::ours("skein", "crates/app");

    let manifest = "[dependencies]\nskein-sim-more = \"1\"\nskein-sim.workspace = true\n";
    let with_manifest =
        Tree::of(&[("crates/order/Cargo.toml", manifest)]).with(Metadata::of(vec![order().needs("skein-sim", None)]));

    vec![
        Example::breaks(with_manifest, &["crates/order/Cargo.toml:3"]),
        Example::breaks(house(vec![order().needs("skein-service", Some(Kind::Build))]), &["crates/order/Cargo.toml:1"]),
        Example::breaks(house(vec![runtime().needs("skein-order", None)]), &["crates/runtime/Cargo.toml:1"]),
        Example::breaks(house(vec![machine().needs("skein-sim", Some(Kind::Dev))]), &["crates/machine/Cargo.toml:1"]),
        Example::breaks(house(vec![order().needs("skein", Some(Kind::Dev))]), &["crates/order/Cargo.toml:1"]),
        Example::breaks(house(vec![app().needs("xtask", None)]), &["crates/app/Cargo.toml:1"]),
        Example::breaks(
            house(vec![Package::ours("skein-attic", "crates/attic"), order().needs("skein-attic", None)]),
            &["crates/attic/Cargo.toml:1", "crates/order/Cargo.toml:1"],
        ),
        Example::breaks(
            house(vec![Package::ours("skein-order", "crates/elsewhere")]),
            &["crates/elsewhere/Cargo.toml:1"],
        ),
        Example::keeps(house(vec![
            machine().needs("bytes", None),
            order().needs("skein-machine", None).needs("skein-sim", Some(Kind::Dev)),
            runtime().needs("skein-machine", None).needs("skein-order", Some(Kind::Dev)),
            app().needs("skein-order", None).needs("skein-sim", None),
        ])),
    ]
}
