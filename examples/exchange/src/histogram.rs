//! A histogram as a person reads it: rows of nanoseconds with bars, and the
//! percentiles below. It draws; it measures nothing.

use std::fmt::{self, Write};

use hdrhistogram::Histogram;

/// How long the longest bar is.
const BAR: u64 = 50;

/// Latencies, to be printed.
#[derive(Debug)]
pub struct Drawn<'a>(pub &'a Histogram<u64>);

impl fmt::Display for Drawn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = rows(self.0);
        let longest = rows.iter().map(|row| row.count).max().unwrap_or(0).max(1);
        for Row { from, below, count } in rows {
            let bar = match count * BAR / longest {
                0 if count > 0 => "▏".to_owned(),
                length => "█".repeat(length as usize),
            };
            let share = 100.0 * count as f64 / self.0.len() as f64;
            let row =
                format!("{:>10} ..{:>10} {:>12} {share:>6.2} % {bar}", grouped(from), grouped(below), grouped(count));
            writeln!(f, "{}", row.trim_end())?;
        }
        let mut line = String::from("      ");
        for (name, percentile) in
            [("median", 50.0), ("90 %", 90.0), ("99 %", 99.0), ("99.9 %", 99.9), ("99.99 %", 99.99)]
        {
            write!(line, "{name} {}   ", grouped(self.0.value_at_percentile(percentile)))?;
        }
        write!(f, "{line}most {}", grouped(self.0.max()))
    }
}

struct Row {
    from: u64,
    below: u64,
    count: u64,
}

/// One row from each power of two, and one from halfway to the next.
fn rows(histogram: &Histogram<u64>) -> Vec<Row> {
    let bounds = (0..62).flat_map(|power| [1u64 << power, (1 << power) + (1 << power) / 2]);
    let bounds: Vec<u64> = bounds.filter(|bound| *bound != 1).collect();
    let mut rows = Vec::new();
    let mut from = 0;
    for below in bounds {
        if from > histogram.max() {
            break;
        }
        if below > from {
            rows.push(Row { from, below, count: histogram.count_between(from, below - 1) });
            from = below;
        }
    }
    let first = rows.iter().position(|row| row.count > 0).unwrap_or(rows.len());
    rows.drain(..first);
    rows
}

/// A number that can be read: `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped_by_three() {
        let shown = [0, 12, 123, 1234, 123_456, 1_234_567].map(grouped);
        assert_eq!(shown, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn every_latency_is_in_one_row() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 40, 3).unwrap();
        for value in [90, 100, 100, 130, 5000] {
            histogram.record(value).unwrap();
        }
        let rows = rows(&histogram);
        assert_eq!((rows[0].from, rows[0].below, rows[0].count), (64, 96, 1));
        assert_eq!((rows[1].from, rows[1].below, rows[1].count), (96, 128, 2));
        assert_eq!(rows.iter().map(|row| row.count).sum::<u64>(), 5);
        let last = rows.last().unwrap();
        assert!((last.from..last.below).contains(&5000), "{} .. {}", last.from, last.below);
        let drawn = Drawn(&histogram).to_string();
        let lines: Vec<&str> = drawn.lines().collect();
        assert_eq!(lines[1].matches('█').count(), 50);
        assert_eq!(lines[2].matches('█').count(), 25);
        assert!(lines.last().unwrap().contains("median 100 "), "{drawn}");
    }

    #[test]
    fn nothing_can_be_drawn() {
        let histogram = Histogram::new_with_bounds(1, 1000, 3).unwrap();
        assert_eq!(Drawn(&histogram).to_string().lines().count(), 1);
    }
}
