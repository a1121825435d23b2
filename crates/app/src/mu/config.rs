//! [`MuConfig`]: what a replica is told before it opens. Every bound on what a
//! person may ask for is checked here or in the shape of the memories, before
//! anything is touched.

use std::path::PathBuf;
use std::time::Duration;

use skein_machine::ClusterId;
use skein_order::mu::{MAX_VALUE, MAX_WINDOW, MIN_PIECE, Options, Pace, REQUEST_HEAD, Shape};

use super::MuError;

/// The longest name of a cluster: it is part of a file's name, and people read it.
const MAX_NAME: usize = 64;

/// The most requests that may wait: each holds its bytes.
const MAX_QUEUE: usize = 1 << 16;

/// A replica, before it opens. All replicas of a cluster say the same, but for [`MuConfig::replica`] and
/// [`MuConfig::core`].
#[derive(Clone, Debug)]
pub struct MuConfig {
    /// What the cluster is called: letters, digits, `-` and `_`.
    pub name: String,
    /// The directory of the memories. It must not outlive the machine: best one below `/dev/shm`.
    pub folder: PathBuf,
    /// Which replica this is, from 0.
    pub replica: usize,
    /// How many there are: 1 to 7, best an odd number.
    pub replicas: usize,
    /// How many slots the log has before it comes round: a power of two. A replica that was away for longer fetches a
    /// state from another one.
    pub slots: usize,
    /// How many bytes a request has at most.
    pub longest: usize,
    /// How many slots may be on their way at once.
    pub window: u64,
    /// How many requests may wait for an answer at once.
    pub queue: usize,
    /// The core to which the thread that opens it keeps from then on, if any.
    pub core: Option<usize>,
    /// How often it does what it does again and again.
    pub pace: Pace,
    /// How long [`Mu::propose`](super::Mu::propose) waits for a majority.
    pub patience: Duration,
}

impl MuConfig {
    /// With values that suit most: change what does not.
    pub fn new(name: &str, replica: usize, replicas: usize) -> MuConfig {
        MuConfig {
            name: name.to_owned(),
            folder: PathBuf::from("/dev/shm").join(format!("skein-mu-{name}")),
            replica,
            replicas,
            slots: 1024,
            longest: 512,
            window: 16,
            queue: 1024,
            core: None,
            pace: Pace::SHARED,
            patience: Duration::from_secs(1),
        }
    }

    /// What the processor is told, if all of it can be.
    pub(super) fn options(&self) -> Result<Options, MuError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(is_plain) {
            return Err(MuError::Name { name: self.name.clone(), longest: MAX_NAME });
        }
        if self.longest == 0 || self.longest > MAX_VALUE - REQUEST_HEAD {
            return Err(MuError::Longest { bytes: self.longest, most: MAX_VALUE - REQUEST_HEAD });
        }
        if !(1..=MAX_QUEUE).contains(&self.queue) {
            return Err(MuError::Queue { requests: self.queue, most: MAX_QUEUE });
        }
        // Slots that are on their way must leave room for those that followers have yet to apply.
        let widest = MAX_WINDOW.min(self.slots as u64 / 2);
        if !(1..=widest).contains(&self.window) {
            return Err(MuError::Window { slots: self.window, most: widest });
        }
        let value_bytes = (self.longest + REQUEST_HEAD).max(16);
        let shape = Shape { replicas: self.replicas, slots: self.slots, value_bytes, piece_bytes: MIN_PIECE };
        shape.check().map_err(MuError::Shape)?;
        if self.replica >= self.replicas {
            return Err(MuError::NoSuchReplica { replica: self.replica, replicas: self.replicas });
        }
        let me = self.replica as u8;
        Ok(Options { me, shape, window: self.window, queue: self.queue, pace: self.pace.clone() })
    }

    /// The name as a number, for the memories to say whose they are.
    pub(super) fn cluster(&self) -> ClusterId {
        // FNV-1a: the folder tells clusters apart, and this only sees to it that nobody opens another's by mistake.
        let number = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |number, byte| (number ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        ClusterId(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(change: impl FnOnce(&mut MuConfig)) -> String {
        let mut config = MuConfig::new("test", 0, 3);
        change(&mut config);
        config.options().unwrap_err().to_string()
    }

    #[test]
    fn what_cannot_be_is_refused_and_says_what_can() {
        assert!(MuConfig::new("test", 2, 3).options().is_ok());
        let cases = [
            (refusal(|config| config.name = "a/b".to_owned()), "letters"),
            (refusal(|config| config.name.clear()), "letters"),
            (refusal(|config| config.replica = 3), "counted from 0"),
            (refusal(|config| config.replicas = 9), "1 to 7"),
            (refusal(|config| config.slots = 1000), "power of two"),
            (refusal(|config| config.longest = 0), "1 to 65523"),
            (refusal(|config| config.longest = 1 << 16), "1 to 65523"),
            (refusal(|config| config.window = 65), "1 to 64"),
            (refusal(|config| config.window = 0), "1 to 64"),
            (refusal(|config| (config.slots, config.window) = (8, 5)), "1 to 4"),
            (refusal(|config| config.queue = 0), "1 to 65536"),
        ];
        for (said, part) in cases {
            assert!(said.contains(part), "{said}");
        }
    }

    #[test]
    fn clusters_are_told_apart() {
        assert_ne!(MuConfig::new("one", 0, 3).cluster(), MuConfig::new("two", 0, 3).cluster());
    }
}
