//! The load: all clients, in the process that started the replicas, so that
//! they live on when a replica dies. Each client has one command on the way;
//! all of them together keep the leader busy.
//!
//! A command goes to whoever seems to lead. It is asked again, under the same
//! number, when another one leads, when it comes back undone, and when it is
//! not answered for a while: that it is done once all the same is the engine's
//! business.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::gate::{Gate, leader};
use super::now;
use super::pipe::{Reader, Writer};
use crate::flow::Flow;
use crate::journal::Record;
use crate::words::{Answer, COMMAND_BYTES, Client};

/// Whoever is not answered for so long asks again. Where replicas share a core an answer may take some milliseconds.
const PATIENCE: u64 = 20_000_000;

/// Whoever was sent back undone asks again after this: it takes about as long until another leads.
const MOMENT: u64 = 200_000;

/// An answer mostly comes so soon that to let others have the core meanwhile would take longer.
const SOON: u64 = 20_000;

/// If nobody is answered for so long, nobody will be.
const STUCK: Duration = Duration::from_secs(30);

/// No answer takes longer than a minute, or it is counted as if it had taken one.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// How the load is, for whoever watches it, and what it is told.
#[derive(Debug)]
pub(super) struct Board {
    /// Commands that were answered.
    pub(super) answered: AtomicU64,
    /// How many may be answered until more is allowed.
    pub(super) allowed: AtomicU64,
    /// Nothing new is asked any more.
    pub(super) is_over: AtomicBool,
    /// Nobody waits for anything any more: something has gone wrong.
    pub(super) is_cancelled: AtomicBool,
}

/// What came of it.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) journal: Vec<u8>,
    /// Nanoseconds from the moment at which a client asked for the first time until it had the answer.
    pub(super) latencies: Histogram<u64>,
    /// From the first question to the last answer.
    pub(super) nanos: u64,
    /// The longest time in which clients waited and none was answered.
    pub(super) gap_nanos: u64,
    /// How often something was asked again.
    pub(super) asked_again: u64,
}

/// A command that is not answered.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    command: [u8; COMMAND_BYTES],
    asked_at: u64,
    again_at: u64,
}

/// All clients.
pub(super) struct Load<'a> {
    gates: &'a [Gate],
    ends: Vec<(Writer, Reader)>,
    board: &'a Board,
    flow: Flow,
    waiting: Vec<Option<Waiting>>,
    /// Those who wait for nothing.
    idle: Vec<Client>,
    leader: Option<usize>,
    /// When all who wait are looked through.
    look_at: u64,
    heard_at: u64,
    out: Outcome,
}

impl<'a> Load<'a> {
    /// Clients have the numbers from 0 on.
    pub(super) fn new(gates: &'a [Gate], board: &'a Board, flow: Flow, clients: u16) -> Load<'a> {
        let out = Outcome {
            journal: Vec::new(),
            latencies: Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("these bounds make a histogram"),
            nanos: 0,
            gap_nanos: 0,
            asked_again: 0,
        };
        Load {
            gates,
            ends: gates.iter().map(Gate::of_load).collect(),
            board,
            flow,
            waiting: vec![None; usize::from(clients)],
            idle: (0..clients).rev().map(Client).collect(),
            leader: None,
            look_at: 0,
            heard_at: 0,
            out,
        }
    }

    /// Asks so many commands and hears all answers.
    pub(super) fn run(mut self, orders: u64) -> Result<Outcome, String> {
        let began = now();
        let mut asked = 0;
        loop {
            let now = now();
            if self.board.is_cancelled.load(Relaxed) {
                return Err("the load was given up".to_owned());
            }
            let is_over = self.board.is_over.load(Relaxed);
            let most = orders.min(self.board.allowed.load(Relaxed));
            self.find_leader(now);
            while asked < most && !is_over {
                let Some(client) = self.idle.pop() else { break };
                if self.idle.len() + 1 == self.waiting.len() {
                    self.heard_at = now; // Nobody waited until now.
                }
                self.ask(client);
                asked += 1;
            }
            if self.idle.len() == self.waiting.len() {
                if is_over || asked == orders {
                    self.out.nanos = self.heard_at - began;
                    return Ok(self.out);
                }
                std::thread::yield_now();
                continue;
            }
            if now >= self.look_at {
                self.look(now);
            }
            if !self.hear()? {
                if Duration::from_nanos(now.saturating_sub(self.heard_at)) > STUCK {
                    let states: Vec<_> = self.gates.iter().map(Gate::state).collect();
                    return Err(format!("nobody has been answered for {STUCK:?}; the replicas say {states:?}"));
                }
                if now > self.heard_at + SOON {
                    std::thread::yield_now();
                }
            }
        }
    }

    fn find_leader(&mut self, now: u64) {
        let leader = leader(self.gates);
        if leader.is_some() && leader != self.leader {
            self.leader = leader;
            // Whatever was on its way to another one goes to this one.
            self.waiting.iter_mut().flatten().for_each(|waiting| waiting.again_at = now);
            self.look_at = now;
        }
    }

    /// A client says something new.
    fn ask(&mut self, client: Client) {
        let command = self.flow.next(client).encode();
        // Noted before it is said, so that nothing is in the log that is not here.
        Record::Asked(&command).append(&mut self.out.journal);
        let asked_at = now();
        let is_said = self.leader.is_some_and(|leader| self.ends[leader].0.push(&command));
        let again_at = asked_at + if is_said { PATIENCE } else { MOMENT };
        self.look_at = self.look_at.min(again_at);
        self.waiting[usize::from(client.0)] = Some(Waiting { command, asked_at, again_at });
    }

    /// Whoever has waited for too long asks again.
    fn look(&mut self, now: u64) {
        self.look_at = now + MOMENT;
        let Some(leader) = self.leader else { return };
        for waiting in self.waiting.iter_mut().flatten() {
            if waiting.again_at <= now && self.ends[leader].0.push(&waiting.command) {
                waiting.again_at = now + PATIENCE;
                self.out.asked_again += 1;
            }
        }
    }

    /// Whatever was answered. Whether anything was.
    fn hear(&mut self) -> Result<bool, String> {
        let mut buffer = Vec::new();
        let mut now = None;
        for nth in 0..self.ends.len() {
            while self.ends[nth].1.pop(&mut buffer) {
                let now = *now.get_or_insert_with(super::now);
                let answer = Answer::decode(&buffer);
                let answer = answer.map_err(|why| format!("replica {nth} said something that is no answer: {why}"))?;
                let Some(waiting) = self.waiting.get_mut(usize::from(answer.client.0)) else {
                    return Err(format!("replica {nth} answered {}, who does not trade here", answer.client));
                };
                if self.flow.hear(&answer) {
                    let told = waiting.take().expect("whoever waits in the flow waits here");
                    Record::Told(&buffer).append(&mut self.out.journal);
                    self.out.latencies.saturating_record(now - told.asked_at);
                    self.out.gap_nanos = self.out.gap_nanos.max(now - self.heard_at);
                    self.heard_at = now;
                    self.idle.push(answer.client);
                    self.board.answered.fetch_add(1, Relaxed);
                } else if let Some(waiting) = waiting
                    && !answer.outcome.is_final()
                {
                    // Sent back undone, or an old question that came by late: neither is hurried.
                    waiting.again_at = waiting.again_at.min(now + MOMENT);
                }
            }
        }
        Ok(now.is_some())
    }
}
