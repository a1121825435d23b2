//! White-Box atomic multicast (thesis 4.6.2; Gotsman, Lefort, Chockler, DSN
//! 2019): leaders deliver after three message delays, their followers after
//! four, made complete for production.
//!
//! A sender asks the leader of each destination. Each leader gives the message a
//! local timestamp and shows that to every process of every destination
//! (`propose.rs`). Whoever knows all of them accepts its own group's, moves its
//! clock past all, and acknowledges to all leaders (`accept.rs`). What quorums of all destinations have
//! acknowledged is committed with the highest timestamp; leaders deliver in that
//! order, and followers what their leader has delivered (`decide.rs`). There is no log: each message is agreed on
//! by itself, and a new leader puts together what a quorum has accepted (`election.rs`).
//!
//! What the publication leaves open is here too: disks and restarts (`record.rs`, `checkpoint.rs`), groups that
//! missed the outcome (`remote.rs`), replicas that fell behind or lost their disk (`catchup.rs`), how far everything
//! is delivered (`reports.rs`), reading without multicasting (`reads.rs`), starting and ticking (`life.rs`).
//! What was kept, what was added and why that is safe: docs/whitebox.md.
//!
//! Every `planted` stands for a rule that only a build with the feature
//! `mutants` can break; read on as if they were not there.

mod accept;
mod catchup;
mod checkpoint;
mod decide;
mod election;
mod life;
mod offers;
mod propose;
mod reads;
mod record;
mod remote;
mod replica;
mod reports;
mod wire;
mod words;

pub use record::{Delivered, Entry, Inheritance, Outcome, Record, Settlement, State, Unsettled};
pub use wire::{Ballot, Ballots, Candidacy, Header, Message, Promise, Question, Reign, Report, Start, Vote};

pub use crate::parts::{Settings, Timer};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skein_machine::{Boot, Cluster, Down, Machine, MessageId, Multicast, Out, Outlook, ProcessId, SessionId, Time, Up};

use self::replica::Replica;
use crate::Planted;
use crate::parts::{MAX_PENDING, MAX_PENDING_BYTES, Sender, Starts};

/// What a step of this machine wants done.
type Effects = Out<WhiteBox>;

/// With payloads longer than this a leader refuses what it may. Twice what is on the way at most: who gets there has
/// a user who does not hand in checkpoints.
pub const MAX_LOG_BYTES: usize = 2 * MAX_PENDING_BYTES;

/// One process that runs White-Box: a sender, and a replica if it is in a group.
#[derive(Clone, Debug, Hash)]
pub struct WhiteBox {
    me: ProcessId,
    cluster: Arc<Cluster>,
    sender: Sender,
    replica: Option<Replica>,
}

impl WhiteBox {
    /// A process of this cluster that comes to life in this way.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> WhiteBox {
        assert!(cluster.contains(me), "{me} is no process of the cluster");
        let replica = cluster.group_of(me).map(|group| Replica::new(me, group, &cluster, boot, settings, planted));
        WhiteBox { me, sender: Sender::new(me, cluster.clone()), cluster, replica }
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
    /// Messages on the way that something is known of.
    pub tracks: usize,
    /// Those that have a local timestamp.
    pub pending: usize,
    /// Messages delivered of which other groups may ask.
    pub unsettled: usize,
    /// Deliveries that are remembered.
    pub outcomes: usize,
    /// The bytes of all payloads.
    pub bytes: usize,
    /// Sessions that are remembered.
    pub windows: usize,
}

impl Machine for WhiteBox {
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
            Down::Multicast(message) => self.sender.multicast(message, out),
            Down::Checkpointed { position, bytes } => self.member("checkpoint").checkpointed(position, bytes, out),
            Down::RaiseClock(timestamp) => self.member("raise the clock of").wait_for(timestamp, out),
            Down::ReadPoint(round) => self.member("read what was delivered in").want_to_read(round),
            Down::Retire => {
                if let Some(replica) = &self.replica {
                    replica.retire(out);
                }
            }
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, message: Message, out: &mut Effects) {
        match message {
            Message::Leader(epoch) => {
                if let Some(group) = self.cluster.group_of(from) {
                    self.sender.believe(group, epoch, out);
                }
            }
            Message::Done(id, timestamp) => self.sender.on_done(id, timestamp, out),
            Message::Refused(id, refusal) => self.sender.on_refused(id, refusal, out),
            message => {
                self.listen(from, &message, out);
                if let Some(replica) = &mut self.replica {
                    replica.on_message(from, message, out);
                }
            }
        }
    }

    fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        match (message, &self.replica) {
            // The sender hears these.
            (Message::Leader(_) | Message::Done(..) | Message::Refused(..), _) | (_, None) => Ok(()),
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
        self.sender.outlook(session, sequence, self.cluster.group_of(self.me))
    }

    fn waiting(&self, most: usize) -> Vec<MessageId> {
        self.sender.waiting().take(most).collect()
    }

    fn remembers(&self) -> bool {
        self.replica.as_ref().is_none_or(Replica::remembers)
    }
}

impl Starts for WhiteBox {
    const LOOK: Timer = Timer::Look;

    fn say_start(message: Multicast, follows: u64, sender: ProcessId) -> Message {
        Message::Start(Start { message, follows, sender, proposed: None })
    }
}

impl WhiteBox {
    fn member(&mut self, what: &str) -> &mut Replica {
        let me = self.me;
        self.replica.as_mut().unwrap_or_else(|| panic!("{me} is in no group, and there is nothing to {what}"))
    }

    /// What a sender learns from messages that are not meant for it: who leads.
    fn listen(&mut self, from: ProcessId, message: &Message, out: &mut Effects) {
        let epoch = match message {
            Message::Report(report) | Message::Reply(_, report) if report.is_leader => report.promised,
            Message::Accept { epoch, .. } => *epoch,
            _ => return,
        };
        if let Some(group) = self.cluster.group_of(from) {
            self.sender.believe(group, epoch, out);
        }
    }
}
