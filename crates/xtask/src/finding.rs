//! What a rule says when it is broken: a place, and a sentence.
//!
//! A sentence names what is wrong and what to do about it, since whoever reads it may never have
//! read the rule. There are no severities and there will be none: a finding fails the run.

use std::fmt;

/// One place where one rule is broken.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) sentence: String,
}

impl Finding {
    pub(crate) fn new(path: impl Into<String>, line: usize, sentence: impl Into<String>) -> Finding {
        Finding { path: path.into(), line, sentence: sentence.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}:{}: {}", self.path, self.line, self.sentence)
    }
}
