//! [`Timer`]: what most processes wait for.

/// The timers of a process that is a sender, and a replica if it is in a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A replica's heartbeat, and everything that is done again until it works.
    Tick,
    /// A sender looks at what has no outcome yet.
    Look,
}
