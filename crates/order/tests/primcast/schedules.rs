//! Schedules that somebody thought up to break the protocol, and that broke it once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skein_machine::{Cluster, Down, MessageId, Multicast, ProcessId, Timestamp, Up};
use skein_order::Planted;
use skein_order::primcast::{ClockKind, PrimCast, Settings};
use skein_sim::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, SECOND, World};

struct Stage {
    world: World<PrimCast>,
    /// What each has delivered in its newest life: id, timestamp.
    delivered: BTreeMap<u16, Vec<(MessageId, u64)>>,
}

fn p(number: u16) -> ProcessId {
    ProcessId(number)
}

impl Stage {
    fn new(groups: usize, replicas: usize, outsiders: usize, settings: Settings, seed: u64) -> Stage {
        Stage::with_bug(groups, replicas, outsiders, settings, seed, Planted::NONE)
    }

    fn with_bug(
        groups: usize,
        replicas: usize,
        outsiders: usize,
        settings: Settings,
        seed: u64,
        planted: Planted,
    ) -> Stage {
        let cluster = Arc::new(Cluster::regular(groups, replicas, outsiders).unwrap());
        let processes: Vec<ProcessId> = cluster.processes().collect();
        let latency = Latency::fixed(&processes, MILLISECOND);
        let maker = move |process, boot| PrimCast::new(process, cluster.clone(), boot, settings, planted);
        let mut world = World::new(&processes, latency, DiskHabits::INSTANT, seed, Box::new(maker));
        world.start();
        Stage { world, delivered: BTreeMap::new() }
    }

    fn run(&mut self, span: Nanos) {
        let horizon = self.world.now() + span;
        while let Some(occurrence) = self.world.next(horizon) {
            let Occurrence::Told { process, event, .. } = occurrence else { continue };
            let delivered = self.delivered.entry(process.0).or_default();
            match event {
                Up::Deliver(delivery) => {
                    delivered.truncate(delivery.position as usize);
                    assert_eq!(delivered.len() as u64, delivery.position);
                    delivered.push((delivery.message.id, delivery.timestamp.0));
                }
                Up::WantCheckpoint => {
                    let position = delivered.len() as u64;
                    self.world.command(process, Down::Checkpointed { position, bytes: Bytes::new() });
                }
                Up::Install { position, .. } => delivered.resize(position as usize, (MessageId::new(0, 0, 0), 0)),
                _ => {}
            }
        }
    }

    fn multicast(&mut self, at: u16, session: u64, sequence: u64, groups: u64, floor: u64, expiry: u64) {
        let message = Multicast {
            id: MessageId::new(session, sequence, groups),
            floor: Timestamp(floor),
            expiry: Timestamp(expiry),
            payload: Bytes::from_static(b"x"),
        };
        assert!(self.world.command(p(at), Down::Multicast(message)));
    }

    fn count(&self, process: u16, id: MessageId) -> usize {
        self.delivered.get(&process).map_or(0, |all| all.iter().filter(|(other, _)| *other == id).count())
    }

    fn length(&self, process: u16) -> usize {
        self.delivered.get(&process).map_or(0, Vec::len)
    }
}

fn small(every: usize, tail: u64) -> Settings {
    Settings { checkpoint_every: every, tail, ..Settings::DEFAULT }
}

/// A primary is cut off and stands still, is deposed, and when it goes on it proposes, in its old epoch, a
/// message that everybody has delivered and forgotten since. Its header is believed.
#[test]
fn a_header_of_a_deposed_primary_revives_nothing() {
    revives_nothing(Stage::new(2, 3, 2, small(1, 1), 1));
}

/// Random runs reach it once in many thousands, so the planted bug is caught here.
#[cfg(feature = "mutants")]
#[test]
#[should_panic(expected = "assertion")]
fn whoever_believes_deposed_primaries_is_caught() {
    let planted = Planted::bug(skein_order::Mutant::PrimCastHearsDeposedPrimaries);
    revives_nothing(Stage::with_bug(2, 3, 2, small(1, 1), 1, planted));
}

fn revives_nothing(mut stage: Stage) {
    let m = MessageId::new(1, 1, 0b11);
    for other in [0, 1, 2, 4, 5, 6, 7] {
        stage.world.set_cut(p(3), p(other), true);
    }
    // Fifty proposals that will be lost move its log ahead.
    for sequence in 1..=50 {
        stage.multicast(7, 9, sequence, 0b10, 0, u64::MAX);
    }
    stage.run(10 * MILLISECOND);
    stage.world.crash(p(7));
    stage.world.pause(p(3));
    // m is valid until 60, and is delivered in time while p3 stands still.
    stage.multicast(2, 1, 1, 0b11, 0, 60);
    stage.run(10 * SECOND);
    assert_eq!([0, 1, 2, 4, 5].map(|process| stage.count(process, m)), [1; 5], "{:?}", stage.delivered);
    // Others follow, everything settles, and the session is forgotten.
    stage.multicast(6, 2, 1, 0b11, 100, u64::MAX);
    stage.run(5 * SECOND);
    for sequence in 2..=4 {
        stage.multicast(6, 2, sequence, 0b11, 100, u64::MAX);
        stage.run(2 * SECOND);
    }
    stage.world.calm_network();
    stage.world.resume(p(3));
    stage.run(20 * SECOND);
    assert_eq!([0, 1, 2, 4, 5].map(|process| stage.count(process, m)), [1; 5], "delivered again");
}

/// The same, where the group of the deposed primary still remembers the session, because of a later message
/// that concerned only it: the other group proposes again, and nobody ever answers it.
#[test]
fn a_header_of_a_deposed_primary_blocks_nobody() {
    let mut stage = Stage::new(2, 3, 2, small(1, 1), 1);
    for other in [0, 1, 2, 4, 5, 6, 7] {
        stage.world.set_cut(p(3), p(other), true);
    }
    for sequence in 1..=50 {
        stage.multicast(7, 9, sequence, 0b10, 0, u64::MAX);
    }
    stage.run(10 * MILLISECOND);
    stage.world.crash(p(7));
    stage.world.pause(p(3));
    stage.multicast(2, 1, 1, 0b11, 0, 60);
    stage.run(10 * SECOND);
    stage.multicast(2, 1, 2, 0b10, 3, u64::MAX);
    for sequence in 1..=4 {
        stage.multicast(6, 2, sequence, 0b11, 100, u64::MAX);
        stage.run(3 * SECOND);
    }
    stage.world.calm_network();
    stage.world.resume(p(3));
    stage.run(5 * SECOND);
    let before = stage.length(0);
    stage.multicast(6, 3, 1, 0b01, 200, u64::MAX);
    stage.run(120 * SECOND);
    assert!(stage.length(0) > before, "g0 delivers nothing any more");
}

/// The clocks of one group are two seconds slow, by more than the bound. Its primary dies for good; the
/// other group's traffic keeps its clock ahead of what its replicas dare to lead with.
#[test]
fn a_group_with_slow_clocks_elects_a_primary() {
    let clock = ClockKind::Hybrid { bound: Duration::from_millis(500) };
    let mut stage = Stage::new(2, 3, 1, Settings { clock, ..small(100, 50) }, 1);
    for process in [3, 4, 5] {
        stage.world.clock(p(process)).jump(-2 * SECOND as i64);
    }
    stage.multicast(6, 1, 1, 0b11, 0, u64::MAX);
    stage.run(5 * SECOND);
    assert_eq!(stage.length(4), 1);
    stage.world.crash(p(3));
    for session in 2..200 {
        stage.multicast(6, session, 1, 0b11, 0, u64::MAX);
        stage.run(SECOND / 2);
    }
    assert!(stage.length(4) > 100, "p4 delivered {} messages in 100 seconds", stage.length(4));
}

/// p4 answers for its group to p0 and p2, and stands still: they hear p5 a moment later, long before anybody
/// can know that p4 is gone.
#[test]
fn another_speaks_for_one_that_stands_still() {
    assert_eq!(delivers_without_p4(Stage::new(2, 3, 1, Settings::DEFAULT, 1)), [1; 5]);
}

#[cfg(feature = "mutants")]
#[test]
fn what_could_wait_is_said() {
    let planted = Planted::bug(skein_order::Mutant::PrimCastForgetsWhatCanWait);
    let stage = Stage::with_bug(2, 3, 1, Settings::DEFAULT, 1, planted);
    assert_eq!(delivers_without_p4(stage), [0, 1, 0, 1, 1]);
}

/// How often each of the others has delivered a message after three steps and what a later word may take.
fn delivers_without_p4(mut stage: Stage) -> [usize; 5] {
    stage.run(2 * SECOND);
    stage.world.pause(p(4));
    stage.multicast(6, 1, 1, 0b11, 0, u64::MAX);
    stage.run(15 * MILLISECOND);
    [0, 1, 2, 3, 5].map(|process| stage.count(process, MessageId::new(1, 1, 0b11)))
}
