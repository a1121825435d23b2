//! [`Maps`]: agents in a simulated world, each with its copy of the map, and a
//! hand that writes, kills and parts them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use skein_edge::agent::{Agent, Command, Event};
use skein_edge::health::Origin;
use skein_edge::membership::{self, Pace};
use skein_edge::spread::{self, Tempo};
use skein_edge::{Book, Member, Name, Planted};
use skein_machine::ProcessId;
use skein_sim::{Datagrams, DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, SECOND, World};

/// A simulated fleet before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// How many places.
    pub(crate) places: u16,
    /// Members in each.
    pub(crate) members: u16,
    /// Decides everything.
    pub(crate) seed: u64,
    /// How likely it is that a datagram is lost.
    pub(crate) loss: f64,
    /// How fast news goes.
    pub(crate) tempo: Tempo,
    /// What is watched.
    pub(crate) origins: Vec<Origin>,
    /// The rule that is broken, if any.
    pub(crate) planted: Planted,
    /// Machines are believed to be well: to look takes longer than everything else together.
    pub(crate) trusts: bool,
}

/// Lives of one member are further apart than it begins anew in one.
const LIFE: u64 = 1 << 16;

/// Somebody shows something else under this key.
#[derive(Clone, Debug)]
pub(crate) struct Changed {
    pub(crate) at: Nanos,
    pub(crate) by: ProcessId,
    pub(crate) key: Bytes,
}

/// Agents in a world.
pub(crate) struct Maps {
    world: World<Agent>,
    plan: Plan,
    changes: Vec<Changed>,
    /// How often agents began anew.
    anew: usize,
    /// Changes that were not made, for want of readiness.
    refused: usize,
    /// Who probed what, when.
    probes: Vec<Probed>,
}

/// A member probed an origin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Probed {
    pub(crate) at: Nanos,
    pub(crate) by: ProcessId,
    pub(crate) origin: u32,
}

impl Plan {
    /// So many places and members in each, on a good network.
    pub(crate) fn of(places: u16, members: u16, seed: u64) -> Plan {
        Plan {
            places,
            members,
            seed,
            loss: 0.0,
            tempo: Tempo::default(),
            origins: Vec::new(),
            planted: Planted::NONE,
            trusts: false,
        }
    }

    fn processes(&self) -> Vec<ProcessId> {
        (0..self.places * self.members).map(ProcessId).collect()
    }

    /// Where a process stands.
    pub(crate) fn place_of(&self, process: ProcessId) -> u16 {
        process.0 / self.members
    }
}

impl Maps {
    /// A fleet of which nobody lives yet.
    pub(crate) fn new(plan: Plan) -> Maps {
        let processes = plan.processes();
        let lives: Rc<RefCell<BTreeMap<ProcessId, u64>>> = Rc::default();
        let latency = Latency::edge(&processes, |process| plan.place_of(process));
        let maker = {
            let plan = plan.clone();
            Box::new(move |process, _| make(&plan, &mut lives.borrow_mut(), process))
        };
        let mut world = World::new(&processes, latency, DiskHabits::INSTANT, plan.seed, maker);
        world.let_datagrams(Datagrams::COMMON.with_loss(plan.loss));
        if plan.trusts {
            world.trust_machines();
        }
        Maps { world, plan, changes: Vec::new(), anew: 0, refused: 0, probes: Vec::new() }
    }

    /// A fleet whose members have begun within a second, the first of all some moments before the others, and have all
    /// become ready.
    pub(crate) fn settled(plan: Plan) -> Maps {
        let mut maps = Maps::new(plan);
        let processes = maps.plan.processes();
        for process in &processes {
            maps.start(*process);
            maps.run(if process.0 == 0 { SECOND } else { SECOND / processes.len() as u64 });
        }
        let mut waited = 0;
        while !processes.iter().all(|process| maps.agent(*process).is_some_and(|agent| agent.spread().is_ready())) {
            assert!(waited < 60, "a fleet does not come together");
            waited += 1;
            maps.run(SECOND);
        }
        maps.run(10 * SECOND);
        maps.forget();
        maps
    }

    /// Starts a process, for the first time or again.
    pub(crate) fn start(&mut self, process: ProcessId) {
        self.world.restart(process);
    }

    /// Kills a process.
    pub(crate) fn kill(&mut self, process: ProcessId) {
        self.world.crash(process);
    }

    /// Parts these from all others, or lets them meet again.
    pub(crate) fn part(&mut self, side: &[ProcessId], is_cut: bool) {
        let others: Vec<_> = self.plan.processes().into_iter().filter(|process| !side.contains(process)).collect();
        self.world.set_cut_between(side, &others, is_cut);
    }

    /// Sets a value at a member. Nothing happens while that is down.
    pub(crate) fn put(&mut self, process: ProcessId, key: &str, value: &str) {
        let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        self.world.command(process, Command::Put { key, value });
    }

    /// Removes a key at a member.
    pub(crate) fn remove(&mut self, process: ProcessId, key: &str) {
        self.world.command(process, Command::Remove { key: Bytes::copy_from_slice(key.as_bytes()) });
    }

    /// Asks a member to leave.
    pub(crate) fn leave(&mut self, process: ProcessId) {
        self.world.command(process, Command::Leave);
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, span: Nanos) {
        let horizon = self.world.now() + span;
        while let Some(occurrence) = self.world.next(horizon) {
            let Occurrence::Told { process, event, .. } = occurrence else { continue };
            match event {
                Event::Map(spread::Event::Changed(key)) => {
                    let key = Bytes::copy_from_slice(&key);
                    self.changes.push(Changed { at: self.world.now(), by: process, key });
                }
                Event::Map(spread::Event::BeginsAnew) => self.anew += 1,
                Event::Unchanged(..) => self.refused += 1,
                Event::Probe(round) => {
                    self.probes.push(Probed { at: self.world.now(), by: process, origin: round.origin });
                    // Every origin is well, and says so at once.
                    self.world.command(process, Command::Probed { round, is_well: true, why: Bytes::new() });
                }
                _ => {}
            }
        }
        // Nobody reads who talked to whom here, and in minutes it would fill the memory.
        self.world.take_traffic();
    }

    /// Lets time pass until it is so, a tenth of a second at a time. Answers after how long.
    pub(crate) fn run_until(&mut self, within: Nanos, is_so: impl Fn(&Maps) -> bool) -> Option<Nanos> {
        let began = self.world.now();
        while !is_so(self) {
            if self.world.now() >= began + within {
                return None;
            }
            self.run(100 * MILLISECOND);
        }
        Some(self.world.now() - began)
    }

    /// The agent of a process, unless it is down.
    pub(crate) fn agent(&self, process: ProcessId) -> Option<&Agent> {
        self.world.machine(process)
    }

    /// All that live.
    pub(crate) fn living(&self) -> Vec<ProcessId> {
        self.plan.processes().into_iter().filter(|process| self.agent(*process).is_some()).collect()
    }

    /// Whether all that live hold the same.
    pub(crate) fn agree(&self) -> bool {
        let living = self.living();
        let mut maps = living.iter().filter_map(|process| self.agent(*process)).map(|agent| agent.spread().map());
        let Some(first) = maps.next() else { return true };
        maps.all(|map| map == first)
    }

    /// What a member shows.
    pub(crate) fn get(&self, process: ProcessId, key: &str) -> Option<Bytes> {
        self.agent(process)?.spread().map().get(key.as_bytes()).cloned()
    }

    /// What changed since it was last forgotten.
    pub(crate) fn changes(&self) -> &[Changed] {
        &self.changes
    }

    /// Who probed what since that was last forgotten, in order.
    pub(crate) fn probes(&self) -> &[Probed] {
        &self.probes
    }

    /// Forgets what changed, and who probed what.
    pub(crate) fn forget(&mut self) {
        self.changes.clear();
        self.probes.clear();
    }

    /// How often agents began anew, because they lacked what others had forgotten.
    pub(crate) fn anew(&self) -> usize {
        self.anew
    }

    /// Changes that were not made.
    pub(crate) fn refused(&self) -> usize {
        self.refused
    }

    /// Where all of it happens.
    pub(crate) fn world(&mut self) -> &mut World<Agent> {
        &mut self.world
    }

    /// What it was made of.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

fn make(plan: &Plan, lives: &mut BTreeMap<ProcessId, u64>, process: ProcessId) -> Agent {
    let name = |text: String| Name::new(&text).expect("a name of letters and numbers");
    let life = lives.entry(process).or_default();
    *life += LIFE;
    let place = name(format!("place{}", plan.place_of(process)));
    let me = Member::new(name(format!("m{}", process.0)), place, Book::ruled_address(process)).living(*life);
    let door = plan.place_of(process) * plan.members;
    let seeds = vec![Book::ruled_address(ProcessId(door)), Book::ruled_address(ProcessId(door + 1))];
    let pace = Pace::of(usize::from(plan.members));
    let membership = membership::Settings { me: me.clone(), seeds, pace, planted: plan.planted };
    let doors = (0..plan.places).map(|place| place * plan.members).filter(|other| *other != door);
    let gateways = doors.take(3).map(|door| Book::ruled_address(ProcessId(door))).collect();
    let spread = spread::Settings { me, gateways, tempo: plan.tempo, planted: plan.planted };
    Agent::new(membership, spread, plan.origins.clone(), Book::of_rule())
}
