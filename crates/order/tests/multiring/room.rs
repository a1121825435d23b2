//! The [`Room`](shared::Room) with Multi-Ring Paxos in it.

#[path = "../room/mod.rs"]
mod shared;

use std::sync::Arc;

use skein_machine::{Boot, Cluster, GroupSet, ProcessId};
use skein_order::Planted;
use skein_order::multiring::{MultiRing, Rings, Settings};

pub(crate) use self::shared::*;

pub(crate) type Room = shared::Room<MultiRing>;

/// What an operator may choose, and what a cluster may have.
#[derive(Clone, Copy)]
pub(crate) struct Chosen {
    settings: Settings,
    /// Each two groups that are neighbours have a ring that sleeps until it could have carried so many messages.
    patience: Option<u64>,
}

/// Nothing sleeps.
pub(crate) const fn awake(settings: Settings) -> Chosen {
    Chosen { settings, patience: None }
}

/// Some rings do.
pub(crate) const fn asleep(settings: Settings, patience: u64) -> Chosen {
    Chosen { settings, patience: Some(patience) }
}

/// A log that is cut often.
pub(crate) const SMALL: Settings = Settings { checkpoint_every: 20, tail: 10, ..Settings::DEFAULT };

/// One that is cut at once.
pub(crate) const TIGHT: Settings =
    Settings { checkpoint_every: 9, checkpoint_bytes: 4 << 10, tail: 6, tail_bytes: 1 << 10, ..Settings::DEFAULT };

impl Guest for MultiRing {
    type Settings = Chosen;

    fn make(me: ProcessId, cluster: &Arc<Cluster>, boot: Boot, chosen: Chosen, planted: Planted) -> MultiRing {
        let Chosen { settings, patience } = chosen;
        let rings = Rings::of(cluster);
        let rings = match patience {
            Some(patience) => {
                let pairs = (1..cluster.groups().len()).map(|second| GroupSet::from_bits(0b11 << (second - 1)));
                rings.with_sleepers(pairs, patience)
            }
            None => rings,
        };
        MultiRing::new(me, cluster.clone(), &Arc::new(rings), boot, settings, planted)
    }
}
