//! A small tree, and the places where one rule must find something in it.
//!
//! Examples are data and not tests of their own: the table's test walks them, so that no rule can
//! keep them and forget to run them.

use crate::tree::Tree;

pub(super) struct Example {
    pub(super) tree: Tree,
    /// `path:line` of every finding in order; none if the tree keeps the rule.
    pub(super) finds: &'static [&'static str],
}

impl Example {
    pub(super) fn breaks(tree: Tree, finds: &'static [&'static str]) -> Example {
        assert!(!finds.is_empty(), "what breaks a rule is found somewhere");
        Example { tree, finds }
    }

    pub(super) fn keeps(tree: Tree) -> Example {
        Example { tree, finds: &[] }
    }

    /// The common case: one file that breaks the rule.
    pub(super) fn breaks_with(path: &str, text: &str, finds: &'static [&'static str]) -> Example {
        Example::breaks(Tree::of(&[(path, text)]), finds)
    }

    pub(super) fn keeps_with(path: &str, text: &str) -> Example {
        Example::keeps(Tree::of(&[(path, text)]))
    }
}
