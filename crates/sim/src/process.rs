//! One process of a world: a machine that is up or not, its disk, its clock,
//! its timers, and the effects that wait for the disk.

use std::collections::VecDeque;

use skein_machine::{Boot, Effect, Machine, Out, ProcessId, Timers};

use crate::world::Event;
use crate::{Clock, Disk};

pub(crate) struct Process<M: Machine> {
    pub(crate) id: ProcessId,
    /// `None` while it is down.
    pub(crate) machine: Option<M>,
    /// Counts its lives, so that what was planned for one does not reach the next.
    pub(crate) life: u32,
    pub(crate) disk: Disk,
    pub(crate) clock: Clock,
    pub(crate) timers: Timers<M::Timer>,
    /// Effects in order, each with the number of the record that must be safe before.
    pub(crate) held: VecDeque<(u64, Effect<M>)>,
    /// What it wants done so far in a turn that lasts.
    pub(crate) turn: Option<Out<M>>,
    pub(crate) is_paused: bool,
    /// What came up while it was paused.
    pub(crate) deferred: Vec<Event<M>>,
    /// What it had on disk was lost, so its next life begins without memory.
    pub(crate) is_forgetful: bool,
    /// While it is down: whether it remembered when it died.
    died_remembering: bool,
    amnesias: u32,
}

impl<M: Machine> Process<M> {
    pub(crate) fn new(id: ProcessId, disk: Disk) -> Process<M> {
        Process {
            id,
            machine: None,
            life: 0,
            disk,
            clock: Clock::TRUE,
            timers: Timers::new(),
            held: VecDeque::new(),
            turn: None,
            is_paused: false,
            deferred: Vec::new(),
            is_forgetful: false,
            died_remembering: true,
            amnesias: 0,
        }
    }

    /// How its next life begins. One that forgot and has nothing on its disk,
    /// not even that it forgot, begins without memory again: otherwise it would
    /// pass for a process that has promised nothing yet.
    pub(crate) fn next_boot(&mut self, is_disk_empty: bool) -> Boot {
        self.life += 1;
        let never_wrote_it_down = self.amnesias > 0 && is_disk_empty;
        if std::mem::take(&mut self.is_forgetful) || never_wrote_it_down {
            self.amnesias += 1;
            Boot::Amnesiac { incarnation: self.amnesias }
        } else if self.life == 1 {
            Boot::First
        } else {
            Boot::Again
        }
    }

    /// Everything that lived in memory is gone.
    pub(crate) fn die(&mut self) {
        self.died_remembering = self.machine.take().is_some_and(|machine| machine.remembers());
        self.timers.clear();
        self.held.clear();
        self.turn = None;
        self.deferred.clear();
        self.is_paused = false;
    }

    /// Whether a group can count on what it knows.
    pub(crate) fn remembers(&self) -> bool {
        !self.is_forgetful && self.machine.as_ref().map_or(self.died_remembering, Machine::remembers)
    }
}
