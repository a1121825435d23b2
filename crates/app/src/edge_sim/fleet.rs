//! [`Fleet`]: members in a simulated world, and a hand that starts, kills and parts them.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use skein_edge::membership::{Command, Event, Pace, Settings};
use skein_edge::{Book, Member, Membership, Name, Planted};
use skein_machine::ProcessId;
use skein_sim::check::{Violation, converge};
use skein_sim::{Datagrams, DiskHabits, Latency, MILLISECOND, Nanos, Occurrence, SECOND, Trace, World};

/// A simulated fleet before it begins.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    /// Places, far apart.
    pub(crate) places: u16,
    /// Whether the members of all places are one fleet. Otherwise those of each are one of their own.
    pub(crate) is_one_fleet: bool,
    /// Members in each place.
    pub(crate) members: u16,
    /// Processes that belong to no place's members, and are started by hand.
    pub(crate) spare: u16,
    /// Decides everything.
    pub(crate) seed: u64,
    /// How likely it is that a datagram is lost.
    pub(crate) loss: f64,
    /// How members behave.
    pub(crate) pace: Pace,
    /// The rule that is broken, if any.
    pub(crate) planted: Planted,
}

/// One thing that a member told its user.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// When.
    pub(crate) at: Nanos,
    /// Who told it.
    pub(crate) by: ProcessId,
    /// What it told.
    pub(crate) event: Event,
}

/// Members in a world.
pub(crate) struct Fleet {
    world: World<Membership>,
    plan: Plan,
    registry: Rc<RefCell<Registry>>,
    told: Vec<Told>,
}

/// What the host of each process knows: its name, and how often it has started. Hosts share this, for a name that
/// moves to another server takes its lives along.
#[derive(Debug, Default)]
struct Registry {
    names: BTreeMap<ProcessId, Name>,
    lives: BTreeMap<Name, u64>,
    /// Who each process is now.
    members: BTreeMap<ProcessId, Member>,
}

impl Plan {
    /// So many members in one place, on a good network.
    pub(crate) fn of(members: u16, seed: u64) -> Plan {
        let pace = Pace::of(usize::from(members));
        Plan { places: 1, is_one_fleet: false, members, spare: 0, seed, loss: 0.0, pace, planted: Planted::NONE }
    }

    /// The same where datagrams are lost.
    #[must_use]
    pub(crate) fn losing(self, loss: f64) -> Plan {
        Plan { loss, ..self }
    }

    /// The same with so many processes that nobody starts.
    #[must_use]
    pub(crate) fn with_spare(self, spare: u16) -> Plan {
        Plan { spare, ..self }
    }

    /// The same in so many places.
    #[must_use]
    pub(crate) fn in_places(self, places: u16) -> Plan {
        Plan { places, ..self }
    }

    /// The same where the members of all places are one fleet.
    #[must_use]
    pub(crate) fn in_one_fleet(self) -> Plan {
        let pace = Pace::of(usize::from(self.members * self.places)).across_places();
        Plan { is_one_fleet: true, pace, ..self }
    }

    fn processes(&self) -> Vec<ProcessId> {
        (0..self.places * self.members + self.spare).map(ProcessId).collect()
    }

    fn place_of(&self, process: ProcessId) -> u16 {
        (process.0 / self.members).min(self.places - 1)
    }

    fn fleet_of(&self, process: ProcessId) -> u16 {
        if self.is_one_fleet { 0 } else { self.place_of(process) }
    }

    /// The one through which all of a fleet come in.
    fn door_of(&self, process: ProcessId) -> ProcessId {
        ProcessId(self.fleet_of(process) * self.members)
    }
}

impl Fleet {
    /// A fleet of which nobody lives yet.
    pub(crate) fn new(plan: Plan) -> Fleet {
        let processes = plan.processes();
        let registry = Rc::new(RefCell::new(Registry::default()));
        let latency = Latency::edge(&processes, |process| plan.place_of(process));
        let maker = {
            let (plan, registry) = (plan.clone(), registry.clone());
            Box::new(move |process, _| make(&plan, &mut registry.borrow_mut(), process))
        };
        let mut world = World::new(&processes, latency, DiskHabits::INSTANT, plan.seed, maker);
        world.let_datagrams(Datagrams::COMMON.with_loss(plan.loss));
        Fleet { world, plan, registry, told: Vec::new() }
    }

    /// A fleet whose members have all begun within a second and found each other, and what they told until then
    /// forgotten.
    pub(crate) fn settled(plan: Plan) -> Fleet {
        let mut fleet = Fleet::new(plan);
        fleet.start_all();
        let violations = fleet.settle(60 * SECOND).err();
        assert!(violations.is_none(), "a fleet does not come together: {violations:?}");
        // The news of who is there goes round for a while.
        fleet.run(10 * SECOND);
        fleet.told.clear();
        fleet
    }

    /// Starts all members of all places, one after the other, within a second.
    pub(crate) fn start_all(&mut self) {
        let members = self.plan.places * self.plan.members;
        for process in (0..members).map(ProcessId) {
            self.start(process);
            self.run(SECOND / u64::from(members));
        }
    }

    /// Starts a process, for the first time or again.
    pub(crate) fn start(&mut self, process: ProcessId) {
        self.world.restart(process);
    }

    /// Starts a process as the member of this name.
    pub(crate) fn start_as(&mut self, process: ProcessId, name: &str) {
        let name = Name::new(name).expect("a test gives names that are some");
        self.registry.borrow_mut().names.insert(process, name);
        self.start(process);
    }

    /// Kills a process.
    pub(crate) fn kill(&mut self, process: ProcessId) {
        self.world.crash(process);
        self.registry.borrow_mut().members.remove(&process);
    }

    /// Asks a member to leave. It lives on, outside, until it is killed.
    pub(crate) fn leave(&mut self, process: ProcessId) {
        assert!(self.world.command(process, Command::Leave), "{process} is down");
        self.registry.borrow_mut().members.remove(&process);
    }

    /// Takes it for granted that a process is outside for good, or inside after all.
    pub(crate) fn expect_outside(&mut self, process: ProcessId) {
        self.registry.borrow_mut().members.remove(&process);
    }

    /// Parts one side from all others, or lets them meet again.
    pub(crate) fn part(&mut self, side: &[ProcessId], is_cut: bool) {
        let others: Vec<_> = self.plan.processes().into_iter().filter(|process| !side.contains(process)).collect();
        self.world.set_cut_between(side, &others, is_cut);
    }

    /// Lets so much time pass.
    pub(crate) fn run(&mut self, span: Nanos) {
        let horizon = self.world.now() + span;
        self.run_until(horizon, |_| false);
    }

    /// Lets time pass up to a moment, or until somebody tells what is waited for. Answers when that was.
    pub(crate) fn run_until(&mut self, horizon: Nanos, mut is_it: impl FnMut(&Told) -> bool) -> Option<Nanos> {
        while let Some(occurrence) = self.world.next(horizon) {
            let Occurrence::Told { process, event, .. } = occurrence else { continue };
            let told = Told { at: self.world.now(), by: process, event };
            let is_waited_for = is_it(&told);
            self.told.push(told);
            if is_waited_for {
                return Some(self.world.now());
            }
        }
        // Nobody reads who talked to whom here, and in minutes it would fill the memory.
        self.world.take_traffic();
        None
    }

    /// Lets time pass until all see what is true, a tenth of a second at a time. Answers how long that took, or what is
    /// wrong when the time is over.
    pub(crate) fn settle(&mut self, within: Nanos) -> Result<Nanos, Vec<Violation>> {
        let began = self.world.now();
        loop {
            let violations = self.judge();
            if violations.is_empty() {
                return Ok(self.world.now() - began);
            }
            if self.world.now() >= began + within {
                return Err(violations);
            }
            self.run(100 * MILLISECOND);
        }
    }

    /// What is wrong with what members see now: everybody's list is to be the set of those that live in its fleet.
    pub(crate) fn judge(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        for fleet in 0..self.plan.places {
            let registry = self.registry.borrow();
            let here = registry.members.iter().filter(|(process, _)| self.plan.fleet_of(**process) == fleet);
            let truth: BTreeSet<&Member> = here.clone().map(|(_, member)| member).collect();
            let views = here.filter_map(|(process, _)| self.world.machine(*process).map(|machine| (*process, machine)));
            let views: BTreeMap<ProcessId, BTreeSet<&Member>> =
                views.map(|(process, machine)| (process, machine.living().collect())).collect();
            found.extend(converge(&truth, &views));
        }
        found
    }

    /// What was told since it was last forgotten, in order.
    pub(crate) fn told(&self) -> &[Told] {
        &self.told
    }

    /// The same, of one process.
    pub(crate) fn told_by(&self, process: ProcessId) -> Vec<&Event> {
        self.told.iter().filter(|told| told.by == process).map(|told| &told.event).collect()
    }

    /// Forgets what was told.
    pub(crate) fn forget(&mut self) {
        self.told.clear();
    }

    /// Who a process is now, unless it is down or outside.
    pub(crate) fn member(&self, process: ProcessId) -> Option<Member> {
        self.registry.borrow().members.get(&process).cloned()
    }

    /// All processes that have a member inside.
    pub(crate) fn living(&self) -> Vec<ProcessId> {
        self.registry.borrow().members.keys().copied().collect()
    }

    /// The machine of a process, unless it is down.
    pub(crate) fn machine(&self, process: ProcessId) -> Option<&Membership> {
        self.world.machine(process)
    }

    /// Where all of it happens.
    pub(crate) fn world(&mut self) -> &mut World<Membership> {
        &mut self.world
    }

    /// Writes down what happens from now on.
    pub(crate) fn set_trace(&mut self, trace: Trace) {
        self.world.set_trace(trace);
    }

    /// What it was made of.
    pub(crate) fn plan(&self) -> &Plan {
        &self.plan
    }
}

fn make(plan: &Plan, registry: &mut Registry, process: ProcessId) -> Membership {
    let name = |text: String| Name::new(&text).expect("a name of letters and numbers");
    let own = registry.names.entry(process).or_insert_with(|| name(format!("m{}", process.0))).clone();
    let life = registry.lives.entry(own.clone()).or_default();
    *life += 1;
    let place = name(format!("place{}", plan.place_of(process)));
    let me = Member::new(own, place, Book::ruled_address(process)).living(*life);
    registry.members.insert(process, me.clone());
    let seeds = vec![Book::ruled_address(plan.door_of(process))];
    Membership::new(Settings { me, seeds, pace: plan.pace, planted: plan.planted }, Book::of_rule())
}
