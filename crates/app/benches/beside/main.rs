//! Skein beside its neighbours, on one machine and in one run: redis-server and
//! etcd from the distribution's packages, three replicas each, under the same
//! load. Each pair is measured by turns, several times, and the medians stand in
//! a table: the one in docs/benchmarks.md.
//!
//! `cargo bench -p skein --bench beside [-- --rounds N --seconds S] [ROW …]`

mod etcd;
mod peers;

use std::process::Command;

use serde_json::Value;

use crate::peers::{Etcd, Redis};

/// What one measurement says.
#[derive(Clone, Debug)]
struct Figures {
    ops_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    server_cpu_us: f64,
}

/// Two measurements that belong side by side.
struct Row {
    name: &'static str,
    load: &'static str,
    beside: &'static str,
    /// How much of the other's throughput is expected, and what is hoped for.
    bar: f64,
    goal: f64,
    ours: fn(&Options) -> Figures,
    theirs: fn(&Options) -> Figures,
}

struct Options {
    rounds: usize,
    seconds: String,
    only: Vec<String>,
}

/// Puts on synced disks. With `--nodes 1` all clients are at the first node, which leads the only group.
const PUT: &str = "--workload set --value 256 --clients 64 --records 10000 --storage sync";

const ROWS: &[Row] = &[
    Row {
        name: "set",
        load: "SET 64 B, 50 clients, pipeline 1",
        beside: "redis-server, primary and 2 replicas, SET and WAIT 2 as one",
        bar: 1.0,
        goal: 2.0,
        ours: |options| skein(options, "--workload set --value 64 --clients 50"),
        theirs: |options| {
            let redis = Redis::start(2);
            skein(options, &format!("--workload set --value 64 --clients 50 --wait 2 {}", redis.words()))
        },
    },
    Row {
        name: "pipeline",
        load: "SET 64 B, 50 clients, pipeline 16",
        beside: "redis-server alone, no persistence",
        bar: 0.25,
        goal: 0.667,
        ours: |options| skein(options, "--workload set --value 64 --clients 50 --pipeline 16"),
        theirs: |options| {
            let redis = Redis::start(0);
            skein(options, &format!("--workload set --value 64 --clients 50 --pipeline 16 {}", redis.words()))
        },
    },
    Row {
        name: "put",
        load: "put 256 B, 64 clients at the leader, synced to disk",
        beside: "etcd, 3 members, same file system, clients at its leader",
        bar: 5.0,
        goal: 15.0,
        ours: |options| skein(options, &format!("{PUT} --nodes 1")),
        theirs: etcd_put,
    },
    Row {
        name: "put-spread",
        load: "put 256 B, 64 clients spread over the nodes, synced to disk",
        beside: "etcd, as above, where it is fastest",
        bar: 5.0,
        goal: 15.0,
        ours: |options| skein(options, PUT),
        theirs: etcd_put,
    },
    Row {
        name: "get",
        load: "linearizable get, 64 clients",
        beside: "etcd, 3 members, linearizable get, clients at its leader",
        bar: 5.0,
        goal: 10.0,
        ours: |options| skein(options, "--workload get --value 256 --clients 64 --records 10000 --storage sync"),
        theirs: |options| Etcd::start().measure(etcd::Load::Get, 64, 256, 10_000, seconds(options)),
    },
    Row {
        name: "mset",
        load: "MSET of 2 keys in 2 partitions, 50 clients",
        beside: "our own SET of one key, 50 clients, the same 2 partitions",
        bar: 0.5,
        goal: 0.7,
        ours: |options| skein(options, "--workload mset --value 64 --clients 50 --groups 2"),
        theirs: |options| skein(options, "--workload set --value 64 --clients 50 --groups 2"),
    },
];

fn main() {
    let options = options();
    let is_wanted = |row: &&Row| options.only.is_empty() || options.only.iter().any(|name| name == row.name);
    println!("| load | beside | ours | theirs | ratio | bar, goal |");
    println!("|---|---|---|---|---|---|");
    for row in ROWS.iter().filter(is_wanted) {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            ours.push((row.ours)(&options));
            theirs.push((row.theirs)(&options));
        }
        let (ours, theirs) = (median(&ours), median(&theirs));
        println!(
            "| {} | {} | {} | {} | {:.2} | {}, {} |",
            row.load,
            row.beside,
            ours.words(),
            theirs.words(),
            ours.ops_per_s / theirs.ops_per_s,
            row.bar,
            row.goal,
        );
    }
}

fn options() -> Options {
    let mut options = Options { rounds: 3, seconds: "8".to_owned(), only: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match word.as_str() {
            // Cargo says so to every bench.
            "--bench" => {}
            "--rounds" => options.rounds = words.next().and_then(|text| text.parse().ok()).expect("--rounds N"),
            "--seconds" => options.seconds = words.next().expect("--seconds S"),
            name if ROWS.iter().any(|row| row.name == name) => options.only.push(name.to_owned()),
            other => {
                let names: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                panic!("{other} is no row: there are {}", names.join(", "));
            }
        }
    }
    assert!(options.rounds > 0, "--rounds 0 measures nothing");
    options
}

fn etcd_put(options: &Options) -> Figures {
    Etcd::start().measure(etcd::Load::Put, 64, 256, 10_000, seconds(options))
}

fn seconds(options: &Options) -> f64 {
    options.seconds.parse().expect("--seconds S is a number")
}

/// `skein bench kv` with these words, of its own servers or of somebody else's.
fn skein(options: &Options, words: &str) -> Figures {
    let output = Command::new(env!("CARGO_BIN_EXE_skein"))
        .args(["bench", "kv", "--json", "--seconds", &options.seconds])
        .args(words.split_whitespace())
        .output()
        .expect("the binary runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Value = serde_json::from_str(&text)
        .unwrap_or_else(|_| panic!("skein bench kv {words}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    let figure = |name: &str| figures[name].as_f64().unwrap_or_else(|| panic!("no {name} in {figures}"));
    assert_eq!(figures["errors"], 0, "{figures}");
    Figures {
        ops_per_s: figure("ops_per_s"),
        p50_us: figure("p50_us"),
        p99_us: figure("p99_us"),
        server_cpu_us: figure("server_cpu_us_per_op"),
    }
}

/// The measurement in the middle, by throughput.
fn median(all: &[Figures]) -> Figures {
    let mut all = all.to_vec();
    all.sort_by(|one, other| one.ops_per_s.total_cmp(&other.ops_per_s));
    all.swap_remove(all.len() / 2)
}

impl Figures {
    fn words(&self) -> String {
        let Figures { ops_per_s, p50_us, p99_us, server_cpu_us } = self;
        format!("{ops_per_s:.0}/s, p50 {p50_us:.0} us, p99 {p99_us:.0} us, {server_cpu_us:.1} us of processor")
    }
}
