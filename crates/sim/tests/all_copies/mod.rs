//! AllCopies: an atomic multicast that survives whatever the weather offers,
//! and is as simple as that allows. It serves nobody; it proves the simulator.
//!
//! The first replica of the first group is the sequencer. It alone appends to
//! one log of all messages, of which every replica of every group keeps a copy
//! on its disk. A replica delivers an entry, if it concerns its group, once
//! every replica has had it on disk. Whatever is lost on the way is sent again
//! by timer, and when a link stands again.
//!
//! A replica that has forgotten takes the log from the sequencer and counts
//! again when it holds what the sequencer held when it was asked: more than
//! has been delivered anywhere. A sequencer that has forgotten takes the copies
//! of all others and goes on with the longest. So an entry that was delivered
//! is lost only if all forget it before one has been given it back.
//!
//! Whoever wants a timestamp to be passed has the sequencer append a blank with it.
//!
//! Not genuine, and it stands still while anybody is down.

mod log;
pub(crate) mod plan;
mod sequencer;
mod wire;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use skein_machine::{
    Boot, Busy, Cluster, Delivery, Down, GroupId, Machine, MessageId, Multicast, Out, Position, ProcessId, Time,
    Timestamp, Up,
};

use log::{Entry, Log};
use sequencer::Sequencer;
pub(crate) use wire::{Message, Record};

/// After how many deliveries a replica asks its user for a checkpoint.
const CHECKPOINT_EVERY: u64 = 40;

/// How long to wait before everything that is still open is sent again.
const RETRY: Duration = Duration::from_millis(400);

/// A sender with this many messages on the way turns others away.
const MAX_PENDING: usize = 1024;

/// One rule broken, to be caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// A replica acknowledges what is not on its disk yet.
    AcknowledgesEarly,
    /// A replica that has forgotten claims to hold what it once held.
    CountsWhatItForgot,
    /// What is on the sequencer's disk counts as being everywhere.
    DeliversAlone,
    /// The sequencer says that a message came too late, and appends it in time.
    DeniesWhatItAppends,
    /// A sequencer that starts again has forgotten which ids are in its log.
    ForgetsIds,
    /// The sequencer appends what comes, whatever came before it in its session.
    OvertakesInSessions,
    /// A replica asks once for a timestamp that somebody wants passed, and never again.
    ForgetsWishes,
    /// A replica says of everything that it holds that it has delivered it.
    SpeaksTooEarly,
    /// A replica counts its deliveries from zero in every life.
    RestartsAtZero,
    /// A sequencer that has forgotten goes on with an empty log.
    NumbersAlone,
    /// A sequencer that has forgotten goes on with the first copy that it gets.
    TrustsTheFirstCopy,
}

/// The one timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Timer {
    /// Send again what is open.
    Retry,
}

/// One process.
#[derive(Clone, Debug, Hash)]
pub(crate) struct AllCopies {
    me: ProcessId,
    cluster: Arc<Cluster>,
    /// Its group; an outsider keeps no copy and only sends.
    group: Option<GroupId>,
    mutant: Option<Mutant>,
    boot: Boot,

    log: Log,
    /// The user's state that is on disk, and up to which delivery it goes.
    user: Option<(Position, Bytes)>,
    /// Whether the log is what it was, or a copy as good. False after a loss of memory.
    recovered: bool,
    /// The same, once it is on disk.
    remembers: bool,
    /// With so many entries a replica that has forgotten counts again.
    goal: Option<u64>,

    /// So many entries have been on all disks.
    everywhere: u64,
    /// The first entry that was not looked at for delivery.
    next: usize,
    delivered: Position,
    /// Up to here it has said that everything was delivered.
    safe: Timestamp,
    /// Up to here somebody wants it to be.
    wanted: Timestamp,

    /// What this process was asked to send and does not know to be everywhere.
    pending: BTreeMap<MessageId, Multicast>,
    /// What only the sequencer knows.
    sequencer: Option<Sequencer>,
}

impl AllCopies {
    pub(crate) fn new(me: ProcessId, cluster: Arc<Cluster>, boot: Boot, mutant: Option<Mutant>) -> AllCopies {
        let group = cluster.group_of(me);
        let forgot = matches!(boot, Boot::Amnesiac { .. }) && group.is_some();
        let sequencer = (me == sequencer_of(&cluster)).then(|| Sequencer::new(&cluster));
        let recovered = !forgot || (sequencer.is_some() && mutant == Some(Mutant::NumbersAlone));
        AllCopies {
            me,
            cluster,
            group,
            mutant,
            boot,
            log: Log::default(),
            user: None,
            recovered,
            remembers: recovered,
            goal: None,
            everywhere: 0,
            next: 0,
            delivered: 0,
            safe: Timestamp::ZERO,
            wanted: Timestamp::ZERO,
            pending: BTreeMap::new(),
            sequencer,
        }
    }

    fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    fn first(&self) -> ProcessId {
        sequencer_of(&self.cluster)
    }
}

fn sequencer_of(cluster: &Cluster) -> ProcessId {
    cluster.processes().next().expect("a cluster has a process")
}

impl Machine for AllCopies {
    type Command = Down;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Event = Up;

    fn restore(&mut self, record: Record) {
        match record {
            Record::Forgot => self.recovered = false,
            Record::Appended(entry) => self.log.push(entry),
            Record::Recovered => self.recovered = true,
            Record::Everything { entries, recovered, user } => {
                assert!(self.log.length() == 0, "a checkpoint is restored after other records");
                (self.log, self.recovered, self.user) = (Log::of(entries), recovered, user);
            }
        }
        self.remembers = self.recovered;
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Self>) {
        out.arm(Timer::Retry, RETRY);
        if matches!(self.boot, Boot::Amnesiac { .. }) && !self.recovered {
            out.persist(Record::Forgot);
        }
        if let Some((position, bytes)) = self.user.clone() {
            self.skip_to(position);
            out.emit(Up::Install { position, bytes });
        }
        if self.is(Mutant::ForgetsIds) {
            self.log.forget_ids();
        }
        self.tell_what_is_held(out);
        self.fetch_copies(out);
    }

    fn on_command(&mut self, _: Time, command: Down, out: &mut Out<Self>) {
        match command {
            Down::Multicast(message) => self.multicast(message, out),
            Down::Checkpointed { position, bytes } => {
                self.user = Some((position, bytes));
                self.checkpoint(out);
            }
            Down::RaiseClock(timestamp) => {
                self.wanted = self.wanted.max(timestamp);
                self.ask_for_a_blank(out);
            }
            // It has clocks nowhere but at the sequencer, and is asked for no point to read at.
            Down::ReadPoint(_) | Down::Retire => {}
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Out<Self>) {
        match message {
            Message::Ask(message) => self.on_ask(from, message, out),
            Message::Taken(id) => {
                self.pending.remove(&id);
            }
            Message::Expired(id) => {
                if self.pending.remove(&id).is_some() {
                    out.emit(Up::Expired(id));
                }
            }
            Message::Raise(timestamp) => self.on_raise(from, timestamp, out),
            Message::Append { first, entries, everywhere } => self.on_append(first, entries, everywhere, out),
            Message::Held { length, recovered } => self.on_held(from, length, recovered, out),
            Message::Goal(length) => self.on_goal(length, out),
            Message::Fetch => out.send(from, Message::Copy(self.log.entries().to_vec())),
            Message::Copy(entries) => self.on_copy(from, entries, out),
            Message::Recovered => self.remembers = true,
        }
    }

    fn on_timer(&mut self, _: Time, Timer::Retry: Timer, out: &mut Out<Self>) {
        out.arm(Timer::Retry, RETRY);
        self.ask_again(out);
        if !self.is(Mutant::ForgetsWishes) {
            self.ask_for_a_blank(out);
        }
        if !self.recovered {
            self.tell_what_is_held(out);
        }
        self.fetch_copies(out);
        self.feed_again(out);
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Out<Self>) {
        if peer == self.first() {
            self.ask_again(out);
            self.tell_what_is_held(out);
        }
        self.on_reconnect_of_replica(peer, out);
    }

    fn check(&self) {
        self.log.check();
        let (next, length) = (self.next as u64, self.log.length());
        assert!(next <= length, "{} has delivered {next} entries and holds {length}", self.me);
        assert!(self.delivered <= next, "{} counts more deliveries than entries", self.me);
        assert!(self.recovered || !self.remembers, "{} remembers what it has not recovered", self.me);
        if self.recovered && self.sequencer.is_some() {
            let (everywhere, length) = (self.everywhere, self.log.length());
            assert!(everywhere <= length, "{everywhere} entries are everywhere, and {length} at the sequencer");
        }
        if let (Some((position, _)), Some(group)) = (&self.user, self.group) {
            let mine = self.log.entries().iter().filter(|entry| entry.concerns(group)).count();
            assert!(*position <= mine as u64, "a state at {position} is kept with {mine} entries for {group}");
        }
    }

    fn remembers(&self) -> bool {
        self.remembers
    }
}

/// A sender.
impl AllCopies {
    fn multicast(&mut self, message: Multicast, out: &mut Out<Self>) {
        self.cluster.admit(&message).unwrap_or_else(|error| panic!("{} was multicast unchecked: {error}", message.id));
        if self.pending.len() >= MAX_PENDING {
            out.emit(Up::Busy(Busy { id: message.id, why: "too many messages are on the way at this process" }));
            return;
        }
        self.pending.insert(message.id, message.clone());
        out.send(self.first(), Message::Ask(message));
    }

    /// In the order of ids, so that each session's messages go in theirs.
    fn ask_again(&mut self, out: &mut Out<Self>) {
        for message in self.pending.values() {
            out.send(self.first(), Message::Ask(message.clone()));
        }
    }
}

/// A replica.
impl AllCopies {
    fn on_append(&mut self, first: u64, entries: Vec<Entry>, everywhere: u64, out: &mut Out<Self>) {
        // A gap: something was lost between. The answer says from where to go on.
        if first <= self.log.length() {
            for (place, entry) in (first..).zip(entries) {
                if let Some(known) = self.log.entries().get(place as usize) {
                    assert_eq!(*known, entry, "{} holds another entry at place {place}", self.me);
                } else {
                    out.persist(Record::Appended(entry.clone()));
                    self.log.push(entry);
                }
            }
        }
        self.everywhere = self.everywhere.max(everywhere);
        self.count_again(out);
        self.tell_what_is_held(out);
        self.deliver(out);
    }

    fn on_goal(&mut self, length: u64, out: &mut Out<Self>) {
        self.goal = Some(length);
        self.count_again(out);
        self.tell_what_is_held(out);
    }

    /// Ends the loss of memory once everything that counts is here again.
    fn count_again(&mut self, out: &mut Out<Self>) {
        let Some(goal) = self.goal else { return };
        if !self.recovered && (self.log.length() >= goal || self.is(Mutant::CountsWhatItForgot)) {
            self.recovered = true;
            out.persist(Record::Recovered);
            out.send(self.me, Message::Recovered);
        }
    }

    fn tell_what_is_held(&mut self, out: &mut Out<Self>) {
        if self.group.is_none() {
            return;
        }
        let mut length = self.log.length();
        if self.is(Mutant::CountsWhatItForgot) {
            length = length.max(self.goal.unwrap_or(0));
        }
        let held = Message::Held { length, recovered: self.recovered };
        if self.is(Mutant::AcknowledgesEarly) {
            out.send_early(self.first(), held);
        } else {
            out.send(self.first(), held);
        }
    }

    /// Delivers what all have, as far as it is here.
    fn deliver(&mut self, out: &mut Out<Self>) {
        let Some(group) = self.group else { return };
        while (self.next as u64) < self.everywhere.min(self.log.length()) {
            let Entry { timestamp, message } = self.log.entries()[self.next].clone();
            self.next += 1;
            let Some(message) = message else { continue };
            self.pending.remove(&message.id);
            if message.id.destinations.contains(group) {
                out.emit(Up::Deliver(Delivery { position: self.delivered, timestamp, message }));
                self.delivered += 1;
                if self.delivered.is_multiple_of(CHECKPOINT_EVERY) {
                    out.emit(Up::WantCheckpoint);
                }
            }
        }
        let place = if self.is(Mutant::SpeaksTooEarly) { self.log.entries().len() } else { self.next };
        let safe = self.log.timestamp_before(place);
        if safe > self.safe {
            self.safe = safe;
            out.emit(Up::SafeTime(safe));
        }
    }

    fn ask_for_a_blank(&self, out: &mut Out<Self>) {
        if self.wanted > self.safe {
            out.send(self.first(), Message::Raise(self.wanted));
        }
    }

    /// Goes on after a state that has so many deliveries of this group in it.
    fn skip_to(&mut self, position: Position) {
        let group = self.group.expect("a replica has a state");
        let mine = |(_, entry): &(usize, &Entry)| entry.concerns(group);
        let mut places = self.log.entries().iter().enumerate().filter(mine).map(|(place, _)| place + 1);
        if position > 0 {
            self.next = places.nth(position as usize - 1).expect("what is in the state is in the log");
        }
        self.delivered = if self.is(Mutant::RestartsAtZero) { 0 } else { position };
    }

    fn checkpoint(&self, out: &mut Out<Self>) {
        let entries = self.log.entries().to_vec();
        out.checkpoint(Record::Everything { entries, recovered: self.recovered, user: self.user.clone() });
    }
}
