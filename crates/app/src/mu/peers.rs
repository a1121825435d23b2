//! [`Peers`]: whether the processes of the other replicas live. Whoever runs a
//! replica has signed its memory, so another name there is another life. When a
//! process dies the system marks its memory first, which costs nothing to see,
//! and says it to whoever asks when the process is gone as a whole.
//!
//! Whether a process that lives does anything is not asked here.

use skein_runtime::shm::{MemorySet, Process, Watch};

use super::ground::News;

/// While a process is dead, its memory may be removed and made anew. That is looked for once in so many looks, for it
/// takes longer than the others.
const LOST_LOOKS: u32 = 64;

/// All processes but one's own.
pub(super) struct Peers {
    peers: Vec<Peer>,
    me: usize,
    looks: u32,
}

#[derive(Default)]
struct Peer {
    owner: Option<Process>,
    /// None when it is dead, or was never there.
    watch: Option<Watch>,
}

impl Peers {
    pub(super) fn new(me: usize, replicas: usize) -> Peers {
        Peers { peers: (0..replicas).map(|_| Peer::default()).collect(), me, looks: 0 }
    }

    /// One system call for each process that lives.
    pub(super) fn look(&mut self, set: &mut MemorySet, tell: &mut dyn FnMut(News)) {
        self.looks = self.looks.wrapping_add(1);
        for (nth, peer) in self.peers.iter_mut().enumerate() {
            if nth == self.me {
                continue;
            }
            // Where this fails, the memory that was there is gone, and nothing is known of another: it is looked for again.
            if peer.watch.is_none() && self.looks.is_multiple_of(LOST_LOOKS) && set.look_again(nth).unwrap_or(true) {
                peer.owner = None;
                tell(News::Changed(nth as u8));
            }
            let Some(memory) = set.memory(nth) else { continue };
            let owner = memory.owner();
            if owner != peer.owner {
                peer.owner = owner;
                // Whoever cannot be watched is judged by what it does, as one that stands still is.
                peer.watch = memory.watch().ok();
            }
            let is_orphan = memory.is_orphan();
            if peer.watch.as_ref().is_some_and(|watch| is_orphan || watch.is_dead()) {
                peer.watch = None;
                tell(News::Died(nth as u8));
            }
        }
    }
}
