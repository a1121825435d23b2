//! `skein bench multicast`: how many messages a cluster orders in a second,
//! how long each takes, and what it costs the servers.

use clap::Args;

use super::experiment::{Figures, MET, Pressure, Shape};
use super::{Sink, chart_of_times, keep, print_latency, write_chart};
use crate::cli::{Verdict, output};
use crate::compose::{Clock, Protocol};

#[derive(Args)]
#[command(after_help = "Every session has one message on the way and sends the next when it is delivered at all
destinations. With --rate, messages are due at moments of their own, whatever became of the others, and
the time that each takes counts from then; the load looks at its clock once in a millisecond.

Servers are processes of their own, one for each replica; there is one process of load for each group.
Processor time is that of all servers together, for one multicast. What is measured drifts with the
machine, so two yardsticks are measured in the same run: the processor time of one message of 64 bytes
over loopback, and the median of its way there and back.

Examples:
  skein bench multicast --groups 2 --destinations 1 --outstanding 128
  skein bench multicast --groups 4 --destinations 2 --outstanding 256 --json --out figures.jsonl
  skein bench multicast --groups 3 --destinations 2 --wan planet --rate 500 --plot latency.svg")]
pub(crate) struct Arguments {
    #[command(flatten)]
    shape: Shape,
    /// Which protocol.
    #[arg(long, default_value = "primcast")]
    protocol: Protocol,
    /// What its clocks follow.
    #[arg(long, default_value = "logical")]
    clock: Clock,
    /// How many groups each message goes to.
    #[arg(long, default_value_t = 1, value_name = "D")]
    destinations: usize,
    /// Messages on the way at once, over all groups.
    #[arg(long, default_value_t = 128, value_name = "N")]
    outstanding: usize,
    /// Messages a second, over all groups, as long as no more than those are on the way.
    #[arg(long, value_name = "N")]
    rate: Option<f64>,
    /// For how long it counts.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    seconds: f64,
    #[command(flatten)]
    sink: Sink,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    let Arguments { protocol, clock, destinations, outstanding, rate, seconds, .. } = *arguments;
    let pressure = Pressure { protocol, clock, destinations, outstanding, rate, seconds };
    arguments.shape.check(&pressure)?;
    let figures = arguments.shape.measure(&pressure)?;
    keep(arguments.sink.out.as_deref(), &figures)?;
    if let Some(file) = &arguments.sink.plot {
        let name = figures.protocol.clone();
        let up = "milliseconds to the last destination";
        write_chart(file, &chart_of_times(figures.title(), name, up, &figures.quantiles))?;
    }
    if arguments.sink.json {
        output::json(&figures);
    } else {
        figures.print();
    }
    Ok(true)
}

impl Figures {
    fn title(&self) -> String {
        let Figures { protocol, groups, replicas, destinations, outstanding, payload, .. } = self;
        format!(
            "{protocol}, {groups} groups of {replicas}, {destinations} destinations, {outstanding} on the way, {payload} bytes"
        )
    }

    fn print(&self) {
        output::line(self.title());
        output::line(format_args!("  messages           {:>10.0} a second", self.msgs_per_s));
        if let Some(rate) = self.rate.filter(|rate| self.msgs_per_s < rate * MET) {
            output::line(format_args!("                     {rate:>10.0} were due: the cluster does not keep up"));
        }
        print_latency([self.p50_us, self.p95_us, self.p99_us, self.p999_us], self.loopback_rtt_us);
        if let Some(last) = self.last_replica_p50_us {
            output::line(format_args!("                     {last:>10.0} us median at the last replica"));
        }
        output::line(format_args!(
            "  servers' processor {:>10.2} us a message: {:.2} loopback messages of {:.2} us",
            self.server_cpu_us_per_msg,
            self.server_cpu_us_per_msg / self.loopback_msg_cpu_us,
            self.loopback_msg_cpu_us
        ));
        output::line(format_args!("  load's processor   {:>10.2} us a message", self.client_cpu_us_per_msg));
        output::line(format_args!(
            "  servers sent       {:>10.0} bytes in {:.2} writes a message",
            self.bytes_per_msg, self.writes_per_msg
        ));
        output::line(format_args!(
            "  servers hold       {:>10.0} MB at first, {:.0} in the end",
            self.rss_mb_first, self.rss_mb_last
        ));
    }
}
