//! [`Distance`]: how far away the other end of a link pretends to be, and
//! `Way`, by which its frames travel. Each takes a little longer than the
//! distance, by another amount each time, and none overtakes another: that is
//! what a stream does.

use std::time::{Duration, Instant};

use skein_machine::Random;

/// How far away a process pretends to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Distance {
    /// What every frame takes.
    pub delay: Duration,
    /// What it takes longer, at most. Each amount up to this is as likely as any other.
    pub jitter: Duration,
}

impl Distance {
    /// So far away, give or take nothing.
    pub const fn fixed(delay: Duration) -> Distance {
        Distance { delay, jitter: Duration::ZERO }
    }

    /// Next door, as it is.
    pub const fn is_zero(self) -> bool {
        self.delay.is_zero() && self.jitter.is_zero()
    }
}

/// One direction of a link.
#[derive(Debug)]
pub(crate) struct Way {
    distance: Distance,
    random: Random,
    /// When the last frame arrives.
    last: Option<Instant>,
}

impl Way {
    /// Over this distance. The same seed is late by the same amounts.
    pub(crate) fn new(distance: Distance, seed: u64) -> Way {
        Way { distance, random: Random::new(seed), last: None }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.distance.is_zero()
    }

    /// When what is sent now arrives.
    pub(crate) fn arrival(&mut self, now: Instant) -> Instant {
        let late = self.distance.jitter.mul_f64(self.random.fraction());
        let arrival = now + self.distance.delay + late;
        let arrival = self.last.map_or(arrival, |last| last.max(arrival));
        self.last = Some(arrival);
        arrival
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAR: Distance = Distance { delay: Duration::from_millis(70), jitter: Duration::from_millis(7) };

    fn arrivals(distance: Distance, seed: u64, gap: Duration) -> Vec<Duration> {
        let (mut way, begin) = (Way::new(distance, seed), Instant::now());
        (0..1000).map(|nth| way.arrival(begin + gap * nth).duration_since(begin + gap * nth)).collect()
    }

    /// Frames that are far apart are late by their own amounts, within the bounds and in all of them.
    #[test]
    fn a_delay_stays_within_its_bounds() {
        let delays = arrivals(FAR, 1, Duration::from_secs(1));
        let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
        assert!(*least >= FAR.delay && *most <= FAR.delay + FAR.jitter, "{least:?} to {most:?}");
        assert!(*most - *least > FAR.jitter * 9 / 10, "{least:?} to {most:?}");
        let mean = delays.iter().sum::<Duration>() / 1000;
        assert!((mean.as_secs_f64() - 0.0735).abs() < 0.0005, "{mean:?}");
    }

    #[test]
    fn no_frame_overtakes_another() {
        let gap = Duration::from_micros(100);
        let delays = arrivals(FAR, 1, gap);
        let arrivals: Vec<Duration> = delays.iter().zip(0..).map(|(delay, nth)| *delay + gap * nth).collect();
        assert!(arrivals.is_sorted() && delays.iter().all(|delay| *delay <= FAR.delay + FAR.jitter));
    }

    #[test]
    fn a_seed_decides_and_none_need_be_late() {
        let gap = Duration::from_secs(1);
        assert_eq!(arrivals(FAR, 1, gap), arrivals(FAR, 1, gap));
        assert_ne!(arrivals(FAR, 1, gap), arrivals(FAR, 2, gap));
        let fixed = Distance::fixed(FAR.delay);
        assert!(arrivals(fixed, 1, gap).iter().all(|delay| *delay == FAR.delay));
        assert!(Distance::default().is_zero() && !fixed.is_zero());
    }
}
