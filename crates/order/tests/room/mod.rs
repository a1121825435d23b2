//! [`Room`]: two groups of three replicas and a client, a millisecond apart,
//! with disks that take no time. It stands where a service would stand: it
//! hands in checkpoints and installs those that it is given. It knows no
//! protocol: each says in its own `room.rs` how its machines are made.
#![allow(dead_code)] // each protocol's tests do some of what a room is good for

mod breakage;
mod seeds;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{
    Boot, Cluster, Delivery, Down, MessageId, Multicast, Ordering, Position, ProcessId, Timestamp, Up,
};
use skein_order::Planted;
use skein_sim::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, World, golden};

pub(crate) use self::seeds::*;

/// A protocol that meets in rooms.
pub(crate) trait Guest: Ordering + 'static {
    /// What an operator may choose.
    type Settings: Copy + 'static;

    /// A process of this cluster that comes to life in this way.
    fn make(me: ProcessId, cluster: &Arc<Cluster>, boot: Boot, settings: Self::Settings, planted: Planted) -> Self;
}

/// How long a message takes.
pub(crate) const DELAY: Nanos = MILLISECOND;

/// The replicas of g0; the first one leads at first.
pub(crate) const G: [ProcessId; 3] = [ProcessId(0), ProcessId(1), ProcessId(2)];
/// The replicas of g1.
pub(crate) const H: [ProcessId; 3] = [ProcessId(3), ProcessId(4), ProcessId(5)];
/// Who only multicasts.
pub(crate) const CLIENT: ProcessId = ProcessId(6);

/// The destinations of a message to one group, the other, or both.
pub(crate) const TO_G: u64 = 0b01;
pub(crate) const TO_H: u64 = 0b10;
pub(crate) const TO_BOTH: u64 = 0b11;

pub(crate) struct Room<M: Guest> {
    pub(crate) world: World<M>,
    /// What each replica has delivered, repetitions after a restart not counted, and when.
    pub(crate) deliveries: BTreeMap<ProcessId, Vec<(Nanos, Delivery)>>,
    /// Whatever else was said, with who said it.
    pub(crate) said: Vec<(ProcessId, Up)>,
    /// What each replica has applied, and in which life.
    applied: BTreeMap<ProcessId, (u32, Position)>,
}

pub(crate) fn cluster() -> Arc<Cluster> {
    Arc::new(Cluster::regular(2, 3, 1).unwrap())
}

pub(crate) fn message(session: u64, sequence: u64, groups: u64, payload: &'static str) -> Multicast {
    Multicast {
        id: MessageId::new(session, sequence, groups),
        floor: Timestamp::ZERO,
        expiry: Timestamp::MAX,
        payload: Bytes::from_static(payload.as_bytes()),
    }
}

impl<M: Guest> Room<M> {
    pub(crate) fn new(settings: M::Settings) -> Room<M> {
        Room::with_bug(settings, 1, Planted::NONE)
    }

    /// The same with a seed of one's own, and perhaps a rule broken.
    pub(crate) fn with_bug(settings: M::Settings, seed: u64, planted: Planted) -> Room<M> {
        let processes: Vec<ProcessId> = cluster().processes().collect();
        Room::of(settings, Latency::fixed(&processes, DELAY), DiskHabits::INSTANT, seed, planted)
    }

    /// The same with other links and disks.
    pub(crate) fn with(settings: M::Settings, latency: Latency, disks: DiskHabits, seed: u64) -> Room<M> {
        Room::of(settings, latency, disks, seed, Planted::NONE)
    }

    fn of(settings: M::Settings, latency: Latency, disks: DiskHabits, seed: u64, planted: Planted) -> Room<M> {
        let cluster = cluster();
        let processes: Vec<ProcessId> = cluster.processes().collect();
        let maker = move |process, boot| M::make(process, &cluster, boot, settings, planted);
        let mut world = World::new(&processes, latency, disks, seed, Box::new(maker));
        world.start();
        Room { world, deliveries: BTreeMap::new(), said: Vec::new(), applied: BTreeMap::new() }
    }

    pub(crate) fn multicast(&mut self, sender: ProcessId, message: Multicast) {
        assert!(self.world.command(sender, Down::Multicast(message)));
    }

    /// Runs for so many message delays.
    pub(crate) fn run(&mut self, delays: u64) {
        self.run_until(self.world.now() + delays * DELAY);
    }

    pub(crate) fn run_until(&mut self, horizon: Nanos) {
        while let Some(occurrence) = self.world.next(horizon) {
            match occurrence {
                Occurrence::Told { process, life, event } => self.hear(process, life, event),
                Occurrence::Stopped(process) => panic!("{process} stopped"),
                Occurrence::Wake(_) => {}
            }
        }
    }

    fn hear(&mut self, process: ProcessId, life: u32, event: Up) {
        let applied = self.applied.entry(process).or_default();
        if applied.0 != life {
            *applied = (life, 0);
        }
        match event {
            Up::Deliver(delivery) => {
                assert_eq!(delivery.position, applied.1, "{process} leaves a gap");
                applied.1 += 1;
                let delivered = self.deliveries.entry(process).or_default();
                if delivered.last().is_none_or(|(_, last)| last.position < delivery.position) {
                    delivered.push((self.world.now(), delivery));
                }
            }
            Up::WantCheckpoint => {
                let position = applied.1;
                let bytes = Bytes::copy_from_slice(&position.to_le_bytes());
                self.world.command(process, Down::Checkpointed { position, bytes });
            }
            Up::Install { position, bytes } => {
                assert_eq!(bytes, &position.to_le_bytes()[..], "{process} installs the state of another position");
                applied.1 = position;
            }
            other => self.said.push((process, other)),
        }
    }

    /// When a process delivered a message, and how.
    pub(crate) fn delivery(&self, process: ProcessId, id: MessageId) -> Option<&(Nanos, Delivery)> {
        self.deliveries.get(&process)?.iter().find(|(_, delivery)| delivery.message.id == id)
    }

    /// How many messages a process has applied in its present life.
    pub(crate) fn applied(&self, process: ProcessId) -> Position {
        self.applied.get(&process).map_or(0, |(_, position)| *position)
    }

    /// Runs on to a moment from which nobody will tick for so many delays: replicas tick every hundred
    /// milliseconds, so what was quiet then is quiet now.
    pub(crate) fn run_to_a_quiet_moment(&mut self, delays: u64) {
        const TICK: Nanos = 100 * MILLISECOND;
        let begin = self.world.now();
        let seen = self.world.traffic().len();
        self.run_until(begin + TICK);
        let busy: Vec<Nanos> = self.world.traffic()[seen..].iter().map(|sent| sent.at - begin).collect();
        let is_quiet = |from: Nanos| {
            let away =
                |at: &Nanos| (*at + TICK - from) % TICK > delays * DELAY && (from + TICK - *at) % TICK > 2 * DELAY;
            busy.iter().all(away)
        };
        let moment = (0..TICK / DELAY).map(|nth| nth * DELAY).find(|from| is_quiet(*from));
        self.run_until(begin + TICK + moment.expect("six replicas leave a gap between their ticks"));
    }

    /// The lines of the trace that a reader wants to see.
    pub(crate) fn lines(&self, is_shown: impl FnMut(&str) -> bool) -> String {
        let mut is_shown = is_shown;
        self.world.trace().lines().filter(|line| is_shown(line)).map(|line| format!("{line}\n")).collect()
    }

    /// What a reader of a story wants to see: what happens at these processes, deliveries anywhere, and no heartbeat
    /// that says nothing new.
    pub(crate) fn story(&self, at: &[ProcessId]) -> String {
        let mut heard = BTreeSet::new();
        self.lines(|line| {
            let what = &line[12..];
            let is_here = at.iter().any(|process| what.starts_with(&format!("{process} ")));
            let is_news = !what.contains("REPORT") || heard.insert(what.to_owned());
            let is_to_itself = what.contains("hears itself: REPORT");
            let is_safe_time = what.contains("has delivered everything");
            what.contains("delivers") || is_here && is_news && !is_to_itself && !is_safe_time
        })
    }
}

/// Compares a text with the trace of this name.
pub(crate) fn compare(name: &str, text: &str) {
    golden(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name), text);
}
