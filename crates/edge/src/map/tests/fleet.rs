//! A fleet of maps that change, tell each other parts that are lost, doubled and
//! late, ask about a few members, forget, start again, are expelled and come
//! back, beside an oracle that forgets nothing.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use bytes::Bytes;
use skein_machine::Random;

use super::super::record::Content;
use super::super::{Adopted, Cut, CutId, Delta, Map};
use super::{ALL, actor, crossed};
use crate::dots::{Actor, Dot, Dots};
use crate::{MemberId, Planted};

/// What a fleet of maps does.
pub(super) struct Fleet {
    pub(super) random: Random,
    pub(super) maps: Vec<Map>,
    /// Expelled, and not back yet.
    is_out: Vec<bool>,
    lives: u64,
    /// Deltas on their way, each to one of them.
    on_the_way: Vec<(usize, Delta)>,
    /// Every change ever made: what it did, and which changes of its key it knew, and they.
    oracle: BTreeMap<Dot, (Vec<u8>, Content, BTreeSet<Dot>)>,
    /// Cuts that were made.
    cuts: Vec<Cut>,
    /// Who was expelled has lost what it had not told.
    has_lost: bool,
    /// Who was expelled in its life, for however long.
    was_out: Vec<bool>,
    /// Whoever is expelled hears nothing either.
    is_far: bool,
    /// How much changes, beside how much is told.
    busy: u64,
    /// How much gets through.
    luck: f64,
    /// Has started again, and was not told everything yet.
    is_beginning: Vec<bool>,
    /// Whether members start again, with nothing.
    restarts: bool,
    /// Questions about a few members on their way.
    asks: Vec<Ask>,
}

/// Two compared, and found that they differ in what these did: one asks the other for that alone.
#[derive(Clone)]
struct Ask {
    by: Actor,
    to: usize,
    cut: CutId,
    /// What the one has seen of them.
    seen: Dots,
    /// What it asks about.
    about: BTreeSet<MemberId>,
    /// What had come in at the other when they compared.
    at: u64,
}

const MEMBERS: usize = 4;
const KEYS: u64 = 2;

impl Fleet {
    pub(super) fn new(seed: u64, planted: Planted) -> Fleet {
        let mut random = Random::new(seed);
        let (is_far, busy, luck) = (random.chance(0.5), random.between(1, 20), 0.6 + 0.4 * random.fraction());
        let restarts = random.chance(0.5);
        Fleet {
            random,
            maps: (0..MEMBERS as u64).map(|member| Map::with_planted(actor(member, 1), planted)).collect(),
            is_out: vec![false; MEMBERS],
            lives: 1,
            on_the_way: Vec::new(),
            oracle: BTreeMap::new(),
            cuts: Vec::new(),
            has_lost: false,
            was_out: vec![false; MEMBERS],
            is_far,
            busy,
            luck,
            is_beginning: vec![false; MEMBERS],
            restarts,
            asks: Vec::new(),
        }
    }

    pub(super) fn member(&mut self) -> usize {
        self.random.below(MEMBERS as u64) as usize
    }

    pub(super) fn change(&mut self, at: usize) {
        if self.maps[at].is_catching_up() || self.is_beginning[at] {
            return;
        }
        let key = vec![b'a' + self.random.below(KEYS) as u8];
        let knew = self.known_to(at, &key);
        let map = &mut self.maps[at];
        let dot = match self.random.below(3) {
            0 => map.remove(&key),
            _ => Some(map.put(&key, Bytes::from(format!("{:?}", self.oracle.len()))).unwrap()),
        };
        if let Some(dot) = dot {
            let content = self.maps[at].records[&dot].content.clone();
            self.oracle.insert(dot, (key, content, knew));
        }
    }

    /// The changes of a key that stand at a member, and all that those knew.
    fn known_to(&self, at: usize, key: &[u8]) -> BTreeSet<Dot> {
        let heads = self.maps[at].keys.get(key).into_iter().flatten();
        heads.flat_map(|dot| self.oracle[dot].2.iter().copied().chain([*dot])).collect()
    }

    /// One tells another what it lacks, in small parts.
    pub(super) fn tell(&mut self, from: usize, to: usize) {
        if self.is_far && self.is_out[from] != self.is_out[to] {
            return;
        }
        let limit = self.random.between(60, 300) as usize;
        let (asker, seen) = (self.maps[to].actor(), self.maps[to].seen().clone());
        let parts = match self.random.chance(0.3) {
            true => self.maps[from].news(&self.maps[from].seen().without(&seen), limit),
            false => self.maps[from].beyond(asker, &seen, limit),
        };
        self.on_the_way.extend(parts.into_iter().map(|part| (to, part)));
    }

    pub(super) fn arrive(&mut self) {
        if self.on_the_way.is_empty() {
            return;
        }
        let nth = self.random.below(self.on_the_way.len() as u64) as usize;
        let (to, delta) = match self.random.below(4) {
            0 => self.on_the_way[nth].clone(),
            _ => self.on_the_way.swap_remove(nth),
        };
        if self.random.chance(self.luck) {
            let _ = self.maps[to].merge(crossed(&delta));
            self.maps[to].check();
        }
    }

    /// Whoever is not expelled reports, and there is a cut.
    fn cut(&mut self, at: usize) {
        let counted = (0..MEMBERS).filter(|nth| !self.is_out[*nth]);
        let counted = counted.map(|nth| self.maps[nth].report().filter(|_| !self.is_beginning[nth]));
        let report = counted.reduce(|all, next| {
            let mut all = all?;
            all.join(&next?).then_some(all)
        });
        let lives: BTreeMap<_, _> = (0..MEMBERS)
            .filter(|nth| !self.is_out[*nth])
            .map(|nth| (self.maps[nth].actor().member, self.maps[nth].actor().life))
            .collect();
        if let Some(cut) = report.flatten().and_then(|report| self.maps[at].next_cut(&report, &lives)) {
            self.cuts.push(cut);
        }
    }

    /// Two compare their cuts.
    fn compare(&mut self, one: usize, other: usize) {
        for (from, to) in [(one, other), (other, one)] {
            let cut = self.maps[from].cut().clone();
            if self.hear(to, &cut) == Adopted::TheyAreOutdated {
                let cut = self.maps[to].cut().clone();
                assert!(self.maps[from].yields_to(&cut), "neither yields");
                self.begin_anew(from, &cut);
            }
        }
    }

    fn hear(&mut self, at: usize, cut: &Cut) -> Adopted {
        let shown = |map: &Map| map.iter().map(|(key, value)| (key.clone(), value.clone())).collect::<Vec<_>>();
        let before = shown(&self.maps[at]);
        let adopted = self.maps[at].adopt(cut);
        assert!(shown(&self.maps[at]) == before, "member {at} forgets something that nobody replaced there");
        if adopted == Adopted::Outdated {
            self.begin_anew(at, cut);
        }
        self.maps[at].check();
        adopted
    }

    fn expel(&mut self, at: usize) {
        (self.is_out[at], self.was_out[at]) = (true, true);
        if self.is_far {
            self.on_the_way.clear();
        }
    }

    fn begin_anew(&mut self, at: usize, cut: &Cut) {
        // What one says that was expelled and has not heard of it, others may believe.
        assert!(self.has_lost || self.was_out.contains(&true), "member {at} begins anew and nobody was expelled");
        // Words of the life that is over now might still be on their way to those who take it for over.
        if self.is_far {
            self.on_the_way.clear();
        }
        self.lives += 1;
        (self.has_lost, self.was_out[at]) = (true, false);
        self.maps[at].begin_anew(actor(at as u64, self.lives), cut);
    }

    /// One starts again, in a higher life, and what it had not told is lost.
    fn restart(&mut self, at: usize) {
        self.lives += 1;
        (self.has_lost, self.is_beginning[at]) = (true, true);
        // What was said to its former life, and what that asked, is still on the way.
        self.maps[at] = Map::with_planted(actor(at as u64, self.lives), self.maps[at].planted);
    }

    /// Whoever has begun is told everything, and takes part from then on.
    fn welcome(&mut self, at: usize, from: usize) {
        if !self.is_beginning[at] || self.is_beginning[from] || self.is_out[from] || at == from {
            return;
        }
        let cut = self.maps[from].cut().clone();
        if self.hear(at, &cut) == Adopted::TheyAreOutdated || self.maps[at].cut().id() != cut.id() {
            return;
        }
        let asker = self.maps[at].actor();
        let parts = self.maps[from].beyond(asker, &Dots::new(), ALL);
        parts.into_iter().for_each(|part| assert!(self.maps[at].merge(crossed(&part)).unwrap().is_whole));
        self.is_beginning[at] = self.maps[at].is_catching_up();
    }

    /// One asks another for what is different, and nothing else.
    fn ask(&mut self, one: usize, other: usize) {
        let (asker, asked) = (&self.maps[one], &self.maps[other]);
        if asker.cut().id() != asked.cut().id() || asker.is_catching_up() || self.is_beginning[one] {
            return;
        }
        let of = |map: &Map, member| of_members(map.seen(), |id| id == member);
        let members = (0..MEMBERS as u64).map(MemberId);
        let about: BTreeSet<_> = members.filter(|member| of(asker, *member) != of(asked, *member)).collect();
        self.asks.push(Ask {
            by: asker.actor(),
            to: other,
            cut: asker.cut().id(),
            seen: of_members(asker.seen(), |id| about.contains(&id)),
            about,
            at: asked.arrivals(),
        });
    }

    fn answer(&mut self) {
        if self.asks.is_empty() {
            return;
        }
        let nth = self.random.below(self.asks.len() as u64) as usize;
        let ask = self.asks.swap_remove(nth);
        let (to, limit) = (ask.by.member.0 as usize, self.random.between(60, 300) as usize);
        if ask.cut != self.maps[ask.to].cut().id() || self.is_beginning[ask.to] {
            return;
        }
        let asked = &mut self.maps[ask.to];
        // Whoever asks too late compares again.
        let Some(since) = asked.arrived_since(ask.at) else { return };
        let mut missing = of_members(asked.seen(), |id| ask.about.contains(&id));
        missing.join(&since);
        let missing = missing.without(&ask.seen).without(asked.cut().dots());
        let parts = asked.whole(ask.by, &missing, limit);
        self.on_the_way.extend(parts.into_iter().map(|part| (to, part)));
    }

    fn step(&mut self) {
        let (one, other) = (self.member(), self.member());
        match self.random.below(100) {
            nth if nth < self.busy => self.change(one),
            20..24 => self.ask(one, other),
            24..28 => self.answer(),
            28..30 => self.welcome(one, other),
            30 if self.restarts && self.random.chance(0.5) => self.restart(one),
            0..40 => self.tell(one, other),
            40..70 => self.arrive(),
            70..75 if !self.is_out[one] => self.cut(one),
            75..95 if !self.is_out[one] && !self.is_out[other] => self.compare(one, other),
            95..97 if !self.cuts.is_empty() && !self.is_out[one] => {
                let nth = self.random.below(self.cuts.len() as u64) as usize;
                let cut = self.cuts[nth].clone();
                if cut.generation() >= self.maps[one].cut().generation() {
                    self.hear(one, &cut);
                }
            }
            97 if self.is_out.iter().all(|is_out| !is_out) => self.expel(one),
            98 => self.is_out[one] = false,
            _ => {}
        }
    }

    /// Everybody comes back, and tells everybody everything, until nothing is new.
    fn calm(&mut self) {
        self.is_out = vec![false; MEMBERS];
        self.on_the_way.clear();
        for _ in 0..4 {
            for (one, other) in (0..MEMBERS).flat_map(|one| (0..MEMBERS).map(move |other| (one, other))) {
                self.welcome(one, other);
            }
            for (one, other) in (0..MEMBERS).flat_map(|one| (0..MEMBERS).map(move |other| (one, other))) {
                self.compare(one, other);
            }
            for (one, other) in (0..MEMBERS).flat_map(|one| (0..MEMBERS).map(move |other| (one, other))) {
                if self.maps[one].cut().id() == self.maps[other].cut().id() {
                    let (asker, seen) = (self.maps[other].actor(), self.maps[other].seen().clone());
                    for delta in self.maps[one].beyond(asker, &seen, 100) {
                        self.maps[other].merge(delta).unwrap();
                    }
                }
            }
        }
    }

    /// What is wrong, if anything.
    fn judge(&self) -> Result<(), alloc::string::String> {
        for map in &self.maps[1..] {
            if *map != self.maps[0] {
                return Err(format!("they differ: {:?} and {map:?}", self.maps[0]));
            }
        }
        let map = &self.maps[0];
        let replaced: BTreeSet<Dot> = self.oracle.values().flat_map(|(_, _, knew)| knew.iter().copied()).collect();
        for (dot, (key, content, knew)) in &self.oracle {
            let stands = map.records.contains_key(dot);
            let is_value = matches!(content, Content::Value(_));
            if stands && knew.iter().any(|dot| map.records.contains_key(dot)) {
                return Err(format!("{dot:?} stands beside what it knew at {key:?}"));
            }
            // Where nobody lost anything, what stands is exactly what nothing replaced.
            if !self.has_lost && is_value && stands == replaced.contains(dot) {
                return Err(format!("{dot:?} of {key:?} stands: {stands}"));
            }
            // What was removed, or replaced, by a change that got about, does not come back.
            if stands && self.got_about(dot, map) {
                return Err(format!("{dot:?} of {key:?} came back"));
            }
        }
        Ok(())
    }

    /// Whether a change that replaced this one was seen by the fleet. Of lives that are over nobody knows any more what
    /// was lost with them.
    fn got_about(&self, dot: &Dot, map: &Map) -> bool {
        self.oracle.iter().any(|(later, (_, _, knew))| knew.contains(dot) && map.seen.contains(*later))
    }
}

/// Lets a fleet do this and that, and judges it.
pub(super) fn run(seed: u64, planted: Planted) -> Result<(), alloc::string::String> {
    let mut fleet = Fleet::new(seed, planted);
    let steps = fleet.random.between(50, 600);
    for _ in 0..steps {
        fleet.step();
    }
    fleet.calm();
    fleet.judge().map_err(|error| format!("seed {seed}: {error}"))
}

/// What some members did.
fn of_members(dots: &Dots, is_one: impl Fn(MemberId) -> bool) -> Dots {
    let spans = dots.spans().filter(|(actor, _)| is_one(actor.member));
    spans.fold(Dots::new(), |mut some, (actor, span)| {
        some.insert_span(actor, span);
        some
    })
}
