//! [`World`]: machines, and everything around them that a real host would be.
//!
//! The world performs the effects of each step exactly as promised in
//! [`skein_machine::Out`]. Every message and record crosses it as bytes, so
//! encodings are exercised too. It is driven from outside by
//! [`World::next`], which runs until something happened that somebody outside
//! wants to know. What breaks, and when, is not decided here.

mod datagrams;
mod fate;

use bytes::Bytes;
use skein_machine::wire::{self, VERSION};
use skein_machine::{Boot, Effect, Machine, Out, ProcessId, Random, Recipients, Time, Token};

use crate::agenda::Agenda;
use crate::network::LinkId;
use crate::process::Process;
use crate::{Disk, DiskHabits, Latency, MILLISECOND, Nanos, Network, Sent, Trace};

/// How often a turn lasts longer than one call.
const LINGERS: f64 = 0.1;

/// How long it lasts then, at most.
const LONGEST_TURN: Nanos = 2 * MILLISECOND;

/// Makes the machine of a process for a new life.
pub type Maker<M> = Box<dyn Fn(ProcessId, Boot) -> M>;

/// A network of machines with one virtual time.
pub struct World<M: Machine> {
    now: Nanos,
    agenda: Agenda<Event<M>>,
    processes: Vec<Process<M>>,
    /// The place of each process in the list, by its number.
    places: Vec<Option<usize>>,
    network: Network,
    random: Random,
    maker: Maker<M>,
    /// What machines told their users, not yet handed out.
    told: std::collections::VecDeque<Occurrence<M::Event>>,
    out: Out<M>,
    trace: Option<Trace>,
    traffic: Vec<Sent>,
    bytes_sent: u64,
    /// Now and then a process is slow to look, and takes several things in one turn.
    lingers: bool,
    /// Machines are asked after each turn whether all is well with them.
    checks: bool,
}

/// What the agenda holds.
pub(crate) enum Event<M: Machine> {
    Arrival(LinkId),
    Datagram { from: usize, place: usize, message: Bytes },
    ToItself { place: usize, life: u32, message: Bytes },
    Timer { place: usize, timer: M::Timer, token: Token },
    SyncDone { place: usize, life: u32 },
    Compacted { place: usize, life: u32, number: u64 },
    Command { place: usize, life: u32, command: M::Command },
    TurnOver { place: usize, life: u32 },
    Reconnect(usize, usize),
    Wake(u64),
}

/// What the world tells those outside.
#[derive(Debug)]
pub enum Occurrence<E> {
    /// A machine told its user something.
    Told {
        /// Which process.
        process: ProcessId,
        /// In which of its lives.
        life: u32,
        /// What it said.
        event: E,
    },
    /// A process stopped by itself, because its disk failed it.
    Stopped(ProcessId),
    /// The moment for which [`World::wake_at`] was asked.
    Wake(u64),
}

impl<M: Machine> World<M> {
    /// All processes up for the first time, at time zero.
    pub fn new(processes: &[ProcessId], latency: Latency, disks: DiskHabits, seed: u64, maker: Maker<M>) -> World<M> {
        let highest = processes.iter().map(|process| process.0).max().expect("a world has a process");
        let mut places = vec![None; usize::from(highest) + 1];
        for (place, process) in processes.iter().enumerate() {
            assert!(places[usize::from(process.0)].replace(place).is_none(), "{process} was named twice");
        }
        World {
            now: 0,
            agenda: Agenda::new(),
            processes: processes.iter().map(|process| Process::new(*process, Disk::new(disks))).collect(),
            places,
            network: Network::new(latency),
            random: Random::new(seed),
            maker,
            told: std::collections::VecDeque::new(),
            out: Out::new(),
            trace: None,
            traffic: Vec::new(),
            bytes_sent: 0,
            lingers: false,
            checks: true,
        }
    }

    /// From now on a process now and then waits a moment and takes what comes up meanwhile in the same turn,
    /// as a busy host does.
    pub fn let_turns_linger(&mut self) {
        self.lingers = true;
    }

    /// From now on machines are believed to be well: the check of all that they hold takes as long as that is much.
    pub fn trust_machines(&mut self) {
        self.checks = false;
    }

    /// Brings every process to life for the first time.
    pub fn start(&mut self) {
        for place in 0..self.processes.len() {
            self.boot(place);
        }
    }

    /// Writes down what happens from now on.
    pub fn set_trace(&mut self, trace: Trace) {
        self.trace = Some(trace);
    }

    /// What was written down.
    pub fn trace(&self) -> &str {
        self.trace.as_ref().map_or("", Trace::text)
    }

    /// True time.
    pub fn now(&self) -> Nanos {
        self.now
    }

    /// Every message between two processes so far.
    pub fn traffic(&self) -> &[Sent] {
        &self.traffic
    }

    /// Takes the record of messages out.
    pub fn take_traffic(&mut self) -> Vec<Sent> {
        std::mem::take(&mut self.traffic)
    }

    /// Bytes of messages between processes so far, without any framing.
    pub fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    /// The machine of a process, unless it is down.
    pub fn machine(&self, process: ProcessId) -> Option<&M> {
        self.processes[self.place(process)].machine.as_ref()
    }

    /// Whether a process is up, paused or not.
    pub fn is_up(&self, process: ProcessId) -> bool {
        self.machine(process).is_some()
    }

    /// The number of the life that a process is in, unless it is down.
    pub fn life(&self, process: ProcessId) -> Option<u32> {
        let process = &self.processes[self.place(process)];
        process.machine.as_ref().map(|_| process.life)
    }

    /// Whether a process, or the disk that it will start from, holds what it once promised.
    pub fn remembers(&self, process: ProcessId) -> bool {
        self.processes[self.place(process)].remembers()
    }

    /// Runs until something is to be told, or the horizon is reached.
    pub fn next(&mut self, horizon: Nanos) -> Option<Occurrence<M::Event>> {
        loop {
            if let Some(occurrence) = self.told.pop_front() {
                return Some(occurrence);
            }
            let Some((at, event)) = self.agenda.next(horizon) else {
                self.now = self.now.max(horizon);
                return None;
            };
            self.now = at;
            match event {
                Event::Wake(token) => return Some(Occurrence::Wake(token)),
                event => self.happen(event),
            }
        }
    }

    /// Asks to be woken at a moment.
    pub fn wake_at(&mut self, at: Nanos, token: u64) {
        self.agenda.plan(at.max(self.now), Event::Wake(token));
    }

    /// Gives a command to a process. Answers false when it is down.
    pub fn command(&mut self, process: ProcessId, command: M::Command) -> bool {
        let place = self.place(process);
        if self.processes[place].machine.is_none() {
            return false;
        }
        if self.processes[place].is_paused {
            let life = self.processes[place].life;
            self.processes[place].deferred.push(Event::Command { place, life, command });
        } else {
            self.note_at(place, || format!("is asked to {command:?}"));
            self.step(place, |machine, now, out| machine.on_command(now, command, out));
        }
        true
    }

    fn happen(&mut self, event: Event<M>) {
        match event {
            Event::Arrival(link) => self.arrive(link),
            Event::Datagram { from, place, message } => self.drop_in(from, place, message),
            Event::ToItself { place, .. }
            | Event::Timer { place, .. }
            | Event::SyncDone { place, .. }
            | Event::TurnOver { place, .. }
            | Event::Command { place, .. }
                if self.processes[place].is_paused =>
            {
                self.processes[place].deferred.push(event);
            }
            Event::ToItself { place, life, message } if self.lives(place, life) => {
                self.hear(place, place, message);
            }
            Event::Timer { place, timer, token } if self.processes[place].timers.fire(&timer, token) => {
                if self.is_tracing_everything() {
                    self.note_at(place, || format!("finds {timer:?} due"));
                }
                self.step(place, |machine, now, out| machine.on_timer(now, timer, out));
            }
            Event::SyncDone { place, life } if self.lives(place, life) => self.sync_done(place),
            // Its disk goes on whether or not the process stands still.
            Event::Compacted { place, life, number } if self.lives(place, life) => {
                self.processes[place].disk.finish_compaction(number);
            }
            Event::Command { place, life, command } if self.lives(place, life) => {
                self.command(self.processes[place].id, command);
            }
            Event::TurnOver { place, life } if self.lives(place, life) => {
                let out = self.processes[place].turn.take().expect("a turn ends once");
                self.end_turn(place, out);
            }
            Event::Reconnect(a, b) => self.reconnect(a, b),
            Event::Wake(_) => unreachable!("wakes are handed out"),
            // Planned for a life that is over.
            Event::ToItself { .. }
            | Event::Timer { .. }
            | Event::SyncDone { .. }
            | Event::Compacted { .. }
            | Event::TurnOver { .. }
            | Event::Command { .. } => {}
        }
    }

    fn lives(&self, place: usize, life: u32) -> bool {
        self.processes[place].life == life && self.processes[place].machine.is_some()
    }

    fn arrive(&mut self, link: LinkId) {
        let (from, to) = self.network.ends(link);
        if self.processes[to].is_paused {
            self.network.stop_awaiting(link);
            return;
        }
        if let Some(bytes) = self.network.take(link, self.now) {
            self.hear(from, to, bytes);
        }
        if let Some(at) = self.network.next_arrival(link, self.now) {
            self.agenda.plan(at, Event::Arrival(link));
        }
    }

    fn hear(&mut self, from: usize, to: usize, bytes: Bytes) {
        if self.processes[to].machine.is_none() {
            return;
        }
        let message: M::Message = wire::from_bytes(bytes, VERSION)
            .unwrap_or_else(|error| panic!("a message does not survive its own encoding: {error}"));
        let sender = self.processes[from].id;
        if from == to {
            self.note_at(to, || format!("hears itself: {message:?}"));
        } else {
            self.note_at(to, || format!("hears {sender}: {message:?}"));
        }
        self.step(to, |machine, now, out| machine.on_message(now, sender, message, out));
    }

    /// One call to one machine, in the turn that lasts or in one of its own.
    fn step(&mut self, place: usize, act: impl FnOnce(&mut M, Time, &mut Out<M>)) {
        let process = &mut self.processes[place];
        let lasting = process.turn.take();
        let has_begun = lasting.is_some();
        let mut out = lasting.unwrap_or_else(|| std::mem::take(&mut self.out));
        let now = process.clock.read(self.now);
        let machine = process.machine.as_mut().expect("only a process that is up takes steps");
        act(machine, now, &mut out);
        if has_begun {
            process.turn = Some(out);
        } else if self.lingers && self.random.chance(LINGERS) {
            let Process { life, .. } = *process;
            process.turn = Some(out);
            let at = self.now + self.random.below(LONGEST_TURN);
            self.agenda.plan(at, Event::TurnOver { place, life });
        } else {
            self.end_turn(place, out);
        }
    }

    /// Everything that a machine wants done after a turn.
    fn end_turn(&mut self, place: usize, mut out: Out<M>) {
        let process = &mut self.processes[place];
        let now = process.clock.read(self.now);
        let machine = process.machine.as_mut().expect("only a process that is up takes turns");
        machine.finish(now, &mut out);
        if self.checks {
            machine.check();
        }
        self.perform(place, &mut out);
        self.out = out;
    }

    fn perform(&mut self, place: usize, out: &mut Out<M>) {
        for effect in out.drain() {
            if self.is_tracing_everything() {
                self.note_effect(place, &effect);
            }
            let process = &mut self.processes[place];
            match effect {
                Effect::Persist(record) => {
                    if process.disk.append(encode(&record), false).is_err() {
                        self.stop(place, "its disk is full");
                        return;
                    }
                }
                Effect::Checkpoint(record) => {
                    if process.disk.append(encode(&record), true).is_err() {
                        self.stop(place, "its disk is full");
                        return;
                    }
                }
                Effect::Compact(record) => {
                    let number = process.disk.written();
                    if let Some(takes) = process.disk.compact(encode(&record), &mut self.random) {
                        let life = process.life;
                        self.agenda.plan(self.now + takes, Event::Compacted { place, life, number });
                    }
                }
                Effect::Arm(timer, after) => {
                    let token = process.timers.arm(timer.clone());
                    let at = self.now.saturating_add(process.clock.wait(after));
                    self.agenda.plan(at, Event::Timer { place, timer, token });
                }
                Effect::Disarm(timer) => process.timers.disarm(&timer),
                Effect::SendEarly(to, message) => self.send_all(place, to, &message),
                Effect::EmitEarly(_) if !process.held.iter().any(|(_, effect)| effect.tells()) => {
                    self.release(place, effect);
                }
                Effect::Send(..) | Effect::Emit(_) | Effect::EmitEarly(_) => {
                    let safe = process.disk.durable() == process.disk.written();
                    if safe && process.held.is_empty() {
                        self.release(place, effect);
                    } else {
                        process.held.push_back((process.disk.written(), effect));
                    }
                }
            }
        }
        self.begin_sync(place);
    }

    fn begin_sync(&mut self, place: usize) {
        let process = &mut self.processes[place];
        if let Some(takes) = process.disk.begin_sync(&mut self.random) {
            self.agenda.plan(self.now + takes, Event::SyncDone { place, life: process.life });
        }
    }

    fn sync_done(&mut self, place: usize) {
        if self.processes[place].disk.finish_sync().is_err() {
            self.stop(place, "a sync failed");
            return;
        }
        let durable = self.processes[place].disk.durable();
        while let Some((needs, _)) = self.processes[place].held.front()
            && *needs <= durable
        {
            let (_, effect) = self.processes[place].held.pop_front().expect("there is a front");
            self.release(place, effect);
        }
        self.begin_sync(place);
    }

    /// Performs an effect that has waited for the disk, or did not need to.
    fn release(&mut self, place: usize, effect: Effect<M>) {
        match effect {
            Effect::Send(to, message) => self.send_all(place, to, &message),
            Effect::Emit(event) | Effect::EmitEarly(event) => {
                self.note_at(place, || format!("{event:?}"));
                let Process { id, life, .. } = self.processes[place];
                self.told.push_back(Occurrence::Told { process: id, life, event });
            }
            _ => unreachable!("only what is sent or emitted waits"),
        }
    }

    fn send_all(&mut self, from: usize, to: Recipients, message: &M::Message) {
        let bytes = Bytes::from(encode(message));
        to.iter().for_each(|process| self.send(from, process, bytes.clone()));
    }

    fn send(&mut self, from: usize, to: ProcessId, bytes: Bytes) {
        let to = self.place(to);
        if from == to {
            let life = self.processes[from].life;
            self.agenda.plan(self.now, Event::ToItself { place: from, life, message: bytes });
            return;
        }
        self.bytes_sent += bytes.len() as u64;
        self.traffic.push(Sent { at: self.now, from: self.processes[from].id, to: self.processes[to].id });
        if self.network.is_datagram(bytes.len()) {
            self.cast(from, to, bytes);
            return;
        }
        let link = self.network.link(from, to);
        if let Some(at) = self.network.send(link, bytes, self.now, &mut self.random) {
            self.agenda.plan(at, Event::Arrival(link));
        }
    }

    fn place(&self, process: ProcessId) -> usize {
        let place = self.places.get(usize::from(process.0)).copied().flatten();
        place.unwrap_or_else(|| panic!("there is no process {process} in this world"))
    }

    fn is_tracing_everything(&self) -> bool {
        self.trace.as_ref().is_some_and(Trace::wants_everything)
    }

    /// One line for everything that happens, so one for each of those to whom something is sent.
    fn note_effect(&mut self, place: usize, effect: &Effect<M>) {
        match effect {
            Effect::Send(to, message) => {
                to.iter().for_each(|process| self.note_at(place, || format!("  send {process} {message:?}")));
            }
            Effect::SendEarly(to, message) => {
                to.iter().for_each(|process| self.note_at(place, || format!("  send early {process} {message:?}")));
            }
            Effect::Emit(_) | Effect::EmitEarly(_) => {}
            _ => self.note_at(place, || format!("  {effect:?}")),
        }
    }

    fn note_at(&mut self, place: usize, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.at(self.now, self.processes[place].id, what());
        }
    }

    fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.note(self.now, what());
        }
    }
}

fn encode<T: wire::Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut wire::Writer::new(&mut bytes, VERSION));
    bytes
}
