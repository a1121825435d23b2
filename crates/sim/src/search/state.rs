//! One state of a search: machines, what is on the links, which timers stand,
//! and what has been delivered. Cheap to copy, since a step changes one
//! machine and a few links; hashed so that equal states are known again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

use bytes::Bytes;
use foldhash::quality::FixedState;
use skein_machine::wire::{self, VERSION};
use skein_machine::{
    Boot, Cluster, Delivery, Down, Effect, GroupSet, MessageId, Multicast, Ordering, Out, ProcessId, Stamp, Time,
    Timestamp, Up,
};

use super::{Moment, MomentKind, Scope};
use crate::History;
use crate::check::{Claims, RealTime, Violation, judge};

/// What the messages say where some commute. The first and the third read what the second writes, and the fourth
/// writes elsewhere: of any two that follow each other some commute and some do not.
const LETTERS: &[u8] = b"aeidbfjh";

/// What stays the same in one exploration.
pub(super) struct Setting<'a, M> {
    pub(super) scope: &'a Scope,
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) workload: &'a [GroupSet],
    pub(super) maker: &'a dyn Fn(ProcessId, Boot) -> M,
    processes: Vec<ProcessId>,
}

/// What happened, for a reader; `None` when there is none.
pub(super) type Story = Option<Vec<Moment>>;

/// Something that can happen next. Processes by their place in the cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Transition {
    Multicast(u8),
    Deliver { from: u8, to: u8 },
    Fire { at: u8, nth: u8 },
    Crash(u8),
    Restart(u8),
    Lose { from: u8, to: u8 },
}

#[derive(Clone)]
pub(super) struct State<M: Ordering> {
    nodes: Vec<Node<M>>,
    /// Only links with something on them.
    links: BTreeMap<(u8, u8), VecDeque<Bytes>>,
    /// Which messages were sent, one bit each.
    sent: u64,
    /// For each message: which others were over when it was sent.
    over_before: Vec<u64>,
    crashes: u32,
    timers_fired: u32,
    /// Everything seen from outside, in order. Not hashed: what matters of it is hashed by the fields.
    log: Vec<Seen>,
}

struct Node<M: Ordering> {
    /// `None` while it is down.
    machine: Option<Arc<M>>,
    hash: (u64, u64),
    records: Vec<Bytes>,
    timers: BTreeSet<M::Timer>,
    life: u32,
    /// What it delivered, with all its lives together.
    delivered: Vec<(MessageId, Timestamp)>,
    /// How many of these it has told in this life.
    told: u64,
    /// Where some messages commute, instead: what it told in this life, in whatever order.
    holds: BTreeSet<Stamp>,
    /// And in each life before: what these lacked may yet turn out to be a hole.
    held: BTreeSet<BTreeSet<Stamp>>,
}

/// What the outside sees.
#[derive(Clone)]
enum Seen {
    Sent { nth: u8 },
    Delivered { place: u8, life: u32, delivery: Arc<Delivery> },
}

impl<M: Ordering> Clone for Node<M> {
    fn clone(&self) -> Node<M> {
        Node {
            machine: self.machine.clone(),
            hash: self.hash,
            records: self.records.clone(),
            timers: self.timers.clone(),
            life: self.life,
            delivered: self.delivered.clone(),
            told: self.told,
            holds: self.holds.clone(),
            held: self.held.clone(),
        }
    }
}

impl<M: Ordering> Node<M> {
    /// A repetition after a restart is seen by the judges. Here it changes what is held, or how much is told.
    fn remember(&mut self, delivery: &Delivery, do_some_commute: bool) {
        if do_some_commute {
            self.holds.insert(delivery.stamp());
            return;
        }
        if delivery.position as usize >= self.delivered.len() {
            self.delivered.push((delivery.message.id, delivery.timestamp));
        }
        self.told += 1;
    }

    /// What can make a difference to a judge. The order in which commuting messages were told cannot: what
    /// conflicts was compared when it was told.
    fn memory(&self) -> impl Hash + '_ {
        (&self.delivered, self.told, &self.holds, &self.held)
    }
}

impl Transition {
    /// Whether the order of two of these cannot matter: they happen at
    /// different processes, and a link between those takes at one end what it
    /// gives at the other. Sending, dying and losing are compared with
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

impl<'a, M> Setting<'a, M> {
    pub(super) fn new(
        scope: &'a Scope,
        cluster: &'a Arc<Cluster>,
        workload: &'a [GroupSet],
        maker: &'a dyn Fn(ProcessId, Boot) -> M,
    ) -> Setting<'a, M> {
        Setting { scope, cluster, workload, maker, processes: cluster.processes().collect() }
    }

    /// The message `nth`, each of a session of its own.
    fn message(&self, nth: u8) -> Multicast {
        Multicast {
            id: MessageId::new(u64::from(nth) + 1, 1, self.workload[usize::from(nth)].bits()),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: self.payload(nth),
        }
    }

    fn payload(&self, nth: u8) -> Bytes {
        match self.scope.conflicts {
            Some(_) => Bytes::from_static(LETTERS).slice(usize::from(nth)..=usize::from(nth)),
            None => Bytes::new(),
        }
    }

    /// The outsider that sends the message `nth`.
    fn sender(&self, nth: u8) -> u8 {
        let outsider = self.cluster.outsiders()[usize::from(nth)];
        self.place(outsider)
    }

    fn place(&self, process: ProcessId) -> u8 {
        let place = self.processes.iter().position(|other| *other == process);
        place.unwrap_or_else(|| panic!("there is no process {process} in this search")) as u8
    }
}

impl<M: Ordering + Clone + Hash> State<M> {
    /// Everybody is up. Without a real-time order to keep, all messages are
    /// sent at once: a START that waits on its link is as good as one not sent.
    pub(super) fn initial(setting: &Setting<'_, M>, story: &mut Story) -> State<M> {
        let node = || Node {
            machine: None,
            hash: (0, 0),
            records: Vec::new(),
            timers: BTreeSet::new(),
            life: 0,
            delivered: Vec::new(),
            told: 0,
            holds: BTreeSet::new(),
            held: BTreeSet::new(),
        };
        let mut state = State {
            nodes: setting.processes.iter().map(|_| node()).collect(),
            links: BTreeMap::new(),
            sent: 0,
            over_before: vec![0; setting.workload.len()],
            crashes: 0,
            timers_fired: 0,
            log: Vec::new(),
        };
        for place in 0..setting.processes.len() {
            state.boot(setting, place as u8, Boot::First, story);
        }
        if setting.scope.real_time.is_none() {
            for nth in 0..setting.workload.len() {
                state.take(setting, Transition::Multicast(nth as u8), story);
            }
        }
        state
    }

    /// What can happen next.
    pub(super) fn transitions(&self, setting: &Setting<'_, M>) -> Vec<Transition> {
        let mut next: Vec<Transition> = Vec::new();
        next.extend(
            (0..setting.workload.len() as u8).filter(|nth| self.sent >> nth & 1 == 0).map(Transition::Multicast),
        );
        for &(from, to) in self.links.keys() {
            if self.is_up(to) {
                next.push(Transition::Deliver { from, to });
            }
            if !self.is_up(from) {
                next.push(Transition::Lose { from, to });
            }
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let at = place as u8;
            if node.machine.is_none() {
                next.push(Transition::Restart(at));
                continue;
            }
            if self.timers_fired < setting.scope.timers {
                next.extend((0..node.timers.len() as u8).map(|nth| Transition::Fire { at, nth }));
            }
            let is_replica = setting.cluster.group_of(setting.processes[place]).is_some();
            if self.crashes < setting.scope.crashes && is_replica {
                next.push(Transition::Crash(at));
            }
        }
        next
    }

    /// Whether nothing is left to do but to crash.
    pub(super) fn is_at_rest(&self, setting: &Setting<'_, M>) -> bool {
        self.links.is_empty() && self.sent == (1 << setting.workload.len()) - 1
    }

    /// Does one thing. The story gets a line for it, and one for each delivery.
    pub(super) fn take(&mut self, setting: &Setting<'_, M>, transition: Transition, story: &mut Story) {
        match transition {
            Transition::Multicast(nth) => {
                let message = setting.message(nth);
                self.sent |= 1 << nth;
                self.over_before[usize::from(nth)] = self.over(setting);
                self.log.push(Seen::Sent { nth });
                let place = setting.sender(nth);
                let kind = MomentKind::Multicast(message.id, message.id.destinations);
                tell(setting, story, kind, place, || format!("multicasts {message:?}"));
                self.step(setting, place, story, |machine, out| {
                    machine.on_command(Time::ZERO, Down::Multicast(message), out);
                });
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
                let node = &mut self.nodes[usize::from(at)];
                let timer = node.timers.iter().nth(usize::from(nth)).expect("only what is armed fires").clone();
                node.timers.remove(&timer);
                tell(setting, story, MomentKind::Timer, at, || format!("finds {timer:?} due"));
                self.step(setting, at, story, |machine, out| machine.on_timer(Time::ZERO, timer, out));
            }
            Transition::Crash(at) => {
                self.crashes += 1;
                tell(setting, story, MomentKind::Crash, at, || "crashes".into());
                let node = &mut self.nodes[usize::from(at)];
                (node.machine, node.hash) = (None, (0, 0));
                node.timers.clear();
                self.links.retain(|(_, to), _| *to != at);
            }
            Transition::Restart(at) => {
                tell(setting, story, MomentKind::Restart, at, || "starts again".into());
                // Old connections are gone, with whatever was still on them.
                self.links.retain(|(from, to), _| *from != at && *to != at);
                self.boot(setting, at, Boot::Again, story);
                for other in (0..self.nodes.len() as u8).filter(|other| *other != at) {
                    if self.is_up(other) && self.is_up(at) {
                        self.reconnect(setting, at, other, story);
                        self.reconnect(setting, other, at, story);
                    }
                }
            }
            Transition::Lose { from, to } => {
                let words = format!("loses what it had sent to {}", setting.processes[usize::from(to)]);
                tell(setting, story, MomentKind::Lose, from, || words);
                self.links.remove(&(from, to));
            }
        }
    }

    /// What is wrong with what has been seen so far. `is_over` when nothing more will come.
    pub(super) fn judge(&self, setting: &Setting<'_, M>, is_over: bool) -> Vec<Violation> {
        let mut history = History::new(setting.cluster.clone(), setting.scope.conflicts);
        for (at, seen) in self.log.iter().enumerate() {
            match seen {
                Seen::Sent { nth } => {
                    let sender = setting.processes[usize::from(setting.sender(*nth))];
                    history.multicast(at as u64, sender, &setting.message(*nth));
                }
                Seen::Delivered { place, life, delivery } => {
                    history.delivered(at as u64, setting.processes[usize::from(*place)], *life, delivery);
                }
            }
        }
        let Scope { conflicts, real_time, .. } = *setting.scope;
        judge(&history, &Claims { conflicts, real_time, is_over, ..Claims::CLASSIC })
    }

    /// How many deliveries and sends were seen: when it has grown there is something new to judge.
    pub(super) fn seen(&self) -> usize {
        self.log.len()
    }

    /// What makes this state the same as another.
    pub(super) fn key(&self) -> u128 {
        let machines: Vec<Option<(u64, u64)>> =
            self.nodes.iter().map(|node| node.machine.is_some().then_some(node.hash)).collect();
        let memories: Vec<_> = self.nodes.iter().map(|node| (&node.records, &node.timers, node.memory())).collect();
        let rest = (&self.links, self.sent, &self.over_before, self.crashes, self.timers_fired);
        let (high, low) = hashes(&(machines, memories, rest));
        u128::from(high) << 64 | u128::from(low)
    }

    fn is_up(&self, place: u8) -> bool {
        self.nodes[usize::from(place)].machine.is_some()
    }

    /// Which messages are over now, in the sense that the scope asks for.
    fn over(&self, setting: &Setting<'_, M>) -> u64 {
        let Some(kind) = setting.scope.real_time else { return 0 };
        let has = |place: usize, id: MessageId| self.nodes[place].delivered.iter().any(|(other, _)| *other == id);
        let is_over = |nth: &u8| {
            let message = setting.message(*nth);
            let by = |process: &ProcessId| has(usize::from(setting.place(*process)), message.id);
            match kind {
                RealTime::Deliveries => setting.processes.iter().any(by),
                RealTime::Completions => {
                    message.id.destinations.iter().all(|group| setting.cluster.members(group).iter().any(by))
                }
            }
        };
        (0..setting.workload.len() as u8).filter(is_over).fold(0, |bits, nth| bits | 1 << nth)
    }

    fn boot(&mut self, setting: &Setting<'_, M>, at: u8, boot: Boot, story: &mut Story) {
        let mut machine = (setting.maker)(setting.processes[usize::from(at)], boot);
        let node = &mut self.nodes[usize::from(at)];
        for record in &node.records {
            let record = wire::from_bytes(record.clone(), VERSION).expect("a record survives its own encoding");
            machine.restore(record);
        }
        (node.life, node.told) = (node.life + 1, 0);
        let gone = std::mem::take(&mut node.holds);
        if !gone.is_empty() {
            node.held.insert(gone);
        }
        node.machine = Some(Arc::new(machine));
        let seed = u64::from(at) + 1;
        self.step(setting, at, story, |machine, out| machine.start(Time::ZERO, seed, out));
    }

    fn reconnect(&mut self, setting: &Setting<'_, M>, at: u8, peer: u8, story: &mut Story) {
        let peer = setting.processes[usize::from(peer)];
        self.step(setting, at, story, |machine, out| machine.on_reconnect(Time::ZERO, peer, out));
    }

    fn hear(&mut self, setting: &Setting<'_, M>, from: u8, to: u8, bytes: Bytes, story: &mut Story) {
        let (sender, message) = understand(setting, from, to, bytes, story);
        self.step(setting, to, story, |machine, out| machine.on_message(Time::ZERO, sender, message, out));
    }

    /// One step of one machine, and then what it tells itself, in the order told, until it is silent.
    fn step(&mut self, setting: &Setting<'_, M>, at: u8, story: &mut Story, act: impl FnOnce(&mut M, &mut Out<M>)) {
        let mut to_itself = VecDeque::new();
        self.step_once(setting, at, &mut to_itself, story, act);
        while let Some(bytes) = to_itself.pop_front() {
            let (sender, message) = understand(setting, at, at, bytes, story);
            let act = |machine: &mut M, out: &mut Out<M>| machine.on_message(Time::ZERO, sender, message, out);
            self.step_once(setting, at, &mut to_itself, story, act);
        }
    }

    /// One step of one machine with all its effects.
    fn step_once(
        &mut self,
        setting: &Setting<'_, M>,
        at: u8,
        to_itself: &mut VecDeque<Bytes>,
        story: &mut Story,
        act: impl FnOnce(&mut M, &mut Out<M>),
    ) {
        let mut out = Out::new();
        let node = &mut self.nodes[usize::from(at)];
        let machine = Arc::make_mut(node.machine.as_mut().expect("only a process that is up takes steps"));
        act(machine, &mut out);
        machine.finish(Time::ZERO, &mut out);
        machine.check();
        node.hash = hashes(machine);
        for effect in out.drain() {
            self.perform(setting, at, effect, to_itself, story);
        }
    }

    fn perform(
        &mut self,
        setting: &Setting<'_, M>,
        at: u8,
        effect: Effect<M>,
        to_itself: &mut VecDeque<Bytes>,
        story: &mut Story,
    ) {
        let node = &mut self.nodes[usize::from(at)];
        match effect {
            Effect::Persist(record) => node.records.push(wire::to_bytes(&record)),
            Effect::Checkpoint(record) | Effect::Compact(record) => node.records = vec![wire::to_bytes(&record)],
            Effect::Arm(timer, _) => {
                node.timers.insert(timer);
            }
            Effect::Disarm(timer) => {
                node.timers.remove(&timer);
            }
            Effect::Send(to, message) | Effect::SendEarly(to, message) => {
                let bytes = wire::to_bytes(&message);
                for to in to.iter().map(|process| setting.place(process)) {
                    if to == at {
                        to_itself.push_back(bytes.clone());
                    } else if self.is_up(to) {
                        self.links.entry((at, to)).or_default().push_back(bytes.clone());
                    }
                }
            }
            Effect::Emit(Up::Deliver(delivery)) => {
                let process = setting.processes[usize::from(at)];
                let group = setting.cluster.group_of(process).expect("only a replica delivers");
                let kind = MomentKind::Deliver(delivery.message.id, group);
                tell(setting, story, kind, at, || format!("delivers {delivery:?}"));
                let node = &mut self.nodes[usize::from(at)];
                node.remember(&delivery, setting.scope.conflicts.is_some());
                let life = node.life;
                self.log.push(Seen::Delivered { place: at, life, delivery: Arc::new(delivery) });
            }
            // A search asks nobody for checkpoints and holds nothing back.
            Effect::Emit(_) => {}
        }
    }
}

/// Decodes what a process hears, and writes it into the story.
fn understand<M: Ordering>(
    setting: &Setting<'_, M>,
    from: u8,
    to: u8,
    bytes: Bytes,
    story: &mut Story,
) -> (ProcessId, M::Message) {
    let message: M::Message = wire::from_bytes(bytes, VERSION).expect("a message survives its own encoding");
    let sender = setting.processes[usize::from(from)];
    tell(setting, story, MomentKind::Hear, to, || format!("hears {sender}: {message:?}"));
    (sender, message)
}

/// Adds a line, if somebody reads along.
fn tell<M>(setting: &Setting<'_, M>, story: &mut Story, kind: MomentKind, place: u8, words: impl FnOnce() -> String) {
    if let Some(moments) = story {
        let process = setting.processes[usize::from(place)];
        moments.push(Moment { step: moments.len(), kind, process, words: words() });
    }
}

fn hashes(value: &impl Hash) -> (u64, u64) {
    (FixedState::with_seed(1).hash_one(value), FixedState::with_seed(2).hash_one(value))
}
