//! How a memory that was lost comes to count again.
//!
//! A memory that was made anew has forgotten what it had accepted, and which
//! numbers it had seen. A leader writes it everything; but that alone would not
//! do. While the memory was still there, it may have been in the majority of
//! another leader with a higher number, of which this one knows nothing; that
//! one could go on and decide without a look at what this one decides with the
//! memory's help. So the leader asks, after the new memory was granted to it,
//! whether its number still stands in a majority of those that have lost
//! nothing. Every majority in which the lost memory was has another of these in
//! it, and where a number stands, no higher one came before and no lower one
//! counts afterwards: what the memory has forgotten, this leader has seen.

use alloc::vec::Vec;

use skein_machine::Out;

use super::lead::{Lead, Member, Phase};
use super::process::Mu;
use super::replica::Replica;
use super::verb::Verb;

impl Lead {
    /// Whether a memory that was lost holds everything that this leader has found, and all of that is decided.
    fn is_filled(&self, member: &Member) -> bool {
        let is_filled = member.is_raised && member.acked >= self.adopted_to && self.decided >= self.adopted_to;
        !member.is_whole && is_filled
    }

    /// Whether the number stood there after this leader had asked for the so-manieth time.
    fn stood_after(&self, since: u64) -> usize {
        let stands = |member: &&Member| member.is_whole && member.raises_open == 0 && member.raised_at > since;
        self.members.iter().filter(stands).count()
    }
}

impl Replica {
    /// Time passes, and there may be memories to heal.
    pub(super) fn tick_heal(&mut self, out: &mut Out<Mu>) {
        let Some(lead) = &self.lead else { return };
        let Some(since) = lead.members.iter().filter(|member| lead.is_filled(member)).map(|member| member.since).max()
        else {
            return;
        };
        let is_old = |member: &Member| member.is_whole && member.is_raised && member.raised_at <= since;
        let old: Vec<u8> = self.replicas().filter(|nth| is_old(&lead.members[usize::from(*nth)])).collect();
        for memory in old {
            self.raise(memory, out);
        }
        self.heal(out);
    }

    /// Says of those memories that were lost, and by now hold everything, that they do.
    pub(super) fn heal(&mut self, out: &mut Out<Mu>) {
        let majority = self.options.shape.majority();
        let Some(lead) = self.lead.as_ref().filter(|lead| lead.phase == Phase::Leading) else { return };
        let is_healed = |member: &Member| lead.is_filled(member) && lead.stood_after(member.since) >= majority;
        let healed: Vec<_> = self
            .replicas()
            .filter(|nth| is_healed(&lead.members[usize::from(*nth)]))
            .filter_map(|nth| lead.members[usize::from(nth)].grant.map(|grant| (nth, grant)))
            .collect();
        for (memory, grant) in healed {
            self.ask(memory, Verb::Heal { grant }, out);
        }
    }

    /// Everything is in a memory that was lost: it counts again.
    pub(super) fn on_healed(&mut self, memory: u8, generation: u64, stood: bool, out: &mut Out<Mu>) {
        let Some(lead) = &mut self.lead else { return };
        let member = &mut lead.members[usize::from(memory)];
        if member.grant.is_none_or(|grant| grant.1 != generation) {
            return;
        }
        if !stood {
            return self.abort(out);
        }
        member.is_whole = true;
        self.commit(out);
    }
}
