//! The repository as the rules see it: every file with its text, and Cargo's view of the crates.
//!
//! A rule takes a `Tree` and nothing else, so that a test can show it a house of three lines. The
//! tree never changes, and nothing here writes to the disk.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::lexer;
use crate::metadata::{self, Metadata, Package};
use crate::shipped;

pub(crate) struct Tree {
    /// Sorted by path, so that findings come in the order in which people look for them.
    files: Vec<File>,
    /// The crates for every platform: licences bind whoever builds on any of them.
    pub(crate) metadata: Metadata,
    /// The crates for this machine's platform alone.
    pub(crate) host: Metadata,
}

pub(crate) struct File {
    /// From the root of the repository, with slashes.
    pub(crate) path: String,
    /// Empty for what is not text: the file counts as present and has nothing to say.
    pub(crate) text: String,
    /// Only for `.rs` files.
    pub(crate) rust: Option<Rust>,
}

/// A file of Rust, taken apart; see the lexer for what the texts have in common.
pub(crate) struct Rust {
    pub(crate) code: String,
    pub(crate) comments: String,
    /// The code of a normal build: nothing that only tests compile.
    pub(crate) shipped: String,
}

impl Tree {
    /// Reads the repository around the current folder.
    pub(crate) fn read() -> Result<Tree, String> {
        let metadata = Metadata::read(None)?;
        let host = Metadata::read(Some(&metadata::host_platform()?))?;
        let root = Path::new(&metadata.workspace_root);
        let mut files = Vec::new();
        for path in paths_in_git(root)? {
            // A file that git knows and the disk no longer has is being deleted.
            if let Ok(bytes) = std::fs::read(root.join(&path)) {
                files.push((path, String::from_utf8(bytes).unwrap_or_default()));
            }
        }
        Ok(Tree::new(files, metadata, host))
    }

    fn new(files: Vec<(String, String)>, metadata: Metadata, host: Metadata) -> Tree {
        let mut test_files = BTreeSet::new();
        let mut files: Vec<File> = files
            .into_iter()
            .map(|(path, text)| {
                let rust = path.ends_with(".rs").then(|| {
                    let lexed = lexer::lex(&text);
                    let shipped = shipped::without_tests(&lexed.code);
                    for module in &shipped.test_modules {
                        test_files.insert(format!("{}/{module}", home_of_modules(&path)));
                    }
                    Rust { code: lexed.code, comments: lexed.comments, shipped: shipped.code }
                });
                File { path, text, rust }
            })
            .collect();
        for file in &mut files {
            if let Some(rust) = &mut file.rust
                && lies_in(&file.path, &test_files)
            {
                rust.shipped.clear();
            }
        }
        files.sort_by(|one, other| one.path.cmp(&other.path));
        Tree { files, metadata, host }
    }

    pub(crate) fn files(&self) -> &[File] {
        &self.files
    }

    /// The files of Rust, with their code.
    pub(crate) fn rust(&self) -> impl Iterator<Item = (&File, &Rust)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    pub(crate) fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether there is such a file, or a folder with files in it.
    pub(crate) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    /// The first line of a file that satisfies the question; 1 if there is none to point at.
    pub(crate) fn line_where(&self, path: &str, asked: impl Fn(&str) -> bool) -> usize {
        self.file(path).and_then(|file| file.text.lines().position(asked)).map_or(1, |index| index + 1)
    }

    /// Where to point at for a package that is not ours: its entry in the lock file.
    pub(crate) fn line_in_lock(&self, package: &Package) -> usize {
        let entry = format!("name = \"{}\"\nversion = \"{}\"", package.name, package.version);
        self.file("Cargo.lock")
            .and_then(|lock| Some(lock.text[..lock.text.find(&entry)?].lines().count() + 1))
            .unwrap_or(1)
    }
}

/// Files that git follows, and new ones that it would follow: a rule should speak before the
/// commit, not after.
fn paths_in_git(root: &Path) -> Result<Vec<String>, String> {
    let mut git = Command::new("git");
    git.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let answer = metadata::output_of(&mut git, "git ls-files")?;
    Ok(String::from_utf8_lossy(&answer).split_terminator('\0').map(str::to_owned).collect())
}

/// The folder in which the compiler looks for the modules that a file declares.
fn home_of_modules(path: &str) -> &str {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    match name {
        "lib.rs" | "main.rs" | "mod.rs" => folder,
        _ => path.strip_suffix(".rs").unwrap_or(path),
    }
}

/// Whether the file is one of these modules, or a part of one.
fn lies_in(path: &str, modules: &BTreeSet<String>) -> bool {
    let stem = path.strip_suffix(".rs").unwrap_or(path);
    modules
        .iter()
        .any(|module| stem.strip_prefix(module.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

/// Small trees for the examples of rules.
#[cfg(test)]
impl Tree {
    pub(crate) fn of(files: &[(&str, &str)]) -> Tree {
        let owned = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
        Tree::new(owned, Metadata::default(), Metadata::default())
    }

    /// Both views of the crates are the same on a machine that has only one platform.
    pub(crate) fn with(mut self, metadata: Metadata) -> Tree {
        self.host = metadata.clone();
        self.metadata = metadata;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_that_only_tests_compile_ships_nothing() {
        let tree = Tree::of(&[
            ("crates/a/src/lib.rs", "#[cfg(test)]\nmod proof;\nmod real;"),
            ("crates/a/src/proof.rs", "mod deep;"),
            ("crates/a/src/proof/deep.rs", "fn a() {}"),
            ("crates/a/src/proofs.rs", "fn b() {}"),
            ("crates/a/src/real.rs", "#[cfg(test)]\nmod check;"),
            ("crates/a/src/real/check.rs", "fn c() {}"),
        ]);
        let ships: Vec<_> = tree
            .rust()
            .filter(|(_, rust)| !rust.shipped.trim().is_empty())
            .map(|(file, _)| file.path.as_str())
            .collect();
        assert_eq!(ships, ["crates/a/src/lib.rs", "crates/a/src/proofs.rs"]);
    }

    #[test]
    fn the_repository_itself_can_be_read() {
        let tree = Tree::read().unwrap();
        assert!(tree.has("crates/xtask/src/tree.rs"));
        assert!(tree.has("crates/xtask"));
        assert!(!tree.has("crates/xtask/src/tree"));
        assert!(tree.metadata.members().any(|package| package.name == "xtask"));
    }
}
