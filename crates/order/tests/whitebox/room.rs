//! [`Room`]: two groups of three replicas and a client, a millisecond apart,
//! with disks that take no time. It stands where a service would stand: it
//! hands in checkpoints and installs those that it is given.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{Boot, Cluster, Delivery, Down, MessageId, Multicast, Position, ProcessId, Timestamp, Up};
use skein_order::Planted;
use skein_order::whitebox::{Settings, WhiteBox};
use skein_sim::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, World, golden};

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

/// What was delivered is cut often.
pub(crate) const SMALL: Settings = Settings { checkpoint_every: 4, tail: 2, ..Settings::DEFAULT };

pub(crate) struct Room {
    pub(crate) world: World<WhiteBox>,
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

impl Room {
    pub(crate) fn new(settings: Settings) -> Room {
        let processes: Vec<ProcessId> = cluster().processes().collect();
        Room::with(settings, Latency::fixed(&processes, DELAY), DiskHabits::INSTANT, 1)
    }

    /// The same with a rule broken, perhaps.
    pub(crate) fn with_bug(settings: Settings, seed: u64, planted: Planted) -> Room {
        let processes: Vec<ProcessId> = cluster().processes().collect();
        Room::of(settings, Latency::fixed(&processes, DELAY), DiskHabits::INSTANT, seed, planted)
    }

    /// The same with other links and disks.
    pub(crate) fn with(settings: Settings, latency: Latency, disks: DiskHabits, seed: u64) -> Room {
        Room::of(settings, latency, disks, seed, Planted::NONE)
    }

    fn of(settings: Settings, latency: Latency, disks: DiskHabits, seed: u64, planted: Planted) -> Room {
        let cluster = cluster();
        let processes: Vec<ProcessId> = cluster.processes().collect();
        let maker = move |process, boot: Boot| WhiteBox::new(process, cluster.clone(), boot, settings, planted);
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

    /// What a reader of a story wants to see: what happens at these processes, deliveries anywhere, and no heartbeat
    /// that says nothing new.
    pub(crate) fn story(&self, at: &[ProcessId]) -> String {
        let mut heard = BTreeSet::new();
        let mut is_shown = |line: &&str| {
            let what = &line[12..];
            let is_here = at.iter().any(|process| what.starts_with(&format!("{process} ")));
            let is_news = !what.contains("REPORT") || heard.insert(what.to_owned());
            let is_to_itself = what.contains("hears itself: REPORT");
            let is_safe_time = what.contains("has delivered everything");
            what.contains("delivers") || is_here && is_news && !is_to_itself && !is_safe_time
        };
        self.world.trace().lines().filter(|line| is_shown(line)).map(|line| format!("{line}\n")).collect()
    }
}

/// Compares a text with the trace of this name.
pub(crate) fn compare(name: &str, text: &str) {
    golden(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/traces").join(name), text);
}
