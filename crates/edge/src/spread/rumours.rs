//! What is new goes round: whoever hears of a change for the first time tells a
//! few others, a few times, and then leaves it to those who compare.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use skein_machine::Time;

use super::{Event, Phase, Spread, Tick, Way, Word};
use crate::dots::{Dot, Dots};
use crate::map::{Delta, Key, Unmerged};
use crate::membership::MAX_DATAGRAM;

/// What a delta takes besides its changes, in a datagram: the kind of the word, and what the host puts around it.
const AROUND: usize = 100;

/// Changes that are pushed. Of more at a time the rest is found by comparing, in larger pieces.
const MAX_RUMOURS: usize = 1 << 12;

/// Datagrams to each of those who are told, at a time.
const MAX_PIECES: usize = 16;

/// Changes that are going round.
#[derive(Clone, Debug, Default)]
pub(super) struct Rumours(BTreeMap<Dot, Rumour>);

#[derive(Clone, Copy, Debug)]
struct Rumour {
    /// So often it is still told in this place.
    near: u8,
    /// And it is to be told in others.
    is_for_others: bool,
}

impl Spread {
    /// These are new here.
    pub(super) fn rumour(&mut self, dots: &Dots, is_from_afar: bool, way: &mut impl Way) {
        let was_quiet = self.rumours.0.is_empty();
        // What comes from another place is told there by those who told it here.
        let rumour = Rumour { near: self.settings.tempo.rounds, is_for_others: !is_from_afar };
        for (actor, span) in dots.spans() {
            for nth in span.first..=span.last {
                if self.rumours.0.len() < MAX_RUMOURS {
                    self.rumours.0.insert(Dot { actor, nth }, rumour);
                }
            }
        }
        if was_quiet && !self.rumours.0.is_empty() {
            // The first waits only for what comes with it.
            let most = self.settings.tempo.push_every.as_nanos() as u64 / 2;
            way.arm(Tick::Push, Duration::from_nanos(self.random.below(most.max(1))));
        }
    }

    /// Tells what is new.
    pub(super) fn push(&mut self, way: &mut impl Way) {
        let near: Dots = self.rumours.0.keys().copied().collect();
        for _ in 0..self.settings.tempo.fanout.min(self.near.len()) {
            if let Some(address) = self.somebody_near() {
                self.tell_news(address, &near, false, way);
            }
        }
        if self.is_relay() {
            let far = self.rumours.0.iter().filter(|(_, rumour)| rumour.is_for_others).map(|(dot, _)| *dot);
            let far: Dots = far.collect();
            if !far.is_empty() {
                for address in self.relays_elsewhere() {
                    self.tell_news(address, &far, true, way);
                }
            }
        }
        self.rumours.0.retain(|_, rumour| {
            *rumour = Rumour { near: rumour.near.saturating_sub(1), is_for_others: false };
            rumour.near > 0
        });
        if !self.rumours.0.is_empty() {
            way.arm(Tick::Push, self.settings.tempo.push_every);
        }
    }

    fn tell_news(&mut self, to: SocketAddr, dots: &Dots, is_from_afar: bool, way: &mut impl Way) {
        for delta in self.map.news(dots, MAX_DATAGRAM - AROUND).into_iter().take(MAX_PIECES) {
            way.send(to, Word::News { delta, is_from_afar });
        }
    }

    /// Somebody tells something.
    pub(super) fn on_news(&mut self, now: Time, delta: Delta, is_from_afar: bool, way: &mut impl Way) {
        let is_answer = delta.is_for(self.map.actor());
        match self.map.merge(delta) {
            Ok(merged) => {
                if let Phase::Beginning { is_being_told, .. } = &mut self.phase {
                    *is_being_told |= is_answer;
                }
                self.note_changed(merged.changed, way);
                if self.is_ready() {
                    self.rumour(&merged.new, is_from_afar, way);
                }
                if merged.is_whole {
                    self.become_ready(now, way);
                }
            }
            Err(Unmerged::OtherCut) => self.counts.foreign += 1,
            Err(Unmerged::TooMuch) => self.counts.crowded += 1,
            Err(Unmerged::Impostor) => self.counts.impostors += 1,
        }
    }

    /// Of these keys something else is shown now.
    pub(super) fn note_changed(&mut self, keys: Vec<Key>, way: &mut impl Way) {
        for key in keys {
            self.directory.note(&self.map, &key);
            way.tell(Event::Changed(key));
        }
    }

    /// Nothing of what was going round is worth telling any more.
    pub(super) fn fall_silent(&mut self) {
        self.rumours.0.clear();
    }
}
