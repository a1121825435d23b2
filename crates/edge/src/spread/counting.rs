//! How a cut is made: one member, chosen by rendezvous, asks one of each place,
//! who asks all of that place; what everybody reports is added up on the way
//! back. Nothing depends on it being the only one: cuts that were made at once
//! are adopted both, and a round in which somebody does not answer is given up.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use skein_machine::ProcessId;

use super::{Spread, Tick, Way, Word};
use crate::map::{Adopted, CutId, Report};
use crate::owners::Owners;
use crate::{MemberId, Mutant};

/// Who has not answered after this time does not in this round.
const PATIENCE: Duration = Duration::from_secs(5);

/// The office of those who count.
const COUNTERS: &[u8] = b"counters";

/// Rounds under way.
#[derive(Clone, Debug, Default)]
pub(super) struct Counting {
    /// To tell one round from another.
    rounds: u64,
    /// What is counted here for this place, or for all.
    tallies: Vec<Tally>,
}

#[derive(Clone, Debug)]
struct Tally {
    round: u64,
    /// For whom, and in which of its rounds. Nobody else, if it is for all places.
    asker: Option<(ProcessId, u64)>,
    report: Option<Report>,
    /// Who was counted, in which life.
    lives: BTreeMap<MemberId, u64>,
    /// Who must be.
    missing: BTreeSet<MemberId>,
}

/// Some rounds at a time, of others who believe that it is theirs to count.
const MAX_TALLIES: usize = 8;

impl Spread {
    /// Makes a cut, if that falls to this member and there is anything to forget.
    pub(super) fn begin_count(&mut self, way: &mut impl Way) {
        if !self.is_ready() || !self.counts_for_all() {
            return;
        }
        let all = self.directory.lines().map(|line| line.member.id()).collect();
        let round = self.open_tally(None, all, way);
        let cut = self.map.cut().id();
        for leader in self.leaders_elsewhere() {
            way.send(leader, Word::Count { round, cut, is_for_place: true });
        }
    }

    /// Whether this member counts for its place, and its place for all.
    pub(super) fn counts_for_all(&self) -> bool {
        let places = Owners::new(self.directory.places().map(|place| (place.id(), 1)));
        places.owner(COUNTERS) == Some(self.settings.me.place.id())
            && self.here.owner(COUNTERS) == Some(self.settings.me.id())
    }

    /// Who counts for each of the other places.
    fn leaders_elsewhere(&self) -> Vec<SocketAddr> {
        let elsewhere = self.directory.elsewhere(&self.settings.me.place);
        let leaders = elsewhere.filter_map(|owners| self.directory.line(owners.owner(COUNTERS)?));
        leaders.map(|line| line.member.address).collect()
    }

    /// Begins to count, with itself and by asking all others of this place.
    fn open_tally(&mut self, asker: Option<(ProcessId, u64)>, missing: BTreeSet<MemberId>, way: &mut impl Way) -> u64 {
        self.counting.rounds += 1;
        let round = self.counting.rounds;
        if self.counting.tallies.len() == MAX_TALLIES {
            self.counting.tallies.remove(0);
        }
        self.counting.tallies.push(Tally { round, asker, report: None, lives: BTreeMap::new(), missing });
        way.arm(Tick::Overdue, PATIENCE);
        let cut = self.map.cut().id();
        for member in self.near.values() {
            way.send(member.address, Word::Count { round, cut, is_for_place: false });
        }
        if let Some(report) = self.map.report() {
            let own = self.map.actor();
            self.on_counted(round, &report, &[(own.member, own.life)], way);
        }
        round
    }

    pub(super) fn on_count(&mut self, from: ProcessId, round: u64, cut: CutId, is_for_place: bool, way: &mut impl Way) {
        if !self.is_ready() || cut != self.map.cut().id() {
            return; // whoever asks finds out by comparing
        }
        if is_for_place {
            let here = self.directory.of_place(&self.settings.me.place).map(|line| line.member.id()).collect();
            self.open_tally(Some((from, round)), here, way);
        } else if let Some(report) = self.map.report() {
            let own = self.map.actor();
            way.answer(from, Word::Counted { round, report, members: [(own.member, own.life)].into() });
        }
    }

    pub(super) fn on_counted(&mut self, round: u64, report: &Report, members: &[(MemberId, u64)], way: &mut impl Way) {
        let Some(place) = self.counting.tallies.iter().position(|tally| tally.round == round) else { return };
        let tally = &mut self.counting.tallies[place];
        let agrees = match &mut tally.report {
            Some(all) => all.join(report),
            None => {
                tally.report = Some(report.clone());
                true
            }
        };
        if !agrees {
            self.counting.tallies.remove(place);
            return;
        }
        for (member, life) in members {
            tally.missing.remove(member);
            tally.lives.insert(*member, *life);
        }
        if tally.missing.is_empty() {
            let tally = self.counting.tallies.remove(place);
            self.finish_count(tally, way);
        }
    }

    /// Somebody does not answer. What it has seen nobody knows, so nothing can be forgotten now.
    pub(super) fn give_up_counts(&mut self, way: &mut impl Way) {
        let given_up = core::mem::take(&mut self.counting.tallies);
        if self.settings.planted.is(Mutant::SpreadCountsWithoutTheSilent) {
            let counted = given_up.into_iter().filter(|tally| tally.report.is_some());
            counted.for_each(|tally| self.finish_count(tally, way));
        }
    }

    fn finish_count(&mut self, tally: Tally, way: &mut impl Way) {
        let report = tally.report.expect("whoever was counted has reported");
        if let Some((asker, round)) = tally.asker {
            way.answer(asker, Word::Counted { round, report, members: tally.lives.into_iter().collect() });
            return;
        }
        let Some(cut) = self.map.next_cut(&report, &tally.lives) else { return };
        if self.map.adopt(&cut) == Adopted::Yes {
            self.counts.cuts += 1;
            self.tell_cut(way);
            for relay in self.relays_elsewhere() {
                let word = self.own_cut(None);
                way.send(relay, word);
            }
        }
    }
}
