//! [`Clients`]: each asks for one thing after the other at some replica, looks
//! for another when that one refuses or is silent, and writes down what it
//! asked and what it was told.

use std::collections::BTreeMap;

use bytes::Bytes;
use skein_machine::wire::to_bytes;
use skein_machine::{ProcessId, Random, Reply};
use skein_order::mu::Command;
use skein_sim::check::linear::{Fate, Key, Operation};
use skein_sim::lists::{self, Deed};
use skein_sim::{MICROSECOND, MILLISECOND, Nanos};

use super::run::Stage;

/// How many there are.
const CLIENTS: usize = 5;

/// How many lists: few, so that all get in each other's way.
const LISTS: u64 = 2;

/// How long one waits for an answer.
const PATIENCE: Nanos = 60 * MILLISECOND;

/// All clients.
pub(super) struct Clients {
    random: Random,
    replicas: usize,
    clients: Vec<Client>,
    /// Who waits for what: operations are numbered by tokens.
    pub(super) operations: Vec<Operation>,
    next_element: u64,
    waits: BTreeMap<u64, usize>,
    closing: Closing,
}

#[derive(Clone, Copy, Default)]
struct Client {
    entry: usize,
    open: Option<u64>,
    /// It is quiet until then.
    until: Nanos,
}

/// How far the end has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Closing {
    No,
    /// Nobody begins anything; what is open is finished.
    Quiet,
    /// A last look at everything was asked for.
    Looking(u64),
    /// All replicas should come to the same.
    Levelling,
    /// They have, so far, and since then.
    Level(u64, Nanos),
    Over,
}

/// What a client was told.
#[derive(Clone, Copy)]
pub(super) enum Heard<'a> {
    Answer(&'a Reply),
    /// It did not happen, and will not.
    Refusal,
    /// It may happen or not.
    Nothing,
}

impl Clients {
    pub(super) fn new(replicas: usize, random: Random) -> Clients {
        Clients {
            random,
            replicas,
            clients: vec![Client::default(); CLIENTS],
            operations: Vec::new(),
            next_element: 1,
            waits: BTreeMap::new(),
            closing: Closing::No,
        }
    }

    /// Whoever has nothing open asks for something; whoever has waited too long gives up. Answers how long to wait.
    pub(super) fn act(&mut self, stage: &mut Stage) -> Nanos {
        let now = stage.world.now();
        for nth in 0..self.clients.len() {
            if let Some(open) = self.clients[nth].open
                && now > self.operations[open as usize].asked + PATIENCE
            {
                self.finish(now, open, Heard::Nothing);
            }
            let client = self.clients[nth];
            if client.open.is_none() && client.until <= now && self.closing == Closing::No {
                let deed = self.deed();
                self.ask(nth, &deed, stage);
            }
        }
        self.random.between(50 * MICROSECOND, 500 * MICROSECOND)
    }

    fn deed(&mut self) -> Deed {
        let mut keys: Vec<Key> = (0..LISTS).filter(|_| self.random.chance(0.6)).collect();
        if keys.is_empty() {
            keys.push(self.random.below(LISTS));
        }
        self.next_element += 1;
        let element = self.next_element;
        match self.random.below(10) {
            0..5 => Deed::Append(keys.into_iter().map(|key| (key, element)).collect()),
            5..8 => Deed::Look(keys),
            _ => {
                let to = keys[0];
                Deed::Gather { from: (0..LISTS).filter(|key| *key != to).collect(), to: (to, element) }
            }
        }
    }

    fn ask(&mut self, nth: usize, deed: &Deed, stage: &mut Stage) {
        let entry = self.clients[nth].entry;
        let token = self.operations.len() as u64;
        self.operations.push(Operation {
            who: format!("client {nth}, operation {token}"),
            asked: stage.world.now(),
            answered: None,
            fate: Fate::Unknown,
            appends: deed.appends(),
            saw: Vec::new(),
        });
        self.clients[nth].open = Some(token);
        self.waits.insert(token, nth);
        let request: Bytes = to_bytes(deed);
        if !stage.world.command(ProcessId(entry as u16), Command::Propose { token, request }) {
            self.finish(stage.world.now(), token, Heard::Refusal);
        }
    }

    /// A client was told something.
    pub(super) fn hear(&mut self, now: Nanos, token: u64, heard: Heard<'_>) {
        self.finish(now, token, heard);
    }

    fn finish(&mut self, now: Nanos, token: u64, heard: Heard<'_>) {
        // Whoever gave up does not listen any more.
        let Some(nth) = self.waits.remove(&token) else { return };
        let operation = &mut self.operations[token as usize];
        let moves_on = !matches!(heard, Heard::Answer(_));
        match heard {
            Heard::Answer(reply) => {
                operation.fate = Fate::Done;
                operation.saw = lists::saw(reply);
                operation.answered = Some(now);
            }
            Heard::Refusal => operation.fate = Fate::Never,
            Heard::Nothing => {}
        }
        let pause = self.random.below(2 * MILLISECOND);
        let client = &mut self.clients[nth];
        client.open = None;
        client.until = now + pause;
        if moves_on {
            client.entry = self.random.below(self.replicas as u64) as usize;
        }
    }

    /// A processor died with whatever it was asked.
    pub(super) fn died(&mut self, now: Nanos, replica: usize) {
        for nth in 0..self.clients.len() {
            if self.clients[nth].entry == replica
                && let Some(open) = self.clients[nth].open
            {
                self.finish(now, open, Heard::Nothing);
            }
        }
    }

    /// Brings the run to its end: everything open is finished, somebody looks at everything, and all replicas come to the
    /// same state. Whether it is over.
    pub(super) fn close(&mut self, stage: &mut Stage) -> bool {
        self.closing = match self.closing {
            Closing::No => Closing::Quiet,
            Closing::Quiet if self.clients.iter().all(|client| client.open.is_none()) => {
                let token = self.operations.len() as u64;
                self.ask(0, &Deed::Look((0..LISTS).collect()), stage);
                Closing::Looking(token)
            }
            Closing::Looking(token) if self.operations[token as usize].fate == Fate::Done => Closing::Levelling,
            // Refused, or whoever was asked did not know: somebody else is asked.
            Closing::Looking(_) if self.clients[0].open.is_none() && self.clients[0].until <= stage.world.now() => {
                Closing::Quiet
            }
            Closing::Levelling => level(stage).map_or(Closing::Levelling, |at| Closing::Level(at, stage.world.now())),
            Closing::Level(at, _) if level(stage) != Some(at) => Closing::Levelling,
            // What was applied in that turn, which may have lasted, has been told by now.
            Closing::Level(_, since) if stage.world.now() > since + 3 * MILLISECOND => Closing::Over,
            other => other,
        };
        self.is_closed()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing == Closing::Over
    }

    /// What the end waits for.
    pub(super) fn missing(&self) -> &'static str {
        match self.closing {
            Closing::No | Closing::Quiet => "somebody waits for an answer for ever",
            Closing::Looking(_) => "nobody answers",
            Closing::Levelling => "replicas do not come to the same state",
            Closing::Level(..) | Closing::Over => "all is well",
        }
    }
}

/// How far all replicas have applied, if all the same.
fn level(stage: &Stage) -> Option<u64> {
    let mut applied = (0..stage.plan.replicas).map(|replica| stage.applied(replica));
    let first = applied.next().filter(|first| *first > 0);
    first.filter(|first| applied.all(|other| other == *first))
}
