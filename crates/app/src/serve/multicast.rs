//! The plainest face of a node: clients multicast, and follow what is
//! delivered. It keeps no state of its own, so its checkpoints are empty. It
//! stands before an order alone, and beside a service that has one.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::wire::{self, VERSION, Writer};
use skein_machine::{Ask, Cluster, Delivery, Down, Machine, Multicast, Ordering, Position, SessionId, Up, Wire};
use skein_runtime::front::{ClientId, Desk, Front};

use crate::processor_time;
use crate::speech::{Counts, Reply, Request};
use crate::torture::journal::Journal;

/// More sessions than one node's clients have.
const MOST_SESSIONS: usize = 1 << 20;

/// More than one client has. Whoever takes that many leaves room for others.
const MOST_SESSIONS_OF_ONE: usize = 1 << 16;

/// A shorter payload is copied out of the frame in which it came. All of a frame is kept for as long as any part of
/// it, and what else a client has put there no bound counts.
const COPIED: usize = 64 << 10;

/// One replica's clients.
pub(crate) struct Multicasts {
    cluster: Arc<Cluster>,
    /// Who is told of the deliveries of each session.
    sessions: HashMap<SessionId, ClientId>,
    /// What each client has attached, some of it to another client since.
    attached: BTreeMap<ClientId, Vec<SessionId>>,
    followers: BTreeSet<ClientId>,
    position: Position,
    deliveries: u64,
    /// Who writes down everything that the machine says.
    journal: Option<Journal>,
}

/// What the process asks of its replica.
pub(crate) enum Call {
    /// Hand over what it leads: it will stop soon.
    Retire,
    /// What clients of its service ask.
    Asks(Vec<Ask>),
}

impl Multicasts {
    pub(crate) fn new(cluster: Arc<Cluster>, journal: Option<Journal>) -> Multicasts {
        let (sessions, attached) = (HashMap::new(), BTreeMap::new());
        Multicasts { cluster, sessions, attached, followers: BTreeSet::new(), position: 0, deliveries: 0, journal }
    }

    fn attach(&mut self, client: ClientId, session: SessionId) -> Result<(), String> {
        let before = self.sessions.get(&session);
        if before == Some(&client) {
            return Ok(());
        }
        if before.is_none() && self.sessions.len() >= MOST_SESSIONS {
            return Err(format!("{MOST_SESSIONS} sessions are attached here, and that is enough"));
        }
        let attached = self.attached.entry(client).or_default();
        if attached.len() >= MOST_SESSIONS_OF_ONE {
            return Err(format!("{MOST_SESSIONS_OF_ONE} sessions are enough for one client: use several connections"));
        }
        attached.push(session);
        self.sessions.insert(session, client);
        Ok(())
    }

    fn deliver<M: Machine>(&mut self, delivery: Delivery, desk: &mut Desk<M>) {
        self.position = delivery.position + 1;
        self.deliveries += 1;
        let (id, timestamp) = (delivery.message.id, delivery.timestamp);
        if let Some(client) = self.sessions.get(&id.session) {
            say(desk, *client, &Reply::Delivered { id, timestamp });
        }
        if !self.followers.is_empty() {
            let next = Reply::Next(delivery);
            self.followers.iter().for_each(|client| say(desk, *client, &next));
        }
    }
}

fn say<M: Machine>(desk: &mut Desk<M>, client: ClientId, reply: &Reply) {
    desk.answer(client, |buffer| reply.encode(&mut Writer::new(buffer, VERSION)));
}

impl Multicasts {
    /// What an order says of messages that were multicast here.
    pub(crate) fn hear<M: Machine>(&mut self, event: Up, desk: &mut Desk<M>) {
        // Before any client hears of it: what somebody was told, the journal knows.
        if let Some(journal) = &mut self.journal {
            journal.write(&event);
        }
        match event {
            Up::Deliver(delivery) => self.deliver(delivery, desk),
            Up::Busy(busy) => {
                if let Some(client) = self.sessions.get(&busy.id.session) {
                    say(desk, *client, &Reply::Busy { id: busy.id, why: busy.why.to_owned() });
                }
            }
            Up::Done { id, timestamp } => {
                if let Some(client) = self.sessions.get(&id.session) {
                    say(desk, *client, &Reply::Done { id, timestamp });
                }
            }
            Up::Expired(id) => {
                if let Some(client) = self.sessions.get(&id.session) {
                    say(desk, *client, &Reply::Expired(id));
                }
            }
            Up::Install { position, .. } => self.position = position,
            Up::Settled(_) | Up::SafeTime(_) | Up::ReadPoint { .. } | Up::WantCheckpoint => {}
        }
    }

    /// What a client asks; `multicast` is how the machine is asked for that.
    pub(crate) fn ask<M: Machine>(
        &mut self,
        client: ClientId,
        request: Bytes,
        desk: &mut Desk<M>,
        multicast: fn(Multicast) -> M::Command,
    ) -> Result<(), String> {
        match wire::from_bytes::<Request>(request, VERSION).map_err(|error| error.to_string())? {
            Request::Multicast(mut message) => {
                self.cluster.admit(&message).map_err(|error| error.to_string())?;
                if message.payload.len() < COPIED {
                    message.payload = Bytes::copy_from_slice(&message.payload);
                }
                desk.command(multicast(message));
            }
            Request::Attach(session) => self.attach(client, session)?,
            Request::Tail => {
                self.followers.insert(client);
            }
            Request::Count => {
                let traffic = desk.traffic;
                let counts = Counts {
                    deliveries: self.deliveries,
                    bytes_out: traffic.bytes_out,
                    writes: traffic.writes,
                    processor_nanos: processor_time().as_nanos() as u64,
                    peers: desk.peers as u64,
                };
                say(desk, client, &Reply::Counts(counts));
            }
        }
        Ok(())
    }

    /// Whether anybody follows what is delivered.
    pub(crate) fn is_followed(&self) -> bool {
        !self.followers.is_empty()
    }

    /// A client is gone.
    pub(crate) fn lose(&mut self, client: ClientId) {
        self.followers.remove(&client);
        for session in self.attached.remove(&client).into_iter().flatten() {
            if self.sessions.get(&session) == Some(&client) {
                self.sessions.remove(&session);
            }
        }
    }
}

impl<M: Ordering> Front<M> for Multicasts {
    type Call = Call;

    fn on_event(&mut self, event: Up, desk: &mut Desk<M>) {
        let wants_checkpoint = event == Up::WantCheckpoint;
        self.hear(event, desk);
        if wants_checkpoint {
            desk.command(Down::Checkpointed { position: self.position, bytes: Bytes::new() });
        }
    }

    fn on_call(&mut self, call: Call, desk: &mut Desk<M>) {
        match call {
            Call::Retire => desk.command(Down::Retire),
            Call::Asks(_) => unreachable!("there is no service here to ask for anything"),
        }
    }

    fn on_request(&mut self, client: ClientId, request: Bytes, desk: &mut Desk<M>) -> Result<(), String> {
        self.ask(client, request, desk, Down::Multicast)
    }

    fn on_gone(&mut self, client: ClientId) {
        self.lose(client);
    }
}
