//! [`World`]: machines, and everything around them that a real host would be.
//!
//! The world performs the effects of each step exactly as promised in
//! [`skein_machine::Out`]. Every message and record crosses it as bytes, so
//! encodings are exercised too. It is driven from outside by
//! [`World::next`], which runs until something happened that somebody outside
//! wants to know. What breaks, and when, is not decided here.

use bytes::Bytes;
use skein_machine::wire::{self, VERSION};
use skein_machine::{Boot, Effect, Machine, Out, ProcessId, Random, Time, Token};

use crate::agenda::Agenda;
use crate::network::LinkId;
use crate::process::Process;
use crate::{Clock, Disk, DiskHabits, Latency, MILLISECOND, Nanos, Network, Sent, Trace};

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
}

/// What the agenda holds.
pub(crate) enum Event<M: Machine> {
    Arrival(LinkId),
    ToItself { place: usize, life: u32, message: Bytes },
    Timer { place: usize, timer: M::Timer, token: Token },
    SyncDone { place: usize, life: u32 },
    Command { place: usize, life: u32, command: M::Command },
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
        }
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
            Event::ToItself { place, .. }
            | Event::Timer { place, .. }
            | Event::SyncDone { place, .. }
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
            Event::Command { place, life, command } if self.lives(place, life) => {
                self.command(self.processes[place].id, command);
            }
            Event::Reconnect(a, b) => self.reconnect(a, b),
            Event::Wake(_) => unreachable!("wakes are handed out"),
            // Planned for a life that is over.
            Event::ToItself { .. } | Event::Timer { .. } | Event::SyncDone { .. } | Event::Command { .. } => {}
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

    /// One step of one machine, and everything that it wants done.
    fn step(&mut self, place: usize, act: impl FnOnce(&mut M, Time, &mut Out<M>)) {
        let mut out = std::mem::take(&mut self.out);
        let process = &mut self.processes[place];
        let now = process.clock.read(self.now);
        let machine = process.machine.as_mut().expect("only a process that is up takes steps");
        act(machine, now, &mut out);
        machine.check();
        self.perform(place, &mut out);
        self.out = out;
    }

    fn perform(&mut self, place: usize, out: &mut Out<M>) {
        for effect in out.drain() {
            if self.is_tracing_everything() && !matches!(effect, Effect::Emit(_)) {
                self.note_at(place, || format!("  {effect:?}"));
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
                Effect::Arm(timer, after) => {
                    let token = process.timers.arm(timer.clone());
                    let at = self.now.saturating_add(process.clock.wait(after));
                    self.agenda.plan(at, Event::Timer { place, timer, token });
                }
                Effect::Disarm(timer) => process.timers.disarm(&timer),
                Effect::SendEarly(to, message) => self.send(place, to, &message),
                Effect::Send(..) | Effect::Emit(_) => {
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
            Effect::Send(to, message) => self.send(place, to, &message),
            Effect::Emit(event) => {
                self.note_at(place, || format!("{event:?}"));
                let Process { id, life, .. } = self.processes[place];
                self.told.push_back(Occurrence::Told { process: id, life, event });
            }
            _ => unreachable!("only what is sent or emitted waits"),
        }
    }

    fn send(&mut self, from: usize, to: ProcessId, message: &M::Message) {
        let bytes = Bytes::from(encode(message));
        let to = self.place(to);
        if from == to {
            let life = self.processes[from].life;
            self.agenda.plan(self.now, Event::ToItself { place: from, life, message: bytes });
            return;
        }
        self.bytes_sent += bytes.len() as u64;
        self.traffic.push(Sent { at: self.now, from: self.processes[from].id, to: self.processes[to].id });
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

/// Life, death and weather, at the hands of whoever drives the world.
impl<M: Machine> World<M> {
    /// Kills a process: memory is gone, the disk keeps what a crash leaves.
    /// Answers whether a write was torn.
    pub fn crash(&mut self, process: ProcessId) -> bool {
        let place = self.place(process);
        assert!(self.processes[place].machine.is_some(), "{process} is down already");
        self.note_at(place, || "crashes".into());
        self.die(place)
    }

    /// Brings a process back to life. Damage on its disk makes it an amnesiac.
    pub fn restart(&mut self, process: ProcessId) {
        let place = self.place(process);
        assert!(self.processes[place].machine.is_none(), "{process} is up already");
        self.boot(place);
    }

    /// Empties the disk of a process that is down.
    pub fn lose_disk(&mut self, process: ProcessId) {
        let place = self.place(process);
        assert!(self.processes[place].machine.is_none(), "{process} still uses its disk");
        self.note_at(place, || "loses its disk".into());
        self.processes[place].disk.wipe();
        self.processes[place].is_forgetful = true;
    }

    /// Flips a bit in what a process that is down had synced. Answers whether there was anything.
    pub fn rot_disk(&mut self, process: ProcessId) -> bool {
        let place = self.place(process);
        assert!(self.processes[place].machine.is_none(), "{process} still uses its disk");
        let rotten = self.processes[place].disk.rot(&mut self.random);
        if rotten {
            self.note_at(place, || "has a bit flipped on its disk".into());
            // It will find out when it reads; from this moment nobody may count on it.
            self.processes[place].is_forgetful = true;
        }
        rotten
    }

    /// Lets appends fail, or no longer.
    pub fn set_disk_full(&mut self, process: ProcessId, is_full: bool) {
        let place = self.place(process);
        self.note_at(place, || format!("has a disk that {}", if is_full { "is full" } else { "has room again" }));
        self.processes[place].disk.set_full(is_full);
    }

    /// Lets the next sync fail.
    pub fn fail_next_sync(&mut self, process: ProcessId) {
        let place = self.place(process);
        self.note_at(place, || "will have a sync fail".into());
        self.processes[place].disk.set_sync_failing(true);
    }

    /// Takes [`World::fail_next_sync`] back, if none has failed yet.
    pub fn spare_next_sync(&mut self, process: ProcessId) {
        let place = self.place(process);
        self.processes[place].disk.set_sync_failing(false);
    }

    /// Makes a disk faster or slower.
    pub fn set_disk_habits(&mut self, process: ProcessId, habits: DiskHabits) {
        let place = self.place(process);
        self.processes[place].disk.set_habits(habits);
    }

    /// Stops a process without killing it, as a long garbage collection or SIGSTOP does.
    pub fn pause(&mut self, process: ProcessId) {
        let place = self.place(process);
        if self.processes[place].machine.is_some() && !self.processes[place].is_paused {
            self.note_at(place, || "stands still".into());
            self.processes[place].is_paused = true;
        }
    }

    /// Lets a paused process go on, with everything that has come up since.
    pub fn resume(&mut self, process: ProcessId) {
        let place = self.place(process);
        if !self.processes[place].is_paused {
            return;
        }
        self.note_at(place, || "goes on".into());
        self.processes[place].is_paused = false;
        // At once, so that nothing that comes up from now on overtakes it.
        for event in std::mem::take(&mut self.processes[place].deferred) {
            self.happen(event);
        }
        for from in 0..self.processes.len() {
            self.look_for_arrivals(from, place);
        }
    }

    /// Cuts one direction between two processes, or lets it through again.
    pub fn set_cut(&mut self, from: ProcessId, to: ProcessId, is_cut: bool) {
        let (from, to) = (self.place(from), self.place(to));
        self.network.set_cut(from, to, is_cut);
        if !is_cut {
            self.look_for_arrivals(from, to);
        }
    }

    /// Breaks the connection of two processes: a suffix of what is on the way
    /// is lost in both directions. Both are told when it stands again.
    pub fn break_link(&mut self, a: ProcessId, b: ProcessId) {
        let (place_a, place_b) = (self.place(a), self.place(b));
        if !self.network.is_broken(place_a, place_b) {
            self.note(|| format!("the link between {a} and {b} breaks"));
            self.network.break_pair(place_a, place_b, &mut self.random);
            self.plan_reconnect(place_a, place_b);
        }
    }

    /// Makes messages take this many times as long.
    pub fn set_slowdown(&mut self, from: ProcessId, to: ProcessId, factor: f64) {
        let (from, to) = (self.place(from), self.place(to));
        self.network.set_slowdown(from, to, factor);
    }

    /// Bounds what a link carries in a second, or no longer.
    pub fn set_bandwidth(&mut self, from: ProcessId, to: ProcessId, bytes_per_second: Option<u64>) {
        let (from, to) = (self.place(from), self.place(to));
        self.network.set_bandwidth(from, to, bytes_per_second, self.now);
        self.look_for_arrivals(from, to);
    }

    /// Sets how long messages take from one process to another.
    pub fn set_delay(&mut self, from: ProcessId, to: ProcessId, delay: Nanos) {
        let (from, to) = (self.place(from), self.place(to));
        self.network.set_delay(from, to, delay);
    }

    /// The clock of a process, to be read or set.
    pub fn clock(&mut self, process: ProcessId) -> &mut Clock {
        let place = self.place(process);
        &mut self.processes[place].clock
    }

    /// Heals every link. Broken ones reconnect by themselves.
    pub fn calm_network(&mut self) {
        self.note(|| "all links are healed".into());
        self.network.calm(self.now);
        for from in 0..self.processes.len() {
            for to in 0..self.processes.len() {
                self.look_for_arrivals(from, to);
            }
        }
    }

    /// Adds a line to the trace.
    pub fn remark(&mut self, what: &str) {
        self.note(|| what.into());
    }

    fn boot(&mut self, place: usize) {
        // Damage is found before anything is believed.
        let mut records = Vec::new();
        match self.processes[place].disk.read() {
            Ok(sound) if !self.processes[place].is_forgetful => records = sound,
            Ok(_) => self.processes[place].disk.wipe(),
            Err(damaged) => {
                self.note_at(place, || format!("finds record {} damaged and trusts none", damaged.record));
                self.processes[place].disk.wipe();
                self.processes[place].is_forgetful = true;
            }
        }
        let boot = self.processes[place].next_boot(records.is_empty());
        if boot != Boot::First {
            self.note_at(place, || format!("starts: {boot:?}, {} records", records.len()));
        }
        let mut machine = (self.maker)(self.processes[place].id, boot);
        for record in records {
            let record = wire::from_bytes(record, VERSION)
                .unwrap_or_else(|error| panic!("a record does not survive its own encoding: {error}"));
            machine.restore(record);
        }
        self.processes[place].machine = Some(machine);
        let seed = self.random.word();
        self.step(place, |machine, now, out| machine.start(now, seed, out));
        for other in 0..self.processes.len() {
            if self.network.is_broken(place, other) {
                self.plan_reconnect(place, other);
            }
        }
    }

    /// A process that its disk has failed stops at once, and somebody must start it again.
    fn stop(&mut self, place: usize, why: &str) {
        self.note_at(place, || format!("stops: {why}"));
        self.die(place);
        self.told.push_back(Occurrence::Stopped(self.processes[place].id));
    }

    fn die(&mut self, place: usize) -> bool {
        self.processes[place].die();
        self.network.lose_everything_to(place);
        for other in (0..self.processes.len()).filter(|other| *other != place) {
            if !self.network.is_broken(place, other) {
                self.network.break_pair(place, other, &mut self.random);
            }
        }
        let is_torn = self.processes[place].disk.crash(&mut self.random);
        if is_torn {
            self.note_at(place, || "has its last write torn".into());
        }
        is_torn
    }

    fn plan_reconnect(&mut self, a: usize, b: usize) {
        let after = self.random.between(MILLISECOND, 200 * MILLISECOND);
        self.agenda.plan(self.now + after, Event::Reconnect(a, b));
    }

    fn reconnect(&mut self, a: usize, b: usize) {
        let up = |place: usize| self.processes[place].machine.is_some();
        if !self.network.is_broken(a, b) || !up(a) || !up(b) {
            // Connected meanwhile, or the one that is down will ask again when it starts.
            return;
        }
        if self.network.is_cut(a, b) || self.processes[a].is_paused || self.processes[b].is_paused {
            self.plan_reconnect(a, b);
            return;
        }
        self.network.connect(a, b, self.now);
        let (id_a, id_b) = (self.processes[a].id, self.processes[b].id);
        self.note(|| format!("the link between {id_a} and {id_b} stands again"));
        self.step(a, |machine, now, out| machine.on_reconnect(now, id_b, out));
        // The first one may have stopped while it was told.
        if self.processes[b].machine.is_some() {
            self.step(b, |machine, now, out| machine.on_reconnect(now, id_a, out));
        }
    }

    fn look_for_arrivals(&mut self, from: usize, to: usize) {
        let link = self.network.link(from, to);
        if let Some(at) = self.network.next_arrival(link, self.now) {
            self.agenda.plan(at, Event::Arrival(link));
        }
    }
}

fn encode<T: wire::Wire>(value: &T) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.encode(&mut wire::Writer::new(&mut bytes, VERSION));
    bytes
}
