//! How a replica lives: it starts, hears, ticks, and is told of links that
//! stand again. What each of these leads to is told in the other files.

use core::time::Duration;

use alloc::format;
use alloc::string::String;

use skein_machine::{ProcessId, Random, Up};

use super::replica::Replica;
use super::wire::{Message, Start};
use super::{Effects, Timer};

/// How often a replica tells its group that it lives, and looks at what should have come.
const TICK: Duration = Duration::from_millis(100);

impl Replica {
    /// Begins to live, with what was restored.
    pub(super) fn start(&mut self, seed: u64, out: &mut Effects) {
        self.random = Random::new(seed);
        self.consensus.start(self.random.word(), out);
        self.told = self.position;
        if self.position > 0 {
            out.emit(Up::Install { position: self.position, bytes: self.user.clone() });
        }
        // Replicas that start together do not tick together.
        out.arm(Timer::Tick, Duration::from_millis(self.random.between(1, TICK.as_millis() as u64)));
    }

    pub(super) fn on_message(&mut self, from: ProcessId, message: Message, out: &mut Effects) {
        if let Err(why) = self.may_say(from, &message) {
            panic!("{why}");
        }
        match message {
            Message::Agreement(agreement) => {
                self.consensus.on_message(from, *agreement, out);
                self.take_over_what_arrives(out);
            }
            // What others have decided is true whoever hears it; everything else asks for a memory.
            Message::Hard { settled, facts, .. } => self.on_hard(from, settled, &facts),
            _ if self.consensus.is_amnesiac() => {}
            Message::Start(start) => self.on_start(from, start, out),
            Message::Soft { guesses, .. } => self.on_soft(from, guesses),
            Message::Learned(places) => self.on_learned(from, &places),
            Message::Ask(questions) => self.on_ask(from, &questions, out),
            Message::Heard(messages) => self.on_heard(messages),
            Message::Raise(timestamp) => self.raise_to(timestamp, out),
            Message::Inquire(name) => self.on_inquire(from, name, out),
            Message::Reply(name, end) => self.on_reply(from, name, end),
            Message::Primary(_) | Message::Done(..) | Message::Refused(..) => {
                unreachable!("the sender hears these")
            }
        }
    }

    /// Who may say what: a mistake in it is a bug here or in a configuration, and would spoil a quorum silently.
    pub(super) fn may_say(&self, from: ProcessId, message: &Message) -> Result<(), String> {
        let (speaker, group) = (self.cluster.group_of(from), self.group);
        match message {
            Message::Start(Start { message, shown, .. }) => {
                self.cluster
                    .admit(message)
                    .map_err(|error| format!("{from} sent {} to {group}: {error}", message.id))?;
                if !message.id.destinations.contains(group) {
                    return Err(format!("{from} sent {} to {group}, no destination", message.id));
                }
                let is_sound = shown.as_ref().is_none_or(|shown| {
                    // A follower passes it on to the own leader.
                    let is_theirs = speaker == Some(shown.group) || speaker == Some(group);
                    is_theirs && message.id.destinations.contains(shown.group) && shown.fact.id == message.id
                });
                is_sound.then_some(()).ok_or_else(|| format!("{from} shows {group} what is not its own to show"))
            }
            Message::Soft { .. } | Message::Hard { .. } | Message::Learned(_) | Message::Ask(_) => {
                let is_other = speaker.is_some_and(|speaker| speaker != group);
                is_other.then_some(()).ok_or_else(|| format!("{from} says to {group} what only other groups may"))
            }
            _ => {
                let is_own = speaker == Some(group);
                is_own.then_some(()).ok_or_else(|| format!("{from} says to {group} what only its members may"))
            }
        }
    }

    /// Ten times a second: a heartbeat, and everything that is tried until it works.
    pub(super) fn tick(&mut self, out: &mut Effects) {
        out.arm(Timer::Tick, TICK);
        self.ticks = self.ticks.wrapping_add(1);
        self.consensus.tick(out);
        if self.consensus.is_amnesiac() {
            return;
        }
        self.tick_reign(out);
        self.ask_other_groups(out);
        self.tick_reads(out);
    }

    /// What was on its way to this process, or from it, may be lost.
    pub(super) fn on_reconnect(&mut self, peer: ProcessId, out: &mut Effects) {
        match self.cluster.group_of(peer) {
            Some(group) if group == self.group => self.consensus.on_reconnect(peer, out),
            Some(group) if !self.consensus.is_amnesiac() => self.tell_everything_owed(group, peer, out),
            _ => {}
        }
    }
}
