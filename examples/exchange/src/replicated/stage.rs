//! The stage: the processes of the replicas and the folder in which they meet.
//! It starts them, strikes them down and starts them again, and sees when one
//! ends by itself. Both go when the stage does.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use skein_runtime::cores;

use super::gate::{Gate, State};
use super::replica::{self, gates};

/// What takes longer than this does not happen any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks.
const MOMENT: Duration = Duration::from_millis(1);

/// Processes of replicas, until it is dropped.
#[derive(Debug)]
pub(super) struct Stage {
    folder: Folder,
    program: PathBuf,
    gates: Vec<Gate>,
    cores: Vec<Option<usize>>,
    players: Vec<Player>,
}

#[derive(Debug)]
struct Player {
    child: Child,
    /// Counts its processes, from 1.
    life: u64,
}

/// A folder that goes with the stage.
#[derive(Debug)]
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Stage {
    /// Starts so many replicas, as processes of this program.
    pub(super) fn start(program: &Path, replicas: usize) -> Result<Stage, String> {
        let parent = Path::new("/dev/shm");
        let path = parent.join(format!("skein-exchange-{}", std::process::id()));
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| {
            format!("cannot create {}: {error}; replicas need a file system in memory there", path.display())
        })?;
        let folder = Folder(path);
        let allowed = cores::allowed().map_err(|error| error.to_string())?;
        let gates = Gate::open_all(&gates(&folder.0), replicas).map_err(|error| error.to_string())?;
        let cores = places(&allowed, replicas);
        let mut stage = Stage { folder, program: program.to_owned(), gates, cores, players: Vec::new() };
        for replica in 0..replicas {
            let child = stage.spawn(replica, 1)?;
            stage.players.push(Player { child, life: 1 });
        }
        Ok(stage)
    }

    fn spawn(&self, replica: usize, life: u64) -> Result<Child, String> {
        let mut command = Command::new(&self.program);
        command.arg("replica").arg("--folder").arg(&self.folder.0);
        command.args(["--replica", &replica.to_string(), "--replicas", &self.gates.len().to_string()]);
        command.args(["--life", &life.to_string()]);
        if let Some(core) = self.cores[replica] {
            command.args(["--core", &core.to_string()]);
        }
        // Its input is a pipe of which this process has the other end: when that is gone the replica goes.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        child.map_err(|error| format!("cannot start replica {replica} as {}: {error}", self.program.display()))
    }

    pub(super) fn gates(&self) -> &[Gate] {
        &self.gates
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// How many processes each replica has had.
    pub(super) fn lives(&self) -> impl Iterator<Item = (usize, u64)> {
        self.players.iter().map(|player| player.life).enumerate()
    }

    /// Whether all replicas are ready and know what the others do, and one leads.
    pub(super) fn is_well(&self) -> bool {
        let is_well = |(gate, player): (&Gate, &Player)| {
            let state = gate.state();
            state.life == player.life && state.is_well
        };
        let leads = self.gates.iter().any(|gate| gate.leads() > 0);
        leads && self.gates.iter().zip(&self.players).all(is_well)
    }

    /// A sentence if a process has ended by itself.
    pub(super) fn look(&mut self) -> Result<(), String> {
        for (replica, player) in self.players.iter_mut().enumerate() {
            let ended =
                player.child.try_wait().map_err(|error| format!("cannot look after replica {replica}: {error}"))?;
            if let Some(status) = ended {
                return Err(format!("replica {replica} has ended by itself ({status}); what it said last is above"));
            }
        }
        Ok(())
    }

    /// Waits until something holds of the replicas.
    pub(super) fn wait(&mut self, what: &str, holds: impl Fn(&Stage) -> bool) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            self.look()?;
            if Instant::now() > until {
                let states: Vec<State> = self.gates.iter().map(Gate::state).collect();
                return Err(format!("{what} within {PATIENCE:?}: no, the replicas say {states:?}"));
            }
            std::thread::sleep(MOMENT);
        }
        Ok(())
    }

    /// Kills a replica and starts it again.
    pub(super) fn kill(&mut self, replica: usize) -> Result<(), String> {
        let player = &mut self.players[replica];
        let struck = player.child.kill().and_then(|()| player.child.wait());
        struck.map_err(|error| format!("cannot kill replica {replica}: {error}"))?;
        player.life += 1;
        let life = player.life;
        self.players[replica].child = self.spawn(replica, life)?;
        Ok(())
    }

    /// Makes a replica stand still, or go on.
    pub(super) fn signal(&mut self, replica: usize, signal: Signal) -> Result<(), String> {
        let struck = kill_process(Pid::from_child(&self.players[replica].child), signal);
        struck.map_err(|error| format!("cannot send {signal:?} to replica {replica}: {error}"))
    }

    /// Has all replicas write down how they ended, and go.
    pub(super) fn end(&mut self) -> Result<(), String> {
        self.gates.iter().for_each(Gate::end);
        let until = Instant::now() + PATIENCE;
        for (replica, player) in self.players.iter_mut().enumerate() {
            loop {
                match player.child.try_wait() {
                    Ok(Some(status)) if status.success() => break,
                    Ok(Some(status)) => return Err(format!("replica {replica} did not end well: {status}")),
                    Ok(None) if Instant::now() > until => return Err(format!("replica {replica} does not end")),
                    Ok(None) => std::thread::sleep(MOMENT),
                    Err(error) => return Err(format!("cannot wait for replica {replica}: {error}")),
                }
            }
        }
        Ok(())
    }

    pub(super) fn tape(&self, replica: usize, life: u64) -> PathBuf {
        replica::tape(self.folder(), replica, life)
    }

    pub(super) fn state(&self, replica: usize) -> PathBuf {
        replica::state(self.folder(), replica)
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for player in &mut self.players {
            let _ = player.child.kill();
            let _ = player.child.wait();
        }
    }
}

/// Where each replica runs: the one that leads whenever it can, which is the first, on the last core, which has least to
/// do for the machine; the others in turn on the rest, the first of which is the load's, too.
fn places(allowed: &[usize], replicas: usize) -> Vec<Option<usize>> {
    let Some((last, rest)) = allowed.split_last() else { return vec![None; replicas] };
    if rest.is_empty() {
        return vec![Some(*last); replicas];
    }
    std::iter::once(*last).chain(rest.iter().rev().copied().cycle()).take(replicas).map(Some).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_has_a_core_of_its_own_where_there_are_two() {
        let places =
            |allowed: &[usize], replicas| -> Vec<usize> { places(allowed, replicas).into_iter().flatten().collect() };
        assert_eq!(places(&[0, 1], 3), [1, 0, 0]);
        assert_eq!(places(&[0, 1, 2, 3], 3), [3, 2, 1]);
        assert_eq!(places(&[2], 3), [2, 2, 2]);
    }
}
