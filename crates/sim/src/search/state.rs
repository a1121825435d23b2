//! One state of a search: machines, what is on the links, which timers stand,
//! and what the outside remembers. Cheap to copy, since a step changes one
//! machine and a few links; hashed so that equal states are known again.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use foldhash::quality::FixedState;
use skein_machine::wire::{self, VERSION};
use skein_machine::{Boot, Cluster, Effect, Machine, Out, ProcessId, Time};

use super::outside::{Outside, Story, note_lost, note_sent, tell, tell_heard};
use super::{Clocks, MomentKind};
use crate::check::Violation;

/// Time passes so often on one path at most: no timer is due again and again while somebody has a right to wait.
const MOST_WAITS: u32 = 4;

/// How far a search goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// How many crashes on one path, at most.
    pub(super) crashes: u32,
    /// How many timers fire on one path, at most.
    pub(super) timers: u32,
    /// Where somebody waits and nothing else can happen, timers fire that were armed for no longer than this.
    pub(super) patience: Duration,
    /// What hardware clocks show, if time passes at any moment.
    pub(super) clocks: Option<Clocks>,
    /// Whose clocks are ahead of true time, one bit for each place; the others are behind.
    pub(super) ahead: u64,
    /// Whether what is written down can ever be read again.
    pub(super) has_disks: bool,
    /// Whether orders that cannot matter to each other are tried once.
    pub(super) skips_equal_orders: bool,
    /// It stops after this many states.
    pub(super) max_states: u64,
}

/// What stays the same in one exploration.
pub(super) struct Setting<'a, M, O> {
    pub(super) limits: Limits,
    pub(super) outside: &'a O,
    cluster: &'a Arc<Cluster>,
    maker: &'a dyn Fn(ProcessId, Boot) -> M,
    processes: Vec<ProcessId>,
}

/// Something that can happen next. Processes by their place in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Transition {
    Ask(u8),
    Deliver {
        from: u8,
        to: u8,
    },
    Fire {
        at: u8,
        nth: u8,
    },
    /// Time passes, until the first timers are due.
    Wait,
    /// A little time passes on all clocks, whatever is on its way.
    Pass,
    Crash(u8),
    Restart(u8),
    Lose {
        from: u8,
        to: u8,
    },
}

pub(super) struct State<M: Machine, O: Outside<M>> {
    nodes: Vec<Node<M>>,
    /// Only links with something on them.
    links: BTreeMap<(u8, u8), VecDeque<Bytes>>,
    memory: O::Memory,
    crashes: u32,
    timers_fired: u32,
    waited: u32,
    passed: u32,
}

struct Node<M: Machine> {
    /// `None` while it is down.
    machine: Option<Arc<M>>,
    hash: (u64, u64),
    records: Vec<Bytes>,
    /// With how long they were armed for, where that matters; or, where time passes, until when.
    timers: BTreeMap<M::Timer, Duration>,
    life: u32,
}

impl<M: Machine, O: Outside<M>> Clone for State<M, O> {
    fn clone(&self) -> State<M, O> {
        State {
            nodes: self.nodes.clone(),
            links: self.links.clone(),
            memory: self.memory.clone(),
            crashes: self.crashes,
            timers_fired: self.timers_fired,
            waited: self.waited,
            passed: self.passed,
        }
    }
}

impl<M: Machine> Clone for Node<M> {
    fn clone(&self) -> Node<M> {
        Node {
            machine: self.machine.clone(),
            hash: self.hash,
            records: self.records.clone(),
            timers: self.timers.clone(),
            life: self.life,
        }
    }
}

impl Transition {
    /// Whether the order of two of these cannot matter: they happen at
    /// different processes, and a link between those takes at one end what it
    /// gives at the other. Asking, dying and losing are compared with
    /// everything, which costs time and is never wrong. So are two timers:
    /// both spend of what may fire on one path, so each can be the other's last.
    pub(super) fn is_independent(self, other: Transition) -> bool {
        use Transition::{Deliver, Fire};
        match (self, other) {
            (Deliver { to: one, .. }, Deliver { to: other, .. }) => one != other,
            (Deliver { to: one, .. }, Fire { at: other, .. }) | (Fire { at: one, .. }, Deliver { to: other, .. }) => {
                one != other
            }
            _ => false,
        }
    }
}

impl<'a, M, O> Setting<'a, M, O> {
    pub(super) fn new(
        limits: Limits,
        cluster: &'a Arc<Cluster>,
        outside: &'a O,
        maker: &'a dyn Fn(ProcessId, Boot) -> M,
    ) -> Setting<'a, M, O> {
        Setting { limits, outside, cluster, maker, processes: cluster.processes().collect() }
    }

    fn place(&self, process: ProcessId) -> u8 {
        let place = self.processes.iter().position(|other| *other == process);
        place.unwrap_or_else(|| panic!("there is no process {process} in this search")) as u8
    }

    fn process(&self, place: u8) -> ProcessId {
        self.processes[usize::from(place)]
    }
}

impl<M: Machine + Clone + Hash, O: Outside<M>> State<M, O> {
    /// Everybody is up, and what is asked for at first was.
    pub(super) fn initial(setting: &Setting<'_, M, O>, story: &mut Story) -> State<M, O> {
        let node = || Node { machine: None, hash: (0, 0), records: Vec::new(), timers: BTreeMap::new(), life: 0 };
        let mut state = State {
            nodes: setting.processes.iter().map(|_| node()).collect(),
            links: BTreeMap::new(),
            memory: setting.outside.begin(),
            crashes: 0,
            timers_fired: 0,
            waited: 0,
            passed: 0,
        };
        for place in 0..setting.processes.len() {
            state.boot(setting, place as u8, Boot::First, story);
        }
        for nth in setting.outside.asked_at_first() {
            state.take(setting, Transition::Ask(nth), story);
        }
        state
    }

    /// What can happen next.
    pub(super) fn transitions(&self, setting: &Setting<'_, M, O>) -> Vec<Transition> {
        let asks = setting.outside.may_be_asked(&self.memory);
        let mut next: Vec<Transition> = asks.into_iter().map(Transition::Ask).collect();
        for &(from, to) in self.links.keys() {
            if self.is_up(to) {
                next.push(Transition::Deliver { from, to });
            }
            if !self.is_up(from) {
                next.push(Transition::Lose { from, to });
            }
        }
        if self.may_wait(setting) {
            next.push(Transition::Wait);
        }
        if self.may_pass(setting) {
            next.push(Transition::Pass);
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let at = place as u8;
            if node.machine.is_none() {
                next.push(Transition::Restart(at));
                continue;
            }
            if self.timers_fired < setting.limits.timers {
                next.extend((0..node.timers.len() as u8).map(|nth| Transition::Fire { at, nth }));
            }
            let is_replica = setting.cluster.group_of(setting.process(at)).is_some();
            if self.crashes < setting.limits.crashes && is_replica {
                next.push(Transition::Crash(at));
            }
        }
        next
    }

    /// Whether nothing is left to do but to crash.
    pub(super) fn is_at_rest(&self, setting: &Setting<'_, M, O>) -> bool {
        self.is_silent(setting) && !self.may_wait(setting) && !self.may_pass(setting)
    }

    fn is_silent(&self, setting: &Setting<'_, M, O>) -> bool {
        self.links.is_empty() && setting.outside.is_all_asked(&self.memory)
    }

    /// Whether all that can happen is that time passes, and somebody waits for it.
    fn may_wait(&self, setting: &Setting<'_, M, O>) -> bool {
        self.waited < MOST_WAITS
            && self.is_silent(setting)
            && !setting.outside.is_all_answered(&self.memory)
            && self.first_due().is_some_and(|after| after <= setting.limits.patience)
    }

    /// Whether time may pass: as often as is asked for, and when all is silent until nobody has to wait for that alone.
    fn may_pass(&self, setting: &Setting<'_, M, O>) -> bool {
        setting.limits.clocks.is_some_and(|clocks| {
            let longest = clocks.passes + 4 * clocks.error + 2;
            self.passed < clocks.passes || (self.passed < longest && self.is_silent(setting))
        })
    }

    /// What the clock of a process shows.
    fn now(&self, setting: &Setting<'_, M, O>, at: u8) -> Time {
        let is_ahead = setting.limits.ahead >> at & 1 == 1;
        setting.limits.clocks.map_or(Time::ZERO, |clocks| clocks.read(is_ahead, self.passed))
    }

    /// How long it takes until the first timer fires.
    fn first_due(&self) -> Option<Duration> {
        self.nodes.iter().flat_map(|node| node.timers.values()).min().copied()
    }

    /// Whether the verdict stands, whatever still comes.
    pub(super) fn is_decided(&self, setting: &Setting<'_, M, O>) -> bool {
        setting.outside.is_all_asked(&self.memory) && setting.outside.is_decided(&self.memory, &self.machines())
    }

    /// Does one thing. The story gets a line for it, and one for each thing that is told.
    pub(super) fn take(&mut self, setting: &Setting<'_, M, O>, transition: Transition, story: &mut Story) {
        match transition {
            Transition::Ask(nth) => {
                let (place, command) = setting.outside.ask(nth, &mut self.memory, story);
                let now = self.now(setting, place);
                self.step(setting, place, story, |machine, out| machine.on_command(now, command, out));
            }
            Transition::Deliver { from, to } => {
                let link = self.links.get_mut(&(from, to)).expect("only a link with something on it delivers");
                let bytes = link.pop_front().expect("it has something on it");
                if link.is_empty() {
                    self.links.remove(&(from, to));
                }
                self.hear(setting, from, to, bytes, story);
            }
            Transition::Fire { at, nth } => {
                self.timers_fired += 1;
                let node = &self.nodes[usize::from(at)];
                let timer = node.timers.keys().nth(usize::from(nth)).expect("only what is armed fires").clone();
                self.fire(setting, at, timer, story);
            }
            Transition::Wait => {
                self.waited += 1;
                let after = self.first_due().expect("time passes for somebody");
                for at in 0..self.nodes.len() as u8 {
                    let due = self.nodes[usize::from(at)].timers.iter().filter(|(_, other)| **other == after);
                    let due: Vec<M::Timer> = due.map(|(timer, _)| timer.clone()).collect();
                    due.into_iter().for_each(|timer| self.fire(setting, at, timer, story));
                }
            }
            Transition::Pass => {
                self.passed += 1;
                let clocks = setting.limits.clocks.expect("time passes where there are clocks");
                let now = clocks.unit * self.passed;
                for at in 0..self.nodes.len() as u8 {
                    let due = self.nodes[usize::from(at)].timers.iter().filter(|(_, until)| **until <= now);
                    let due: Vec<M::Timer> = due.map(|(timer, _)| timer.clone()).collect();
                    due.into_iter().for_each(|timer| self.fire(setting, at, timer, story));
                }
            }
            Transition::Crash(at) => {
                self.crashes += 1;
                tell(story, MomentKind::Crash, setting.process(at), || "crashes".into());
                let node = &mut self.nodes[usize::from(at)];
                (node.machine, node.hash) = (None, (0, 0));
                node.timers.clear();
                self.links.retain(|(_, to), _| *to != at);
                note_lost(story, |_, to| to == setting.process(at));
            }
            Transition::Restart(at) => {
                tell(story, MomentKind::Restart, setting.process(at), || "starts again".into());
                // Old connections are gone, with whatever was still on them.
                self.links.retain(|(from, to), _| *from != at && *to != at);
                note_lost(story, |from, to| [from, to].contains(&setting.process(at)));
                self.boot(setting, at, Boot::Again, story);
                for other in (0..self.nodes.len() as u8).filter(|other| *other != at) {
                    if self.is_up(other) && self.is_up(at) {
                        self.reconnect(setting, at, other, story);
                        self.reconnect(setting, other, at, story);
                    }
                }
            }
            Transition::Lose { from, to } => {
                let words = || format!("loses what it had sent to {}", setting.process(to));
                tell(story, MomentKind::Lose, setting.process(from), words);
                self.links.remove(&(from, to));
                note_lost(story, |one, other| (one, other) == (setting.process(from), setting.process(to)));
            }
        }
    }

    fn fire(&mut self, setting: &Setting<'_, M, O>, at: u8, timer: M::Timer, story: &mut Story) {
        self.nodes[usize::from(at)].timers.remove(&timer);
        tell(story, MomentKind::Timer, setting.process(at), || format!("finds {timer:?} due"));
        let now = self.now(setting, at);
        self.step(setting, at, story, |machine, out| machine.on_timer(now, timer, out));
    }

    /// What is wrong with what has been seen so far. `is_over` when nothing more will come.
    pub(super) fn judge(&self, setting: &Setting<'_, M, O>, is_over: bool) -> Vec<Violation> {
        setting.outside.judge(&self.memory, &self.machines(), is_over)
    }

    /// How much the outside has seen: when it has grown there is something new to judge.
    pub(super) fn seen(&self, setting: &Setting<'_, M, O>) -> usize {
        setting.outside.seen(&self.memory)
    }

    /// What makes this state the same as another.
    pub(super) fn key(&self) -> u128 {
        let machines: Vec<Option<(u64, u64)>> =
            self.nodes.iter().map(|node| node.machine.is_some().then_some(node.hash)).collect();
        let kept: Vec<_> = self.nodes.iter().map(|node| (&node.records, &node.timers)).collect();
        let rest = (&self.links, &self.memory, self.crashes, self.timers_fired, self.waited, self.passed);
        let (high, low) = hashes(&(machines, kept, rest));
        u128::from(high) << 64 | u128::from(low)
    }

    fn machines(&self) -> Vec<Option<&M>> {
        self.nodes.iter().map(|node| node.machine.as_deref()).collect()
    }

    fn is_up(&self, place: u8) -> bool {
        self.nodes[usize::from(place)].machine.is_some()
    }

    fn boot(&mut self, setting: &Setting<'_, M, O>, at: u8, boot: Boot, story: &mut Story) {
        let mut machine = (setting.maker)(setting.process(at), boot);
        let node = &mut self.nodes[usize::from(at)];
        for record in &node.records {
            let record = wire::from_bytes(record.clone(), VERSION).expect("a record survives its own encoding");
            machine.restore(record);
        }
        node.life += 1;
        setting.outside.begins_to_live(at, &mut self.memory);
        node.machine = Some(Arc::new(machine));
        let seed = u64::from(at) + 1;
        let now = self.now(setting, at);
        self.step(setting, at, story, |machine, out| machine.start(now, seed, out));
    }

    fn reconnect(&mut self, setting: &Setting<'_, M, O>, at: u8, peer: u8, story: &mut Story) {
        let peer = setting.process(peer);
        let now = self.now(setting, at);
        self.step(setting, at, story, |machine, out| machine.on_reconnect(now, peer, out));
    }

    fn hear(&mut self, setting: &Setting<'_, M, O>, from: u8, to: u8, bytes: Bytes, story: &mut Story) {
        let (sender, message) = understand(setting, from, to, bytes, story);
        let now = self.now(setting, to);
        self.step(setting, to, story, |machine, out| machine.on_message(now, sender, message, out));
    }

    /// One step of one machine, and then what it tells itself, in the order told, until it is silent.
    fn step(&mut self, setting: &Setting<'_, M, O>, at: u8, story: &mut Story, act: impl FnOnce(&mut M, &mut Out<M>)) {
        let mut to_itself = VecDeque::new();
        self.step_once(setting, at, &mut to_itself, story, act);
        while let Some(bytes) = to_itself.pop_front() {
            let (sender, message) = understand(setting, at, at, bytes, story);
            let now = self.now(setting, at);
            let act = |machine: &mut M, out: &mut Out<M>| machine.on_message(now, sender, message, out);
            self.step_once(setting, at, &mut to_itself, story, act);
        }
        let machine = self.nodes[usize::from(at)].machine.as_deref().expect("it has just taken a step");
        self.nodes[usize::from(at)].hash = hashes(machine);
    }

    /// One step of one machine with all its effects.
    fn step_once(
        &mut self,
        setting: &Setting<'_, M, O>,
        at: u8,
        to_itself: &mut VecDeque<Bytes>,
        story: &mut Story,
        act: impl FnOnce(&mut M, &mut Out<M>),
    ) {
        let mut out = Out::new();
        let now = self.now(setting, at);
        let node = &mut self.nodes[usize::from(at)];
        let machine = Arc::make_mut(node.machine.as_mut().expect("only a process that is up takes steps"));
        act(machine, &mut out);
        machine.finish(now, &mut out);
        machine.check();
        for effect in out.drain() {
            self.perform(setting, at, effect, to_itself, story);
        }
    }

    fn perform(
        &mut self,
        setting: &Setting<'_, M, O>,
        at: u8,
        effect: Effect<M>,
        to_itself: &mut VecDeque<Bytes>,
        story: &mut Story,
    ) {
        let node = &mut self.nodes[usize::from(at)];
        match effect {
            Effect::Persist(_) | Effect::Checkpoint(_) | Effect::Compact(_) if !setting.limits.has_disks => {}
            Effect::Persist(record) => node.records.push(wire::to_bytes(&record)),
            Effect::Checkpoint(record) | Effect::Compact(record) => node.records = vec![wire::to_bytes(&record)],
            Effect::Arm(timer, after) => {
                let is_counted = setting.limits.patience > Duration::ZERO;
                let until = match setting.limits.clocks {
                    Some(clocks) => clocks.unit * self.passed + after,
                    None if is_counted => after,
                    None => Duration::ZERO,
                };
                node.timers.insert(timer, until);
            }
            Effect::Disarm(timer) => {
                node.timers.remove(&timer);
            }
            Effect::Send(to, message) | Effect::SendEarly(to, message) => {
                let bytes = wire::to_bytes(&message);
                for to in to.iter().map(|process| setting.place(process)) {
                    if to == at {
                        to_itself.push_back(bytes.clone());
                        note_sent(story, setting.process(at), setting.process(at));
                    } else if self.is_up(to) {
                        note_sent(story, setting.process(at), setting.process(to));
                        self.links.entry((at, to)).or_default().push_back(bytes.clone());
                    }
                }
            }
            Effect::Emit(event) | Effect::EmitEarly(event) => {
                let life = node.life;
                setting.outside.hear(at, life, event, &mut self.memory, story);
            }
        }
    }
}

/// Decodes what a process hears, and writes it into the story.
fn understand<M: Machine, O>(
    setting: &Setting<'_, M, O>,
    from: u8,
    to: u8,
    bytes: Bytes,
    story: &mut Story,
) -> (ProcessId, M::Message) {
    let message: M::Message = wire::from_bytes(bytes, VERSION).expect("a message survives its own encoding");
    let sender = setting.process(from);
    tell_heard(story, sender, setting.process(to), || format!("hears {sender}: {message:?}"));
    (sender, message)
}

fn hashes(value: &impl Hash) -> (u64, u64) {
    (FixedState::with_seed(1).hash_one(value), FixedState::with_seed(2).hash_one(value))
}
