//! The `skein` binary: reads the command line, runs one command, answers with
//! an exit code. Everything else is in the library.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    skein::cli::main()
}
