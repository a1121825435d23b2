//! [`Inquiries`]: who is asked how far they are, and who asks here. Whoever
//! waits asks: one question at a time to each group, and the answer to it is
//! the occasion for the next. What is lost is asked again, of the next nearest.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use skein_machine::{GroupId, ProcessId, Timestamp};

use super::Settled;
use crate::Near;

/// Ticks after which a question is asked again.
const PATIENCE: u32 = 3;

/// Questions of both directions. A question is the timestamp up to which somebody has to know.
#[derive(Clone, Debug)]
pub(crate) struct Inquiries {
    me: ProcessId,
    group: GroupId,
    near: Arc<Near>,
    asked: BTreeMap<GroupId, Question>,
    /// Who waits until this replica has delivered so far.
    waits: BTreeMap<ProcessId, Timestamp>,
}

/// A question that is on its way.
#[derive(Clone, Copy, Debug, Default, Hash)]
struct Question {
    upto: Timestamp,
    age: u32,
    asks: usize,
}

/// Whose they are never changes.
impl core::hash::Hash for Inquiries {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        (&self.asked, &self.waits).hash(state);
    }
}

impl Inquiries {
    pub(crate) fn new(me: ProcessId, group: GroupId, near: Arc<Near>) -> Inquiries {
        Inquiries { me, group, near, asked: BTreeMap::new(), waits: BTreeMap::new() }
    }

    /// Whom to ask now, and what, so that everything up to `need` can be known to be settled.
    pub(crate) fn pursue(
        &mut self,
        need: Option<Timestamp>,
        settled: &Settled,
        safe: Timestamp,
    ) -> Vec<(ProcessId, Timestamp)> {
        let Some(need) = need else {
            self.asked.clear();
            return Vec::new();
        };
        let missing = settled.missing(safe, need);
        self.asked.retain(|group, _| missing.contains(*group));
        let own = self.group;
        let mut questions = Vec::new();
        for group in missing.iter().filter(|group| *group != own) {
            if self.asked.get(&group).is_none_or(|question| settled.has_heard(group, question.upto)) {
                questions.extend(self.ask(group, Question { upto: need, age: 0, asks: 0 }));
            }
        }
        questions
    }

    /// Time goes by. Whom to ask again.
    pub(crate) fn tick(&mut self) -> Vec<(ProcessId, Timestamp)> {
        let mut late = Vec::new();
        for (group, question) in &mut self.asked {
            question.age += 1;
            if question.age >= PATIENCE {
                late.push((*group, Question { age: 0, asks: question.asks + 1, ..*question }));
            }
        }
        late.into_iter().filter_map(|(group, question)| self.ask(group, question)).collect()
    }

    fn ask(&mut self, group: GroupId, question: Question) -> Option<(ProcessId, Timestamp)> {
        self.asked.insert(group, question);
        let rank = self.near.rank(self.me, group);
        rank.get(question.asks % rank.len().max(1)).map(|process| (*process, question.upto))
    }

    /// Somebody waits until this replica has delivered so far.
    pub(crate) fn on_ask(&mut self, from: ProcessId, upto: Timestamp) {
        let waits = self.waits.entry(from).or_default();
        *waits = upto.max(*waits);
    }

    /// How far this replica must deliver before all who asked have an answer.
    pub(crate) fn waited_for(&self) -> Option<Timestamp> {
        self.waits.values().copied().max()
    }

    /// Everything up to `safe` is delivered: who can be answered.
    pub(crate) fn answer(&mut self, safe: Timestamp) -> Vec<ProcessId> {
        let answered = self.waits.iter().filter(|(_, upto)| **upto <= safe).map(|(process, _)| *process).collect();
        self.waits.retain(|_, upto| *upto > safe);
        answered
    }
}
