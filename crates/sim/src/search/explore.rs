//! The walk through the states of one workload: depth first, remembering where
//! it has been, and with which steps left out.
//!
//! A step sleeps in a state when another order of the same steps, tried
//! before, leads through it. A state that is reached again with fewer steps
//! asleep is walked again for those alone, so nothing is left out for good.

use std::collections::HashMap;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use skein_machine::Machine;

use super::outside::{Outside, Tale};
use super::state::{Setting, State, Transition};
use super::{Counterexample, Moment, Report};
use crate::check::Violation;
use crate::run::words_of;

/// How often the one who waits hears of progress.
const TOLD_EVERY: u64 = 10_000;

/// Walks through everything that one workload can lead to.
pub(super) fn explore<M: Machine + Clone + Hash, O: Outside<M>>(
    setting: Setting<'_, M, O>,
    report: &mut Report,
    told: &mut dyn FnMut(u64),
) {
    let initial = State::initial(&setting, &mut None);
    let mut walk = Walk { setting, asleep_at: HashMap::new(), path: Vec::new(), report, told };
    if let Some(violations) = walk.visit(&initial, Vec::new()) {
        let events = walk.tell_the_story(&violations);
        walk.report.failure = Some(Counterexample { violations, events });
    }
}

struct Walk<'a, M, O> {
    setting: Setting<'a, M, O>,
    /// For each state seen, by its hash: the steps that were left out there.
    asleep_at: HashMap<u128, Vec<Transition>>,
    path: Vec<Transition>,
    report: &'a mut Report,
    told: &'a mut dyn FnMut(u64),
}

impl<M: Machine + Clone + Hash, O: Outside<M>> Walk<'_, M, O> {
    /// Visits a state and all that follow. Answers what is broken, with the path still in place.
    fn visit(&mut self, state: &State<M, O>, mut asleep: Vec<Transition>) -> Option<Vec<Violation>> {
        let key = state.key();
        let wanted = match self.asleep_at.get_mut(&key) {
            None => {
                self.report.states += 1;
                if self.report.states.is_multiple_of(TOLD_EVERY) {
                    (self.told)(self.report.states);
                }
                // With crashes a message may be lost with its sender, and only timers would bring it back.
                if self.setting.limits.crashes == 0 && state.is_at_rest(&self.setting) {
                    let violations = state.judge(&self.setting, true);
                    if !violations.is_empty() {
                        return Some(violations);
                    }
                }
                let mut all = state.transitions(&self.setting);
                if state.is_decided(&self.setting) {
                    // All that is left to see is that it comes to an end.
                    self.report.decided += 1;
                    asleep.clear();
                    all.truncate(1);
                }
                all.retain(|transition| !asleep.contains(transition));
                self.asleep_at.insert(key, asleep.clone());
                all
            }
            Some(left_out) => {
                let wanted: Vec<Transition> =
                    left_out.iter().copied().filter(|transition| !asleep.contains(transition)).collect();
                // From here on what sleeps is what slept both times: less asleep is never wrong.
                asleep.retain(|transition| left_out.contains(transition));
                left_out.clone_from(&asleep);
                wanted
            }
        };
        for transition in wanted {
            if self.report.states >= self.setting.limits.max_states {
                return None;
            }
            self.report.transitions += 1;
            self.path.push(transition);
            let mut next = state.clone();
            let seen = next.seen(&self.setting);
            let step = AssertUnwindSafe(|| next.take(&self.setting, transition, &mut None));
            if let Err(panic) = catch_unwind(step) {
                return Some(vec![Violation { property: "invariant", detail: words_of(panic.as_ref()) }]);
            }
            if next.seen(&self.setting) > seen {
                let violations = next.judge(&self.setting, false);
                if !violations.is_empty() {
                    return Some(violations);
                }
            }
            let still_asleep = asleep.iter().copied().filter(|other| other.is_independent(transition)).collect();
            if let Some(violations) = self.visit(&next, still_asleep) {
                return Some(violations);
            }
            self.path.pop();
            if self.setting.limits.skips_equal_orders {
                asleep.push(transition);
            }
        }
        None
    }

    /// The path once more, in words.
    fn tell_the_story(&self, violations: &[Violation]) -> Vec<Moment> {
        let mut story = Some(Tale::default());
        let mut state = State::initial(&self.setting, &mut story);
        for transition in &self.path {
            let step = AssertUnwindSafe(|| state.take(&self.setting, *transition, &mut story));
            if catch_unwind(step).is_err() {
                assert_eq!(violations[0].property, "invariant", "the path ends where it ended before");
            }
        }
        story.unwrap_or_default().moments
    }
}
