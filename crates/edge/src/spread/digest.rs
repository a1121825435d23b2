//! [`Digest`]: what somebody has seen, in a kilobyte at most. Members are sorted
//! into drawers by their ids, and each drawer has a sum: two who compare see
//! which drawers differ, and talk of nothing else. So it costs little to find
//! out that one change of a few thousand members' is missing.

use alloc::vec::Vec;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};

use crate::MemberId;
use crate::dots::Dots;
use crate::map::{DRAWER_BITS, Map};

/// So many actors share a drawer, or fewer.
const IN_A_DRAWER: usize = 8;

/// A sum for each drawer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// As many as a power of two.
    sums: Vec<u64>,
}

/// Some drawers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawers {
    /// As many drawers as this power of two.
    bits: u8,
    /// Which of them, sorted.
    which: Vec<u8>,
}

impl Digest {
    /// Of what a map has seen.
    pub(super) fn of(map: &Map) -> Digest {
        let actors = map.seen().actors().len();
        Digest::with(map, (actors / IN_A_DRAWER).max(1).ilog2().min(DRAWER_BITS))
    }

    /// A drawer of fewer is several of more.
    fn with(map: &Map, bits: u32) -> Digest {
        let together = map.sums().chunks(1 << (DRAWER_BITS - bits));
        Digest { sums: together.map(|sums| sums.iter().copied().fold(0, u64::wrapping_add)).collect() }
    }

    /// The drawers in which this differs from what another map has seen. `None` if there are none.
    pub(super) fn differs(&self, map: &Map) -> Option<Drawers> {
        let bits = self.sums.len().ilog2();
        let own = Digest::with(map, bits);
        let both = self.sums.iter().zip(&own.sums);
        let which: Vec<u8> = (0..=u8::MAX).zip(both).filter(|(_, (a, b))| a != b).map(|(nth, _)| nth).collect();
        (!which.is_empty()).then_some(Drawers { bits: bits as u8, which })
    }
}

impl Drawers {
    /// Everything.
    pub(super) fn all() -> Drawers {
        Drawers { bits: 0, which: [0].into() }
    }

    /// Whether that is everything.
    pub(super) fn are_all(&self) -> bool {
        self.which.len() == 1 << self.bits
    }

    /// What of these is in the drawers.
    pub(super) fn inside(&self, dots: &Dots) -> Dots {
        let mut inside = Dots::new();
        let below = u64::BITS - u32::from(self.bits);
        for drawer in &self.which {
            let first = u64::from(*drawer).checked_shl(below).unwrap_or(0);
            let last = first | u64::MAX.checked_shr(self.bits.into()).unwrap_or(0);
            inside.join_members(dots, MemberId(first), MemberId(last));
        }
        inside
    }
}

impl Wire for Digest {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.each(&self.sums);
    }

    fn decode(reader: &mut Reader) -> Result<Digest, WireError> {
        let sums: Vec<u64> = reader.list("a digest", 1 << DRAWER_BITS)?;
        if sums.len().is_power_of_two() { Ok(Digest { sums }) } else { Err(WireError::Invalid { what: "a digest" }) }
    }
}

impl Wire for Drawers {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.bits);
        writer.bytes(&self.which);
    }

    fn decode(reader: &mut Reader) -> Result<Drawers, WireError> {
        let (bits, which) = (reader.u8()?, reader.bytes("drawers", 1 << DRAWER_BITS)?);
        let is_sorted = which.is_sorted_by(|one, next| one < next);
        let exist = which.iter().all(|drawer| u32::from(*drawer) < 1 << bits.min(DRAWER_BITS as u8));
        if u32::from(bits) > DRAWER_BITS || !is_sorted || !exist {
            return Err(WireError::Invalid { what: "drawers" });
        }
        Ok(Drawers { bits, which: which.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dots::Actor;
    use bytes::Bytes;
    use proptest::prelude::*;
    use skein_machine::wire::{self, VERSION};
    use xxhash_rust::xxh3::xxh3_64;

    /// A map that has heard of so many members, each of which did something.
    fn some(members: u64) -> Map {
        let mut map = Map::new(Actor { member: MemberId(0), life: 1 });
        for nth in 0..members {
            let mut other = Map::new(Actor { member: MemberId(xxh3_64(&nth.to_le_bytes())), life: 1 });
            other.put(&nth.to_le_bytes(), Bytes::new()).unwrap();
            hear(&other, &mut map);
        }
        map
    }

    fn hear(other: &Map, map: &mut Map) {
        for delta in other.news(other.seen(), usize::MAX) {
            map.merge(delta).unwrap();
        }
    }

    #[test]
    fn equal_maps_have_equal_digests_of_a_size_that_fits() {
        for members in [0, 1, 9, 100, 3200] {
            let map = some(members);
            assert_eq!(Digest::of(&map).differs(&map), None);
            assert!(wire::to_bytes(&Digest::of(&map)).len() <= 1100);
        }
    }

    #[test]
    fn one_change_among_thousands_is_found_in_one_drawer() {
        let (map, mut more) = (some(3200), some(3200));
        let actor = map.seen().actors().nth(1234).unwrap();
        let mut other = Map::new(actor);
        for _ in 0..2 {
            other.put(b"k", Bytes::new()).unwrap();
        }
        hear(&other, &mut more);
        let drawers = Digest::of(&map).differs(&more).unwrap();
        assert_eq!(drawers.which.len(), 1);
        let inside = drawers.inside(more.seen());
        assert!(inside.newest(actor) == 2 && inside.actors().len() < 60);
        assert_eq!(drawers.inside(map.seen()).without(&inside), Dots::new());
        assert_eq!(Drawers::all().inside(more.seen()), *more.seen());
    }

    proptest! {
        #[test]
        fn whatever_differs_is_in_a_drawer_that_does(members in 0u64..200, others in 0u64..200) {
            let (a, b) = (some(members), some(others));
            match Digest::of(&a).differs(&b) {
                Some(drawers) => {
                    let outside = |map: &Map| map.seen().without(&drawers.inside(map.seen()));
                    prop_assert_eq!(outside(&a), outside(&b));
                    prop_assert_eq!(wire::from_bytes::<Drawers>(wire::to_bytes(&drawers), VERSION).unwrap(), drawers);
                }
                None => prop_assert_eq!(members, others),
            }
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0u8..9, 0..60)) {
            wire::examine::<Digest>(&bytes);
            wire::examine::<Drawers>(&bytes);
        }
    }
}
