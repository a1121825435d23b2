//! The exchange alone: a flow, one engine that nobody replicates, and the
//! auditor at the end. It shows what the engine costs by itself, which is the
//! floor under all that replication adds.
//!
//! Commands go one after the other, so nothing waits for anything, and the time
//! of each is what the engine needs for it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hdrhistogram::Histogram;
use skein_machine::{Call, GroupId, MessageId, Random, Service, Shares, Stamp, Timestamp};

use crate::audit::{Evidence, Verdict, judge};
use crate::engine::Engine;
use crate::flow::Flow;
use crate::journal::Record;
use crate::words::{Answer, Client, Outcome};

/// The longest run. What is written down of a command takes about 200 bytes
/// until it is judged, so this takes 4 GB.
pub const MOST_ORDERS: u64 = 20_000_000;

/// One command in so many is asked twice, as if its answer had been lost.
const ASKED_AGAIN: u64 = 64;

/// No command takes longer than a minute, or it is counted as if it had taken one.
const LONGEST_NANOS: u64 = 60_000_000_000;

/// What is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Settings {
    /// How many commands: new orders and cancels.
    pub orders: u64,
    /// All of them follow from it.
    pub seed: u64,
    /// How many clients.
    pub clients: u16,
    /// How many instruments.
    pub instruments: u16,
}

/// What became of it.
#[derive(Debug)]
pub struct Report {
    /// Nanoseconds of each command in the engine, those of the clock included.
    pub latencies: Histogram<u64>,
    /// The same, added up.
    pub in_engine: Duration,
    /// What the clock itself takes of each, in nanoseconds.
    pub clock_nanos: u64,
    /// Commands that were refused and used up a number.
    pub refused: u64,
    /// Commands that were asked twice, and answered twice the same.
    pub asked_again: u64,
    /// What a replica noted.
    pub tape: Vec<u8>,
    /// What the clients noted.
    pub journal: Vec<u8>,
    /// How the engine ended.
    pub snapshot: Bytes,
}

/// Runs the flow against one engine. A sentence if an answer is none, or another the second time.
pub fn run(settings: &Settings) -> Result<Report, String> {
    let Settings { orders, seed, clients, instruments } = *settings;
    assert!(orders <= MOST_ORDERS, "{orders} orders: a run has {MOST_ORDERS} at most");
    let mut engine = Engine::new();
    let mut flow = Flow::new(seed, Client(0), clients, instruments);
    let mut chance = Random::new(seed).fork(1);
    let mut report = Report {
        latencies: Histogram::new_with_bounds(1, LONGEST_NANOS, 3).expect("these bounds make a histogram"),
        in_engine: Duration::ZERO,
        clock_nanos: clock_nanos(),
        refused: 0,
        asked_again: 0,
        tape: Vec::new(),
        journal: Vec::new(),
        snapshot: Bytes::new(),
    };
    for nth in 0..orders {
        let client = flow.somebody().expect("each command is answered before the next");
        let request = flow.next(client);
        let command = Bytes::copy_from_slice(&request.encode());
        Record::Asked(&command).append(&mut report.journal);

        let begun = Instant::now();
        let told = apply(&mut engine, nth, &command);
        let took = begun.elapsed();

        report.in_engine += took;
        report.latencies.saturating_record(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
        let place = engine.history().taken;
        Record::Took { place, command: &command, answer: &told }.append(&mut report.tape);
        Record::Told(&told).append(&mut report.journal);
        let answer = Answer::decode(&told).map_err(|why| format!("what {client} was told is no answer: {why}"))?;
        report.refused += u64::from(matches!(answer.outcome, Outcome::Refused(_)));
        if chance.below(ASKED_AGAIN) == 0 {
            report.asked_again += 1;
            if apply(&mut engine, nth, &command) != told {
                return Err(format!("{client} asked command {} again and was told otherwise", request.sequence));
            }
        }
        if !flow.hear(&answer) {
            return Err(format!("{client} asked command {} and was told of another", request.sequence));
        }
    }
    engine.check();
    report.snapshot = Bytes::from(pieces(&engine));
    Ok(report)
}

/// Judges a run, and whether an engine that begins from its snapshot is the same.
pub fn audit(report: &Report) -> Result<Verdict, String> {
    let mut again = Engine::new();
    again.restore(report.snapshot.clone()).map_err(|why| format!("the snapshot cannot be restored: {why}"))?;
    if pieces(&again) != report.snapshot {
        return Err("an engine that was restored writes another snapshot".to_owned());
    }
    let evidence =
        Evidence { tapes: vec![&report.tape], journals: vec![&report.journal], states: vec![report.snapshot.clone()] };
    judge(&evidence).map_err(|fault| fault.to_string())
}

fn apply(engine: &mut Engine, nth: u64, command: &Bytes) -> Bytes {
    let stamp = Stamp { timestamp: Timestamp(nth + 1), id: MessageId::new(1, nth + 1, 0b1) };
    let group = GroupId::new(0).expect("there is a first group");
    engine.apply(&Call { stamp, nth: 0, group, command }, &Shares::none()).0
}

fn pieces(engine: &Engine) -> Vec<u8> {
    let mut frozen = engine.snapshot();
    let mut all = Vec::new();
    while let Some(piece) = frozen.next(1 << 20) {
        all.extend_from_slice(&piece);
    }
    all
}

/// What it takes to look at the clock twice, as most of a thousand times do.
fn clock_nanos() -> u64 {
    let mut nanos: Vec<u64> = (0..1000).map(|_| Instant::now().elapsed().as_nanos() as u64).collect();
    nanos.sort_unstable();
    nanos[nanos.len() / 2]
}
