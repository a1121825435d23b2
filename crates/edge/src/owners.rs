//! [`Owners`]: whose a key is, without asking anybody (rendezvous hashing, by
//! Thaler and Ravishankar).
//!
//! Every member of a list has a rank for every key, which follows from its name
//! and the key alone. The first is the owner, the next takes over when the first
//! is gone, and nobody else's turn changes. A member with twice the weight of
//! another is first for twice as many keys.
//!
//! A rank is part of what members agree on without a word, so it means the same
//! on every machine and in every version: it is computed in whole numbers, and
//! the first ones are pinned by a test.

use alloc::vec::Vec;
use core::cmp::{Ordering, Reverse};

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::MemberId;

/// What a member weighs if nobody says otherwise.
pub const USUAL_WEIGHT: u32 = 100;

/// A thousand times the usual is more than one machine is bigger than another.
pub const MAX_WEIGHT: u32 = 100_000;

/// Fractional digits of a [`cost`].
const DIGITS: u32 = 32;

/// The members among which keys are divided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Owners {
    /// Sorted by id, each once.
    members: Vec<(MemberId, u32)>,
}

impl Owners {
    /// These members, each with its weight. Without weight a member owns nothing; of a member that is named twice the
    /// higher weight counts.
    pub fn new(members: impl IntoIterator<Item = (MemberId, u32)>) -> Owners {
        let mut members: Vec<_> = members.into_iter().filter(|(_, weight)| *weight > 0).collect();
        members.iter_mut().for_each(|(_, weight)| *weight = (*weight).min(MAX_WEIGHT));
        members.sort_unstable_by_key(|(id, weight)| (*id, Reverse(*weight)));
        members.dedup_by_key(|(id, _)| *id);
        Owners { members }
    }

    /// Whose this key is. Nobody's, if there is nobody.
    pub fn owner(&self, key: &[u8]) -> Option<MemberId> {
        self.members.iter().map(|member| Rank::of(*member, key)).min().map(|rank| rank.id)
    }

    /// The first members for this key, so many at most.
    pub fn first(&self, key: &[u8], count: usize) -> Vec<MemberId> {
        let mut ranks = self.ranks(key);
        if count < ranks.len() {
            ranks.select_nth_unstable(count);
            ranks.truncate(count);
        }
        ranks.sort_unstable();
        ranks.into_iter().map(|rank| rank.id).collect()
    }

    /// All members in the order of their turns for this key.
    pub fn priorities(&self, key: &[u8]) -> Vec<MemberId> {
        self.first(key, self.members.len())
    }

    /// Who has a part in this.
    pub fn members(&self) -> impl ExactSizeIterator<Item = MemberId> {
        self.members.iter().map(|(id, _)| *id)
    }

    fn ranks(&self, key: &[u8]) -> Vec<Rank> {
        self.members.iter().map(|member| Rank::of(*member, key)).collect()
    }
}

/// How strongly a member is drawn to a key: the same whoever else there is, and whatever it weighs.
pub fn pull(member: MemberId, key: &[u8]) -> u64 {
    xxh3_64_with_seed(key, member.0)
}

/// The place of a member in the line for a key: the smallest is first.
#[derive(Clone, Copy, Debug)]
struct Rank {
    id: MemberId,
    weight: u32,
    pull: u64,
}

impl Rank {
    fn of((id, weight): (MemberId, u32), key: &[u8]) -> Rank {
        Rank { id, weight, pull: pull(id, key) }
    }
}

impl Ord for Rank {
    /// With the pull as a number u between 0 and 1, -ln(u) / weight is exponentially distributed with the weight as
    /// rate, and of several such the smallest is each with a probability in proportion to its rate. With equal weights
    /// that is the order of the pulls, and no logarithm is needed.
    fn cmp(&self, other: &Rank) -> Ordering {
        let by_weight = if self.weight == other.weight {
            Ordering::Equal
        } else {
            let (own, others) = (cost(self.pull), cost(other.pull));
            (u128::from(own) * u128::from(other.weight)).cmp(&(u128::from(others) * u128::from(self.weight)))
        };
        by_weight.then(other.pull.cmp(&self.pull)).then(self.id.cmp(&other.id))
    }
}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Rank) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Rank {
    fn eq(&self, other: &Rank) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Rank {}

/// -log2(pull / 2^64) with [`DIGITS`] binary digits behind the point, never 0. In whole numbers, digit by digit: a
/// logarithm of a library may differ from machine to machine in its last digit, and then two members would disagree.
fn cost(pull: u64) -> u64 {
    let pull = pull.max(1);
    let whole = u64::from(pull.ilog2());
    // Between 1 and 2, with 63 digits behind the point.
    let mut rest = pull << pull.leading_zeros();
    let mut digits = 0;
    for _ in 0..DIGITS {
        let square = (u128::from(rest) * u128::from(rest)) >> 63;
        let is_two_or_more = square >> 64 != 0;
        digits = digits << 1 | u64::from(is_two_or_more);
        rest = (square >> u32::from(is_two_or_more)) as u64;
    }
    (64 << DIGITS) - (whole << DIGITS | digits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Name;
    use alloc::collections::BTreeMap;
    use alloc::format;
    use alloc::vec;
    use proptest::prelude::*;

    fn member(nth: usize) -> MemberId {
        Name::new(&format!("node-{nth}")).unwrap().id()
    }

    fn alike(count: usize) -> Owners {
        Owners::new((0..count).map(|nth| (member(nth), USUAL_WEIGHT)))
    }

    fn keys(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|nth| format!("origin-{nth}.example").into_bytes()).collect()
    }

    fn counts(owners: &Owners, keys: &[Vec<u8>]) -> BTreeMap<MemberId, usize> {
        keys.iter().fold(BTreeMap::new(), |mut counts, key| {
            *counts.entry(owners.owner(key).unwrap()).or_default() += 1;
            counts
        })
    }

    #[test]
    fn ranks_are_for_ever() {
        let pulls = [0, 1].map(|nth| pull(member(nth), b"origin"));
        assert_eq!(pulls, PULLS);
        assert_eq!([0, 1, 1 << 63, u64::MAX, PULLS[0]].map(cost), COSTS);
        let place = |id| (0..5).find(|nth| member(*nth) == id).unwrap();
        let priorities = |owners: &Owners| owners.priorities(b"origin").into_iter().map(place).collect::<Vec<_>>();
        assert_eq!(priorities(&alike(5)), PRIORITIES);
        let heavy = Owners::new((0..5).map(|nth| (member(nth), 100 * (nth as u32 + 1))));
        assert_eq!(priorities(&heavy), HEAVY_PRIORITIES);
    }

    const PULLS: [u64; 2] = [1665636315528384884, 875908256960185344];
    const COSTS: [u64; 5] = [274877906944, 274877906944, 4294967296, 1, 14900190150];
    const PRIORITIES: [usize; 5] = [4, 3, 2, 0, 1];
    const HEAVY_PRIORITIES: [usize; 5] = [4, 3, 2, 1, 0];

    #[test]
    fn a_logarithm_in_whole_numbers_is_one() {
        for pull in (0..64).map(|bit| 1u64 << bit).chain((1..1000).map(|nth| u64::MAX / 1000 * nth)) {
            let exact = 64.0 - (pull as f64).log2();
            let here = cost(pull) as f64 / (1u64 << DIGITS) as f64;
            assert!((exact - here).abs() < 1e-8, "{pull}: {here} and not {exact}");
        }
    }

    #[test]
    fn each_owns_its_share() {
        let (keys, owners) = (keys(20_000), alike(10));
        for (id, count) in counts(&owners, &keys) {
            assert!((1_800..2_200).contains(&count), "{id:?} owns {count} of 20,000 among ten");
        }
    }

    #[test]
    fn whoever_weighs_more_owns_more() {
        let weights = [50, 100, 100, 250, 500];
        let owners = Owners::new(weights.iter().enumerate().map(|(nth, weight)| (member(nth), *weight)));
        let counts = counts(&owners, &keys(20_000));
        for (nth, weight) in weights.iter().enumerate() {
            let (count, expected) = (counts[&member(nth)], 20 * *weight as usize);
            assert!(
                count.abs_diff(expected) < 20 + expected / 10,
                "weight {weight} owns {count}, not about {expected}"
            );
        }
    }

    #[test]
    fn nobody_owns_among_nobody_and_nothing_without_weight() {
        assert_eq!(alike(0).owner(b"a"), None);
        assert_eq!(Owners::new([(member(0), 0)]).owner(b"a"), None);
        let twice = Owners::new([(member(0), 1), (member(0), 7), (member(1), u32::MAX)]);
        assert_eq!(twice.members, {
            let mut members = vec![(member(0), 7), (member(1), MAX_WEIGHT)];
            members.sort_unstable();
            members
        });
    }

    proptest! {
        #[test]
        fn a_change_of_one_moves_only_its_own_keys(
            weights in proptest::collection::vec(1u32..1000, 2..20),
            changed in any::<prop::sample::Index>(),
            key in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let changed = changed.index(weights.len());
            let list = |without: bool| Owners::new(
                weights.iter().enumerate().filter(|(nth, _)| !(without && *nth == changed))
                    .map(|(nth, weight)| (member(nth), *weight)),
            );
            let (all, fewer) = (list(false), list(true));
            // Without one member the others keep their turns.
            let mut left = all.priorities(&key);
            left.retain(|id| *id != member(changed));
            prop_assert_eq!(&left, &fewer.priorities(&key));
            prop_assert_eq!(fewer.owner(&key), left.first().copied());
            prop_assert_eq!(all.first(&key, 3), all.priorities(&key)[..weights.len().min(3)].to_vec());
        }
    }
}
