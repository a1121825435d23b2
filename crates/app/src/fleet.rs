//! Many seeds on all cores. What is reported depends on the seeds alone, never
//! on how many run at once: results are put back into order before anybody
//! sees them. With a file to resume from, finished seeds are kept there line by
//! line, so a long run can be stopped at any moment and continued.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::{Deserialize, Serialize};
use skein_sim::Outcome;
use skein_sim::run::words_of;

use crate::cli::Mistake;

/// What one seed came to, in a form that rests in a file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) seed: u64,
    pub(crate) virtual_nanos: u64,
    pub(crate) multicasts: u64,
    pub(crate) deliveries: u64,
    pub(crate) messages: u64,
    pub(crate) crashes: u64,
    pub(crate) restarts: u64,
    pub(crate) partitions: u64,
    pub(crate) disk_faults: u64,
    pub(crate) clock_faults: u64,
    pub(crate) is_wrong: bool,
    pub(crate) is_stuck: bool,
    /// Property and detail of each finding.
    pub(crate) findings: Vec<(String, String)>,
    #[serde(skip)]
    pub(crate) trace: String,
}

impl From<Outcome> for Report {
    fn from(outcome: Outcome) -> Report {
        let (counts, faults) = (outcome.counts, outcome.counts.faults);
        Report {
            seed: outcome.seed,
            virtual_nanos: counts.virtual_time,
            multicasts: counts.multicasts,
            deliveries: counts.deliveries,
            messages: counts.messages,
            crashes: faults.crashes,
            restarts: faults.restarts,
            partitions: faults.partitions,
            disk_faults: faults.disk_faults,
            clock_faults: faults.clock_faults,
            is_wrong: outcome.is_wrong(),
            is_stuck: outcome.is_stuck(),
            findings: outcome.violations.into_iter().map(|found| (found.property.to_owned(), found.detail)).collect(),
            trace: outcome.trace,
        }
    }
}

/// How to run.
pub(crate) struct Fleet<'a> {
    pub(crate) seeds: Range<u64>,
    pub(crate) jobs: usize,
    /// Where finished seeds are kept, and what they were run with.
    pub(crate) resume: Option<(&'a Path, String)>,
    pub(crate) shows_progress: bool,
}

impl Fleet<'_> {
    /// Runs every seed that is not finished yet, and hands out all reports in the order of seeds.
    pub(crate) fn run(
        &self,
        run_seed: impl Fn(u64) -> Outcome + Sync,
        mut report: impl FnMut(Report),
    ) -> Result<(), Mistake> {
        let (mut done, mut file) = match &self.resume {
            Some((path, plan)) => resume(path, plan)?,
            None => (BTreeMap::new(), None),
        };
        done.retain(|seed, _| self.seeds.contains(seed));
        let bar = self.progress_bar();
        bar.inc(done.len() as u64);

        let next = AtomicU64::new(self.seeds.start);
        let is_done: Vec<u64> = done.keys().copied().collect();
        let mut awaited = self.seeds.start;
        let mut failures = 0;
        // A machine that panics is a finding of its seed and not a message for the terminal.
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(|_| {}));
        let outcome = std::thread::scope(|scope| {
            let (finished, results) = mpsc::channel::<Result<Report, Mistake>>();
            // No more at once than there are seeds: a system does not give threads without end.
            let seeds = usize::try_from(self.seeds.end - self.seeds.start).unwrap_or(usize::MAX);
            for _ in 0..self.jobs.min(seeds) {
                let finished = finished.clone();
                let (next, run_seed, is_done) = (&next, &run_seed, &is_done);
                scope.spawn(move || {
                    // Counted up to the end and not beyond it, where the numbers begin again at zero.
                    let take = |seed| if seed < self.seeds.end { Some(seed + 1) } else { None };
                    while let Ok(seed) = next.fetch_update(Relaxed, Relaxed, take) {
                        if is_done.binary_search(&seed).is_err() && finished.send(attempt(run_seed, seed)).is_err() {
                            break;
                        }
                    }
                });
            }
            drop(finished);
            let mut hand_out = |done: &mut BTreeMap<u64, Report>| {
                while let Some(ready) = done.remove(&awaited) {
                    report(ready);
                    awaited += 1;
                }
            };
            hand_out(&mut done);
            for result in results {
                let result = result?;
                if let Some(file) = &mut file {
                    append(file, &result)?;
                }
                failures += u64::from(!result.findings.is_empty());
                bar.set_message(if failures > 0 { format!("{failures} failing") } else { String::new() });
                bar.inc(1);
                done.insert(result.seed, result);
                bar.suspend(|| hand_out(&mut done));
            }
            Ok(())
        });
        std::panic::set_hook(hook);
        bar.finish_and_clear();
        outcome
    }

    fn progress_bar(&self) -> ProgressBar {
        let bar = ProgressBar::new(self.seeds.end - self.seeds.start);
        // Only a terminal gets to see it.
        bar.set_draw_target(match self.shows_progress {
            true => ProgressDrawTarget::stderr(),
            false => ProgressDrawTarget::hidden(),
        });
        let style = "{bar:32} {pos}/{len} seeds, {per_sec}, {eta} left {msg}";
        bar.set_style(ProgressStyle::with_template(style).expect("the template is sound"));
        bar
    }
}

/// Runs a seed. What goes wrong outside the machines is no finding and ends the run.
fn attempt(run_seed: impl Fn(u64) -> Outcome, seed: u64) -> Result<Report, Mistake> {
    let outcome = catch_unwind(AssertUnwindSafe(|| run_seed(seed)));
    outcome
        .map(Report::from)
        .map_err(|panic| Mistake(format!("the simulator itself failed at seed {seed}: {}", words_of(panic.as_ref()))))
}

/// Which program this is: seeds mean the same only to the same code.
fn fingerprint() -> Result<String, Mistake> {
    let read = || std::env::current_exe().and_then(std::fs::read);
    let program = read().map_err(|error| Mistake(format!("cannot read this program's own file: {error}")))?;
    let mut hasher = DefaultHasher::new();
    hasher.write(&program);
    Ok(format!("{:016x}", hasher.finish()))
}

#[derive(Serialize, Deserialize, PartialEq)]
struct Heading {
    plan: String,
    program: String,
}

/// Opens the file and reads what is finished.
fn resume(path: &Path, plan: &str) -> Result<(BTreeMap<u64, Report>, Option<File>), Mistake> {
    let shown = path.display();
    let heading = Heading { plan: plan.to_owned(), program: fingerprint()? };
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .read(true)
        .open(path)
        .map_err(|error| Mistake(format!("cannot open {shown}: {error}")))?;
    let mut done = BTreeMap::new();
    let mut lines = BufReader::new(&file).lines();
    let Some(first) = lines.next() else {
        append(&mut file, &heading)?;
        return Ok((done, Some(file)));
    };
    let first = first.map_err(|error| Mistake(format!("cannot read {shown}: {error}")))?;
    let found: Heading = serde_json::from_str(&first)
        .map_err(|_| Mistake(format!("{shown} was not written by `skein sim run --resume`; name another file")))?;
    if found.plan != heading.plan {
        return Err(Mistake(format!(
            "{shown} belongs to `{}`, not to `{}`; repeat that command or name another file",
            found.plan, heading.plan
        )));
    }
    if found.program != heading.program {
        return Err(Mistake(format!(
            "{shown} was written by another build of skein, for which seeds may mean something else; name another file"
        )));
    }
    for line in lines {
        // A last line may have been cut by the stop; its seed runs again.
        if let Some(report) = line.ok().and_then(|line| serde_json::from_str::<Report>(&line).ok()) {
            done.insert(report.seed, report);
        }
    }
    // A cut line has no end, and the next one must not be glued to it.
    writeln!(file).map_err(|error| Mistake(format!("cannot write {shown}: {error}")))?;
    Ok((done, Some(file)))
}

fn append(file: &mut File, value: &impl Serialize) -> Result<(), Mistake> {
    let line = serde_json::to_string(value).expect("plain data becomes JSON");
    writeln!(file, "{line}").map_err(|error| Mistake(format!("cannot write the file to resume from: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_sim::{Counts, check::Violation};

    fn outcome(seed: u64) -> Outcome {
        let counts = Counts { multicasts: seed, ..Counts::default() };
        let bad = seed.is_multiple_of(3);
        let violations = if bad { vec![Violation { property: "agreement", detail: "so".into() }] } else { Vec::new() };
        Outcome { seed, counts, violations, trace: String::new() }
    }

    fn seeds(jobs: usize, resume: Option<&Path>) -> Vec<u64> {
        let mut order = Vec::new();
        let resume = resume.map(|path| (path, "the plan".to_owned()));
        let fleet = Fleet { seeds: 10..40, jobs, resume, shows_progress: false };
        let slow_at_first = |seed| {
            if seed == 10 {
                std::thread::sleep(std::time::Duration::from_millis(20));
            }
            outcome(seed)
        };
        fleet.run(slow_at_first, |report| order.push(report.seed)).unwrap();
        order
    }

    #[test]
    fn reports_come_in_the_order_of_seeds() {
        assert_eq!(seeds(1, None), (10..40).collect::<Vec<_>>());
        assert_eq!(seeds(8, None), (10..40).collect::<Vec<_>>());
    }

    /// The number after the last seed there can be is no seed, and counting on from it begins at zero.
    #[test]
    fn the_last_seeds_of_all_are_run_once() {
        let last = u64::MAX - 3..u64::MAX;
        let ran = AtomicU64::new(0);
        let fleet = Fleet { seeds: last.clone(), jobs: 8, resume: None, shows_progress: false };
        let mut order = Vec::new();
        let count = |seed| {
            assert!(ran.fetch_add(1, Relaxed) < 100, "seed {seed} was not asked for");
            outcome(seed)
        };
        fleet.run(count, |report| order.push(report.seed)).unwrap();
        assert_eq!((order, ran.load(Relaxed)), (last.collect(), 3));
    }

    /// What a machine does wrong is a finding. What fails around it must not end in silence.
    #[test]
    fn a_failure_of_the_simulator_itself_is_told() {
        let fails = |seed| {
            assert!(seed != 13, "the judge has lost its wig");
            outcome(seed)
        };
        let fleet = Fleet { seeds: 10..40, jobs: 2, resume: None, shows_progress: false };
        let mistake = fleet.run(fails, |_| {}).unwrap_err().0;
        assert!(mistake.contains("seed 13") && mistake.contains("lost its wig"), "{mistake}");
    }

    #[test]
    fn a_run_that_was_stopped_goes_on_where_it_was() {
        let path = std::env::temp_dir().join(format!("skein-resume-{}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        assert_eq!(seeds(2, Some(&path)).len(), 30);
        // Stopped in the middle of a line.
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, &text[..text.len() * 2 / 3]).unwrap();
        let ran_again = AtomicU64::new(0);
        let fleet = Fleet { seeds: 10..40, jobs: 2, resume: Some((&path, "the plan".into())), shows_progress: false };
        let mut reports = Vec::new();
        let count = |seed| {
            ran_again.fetch_add(1, Relaxed);
            outcome(seed)
        };
        fleet.run(count, |report| reports.push(report)).unwrap();
        assert_eq!(reports.iter().map(|report| report.seed).collect::<Vec<_>>(), (10..40).collect::<Vec<_>>());
        assert_eq!(reports.iter().filter(|report| report.is_wrong).count(), 10, "findings are kept too");
        assert!((5..20).contains(&ran_again.load(Relaxed)), "{ran_again:?}");

        let other = Fleet { seeds: 10..40, jobs: 2, resume: Some((&path, "x".into())), shows_progress: false };
        assert!(other.run(outcome, |_| {}).unwrap_err().0.contains("belongs to `the plan`"));
        // Nor is anything written to a file of somebody else's, whatever its first line.
        for text in ["hello\n", "\nhello\n"] {
            std::fs::write(&path, text).unwrap();
            let fleet = Fleet { seeds: 1..2, jobs: 1, resume: Some((&path, "x".into())), shows_progress: false };
            assert!(fleet.run(outcome, |_| {}).unwrap_err().0.contains("was not written by"));
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        std::fs::remove_file(&path).unwrap();
    }
}
