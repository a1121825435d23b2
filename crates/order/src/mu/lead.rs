//! [`Lead`]: what a replica does to lead (Mu, "propose").
//!
//! It asks every replica to be granted its copy of the log. With a majority of
//! grants it takes a number above all that it finds there, and reads what
//! others have left behind the last slot that is known to be decided: of each
//! slot it adopts the value with the highest number. Then it writes: first what
//! it adopted, then what its own user proposes, each slot to all in the same
//! order. A slot is decided when a majority has it and every grant stood. As
//! long as no write fails it never prepares again.
//!
//! Whoever answers late joins while it leads, and is written all that it lacks.
//! Whoever stays behind by more than the ring holds is let go, and joins again
//! when it has fetched a state.
//!
//! This file has who is in it and what they have; the values and their places
//! are in [`place`](super::place).

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Out;

use super::memory::{End, Home, Progress, Stretch};
use super::process::{Mu, Timer};
use super::replica::Replica;
use super::slot::Slot;
use super::verb::Verb;
use crate::Mutant;

/// How many slots are read at once.
pub(super) const STRETCH: u16 = 32;

/// Ticks after which a bid that got nowhere begins anew.
const BID_TICKS: u32 = 20;

/// Ticks after which a replica that has not answered is asked again.
const ASK_TICKS: u32 = 8;

/// Ticks for which a follower may hold everybody up before it is let go.
const PATIENCE_TICKS: u32 = 4;

/// A leader, or one who would be.
#[derive(Debug)]
pub(super) struct Lead {
    pub(super) phase: Phase,
    /// Under which number it writes.
    pub(super) proposal: u32,
    pub(super) members: Vec<Member>,
    /// Who was there when it took its number: what they hold decides what is adopted.
    electorate: u8,
    /// It has taken a new number, and so must adopt what it finds. Only a planted bug does without.
    is_prepared: bool,
    /// What was adopted ends here.
    pub(super) adopted_to: u64,
    /// The next slot to be filled.
    pub(super) next: u64,
    /// Below this index, all is decided.
    pub(super) decided: u64,
    /// The values from `tail_base` up to `next`: some that were not applied here or not written everywhere.
    pub(super) tail: VecDeque<Bytes>,
    pub(super) tail_base: u64,
    /// Nobody who takes part needs what is below.
    pub(super) kept_from: u64,
    /// For whom older slots are being read in the own memory, and from where.
    pub(super) older: Option<(u8, u64)>,
    /// How far the log was when it last looked how far the others have applied.
    pub(super) looked_at: u64,
    /// A timer will say that the last slot is decided.
    pub(super) is_flush_armed: bool,
    /// If nothing was written since it was armed: then this is still the next slot.
    pub(super) flush_from: u64,
    ticks: u32,
    /// Counts how often it has asked whether its number stands.
    pub(super) raises: u64,
}

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for grants of a majority.
    Asking,
    /// Waits for its number to stand with all of them.
    Preparing,
    /// Reads what they hold.
    Reading,
    /// Leads.
    Leading,
}

/// A memory, as its would-be leader knows it.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    request: u64,
    /// It was asked so many ticks ago.
    asked_ticks: u32,
    /// Place and generation.
    pub(super) grant: Option<(u8, u64)>,
    progress: Option<Progress>,
    pub(super) is_raised: bool,
    /// What it holds, from where it matters.
    read: Vec<Slot>,
    read_from: u64,
    is_read: bool,
    /// The next slot to be written to it.
    pub(super) sent: u64,
    /// Below this index it holds everything, or everything is decided.
    pub(super) acked: u64,
    /// It is written to, and nobody uses a slot again before it has applied it.
    pub(super) is_active: bool,
    /// It counts: nothing that it promised was lost with its memory.
    pub(super) is_whole: bool,
    /// It was told that all is decided below this index.
    pub(super) flushed: u64,
    held_up_ticks: u32,
    /// What it holds begins here: below, all is decided, and was not written to it.
    pub(super) missing_below: u64,
    /// Its grant was known before the leader asked this often whether its number stands,
    pub(super) since: u64,
    /// and this memory was asked last when it asked this often.
    pub(super) raised_at: u64,
    /// So many of the answers are missing.
    pub(super) raises_open: u32,
}

impl Lead {
    /// Whether what is proposed here is put into the log.
    pub(super) fn is_leading(&self) -> bool {
        self.phase == Phase::Leading
    }

    pub(super) fn tail_end(&self) -> u64 {
        self.tail_base + self.tail.len() as u64
    }

    fn is_elector(&self, replica: u8) -> bool {
        self.electorate & 1 << replica != 0
    }

    /// Panics unless what it holds hangs together.
    pub(super) fn check(&self, applied: u64) {
        if self.phase != Phase::Leading {
            return;
        }
        assert_eq!(self.tail_end(), self.next, "a leader holds its values up to the next slot");
        assert!(self.tail_base <= applied && applied <= self.decided && self.decided <= self.next);
        for member in self.members.iter().filter(|member| member.is_raised) {
            assert!(member.acked <= member.sent && member.sent <= self.next, "{member:?} holds what was not written");
        }
    }
}

impl Replica {
    /// Asks everybody for a grant.
    pub(super) fn bid(&mut self, out: &mut Out<Mu>) {
        let members = self.replicas().map(|_| Member::default()).collect();
        self.lead = Some(Box::new(Lead {
            phase: Phase::Asking,
            proposal: 0,
            members,
            electorate: 0,
            is_prepared: true,
            adopted_to: 0,
            next: 0,
            decided: 0,
            tail: VecDeque::new(),
            tail_base: 0,
            kept_from: 0,
            older: None,
            looked_at: 0,
            is_flush_armed: false,
            flush_from: 0,
            ticks: 0,
            raises: 0,
        }));
        for memory in self.replicas() {
            self.renew(memory, out);
        }
    }

    /// Asks one replica for a new grant, and has done with the one that it has.
    pub(super) fn renew(&mut self, memory: u8, out: &mut Out<Mu>) {
        if self.lead.is_none() {
            return;
        }
        let request = self.next_request();
        let Some(lead) = &mut self.lead else { return };
        if lead.phase != Phase::Leading && lead.is_elector(memory) {
            // What it read there may not be what is there now.
            return self.abort(out);
        }
        lead.members[usize::from(memory)] = Member { request, ..Member::default() };
        lead.older = None;
        self.ask(memory, Verb::Ask { request }, out);
    }

    /// A write failed, or a grant is over: somebody else may lead.
    pub(super) fn abort(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = self.lead.take() else { return };
        let own = &lead.members[usize::from(self.me)];
        // What it does not hold is noted in it with the first words that are written to it; and those are known to have
        // counted when a later write has. Else what was there before is still there, and may never have been decided.
        if own.acked > own.missing_below || self.planted.is(Mutant::MuTrustsWhatItSkipped) {
            self.sound = self.sound.max(own.acked.min(self.applied));
        }
        self.last_proposal = self.last_proposal.max(lead.proposal);
        self.queue.clear();
        let most = u64::try_from(self.options.pace.backoff.as_nanos()).unwrap_or(u64::MAX);
        let wait = core::time::Duration::from_nanos(self.random.below(most.max(1)));
        if self.trust.leader() == Some(self.me) {
            out.arm(Timer::Bid, wait);
        } else {
            self.consider(out);
        }
    }

    /// Looks whether those that have not granted their copy have done so by now.
    pub(super) fn look_for_grants(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = &self.lead else { return };
        // Others are looked at in every tick; to lead at all it needs some at once, and its own above all.
        let is_urgent = |nth: &u8| lead.phase == Phase::Asking || *nth == self.me;
        let is_missing = |nth: &u8| lead.members[usize::from(*nth)].grant.is_none();
        let missing: Vec<u8> = self.replicas().filter(|nth| is_urgent(nth) && is_missing(nth)).collect();
        for memory in missing {
            self.look_at(memory, out);
        }
    }

    /// A memory said to whom it is granted.
    pub(super) fn on_grant(&mut self, memory: u8, home: Home, out: &mut Out<Mu>) {
        let me = self.me;
        let Some(lead) = &mut self.lead else { return };
        let member = &mut lead.members[usize::from(memory)];
        let is_mine = home.grant.generation > 0 && (home.grant.to, home.grant.request) == (me, member.request);
        match member.grant {
            None if is_mine => {
                let grant = (home.grant.place, home.grant.generation);
                member.grant = Some(grant);
                self.ask(memory, Verb::Read { grant }, out);
            }
            Some((_, generation)) if home.grant.generation > generation => self.abort(out),
            // Refused, or granted and taken back: it is asked again when the next tick finds it so.
            None if home.served >= member.request => member.asked_ticks = ASK_TICKS,
            _ => {}
        }
    }

    /// What others have noted in a copy that is ours now.
    pub(super) fn on_progress(&mut self, memory: u8, generation: u64, progress: Progress, out: &mut Out<Mu>) {
        let (majority, planted) = (self.options.shape.majority(), self.planted);
        let Some(lead) = &mut self.lead else { return };
        let member = &mut lead.members[usize::from(memory)];
        if member.grant.is_none_or(|grant| grant.1 != generation) || member.progress.is_some() {
            return;
        }
        member.progress = Some(progress);
        member.since = lead.raises;
        member.is_whole = progress.is_whole || planted.is(Mutant::MuCountsLostMemories);
        if lead.phase == Phase::Asking {
            let whole = lead.members.iter().filter(|member| member.progress.is_some() && member.is_whole).count();
            let own = &lead.members[usize::from(self.me)];
            if whole >= majority && own.progress.is_some() && own.is_whole {
                self.prepare(out);
            }
            return;
        }
        if progress.proposal > lead.proposal && !planted.is(Mutant::MuJoinsWithoutLooking) {
            // Somebody took a higher number here. What it wrote, if anything, may be decided elsewhere, and must not be
            // written over under a lower one.
            self.last_proposal = self.last_proposal.max(progress.proposal);
            return self.abort(out);
        }
        self.raise(memory, out);
    }

    /// Takes a number.
    fn prepare(&mut self, out: &mut Out<Mu>) {
        let replicas = self.options.shape.replicas as u32;
        let me = u32::from(self.me);
        let Some(lead) = &mut self.lead else { return };
        let highest = lead.members.iter().filter_map(|member| member.progress).map(|progress| progress.proposal).max();
        let highest = highest.unwrap_or(0).max(self.last_proposal);
        let is_first = self.last_proposal == 0;
        // No two replicas ever take the same.
        lead.proposal = (highest / replicas + 1) * replicas + me;
        for (nth, member) in lead.members.iter().enumerate() {
            if member.progress.is_some() && member.is_whole {
                lead.electorate |= 1 << nth;
            }
        }
        if self.planted.is(Mutant::MuOmitsPrepare) && !is_first {
            lead.proposal = self.last_proposal;
            lead.is_prepared = false;
            for member in lead.members.iter_mut().filter(|member| member.progress.is_some()) {
                member.is_raised = true;
            }
            return self.begin_reading(out);
        }
        self.last_proposal = lead.proposal;
        lead.phase = Phase::Preparing;
        let known = |(nth, member): (usize, &Member)| member.progress.map(|_| nth as u8);
        let known: Vec<u8> = lead.members.iter().enumerate().filter_map(known).collect();
        for memory in known {
            self.raise(memory, out);
        }
    }

    /// Writes the number into a memory, and asks whether it stands there.
    pub(super) fn raise(&mut self, memory: u8, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        lead.raises += 1;
        let (proposal, raises, grant) = (lead.proposal, lead.raises, member_grant(lead, memory));
        let member = &mut lead.members[usize::from(memory)];
        member.raised_at = raises;
        member.raises_open += 1;
        self.ask(memory, Verb::Raise { grant, proposal }, out);
    }

    /// Whether the number stands in a memory.
    pub(super) fn on_raised(&mut self, memory: u8, generation: u64, proposal: u32, stood: bool, out: &mut Out<Mu>) {
        let (me, planted) = (self.me, self.planted);
        let Some(lead) = &mut self.lead else { return };
        let member = &mut lead.members[usize::from(memory)];
        if member.grant.is_none_or(|grant| grant.1 != generation) || lead.proposal != proposal {
            return;
        }
        if !stood {
            return self.abort(out);
        }
        member.raises_open = member.raises_open.saturating_sub(1);
        if core::mem::replace(&mut member.is_raised, true) {
            // It was asked once more, for the sake of a memory that was lost.
            return self.heal(out);
        }
        match lead.phase {
            Phase::Preparing => {
                let all = lead
                    .members
                    .iter()
                    .enumerate()
                    .all(|(nth, member)| !lead.is_elector(nth as u8) || member.is_raised);
                if all || planted.is(Mutant::MuPreparesAtAMinority) && memory == me {
                    self.begin_reading(out);
                }
            }
            // It came late, and joins.
            Phase::Leading => self.join(memory, out),
            Phase::Asking | Phase::Reading => {}
        }
    }

    /// Reads what a majority holds that may not be decided, and what the own service has not applied.
    fn begin_reading(&mut self, out: &mut Out<Mu>) {
        let (me, applied) = (self.me, self.applied);
        let Some(lead) = &mut self.lead else { return };
        lead.phase = Phase::Reading;
        let noted: Vec<Progress> = lead.members.iter().map(|member| member.progress.unwrap_or_default()).collect();
        let noted = |nth: u8| noted[usize::from(nth)];
        let electors: Vec<u8> = (0..lead.members.len() as u8).filter(|nth| lead.is_elector(*nth)).collect();
        let furthest = electors.iter().copied().max_by_key(|nth| noted(*nth).first_undecided).unwrap_or(me);
        let decided = noted(furthest).first_undecided.max(applied);
        lead.decided = decided;
        let mut asked = Vec::new();
        for nth in electors {
            let progress = noted(nth);
            // The own memory may lack what was decided while nobody wrote to it: the one furthest on has that.
            let lags = nth == me || nth == furthest;
            let from = if lags { applied.max(progress.kept_from) } else { decided };
            let member = &mut lead.members[usize::from(nth)];
            member.read_from = from;
            if let Some(grant) = member.grant {
                asked.push((nth, Verb::Slots { grant, from, most: STRETCH }));
            }
        }
        for (memory, verb) in asked {
            self.ask(memory, verb, out);
        }
    }

    /// A stretch of a copy that is ours: to adopt, or for one who lacks it.
    pub(super) fn on_slots_to_lead(&mut self, memory: u8, stretch: Stretch, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        if lead.phase == Phase::Leading {
            return self.on_older(memory, stretch, out);
        }
        let is_elector = lead.is_elector(memory);
        let member = &mut lead.members[usize::from(memory)];
        let expected = member.read_from + member.read.len() as u64;
        let is_mine = member.grant.is_some_and(|grant| grant.1 == stretch.generation);
        if lead.phase != Phase::Reading || !is_elector || !is_mine || member.is_read || stretch.from != expected {
            return;
        }
        member.read.extend(stretch.slots);
        if stretch.end == End::Gone {
            // The ring has come round there, over a slot that was decided and is not applied here: what is noted of the
            // decided may be old, and what other memories have in that slot too.
            self.fall_behind(out);
            return self.abort(out);
        }
        if stretch.end == End::Asked {
            let from = member.read_from + member.read.len() as u64;
            let grant = member_grant(lead, memory);
            return self.ask(memory, Verb::Slots { grant, from, most: STRETCH }, out);
        }
        member.is_read = true;
        let all =
            (0..lead.members.len() as u8).all(|nth| !lead.is_elector(nth) || lead.members[usize::from(nth)].is_read);
        if all {
            self.adopt(out);
        }
    }

    /// Everything was read: the log is what is decided, and then what has the highest numbers.
    fn adopt(&mut self, out: &mut Out<Mu>) {
        let (applied, planted) = (self.applied, self.planted);
        let Some(lead) = &mut self.lead else { return };
        lead.tail_base = applied;
        let mut index = applied;
        while lead.is_prepared || index < lead.decided {
            // Below the first undecided index of a memory, it holds what was decided; behind it, the highest number counts,
            // and no memory has a slot without those before it.
            let held = lead.members.iter().filter(|member| member.is_read).filter_map(|member| {
                let nth = index.checked_sub(member.read_from)?;
                let slot = member.read.get(usize::try_from(nth).ok()?)?;
                let is_decided = member.progress.is_some_and(|progress| index < progress.first_undecided);
                (is_decided || index >= lead.decided).then_some((is_decided, slot))
            });
            let found = if planted.is(Mutant::MuAdoptsAny) {
                held.min_by_key(|(is_decided, slot)| (!*is_decided, slot.proposal))
            } else {
                held.max_by_key(|(is_decided, slot)| (*is_decided, slot.proposal))
            };
            let Some((_, slot)) = found else { break };
            lead.tail.push_back(slot.value.clone());
            index += 1;
        }
        if index < lead.decided {
            // Its service needs what is nowhere any more: another leads, and it fetches a state.
            self.fall_behind(out);
            return self.abort(out);
        }
        lead.adopted_to = index;
        lead.next = index;
        lead.phase = Phase::Leading;
        for member in &mut lead.members {
            member.read = Vec::new();
        }
        self.queue_again();
        let raised: Vec<u8> = self.replicas().filter(|nth| self.is_raised(*nth)).collect();
        for memory in raised {
            self.join(memory, out);
        }
        self.apply_decided(out);
        self.place(out);
    }

    fn is_raised(&self, memory: u8) -> bool {
        self.lead.as_ref().is_some_and(|lead| lead.members[usize::from(memory)].is_raised)
    }

    /// A memory is written to from now on, first what it lacks.
    fn join(&mut self, memory: u8, out: &mut Out<Mu>) {
        let (me, sound) = (self.me, self.sound);
        let has_applied = self.trust.peer(memory).home.applied;
        let slots = self.options.shape.slots as u64;
        let Some(lead) = &mut self.lead else { return };
        let (decided, base) = (lead.decided, lead.tail_base);
        let member = &mut lead.members[usize::from(memory)];
        let noted = member.progress.map_or(0, |progress| progress.first_undecided);
        let from = if memory == me { noted.max(sound) } else { noted }.min(decided);
        // Whoever is further behind than the ring is long joins when it has fetched a state.
        member.is_active = memory == me || has_applied + slots >= lead.next;
        (member.sent, member.acked, member.flushed) = (from, from, from);
        member.missing_below = member.progress.map_or(0, |progress| progress.kept_from);
        if memory == me && from < base {
            // It applied what its memory does not have: from a state, or while others had it.
            self.jump(memory, base, out);
        }
        self.write_on(memory, out);
    }

    /// Time passes for a leader.
    pub(super) fn tick_lead(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        lead.ticks += 1;
        if lead.phase != Phase::Leading && lead.ticks > BID_TICKS {
            return self.abort(out);
        }
        let mut again = Vec::new();
        for (nth, member) in lead.members.iter_mut().enumerate() {
            if member.grant.is_none() {
                member.asked_ticks += 1;
                if member.asked_ticks > ASK_TICKS {
                    again.push(nth as u8);
                }
            }
        }
        for memory in again {
            self.renew(memory, out);
        }
        if self.leads() {
            self.tick_heal(out);
            self.let_go_and_take_back(out);
            self.write_all(out);
            self.place(out);
        }
    }

    /// Whoever holds everybody up is let go, if enough others are left; whoever has caught up is written to again.
    fn let_go_and_take_back(&mut self, out: &mut Out<Mu>) {
        let (slots, majority, me) = (self.options.shape.slots as u64, self.options.shape.majority(), self.me);
        let mut back = Vec::new();
        for nth in self.others() {
            let applied = self.trust.peer(nth).home.applied;
            let is_trusted = self.trust.is_trusted(nth);
            let Some(lead) = &mut self.lead else { return };
            // Those that go on without it must be a majority that lives and has the state.
            let goes_on = |(other, member): (usize, &Member)| {
                let other = other as u8;
                let is_near = other == me
                    || self.trust.is_trusted(other) && self.trust.peer(other).home.applied + slots > lead.next;
                other != nth && member.is_active && member.is_whole && is_near
            };
            let left = lead.members.iter().enumerate().filter(|each| goes_on(*each)).count();
            let next = lead.next;
            let member = &mut lead.members[usize::from(nth)];
            if member.is_active {
                let is_in_the_way = applied + slots <= next || !is_trusted && applied + slots / 2 <= next;
                member.held_up_ticks = if is_in_the_way { member.held_up_ticks + 1 } else { 0 };
                if member.held_up_ticks > PATIENCE_TICKS && left >= majority {
                    member.is_active = false;
                    if lead.older.is_some_and(|(whom, _)| whom == nth) {
                        lead.older = None;
                    }
                }
            } else if member.is_raised
                && (applied + slots - slots / 4 > next || left < majority && applied + slots >= next)
            {
                // Mostly it must be well within the ring, or it would be let go again at once. Where it is needed, it is enough
                // that nothing is written over what it has not applied.
                member.is_active = true;
                member.held_up_ticks = 0;
                back.push((nth, applied));
            }
        }
        for (memory, applied) in back {
            let Some(lead) = &self.lead else { return };
            let (decided, acked) = (lead.decided, lead.members[usize::from(memory)].acked);
            if applied.min(decided) > acked {
                self.jump(memory, applied.min(decided), out);
            }
            self.write_on(memory, out);
        }
    }
}

pub(super) fn member_grant(lead: &Lead, memory: u8) -> (u8, u64) {
    lead.members[usize::from(memory)].grant.expect("whoever takes part has granted its copy")
}
