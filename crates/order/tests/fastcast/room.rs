//! The [`Room`](shared::Room) with FastCast in it.

#[path = "../room/mod.rs"]
mod shared;

use std::sync::Arc;

use skein_machine::{Boot, Cluster, ProcessId};
use skein_order::Planted;
use skein_order::fastcast::{FastCast, Settings};

pub(crate) use self::shared::*;

pub(crate) type Room = shared::Room<FastCast>;

/// A log that is cut often.
pub(crate) const SMALL: Settings = Settings { checkpoint_every: 20, tail: 10, ..Settings::DEFAULT };

impl Guest for FastCast {
    type Settings = Settings;

    fn make(me: ProcessId, cluster: &Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> FastCast {
        FastCast::new(me, cluster.clone(), boot, settings, planted)
    }
}
