//! [`Stage`]: the processes of a cluster that is measured, and how whoever
//! measures speaks to them.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::replica::{Order, Said, State};
use crate::cli::Mistake;

/// What takes longer than this does not happen any more.
const PATIENCE: Duration = Duration::from_secs(20);

/// Between two questions how somebody is.
const MOMENT: Duration = Duration::from_millis(2);

/// A cluster of processes, until it is dropped.
pub(super) struct Stage {
    name: String,
    folder: PathBuf,
    longest: usize,
    cores: Vec<Option<usize>>,
    players: Vec<Player>,
    heard: Receiver<(usize, u32, Said)>,
    tells: Sender<(usize, u32, Said)>,
}

struct Player {
    child: Child,
    orders: ChildStdin,
    /// Counts its processes: what a former one said is not taken for the present one's.
    life: u32,
    /// It was asked to die.
    is_killed: bool,
}

impl Stage {
    /// Starts a process for each of these cores.
    pub(super) fn start(folder: &Path, longest: usize, cores: Vec<Option<usize>>) -> Result<Stage, Mistake> {
        let (tells, heard) = channel();
        let name = format!("bench-{}", std::process::id());
        let mut stage = Stage { name, folder: folder.to_owned(), longest, cores, players: Vec::new(), heard, tells };
        for replica in 0..stage.cores.len() {
            let player = stage.spawn(replica, 0)?;
            stage.players.push(player);
        }
        Ok(stage)
    }

    fn spawn(&self, replica: usize, life: u32) -> Result<Player, Mistake> {
        let failed = |error: std::io::Error| Mistake(format!("cannot start a replica: {error}"));
        let program = std::env::current_exe().map_err(failed)?;
        let mut command = Command::new(program);
        command.args(["bench", "mu-replica", "--name", &self.name, "--folder"]).arg(&self.folder);
        command.args(["--replica", &replica.to_string(), "--replicas", &self.cores.len().to_string()]);
        command.args(["--longest", &self.longest.to_string()]);
        if let Some(core) = self.cores[replica] {
            command.args(["--core", &core.to_string()]);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let orders = child.stdin.take().expect("its input is a pipe");
        let says = child.stdout.take().expect("its output is a pipe");
        let tells = self.tells.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(says).lines() {
                let Some(said) = line.ok().and_then(|line| serde_json::from_str(&line).ok()) else { break };
                if tells.send((replica, life, said)).is_err() {
                    return;
                }
            }
            // Whoever is not there any more to hear it does not mind.
            let _ = tells.send((replica, life, Said::Gone));
        });
        Ok(Player { child, orders, life, is_killed: false })
    }

    pub(super) fn replicas(&self) -> usize {
        self.players.len()
    }

    pub(super) fn order(&mut self, replica: usize, order: &Order) -> Result<(), Mistake> {
        let line = serde_json::to_string(order).expect("plain data becomes JSON");
        let orders = &mut self.players[replica].orders;
        writeln!(orders, "{line}")
            .and_then(|()| orders.flush())
            .map_err(|error| Mistake(format!("replica {replica} has gone: {error}; what it said last is above")))
    }

    pub(super) fn order_all(&mut self, order: &Order) -> Result<(), Mistake> {
        (0..self.replicas()).try_for_each(|replica| self.order(replica, order))
    }

    /// The first thing that is said and wanted. Everything else that was said before is dropped.
    pub(super) fn hear<T>(&mut self, what: &str, wanted: impl Fn(usize, Said) -> Option<T>) -> Result<T, Mistake> {
        let heard = self.hear_within(PATIENCE, wanted)?;
        heard.ok_or_else(|| Mistake(format!("{what} within {PATIENCE:?}: no")))
    }

    /// The same, or nothing after so long.
    pub(super) fn hear_within<T>(
        &mut self,
        patience: Duration,
        wanted: impl Fn(usize, Said) -> Option<T>,
    ) -> Result<Option<T>, Mistake> {
        let until = Instant::now() + patience;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left) {
                Ok((replica, life, said)) => {
                    let player = &self.players[replica];
                    if player.life != life {
                        continue;
                    }
                    if matches!(said, Said::Gone) && !player.is_killed {
                        return Err(Mistake(format!("replica {replica} has gone; what it said last is above")));
                    }
                    if let Some(found) = wanted(replica, said) {
                        return Ok(Some(found));
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Ok(None),
                Err(RecvTimeoutError::Disconnected) => unreachable!("this end is kept, too"),
            }
        }
    }

    pub(super) fn state(&mut self, replica: usize) -> Result<State, Mistake> {
        self.order(replica, &Order::Tell)?;
        self.hear(&format!("replica {replica} says how it is"), |who, said| match said {
            Said::State(state) if who == replica => Some(state),
            _ => None,
        })
    }

    /// Waits until one replica leads and all others know it and are well.
    pub(super) fn wait_for_leader(&mut self, leader: usize) -> Result<(), Mistake> {
        self.wait(&format!("replica {leader} leads"), |states| {
            states.iter().enumerate().all(|(nth, state)| state.is_well && state.leads == (nth == leader))
        })
        .map(drop)
    }

    /// Waits until all have applied the same.
    pub(super) fn wait_for_agreement(&mut self) -> Result<State, Mistake> {
        let same = |one: &State, other: &State| {
            (one.applied, one.count, one.digest) == (other.applied, other.count, other.digest)
        };
        let states = self.wait("all replicas come to the same state", |states| {
            states.iter().all(|state| state.is_well && same(state, &states[0]))
        })?;
        Ok(states[0].clone())
    }

    fn wait(&mut self, what: &str, holds: impl Fn(&[State]) -> bool) -> Result<Vec<State>, Mistake> {
        let until = Instant::now() + PATIENCE;
        loop {
            let states = (0..self.replicas()).map(|nth| self.state(nth)).collect::<Result<Vec<_>, Mistake>>()?;
            if holds(&states) {
                return Ok(states);
            }
            if Instant::now() > until {
                return Err(Mistake(format!("{what} within {PATIENCE:?}: no, but {states:?}")));
            }
            std::thread::sleep(MOMENT);
        }
    }

    /// Sends a signal to the process of a replica.
    pub(super) fn strike(&mut self, replica: usize, signal: Signal) -> Result<(), Mistake> {
        let player = &mut self.players[replica];
        player.is_killed |= signal == Signal::KILL;
        kill_process(Pid::from_child(&player.child), signal)
            .map_err(|error| Mistake(format!("cannot send a signal to replica {replica}: {error}")))
    }

    /// Starts the process of a replica again that was killed.
    pub(super) fn restart(&mut self, replica: usize) -> Result<(), Mistake> {
        let waited = self.players[replica].child.wait();
        waited.map_err(|error| Mistake(format!("cannot wait for a replica that was killed: {error}")))?;
        let life = self.players[replica].life + 1;
        self.players[replica] = self.spawn(replica, life)?;
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for player in &mut self.players {
            let _ = player.child.kill();
            let _ = player.child.wait();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
