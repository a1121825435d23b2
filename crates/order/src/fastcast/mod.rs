//! FastCast (thesis, section 4.6.1): atomic multicast in which each group
//! agrees on timestamps by a consensus of its own, and takes the second round
//! before the first has ended.
//!
//! A sender says START to the leaders of the destinations. A leader guesses
//! which timestamp the message will get in its group, tells the other leaders
//! (SOFT) and puts the message into its group's log (SET-HARD); its place there
//! gives it its local timestamp. A leader that knows all guesses raises its
//! group's clock to the highest of them, through the log too (SYNC-SOFT), while
//! the local timestamps are still being agreed on (`leader.rs`). Every replica
//! that learns a local timestamp tells it to the processes of the other destinations
//! (HARD, `remote.rs`). The final timestamp is the highest local one, and a message is
//! delivered when the group's clock is there and nothing can come before it
//! (`replica.rs`). Four message delays if the guesses were right; if not, the
//! clock is raised to what they should have been (SYNC-HARD), in two more.
//!
//! The group's clock, the local timestamps and, a moment later, the final ones
//! are what its [`Consensus`] has decided and follow
//! from the log alone (`entry.rs`). So a state at a place of the log and what follows is all that a
//! replica keeps, and all that it needs from another one (`checkpoint.rs`).
//! What was kept of the published protocol, what was added and why that is
//! safe: docs/fastcast.md.
//!
//! Every `planted` stands for a rule that only a build with the feature
//! `mutants` can break; read on as if they were not there.
//!
//! [`Consensus`]: crate::consensus::Consensus

mod checkpoint;
mod entry;
mod leader;
mod life;
mod reads;
mod remote;
mod replica;
mod wire;

pub use entry::{Entry, Hard, Heard, Kept, Proposal, Settlement, State};
pub use wire::{Agreement, Fact, Guess, Message, Question, Record, Shown, Start};

pub use crate::parts::{Settings, Timer};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skein_machine::{Boot, Cluster, Down, Machine, MessageId, Multicast, Out, Outlook, ProcessId, SessionId, Time, Up};

use self::replica::Replica;
use crate::Planted;
use crate::parts::{Epoch, Sender, Starts};

/// What a step of this machine wants done.
type Effects = Out<FastCast>;

/// One process that runs FastCast: a sender, and a replica if it is in a group.
#[derive(Clone, Debug, Hash)]
pub struct FastCast {
    me: ProcessId,
    cluster: Arc<Cluster>,
    sender: Sender,
    replica: Option<Replica>,
}

impl FastCast {
    /// A process of this cluster that comes to life in this way.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> FastCast {
        assert!(cluster.contains(me), "{me} is no process of the cluster");
        let replica = cluster.group_of(me).map(|group| Replica::new(me, group, &cluster, boot, settings, planted));
        FastCast { me, sender: Sender::new(me, cluster.clone()), cluster, replica }
    }

    /// How much it holds, for those who watch its memory.
    pub fn holdings(&self) -> Holdings {
        let mut holdings = self.replica.as_ref().map_or(Holdings::default(), Replica::holdings);
        holdings.open = self.sender.open();
        holdings
    }
}

/// How many things of each kind a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Messages sent and without an outcome.
    pub open: usize,
    /// Entries of the log.
    pub entries: usize,
    /// Messages that something is known of.
    pub tracks: usize,
    /// Messages with a local timestamp that are not delivered.
    pub pending: usize,
    /// Sessions that are remembered.
    pub windows: usize,
}

impl Machine for FastCast {
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
                if let Some(replica) = &self.replica {
                    replica.consensus.retire(out);
                }
            }
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Effects) {
        self.listen(from, &message, out);
        match message {
            // Followers say it of their own group.
            Message::Primary(_) => {}
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
        match (message, &self.replica) {
            // The sender hears these.
            (Message::Primary(_) | Message::Done(..) | Message::Refused(..), _) | (_, None) => Ok(()),
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
        if self.sender.open() > 0 {
            replica.closed.iter().for_each(|id| {
                self.sender.note_delivery(*id);
            });
        }
        replica.closed.clear();
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
        self.replica.as_ref().is_none_or(|replica| replica.consensus.remembers())
    }
}

impl Starts for FastCast {
    const LOOK: Timer = Timer::Look;

    fn say_start(message: Multicast, follows: u64, sender: ProcessId) -> Message {
        Message::Start(Start { message, follows, sender, shown: None })
    }
}

impl FastCast {
    fn member(&mut self, what: &str) -> &mut Replica {
        let me = self.me;
        self.replica.as_mut().unwrap_or_else(|| panic!("{me} is in no group, and there is nothing to {what}"))
    }

    /// Who leads a group: that is for the sender, and for whoever has to ask that group for something.
    fn listen(&mut self, from: ProcessId, message: &Message, out: &mut Effects) {
        let epoch: Epoch = match message {
            Message::Primary(epoch) | Message::Soft { epoch, .. } | Message::Hard { epoch, .. } => *epoch,
            Message::Agreement(agreement) => match &**agreement {
                crate::consensus::Message::Report(report) if report.is_leader => report.promised,
                _ => return,
            },
            _ => return,
        };
        let Some(group) = self.cluster.group_of(from) else { return };
        self.sender.believe(group, epoch, out);
        if let Some(replica) = &mut self.replica {
            replica.believe(group, epoch);
        }
    }
}
