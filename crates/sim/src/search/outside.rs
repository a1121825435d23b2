//! [`Outside`]: who stands around the machines of a search. It asks them for
//! things, hears what they say, and judges that. What it remembers is part of
//! every state, as far as it can make a difference to its judgement.
//!
//! It performs no effect and knows no link: that is the state's affair.

use std::collections::{BTreeMap, VecDeque};
use std::hash::Hash;

use skein_machine::{Machine, ProcessId};

use super::{Moment, MomentKind};
use crate::check::Violation;

/// What happened, for a reader; `None` when there is none.
pub(super) type Story = Option<Tale>;

/// What happened so far.
#[derive(Default)]
pub(super) struct Tale {
    pub(super) moments: Vec<Moment>,
    /// At which moments what is on each link was sent.
    on_the_way: BTreeMap<(ProcessId, ProcessId), VecDeque<usize>>,
}

/// See above. Processes go by their place in the cluster, and what is asked for by its number.
pub(super) trait Outside<M: Machine> {
    /// What was asked and heard so far. Its hash leaves out what cannot make a difference to a judge any more.
    type Memory: Clone + Hash;

    /// Nothing was asked yet.
    fn begin(&self) -> Self::Memory;

    /// What is asked for before anything happens.
    fn asked_at_first(&self) -> Vec<u8>;

    /// What may be asked for now.
    fn may_be_asked(&self, memory: &Self::Memory) -> Vec<u8>;

    /// Whether everything was asked for.
    fn is_all_asked(&self, memory: &Self::Memory) -> bool;

    /// Whether whoever asked has an answer: otherwise timers fire when nothing else can happen.
    fn is_all_answered(&self, memory: &Self::Memory) -> bool {
        let _ = memory;
        true
    }

    /// Asks for something. Answers whom, and for what.
    fn ask(&self, nth: u8, memory: &mut Self::Memory, story: &mut Story) -> (u8, M::Command);

    /// Something was told.
    fn hear(&self, place: u8, life: u32, event: M::Event, memory: &mut Self::Memory, story: &mut Story);

    /// A process begins a life.
    fn begins_to_live(&self, place: u8, memory: &mut Self::Memory);

    /// Counts what was asked and heard: when it has grown, there is something new to judge.
    fn seen(&self, memory: &Self::Memory) -> usize;

    /// Whether the verdict cannot change any more, whatever is still on its way. Then that is walked through in one
    /// order only.
    fn is_decided(&self, memory: &Self::Memory, machines: &[Option<&M>]) -> bool {
        let _ = (memory, machines);
        false
    }

    /// What is wrong with what has been seen so far. `is_over` when nothing more will come.
    fn judge(&self, memory: &Self::Memory, machines: &[Option<&M>], is_over: bool) -> Vec<Violation>;
}

/// Adds a line, if somebody reads along.
pub(super) fn tell(story: &mut Story, kind: MomentKind, process: ProcessId, words: impl FnOnce() -> String) {
    if let Some(tale) = story {
        let step = tale.moments.len();
        tale.moments.push(Moment { step, kind, process, sent: None, words: words() });
    }
}

/// Something was sent because of what was told last.
pub(super) fn note_sent(story: &mut Story, from: ProcessId, to: ProcessId) {
    if let Some(tale) = story
        && let Some(last) = tale.moments.len().checked_sub(1)
    {
        tale.on_the_way.entry((from, to)).or_default().push_back(last);
    }
}

/// What was on its way is lost.
pub(super) fn note_lost(story: &mut Story, is_lost: impl Fn(ProcessId, ProcessId) -> bool) {
    if let Some(tale) = story {
        tale.on_the_way.retain(|(from, to), _| !is_lost(*from, *to));
    }
}

/// Adds that something was heard, and when it was sent.
pub(super) fn tell_heard(story: &mut Story, from: ProcessId, to: ProcessId, words: impl FnOnce() -> String) {
    tell(story, MomentKind::Hear, to, words);
    if let Some(tale) = story
        && let Some(moment) = tale.moments.last_mut()
    {
        let sent = tale.on_the_way.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        moment.sent = sent.map(|step| (from, step));
    }
}
