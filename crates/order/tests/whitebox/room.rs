//! The [`Room`](shared::Room) with White-Box in it.

#[path = "../room/mod.rs"]
mod shared;

use std::sync::Arc;

use skein_machine::{Boot, Cluster, ProcessId};
use skein_order::Planted;
use skein_order::whitebox::{Settings, WhiteBox};

pub(crate) use self::shared::*;

pub(crate) type Room = shared::Room<WhiteBox>;

/// What was delivered is cut often.
pub(crate) const SMALL: Settings = Settings { checkpoint_every: 4, tail: 2, ..Settings::DEFAULT };

impl Guest for WhiteBox {
    type Settings = Settings;

    fn make(me: ProcessId, cluster: &Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> WhiteBox {
        WhiteBox::new(me, cluster.clone(), boot, settings, planted)
    }
}
