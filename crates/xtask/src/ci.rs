//! Runs the steps one after the other, and stops at the first that fails.
//!
//! What a step prints goes straight to the terminal. Nothing is retried: a step that fails now
//! and then is a bug, and this is where it gets caught.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::metadata::Metadata;
use crate::steps::{self, Order, Step, Surroundings, Work};
use crate::tidy;

/// Runs all steps, or those from the named one on.
pub(crate) fn run(from: Option<&str>) -> Result<bool, String> {
    let metadata = Metadata::read(None)?;
    let steps = steps::steps(&Surroundings::of(&metadata, fresh_seed()));
    let steps = steps_from(&steps, from)?;
    let (times, failure) = walk(steps, |step| {
        println!("\n── {}: {}", step.name, step.command());
        let begin = Instant::now();
        let outcome = perform(&step.work, &metadata.workspace_root);
        let time = begin.elapsed();
        let verdict = if outcome.is_ok() { "passed" } else { "failed" };
        println!("── {} {verdict} after {}", step.name, shown(time));
        (time, outcome)
    });
    println!("\n{}", summary(&times));
    if let Some((step, complaint)) = failure {
        println!(
            "The step `{}` failed: {complaint}. Repeat it with `{}`, and go on from there with \
             `cargo xtask ci --from {}`.",
            step.name,
            step.command(),
            step.name
        );
        return Ok(false);
    }
    println!("All {} steps passed.", times.len());
    Ok(true)
}

/// Prints the steps without running any.
pub(crate) fn list() -> Result<(), String> {
    let metadata = Metadata::read(None)?;
    for step in steps::steps(&Surroundings::of(&metadata, fresh_seed())) {
        println!("{:16} {}", step.name, step.command());
    }
    Ok(())
}

fn steps_from<'a>(steps: &'a [Step], from: Option<&str>) -> Result<&'a [Step], String> {
    let Some(name) = from else {
        return Ok(steps);
    };
    match steps.iter().position(|step| step.name == name) {
        Some(first) => Ok(&steps[first..]),
        None => Err(format!("there is no step `{name}`; `cargo xtask ci --list` shows them all")),
    }
}

type Times<'a> = Vec<(&'a str, Duration)>;
type Failure<'a> = Option<(&'a Step, String)>;

/// The times of the steps that were taken, and the step that failed, if one did.
fn walk<'a>(
    steps: &'a [Step],
    mut take: impl FnMut(&Step) -> (Duration, Result<(), String>),
) -> (Times<'a>, Failure<'a>) {
    let mut times = Vec::new();
    for step in steps {
        let (time, outcome) = take(step);
        times.push((step.name.as_str(), time));
        if let Err(complaint) = outcome {
            return (times, Some((step, complaint)));
        }
    }
    (times, None)
}

fn perform(work: &Work, root: &str) -> Result<(), String> {
    match work {
        Work::Nothing(_) => Ok(()),
        Work::Tidy => match tidy::run()? {
            true => Ok(()),
            false => Err("the findings are above".to_owned()),
        },
        Work::Run(order) => obey(order, root),
    }
}

fn obey(order: &Order, root: &str) -> Result<(), String> {
    // A program in a folder goes by the root of the repository; one without is on the PATH.
    let program = match order.program.contains('/') {
        true => Path::new(root).join(&order.program),
        false => PathBuf::from(&order.program),
    };
    let status = Command::new(program)
        .args(&order.arguments)
        .envs(order.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(root)
        .status()
        .map_err(|error| format!("`{}` did not start ({error})", order.program))?;
    if status.success() { Ok(()) } else { Err(format!("it ended with {status}")) }
}

/// Short enough to be typed, and different every time. No two runs need to differ for certain.
fn fresh_seed() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let mixed = u64::from(now.subsec_nanos()) ^ (now.as_secs() << 20);
    (mixed ^ u64::from(std::process::id())) % 1_000_000_000
}

fn summary(times: &[(&str, Duration)]) -> String {
    let mut lines = times.to_vec();
    lines.push(("total", times.iter().map(|(_, time)| *time).sum()));
    let width = lines.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.into_iter().map(|(name, time)| format!("{name:width$} {:>9}\n", shown(time))).collect()
}

fn shown(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three_steps() -> Vec<Step> {
        ["one", "two", "three"].map(|name| Step { name: name.to_owned(), work: Work::Nothing("nothing") }).to_vec()
    }

    fn names(steps: &[Step]) -> Vec<&str> {
        steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn a_run_may_begin_in_the_middle() {
        let steps = three_steps();
        assert_eq!(names(steps_from(&steps, None).unwrap()), ["one", "two", "three"]);
        assert_eq!(names(steps_from(&steps, Some("two")).unwrap()), ["two", "three"]);
        let complaint = steps_from(&steps, Some("four")).unwrap_err();
        assert!(complaint.contains("`four`"), "{complaint}");
    }

    #[test]
    fn the_first_failure_is_the_last_step() {
        let steps = three_steps();
        let (times, failure) = walk(&steps, |step| {
            let outcome = match step.name.as_str() {
                "two" => Err("no".to_owned()),
                _ => Ok(()),
            };
            (Duration::ZERO, outcome)
        });
        assert_eq!(times.len(), 2);
        assert_eq!(failure.unwrap().0.name, "two");
    }

    #[test]
    fn the_summary_adds_up() {
        let times = [("a", Duration::from_secs(1)), ("long", Duration::from_secs(2))];
        let lines = summary(&times);
        assert_eq!(lines, "a         1.0 s\nlong      2.0 s\ntotal     3.0 s\n");
    }

    #[test]
    fn a_command_that_is_missing_is_named() {
        let order =
            Order { environment: Vec::new(), program: "a-program-that-nobody-has".to_owned(), arguments: Vec::new() };
        let complaint = obey(&order, ".").unwrap_err();
        assert!(complaint.contains("a-program-that-nobody-has"), "{complaint}");
    }
}
