//! [`Figures`]: what a measurement came to, and how it is shown to people and
//! to programs.

use serde::{Serialize, Serializer};

use super::failover::Failovers;
use crate::bench::plot::Curve;
use crate::cli::{output, thousands};

/// Nanoseconds, and how many took so long.
pub(super) type Times = Vec<(u64, u64)>;

/// What a median may be at most, unless the machine is slow,
const MEDIAN_NS: f64 = 500.0;

/// and what it may be of the time in which a line crosses.
const MEDIAN_CROSSINGS: f64 = 3.0;

const P99_NS: f64 = 3_000.0;
const KILL_US: f64 = 1_000.0;
const STOP_US: f64 = 10_000.0;

/// Fewer requests say little about one in a hundred.
const REQUESTS: u64 = 100_000;

/// How many characters the longest bar of the histogram has.
const BAR: u64 = 48;

/// All that is told of one payload.
#[derive(Serialize)]
pub(super) struct Figures {
    pub(super) payload: usize,
    pub(super) replicas: usize,
    pub(super) requests: u64,
    /// With those before it counted.
    pub(super) proposed: u64,
    /// How many every replica had applied in the end, in the same order.
    pub(super) applied_by_all: u64,
    pub(super) p10_ns: u64,
    pub(super) p50_ns: u64,
    pub(super) p90_ns: u64,
    pub(super) p99_ns: u64,
    pub(super) p999_ns: u64,
    pub(super) max_ns: u64,
    /// Until the slowest replica had applied it, of one request in 64.
    pub(super) applied_p50_ns: u64,
    pub(super) line_crossing_ns: f64,
    pub(super) crossings_per_request: f64,
    /// What looking at the clock adds to each time.
    pub(super) clock_ns: f64,
    pub(super) requests_per_s: f64,
    /// How often the timer of the leader's core interrupted it while it counted,
    pub(super) ticks: u64,
    /// and how often the core was taken from it.
    pub(super) preempted: u64,
    /// How often another replica took over before all were counted, so that none of them counts.
    pub(super) begun_again: u32,
    pub(super) failovers: usize,
    pub(super) has_core_each: bool,
    #[serde(flatten, serialize_with = "as_kill")]
    pub(super) kill: Failovers,
    #[serde(flatten, serialize_with = "as_stop")]
    pub(super) stop: Failovers,
    #[serde(skip)]
    pub(super) times: Times,
}

fn as_kill<S: Serializer>(failovers: &Failovers, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Kill {
        failover_kill_us_p50: f64,
        failover_kill_us_max: f64,
        failover_kill_noticed_us_p50: f64,
        failover_kill_granted_us_p50: f64,
        failover_kill_decided_us_p50: f64,
    }
    Kill {
        failover_kill_us_p50: failovers.all_us,
        failover_kill_us_max: failovers.worst_us,
        failover_kill_noticed_us_p50: failovers.noticed_us,
        failover_kill_granted_us_p50: failovers.granted_us,
        failover_kill_decided_us_p50: failovers.decided_us,
    }
    .serialize(serializer)
}

fn as_stop<S: Serializer>(failovers: &Failovers, serializer: S) -> Result<S::Ok, S::Error> {
    #[derive(Serialize)]
    struct Stop {
        failover_stop_us_p50: f64,
        failover_stop_us_max: f64,
        failover_stop_noticed_us_p50: f64,
        failover_stop_granted_us_p50: f64,
        failover_stop_decided_us_p50: f64,
    }
    Stop {
        failover_stop_us_p50: failovers.all_us,
        failover_stop_us_max: failovers.worst_us,
        failover_stop_noticed_us_p50: failovers.noticed_us,
        failover_stop_granted_us_p50: failovers.granted_us,
        failover_stop_decided_us_p50: failovers.decided_us,
    }
    .serialize(serializer)
}

/// So large a part took no longer.
pub(super) fn quantile(times: &[(u64, u64)], part: f64) -> u64 {
    let all: u64 = times.iter().map(|(_, count)| count).sum();
    let wanted = ((all as f64 * part).ceil() as u64).clamp(1, all.max(1));
    let mut seen = 0;
    let found = times.iter().find(|(_, count)| {
        seen += count;
        seen >= wanted
    });
    found.map_or(0, |(nanos, _)| *nanos)
}

/// How many times lie between two bounds, the lower one included.
fn between(times: &[(u64, u64)], low: u64, high: u64) -> u64 {
    times.iter().filter(|(nanos, _)| (low..high).contains(nanos)).map(|(_, count)| count).sum()
}

impl Figures {
    /// What the median is held to.
    fn median_bar(&self) -> f64 {
        MEDIAN_NS.max(MEDIAN_CROSSINGS * self.line_crossing_ns)
    }

    /// Every figure with its bar: a name, what it is, what it may be at most.
    fn held(&self) -> Vec<(&'static str, f64, f64, &'static str)> {
        let mut held = Vec::new();
        // The bars are those of 64 bytes to three replicas; more of either may take longer.
        if self.payload <= 64 && self.replicas <= 3 {
            held.push(("median", self.p50_ns as f64, self.median_bar(), "ns"));
            held.push(("99 of 100", self.p99_ns as f64, P99_NS, "ns"));
        }
        if self.failovers > 0 && self.replicas >= 3 {
            held.push(("after kill -9, median", self.kill.all_us, KILL_US, "us"));
            held.push(("after SIGSTOP, median", self.stop.all_us, STOP_US, "us"));
        }
        held
    }

    /// Whether every figure meets its bar, and no request was lost or doubled.
    pub(super) fn holds(&self) -> bool {
        self.held().iter().all(|(_, value, most, _)| value <= most)
            && self.applied_by_all == self.proposed
            && (self.requests < REQUESTS || self.proposed >= REQUESTS)
    }

    pub(super) fn print(&self) {
        output::line(format_args!(
            "{} bytes to {} replicas, one request at a time, {} of them",
            self.payload,
            self.replicas,
            thousands(self.requests)
        ));
        self.print_histogram();
        output::line(format_args!(
            "  replicated    {} ns median; {} p10, {} p90, {} p99, {} p99.9, {} the longest",
            thousands(self.p50_ns),
            thousands(self.p10_ns),
            thousands(self.p90_ns),
            thousands(self.p99_ns),
            thousands(self.p999_ns),
            thousands(self.max_ns)
        ));
        output::line(format_args!(
            "                {:.2} crossings of a line from core to core, each {:.0} ns; the clock is {:.0} ns of it",
            self.crossings_per_request, self.line_crossing_ns, self.clock_ns
        ));
        output::line(format_args!(
            "  applied       {} ns median until the slowest replica has (one in 64, by the clock that all share)",
            thousands(self.applied_p50_ns)
        ));
        output::line(format_args!(
            "  in all        {} proposed, {} applied by all in the same order; {} a second",
            thousands(self.proposed),
            thousands(self.applied_by_all),
            thousands(self.requests_per_s as u64)
        ));
        output::line(format_args!(
            "  interrupted   {} times by the timer of the core, {} times for another thread",
            thousands(self.ticks),
            thousands(self.preempted)
        ));
        if self.begun_again > 0 {
            output::line(format_args!(
                "  begun again   {} times: another replica took over, since the machine took its core from the leader",
                self.begun_again
            ));
        }
        if self.failovers > 0 {
            self.print_failovers();
        }
        for (name, value, most, unit) in self.held() {
            let verdict = if value <= most { "" } else { "MISSED" };
            output::line(format_args!("  {name:<24}{value:>10.0} {unit}   at most {most:<8.0}{verdict}"));
        }
    }

    fn print_failovers(&self) {
        output::line(format_args!("  the leader is struck down, {} times each: medians in us", self.failovers));
        for (name, blow) in [("kill -9", &self.kill), ("SIGSTOP", &self.stop)] {
            output::line(format_args!(
                "    {name}     {:>7.0} in all, {:.0} at worst: noticed in {:.0}, granted in {:.0}, decided in {:.0}",
                blow.all_us, blow.worst_us, blow.noticed_us, blow.granted_us, blow.decided_us
            ));
        }
        if !self.has_core_each {
            output::line(
                "    The survivors share a core and take turns. With a core for each, nobody would wait for a turn\n    \
                 in order to notice or to grant.",
            );
        }
    }

    /// A line for each eighth of a power of two in which there is something to see.
    fn print_histogram(&self) {
        let low = quantile(&self.times, 0.001);
        let high = quantile(&self.times, 0.999);
        let mut bounds = vec![0];
        let mut bound = low.max(1) as f64;
        while (bound as u64) <= high && bounds.len() < 64 {
            bounds.push(bound as u64);
            bound = (bound * 1.125).max(bound + 1.0);
        }
        bounds.push(u64::MAX);
        let rows: Vec<(u64, u64)> =
            bounds.windows(2).map(|pair| (pair[0], between(&self.times, pair[0], pair[1]))).collect();
        let most = rows.iter().map(|(_, count)| *count).max().unwrap_or(0).max(1);
        for (nanos, count) in rows.into_iter().filter(|(_, count)| *count > 0) {
            let bar = "#".repeat((count * BAR).div_ceil(most) as usize);
            output::line(format_args!("  {:>9} ns {:>10}  {bar}", thousands(nanos), thousands(count)));
        }
    }

    /// For a chart: one in so many takes longer than so many nanoseconds.
    pub(super) fn curve(&self) -> Curve {
        let all: u64 = self.times.iter().map(|(_, count)| count).sum();
        let mut left = all;
        let mut points = Vec::new();
        for (nanos, count) in &self.times {
            left -= count;
            if left > 0 {
                points.push((all as f64 / left as f64, *nanos as f64));
            }
        }
        Curve { name: format!("{} bytes", self.payload), points }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_seen() {
        let times = [(100, 98), (200, 1), (900, 1)];
        let of = |part| quantile(&times, part);
        assert_eq!([of(0.0), of(0.5), of(0.98), of(0.99), of(1.0)], [100, 100, 100, 200, 900]);
        assert_eq!(quantile(&[], 0.5), 0);
        assert_eq!((between(&times, 100, 200), between(&times, 101, 901)), (98, 2));
    }
}
