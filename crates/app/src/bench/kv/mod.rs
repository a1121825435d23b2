//! `skein bench kv`: what a store does in a second, how long each operation
//! takes, and what it costs the servers: ours, or any that speaks Redis'
//! protocol, so that both are measured with the same tool.

mod drive;
mod replies;
mod store;
mod workload;
mod zipf;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use clap::Args;
use hdrhistogram::Histogram;
use indicatif::ProgressBar;
use serde::Serialize;
use skein_machine::MAX_GROUPS;

use self::drive::{Driver, Greeting, Seen, Task};
use self::store::Store;
use self::workload::{Draw, Mill, Recipe, Workload};
use super::experiment::times;
use super::servers::Servers;
use super::yardsticks::Yardsticks;
use super::{Sink, chart_of_times, keep, print_latency, quantiles_of, write_chart};
use crate::cli::{Mistake, Verdict, output};
use crate::compose::{Clock, Protocol};
use crate::config::{Choices, Storage, Wan};
use crate::processor_time;

/// The load runs for so long before anything is counted, or as long as it is counted if that is shorter.
const WARM_UP: Duration = Duration::from_millis(1500);

/// Operations on the way at each connection while records are written.
const AT_ONCE: usize = 32;

/// Records that are written between two looks at the progress.
const STRIDE: u64 = 20_000;

#[derive(Args)]
#[command(
    after_help = "Each client is a connection with as many operations on the way as --pipeline says; it begins the
next when one is over. An operation of E or F is several commands, one of `cross` a transaction or one command
over several partitions. Records are written first, and not counted.

Without --address, servers are processes of their own, started for the measurement: a node for each replica,
with a replica of every group. With it, whatever speaks Redis' protocol there is measured; it keeps what is
written to it. Processor time is that of all servers together, for one operation, as INFO tells it.

Examples:
  skein bench kv --workload a --clients 50
  skein bench kv --workload set --value 64 --pipeline 16 --json
  skein bench kv --workload mset --groups 2 --storage sync
  skein bench kv --workload cross --groups 3 --wan planet --clients 200
  skein bench kv --workload set --address 127.0.0.1:6379 --server 127.0.0.1:6380 --server 127.0.0.1:6381 --wait 2"
)]
pub(crate) struct Arguments {
    /// What is asked.
    #[arg(long, default_value = "a")]
    workload: Workload,
    /// How many connections.
    #[arg(long, default_value_t = 50, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=20_000))]
    clients: u16,
    /// Operations that each of them has on the way.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=10_000))]
    pipeline: u16,
    /// For how long it counts.
    #[arg(long, default_value_t = 10.0, value_name = "S")]
    seconds: f64,
    /// How many records there are.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    records: u64,
    /// Bytes of a string, or of a field.
    #[arg(long, default_value_t = 100, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    value: u32,
    /// Fields of a record in A to F.
    #[arg(long, default_value_t = 10, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1000))]
    fields: u16,
    /// Keys of an operation of `cross`, `mget` and `mset`.
    #[arg(long, default_value_t = 2, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=1000))]
    keys: u16,
    /// How records are drawn. [default: zipf; for D latest; for get, set, mget and mset uniform]
    #[arg(long)]
    draw: Option<Draw>,
    /// What reads promise, of a store of ours.
    #[arg(long, value_parser = ["causal", "linearizable"], value_name = "PROMISE")]
    consistency: Option<String>,
    /// Have each write followed by WAIT for so many replicas, and count both as one.
    #[arg(long, value_name = "REPLICAS")]
    wait: Option<u32>,
    /// Threads of the load.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,
    /// Where records go. (For own servers.)
    #[arg(long, default_value = "memory")]
    storage: Storage,
    /// How many groups. (For own servers.)
    #[arg(long, default_value_t = 1, value_name = "G")]
    groups: usize,
    /// How many replicas each group has. (For own servers.)
    #[arg(long, default_value_t = 3, value_name = "R")]
    replicas: usize,
    /// Pretend that nodes are as far apart as regions of a real cloud. (For own servers.)
    #[arg(long, value_name = "PRESET")]
    wan: Option<Wan>,
    /// Connect to the first so many nodes only. (For own servers.) [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    nodes: Option<u16>,
    /// Measure the store at this address, and at others by turns.
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["storage", "groups", "replicas", "wan", "nodes"])]
    address: Vec<SocketAddr>,
    /// Another server of that store, whose processor time counts as well.
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    server: Vec<SocketAddr>,
    /// Who you are, where that is asked for.
    #[arg(long, value_name = "NAME", default_value = "default")]
    user: String,
    /// Your password. In the environment fewer people see it.
    #[arg(long, value_name = "PASSWORD", env = "SKEIN_PASSWORD", hide_env_values = true)]
    password: Option<String>,
    /// Records are there already, from an earlier measurement.
    #[arg(long, requires = "address")]
    loaded: bool,
    #[command(flatten)]
    sink: Sink,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
struct Figures {
    workload: Workload,
    clients: u16,
    pipeline: u16,
    draw: Draw,
    records: u64,
    value: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fields: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wait: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    own: Option<Own>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    address: Vec<SocketAddr>,
    ops_per_s: f64,
    errors: u64,
    p50_us: f64,
    p95_us: f64,
    p99_us: f64,
    p999_us: f64,
    /// None: the servers do not tell.
    server_cpu_us_per_op: Option<f64>,
    client_cpu_us_per_op: f64,
    loopback_msg_cpu_us: f64,
    loopback_rtt_us: f64,
    #[serde(skip)]
    times: Histogram<u64>,
    #[serde(skip)]
    reason: Option<String>,
}

/// Servers that were started for it.
#[derive(Clone, Debug, Serialize)]
struct Own {
    storage: Storage,
    groups: usize,
    replicas: usize,
}

pub(crate) fn command(arguments: &Arguments) -> Verdict {
    arguments.check()?;
    let figures = arguments.measure()?;
    keep(arguments.sink.out.as_deref(), &figures)?;
    if let Some(file) = &arguments.sink.plot {
        let (title, name) = (figures.title(), format!("{:?}", figures.workload).to_lowercase());
        write_chart(file, &chart_of_times(title, name, "milliseconds", &quantiles_of(&figures.times)))?;
    }
    if arguments.sink.json {
        output::json(&figures);
    } else {
        figures.print();
    }
    Ok(figures.errors == 0)
}

impl Arguments {
    fn check(&self) -> Result<(), Mistake> {
        let Arguments { groups, replicas, seconds, .. } = *self;
        if !(1..=MAX_GROUPS).contains(&groups) {
            return Err(Mistake(format!("{groups} groups cannot be; choose 1 to {MAX_GROUPS}")));
        }
        if replicas.is_multiple_of(2) || replicas > 9 {
            return Err(Mistake(format!("{replicas} replicas cannot be; choose 1, 3, 5, 7 or 9")));
        }
        if !(0.1..=86_400.0).contains(&seconds) {
            return Err(Mistake(format!("{seconds} seconds cannot be; choose 0.1 to 86400")));
        }
        if self.nodes.is_some_and(|nodes| usize::from(nodes) > replicas) {
            return Err(Mistake(format!("there are {replicas} nodes, one for each replica: choose fewer --nodes")));
        }
        if self.workload.spans_partitions() && u64::from(self.keys) > self.records {
            return Err(Mistake(format!("{} different keys of {} records cannot be", self.keys, self.records)));
        }
        if self.threads > self.clients {
            return Err(Mistake(format!("{} threads for {} clients: choose no more", self.threads, self.clients)));
        }
        Ok(())
    }

    /// Measures the machine, the store, and the machine again.
    fn measure(&self) -> Result<Figures, Mistake> {
        let yardsticks =
            || Yardsticks::measure().map_err(|error| Mistake(format!("cannot measure this machine: {error}")));
        let before = yardsticks()?;
        let mut figures = self.measure_store()?;
        let yardsticks = before.between(yardsticks()?);
        (figures.loopback_msg_cpu_us, figures.loopback_rtt_us) = (yardsticks.message_us, yardsticks.round_trip_us);
        Ok(figures)
    }

    fn store(&self) -> Result<Store, Mistake> {
        if !self.address.is_empty() {
            let credentials = self.password.clone().map(|password| (self.user.clone(), password));
            return Store::at(&self.address, &self.server, credentials);
        }
        let choices =
            Choices { protocol: Protocol::PrimCast, clock: Clock::Hybrid, storage: self.storage, wan: self.wan };
        let servers = Servers::start_store(choices, self.groups, self.replicas)?;
        Store::own(servers, self.nodes.map(usize::from))
    }

    fn measure_store(&self) -> Result<Figures, Mistake> {
        let store = self.store()?;
        let mut recipe = Recipe {
            workload: self.workload,
            draw: self.draw.unwrap_or(self.workload.usual_draw()),
            value: self.value as usize,
            fields: usize::from(self.fields),
            keys: usize::from(self.keys),
            wait: self.wait,
            has_range: store.has_range(),
            partitions: Arc::new(Vec::new()),
            records: Arc::new(AtomicU64::new(self.records)),
        };
        if self.workload.spans_partitions() && recipe.has_range {
            let mill = Mill::new(recipe.clone(), 0);
            let key = |record| String::from_utf8(mill.key(record)).expect("keys are ASCII");
            recipe.partitions = Arc::new(store.partitions((0..self.records).map(key))?);
        }
        let mut greeting = store.greeting();
        let promise = self.consistency.iter();
        greeting.extend(promise.map(|promise| vec!["SKEIN.CONSISTENCY".to_owned(), promise.clone()]));
        let greeting = Greeting(greeting);
        let mut drivers = Vec::new();
        for thread in 0..self.threads {
            let clients = (thread..self.clients).step_by(usize::from(self.threads));
            let addresses: Vec<SocketAddr> =
                clients.map(|client| store.addresses[usize::from(client) % store.addresses.len()]).collect();
            drivers.push(Driver::connect(&addresses, &greeting)?);
        }
        if !self.loaded {
            self.insert_all(&mut drivers[0], &recipe)?;
        }

        let counted = Duration::from_secs_f64(self.seconds);
        let count_from = Instant::now() + WARM_UP.min(counted);
        let until = count_from + counted;
        let threads: Vec<_> = drivers
            .into_iter()
            .zip(1..)
            .map(|(mut driver, seed)| {
                let (mut mill, pipeline) = (Mill::new(recipe.clone(), seed), usize::from(self.pipeline));
                std::thread::spawn(move || driver.run(&mut mill, Task::Run { count_from, until }, pipeline))
            })
            .collect();
        sleep_until(count_from);
        let (servers, own) = (store.processor_time(), processor_time());
        sleep_until(until);
        let (servers_after, own_after) = (store.processor_time(), processor_time());
        let mut all = Seen { latencies: times(), errors: 0, reason: None };
        for thread in threads {
            let seen = thread.join().expect("the load does not panic")?;
            all.latencies.add(&seen.latencies).expect("all have the same bounds");
            all.errors += seen.errors;
            all.reason = all.reason.or(seen.reason);
        }
        let finished = all.latencies.len();
        if finished == 0 {
            let why = all.reason.map_or(String::new(), |why| format!("; the first error says {why}"));
            return Err(Mistake(format!("not one operation was answered as it should be{why}")));
        }
        let each = |spent: Duration| spent.as_secs_f64() * 1e6 / finished as f64;
        let at = |quantile| all.latencies.value_at_quantile(quantile) as f64 / 1e3;
        let is_own = self.address.is_empty();
        Ok(Figures {
            workload: self.workload,
            clients: self.clients,
            pipeline: self.pipeline,
            draw: recipe.draw,
            records: self.records,
            value: self.value,
            fields: (self.workload.content() == workload::Content::Hashes).then_some(self.fields),
            keys: self.workload.spans_partitions().then_some(self.keys),
            consistency: self.consistency.clone(),
            wait: self.wait,
            own: is_own.then_some(Own { storage: self.storage, groups: self.groups, replicas: self.replicas }),
            address: self.address.clone(),
            ops_per_s: finished as f64 / self.seconds,
            errors: all.errors,
            p50_us: at(0.5),
            p95_us: at(0.95),
            p99_us: at(0.99),
            p999_us: at(0.999),
            server_cpu_us_per_op: servers.zip(servers_after).map(|(before, after)| each(after.saturating_sub(before))),
            client_cpu_us_per_op: each(own_after - own),
            loopback_msg_cpu_us: 0.0,
            loopback_rtt_us: 0.0,
            times: all.latencies,
            reason: all.reason,
        })
    }

    /// Writes every record once.
    fn insert_all(&self, driver: &mut Driver, recipe: &Recipe) -> Result<(), Mistake> {
        let progress = ProgressBar::new(self.records).with_message("records");
        let mut mill = Mill::new(recipe.clone(), 0);
        let mut next = 0;
        while next < self.records {
            let end = self.records.min(next + STRIDE);
            let seen = driver.run(&mut mill, Task::Insert { next, end }, AT_ONCE)?;
            if seen.errors > 0 {
                let why = seen.reason.unwrap_or_default();
                return Err(Mistake(format!("{} of {} records were not written: {why}", seen.errors, self.records)));
            }
            next = end;
            progress.set_position(next);
        }
        progress.finish_and_clear();
        Ok(())
    }
}

fn sleep_until(moment: Instant) {
    std::thread::sleep(moment.saturating_duration_since(Instant::now()));
}

impl Figures {
    fn title(&self) -> String {
        let Figures { clients, pipeline, records, value, .. } = self;
        let workload = format!("{:?}", self.workload).to_lowercase();
        let store = match &self.own {
            Some(Own { groups, replicas, storage }) => {
                format!("{groups} groups of {replicas}, {}", format!("{storage:?}").to_lowercase())
            }
            None => self.address.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
        };
        format!(
            "{workload}, {clients} clients, pipeline {pipeline}, {records} records, values of {value} bytes, {store}"
        )
    }

    fn print(&self) {
        output::line(self.title());
        output::line(format_args!("  operations         {:>10.0} a second", self.ops_per_s));
        if self.errors > 0 {
            let why = self.reason.as_deref().unwrap_or_default();
            output::line(format_args!(
                "  errors             {:>10} of them and not counted; the first: {why}",
                self.errors
            ));
        }
        print_latency([self.p50_us, self.p95_us, self.p99_us, self.p999_us], self.loopback_rtt_us);
        if let Some(each) = self.server_cpu_us_per_op {
            output::line(format_args!(
                "  servers' processor {each:>10.2} us an operation: {:.2} loopback messages of {:.2} us",
                each / self.loopback_msg_cpu_us,
                self.loopback_msg_cpu_us
            ));
        }
        output::line(format_args!("  load's processor   {:>10.2} us an operation", self.client_cpu_us_per_op));
    }
}
