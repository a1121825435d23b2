//! [`Row`]: what one point of a sweep came to, as a line for people and as an
//! object for scripts.

use hdrhistogram::Histogram;
use serde::Serialize;
use skein_sim::flow::{Flow, Pressure};

use super::super::output;
use super::super::settings::name_of;
use super::cell::Cell;
use super::{Arguments, Whose};

/// What one point came to. Times are in microseconds.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    protocol: String,
    clock: String,
    mode: String,
    scenario: String,
    groups: usize,
    replicas: usize,
    destinations: usize,
    outside: usize,
    payload: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    rate: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    outstanding: Option<usize>,
    pub(super) msgs_per_s: f64,
    /// To the delivery at every replica.
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    max_us: f64,
    /// At the first replicas of groups.
    leaders_p50_us: f64,
    leaders_p95_us: f64,
    leaders_p99_us: f64,
    /// To the answer of the replica that was asked.
    answer_p50_us: f64,
    answer_p95_us: f64,
    answer_p99_us: f64,
    /// Which part of the answers waited beyond the delivery there, and how long those did.
    waiting: f64,
    wait_p50_us: f64,
    wait_p95_us: f64,
    wait_max_us: f64,
    /// For each multicast, beyond what flows without any.
    messages: f64,
    bytes: f64,
    idle_msgs_per_s: f64,
    turned_away: u64,
    #[serde(skip)]
    name: String,
    #[serde(skip)]
    flow: Flow,
}

fn at(times: &Histogram<u64>, quantile: f64) -> f64 {
    times.value_at_quantile(quantile) as f64 / 1e3
}

impl Row {
    pub(super) fn new(cell: &Cell, arguments: &Arguments, flow: Flow) -> Row {
        let (rate, outstanding) = match cell.pressure {
            Pressure::Rate(rate) => (Some(rate), None),
            Pressure::Outstanding(each) => (None, Some(each)),
        };
        Row {
            protocol: cell.subject.protocol.to_string(),
            clock: name_of(&cell.subject.clock),
            mode: name_of(&cell.subject.mode),
            scenario: name_of(&arguments.scenario),
            groups: arguments.groups,
            replicas: arguments.replicas,
            destinations: arguments.destinations,
            outside: arguments.outside,
            payload: arguments.payload,
            rate,
            outstanding,
            msgs_per_s: flow.per_second,
            p50_us: at(&flow.everywhere, 0.5),
            p95_us: at(&flow.everywhere, 0.95),
            p99_us: at(&flow.everywhere, 0.99),
            max_us: at(&flow.everywhere, 1.0),
            leaders_p50_us: at(&flow.at_leaders, 0.5),
            leaders_p95_us: at(&flow.at_leaders, 0.95),
            leaders_p99_us: at(&flow.at_leaders, 0.99),
            answer_p50_us: at(&flow.answers, 0.5),
            answer_p95_us: at(&flow.answers, 0.95),
            answer_p99_us: at(&flow.answers, 0.99),
            waiting: flow.waiting(),
            wait_p50_us: at(&flow.waits, 0.5),
            wait_p95_us: at(&flow.waits, 0.95),
            wait_max_us: at(&flow.waits, 1.0),
            messages: flow.messages,
            bytes: flow.bytes,
            idle_msgs_per_s: flow.idle_messages,
            turned_away: flow.turned_away,
            name: cell.subject.to_string(),
            flow,
        }
    }

    pub(super) fn latency(&self, whose: Whose) -> &Histogram<u64> {
        match whose {
            Whose::Clients => &self.flow.answers,
            Whose::Replicas => &self.flow.everywhere,
            Whose::Leaders => &self.flow.at_leaders,
        }
    }

    pub(super) fn print_heading(has_modes: bool) {
        let mut heading = format!("{:<28}{:>10}{:>10}", "milliseconds", "", "messages");
        heading += &format!(
            "{:>30}{:>20}{:>20}{:>20}",
            "delivered: median, 95th, 99th", "at leaders", "answered", "for each message"
        );
        if has_modes {
            heading += &format!("{:>32}", "answers that wait, and how long");
        }
        output::line(heading);
        let mut heading = format!("{:<28}{:>10}{:>10}", "", "load", "a second");
        heading +=
            &format!("{:>30}{:>20}{:>20}{:>20}", "everywhere", "median, 95th", "median, 95th", "messages, bytes");
        if has_modes {
            heading += &format!("{:>32}", "share, median, 95th, longest");
        }
        output::line(heading);
    }

    pub(super) fn print(&self, has_modes: bool) {
        let load = match (self.rate, self.outstanding) {
            (Some(rate), _) => format!("{rate}/s"),
            (_, each) => format!("each {}", each.unwrap_or_default()),
        };
        let ms = |micros: f64| short(micros / 1e3);
        let mut line = format!("{:<28}{load:>10}{:>10.0}", self.name, self.msgs_per_s);
        line += &format!("{:>14}{:>8}{:>8}", ms(self.p50_us), ms(self.p95_us), ms(self.p99_us));
        line += &format!("{:>12}{:>8}", ms(self.leaders_p50_us), ms(self.leaders_p95_us));
        line += &format!("{:>12}{:>8}", ms(self.answer_p50_us), ms(self.answer_p95_us));
        line += &format!("{:>11.1}{:>9.0}", self.messages, self.bytes);
        if has_modes {
            line += &format!("{:>8}", format!("{:.1} %", 100.0 * self.waiting));
            line += &format!("{:>8}{:>8}{:>8}", ms(self.wait_p50_us), ms(self.wait_p95_us), ms(self.wait_max_us));
        }
        if self.turned_away > 0 {
            line += &format!("  {} turned away", self.turned_away);
        }
        output::line(line);
    }
}

/// Three digits of a number of milliseconds.
fn short(value: f64) -> String {
    let places = match value {
        value if value >= 100.0 => 0,
        value if value >= 10.0 => 1,
        value if value >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:.places$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        assert_eq!([0.1351, 1.234, 12.34, 123.4].map(short), ["0.135", "1.23", "12.3", "123"]);
    }
}
