//! Every order of events in a small scope, instead of a random one in a large:
//! a depth-first search over the deliveries of links, crashes, restarts and
//! timers, with the very machines that ship. States are told apart by their
//! hash; orders of events that cannot matter to each other are tried once
//! (sleep sets); destination sets are enumerated up to renaming of groups.
//!
//! Of a bare protocol, each message comes from an outsider of its own, so that
//! its START can reach each destination at any moment at all (`messages.rs`).
//! Of a replicated service, clients ask its replicas, and what they saw must be
//! linearizable (`served.rs`, `clients.rs`). Persisting takes no time here:
//! disks are the swarm's affair.

#[cfg(test)]
mod beliefs;
mod clients;
mod explore;
mod messages;
mod outside;
mod served;
mod state;
mod wish;

pub use served::{ServiceScope, Wishes, search_service};
pub use wish::{Kind, MOST_PARTITIONS, Wish};

use std::hash::Hash;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use skein_machine::{Boot, Cluster, ClusterError, Conflicts, GroupId, GroupSet, MessageId, Ordering, ProcessId, Time};

use self::explore::explore;
use self::messages::Messages;
use self::state::{Limits, Setting};
use crate::check::linear::{Element, Key};
use crate::check::{RealTime, Violation};

/// Tells what lists a replica of a service holds.
pub type Peek<'a, M> = &'a dyn Fn(&M) -> Vec<(Key, Vec<Element>)>;

/// What to search of a bare protocol.
#[derive(Clone, Debug)]
pub struct Scope {
    /// How many groups.
    pub groups: usize,
    /// How many replicas each.
    pub replicas: usize,
    /// Up to how many messages.
    pub messages: usize,
    /// Only messages to these sets, each under every name that groups can have and in every order; all sets unless
    /// told.
    pub only: Option<Vec<GroupSet>>,
    /// How many crashes on one path, at most. A crashed process may restart.
    pub crashes: u32,
    /// How many timers fire on one path, at most.
    pub timers: u32,
    /// What hardware clocks show, if time passes at any moment; else they show nothing.
    pub clocks: Option<Clocks>,
    /// Which real-time order must hold, if any. Then messages are sent at any moment, else all at first.
    pub real_time: Option<RealTime>,
    /// Which messages conflict, if only those must be in one order. Then each says a letter.
    pub conflicts: Option<Conflicts>,
    /// Whether orders that cannot matter to each other are tried once. Only
    /// the search's own tests try them all, to see that nothing is missed.
    pub skips_equal_orders: bool,
    /// Stop after this many states.
    pub max_states: u64,
}

/// Hardware clocks that err as much as they may: some are ahead of true time by as much, and the others behind. All
/// choices are tried.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// So much time passes at once.
    pub unit: Duration,
    /// So many units a clock may be off.
    pub error: u32,
    /// So often time passes while something is on its way, at most.
    pub passes: u32,
}

impl Clocks {
    /// What a clock shows when time has passed so often. It has run for a while when a search begins.
    fn read(self, is_ahead: bool, passed: u32) -> Time {
        const BEGINNING: u32 = 1 << 10;
        let units = BEGINNING + passed;
        let units = if is_ahead { units + self.error } else { units - self.error };
        Time::ZERO.after(self.unit * units)
    }
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Different states that were visited, over all workloads.
    pub states: u64,
    /// Those of them in which the verdict stood already: they were left in one order only.
    pub decided: u64,
    /// Steps that were taken between them.
    pub transitions: u64,
    /// Sets of destination sets that were tried.
    pub workloads: u64,
    /// Whether everything in the scope was seen.
    pub is_complete: bool,
    /// The first violation, and how it came about.
    pub failure: Option<Counterexample>,
}

/// A schedule that breaks a property.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What breaks.
    pub violations: Vec<Violation>,
    /// Everything that happened, in order.
    pub events: Vec<Moment>,
}

/// One thing that happened in a counter-example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Counts all events, from 0.
    pub step: usize,
    /// What kind of event.
    pub kind: MomentKind,
    /// At which process.
    pub process: ProcessId,
    /// Of what was heard: who sent it, and at which step.
    pub sent: Option<(ProcessId, usize)>,
    /// In words.
    pub words: String,
}

/// The kinds of events, as far as programs want to tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MomentKind {
    /// A message was sent to these groups.
    Multicast(MessageId, GroupSet),
    /// A message was delivered in this group.
    Deliver(MessageId, GroupId),
    /// Something that concerns these groups was asked for.
    Ask(GroupSet),
    /// It was answered.
    Answer,
    /// A process heard something.
    Hear,
    /// A process died.
    Crash,
    /// A process came back.
    Restart,
    /// What a dead process had sent was lost on this link.
    Lose,
    /// A timer fired.
    Timer,
}

impl Scope {
    /// No crash, no timer, no real-time order to keep, and no end before everything was seen.
    pub fn calm(groups: usize, replicas: usize, messages: usize) -> Scope {
        Scope {
            groups,
            replicas,
            messages,
            only: None,
            crashes: 0,
            timers: 0,
            clocks: None,
            real_time: None,
            conflicts: None,
            skips_equal_orders: true,
            max_states: u64::MAX,
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            crashes: self.crashes,
            timers: self.timers,
            patience: Duration::ZERO,
            clocks: self.clocks,
            ahead: 0,
            has_disks: true,
            skips_equal_orders: self.skips_equal_orders,
            max_states: self.max_states,
        }
    }

    /// The cluster that is searched: its outsiders send the messages.
    pub fn cluster(&self) -> Result<Cluster, ClusterError> {
        Cluster::regular(self.groups, self.replicas, self.messages)
    }
}

/// Searches the whole scope, smallest workloads first, until something breaks.
/// `told` hears the states visited so far, now and then.
pub fn search<M>(
    scope: &Scope,
    cluster: &Arc<Cluster>,
    maker: impl Fn(ProcessId, Boot) -> M,
    mut told: impl FnMut(u64),
) -> Report
where
    M: Ordering + Clone + Hash,
{
    let mut report = Report { is_complete: true, ..Report::default() };
    let renamings = permutations(scope.groups);
    let _ = each_workload(scope.groups, scope.messages, &mut |workload| {
        if scope
            .only
            .as_ref()
            .is_some_and(|only| !renamings.iter().any(|renaming| is_renamed(workload, renaming, only)))
        {
            return ControlFlow::Continue(());
        }
        report.workloads += 1;
        let messages = Messages::new(scope, cluster, workload);
        let choices = if scope.clocks.is_some() { 1u64 << (scope.groups * scope.replicas) } else { 1 };
        for ahead in 0..choices {
            let limits = Limits { ahead, ..scope.limits() };
            explore(Setting::new(limits, cluster, &messages, &maker), &mut report, &mut told);
            if report.failure.is_some() || report.states >= scope.max_states {
                report.is_complete = false;
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    });
    report
}

/// Every sequence of destination sets, up to renaming of groups, the fewest
/// destinations first, and of these the fewest messages: one message more has
/// far fewer orders than one destination more. The order within a sequence
/// matters: ids break ties. None is kept: there are far more of them than
/// anybody would wait for.
fn each_workload(
    groups: usize,
    messages: usize,
    visit: &mut dyn FnMut(&[GroupSet]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let renamings = permutations(groups);
    for destinations in 1..=messages * groups {
        for missing in destinations.div_ceil(groups)..=messages.min(destinations) {
            extend(&mut Vec::new(), missing, destinations, &renamings, visit)?;
        }
    }
    ControlFlow::Continue(())
}

/// Visits every extension of a sequence by so many sets with so many
/// destinations in all. What begins the least of its renamings is one itself.
fn extend(
    sequence: &mut Vec<u64>,
    missing: usize,
    destinations: usize,
    renamings: &[Vec<usize>],
    visit: &mut dyn FnMut(&[GroupSet]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let Some(missing) = missing.checked_sub(1) else {
        let sets: Vec<GroupSet> = sequence.iter().map(|set| GroupSet::from_bits(*set)).collect();
        return visit(&sets);
    };
    let groups = renamings[0].len();
    for set in 1..1u64 << groups {
        let Some(left) = destinations.checked_sub(set.count_ones() as usize) else { continue };
        if !(missing..=missing * groups).contains(&left) {
            continue;
        }
        sequence.push(set);
        if renamings.iter().all(|renaming| *sequence <= rename(sequence, renaming)) {
            extend(sequence, missing, left, renamings, visit)?;
        }
        sequence.pop();
    }
    ControlFlow::Continue(())
}

/// Whether these sets are those, under other names and in another order.
fn is_renamed(workload: &[GroupSet], renaming: &[usize], those: &[GroupSet]) -> bool {
    let bits = |sets: &[GroupSet]| sets.iter().map(|set| set.bits()).collect::<Vec<u64>>();
    let (mut these, mut those) = (rename(&bits(workload), renaming), bits(those));
    these.sort_unstable();
    those.sort_unstable();
    these == those
}

fn rename(sequence: &[u64], renaming: &[usize]) -> Vec<u64> {
    let one = |set: &u64| {
        renaming.iter().enumerate().filter(|(old, _)| set >> old & 1 == 1).fold(0, |bits, (_, new)| bits | 1 << new)
    };
    sequence.iter().map(one).collect()
}

fn permutations(count: usize) -> Vec<Vec<usize>> {
    if count == 0 {
        return vec![Vec::new()];
    }
    let mut all = Vec::new();
    for shorter in permutations(count - 1) {
        for place in 0..=shorter.len() {
            let mut longer = shorter.clone();
            longer.insert(place, count - 1);
            all.push(longer);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workloads(groups: usize, messages: usize) -> Vec<Vec<GroupSet>> {
        let mut all = Vec::new();
        let _ = each_workload(groups, messages, &mut |workload| {
            all.push(workload.to_vec());
            ControlFlow::Continue(())
        });
        all
    }

    fn count(groups: usize, messages: usize) -> usize {
        workloads(groups, messages).len() - workloads(groups, messages - 1).len()
    }

    /// By Burnside's lemma: sequences that a renaming leaves alone, averaged over all renamings.
    #[test]
    fn destination_sets_are_enumerated_up_to_renaming() {
        assert_eq!(permutations(3).len(), 6);
        assert_eq!((count(2, 1), count(2, 2), count(2, 3)), (2, 5, 14));
        assert_eq!((count(3, 1), count(3, 2)), (3, 13));
    }

    #[test]
    fn every_workload_is_the_least_of_its_renamings() {
        for workload in workloads(3, 2) {
            let bits: Vec<u64> = workload.iter().map(|set| set.bits()).collect();
            assert!(permutations(3).iter().all(|renaming| bits <= rename(&bits, renaming)));
        }
    }
}
