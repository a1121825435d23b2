//! The neighbours as processes, in folders of their own, until they are dropped.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::Figures;
use crate::etcd::{self, Load};

/// Whoever does not listen by then is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Processes that end with this.
pub(crate) struct Processes {
    children: Vec<Child>,
    folder: PathBuf,
}

impl Processes {
    fn new() -> Processes {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("skein-beside-{}-{}", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).expect("a folder for the neighbours");
        Processes { children: Vec::new(), folder }
    }

    fn start(&mut self, program: &str, words: &[String]) {
        let mut command = Command::new(program);
        command.args(words).current_dir(&self.folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.children.push(child.unwrap_or_else(|error| {
            panic!("cannot start {program}: {error}; it comes from your distribution's package of that name")
        }));
    }

    /// Processor time of all of them.
    fn processor_time(&self) -> Duration {
        /// Linux counts in these, whatever its kernel ticks in.
        const TICKS_A_SECOND: f64 = 100.0;
        let ticks = |child: &Child| -> f64 {
            let text = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).expect("it runs");
            let fields: Vec<&str> = text.rsplit(')').next().expect("there is a name").split_whitespace().collect();
            [11, 12].iter().map(|field: &usize| fields[*field].parse::<f64>().expect("a number")).sum()
        };
        Duration::from_secs_f64(self.children.iter().map(ticks).sum::<f64>() / TICKS_A_SECOND)
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ports that were free a moment ago.
fn free(count: usize) -> Vec<SocketAddr> {
    let listeners: Vec<TcpListener> =
        (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("it is bound")).collect()
}

fn wait_until_it_listens(address: SocketAddr) {
    let begin = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begin.elapsed() < PATIENCE, "nobody listens at {address}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A primary, and so many replicas of it.
pub(crate) struct Redis {
    addresses: Vec<SocketAddr>,
    _processes: Processes,
}

impl Redis {
    pub(crate) fn start(replicas: usize) -> Redis {
        let addresses = free(1 + replicas);
        let mut processes = Processes::new();
        for (nth, address) in addresses.iter().enumerate() {
            let mut words: Vec<String> =
                ["--save", "", "--appendonly", "no", "--port"].iter().map(ToString::to_string).collect();
            words.push(address.port().to_string());
            if nth > 0 {
                words.extend(["--replicaof".to_owned(), format!("127.0.0.1 {}", addresses[0].port())]);
            }
            processes.start("redis-server", &words);
        }
        addresses.iter().for_each(|address| wait_until_it_listens(*address));
        // Replicas take a copy of nothing first.
        std::thread::sleep(Duration::from_secs(2));
        Redis { addresses, _processes: processes }
    }

    /// Where it is, for `skein bench kv`.
    pub(crate) fn words(&self) -> String {
        let others = self.addresses[1..].iter().map(|address| format!(" --server {address}"));
        format!("--address {}{}", self.addresses[0], others.collect::<String>())
    }
}

/// Three members.
pub(crate) struct Etcd {
    clients: Vec<SocketAddr>,
    processes: Processes,
}

impl Etcd {
    pub(crate) fn start() -> Etcd {
        let (clients, peers) = (free(3), free(3));
        let all: Vec<String> = peers.iter().enumerate().map(|(nth, peer)| format!("m{nth}=http://{peer}")).collect();
        let mut processes = Processes::new();
        for (nth, (client, peer)) in clients.iter().zip(&peers).enumerate() {
            let words = format!(
                "--name m{nth} --data-dir m{nth} --log-level error --initial-cluster-state new \
                 --listen-client-urls http://{client} --advertise-client-urls http://{client} \
                 --listen-peer-urls http://{peer} --initial-advertise-peer-urls http://{peer} --initial-cluster {}",
                all.join(",")
            );
            let words: Vec<String> = words.split_whitespace().map(str::to_owned).collect();
            processes.start("etcd", &words);
        }
        clients.iter().for_each(|address| wait_until_it_listens(*address));
        Etcd { clients, processes }
    }

    /// So many clients at its leader, each with one request on the way, over so many keys with values of so many bytes.
    pub(crate) fn measure(&self, load: Load, clients: usize, value: usize, keys: u64, seconds: f64) -> Figures {
        let leader = etcd::leader(&self.clients, PATIENCE);
        let plan = etcd::Plan { leader, load, clients, value, keys, seconds };
        let (seen, spent) = etcd::run(&plan, || self.processes.processor_time());
        let at = |quantile| seen.value_at_quantile(quantile) as f64 / 1e3;
        Figures {
            ops_per_s: seen.len() as f64 / seconds,
            p50_us: at(0.5),
            p99_us: at(0.99),
            server_cpu_us: spent.as_secs_f64() * 1e6 / seen.len() as f64,
        }
    }
}
