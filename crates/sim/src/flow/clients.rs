//! [`Clients`]: who multicasts what in a measurement, and when. A client
//! stands beside a replica, and each of its messages goes to that replica's
//! group and some random others, as where the figures were first drawn; or it
//! is an outsider, and all its destinations are random.
//!
//! What a client sends to one set of groups is a session, so that protocols
//! remember a few hundred of them however many messages there are. Nothing a
//! client does depends on what it has seen.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::{Cluster, GroupId, GroupSet, MessageId, Multicast, ProcessId, Random, SessionId, Timestamp};

use super::Pressure;
use crate::{MILLISECOND, Nanos, SECOND};

/// Whoever was turned away tries again after this.
const SOON: Nanos = MILLISECOND;

/// All clients of a measurement.
pub(super) struct Clients {
    clients: Vec<Client>,
    groups: Vec<GroupId>,
    destinations: usize,
    payload: Bytes,
    random: Random,
    pressure: Pressure,
    is_closing: bool,
    sessions: u64,
    /// To which client and set each session belongs.
    owners: BTreeMap<SessionId, (usize, GroupSet)>,
    /// Multicasts so far.
    pub(super) sent: u64,
}

struct Client {
    entry: ProcessId,
    group: Option<GroupId>,
    sessions: BTreeMap<GroupSet, Session>,
}

struct Session {
    id: SessionId,
    next_sequence: u64,
}

/// What clients want to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Task {
    /// The next message of all is due, whoever's it is.
    Any,
    /// This client has room for another.
    One(usize),
}

impl Task {
    pub(super) fn number(self) -> u64 {
        match self {
            Task::Any => 0,
            Task::One(client) => client as u64 + 1,
        }
    }

    pub(super) fn of(number: u64) -> Task {
        number.checked_sub(1).map_or(Task::Any, |client| Task::One(client as usize))
    }
}

impl Clients {
    pub(super) fn new(cluster: &Cluster, destinations: usize, payload: usize, random: Random) -> Clients {
        let groups: Vec<GroupId> = cluster.groups().iter().collect();
        assert!((1..=groups.len()).contains(&destinations), "there are not {destinations} groups");
        let outsiders = cluster.outsiders().to_vec();
        let entries = if outsiders.is_empty() { cluster.processes().collect() } else { outsiders };
        let client = |entry| Client { entry, group: cluster.group_of(entry), sessions: BTreeMap::new() };
        Clients {
            clients: entries.into_iter().map(client).collect(),
            groups,
            destinations,
            payload: vec![0; payload].into(),
            random,
            pressure: Pressure::Rate(1.0),
            is_closing: false,
            sessions: 0,
            owners: BTreeMap::new(),
            sent: 0,
        }
    }

    /// Begins. In a closed loop the first messages come at random moments of a tenth of a second, so that clients do
    /// not march in step.
    pub(super) fn first_tasks(&mut self, now: Nanos, pressure: Pressure) -> Vec<(Nanos, Task)> {
        self.pressure = pressure;
        match pressure {
            Pressure::Rate(_) => vec![(now + self.pause(), Task::Any)],
            Pressure::Outstanding(each) => {
                let clients = (0..self.clients.len()).flat_map(|client| std::iter::repeat_n(client, each));
                clients.map(|client| (now + self.random.below(SECOND / 10), Task::One(client))).collect()
            }
        }
    }

    /// No new messages from now on.
    pub(super) fn close(&mut self) {
        self.is_closing = true;
    }

    /// What comes after this task, if it does not wait for an answer.
    pub(super) fn next_due(&mut self, task: Task, now: Nanos) -> Option<(Nanos, Task)> {
        (task == Task::Any && !self.is_closing).then(|| (now + self.pause(), Task::Any))
    }

    /// The message that is due, and through whom it goes.
    pub(super) fn multicast(&mut self, task: Task) -> Option<(ProcessId, Multicast)> {
        if self.is_closing {
            return None;
        }
        let nth = match task {
            Task::Any => self.random.below(self.clients.len() as u64) as usize,
            Task::One(client) => client,
        };
        let set = self.destinations_of(nth);
        let Clients { clients, sessions, owners, .. } = self;
        let client = &mut clients[nth];
        let session = client.sessions.entry(set).or_insert_with(|| {
            *sessions += 1;
            owners.insert(SessionId(*sessions), (nth, set));
            Session { id: SessionId(*sessions), next_sequence: 1 }
        });
        let id = MessageId { session: session.id, sequence: session.next_sequence, destinations: set };
        session.next_sequence += 1;
        self.sent += 1;
        let payload = self.payload.clone();
        Some((client.entry, Multicast { id, floor: Timestamp::ZERO, expiry: Timestamp::MAX, payload }))
    }

    /// A message was answered. In a closed loop its client has room for another.
    pub(super) fn answered(&mut self, id: MessageId) -> Option<Task> {
        let is_closed = matches!(self.pressure, Pressure::Outstanding(_));
        is_closed.then(|| Task::One(self.owners[&id.session].0))
    }

    /// A message was refused. Its session would have to ask for it again before anything else, so it ends here. In a
    /// closed loop its client tries another one soon.
    pub(super) fn turned_away(&mut self, now: Nanos, id: MessageId) -> Option<(Nanos, Task)> {
        let (client, set) = self.owners[&id.session];
        let sessions = &mut self.clients[client].sessions;
        if sessions.get(&set).is_some_and(|session| session.id == id.session) {
            sessions.remove(&set);
        }
        self.answered(id).map(|task| (now + SOON, task))
    }

    fn destinations_of(&mut self, client: usize) -> GroupSet {
        let mut set: GroupSet = self.clients[client].group.into_iter().collect();
        while set.len() < self.destinations {
            set.insert(*self.random.pick(&self.groups));
        }
        set
    }

    /// Until the next message: exponential, as independent clients are together.
    fn pause(&mut self) -> Nanos {
        let Pressure::Rate(per_second) = self.pressure else {
            unreachable!("only a rate has pauses");
        };
        (-(1.0 - self.random.fraction()).ln() / per_second * SECOND as f64) as Nanos
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clients(outsiders: usize, destinations: usize) -> Clients {
        Clients::new(&Cluster::regular(4, 3, outsiders).unwrap(), destinations, 0, Random::new(1))
    }

    #[test]
    fn the_own_group_is_always_among_the_destinations() {
        let mut clients = clients(0, 2);
        let mut seen = GroupSet::EMPTY;
        for _ in 0..100 {
            let (entry, message) = clients.multicast(Task::One(4)).unwrap();
            assert_eq!((entry, message.id.destinations.len()), (ProcessId(4), 2));
            assert!(message.id.destinations.contains(GroupId::new(1).unwrap()));
            seen = seen.or(message.id.destinations);
        }
        assert_eq!(seen, GroupSet::first(4), "and all others come up");
        assert_eq!(clients.sessions, 3, "a session for each set");
    }

    #[test]
    fn outsiders_take_the_place_of_replicas() {
        let mut clients = clients(2, 1);
        let entries: std::collections::BTreeSet<ProcessId> =
            (0..50).map(|_| clients.multicast(Task::Any).unwrap().0).collect();
        assert_eq!(entries.into_iter().collect::<Vec<_>>(), [ProcessId(12), ProcessId(13)]);
    }

    #[test]
    fn a_session_that_was_refused_goes_on_under_another_name() {
        let mut clients = clients(0, 4);
        assert_eq!(clients.first_tasks(0, Pressure::Outstanding(2)).len(), 24);
        let (_, first) = clients.multicast(Task::One(0)).unwrap();
        let (_, second) = clients.multicast(Task::One(0)).unwrap();
        assert_eq!(first.id.session, second.id.session);
        assert_eq!(clients.turned_away(5, first.id), Some((5 + SOON, Task::One(0))));
        let (_, third) = clients.multicast(Task::One(0)).unwrap();
        assert!(third.id.session != first.id.session && third.id.sequence == 1);
        assert!(clients.turned_away(6, second.id).is_some(), "what was behind it is refused too");
        assert_eq!(clients.multicast(Task::One(0)).unwrap().1.id.sequence, 2, "and the new one goes on");
    }
}
