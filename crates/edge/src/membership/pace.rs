//! [`Pace`]: how often members look after each other, and how long they wait.
//!
//! The time in which a death is known everywhere has three parts. Until somebody
//! probes the dead member: each member probes [`Pace::probes`] others in a
//! period, so *t* periods pass unprobed with a probability of e^(-probes × t);
//! with one probe that is 4.6 periods in one of a hundred, and with three 1.5.
//! Then the suspicion lasts. Then the news spreads, in a few rounds of gossip.

use core::num::{NonZeroU8, NonZeroUsize};
use core::time::Duration;

use super::packet::MAX_PACKET;

/// Members whom a prober asks to try instead of it.
const INDIRECT: usize = 3;

/// How a fleet of some size behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// In which each member probes some others.
    pub period: Duration,
    /// How many those are. They follow each other, so each must be done within its part of the period: four ways
    /// between two members that are furthest apart.
    pub probes: u32,
    /// How long a member can be suspected before it is declared dead.
    pub suspicion: Duration,
    /// How often news is told, while there is any.
    pub gossip: Duration,
    /// To how many at once.
    pub fanout: usize,
    /// In how many packets each member passes on each piece of news.
    pub repeats: u8,
    /// How often a member compares what it knows with a random other. They exchange all of it where it differs.
    pub exchange: Duration,
    /// How often a member calls two of those that it takes for dead, so that what was parted finds together.
    pub calls: Duration,
    /// How long the dead are remembered.
    pub memory: Duration,
}

impl Pace {
    /// For a fleet of about so many members that stand close together.
    pub fn of(members: usize) -> Pace {
        let doublings = (members.max(1) + 1).ilog2();
        let period = Duration::from_secs(1);
        // News reaches everybody in so many rounds of gossip as the fleet has doublings, at most.
        Pace {
            period,
            // The few others of a small fleet are all probed in each period as it is.
            probes: members.saturating_sub(1).clamp(1, 3) as u32,
            suspicion: period.mul_f64(f64::max(2.0, 1.0 + 0.25 * f64::from(doublings))),
            gossip: period / 5,
            fanout: 3,
            repeats: 4 + doublings as u8,
            // Lists are long where fleets are large, and for a moment after each piece of news many differ: so many
            // compare in a second, whatever the size.
            exchange: period * (members / 32).max(2) as u32,
            calls: 5 * period,
            memory: Duration::from_secs(3_600),
        }
    }

    /// The same where members stand in places far apart, with round trips of up to a quarter of a second: one
    /// probe in a period, and time for what has a long way.
    #[must_use]
    pub fn across_places(self) -> Pace {
        Pace { probes: 1, suspicion: self.suspicion + 2 * self.period, gossip: self.period / 2, fanout: 4, ..self }
    }

    /// How long one probe may take.
    pub(super) fn cycle(&self) -> Duration {
        self.period / self.probes
    }

    /// How often whoever suspects a member tells it.
    pub(super) fn doubt(&self) -> Duration {
        self.period / 4
    }

    /// How often a newcomer asks to be let in.
    pub(super) fn ask(&self) -> Duration {
        self.period
    }

    /// How often a member that is in looks for those of its seeds that it does not see.
    pub(super) fn seek(&self) -> Duration {
        10 * self.period
    }

    /// How often whoever leaves says so.
    pub(super) fn goodbye(&self) -> Duration {
        self.period / 4
    }

    pub(super) fn config(&self) -> foca::Config {
        let times = |count: usize| NonZeroUsize::new(count).expect("a pace tells somebody");
        foca::Config {
            probe_period: self.cycle(),
            probe_rtt: self.cycle() * 2 / 5,
            num_indirect_probes: times(INDIRECT),
            max_transmissions: NonZeroU8::new(self.repeats).expect("news is told at least once"),
            suspect_to_down_after: self.suspicion,
            remove_down_after: Some(self.memory),
            max_packet_size: times(MAX_PACKET),
            notify_down_members: true,
            // The exchange does what this would.
            periodic_announce: None,
            periodic_announce_to_down_members: Some(foca::PeriodicParams {
                frequency: self.calls,
                num_members: times(2),
            }),
            periodic_gossip: Some(foca::PeriodicParams { frequency: self.gossip, num_members: times(self.fanout) }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_larger_fleet_waits_longer_and_repeats_more() {
        let seconds = |members| Pace::of(members).suspicion.as_secs_f64();
        assert_eq!([1, 3, 64, 4_096].map(seconds), [2.0, 2.0, 2.5, 4.0]);
        assert_eq!([1, 3, 64, 4_096].map(|members| Pace::of(members).repeats), [5, 6, 10, 16]);
        assert_eq!([0, 1, 2, 3, 4, 64].map(|members| Pace::of(members).probes), [1, 1, 1, 2, 3, 3]);
    }
}
