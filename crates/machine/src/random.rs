//! Pseudo-random numbers that mean the same for ever: a seed written into a
//! bug report must replay years later, so the generator is part of the format
//! and its first values are pinned by a test. Not for secrets.

/// A small deterministic generator (xoshiro256++, seeded through SplitMix64).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// A generator whose every value follows from `seed`.
    pub fn new(seed: u64) -> Random {
        let mut spread = seed;
        Random { state: core::array::from_fn(|_| split_mix(&mut spread)) }
    }

    /// A generator for one part of a whole, independent of how much the others draw.
    pub fn fork(&mut self, label: u64) -> Random {
        Random::new(self.word() ^ label.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    /// 64 random bits.
    pub fn word(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        // Multiplication instead of a remainder: the bias is below bound / 2^64.
        ((u128::from(self.word()) * u128::from(bound)) >> 64) as u64
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "the range from {low} to {high} is empty");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.word(),
        }
    }

    /// A fraction from 0 up to, but not including, 1.
    pub fn fraction(&mut self) -> f64 {
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }

    /// One of the items.
    pub fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len() as u64) as usize]
    }

    /// Puts the items into a random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// The published reference: state 1, 2, 3, 4 gives these first values.
    #[test]
    fn follows_the_reference_generator() {
        let mut random = Random { state: [1, 2, 3, 4] };
        let drawn: Vec<u64> = (0..4).map(|_| random.word()).collect();
        assert_eq!(drawn, [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386]);
    }

    #[test]
    fn a_seed_means_the_same_for_ever() {
        let mut random = Random::new(42);
        assert_eq!([random.word(), random.word()], [15_021_278_609_987_233_951, 5_881_210_131_331_364_753]);
    }

    #[test]
    fn draws_stay_in_range_and_reach_its_ends() {
        let mut random = Random::new(7);
        let drawn: Vec<u64> = (0..1000).map(|_| random.between(3, 6)).collect();
        assert!((3..=6).all(|value| drawn.contains(&value)) && drawn.iter().all(|d| (3..=6).contains(d)));
        assert!((0..1000).all(|_| random.fraction() < 1.0));
        assert!(!random.chance(0.0) && random.chance(1.0));
        random.between(0, u64::MAX);
    }

    #[test]
    fn shuffling_keeps_every_item() {
        let mut items: Vec<u8> = (0..50).collect();
        Random::new(1).shuffle(&mut items);
        assert_ne!(items, (0..50).collect::<Vec<u8>>());
        items.sort_unstable();
        assert_eq!(items, (0..50).collect::<Vec<u8>>());
    }
}
