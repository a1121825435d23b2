//! [`Exchange`]: what partitions tell each other before a command that needs
//! values of several of them can be applied. Each tells its share when the
//! command is next in line there, and applies it when it has the shares of all
//! others.
//!
//! A replica that applies the command again after a crash needs the shares
//! again, and by then whoever told them has gone on. So what is told is kept,
//! through checkpoints too, until a majority of each other partition has it on
//! disk; and what was heard is kept until the own checkpoint is past the
//! command. Whoever misses a share still finds it with the one or the other, or
//! somebody of its own group whose checkpoint is past the command. Of its own
//! group it is told many at once.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Cluster, GroupId, GroupSet, ProcessId, Shares, Stamp, Wire};

use crate::{Mutant, Planted};

/// The longest share: some values of the longest kind. What is longer a service refuses to put together.
pub const MAX_SHARE: usize = 80 << 20;

/// What others told and is not in a checkpoint, in bytes, above which only what the next command waits for is taken. No
/// partition gets far ahead of another, but far ahead of a replica that is behind; which asks again when it is there.
pub(super) const MAX_HEARD_BYTES: usize = 64 << 20;

/// Whoever misses a share is told so many at once,
const MOST_AT_ONCE: usize = 256;

/// and so many bytes, unless the first is longer.
const MOST_BYTES_AT_ONCE: usize = 1 << 20;

/// What a share takes besides its bytes, about.
const OVERHEAD: usize = 128;

/// One command of one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// Where the message stands.
    pub stamp: Stamp,
    /// The command's number there.
    pub nth: u32,
}

/// What one partition tells the others of a command.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Share {
    /// It has applied the command before, under the name that it goes by: nobody may apply it again.
    pub was_applied: bool,
    /// What the service says.
    pub bytes: Bytes,
}

/// See above.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Exchange {
    /// What this partition has told.
    told: BTreeMap<Turn, Share>,
    /// What the others told.
    heard: BTreeMap<Turn, BTreeMap<GroupId, Share>>,
    heard_bytes: usize,
    /// How far each replica of another partition has everything on its disk that it was told.
    holds: BTreeMap<ProcessId, Stamp>,
    /// Who has asked for a share that is not there yet. The last one to ask in each group is enough: the others
    /// ask again.
    wanted: BTreeMap<(GroupId, ProcessId), Turn>,
}

impl Exchange {
    /// What this partition tells of a command, if it has got there.
    pub(super) fn told(&self, turn: Turn) -> Option<&Share> {
        self.told.get(&turn)
    }

    /// This partition has got to a command. Answers who has asked already.
    pub(super) fn tell(&mut self, turn: Turn, share: Share) -> Vec<ProcessId> {
        self.told.insert(turn, share);
        let waiting: Vec<_> = self.wanted.iter().filter(|(_, wants)| **wants <= turn).map(|(who, _)| *who).collect();
        let there = waiting.iter().filter(|who| self.wanted[who] == turn).map(|(_, process)| *process).collect();
        waiting.iter().for_each(|who| {
            self.wanted.remove(who);
        });
        there
    }

    /// Somebody wants a share that is not there yet.
    pub(super) fn want(&mut self, group: GroupId, process: ProcessId, turn: Turn) {
        self.wanted.insert((group, process), turn);
    }

    /// Another partition has told something. Answers whether it is new.
    pub(super) fn hear(&mut self, turn: Turn, group: GroupId, share: Share) -> bool {
        let heard = self.heard.entry(turn).or_default();
        let is_new = !heard.contains_key(&group);
        if is_new {
            self.heard_bytes += share.length();
            heard.insert(group, share);
        }
        is_new
    }

    /// What another partition told, from this command on: whoever has lost its memory misses all of it, and asking for
    /// each would take longer than it took to happen.
    pub(super) fn heard_from(&self, turn: Turn, group: GroupId) -> Vec<(Turn, Share)> {
        let mut bytes = 0;
        let heard = self.heard.range(turn..).filter_map(|(turn, heard)| Some((*turn, heard.get(&group)?.clone())));
        let fits = |(nth, (_, share)): &(usize, (Turn, Share))| {
            bytes += share.length();
            *nth == 0 || bytes <= MOST_BYTES_AT_ONCE
        };
        heard.take(MOST_AT_ONCE).enumerate().take_while(fits).map(|(_, told)| told).collect()
    }

    /// Whether there is room for what nobody waits for yet.
    pub(super) fn has_room(&self) -> bool {
        self.heard_bytes < MAX_HEARD_BYTES
    }

    /// What another partition told.
    pub(super) fn heard(&self, turn: Turn, group: GroupId) -> Option<&Share> {
        self.heard.get(&turn)?.get(&group)
    }

    /// Those of these groups that have told nothing yet.
    pub(super) fn silent(&self, turn: Turn, groups: GroupSet) -> GroupSet {
        let heard = self.heard.get(&turn);
        groups.iter().filter(|group| heard.is_none_or(|heard| !heard.contains_key(group))).collect()
    }

    /// What the others told, for the service; and whether one of them has applied the command before.
    pub(super) fn shares(&self, turn: Turn) -> (Shares, bool) {
        let (mut shares, mut was_applied) = (Shares::none(), false);
        for (group, share) in self.heard.get(&turn).into_iter().flatten() {
            shares.insert(*group, share.bytes.clone());
            was_applied |= share.was_applied;
        }
        (shares, was_applied)
    }

    /// A replica has on its disk what it was told of everything up to here.
    pub(super) fn holds(&mut self, process: ProcessId, upto: Stamp) {
        let holds = self.holds.entry(process).or_insert(upto);
        *holds = upto.max(*holds);
    }

    /// Forgets what a majority of each other partition holds.
    pub(super) fn forget_told(&mut self, own: GroupId, cluster: &Cluster, planted: Planted) {
        let is_one_enough = planted.is(Mutant::ReplicaForgetsWhatItTold);
        let holds = &self.holds;
        self.told.retain(|turn, _| {
            let is_held = |group: GroupId| {
                let has = |process: &&ProcessId| holds.get(process).is_some_and(|upto| *upto >= turn.stamp);
                cluster.members(group).iter().filter(has).count()
                    >= if is_one_enough { 1 } else { cluster.quorum(group) }
            };
            !turn.stamp.id.destinations.iter().filter(|group| *group != own).all(is_held)
        });
    }

    /// Forgets what was heard of commands up to here: a checkpoint is past them.
    pub(super) fn forget_heard(&mut self, upto: Stamp) {
        let left = self.heard.split_off(&Turn { stamp: upto, nth: u32::MAX });
        let forgotten = core::mem::replace(&mut self.heard, left);
        self.heard_bytes -= forgotten.values().flat_map(BTreeMap::values).map(Share::length).sum::<usize>();
    }

    /// Everything that was told, for a checkpoint.
    pub(super) fn all_told(&self) -> Vec<(Turn, Share)> {
        self.told.iter().map(|(turn, share)| (*turn, share.clone())).collect()
    }

    /// Everything that was heard and is not in a checkpoint.
    pub(super) fn all_heard(&self) -> Vec<(Turn, GroupId, Share)> {
        let each = |(turn, heard): (&Turn, &BTreeMap<GroupId, Share>)| {
            let turn = *turn;
            heard.iter().map(move |(group, share)| (turn, *group, share.clone())).collect::<Vec<_>>()
        };
        self.heard.iter().flat_map(each).collect()
    }

    /// Takes back what was told.
    pub(super) fn restore_told(&mut self, told: impl IntoIterator<Item = (Turn, Share)>) {
        self.told.extend(told);
    }

    /// How much is kept: told, heard.
    pub(super) fn counts(&self) -> [usize; 2] {
        [self.told.len(), self.heard.len()]
    }
}

impl Share {
    fn length(&self) -> usize {
        OVERHEAD + self.bytes.len()
    }
}

impl Wire for Turn {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.stamp.encode(writer);
        writer.u32(self.nth);
    }

    fn decode(reader: &mut Reader) -> Result<Turn, WireError> {
        Ok(Turn { stamp: Stamp::decode(reader)?, nth: reader.u32()? })
    }
}

impl Wire for Share {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.flag(self.was_applied);
        writer.bytes(&self.bytes);
    }

    fn decode(reader: &mut Reader) -> Result<Share, WireError> {
        Ok(Share { was_applied: reader.flag()?, bytes: reader.bytes("a share", MAX_SHARE)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use skein_machine::{MessageId, Timestamp};

    const fn group(number: usize) -> GroupId {
        GroupId::new(number).unwrap()
    }

    fn turn(timestamp: u64) -> Turn {
        Turn { stamp: Stamp { timestamp: Timestamp(timestamp), id: MessageId::new(1, timestamp, 0b11) }, nth: 0 }
    }

    fn share(bytes: &'static [u8]) -> Share {
        Share { was_applied: false, bytes: Bytes::from_static(bytes) }
    }

    #[test]
    fn what_was_told_is_kept_until_a_majority_holds_it() {
        let cluster = Cluster::regular(2, 3, 0).unwrap();
        let mut exchange = Exchange::default();
        exchange.tell(turn(5), share(b"a"));
        exchange.tell(turn(9), share(b"b"));
        exchange.holds(ProcessId(3), turn(9).stamp);
        exchange.holds(ProcessId(0), turn(9).stamp);
        exchange.forget_told(group(0), &cluster, Planted::NONE);
        assert_eq!(exchange.counts(), [2, 0], "one of three, and one of the own group");
        exchange.holds(ProcessId(5), turn(5).stamp);
        exchange.holds(ProcessId(5), turn(4).stamp);
        exchange.forget_told(group(0), &cluster, Planted::NONE);
        assert_eq!((exchange.told(turn(5)), exchange.told(turn(9))), (None, Some(&share(b"b"))));
    }

    #[test]
    fn what_was_heard_is_kept_until_a_checkpoint_is_past_it() {
        let mut exchange = Exchange::default();
        assert!(exchange.hear(turn(5), group(1), share(b"a")));
        assert!(!exchange.hear(turn(5), group(1), share(b"another")), "the first word stands");
        assert!(exchange.hear(turn(9), group(1), Share { was_applied: true, ..share(b"b") }));
        assert_eq!(exchange.silent(turn(5), GroupSet::from_bits(0b110)), GroupSet::from_bits(0b100));
        let (shares, was_applied) = exchange.shares(turn(5));
        assert_eq!((shares.from(group(1)).unwrap().as_ref(), was_applied), (&b"a"[..], false));
        assert!(exchange.shares(turn(9)).1);
        exchange.forget_heard(turn(5).stamp);
        assert_eq!((exchange.all_heard().len(), exchange.heard_bytes), (1, OVERHEAD + 1));
        assert_eq!(exchange.silent(turn(5), GroupSet::from_bits(0b10)), GroupSet::from_bits(0b10));
    }

    #[test]
    fn whoever_misses_one_is_told_what_follows() {
        let mut exchange = Exchange::default();
        for timestamp in 1..=MOST_AT_ONCE as u64 + 2 {
            exchange.hear(turn(timestamp), group(1), share(b"a"));
            exchange.hear(turn(timestamp), group(2), share(b"b"));
        }
        let told = exchange.heard_from(turn(2), group(1));
        assert_eq!((told.len(), &told[0], &told[1]), (MOST_AT_ONCE, &(turn(2), share(b"a")), &(turn(3), share(b"a"))));
        let last = turn(MOST_AT_ONCE as u64 + 2);
        assert_eq!(exchange.heard_from(last, group(2)), [(last, share(b"b"))]);
        let long = Share { was_applied: false, bytes: Bytes::from(vec![0; MOST_BYTES_AT_ONCE / 3]) };
        (1001..1009).for_each(|timestamp| _ = exchange.hear(turn(timestamp), group(1), long.clone()));
        assert_eq!(exchange.heard_from(turn(1001), group(1)).len(), 2);
        let longer = Share { was_applied: false, bytes: Bytes::from(vec![0; MOST_BYTES_AT_ONCE + 1]) };
        exchange.hear(turn(1000), group(1), longer.clone());
        assert_eq!(exchange.heard_from(turn(1000), group(1)), [(turn(1000), longer)], "one there is");
    }

    #[test]
    fn who_asks_too_early_is_told_when_it_is_time() {
        let mut exchange = Exchange::default();
        exchange.want(group(1), ProcessId(3), turn(5));
        exchange.want(group(1), ProcessId(4), turn(9));
        assert_eq!(exchange.tell(turn(5), share(b"a")), vec![ProcessId(3)]);
        assert_eq!(exchange.tell(turn(10), share(b"b")), vec![], "what was asked for has been passed over");
        assert_eq!(exchange.wanted.len(), 0);
    }
}
