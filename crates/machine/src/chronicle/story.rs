//! [`Story`]: how one message has got on, as one replica saw it, put together
//! from a [`Chronicle`] when somebody asks. It names what was waited for. Of a
//! message that is not delivered, its machine says what is missing ([`Outlook`]).

use alloc::vec::Vec;
use core::time::Duration;

use super::{Chronicle, EpochChange, Place, Step, Told, first_that};
use crate::{GroupId, MessageId, ProcessId, SessionId, Time, Timestamp};

/// So many deliveries of the same turn are looked at to find the one that held up the others.
const LOOKS_BACK: u64 = 256;

/// What a machine knows of a message that it has not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outlook {
    /// The message.
    pub id: MessageId,
    /// Who has sent it, if that is known here.
    pub sender: Option<ProcessId>,
    /// Where it was proposed, as far as it was.
    pub places: Vec<Place>,
    /// The final timestamp, once it is known.
    pub timestamp: Option<Timestamp>,
    /// What it waits for.
    pub wants: Vec<Want>,
}

/// What a message waits for that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Somebody has to say what became of it: it concerns other groups than the own one.
    Outcome,
    /// A group has to propose it.
    Proposal(GroupId),
    /// One more of these has to hold it, or several, before a majority of the group does.
    Majority(GroupId, Vec<ProcessId>),
    /// The own group has to agree on a primary.
    Primary,
    /// The primary's clock has to pass its timestamp.
    PrimaryClock(ProcessId),
    /// One more of these has to let its clock pass the timestamp, or several.
    Clocks(Vec<ProcessId>),
    /// This message goes first, or may.
    Turn(MessageId),
}

/// What a message has waited for that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// For this group to propose it.
    Proposal(GroupId),
    /// For a majority of this group to hold it. It was complete with this process.
    Majority(GroupId, ProcessId),
    /// For the clock of its primary to pass the timestamp.
    PrimaryClock(ProcessId),
    /// For the clocks of a majority. It was complete with this process.
    Clocks(ProcessId),
    /// For this message, which went first.
    Turn(MessageId),
    /// For the epoch to begin in which it was delivered.
    Epoch(ProcessId),
    /// For something that nobody remembers.
    Unknown,
}

/// For how long a message has waited for what: one after the other, so that together they are all of its time here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waits {
    /// For all of its groups to propose it.
    pub proposals: Duration,
    /// For a majority of each of them to hold it.
    pub majorities: Duration,
    /// For clocks to pass its timestamp,
    pub clocks: Duration,
    /// and then for other messages to go first. The last two are the convoy.
    pub turn: Duration,
}

impl Waits {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Waits) -> Waits {
        Waits {
            proposals: self.proposals.saturating_add(other.proposals),
            majorities: self.majorities.saturating_add(other.majorities),
            clocks: self.clocks.saturating_add(other.clocks),
            turn: self.turn.saturating_add(other.turn),
        }
    }

    /// All of them.
    pub fn sum(self) -> Duration {
        self.proposals + self.majorities + self.clocks + self.turn
    }
}

/// When something came about, and through whom.
pub type Reached = (Time, ProcessId);

/// What one group did about a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chapter {
    /// The group.
    pub group: GroupId,
    /// What it proposed, if it did.
    pub place: Option<Place>,
    /// When that was heard of, and from whom.
    pub proposed: Option<Reached>,
    /// When each of its replicas said that it holds it, as far as they said so.
    pub held: Vec<(ProcessId, Option<Time>)>,
    /// When they were a majority, and who was the last of it.
    pub decided: Option<Reached>,
}

/// How one message has got on, as one replica saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Story {
    /// The message.
    pub id: MessageId,
    /// The replica.
    pub at: ProcessId,
    /// When this is told.
    pub told: Time,
    /// When a client asked for it here, if one did.
    pub asked: Option<Time>,
    /// Who has sent it, as far as that is known here: a primary knows.
    pub sender: Option<ProcessId>,
    /// What each of its groups did.
    pub chapters: Vec<Chapter>,
    /// The final timestamp.
    pub timestamp: Option<Timestamp>,
    /// When the clock of the primary had passed it, and who is that. A primary itself is never behind.
    pub primary_clock: Option<Reached>,
    /// When the clocks of a majority had, and who was the last of it.
    pub clocks: Option<Reached>,
    /// When it was delivered here.
    pub delivered: Option<Time>,
    /// The message that held it up when nothing else did.
    pub behind: Option<MessageId>,
    /// Epochs that began meanwhile.
    pub epochs: Vec<EpochChange>,
    /// For how long it waited for what.
    pub waits: Waits,
    /// What it still waits for.
    pub wants: Vec<Want>,
}

/// The moments of a message that was delivered: when it was heard of, when the last proposal had come, when the last
/// majority held it, when clocks had passed it.
struct Moments {
    heard: Time,
    proposed: Time,
    decided: Time,
    clocks: Time,
}

impl Story {
    /// When this replica first heard of it.
    pub fn heard(&self) -> Option<Time> {
        let proposed = self.chapters.iter().filter_map(|chapter| chapter.proposed).map(|(when, _)| when);
        proposed.chain(self.asked).min()
    }

    /// How long it took, or takes already, since it was heard of here.
    pub fn took(&self) -> Duration {
        let end = self.delivered.unwrap_or(self.told);
        end.since(self.heard().unwrap_or(end))
    }

    /// What it has waited for longest.
    pub fn longest(&self) -> (Wait, Duration) {
        let Waits { proposals, majorities, clocks, turn } = self.waits;
        let longest = [proposals, majorities, clocks, turn].into_iter().max().unwrap_or_default();
        let last = |moment: fn(&Chapter) -> Option<Reached>| {
            let chapters = self.chapters.iter().filter_map(|chapter| Some((moment(chapter)?, chapter.group)));
            chapters.max_by_key(|((when, _), _)| *when)
        };
        let wait = if proposals == longest {
            last(|chapter| chapter.proposed).map(|(_, group)| Wait::Proposal(group))
        } else if majorities == longest {
            last(|chapter| chapter.decided).map(|((_, process), group)| Wait::Majority(group, process))
        } else if clocks == longest {
            let primary = self.primary_clock.filter(|(when, _)| self.clocks.is_none_or(|(other, _)| other < *when));
            let majority = self.clocks.map(|(_, process)| Wait::Clocks(process));
            primary.map(|(_, process)| Wait::PrimaryClock(process)).or(majority)
        } else {
            self.behind.map(Wait::Turn)
        };
        let epoch = self.epochs.last().map(|epoch| Wait::Epoch(epoch.leader));
        (wait.or(epoch).unwrap_or(Wait::Unknown), longest)
    }
}

impl Chronicle {
    /// The story of a message, if this replica remembers it. What is not delivered is known by the machine alone.
    pub fn story(&self, session: SessionId, sequence: u64, outlook: Option<Outlook>) -> Option<Story> {
        let is_it = |id: MessageId| (id.session, id.sequence) == (session, sequence);
        if let Some((number, _)) = self.told.backwards().find(|(_, told)| is_it(told.id)) {
            return self.story_of(number);
        }
        let kept = self.slowest.iter().find(|story| is_it(story.id));
        kept.cloned().or_else(|| outlook.map(|outlook| self.story_so_far(outlook)))
    }

    /// The oldest delivery that this replica surely remembers, and how many there are.
    pub fn remembers(&self) -> (Option<Time>, u64) {
        let first = self.told.first();
        (self.told.get(first).map(|told| told.when), self.told.next() - first)
    }

    fn story_so_far(&self, outlook: Outlook) -> Story {
        let Outlook { id, sender, places, timestamp, wants } = outlook;
        let chapters = self.chapters(id, &places);
        let leader = chapters.iter().find(|chapter| chapter.group == self.group).and_then(|chapter| chapter.proposed);
        let passed = |timestamp| self.clocks_pass(timestamp, leader.map(|(_, leader)| leader));
        let (primary_clock, clocks) = timestamp.map(passed).unwrap_or_default();
        let mut story = Story {
            id,
            at: self.me,
            told: self.now,
            asked: self.asked_at(id),
            sender,
            chapters,
            timestamp,
            primary_clock,
            clocks,
            delivered: None,
            behind: None,
            epochs: Vec::new(),
            waits: Waits::default(),
            wants,
        };
        story.epochs = self.epochs_since(story.heard().unwrap_or(self.now), self.now);
        story
    }

    /// The story of a delivery, by its number.
    pub(super) fn story_of(&self, number: u64) -> Option<Story> {
        let told = self.told.get(number)?;
        let places: Vec<Place> = self.places_of(told).collect();
        let chapters = self.chapters(told.id, &places);
        let (primary_clock, clocks) = self.clocks_pass(told.timestamp, self.leader_of(told));
        let moments = self.moments(told);
        let waits = moments.waits(told.when);
        Some(Story {
            id: told.id,
            at: self.me,
            told: self.now,
            asked: self.asked_at(told.id),
            sender: told.sender,
            chapters,
            timestamp: Some(told.timestamp),
            primary_clock,
            clocks,
            delivered: Some(told.when),
            behind: if waits.turn.is_zero() { None } else { self.who_held_up(number, moments.clocks) },
            epochs: self.epochs_since(moments.heard, told.when),
            waits,
            wants: Vec::new(),
        })
    }

    pub(super) fn waits_of(&self, number: u64) -> Waits {
        self.told.get(number).map_or(Waits::default(), |told| self.moments(told).waits(told.when))
    }

    pub(super) fn places_of(&self, told: &Told) -> impl Iterator<Item = Place> {
        let numbers = told.places..told.places + u64::from(told.count);
        let others = numbers.filter_map(|number| self.places.get(number).copied());
        core::iter::once(told.own).chain(others)
    }

    /// When the log of a group was first seen to be proposed up to a place.
    pub(super) fn proposed_at(&self, group: GroupId, round: u32, index: u64) -> Option<&Step> {
        first_that(&self.proposed[group.index()], |step| (step.round, step.index) >= (round, index))
    }

    fn asked_at(&self, id: MessageId) -> Option<Time> {
        let mut asked = self.asked.backwards().map(|(_, asked)| asked);
        // A client may ask again: the first time counts, and it is not far from the last.
        let last = asked.find(|asked| (asked.session, asked.sequence) == (id.session, id.sequence))?;
        let first = asked.filter(|asked| (asked.session, asked.sequence) == (id.session, id.sequence)).last();
        Some(first.unwrap_or(last).when)
    }

    /// When so many of a group's replicas were first so far as this says, and who was the last of them.
    fn reached(&self, group: GroupId, is_so: impl Fn(&Step) -> bool) -> Option<Reached> {
        let members = self.cluster.members(group).iter();
        let reached = |process: &ProcessId| first_that(&self.held[usize::from(process.0)], &is_so);
        let mut moments: Vec<Reached> =
            members.filter_map(|process| reached(process).map(|step| (step.when, *process))).collect();
        moments.sort_unstable();
        moments.get(self.cluster.quorum(group) - 1).copied()
    }

    fn chapters(&self, id: MessageId, places: &[Place]) -> Vec<Chapter> {
        let chapter = |group: GroupId| {
            let place = places.iter().find(|place| place.group == group).copied();
            let key = place.map(|place| (place.round, place.index));
            let proposed = key.and_then(|(round, index)| self.proposed_at(group, round, index));
            let holds = |process: &ProcessId| {
                let trail = &self.held[usize::from(process.0)];
                let step = key.and_then(|key| first_that(trail, |step| (step.round, step.index) >= key));
                (*process, step.map(|step| step.when))
            };
            Chapter {
                group,
                place,
                proposed: proposed.map(|step| (step.when, step.from)),
                held: self.cluster.members(group).iter().map(holds).collect(),
                decided: key.and_then(|key| self.reached(group, |step| (step.round, step.index) >= key)),
            }
        };
        id.destinations.iter().map(chapter).collect()
    }

    /// Who led the own group when it proposed a message.
    fn leader_of(&self, told: &Told) -> Option<ProcessId> {
        self.proposed_at(self.group, told.own.round, told.own.index).map(|step| step.from)
    }

    /// When the clocks of the primary, and of a majority, had passed a timestamp.
    fn clocks_pass(&self, timestamp: Timestamp, leader: Option<ProcessId>) -> (Option<Reached>, Option<Reached>) {
        let has_passed = |step: &Step| step.clock >= timestamp;
        let of_leader = leader.filter(|leader| *leader != self.me).and_then(|leader| {
            // What it has proposed says as much of its clock as what it has reported.
            let proposed = first_that(&self.proposed[self.group.index()], has_passed);
            let reported = first_that(&self.held[usize::from(leader.0)], has_passed);
            let first = proposed.into_iter().chain(reported).map(|step| step.when).min();
            first.map(|when| (when, leader))
        });
        (of_leader, self.reached(self.group, has_passed))
    }

    fn moments(&self, told: &Told) -> Moments {
        let mut first = self.asked_at(told.id).unwrap_or(told.when);
        let (mut proposed, mut decided) = (Time::ZERO, Time::ZERO);
        for place in self.places_of(told) {
            let key = (place.round, place.index);
            if let Some(step) = self.proposed_at(place.group, place.round, place.index) {
                (first, proposed) = (first.min(step.when), proposed.max(step.when));
            }
            if let Some((when, _)) = self.reached(place.group, |step| (step.round, step.index) >= key) {
                decided = decided.max(when);
            }
        }
        let (primary, majority) = self.clocks_pass(told.timestamp, self.leader_of(told));
        let clocks = primary.into_iter().chain(majority).map(|(when, _)| when).max().unwrap_or_default();
        // Each of them ends before the delivery, and no wait is counted twice.
        let proposed = proposed.clamp(first, told.when);
        let decided = decided.clamp(proposed, told.when);
        Moments { heard: first, proposed, decided, clocks: clocks.clamp(decided, told.when) }
    }

    /// The message before this one, in the same turn, that could be delivered last: the others waited for it.
    fn who_held_up(&self, number: u64, since: Time) -> Option<MessageId> {
        let when = self.told.get(number)?.when;
        let before = (number.saturating_sub(LOOKS_BACK)..number).rev().map_while(|number| self.told.get(number));
        let together = before.take_while(|told| told.when == when);
        let latest = together.map(|told| (self.moments(told).clocks, told.id)).reduce(|latest, other| {
            // Of several the nearest.
            if latest.0 < other.0 { other } else { latest }
        });
        latest.filter(|(clocks, _)| *clocks > since).map(|(_, id)| id)
    }

    fn epochs_since(&self, from: Time, to: Time) -> Vec<EpochChange> {
        let epochs = self.epochs.backwards().map(|(_, epoch)| *epoch);
        let mut meanwhile: Vec<EpochChange> = epochs.filter(|epoch| from < epoch.when && epoch.when <= to).collect();
        meanwhile.reverse();
        meanwhile
    }
}

impl Moments {
    fn waits(&self, delivered: Time) -> Waits {
        Waits {
            proposals: self.proposed.since(self.heard),
            majorities: self.decided.since(self.proposed),
            clocks: self.clocks.since(self.decided),
            turn: delivered.since(self.clocks),
        }
    }
}
