//! PrimCast (thesis, chapter 4): atomic multicast that delivers at every
//! destination after three message delays, made complete for production.
//!
//! A group of replicas orders proposals by a primary and a quorum. To order a
//! message, the primary of each destination proposes a local timestamp: it
//! appends an entry to its group's log (`normal.rs`) and tells the other
//! destinations (`remote.rs`). Replicas report how far they hold the log, at once to those
//! who wait for it (`audience.rs`); what
//! a quorum holds is decided (`reports.rs`). The highest local timestamp is the final one,
//! and a message is delivered when nothing can come before it (`replica.rs`), or nothing
//! that matters (`early.rs`), and where real time is to be kept, when others say so (`certificates.rs`).
//! Instead of agreeing on a clock, replicas report their clocks: a new primary
//! begins above what any quorum has reported (`election.rs`).
//!
//! What the thesis leaves open is here too: disks and restarts (`record.rs`),
//! reading without multicasting (`reads.rs`), cutting the log (`checkpoint.rs`), replicas that fell behind or lost their
//! disk (`catchup.rs`), starting and ticking (`life.rs`), senders and their repetitions (`parts/sender.rs`). What was
//! kept, what was changed and why that is safe: docs/primcast.md.
//!
//! Every `planted` stands for a rule that only a build with the feature
//! `mutants` can break; read on as if they were not there.

mod audience;
mod catchup;
mod certificates;
mod checkpoint;
mod early;
mod election;
mod heads;
#[cfg(test)]
mod layout;
mod life;
mod merge;
mod normal;
mod notes;
mod past;
mod reads;
mod record;
mod remote;
mod replica;
mod reports;
#[cfg(test)]
mod samples;
mod wire;
mod words;

pub use record::{Kept, Outcome, Record, Settlement, State};
pub use wire::{Candidacy, Header, Message, Promise, Question, Reign, Report, Standing, Start};

pub use crate::parts::{MAX_PENDING, MAX_PENDING_BYTES, Rebirth, Refusal};

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use skein_machine::{
    Boot, Cluster, Conflicts, Down, Machine, MessageId, Multicast, Out, Outlook, ProcessId, SessionId, Time, Timestamp,
    Up,
};

use self::replica::Replica;
use crate::Planted;
use crate::parts::{Sender, Starts};

/// What a step of this machine wants done.
type Effects = Out<PrimCast>;

/// With payloads longer than this in its log a primary refuses what it may. Twice what is on the way at most: who
/// gets there has a user who does not hand in checkpoints.
pub const MAX_LOG_BYTES: usize = 2 * MAX_PENDING_BYTES;

/// With hybrid clocks, a floor further ahead than this is a mistake, and is turned away where it comes in: the
/// groups would follow it, and real time could not catch up. Wide, for it is compared with the clock of one
/// process, which may be wrong, and groups whose clocks are wrong together may be far apart.
const FURTHEST_FLOOR: Duration = Duration::from_secs(3600);

/// What an operator may choose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// What timestamps follow.
    pub clock: ClockKind,
    /// After this many entries the user is asked for a checkpoint,
    pub checkpoint_every: usize,
    /// or after entries with so many bytes of payload.
    pub checkpoint_bytes: usize,
    /// While these have fewer bytes than the last checkpoint, which would all be written again, it is asked only after
    /// so many times as many entries.
    pub checkpoint_stretch: usize,
    /// After so many deliveries they are written down, and other groups are told of them, if that is before a tick.
    /// What is settled with them can be forgotten at the next checkpoint, and memory that is full of what nobody asks
    /// for any more is far away.
    pub settle_every: u64,
    /// So many entries and deliveries are kept for those that are a little behind,
    pub tail: u64,
    /// as far as they have no more bytes of payload than this.
    pub tail_bytes: usize,
    /// Which messages must be delivered in one order everywhere (thesis 4.4.3); `None`: all of them.
    pub conflicts: Option<Conflicts>,
    /// How far any hardware clock may be from true time, if answers wait until their timestamp is past on all of them
    /// ([`Up::Settled`]). It takes hybrid clocks.
    pub clock_error: Option<Duration>,
    /// Whether a message is delivered only when every destination has certified that all in front of it was delivered
    /// somewhere: then none that was multicast after any delivery comes before it. All messages conflict.
    pub waits_for_certificates: bool,
    /// Whether what is persisted can ever be read again. A host that keeps nothing spares the machine putting it
    /// together.
    pub keeps_records: bool,
}

/// What timestamps follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClockKind {
    /// Only messages.
    Logical,
    /// Hardware clocks too (thesis 4.4.1). Correctness does not depend on them.
    Hybrid {
        /// A hardware clock is believed up to this far ahead of what a quorum of its group shows.
        bound: Duration,
    },
}

impl Settings {
    /// What suits most: logical clocks, a checkpoint every few thousand messages or tens of megabytes.
    pub const DEFAULT: Settings = Settings {
        clock: ClockKind::Logical,
        checkpoint_every: 4096,
        checkpoint_bytes: 1 << 26,
        checkpoint_stretch: 1,
        settle_every: 256,
        tail: 1024,
        tail_bytes: 1 << 26,
        conflicts: None,
        clock_error: None,
        waits_for_certificates: false,
        keeps_records: true,
    };
}

/// The timers of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A replica's heartbeat, and everything that is done again until it works.
    Tick,
    /// A sender looks at what has no outcome yet.
    Look,
    /// A replica says what could wait.
    Later,
    /// A replica looks whether answers may leave.
    Past,
}

/// One process that runs PrimCast: a sender, and a replica if it is in a group.
#[derive(Clone, Debug, Hash)]
pub struct PrimCast {
    me: ProcessId,
    cluster: Arc<Cluster>,
    settings: Settings,
    sender: Sender,
    replica: Option<Replica>,
}

impl PrimCast {
    /// A process of this cluster that comes to life in this way.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>, boot: Boot, settings: Settings, planted: Planted) -> PrimCast {
        assert!(cluster.contains(me), "{me} is no process of the cluster");
        let follows_time = settings.clock != ClockKind::Logical;
        assert!(settings.clock_error.is_none() || follows_time, "logical clocks do not show what is past");
        let is_one_order = settings.conflicts.is_none();
        assert!(!settings.waits_for_certificates || is_one_order, "certificates are about an order of all messages");
        let replica = cluster.group_of(me).map(|group| Replica::new(me, group, &cluster, boot, settings, planted));
        PrimCast { me, settings, sender: Sender::new(me, cluster.clone()), cluster, replica }
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
    /// The bytes of their payloads.
    pub bytes: usize,
    /// Messages that something is known of.
    pub tracks: usize,
    /// Messages proposed and not delivered.
    pub pending: usize,
    /// Deliveries that are remembered.
    pub outcomes: usize,
    /// Sessions that are remembered.
    pub windows: usize,
}

impl Machine for PrimCast {
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

    fn on_command(&mut self, now: Time, command: Down, out: &mut Effects) {
        self.sender.admit(&command);
        match command {
            Down::Multicast(message) => {
                if let Some(replica) = &self.replica {
                    self.sender.hear_timestamp(replica.clock.value());
                }
                let furthest = Timestamp(now.after(FURTHEST_FLOOR).as_nanos());
                if self.settings.clock != ClockKind::Logical
                    && self.sender.turn_away_high_floor(&message, furthest, out)
                {
                    return;
                }
                self.sender.multicast(message, out);
            }
            Down::Checkpointed { position, bytes } => self.member("checkpoint").checkpointed(position, bytes, out),
            Down::RaiseClock(timestamp) => self.member("raise the clock of").wait_for(now, timestamp, out),
            Down::ReadPoint(round) => self.member("read what was delivered in").want_to_read(round),
            Down::Retire => {
                if let Some(replica) = &self.replica {
                    replica.retire(out);
                }
            }
        }
    }

    fn on_message(&mut self, now: Time, from: ProcessId, message: Message, out: &mut Effects) {
        match message {
            Message::Primary(epoch) => {
                if let Some(group) = self.cluster.group_of(from) {
                    self.sender.believe(group, epoch, out);
                }
            }
            Message::Done(id, timestamp) => self.sender.on_done(id, timestamp, out),
            Message::Refused(id, refusal) => self.sender.on_refused(id, refusal, out),
            message => {
                self.listen(from, &message, out);
                if let Some(replica) = &mut self.replica {
                    if let Some(chronicle) = out.chronicle() {
                        replica.note_word(from, &message, chronicle);
                    }
                    replica.on_message(now, from, message, out);
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

    fn on_timer(&mut self, now: Time, timer: Timer, out: &mut Effects) {
        match (timer, &mut self.replica) {
            (Timer::Look, _) => self.sender.look(out),
            (Timer::Tick, Some(replica)) => replica.tick(now, out),
            (Timer::Later, Some(replica)) => replica.speak_later(now, out),
            (Timer::Past, Some(replica)) => replica.past.look_again(),
            (Timer::Tick | Timer::Later | Timer::Past, None) => panic!("only replicas have that timer"),
        }
    }

    fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Effects) {
        self.sender.on_reconnect(peer, out);
        if let Some(replica) = &mut self.replica {
            replica.on_reconnect(now, peer, out);
        }
    }

    /// What became possible, what has to be said, and what the sender need not repeat.
    fn finish(&mut self, now: Time, out: &mut Effects) {
        let Some(replica) = &mut self.replica else { return };
        replica.show_proposals(out);
        if let Some(chronicle) = out.chronicle() {
            replica.note_log(chronicle);
        }
        replica.advance(now, out);
        replica.settle_in_good_time(out);
        replica.pursue_reads(now, out);
        replica.release_what_is_past(now, out);
        replica.speak(now, out);
        replica.certify(out);
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
        let mut waiting = self.replica.as_ref().map(|replica| replica.waiting(most)).unwrap_or_default();
        let unheard = self.sender.waiting().filter(|id| !waiting.contains(id));
        let unheard: Vec<MessageId> = unheard.take(most - waiting.len()).collect();
        waiting.extend(unheard);
        waiting
    }

    fn remembers(&self) -> bool {
        self.replica.as_ref().is_none_or(Replica::remembers)
    }
}

impl Starts for PrimCast {
    const LOOK: Timer = Timer::Look;

    fn say_start(message: Multicast, follows: u64, sender: ProcessId) -> Message {
        Message::Start(Start { message, follows, sender, proposed: None })
    }
}

impl PrimCast {
    fn member(&mut self, what: &str) -> &mut Replica {
        let me = self.me;
        self.replica.as_mut().unwrap_or_else(|| panic!("{me} is in no group, and there is nothing to {what}"))
    }

    /// What a sender learns from messages that are not meant for it: who leads.
    fn listen(&mut self, from: ProcessId, message: &Message, out: &mut Effects) {
        let epoch = match message {
            Message::Report(report) | Message::Reply { report, .. } if report.is_primary => report.promised,
            Message::Headers { epoch, .. } => *epoch,
            _ => return,
        };
        if let Some(group) = self.cluster.group_of(from) {
            self.sender.believe(group, epoch, out);
        }
    }
}
