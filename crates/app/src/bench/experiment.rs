//! One measurement: a cluster of processes, a load, and what both of them saw.
//! Which measurements are made, and how they are shown, is decided elsewhere.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use hdrhistogram::Histogram;
use serde::Serialize;
use skein_machine::MAX_GROUPS;

use super::load::{Job, Seen};
use super::quantiles_of;
use super::servers::Servers;
use super::yardsticks::Yardsticks;
use crate::cli::{Mistake, check_mode, name_of};
use crate::compose::{Clock, Mode, Protocol};
use crate::config::{Choices, Storage, Wan};

/// The load runs for so long before anything is counted.
const WARM_UP: Duration = Duration::from_millis(1500);

/// A rate is met if so much of it arrives: the rest is what is on the way in the end.
pub(crate) const MET: f64 = 0.98;

/// What a cluster is like that is measured, and what stays the same while the load changes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Shape {
    /// Where records go.
    #[arg(long, default_value = "memory")]
    storage: Storage,
    /// How many groups.
    #[arg(long, default_value_t = 2, value_name = "G")]
    pub(crate) groups: usize,
    /// How many replicas each group has.
    #[arg(long, default_value_t = 3, value_name = "R")]
    pub(crate) replicas: usize,
    /// Bytes of payload.
    #[arg(long, default_value_t = 16, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=1_048_576))]
    payload: u32,
    /// Pretend that replicas are as far apart as regions of a real cloud: every group has a home, and its other
    /// replicas in the regions next to it.
    #[arg(long, value_name = "PRESET")]
    wan: Option<Wan>,
    /// Run all servers in this process, each on a thread of its own.
    #[arg(long)]
    pub(crate) in_process: bool,
    /// Servers look all the time instead of sleeping until something comes.
    #[arg(long)]
    pub(crate) busy_poll: bool,
    /// Servers and load speak TLS.
    #[arg(long)]
    pub(crate) tls: bool,
    /// Measure also when the last replica delivers, by the messages of one session of each group. It costs the
    /// servers an answer of every replica.
    #[arg(long)]
    last_replica: bool,
}

/// How hard the load presses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pressure {
    pub(crate) protocol: Protocol,
    /// What its clocks follow.
    pub(crate) clock: Clock,
    pub(crate) destinations: usize,
    /// Messages on the way, at most.
    pub(crate) outstanding: usize,
    /// Messages a second, over all groups; without one, each that is delivered makes room for the next.
    pub(crate) rate: Option<f64>,
    pub(crate) seconds: f64,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figures {
    pub(crate) protocol: String,
    pub(crate) clock: String,
    pub(crate) mode: &'static str,
    pub(crate) storage: Storage,
    pub(crate) groups: usize,
    pub(crate) replicas: usize,
    pub(crate) destinations: usize,
    pub(crate) outstanding: usize,
    pub(crate) payload: u32,
    pub(crate) tls: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rate: Option<f64>,
    pub(crate) msgs_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p95_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) p999_us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_replica_p50_us: Option<f64>,
    pub(crate) server_cpu_us_per_msg: f64,
    pub(crate) client_cpu_us_per_msg: f64,
    pub(crate) bytes_per_msg: f64,
    pub(crate) writes_per_msg: f64,
    pub(crate) loopback_msg_cpu_us: f64,
    pub(crate) loopback_rtt_us: f64,
    pub(crate) rss_mb_first: f64,
    pub(crate) rss_mb_last: f64,
    /// How long messages took: microseconds, and which part of them took no longer.
    #[serde(skip)]
    pub(crate) quantiles: Vec<(f64, f64)>,
}

impl Shape {
    /// Refuses what cannot be measured.
    pub(crate) fn check(&self, pressure: &Pressure) -> Result<(), Mistake> {
        let (Shape { groups, replicas, .. }, Pressure { destinations, outstanding, seconds, .. }) = (self, pressure);
        if !(1..=MAX_GROUPS).contains(groups) {
            return Err(Mistake(format!("{groups} groups cannot be; choose 1 to {MAX_GROUPS}")));
        }
        if replicas.is_multiple_of(2) || *replicas > 9 {
            return Err(Mistake(format!("{replicas} replicas cannot be; choose 1, 3, 5, 7 or 9")));
        }
        if *destinations == 0 || destinations > groups {
            return Err(Mistake(format!("a message to {destinations} of {groups} groups cannot be")));
        }
        if *outstanding == 0 || *outstanding > 100_000 {
            return Err(Mistake(format!("{outstanding} messages on the way cannot be; choose 1 to 100000")));
        }
        if !(0.1..=86_400.0).contains(seconds) {
            return Err(Mistake(format!("{seconds} seconds cannot be; choose 0.1 to 86400")));
        }
        check_mode(pressure.protocol, Mode::Ordered, pressure.clock)?;
        match pressure.rate {
            Some(rate) if !(0.1..=1e8).contains(&rate) => {
                Err(Mistake(format!("{rate} messages a second cannot be; choose 0.1 to 100000000")))
            }
            _ => Ok(()),
        }
    }

    /// Measures the machine, the cluster, and the machine again.
    pub(crate) fn measure(&self, pressure: &Pressure) -> Result<Figures, Mistake> {
        let yardsticks =
            || Yardsticks::measure().map_err(|error| Mistake(format!("cannot measure this machine: {error}")));
        let before = yardsticks()?;
        let mut figures = self.measure_cluster(pressure)?;
        let yardsticks = before.between(yardsticks()?);
        (figures.loopback_msg_cpu_us, figures.loopback_rtt_us) = (yardsticks.message_us, yardsticks.round_trip_us);
        Ok(figures)
    }

    fn measure_cluster(&self, pressure: &Pressure) -> Result<Figures, Mistake> {
        let Pressure { protocol, clock, destinations, outstanding, rate, seconds } = *pressure;
        let choices = Choices { protocol, clock, storage: self.storage, wan: self.wan };
        let servers = Servers::start(choices, self)?;
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let begin_nanos = (since + WARM_UP).as_nanos() as u64;
        // With fewer messages than groups, only the first groups have a load of their own.
        let share = |group| outstanding / self.groups + usize::from(group < outstanding % self.groups);
        let busy: Vec<usize> = (0..self.groups).filter(|group| share(*group) > 0).collect();
        let job = |group| Job {
            group,
            destinations,
            outstanding: share(group),
            rate: rate.map(|rate| rate / busy.len() as f64),
            payload: self.payload as usize,
            begin_nanos,
            seconds,
            watches_all: self.last_replica,
        };
        let loads: Result<Vec<Load>, Mistake> = busy.iter().map(|group| Load::start(&servers, &job(*group))).collect();
        let loads = loads?;
        sleep_until(begin_nanos);
        let (counts, rss_first) = (servers.counts()?, servers.resident_megabytes());
        sleep_until(begin_nanos + (seconds * 1e9) as u64);
        let (counts_after, rss_last) = (servers.counts()?, servers.resident_megabytes());
        let seen: Result<Vec<Seen>, Mistake> = loads.into_iter().map(Load::collect).collect();
        let seen = seen?;

        let latencies = together(seen.iter().flat_map(|seen| &seen.latencies));
        let last = together(seen.iter().flat_map(|seen| &seen.last_replica));
        let finished = seen.iter().map(|seen| seen.finished).sum::<u64>();
        if finished == 0 {
            return Err(Mistake("not one message was delivered".to_owned()));
        }
        let each = |nanos: u64| nanos as f64 / 1e3 / finished as f64;
        let at = |quantile| latencies.value_at_quantile(quantile) as f64 / 1e3;
        Ok(Figures {
            protocol: protocol.to_string(),
            clock: name_of(&clock),
            mode: "ordered",
            storage: self.storage,
            groups: self.groups,
            replicas: self.replicas,
            destinations,
            outstanding,
            payload: self.payload,
            tls: self.tls,
            rate,
            msgs_per_s: finished as f64 / seconds,
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            last_replica_p50_us: (!last.is_empty()).then(|| last.value_at_quantile(0.5) as f64 / 1e3),
            server_cpu_us_per_msg: each(counts_after.processor_nanos - counts.processor_nanos),
            client_cpu_us_per_msg: each(seen.iter().map(|seen| seen.processor_nanos).sum()),
            bytes_per_msg: (counts_after.bytes_out - counts.bytes_out) as f64 / finished as f64,
            writes_per_msg: (counts_after.writes - counts.writes) as f64 / finished as f64,
            loopback_msg_cpu_us: 0.0,
            loopback_rtt_us: 0.0,
            rss_mb_first: rss_first,
            rss_mb_last: rss_last,
            quantiles: quantiles_of(&latencies),
        })
    }
}

/// Times in nanoseconds.
pub(crate) fn times() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 600_000_000_000, 3).expect("the bounds are sound")
}

fn together<'a>(all: impl Iterator<Item = &'a (u64, u64)>) -> Histogram<u64> {
    let mut times = times();
    for (value, count) in all {
        times.saturating_record_n(*value, *count);
    }
    times
}

/// One process of the load. Dropped, it ends.
struct Load(Child);

impl Load {
    fn start(servers: &Servers, job: &Job) -> Result<Load, Mistake> {
        let program = std::env::current_exe().map_err(|error| Mistake(format!("cannot find this program: {error}")))?;
        let job = serde_json::to_string(job).expect("plain data becomes JSON");
        let mut command = Command::new(program);
        command.arg("bench").arg("load").arg("--config").arg(&servers.config_file).arg("--job").arg(job);
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        command.spawn().map(Load).map_err(|error| Mistake(format!("cannot start the load: {error}")))
    }

    fn collect(mut self) -> Result<Seen, Mistake> {
        let mut text = String::new();
        let read = self.0.stdout.take().expect("it was asked for").read_to_string(&mut text);
        let is_well = self.0.wait().is_ok_and(|status| status.success());
        match (read, is_well) {
            (Ok(_), true) => serde_json::from_str(&text)
                .map_err(|error| Mistake(format!("the load makes no sense: {error}: {text}"))),
            _ => Err(Mistake("the load failed; what it said stands above".to_owned())),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sleep_until(nanos: u64) {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    std::thread::sleep(Duration::from_nanos(nanos.saturating_sub(since)));
}
