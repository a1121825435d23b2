//! Two replicas that each know something that the other has cut: one has the
//! newest log, the other has delivered most. Both are true of the group at
//! once, since what is delivered follows from what is decided, and the newest
//! log holds all of that.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::{GroupSet, Timestamp};

use super::record::{Kept, Settlement, State};
use crate::parts::Index;

impl State {
    /// The log of `best`, with the deliveries, the user's state and the windows of `furthest`.
    pub(super) fn merge(furthest: State, best: State) -> State {
        let (last, base) = (furthest.last(), furthest.base);
        let mut known: BTreeMap<Index, Kept> = furthest.entries.into_iter().map(|kept| (kept.index, kept)).collect();
        let mut entries = Vec::new();
        for kept in best.entries {
            let index = kept.index;
            match known.remove(&index) {
                // The same entry: what was delivered, and what is owed, is known to the one that has delivered most.
                Some(own) if own.entry.epoch == kept.entry.epoch => {
                    // Above the cut a follower may need all of it; below, the user whose state is taken.
                    let entry = if index > best.base { kept.entry } else { own.entry };
                    entries.push(Kept { entry, ..own });
                }
                // Another one: that was lost with its epoch. Or none at all, beyond the end of that log.
                _ if index > base || index > last => entries.push(Kept { is_delivered: false, ..kept }),
                // It was delivered, and nobody will ask about it. Above the cut no hole may be.
                _ if index > best.base => {
                    entries.push(Kept { is_delivered: true, owed: GroupSet::EMPTY, ..kept });
                }
                _ => {}
            }
        }
        // Deliveries that the user may have lost, though the newest log is cut beyond them.
        entries.extend(known.into_values().filter(|own| own.is_delivered && own.index <= best.base));
        entries.sort_by_key(|kept| kept.index);
        State {
            held: best.held,
            promised: best.promised,
            base: best.base,
            base_epoch: best.base_epoch,
            decided: best.decided.max(furthest.decided),
            entries,
            ceiling: Timestamp::ZERO,
            settled: merge_settled(furthest.settled, best.settled),
            rebirths: furthest.rebirths,
            incarnation: furthest.incarnation,
            position: furthest.position,
            user: furthest.user,
            early: furthest.early,
            first_outcome: furthest.first_outcome,
            outcomes: furthest.outcomes,
            newest: furthest.newest,
            windows: furthest.windows,
        }
    }
}

/// What either has heard of the other groups.
fn merge_settled(mut one: Vec<Settlement>, other: Vec<Settlement>) -> Vec<Settlement> {
    for mark in other {
        match one.iter_mut().find(|known| known.group == mark.group) {
            Some(known) => {
                known.index = known.index.max(mark.index);
                known.epoch = known.epoch.max(mark.epoch);
            }
            None => one.push(mark),
        }
    }
    one
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::{Entry, Epoch, Windows};
    use alloc::vec;
    use bytes::Bytes;
    use skein_machine::{MessageId, Multicast, ProcessId};

    fn epoch(round: u32) -> Epoch {
        Epoch { round, leader: ProcessId(0) }
    }

    fn kept(index: Index, round: u32, is_delivered: bool) -> Kept {
        let message = Multicast {
            id: MessageId::new(u64::from(round) + 1, index, 0b1),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: Bytes::new(),
        };
        let entry = Entry { epoch: epoch(round), timestamp: Timestamp(index), follows: 0, message };
        Kept { index, entry, is_delivered, owed: GroupSet::EMPTY }
    }

    fn state(base: Index, decided: Index, entries: Vec<Kept>) -> State {
        State {
            incarnation: 0,
            rebirths: Vec::new(),
            held: epoch(0),
            promised: epoch(0),
            ceiling: Timestamp(99),
            position: 0,
            user: Bytes::new(),
            early: Vec::new(),
            first_outcome: 0,
            outcomes: Vec::new(),
            newest: None,
            base,
            base_epoch: epoch(0),
            decided,
            entries,
            windows: Windows::new(),
            settled: Vec::new(),
        }
    }

    /// The one that has delivered most ends at 3, of which an epoch has lost the last; the other is cut at 4.
    #[test]
    fn each_gives_what_the_other_has_cut() {
        let furthest = state(1, 2, vec![kept(2, 0, true), kept(3, 0, false)]);
        let best = state(
            4,
            6,
            vec![kept(1, 0, false), kept(2, 0, false), kept(3, 1, false), kept(5, 1, false), kept(6, 1, false)],
        );
        let merged = State::merge(furthest, best);
        let places: Vec<(Index, u32, bool)> =
            merged.entries.iter().map(|kept| (kept.index, kept.entry.epoch.round, kept.is_delivered)).collect();
        assert_eq!(places, [(2, 0, true), (3, 1, false), (5, 1, false), (6, 1, false)]);
        assert_eq!((merged.base, merged.decided, merged.ceiling), (4, 6, Timestamp::ZERO));
    }
}
