//! The interaction in words, one line an event, for people: replays of seeds,
//! figures of papers, bugs that were found. A trace that a test keeps in a file
//! is rewritten when `UPDATE=1` is set, and the difference is read like code.

use std::fmt::{Display, Write};
use std::path::Path;

use skein_machine::ProcessId;

use crate::{Nanos, SECOND};

/// Lines collected so far.
#[derive(Clone, Debug, Default)]
pub struct Trace {
    text: String,
    /// Sends, syncs and timers too, not only what arrives and is delivered.
    everything: bool,
}

impl Trace {
    /// What arrives, what is asked for and what comes out.
    pub fn brief() -> Trace {
        Trace::default()
    }

    /// Also what is sent, persisted and armed.
    pub fn full() -> Trace {
        Trace { text: String::new(), everything: true }
    }

    /// Whether sends, syncs and timers are wanted.
    pub(crate) fn wants_everything(&self) -> bool {
        self.everything
    }

    /// Adds something that happened at a process.
    pub(crate) fn at(&mut self, now: Nanos, process: ProcessId, what: impl Display) {
        self.line(now, process, what);
    }

    /// Adds something that happened to the world.
    pub(crate) fn note(&mut self, now: Nanos, what: impl Display) {
        self.line(now, "--", what);
    }

    fn line(&mut self, now: Nanos, whom: impl Display, what: impl Display) {
        let (seconds, micros) = (now / SECOND, now % SECOND / 1000);
        // Padding wants a text: the names' own Display ignores a width.
        let whom = whom.to_string();
        writeln!(self.text, "{seconds:>4}.{micros:06} {whom:<4} {what}").expect("memory takes a line");
    }

    /// All lines.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Compares a text with the file that holds it, or rewrites the file when the
/// environment says `UPDATE=1`.
pub fn golden(file: impl AsRef<Path>, text: &str) {
    let file = file.as_ref();
    if std::env::var_os("UPDATE").is_some_and(|update| update == "1") {
        let folder = file.parent().expect("a file lies in a folder");
        std::fs::create_dir_all(folder).unwrap_or_else(|error| panic!("cannot make {}: {error}", folder.display()));
        std::fs::write(file, text).unwrap_or_else(|error| panic!("cannot write {}: {error}", file.display()));
        return;
    }
    let kept = std::fs::read_to_string(file)
        .unwrap_or_else(|error| panic!("cannot read {}: {error}; run the test with UPDATE=1 once", file.display()));
    let line = kept.lines().zip(text.lines()).take_while(|(kept, new)| kept == new).count();
    assert!(
        kept == text,
        "{} differs from line {} on:\n  kept: {}\n  now:  {}\nrun the test with UPDATE=1 and read the difference",
        file.display(),
        line + 1,
        kept.lines().nth(line).unwrap_or("(the end)"),
        text.lines().nth(line).unwrap_or("(the end)"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_when_where_and_what() {
        let mut trace = Trace::brief();
        trace.at(1_234_567_000, ProcessId(3), "hears p1: hello");
        trace.note(12 * SECOND, "the rain stops");
        assert_eq!(trace.text(), "   1.234567 p3   hears p1: hello\n  12.000000 --   the rain stops\n");
    }

    #[test]
    #[should_panic(expected = "differs from line 2")]
    fn a_difference_is_shown_by_its_line() {
        let file = std::env::temp_dir().join(format!("skein-golden-{}", std::process::id()));
        std::fs::write(&file, "a\nb\n").unwrap();
        golden(&file, "a\nc\n");
    }
}
