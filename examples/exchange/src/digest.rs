//! A digest: one word that says whether two long stories are the same.
//!
//! It is for comparing what honest engines did, and finds every accident; it
//! will not stop anybody who sets out to find two stories with one digest.

/// A running digest of words, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digest(u64);

/// Odd numbers whose bits look random: fractions of the golden ratio and of the square root of two.
const SPREAD: [u64; 2] = [0x9e37_79b9_7f4a_7c15, 0x6a09_e667_f3bc_c909];

impl Digest {
    /// Of nothing yet.
    pub const NEW: Digest = Digest(0x736b_6569_6e65_7863);

    /// Goes on with a word. For a given word no two digests become the same, and for a given digest no two words give
    /// the same: so stories that differ in one word have different digests, for certain.
    #[inline]
    pub fn word(&mut self, word: u64) {
        // Each step can be undone. Multiplication carries a difference up, shifting brings it down; twice, or else the
        // highest bit of one word could stand for another bit of the next.
        let mut mixed = (self.0 ^ word).wrapping_mul(SPREAD[0]);
        mixed ^= mixed >> 32;
        mixed = mixed.wrapping_mul(SPREAD[1]);
        self.0 = mixed ^ mixed >> 29;
    }

    /// Goes on with bytes and their number.
    pub fn bytes(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.word(u64::from_le_bytes(*word));
        }
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.word(u64::from_le_bytes(last));
        self.word(bytes.len() as u64);
    }

    /// The word.
    pub fn value(self) -> u64 {
        self.0
    }

    /// A digest that goes on from this value.
    pub fn from_value(value: u64) -> Digest {
        Digest(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn of(bytes: &[u8]) -> u64 {
        let mut digest = Digest::NEW;
        digest.bytes(bytes);
        digest.value()
    }

    /// Digests are compared between builds and written into snapshots: they mean the same for ever.
    #[test]
    fn a_digest_means_the_same_for_ever() {
        let mut digest = Digest::NEW;
        digest.word(1);
        assert_eq!(digest.value(), 0x97f5_e018_1865_9f71);
        assert_eq!(of(b"skein exchange"), 0xe35f_4bd5_1c7d_4920);
        assert_eq!(Digest::from_value(digest.value()), digest);
    }

    #[test]
    fn order_length_and_every_bit_count() {
        let story: Vec<u8> = (0..64).collect();
        let mut seen = BTreeSet::from([of(&story), of(&story[..63]), of(&[&story[..], &[0]].concat())]);
        let mut swapped = story.clone();
        swapped.swap(3, 40);
        assert!(seen.insert(of(&swapped)));
        for bit in 0..story.len() * 8 {
            let mut changed = story.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(seen.insert(of(&changed)), "bit {bit}");
        }
    }
}
