//! Standard output. Whoever reads it may go away in the middle, as `head`
//! does; then the program ends, quietly, as one that a broken pipe has killed.

use std::fmt::Display;
use std::io::{ErrorKind, Write, stdout};

/// What a shell shows for a program that a broken pipe has killed.
const BROKEN_PIPE: i32 = 128 + 13;

/// Prints a line of data.
pub(crate) fn line(text: impl Display) {
    check(writeln!(stdout(), "{text}"));
}

/// Prints one JSON object as a line.
pub(crate) fn json(value: &impl serde::Serialize) {
    line(serde_json::to_string(value).expect("plain data becomes JSON"));
}

/// Prints text that has its own line ends.
pub(crate) fn text(text: &str) {
    check(stdout().write_all(text.as_bytes()));
}

fn check(result: std::io::Result<()>) {
    match result.and_then(|()| stdout().flush()) {
        Ok(()) => {}
        Err(error) if error.kind() == ErrorKind::BrokenPipe => std::process::exit(BROKEN_PIPE),
        Err(error) => {
            eprintln!("error: cannot write to standard output: {error}");
            std::process::exit(1);
        }
    }
}
