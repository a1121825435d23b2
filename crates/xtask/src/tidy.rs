//! Reads the repository, asks every rule, and prints what they find.
//!
//! The rules know nothing of printing, and this knows nothing of the rules.

use crate::rules;
use crate::tree::Tree;

/// Whether every rule holds. The error is about the reading: without a tree there is no verdict.
pub(crate) fn run() -> Result<bool, String> {
    let tree = Tree::read()?;
    let findings = rules::judge(&tree);
    for finding in &findings {
        println!("{finding}");
    }
    println!(
        "tidy: {} rules, {} files, {} packages, {} findings",
        rules::RULES.len(),
        tree.files().len(),
        tree.metadata.packages.len(),
        findings.len()
    );
    Ok(findings.is_empty())
}
