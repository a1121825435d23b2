//! How a replica lives: it starts, hears, ticks, and is told of links that
//! stand again. What each of these leads to is told in the other files.

use core::time::Duration;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use skein_machine::{Boot, Position, ProcessId, Stamp, Time, Up};

use super::record::Record;
use super::replica::Replica;
use super::wire::{Message, Start};
use super::{ClockKind, Effects, Timer};
use crate::Mutant;
use crate::parts::{Role, Run};

/// How often a replica tells its group that it lives, and looks at what should have come.
const TICK: Duration = Duration::from_millis(100);

/// Its user is told how far everything is delivered after so many ticks, even if it does not ask.
const TICKS_BETWEEN_SAFE_TIMES: u32 = 10;

impl Replica {
    /// Begins to live, with what was restored.
    pub(super) fn start(&mut self, seed: u64, out: &mut Effects) {
        if let Boot::Amnesiac { incarnation } = self.boot {
            self.election.forget(incarnation);
            out.persist(Record::Reborn(incarnation));
        }
        if self.planted.is(Mutant::PrimCastResumesAsPrimary) && self.held.leader == self.me && self.holds_its_promise()
        {
            self.election.lead();
        }
        // Where there is one replica, nobody else can lead. (With hybrid clocks patience is as long as the reserve: a
        // clock that was restarted at its ceiling must not pull a whole group into the future.)
        let is_alone = self.quorum() == 1 && self.settings.clock == ClockKind::Logical;
        self.election.start(seed, !is_alone);
        self.written = self.delivered();
        if self.kept() > 0 {
            self.hand_over_user(out);
        }
        self.deliver_again(self.position, self.kept(), out);
        // Replicas that start together do not tick together.
        out.arm(Timer::Tick, Duration::from_millis(self.election.random().between(1, TICK.as_millis() as u64)));
    }

    /// Gives the user the state that is kept here. Its messages may not be answered before the newest delivery.
    pub(super) fn hand_over_user(&mut self, out: &mut Effects) {
        out.emit_early(Up::Install { position: self.kept(), bytes: self.user.clone() });
        if let Some(newest) = self.newest.filter(|_| self.settings.clock_error.is_some()) {
            self.past.wait_for(newest);
        }
    }

    /// Tells the user once more what it may have lost: what has had its turn since `from`, as far as the user,
    /// who has been told of so many, does not hold it.
    pub(super) fn deliver_again(&mut self, from: Position, told: Position, out: &mut Effects) {
        let lost = self.outcomes.iter().skip((from - self.first_outcome) as usize);
        let mut lost: Vec<Stamp> = lost.map(|outcome| Stamp { timestamp: outcome.timestamp, id: outcome.id }).collect();
        lost.retain(|stamp| self.early.turn(stamp.id).is_none() && !self.early.covers(stamp.id));
        for (position, stamp) in (told..).zip(lost) {
            let index = self.find(stamp.id).expect("what the user may have lost is kept");
            self.tell_user(position, stamp, index, out);
        }
    }

    pub(super) fn on_message(&mut self, now: Time, from: ProcessId, message: Message, out: &mut Effects) {
        if self.election.is_amnesiac() {
            return self.on_message_without_memory(now, from, message, out);
        }
        if let Err(why) = self.may_say(from, &message) {
            panic!("{why}");
        }
        match message {
            Message::Start(start) => self.on_start(now, from, start, out),
            Message::Append { epoch, previous, entries } => self.on_append(from, epoch, previous, entries, out),
            Message::Report(report) => {
                self.on_report(from, &report);
                self.resend_more(from, out);
            }
            Message::Raise(timestamp) => self.on_raise(now, from, timestamp, out),
            Message::Inquire { name, clock } => self.on_inquire(now, from, name, clock, out),
            Message::Reply { name, report } => {
                self.on_reply(from, name, report.clock);
                self.on_report(from, &report);
                self.resend_more(from, out);
            }
            Message::Headers { epoch, settled, headers } => self.on_headers(from, epoch, settled, headers, out),
            Message::Acknowledge { held, index, settled } => self.on_acknowledge(from, held, index, settled),
            Message::Settled(places) => self.on_settled(from, &places),
            Message::Ask(questions) => self.on_ask(from, &questions, out),
            Message::Canvass => self.on_canvass(from, out),
            Message::Silent => self.on_silent(from, out),
            Message::NewEpoch(candidacy) => self.on_new_epoch(now, from, candidacy, out),
            Message::Promise(promise) => self.on_promise(from, *promise, out),
            Message::NewState { reign, previous, previous_epoch, entries } => {
                self.on_new_state(from, reign, Run { epoch: previous_epoch, last: previous }, entries, out);
            }
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::Outcomes(position, outcomes) => self.on_outcomes(position, outcomes, out),
            Message::Rejoin(incarnation) => self.on_rejoin(from, incarnation, out),
            Message::Stand => self.on_stand(from, out),
            Message::Ahead => self.on_ahead(from),
            Message::Standing(standing) => self.on_standing(from, &standing),
            Message::Certify(timestamp) => self.on_certify(from, timestamp, out),
            Message::Primary(_) | Message::Done(..) | Message::Refused(..) => {
                unreachable!("the sender hears these")
            }
        }
    }

    /// Who may say what: a mistake in it is a bug here or in a configuration, and would spoil a quorum silently.
    pub(super) fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        let (speaker, group) = (self.cluster.group_of(from), self.group);
        match message {
            Message::Start(Start { message, .. }) => {
                self.cluster
                    .admit(message)
                    .map_err(|error| format!("{from} sent {} to {group}: {error}", message.id))?;
                let is_mine = message.id.destinations.contains(group);
                is_mine.then_some(()).ok_or_else(|| format!("{from} sent {} to {group}, no destination", message.id))
            }
            Message::Headers { .. }
            | Message::Acknowledge { .. }
            | Message::Settled(_)
            | Message::Ask(_)
            | Message::Standing(_)
            | Message::Certify(_) => {
                let is_other = speaker.is_some_and(|speaker| speaker != group);
                is_other.then_some(()).ok_or_else(|| format!("{from} says to {group} what only other groups may"))
            }
            _ => {
                let is_own = speaker == Some(group);
                is_own.then_some(()).ok_or_else(|| format!("{from} says to {group} what only its members may"))
            }
        }
    }

    /// It has forgotten what it promised, so it does nothing before a state gives it a new beginning. What other
    /// groups show and hold is no promise of its own, and nobody may say it again: that it keeps.
    fn on_message_without_memory(&mut self, now: Time, from: ProcessId, message: Message, out: &mut Effects) {
        match message {
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::Headers { epoch, settled, headers } => self.on_headers(from, epoch, settled, headers, out),
            Message::Acknowledge { held, index, settled } => self.on_acknowledge(from, held, index, settled),
            Message::Standing(standing) => self.on_standing(from, &standing),
            Message::NewEpoch(candidacy) if self.planted.is(Mutant::PrimCastVotesWithoutMemory) => {
                self.on_new_epoch(now, from, candidacy, out);
            }
            Message::Inquire { name, clock } if self.planted.is(Mutant::PrimCastRepliesWithoutMemory) => {
                self.on_inquire(now, from, name, clock, out);
            }
            _ => {}
        }
    }

    /// Ten times a second: a heartbeat, and everything that is tried until it works.
    pub(super) fn tick(&mut self, now: Time, out: &mut Effects) {
        out.arm(Timer::Tick, TICK);
        self.ticks = self.ticks.wrapping_add(1);
        self.write_deliveries(out);
        if let Some(reading) = self.reading(now) {
            self.raise_clock(reading, out);
        }
        self.tick_election(out);
        if self.election.is_amnesiac() {
            return;
        }
        self.mind_the_clocks(now, out);
        self.say_heartbeat(now, out);
        self.help_those_behind(out);
        self.announce_settled(out);
        self.ask_other_groups(out);
        self.propose_what_is_void(now, out);
        self.ask_for_certificates(out);
        self.inquire_again(now, out);
        self.pursue_target(now, out);
        if self.ticks.is_multiple_of(TICKS_BETWEEN_SAFE_TIMES) {
            self.tell_safe_time_anyway(out);
        }
    }

    /// What was on its way to this process, or from it, may be lost.
    pub(super) fn on_reconnect(&mut self, now: Time, peer: ProcessId, out: &mut Effects) {
        let Some(group) = self.cluster.group_of(peer) else { return };
        if self.election.is_amnesiac() {
            if group == self.group {
                out.send(peer, Message::Rejoin(self.election.incarnation()));
            }
            return;
        }
        if group != self.group {
            self.tell_everything_owed(group, &[peer], out);
            self.certify_again(peer, group, out);
            return;
        }
        out.send(peer, Message::Report(self.report(now)));
        let known = self.peers.get_mut(&peer).expect("every replica of the group is known");
        known.begin_anew();
        let holds = known.held == self.held;
        match self.election.role() {
            Role::Primary if holds => self.resend(peer, out),
            Role::Primary | Role::Candidate => out.send(peer, Message::NewEpoch(self.candidacy())),
            _ => {}
        }
    }
}
