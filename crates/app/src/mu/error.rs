//! [`MuError`]: everything that can go wrong for whoever uses a replica, in
//! sentences that say what to do.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use skein_order::mu::ShapeError;
use skein_runtime::cores::CoreError;
use skein_runtime::shm::ShmError;

/// Why a replica does not open, or a request is not answered.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // each variant says in its sentence what its fields are
pub enum MuError {
    Name { name: String, longest: usize },
    Longest { bytes: usize, most: usize },
    Queue { requests: usize, most: usize },
    Window { slots: u64, most: u64 },
    Shape(ShapeError),
    NoSuchReplica { replica: usize, replicas: usize },
    Memory(ShmError),
    Core(CoreError),
    NoChance(String),
    Memories { count: usize, replicas: usize },
    NoNetwork,
    Insecure { address: SocketAddr },
    Network(String),
    TooLong { bytes: usize, longest: usize },
    NotLeading { leader: Option<u8> },
    Busy,
    Unknown,
    Silent { after: Duration },
}

impl MuError {
    /// Whether it is certain that the request has not happened, and will not: then it may be asked of another.
    pub fn is_certain(&self) -> bool {
        !matches!(self, MuError::Unknown | MuError::Silent { .. })
    }
}

impl fmt::Display for MuError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MuError::Name { name, longest } => write!(
                f,
                "a cluster cannot be called {name:?}: take 1 to {longest} letters, digits, hyphens and underscores"
            ),
            MuError::Longest { bytes, most } => {
                write!(f, "requests of {bytes} bytes at most are asked for: take 1 to {most}")
            }
            MuError::Queue { requests, most } => {
                write!(f, "a queue of {requests} requests is asked for: take 1 to {most}")
            }
            MuError::Window { slots, most } => {
                write!(f, "a window of {slots} slots is asked for: take 1 to {most}, half of all slots at most")
            }
            MuError::Shape(error) => error.fmt(f),
            MuError::NoSuchReplica { replica, replicas } => {
                write!(f, "there is no replica {replica} among {replicas}: they are counted from 0")
            }
            MuError::Memory(error) => error.fmt(f),
            MuError::Core(error) => error.fmt(f),
            MuError::NoChance(why) | MuError::Network(why) => f.write_str(why),
            MuError::Memories { count, replicas } => write!(
                f,
                "{count} memories are named for {replicas} replicas: say where the memory of each is served, in order"
            ),
            MuError::NoNetwork => f.write_str(
                "memories that processes share need no server: configure a network, or open the replica alone",
            ),
            MuError::Insecure { address } => write!(
                f,
                "others than this machine can come to {address}, and could write what they like: give replicas \
                 certificates, listen at 127.0.0.1, or say that it is to be insecure"
            ),
            MuError::TooLong { bytes, longest } => write!(
                f,
                "a request of {bytes} bytes, where {longest} fit: ask for less at once, or open all replicas anew with \
                 longer slots"
            ),
            MuError::NotLeading { leader: Some(leader) } => {
                write!(f, "nothing was done, since replica {leader} leads: ask there")
            }
            MuError::NotLeading { leader: None } => {
                f.write_str("nothing was done, since nobody leads: ask again in a moment")
            }
            MuError::Busy => {
                f.write_str("nothing was done, since too many requests wait already: poll, then ask again")
            }
            MuError::Unknown => f.write_str(
                "another replica took over in the middle: the request may have been done or not; look before asking \
                 again",
            ),
            MuError::Silent { after } => write!(
                f,
                "no majority of the replicas answered in {after:?}, and the request may yet be done: see that more than \
                 half of the processes run"
            ),
        }
    }
}

impl std::error::Error for MuError {}

impl From<ShmError> for MuError {
    fn from(error: ShmError) -> MuError {
        MuError::Memory(error)
    }
}

impl From<CoreError> for MuError {
    fn from(error: CoreError) -> MuError {
        MuError::Core(error)
    }
}
