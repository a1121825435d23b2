//! What was lost on the way is found by comparing: two that have seen the same
//! need one small datagram to know it, and two that have not tell each other
//! exactly what is missing. Whoever has just begun, or must begin anew, asks for
//! everything before it takes part.

use core::net::SocketAddr;

use skein_machine::{ProcessId, Time};

use alloc::vec::Vec;

use super::digest::{Digest, Drawers};
use super::directory::Directory;
use super::{Event, LONELY_TRIES, Phase, Question, Spread, Tick, Way, Word};
use crate::dots::{Actor, Dots, LAST_LIFE};
use crate::map::{Adopted, Cut, CutId};

impl Spread {
    /// Compares with somebody of this place, and of another if that is its office; or asks for everything.
    pub(super) fn compare(&mut self, now: Time, way: &mut impl Way) {
        let every = self.jittered(self.settings.tempo.compare_every);
        if let Phase::Beginning { tries, is_being_told } = self.phase {
            // Whoever waits for everything asks more often, but not while it comes in: answers that are to come all at
            // once over the same lines would all come late.
            way.arm(Tick::Compare, every / 4);
            if is_being_told {
                self.phase = Phase::Beginning { tries, is_being_told: false };
                return;
            }
            return self.ask_for_everything(now, tries, way);
        }
        if !self.is_ready() {
            return;
        }
        way.arm(Tick::Compare, every);
        if let Some(address) = self.somebody_near() {
            let word = self.comparison();
            way.send(address, word);
        }
        if self.is_relay() {
            let relays = self.relays_elsewhere();
            let gateways = if relays.is_empty() { self.settings.gateways.clone() } else { relays };
            if !gateways.is_empty() {
                let (gateway, word) = (*self.random.pick(&gateways), self.comparison());
                way.send(gateway, word);
            }
        }
    }

    fn comparison(&self) -> Word {
        Word::Compare { cut: self.map.cut().id(), digest: Digest::of(&self.map), at: self.map.arrivals() }
    }

    fn ask_for_everything(&mut self, now: Time, tries: u32, way: &mut impl Way) {
        let gateway = (!self.settings.gateways.is_empty()).then(|| *self.random.pick(&self.settings.gateways));
        // Others of this place first; every third time somebody elsewhere, for those here may ask themselves.
        let whom: Option<SocketAddr> = match self.somebody_near() {
            Some(near) if gateway.is_none() || tries % 3 != 2 => Some(near),
            _ => gateway,
        };
        self.phase = Phase::Beginning { tries: tries.saturating_add(1), is_being_told: false };
        match whom {
            Some(whom) if tries < LONELY_TRIES || self.map.is_catching_up() => way.send(whom, self.question_of_all()),
            // Nobody has anything: this is where it begins. Whoever begins elsewhere meanwhile is merged.
            _ => self.become_ready(now, way),
        }
    }

    pub(super) fn question_of_all(&self) -> Word {
        self.question(Drawers::all(), [0, 0], false)
    }

    /// What it lacks in these drawers. When the two compared, so much had come in at the other and here.
    fn question(&self, drawers: Drawers, [theirs, own]: [u64; 2], is_in_return: bool) -> Word {
        let cut = self.map.cut();
        let has_begun = !self.map.is_catching_up() && !self.map.seen().is_empty();
        let seen = if has_begun { drawers.inside(self.map.seen()).without(cut.dots()) } else { Dots::new() };
        Word::Ask(Question {
            by: self.map.actor(),
            cut: cut.id(),
            at: [theirs, own],
            drawers,
            seen,
            has_begun,
            is_in_return,
        })
    }

    pub(super) fn on_compare(&mut self, from: ProcessId, cut: CutId, digest: &Digest, at: u64, way: &mut impl Way) {
        if !self.is_ready() {
            return;
        }
        if cut != self.map.cut().id() {
            way.answer(from, self.own_cut(None));
        } else if let Some(drawers) = digest.differs(&self.map) {
            way.answer(from, self.question(drawers, [at, self.map.arrivals()], false));
        } else {
            self.agreed.insert(from, self.map.arrivals());
        }
    }

    pub(super) fn on_ask(&mut self, from: ProcessId, question: Question, way: &mut impl Way) {
        if !self.is_ready() {
            return;
        }
        let Question { by, cut, at: [own, theirs], drawers, seen, has_begun, is_in_return } = question;
        if cut != self.map.cut().id() {
            way.answer(from, self.own_cut(None));
            if has_begun {
                return;
            }
            // Whoever has nothing adopts anything, and may be told the rest at once.
        }
        let mut missing = drawers.inside(self.map.seen());
        if has_begun {
            // In drawers that did not differ both had seen the same when they compared. What came into one of them since
            // may replace what is in another, so it is told along: if nobody else had it, and this one were gone, what
            // it replaced would be missing where that is taken for seen.
            if !drawers.are_all() {
                // Whoever asks too late compares again.
                let Some(since) = self.map.arrived_since(own) else { return };
                missing.join(&since);
            }
            missing = missing.without(self.map.cut().dots());
        }
        let lacks_nothing = self.map.seen().covers(&seen);
        for delta in self.map.whole(by, &missing.without(&seen), self.settings.tempo.piece) {
            way.answer(from, Word::News { delta, is_from_afar: true });
        }
        // A question overtakes large answers. If each were answered by another, they would go to and fro, and all the
        // answers with them, until the first answer is there.
        if has_begun && !lacks_nothing && !is_in_return {
            way.answer(from, self.question(drawers, [theirs, own], true));
        }
    }

    pub(super) fn own_cut(&self, refuses: Option<CutId>) -> Word {
        Word::Adopt { cut: self.map.cut().clone(), refuses }
    }

    pub(super) fn on_adopt(&mut self, from: ProcessId, cut: &Cut, refuses: Option<CutId>, way: &mut impl Way) {
        // What was said of another cut that this one has left behind since comes too late.
        let is_last_word = refuses == Some(self.map.cut().id());
        // It heard of a side of which nobody is left to tell it anything. Others are.
        let has_waited = matches!(self.phase, Phase::Beginning { tries, .. } if tries >= LONELY_TRIES);
        match self.map.adopt(cut) {
            Adopted::Known if self.map.cut().id() == cut.id() => {}
            Adopted::Known | Adopted::TheyAreOutdated if has_waited || is_last_word && self.map.yields_to(cut) => {
                self.begin_anew(from, cut, way);
            }
            Adopted::Known if self.is_ready() => way.answer(from, self.own_cut(None)),
            Adopted::TheyAreOutdated if self.is_ready() => way.answer(from, self.own_cut(Some(cut.id()))),
            Adopted::Known | Adopted::TheyAreOutdated => {}
            Adopted::Yes => {
                self.tell_cut(way);
                if self.is_ready() {
                    let word = self.comparison();
                    way.answer(from, word);
                }
            }
            Adopted::Outdated => self.begin_anew(from, cut, way),
        }
    }

    fn begin_anew(&mut self, from: ProcessId, cut: &Cut, way: &mut impl Way) {
        let former: Vec<_> = self.map.iter().map(|(key, _)| key.clone()).collect();
        let Actor { member, life } = self.map.actor();
        // Lives that a host gives are further apart than this one begins anew between two of them. A life that is over
        // for the others, since a host's clock went back, would be one in which nobody hears it.
        // Of lives as high as the last one only a liar speaks, and there it stays.
        let life = (life + 1).max(cut.first_life(member)).min(LAST_LIFE);
        self.map.begin_anew(Actor { member, life }, cut);
        self.counts.anew += 1;
        self.directory = Directory::default();
        self.agreed.clear();
        self.phase = Phase::Beginning { tries: 0, is_being_told: false };
        self.fall_silent();
        way.tell(Event::BeginsAnew);
        former.into_iter().for_each(|key| way.tell(Event::Changed(key)));
        way.answer(from, self.question_of_all());
    }

    /// Others may forget as much as this one just did.
    pub(super) fn tell_cut(&mut self, way: &mut impl Way) {
        self.fall_silent();
        if !self.is_ready() {
            return;
        }
        for _ in 0..self.settings.tempo.fanout.min(self.near.len()) {
            if let Some(address) = self.somebody_near() {
                let word = self.own_cut(None);
                way.send(address, word);
            }
        }
    }

    /// It has been told everything.
    pub(super) fn become_ready(&mut self, now: Time, way: &mut impl Way) {
        if !matches!(self.phase, Phase::Beginning { .. }) || self.map.is_catching_up() {
            return;
        }
        self.phase = Phase::Ready;
        way.tell(Event::Ready);
        self.keep_lines(now, way);
    }
}
