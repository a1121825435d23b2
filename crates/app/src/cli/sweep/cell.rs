//! [`Cell`]: one point of a sweep, a protocol in one of its variants under one
//! load, and many of them on all cores. What is reported does not depend on how
//! many run at once.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use skein_machine::{Boot, Ordering, ProcessId};
use skein_sim::check::RealTime;
use skein_sim::flow::{self, Flow, FlowPlan, Pressure};

use super::super::settings::name_of;
use crate::compose::{Clock, Employer, Mode, Protocol, Variant};

/// What is measured: a protocol in one of its variants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Subject {
    pub(super) protocol: Protocol,
    pub(super) clock: Clock,
    pub(super) mode: Mode,
}

/// And under which load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) subject: Subject,
    pub(super) pressure: Pressure,
}

impl Cell {
    pub(super) fn measure(&self, plan: &FlowPlan, clock_error: Duration, seed: u64) -> Result<Flow, String> {
        struct Measure<'a>(&'a FlowPlan, u64);
        impl Employer for Measure<'_> {
            type Answer = Result<Flow, String>;

            fn employ<M>(self, maker: impl Fn(ProcessId, Boot) -> M + Clone + 'static) -> Result<Flow, String>
            where
                M: Ordering + Clone + Hash + 'static,
            {
                flow::measure(self.0, self.1, maker)
            }
        }
        let Subject { protocol, clock, mode } = self.subject;
        let answers_wait = protocol.nature().real_time_in(mode) == Some(RealTime::Answers);
        let plan = FlowPlan { pressure: self.pressure, answers_wait, ..plan.clone() };
        let variant = Variant { mode, clock, clock_error, is_roomy: true, ..Variant::PLAIN };
        protocol.employ(&plan.cluster, variant, Measure(&plan, seed))
    }

    /// The load in words.
    pub(super) fn load(&self) -> String {
        match self.pressure {
            Pressure::Rate(rate) => format!("{rate} a second"),
            Pressure::Outstanding(each) => format!("{each} on the way for each client"),
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.protocol)?;
        if self.clock == Clock::Hybrid && !self.mode.needs_clocks() {
            f.write_str(" hybrid")?;
        }
        if self.mode != Mode::Ordered {
            write!(f, " {}", name_of(&self.mode))?;
        }
        Ok(())
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.subject, self.load())
    }
}

/// Measures all cells, some at once, and reports them in their order.
pub(super) fn all(
    cells: &[Cell],
    jobs: usize,
    shows_progress: bool,
    measure: impl Fn(&Cell) -> Result<Flow, String> + Sync,
    mut report: impl FnMut(&Cell, Result<Flow, String>),
) {
    let bar = progress_bar(cells.len(), shows_progress);
    // A machine that panics is a finding of its cell and not a message for the terminal.
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let (finished, results) = mpsc::channel();
        for _ in 0..jobs.min(cells.len()) {
            let (finished, next, measure) = (finished.clone(), &next, &measure);
            scope.spawn(move || {
                while let Some((nth, cell)) =
                    Some(next.fetch_add(1, Relaxed)).and_then(|nth| Some((nth, cells.get(nth)?)))
                {
                    if finished.send((nth, measure(cell))).is_err() {
                        break;
                    }
                }
            });
        }
        drop(finished);
        let mut ready = BTreeMap::new();
        let mut awaited = 0;
        for (nth, measured) in results {
            ready.insert(nth, measured);
            bar.inc(1);
            bar.suspend(|| {
                while let Some(measured) = ready.remove(&awaited) {
                    report(&cells[awaited], measured);
                    awaited += 1;
                }
            });
        }
    });
    std::panic::set_hook(hook);
    bar.finish_and_clear();
}

fn progress_bar(cells: usize, shows_progress: bool) -> ProgressBar {
    let bar = ProgressBar::new(cells as u64);
    // Only a terminal gets to see it.
    bar.set_draw_target(match shows_progress {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    });
    bar.set_style(
        ProgressStyle::with_template("{bar:32} {pos}/{len} points, {eta} left").expect("the template is sound"),
    );
    bar.tick();
    bar
}
