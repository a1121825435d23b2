//! What a replica said before it lost its memory does not count any more:
//! neither its promises nor its clocks. Random runs reach this rarely, so one
//! replica is told the story by hand.

use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{Boot, Cluster, Down, Effect, GroupId, Machine, MessageId, Out, ProcessId, Time, Timestamp, Up};
use skein_order::Planted;
use skein_order::parts::{Epoch, Outline, Windows};
use skein_order::primcast::{
    Candidacy, Header, Message, PrimCast, Promise, Rebirth, Reign, Report, Settings, Settlement, State,
};

/// One replica of a group of five; the others are played.
struct Stage {
    replica: PrimCast,
    /// What it has told its user.
    told: Vec<Up>,
}

const ME: ProcessId = ProcessId(1);
const FIRST: Epoch = Epoch::first(ProcessId(0));

/// The one that loses its memory.
const REBORN: Rebirth = Rebirth { process: ProcessId(4), incarnation: 1 };

impl Stage {
    fn new() -> Stage {
        let cluster = Arc::new(Cluster::regular(1, 5, 0).unwrap());
        let replica = PrimCast::new(ME, cluster, Boot::First, Settings::DEFAULT, Planted::NONE);
        let mut stage = Stage { replica, told: Vec::new() };
        stage.step(|replica, out| replica.start(Time::ZERO, 1, out));
        stage
    }

    /// What it says to itself is heard at once: this disk takes no time.
    fn step(&mut self, act: impl FnOnce(&mut PrimCast, &mut Out<PrimCast>)) {
        let mut out = Out::new();
        act(&mut self.replica, &mut out);
        self.replica.finish(Time::ZERO, &mut out);
        let effects: Vec<Effect<PrimCast>> = out.drain().collect();
        for effect in effects {
            match effect {
                Effect::Send(to, message) | Effect::SendEarly(to, message) if to.iter().any(|to| to == ME) => {
                    self.hears(ME, message);
                }
                Effect::Emit(event) | Effect::EmitEarly(event) => self.told.push(event),
                _ => {}
            }
        }
        self.replica.check();
    }

    fn hears(&mut self, from: ProcessId, message: Message) {
        self.step(|replica, out| replica.on_message(Time::ZERO, from, message, out));
    }

    fn hears_promise(&mut self, from: u16, rebirths: Vec<Rebirth>) {
        let promise = Promise {
            epoch: FIRST.next(ME),
            incarnation: 0,
            clock: Timestamp(1),
            held: FIRST,
            outline: Outline { base: 0, base_epoch: FIRST, runs: Vec::new() },
            rebirths,
            delivered: 0,
            outcomes: Vec::new(),
            agreement: Some(0),
            entries: Vec::new(),
            state: None,
        };
        self.hears(ProcessId(from), Message::Promise(Box::new(promise)));
    }

    fn hears_report(&mut self, from: u16, held: Epoch, clock: u64) {
        let report = Report {
            incarnation: 0,
            held,
            index: 0,
            promised: held,
            clock: Timestamp(clock),
            is_primary: ProcessId(from) == held.leader,
            delivered: 0,
            reading: Time::ZERO,
        };
        self.hears(ProcessId(from), Message::Report(report));
    }

    /// Whether it has won: only a primary writes down that it holds an epoch of its own.
    fn is_primary(&mut self) -> bool {
        let mut is_primary = false;
        let mut out = Out::new();
        self.replica.on_reconnect(Time::ZERO, ProcessId(0), &mut out);
        for effect in out.drain() {
            if let Effect::Send(_, Message::Report(report)) = effect {
                is_primary = report.is_primary;
            }
        }
        is_primary
    }
}

#[test]
fn a_promise_of_an_earlier_life_does_not_make_a_quorum() {
    let mut stage = Stage::new();
    stage.hears(ProcessId(0), Message::Stand);
    stage.hears_promise(4, Vec::new());
    assert!(!stage.is_primary(), "two of five");
    // The third one knows that the second has forgotten what it promised.
    stage.hears_promise(3, vec![REBORN]);
    assert!(!stage.is_primary(), "two of five, and one that no longer counts");
    stage.hears_promise(2, Vec::new());
    assert!(stage.is_primary());
}

#[test]
fn a_clock_of_an_earlier_life_does_not_count() {
    for rebirths in [Vec::new(), vec![REBORN]] {
        let mut stage = Stage::new();
        let counts = rebirths.is_empty();
        let epoch = FIRST.next(ProcessId(0));
        let outline = Outline { base: 0, base_epoch: FIRST, runs: Vec::new() };
        let candidacy = Candidacy { epoch, outline, delivered: 0, rebirths: rebirths.clone() };
        stage.hears(ProcessId(0), Message::NewEpoch(candidacy));
        let reign = Reign { epoch, clock: Timestamp(1), rebirths };
        stage.hears(ProcessId(0), Message::NewState { reign, previous: 0, previous_epoch: FIRST, entries: Vec::new() });
        stage.hears_report(2, epoch, 1);
        stage.step(|replica, out| replica.on_command(Time::ZERO, Down::RaiseClock(Timestamp(100)), out));
        stage.hears_report(0, epoch, 100);
        assert_eq!(stage.told, [], "two of five have passed 100");
        // Late on its way: what the one that has lost its memory said before.
        stage.hears_report(4, epoch, 100);
        let expected = if counts { vec![Up::SafeTime(Timestamp(100))] } else { Vec::new() };
        assert_eq!(stage.told, expected);
    }
}

/// p1 was away while its group delivered a message, and forgot it once it had expired. Before, p1 had heard of it
/// from a primary of the other group that was deposed since; under the next one it had another place. The state
/// that p1 is given says nothing of it, so it must not be proposed again.
#[test]
fn what_a_deposed_primary_showed_does_not_survive_a_state() {
    let cluster = Arc::new(Cluster::regular(2, 3, 0).unwrap());
    let mut replica = PrimCast::new(ME, cluster, Boot::First, Settings::DEFAULT, Planted::NONE);
    let mut hear = |from: u16, message| {
        let mut out = Out::new();
        replica.on_message(Time::ZERO, ProcessId(from), message, &mut out);
        replica.finish(Time::ZERO, &mut out);
        replica.holdings().tracks
    };
    let (deposed, next) = (Epoch::first(ProcessId(3)), Epoch::first(ProcessId(3)).next(ProcessId(4)));
    let header = Header {
        index: 7,
        timestamp: Timestamp(20),
        id: MessageId::new(1, 1, 0b11),
        floor: Timestamp::ZERO,
        expiry: Timestamp(30),
        follows: 0,
    };
    assert_eq!(hear(3, Message::Headers { epoch: deposed, settled: 0, headers: vec![header] }), 1);
    assert_eq!(hear(5, Message::Acknowledge { held: next, index: 6, settled: 6 }), 1);
    let state = State {
        incarnation: 0,
        rebirths: Vec::new(),
        held: FIRST,
        promised: FIRST,
        ceiling: Timestamp(60),
        position: 3,
        user: Bytes::new(),
        early: Vec::new(),
        first_outcome: 3,
        outcomes: Vec::new(),
        newest: None,
        base: 3,
        base_epoch: FIRST,
        decided: 3,
        entries: Vec::new(),
        windows: Windows::new(),
        settled: vec![Settlement { group: GroupId::new(1).unwrap(), index: 6, epoch: next }],
    };
    let reign = Reign { epoch: FIRST, clock: Timestamp(50), rebirths: Vec::new() };
    assert_eq!(hear(0, Message::Snapshot(reign, Box::new(state))), 0);
}
