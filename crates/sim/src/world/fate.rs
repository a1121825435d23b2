//! Life, death and weather: what whoever drives a [`World`] can do to its
//! processes, disks, links and clocks. It does what it is told; what breaks,
//! and when, is decided in `weather.rs` or by a test.

use skein_machine::wire::{self, VERSION};
use skein_machine::{Boot, Machine, ProcessId};

use super::{Occurrence, World};
use crate::world::Event;
use crate::{Clock, DiskHabits, MILLISECOND, Nanos};

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
        for (from, to) in self.network.pairs() {
            self.look_for_arrivals(from, to);
        }
    }

    /// Adds a line to the trace.
    pub fn remark(&mut self, what: &str) {
        self.note(|| what.into());
    }

    /// The same, thought of only if somebody reads it.
    pub fn remark_if_traced(&mut self, what: impl FnOnce() -> String) {
        self.note(what);
    }

    pub(super) fn boot(&mut self, place: usize) {
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
    pub(super) fn stop(&mut self, place: usize, why: &str) {
        self.note_at(place, || format!("stops: {why}"));
        self.die(place);
        self.told.push_back(Occurrence::Stopped(self.processes[place].id));
    }

    fn die(&mut self, place: usize) -> bool {
        self.processes[place].die();
        self.network.lose_everything_to(place);
        for other in (0..self.processes.len()).filter(|other| *other != place) {
            if self.network.has_connection(place, other) {
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

    pub(super) fn reconnect(&mut self, a: usize, b: usize) {
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
        let Some(link) = self.network.link_that_is(from, to) else { return };
        if let Some(at) = self.network.next_arrival(link, self.now) {
            self.agenda.plan(at, Event::Arrival(link));
        }
    }
}
