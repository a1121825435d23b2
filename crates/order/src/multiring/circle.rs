//! [`Circle`]: what travels along a ring. Each process hands values and votes on
//! to the next one that is alive, and none goes over a link twice: a value stops
//! before the coordinator that appended it, a vote before the one whose it is.
//!
//! Whatever is lost here is only late: votes come with every heartbeat too, and
//! the coordinator helps those who stand still.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use skein_machine::ProcessId;

use super::wire::{Agreement, Pass};
use crate::consensus::Report;
use crate::parts::{Epoch, Index};

/// Ticks of silence after which the ring closes over a process.
const GONE: u32 = 3;

/// One process's place in a ring.
#[derive(Clone, Debug, Hash)]
pub(super) struct Circle {
    me: ProcessId,
    /// Everybody, in order, from the one behind this process to this one.
    order: Vec<ProcessId>,
    /// What goes on at the end of the turn.
    pass: Pass,
    /// The newest vote of each process that has come by.
    passed: BTreeMap<ProcessId, (u32, Epoch, Epoch, Index)>,
}

impl Circle {
    pub(super) fn new(me: ProcessId, members: &[ProcessId]) -> Circle {
        let place = members.iter().position(|member| *member == me).expect("a process is in its own rings");
        let order = (1..=members.len()).map(|step| members[(place + step) % members.len()]).collect();
        Circle { me, order, pass: Pass::default(), passed: BTreeMap::new() }
    }

    /// The next process that is alive; `silence_of` tells for how long each was not heard.
    fn next(&self, silence_of: impl Fn(ProcessId) -> u32) -> Option<ProcessId> {
        let others = &self.order[..self.order.len() - 1];
        others.iter().copied().find(|process| silence_of(*process) <= GONE)
    }

    /// The coordinator has appended something.
    pub(super) fn begin(&mut self, value: Agreement) {
        self.pass_value(self.order.len() as u16 - 1, value);
    }

    /// A value came by that has to pass so many processes yet, this one too.
    pub(super) fn pass_value(&mut self, hops: u16, value: Agreement) {
        if hops > 0 {
            self.pass.values.push((hops, value));
        }
    }

    /// A vote came by, or is this process's own.
    pub(super) fn pass_vote(&mut self, process: ProcessId, report: Report) {
        let name = (report.incarnation, report.promised, report.held, report.index);
        if self.passed.get(&process).is_none_or(|passed| *passed < name) {
            self.passed.insert(process, name);
            self.pass.votes.retain(|(other, _)| *other != process);
            self.pass.votes.push((process, report));
        }
    }

    /// The end of a turn: what goes to whom.
    pub(super) fn take(&mut self, silence_of: impl Fn(ProcessId) -> u32) -> Option<(ProcessId, Box<Pass>)> {
        let Pass { mut values, mut votes } = core::mem::take(&mut self.pass);
        let next = self.next(silence_of)?;
        // From the coordinator the ring is as long as it has processes; it may have closed over some of them.
        let is_new = |value: &Agreement| match value {
            Agreement::Append { epoch, .. } => epoch.leader != next,
            _ => false,
        };
        values.retain(|(_, value)| is_new(value));
        votes.retain(|(process, _)| *process != next);
        let is_empty = values.is_empty() && votes.is_empty();
        (!is_empty && next != self.me).then(|| (next, Box::new(Pass { values, votes })))
    }
}
