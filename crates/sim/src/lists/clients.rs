//! [`Clients`]: those who use the lists. Each does one thing after the other
//! through some replica, looks for another when its own is gone or silent, and
//! writes down what it asked and what it was told. Some name what they ask for,
//! and ask again until they have an answer; the others never know.

use std::collections::BTreeMap;

use skein_machine::wire::to_bytes;
use skein_machine::{
    Ask, Cluster, Command, Freshness, GroupId, MessageId, Multicast, ProcessId, Random, Reply, Serving, Timestamp, Told,
};

use super::words::{Deed, View, home, query};
use crate::check::linear::{Element, Fate, Key, Operation};
use crate::{MILLISECOND, Nanos, SECOND, World};

/// Lists of each partition. Few, so that everybody gets in everybody's way.
const LISTS: u64 = 2;

/// How long a client waits for an answer.
const PATIENCE: (Nanos, Nanos) = (2 * SECOND, 10 * SECOND);

/// Sessions of messages that are no commands begin here, one for each.
const RAW_SESSIONS: u64 = 1 << 40;

/// Lists do not grow beyond what is easily looked at.
const MOST_OPERATIONS: usize = 6_000;

/// How clients are.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Habits {
    /// How long one thinks before the next thing.
    pub thought: (Nanos, Nanos),
    /// How often it looks whether it was answered, and whether its replica still lives.
    pub glance: Nanos,
    /// So many things for the same partitions are asked for at once, at most.
    pub most_at_once: u64,
    /// Of those who look at a partition, how many are content with what they have seen already.
    pub causal: f64,
    /// How often something is multicast besides that is no command.
    pub raw: f64,
    /// How often it goes to another replica, though its own is well.
    pub wanders: f64,
    /// How often it asks for one list beside it. Otherwise it asks for two, which may be far apart; `None` for any.
    pub local: Option<f64>,
}

impl Habits {
    /// One thing after the other, at leisure.
    pub const TAME: Habits = Habits {
        thought: (5 * MILLISECOND, 800 * MILLISECOND),
        glance: 60 * MILLISECOND,
        most_at_once: 1,
        causal: 0.0,
        raw: 0.0,
        wanders: 0.0,
        local: None,
    };

    /// Everything at once, and at once again.
    pub const EAGER: Habits = Habits {
        thought: (0, 60 * MILLISECOND),
        glance: 10 * MILLISECOND,
        most_at_once: 3,
        causal: 0.3,
        raw: 0.1,
        wanders: 0.2,
        local: None,
    };

    /// No time between an answer and the next question: what somebody could see too soon, somebody sees.
    pub const HASTY: Habits =
        Habits { thought: (0, 5 * MILLISECOND), glance: MILLISECOND, wanders: 0.0, local: Some(0.4), ..Habits::EAGER };
}

/// All clients of a run.
pub(super) struct Clients {
    habits: Habits,
    random: Random,
    replicas: Vec<ProcessId>,
    groups: usize,
    clients: Vec<Client>,
    /// Who waits under which token.
    tokens: BTreeMap<u64, usize>,
    next_token: u64,
    next_element: Element,
    next_raw: u64,
    is_closed: bool,
    /// Everything that was asked.
    pub(super) operations: Vec<Operation>,
    /// What the one who appended an element saw, and what stands beside it.
    notes: BTreeMap<Element, u64>,
    /// What went wrong beyond order.
    pub(super) oddities: Vec<String>,
}

struct Client {
    entry: ProcessId,
    /// Its session, if it names what it asks for, and the number of the next thing.
    name: Option<(u64, u64)>,
    open: Option<Open>,
    /// The timestamp of the last answer.
    seen: Timestamp,
    /// How long it has seen lists, and what it has appended to them last.
    knows: BTreeMap<Key, Known>,
}

/// What a client may expect of a list.
#[derive(Clone, Copy, Default)]
struct Known {
    length: usize,
    own: Option<Element>,
}

#[derive(Clone)]
struct Open {
    /// The first of those that it stands for, which follow each other.
    operation: usize,
    wish: Wish,
    token: u64,
    life: Option<u32>,
    gives_up: Nanos,
}

#[derive(Clone)]
enum Wish {
    /// All of them for the same partitions.
    Deeds(Vec<Deed>),
    /// Read these lists where they are.
    Read(Vec<Key>),
    /// The same, but nothing that was not seen already must be seen.
    Recall(Vec<Key>),
}

impl Clients {
    pub(super) fn new(count: usize, habits: Habits, cluster: &Cluster, mut random: Random) -> Clients {
        let groups = cluster.groups();
        let replicas: Vec<ProcessId> = cluster.replicas(groups).collect();
        let clients = (0..count as u64).map(|number| Client {
            entry: *random.pick(&replicas),
            name: random.chance(0.5).then_some((number, 1)),
            open: None,
            seen: Timestamp::ZERO,
            knows: BTreeMap::new(),
        });
        let clients = clients.collect();
        Clients {
            habits,
            random,
            replicas,
            groups: groups.len(),
            clients,
            tokens: BTreeMap::new(),
            next_token: 0,
            next_element: 1,
            next_raw: RAW_SESSIONS,
            is_closed: false,
            operations: Vec::new(),
            notes: BTreeMap::new(),
            oddities: Vec::new(),
        }
    }

    pub(super) fn replicas(&self) -> &[ProcessId] {
        &self.replicas
    }

    pub(super) fn count(&self) -> usize {
        self.clients.len()
    }

    /// Nothing new is begun.
    pub(super) fn close(&mut self) {
        self.is_closed = true;
    }

    /// Whether anybody waits.
    pub(super) fn is_waiting(&self) -> bool {
        self.clients.iter().any(|client| client.open.is_some())
    }

    /// What is waited for, in words.
    pub(super) fn open(&self) -> Vec<String> {
        let open = self.clients.iter().filter_map(|client| client.open.as_ref());
        open.map(|open| format!("{} has no answer", self.operations[open.operation])).collect()
    }

    /// A client looks around. Answers when it does so next.
    pub(super) fn wake<M: Serving>(&mut self, number: usize, world: &mut World<M>) -> Nanos {
        let now = world.now();
        let client = &self.clients[number];
        match client.open.clone() {
            None if self.is_closed || self.operations.len() >= MOST_OPERATIONS => now + SECOND,
            None => {
                self.begin(number, world);
                now + self.habits.glance
            }
            Some(open) if world.life(client.entry) != open.life || now >= open.gives_up => {
                self.lose(number, &open, world);
                self.thinks_until(now)
            }
            Some(_) => now + self.habits.glance,
        }
    }

    /// When a client that was answered does the next thing.
    pub(super) fn thinks_until(&mut self, now: Nanos) -> Nanos {
        now + self.random.between(self.habits.thought.0, self.habits.thought.1)
    }

    fn begin<M: Serving>(&mut self, number: usize, world: &mut World<M>) {
        if self.habits.raw > 0.0 && self.random.chance(self.habits.raw) {
            self.multicast(number, world);
        }
        if self.habits.wanders > 0.0 && self.random.chance(self.habits.wanders) {
            self.clients[number].entry = *self.random.pick(&self.replicas);
        }
        let client = &self.clients[number];
        let (named, entry) = (client.name.is_some(), client.entry);
        let wish = self.wish(entry, named);
        let each = match &wish {
            Wish::Deeds(deeds) => deeds.iter().map(|deed| (format!("{deed:?}"), deed.appends())).collect(),
            Wish::Read(keys) => vec![(format!("Read({keys:?})"), Vec::new())],
            Wish::Recall(keys) => vec![(format!("Recall({keys:?})"), Vec::new())],
        };
        // What is only recalled may be as old as the world.
        let asked = if matches!(wish, Wish::Recall(_)) { 0 } else { world.now() };
        let operation = self.operations.len();
        for (what, appends) in each {
            let who = format!("c{number} {what}");
            self.operations.push(Operation {
                who,
                asked,
                answered: None,
                fate: Fate::Unknown,
                appends,
                saw: Vec::new(),
            });
        }
        self.ask(number, operation, wish, world);
    }

    /// Something that is no command, and that nobody waits for.
    fn multicast<M: Serving>(&mut self, number: usize, world: &mut World<M>) {
        let destinations = self.random.between(1, (1 << self.groups) - 1);
        self.next_raw += 1;
        let message = Multicast {
            id: MessageId::new(self.next_raw, 1, destinations),
            floor: Timestamp::ZERO,
            expiry: Timestamp::MAX,
            payload: bytes::Bytes::from_static(b"no command"),
        };
        let _ = world.command(self.clients[number].entry, Ask::Multicast(message));
    }

    fn wish(&mut self, entry: ProcessId, is_named: bool) -> Wish {
        let keys = LISTS * self.groups as u64;
        let dice = self.random.fraction();
        // Who names what it asks for changes something: there is nothing in looking twice.
        if !is_named && dice < 0.3 {
            let group = self.group_of(entry);
            let keys = (0..LISTS).map(|nth| group + nth * self.groups as u64).collect();
            let recalls = self.habits.causal > 0.0 && self.random.chance(self.habits.causal);
            return if recalls { Wish::Recall(keys) } else { Wish::Read(keys) };
        }
        let mut some: Vec<Key> = match self.habits.local {
            None => (0..keys).filter(|_| self.random.chance(0.4)).collect(),
            Some(local) if self.random.chance(local) => vec![self.group_of(entry)],
            Some(_) => {
                let first = self.random.below(keys);
                vec![first, (first + 1 + self.random.below(keys - 1)) % keys]
            }
        };
        if some.is_empty() {
            some.push(self.random.below(keys));
        }
        let first = if dice < 0.6 {
            let one_only = self.habits.local.is_none() && self.random.chance(0.5);
            some.truncate(if one_only { 1 } else { some.len() });
            self.append(&some)
        } else if dice < 0.8 {
            Deed::Look(some)
        } else {
            let to = self.random.below(keys);
            some.retain(|key| *key != to);
            Deed::Gather { from: some, to: (to, self.element()) }
        };
        let mut deeds = vec![first];
        // Of what is asked for under a name only the last is remembered.
        if !is_named && self.habits.most_at_once > 1 {
            for _ in 1..self.random.between(1, self.habits.most_at_once) {
                let keys = deeds[0].keys();
                let next = match self.random.below(3) {
                    0 => self.append(&keys),
                    1 => Deed::Look(keys),
                    _ => Deed::Gather { from: keys[1..].to_vec(), to: (keys[0], self.element()) },
                };
                deeds.push(next);
            }
        }
        Wish::Deeds(deeds)
    }

    /// The partition of a replica, by number.
    fn group_of(&self, entry: ProcessId) -> u64 {
        let place = self.replicas.iter().position(|process| *process == entry).expect("an entry is a replica");
        (place * self.groups / self.replicas.len()) as u64
    }

    fn append(&mut self, keys: &[Key]) -> Deed {
        let element = self.element();
        Deed::Append(keys.iter().map(|key| (*key, element)).collect())
    }

    fn element(&mut self) -> Element {
        self.next_element += 1;
        self.next_element
    }

    fn ask<M: Serving>(&mut self, number: usize, operation: usize, wish: Wish, world: &mut World<M>) {
        let token = self.next_token;
        self.next_token += 1;
        let client = &self.clients[number];
        let ask = match &wish {
            Wish::Deeds(deeds) => Ask::Calls {
                token,
                groups: deeds[0].groups(self.groups),
                floor: client.seen,
                commands: deeds.iter().map(|deed| Command { name: client.name, command: to_bytes(deed) }).collect(),
            },
            Wish::Read(keys) => Ask::Read { token, freshness: Freshness::Linearizable, queries: vec![query(keys)] },
            Wish::Recall(keys) => {
                Ask::Read { token, freshness: Freshness::Causal(client.seen), queries: vec![query(keys)] }
            }
        };
        let life = world.life(client.entry);
        let gives_up = world.now() + self.random.between(PATIENCE.0, PATIENCE.1);
        self.clients[number].open = Some(Open { operation, wish, token, life, gives_up });
        self.tokens.insert(token, number);
        // A process that is down takes nothing; the client will see that it is gone.
        let _ = world.command(self.clients[number].entry, ask);
    }

    /// The replica of a client is gone, or silent for too long.
    fn lose<M: Serving>(&mut self, number: usize, open: &Open, world: &mut World<M>) {
        self.tokens.remove(&open.token);
        let client = &mut self.clients[number];
        let _ = world.command(client.entry, Ask::Forget(open.token));
        client.entry = *self.random.pick(&self.replicas);
        match client.name {
            Some(_) => self.ask(number, open.operation, open.wish.clone(), world),
            None => self.clients[number].open = None,
        }
    }

    /// A replica says something. Answers who may go on.
    pub(super) fn hear(&mut self, now: Nanos, told: Told) -> Option<usize> {
        let token = match &told {
            Told::Answers { token, .. } | Told::Read { token, .. } | Told::Failed { token, .. } => *token,
            Told::Up(_) => return None,
        };
        let number = self.tokens.remove(&token)?;
        let open = self.clients[number].open.take().expect("a token is somebody's");
        match told {
            Told::Answers { timestamp, replies, .. } => self.answered(now, number, &open, timestamp, &replies),
            Told::Read { replies, timestamp, .. } => {
                let operation = &mut self.operations[open.operation];
                match &open.wish {
                    Wish::Recall(_) => operation.fate = Fate::Done,
                    _ => (operation.answered, operation.fate) = (Some(now), Fate::Done),
                }
                self.clients[number].seen = timestamp.max(self.clients[number].seen);
                for reply in &replies {
                    let view = View::from_reply(reply);
                    self.remember(number, open.operation, &view);
                    self.saw(open.operation, view);
                }
            }
            Told::Failed { certain, .. } if self.clients[number].name.is_none() => {
                for operation in self.stands_for(&open).filter(|_| certain) {
                    let operation = &mut self.operations[operation];
                    (operation.answered, operation.fate) = (Some(now), Fate::Never);
                }
            }
            // Whoever named it asks again; the next glance does.
            Told::Failed { .. } => {
                self.clients[number].open = Some(Open { gives_up: now, ..open });
            }
            Told::Up(_) => unreachable!("it has no token"),
        }
        Some(number)
    }

    fn answered(
        &mut self,
        now: Nanos,
        number: usize,
        open: &Open,
        timestamp: Timestamp,
        replies: &[(GroupId, Vec<Reply>)],
    ) {
        let client = &mut self.clients[number];
        client.seen = client.seen.max(timestamp);
        if let Some((_, next)) = &mut client.name {
            *next += 1;
        }
        let Wish::Deeds(deeds) = &open.wish else { panic!("a question is answered as if it were a command") };
        let expected: Vec<GroupId> = deeds[0].groups(self.groups).iter().collect();
        let told: Vec<GroupId> = replies.iter().map(|(group, _)| *group).collect();
        if told != expected || replies.iter().any(|(_, replies)| replies.len() != deeds.len()) {
            self.oddities.push(format!("{} was answered by {told:?}", self.operations[open.operation]));
            return;
        }
        for (nth, deed) in deeds.iter().enumerate() {
            let views = replies.iter().map(|(_, replies)| View::from_reply(&replies[nth])).collect();
            let operation = &mut self.operations[open.operation + nth];
            (operation.answered, operation.fate) = (Some(now), Fate::Done);
            self.heard_of(number, open.operation + nth, deed, views);
        }
    }

    /// A deed was answered by every partition.
    fn heard_of(&mut self, number: usize, operation: usize, deed: &Deed, mut views: Vec<View>) {
        if let Deed::Gather { from, to } = deed {
            if views.iter().any(|view| *view != views[0]) {
                self.oddities.push(format!("{} was answered differently", self.operations[operation]));
            }
            views.truncate(1);
            let held = views[0].0.iter().map(|(key, _)| *key);
            let mut wanted = from.clone();
            wanted.sort_unstable();
            if !held.eq(wanted.iter().copied()) {
                self.oddities.push(format!("{} was told of other lists", self.operations[operation]));
            }
            self.note(to.1, views[0].length());
        }
        for view in views {
            self.remember(number, operation, &view);
            self.saw(operation, view);
        }
        for (key, element) in deed.appends() {
            self.clients[number].knows.entry(key).or_default().own = Some(element);
        }
    }

    /// A client never sees less than it has seen, nor without what it has appended.
    fn remember(&mut self, number: usize, operation: usize, view: &View) {
        for (key, list) in &view.0 {
            let known = self.clients[number].knows.entry(*key).or_default();
            let lacks_own = known.own.is_some_and(|own| list.iter().all(|(element, _)| *element != own));
            if list.len() < known.length || lacks_own {
                let detail = format!("{} saw less of list {key} than before", self.operations[operation]);
                self.oddities.push(detail);
            }
            known.length = known.length.max(list.len());
        }
    }

    /// The operations that something open stands for.
    fn stands_for(&self, open: &Open) -> std::ops::Range<usize> {
        let count = if let Wish::Deeds(deeds) = &open.wish { deeds.len() } else { 1 };
        open.operation..open.operation + count
    }

    fn saw(&mut self, operation: usize, view: View) {
        for (key, list) in view.0 {
            for (element, note) in &list {
                self.note(*element, *note);
            }
            let list = list.into_iter().map(|(element, _)| element).collect();
            self.operations[operation].saw.push((key, list));
        }
    }

    /// What stands beside an element is the same for everybody.
    fn note(&mut self, element: Element, note: u64) {
        let first = *self.notes.entry(element).or_insert(note);
        if first != note {
            self.oddities.push(format!("{note} stands beside {element}, and somebody saw {first} there"));
        }
    }

    /// Asks a replica for everything that its partition has. It is looked for among the others' answers.
    pub(super) fn look_at_everything<M: Serving>(&mut self, world: &mut World<M>) {
        for (place, process) in self.replicas.clone().into_iter().enumerate() {
            let group = (place * self.groups / self.replicas.len()) as u64;
            let keys: Vec<Key> = (0..LISTS).map(|nth| group + nth * self.groups as u64).collect();
            assert!(keys.iter().all(|key| home(*key, self.groups).index() as u64 == group), "lists live elsewhere");
            let who = format!("the last look at {process}");
            let (asked, fate) = (world.now(), Fate::Unknown);
            self.operations.push(Operation { who, asked, answered: None, fate, appends: Vec::new(), saw: Vec::new() });
            let (name, open, knows) = (None, None, BTreeMap::new());
            let client = Client { entry: process, name, open, seen: Timestamp::ZERO, knows };
            self.clients.push(client);
            let number = self.clients.len() - 1;
            self.ask(number, self.operations.len() - 1, Wish::Read(keys), world);
            // It has all the time that there is.
            self.clients[number].open.as_mut().expect("it has just asked").gives_up = Nanos::MAX;
        }
    }
}
