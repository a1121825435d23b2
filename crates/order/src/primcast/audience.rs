//! Who waits for a word, and hears it at once, and who can do without it for a
//! moment. A replica needs the primary's word, and that of as many others as make
//! a quorum with it; who those are follows from their places. The rest speaks for
//! the case that one of them is gone. What is said replaces what was said before,
//! so a word that waits stands for many.
//!
//! This decides when something is said, never whether: a later word is a slow link.

use core::time::Duration;

use skein_machine::{GroupId, GroupSet, Time};

use super::replica::Replica;
use super::wire::Report;
use super::{Effects, Timer};
use crate::Mutant;

/// So long a word may wait that hardly anybody waits for: longer than many turns, so that one stands for
/// many, and far shorter than it takes to notice that somebody is gone.
const LATER: Duration = Duration::from_millis(10);

/// Ticks of silence after which a group does not rely on one of its replicas any more.
const QUIET: u32 = 3;

/// What those do not know yet who can do without it.
#[derive(Clone, Debug, Default, Hash)]
pub(super) struct Unsaid {
    /// Where this replica stands.
    pub(super) report: bool,
    /// How far it holds the log.
    acknowledgements: GroupSet,
    /// The timer runs.
    is_armed: bool,
}

/// Those who wait for the word of a replica, by their places in their groups.
#[derive(Clone, Copy)]
struct Circle {
    is_everybody: bool,
    me: usize,
    leader: usize,
    size: usize,
    quorum: usize,
}

impl Replica {
    /// Tells its group, and the groups that wait for it, what has changed.
    pub(super) fn speak(&mut self, now: Time, out: &mut Effects) {
        let is_clock_awaited = core::mem::take(&mut self.is_clock_awaited);
        let mut due = core::mem::take(&mut self.acknowledge);
        if self.election.is_amnesiac() {
            return;
        }
        let report = self.report(now);
        let circle = self.circle(&report);
        let said = self.said.as_ref();
        let has_grown = said.is_none_or(|said| said.index != report.index);
        let has_moved = said.is_none_or(|said| said.has_moved(&report));
        // A clock that nobody waits for is told with the next heartbeat.
        if has_grown || (has_moved && (circle.is_everybody || is_clock_awaited)) || circle.is_owed(&self.unsaid) {
            self.say(report, |place| circle.has(place), out);
            self.unsaid.report = circle.leaves_somebody_out();
        }
        if circle.leaves_somebody_out() {
            self.unsaid.acknowledgements = self.unsaid.acknowledgements.or(due);
        } else {
            due = due.or(core::mem::take(&mut self.unsaid.acknowledgements));
        }
        for group in due.iter() {
            self.acknowledge_to(group, |place| circle.has_abroad(place), out);
        }
        let has_more = self.unsaid.report || !self.unsaid.acknowledgements.is_empty();
        if has_more && !self.unsaid.is_armed {
            self.unsaid.is_armed = true;
            out.arm(Timer::Later, LATER);
        }
    }

    /// Says what could wait, to those whom it was kept from.
    pub(super) fn speak_later(&mut self, now: Time, out: &mut Effects) {
        self.unsaid.is_armed = false;
        let new = self.report(now);
        let circle = self.circle(&new);
        if self.election.is_amnesiac() || !circle.leaves_somebody_out() {
            // Nobody can do without it any more: the end of this turn says it to all of them.
            return;
        }
        let Unsaid { report, acknowledgements, .. } = core::mem::take(&mut self.unsaid);
        let has_moved = self.said.as_ref().is_none_or(|said| said.has_moved(&new));
        if report {
            self.say(new, |place| has_moved || !circle.has(place), out);
        }
        if self.planted.is(Mutant::PrimCastForgetsWhatCanWait) {
            return;
        }
        for group in acknowledgements.iter() {
            self.acknowledge_to(group, |place| !circle.has_abroad(place), out);
        }
    }

    fn acknowledge_to(&self, group: GroupId, whom: impl Fn(usize) -> bool, out: &mut Effects) {
        let message = self.acknowledgement(group);
        let members = self.cluster.members(group).iter().enumerate();
        out.send_all(members.filter(|(place, _)| whom(*place)).map(|(_, process)| *process), message);
    }

    /// Who waits for this report. Everybody, if it tells of another epoch, or if one of the group is gone whom
    /// others may rely on.
    fn circle(&self, report: &Report) -> Circle {
        let members = self.cluster.members(self.group);
        let place_of = |process| members.iter().position(|member| *member == process).expect("it is of the group");
        let is_steady = self.said.as_ref().is_some_and(|said| said.is_of_one_reign(report));
        let misses_somebody = self.election.silences().any(|(_, ticks)| ticks > QUIET);
        let (size, quorum) = (members.len(), self.quorum());
        // Whoever belongs to every quorum is relied on by all.
        let is_everybody = !is_steady || misses_somebody || quorum == size;
        Circle { is_everybody, me: place_of(self.me), leader: place_of(self.held.leader), size, quorum }
    }
}

impl Circle {
    /// Whether the replica at this place of the group relies on the word of this one: the primary on everybody's,
    /// a follower on its own, the primary's and those of so many followers in front of it.
    fn has(&self, place: usize) -> bool {
        if self.is_everybody || [self.me, self.leader].contains(&place) || self.me == self.leader {
            return true;
        }
        let ahead = (self.turn(place) + self.size - 1 - self.turn(self.me)) % (self.size - 1);
        ahead <= self.quorum - 2
    }

    /// Whether the replica at this place of another group does: there it takes the primary's word, and those of
    /// followers in turn.
    fn has_abroad(&self, place: usize) -> bool {
        self.is_everybody || self.me == self.leader || (self.turn(self.me) + place) % (self.size - 1) < self.quorum - 1
    }

    /// Counts the followers, from the primary on.
    fn turn(&self, place: usize) -> usize {
        (place + self.size - 1 - self.leader) % self.size
    }

    fn leaves_somebody_out(&self) -> bool {
        !self.is_everybody && self.me != self.leader
    }

    /// Whether something was kept from those who wait for it by now.
    fn is_owed(&self, unsaid: &Unsaid) -> bool {
        self.is_everybody && unsaid.report
    }
}

impl Report {
    /// Whether a later report says the same of whom to follow.
    fn is_of_one_reign(&self, new: &Report) -> bool {
        (self.incarnation, self.held, self.promised, self.is_primary)
            == (new.incarnation, new.held, new.promised, new.is_primary)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    fn circle(size: usize, leader: usize, me: usize) -> Circle {
        Circle { is_everybody: false, me, leader, size, quorum: size / 2 + 1 }
    }

    /// Everybody has a quorum of words, its own among them, without waiting for anybody's later word.
    #[test]
    fn everybody_hears_a_quorum_at_once() {
        for (size, leader) in [3, 4, 5, 7].into_iter().flat_map(|size| (0..size).map(move |leader| (size, leader))) {
            let quorum = size / 2 + 1;
            for place in 0..size {
                let heard: Vec<usize> = (0..size).filter(|me| circle(size, leader, *me).has(place)).collect();
                assert!(heard.contains(&leader) && heard.contains(&place), "{place} hears {heard:?}");
                let most = if place == leader { size } else { quorum };
                assert_eq!(heard.len(), most, "{place} of {size} led by {leader} hears {heard:?}");
            }
            for place in 0..9 {
                let heard: Vec<usize> = (0..size).filter(|me| circle(size, leader, *me).has_abroad(place)).collect();
                assert!(heard.contains(&leader), "{place} hears {heard:?}");
                assert_eq!(heard.len(), quorum, "{place} abroad of {size} led by {leader} hears {heard:?}");
            }
        }
    }
}
