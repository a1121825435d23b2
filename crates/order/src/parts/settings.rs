//! [`Settings`]: how much a replica keeps, and when its user is asked for a
//! checkpoint so that it need not keep more.

/// What an operator may choose. Entries are those of a log; where there is none, deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// After this many entries the user is asked for a checkpoint,
    pub checkpoint_every: usize,
    /// or after entries with so many bytes of payload.
    pub checkpoint_bytes: usize,
    /// While these have fewer bytes than the last checkpoint, which would all be written again, it is asked only after
    /// so many times as many entries.
    pub checkpoint_stretch: usize,
    /// So many entries are kept for those that are a little behind,
    pub tail: u64,
    /// as far as they have no more bytes of payload than this.
    pub tail_bytes: usize,
    /// Whether what is persisted can ever be read again. A host that keeps nothing spares the machine putting it
    /// together.
    pub keeps_records: bool,
}

impl Settings {
    /// What suits most: a checkpoint every few thousand messages or tens of megabytes.
    pub const DEFAULT: Settings = Settings {
        checkpoint_every: 4096,
        checkpoint_bytes: 1 << 26,
        checkpoint_stretch: 1,
        tail: 1024,
        tail_bytes: 1 << 26,
        keeps_records: true,
    };

    /// Whether so many entries with so many bytes of payload should give way to a checkpoint, where the user's state
    /// had so many bytes in the last one.
    pub fn wants_checkpoint(&self, entries: usize, bytes: usize, last: usize) -> bool {
        let stretch = if bytes < last { self.checkpoint_stretch } else { 1 };
        entries >= self.checkpoint_every * stretch || bytes >= self.checkpoint_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_worth_its_bytes() {
        let settings =
            Settings { checkpoint_every: 10, checkpoint_bytes: 1000, checkpoint_stretch: 3, ..Settings::DEFAULT };
        assert!(!settings.wants_checkpoint(9, 500, 0) && settings.wants_checkpoint(10, 500, 0));
        assert!(settings.wants_checkpoint(1, 1000, 5000), "it is long enough by its bytes");
        assert!(!settings.wants_checkpoint(29, 500, 501) && settings.wants_checkpoint(30, 500, 501));
        assert!(settings.wants_checkpoint(10, 500, 500), "the checkpoint is no longer than what it replaces");
    }
}
