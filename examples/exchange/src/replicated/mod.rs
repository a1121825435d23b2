//! The exchange replicated: three processes with an engine each, one log in
//! memory that outlives them, clients that trade through whoever leads, and
//! replicas that are killed and stopped while they do.
//!
//! The process that is started is the load: the clients live in it, so that
//! they outlive every replica, and reach replicas by pipes in shared
//! words. What clients and replicas wrote down is judged at the end by the
//! [auditor](crate::audit).
//!
//! The machine itself must not die: then all of it is gone.

mod blows;
mod gate;
mod load;
mod pipe;
mod replica;
mod stage;
mod tape;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use rustix::process::Signal;
use skein_runtime::cores;

pub use self::blows::Every;
pub use self::replica::{ReplicaArguments, run as replica};

use self::blows::{Blow, Blows};
use self::gate::leader;
use self::load::{Board, Load};
use self::stage::Stage;
use crate::audit::{Evidence, Verdict, judge};
use crate::flow::Flow;
use crate::words::Client;

/// The longest run. Tapes of three replicas, the journal and what the auditor makes of them take about a kilobyte for
/// each command, all of it in memory.
pub const MOST_ORDERS: u64 = 10_000_000;

/// As many as the log has room for.
pub const MOST_REPLICAS: usize = 7;

/// A replica that is stopped goes on when another leads, or after this.
const STANDSTILL: Duration = Duration::from_millis(100);

/// Between two looks at the clock and at the replicas.
const MOMENT: Duration = Duration::from_millis(1);

/// Between two words of how it goes.
const NEWS: Duration = Duration::from_secs(1);

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many replicas.
    pub replicas: usize,
    /// How many commands: new orders and cancels.
    pub orders: u64,
    /// The flow and who is struck follow from it.
    pub seed: u64,
    /// How many clients.
    pub clients: u16,
    /// How many instruments.
    pub instruments: u16,
    /// How often a replica is killed, mostly the leader.
    pub kill_every: Option<Every>,
    /// How often a replica is stopped for a while.
    pub stop_every: Option<Every>,
    /// The flow ends after so long, if not before.
    pub longest: Option<Duration>,
}

/// How it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Since the flow began.
    pub time: Duration,
    /// Commands that were answered.
    pub answered: u64,
    /// Replicas that were killed.
    pub kills: u64,
    /// Of those, leaders.
    pub leaders_killed: u64,
    /// Replicas that were stopped.
    pub stops: u64,
}

/// What became of it.
#[derive(Debug)]
pub struct Report {
    /// How far it got.
    pub end: Progress,
    /// Nanoseconds from the moment at which a client asked for the first time until it had the answer.
    pub latencies: Histogram<u64>,
    /// The longest time in which clients waited and none was answered.
    pub gap: Duration,
    /// How often something was asked again.
    pub asked_again: u64,
    /// What all lives of all replicas noted.
    pub tapes: Vec<Vec<u8>>,
    /// What the clients noted.
    pub journal: Vec<u8>,
    /// How each replica ended.
    pub states: Vec<Bytes>,
}

/// Runs the flow against replicas that are processes of a program, which must hand their command line to [`replica`].
/// A sentence if it does not come to an end, or is interrupted.
pub fn run(
    settings: &Settings,
    program: &Path,
    is_interrupted: &AtomicBool,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Report, String> {
    assert!(settings.orders <= MOST_ORDERS, "{} orders: a run has {MOST_ORDERS} at most", settings.orders);
    assert!((3..=MOST_REPLICAS).contains(&settings.replicas), "{} replicas: 3 to {MOST_REPLICAS}", settings.replicas);
    let result = play(settings, program, is_interrupted, tell);
    if is_interrupted.load(Relaxed) { Err("it was interrupted".to_owned()) } else { result }
}

fn play(
    settings: &Settings,
    program: &Path,
    is_interrupted: &AtomicBool,
    tell: &mut dyn FnMut(&Progress),
) -> Result<Report, String> {
    let Settings { replicas, orders, seed, clients, instruments, .. } = *settings;
    let mut stage = Stage::start(program, replicas)?;
    stage.wait("all replicas are there and one leads", Stage::is_well)?;
    let gates = stage.gates().to_vec();
    let begin = Instant::now();
    let blows = Blows::new(settings.kill_every, settings.stop_every, seed, begin);
    let board = Board {
        answered: AtomicU64::new(0),
        allowed: AtomicU64::new(blows.allowed(settings.orders)),
        is_over: AtomicBool::new(false),
        is_cancelled: AtomicBool::new(false),
    };
    let mut director = Director { settings, board: &board, stage: &mut stage, blows, begin, end: Progress::default() };
    let load = Load::new(&gates, &board, Flow::new(seed, Client(0), clients, instruments), clients);
    let (directed, outcome) = std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            // The first core is where no leader is if there are two. To share one is no mistake, only slow.
            let _ = cores::allowed().map(|allowed| allowed.first().map(|core| cores::keep_to(*core)));
            load.run(orders)
        });
        let directed = director.direct(&|| load.is_finished(), is_interrupted, tell);
        if directed.is_err() {
            board.is_cancelled.store(true, Relaxed);
        }
        (directed, load.join().map_err(|_| "the load has panicked".to_owned()))
    });
    let end = director.end;
    directed?;
    let outcome = outcome??;
    stage.wait("all replicas come to the same digest", agree)?;
    stage.end()?;
    let read = |path: &Path| fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()));
    let tapes = stage.lives().flat_map(|(replica, lives)| (1..=lives).map(move |life| (replica, life)));
    let tapes = tapes.map(|(replica, life)| stage.tape(replica, life)).filter(|path| path.exists());
    Ok(Report {
        end: Progress { time: Duration::from_nanos(outcome.nanos), answered: board.answered.load(Relaxed), ..end },
        latencies: outcome.latencies,
        gap: Duration::from_nanos(outcome.gap_nanos),
        asked_again: outcome.asked_again,
        tapes: tapes.map(|path| read(&path)).collect::<Result<_, _>>()?,
        journal: outcome.journal,
        states: (0..replicas).map(|nth| read(&stage.state(nth)).map(Bytes::from)).collect::<Result<_, _>>()?,
    })
}

/// Judges a run.
pub fn audit(report: &Report) -> Result<Verdict, String> {
    if let Some(other) = report.states.iter().position(|state| *state != report.states[0]) {
        return Err(format!("replica 0 and replica {other} ended with different states"));
    }
    let evidence = Evidence {
        tapes: report.tapes.iter().map(Vec::as_slice).collect(),
        journals: vec![&report.journal],
        states: report.states.clone(),
    };
    let verdict = judge(&evidence).map_err(|fault| fault.to_string())?;
    if verdict.told != report.end.answered {
        return Err(format!("{} commands were answered, and the journal has {}", report.end.answered, verdict.told));
    }
    Ok(verdict)
}

/// Writes what was judged into a new folder, for whoever wants to know what went wrong.
pub fn keep(report: &Report, folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::write(folder.join("clients.journal"), &report.journal)?;
    for (nth, tape) in report.tapes.iter().enumerate() {
        fs::write(folder.join(format!("{nth}.tape")), tape)?;
    }
    for (nth, state) in report.states.iter().enumerate() {
        fs::write(folder.join(format!("replica-{nth}.state")), state)?;
    }
    Ok(())
}

/// Whether all replicas are there and have taken the same.
fn agree(stage: &Stage) -> bool {
    let first = stage.gates()[0].state();
    stage.is_well()
        && stage
            .gates()
            .iter()
            .map(gate::Gate::state)
            .all(|state| (state.taken, state.digest) == (first.taken, first.digest))
}

/// Nanoseconds of the clock that all processes of a machine share and that never jumps.
#[inline]
fn now() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Whoever strikes replicas while the load goes on.
struct Director<'a> {
    settings: &'a Settings,
    board: &'a Board,
    stage: &'a mut Stage,
    blows: Blows,
    begin: Instant,
    end: Progress,
}

impl Director<'_> {
    fn direct(
        &mut self,
        is_finished: &dyn Fn() -> bool,
        is_interrupted: &AtomicBool,
        tell: &mut dyn FnMut(&Progress),
    ) -> Result<(), String> {
        let mut news_at = self.begin + NEWS;
        while !is_finished() {
            std::thread::sleep(MOMENT);
            if is_interrupted.load(Relaxed) {
                return Err("it was interrupted".to_owned());
            }
            self.stage.look()?;
            let now = Instant::now();
            self.end.time = now - self.begin;
            self.end.answered = self.board.answered.load(Relaxed);
            if self.settings.longest.is_some_and(|longest| self.end.time >= longest) {
                self.board.is_over.store(true, Relaxed);
            }
            if now >= news_at {
                news_at = now + NEWS;
                tell(&self.end);
            }
            // When all is answered there is nothing to disturb any more.
            let is_at_work = self.end.answered < self.settings.orders && !self.board.is_over.load(Relaxed);
            if is_at_work && let Some(blow) = self.blows.due(now, self.end.answered) {
                self.strike(blow)?;
                self.board.allowed.store(self.blows.allowed(self.settings.orders), Relaxed);
            }
        }
        Ok(())
    }

    fn strike(&mut self, blow: Blow) -> Result<(), String> {
        self.stage.wait("all replicas are well before the next blow", Stage::is_well)?;
        let gates = self.stage.gates().to_vec();
        let leads = leader(&gates).expect("who is well has a leader");
        let victim = self.blows.victim(leads, gates.len());
        match blow {
            Blow::Kill => {
                self.stage.kill(victim)?;
                self.end.kills += 1;
                self.end.leaders_killed += u64::from(victim == leads);
            }
            Blow::Stop => {
                self.stage.signal(victim, Signal::STOP)?;
                let until = Instant::now() + STANDSTILL;
                while leader(&gates) == Some(victim) && Instant::now() < until {
                    std::thread::sleep(MOMENT);
                }
                self.stage.signal(victim, Signal::CONT)?;
                self.end.stops += 1;
            }
        }
        Ok(())
    }
}
