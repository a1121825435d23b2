//! [`Election`]: what one replica makes of who leads its group (thesis, Ω and
//! Algorithm 3 as far as promises are numbers), with what the thesis leaves to
//! an oracle: who stands for election, and when.
//!
//! A replica that hears no primary first asks whether a quorum hears none
//! either; one that was only cut off does not depose a working primary on its
//! return. Then it promises itself a new epoch and gathers promises. One that
//! lost its disk promises nothing until an epoch has taken it in that knows of
//! the loss.
//!
//! What a promise holds, and how the state of a new epoch is put together from
//! them, is the protocol's. This says nothing to anybody and writes nothing: it
//! answers what is to be said.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use alloc::vec::Vec;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Boot, Cluster, GroupId, ProcessId, Random, Wire};

use super::{Epoch, Few};

/// Ticks without a primary after which one may answer that it hears none.
pub const SILENT: u32 = 8;

/// Ticks without a primary after which a replica looks for another: so many, and up to as many more.
const PATIENCE: u64 = 10;

/// Ticks after which a canvass is given up.
const CANVASS: u32 = 5;

/// Ticks after which a candidate gives up; twice as many the next time, since what it waits for may be long,
const CANDIDACY: u32 = 15;

/// but no more than so often.
const DOUBLINGS: u32 = 4;

/// Ticks after which a primary that no quorum speaks to steps down.
const LEASE: u32 = 12;

/// What a replica is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Holds what the primary of its promised epoch says, if there is one.
    Follower,
    /// Asks whether others hear a primary.
    Canvasser,
    /// Gathers promises for the epoch that it has promised itself.
    Candidate,
    /// Leads the epoch that it holds.
    Primary,
    /// Has forgotten what it promised: silent until it was taken in again.
    Amnesiac,
}

/// What a tick asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urge {
    /// Nothing.
    Wait,
    /// To ask the others to be taken in again.
    Rejoin,
    /// To ask the others whether they hear a primary.
    Canvass,
    /// To stand for election.
    Stand,
    /// To say again to those who have not promised that it stands.
    Insist,
    /// To see to those who do not hold the epoch that it leads.
    Lead,
}

/// A replica that has lost its memory so many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rebirth {
    /// Who.
    pub process: ProcessId,
    /// Which of its lives without memory this is.
    pub incarnation: u32,
}

/// Who leads, as one replica sees it. `P` is what replicas promise with.
#[derive(Clone, Debug, Hash)]
pub struct Election<P> {
    me: ProcessId,
    quorum: usize,
    random: Random,
    role: Role,
    /// It follows nobody below this one.
    promised: Epoch,
    /// The highest epoch that it has heard of.
    highest: Epoch,
    /// Which of its lives without memory this is.
    incarnation: u32,
    /// Who lost its memory how often: promises and words of earlier lives do not count.
    rebirths: BTreeMap<ProcessId, u32>,
    /// Who wants to be taken in again as which incarnation.
    wanted: BTreeMap<ProcessId, u32>,
    /// Ticks since a primary was heard.
    silence: u32,
    /// Ticks of silence after which it looks for another one.
    patience: u32,
    /// Ticks since it became what it is, if that is a canvasser or a candidate.
    ticks: u32,
    /// How often it stood for election in vain since it last held a new epoch.
    lost: u32,
    /// Who hears no primary either, as far as it has asked.
    silent: BTreeSet<ProcessId>,
    /// Who has promised what, as which incarnation, as long as it stands.
    promises: BTreeMap<ProcessId, (u32, P)>,
    /// Ticks since each replica of the group was heard.
    silences: Few<ProcessId, u32>,
}

impl<P> Election<P> {
    /// A replica of this group that comes to life in this way, before it has been given back anything.
    pub fn new(me: ProcessId, group: GroupId, cluster: &Arc<Cluster>, boot: Boot) -> Election<P> {
        let first = Epoch::first(cluster.members(group)[0]);
        let role = match boot {
            // Only a group's very first life begins with a primary: one that was restarted wins a new epoch,
            // since it may not know what it proposed.
            Boot::First if me == first.leader => Role::Primary,
            Boot::First | Boot::Again => Role::Follower,
            Boot::Amnesiac { .. } => Role::Amnesiac,
        };
        Election {
            me,
            quorum: cluster.quorum(group),
            random: Random::new(0),
            role,
            promised: first,
            highest: first,
            incarnation: 0,
            rebirths: BTreeMap::new(),
            wanted: BTreeMap::new(),
            silence: 0,
            patience: 0,
            ticks: 0,
            lost: 0,
            silent: BTreeSet::new(),
            promises: BTreeMap::new(),
            silences: cluster.members(group).iter().map(|member| (*member, 0)).collect(),
        }
    }

    /// Begins to live, with all the randomness that it gets. One that leads a group of its own alone need not wait for
    /// anybody, and says so with no patience at all.
    pub fn start(&mut self, seed: u64, has_patience: bool) {
        self.random = Random::new(seed);
        match self.role {
            Role::Primary | Role::Amnesiac => {}
            _ => self.follow_again(),
        }
        self.silence = 0;
        if !has_patience {
            self.patience = 0;
        }
    }

    /// What it is.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether it leads.
    pub fn is_primary(&self) -> bool {
        self.role == Role::Primary
    }

    /// Whether it has forgotten what it promised.
    pub fn is_amnesiac(&self) -> bool {
        self.role == Role::Amnesiac
    }

    /// It follows nobody below this one.
    pub fn promised(&self) -> Epoch {
        self.promised
    }

    /// Which of its lives without memory this is.
    pub fn incarnation(&self) -> u32 {
        self.incarnation
    }

    /// Lots that a replica draws.
    pub fn random(&mut self) -> &mut Random {
        &mut self.random
    }

    // ---- What it hears.

    /// Somebody speaks of this epoch.
    pub fn hear_of(&mut self, epoch: Epoch) {
        self.highest = self.highest.max(epoch);
    }

    /// A replica of the group, this one too, is alive.
    pub fn hear(&mut self, from: ProcessId) {
        *self.silences.get_mut(&from).expect("only replicas of the group are heard") = 0;
    }

    /// So does a primary that this replica could follow.
    pub fn hear_primary(&mut self) {
        self.silence = 0;
    }

    /// Ticks since a replica of the group was heard.
    pub fn silence_of(&self, process: ProcessId) -> u32 {
        self.silences[&process]
    }

    /// Ticks since each other replica was heard.
    pub fn silences(&self) -> impl Iterator<Item = (ProcessId, u32)> + Clone {
        let others = self.silences.iter().filter(|(process, _)| **process != self.me);
        others.map(|(process, ticks)| (*process, *ticks))
    }

    /// Time goes by. Answers what is to be done about it.
    pub fn tick(&mut self) -> Urge {
        self.silence = self.silence.saturating_add(1);
        for ticks in self.silences.values_mut() {
            *ticks = ticks.saturating_add(1);
        }
        match self.role {
            Role::Amnesiac => Urge::Rejoin,
            Role::Primary => self.tick_primary(),
            Role::Follower if self.silence > self.patience => {
                if self.quorum == 1 {
                    return Urge::Stand;
                }
                (self.role, self.ticks) = (Role::Canvasser, 0);
                self.silent = [self.me].into_iter().collect();
                Urge::Canvass
            }
            Role::Follower => Urge::Wait,
            Role::Canvasser => {
                self.ticks += 1;
                if self.ticks > CANVASS || self.silence < SILENT {
                    self.follow_again();
                }
                Urge::Wait
            }
            Role::Candidate => {
                self.ticks += 1;
                // Where somebody has promised more already, time is no help.
                let doublings = if self.highest > self.promised { 0 } else { self.lost.min(DOUBLINGS) };
                if self.ticks > CANDIDACY << doublings {
                    self.lost += 1;
                    self.follow_again();
                    return Urge::Wait;
                }
                Urge::Insist
            }
        }
    }

    fn tick_primary(&mut self) -> Urge {
        let heard = self.silences().filter(|(_, ticks)| *ticks <= LEASE).count() + 1;
        if heard < self.quorum {
            // Others may have elected somebody long ago.
            self.follow_again();
            self.silence = SILENT;
            return Urge::Wait;
        }
        if self.highest > self.promised || self.wanted().next().is_some() { Urge::Stand } else { Urge::Lead }
    }

    /// Gives up whatever it was about to become, and waits a random while.
    pub fn follow_again(&mut self) {
        self.follow();
        self.silence = self.silence.min(SILENT);
        self.patience = (PATIENCE + self.random.below(PATIENCE)) as u32;
    }

    /// Whether it may tell somebody who asks that it hears no primary either.
    pub fn hears_nobody(&self) -> bool {
        self.silence >= SILENT && !matches!(self.role, Role::Primary | Role::Amnesiac)
    }

    /// Somebody hears no primary either. Answers whether that is enough to stand.
    pub fn on_silent(&mut self, from: ProcessId) -> bool {
        if self.role != Role::Canvasser {
            return false;
        }
        self.silent.insert(from);
        self.silent.len() >= self.quorum
    }

    // ---- What it promises, and is promised.

    /// Promises itself the next epoch, which has to be written down: it gathers promises for it.
    pub fn stand(&mut self) -> Epoch {
        let epoch = self.promised.max(self.highest).next(self.me);
        self.promise(epoch);
        self.follow();
        (self.role, self.ticks) = (Role::Candidate, 0);
        epoch
    }

    /// Follows nobody below this epoch any more.
    pub fn promise(&mut self, epoch: Epoch) {
        self.promised = self.promised.max(epoch);
        self.highest = self.highest.max(epoch);
    }

    /// A replica has promised the epoch that this one stands for.
    pub fn on_promise(&mut self, from: ProcessId, incarnation: u32, promise: P) {
        if self.role == Role::Candidate {
            self.promises.insert(from, (incarnation, promise));
        }
    }

    /// Who has not promised yet.
    pub fn not_promised(&self) -> impl Iterator<Item = ProcessId> {
        self.silences.keys().copied().filter(|process| !self.promises.contains_key(process))
    }

    /// If a quorum has promised: takes its promises, and leads from now on.
    pub fn win(&mut self) -> Option<BTreeMap<ProcessId, P>> {
        let (promises, rebirths) = (&self.promises, &self.rebirths);
        let counts = |(process, (incarnation, _)): (&ProcessId, &(u32, P))| {
            (*incarnation >= rebirths.get(process).copied().unwrap_or(0)).then_some(*process)
        };
        let valid: BTreeSet<ProcessId> = promises.iter().filter_map(counts).collect();
        if self.role != Role::Candidate || valid.len() < self.quorum {
            return None;
        }
        let promises = core::mem::take(&mut self.promises);
        self.role = Role::Primary;
        let valid = promises.into_iter().filter(|(process, _)| valid.contains(process));
        Some(valid.map(|(process, (_, promise))| (process, promise)).collect())
    }

    /// It holds a new epoch, and what it stood for in vain before counts no more.
    pub fn hold(&mut self, epoch: Epoch) {
        self.promise(epoch);
        self.lost = 0;
    }

    /// It follows, and waits as long as it did.
    pub fn follow(&mut self) {
        self.role = Role::Follower;
        self.silent.clear();
        self.promises.clear();
    }

    /// It leads, as a group's first replica does at the very beginning.
    pub fn lead(&mut self) {
        self.follow();
        self.role = Role::Primary;
    }

    // ---- Lost memories.

    /// This life, which has to be written down, began without memory.
    pub fn forget(&mut self, incarnation: u32) {
        self.follow();
        (self.incarnation, self.role) = (incarnation, Role::Amnesiac);
    }

    /// Which of its lives without memory a checkpoint was written in.
    pub fn remember(&mut self, incarnation: u32) {
        self.incarnation = incarnation;
    }

    /// A replica of the group has lost its memory and wants to come back. Answers whether the epochs know of it.
    pub fn on_rejoin(&mut self, from: ProcessId, incarnation: u32) -> bool {
        let wanted = self.wanted.entry(from).or_insert(0);
        *wanted = (*wanted).max(incarnation);
        self.rebirths.get(&from) == Some(&incarnation)
    }

    /// Who wants to be taken in and has not been.
    pub fn wanted(&self) -> impl Iterator<Item = Rebirth> {
        let wanted =
            self.wanted.iter().map(|(process, incarnation)| Rebirth { process: *process, incarnation: *incarnation });
        wanted.filter(|rebirth| self.rebirths.get(&rebirth.process).copied().unwrap_or(0) < rebirth.incarnation)
    }

    /// What a replica said before it lost its memory does not count any more. Answers whether that is news.
    pub fn note_rebirth(&mut self, rebirth: Rebirth) -> bool {
        let known = self.rebirths.entry(rebirth.process).or_insert(0);
        if *known >= rebirth.incarnation {
            return false;
        }
        *known = rebirth.incarnation;
        if rebirth.process != self.me {
            self.hear(rebirth.process);
        }
        true
    }

    /// Everybody who has lost its memory.
    pub fn rebirths(&self) -> Vec<Rebirth> {
        let rebirths = self.rebirths.iter();
        rebirths.map(|(process, incarnation)| Rebirth { process: *process, incarnation: *incarnation }).collect()
    }

    /// Whether what a replica says as this incarnation counts.
    pub fn counts(&self, process: ProcessId, incarnation: u32) -> bool {
        incarnation >= self.rebirths.get(&process).copied().unwrap_or(0)
    }
}

impl Wire for Rebirth {
    fn encode(&self, writer: &mut Writer<'_>) {
        self.process.encode(writer);
        writer.u32(self.incarnation);
    }

    fn decode(reader: &mut Reader) -> Result<Rebirth, WireError> {
        Ok(Rebirth { process: ProcessId::decode(reader)?, incarnation: reader.u32()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;
    use skein_machine::ClusterId;

    const P: [ProcessId; 3] = [ProcessId(0), ProcessId(1), ProcessId(2)];

    /// The second of three replicas, which has never run before.
    fn second() -> Election<&'static str> {
        let cluster = Arc::new(Cluster::new(ClusterId(1), vec![P.to_vec()], Vec::new()).unwrap());
        let group = cluster.groups().iter().next().unwrap();
        let mut election = Election::new(P[1], group, &cluster, Boot::First);
        election.start(1, true);
        election
    }

    fn tick_until(election: &mut Election<&'static str>, urge: Urge) {
        assert!((0..100).any(|_| election.tick() == urge), "it never wants to {urge:?}");
    }

    #[test]
    fn it_stands_when_a_quorum_hears_nobody() {
        let mut election = second();
        assert!(!election.hears_nobody(), "it has just begun to listen");
        tick_until(&mut election, Urge::Canvass);
        assert!(election.hears_nobody());
        assert!(election.on_silent(P[2]));
        let epoch = election.stand();
        assert_eq!((epoch, election.promised()), (Epoch { round: 1, leader: P[1] }, epoch));
        election.on_promise(P[1], 0, "mine");
        assert_eq!(election.win(), None);
        assert!(election.not_promised().eq([P[0], P[2]]));
        election.on_promise(P[0], 0, "yours");
        assert_eq!(election.win().unwrap().into_values().collect::<Vec<_>>(), ["yours", "mine"]);
        assert!(election.is_primary());
    }

    #[test]
    fn a_primary_that_is_heard_in_time_calms_it() {
        let mut election = second();
        tick_until(&mut election, Urge::Canvass);
        election.hear_primary();
        assert_eq!(election.tick(), Urge::Wait);
        assert!(!election.on_silent(P[2]), "it asks no more");
    }

    #[test]
    fn what_was_promised_before_the_memory_was_lost_does_not_count() {
        let mut election = second();
        election.stand();
        election.on_promise(P[1], 0, "mine");
        assert!(election.note_rebirth(Rebirth { process: P[2], incarnation: 1 }));
        election.on_promise(P[2], 0, "forgotten");
        assert_eq!(election.win(), None);
        election.on_promise(P[2], 1, "again");
        assert_eq!(election.win().unwrap().len(), 2);
    }

    #[test]
    fn a_primary_makes_way_for_those_who_come_back_and_for_later_epochs() {
        let mut election = second();
        election.lead();
        assert_eq!(election.tick(), Urge::Lead);
        assert!(!election.on_rejoin(P[2], 1));
        assert_eq!(election.tick(), Urge::Stand);
        election.note_rebirth(Rebirth { process: P[2], incarnation: 1 });
        assert_eq!(election.tick(), Urge::Lead);
        assert!(election.on_rejoin(P[2], 1));
        election.hear_of(Epoch { round: 3, leader: P[0] });
        assert_eq!(election.tick(), Urge::Stand);
        assert_eq!(election.stand().round, 4);
    }

    #[test]
    fn a_primary_that_nobody_speaks_to_steps_down() {
        let mut election = second();
        election.lead();
        for _ in 0..LEASE {
            assert_eq!(election.tick(), Urge::Lead);
        }
        assert_eq!((election.tick(), election.role()), (Urge::Wait, Role::Follower));
    }

    #[test]
    fn one_without_memory_says_nothing() {
        let mut election = second();
        election.forget(2);
        assert_eq!((election.tick(), election.hears_nobody()), (Urge::Rejoin, false));
        assert_eq!((election.incarnation(), election.on_silent(P[0])), (2, false));
    }
}
