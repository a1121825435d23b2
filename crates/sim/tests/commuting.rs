//! Whole runs of a small machine that delivers in two orders what commutes. It
//! passes where a relation allows that, and nowhere else; and each dishonest
//! version of it, which goes beyond what the relation allows, is caught.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{Nothing, Reader, WireError, Writer};
use skein_machine::{
    Cluster, Conflicts, Delivery, Down, Machine, MessageId, Multicast, Out, Position, ProcessId, Time, Timestamp, Up,
    Wire,
};
use skein_sim::check::{Claims, LIVENESS};
use skein_sim::{Load, Mix, Outcome, Plan, SECOND, SOME_COMMUTE, Scenario, run_seed};

const FIRST: ProcessId = ProcessId(0);
const SECOND_ONE: ProcessId = ProcessId(1);

/// What is wrong with a machine. Only the second replica is ever wrong.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flaw {
    None,
    /// It overtakes what conflicts, too.
    OvertakesConflicts,
    /// It goes back to the state that it began with, and repeats nothing.
    GoesBack,
    /// It goes back, and repeats all but the last.
    RepeatsAllButOne,
    /// It takes a state that nobody had.
    InventsAState,
    /// It counts on from where it was, after it has gone back.
    CountsOn,
    /// It delivers once more what it held back.
    DeliversTwice,
}

/// A message and its final timestamp, or zero on its way to whoever chooses one.
#[derive(Clone, Debug)]
struct Ordered {
    timestamp: Timestamp,
    message: Multicast,
}

impl Wire for Ordered {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.timestamp.encode(writer);
        self.message.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Ordered, WireError> {
        Ok(Ordered { timestamp: Timestamp::decode(reader)?, message: Multicast::decode(reader)? })
    }
}

/// One group of two: the first orders everything and delivers in this order. The second holds back every message
/// until another one comes, which overtakes it if they commute, or for a while if none does.
struct Overtaker {
    me: ProcessId,
    conflicts: Conflicts,
    flaw: Flaw,
    known: BTreeSet<MessageId>,
    clock: Timestamp,
    held_back: Option<Ordered>,
    delivered: Vec<Ordered>,
    position: Position,
    first_state: Option<Bytes>,
}

/// When a flaw shows that is not one of the order.
const LATE: Duration = Duration::from_secs(9);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    Patience,
    Late,
}

impl Overtaker {
    fn new(me: ProcessId, conflicts: Conflicts, flaw: Flaw) -> Overtaker {
        Overtaker {
            me,
            conflicts,
            flaw,
            known: BTreeSet::new(),
            clock: Timestamp::ZERO,
            held_back: None,
            delivered: Vec::new(),
            position: 0,
            first_state: None,
        }
    }

    fn deliver(&mut self, ordered: Ordered, out: &mut Out<Overtaker>) {
        let Ordered { timestamp, message } = ordered.clone();
        out.emit(Up::Deliver(Delivery { position: self.position, timestamp, message }));
        self.position += 1;
        self.delivered.push(ordered);
    }

    fn overtakes(&self, later: &Multicast, earlier: &Multicast) -> bool {
        match self.flaw {
            Flaw::OvertakesConflicts => later.id.session != earlier.id.session,
            _ => !self.conflicts.between(later, earlier),
        }
    }

    fn take(&mut self, message: Ordered, out: &mut Out<Overtaker>) {
        out.arm(Timer::Patience, Duration::from_millis(100));
        match self.held_back.take() {
            Some(earlier) if self.overtakes(&message.message, &earlier.message) => {
                self.deliver(message, out);
                self.deliver(earlier.clone(), out);
                if self.flaw == Flaw::DeliversTwice {
                    self.deliver(earlier, out);
                }
            }
            Some(earlier) => {
                self.deliver(earlier, out);
                self.held_back = Some(message);
            }
            None => self.held_back = Some(message),
        }
    }

    /// The user forgets everything and is told once more, in the order of stamps.
    fn go_back(&mut self, position: Position, bytes: Bytes, repeats: usize, out: &mut Out<Overtaker>) {
        out.emit(Up::Install { position, bytes });
        let mut again = std::mem::take(&mut self.delivered);
        again.sort_by_key(|ordered| ordered.timestamp);
        let position = std::mem::replace(&mut self.position, position);
        if self.flaw == Flaw::CountsOn {
            self.position = position;
        }
        again.into_iter().take(repeats).for_each(|message| self.deliver(message, out));
    }
}

impl Machine for Overtaker {
    type Command = Down;
    type Message = Ordered;
    type Timer = Timer;
    type Record = Nothing;
    type Event = Up;

    fn restore(&mut self, record: Nothing) {
        match record {}
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Overtaker>) {
        if self.me == SECOND_ONE {
            out.emit(Up::WantCheckpoint);
            out.arm(Timer::Late, LATE);
        }
    }

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Overtaker>) {
        match command {
            Down::Multicast(message) if self.me == FIRST => {
                if self.known.insert(message.id) {
                    self.clock = self.clock.max(message.floor).next();
                    let ordered = Ordered { timestamp: self.clock, message };
                    out.send(SECOND_ONE, ordered.clone());
                    self.deliver(ordered, out);
                }
            }
            Down::Multicast(message) => out.send(FIRST, Ordered { timestamp: Timestamp::ZERO, message }),
            Down::Checkpointed { bytes, .. } => self.first_state = Some(bytes),
            Down::RaiseClock(_) | Down::ReadPoint(_) | Down::Retire => {}
        }
    }

    fn on_message(&mut self, now: Time, _: ProcessId, ordered: Ordered, out: &mut Out<Overtaker>) {
        match self.me {
            FIRST => self.on_command(now, Down::Multicast(ordered.message), out),
            _ => self.take(ordered, out),
        }
    }

    fn on_timer(&mut self, _: Time, timer: Timer, out: &mut Out<Overtaker>) {
        let all = self.delivered.len();
        let bytes = self.first_state.clone().unwrap_or_default();
        match (timer, self.flaw) {
            (Timer::Patience, _) => {
                if let Some(message) = self.held_back.take() {
                    self.deliver(message, out);
                }
            }
            (Timer::Late, Flaw::GoesBack) => self.go_back(0, bytes, 0, out),
            (Timer::Late, Flaw::RepeatsAllButOne) => self.go_back(0, bytes, all - 1, out),
            (Timer::Late, Flaw::InventsAState) => self.go_back(0, Bytes::from(vec![7; bytes.len()]), all, out),
            (Timer::Late, _) => self.go_back(0, bytes, all, out),
        }
    }

    fn check(&self) {}
}

fn run(conflicts: Option<Conflicts>, flaw: Flaw, seed: u64) -> Outcome {
    let cluster = Arc::new(Cluster::regular(1, 2, 1).unwrap());
    let mix = Mix::usual(&cluster);
    let plan = Plan {
        load: Load {
            per_second: 40.0,
            mix,
            payload: 8,
            expiry: None,
            misbehaves: false,
            readers: false,
            asks_for_read_points: false,
        },
        cluster,
        scenario: Scenario::Calm,
        duration: 10 * SECOND,
        claims: Claims { conflicts, ..Claims::CLASSIC },
        clock_bound: None,
        severity: 1.0,
    };
    run_seed(&plan, seed, None, move |me, _| Overtaker::new(me, SOME_COMMUTE, flaw))
}

/// The properties that break.
fn broken(conflicts: Option<Conflicts>, flaw: Flaw, seed: u64) -> Vec<&'static str> {
    let mut broken: Vec<&str> = run(conflicts, flaw, seed).violations.iter().map(|found| found.property).collect();
    broken.dedup();
    broken
}

#[test]
fn what_commutes_may_be_overtaken() {
    for seed in 0..10 {
        let outcome = run(Some(SOME_COMMUTE), Flaw::None, seed);
        assert_eq!(outcome.violations, [], "seed {seed}");
        assert!(outcome.counts.deliveries > 500, "{} deliveries", outcome.counts.deliveries);
    }
}

#[test]
fn without_a_relation_nothing_may_be_overtaken() {
    for seed in 0..10 {
        assert!(broken(None, Flaw::None, seed).contains(&"prefix order"), "seed {seed}");
    }
}

#[test]
fn catches_one_that_overtakes_what_conflicts() {
    for seed in 0..10 {
        assert_eq!(broken(Some(SOME_COMMUTE), Flaw::OvertakesConflicts, seed)[0], "prefix order", "seed {seed}");
    }
}

#[test]
fn catches_a_second_delivery() {
    for seed in 0..10 {
        assert!(broken(Some(SOME_COMMUTE), Flaw::DeliversTwice, seed).contains(&"integrity"), "seed {seed}");
    }
}

/// Between commuting messages no order tells that one is missing, so the end of a run does.
#[test]
fn catches_a_state_that_lacks_what_was_delivered() {
    for flaw in [Flaw::GoesBack, Flaw::RepeatsAllButOne] {
        let broken = (0..10).map(|seed| broken(Some(SOME_COMMUTE), flaw, seed));
        assert!(broken.into_iter().all(|broken| broken.contains(&LIVENESS)));
    }
}

#[test]
fn catches_states_that_nobody_had_and_wrong_positions() {
    for flaw in [Flaw::InventsAState, Flaw::CountsOn] {
        for seed in 0..10 {
            assert!(broken(Some(SOME_COMMUTE), flaw, seed).contains(&"prefix order"), "seed {seed}");
        }
    }
}
