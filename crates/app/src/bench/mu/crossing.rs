//! The machine's own limits, measured in the same run: how long a line of
//! memory takes from one core to another, and how long it takes to look at the
//! clock, which is part of every figure.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};

use skein_runtime::cores;

use super::tally::now;
use crate::cli::Mistake;

/// So many times there and back are timed together, since one alone is not much longer than a look at the clock,
const ROUND_TRIPS: u64 = 500;

/// and so often: the median of them is told.
const BATCHES: usize = 401;

/// A word on a line of its own: processors fetch lines in pairs.
#[repr(align(128))]
struct Line(AtomicU64);

/// The time, in nanoseconds, after which one core sees what another has stored: half of the way there and back.
pub(super) fn line_crossing_ns([one, other]: [usize; 2]) -> Result<f64, Mistake> {
    let line = Line(AtomicU64::new(0));
    let mistake = |error: cores::CoreError| Mistake(error.to_string());
    let last = 2 * ROUND_TRIPS * BATCHES as u64;
    std::thread::scope(|scope| {
        let echo = scope.spawn(|| -> Result<(), Mistake> {
            let kept = cores::keep_to(other).map_err(mistake);
            // Even where it keeps to no core, the other one waits for its answers.
            (1..last).step_by(2).for_each(|odd| {
                wait_for(&line.0, odd);
                line.0.store(odd + 1, Release);
            });
            kept
        });
        let caller = scope.spawn(|| -> Result<Vec<u64>, Mistake> {
            let kept = cores::keep_to(one).map_err(mistake);
            let mut even = 0;
            let batches = (0..BATCHES).map(|_| {
                let began = now();
                for _ in 0..ROUND_TRIPS {
                    line.0.store(even + 1, Release);
                    even += 2;
                    wait_for(&line.0, even);
                }
                now() - began
            });
            let batches = batches.collect();
            kept.map(|()| batches)
        });
        let joined = (caller.join(), echo.join());
        let (Ok(batches), Ok(echo)) = joined else { return Err(Mistake("a thread that measures panicked".to_owned())) };
        echo?;
        Ok(median(batches?) as f64 / (2 * ROUND_TRIPS) as f64)
    })
}

fn wait_for(line: &AtomicU64, value: u64) {
    while line.load(Acquire) != value {
        std::hint::spin_loop();
    }
}

/// How much a look at the clock before and one after add to what lies between.
pub(super) fn clock_ns() -> f64 {
    const LOOKS: u64 = 1000;
    let batches = (0..101).map(|_| {
        let began = now();
        for _ in 0..LOOKS {
            std::hint::black_box(now());
        }
        now() - began
    });
    median(batches.collect()) as f64 / LOOKS as f64
}

/// The one in the middle.
pub(super) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_one_in_the_middle() {
        assert_eq!((median(vec![9, 1, 5]), median(vec![2]), median(Vec::new())), (5, 2, 0));
    }

    #[test]
    fn the_clock_takes_some_time_to_look_at() {
        assert!(clock_ns() > 0.0);
    }
}
