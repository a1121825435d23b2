//! What breaks, and when. A swarm switches on a random subset of faults at
//! random rates for each seed, so that rare combinations come up; calm ends
//! them all. The world offers each fault; only this file decides on them.
//!
//! One bound is kept: a majority of each group has not lost its memory at any
//! time, for no protocol survives less.

use std::collections::BTreeMap;
use std::sync::Arc;

use skein_machine::{Cluster, GroupId, Machine, ProcessId, Random};

use crate::{Clock, DiskHabits, MICROSECOND, MILLISECOND, Nanos, SECOND, World};

/// The faults of one run.
pub struct Weather {
    cluster: Arc<Cluster>,
    processes: Vec<ProcessId>,
    random: Random,
    /// How often each kind of fault strikes, in a virtual second. Absent: never.
    rates: BTreeMap<Fault, f64>,
    /// Hardware clocks stay within this of true time; `None` when nothing relies on them.
    clock_bound: Option<Nanos>,
    is_calm: bool,
    /// Whoever crashes forgets everything.
    is_forgetful: bool,
    /// Who runs into a full disk, until it has room again.
    full: Vec<ProcessId>,
    /// Who was told that it will be stopped, and when it is.
    retiring: BTreeMap<ProcessId, Nanos>,
    /// What has happened so far.
    pub counts: FaultCounts,
}

/// How often what happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// Processes that died, whatever of.
    pub crashes: u64,
    /// Processes that came back.
    pub restarts: u64,
    /// Cuts between sides or between two processes, one way or both.
    pub partitions: u64,
    /// Disks lost or rotten, writes torn by a crash, and processes that a full disk or a failed sync stopped.
    pub disk_faults: u64,
    /// Clocks that jumped, drifted or began wrong.
    pub clock_faults: u64,
}

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Crash,
    PowerCut,
    LoseDisk,
    RotDisk,
    FullDisk,
    FailSync,
    SlowDisk,
    Pause,
    Partition,
    CutOneWay,
    BreakLink,
    SlowLink,
    ThinLink,
    JumpClock,
    Retire,
}

/// All kinds, with how often a second each may strike at most.
const FAULTS: [(Fault, f64); 15] = [
    (Fault::Crash, 0.5),
    (Fault::PowerCut, 0.05),
    (Fault::LoseDisk, 0.08),
    (Fault::RotDisk, 0.08),
    (Fault::FullDisk, 0.08),
    (Fault::FailSync, 0.15),
    (Fault::SlowDisk, 0.1),
    (Fault::Pause, 0.5),
    (Fault::Partition, 0.25),
    (Fault::CutOneWay, 0.3),
    (Fault::BreakLink, 2.0),
    (Fault::SlowLink, 0.3),
    (Fault::ThinLink, 0.1),
    (Fault::JumpClock, 0.2),
    (Fault::Retire, 0.2),
];

/// How long a process that was told to hand over what it leads still has.
const NOTICE: Nanos = SECOND;

/// What the weather wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Storm {
    /// A fault of this number in the list strikes.
    Strike(u8),
    /// A process that was told so is stopped.
    Leave(ProcessId),
    /// A process starts again.
    Restart(ProcessId),
    /// A process goes on.
    Resume(ProcessId),
    /// A cut from one to another ends.
    Mend(ProcessId, ProcessId),
    /// A link is fast and wide again.
    Clear(ProcessId, ProcessId),
    /// A disk has room and speed again.
    Relief(ProcessId),
}

impl Weather {
    /// No fault, ever.
    pub fn none(cluster: Arc<Cluster>) -> Weather {
        Weather {
            processes: cluster.processes().collect(),
            cluster,
            random: Random::new(0),
            rates: BTreeMap::new(),
            clock_bound: None,
            is_calm: false,
            is_forgetful: false,
            full: Vec::new(),
            retiring: BTreeMap::new(),
            counts: FaultCounts::default(),
        }
    }

    /// A random subset of all faults at random rates.
    pub fn swarm(cluster: Arc<Cluster>, clock_bound: Option<Nanos>, severity: f64, mut random: Random) -> Weather {
        let mut rates = BTreeMap::new();
        for (fault, highest) in FAULTS {
            // From a twentieth of the highest rate up to it, every magnitude alike.
            let rate = severity * highest * 20f64.powf(random.fraction() - 1.0);
            if random.chance(0.6) {
                rates.insert(fault, rate);
            }
        }
        if !rates.contains_key(&Fault::PowerCut) {
            // Without a crash now and then a seed shows little.
            rates.entry(Fault::Crash).or_insert(0.05);
        }
        Weather { random, rates, clock_bound, ..Weather::none(cluster) }
    }

    /// Whoever crashes forgets everything, as far as its group can bear it; otherwise it does not crash. Disks do not
    /// fail, for nobody keeps anything there.
    pub(crate) fn forget_with_every_crash(&mut self) {
        self.is_forgetful = true;
        let keeps = [Fault::LoseDisk, Fault::RotDisk, Fault::FullDisk, Fault::FailSync];
        self.rates.retain(|fault, _| !keeps.contains(fault));
    }

    /// Sets clocks wrong from the start, and answers when the first faults strike.
    pub(crate) fn begin<M: Machine>(&mut self, world: &mut World<M>) -> Vec<(Nanos, Storm)> {
        if !self.rates.is_empty() {
            self.set_clocks(world);
        }
        let kinds: Vec<Fault> = self.rates.keys().copied().collect();
        kinds.into_iter().map(|fault| self.next_strike(0, fault)).collect()
    }

    /// Does what is due and answers what follows from it. `retire` is how a machine is told to hand over what it leads.
    pub(crate) fn wake<M: Machine>(
        &mut self,
        storm: Storm,
        world: &mut World<M>,
        retire: fn() -> M::Command,
    ) -> Vec<(Nanos, Storm)> {
        match storm {
            Storm::Strike(number) if !self.is_calm => {
                let fault = FAULTS[usize::from(number)].0;
                let mut next = self.strike(fault, world, retire);
                next.push(self.next_strike(world.now(), fault));
                return next;
            }
            Storm::Strike(_) => {}
            // A life that ended before its notice did says nothing about the next one.
            Storm::Leave(process) if self.retiring.get(&process).is_some_and(|until| *until <= world.now()) => {
                return self.crash(process, world).into_iter().collect();
            }
            Storm::Leave(_) => {}
            Storm::Restart(process) => self.restart(process, world),
            Storm::Resume(process) => world.resume(process),
            Storm::Mend(from, to) => world.set_cut(from, to, false),
            Storm::Clear(from, to) => {
                world.set_slowdown(from, to, 1.0);
                world.set_bandwidth(from, to, None);
            }
            Storm::Relief(process) => {
                world.set_disk_habits(process, DiskHabits::GOOD);
                self.free_disk(process, world);
            }
        }
        Vec::new()
    }

    /// A process stopped because its disk failed it.
    pub(crate) fn stopped<M: Machine>(&mut self, process: ProcessId, world: &World<M>) -> (Nanos, Storm) {
        assert!(!self.is_calm, "the disk of {process} fails after all faults have ended");
        self.retiring.remove(&process);
        self.counts.crashes += 1;
        self.counts.disk_faults += 1;
        (world.now() + self.downtime(), Storm::Restart(process))
    }

    /// The end of all faults: links heal, disks have room, everybody is up and goes on.
    pub(crate) fn calm<M: Machine>(&mut self, world: &mut World<M>) {
        self.is_calm = true;
        world.calm_network();
        for process in self.processes.clone() {
            world.set_disk_habits(process, DiskHabits::GOOD);
            world.spare_next_sync(process);
            self.free_disk(process, world);
            world.resume(process);
            if self.retiring.contains_key(&process) {
                // It was told that it would be stopped, and may have laid everything down.
                self.crash(process, world);
            }
            self.restart(process, world);
        }
    }

    fn strike<M: Machine>(
        &mut self,
        fault: Fault,
        world: &mut World<M>,
        retire: fn() -> M::Command,
    ) -> Vec<(Nanos, Storm)> {
        let now = world.now();
        let victim = *self.random.pick(&self.processes);
        let other = *self.random.pick(&self.processes);
        match fault {
            Fault::Crash => self.crash(victim, world).into_iter().collect(),
            Fault::PowerCut => {
                // One group, or everything.
                let group = self.cluster.group_of(victim);
                let all = self.random.chance(0.3);
                let hit: Vec<ProcessId> =
                    self.processes.iter().copied().filter(|p| all || self.cluster.group_of(*p) == group).collect();
                hit.into_iter().filter_map(|process| self.crash(process, world)).collect()
            }
            Fault::LoseDisk | Fault::RotDisk => {
                if !self.may_forget(victim, world) {
                    return Vec::new();
                }
                let restart = self.crash(victim, world);
                if fault == Fault::LoseDisk {
                    world.lose_disk(victim);
                    self.counts.disk_faults += 1;
                } else if world.rot_disk(victim) {
                    self.counts.disk_faults += 1;
                }
                restart.into_iter().collect()
            }
            Fault::FullDisk => {
                world.set_disk_full(victim, true);
                self.full.push(victim);
                vec![(now + self.span(SECOND, 8 * SECOND), Storm::Relief(victim))]
            }
            Fault::FailSync => {
                world.fail_next_sync(victim);
                Vec::new()
            }
            Fault::SlowDisk => {
                let slowest_sync = self.span(5 * MILLISECOND, 500 * MILLISECOND);
                world.set_disk_habits(victim, DiskHabits { fastest_sync: 50 * MICROSECOND, slowest_sync });
                vec![(now + self.span(SECOND, 10 * SECOND), Storm::Relief(victim))]
            }
            Fault::Pause => {
                world.pause(victim);
                vec![(now + self.span(10 * MILLISECOND, 4 * SECOND), Storm::Resume(victim))]
            }
            Fault::Partition => self.partition(world),
            // Nothing can come between a process and itself.
            Fault::CutOneWay if victim == other => Vec::new(),
            Fault::CutOneWay => {
                self.counts.partitions += 1;
                world.remark(&format!("nothing gets from {victim} to {other}"));
                world.set_cut(victim, other, true);
                vec![(now + self.span(100 * MILLISECOND, 8 * SECOND), Storm::Mend(victim, other))]
            }
            Fault::BreakLink => {
                if victim != other {
                    world.break_link(victim, other);
                }
                Vec::new()
            }
            Fault::SlowLink => {
                world.set_slowdown(victim, other, self.random.between(2, 200) as f64);
                vec![(now + self.span(100 * MILLISECOND, 8 * SECOND), Storm::Clear(victim, other))]
            }
            Fault::ThinLink => {
                world.set_bandwidth(victim, other, Some(self.random.between(1_000, 100_000)));
                vec![(now + self.span(100 * MILLISECOND, 5 * SECOND), Storm::Clear(victim, other))]
            }
            Fault::JumpClock => {
                let furthest = self.clock_bound.unwrap_or(30 * SECOND);
                self.jump_clock(victim, furthest, world);
                Vec::new()
            }
            Fault::Retire => {
                if self.retiring.contains_key(&victim) || !world.command(victim, retire()) {
                    return Vec::new();
                }
                self.retiring.insert(victim, now + NOTICE);
                vec![(now + NOTICE, Storm::Leave(victim))]
            }
        }
    }

    /// Kills a process if it is up, and answers when it will be back.
    fn crash<M: Machine>(&mut self, process: ProcessId, world: &mut World<M>) -> Option<(Nanos, Storm)> {
        if !world.is_up(process) {
            return None;
        }
        self.retiring.remove(&process);
        if self.is_forgetful && !self.may_forget(process, world) {
            return None;
        }
        self.counts.crashes += 1;
        if world.crash(process) {
            self.counts.disk_faults += 1;
        }
        if self.is_forgetful {
            world.lose_disk(process);
        }
        Some((world.now() + self.downtime(), Storm::Restart(process)))
    }

    fn restart<M: Machine>(&mut self, process: ProcessId, world: &mut World<M>) {
        if !world.is_up(process) {
            world.restart(process);
            self.counts.restarts += 1;
        }
    }

    fn free_disk<M: Machine>(&mut self, process: ProcessId, world: &mut World<M>) {
        if self.full.contains(&process) {
            self.full.retain(|other| *other != process);
            world.set_disk_full(process, false);
        }
    }

    /// Two sides that do not hear each other, or one of them not the other. Sometimes connections break of it.
    fn partition<M: Machine>(&mut self, world: &mut World<M>) -> Vec<(Nanos, Storm)> {
        let (left, right): (Vec<ProcessId>, Vec<ProcessId>) =
            self.processes.iter().copied().partition(|_| self.random.chance(0.5));
        if left.is_empty() || right.is_empty() {
            return Vec::new();
        }
        self.counts.partitions += 1;
        let one_way = self.random.chance(0.25);
        let breaks = self.random.chance(0.7);
        let arrow = if one_way { "hears nothing from" } else { "is cut off from" };
        world.remark(&format!("{right:?} {arrow} {left:?}"));
        let mended_at = world.now() + self.span(200 * MILLISECOND, 10 * SECOND);
        let mut mends = Vec::new();
        for &from in &left {
            for &to in &right {
                world.set_cut(from, to, true);
                mends.push((mended_at, Storm::Mend(from, to)));
                if !one_way {
                    world.set_cut(to, from, true);
                    mends.push((mended_at, Storm::Mend(to, from)));
                }
                if breaks {
                    world.break_link(from, to);
                }
            }
        }
        mends
    }

    /// Whether a group can bear that one more of its replicas forgets everything.
    fn may_forget<M: Machine>(&self, process: ProcessId, world: &World<M>) -> bool {
        let Some(group) = self.cluster.group_of(process) else { return true };
        let forgetful = self.members(group).filter(|member| *member != process && !world.remembers(*member)).count();
        forgetful + 1 + self.cluster.quorum(group) <= self.cluster.members(group).len()
    }

    fn members(&self, group: GroupId) -> impl Iterator<Item = ProcessId> {
        self.cluster.members(group).iter().copied()
    }

    /// Every clock begins a little or far off, and some drift.
    fn set_clocks<M: Machine>(&mut self, world: &mut World<M>) {
        if self.random.chance(0.3) {
            return;
        }
        let furthest = self.clock_bound.unwrap_or(match self.random.below(3) {
            0 => 10 * MILLISECOND,
            1 => SECOND,
            _ => 60 * SECOND,
        });
        for process in self.processes.clone() {
            let offset = self.random.between(0, 2 * furthest) as i64 - furthest as i64;
            // Within a bound nothing may add up over the run.
            let steepest = if self.clock_bound.is_some() { 0 } else { 200 };
            let drift = self.random.between(0, 2 * steepest) as i64 - steepest as i64;
            *world.clock(process) = Clock::new(offset, drift);
            self.counts.clock_faults += 1;
        }
    }

    fn jump_clock<M: Machine>(&mut self, process: ProcessId, furthest: Nanos, world: &mut World<M>) {
        self.counts.clock_faults += 1;
        let target = self.random.between(0, 2 * furthest) as i64 - furthest as i64;
        let now = world.now();
        let clock = world.clock(process);
        clock.jump(target - clock.error(now));
        world.remark(&format!("the clock of {process} is now {:.3} s off", target as f64 / SECOND as f64));
    }

    fn next_strike(&mut self, now: Nanos, fault: Fault) -> (Nanos, Storm) {
        let number = FAULTS.iter().position(|(kind, _)| *kind == fault).expect("a kind of fault");
        let seconds = -(1.0 - self.random.fraction()).ln() / self.rates[&fault];
        (now + (seconds * SECOND as f64) as Nanos, Storm::Strike(number as u8))
    }

    fn downtime(&mut self) -> Nanos {
        self.span(10 * MILLISECOND, 6 * SECOND)
    }

    /// A span between two, every magnitude alike.
    fn span(&mut self, shortest: Nanos, longest: Nanos) -> Nanos {
        let ratio = longest as f64 / shortest as f64;
        (shortest as f64 * ratio.powf(self.random.fraction())) as Nanos
    }
}
