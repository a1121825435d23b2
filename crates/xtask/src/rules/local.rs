//! What belongs to a machine and not to the project: its paths, and where it fetches packages.
//!
//! Every text file is searched, this one too, so the patterns are put together from pieces. The
//! rule will never look for passwords; they have scanners of their own.

use super::Rule;
use crate::finding::Finding;
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "local",
    law: "no file names a folder of someone's machine or the host of a package registry",
    check,
    #[cfg(test)]
    examples,
};

/// Home folders. They count as absolute paths only: `docs/home/a.md` is somebody's own business.
const FOLDERS: &[&str] = &[concat!("/", "home"), concat!("/", "root"), concat!("/", "Users")];

/// A mirror or an index that works for one of us fails for everybody else.
const HOSTS: &[&str] = &[
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("py", "pi.org"),
    concat!("files.python", "hosted.org"),
    concat!("registry.", "npmjs.org"),
    concat!("proxy.", "golang.org"),
    concat!("arti", "factory"),
    concat!("j", "frog.io"),
];

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in tree.files() {
        for (index, line) in file.text.lines().enumerate() {
            if let Some(folder) = FOLDERS.iter().find(|folder| has_folder(line, folder)) {
                let sentence = format!(
                    "`{folder}` is a folder of one machine: write a path from the root of the \
                     repository, or take it from the environment."
                );
                findings.push(Finding::new(&file.path, index + 1, sentence));
            }
            if let Some(host) = HOSTS.iter().find(|host| line.contains(*host)) {
                let sentence = format!(
                    "`{host}` is where one machine fetches its packages: leave that to everyone's \
                     own settings."
                );
                findings.push(Finding::new(&file.path, index + 1, sentence));
            }
        }
    }
    findings
}

/// Whether an absolute path in the line begins with the folder.
fn has_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + folder.len()..].chars().next();
        let whole = !after.is_some_and(continues_name);
        let absolute = !before.is_some_and(|letter| continues_name(letter) || ")}]>*".contains(letter));
        absolute && whole
    })
}

fn continues_name(letter: char) -> bool {
    letter.is_alphanumeric() || "_-.".contains(letter)
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "docs/a.md",
            concat!("Fine.\nSee /", "home/me.\n(/", "root)\n/", "Users/me\n"),
            &["docs/a.md:2", "docs/a.md:3", "docs/a.md:4"],
        ),
        Example::breaks_with("crates/sim/src/a.rs", concat!("// at /", "home\n"), &["crates/sim/src/a.rs:1"]),
        Example::breaks_with("a.toml", concat!("https://index.", "crates.io\n"), &["a.toml:1"]),
        Example::keeps_with(
            "docs/a.md",
            "See docs/home/a.md, /homes, {base}/home, /rooted and https://crates.io/crates/a.\n",
        ),
    ]
}
