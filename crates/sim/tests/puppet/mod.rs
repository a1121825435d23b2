//! A machine that does what it is told, and tells all that happens to it: with
//! it a test writes down a schedule and sees what a host makes of it.

use std::time::Duration;

use skein_machine::wire::{Reader, WireError, Writer};
use skein_machine::{Boot, Machine, Out, ProcessId, Time, Wire};
use skein_sim::{DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, World};

/// A record that says: what was forgotten is not back yet.
pub(crate) const FORGOT: u64 = 1_000;
/// A record that says: it is.
pub(crate) const RECOVERED: u64 = 1_001;

/// How long a message takes.
pub(crate) const DELAY: Nanos = MILLISECOND;
/// How long a sync takes.
pub(crate) const SYNC: Nanos = 100 * MILLISECOND;

/// One thing for a puppet to do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Do {
    Persist(u64),
    Checkpoint(u64),
    Send(u16, u64),
    SendEarly(u16, u64),
    Arm(u64, Nanos),
    Disarm(u64),
    Tell(u64),
    TellEarly(u64),
    /// Tell it at the end of the turn, once.
    TellAtTheEnd(u64),
}

/// What happened to a puppet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Saw {
    /// It came to life, with these records.
    Start(Boot, Vec<u64>),
    Told(u64),
    Heard(u16, u64),
    Due(u64),
    Reconnect(u16),
    /// Its disk failed it.
    Stop,
}

#[derive(Debug)]
pub(crate) struct Puppet {
    boot: Boot,
    records: Vec<u64>,
    at_the_end: Option<u64>,
}

#[derive(Debug)]
pub(crate) struct Word(u64);

impl Machine for Puppet {
    type Command = Vec<Do>;
    type Message = Word;
    type Timer = u64;
    type Record = Word;
    type Event = Saw;

    fn restore(&mut self, Word(record): Word) {
        self.records.push(record);
    }

    fn start(&mut self, _: Time, _: u64, out: &mut Out<Self>) {
        out.emit(Saw::Start(self.boot, self.records.clone()));
    }

    fn on_command(&mut self, _: Time, script: Vec<Do>, out: &mut Out<Self>) {
        for act in script {
            match act {
                Do::Persist(record) => {
                    self.records.push(record);
                    out.persist(Word(record));
                }
                Do::Checkpoint(record) => {
                    self.records = vec![record];
                    out.checkpoint(Word(record));
                }
                Do::Send(to, word) => out.send(ProcessId(to), Word(word)),
                Do::SendEarly(to, word) => out.send_early(ProcessId(to), Word(word)),
                Do::Arm(timer, after) => out.arm(timer, Duration::from_nanos(after)),
                Do::Disarm(timer) => out.disarm(timer),
                Do::Tell(word) => out.emit(Saw::Told(word)),
                Do::TellEarly(word) => out.emit_early(Saw::Told(word)),
                Do::TellAtTheEnd(word) => self.at_the_end = Some(word),
            }
        }
    }

    fn on_message(&mut self, _: Time, from: ProcessId, Word(word): Word, out: &mut Out<Self>) {
        out.emit(Saw::Heard(from.0, word));
    }

    fn on_timer(&mut self, _: Time, timer: u64, out: &mut Out<Self>) {
        out.emit(Saw::Due(timer));
    }

    fn on_reconnect(&mut self, _: Time, peer: ProcessId, out: &mut Out<Self>) {
        out.emit(Saw::Reconnect(peer.0));
    }

    fn finish(&mut self, _: Time, out: &mut Out<Self>) {
        self.at_the_end.take().into_iter().for_each(|word| out.emit(Saw::Told(word)));
    }

    fn check(&self) {}

    fn remembers(&self) -> bool {
        let forgot = matches!(self.boot, Boot::Amnesiac { .. }) || self.records.contains(&FORGOT);
        !forgot || self.records.contains(&RECOVERED)
    }
}

impl Wire for Word {
    fn encode(&self, writer: &mut Writer<'_>) {
        writer.u64(self.0);
    }

    fn decode(reader: &mut Reader) -> Result<Word, WireError> {
        Ok(Word(reader.u64()?))
    }
}

/// Puppets in a world, and what was seen of them.
pub(crate) struct Stage {
    pub(crate) world: World<Puppet>,
    seen: Vec<(Nanos, ProcessId, Saw)>,
}

impl Stage {
    /// So many puppets, come to life, with slow disks.
    pub(crate) fn new(puppets: u16, seed: u64) -> Stage {
        let processes: Vec<ProcessId> = (0..puppets).map(ProcessId).collect();
        let disks = DiskHabits { fastest_sync: SYNC, slowest_sync: SYNC };
        let latency = Latency::fixed(&processes, DELAY);
        let maker = Box::new(|_, boot| Puppet { boot, records: Vec::new(), at_the_end: None });
        let mut world = World::new(&processes, latency, disks, seed, maker);
        world.start();
        let mut stage = Stage { world, seen: Vec::new() };
        stage.play(0);
        stage.seen.clear();
        stage
    }

    pub(crate) fn ask(&mut self, puppet: u16, script: &[Do]) {
        assert!(self.world.command(ProcessId(puppet), script.to_vec()), "p{puppet} is down");
    }

    /// Lets so much time pass.
    pub(crate) fn play(&mut self, span: Nanos) {
        let horizon = self.world.now() + span;
        while let Some(occurrence) = self.world.next(horizon) {
            let (process, saw) = match occurrence {
                Occurrence::Told { process, event, .. } => (process, event),
                Occurrence::Stopped(process) => (process, Saw::Stop),
                Occurrence::Wake(_) => unreachable!("nobody asked to be woken"),
            };
            self.seen.push((self.world.now(), process, saw));
        }
    }

    pub(crate) fn crash(&mut self, puppet: u16) {
        self.world.crash(ProcessId(puppet));
    }

    pub(crate) fn restart(&mut self, puppet: u16) {
        self.world.restart(ProcessId(puppet));
        self.play(0);
    }

    /// What happened to all since this was asked last, in order.
    pub(crate) fn seen_by_all(&mut self) -> Vec<(u16, Saw)> {
        self.seen.drain(..).map(|(_, process, saw)| (process.0, saw)).collect()
    }

    /// What happened to a puppet since this was asked last.
    pub(crate) fn seen(&mut self, puppet: u16) -> Vec<Saw> {
        self.seen_at(puppet).into_iter().map(|(_, saw)| saw).collect()
    }

    /// The same, with the time.
    pub(crate) fn seen_at(&mut self, puppet: u16) -> Vec<(Nanos, Saw)> {
        let mut taken = Vec::new();
        self.seen.retain(|(at, process, saw)| {
            let is_asked_for = process.0 == puppet;
            if is_asked_for {
                taken.push((*at, saw.clone()));
            }
            !is_asked_for
        });
        taken
    }
}
