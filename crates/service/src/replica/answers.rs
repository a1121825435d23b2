//! Answers: questions that can be answered by now, what may leave and what has
//! to wait, and whom to ask how far things are. What may leave is decided in
//! `settled.rs`; here it is asked for and done.

use alloc::vec::Vec;

use skein_machine::{GroupId, Ordering, ProcessId, Reply, Service, Time, Timestamp, Told};

use super::sessions::{Found, Outcome};
use super::wire::{Answer, Message, ParcelId};
use super::{Effects, Mode, Replica};
use crate::settled::Word;

/// Answers to what was asked at once are no longer than this, but for the last of them; what comes after is refused.
/// A question is short, whatever its answer is, and a thousand of them travel together.
pub(super) const MAX_ANSWERS: usize = 64 << 20;

/// What is refused so is told.
pub(super) const TOO_LONG: &str =
    "the answers before this one are more than 64 MiB together, and nothing was done: ask for less at once";

/// Somebody to answer, when it is time.
#[derive(Clone, Debug, Hash)]
pub(super) enum Due {
    /// The entry in the same process.
    Here(ParcelId, Timestamp, Outcome),
    /// An entry elsewhere.
    There(ProcessId, ParcelId, Timestamp, Outcome),
    /// Whoever asked a question.
    Reader(u64, Timestamp, Vec<Reply>),
}

impl<M: Ordering, S: Service> Replica<M, S> {
    /// Questions that can be answered by now, and answers that may leave.
    pub(super) fn answer_questions(&mut self, out: &mut Effects<M, S>) {
        let here = self.line.first().map_or(self.safe, |first| self.safe.min(Timestamp(first.0.saturating_sub(1))));
        // Of what is applied in part a question sees that part, and must not see the world as it was before.
        let applied = self.applied.map_or(Timestamp::ZERO, |stamp| stamp.timestamp);
        let newest = self.line.first().filter(|_| self.line.is_in_the_middle()).unwrap_or(applied);
        for (timestamp, read) in self.reads.ready(here) {
            let Some(token) = read.token else {
                self.is_catching_up = false;
                continue;
            };
            let now = timestamp.max(newest);
            let mut left = MAX_ANSWERS;
            let answer = |query| {
                let reply = match left {
                    0 => self.service.refuse(query, TOO_LONG),
                    _ => self.service.read(now, query),
                };
                left = left.saturating_sub(reply.0.len());
                reply
            };
            let replies = read.queries.iter().map(answer).collect();
            let shows_unsettled = !read.is_linearizable || self.planted.is(crate::Mutant::ReplicaReadsTheUnsettled);
            let need = if shows_unsettled { Timestamp::ZERO } else { self.need_to_show(newest) };
            self.answer(need, Due::Reader(token, now, replies), out);
        }
        self.settled.advance(self.safe);
        for due in self.held.release(self.may_show()) {
            self.tell(due, out);
        }
        let answered = self.inquiries.answer(self.safe);
        if !answered.is_empty() {
            let word = Word::of(self.group, self.safe, &self.settled);
            answered.into_iter().for_each(|process| out.send(process, Message::Standing(word.clone())));
        }
    }

    /// What has to be settled, or past, before anybody may see the newest of what was delivered here.
    fn need_to_show(&self, newest: Timestamp) -> Timestamp {
        match self.settings.mode {
            Mode::LinearizableClock(_) => newest,
            Mode::Ordered | Mode::Linearizable => self.settled.need(),
        }
    }

    /// Answers that need no more than this may leave.
    fn may_show(&self) -> Timestamp {
        match self.settings.mode {
            Mode::Ordered => Timestamp::MAX,
            Mode::Linearizable => self.settled.upto(),
            Mode::LinearizableClock(_) => self.past,
        }
    }

    /// Where clocks are relied on, nothing that is over anywhere has a higher timestamp than the present by a clock
    /// that is behind: whoever asks now has to see all of that.
    pub(super) fn raise_to_present(&mut self, now: Time) -> Option<Timestamp> {
        let Mode::LinearizableClock(error) = self.settings.mode else { return None };
        if self.planted.is(crate::Mutant::ReplicaReadsInThePast) {
            return None;
        }
        let present = Timestamp(now.after(error).as_nanos());
        self.reads.not_below(present);
        Some(present)
    }

    /// An answer leaves, now or when what it needs is settled.
    pub(super) fn answer(&mut self, need: Timestamp, due: Due, out: &mut Effects<M, S>) {
        if need <= self.may_show() {
            self.tell(due, out);
        } else {
            self.held.hold(need, due);
        }
    }

    pub(super) fn tell(&mut self, due: Due, out: &mut Effects<M, S>) {
        match due {
            Due::Here(parcel, timestamp, outcome) => {
                self.hear_answer(parcel, self.group, timestamp, Some(outcome), out);
            }
            Due::There(entry, parcel, timestamp, outcome) => {
                let answer = Message::Answer(parcel, timestamp, Answer(Some(outcome)));
                if self.is_early {
                    out.send_early(entry, answer);
                } else {
                    out.send(entry, answer);
                }
            }
            Due::Reader(token, timestamp, replies) => {
                out.emit_as(self.is_early, Told::Read { token, timestamp, replies });
            }
        }
    }

    pub(super) fn hear_answer(
        &mut self,
        parcel: ParcelId,
        group: GroupId,
        timestamp: Timestamp,
        outcome: Option<Outcome>,
        out: &mut Effects<M, S>,
    ) {
        let mut tell = Vec::new();
        self.entry.answered(parcel, group, timestamp, outcome, &mut tell);
        tell.into_iter().for_each(|told| out.emit_as(self.is_early, told));
    }

    /// An entry has not heard what became of its parcel.
    pub(super) fn on_ask_answer(
        &mut self,
        from: ProcessId,
        parcel: ParcelId,
        done: Timestamp,
        out: &mut Effects<M, S>,
    ) {
        match self.sessions.find(parcel.session, parcel.sequence) {
            Found::Outcome(timestamp, outcome) => {
                // Nobody remembers what stood before it, but nothing above it did.
                let (outcome, need) = (outcome.clone(), timestamp.min(self.need_to_show(timestamp)));
                self.answer(need, Due::There(from, parcel, timestamp, outcome), out);
            }
            Found::Forgotten => out.send(from, Message::Answer(parcel, Timestamp::ZERO, Answer(None))),
            // Its whole stream is forgotten, unless it is not applied yet.
            Found::Unknown
                if done > Timestamp::ZERO && self.applied.is_some_and(|applied| applied.timestamp > done) =>
            {
                out.send(from, Message::Answer(parcel, Timestamp::ZERO, Answer(None)));
            }
            Found::Unknown => {}
        }
    }

    /// Somebody waits until everything up to this timestamp is delivered here: another group, a question, or an answer
    /// that is held, since nothing is settled here before.
    pub(super) fn waited_for(&self) -> Timestamp {
        let others = self.inquiries.waited_for();
        others.max(self.reads.highest()).max(self.to_be_settled()).unwrap_or(Timestamp::ZERO)
    }

    /// What is held until others say how far they are; for what is past nobody has to do anything.
    fn to_be_settled(&self) -> Option<Timestamp> {
        self.held.highest().filter(|_| self.settings.mode == Mode::Linearizable)
    }

    /// Whether the order does not know of it yet.
    pub(super) fn waits_for_more(&self) -> bool {
        self.waited_for() > self.safe.max(self.raised)
    }

    /// Whoever waits asks: how far are those whose messages may stand before what is answered here?
    pub(super) fn ask_how_far_others_are(&mut self, out: &mut Effects<M, S>) {
        for (process, upto) in self.inquiries.pursue(self.to_be_settled(), &self.settled, self.safe) {
            out.send(process, Message::AskStanding(upto));
        }
    }
}
