//! Values and their places: how a leader fills slots, learns that they are
//! decided, and uses them again.
//!
//! Each memory is written slot by slot without a gap, so what it has
//! acknowledged is one number, and a slot is decided when a majority's number
//! has passed it. A slot says how far its writer knew the log to be decided:
//! that is all that a follower needs, and costs no message of its own. Only
//! when there is nothing more to write the leader says it by itself.

use skein_machine::Out;

use super::lead::{Phase, STRETCH, member_grant};
use super::memory::Stretch;
use super::process::{Event, Mu, Timer};
use super::replica::Replica;
use super::request::{self, REQUEST_HEAD, Tag};
use super::shape::MAX_REPLICAS;
use super::slot::Slot;
use super::verb::{Message, Verb};
use crate::Mutant;

/// How many writes to one memory are on their way at most: a newcomer is not told everything at once.
const CREDIT: u64 = 64;

/// How many requests share a slot at most. Their names must be told to whoever fetches a state.
const MAX_BATCH: usize = 8;

impl Replica {
    /// Gives slots to what waits for them, as far as there is room.
    #[inline]
    pub(super) fn place(&mut self, out: &mut Out<Mu>) {
        while !self.queue.is_empty() && self.has_room(out) {
            self.fill_next(out);
        }
    }

    /// Whether the next slot may be written: not too far from what is decided, and nobody who takes part needs what is
    /// still in it.
    #[inline]
    fn has_room(&mut self, out: &mut Out<Mu>) -> bool {
        let slots = self.options.shape.slots as u64;
        let window = self.options.window;
        let Some(lead) = &mut self.lead else { return false };
        if lead.phase != Phase::Leading || lead.next >= lead.decided + window {
            return false;
        }
        let slowest = self.slowest();
        let Some(lead) = &mut self.lead else { return false };
        lead.kept_from = lead.kept_from.max(slowest.min(lead.decided));
        let slowest = lead.kept_from;
        let (next, looked_at) = (lead.next, lead.looked_at);
        if next >= slowest + slots / 2 && next >= looked_at + slots / 8 {
            lead.looked_at = next;
            self.look_at_members(out);
        }
        next < slowest + slots || self.planted.is(Mutant::MuRecyclesTooEarly)
    }

    /// How far all have applied whom it waits for: those that take part, and so many of those that live that a majority
    /// has the state. Memories outlive processes; what was applied does not.
    #[inline]
    fn slowest(&self) -> u64 {
        let Some(lead) = &self.lead else { return 0 };
        let mut applied = [0; MAX_REPLICAS];
        let mut slowest = self.applied;
        for (nth, member) in lead.members.iter().enumerate() {
            let is_me = nth == usize::from(self.me);
            let has_applied = if is_me { self.applied } else { self.trust.peer(nth as u8).home.applied };
            if is_me || self.trust.lives(nth as u8) {
                applied[nth] = has_applied;
            }
            if member.is_active {
                slowest = slowest.min(has_applied);
            }
        }
        let all = &mut applied[..lead.members.len()];
        all.sort_unstable();
        slowest.min(all[all.len() - self.options.shape.majority()])
    }

    /// Looks how far the others have applied.
    #[cold]
    fn look_at_members(&mut self, out: &mut Out<Mu>) {
        for memory in self.others() {
            self.look_at(memory, out);
        }
    }

    /// Makes a value of the first that wait, and writes it to everybody.
    #[inline]
    fn fill_next(&mut self, out: &mut Out<Mu>) {
        let longest = self.options.shape.value_bytes;
        let Some(lead) = &mut self.lead else { return };
        let (mut count, mut bytes) = (0, 0);
        for sequence in self.queue.iter().take(MAX_BATCH) {
            let nth = (sequence - self.first_sequence) as usize;
            let Some(Some(pending)) = self.pending.get(nth) else { break };
            if bytes + REQUEST_HEAD + pending.request.len() > longest {
                break;
            }
            bytes += REQUEST_HEAD + pending.request.len();
            count += 1;
        }
        assert!(count > 0, "what waits was proposed, and fits into a slot");
        let (me, life, first) = (self.me, self.life, self.first_sequence);
        let pending = &self.pending;
        let requests = self.queue.iter().take(count).filter_map(|sequence| {
            let waits = pending[(sequence - first) as usize].as_ref()?;
            let tag = Tag::new(me, life, *sequence);
            Some((if waits.was_placed { tag.again() } else { tag }, &waits.request[..]))
        });
        let value = self.pool.value(bytes, requests);
        for sequence in self.queue.drain(..count) {
            if let Some(Some(waits)) = self.pending.get_mut((sequence - first) as usize) {
                waits.was_placed = true;
            }
            if self.planted.is(Mutant::MuReportsWhatWasReplaced) {
                self.placed.push_back((lead.next, sequence));
            }
        }
        lead.tail.push_back(value);
        lead.next += 1;
        self.write_all(out);
    }

    /// Writes to a memory what it does not have, as far as it can be done now.
    #[inline]
    pub(super) fn write_on(&mut self, memory: u8, out: &mut Out<Mu>) {
        let (slots, me) = (self.options.shape.slots as u64, self.me);
        let has_applied = if memory == me { self.applied } else { self.trust.peer(memory).home.applied };
        let target = self.memory(memory);
        let planted = self.planted;
        let Some(lead) = self.lead.as_mut().filter(|lead| lead.phase == Phase::Leading) else { return };
        let (proposal, decided, next, base) = (lead.proposal, lead.decided, lead.next, lead.tail_base);
        let member = &mut lead.members[usize::from(memory)];
        if !member.is_active {
            return;
        }
        while member.sent < next && member.sent < member.acked + CREDIT {
            if member.sent >= has_applied + slots && !planted.is(Mutant::MuRecyclesTooEarly) {
                return;
            }
            if member.sent < base {
                return self.read_older(memory, out);
            }
            let grant = member.grant.expect("whoever takes part has granted its copy");
            let index = member.sent;
            let value = lead.tail[(index - base) as usize].clone();
            member.sent += 1;
            let slot = Slot { index, proposal, decided, value };
            out.send(target, Message::Do(Verb::Write { grant, slot }));
        }
    }

    /// Somebody lacks slots that only the own memory still has.
    #[cold]
    fn read_older(&mut self, memory: u8, out: &mut Out<Mu>) {
        let (me, slots) = (self.me, self.options.shape.slots as u64);
        let has_applied = self.trust.peer(memory).home.applied;
        let Some(lead) = &mut self.lead else { return };
        let own = &lead.members[usize::from(me)];
        let from = lead.members[usize::from(memory)].sent;
        // What the own memory has not acknowledged may be what was there before.
        let Some(grant) = own.grant.filter(|_| own.acked > from && lead.older.is_none()) else { return };
        // What it has not applied stays, here as everywhere.
        let room = (has_applied + slots).saturating_sub(from);
        let most = (own.acked.min(lead.tail_base) - from).min(room).min(u64::from(STRETCH)) as u16;
        lead.older = Some((memory, from));
        self.ask(me, Verb::Slots { grant, from, most }, out);
    }

    /// Slots of the own memory that somebody lacks.
    pub(super) fn on_older(&mut self, memory: u8, stretch: Stretch, out: &mut Out<Mu>) {
        let (me, applied) = (self.me, self.applied);
        let Some(lead) = &mut self.lead else { return };
        let Some((whom, from)) = lead.older.filter(|(_, from)| memory == me && *from == stretch.from) else { return };
        if lead.members[usize::from(me)].grant.is_none_or(|grant| grant.1 != stretch.generation) {
            return;
        }
        lead.older = None;
        if stretch.slots.is_empty() {
            // It is nowhere any more. Whoever lacks it fetches a state, and is told what comes after.
            self.jump(whom, applied, out);
            return self.write_all(out);
        }
        let (proposal, decided) = (lead.proposal, lead.decided);
        let grant = member_grant(lead, whom);
        let member = &mut lead.members[usize::from(whom)];
        if !member.is_active || member.sent != from {
            return self.write_all(out);
        }
        member.sent += stretch.slots.len() as u64;
        for slot in stretch.slots {
            self.ask(whom, Verb::Write { grant, slot: Slot { proposal, decided, ..slot } }, out);
        }
        self.write_all(out);
    }

    /// Writes to all what they do not have: somebody may have waited for another to be read to.
    pub(super) fn write_all(&mut self, out: &mut Out<Mu>) {
        for memory in self.replicas() {
            self.write_on(memory, out);
        }
    }

    /// Lets a memory do without what is decided below this index.
    pub(super) fn jump(&mut self, memory: u8, to: u64, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        assert!(to <= lead.decided, "a memory may only lack what is decided");
        let grant = member_grant(lead, memory);
        let member = &mut lead.members[usize::from(memory)];
        member.sent = member.sent.max(to);
        member.acked = member.acked.max(to);
        (member.flushed, member.missing_below) = (to, to);
        self.ask(memory, Verb::Advance { grant, first_undecided: to, kept_from: to }, out);
        self.write_on(memory, out);
    }

    /// A memory has a slot, or it could not be written.
    #[inline]
    pub(super) fn on_wrote(&mut self, memory: u8, generation: u64, index: u64, stood: bool, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        let member = &mut lead.members[usize::from(memory)];
        if member.grant.is_none_or(|grant| grant.1 != generation) {
            return;
        }
        if !stood {
            return self.abort(out);
        }
        // Writes take effect in their order, and a grant that stands has stood: so all before it are there too.
        member.acked = member.acked.max((index + 1).min(member.sent));
        let lags = member.sent < lead.next;
        // Most of the time others had it before, and it is decided.
        if index >= lead.decided {
            self.commit(out);
        }
        if lags {
            self.write_on(memory, out);
        }
        self.place(out);
    }

    /// Counts what a majority has.
    #[inline]
    pub(super) fn commit(&mut self, out: &mut Out<Mu>) {
        let majority = if self.planted.is(Mutant::MuDecidesByAMinority) { 1 } else { self.options.shape.majority() };
        let Some(lead) = &mut self.lead else { return };
        if lead.phase != Phase::Leading {
            return;
        }
        let counts = |index: u64| {
            lead.members.iter().filter(|member| member.is_raised && member.is_whole && member.acked > index).count()
        };
        let mut decided = lead.decided;
        while decided < lead.next && counts(decided) >= majority {
            decided += 1;
        }
        if decided > lead.decided {
            lead.decided = decided;
            self.apply_decided(out);
        }
    }

    /// Hands what is decided to its user.
    #[inline]
    pub(super) fn apply_decided(&mut self, out: &mut Out<Mu>) {
        while let Some(lead) = &self.lead
            && self.applied < lead.decided
        {
            let index = self.applied;
            let value = lead.tail[(index - lead.tail_base) as usize].clone();
            for (tag, request) in request::requests(value) {
                let mut token = self.answer(tag);
                if self.planted.is(Mutant::MuReportsWhatWasReplaced) {
                    token = token.or_else(|| self.answer_placed(index));
                }
                if self.recent.is_new(index, tag) || self.planted.is(Mutant::MuAppliesTwice) {
                    out.emit(Event::Apply { index, request, token });
                }
            }
            self.applied += 1;
        }
        self.trim();
    }

    /// Takes what was placed at an index for what is decided there.
    fn answer_placed(&mut self, index: u64) -> Option<u64> {
        let nth = self.placed.iter().position(|(place, _)| *place == index)?;
        let (_, sequence) = self.placed.remove(nth)?;
        self.queue.retain(|waits| *waits != sequence);
        self.answer(Tag::new(self.me, self.life, sequence))
    }

    /// Forgets values that were applied and written everywhere.
    #[inline]
    fn trim(&mut self) {
        let Some(lead) = &mut self.lead else { return };
        // Whoever is slow is told from the own memory.
        let needed = self.applied.min(lead.members[usize::from(self.me)].acked);
        while lead.tail_base < needed && lead.tail.pop_front().is_some() {
            lead.tail_base += 1;
        }
    }

    /// What was proposed and is in no slot that was adopted waits for one again.
    pub(super) fn queue_again(&mut self) {
        let Some(lead) = &self.lead else { return };
        let mut is_there = alloc::vec![false; self.pending.len()];
        for value in &lead.tail {
            for (tag, _) in request::requests(value.clone()) {
                if let Some(nth) = tag.after(self.me, self.life, self.first_sequence)
                    && let Some(there) = is_there.get_mut(nth)
                {
                    *there = true;
                }
            }
        }
        let waits = self.pending.iter().zip(&is_there).enumerate();
        self.queue = waits
            .filter(|(_, (pending, is_there))| pending.is_some() && !**is_there)
            .map(|(nth, _)| self.first_sequence + nth as u64)
            .collect();
    }

    /// Where nothing waits and everything is decided, the others are told by and by.
    #[inline]
    pub(super) fn arm_flush(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        if lead.phase != Phase::Leading || lead.is_flush_armed || lead.decided < lead.next {
            return;
        }
        if lead.members.iter().any(|member| member.is_active && member.flushed < lead.decided) {
            lead.is_flush_armed = true;
            lead.flush_from = lead.next;
            out.arm(Timer::Flush, self.options.pace.flush);
        }
    }

    /// It may have nothing more to write. If it had meanwhile, what it wrote has told the others, and they are left alone:
    /// each note is a line of memory for which the next write would wait.
    pub(super) fn flush_if_idle(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        lead.is_flush_armed = false;
        if lead.next == lead.flush_from {
            self.flush(out);
        }
    }

    /// Tells all how far everything is decided.
    pub(super) fn flush(&mut self, out: &mut Out<Mu>) {
        for nth in self.replicas() {
            let has_applied = if nth == self.me { self.applied } else { self.trust.peer(nth).home.applied };
            let Some(lead) = self.lead.as_mut().filter(|lead| lead.phase == Phase::Leading) else { return };
            let (decided, kept_from) = (lead.decided, lead.kept_from);
            let member = &mut lead.members[usize::from(nth)];
            let first_undecided = decided.min(member.acked);
            if let Some(grant) = member.grant.filter(|_| member.is_active && member.flushed < first_undecided) {
                member.flushed = first_undecided;
                // What was jumped over stays noted as missing; what it has and has not applied is none of that, though
                // those who went on without it for a while need it no more.
                let kept_from = kept_from.min(first_undecided).min(has_applied).max(member.missing_below);
                self.ask(nth, Verb::Advance { grant, first_undecided, kept_from }, out);
            }
        }
        self.tell_applied(out);
    }
}
