//! The workload: sessions that multicast through some process to random sets
//! of groups, in their own order, and behave as badly as real clients do. They
//! change their entry, ask again when no answer comes, and die half-way. One
//! that is told that a message came too late ends too.
//!
//! A session pipelines only messages with one and the same destination set.
//! Before it changes the set it waits for the deliveries, and carries the
//! highest final timestamp that it has seen as the floor of what follows.

use std::collections::VecDeque;
use std::sync::Arc;

use skein_machine::{
    Cluster, ClusterError, Down, GroupSet, MessageId, Multicast, Ordering, ProcessId, Random, SessionId, Timestamp,
};

use crate::{History, MILLISECOND, Nanos, SECOND, World};

/// How many messages of one session may be on the way at once.
const PIPELINE: usize = 4;

/// How many sessions live at once. With all of them waiting, the load waits too.
const SESSIONS: usize = 64;

/// How long a session waits before it asks again, at first.
const PATIENCE: Nanos = 2 * SECOND;

/// What is asked of a cluster.
#[derive(Clone, Debug)]
pub struct Load {
    /// Multicasts in a virtual second, over all sessions.
    pub per_second: f64,
    /// To which sets of groups.
    pub mix: Mix,
    /// Payload bytes: from one up to this many.
    pub payload: usize,
    /// Messages expire this many timestamps above the floor of their session; `None`: never.
    pub expiry: Option<u64>,
    /// Whether sessions ask again when no answer comes, and sometimes die.
    pub misbehaves: bool,
    /// Whether replicas are asked, now and then, to pass a timestamp that lies ahead, and must say when they have.
    pub readers: bool,
    /// Whether replicas are asked, now and then, for a point to read at.
    pub asks_for_read_points: bool,
}

/// Destination sets, each with a weight.
#[derive(Clone, Debug)]
pub struct Mix {
    sets: Vec<(GroupSet, f64)>,
    total: f64,
}

impl Mix {
    /// Sets of this cluster with their weights.
    pub fn new(cluster: &Cluster, sets: Vec<(GroupSet, f64)>) -> Result<Mix, ClusterError> {
        for (set, _) in &sets {
            if set.is_empty() {
                return Err(ClusterError::NoDestination);
            }
            cluster.check_groups(*set)?;
        }
        let total = sets.iter().map(|(_, weight)| weight).sum();
        Ok(Mix { sets, total })
    }

    /// Half to one group and half to two, with a skew: group 0 is chosen most often.
    pub fn usual(cluster: &Cluster) -> Mix {
        let groups: Vec<_> = cluster.groups().iter().collect();
        let weight = |index: usize| 1.0 / (1.0 + index as f64).sqrt();
        let mut sets = Vec::new();
        let mut pairs = Vec::new();
        for (a, &first) in groups.iter().enumerate() {
            sets.push(([first].into_iter().collect::<GroupSet>(), weight(a)));
            for (b, &second) in groups.iter().enumerate().skip(a + 1) {
                pairs.push(([first, second].into_iter().collect::<GroupSet>(), weight(a) * weight(b)));
            }
        }
        // Each half sums to one.
        for half in [&mut sets, &mut pairs] {
            let sum: f64 = half.iter().map(|(_, weight)| weight).sum();
            half.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        sets.extend(pairs);
        let total = sets.iter().map(|(_, weight)| weight).sum();
        Mix { sets, total }
    }

    /// One of the sets, by their weights.
    pub fn draw(&self, random: &mut Random) -> GroupSet {
        let mut left = random.fraction() * self.total;
        for (set, weight) in &self.sets {
            left -= weight;
            if left < 0.0 {
                return *set;
            }
        }
        self.sets.last().expect("a mix has a set").0
    }
}

/// All sessions of a run.
pub(crate) struct Sessions {
    load: Load,
    random: Random,
    entries: Vec<ProcessId>,
    living: Vec<Session>,
    next_session: u64,
    is_closing: bool,
    /// Answers on their way to a session.
    answers: Vec<Option<(MessageId, Timestamp)>>,
    /// What a client hears that asks for the time: the highest timestamp that some replica has passed.
    newest: Timestamp,
    pub(crate) multicasts: u64,
}

struct Session {
    id: SessionId,
    entry: ProcessId,
    /// Where it has asked for everything that is open: which process, in which of its lives. A process that
    /// was restarted, or another one, does not know what comes before the next message.
    asked: Option<(ProcessId, u32)>,
    next_sequence: u64,
    floor: Timestamp,
    /// What was sent and not answered, in order, all to one set.
    open: VecDeque<Open>,
}

struct Open {
    message: Multicast,
    asked_at: Nanos,
    tries: u32,
}

/// What a session wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Alarm {
    /// The next multicast is due.
    Tick,
    /// An answer arrives at its session.
    Answer(u32),
    /// Sessions look whether an answer is overdue.
    Impatience,
}

impl Sessions {
    pub(crate) fn new(load: Load, cluster: &Arc<Cluster>, random: Random) -> Sessions {
        Sessions {
            load,
            random,
            entries: cluster.processes().collect(),
            living: Vec::new(),
            next_session: 1,
            is_closing: false,
            answers: Vec::new(),
            newest: Timestamp::ZERO,
            multicasts: 0,
        }
    }

    /// No new messages from now on; what is open is still asked for.
    pub(crate) fn close(&mut self) {
        self.is_closing = true;
    }

    /// Whether some session waits for an answer.
    pub(crate) fn is_waiting(&self) -> bool {
        self.living.iter().any(|session| !session.open.is_empty())
    }

    pub(crate) fn first_alarms(&mut self) -> [(Nanos, Alarm); 2] {
        [(self.pause(), Alarm::Tick), (PATIENCE, Alarm::Impatience)]
    }

    /// Does what is due and answers what comes next.
    pub(crate) fn wake<M: Ordering>(
        &mut self,
        alarm: Alarm,
        world: &mut World<M>,
        history: &mut History,
    ) -> Option<(Nanos, Alarm)> {
        match alarm {
            Alarm::Tick => {
                if self.is_closing {
                    return None;
                }
                self.tick(world, history);
                Some((world.now() + self.pause(), Alarm::Tick))
            }
            Alarm::Answer(number) => {
                self.answer(number);
                None
            }
            Alarm::Impatience => {
                if self.load.misbehaves {
                    self.ask_again(world, history);
                }
                Some((world.now() + 250 * MILLISECOND, Alarm::Impatience))
            }
        }
    }

    /// A replica delivered a message, or says that others have; its session hears of it a little later, or at once.
    pub(crate) fn heard(&mut self, now: Nanos, id: MessageId, timestamp: Timestamp) -> Option<(Nanos, Alarm)> {
        self.passed(timestamp);
        let waits = |session: &Session| session.open.iter().any(|open| open.message.id == id);
        if !self.living.iter().any(|session| session.id == id.session && waits(session)) {
            return None;
        }
        self.answers.push(Some((id, timestamp)));
        let delay = if self.random.chance(0.5) { 0 } else { self.random.below(2 * MILLISECOND) };
        Some((now + delay, Alarm::Answer(self.answers.len() as u32 - 1)))
    }

    /// Somewhere everything up to this timestamp has been delivered.
    pub(crate) fn passed(&mut self, timestamp: Timestamp) {
        self.newest = self.newest.max(timestamp);
    }

    /// The entry had no room: the message has no effect, and its session asks again later.
    pub(crate) fn turned_away(&mut self, now: Nanos, id: MessageId) {
        for open in self.living.iter_mut().flat_map(|session| &mut session.open) {
            if open.message.id == id {
                open.asked_at = now;
            }
        }
    }

    /// A process said that a message came too late. Nothing that its session asks for will be accepted, so it
    /// ends, and another one takes its place when there is something to send.
    pub(crate) fn expired(&mut self, id: MessageId, history: &mut History) {
        if let Some(nth) = self.living.iter().position(|session| session.id == id.session) {
            self.end(nth, history);
        }
    }

    fn tick<M: Ordering>(&mut self, world: &mut World<M>, history: &mut History) {
        if self.load.misbehaves && self.random.chance(0.02) {
            self.kill_one(history);
        }
        let set = self.load.mix.draw(&mut self.random);
        let can_send = |session: &Session| match session.open.back() {
            None => true,
            Some(open) => open.message.id.destinations == set && session.open.len() < PIPELINE,
        };
        let ready: Vec<usize> = (0..self.living.len()).filter(|nth| can_send(&self.living[*nth])).collect();
        let few = self.living.len() < 4;
        let nth = if ready.is_empty() || few {
            if self.living.len() == SESSIONS {
                return;
            }
            let entry = *self.random.pick(&self.entries);
            let id = SessionId(self.next_session);
            self.next_session += 1;
            let session =
                Session { id, entry, asked: None, next_sequence: 1, floor: self.first_floor(), open: VecDeque::new() };
            self.living.push(session);
            self.living.len() - 1
        } else {
            *self.random.pick(&ready)
        };

        let payload = self.random.between(1, self.load.payload.max(1) as u64) as usize;
        // Letters, because traces show them.
        let fill = self.random.word().to_le_bytes().map(|byte| b'a' + byte % 26);
        let session = &mut self.living[nth];
        // Between two messages a session may go through another process.
        if session.open.is_empty() && self.random.chance(0.2) {
            session.entry = *self.random.pick(&self.entries);
        }
        let message = Multicast {
            id: MessageId { session: session.id, sequence: session.next_sequence, destinations: set },
            floor: session.floor,
            expiry: self.load.expiry.map_or(Timestamp::MAX, |span| Timestamp(session.floor.0.saturating_add(span))),
            payload: fill.iter().copied().cycle().take(payload).collect::<Vec<u8>>().into(),
        };
        session.next_sequence += 1;
        session.open.push_back(Open { message: message.clone(), asked_at: world.now(), tries: 1 });
        self.multicasts += 1;
        let Some(entry) = self.living_entry(nth, world) else {
            // Nobody is up. The session will ask again; it counts from the moment it wanted.
            history.multicast(world.now(), self.living[nth].entry, &message);
            return;
        };
        if self.living[nth].asked == world.life(entry).map(|life| (entry, life)) {
            ask(entry, &message, world, history);
        } else {
            self.ask_for_everything(nth, entry, world, history);
        }
    }

    /// The entry of a session, changed for one that is up if need be.
    fn living_entry<M: Ordering>(&mut self, nth: usize, world: &World<M>) -> Option<ProcessId> {
        if !world.is_up(self.living[nth].entry) {
            let up: Vec<ProcessId> = self.entries.iter().copied().filter(|entry| world.is_up(*entry)).collect();
            if up.is_empty() {
                return None;
            }
            self.living[nth].entry = *self.random.pick(&up);
        }
        Some(self.living[nth].entry)
    }

    fn answer(&mut self, number: u32) {
        let Some((id, timestamp)) = self.answers[number as usize].take() else { return };
        if let Some(session) = self.living.iter_mut().find(|session| session.id == id.session) {
            session.open.retain(|open| open.message.id != id);
            session.floor = session.floor.max(timestamp);
        }
    }

    /// Sessions whose oldest message is overdue ask for everything again, in order, often elsewhere.
    fn ask_again<M: Ordering>(&mut self, world: &mut World<M>, history: &mut History) {
        for nth in 0..self.living.len() {
            let now = world.now();
            let session = &self.living[nth];
            let Some(oldest) = session.open.front() else { continue };
            let entry_died = !world.is_up(session.entry);
            let patience = PATIENCE << oldest.tries.min(3);
            if !entry_died && now - oldest.asked_at < patience {
                continue;
            }
            if self.random.chance(0.5) {
                self.living[nth].entry = *self.random.pick(&self.entries);
            }
            let Some(entry) = self.living_entry(nth, world) else { continue };
            self.ask_for_everything(nth, entry, world, history);
        }
    }

    /// Asks for everything that is open, in order.
    fn ask_for_everything<M: Ordering>(
        &mut self,
        nth: usize,
        entry: ProcessId,
        world: &mut World<M>,
        history: &mut History,
    ) {
        let session = &mut self.living[nth];
        session.asked = world.life(entry).map(|life| (entry, life));
        let mut messages = Vec::new();
        for open in &mut session.open {
            open.tries += u32::from(open.asked_at < world.now());
            open.asked_at = world.now();
            messages.push(open.message.clone());
        }
        for message in messages {
            ask(entry, &message, world, history);
        }
    }

    /// A session dies: whatever it had open may be delivered or not.
    fn kill_one(&mut self, history: &mut History) {
        if self.living.is_empty() {
            return;
        }
        let nth = self.random.below(self.living.len() as u64) as usize;
        self.end(nth, history);
    }

    fn end(&mut self, nth: usize, history: &mut History) {
        let dead = self.living.swap_remove(nth);
        for open in dead.open {
            history.give_up(open.message.id);
        }
    }

    /// Where messages expire, a client asks for the time before it begins: it would be too late from the start.
    fn first_floor(&self) -> Timestamp {
        if self.load.expiry.is_some() { self.newest } else { Timestamp::ZERO }
    }

    /// Until the next multicast: exponential, as independent clients are together.
    fn pause(&mut self) -> Nanos {
        let seconds = -(1.0 - self.random.fraction()).ln() / self.load.per_second;
        (seconds * SECOND as f64) as Nanos
    }
}

fn ask<M: Ordering>(entry: ProcessId, message: &Multicast, world: &mut World<M>, history: &mut History) {
    history.multicast(world.now(), entry, message);
    let accepted = world.command(entry, Down::Multicast(message.clone()));
    assert!(accepted, "{entry} was chosen because it is up");
}

#[cfg(test)]
mod tests {
    use super::*;
    use skein_machine::GroupId;

    #[test]
    fn half_of_the_usual_mix_goes_to_two_groups() {
        let cluster = Cluster::regular(4, 3, 0).unwrap();
        let mix = Mix::usual(&cluster);
        let mut random = Random::new(3);
        let drawn: Vec<GroupSet> = (0..10_000).map(|_| mix.draw(&mut random)).collect();
        let pairs = drawn.iter().filter(|set| set.len() == 2).count();
        assert!((4_700..5_300).contains(&pairs), "{pairs}");
        let busy = |group: usize| drawn.iter().filter(|set| set.contains(GroupId::new(group).unwrap())).count();
        assert!(busy(0) > busy(3), "skewed");
    }

    #[test]
    fn one_group_gets_everything_when_it_is_alone() {
        let cluster = Cluster::regular(1, 1, 0).unwrap();
        let mix = Mix::usual(&cluster);
        let mut random = Random::new(3);
        assert!((0..100).all(|_| mix.draw(&mut random) == GroupSet::first(1)));
    }

    #[test]
    fn a_mix_names_only_groups_that_exist() {
        let cluster = Cluster::regular(2, 1, 0).unwrap();
        assert!(Mix::new(&cluster, vec![(GroupSet::first(3), 1.0)]).unwrap_err().to_string().contains("no group g2"));
        assert!(Mix::new(&cluster, vec![(GroupSet::EMPTY, 1.0)]).is_err());
    }
}
