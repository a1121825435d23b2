//! Mu over a network: servers hold the memories, and replicas come and go. All
//! replicas are polled by one thread, so whoever is not polled stands still.

use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::process::{Pid, Signal, kill_process};
use skein::machine::{Call, Frozen, Reply, Service, Shares, Timestamp};
use skein::mu::{Fabric, MemoryServer, Mu, MuConfig, MuError, Role};
use skein::runtime::tls::{Authority, Files, Validity};

#[path = "../../runtime/tests/ports/mod.rs"]
mod ports;

/// Longer than anything here takes, however busy the machine is.
const PATIENCE: Duration = Duration::from_secs(60);

/// Everything that it was told, in order.
#[derive(Default)]
struct Diary(Vec<u8>);

impl Service for Diary {
    fn share(&self, _: &Call<'_>) -> Option<Bytes> {
        None
    }

    fn apply(&mut self, call: &Call<'_>, _: &Shares) -> Reply {
        self.0.extend_from_slice(call.command);
        Reply(Bytes::copy_from_slice(&self.0))
    }

    fn read(&self, _: Timestamp, _: &Bytes) -> Reply {
        Reply(Bytes::copy_from_slice(&self.0))
    }

    fn snapshot(&self) -> Box<dyn Frozen> {
        Box::new(Some(Bytes::copy_from_slice(&self.0)))
    }

    fn restore(&mut self, snapshot: Bytes) -> Result<(), String> {
        self.0 = snapshot.to_vec();
        Ok(())
    }
}

/// Three replicas and the servers of their memories, in a folder that is gone with the test.
struct Cluster {
    folder: PathBuf,
    addresses: Vec<SocketAddr>,
    memories: Vec<Option<MemoryServer>>,
    replicas: Vec<Option<Mu>>,
    /// The numbers of all requests that were answered.
    said: Vec<u64>,
    has_papers: bool,
}

impl Cluster {
    fn new(name: &str) -> Cluster {
        Cluster::start(name, false)
    }

    fn start(name: &str, has_papers: bool) -> Cluster {
        let folder = std::env::temp_dir().join(format!("skein-mu-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir(&folder).unwrap();
        let addresses = ports::some::<3>().to_vec();
        let (memories, replicas, said) = (Vec::new(), Vec::new(), Vec::new());
        let mut cluster = Cluster { folder, addresses, memories, replicas, said, has_papers };
        if has_papers {
            cluster.make_papers();
        }
        for nth in 0..3 {
            let memory = cluster.serve(nth, None).unwrap();
            cluster.memories.push(Some(memory));
        }
        for nth in 0..3 {
            let replica = cluster.open(nth).unwrap();
            cluster.replicas.push(Some(replica));
        }
        cluster
    }

    fn config(&self, replica: usize, what: &str) -> MuConfig {
        let data = self.folder.join(format!("{what}-{replica}"));
        let mut config = MuConfig::network("test", replica, self.addresses.clone(), data);
        (config.slots, config.longest, config.window) = (16, 64, 4);
        if self.has_papers
            && let Fabric::Network(network) = &mut config.fabric
        {
            network.tls = Some(self.papers(replica));
        }
        config
    }

    fn papers(&self, replica: usize) -> Files {
        let file = |kind: &str| self.folder.join(format!("replica-{replica}.{kind}"));
        Files { ca: self.folder.join("ca.pem"), cert: file("pem"), key: file("key") }
    }

    fn make_papers(&self) {
        let authority = Authority::new("test", Validity::days(1)).unwrap();
        for replica in 0..3 {
            let issued = authority.node(&format!("replica-{replica}"), Validity::days(1)).unwrap();
            let files = self.papers(replica);
            std::fs::write(files.ca, &authority.issued().cert).unwrap();
            std::fs::write(files.cert, issued.cert).unwrap();
            std::fs::write(files.key, issued.key).unwrap();
        }
    }

    fn serve(&self, replica: usize, rejoin: Option<u32>) -> Result<MemoryServer, MuError> {
        let mut config = self.config(replica, "memory");
        if let Fabric::Network(network) = &mut config.fabric {
            network.rejoin = rejoin.and_then(NonZeroU32::new);
        }
        MemoryServer::open(&config, None)
    }

    fn open(&self, replica: usize) -> Result<Mu, MuError> {
        Mu::open(&self.config(replica, "replica"), Box::new(Diary::default()))
    }

    /// Polls all replicas until something holds.
    fn until(&mut self, what: &str, holds: impl Fn(&[Option<Mu>]) -> bool) {
        let begin = Instant::now();
        while !holds(&self.replicas) {
            assert!(begin.elapsed() < PATIENCE, "{what}: never");
            for mu in self.replicas.iter_mut().flatten() {
                mu.poll();
            }
        }
    }

    fn until_one_leads(&mut self) -> usize {
        self.until("one leads", |replicas| replicas.iter().flatten().any(leads));
        self.replicas.iter().position(|mu| mu.as_ref().is_some_and(leads)).unwrap()
    }

    /// Has whoever leads put the next number into the log. It asks again where nobody knows what became of it.
    fn propose(&mut self) {
        let number = self.said.len() as u64;
        let begin = Instant::now();
        loop {
            assert!(begin.elapsed() < PATIENCE, "{number} is not answered");
            let leader = self.until_one_leads();
            let asked = self.replicas[leader].as_mut().unwrap().submit(&number.to_le_bytes()).unwrap();
            // The others have to be polled meanwhile: a leader does not run away from them.
            let answer = loop {
                assert!(begin.elapsed() < PATIENCE, "{number} is not answered");
                let mut told = None;
                for mu in self.replicas.iter_mut().flatten() {
                    told = mu.poll().or(told);
                }
                match told {
                    Some((ticket, answer)) if ticket == asked => break answer,
                    Some((_, answer)) => panic!("nobody else has asked, and hears {answer:?}"),
                    None => {}
                }
            };
            if let Ok(reply) = answer {
                self.said.push(number);
                assert_eq!(numbers(&reply), self.said);
                return;
            }
        }
    }

    /// Stops the server of a memory, with all that is in it.
    fn lose(&mut self, memory: usize) {
        self.memories[memory] = None;
        self.until("its replica has noticed", |replicas| replicas[memory].as_ref().is_some_and(|mu| !mu.is_well()));
        // Whoever led has heard by now whether it still does.
        self.until("another leads", |replicas| {
            replicas.iter().enumerate().any(|(nth, mu)| nth != memory && mu.as_ref().is_some_and(leads))
        });
    }

    /// Polls until all replicas that live know what the others do, and have applied everything.
    fn until_level(&mut self) {
        let said = self.said.clone();
        self.until("all are level", |replicas| replicas.iter().flatten().all(|mu| mu.is_well() && diary(mu) == said));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

fn leads(mu: &Mu) -> bool {
    mu.role() == Role::Leading
}

fn diary(mu: &Mu) -> Vec<u64> {
    numbers(&mu.service().read(Timestamp(1), &Bytes::new()))
}

/// The numbers of a diary. One that was asked for again, since nobody knew what had become of it, may stand there twice.
fn numbers(reply: &Reply) -> Vec<u64> {
    let mut numbers: Vec<u64> = reply.0.as_chunks::<8>().0.iter().map(|number| u64::from_le_bytes(*number)).collect();
    numbers.dedup();
    numbers
}

#[test]
fn replicas_die_and_come_again_and_nothing_is_lost() {
    let mut cluster = Cluster::new("deaths");
    for _ in 0..3 {
        (0..10).for_each(|_| cluster.propose());
        cluster.until_level();
        let leader = cluster.until_one_leads();
        // Dropped, as if it had been killed: it says goodbye to nobody.
        cluster.replicas[leader] = None;
        // The ring comes round before it is there again: it must fetch the state.
        (0..40).for_each(|_| cluster.propose());
        cluster.replicas[leader] = Some(cluster.open(leader).unwrap());
        cluster.until_level();
    }
}

#[test]
fn a_memory_that_was_lost_counts_again_when_it_was_told_all() {
    let mut cluster = Cluster::new("losses");
    // Each in turn, so in the end nothing is left of what there was.
    for lost in 0..3 {
        (0..3).for_each(|_| cluster.propose());
        cluster.until_level();
        cluster.lose(lost);
        cluster.propose();
        cluster.memories[lost] = Some(cluster.serve(lost, None).unwrap());
        cluster.until_level();
        // A memory that has not been told everything makes no majority with one other.
        let other = (lost + 1) % 3;
        cluster.lose(other);
        cluster.propose();
        cluster.memories[other] = Some(cluster.serve(other, None).unwrap());
        cluster.until_level();
    }
}

#[test]
fn a_memory_without_its_directory_is_refused_until_it_says_so() {
    let mut cluster = Cluster::new("forgetful");
    cluster.propose();
    cluster.until_level();
    cluster.lose(2);
    std::fs::remove_dir_all(cluster.folder.join("memory-2")).unwrap();
    // It takes itself for one that never knew anything, and whoever believed it would have lost what it knew.
    cluster.memories[2] = Some(cluster.serve(2, None).unwrap());
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(2) {
        for mu in cluster.replicas.iter_mut().flatten() {
            mu.poll();
        }
        assert!(!cluster.replicas[2].as_ref().unwrap().is_well(), "nobody speaks to its memory");
    }
    cluster.memories[2] = None;
    std::fs::remove_dir_all(cluster.folder.join("memory-2")).unwrap();
    cluster.memories[2] = Some(cluster.serve(2, Some(1)).unwrap());
    cluster.until_level();
    cluster.lose(0);
    cluster.propose();
}

#[test]
fn nobody_runs_a_replica_twice() {
    let mut cluster = Cluster::new("twice");
    cluster.propose();
    let error = cluster.open(1).err().expect("its directory is taken").to_string();
    assert!(error.contains("in use"), "{error}");
    // In a directory of its own it is a stranger with a known name, to whom no memory speaks.
    let mut config = cluster.config(1, "another");
    config.patience = Duration::from_millis(500);
    let mut other = Mu::open(&config, Box::new(Diary::default())).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        other.poll();
        assert!(!other.is_well());
    }
    cluster.until_level();
    cluster.propose();
}

#[test]
fn who_was_told_another_shape_is_refused() {
    let mut cluster = Cluster::new("shapes");
    cluster.propose();
    cluster.replicas[2] = None;
    let mut config = cluster.config(2, "replica");
    config.slots = 32;
    let mut other = Mu::open(&config, Box::new(Diary::default())).unwrap();
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(1) {
        other.poll();
        assert!(!other.is_well());
    }
    let error = other.propose(b"x").unwrap_err();
    assert!(error.is_certain(), "{error}");
}

#[test]
fn replicas_know_each_other_by_certificates() {
    let mut cluster = Cluster::start("papers", true);
    (0..3).for_each(|_| cluster.propose());
    cluster.until_level();
    // With the papers of another replica it is nobody, and without any, too.
    cluster.replicas[2] = None;
    for papers in [Some(cluster.papers(1)), None] {
        let mut config = cluster.config(2, "replica");
        if let Fabric::Network(network) = &mut config.fabric {
            network.tls = papers.clone();
        }
        let opened = Mu::open(&config, Box::new(Diary::default()));
        let Ok(mut other) = opened else {
            assert!(papers.is_some(), "without any it cannot know that it needs some");
            continue;
        };
        let begin = Instant::now();
        while begin.elapsed() < Duration::from_secs(1) {
            other.poll();
            assert!(!other.is_well());
        }
    }
    cluster.replicas[2] = Some(cluster.open(2).unwrap());
    cluster.until_level();
}

/// A memory that is served by a process, and what that writes into its diary.
struct Process(Child, Lines<BufReader<ChildStderr>>);

impl Process {
    fn start(cluster: &Cluster, memory: usize) -> Process {
        let config = cluster.config(memory, "memory");
        let Fabric::Network(network) = &config.fabric else { unreachable!("it is one") };
        let addresses: Vec<String> = network.memories.iter().map(SocketAddr::to_string).collect();
        let mut command = Command::new(env!("CARGO_BIN_EXE_skein"));
        command.args(["memory", "--name", &config.name, "--replica", &memory.to_string()]);
        command.args(["--memories", &addresses.join(","), "--slots", "16", "--longest", "64"]);
        let Files { ca, cert, key } = cluster.papers(memory);
        for (option, path) in [("--data", &network.data), ("--ca", &ca), ("--cert", &cert), ("--key", &key)] {
            command.arg(option).arg(path);
        }
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let mut diary = BufReader::new(child.stderr.take().unwrap()).lines();
        if said != format!("the memory of replica {memory} is ready at {}\n", addresses[memory]) {
            let why: Vec<String> = diary.by_ref().map(Result::unwrap).collect();
            panic!("{said}{why:#?}");
        }
        Process(child, diary)
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// Reads its diary as far as a line about this.
    fn says(&mut self, what: &str) -> bool {
        self.1.by_ref().any(|line| line.unwrap().contains(what))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_process_serves_a_memory() {
    let mut cluster = Cluster::start("processes", true);
    cluster.propose();
    let mut processes: Vec<Process> = (0..3)
        .map(|memory| {
            cluster.lose(memory);
            let process = Process::start(&cluster, memory);
            cluster.until_level();
            cluster.propose();
            process
        })
        .collect();

    processes[0].signal(Signal::KILL);
    cluster.lose(0);
    processes[0] = Process::start(&cluster, 0);
    cluster.until_level();
    cluster.propose();

    assert!(processes[1].says("the own certificate ends soon"));
    processes[1].signal(Signal::HUP);
    assert!(processes[1].says("certificates are read again"));
    assert!(processes[1].says("the own certificate ends soon"));
    std::fs::copy(cluster.papers(2).key, cluster.papers(1).key).unwrap();
    processes[1].signal(Signal::HUP);
    assert!(processes[1].says("the certificates that were read before stay in force"));
    cluster.until_level();
    cluster.propose();

    for process in &mut processes {
        process.signal(Signal::TERM);
        assert_eq!(process.0.wait().unwrap().code(), Some(0));
    }
}

#[test]
fn a_memory_that_all_can_reach_wants_certificates() {
    let folder = std::env::temp_dir().join(format!("skein-mu-open-{}", std::process::id()));
    let everywhere = SocketAddr::from(([0, 0, 0, 0], ports::free().port()));
    let config = MuConfig::network("open", 0, vec![everywhere], folder.clone());
    let error = MemoryServer::open(&config, None).err().expect("it is refused").to_string();
    assert!(error.contains("certificates"), "{error}");
    assert!(!folder.exists(), "nothing was touched");
    let error = MemoryServer::open(&MuConfig::new("here", 0, 1), None).err().expect("it is refused").to_string();
    assert!(error.contains("no server"), "{error}");
}
