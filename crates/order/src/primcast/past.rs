//! Answers that wait until the timestamp of their message is surely in the
//! past, on every clock: the mode in which an operator states how far hardware
//! clocks may be from true time.
//!
//! A primary proposes nothing below its own clock. When the clock of whoever
//! answers has passed a message's timestamp by twice the error, true time has
//! passed it by the error, and so has every clock. What is multicast from then on
//! gets a higher timestamp, whatever its destinations: nobody has to be asked.
//!
//! A clock that so many others of the group can tell is wrong that it must be is
//! fenced: whoever has it proposes nothing, answers nobody, and hands over what
//! it leads. That somebody's clock is ahead is seen for certain by those who hear
//! its readings, however long these were on the way; that one's own is behind, in
//! the same way. So whoever sees a clock ahead says so to the one who has it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::time::Duration;

use skein_machine::{ProcessId, Stamp, Time, Up};

use super::replica::Replica;
use super::wire::Message;
use super::{Effects, Timer};
use crate::Mutant;

/// It looks again after this long at most: a clock that is set forward need not be waited for.
const LONGEST: Duration = Duration::from_millis(100);

/// Ticks after which what was said against a clock counts no more, unless it is said again.
const FORGIVEN: u32 = 5;

/// What was delivered and may not be answered yet.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Past {
    waiting: BTreeSet<Stamp>,
    is_armed: bool,
    /// Who said that this clock is ahead of its own, and how many ticks ago.
    accusers: BTreeMap<ProcessId, u32>,
}

impl Past {
    /// The user was told of a message, or of all up to it.
    pub(super) fn wait_for(&mut self, stamp: Stamp) {
        self.waiting.insert(stamp);
    }

    /// The time has come to look again.
    pub(super) fn look_again(&mut self) {
        self.is_armed = false;
    }
}

impl Replica {
    /// Releases the answers to what is surely in the past by now.
    pub(super) fn release_what_is_past(&mut self, now: Time, out: &mut Effects) {
        let Some(error) = self.settings.clock_error else { return };
        if self.past.waiting.is_empty() || self.has_wrong_clock(now) {
            return;
        }
        let wait = if self.planted.is(Mutant::PrimCastWaitsHalfAsLong) { error } else { 2 * error };
        let is_past = |stamp: &Stamp| Time::from_nanos(stamp.timestamp.0).after(wait) < now;
        let mut last = None;
        while let Some(first) = self.past.waiting.first().copied()
            && is_past(&first)
        {
            self.past.waiting.pop_first();
            last = Some(first);
        }
        if let Some(last) = last {
            out.emit_early(Up::Settled(last));
        }
        if let Some(first) = self.past.waiting.first()
            && !self.past.is_armed
        {
            self.past.is_armed = true;
            let due = Time::from_nanos(first.timestamp.0).after(wait).as_nanos();
            let left = Duration::from_nanos(due.saturating_sub(now.as_nanos()) + 1);
            out.arm(Timer::Past, left.min(LONGEST));
        }
    }

    /// Whether more of the group than may be wrong themselves can tell that this clock is.
    pub(super) fn has_wrong_clock(&self, now: Time) -> bool {
        if self.settings.clock_error.is_none() || self.planted.is(Mutant::PrimCastTrustsItsClock) {
            return false;
        }
        let may_be_wrong = self.peers.keys().count() - self.quorum();
        self.those_ahead(now).count() > may_be_wrong || self.past.accusers.len() > may_be_wrong
    }

    /// Whose clock is further ahead of this one than two errors explain. A reading is never above the clock that it
    /// was read from, however long it was on the way, so nobody is accused wrongly.
    fn those_ahead(&self, now: Time) -> impl Iterator<Item = ProcessId> {
        let limit = self.settings.clock_error.map(|error| now.after(2 * error));
        self.others().filter(move |process| limit.is_some_and(|limit| self.peers[process].reading > limit))
    }

    /// Tells those whose clock is wrong, if this one is not; a primary whose own is hands over.
    pub(super) fn mind_the_clocks(&mut self, now: Time, out: &mut Effects) {
        if self.settings.clock_error.is_none() {
            return;
        }
        let ahead: Vec<ProcessId> = self.those_ahead(now).collect();
        out.send_all(ahead, Message::Ahead);
        self.past.accusers.retain(|_, ticks| {
            *ticks += 1;
            *ticks <= FORGIVEN
        });
        self.is_fenced = self.has_wrong_clock(now);
        if self.is_fenced {
            self.retire(out);
        }
    }

    /// Somebody of the group sees that this clock is ahead of its own by more than both may err.
    pub(super) fn on_ahead(&mut self, from: ProcessId) {
        if self.settings.clock_error.is_some() {
            self.past.accusers.insert(from, 0);
        }
    }
}
