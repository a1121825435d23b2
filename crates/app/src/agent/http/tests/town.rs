//! [`Town`]: a few real agents of one place, driven by hand, and what is told to
//! them from afar.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use skein_edge::agent::{Agent, Command, Event, Message, Timer};
use skein_edge::dots::Actor;
use skein_edge::health::{self, Finding, Origin, Round, State};
use skein_edge::map::Map;
use skein_edge::membership::{self, Pace};
use skein_edge::spread::{self, Line, Tempo, Word};
use skein_edge::{Book, Member, Name, Planted};
use skein_machine::wire::to_bytes;
use skein_machine::{Effect, Machine, Out, ProcessId, Time};

pub(super) fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

/// When towns begin.
const DAWN: Time = Time::from_nanos(1_700_000_000_000_000_000);

pub(super) struct Town {
    agents: Vec<Agent>,
    pub(super) now: Time,
    messages: BTreeMap<(Time, u64), (ProcessId, ProcessId, Message)>,
    timers: BTreeMap<(u16, Timer), Time>,
    drawn: u64,
    /// Origins, by their place in the list, that are not well.
    pub(super) unwell: Vec<u32>,
}

impl Town {
    /// Agents `cph-1`, `cph-2`, ... in `cph`, who watch these origins.
    pub(super) fn of(agents: u16, origins: &[String]) -> Town {
        let origin = |text: &String| Origin { name: name(text), interval: Duration::from_secs(2), fall: 2, rise: 1 };
        let origins: Vec<Origin> = origins.iter().map(origin).collect();
        let agent = |nth: u16| {
            let address = Book::ruled_address(ProcessId(nth));
            let me = Member::new(name(&format!("cph-{}", nth + 1)), name("cph"), address).living(7);
            let seeds = vec![Book::ruled_address(ProcessId(0))];
            let membership = membership::Settings {
                me: me.clone(),
                seeds,
                pace: Pace::of(usize::from(agents)),
                planted: Planted::NONE,
            };
            let spread = spread::Settings { me, gateways: Vec::new(), tempo: Tempo::default(), planted: Planted::NONE };
            Agent::new(membership, spread, origins.clone(), Book::of_rule())
        };
        let agents = (0..agents).map(agent).collect();
        let (messages, timers) = (BTreeMap::new(), BTreeMap::new());
        Town { agents, now: DAWN, messages, timers, drawn: 0, unwell: Vec::new() }
    }

    pub(super) fn start(&mut self) {
        for nth in 0..self.agents.len() as u16 {
            self.act(nth, |agent, now, out| agent.start(now, u64::from(nth) + 1, out));
        }
    }

    /// Lets time pass.
    pub(super) fn run(&mut self, span: Duration) {
        let until = self.now.after(span);
        loop {
            let message = self.messages.first_key_value().map(|((at, _), _)| *at);
            let timer = self.timers.iter().min_by_key(|(_, at)| **at).map(|(timer, at)| (*at, timer.clone()));
            let next = message.into_iter().chain(timer.iter().map(|(at, _)| *at)).min();
            let Some(next) = next.filter(|next| *next <= until) else { break };
            self.now = self.now.max(next);
            match timer.filter(|(at, _)| *at == next) {
                Some((_, (nth, timer))) => {
                    self.timers.remove(&(nth, timer.clone()));
                    self.act(nth, |agent, now, out| agent.on_timer(now, timer, out));
                }
                None => {
                    let (_, (from, to, message)) = self.messages.pop_first().unwrap();
                    if usize::from(to.0) < self.agents.len() {
                        self.act(to.0, |agent, now, out| agent.on_message(now, from, message, out));
                    }
                }
            }
        }
        self.now = until;
    }

    /// Lets an agent act, and probes what it wants probed.
    fn act(&mut self, nth: u16, act: impl FnOnce(&mut Agent, Time, &mut Out<Agent>)) {
        for round in self.step(nth, act) {
            let is_well = !self.unwell.contains(&round.origin);
            let why = if is_well { "200 in 12 ms" } else { "no answer within 3 s" };
            let command = Command::Probed { round, is_well, why: Bytes::from_static(why.as_bytes()) };
            self.step(nth, |agent, now, out| agent.on_command(now, command, out));
        }
    }

    fn step(&mut self, nth: u16, act: impl FnOnce(&mut Agent, Time, &mut Out<Agent>)) -> Vec<Round> {
        let mut out = Out::new();
        let agent = &mut self.agents[usize::from(nth)];
        act(agent, self.now, &mut out);
        agent.finish(self.now, &mut out);
        let mut probed = Vec::new();
        for effect in out.drain() {
            match effect {
                Effect::Send(to, message) | Effect::SendEarly(to, message) => {
                    for to in to.iter() {
                        self.drawn += 1;
                        let at = self.now.after(Duration::from_millis(1));
                        self.messages.insert((at, self.drawn), (ProcessId(nth), to, message.clone()));
                    }
                }
                Effect::Arm(timer, after) => drop(self.timers.insert((nth, timer), self.now.after(after))),
                Effect::Disarm(timer) => drop(self.timers.remove(&(nth, timer))),
                Effect::Emit(Event::Probe(round)) | Effect::EmitEarly(Event::Probe(round)) => probed.push(round),
                Effect::Emit(_) | Effect::EmitEarly(_) => {}
                Effect::Persist(record) | Effect::Checkpoint(record) | Effect::Compact(record) => match record {},
            }
        }
        probed
    }

    /// The first agent hears of all that this map holds.
    pub(super) fn hear(&mut self, map: &mut Map) {
        let dots = map.seen().clone();
        for delta in map.news(&dots, 1 << 20) {
            let word = Message::Map(Word::News { delta, is_from_afar: true });
            self.act(0, |agent, now, out| agent.on_message(now, ProcessId(60_000), word, out));
        }
    }

    /// One of them that has died is not heard of again.
    pub(super) fn kill(&mut self, nth: u16) {
        assert!(usize::from(nth) + 1 == self.agents.len(), "the last one dies first");
        self.agents.pop();
        self.timers.retain(|(of, _), _| *of != nth);
    }

    /// The first agent, as it is now.
    pub(super) fn take(mut self) -> Agent {
        self.agents.swap_remove(0)
    }
}

/// A map that somebody far away has written.
pub(super) fn afar(writer: &str) -> Map {
    Map::new(Actor { member: name(writer).id(), life: 5 })
}

/// A member's line in a map.
pub(super) fn write_line(map: &mut Map, member: &str, place: &str, is_up: bool) {
    let address = Book::ruled_address(ProcessId(40_000 + (map.len() as u16 % 20_000)));
    let line = Line { member: Member::new(name(member), name(place), address).living(5), is_up };
    map.put(format!("@member/{member}").as_bytes(), to_bytes(&line)).unwrap();
}

/// What somebody there has found.
pub(super) fn found(state: State, by: &str, why: &str) -> Bytes {
    to_bytes(&Finding { state, by: name(by), why: Bytes::copy_from_slice(why.as_bytes()) })
}

pub(super) fn write_finding(map: &mut Map, place: &str, origin: &str, state: State, by: &str, why: &str) {
    map.put(&health::key(&name(place), &name(origin)), found(state, by, why)).unwrap();
}
