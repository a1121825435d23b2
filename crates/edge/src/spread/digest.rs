//! [`Digest`]: what somebody has seen, in a kilobyte at most. Members are sorted
//! into drawers by their ids, and each drawer has a hash: two who compare see
//! which drawers differ, and talk of nothing else. So it costs little to find
//! out that one change of a few thousand members' is missing.

use alloc::vec;
use alloc::vec::Vec;

use skein_machine::Wire;
use skein_machine::wire::{Reader, WireError, Writer};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::MemberId;
use crate::dots::Dots;

/// So many actors share a drawer.
const IN_A_DRAWER: usize = 8;

/// More drawers do not fit a datagram.
const MAX_BITS: u32 = 8;

/// A hash for each drawer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Different each time: what two hashes hide today they tell tomorrow.
    salt: u64,
    /// As many as a power of two.
    hashes: Vec<u32>,
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
    /// Of what was seen beyond what everybody has.
    pub(super) fn of(seen: &Dots, cut: &Dots, salt: u64) -> Digest {
        let actors = seen.actors().len();
        Digest::with(seen, cut, salt, (actors / IN_A_DRAWER).max(1).ilog2().min(MAX_BITS))
    }

    fn with(seen: &Dots, cut: &Dots, salt: u64, bits: u32) -> Digest {
        let mut hashes = vec![0u32; 1 << bits];
        for (actor, span) in seen.spans_beyond(cut) {
            let words = [actor.member.0, actor.life, span.first, span.last];
            // A sum, for it does not matter who comes first.
            let hash = &mut hashes[usize::from(drawer(actor.member, bits))];
            *hash = hash.wrapping_add(xxh3_64_with_seed(words.map(u64::to_le_bytes).as_flattened(), salt) as u32);
        }
        Digest { salt, hashes }
    }

    /// The drawers in which this differs from what was seen here. `None` if there are none.
    pub(super) fn differs(&self, seen: &Dots, cut: &Dots) -> Option<Drawers> {
        let bits = self.hashes.len().ilog2();
        let own = Digest::with(seen, cut, self.salt, bits);
        let both = self.hashes.iter().zip(&own.hashes);
        let which: Vec<u8> = (0..=u8::MAX).zip(both).filter(|(_, (a, b))| a != b).map(|(nth, _)| nth).collect();
        (!which.is_empty()).then_some(Drawers { bits: bits as u8, which })
    }
}

impl Drawers {
    /// Everything.
    pub(super) fn all() -> Drawers {
        Drawers { bits: 0, which: [0].into() }
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

fn drawer(member: MemberId, bits: u32) -> u8 {
    // Ids are hashes, so the highest bits are as good as any.
    member.0.checked_shr(u64::BITS - bits).unwrap_or(0) as u8
}

/// One hash, as it travels.
struct Hash(u32);

impl Wire for Hash {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u32(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Hash, WireError> {
        Ok(Hash(reader.u32()?))
    }
}

impl Wire for Digest {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.salt);
        writer.list(self.hashes.iter().map(|hash| Hash(*hash)));
    }

    fn decode(reader: &mut Reader) -> Result<Digest, WireError> {
        let salt = reader.u64()?;
        let hashes: Vec<u32> = reader.list::<Hash>("a digest", 1 << MAX_BITS)?.into_iter().map(|hash| hash.0).collect();
        if hashes.len().is_power_of_two() {
            Ok(Digest { salt, hashes })
        } else {
            Err(WireError::Invalid { what: "a digest" })
        }
    }
}

impl Wire for Drawers {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(self.bits);
        writer.bytes(&self.which);
    }

    fn decode(reader: &mut Reader) -> Result<Drawers, WireError> {
        let (bits, which) = (reader.u8()?, reader.bytes("drawers", 1 << MAX_BITS)?);
        let is_sorted = which.is_sorted_by(|one, next| one < next);
        let exist = which.iter().all(|drawer| u32::from(*drawer) < 1 << bits.min(MAX_BITS as u8));
        if u32::from(bits) > MAX_BITS || !is_sorted || !exist {
            return Err(WireError::Invalid { what: "drawers" });
        }
        Ok(Drawers { bits, which: which.to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dots::{Actor, Dot};
    use proptest::prelude::*;
    use skein_machine::wire::{self, VERSION};

    fn some(members: u64, seed: u64) -> Dots {
        let id = |nth: u64| MemberId(xxh3_64_with_seed(&nth.to_le_bytes(), 7));
        let life = |nth| 1 + (nth ^ seed) % 3;
        (0..members).map(|nth| Dot { actor: Actor { member: id(nth), life: life(nth) }, nth: 1 + nth % 5 }).collect()
    }

    #[test]
    fn equal_sets_have_equal_digests_of_a_size_that_fits() {
        for members in [0, 1, 9, 100, 3200] {
            let dots = some(members, 1);
            let digest = Digest::of(&dots, &Dots::new(), 5);
            assert_eq!(digest.differs(&dots, &Dots::new()), None);
            assert!(wire::to_bytes(&digest).len() <= 1100);
        }
    }

    #[test]
    fn one_change_among_thousands_is_found_in_one_drawer() {
        let dots = some(3200, 1);
        let digest = Digest::of(&dots, &Dots::new(), 5);
        let mut more = dots.clone();
        let actor = dots.actors().nth(1234).unwrap();
        more.insert(Dot { actor, nth: 99 });
        let drawers = digest.differs(&more, &Dots::new()).unwrap();
        assert_eq!(drawers.which.len(), 1);
        assert!(drawers.inside(&more).contains(Dot { actor, nth: 99 }));
        assert!(drawers.inside(&more).actors().len() < 40);
        assert_eq!(Drawers::all().inside(&more), more);
    }

    proptest! {
        #[test]
        fn whatever_differs_is_in_a_drawer_that_does(members in 0u64..200, others in 0u64..200, seed in 0u64..4) {
            let (a, b) = (some(members, 1), some(others, seed));
            match Digest::of(&a, &Dots::new(), 9).differs(&b, &Dots::new()) {
                Some(drawers) => {
                    let outside = |dots: &Dots| dots.without(&drawers.inside(dots));
                    prop_assert_eq!(outside(&a), outside(&b));
                    prop_assert_eq!(wire::from_bytes::<Drawers>(wire::to_bytes(&drawers), VERSION).unwrap(), drawers);
                }
                None => prop_assert_eq!(a, b),
            }
        }

        #[test]
        fn any_bytes_decode_or_are_refused(bytes in proptest::collection::vec(0u8..9, 0..60)) {
            wire::examine::<Digest>(&bytes);
            wire::examine::<Drawers>(&bytes);
        }
    }
}
