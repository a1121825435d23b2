//! [`Health`]: who looks after which origin, and what was found. Every origin is
//! probed by one member of each place, its owner there; when that one dies, the
//! next in line goes on with what the map says.
//!
//! It opens no connection: it says when to [probe](Round), and its host says
//! what came of it. One failure is no outage: an origin is down after some in a
//! row, and up again after some successes in a row ([`Judge`]).

mod judge;

use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;
use skein_machine::wire::{self, Reader, VERSION, WireError, Writer};
use skein_machine::{Random, Wire};

pub use judge::{Judge, State};

use crate::map::Map;
use crate::owners::Owners;
use crate::{MemberId, Name};

/// What one agent watches. A place of tens of thousands has its owners; more are another fleet's.
pub const MAX_ORIGINS: usize = 1 << 16;

/// Why a probe failed, in so many bytes at most.
pub const MAX_WHY: usize = 200;

/// An origin, as far as it matters when it is probed and by whom. How is the host's affair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// What its operator calls it.
    pub name: Name,
    /// From one probe to the next.
    pub interval: Duration,
    /// So many failures in a row make it down.
    pub fall: u32,
    /// So many successes in a row make it up.
    pub rise: u32,
}

/// A probe that is due: of which origin, and the number of the probe, which its outcome repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Round {
    /// The place of the origin in the list.
    pub origin: u32,
    /// Outcomes of earlier probes, and of those before somebody else looked after it, count for nothing.
    pub nth: u64,
}

/// What the map says of an origin in a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether it is up.
    pub state: State,
    /// Who found it.
    pub by: Name,
    /// What came of the probe that decided.
    pub why: Bytes,
}

/// What is watched from here.
pub struct Health {
    me: (Name, MemberId),
    place: Name,
    watched: Vec<Watched>,
    random: Random,
    probes: u64,
}

struct Watched {
    origin: Origin,
    /// Since it belongs to this member: what was found.
    judge: Option<Judge>,
    /// The probe whose outcome is waited for.
    waits_for: Option<u64>,
}

/// What is to be done for a health checker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Task {
    /// Come back to this origin after a while.
    Wait(u32, Duration),
    /// Do not come back to it.
    Forget(u32),
    /// Probe it.
    Probe(Round),
    /// Write this into the map.
    Write(Vec<u8>, Bytes),
}

/// Keys of findings begin so.
const PREFIX: &[u8] = b"@origin/";

/// Where the map has what was found of an origin in a place.
pub fn key(place: &Name, origin: &Name) -> Vec<u8> {
    [PREFIX, place.as_str().as_bytes(), b"/", origin.as_str().as_bytes()].concat()
}

impl Health {
    /// Nothing belongs to this member yet.
    pub fn new(name: &Name, place: &Name, origins: Vec<Origin>, seed: u64) -> Health {
        assert!(origins.len() <= MAX_ORIGINS, "{} origins, and {MAX_ORIGINS} are the most", origins.len());
        let watched = origins.into_iter().map(|origin| Watched { origin, judge: None, waits_for: None }).collect();
        Health { me: (name.clone(), name.id()), place: place.clone(), watched, random: Random::new(seed), probes: 0 }
    }

    /// The origins, in their order.
    pub fn origins(&self) -> impl Iterator<Item = &Origin> {
        self.watched.iter().map(|watched| &watched.origin)
    }

    /// Which of them belong to this member.
    pub fn own(&self) -> impl Iterator<Item = u32> {
        (0..).zip(&self.watched).filter(|(_, watched)| watched.judge.is_some()).map(|(nth, _)| nth)
    }

    /// What the map says of an origin, seen from a place.
    pub fn finding(map: &Map, place: &Name, origin: &Name) -> Option<Finding> {
        // What makes no sense was written by nobody of ours.
        map.get(&key(place, origin)).and_then(|value| wire::from_bytes(value.clone(), VERSION).ok())
    }

    /// These live in this place, each with its weight; this member among them, unless it is not to look after anything.
    pub fn divide(&mut self, living: &Owners, map: &Map, tasks: &mut Vec<Task>) {
        for (nth, watched) in (0..).zip(&mut self.watched) {
            let is_mine = living.owner(watched.origin.name.as_str().as_bytes()) == Some(self.me.1);
            if is_mine == watched.judge.is_some() {
                continue;
            }
            watched.waits_for = None;
            if !is_mine {
                watched.judge = None;
                tasks.push(Task::Forget(nth));
                continue;
            }
            // It goes on from what is known.
            let known = Health::finding(map, &self.place, &watched.origin.name).map(|finding| finding.state);
            watched.judge = Some(Judge::new(known, watched.origin.fall, watched.origin.rise));
            // What somebody looked after until now waits no longer than it must; but not all at the same moment.
            let share = if known.is_some() { 10 } else { 1 };
            let nanos = watched.origin.interval.as_nanos() as u64 / share;
            tasks.push(Task::Wait(nth, Duration::from_nanos(self.random.below(nanos.max(1)))));
        }
    }

    /// It is time for an origin.
    pub fn on_time(&mut self, nth: u32, tasks: &mut Vec<Task>) {
        let Some(watched) = self.watched.get_mut(nth as usize).filter(|watched| watched.judge.is_some()) else {
            return;
        };
        self.probes += 1;
        watched.waits_for = Some(self.probes);
        tasks.push(Task::Wait(nth, watched.origin.interval));
        tasks.push(Task::Probe(Round { origin: nth, nth: self.probes }));
    }

    /// This came of a probe.
    pub fn on_outcome(&mut self, round: Round, is_well: bool, why: &[u8], map: &Map, tasks: &mut Vec<Task>) {
        let Some(watched) = self.watched.get_mut(round.origin as usize) else { return };
        if watched.waits_for != Some(round.nth) {
            return; // weather: a probe that took too long, or that of somebody who was owner then
        }
        watched.waits_for = None;
        let Some(judge) = &mut watched.judge else { return };
        let Some(state) = judge.hear(is_well) else { return };
        // Said again if something else stands there: two may have been owners for a while.
        let name = &watched.origin.name;
        if Health::finding(map, &self.place, name).is_none_or(|finding| finding.state != state) {
            let why = Bytes::copy_from_slice(&why[..why.len().min(MAX_WHY)]);
            let finding = Finding { state, by: self.me.0.clone(), why };
            tasks.push(Task::Write(key(&self.place, name), wire::to_bytes(&finding)));
        }
    }
}

impl Wire for Finding {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.flag(self.state == State::Up);
        self.by.encode(writer);
        writer.bytes(&self.why);
    }

    fn decode(reader: &mut Reader) -> Result<Finding, WireError> {
        let state = if reader.flag()? { State::Up } else { State::Down };
        Ok(Finding { state, by: Name::decode(reader)?, why: reader.bytes("why a probe failed", MAX_WHY)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dots::Actor;
    use alloc::format;
    use alloc::vec;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn origins(count: usize) -> Vec<Origin> {
        let origin =
            |nth| Origin { name: name(&format!("o{nth}")), interval: Duration::from_secs(5), fall: 3, rise: 2 };
        (0..count).map(origin).collect()
    }

    fn among(names: &[&str]) -> Owners {
        Owners::new(names.iter().map(|text| (name(text).id(), 100)))
    }

    #[test]
    fn each_origin_has_one_owner_and_another_when_that_dies() {
        let names = ["a", "b", "c"];
        let mut health = names.map(|text| Health::new(&name(text), &name("p"), origins(100), 1));
        let map = Map::new(Actor { member: MemberId(1), life: 1 });
        let owned = |health: &[Health]| {
            let mut all: Vec<u32> = health.iter().flat_map(Health::own).collect();
            all.sort_unstable();
            all
        };
        health.iter_mut().for_each(|health| health.divide(&among(&names), &map, &mut vec![]));
        assert_eq!(owned(&health), (0..100).collect::<Vec<_>>());
        let before: Vec<u32> = health[0].own().collect();
        let mut tasks = Vec::new();
        health[..2].iter_mut().for_each(|health| health.divide(&among(&["a", "b"]), &map, &mut tasks));
        assert_eq!(owned(&health[..2]), (0..100).collect::<Vec<_>>());
        assert!(before.iter().all(|nth| health[0].own().any(|own| own == *nth)), "nothing else moved");
        assert!(tasks.iter().all(|task| matches!(task, Task::Wait(_, after) if *after < Duration::from_secs(5))));
        let mut tasks = Vec::new();
        health[0].divide(&among(&["b"]), &map, &mut tasks);
        assert!(health[0].own().next().is_none() && tasks.iter().all(|task| matches!(task, Task::Forget(_))));
    }

    #[test]
    fn only_a_change_is_written_and_late_outcomes_count_for_nothing() {
        let mut health = Health::new(&name("a"), &name("p"), origins(1), 1);
        let mut map = Map::new(Actor { member: name("a").id(), life: 1 });
        health.divide(&among(&["a"]), &map, &mut vec![]);
        let mut say = |is_well: bool, late: bool| {
            let mut tasks = Vec::new();
            health.on_time(0, &mut tasks);
            let Some(Task::Probe(mut round)) = tasks.pop() else { panic!("it is probed") };
            round.nth -= u64::from(late);
            let mut tasks = Vec::new();
            health.on_outcome(round, is_well, b"refused", &map, &mut tasks);
            for task in &tasks {
                let Task::Write(key, value) = task else { panic!("{task:?}") };
                map.put(key, value.clone()).unwrap();
            }
            (tasks.len(), Health::finding(&map, &name("p"), &name("o0")).map(|finding| finding.state))
        };
        assert_eq!(say(false, true), (0, None));
        assert_eq!(say(true, false), (1, Some(State::Up)), "the first that is known of it");
        assert_eq!(say(false, false), (0, Some(State::Up)));
        assert_eq!(say(false, false), (0, Some(State::Up)));
        assert_eq!(say(false, false), (1, Some(State::Down)));
        assert_eq!(say(true, false), (0, Some(State::Down)));
        assert_eq!(say(true, false), (1, Some(State::Up)));
    }
}
