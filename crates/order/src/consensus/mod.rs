//! [`Consensus`]: one group agrees on a sequence of entries, by a stable leader
//! and majorities (Multi-Paxos, seen as a log that has epochs).
//!
//! The leader appends an entry to its log and sends it to its followers (2a);
//! every replica tells all the others how far it holds the log (2b), so that
//! everybody learns of a decision two message delays after the proposal
//! (`spread.rs`). Who leads, and whose log counts when a leader is gone, is
//! another matter and stands elsewhere (`election.rs`, `promises.rs`); so does what becomes of those who
//! fell behind or lost their disk (`transfer.rs`).
//!
//! It is no machine but a part of one, its [`Owner`], which hands in what
//! comes, and into whose effects it puts what it wants done. The owner applies
//! what is decided, in order, and looks after its meaning: an entry and a state
//! are opaque here. An entry is decided once and for ever at its place; nothing
//! is ever decided twice, but an entry that was proposed may be lost with its
//! leader, and whoever proposed it has to ask again.
//!
//! Every `planted` stands for a rule that only a build with the feature
//! `mutants` can break; read on as if they were not there.

mod election;
mod promises;
mod record;
mod spread;
mod transfer;
mod wire;
mod words;

pub use record::{Record, State};
pub use wire::{Candidacy, Message, Promise, Reign, Report};

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::hash::Hash;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Boot, Cluster, GroupId, Machine, Out, ProcessId, Wire};

use crate::parts::{Election, Epoch, Few, Index, Log, Logged, Outline, Pause, Role};
use crate::{Mutant, Planted};

/// What a consensus keeps without looking into it.
pub trait Content: Wire + Clone + fmt::Debug + Eq + Hash {
    /// About how many bytes it takes.
    fn length(&self) -> usize;
}

/// The machine that a consensus is a part of: it passes on what is said and keeps what has to be kept.
pub trait Owner<E, S>: Machine<Message: From<Message<E, S>> + Clone, Record: From<Record<E, S>>> {}

impl<E, S, M: Machine<Message: From<Message<E, S>> + Clone, Record: From<Record<E, S>>>> Owner<E, S> for M {}

/// An entry, and who proposed it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Slot<E> {
    /// Which epoch did.
    pub epoch: Epoch,
    /// What it says.
    pub content: E,
}

/// How much is kept for those who are a little behind.
#[derive(Clone, Copy, Debug)]
pub struct Tail {
    /// So many entries,
    pub entries: u64,
    /// as far as they have no more bytes than this.
    pub bytes: usize,
}

/// One replica's part in the agreement of its group.
#[derive(Clone, Debug, Hash)]
pub struct Consensus<E, S> {
    me: ProcessId,
    planted: Planted,
    group: GroupId,
    cluster: Arc<Cluster>,
    /// The epoch in which the group began.
    first: Epoch,
    boot: Boot,
    /// Whether what is persisted can ever be read again.
    keeps_records: bool,

    /// The epoch whose log this replica holds.
    held: Epoch,
    /// Who leads, and who should.
    election: Election<Promise<E, S>>,
    /// A quorum has held the held epoch, so that its beginning can no longer be lost.
    is_established: bool,
    /// What each replica of the group, this one too, has said of itself.
    peers: Few<ProcessId, Peer>,

    log: Log<Slot<E>>,
    /// Everything in the log up to here is decided.
    decided: Index,
    /// The owner has been given everything up to here.
    applied: Index,
    /// The owner's state, and the last place that is in it, as they are on the disk.
    kept: Option<(Index, S)>,
    /// The first of the proposals of this turn, which nobody has been shown yet.
    unshown: Option<Index>,
    /// What it has last said of itself.
    said: Option<Report>,
    /// A leader has told the others of all decisions up to here.
    told: Index,
    /// A state that came from others and waits for the owner to take it over.
    arriving: Option<Box<(Reign, State<E, S>)>>,
    /// Whom to tell of a new epoch once its state is taken over.
    promisers: Vec<(ProcessId, Outline)>,
    /// What it remembers is on disk: not so while it has just been given back what it had lost.
    is_durable: bool,
}

/// What a replica of the group has said of itself.
#[derive(Clone, Debug, Hash)]
struct Peer {
    held: Epoch,
    index: Index,
    /// Where its log ended at the last tick, and for how many ticks.
    stalled: (Index, u32),
    /// Entries were sent to it again up to here.
    resent: Option<Index>,
    /// Something long is on its way to it.
    pause: Pause,
}

impl<E: Content, S: Content> Consensus<E, S> {
    /// A replica of a group, which begins with its first member as the leader.
    pub fn new(
        me: ProcessId,
        group: GroupId,
        cluster: &Arc<Cluster>,
        boot: Boot,
        keeps_records: bool,
        planted: Planted,
    ) -> Self {
        let members = cluster.members(group);
        let first = Epoch::first(members[0]);
        Consensus {
            me,
            group,
            cluster: cluster.clone(),
            first,
            planted,
            boot,
            keeps_records,
            held: first,
            election: Election::new(me, group, cluster, boot),
            // A group begins in its first epoch, with an empty log: that is nothing to agree on.
            is_established: true,
            peers: members.iter().map(|member| (*member, Peer::new(first))).collect(),
            log: Log::new(first),
            decided: 0,
            applied: 0,
            kept: None,
            unshown: None,
            said: None,
            told: 0,
            arriving: None,
            promisers: Vec::new(),
            is_durable: true,
        }
    }

    /// Begins to live, with what was restored.
    pub fn start<O: Owner<E, S>>(&mut self, seed: u64, out: &mut Out<O>) {
        if let Boot::Amnesiac { incarnation } = self.boot {
            self.election.forget(incarnation);
            out.persist(Record::Reborn(incarnation).into());
        }
        if self.planted.is(Mutant::ConsensusResumesAsLeader)
            && self.held.leader == self.me
            && self.held == self.election.promised()
        {
            self.election.lead();
        }
        // In a group of one nobody else can lead.
        self.election.start(seed, self.quorum() > 1);
    }

    /// Somebody of the group said something. Afterwards there may be a [state to take over](Self::arrival).
    pub fn on_message<O: Owner<E, S>>(&mut self, from: ProcessId, message: Message<E, S>, out: &mut Out<O>) {
        if self.election.is_amnesiac() {
            return self.on_message_without_memory(from, message, out);
        }
        match message {
            Message::Append { epoch, previous, entries } => self.on_append(from, epoch, previous, entries, out),
            Message::Report(report) => self.on_report(from, &report, out),
            Message::Canvass => self.on_canvass(from, out),
            Message::Silent => self.on_silent(from, out),
            Message::NewEpoch(candidacy) => self.on_new_epoch(from, candidacy, out),
            Message::Promise(promise) => self.on_promise(from, *promise, out),
            Message::NewState { reign, previous, previous_epoch, entries } => {
                self.on_new_state(from, reign, (previous, previous_epoch), entries, out);
            }
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::Rejoin(incarnation) => self.on_rejoin(from, incarnation, out),
            Message::Stand => self.on_stand(from, out),
        }
    }

    /// It has forgotten what it promised, so it does nothing before a state gives it a new beginning.
    fn on_message_without_memory<O: Owner<E, S>>(&mut self, from: ProcessId, message: Message<E, S>, out: &mut Out<O>) {
        match message {
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::NewEpoch(candidacy) if self.planted.is(Mutant::ConsensusVotesWithoutMemory) => {
                self.on_new_epoch(from, candidacy, out);
            }
            _ => {}
        }
    }

    /// Ten times a second: a heartbeat, and everything that is tried until it works.
    pub fn tick<O: Owner<E, S>>(&mut self, out: &mut Out<O>) {
        self.tick_election(out);
        if self.election.is_amnesiac() {
            return;
        }
        self.say_heartbeat(out);
        self.help_those_behind(out);
    }

    /// What was on its way to this process, or from it, may be lost.
    pub fn on_reconnect<O: Owner<E, S>>(&mut self, peer: ProcessId, out: &mut Out<O>) {
        if self.election.is_amnesiac() {
            out.send(peer, Message::Rejoin(self.election.incarnation()).into());
            return;
        }
        out.send(peer, Message::Report(self.report()).into());
        let known = self.peers.get_mut(&peer).expect("every replica of the group is known");
        known.begin_anew();
        let holds = known.held == self.held;
        match self.election.role() {
            Role::Primary if holds => self.resend(peer, out),
            Role::Primary | Role::Candidate => out.send(peer, Message::NewEpoch(self.candidacy()).into()),
            _ => {}
        }
    }

    // ---- What its owner may know.

    /// The next entry in the order of the group, once it is decided.
    pub fn next_decided(&mut self) -> Option<(Index, E)> {
        if self.applied >= self.decided || !self.may_apply() {
            return None;
        }
        self.applied += 1;
        let slot = self.log.get(self.applied).expect("what is not applied is not cut");
        Some((self.applied, slot.content.clone()))
    }

    /// Whether it holds what it has promised to hold, and a quorum does too.
    pub fn is_settled(&self) -> bool {
        !self.election.is_amnesiac() && self.held == self.election.promised() && self.is_established
    }

    /// Whether it may propose.
    pub fn may_propose(&self) -> bool {
        self.election.is_primary() && self.is_settled()
    }

    /// Whether it has lost its memory, and was not taken in again.
    pub fn is_amnesiac(&self) -> bool {
        self.election.is_amnesiac()
    }

    /// Whether its memory counts.
    pub fn remembers(&self) -> bool {
        !self.election.is_amnesiac() && self.is_durable
    }

    /// The epoch whose log it holds.
    pub fn held(&self) -> Epoch {
        self.held
    }

    /// Who leads, as far as it knows.
    pub fn promised(&self) -> Epoch {
        self.election.promised()
    }

    /// What it holds.
    pub fn log(&self) -> &Log<Slot<E>> {
        &self.log
    }

    /// The owner has been given everything up to here.
    pub fn applied(&self) -> Index {
        self.applied
    }

    /// The replicas of the group, this one too.
    fn members(&self) -> impl Iterator<Item = ProcessId> + use<E, S> {
        self.cluster.each_member(self.group)
    }

    /// The other replicas of the group.
    pub fn others(&self) -> impl Iterator<Item = ProcessId> + use<E, S> {
        let me = self.me;
        self.members().filter(move |member| *member != me)
    }

    /// Ticks since a replica of the group was heard.
    pub fn silence_of(&self, process: ProcessId) -> u32 {
        self.election.silence_of(process)
    }

    /// So many replicas decide.
    pub fn quorum(&self) -> usize {
        self.cluster.quorum(self.group)
    }

    /// Tells what somebody who watches wants to see.
    pub fn gauges(&self, tell: &mut dyn FnMut(&'static str, u64)) {
        tell("epoch", u64::from(self.held.round));
        tell("leader", u64::from(self.held.leader.0));
        tell("is_primary", u64::from(self.may_propose()));
        tell("is_settled", u64::from(self.is_settled()));
        tell("is_without_memory", u64::from(!self.remembers()));
        tell("log_last", self.log.last());
        tell("log_decided", self.decided);
        tell("log_base", self.log.base());
        tell("log_entries", self.log.len() as u64);
        tell("log_bytes", self.log.bytes() as u64);
        // A peer is heard of ten times a second.
        const SILENT: u32 = 20;
        let silent = self.election.silences().filter(|(_, ticks)| *ticks > SILENT);
        tell("silent_peers", silent.count() as u64);
    }

    /// Panics unless the invariants hold.
    pub fn check(&self) {
        let (held, promised) = (self.held, self.election.promised());
        assert!(held <= promised, "{held} is held and only {promised} promised");
        assert!(self.decided <= self.log.last(), "decided up to {} of {}", self.decided, self.log.last());
        assert!(self.applied <= self.decided, "{} was applied and {} decided", self.applied, self.decided);
        assert!(self.log.base() <= self.applied, "the log is cut at {}, above {}", self.log.base(), self.applied);
        assert!(self.arriving.is_none(), "a state waits to be taken over after the turn");
    }
}

impl Peer {
    fn new(first: Epoch) -> Peer {
        Peer { held: first, index: 0, stalled: (0, 0), resent: None, pause: Pause::default() }
    }

    /// It is heard again after a silence: what it did not answer until now says nothing.
    fn begin_anew(&mut self) {
        self.pause.end();
        self.stalled.1 = 0;
    }
}

impl<E: Content> Logged for Slot<E> {
    fn epoch(&self) -> Epoch {
        self.epoch
    }

    fn length(&self) -> usize {
        self.content.length()
    }

    fn strip(&mut self) {
        // What was cut is removed as a whole: nobody asks a consensus about single entries.
    }
}

impl<E: Wire> Wire for Slot<E> {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.epoch.encode(writer);
        self.content.encode(writer);
    }

    fn decode(reader: &mut Reader) -> Result<Slot<E>, WireError> {
        Ok(Slot { epoch: Epoch::decode(reader)?, content: E::decode(reader)? })
    }
}

impl<E: fmt::Debug> fmt::Debug for Slot<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} of {}", self.content, self.epoch)
    }
}
