//! [`MuConfig`]: what a replica is told before it opens. Every bound on what a
//! person may ask for is checked here or in the shape of the memories, before
//! anything is touched.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use skein_machine::ClusterId;
use skein_order::mu::{MAX_VALUE, MAX_WINDOW, MIN_PIECE, Options, Pace, REQUEST_HEAD, Shape};
use skein_runtime::tls::Files;

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
    /// Where the memories are.
    pub fabric: Fabric,
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

/// Where memories are, and what carries a verb there.
#[derive(Clone, Debug)]
pub enum Fabric {
    /// Files that the processes of one machine share, in this directory. It must not outlive the machine: best one
    /// below `/dev/shm`.
    Shared(PathBuf),
    /// Servers at the other end of a network, one for each replica.
    Network(Network),
}

/// Memories that are served, and what this process needs to be one of those that they serve.
#[derive(Clone, Debug)]
pub struct Network {
    /// Where the memory of each replica is served, in order.
    pub memories: Vec<SocketAddr>,
    /// A directory of this process's own, on a disk. It notes there who it is, and whom it has met: so nobody who has
    /// forgotten something is taken for one who never knew it.
    pub data: PathBuf,
    /// With what replicas make themselves known. That of replica 1 must be made out to `replica-1`.
    pub tls: Option<Files>,
    /// Go without [`Network::tls`] where others than this machine can come.
    pub insecure: bool,
    /// The directory was lost, and this process begins anew: a number above that of all its lives before, which those
    /// who refuse it will tell.
    pub rejoin: Option<NonZeroU32>,
}

impl MuConfig {
    /// With memories at the other end of a network, and values that suit most. `data` is a directory of this process's
    /// own: a replica and the server of its memory have one each.
    pub fn network(name: &str, replica: usize, memories: Vec<SocketAddr>, data: PathBuf) -> MuConfig {
        let replicas = memories.len();
        let network = Network { memories, data, tls: None, insecure: false, rejoin: None };
        let (pace, patience) = (Pace::NETWORK, Duration::from_secs(5));
        MuConfig { fabric: Fabric::Network(network), pace, patience, ..MuConfig::new(name, replica, replicas) }
    }

    /// In memory that processes share, with values that suit most: change what does not.
    pub fn new(name: &str, replica: usize, replicas: usize) -> MuConfig {
        MuConfig {
            name: name.to_owned(),
            fabric: Fabric::Shared(PathBuf::from("/dev/shm").join(format!("skein-mu-{name}"))),
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
        let shape = self.checked_shape()?;
        if !(1..=MAX_QUEUE).contains(&self.queue) {
            return Err(MuError::Queue { requests: self.queue, most: MAX_QUEUE });
        }
        // Slots that are on their way must leave room for those that followers have yet to apply.
        let widest = MAX_WINDOW.min(self.slots as u64 / 2);
        if !(1..=widest).contains(&self.window) {
            return Err(MuError::Window { slots: self.window, most: widest });
        }
        let me = self.replica as u8;
        Ok(Options { me, shape, window: self.window, queue: self.queue, pace: self.pace.clone() })
    }

    /// The measures of all memories, if whatever they are told can be.
    pub(super) fn checked_shape(&self) -> Result<Shape, MuError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(is_plain) {
            return Err(MuError::Name { name: self.name.clone(), longest: MAX_NAME });
        }
        if self.longest == 0 || self.longest > MAX_VALUE - REQUEST_HEAD {
            return Err(MuError::Longest { bytes: self.longest, most: MAX_VALUE - REQUEST_HEAD });
        }
        let shape = self.shape();
        shape.check().map_err(MuError::Shape)?;
        if self.replica >= self.replicas {
            return Err(MuError::NoSuchReplica { replica: self.replica, replicas: self.replicas });
        }
        if let Fabric::Network(network) = &self.fabric
            && network.memories.len() != self.replicas
        {
            return Err(MuError::Memories { count: network.memories.len(), replicas: self.replicas });
        }
        Ok(shape)
    }

    /// The measures of all memories.
    pub(super) fn shape(&self) -> Shape {
        let value_bytes = (self.longest + REQUEST_HEAD).max(16);
        Shape { replicas: self.replicas, slots: self.slots, value_bytes, piece_bytes: MIN_PIECE }
    }

    /// The directory of memories in files.
    pub fn folder(&self) -> Option<&Path> {
        match &self.fabric {
            Fabric::Shared(folder) => Some(folder),
            Fabric::Network(_) => None,
        }
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
