//! [`Zipf`]: few are asked for often and most are asked for seldom. The draw is
//! that of Gray and others ("Quickly generating billion-record synthetic
//! databases", 1994), which the Yahoo benchmark uses as well.

use skein_machine::Random;

/// How uneven: what the Yahoo benchmark takes for usual.
const THETA: f64 = 0.99;

/// Places of so many things, the first the most wanted.
#[derive(Clone, Debug)]
pub(super) struct Zipf {
    count: u64,
    zeta: f64,
    eta: f64,
}

impl Zipf {
    /// Among so many things, at least one.
    pub(super) fn new(count: u64) -> Zipf {
        let zeta = (1..=count).map(weight).sum();
        Zipf::with(count, zeta)
    }

    fn with(count: u64, zeta: f64) -> Zipf {
        let of_two = weight(1) + weight(2);
        let eta = (1.0 - (2.0 / count as f64).powf(1.0 - THETA)) / (1.0 - of_two / zeta);
        Zipf { count, zeta, eta }
    }

    /// As many things more.
    pub(super) fn grow(&mut self, count: u64) {
        if count > self.count {
            let more: f64 = (self.count + 1..=count).map(weight).sum();
            *self = Zipf::with(count, self.zeta + more);
        }
    }

    /// One of them, from 0.
    pub(super) fn draw(&self, random: &mut Random) -> u64 {
        let fraction = random.fraction();
        let scaled = fraction * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < weight(1) + weight(2) {
            return 1.min(self.count - 1);
        }
        let place = self.count as f64 * (self.eta * fraction - self.eta + 1.0).powf(1.0 / (1.0 - THETA));
        (place as u64).min(self.count - 1)
    }
}

fn weight(place: u64) -> f64 {
    (place as f64).powf(-THETA)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_are_drawn_as_often_as_their_weight_says() {
        const DRAWS: u32 = 200_000;
        let zipf = Zipf::new(1000);
        let mut random = Random::new(7);
        let mut drawn = vec![0_u32; 1000];
        (0..DRAWS).for_each(|_| drawn[zipf.draw(&mut random) as usize] += 1);
        for place in [0, 1, 9, 99] {
            let expected = weight(place as u64 + 1) / zipf.zeta * f64::from(DRAWS);
            let seen = f64::from(drawn[place]);
            // The method is exact for the first two and close for the rest.
            assert!((seen / expected - 1.0).abs() < 0.25, "{place}: {seen}, not {expected}");
        }
        assert!(drawn[999] < drawn[0] / 100);
    }

    #[test]
    fn what_grew_is_as_if_it_had_been_so_large_at_once() {
        let mut grown = Zipf::new(10);
        grown.grow(500);
        let whole = Zipf::new(500);
        assert!((grown.zeta - whole.zeta).abs() < 1e-9 && (grown.eta - whole.eta).abs() < 1e-9);
        let mut random = Random::new(1);
        assert!((0..10_000).all(|_| grown.draw(&mut random) < 500));
        let one = Zipf::new(1);
        assert!((0..100).all(|_| one.draw(&mut random) == 0));
    }
}
