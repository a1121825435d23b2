//! One replica of the cluster that is measured, in a process of its own. It
//! hears what to do on its standard input, a JSON object a line, and tells what
//! came of it on its standard output. What it is measured by it measures itself.

use std::io::{BufRead, BufReader, Write, stdin, stdout};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Relaxed, SeqCst};
use std::sync::mpsc::{Receiver, channel};

use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use super::tally::{Notes, SAMPLED, Tally, now};
use crate::cli::{Mistake, Verdict};
use crate::mu::{Fabric, Mu, MuConfig, Role};

/// Requests before those that count: by then every slot of the log has been written once, and every path taken.
const WARM_UP: u64 = 20_000;

/// Under load it goes on proposing until it is told to rest; so often it lets others have its core, as it does when it
/// shares one with the next leader.
const COURTESY: u64 = 64;

#[derive(Args)]
pub(crate) struct ReplicaArguments {
    #[arg(long)]
    name: String,
    #[arg(long)]
    folder: std::path::PathBuf,
    #[arg(long)]
    replica: usize,
    #[arg(long)]
    replicas: usize,
    #[arg(long)]
    core: Option<usize>,
    #[arg(long)]
    longest: usize,
}

/// What a replica is told to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Order {
    /// Propose so many requests of so many bytes, and tell how long each took.
    Measure { payload: usize, requests: u64 },
    /// Propose requests of so many bytes as long as it leads.
    Load { payload: usize },
    /// Propose nothing.
    Rest,
    /// Say how it is.
    Tell,
    /// Say when sampled requests were applied.
    Samples,
}

/// What a replica says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) enum Said {
    Measured(Measured),
    /// It did not lead all the while: what became of which request.
    Interrupted(String),
    State(State),
    Samples(Vec<(u64, u64)>),
    /// It began to lead under load.
    Led(Led),
    /// Nothing more: its process has ended.
    Gone,
}

/// How long requests took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Measured {
    /// Nanoseconds, and how many took so long.
    pub(super) times: Vec<(u64, u64)>,
    /// When sampled requests were proposed.
    pub(super) proposed_at: Vec<(u64, u64)>,
    pub(super) nanos: u64,
    /// How often its core was taken from it meanwhile.
    pub(super) preempted: u64,
    /// How often the machine's timer interrupted its core.
    pub(super) ticks: u64,
}

/// How a replica is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) leads: bool,
    pub(super) is_well: bool,
    pub(super) applied: u64,
    pub(super) count: u64,
    pub(super) digest: u64,
    /// How many it has proposed that were answered.
    pub(super) answered: u64,
}

/// When it took over, on the clock that all processes share.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Led {
    /// It had another opinion of who should lead.
    pub(super) suspected: u64,
    /// A majority had granted it the log.
    pub(super) leading: u64,
    /// Its first request was decided.
    pub(super) decided: u64,
}

/// A replica at work.
struct Worker {
    mu: Mu,
    notes: Arc<Notes>,
    load: Option<Vec<u8>>,
    /// The number of the last request.
    number: u64,
    answered: u64,
    role: Role,
    suspected: u64,
    leading: u64,
    /// It has begun to lead, and none of its requests has been decided.
    is_new: bool,
    core: Option<usize>,
}

pub(crate) fn command(arguments: &ReplicaArguments) -> Verdict {
    let ReplicaArguments { name, folder, replica, replicas, core, longest } = arguments;
    // The thread that listens is started before this one keeps to its core.
    let (orders, is_told) = listen();
    let mut config = MuConfig::new(name, *replica, *replicas);
    (config.fabric, config.longest, config.core) = (Fabric::Shared(folder.clone()), *longest, *core);
    let notes = Arc::new(Notes::default());
    let mu = Mu::open(&config, Box::new(Tally::new(notes.clone())));
    let mu = mu.map_err(|error| Mistake(error.to_string()))?;
    let role = mu.role();
    let mut worker = Worker {
        mu,
        notes,
        load: None,
        number: 0,
        answered: 0,
        role,
        suspected: now(),
        leading: 0,
        is_new: false,
        core: *core,
    };
    loop {
        if is_told.load(Relaxed) {
            is_told.store(false, SeqCst);
            loop {
                match orders.try_recv() {
                    Ok(order) => worker.obey(&order)?,
                    Err(std::sync::mpsc::TryRecvError::Empty) => break,
                    // Whoever started it has gone.
                    Err(std::sync::mpsc::TryRecvError::Disconnected) => return Ok(true),
                }
            }
        }
        worker.step();
    }
}

/// A thread that reads orders, and a word that says that there are any: to ask the channel each time would take longer
/// than anything else.
fn listen() -> (Receiver<Order>, Arc<AtomicBool>) {
    let (send, orders) = channel();
    let is_told = Arc::new(AtomicBool::new(false));
    let tells = is_told.clone();
    std::thread::spawn(move || {
        for line in BufReader::new(stdin()).lines() {
            let Some(order) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
            if send.send(order).is_err() {
                break;
            }
            tells.store(true, SeqCst);
        }
        drop(send);
        tells.store(true, SeqCst);
    });
    (orders, is_told)
}

fn say(said: &Said) -> Result<(), Mistake> {
    let line = serde_json::to_string(said).expect("plain data becomes JSON");
    let mut out = stdout();
    writeln!(out, "{line}").and_then(|()| out.flush()).map_err(|error| Mistake(format!("cannot answer: {error}")))
}

impl Worker {
    fn obey(&mut self, order: &Order) -> Result<(), Mistake> {
        match order {
            Order::Measure { payload, requests } => {
                let measured = self.measure(*payload, *requests);
                say(&measured.map_or_else(Said::Interrupted, Said::Measured))
            }
            Order::Load { payload } => {
                self.load = Some(request_of(*payload));
                Ok(())
            }
            Order::Rest => {
                self.load = None;
                Ok(())
            }
            Order::Tell => say(&Said::State(State {
                leads: self.mu.role() == Role::Leading,
                is_well: self.mu.is_well(),
                applied: self.mu.applied(),
                count: self.notes.count.load(Relaxed),
                digest: self.notes.digest.load(Relaxed),
                answered: self.answered,
            })),
            Order::Samples => {
                let samples = self.notes.samples.lock().map(|mut samples| std::mem::take(&mut *samples));
                say(&Said::Samples(samples.unwrap_or_default()))
            }
        }
    }

    fn step(&mut self) {
        let leads = self.role == Role::Leading;
        match &mut self.load {
            Some(request) if leads => {
                self.number += 1;
                request[..8].copy_from_slice(&self.number.to_le_bytes());
                let answer = self.mu.propose(request);
                if answer.is_ok() {
                    self.answered += 1;
                    if self.is_new {
                        self.is_new = false;
                        let led = Led { suspected: self.suspected, leading: self.leading, decided: now() };
                        // Whoever started it may have gone; the loop finds out.
                        let _ = say(&Said::Led(led));
                    }
                }
                if self.number.is_multiple_of(COURTESY) {
                    std::thread::yield_now();
                }
            }
            _ => {
                self.mu.poll();
            }
        }
        let role = self.mu.role();
        if role != self.role {
            let now = now();
            if matches!(self.role, Role::Leading | Role::Following(Some(_))) {
                self.suspected = now;
            }
            if role == Role::Leading {
                self.leading = now;
                self.is_new = true;
            }
            self.role = role;
        }
    }

    /// One request after the other, each timed from the call to the moment at which it was decided.
    fn measure(&mut self, payload: usize, requests: u64) -> Result<Measured, String> {
        let mut request = request_of(payload);
        let mut times = Histogram::<u64>::new_with_bounds(1, 10_000_000_000, 3).expect("the bounds are sound");
        let mut proposed_at = Vec::with_capacity((requests / SAMPLED) as usize + 1);
        self.notes.is_timed.store(true, Relaxed);
        let mut before = (0, (0, 0));
        for nth in 0..WARM_UP + requests {
            if nth == WARM_UP {
                before = (now(), interruptions(self.core));
            }
            self.number += 1;
            request[..8].copy_from_slice(&self.number.to_le_bytes());
            let began = now();
            let answer = self.mu.propose(&request);
            let decided = self.notes.applied_at.load(Relaxed);
            if let Err(error) = answer {
                return Err(format!("request {} of {}: {error}", self.number, WARM_UP + requests));
            }
            self.answered += 1;
            if nth >= WARM_UP {
                times.saturating_record(decided.saturating_sub(began));
                if self.number.is_multiple_of(SAMPLED) {
                    proposed_at.push((self.number, began));
                }
            }
        }
        let (began, (preempted, ticks)) = before;
        let nanos = now() - began;
        let after = interruptions(self.core);
        self.notes.is_timed.store(false, Relaxed);
        let times = times.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect();
        Ok(Measured { times, proposed_at, nanos, preempted: after.0 - preempted, ticks: after.1 - ticks })
    }
}

/// So many bytes, of which the first eight will be the number.
fn request_of(payload: usize) -> Vec<u8> {
    (0..payload.max(8)).map(|nth| nth as u8).collect()
}

/// How often the core was taken from this thread, and how often its timer has interrupted it.
fn interruptions(core: Option<usize>) -> (u64, u64) {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let preempted = status.lines().find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    let preempted = preempted.and_then(|count| count.trim().parse().ok()).unwrap_or(0);
    let interrupts = std::fs::read_to_string("/proc/interrupts").unwrap_or_default();
    let ticks = interrupts.lines().find_map(|line| line.trim_start().strip_prefix("LOC:"));
    let ticks = ticks.and_then(|counts| counts.split_whitespace().nth(core?)?.parse().ok()).unwrap_or(0);
    (preempted, ticks)
}
