//! A member of a fleet in a process of its own: its machine on a socket, the
//! origins that it looks after, and the faces by which programs of its host and
//! people see what it knows.
//!
//! Nothing here decides anything. What is true is found out by the machines of
//! the crate `edge`, which know neither sockets nor clocks.

mod complaints;
pub(crate) mod config;
mod http;
mod lives;
mod news;
mod probe;
mod redis;
mod running;
mod spoken;
pub(crate) mod toy;

use std::sync::Arc;

use skein_edge::Agent;
use skein_runtime::datagrams::Handle;
use tokio::sync::broadcast;

pub(crate) use news::{News, What};
pub(crate) use running::Running;

/// News that nobody has taken yet is kept up to so much. Whoever is slower misses some, and is told so.
pub(crate) const MOST_NEWS: usize = 16_384;

/// The way to a running agent, for whoever serves what it knows. Clones are one way.
#[derive(Clone)]
pub(crate) struct Door {
    /// The machine.
    pub(crate) agent: Handle<Agent>,
    /// What happens to it, from when somebody subscribes.
    pub(crate) news: broadcast::Sender<Arc<News>>,
}
