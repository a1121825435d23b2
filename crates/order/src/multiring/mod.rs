//! Multi-Ring Paxos: atomic multicast by several independent logs, which every
//! learner merges in the same way. It is not genuine: those who share a ring
//! hear of each other's messages.
//!
//! There is a ring for each group and one for everybody, and there may be more
//! ([`Rings`]). A sender says START to the coordinator of the smallest ring that
//! serves all destinations, which gives the message an instance (`ring.rs`). The
//! value travels along the ring, and behind it votes, until everybody has both
//! (`circle.rs`). Learners take the rings' rounds in order (`learner.rs`), and a
//! coordinator skips instances so that nobody waits for its ring (`replica.rs`).
//! Some rings sleep until groups join them (`subscribe.rs`).
//! An instance has one place among those of all rings, known when a message is
//! proposed: that is its final timestamp.
//!
//! How one ring agrees, changes its coordinator and takes in those who lost their
//! memory is the affair of its [`Consensus`]. A state of a ring is next to
//! nothing: what was made of several rings together is the learner's, who hands
//! it to others of its group. What was kept of the published protocol, what was
//! added and why that is safe: docs/multiring.md.
//!
//! Every `planted` stands for a rule that only a build with the feature
//! `mutants` can break; read on as if they were not there.
//!
//! [`Consensus`]: crate::consensus::Consensus

mod circle;
mod entry;
mod learner;
mod reads;
mod replica;
mod ring;
mod rings;
mod starts;
mod subscribe;
mod wire;

pub use entry::{Delivered, Entry, Progress, Proposal, State, Subscription, What};
pub use rings::{Instance, MAX_RINGS, Rings};
pub use wire::{Agreement, Kept, Message, Number, Pass, Record, Start};

pub use crate::parts::{Settings, Timer};

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skein_machine::{Boot, Cluster, Down, Machine, MessageId, Multicast, Out, Outlook, ProcessId, SessionId, Time, Up};

use self::replica::Replica;
use crate::Planted;
use crate::parts::{Desk, Epoch, Sender, Starts};

/// What a step of this machine wants done.
type Effects = Out<MultiRing>;

/// One process that runs Multi-Ring Paxos: a sender, and a replica if it is in a group.
#[derive(Clone, Debug, Hash)]
pub struct MultiRing {
    me: ProcessId,
    cluster: Arc<Cluster>,
    sender: Sender,
    replica: Option<Replica>,
}

impl MultiRing {
    /// A process of this cluster, connected by these rings, that comes to life in this way.
    pub fn new(
        me: ProcessId,
        cluster: Arc<Cluster>,
        rings: &Arc<Rings>,
        boot: Boot,
        settings: Settings,
        planted: Planted,
    ) -> MultiRing {
        assert!(cluster.contains(me), "{me} is no process of the cluster");
        let replica =
            cluster.group_of(me).map(|group| Replica::new(me, group, &cluster, rings, boot, settings, planted));
        let desk = |ring| Desk::new(rings.served(ring), rings.circle(ring, &cluster), !rings.sleeps(ring));
        let sender = Sender::new(me, cluster.clone()).with_desks((0..rings.count()).map(desk));
        MultiRing { me, sender, cluster, replica }
    }
}

impl Machine for MultiRing {
    type Command = Down;
    type Message = Message;
    type Timer = Timer;
    type Record = Record;
    type Event = Up;

    fn restore(&mut self, record: Record) {
        let replica = self.replica.as_mut().expect("a process without a group writes nothing down");
        replica.restore(record);
    }

    fn start(&mut self, _: Time, seed: u64, out: &mut Effects) {
        if let Some(replica) = &mut self.replica {
            replica.start(seed, out);
        }
    }

    fn on_command(&mut self, _: Time, command: Down, out: &mut Effects) {
        self.sender.admit(&command);
        match command {
            Down::Multicast(message) => {
                self.sender.multicast(message, out);
            }
            Down::Checkpointed { position, bytes } => self.member("checkpoint").checkpointed(position, bytes, out),
            Down::RaiseClock(timestamp) => self.member("raise the clock of").wait_for(timestamp, out),
            Down::ReadPoint(round) => self.member("read what was delivered in").want_to_read(round),
            Down::Retire => {
                if let Some(replica) = &mut self.replica {
                    replica.rings.iter_mut().for_each(|ring| ring.retire(out));
                }
            }
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Effects) {
        self.listen(&message, out);
        match message {
            Message::Primary(..) => {}
            Message::Done(id, timestamp) => self.sender.on_done(id, timestamp, out),
            Message::Refused(id, refusal) => self.sender.on_refused(id, refusal, out),
            message => {
                if let Some(replica) = &mut self.replica {
                    replica.on_message(from, message, out);
                }
            }
        }
    }

    fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        if let Message::Primary(number, _) | Message::Agreement(number, _) = message
            && usize::from(*number) >= self.sender.desks()
        {
            return Err(format!("{from} says to {}: something about ring {number}, and there is none", self.me));
        }
        match (message, &self.replica) {
            // The sender hears these.
            (Message::Primary(..) | Message::Done(..) | Message::Refused(..), _) | (_, None) => Ok(()),
            (message, Some(replica)) => replica.may_say(from, message),
        }
    }

    fn on_timer(&mut self, _: Time, timer: Timer, out: &mut Effects) {
        match (timer, &mut self.replica) {
            (Timer::Look, _) => self.sender.look(out),
            (Timer::Tick, Some(replica)) => replica.tick(out),
            (Timer::Tick, None) => panic!("only replicas have that timer"),
        }
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Effects) {
        self.sender.on_reconnect(peer, out);
        if let Some(replica) = &mut self.replica {
            replica.on_reconnect(peer, out);
        }
    }

    /// What became possible, what has to be said, and what the sender need not repeat.
    fn finish(&mut self, _: Time, out: &mut Effects) {
        let Some(replica) = &mut self.replica else { return };
        replica.finish(out);
        for number in replica.woken() {
            self.sender.open_desk(usize::from(number), out);
        }
        let group = replica.group;
        for id in replica.closed.drain(..).filter(|id| id.destinations.contains(group)) {
            self.sender.note_delivery(id);
        }
    }

    fn check(&self) {
        self.sender.check();
        if let Some(replica) = &self.replica {
            replica.check();
        }
    }

    fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("open", self.sender.open() as u64);
        if let Some(replica) = &self.replica {
            replica.gauges(tell);
        }
    }

    fn outlook(&self, session: SessionId, sequence: u64) -> Option<Outlook> {
        let known = self.replica.as_ref().and_then(|replica| replica.outlook(session, sequence));
        known.or_else(|| self.sender.outlook(session, sequence, self.cluster.group_of(self.me)))
    }

    fn waiting(&self, most: usize) -> Vec<MessageId> {
        let replicas = self.replica.as_ref().map(|replica| replica.waiting(most)).unwrap_or_default();
        self.sender.waiting_beside(replicas, most)
    }

    fn remembers(&self) -> bool {
        self.replica.as_ref().is_none_or(Replica::remembers)
    }
}

impl Starts for MultiRing {
    const LOOK: Timer = Timer::Look;

    fn say_start(message: Multicast, follows: u64, sender: ProcessId) -> Message {
        Message::Start(Start { message, follows, sender })
    }
}

impl MultiRing {
    fn member(&mut self, what: &str) -> &mut Replica {
        let me = self.me;
        self.replica.as_mut().unwrap_or_else(|| panic!("{me} is in no group, and there is nothing to {what}"))
    }

    /// Who coordinates a ring: that is for the sender, and for whoever waits for that ring.
    fn listen(&mut self, message: &Message, out: &mut Effects) {
        let (number, epoch): (Number, Epoch) = match message {
            Message::Primary(number, epoch) => (*number, *epoch),
            Message::Agreement(number, agreement) => match &**agreement {
                crate::consensus::Message::Report(report) if report.is_leader => (*number, report.promised),
                _ => return,
            },
            _ => return,
        };
        self.sender.believe_desk(usize::from(number), epoch, out);
        if let Some(replica) = &mut self.replica {
            replica.believe(number, epoch);
        }
        if let Message::Primary(..) = message {
            // Of a ring that sleeps nobody tells that.
            self.sender.open_desk(usize::from(number), out);
            if let Some(replica) = &mut self.replica {
                replica.hear_of_a_ring(number);
            }
        }
    }
}
