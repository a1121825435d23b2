//! [`Client`]: speaks to a cluster from outside. It keeps one connection to a
//! replica of each group that it needs, multicasts through the first of them,
//! and hears of deliveries from all. One session, one message after the other:
//! what a person or a script does. It will never be fast.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{
    Ask, Delivery, GroupId, GroupSet, MAX_PAYLOAD, MessageId, Multicast, ProcessId, SessionId, Timestamp, Wire,
};
use skein_runtime::caller::{Callers, Heard};

use crate::config::Config;
use crate::speech::{Reply, Request};

/// How long a message may take before somebody should be told that something is wrong.
const PATIENCE: Duration = Duration::from_secs(30);

/// After so long without an answer a message is asked for again.
const AGAIN: Duration = Duration::from_secs(2);

/// One session from outside.
pub struct Client {
    config: Config,
    callers: Callers,
    /// The replica that is spoken to in each group, and the connection to it.
    homes: BTreeMap<GroupId, (ProcessId, usize)>,
    session: SessionId,
    sequence: u64,
    floor: Timestamp,
}

/// What became of a message.
#[derive(Clone, Debug)]
pub struct Delivered {
    /// Which message it was.
    pub id: MessageId,
    /// Its final timestamp.
    pub timestamp: Timestamp,
    /// How long it took until the replica that is spoken to in each group had delivered it.
    pub took: BTreeMap<GroupId, Duration>,
}

impl Client {
    /// A new session.
    pub fn new(config: Config) -> Result<Client, String> {
        let tls = config.tls_of_client().map_err(|error| error.to_string())?;
        let callers = Callers::new().map_err(|error| error.to_string())?.with_tls(tls);
        let session = SessionId(crate::draw()? % Ask::SESSIONS);
        Ok(Client { config, callers, homes: BTreeMap::new(), session, sequence: 0, floor: Timestamp::ZERO })
    }

    /// Multicasts a message and waits until every destination has delivered it.
    pub fn multicast(&mut self, destinations: GroupSet, payload: Bytes) -> Result<Delivered, String> {
        if payload.len() > MAX_PAYLOAD {
            return Err(format!("{} bytes are too many for one message; {MAX_PAYLOAD} are the most", payload.len()));
        }
        self.sequence += 1;
        let id = MessageId { session: self.session, sequence: self.sequence, destinations };
        let message = Multicast { id, floor: self.floor, expiry: Timestamp::MAX, payload };
        let begin = Instant::now();
        let mut took = BTreeMap::new();
        let mut timestamp = Timestamp::ZERO;
        let mut asked = None;
        let mut heard = Vec::new();
        while took.len() < destinations.len() {
            if begin.elapsed() > PATIENCE {
                let missing: Vec<&str> = destinations
                    .iter()
                    .filter(|group| !took.contains_key(group))
                    .map(|group| self.config.groups[group.index()].as_str())
                    .collect();
                return Err(format!(
                    "{} did not deliver {id} within {PATIENCE:?}: has a majority of its replicas been lost?",
                    missing.join(" and ")
                ));
            }
            self.connect(destinations)?;
            if asked.is_none_or(|at: Instant| at.elapsed() > AGAIN) {
                asked = Some(Instant::now());
                self.ask(&message);
            }
            self.callers.wait(Some(AGAIN / 4), &mut heard).map_err(|error| error.to_string())?;
            for word in heard.drain(..) {
                match word {
                    Heard::Lost(connection, _) => {
                        self.homes.retain(|_, (_, home)| *home != connection);
                        // What it was asked may be lost with it.
                        asked = None;
                    }
                    Heard::Message(connection, reply) => match understand(reply)? {
                        Reply::Delivered { id: other, timestamp: at } if other == id => {
                            let group = self.homes.iter().find(|(_, (_, home))| *home == connection);
                            if let Some((group, _)) = group {
                                took.insert(*group, begin.elapsed());
                            }
                            timestamp = timestamp.max(at);
                        }
                        // It was asked for again, and had been delivered before this one listened.
                        Reply::Done { id: other, timestamp: at } if other == id => {
                            for group in destinations.iter() {
                                took.entry(group).or_insert_with(|| begin.elapsed());
                            }
                            timestamp = timestamp.max(at);
                        }
                        Reply::Busy { why, .. } => return Err(format!("the cluster is busy: {why}")),
                        _ => {}
                    },
                }
            }
        }
        self.floor = self.floor.max(timestamp);
        Ok(Delivered { id, timestamp, took })
    }

    /// Follows what a group delivers, from now on, for as long as `each` answers true.
    pub fn follow(&mut self, group: GroupId, mut each: impl FnMut(Delivery) -> bool) -> Result<(), String> {
        self.follow_all([group].into_iter().collect(), |_, delivery| each(delivery))
    }

    /// Follows several groups. What each delivers comes in its order; what two deliver may come in any.
    pub fn follow_all(
        &mut self,
        groups: GroupSet,
        mut each: impl FnMut(GroupId, Delivery) -> bool,
    ) -> Result<(), String> {
        self.connect(groups)?;
        for group in groups.iter() {
            let (_, connection) = self.homes[&group];
            self.callers.say(connection, |buffer| Request::Tail.encode(&mut Writer::new(buffer, VERSION)));
        }
        let home = |homes: &BTreeMap<GroupId, (ProcessId, usize)>, connection| {
            let home = homes.iter().find(|(_, (_, home))| *home == connection);
            home.map(|(group, (process, _))| (*group, *process)).expect("it was called here")
        };
        let mut heard = Vec::new();
        loop {
            self.callers.wait(None, &mut heard).map_err(|error| error.to_string())?;
            for word in heard.drain(..) {
                match word {
                    Heard::Lost(connection, why) => {
                        let (_, process) = home(&self.homes, connection);
                        return Err(format!("{process} is gone: {why}"));
                    }
                    Heard::Message(connection, reply) => {
                        if let Reply::Next(delivery) = understand(reply)?
                            && !each(home(&self.homes, connection).0, delivery)
                        {
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Makes sure that a replica of each of these groups is spoken to.
    fn connect(&mut self, groups: GroupSet) -> Result<(), String> {
        for group in groups.iter().filter(|group| !self.homes.contains_key(group)).collect::<Vec<_>>() {
            let addresses = self.config.addresses();
            let mut reasons = Vec::new();
            for process in self.config.cluster.members(group) {
                let address = addresses[process];
                match self.callers.call(address, self.config.cluster.id(), *process) {
                    Ok(connection) => {
                        let attach = Request::Attach(self.session);
                        self.callers.say(connection, |buffer| attach.encode(&mut Writer::new(buffer, VERSION)));
                        self.homes.insert(group, (*process, connection));
                        break;
                    }
                    Err(error) => reasons.push(format!("{process} at {address}: {error}")),
                }
            }
            if !self.homes.contains_key(&group) {
                let name = &self.config.groups[group.index()];
                return Err(format!("nobody of {name} answers ({}); is the cluster up?", reasons.join("; ")));
            }
        }
        Ok(())
    }

    /// Through a destination: a message concerns nobody else.
    fn ask(&mut self, message: &Multicast) {
        let first = message.id.destinations.iter().next().expect("a message has a destination");
        let (_, connection) = self.homes[&first];
        let request = Request::Multicast(message.clone());
        self.callers.say(connection, |buffer| request.encode(&mut Writer::new(buffer, VERSION)));
    }
}

fn understand(reply: Bytes) -> Result<Reply, String> {
    wire::from_bytes(reply, VERSION)
        .map_err(|error| format!("a replica answers what this program does not understand: {error}"))
}
