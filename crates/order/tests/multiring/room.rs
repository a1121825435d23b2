//! The [`Room`](shared::Room) with Multi-Ring Paxos in it.

#[path = "../room/mod.rs"]
mod shared;

use std::sync::Arc;

use skein_machine::{Boot, Cluster, ProcessId};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Rings, Settings};

pub(crate) use self::shared::*;

pub(crate) type Room = shared::Room<MultiRing>;

/// A log that is cut often.
pub(crate) const SMALL: Settings = Settings { checkpoint_every: 20, tail: 10, ..Settings::DEFAULT };

impl Guest for MultiRing {
    type Settings = Settings;

    fn make(me: ProcessId, cluster: &Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> MultiRing {
        MultiRing::new(me, cluster.clone(), &Arc::new(Rings::of(cluster)), boot, settings, planted)
    }
}
