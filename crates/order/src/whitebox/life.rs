//! How a replica lives: it starts, hears, ticks, and is told of links that
//! stand again. What each of these leads to is told in the other files.

use core::time::Duration;

use alloc::format;
use alloc::string::String;

use skein_machine::{Boot, ProcessId, Up};

use super::record::Record;
use super::replica::Replica;
use super::wire::{Message, Start};
use super::{Effects, Timer};
use crate::Mutant;
use crate::parts::Role;

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
        let led = self.held.leader == self.me && self.held == self.election.promised();
        if self.planted.is(Mutant::WhiteBoxResumesAsLeader) && led {
            self.election.lead();
            self.is_established = true;
        }
        // One that is a group of its own waits for nobody.
        self.election.start(seed, self.quorum() > 1);
        (self.written, self.shown) = (self.delivered(), self.delivered());
        if self.position > 0 {
            out.emit(Up::Install { position: self.position, bytes: self.user.clone() });
        }
        self.deliver_again(self.position, out);
        // Replicas that start together do not tick together.
        let first = self.election.random().between(1, TICK.as_millis() as u64);
        out.arm(Timer::Tick, Duration::from_millis(first));
    }

    pub(super) fn on_message(&mut self, from: ProcessId, message: Message, out: &mut Effects) {
        if self.election.is_amnesiac() {
            return self.on_message_without_memory(from, message, out);
        }
        if let Err(why) = self.may_say(from, &message) {
            panic!("{why}");
        }
        match message {
            Message::Start(start) => self.on_start(from, start, out),
            Message::Propose { epoch, entries } => self.on_propose(from, epoch, entries, out),
            Message::Accept { epoch, settled, headers } => self.on_accept(from, epoch, settled, headers, out),
            Message::Acknowledge { incarnation, promised, clock, votes } => {
                self.on_acknowledge(from, (incarnation, promised), clock, votes);
            }
            Message::Deliver { position, outcomes, safe } => self.on_deliver(position, outcomes, safe, out),
            Message::Past(position, delivered) => self.on_past(position, delivered, out),
            Message::Facts(facts) => self.on_facts(from, facts),
            Message::Report(report) => self.on_report(from, &report, out),
            Message::Raise(timestamp) => self.on_raise(from, timestamp, out),
            Message::Inquire(name) => self.on_inquire(from, name, out),
            Message::Reply(name, report) => {
                self.on_reply(from, name, report.clock);
                self.on_report(from, &report, out);
            }
            Message::Settled(timestamps) => self.on_settled(from, &timestamps),
            Message::Ask(questions) => self.on_ask(from, &questions, out),
            Message::Canvass => self.on_canvass(from, out),
            Message::Silent => self.on_silent(from, out),
            Message::NewLeader(candidacy) => self.on_new_leader(from, candidacy, out),
            Message::Promise(promise) => self.on_promise(from, *promise, out),
            Message::NewState(inheritance) => self.on_new_state(from, *inheritance, out),
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::Rejoin(incarnation) => self.on_rejoin(from, incarnation, out),
            Message::Stand => self.on_stand(from, out),
            Message::Leader(_) | Message::Done(..) | Message::Refused(..) => unreachable!("the sender hears these"),
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
            Message::Accept { headers, .. } => {
                let is_other = speaker.is_some_and(|speaker| speaker != group);
                let is_shared = headers.iter().all(|header| {
                    let destinations = header.id.destinations;
                    destinations.contains(group) && speaker.is_some_and(|speaker| destinations.contains(speaker))
                });
                let is_allowed = is_other && (is_shared || headers.is_empty());
                is_allowed.then_some(()).ok_or_else(|| format!("{from} proposes to {group} what is not theirs"))
            }
            Message::Facts(_) | Message::Settled(_) | Message::Ask(_) => {
                let is_other = speaker.is_some_and(|speaker| speaker != group);
                is_other.then_some(()).ok_or_else(|| format!("{from} says to {group} what only other groups may"))
            }
            Message::Acknowledge { votes, .. } => {
                let is_shared =
                    votes.iter().all(|vote| speaker.is_some_and(|speaker| vote.id.destinations.contains(speaker)));
                is_shared.then_some(()).ok_or_else(|| format!("{from} acknowledges what does not concern it"))
            }
            _ => {
                let is_own = speaker == Some(group);
                is_own.then_some(()).ok_or_else(|| format!("{from} says to {group} what only its members may"))
            }
        }
    }

    /// It has forgotten what it promised, so it does nothing before a state gives it a new beginning. What other groups
    /// show in the meantime they will show again, or tell what became of it.
    fn on_message_without_memory(&mut self, from: ProcessId, message: Message, out: &mut Effects) {
        match message {
            Message::Snapshot(reign, state) => self.on_snapshot(from, reign, *state, out),
            Message::NewLeader(candidacy) if self.planted.is(Mutant::WhiteBoxVotesWithoutMemory) => {
                self.on_new_leader(from, candidacy, out);
            }
            Message::Inquire(name) if self.planted.is(Mutant::WhiteBoxRepliesWithoutMemory) => {
                self.on_inquire(from, name, out);
            }
            _ => {}
        }
    }

    /// The end of a turn: what became possible, and what has to be said.
    pub(super) fn finish(&mut self, out: &mut Effects) {
        let holders = self.peers.values().filter(|peer| peer.held == self.held).count();
        if !self.is_established && holders >= self.quorum() {
            self.is_established = true;
            self.begin_reign(out);
        }
        self.show_proposals(out);
        self.deliver_what_is_ripe(out);
        self.acknowledge(out);
        self.pursue_reads(out);
        self.tell_safe_time(out);
        if !self.held.is_first() && self.said.as_ref().is_none_or(|said| said.held != self.held) {
            // Its leader waits for a quorum that holds the epoch.
            self.say_heartbeat(out);
        }
        self.ask_for_checkpoint(out);
    }

    /// Ten times a second: a heartbeat, and everything that is tried until it works.
    pub(super) fn tick(&mut self, out: &mut Effects) {
        out.arm(Timer::Tick, TICK);
        self.ticks = self.ticks.wrapping_add(1);
        self.write_deliveries(out);
        self.tick_election(out);
        if self.election.is_amnesiac() {
            return;
        }
        self.settle_safe_time();
        self.say_heartbeat(out);
        self.help_those_behind(out);
        self.announce_settled(out);
        self.ask_other_groups(out);
        self.propose_what_is_void(out);
        self.inquire_again(out);
        self.pursue_target(out);
        if self.ticks.is_multiple_of(TICKS_BETWEEN_SAFE_TIMES) {
            self.tell_safe_time_anyway(out);
            self.drop_what_is_over();
        }
    }

    /// What was on its way to this process, or from it, may be lost.
    pub(super) fn on_reconnect(&mut self, peer: ProcessId, out: &mut Effects) {
        let Some(group) = self.cluster.group_of(peer) else { return };
        if self.election.is_amnesiac() {
            if group == self.group {
                out.send(peer, Message::Rejoin(self.election.incarnation()));
            }
            return;
        }
        self.acknowledge_again(peer);
        if group != self.group {
            self.tell_everything_owed(group, peer, out);
            return;
        }
        out.send(peer, Message::Report(self.report()));
        let known = self.peers.get_mut(&peer).expect("every replica of the group is known");
        known.begin_anew();
        let holds = known.held == self.held;
        match self.election.role() {
            Role::Primary if holds && self.may_lead() => self.show_everything(peer, out),
            Role::Primary if holds => {}
            Role::Primary | Role::Candidate => out.send(peer, Message::NewLeader(self.candidacy())),
            _ => {}
        }
    }
}
