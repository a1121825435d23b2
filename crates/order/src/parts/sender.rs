//! [`Sender`]: the sender's side of a protocol whose groups are led by one
//! replica at a time. It says START to the leader of each destination, and
//! repeats it, to whoever leads by then, until it hears the outcome.
//!
//! It keeps nothing on disk: after a crash the session asks again. It bounds
//! what is on the way: each process has a share of what every group can hold.
//! What becomes of a message at its destinations it never knows.

use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{
    Busy, Cluster, Down, GroupId, GroupSet, MAX_PAYLOAD, MessageId, Multicast, Ordering, Out, Outlook, ProcessId,
    SessionId, Timestamp, Up, Want, Wire,
};

use smallvec::SmallVec;

use super::{ByGroup, Epoch, Recent, Spot, Stream, Table};

/// A group holds this many messages on the way, shared out among all processes
/// that may send. Far above what a healthy network holds, far below what memory does.
pub const MAX_PENDING: usize = 1 << 14;

/// Their payloads are no longer than this together, shared out in the same way: so much a group's log holds that
/// nobody has delivered. (One message of the longest kind is everybody's share at least.)
pub const MAX_PENDING_BYTES: usize = 1 << 28;

/// How often it looks at what has no answer yet.
const LOOK: Duration = Duration::from_millis(100);

/// Looks before a START is repeated for the first time; doubled each time, up to eight times this.
const PATIENCE: u32 = 5;

/// So many sessions with a message turned away, or expired, are remembered. It is a session's duty to ask again
/// for what was turned away before it goes on; this catches those that pipeline, and need not last for ever.
const MAX_TURNED_AWAY: usize = 1 << 12;

/// A protocol whose processes have such a sender.
pub trait Starts: Ordering {
    /// The timer by which the sender looks at what has no answer yet.
    const LOOK: Self::Timer;

    /// Says to the leader of a destination that a message wants to be ordered, behind the one of its session that it
    /// follows (zero for none), and who waits for the outcome.
    fn say_start(message: Multicast, follows: u64, sender: ProcessId) -> Self::Message;
}

/// Why a leader did not take a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// It can only be void by now.
    Expired,
    /// The group has all the messages that it can hold.
    Full,
}

/// What a process has sent and not heard the outcome of.
#[derive(Clone, Debug, Hash)]
pub struct Sender {
    me: ProcessId,
    cluster: Arc<Cluster>,
    /// How much to one group this process may have on the way.
    share: Load,
    /// The newest epoch heard of in each group; its leader is whom to ask.
    leaders: ByGroup<Epoch>,
    /// Where messages are ordered for several groups at once, if the protocol does so.
    desks: Vec<Desk>,
    open: Table<MessageId, Open>,
    /// Their numbers in each session, as far as it sends to the same groups, rising. Most have one on the way.
    sequences: Table<Stream, SmallVec<[u64; 2]>>,
    /// How much of it concerns each group.
    load: ByGroup<Load>,
    /// The first message of a session that was turned away: what follows it is too, or they would swap places.
    turned_away: Recent<SessionId, u64>,
    /// Sessions that ended with a message that came too late.
    ended: Recent<SessionId, ()>,
    is_looking: bool,
    /// The highest timestamp that a group has told this process.
    newest: Timestamp,
}

/// Processes that order messages to some groups for all of them, under one leader.
#[derive(Clone, Debug, Hash)]
pub struct Desk {
    groups: GroupSet,
    members: Vec<ProcessId>,
    /// The newest epoch heard of.
    epoch: Epoch,
    is_open: bool,
}

impl Desk {
    /// The desk of these groups, led by the first of these processes at first. While it is not open nothing is sent
    /// there.
    pub fn new(groups: GroupSet, members: Vec<ProcessId>, is_open: bool) -> Desk {
        let epoch = Epoch::first(members[0]);
        Desk { groups, members, epoch, is_open }
    }
}

/// How much is on the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct Load {
    messages: usize,
    /// Of their payloads.
    bytes: usize,
}

/// A message without an outcome.
#[derive(Clone, Debug, Hash)]
struct Open {
    message: Multicast,
    /// The message of its session that must be proposed before; zero for none.
    follows: u64,
    /// Looks since START was sent.
    age: u32,
    tries: u32,
    /// How often START was sent to any one group.
    copies: u32,
    /// A new primary was asked, which may not have been ready to propose: it is asked again at the next look.
    asks_again: bool,
}

impl Open {
    fn is_overdue(&self) -> bool {
        self.asks_again || self.age >= PATIENCE << self.tries.min(3)
    }
}

impl Sender {
    /// A process of this cluster that has sent nothing.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>) -> Sender {
        let leaders = cluster.groups().iter().map(|group| (group, Epoch::first(cluster.members(group)[0]))).collect();
        let processes = cluster.processes().count();
        let share = Load {
            messages: (MAX_PENDING / processes).max(1),
            bytes: (MAX_PENDING_BYTES / processes).max(MAX_PAYLOAD),
        };
        Sender {
            me,
            share,
            leaders,
            desks: Vec::new(),
            open: Table::new(),
            sequences: Table::new(),
            load: cluster.groups().iter().map(|group| (group, Load::default())).collect(),
            cluster,
            turned_away: Recent::new(MAX_TURNED_AWAY),
            ended: Recent::new(MAX_TURNED_AWAY),
            is_looking: false,
            newest: Timestamp::ZERO,
        }
    }

    /// The same for a protocol that orders a message in one place for all its destinations: at the first of these
    /// desks that serves them all and is open.
    #[must_use]
    pub fn with_desks(mut self, desks: impl Iterator<Item = Desk>) -> Sender {
        self.desks = desks.collect();
        self
    }

    /// How many desks there are, open or not.
    pub fn desks(&self) -> usize {
        self.desks.len()
    }

    /// How many messages are on the way.
    pub fn open(&self) -> usize {
        self.open.len()
    }

    /// Every message on the way.
    pub fn waiting(&self) -> impl Iterator<Item = MessageId> {
        self.open.sorted().into_iter().map(|(id, _)| id)
    }

    /// So many at most: those that the replica beside it waits for, and behind them what it has sent and the replica
    /// has not heard of.
    pub fn waiting_beside(&self, mut replicas: Vec<MessageId>, most: usize) -> Vec<MessageId> {
        let unheard = self.waiting().filter(|id| !replicas.contains(id));
        let unheard: Vec<MessageId> = unheard.take(most.saturating_sub(replicas.len())).collect();
        replicas.extend(unheard);
        replicas
    }

    /// A message on the way, by what its session calls it.
    fn find(&self, session: SessionId, sequence: u64) -> Option<MessageId> {
        self.open.find(|id| (id.session, id.sequence) == (session, sequence)).map(|(id, _)| id)
    }

    /// Step 1 of a multicast.
    pub fn multicast<M: Starts>(&mut self, message: Multicast, out: &mut Out<M>) {
        let id = message.id;
        if let Some(chronicle) = out.chronicle() {
            chronicle.asks(id);
        }
        if self.open.contains(&id) {
            // Its session has asked again; so does this process, until it hears the outcome.
            return;
        }
        if self.ended.get(&id.session).is_some() {
            // Nothing of its session may come behind the one that was left out.
            out.emit_early(Up::Expired(id));
            return;
        }
        if let Some(why) = self.reason_to_turn_away(&message) {
            self.turn_away(id, why, out);
            return;
        }
        self.turned_away.remove(&id.session);
        for group in id.destinations.iter() {
            let load = self.load.get_mut(group).expect("every group counts");
            load.messages += 1;
            load.bytes += message.payload.len();
        }
        let follows = self.line_up(id);
        let open = Open { message, follows, age: 0, tries: 0, copies: 0, asks_again: false };
        let spot = self.open.insert_new(id, open);
        self.start_at(spot, id, None, out);
        if !self.is_looking {
            self.is_looking = true;
            out.arm(M::LOOK, LOOK);
        }
    }

    fn reason_to_turn_away(&self, message: &Multicast) -> Option<&'static str> {
        if self.turned_away.get(&message.id.session).is_some_and(|first| *first < message.id.sequence) {
            return Some("an earlier message of its session was turned away and has to be asked for first");
        }
        let load = message.id.destinations.iter().map(|group| self.load[group]);
        let (mut messages, mut bytes) = (0, 0);
        load.for_each(|load| (messages, bytes) = (load.messages.max(messages), load.bytes.max(bytes)));
        if messages >= self.share.messages {
            return Some("this process has as many messages on the way as its share of a group allows");
        }
        if bytes + message.payload.len() > self.share.bytes {
            return Some("this process has as many bytes on the way as its share of a group allows");
        }
        None
    }

    fn turn_away<M: Starts>(&mut self, id: MessageId, why: &'static str, out: &mut Out<M>) {
        let first = self.turned_away.get(&id.session).map_or(id.sequence, |first| id.sequence.min(*first));
        self.turned_away.insert(id.session, first);
        out.emit_early(Up::Busy(Busy { id, why }));
    }

    /// Puts a message behind those of the same session that are on the way to the same groups. Answers the one
    /// that must be proposed before it, or zero.
    fn line_up(&mut self, id: MessageId) -> u64 {
        let (_, sequences) = self.sequences.enter(Stream::of(id));
        let place = sequences.iter().rposition(|before| *before < id.sequence).map_or(0, |last| last + 1);
        sequences.insert(place, id.sequence);
        if place > 0 { sequences[place - 1] } else { 0 }
    }

    /// Sends START to all destinations, or to one.
    fn start<M: Starts>(&mut self, id: MessageId, only: Option<GroupId>, out: &mut Out<M>) {
        let spot = self.open.spot(&id).expect("what is sent is open");
        self.start_at(spot, id, only, out);
    }

    fn start_at<M: Starts>(&mut self, spot: Spot, id: MessageId, only: Option<GroupId>, out: &mut Out<M>) {
        let open = self.open.at_mut(spot, &id).expect("what is sent is open");
        open.copies = open.copies.saturating_add(1);
        let Open { message, follows, tries, .. } = self.open.at(spot, &id).expect("it was just found");
        if let Some(number) = self.desk_of(id.destinations) {
            let Desk { members, epoch, .. } = &self.desks[number];
            out.send_early(next_of(members, epoch.leader, *tries), M::say_start(message.clone(), *follows, self.me));
            return;
        }
        for group in id.destinations.iter().filter(|group| only.is_none_or(|only| only == *group)) {
            out.send_early(self.whom(group, *tries), M::say_start(message.clone(), *follows, self.me));
        }
    }

    /// The believed primary at first, then one replica after the other: whoever is not it passes START on.
    fn whom(&self, group: GroupId, tries: u32) -> ProcessId {
        next_of(self.cluster.members(group), self.leaders[group].leader, tries)
    }

    /// Where a message to these groups is ordered, if that is one place.
    fn desk_of(&self, destinations: GroupSet) -> Option<usize> {
        self.desks.iter().position(|desk| desk.is_open && destinations.within(desk.groups))
    }

    /// A newer epoch of the processes at a desk: what is on the way to it goes to its leader, too.
    pub fn believe_desk<M: Starts>(&mut self, number: usize, epoch: Epoch, out: &mut Out<M>) {
        if epoch <= self.desks[number].epoch {
            return;
        }
        self.desks[number].epoch = epoch;
        self.turn_to_desk(number, out);
    }

    /// What is on the way goes to a desk, or to somebody else there.
    fn turn_to_desk<M: Starts>(&mut self, number: usize, out: &mut Out<M>) {
        for id in self.waiting().filter(|id| self.desk_of(id.destinations) == Some(number)).collect::<Vec<_>>() {
            let open = self.open.get_mut(&id).expect("it was just found");
            (open.age, open.tries, open.asks_again) = (0, 0, true);
            self.start(id, None, out);
        }
    }

    /// A desk is open from now on. What is on the way goes there, too: otherwise what follows it would have to wait
    /// until it is known there what became of it.
    pub fn open_desk<M: Starts>(&mut self, number: usize, out: &mut Out<M>) {
        if !self.desks[number].is_open {
            self.desks[number].is_open = true;
            self.turn_to_desk(number, out);
        }
    }

    /// A newer epoch of a group: what is on the way to it goes to its leader, too.
    pub fn believe<M: Starts>(&mut self, group: GroupId, epoch: Epoch, out: &mut Out<M>) {
        let known = self.leaders.get_mut(group).expect("every group has a leader");
        if epoch <= *known {
            return;
        }
        *known = epoch;
        for id in self.to(group) {
            // So far it asked in turn, less and less often, where there was no primary.
            let open = self.open.get_mut(&id).expect("it was just found");
            (open.age, open.tries, open.asks_again) = (0, 0, true);
            self.start(id, Some(group), out);
        }
    }

    fn to(&self, group: GroupId) -> Vec<MessageId> {
        let concerned = self.open.sorted_if(|open| open.message.id.destinations.contains(group));
        concerned.into_iter().map(|(id, _)| id).collect()
    }

    /// A group has delivered something with this timestamp.
    pub fn hear_timestamp(&mut self, timestamp: Timestamp) {
        self.newest = self.newest.max(timestamp);
    }

    /// A destination says that it was delivered, with this timestamp or a lower one.
    pub fn on_done<M: Starts>(&mut self, id: MessageId, timestamp: Timestamp, out: &mut Out<M>) {
        self.hear_timestamp(timestamp);
        if self.note_delivery(id) {
            out.emit_early(Up::Done { id, timestamp });
        }
    }

    /// It was delivered: what follows it need not wait to hear of it. Answers whether it was on the way.
    pub fn note_delivery(&mut self, id: MessageId) -> bool {
        let was_open = self.close(id);
        for sequence in self.sequences.get(&Stream::of(id)).into_iter().flatten().filter(|later| **later > id.sequence)
        {
            let later = self.open.get_mut(&MessageId { sequence: *sequence, ..id }).expect("what is lined up is open");
            if later.follows == id.sequence {
                later.follows = 0;
            }
        }
        was_open
    }

    fn close(&mut self, id: MessageId) -> bool {
        let Some(open) = self.open.remove(&id) else { return false };
        for group in id.destinations.iter() {
            let load = self.load.get_mut(group).expect("every group counts");
            load.messages -= 1;
            load.bytes -= open.message.payload.len();
        }
        let stream = Stream::of(id);
        let sequences = self.sequences.get_mut(&stream).expect("what is open is lined up");
        sequences.retain(|sequence| *sequence != id.sequence);
        if sequences.is_empty() {
            self.sequences.remove(&stream);
        }
        true
    }

    /// A leader did not take it.
    pub fn on_refused<M: Starts>(&mut self, id: MessageId, refusal: Refusal, out: &mut Out<M>) {
        let Some(open) = self.open.get(&id) else { return };
        match refusal {
            Refusal::Expired => {
                self.end_session(id);
                out.emit_early(Up::Expired(id));
            }
            // Another copy of START may be taken yet, and "busy" says that nothing will come of it.
            Refusal::Full if open.copies > 1 => {}
            Refusal::Full => {
                // What follows it waits for it, and has no better chance.
                for id in self.from(id) {
                    self.close(id);
                    self.turn_away(id, "its destination has all the messages that it can hold", out);
                }
            }
        }
    }

    /// A message came too late. What follows it in its session may have been proposed somewhere, and will be
    /// delivered then; this process has done its part.
    fn end_session(&mut self, id: MessageId) {
        self.ended.insert(id.session, ());
        for id in self.from(id) {
            self.close(id);
        }
    }

    /// A message and what is on the way behind it in its session.
    fn from(&self, id: MessageId) -> Vec<MessageId> {
        let behind = self.open.sorted_if(|open| open.message.id.session == id.session && open.message.id >= id);
        behind.into_iter().map(|(id, _)| id).collect()
    }

    /// Looks at what has no outcome yet.
    pub fn look<M: Starts>(&mut self, out: &mut Out<M>) {
        self.is_looking = !self.open.is_empty();
        if !self.is_looking {
            return;
        }
        out.arm(M::LOOK, LOOK);
        self.open.change_each(|open| open.age += 1);
        let mut overdue = Vec::new();
        for (id, open) in self.open.sorted_mut_if(Open::is_overdue) {
            if !core::mem::take(&mut open.asks_again) {
                (open.age, open.tries) = (0, open.tries.saturating_add(1));
            }
            overdue.push(id);
        }
        for id in overdue {
            self.start(id, None, out);
        }
    }

    /// What was on its way to this process may be lost.
    pub fn on_reconnect<M: Starts>(&mut self, peer: ProcessId, out: &mut Out<M>) {
        for id in self.waiting().collect::<Vec<_>>() {
            let Some(number) = self.desk_of(id.destinations) else { break };
            let tries = self.open.get(&id).expect("it was just found").tries;
            let Desk { members, epoch, .. } = &self.desks[number];
            if next_of(members, epoch.leader, tries) == peer {
                self.start(id, None, out);
            }
        }
        let Some(group) = self.cluster.group_of(peer).filter(|_| self.desks.is_empty()) else { return };
        for id in self.to(group) {
            let tries = self.open.get(&id).expect("it was just found").tries;
            if self.whom(group, tries) == peer {
                self.start(id, Some(group), out);
            }
        }
    }

    /// Refuses what could not be delivered as it is.
    pub fn admit(&self, command: &Down) {
        if let Down::Multicast(message) = command
            && let Err(error) = self.cluster.admit(message)
        {
            panic!("{} was multicast unchecked: {error}", message.id);
        }
    }

    /// Turns a message away whose floor lies further ahead than any clock may go.
    /// What groups have reached is no future, whatever the clock of this process says.
    pub fn turn_away_high_floor<M: Starts>(
        &mut self,
        message: &Multicast,
        highest: Timestamp,
        out: &mut Out<M>,
    ) -> bool {
        let is_high = message.floor > highest.max(self.newest);
        if is_high {
            self.turn_away(message.id, "its floor lies in the future of this process's clock", out);
        }
        is_high
    }

    /// What it knows of a message that it has sent and that nothing was heard of.
    pub fn outlook(&self, session: SessionId, sequence: u64, own: Option<GroupId>) -> Option<Outlook> {
        let id = self.find(session, sequence)?;
        let wants = match own.filter(|own| id.destinations.contains(*own)) {
            Some(_) => id.destinations.iter().map(Want::Proposal).collect(),
            None => vec![Want::Outcome],
        };
        Some(Outlook { id, sender: Some(self.me), places: Vec::new(), timestamp: None, wants })
    }

    /// Panics unless its books are right.
    pub fn check(&self) {
        for (group, load) in self.load.iter() {
            let mut counted = Load::default();
            for id in self.to(group) {
                counted.messages += 1;
                counted.bytes += self.open.get(&id).expect("it was just found").message.payload.len();
            }
            assert_eq!(*load, counted, "the load of {group} does not add up");
            let fits = load.messages <= self.share.messages && load.bytes <= self.share.bytes;
            assert!(fits, "{load:?} is on the way to {group}, where {:?} may be", self.share);
        }
    }
}

/// The leader at first, then one after the other.
fn next_of(members: &[ProcessId], leader: ProcessId, tries: u32) -> ProcessId {
    let place = members.iter().position(|member| *member == leader).unwrap_or(0);
    members[(place + tries as usize) % members.len()]
}

impl Wire for Refusal {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u8(match self {
            Refusal::Expired => 0,
            Refusal::Full => 1,
        });
    }

    fn decode(reader: &mut Reader) -> Result<Refusal, WireError> {
        match reader.u8()? {
            0 => Ok(Refusal::Expired),
            1 => Ok(Refusal::Full),
            tag => Err(WireError::UnknownTag { what: "a refusal", tag }),
        }
    }
}
