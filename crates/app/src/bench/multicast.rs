//! `skein bench multicast`: how many messages a cluster orders in a second,
//! how long each takes, and what it costs the servers.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_machine::MAX_GROUPS;

use super::load::{Job, Seen};
use super::servers::Servers;
use super::yardsticks::Yardsticks;
use crate::cli::{Mistake, Verdict, output};
use crate::compose::{Clock, Protocol};
use crate::config::{Choices, Storage};

/// The load runs for so long before anything is counted.
const WARM_UP: Duration = Duration::from_millis(1500);

#[derive(Args)]
#[command(after_help = "Every session has one message on the way and sends the next when it is delivered at all
destinations. Servers are processes of their own, one for each replica; there is one process of load
for each group. Processor time is that of all servers together, for one multicast.

What is measured drifts with the machine, so two yardsticks are measured in the same run: the processor
time of one message of 64 bytes over loopback, and the median of its way there and back.

Examples:
  skein bench multicast --groups 2 --destinations 1 --outstanding 128
  skein bench multicast --groups 4 --destinations 2 --outstanding 256 --json")]
pub(crate) struct Arguments {
    /// Which protocol.
    #[arg(long, default_value = "primcast")]
    protocol: Protocol,
    /// What the protocol's clocks follow.
    #[arg(long, default_value = "logical")]
    clock: Clock,
    /// Where records go.
    #[arg(long, default_value = "memory")]
    storage: Storage,
    /// How many groups.
    #[arg(long, default_value_t = 2, value_name = "G")]
    groups: usize,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 3, value_name = "R")]
    replicas: usize,
    /// How many groups each message goes to.
    #[arg(long, default_value_t = 1, value_name = "D")]
    destinations: usize,
    /// Messages on the way at once, over all groups.
    #[arg(long, default_value_t = 128, value_name = "N")]
    outstanding: usize,
    /// Bytes of payload.
    #[arg(long, default_value_t = 16, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    payload: u32,
    /// For how long it counts.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    seconds: f64,
    /// Servers look all the time instead of sleeping until something comes.
    #[arg(long)]
    busy_poll: bool,
    /// Servers and load speak TLS.
    #[arg(long)]
    tls: bool,
    /// One JSON object.
    #[arg(long)]
    json: bool,
}

/// What was measured.
#[derive(Serialize)]
struct Figures {
    protocol: String,
    mode: &'static str,
    storage: Storage,
    groups: usize,
    replicas: usize,
    destinations: usize,
    outstanding: usize,
    payload: u32,
    tls: bool,
    msgs_per_s: f64,
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    p999_us: f64,
    server_cpu_us_per_msg: f64,
    client_cpu_us_per_msg: f64,
    bytes_per_msg: f64,
    writes_per_msg: f64,
    loopback_msg_cpu_us: f64,
    loopback_rtt_us: f64,
    rss_mb_first: f64,
    rss_mb_last: f64,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    arguments.check()?;
    let measure = || Yardsticks::measure().map_err(|error| Mistake(format!("cannot measure this machine: {error}")));
    let before = measure()?;
    let mut figures = arguments.measure()?;
    let yardsticks = before.between(measure()?);
    (figures.loopback_msg_cpu_us, figures.loopback_rtt_us) = (yardsticks.message_us, yardsticks.round_trip_us);
    if arguments.json {
        output::json(&figures);
    } else {
        figures.print();
    }
    Ok(true)
}

impl Arguments {
    fn check(&self) -> Result<(), Mistake> {
        let Arguments { groups, replicas, destinations, outstanding, seconds, .. } = *self;
        if !(1..=MAX_GROUPS).contains(&groups) {
            return Err(Mistake(format!("{groups} groups cannot be; choose 1 to {MAX_GROUPS}")));
        }
        if replicas.is_multiple_of(2) || replicas > 9 {
            return Err(Mistake(format!("{replicas} replicas cannot be; choose 1, 3, 5, 7 or 9")));
        }
        if destinations == 0 || destinations > groups {
            return Err(Mistake(format!("a message to {destinations} of {groups} groups cannot be")));
        }
        if outstanding == 0 || outstanding > 100_000 {
            return Err(Mistake(format!("{outstanding} messages on the way cannot be; choose 1 to 100000")));
        }
        if !(0.1..=86_400.0).contains(&seconds) {
            return Err(Mistake(format!("{seconds} seconds cannot be; choose 0.1 to 86400")));
        }
        Ok(())
    }

    fn measure(&self) -> Result<Figures, Mistake> {
        let choices = Choices { protocol: self.protocol, clock: self.clock, storage: self.storage, wan: None };
        let servers = Servers::start(choices, self.groups, self.replicas, self.busy_poll, self.tls)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begin_nanos = (since + WARM_UP).as_nanos() as u64;
        // With fewer messages than groups, only the first groups have a load of their own.
        let share = |group| self.outstanding / self.groups + usize::from(group < self.outstanding % self.groups);
        let loads: Result<Vec<Child>, Mistake> = (0..self.groups)
            .filter(|group| share(*group) > 0)
            .map(|group| {
                let job = Job {
                    group,
                    destinations: self.destinations,
                    outstanding: share(group),
                    payload: self.payload as usize,
                    begin_nanos,
                    seconds: self.seconds,
                };
                spawn(&servers, &job)
            })
            .collect();
        let loads = loads?;
        sleep_until(begin_nanos);
        let (counts, rss_first) = (servers.counts()?, servers.resident_megabytes());
        sleep_until(begin_nanos + (self.seconds * 1e9) as u64);
        let (counts_after, rss_last) = (servers.counts()?, servers.resident_megabytes());
        let seen: Result<Vec<Seen>, Mistake> = loads.into_iter().map(collect).collect();
        let seen = seen?;

        let mut latencies = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).expect("the bounds are sound");
        for (value, count) in seen.iter().flat_map(|seen| &seen.latencies) {
            latencies.saturating_record_n(*value, *count);
        }
        let finished = seen.iter().map(|seen| seen.finished).sum::<u64>();
        if finished == 0 {
            return Err(Mistake("not one message was delivered".to_owned()));
        }
        let each = |nanos: u64| nanos as f64 / 1e3 / finished as f64;
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Figures {
            protocol: self.protocol.to_string(),
            mode: "ordered",
            storage: self.storage,
            groups: self.groups,
            replicas: self.replicas,
            destinations: self.destinations,
            outstanding: self.outstanding,
            payload: self.payload,
            tls: self.tls,
            msgs_per_s: finished as f64 / self.seconds,
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            server_cpu_us_per_msg: each(counts_after.processor_nanos - counts.processor_nanos),
            client_cpu_us_per_msg: each(seen.iter().map(|seen| seen.processor_nanos).sum()),
            bytes_per_msg: (counts_after.bytes_out - counts.bytes_out) as f64 / finished as f64,
            writes_per_msg: (counts_after.writes - counts.writes) as f64 / finished as f64,
            loopback_msg_cpu_us: 0.0,
            loopback_rtt_us: 0.0,
            rss_mb_first: rss_first,
            rss_mb_last: rss_last,
        })
    }
}

impl Figures {
    fn print(&self) {
        let Figures { groups, replicas, destinations, outstanding, payload, .. } = self;
        output::line(format_args!(
            "{}, {groups} groups of {replicas}, {destinations} destinations, {outstanding} on the way, {payload} bytes",
            self.protocol
        ));
        output::line(format_args!("  messages           {:>10.0} a second", self.msgs_per_s));
        output::line(format_args!(
            "  latency            {:>10.0} us median, {:.0} p95, {:.0} p99, {:.0} p99.9",
            self.p50_us, self.p95_us, self.p99_us, self.p999_us
        ));
        output::line(format_args!(
            "                     {:>10.2} loopback round trips of {:.1} us",
            self.p50_us / self.loopback_rtt_us,
            self.loopback_rtt_us
        ));
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

fn spawn(servers: &Servers, job: &Job) -> Result<Child, Mistake> {
    let program = std::env::current_exe().map_err(|error| Mistake(format!("cannot find this program: {error}")))?;
    let job = serde_json::to_string(job).expect("plain data becomes JSON");
    let mut command = Command::new(program);
    command.arg("bench").arg("load").arg("--config").arg(&servers.config_file).arg("--job").arg(job);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    command.spawn().map_err(|error| Mistake(format!("cannot start the load: {error}")))
}

fn collect(mut load: Child) -> Result<Seen, Mistake> {
    let mut text = String::new();
    let read = load.stdout.take().expect("it was asked for").read_to_string(&mut text);
    let status = load.wait();
    let is_well = status.is_ok_and(|status| status.success());
    match (read, is_well) {
        (Ok(_), true) => {
            serde_json::from_str(&text).map_err(|error| Mistake(format!("the load makes no sense: {error}: {text}")))
        }
        _ => Err(Mistake("the load failed; what it said stands above".to_owned())),
    }
}

fn sleep_until(nanos: u64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    std::thread::sleep(Duration::from_nanos(nanos.saturating_sub(since)));
}
