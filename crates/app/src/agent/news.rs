//! [`News`]: what happens to an agent, as it is told to all who listen.

use std::time::SystemTime;

use bytes::Bytes;
use skein_edge::agent::{self, Agent};
use skein_edge::map::Key;
use skein_edge::{membership, spread};

/// Something that has happened.
#[derive(Clone, Debug)]
pub(crate) struct News {
    /// When, by the clock of this host.
    pub(crate) at: SystemTime,
    pub(crate) what: What,
}

/// What it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Something about who is in this place.
    Member(membership::Event),
    /// It has what the others have: from now on it takes changes.
    Ready,
    /// It lacked what others have forgotten, and begins anew with nothing.
    BeginsAnew,
    /// Under this key something else is shown now, or nothing; and so many changes had come in by then.
    Changed { key: Key, value: Option<Bytes>, arrivals: u64 },
}

impl News {
    /// What everybody is told of an event, if anything.
    pub(crate) fn of(event: &agent::Event, agent: &Agent, at: SystemTime) -> Option<News> {
        let what = match event {
            agent::Event::Member(event) => What::Member(event.clone()),
            agent::Event::Map(spread::Event::Ready) => What::Ready,
            agent::Event::Map(spread::Event::BeginsAnew) => What::BeginsAnew,
            agent::Event::Map(spread::Event::Changed(key)) => {
                let map = agent.spread().map();
                What::Changed { key: key.clone(), value: map.get(key).cloned(), arrivals: map.arrivals() }
            }
            // Whoever asked for a change is told himself, and probes are nobody's affair but who makes them.
            agent::Event::Unchanged(..) | agent::Event::Probe(_) => return None,
        };
        Some(News { at, what })
    }
}
