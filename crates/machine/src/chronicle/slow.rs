//! The slowest messages, kept longer than the others: of each hundredth of a
//! second the one that took longest is looked at, and if it is among the
//! slowest of its period, its story is kept whole.

use alloc::vec::Vec;
use core::time::Duration;

use super::story::Story;
use super::{BETWEEN_LOOKS, Chronicle};
use crate::Time;

/// So many of the slowest messages are kept of each period: more than anybody reads.
pub const SLOWEST: usize = 32;

/// For so long the slowest are gathered, and then kept for as long again. What was slow in the morning must not hide
/// what is slow now.
pub const PERIOD: Duration = Duration::from_secs(600);

/// The slowest messages of this period and the one before.
#[derive(Clone, Debug, Default)]
pub(super) struct Slowest {
    began: Time,
    now: Vec<Story>,
    before: Vec<Story>,
}

impl Slowest {
    /// Begins another period if it is time.
    pub(super) fn turn_the_page(&mut self, now: Time) {
        let since = now.since(self.began);
        if since < PERIOD {
            return;
        }
        self.before = core::mem::take(&mut self.now);
        if since >= PERIOD * 2 {
            self.before.clear();
        }
        self.began = now;
    }

    /// Whether one that took so long is among the slowest.
    fn wants(&self, took: Duration) -> bool {
        self.now.len() < SLOWEST || self.now.iter().any(|story| story.took() < took)
    }

    pub(super) fn keep(&mut self, story: Story) {
        if self.now.len() >= SLOWEST {
            let fastest = self.now.iter().enumerate().min_by_key(|(_, story)| story.took()).map(|(nth, _)| nth);
            self.now.swap_remove(fastest.expect("somebody is the fastest"));
        }
        self.now.push(story);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Story> {
        self.now.iter().chain(&self.before)
    }
}

impl Chronicle {
    /// The slowest of this turn is a candidate, and now and then the slowest of those is looked at.
    pub(super) fn weigh(&mut self) {
        if let Some(((round, index), number)) = self.lowest.take() {
            let heard = self.proposed_at(self.group, round, index).map_or(self.now, |step| step.when);
            let took = self.now.since(heard);
            if self.candidate.is_none_or(|(longest, _)| longest < took) {
                self.candidate = Some((took, number));
            }
        }
        if self.next_look <= self.now {
            self.look();
        }
    }

    fn look(&mut self) {
        let Some((_, number)) = self.candidate.take() else { return };
        self.next_look = self.now.after(BETWEEN_LOOKS);
        let waits = self.waits_of(number);
        self.counts.looks += 1;
        self.counts.waited = self.counts.waited.plus(waits);
        self.slowest.turn_the_page(self.now);
        if self.slowest.wants(waits.sum())
            && let Some(story) = self.story_of(number)
        {
            self.slowest.keep(story);
        }
    }

    /// The slowest messages that are remembered, the slowest first.
    pub fn slow(&mut self) -> Vec<Story> {
        self.look();
        self.slowest.turn_the_page(self.now);
        let mut stories: Vec<Story> = self.slowest.iter().cloned().collect();
        stories.sort_by_key(|story| core::cmp::Reverse(story.took()));
        stories
    }
}
