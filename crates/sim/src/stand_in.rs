//! [`StandIn`]: what stands in for a replicated service. It applies what replicas
//! deliver to a small state of each, hands in checkpoints of it and installs
//! those of others. Replicas that hold the same messages must have the same
//! state; what differs is written down as an oddity of the history.
//!
//! Without a relation a state is a digest of everything in its order. With one it
//! has a few keys, which messages read and write ([`Access`]), and its value
//! depends on the order of no others than those that conflict. It will never
//! answer anybody: clients hear of deliveries.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use skein_machine::{Delivery, GroupId, MessageId, Position, ProcessId, Stamp};

use crate::access::{Access, KEYS};
use crate::{History, Nanos};

const PREFIX: &str = "prefix order";

/// The services at all replicas.
#[derive(Default)]
pub(crate) struct StandIn {
    replicas: BTreeMap<ProcessId, (u32, State)>,
    /// The digest that a group had first with these messages.
    digests: BTreeMap<(GroupId, Held), u64>,
    /// Which messages were held by the states that were handed in, where some commute.
    handed_in: BTreeMap<(GroupId, Bytes), BTreeSet<Stamp>>,
}

/// Which messages a state holds: how many, and, where some commute, their names in one word.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    count: Position,
    names: u64,
}

/// What a service keeps. A new life begins with nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct State {
    held: Held,
    /// Only the first, without a relation.
    keys: [Key; KEYS],
}

/// One key: a chain of everything that was written, and a sum of what was read since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Key {
    written: u64,
    read: u64,
}

impl StandIn {
    /// A replica delivered a message.
    pub(crate) fn apply(&mut self, history: &mut History, process: ProcessId, life: u32, delivery: &Delivery) {
        let commute = history.conflicts().is_some();
        let state = self.state(process, life);
        let expected = state.held.count;
        state.held.count = delivery.position;
        match commute {
            true => state.apply(delivery),
            false => state.append(delivery.message.id),
        }
        let State { held, .. } = *state;
        let digest = state.digest();
        if expected != delivery.position {
            history.odd(
                PREFIX,
                format!("{process} delivered {delivery:?} on top of a state that ends before position {expected}"),
            );
        }
        if let Some(group) = history.cluster().group_of(process)
            && *self.digests.entry((group, held)).or_insert(digest) != digest
        {
            let detail = format!("with {delivery:?}, {process} has another state than {group} had with these messages");
            history.odd(PREFIX, detail);
        }
    }

    /// The state of a replica, to be kept, and its position.
    pub(crate) fn hand_in(&mut self, history: &History, process: ProcessId, life: u32) -> (Position, Bytes) {
        let state = *self.state(process, life);
        if history.conflicts().is_none() {
            return (state.held.count, state.digest().to_le_bytes().to_vec().into());
        }
        let bytes = state.to_bytes();
        if let Some(group) = history.cluster().group_of(process) {
            let held = history.states().and_then(|states| states.held(process, life));
            self.handed_in.entry((group, bytes.clone())).or_insert_with(|| held.cloned().unwrap_or_default());
        }
        (state.held.count, bytes)
    }

    /// A replica is given a state that some replica of its group handed in.
    pub(crate) fn install(
        &mut self,
        history: &mut History,
        now: Nanos,
        (process, life): (ProcessId, u32),
        position: Position,
        bytes: Bytes,
    ) {
        let group = history.cluster().group_of(process).expect("a replica installs");
        let no_such = format!("{process} installed a state at position {position} that {group} never had");
        if history.conflicts().is_none() {
            let digest = u64::from_le_bytes(bytes[..].try_into().expect("a digest is eight bytes"));
            let held = Held { count: position, names: 0 };
            let had = if position == 0 { Some(0) } else { self.digests.get(&(group, held)).copied() };
            if had != Some(digest) {
                history.odd(PREFIX, no_such);
            }
            *self.state(process, life) = State { held, keys: State::chain(digest) };
            history.installed(now, process, life, position);
            return;
        }
        let state = State::from_bytes(&bytes);
        let held = self.handed_in.get(&(group, bytes)).cloned();
        if state.held.count != position || held.is_none() && state != State::default() {
            history.odd(PREFIX, no_such);
        }
        *self.state(process, life) = state;
        history.installed_set(now, process, life, &held.unwrap_or_default());
    }

    fn state(&mut self, process: ProcessId, life: u32) -> &mut State {
        let (of, state) = self.replicas.entry(process).or_default();
        if *of != life {
            (*of, *state) = (life, State::default());
        }
        state
    }
}

impl State {
    /// Everything in one order: what comes next makes a difference.
    fn append(&mut self, id: MessageId) {
        let word = id.session.0.wrapping_mul(31).wrapping_add(id.sequence);
        self.held.count += 1;
        self.keys[0].written = link(self.keys[0].written, word);
    }

    /// Only what conflicts makes a difference.
    fn apply(&mut self, delivery: &Delivery) {
        let id = delivery.message.id;
        let name = scatter(id.session.0.rotate_left(32) ^ id.sequence);
        self.held.count += 1;
        self.held.names ^= name;
        if delivery.is_void() {
            return;
        }
        let Some(Access { key, is_write }) = Access::of(&delivery.message) else { return };
        let key = &mut self.keys[key];
        if is_write {
            *key = Key { written: link(link(key.written, key.read), name), read: 0 };
        } else {
            key.read = key.read.wrapping_add(scatter(key.written ^ name));
        }
    }

    /// Without a relation the chain itself, as it was always written.
    fn digest(&self) -> u64 {
        let [first, others @ ..] = &self.keys;
        others.iter().fold(first.written ^ first.read, |digest, key| {
            if *key == Key::default() { digest } else { link(link(digest, key.written), key.read) }
        })
    }

    fn chain(digest: u64) -> [Key; KEYS] {
        let mut keys = [Key::default(); KEYS];
        keys[0].written = digest;
        keys
    }

    fn to_bytes(self) -> Bytes {
        let held = [self.held.count, self.held.names];
        let words = held.into_iter().chain(self.keys.iter().flat_map(|key| [key.written, key.read]));
        words.flat_map(u64::to_le_bytes).collect()
    }

    fn from_bytes(bytes: &[u8]) -> State {
        let mut words =
            bytes.chunks(8).map(|word| u64::from_le_bytes(word.try_into().expect("a state is whole words")));
        let mut next = || words.next().expect("a state is as long as every state");
        let held = Held { count: next(), names: next() };
        State { held, keys: std::array::from_fn(|_| Key { written: next(), read: next() }) }
    }
}

/// The next link of a chain.
fn link(chain: u64, word: u64) -> u64 {
    (chain.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The same word, with its bits all over the place, so that sums of such words are told apart.
fn scatter(word: u64) -> u64 {
    let word = (word ^ word >> 31).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SOME_COMMUTE;
    use skein_machine::{Cluster, Conflicts, Multicast, Timestamp};
    use std::sync::Arc;

    /// One group of three and a service at each.
    struct Stage {
        history: History,
        service: StandIn,
    }

    /// Message of session, timestamp and letter.
    type Said = (u64, u64, char);

    /// Sessions 1 and 3 read a key that 2 and 4 write; 5 comes too late to write it.
    const ONE: Said = (1, 5, 'a');
    const TWO: Said = (2, 6, 'e');
    const THREE: Said = (3, 7, 'i');
    const FOUR: Said = (4, 8, 'e');
    const LATE: Said = (5, 100, 'e');

    impl Stage {
        fn new(conflicts: Option<Conflicts>) -> Stage {
            let cluster = Arc::new(Cluster::regular(1, 3, 0).unwrap());
            Stage { history: History::new(cluster, conflicts), service: StandIn::default() }
        }

        /// Without judging the history, which has judges of its own.
        fn apply(&mut self, process: u16, life: u32, all: &[Said]) -> &mut Stage {
            let process = ProcessId(process);
            for (session, timestamp, letter) in all.iter().copied() {
                let message = Multicast {
                    id: MessageId::new(session, 1, 0b1),
                    floor: Timestamp::ZERO,
                    expiry: Timestamp(99),
                    payload: letter.to_string().into(),
                };
                self.history.multicast(1, process, &message);
                let position = self.service.state(process, life).held.count;
                let delivery = Delivery { position, timestamp: Timestamp(timestamp), message };
                self.service.apply(&mut self.history, process, life, &delivery);
                self.history.delivered(1, process, life, &delivery);
            }
            self
        }

        fn install(&mut self, process: u16, life: u32, position: Position, bytes: Bytes) -> &mut Stage {
            self.service.install(&mut self.history, 1, (ProcessId(process), life), position, bytes);
            self
        }

        /// How often states differed that should not, in the words of this file.
        fn oddities(&self) -> usize {
            let words = ["that ends before", "another state than", "that g0 never had"];
            let ours = |detail: &str| words.iter().any(|words| detail.contains(words));
            self.history.oddities().iter().filter(|oddity| ours(&oddity.detail)).count()
        }
    }

    fn differ(conflicts: Option<Conflicts>, one: &[Said], other: &[Said]) -> bool {
        let mut stage = Stage::new(conflicts);
        stage.apply(0, 1, one).apply(1, 1, other);
        stage.oddities() > 0
    }

    #[test]
    fn only_the_order_of_those_that_conflict_matters() {
        let differ = |one: &[Said], other: &[Said]| differ(Some(SOME_COMMUTE), one, other);
        assert!(!differ(&[ONE, THREE, TWO], &[THREE, ONE, TWO]), "two reads");
        assert!(!differ(&[ONE, (6, 9, 'd'), TWO], &[(6, 9, 'd'), ONE, TWO]), "another key");
        assert!(differ(&[ONE, TWO], &[TWO, ONE]), "a read and a write");
        assert!(differ(&[TWO, FOUR], &[FOUR, TWO]), "two writes");
        assert!(differ(&[ONE, TWO, THREE], &[THREE, TWO, ONE]), "reads on two sides of a write");
        assert!(!differ(&[LATE, TWO, ONE], &[TWO, LATE, ONE]), "without effect");
        assert!(!differ(&[ONE, TWO], &[ONE, FOUR]), "they do not hold the same");
    }

    #[test]
    fn without_a_relation_every_order_matters() {
        assert!(differ(None, &[ONE, THREE], &[THREE, ONE]));
        assert!(differ(None, &[ONE, TWO], &[ONE, FOUR]), "not the same at one position");
        assert!(!differ(None, &[ONE, THREE, LATE], &[ONE, THREE, LATE]));
    }

    #[test]
    fn a_state_travels_as_bytes() {
        for conflicts in [None, Some(SOME_COMMUTE)] {
            let mut stage = Stage::new(conflicts);
            stage.apply(0, 1, &[ONE, TWO, THREE]);
            let (position, bytes) = stage.service.hand_in(&stage.history, ProcessId(0), 1);
            assert_eq!(position, 3);
            stage.install(1, 1, position, bytes).apply(0, 1, &[FOUR]).apply(1, 1, &[FOUR]);
            assert_eq!(stage.history.oddities(), []);
            let both = [0, 1].map(|process| *stage.service.state(ProcessId(process), 1));
            assert_eq!(both[0], both[1]);
            assert_eq!(stage.history.deliveries(ProcessId(1)).count(), 4);
        }
    }

    #[test]
    fn a_state_comes_from_where_it_was_handed_in() {
        for conflicts in [None, Some(SOME_COMMUTE)] {
            let install = |change: &dyn Fn(&mut Position, &mut Vec<u8>)| {
                let mut stage = Stage::new(conflicts);
                stage.apply(0, 1, &[ONE, TWO]);
                let (mut position, bytes) = stage.service.hand_in(&stage.history, ProcessId(0), 1);
                let mut bytes = bytes.to_vec();
                change(&mut position, &mut bytes);
                stage.install(1, 1, position, bytes.into()).oddities()
            };
            assert_eq!(install(&|_, _| {}), 0);
            assert_eq!(install(&|_, bytes| *bytes.last_mut().unwrap() ^= 1), 1);
            assert_eq!(install(&|position, _| *position = 1), 1);
            assert_eq!(install(&|position, bytes| (*position, *bytes) = (0, vec![0; bytes.len()])), 0, "nothing");
        }
    }

    #[test]
    fn a_new_life_begins_with_nothing() {
        for conflicts in [None, Some(SOME_COMMUTE)] {
            let mut stage = Stage::new(conflicts);
            stage.apply(0, 1, &[ONE, TWO]).apply(0, 2, &[ONE, TWO]);
            assert_eq!(stage.history.oddities(), []);
        }
    }
}
