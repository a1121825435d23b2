//! [`Ground`]: the memories of a cluster and the processes beside them, as a
//! replica sees them; and [`Shared`], memories in files that processes share.
//!
//! It says which memory is whose and who has died. What is in them it does not
//! look at, but to say of new ones that nothing was lost.

use std::path::Path;
use std::sync::atomic::AtomicU64;

use skein_order::Planted;
use skein_order::mu::memory::Memory;
use skein_order::mu::{MIN_PIECE, Shape};
use skein_runtime::shm::{Measure, MemorySet, Plan, Seat, SharedWords};

use super::peers::Peers;
use super::{MuConfig, MuError};

/// Where memories are.
pub(super) trait Ground {
    /// The words of a replica's memory, unless it is lost.
    fn words(&self, replica: usize) -> Option<&[AtomicU64]>;

    /// Looks at the other processes.
    fn look(&mut self, tell: &mut dyn FnMut(News));
}

/// What was seen of another process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It is dead.
    Died(u8),
    /// Its memory is another one than before, or has gone.
    Changed(u8),
}

/// Memories in files.
pub(super) struct Shared {
    set: MemorySet,
    peers: Peers,
    /// As long as it is kept, nobody else runs this replica.
    _seat: Seat,
}

impl Shared {
    /// Finds or makes them, and takes the seat of one's replica.
    pub(super) fn open(config: &MuConfig, folder: &Path, shape: &Shape) -> Result<Shared, MuError> {
        let measure = |name, value: usize| Measure { name, value: value as u64 };
        let measures = vec![
            measure("slots", shape.slots),
            measure("bytes a slot", shape.value_bytes),
            measure("bytes a piece", MIN_PIECE),
        ];
        let plan = Plan { cluster: config.cluster(), replicas: shape.replicas, words: shape.words(), shape: measures };
        let mut set = MemorySet::open_or_create(folder, &plan)?;
        let seat = set.take(config.replica)?;
        if set.memory(config.replica).is_none() {
            set.renew(&seat)?;
        }
        if let Some(memory) = set.memory(config.replica).filter(|memory| !memory.is_blank()) {
            Memory::new(memory.words(), shape, Planted::NONE).begin();
        }
        Ok(Shared { set, peers: Peers::new(config.replica, shape.replicas), _seat: seat })
    }
}

impl Ground for Shared {
    #[inline]
    fn words(&self, replica: usize) -> Option<&[AtomicU64]> {
        self.set.memory(replica).map(SharedWords::words)
    }

    fn look(&mut self, tell: &mut dyn FnMut(News)) {
        self.peers.look(&mut self.set, tell);
    }
}
