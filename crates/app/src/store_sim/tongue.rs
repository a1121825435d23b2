//! [`StoreTongue`]: how clients of the store speak. What they think of is in
//! `wishes.rs`; here it becomes bytes, and answers get a meaning.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use skein_machine::{GroupId, GroupSet, Random, Reply, Router};
use skein_service::kv::{Kv, KvRouter, Limits, Request, only_reads};
use skein_sim::check::linear::{Element, Key};
use skein_sim::clients::{Asker, Habits, Heard, Meaning, Tongue, Way, Wish};

use super::deed::Deed;
use super::names::{Kind, Names, WINDOW};
use super::step::{At, Lamp, Next, Step};
use crate::redis::parse;

/// So many lamps are looked at by everybody.
const LAMPS: usize = 6;

/// See above.
pub(crate) struct StoreTongue {
    pub(super) names: Names,
    limits: Limits,
    router: KvRouter,
    pub(super) next_element: Element,
    /// How much was appended to lists that have a generation.
    pub(super) appended: u64,
    /// The first in use of those that somebody is to be the first with.
    pub(super) firsts: u64,
    /// Those that were lit last.
    pub(super) lamps: VecDeque<Lamp>,
    pub(super) walks: u64,
    /// What clients have begun and not ended.
    pub(super) next: BTreeMap<usize, VecDeque<Next>>,
}

impl StoreTongue {
    /// For a store of so many partitions. With a limit of memory that nobody reaches, partitions that are told to grow
    /// ask each other whether they may.
    pub(crate) fn new(groups: usize, is_limited: bool) -> StoreTongue {
        let names = Names::new(groups);
        let limits = Limits { max_memory: if is_limited { 1 << 40 } else { 0 }, ..Limits::default() };
        StoreTongue {
            router: KvRouter::new(names.placement.clone(), limits),
            names,
            limits,
            next_element: 0,
            appended: 0,
            firsts: 0,
            lamps: VecDeque::new(),
            walks: 0,
            next: BTreeMap::new(),
        }
    }

    /// What makes the empty store of a partition.
    pub(crate) fn maker(&self) -> impl Fn(GroupId) -> Kv + Clone + 'static {
        let (placement, limits) = (Arc::clone(&self.names.placement), self.limits);
        move |group| Kv::new(group, placement.clone(), limits)
    }

    pub(super) fn groups_of(&self, deed: &Deed) -> GroupSet {
        let bytes = deed.bytes(&self.names);
        self.router.groups(&bytes).unwrap_or_else(|why| panic!("{} goes nowhere: {why}", deed.words(&self.names)))
    }

    /// How a node would pass this on: what only reads, and is here alone, is read.
    pub(super) fn way_of(&self, deeds: &[Deed], asker: Asker, habits: &Habits, random: &mut Random) -> Way {
        let reads = deeds.iter().all(|deed| {
            let bytes = deed.bytes(&self.names);
            only_reads(&Request::decode(&bytes).expect("it was just encoded"))
        });
        let here: GroupSet = [asker.group].into_iter().collect();
        let is_here = deeds.iter().all(|deed| self.groups_of(deed) == here);
        if !reads || !is_here || asker.is_named {
            return Way::Order;
        }
        if habits.causal > 0.0 && random.chance(habits.causal) { Way::Recall } else { Way::Read }
    }

    /// Keys of all generations that have begun, and all that somebody may have been the first with.
    fn every_key(&self) -> Vec<Key> {
        let last = self.generation();
        let firsts = (0..self.firsts + WINDOW)
            .flat_map(|number| [Kind::List, Kind::String].map(|kind| self.names.first(number, kind)));
        (0..=last).flat_map(|generation| self.names.generation(generation)).chain(firsts).collect()
    }
}

impl Tongue for StoreTongue {
    type Deed = Deed;

    fn wish(&mut self, asker: Asker, habits: &Habits, random: &mut Random) -> Wish<Deed> {
        let deeds = self.think_of(asker, habits, random);
        let walks = |deed: &Deed| deed.steps.iter().any(|step| matches!(step, Step::Page(walk) if !walk.goes_on()));
        self.walks += deeds.iter().filter(|deed| walks(deed)).count() as u64;
        let way = self.way_of(&deeds, asker, habits, random);
        Wish { deeds, way }
    }

    fn look_at_everything(&mut self, group: GroupId) -> Deed {
        let here = |key: &Key| self.names.group_of(*key) == group;
        Deed::transaction(self.every_key().into_iter().filter(here).map(Step::See).collect())
    }

    fn groups(&self, deed: &Deed) -> GroupSet {
        self.groups_of(deed)
    }

    fn bytes(&self, deed: &Deed) -> Bytes {
        deed.bytes(&self.names)
    }

    fn words(&self, deed: &Deed) -> String {
        // The last look is a long one.
        const SHOWN: usize = 12;
        let words = Deed { steps: deed.steps.iter().take(SHOWN).cloned().collect(), ..deed.clone() }.words(&self.names);
        let more = deed.steps.len().saturating_sub(SHOWN);
        if more > 0 { format!("{words}, and {more} commands more") } else { words }
    }

    fn appends(&self, deed: &Deed) -> Vec<(Key, Element)> {
        deed.appends()
    }

    fn understand(&mut self, deed: &Deed, heard: Heard<'_>) -> Meaning {
        let Heard { client, operation, way, timestamp, replies } = heard;
        let bytes = deed.bytes(&self.names);
        let joined = match replies {
            [(_, only)] => only.clone(),
            parts => self.router.join(&Request::decode(&bytes).expect("it was asked for"), parts),
        };
        let at = At { timestamp, operation, walks: self.walks, is_recalled: way == Way::Recall };
        let (meaning, next) = match understood(&joined) {
            Ok(reply) => deed.understand(&self.names, &reply, at),
            Err(why) => (Meaning { oddities: vec![why], ..Meaning::done() }, Vec::new()),
        };
        for next in next {
            match next {
                Next::Glance(lamp) => {
                    self.lamps.push_back(lamp);
                    if self.lamps.len() > LAMPS {
                        self.lamps.pop_front();
                    }
                }
                next => self.next.entry(client).or_default().push_back(next),
            }
        }
        meaning
    }

    /// A page of a walk is asked for again. What else was lost nobody can know.
    fn lose(&mut self, client: usize, wish: &Wish<Deed>) {
        for step in wish.deeds.iter().flat_map(|deed| &deed.steps) {
            if let Step::Page(walk) = step
                && walk.goes_on()
            {
                self.next.entry(client).or_default().push_back(Next::Page(walk.again()));
            }
        }
    }
}

/// The reply that these bytes are, all of them.
fn understood(reply: &Reply) -> Result<crate::redis::Reply, String> {
    let mut at = 0;
    match parse(&reply.0, &mut at) {
        Ok(Some(value)) if at == reply.0.len() => Ok(value),
        other => Err(format!("is answered {:?}, which is no reply: {other:?}", reply.0)),
    }
}
