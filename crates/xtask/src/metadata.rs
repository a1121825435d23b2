//! The workspace as Cargo resolves it: packages, their declared dependencies, and the graph.
//!
//! Only the fields that a rule asks for are read from `cargo metadata`. It will never parse a
//! manifest or the lock file itself; Cargo knows better what they mean.

use std::path::Path;
use std::process::Command;

use serde::Deserialize;

/// Where Cargo says a package from crates.io comes from, whichever mirror served it.
pub(crate) const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    pub(crate) workspace_members: Vec<String>,
    pub(crate) workspace_root: String,
    pub(crate) target_directory: String,
    pub(crate) resolve: Graph,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) license: Option<String>,
    /// Nothing means a path on this machine.
    pub(crate) source: Option<String>,
    pub(crate) manifest_path: String,
    pub(crate) dependencies: Vec<Dependency>,
    pub(crate) targets: Vec<Target>,
}

/// A dependency as the manifest declares it, for any platform.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// Nothing means a normal one.
    pub(crate) kind: Option<Kind>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Dev,
    Build,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Target {
    pub(crate) name: String,
    pub(crate) kind: Vec<String>,
}

#[derive(Debug, Default, Clone, Deserialize)]
pub(crate) struct Graph {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) deps: Vec<Edge>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Edge {
    /// The id of the package at the other end.
    pub(crate) pkg: String,
    pub(crate) dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Clone, Deserialize)]
pub(crate) struct EdgeKind {
    pub(crate) kind: Option<Kind>,
}

impl Metadata {
    /// Of all platforms, or of one if it is given.
    pub(crate) fn read(platform: Option<&str>) -> Result<Metadata, String> {
        let mut cargo = Command::new("cargo");
        cargo.args(["metadata", "--format-version", "1"]);
        if let Some(platform) = platform {
            cargo.args(["--filter-platform", platform]);
        }
        let answer = output_of(&mut cargo, "cargo metadata")?;
        serde_json::from_slice(&answer)
            .map_err(|error| format!("`cargo metadata` answered what xtask cannot read: {error}"))
    }

    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.workspace_members.contains(&package.id))
    }

    /// A path below the root of the workspace, as findings print it.
    pub(crate) fn relative<'a>(&self, path: &'a str) -> Option<&'a str> {
        Path::new(path).strip_prefix(&self.workspace_root).ok().and_then(Path::to_str)
    }
}

/// The platform that this machine builds for, by its name in the compiler.
pub(crate) fn host_platform() -> Result<String, String> {
    let answer = output_of(Command::new("rustc").arg("-vV"), "rustc -vV")?;
    String::from_utf8_lossy(&answer)
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| "`rustc -vV` does not name its host".to_owned())
}

/// What a command prints, or a sentence with its complaint.
pub(crate) fn output_of(command: &mut Command, shown: &str) -> Result<Vec<u8>, String> {
    let output = command.output().map_err(|error| format!("`{shown}` did not start ({error}): is it on the PATH?"))?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    let complaint = String::from_utf8_lossy(&output.stderr);
    Err(format!("`{shown}` failed: {}", complaint.trim()))
}

/// Small workspaces for the examples of rules.
#[cfg(test)]
impl Metadata {
    pub(crate) fn of(packages: Vec<Package>) -> Metadata {
        let ours = |package: &&Package| package.source.is_none();
        Metadata {
            workspace_members: packages.iter().filter(ours).map(|p| p.id.clone()).collect(),
            workspace_root: "/house".to_owned(),
            target_directory: "/house/target".to_owned(),
            packages,
            resolve: Graph::default(),
        }
    }

    /// Adds `from → to` to the graph; packages go by name and version, `serde 1.0.0`.
    pub(crate) fn linked(mut self, from: &str, kind: Option<Kind>, to: &str) -> Metadata {
        self.resolve.nodes.push(Node {
            id: from.to_owned(),
            deps: vec![Edge { pkg: to.to_owned(), dep_kinds: vec![EdgeKind { kind }] }],
        });
        self
    }
}

#[cfg(test)]
impl Package {
    pub(crate) fn ours(name: &str, folder: &str) -> Package {
        Package {
            id: format!("{name} 0.1.0"),
            name: name.to_owned(),
            version: "0.1.0".to_owned(),
            license: Some("MIT".to_owned()),
            manifest_path: format!("/house/{folder}/Cargo.toml"),
            ..Package::default()
        }
    }

    pub(crate) fn foreign(name: &str, version: &str) -> Package {
        Package {
            id: format!("{name} {version}"),
            name: name.to_owned(),
            version: version.to_owned(),
            license: Some("MIT".to_owned()),
            source: Some(CRATES_IO.to_owned()),
            ..Package::default()
        }
    }

    pub(crate) fn needs(mut self, name: &str, kind: Option<Kind>) -> Package {
        self.dependencies.push(Dependency { name: name.to_owned(), kind });
        self
    }
}
