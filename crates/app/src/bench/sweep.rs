//! `skein bench sweep`: throughput and latency of each protocol, under a load
//! that grows step by step. Each point is a cluster of its own.

use clap::Args;

use super::experiment::{Figures, Pressure, Shape};
use super::plot::{Axis, Chart, Curve};
use super::{Sink, keep, write_chart};
use crate::cli::{Mistake, Verdict, check_mode, name_of, output};
use crate::compose::{Clock, Mode, Protocol};

/// A sweep of more points than this is a mistake.
const MOST_POINTS: usize = 1000;

#[derive(Args)]
#[command(after_help = "Every point is measured as by `skein bench multicast`, on a cluster of its own, with so many
messages on the way. Curves bend upward where a cluster has all that it can take.

Examples:
  skein bench sweep --plot curves.svg
  skein bench sweep --protocol primcast --clock logical,hybrid --destinations 1,2 --wan planet --groups 3 --outstanding 1,8,64
  skein bench sweep --json --out figures.jsonl")]
pub(crate) struct Arguments {
    #[command(flatten)]
    shape: Shape,
    /// Which protocols; all of them unless told.
    #[arg(long = "protocol", alias = "protocols", value_delimiter = ',', value_name = "P,P")]
    protocols: Vec<Protocol>,
    /// What their clocks follow: a curve for each that a protocol has.
    #[arg(long, value_delimiter = ',', default_value = "logical", value_name = "C,C")]
    clock: Vec<Clock>,
    /// To how many groups each message goes: a curve for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2", value_name = "D,D")]
    destinations: Vec<usize>,
    /// Messages on the way at once, over all groups: a point for each.
    #[arg(long, value_delimiter = ',', default_value = "1,2,4,8,16,32,64,128,256,512", value_name = "N,N")]
    outstanding: Vec<usize>,
    /// For how long each point counts.
    #[arg(long, default_value_t = 3.0, value_name = "S")]
    seconds: f64,
    #[command(flatten)]
    sink: Sink,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let protocols = if arguments.protocols.is_empty() { Protocol::ALL.to_vec() } else { arguments.protocols.clone() };
    let mut rows = Vec::new();
    let mut refused = None;
    for protocol in protocols {
        for clock in arguments.clock.iter().copied() {
            match check_mode(protocol, Mode::Ordered, clock) {
                Ok(()) => rows.extend(arguments.destinations.iter().map(|to| (protocol, clock, *to))),
                // Where others have it, this one is measured with what it has.
                Err(mistake) => refused = Some(mistake),
            }
        }
    }
    if let Some(mistake) = refused.filter(|_| rows.is_empty()) {
        return Err(mistake);
    }
    let points = rows.len() * arguments.outstanding.len();
    if points == 0 || points > MOST_POINTS {
        return Err(Mistake(format!("{points} points cannot be; choose 1 to {MOST_POINTS}")));
    }
    let seconds = arguments.seconds;
    let pressure = |(protocol, clock, destinations), outstanding| Pressure {
        protocol,
        clock,
        destinations,
        outstanding,
        rate: None,
        seconds,
    };
    // Before an hour is spent on the first ones.
    for outstanding in &arguments.outstanding {
        rows.iter().try_for_each(|row| arguments.shape.check(&pressure(*row, *outstanding)))?;
    }
    if !arguments.sink.json {
        output::line(
            "protocol               to  on the way      messages/s    median us       p99 us   servers' us a message",
        );
    }
    let mut curves = Vec::new();
    for row in rows {
        let name = format!("{} to {}", name_with(&row.0.to_string(), &name_of(&row.1)), row.2);
        let mut points = Vec::new();
        for outstanding in &arguments.outstanding {
            let figures = arguments.shape.measure(&pressure(row, *outstanding))?;
            keep(arguments.sink.out.as_deref(), &figures)?;
            show(&figures, arguments.sink.json);
            points.push((figures.msgs_per_s / 1e3, figures.p50_us / 1e3));
        }
        curves.push(Curve { name, points });
        // Whoever stops it in the middle has what there was.
        if let Some(file) = &arguments.sink.plot {
            write_chart(file, &chart(curves.clone()))?;
        }
    }
    Ok(true)
}

fn show(figures: &Figures, json: bool) {
    if json {
        return output::json(figures);
    }
    output::line(format_args!(
        "{:<21} {:>3} {:>11} {:>15.0} {:>12.0} {:>12.0} {:>23.2}",
        name_with(&figures.protocol, &figures.clock),
        figures.destinations,
        figures.outstanding,
        figures.msgs_per_s,
        figures.p50_us,
        figures.p99_us,
        figures.server_cpu_us_per_msg
    ));
}

/// Most have logical clocks, so only the others are named.
fn name_with(protocol: &str, clock: &str) -> String {
    if clock == name_of(&Clock::Logical) { protocol.to_owned() } else { format!("{protocol} {clock}") }
}

fn chart(curves: Vec<Curve>) -> Chart {
    Chart {
        title: "Throughput and latency".to_owned(),
        across: Axis::linear("thousand messages a second"),
        up: Axis::logarithmic("median milliseconds to the last destination"),
        curves,
    }
}
