//! The table of house rules.
//!
//! Each rule is one function from a `Tree` to its findings, and carries examples: trees that break
//! it and trees that keep it. A rule that has never failed is unproven, so the table's test holds
//! every rule to both. No rule repairs anything.

use crate::finding::Finding;
use crate::tree::Tree;

mod dependencies;
mod edges;
#[cfg(test)]
mod example;
mod files;
mod leftovers;
mod links;
mod local;
mod places;
mod protocols;
mod purity;
mod unsafety;
mod versions;

pub(crate) struct Rule {
    pub(crate) name: &'static str,
    /// What the rule demands, in one line, for the help.
    pub(crate) law: &'static str,
    check: fn(&Tree) -> Vec<Finding>,
    /// A field and not a list elsewhere, so that a rule without examples does not compile.
    #[cfg(test)]
    examples: fn() -> Vec<example::Example>,
}

/// All rules, the walls of the house first and its manners last.
pub(crate) const RULES: &[Rule] = &[
    edges::RULE,
    purity::NO_STD,
    purity::SEEDLESS,
    unsafety::RULE,
    protocols::RULE,
    leftovers::ASSERTIONS,
    leftovers::UNFINISHED,
    files::NAMES,
    files::OPENINGS,
    files::LENGTHS,
    dependencies::LICENCES,
    dependencies::SOURCES,
    dependencies::BANS,
    versions::RULE,
    links::RULE,
    local::RULE,
];

/// What all rules say about a tree, in the order of the table.
pub(crate) fn judge(tree: &Tree) -> Vec<Finding> {
    RULES.iter().flat_map(|rule| (rule.check)(tree)).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_rule_can_fail_and_can_hold() {
        for rule in RULES {
            let examples = (rule.examples)();
            assert!(
                examples.iter().any(|example| !example.finds.is_empty()),
                "`{}` has no example that breaks it",
                rule.name
            );
            assert!(
                examples.iter().any(|example| example.finds.is_empty()),
                "`{}` has no example that keeps it",
                rule.name
            );
            for example in examples {
                let findings = (rule.check)(&example.tree);
                let places: Vec<_> =
                    findings.iter().map(|finding| format!("{}:{}", finding.path, finding.line)).collect();
                assert_eq!(places, example.finds, "`{}` says {findings:#?}", rule.name);
            }
        }
    }

    #[test]
    fn findings_are_sentences() {
        for rule in RULES {
            for example in (rule.examples)() {
                for finding in (rule.check)(&example.tree) {
                    let sentence = finding.sentence;
                    assert!(sentence.ends_with('.'), "no full stop: {sentence}");
                    assert!(sentence.contains(' '), "a single word: {sentence}");
                    assert!(!sentence.contains('\n'), "two lines: {sentence}");
                }
            }
        }
    }

    #[test]
    fn names_and_laws_are_told_apart() {
        let names: BTreeSet<_> = RULES.iter().map(|rule| rule.name).collect();
        let laws: BTreeSet<_> = RULES.iter().map(|rule| rule.law).collect();
        assert_eq!(names.len(), RULES.len());
        assert_eq!(laws.len(), RULES.len());
    }
}
