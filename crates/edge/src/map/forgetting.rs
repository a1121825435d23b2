//! Forgetting: what a map does with a [`Cut`], and what it says when one is made.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::record::{Content, Past, Record};
use super::{Adopted, Cut, Idle, Map, Report};
use crate::dots::{Actor, Dot};
use crate::{MemberId, Mutant};

impl Map {
    /// Whether it lacks something of what everybody has, and counts for nobody yet.
    pub fn is_catching_up(&self) -> bool {
        !self.seen.covers(self.cut.dots())
    }

    /// What it reports when a cut is made.
    pub fn report(&self) -> Option<Report> {
        if self.is_catching_up() {
            return None;
        }
        Some(Report::of(self.cut.id(), self.seen.without(self.cut.dots())))
    }

    /// The next cut, from what **all** members report that were not expelled, this one among them, and the life in
    /// which each is. `None` while they have adopted another one, and where nothing would be gained.
    pub fn next_cut(&self, report: &Report, lives: &BTreeMap<MemberId, u64>) -> Option<Cut> {
        // If only this map had what replaced something, and were gone before it told anybody, nobody would have either.
        let is_settled = report.everybody.covers(&self.idle.seen);
        self.cut.next(report, lives, |actor| !is_settled || !self.idle.actors.contains(&actor))
    }

    /// Forgets what everybody has, if nothing of it is missing here.
    pub fn adopt(&mut self, cut: &Cut) -> Adopted {
        if self.cut.covers(cut) {
            self.cut.raise(cut);
            return Adopted::Known;
        }
        if self.seen.is_empty() && !self.cut.outranks(cut) && !cut.is_over(self.actor) {
            // There is nothing that could be wrong.
            self.cut = cut.clone();
            return Adopted::Yes;
        }
        let joined = self.cut.joined(cut);
        let is_allowed = self.cut.allows(&self.seen, cut) || self.planted.is(Mutant::MapForgetsWhatItNeverSaw);
        // Those who made it may have taken this life for over, and hear no more of it; or something stands here that came
        // too late from such a life, and that they will never hear of.
        let has_late_words = self.records.keys().any(|dot| joined.is_over(dot.actor));
        if !is_allowed || joined.is_over(self.actor) || has_late_words {
            return if self.cut.outranks(cut) { Adopted::TheyAreOutdated } else { Adopted::Outdated };
        }
        self.forget(joined);
        Adopted::Yes
    }

    /// Whether it begins anew if somebody says that it must, who cannot adopt what it has forgotten.
    pub fn yields_to(&self, cut: &Cut) -> bool {
        cut.outranks(&self.cut)
    }

    fn records_of(&self, actor: Actor) -> impl Iterator<Item = (&Dot, &Record)> {
        self.records.range(Dot { actor, nth: 0 }..=Dot { actor, nth: u64::MAX })
    }

    fn forget(&mut self, cut: Cut) {
        let mut gone = Vec::new();
        for (dot, record) in &mut self.records {
            if !cut.contains(*dot) {
                // Of a life that is over nothing stands here, nothing is believed that comes, and whoever adopts this
                // cut is held to the same. Otherwise a key that is rewritten between every report and its cut would
                // carry all lives that ever touched it.
                record.past.forget(|actor| cut.is_over(actor));
                continue;
            }
            // Nobody has any more what it replaced.
            record.past = Past::default();
            if matches!(record.content, Content::Removed) {
                gone.push((*dot, record.key.clone()));
            }
        }
        for (dot, key) in gone {
            let heads = self.keys.get_mut(&key).expect("a change has a key");
            heads.retain(|head| *head != dot);
            if heads.is_empty() {
                self.keys.remove(&key);
                self.room.remove(&key);
            }
            self.drop_record(dot);
        }
        let over: Vec<Actor> = self.seen.actors().filter(|actor| cut.is_over(*actor)).collect();
        over.into_iter().for_each(|actor| self.seen.forget(actor));
        // Whatever is still under way was told by maps that had not forgotten this.
        self.open.clear();
        self.cut = cut;
        self.note_idle();
    }

    fn note_idle(&mut self) {
        let actors = self.cut.dots().actors().filter(|actor| self.records_of(*actor).next().is_none());
        self.idle = Idle { actors: actors.collect(), seen: self.seen.without(self.cut.dots()) };
    }

    /// Drops everything, and goes on as another actor that has forgotten what everybody has. It is [catching
    /// up](Map::is_catching_up) then.
    pub fn begin_anew(&mut self, actor: Actor, cut: &Cut) {
        *self = Map { cut: cut.clone(), told: self.told, ..Map::with_planted(actor, self.planted) };
    }
}
