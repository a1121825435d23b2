//! One replica, in a process of its own: a [`Mu`] around the engine that takes
//! commands from its gate while it leads, and answers there. Commands that come
//! by when it does not lead are sent back undone.
//!
//! It ends when it is told to, with a state and a whole tape, or at once when
//! whoever started it is gone.

use std::fs;
use std::io::{Read, stdin};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use skein::mu::{Fabric, Mu, MuConfig, MuError, Role};
use skein_machine::Service;

use super::gate::Gate;
use super::now;
use super::pipe::{Reader, Writer};
use super::tape::{Tape, Taped, held};
use crate::words::COMMAND_BYTES;

/// So many commands are taken before it looks about.
const BURST: usize = 64;

/// So often it looks for commands in vain before it lets others have its core, for some microseconds: mostly the next
/// command comes sooner than it would have the core again.
const LOOKS: u32 = 256;

/// Slots of the log. Followers that share a core may be off it for some milliseconds, and should find what they missed
/// in the log.
const SLOTS: usize = 1 << 14;

/// A command that no majority takes for so long is sent back: its client asks again, perhaps another.
const PATIENCE: Duration = Duration::from_millis(20);

/// What is noted stays in memory for so long at most.
const KEPT_NANOS: u64 = 2_000_000;

/// What whoever starts a replica says to it.
#[derive(Args, Clone, Debug)]
pub struct ReplicaArguments {
    /// The folder of the run
    #[arg(long)]
    pub(super) folder: PathBuf,
    /// Which replica, from 0
    #[arg(long)]
    pub(super) replica: usize,
    /// Of how many
    #[arg(long)]
    pub(super) replicas: usize,
    /// Its core
    #[arg(long)]
    pub(super) core: Option<usize>,
    /// Which of its processes, from 1
    #[arg(long)]
    pub(super) life: u64,
}

/// Where things are in the folder of a run.
pub(super) fn memories(folder: &Path) -> PathBuf {
    folder.join("log")
}

pub(super) fn gates(folder: &Path) -> PathBuf {
    folder.join("gates")
}

pub(super) fn tape(folder: &Path, replica: usize, life: u64) -> PathBuf {
    folder.join(format!("replica-{replica}-life-{life}.tape"))
}

pub(super) fn state(folder: &Path, replica: usize) -> PathBuf {
    folder.join(format!("replica-{replica}.state"))
}

/// Runs a replica until it is told to end.
pub fn run(arguments: &ReplicaArguments) -> Result<(), String> {
    let ReplicaArguments { folder, replica, replicas, core, life } = arguments;
    // Before this thread keeps to a core, for the other would keep to it, too.
    leave_with_the_parent(folder);
    let gates = Gate::open_all(&gates(folder), *replicas).map_err(|error| error.to_string())?;
    let gate = gates.get(*replica).ok_or_else(|| format!("there is no replica {replica} among {replicas}"))?.clone();
    gate.begin();
    let tape = tape(folder, *replica, *life);
    let tape = Tape::create(&tape).map_err(|error| format!("cannot create {}: {error}", tape.display()))?;
    let mut config = MuConfig::new("exchange", *replica, *replicas);
    config.fabric = Fabric::Shared(memories(folder));
    (config.longest, config.slots, config.core) = (COMMAND_BYTES, SLOTS, *core);
    config.patience = PATIENCE;
    let mu = Mu::open(&config, Box::new(Taped::new(tape.clone(), gate.clone()))).map_err(|error| error.to_string())?;
    let (mut requests, answers) = gate.of_replica();
    // They were asked of somebody who is dead, and will be asked again.
    requests.skip();
    gate.tell_life(*life);
    let mut desk = Desk { mu, gate, requests, answers, leads: false, is_well: false };
    desk.serve(&tape);
    held(&tape).flush();
    let path = state(folder, *replica);
    fs::write(&path, pieces(desk.mu.service())).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Whoever started this process holds the other end of its input, to the end.
fn leave_with_the_parent(folder: &Path) {
    let folder = folder.to_owned();
    std::thread::spawn(move || {
        let _ = stdin().read_to_end(&mut Vec::new());
        // It was killed, so nobody else takes away what it made: the memory of the machine would be full of it.
        let _ = fs::remove_dir_all(folder);
        std::process::exit(0);
    });
}

/// Where a replica serves the load.
struct Desk {
    mu: Mu,
    gate: Gate,
    requests: Reader,
    answers: Writer,
    // What was said of it last.
    leads: bool,
    is_well: bool,
}

impl Desk {
    fn serve(&mut self, tape: &Mutex<Tape>) {
        let mut command = Vec::with_capacity(COMMAND_BYTES);
        let mut flushed = now();
        let mut vain = 0;
        while !self.gate.is_to_end() {
            let mut taken = 0;
            while taken < BURST && self.requests.pop(&mut command) {
                taken += 1;
                if !self.take(&command) {
                    break;
                }
            }
            self.tell();
            // Answers to proposals that were given up come by here, and nobody wants them.
            self.mu.poll();
            vain = if taken > 0 { 0 } else { vain + 1 };
            if vain < LOOKS {
                continue;
            }
            let now = now();
            if now > flushed + KEPT_NANOS {
                flushed = now;
                let mut tape = held(tape);
                if !tape.is_empty() {
                    tape.flush();
                }
            }
            std::thread::yield_now();
        }
    }

    /// Has a command done, if this one leads, and answers it. Whether the next may be taken at once: who was refused
    /// must look about first, or all that lie there would wait for a majority one after the other.
    fn take(&mut self, command: &[u8]) -> bool {
        let told = self.mu.propose(command);
        let is_done = told.is_ok();
        // It may have been done or not: whoever asks again is told what became of it.
        let refuse = |why: MuError| self.mu.service().refuse(&Bytes::copy_from_slice(command), &why.to_string());
        let answer = told.unwrap_or_else(refuse);
        // If there is no room nobody has read for long, and whoever does not hear asks again.
        let _ = self.answers.push(&answer.0);
        is_done
    }

    fn tell(&mut self) {
        let leads = self.mu.role() == Role::Leading;
        if leads != self.leads {
            self.leads = leads;
            self.gate.tell_leads(if leads { now() } else { 0 });
        }
        let is_well = self.mu.is_well();
        if is_well != self.is_well {
            self.is_well = is_well;
            self.gate.tell_well(is_well);
        }
    }
}

/// The state of a service, as bytes.
fn pieces(service: &dyn Service) -> Vec<u8> {
    let mut frozen = service.snapshot();
    let mut all = Vec::new();
    while let Some(piece) = frozen.next(1 << 20) {
        all.extend_from_slice(&piece);
    }
    all
}
