//! `cargo xtask`: the rules of the house, and everything that has to hold before a merge.
//!
//! It exits with 0 if all holds, with 1 if something does not, and with 2 if it was not asked
//! properly or could not look. It changes nothing in the repository.

#![forbid(unsafe_code)]

use std::process::ExitCode;

mod ci;
mod finding;
mod lexer;
mod licence;
mod metadata;
mod rules;
mod shipped;
mod steps;
mod tidy;
mod tree;

const HELP: &str = "\
The rules of the house, and everything that has to hold before a merge.

Usage: cargo xtask <COMMAND>

Commands:
  tidy    Check the rules of the house, all that no compiler checks
  ci      Run every check in order: format, tidy, clippy, tests, documentation, simulation

`cargo xtask <COMMAND> --help` says more about one of them.
";

const HELP_OF_TIDY: &str = "\
Check the rules of the house, all that no compiler checks.

Usage: cargo xtask tidy

Each finding is a line `path:line: what is wrong and what to do`. The exit code is 0 if there is
none, 1 if there are some, 2 if the repository could not be read.

Rules:
";

const HELP_OF_CI: &str = "\
Run every check in order, and stop at the first that fails.

Usage: cargo xtask ci [--from STEP] [--list]

Options:
  --from STEP    Begin with this step, when those before it are known to pass
  --list         Print the steps and their commands, and run none

Each run also tries seeds that nobody tried before; the log has the command that repeats them.
";

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
enum Errand {
    Help,
    HelpWithTidy,
    HelpWithCi,
    Tidy,
    Ci { from: Option<String> },
    ListSteps,
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let errand = parse(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    match errand.and_then(run) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(complaint) => {
            eprintln!("xtask: {complaint}.");
            ExitCode::from(2)
        }
    }
}

fn parse(arguments: &[&str]) -> Result<Errand, String> {
    match arguments {
        ["--help" | "-h" | "help", ..] => Ok(Errand::Help),
        ["tidy", rest @ ..] => parse_tidy(rest),
        ["ci", rest @ ..] => parse_ci(rest),
        [] => Err("say what to do; `cargo xtask --help` shows the commands".to_owned()),
        [other, ..] => Err(format!("there is no command `{other}`; `cargo xtask --help` shows those there are")),
    }
}

fn parse_tidy(arguments: &[&str]) -> Result<Errand, String> {
    match arguments {
        [] => Ok(Errand::Tidy),
        ["--help" | "-h", ..] => Ok(Errand::HelpWithTidy),
        [other, ..] => Err(format!("`tidy` takes no argument `{other}`; `cargo xtask tidy --help` says more")),
    }
}

fn parse_ci(arguments: &[&str]) -> Result<Errand, String> {
    match arguments {
        [] => Ok(Errand::Ci { from: None }),
        ["--help" | "-h", ..] => Ok(Errand::HelpWithCi),
        ["--list"] => Ok(Errand::ListSteps),
        ["--from"] => Err("`--from` wants the name of a step; `--list` shows them".to_owned()),
        ["--from", step] => Ok(Errand::Ci { from: Some((*step).to_owned()) }),
        ["--from", _, other, ..] | ["--list", other, ..] | [other, ..] => {
            Err(format!("`ci` cannot take `{other}` here; `cargo xtask ci --help` says what it takes"))
        }
    }
}

fn run(errand: Errand) -> Result<bool, String> {
    match errand {
        Errand::Help => print!("{HELP}"),
        Errand::HelpWithCi => print!("{HELP_OF_CI}"),
        Errand::HelpWithTidy => {
            print!("{HELP_OF_TIDY}");
            for rule in rules::RULES {
                println!("  {:12} {}", rule.name, rule.law);
            }
        }
        Errand::ListSteps => ci::list()?,
        Errand::Tidy => return tidy::run(),
        Errand::Ci { from } => return ci::run(from.as_deref()),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_understood() {
        assert_eq!(parse(&["tidy"]), Ok(Errand::Tidy));
        assert_eq!(parse(&["ci"]), Ok(Errand::Ci { from: None }));
        assert_eq!(parse(&["ci", "--list"]), Ok(Errand::ListSteps));
        let from = Some("doc".to_owned());
        assert_eq!(parse(&["ci", "--from", "doc"]), Ok(Errand::Ci { from }));
        assert_eq!(parse(&["--help"]), Ok(Errand::Help));
        assert_eq!(parse(&["tidy", "--help"]), Ok(Errand::HelpWithTidy));
        assert_eq!(parse(&["ci", "-h"]), Ok(Errand::HelpWithCi));
    }

    #[test]
    fn what_is_not_understood_is_quoted() {
        for (arguments, quoted) in [
            (vec!["tydi"], "`tydi`"),
            (vec!["tidy", "--fix"], "`--fix`"),
            (vec!["ci", "--form"], "`--form`"),
            (vec!["ci", "--list", "x"], "`x`"),
            (vec!["ci", "--from", "doc", "y"], "`y`"),
            (vec!["ci", "--from"], "`--from`"),
            (vec![], "--help"),
        ] {
            let complaint = parse(&arguments).unwrap_err();
            assert!(complaint.contains(quoted), "{arguments:?}: {complaint}");
        }
    }
}
