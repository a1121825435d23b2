//! [`Habits`]: how clients are, whatever they say.

use crate::{MILLISECOND, Nanos};

/// How clients are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// How long one thinks before the next thing.
    pub thought: (Nanos, Nanos),
    /// How often it looks whether it was answered, and whether its replica still lives.
    pub glance: Nanos,
    /// So many things for the same partitions are asked for at once, at most.
    pub most_at_once: u64,
    /// Of those who look at a partition, how many are content with what they have seen already.
    pub causal: f64,
    /// How often something is multicast besides that is no command.
    pub raw: f64,
    /// How often it goes to another replica, though its own is well.
    pub wanders: f64,
    /// How many of them name what they ask for. That is told of between partitions, which hides what is seen too soon.
    pub named: f64,
    /// How often it asks for one list beside it. Otherwise it asks for two, which may be far apart; `None` for any.
    pub local: Option<f64>,
}

impl Habits {
    /// One thing after the other, at leisure.
    pub const TAME: Habits = Habits {
        thought: (5 * MILLISECOND, 800 * MILLISECOND),
        glance: 60 * MILLISECOND,
        most_at_once: 1,
        causal: 0.0,
        raw: 0.0,
        wanders: 0.0,
        named: 0.5,
        local: None,
    };

    /// Everything at once, and at once again.
    pub const EAGER: Habits = Habits {
        thought: (0, 60 * MILLISECOND),
        glance: 10 * MILLISECOND,
        most_at_once: 3,
        causal: 0.3,
        raw: 0.1,
        wanders: 0.2,
        named: 0.5,
        local: None,
    };

    /// No time between an answer and the next question: what somebody could see too soon, somebody sees.
    pub const HASTY: Habits = Habits {
        thought: (0, 5 * MILLISECOND),
        glance: MILLISECOND,
        wanders: 0.0,
        named: 0.1,
        local: Some(0.4),
        ..Habits::EAGER
    };
}
