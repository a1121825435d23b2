//! [`Options`]: what a processor of Mu is told about its cluster, and how
//! patient it is. Every number here trades time against work; none of them is
//! needed for the log to be right.

use core::time::Duration;

use super::shape::Shape;

/// The most slots that a leader writes beyond what it knows to be decided. What may have got into the log twice stands
/// less than so far apart.
pub const MAX_WINDOW: u64 = 64;

/// Who a processor is, and how it goes about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Which replica this is, from 0.
    pub me: u8,
    /// The measures of all memories.
    pub shape: Shape,
    /// How many slots may be on their way at once, [`MAX_WINDOW`] at most.
    pub window: u64,
    /// How many requests wait for a slot at most: more are refused.
    pub queue: usize,
    /// How it waits.
    pub pace: Pace,
}

/// How often a processor does what it does again and again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pace {
    /// A follower looks for slots in its own memory.
    pub look: Duration,
    /// A leader looks at what others ask of it.
    pub glance: Duration,
    /// Everybody shows that it is well, and looks at how the others are.
    pub tick: Duration,
    /// A leader that has nothing more to write says that the last slot is decided.
    pub flush: Duration,
    /// How long a replica that was thwarted waits at most before it tries to lead again.
    pub backoff: Duration,
}

impl Pace {
    /// For memory that processes of one machine share.
    pub const SHARED: Pace = Pace {
        look: Duration::ZERO,
        glance: Duration::from_micros(20),
        // Fifteen of them without a sign of life are longer than the system lets others have a core at a time.
        tick: Duration::from_micros(400),
        flush: Duration::from_micros(5),
        backoff: Duration::from_micros(50),
    };

    /// For memories at the other end of a network within a building.
    pub const NETWORK: Pace = Pace {
        look: Duration::from_millis(1),
        glance: Duration::from_millis(1),
        tick: Duration::from_millis(20),
        flush: Duration::from_micros(500),
        backoff: Duration::from_millis(10),
    };
}
