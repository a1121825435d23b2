//! [`Chronicle`]: what a machine notes of the messages that it orders, for
//! those who want to see inside. It lies beside the effects in [`Out`], where
//! the host has put it, so it is no part of any machine's state: nothing that a
//! machine does depends on it, and a simulated world has none.
//!
//! A message is not noted at each of its steps. Logs grow in order, so it is
//! enough to note how far each process holds its group's log, once for a whole
//! batch of messages; when a message was proposed, and when a majority held it,
//! follows from its places in the logs. Those are noted when it is delivered.
//! Rows of plain numbers in rings: nothing is allocated on the way, and what is
//! oldest goes first. See docs/decisions/0021-how-messages-are-explained.md.
//!
//! [`Out`]: crate::Out

mod ring;
mod slow;
mod story;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use self::ring::Ring;
use self::slow::Slowest;
use crate::{Cluster, GroupId, MessageId, ProcessId, SessionId, Stamp, Time, Timestamp};

pub use slow::{PERIOD, SLOWEST};
pub use story::{Chapter, Outlook, Reached, Story, Wait, Waits, Want};

/// So many deliveries are remembered at each replica. At ten messages a second that is seven minutes, time enough to
/// ask; of a loaded replica it is the last tenth of a second, where one message's story is like the next one's. With
/// the places in other logs, half a megabyte.
pub const MESSAGES: usize = 1 << 12;

/// So many places in the logs of other groups: most messages go to one or two groups.
pub const PLACES: usize = 2 * MESSAGES;

/// So many times is it remembered how one process has got on, or one log. A message alone on its way makes a process
/// speak once or twice; under load one word stands for many messages. 128 kilobytes for a process that speaks.
pub const STEPS: usize = 1 << 12;

/// So many messages that clients have asked for here.
pub const ASKED: usize = 1 << 12;

/// So many changes of the own group's epoch.
pub const EPOCHS: usize = 1 << 6;

/// The slowest message of so much time is looked at closely: often enough to miss no slow moment, seldom enough to
/// cost nothing.
const BETWEEN_LOOKS: Duration = Duration::from_millis(10);

/// Where a message stands in the log of one of its groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The group.
    pub group: GroupId,
    /// Counts the epochs of the group: in which of them it was proposed there.
    pub round: u32,
    /// Its place in the log.
    pub index: u64,
    /// The timestamp that the group has proposed.
    pub timestamp: Timestamp,
}

/// How far a process, or the log of a group, had come.
#[derive(Clone, Copy, Debug)]
struct Step {
    when: Time,
    index: u64,
    clock: Timestamp,
    round: u32,
    /// Who said so.
    from: ProcessId,
}

/// How one process, or one log, has got on.
type Trail = Ring<Step, STEPS>;

/// A message that a client has asked for here.
#[derive(Clone, Copy, Debug)]
struct Asked {
    session: SessionId,
    sequence: u64,
    when: Time,
}

/// A message that was delivered here.
#[derive(Clone, Copy, Debug)]
struct Told {
    id: MessageId,
    timestamp: Timestamp,
    when: Time,
    /// Where it stands in the own log.
    own: Place,
    /// The number of the first of its places in other logs,
    places: u64,
    /// and how many there are.
    count: u8,
    /// Who has sent it, as far as the primary knows.
    sender: Option<ProcessId>,
}

/// The replica's group holds another epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochChange {
    /// When it did here.
    pub when: Time,
    /// Counts the epochs.
    pub round: u32,
    /// Who leads it.
    pub leader: ProcessId,
}

/// What was counted since the replica started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages that clients have asked for here.
    pub multicasts: u64,
    /// Messages that were delivered here.
    pub deliveries: u64,
    /// Other epochs that the group has come to hold.
    pub epoch_changes: u64,
    /// Messages that were looked at closely,
    pub looks: u64,
    /// and what all of them together have waited for.
    pub waited: Waits,
}

/// What one replica remembers of how messages have got on.
#[derive(Clone, Debug)]
pub struct Chronicle {
    me: ProcessId,
    group: GroupId,
    cluster: Arc<Cluster>,
    /// The moment at which everything happens that is noted now.
    now: Time,
    /// How far the log of each group was seen to be proposed.
    proposed: Vec<Trail>,
    /// How far each process has said that it holds its group's log, durably.
    held: Vec<Trail>,
    asked: Ring<Asked, ASKED>,
    told: Ring<Told, MESSAGES>,
    /// Places in the logs of other groups.
    places: Ring<Place, PLACES>,
    epochs: Ring<EpochChange, EPOCHS>,
    counts: Counts,
    /// Of the deliveries of this turn, the one whose place in the own log is the lowest: it was heard of first.
    lowest: Option<((u32, u64), u64)>,
    /// The slowest delivery since the last look.
    candidate: Option<(Duration, u64)>,
    next_look: Time,
    slowest: Slowest,
}

impl Chronicle {
    /// Nothing is noted yet of what this replica sees.
    pub fn new(me: ProcessId, cluster: Arc<Cluster>) -> Chronicle {
        let group = cluster.group_of(me).expect("whoever keeps a chronicle is in a group");
        let processes = cluster.processes().map(|process| usize::from(process.0) + 1).max().unwrap_or(0);
        Chronicle {
            me,
            group,
            now: Time::ZERO,
            proposed: cluster.groups().iter().map(|_| Trail::new()).collect(),
            held: (0..processes).map(|_| Trail::new()).collect(),
            cluster,
            asked: Ring::new(),
            told: Ring::new(),
            places: Ring::new(),
            epochs: Ring::new(),
            counts: Counts::default(),
            lowest: None,
            candidate: None,
            next_look: Time::ZERO,
            slowest: Slowest::default(),
        }
    }

    /// Time goes on: what is noted from now on happens at this moment. The host gives one that never falls.
    pub fn set_now(&mut self, now: Time) {
        self.now = now;
    }

    /// What was counted so far.
    pub fn counts(&self) -> Counts {
        Counts { deliveries: self.told.next(), ..self.counts }
    }

    // ---- What machines note.

    /// A client has asked for a message here.
    pub fn asks(&mut self, id: MessageId) {
        self.counts.multicasts += 1;
        self.asked.push(Asked { session: id.session, sequence: id.sequence, when: self.now });
    }

    /// The log of a group was seen to be proposed by `from` up to a place, whose timestamp is this.
    pub fn proposed(&mut self, group: GroupId, from: ProcessId, round: u32, index: u64, clock: Timestamp) {
        let step = Step { when: self.now, index, clock, round, from };
        note(&mut self.proposed[group.index()], step);
    }

    /// A process has said up to where it holds the log of its group, and how far its clock is, if it said that.
    pub fn holds(&mut self, from: ProcessId, round: u32, index: u64, clock: Timestamp) {
        let step = Step { when: self.now, index, clock, round, from };
        note(&mut self.held[usize::from(from.0)], step);
    }

    /// The own group holds this epoch, perhaps since long ago.
    pub fn epoch(&mut self, round: u32, leader: ProcessId) {
        let last = self.epochs.last().map(|last| (last.round, last.leader));
        if last == Some((round, leader)) {
            return;
        }
        // The first one is no change: the replica has just begun to look.
        self.counts.epoch_changes += u64::from(last.is_some());
        self.epochs.push(EpochChange { when: self.now, round, leader });
    }

    /// A message is delivered; so it stands in the own log and in those of other groups, as far as that is known.
    pub fn delivered(
        &mut self,
        stamp: Stamp,
        sender: Option<ProcessId>,
        own: Place,
        others: impl Iterator<Item = Place>,
    ) {
        let (number, first) = (self.told.next(), self.places.next());
        others.for_each(|place| self.places.push(place));
        let count = (self.places.next() - first) as u8;
        let Stamp { timestamp, id } = stamp;
        self.told.push(Told { id, timestamp, when: self.now, own, places: first, count, sender });
        let place = (own.round, own.index);
        if self.lowest.is_none_or(|(lowest, _)| place < lowest) {
            self.lowest = Some((place, number));
        }
    }

    /// A turn is over.
    pub fn end_turn(&mut self) {
        if self.lowest.is_some() || self.candidate.is_some() {
            self.weigh();
        }
    }
}

/// Notes a step, if it is one.
fn note(trail: &mut Trail, mut step: Step) {
    if let Some(last) = trail.last_mut() {
        let is_forward = (last.round, last.index) < (step.round, step.index) || last.clock < step.clock;
        // What is said of an earlier epoch was said before it ended.
        if step.round < last.round || !is_forward {
            return;
        }
        step.clock = step.clock.max(last.clock);
        if step.round == last.round {
            step.index = step.index.max(last.index);
            if step.when == last.when {
                *last = step;
                return;
            }
        }
    }
    trail.push(step);
}

/// When something was first so on a trail, unless that is forgotten.
fn first_that(trail: &Trail, is_so: impl Fn(&Step) -> bool) -> Option<&Step> {
    let (number, step) = trail.first_that(is_so)?;
    // What comes before the oldest step may have been so as well.
    (number > trail.first() || !trail.has_forgotten()).then_some(step)
}
