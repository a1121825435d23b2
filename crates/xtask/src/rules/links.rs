//! The pages that people read point to files that exist.
//!
//! Links into the web are not followed: they break without a change of ours, and a check that
//! fails on somebody else's day off is soon ignored. Anchors are not looked up either.

use super::Rule;
use crate::finding::Finding;
use crate::tree::Tree;

pub(super) const RULE: Rule = Rule {
    name: "links",
    law: "relative links in the documentation point to files that exist",
    check,
    #[cfg(test)]
    examples,
};

fn check(tree: &Tree) -> Vec<Finding> {
    let mut findings = Vec::new();
    for page in tree.files().iter().filter(|file| is_page(&file.path)) {
        let mut in_fence = false;
        for (index, line) in page.text.lines().enumerate() {
            let text = line.trim_start();
            if text.starts_with("```") || text.starts_with("~~~") {
                in_fence = !in_fence;
                continue;
            }
            if in_fence {
                continue;
            }
            for target in targets_in(line) {
                let found = file_meant(&page.path, target).is_some_and(|path| path.is_empty() || tree.has(&path));
                if !found {
                    let sentence = format!("The link to `{target}` leads nowhere: correct it, or write the page.");
                    findings.push(Finding::new(&page.path, index + 1, sentence));
                }
            }
        }
    }
    findings
}

fn is_page(path: &str) -> bool {
    path.ends_with(".md") && (!path.contains('/') || path.starts_with("docs/"))
}

/// The relative targets of the links, images and definitions in a line.
fn targets_in(line: &str) -> Vec<&str> {
    let mut targets = Vec::new();
    let definition = line.starts_with('[') && !line.starts_with("[^");
    if let Some((_, target)) = line.split_once("]: ").filter(|_| definition) {
        targets.push(target);
    }
    // Every second piece between backticks is code, where brackets mean something else. A label
    // in backticks leaves its `](` in the next piece, so links are still seen.
    for prose in line.split('`').step_by(2) {
        for (at, _) in prose.match_indices("](") {
            let rest = &prose[at + 2..];
            targets.push(rest.split(')').next().unwrap_or(rest));
        }
    }
    targets.into_iter().map(without_title).filter(|target| is_relative(target)).collect()
}

/// `page.md "A title"` and `<page.md>` both mean the page.
fn without_title(target: &str) -> &str {
    let target = target.trim();
    let bracketed = target.strip_prefix('<').and_then(|rest| rest.split('>').next());
    bracketed.unwrap_or_else(|| target.split_whitespace().next().unwrap_or_default())
}

fn is_relative(target: &str) -> bool {
    !target.is_empty() && !target.starts_with('#') && !target.starts_with("mailto:") && !target.contains("://")
}

/// The path from the root of the repository; nothing if the link leaves it.
fn file_meant(page: &str, target: &str) -> Option<String> {
    let path = target.split(['#', '?']).next().unwrap_or(target);
    let mut pieces: Vec<&str> = match (path.starts_with('/'), page.rsplit_once('/')) {
        (false, Some((folder, _))) => folder.split('/').collect(),
        _ => Vec::new(),
    };
    for piece in path.split('/') {
        match piece {
            "" | "." => {}
            ".." => {
                pieces.pop()?;
            }
            name => pieces.push(name),
        }
    }
    Some(pieces.join("/"))
}

#[cfg(test)]
fn examples() -> Vec<super::example::Example> {
    use super::example::Example;

    vec![
        Example::breaks_with(
            "README.md",
            "Fine.\n\n[a](docs/a.md), ![b](b.svg) and [`c`](c.md#part).\n[d]: ../d.md\n",
            &["README.md:3", "README.md:3", "README.md:3", "README.md:4"],
        ),
        Example::breaks_with("docs/decisions/one.md", "[two](two.md)\n", &["docs/decisions/one.md:1"]),
        Example::keeps(Tree::of(&[
            (
                "docs/decisions/one.md",
                "[two](./two.md \"Two\"), [self](#part), [web](https://example.org/a.md),\n\
                 [up](../../README.md#top), [folder](..), [root](/docs/decisions/two.md),\n\
                 `[code](nowhere.md)`, [^1]: a note\n\
                 ```\n[code](nowhere.md)\n```\n[t]: <two.md>\n",
            ),
            ("docs/decisions/two.md", ""),
            ("README.md", "[home](.)\n"),
            ("crates/sim/notes.md", "[not a page](nowhere.md)\n"),
        ])),
    ]
}
